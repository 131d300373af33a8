"""Indices of one response: polarity, transience, size, sparseness.

Responses have the neuron on the last axis, and all neurons are computed at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

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

__all__ = [
    "SizeTuning",
    "on_off_index",
    "size_suppression",
    "sparseness",
    "sustained_index",
    "transience",
]


def on_off_index(on: Any, off: Any, *, baseline: Any = 0.0) -> Measure:
    """Compare the responses to an ON and an OFF step.

    ``(on − off) / (on + off)`` of the step means above baseline, rectified: in [−1, 1]. NaN where
    neither step raises the response by more than rounding.

    Parameters
    ----------
    on, off
        ``(neuron,)``, mean response to each step.
    baseline
        Response to grey; a number, or one for each neuron.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    on = as_responses(on, "on", ("neuron",))
    off = as_responses(off, "off", ("neuron",), sizes={"neuron": len(on)})
    rest = per_neuron(baseline, "baseline", len(on))
    above = np.clip(np.stack([on, off]) - rest, 0.0, None)
    total = above.sum(axis=0)
    scale = np.abs(np.stack([on, off, rest])).max(axis=0)
    return measure(
        "ON–OFF index",
        divide(above[0] - above[1], total),
        {
            MISSING: ~np.isfinite(on + off + rest),
            "no response above baseline to either step": total <= ROUNDING * scale,
        },
        limits=(-1, 1),
    )


def transience(
    step: Any,
    *,
    frame_rate: float,
    baseline: Any = 0.0,
    delay_s: float = 0.4,
    half_width_s: float = 0.15,
) -> Measure:
    """Measure how far the response to a step falls after its peak.

    ``1 − r(peak + 0.4 s) / r(peak)`` above baseline, where the later response is the mean over
    ±0.15 s (Franke et al. 2017). In [0, 1]: a later response below baseline counts as 0.

    Parameters
    ----------
    step
        ``(time, neuron)``, response from the onset of the step to its end.
    frame_rate
        Frames per second (Hz).
    baseline
        Response to grey; a number, or one for each neuron.
    delay_s, half_width_s
        Time from the peak to the middle of the later window, and half its width (s), rounded down
        to whole frames.

    Raises
    ------
    ValueError
        If a shape does not fit, or the later window begins before the peak.
    """
    trace = as_responses(step, "step", ("time", "neuron"))
    check_positive(frame_rate, "frame_rate")
    if not 0 <= half_width_s < delay_s:
        raise ValueError(
            f"half_width_s: expected 0 <= half_width_s < delay_s = {delay_s}, got {half_width_s}"
        )
    rest = per_neuron(baseline, "baseline", trace.shape[1])
    above, seen, missing = _above(trace, rest)
    delay, half = (math.floor(s * frame_rate + 1e-9) for s in (delay_s, half_width_s))
    peak = above.argmax(axis=0)
    stop = peak + delay + half + 1
    sums = np.concatenate([np.zeros((1, above.shape[1])), np.cumsum(above, axis=0)])
    cells = np.arange(above.shape[1])
    inside = np.minimum(stop, len(above))
    later = sums[inside, cells] - sums[np.minimum(peak + delay - half, inside), cells]
    at_peak = above[peak, cells]
    ratio = divide(later / (2 * half + 1), at_peak)
    return measure(
        "transience",
        1.0 - np.clip(ratio, 0.0, 1.0),
        {
            MISSING: missing,
            "no peak above baseline": at_peak <= ROUNDING * magnitude(trace, rest),
            f"the step ends before {delay_s + half_width_s:g} s after the peak": stop > seen,
        },
        limits=(0, 1),
    )


def sustained_index(step: Any, *, baseline: Any = 0.0) -> Measure:
    """Return mean over maximum of the response to a step, above baseline and rectified.

    1 for a response that lasts for as long as the step, ``1 / frames`` for one frame; in (0, 1].

    Parameters
    ----------
    step
        ``(time, neuron)``, response from the onset of the step to its end.
    baseline
        Response to grey; a number, or one for each neuron.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    trace = as_responses(step, "step", ("time", "neuron"))
    rest = per_neuron(baseline, "baseline", trace.shape[1])
    above, seen, missing = _above(trace, rest)
    positive = np.clip(above, 0.0, None)
    peak = positive.max(axis=0)
    return measure(
        "sustained index",
        divide(positive.sum(axis=0) / np.maximum(seen, 1), peak),
        {
            MISSING: missing,
            "no peak above baseline": peak <= ROUNDING * magnitude(trace, rest),
        },
        limits=(0, 1),
    )


def _above(trace: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return responses above rest with 0 after the end, frames before it, and where NaN is left.

    NaN at the end is padding; elsewhere it is a missing response.
    """
    finite = np.isfinite(trace)
    seen = len(trace) - finite[::-1].argmax(axis=0)
    missing = (finite.sum(axis=0) != seen) | ~np.isfinite(rest)
    return np.where(finite & ~missing, trace - rest, 0.0), seen, missing


