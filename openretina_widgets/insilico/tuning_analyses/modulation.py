"""How strongly the response follows a periodic stimulus: F1 and F0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    ROUNDING,
    Measure,
    as_responses,
    divide,
    magnitude,
    measure,
    per_neuron,
)

__all__ = ["Modulation", "f1_f0", "whole_cycles"]


@dataclass(frozen=True, eq=False)
class Modulation:
    """How strongly every neuron follows a periodic stimulus.

    Attributes
    ----------
    ratio
        F1/F0, in [0, 2] for responses above 0: 0 for a constant one, π/2 for a half-wave
        rectified sine, near 2 for one frame a cycle.
    f1
        Amplitude at the frequency, in the unit of the response.
    f0
        Mean, above the baseline that was given.
    frames
        First frame, and frame after the last, of the whole cycles that were used.
    """

    ratio: Measure
    f1: Measure
    f0: Measure
    frames: tuple[int, int]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why F1/F0 of a neuron is NaN; ``""`` where it is defined."""
        return self.ratio.reasons


def whole_cycles(frames: int, *, frequency_hz: float, frame_rate: float) -> int:
    """Return how many of the last frames hold a whole number of cycles best; 0 if not one fits.

    The most cycles whose length in frames is a whole number, or else the nearest to one.
    """
    period = frame_rate / frequency_hz
    lengths = np.arange(1, math.floor(frames / period + 1e-9) + 1) * period
    if not len(lengths):
        return 0
    off = np.round(np.abs(lengths - np.round(lengths)) / lengths, 6)
    best = len(off) - 1 - int(off[::-1].argmin())
    return min(frames, round(lengths[best]))


def f1_f0(trace: Any, *, frequency_hz: float, frame_rate: float, baseline: Any = 0.0) -> Modulation:
    """Measure the modulation of the response at the frequency of the stimulus.

    F1 is ``2 |Σ r exp(−2πi f t)| / N``, F0 the mean, both over the last whole number of cycles
    (Skottun et al. 1991).

    Parameters
    ----------
    trace
        ``(time, neuron)``.
    frequency_hz, frame_rate
        Of the stimulus, below half the frame rate, and frames per second (Hz).
    baseline
        Subtracted from F0; a number, or one for each neuron.

    Raises
    ------
    ValueError
        If a shape does not fit, or the frequency is not between 0 and half the frame rate.
    """
    response = as_responses(trace, "trace", ("time", "neuron"))
    check_positive(frame_rate, "frame_rate")
    if not 0 < frequency_hz < frame_rate / 2:
        raise ValueError(
            f"frequency_hz: expected a frequency above 0 and below half the frame rate of "
            f"{frame_rate:g} Hz, got {frequency_hz!r}"
        )
    rest = per_neuron(baseline, "baseline", response.shape[1])
    used = whole_cycles(len(response), frequency_hz=frequency_hz, frame_rate=frame_rate)
    start = len(response) - used
    cut = response[start:]
    missing = ~(np.isfinite(cut).all(axis=0) & np.isfinite(rest))
    known = np.where(missing, 0.0, cut)
    turns = np.exp(-2j * np.pi * frequency_hz * np.arange(used) / frame_rate)
    f1 = 2 * np.abs(turns @ known) / max(used, 1)
    mean = known.sum(axis=0) / max(used, 1)
    f0 = mean - np.where(missing, 0.0, rest)
    undefined = {
        MISSING: missing,
        f"the response does not hold a whole cycle of {frequency_hz:g} Hz": used == 0,
    }
    none = np.abs(f0) <= ROUNDING * magnitude(cut, rest) if used else np.zeros(len(f0), bool)
    below = f0 < 0
    return Modulation(
        measure(
            "F1/F0",
            divide(f1, f0),
            undefined | {"F0 is 0": none, "F0 is below baseline": below},
            limits=(0, np.inf if np.any(rest != 0) else 2),
        ),
        measure("F1", f1, undefined, limits=(0, np.inf), unit="a.u."),
        measure("F0", f0, undefined, unit="a.u."),
        (start, len(response)),
    )
