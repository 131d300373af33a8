"""Green and UV: chromatic contrast of a temporal component, and opponency on the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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

__all__ = ["ChromaticContrast", "chromatic_contrast", "colour_opponency"]


@dataclass(frozen=True, eq=False)
class ChromaticContrast:
    """Polarity of every neuron in each channel.

    Attributes
    ----------
    contrast
        One measure a channel: positive for ON, negative for OFF, in the unit of the component.
    opponent
        1 where the signs of the first two channels differ, 0 where they agree.
    """

    contrast: tuple[Measure, ...]
    opponent: Measure

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the opponency of a neuron is NaN; ``""`` where it is defined."""
        return self.opponent.reasons


def chromatic_contrast(temporal: Any, *, least: float = 0.05) -> ChromaticContrast:
    """Measure the chromatic contrast of each channel (Höfling et al. 2024, Fig. 3).

    The last peak minus the second-last peak of the temporal component, of either sign. With one
    peak only, the level before it is that of grey, 0.

    Parameters
    ----------
    temporal
        ``(channel, time, neuron)``, temporal component of a best stimulus or of a receptive
        field, oldest frame first.
    least
        A peak counts when it lies this share of the component's largest magnitude away from the
        peak before it; the rest is ripple.

    Raises
    ------
    ValueError
        If a shape does not fit, or `least` is not in [0, 1).
    """
    kernel = as_responses(temporal, "temporal", ("channel", "time", "neuron"))
    if not 0 <= least < 1:
        raise ValueError(f"least: expected a share of at least 0 and below 1, got {least!r}")
    missing = ~np.isfinite(kernel).all(axis=(0, 1))
    known = np.where(missing, 0.0, kernel)
    contrast, silent = _last_difference(known, least)
    channels = []
    for index, (values, none) in enumerate(zip(contrast, silent, strict=True)):
        undefined = {MISSING: missing, "the component is 0 everywhere": none}
        channels.append(measure(f"chromatic contrast of channel {index}", values, undefined))
    signs = np.sign(contrast[:2])
    return ChromaticContrast(
        tuple(channels),
        measure(
            "colour opponent",
            (signs[0] * signs[-1] < 0).astype(float),
            {
                MISSING: missing,
                "one channel only": len(kernel) < 2,
                "a channel has no effect": np.asarray(silent[:2].any(axis=0)),
            },
            limits=(0, 1),
        ),
    )


def _last_difference(kernel: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return last minus second-last peak, ``(channel, neuron)``, and where there is none.

    Going back in time, from grey to grey: the extreme since the last turn is a peak once the
    component has come back from it by more than the ripple.
    """
    n_channels, frames, n = kernel.shape
    largest = np.abs(kernel).max(axis=1)
    ripple = least * largest
    peaks = np.zeros((2, n_channels, n))
    found = np.zeros((n_channels, n), dtype=int)
    top, bottom = np.zeros_like(largest), np.zeros_like(largest)
    heading = np.zeros((n_channels, n), dtype=int)  # 1 on the way up, -1 on the way down
    for frame in range(frames - 1, -2, -1):
        now = kernel[:, frame] if frame >= 0 else np.zeros_like(top)
        top, bottom = np.maximum(top, now), np.minimum(bottom, now)
        fell = (heading >= 0) & (now < top - ripple)
        rose = (heading <= 0) & (now > bottom + ripple) & ~fell
        peak = np.where(heading > 0, top, bottom)
        turned = (fell | rose) & (heading != 0)
        for place in range(2):
            peaks[place] = np.where(turned & (found == place), peak, peaks[place])
        found += turned
        heading = np.where(fell, -1, np.where(rose, 1, heading))
        top, bottom = (np.where(fell | rose, now, extreme) for extreme in (top, bottom))
    return peaks[0] - peaks[1], (largest <= 0) | (found == 0)


def colour_opponency(responses: Any, green: Any, uv: Any, *, baseline: Any = 0.0) -> Measure:
    """Measure whether a neuron answers opposed or equal contrasts in green and UV.

    ``(o − s) / (o + s)``: `o` is the largest response above baseline, rectified, over the
    contrasts of opposite sign (green up and UV down, or the reverse), `s` over those of one sign.
    In [−1, 1]: 1 for a colour-opponent neuron, below 0 for one that adds the channels.

    Parameters
    ----------
    responses
        ``(green, uv, neuron)``, mean over a window for each cell of the grid.
    green, uv
        Contrasts in [−1, 1].
    baseline
        Response to grey; a number, or one for each neuron.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    raw = as_responses(responses, "responses", ("green", "uv", "neuron"))
    sizes = {"green": raw.shape[0], "uv": raw.shape[1]}
    first = as_responses(green, "green", ("green",), sizes=sizes)
    second = as_responses(uv, "uv", ("uv",), sizes=sizes)
    rest = per_neuron(baseline, "baseline", raw.shape[2])
    sign = np.sign(np.outer(first, second)).ravel()
    flat = raw.reshape(-1, raw.shape[2])
    missing = ~(np.isfinite(flat).all(axis=0) & np.isfinite(rest))
    above = np.clip(np.where(missing, 0.0, flat - rest), 0.0, None)
    opposed = above[sign < 0].max(axis=0, initial=0.0)
    same = above[sign > 0].max(axis=0, initial=0.0)
    return measure(
        "colour opponency",
        divide(opposed - same, opposed + same),
        {
            MISSING: missing,
            "the grid needs contrasts of equal and of opposite sign": not (
                (sign < 0).any() and (sign > 0).any()
            ),
            "no response above baseline": opposed + same <= ROUNDING * magnitude(flat, rest),
        },
        limits=(-1, 1),
    )