@dataclass(frozen=True, eq=False)
class SizeTuning:
    """What the size of a spot does to every neuron.

    Attributes
    ----------
    suppression
        ``(peak − largest) / peak`` above baseline, in [0, 1]; 1 where the largest spot leaves no
        response above baseline.
    preferred_diameter
        Smallest tested diameter with at least 95 % of the peak.
    surround_diameter
        Smallest tested diameter beyond the peak at which the response has fallen 95 % of the way
        to that at the largest.
    """

    suppression: Measure
    preferred_diameter: Measure
    surround_diameter: Measure

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the suppression of a neuron is NaN; ``""`` where it is defined."""
        return self.suppression.reasons


def size_suppression(
    responses: Any, diameters: Any, *, baseline: Any = 0.0, unit: str = "µm", least: float = 0.1
) -> SizeTuning:
    """Measure surround suppression, and the diameters of centre and surround.

    Parameters
    ----------
    responses
        ``(diameter, neuron)``, mean over a window.
    diameters
        ``(diameter,)`` of the spots, in any order.
    baseline
        Response to grey; a number, or one for each neuron.
    unit
        Of the diameters.
    least
        Suppression at or below which the diameters are not defined: the response only saturates.

    Raises
    ------
    ValueError
        If a shape does not fit or a diameter is not positive.
    """
    raw = as_responses(responses, "responses", ("diameter", "neuron"))
    sizes = as_responses(diameters, "diameters", ("diameter",), sizes={"diameter": len(raw)})
    if not (sizes > 0).all():
        raise ValueError(f"diameters: expected positive lengths, got {diameters!r}")
    rest = per_neuron(baseline, "baseline", raw.shape[1])
    order = np.argsort(sizes, kind="stable")
    sizes, raw = sizes[order], raw[order]
    missing = ~(np.isfinite(raw).all(axis=0) & np.isfinite(rest))
    curve = np.clip(np.where(missing, 0.0, raw - rest), 0.0, None)
    best, peak, largest = curve.argmax(axis=0), curve.max(axis=0), curve[-1]
    suppression = divide(peak - largest, peak)
    undefined = {
        MISSING: missing,
        "one diameter only": len(sizes) < 2,
        "no response above baseline to any size": peak <= ROUNDING * magnitude(raw, rest),
    }
    weak = undefined | {f"suppression is at most {least:g}": suppression <= least}
    beyond = np.arange(len(sizes))[:, None] > best
    fallen = beyond & (curve <= largest + 0.05 * (peak - largest))
    span = (float(sizes[0]), float(sizes[-1]))
    return SizeTuning(
        measure("suppression", suppression, undefined, limits=(0, 1)),
        measure(
            "preferred diameter",
            sizes[(curve >= 0.95 * peak).argmax(axis=0)],
            weak,
            limits=span,
            unit=unit,
        ),
        measure("surround diameter", sizes[fallen.argmax(axis=0)], weak, limits=span, unit=unit),
    )


def sparseness(responses: Any, *, over: Literal["stimuli", "neurons"] = "stimuli") -> Measure:
    """Measure how few stimuli a neuron answers, or how few neurons answer a stimulus.

    ``[1 − (Σr/n)² / (Σr²/n)] / (1 − 1/n)`` (Vinje & Gallant 2000), in [0, 1]; negative responses
    are rectified.

    Parameters
    ----------
    responses
        ``(stimulus, neuron)``.
    over
        ``"stimuli"`` for lifetime sparseness, one value a neuron; ``"neurons"`` for population
        sparseness, one value a stimulus.

    Raises
    ------
    ValueError
        If a shape does not fit, or `over` is something else.
    """
    if over not in ("stimuli", "neurons"):
        raise ValueError(f"over: expected 'stimuli' or 'neurons', got {over!r}")
    raw = as_responses(responses, "responses", ("stimulus", "neuron"))
    raw = raw if over == "stimuli" else raw.T
    n = len(raw)
    missing = ~np.isfinite(raw).all(axis=0)
    rates = np.clip(np.where(missing, 0.0, raw), 0.0, None)
    power = (rates**2).mean(axis=0) if n else np.zeros(raw.shape[1])
    ratio = divide(rates.mean(axis=0) ** 2, power) if n else power
    return measure(
        "lifetime sparseness" if over == "stimuli" else "population sparseness",
        (1 - ratio) / (1 - 1 / n) if n > 1 else np.full(raw.shape[1], np.nan),
        {
            MISSING: missing,
            f"one of the {over} only": n < 2,
            "silent: no response above zero": power <= 0,
        },
        limits=(0, 1),
        notes=("negative responses were set to 0",) if (raw < 0).any() else (),
    )
