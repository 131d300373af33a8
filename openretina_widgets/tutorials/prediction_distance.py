"""How far a prediction is from what was measured, in numbers and in words.

Curves are compared in percent of their own largest value, what is below 0 as 0: 0 % is no response,
100 % the largest. A distance that is not determined is NaN, and its reason is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from openretina_widgets.insilico.tuning_analyses.measure import ROUNDING
from openretina_widgets.insilico.tuning_analyses.selectivity import (
    Selectivity,
    direction_selectivity,
    orientation_selectivity,
)
from openretina_widgets.tutorials.percent import in_percent

__all__ = [
    "CORRELATION",
    "Distance",
    "angle_between",
    "as_rows",
    "curve_distance",
    "dial_distance",
    "preferred_angle",
]

CORRELATION, RMS, ANGLE = "correlation", "rms", "angle_deg"
SILENT = "the neuron does not respond in any condition"
_LEAST_SELECTIVITY = 0.1  # vector index below which an angle is hardly preferred
_LEAST_CONDITIONS = 3  # two points correlate by 1 or -1, whatever they are
_FLAT = 100 * ROUNDING  # %, between the largest and the smallest value


@dataclass(frozen=True)
class Distance:
    """The distance between a prediction and what was measured.

    Attributes
    ----------
    values
        By name: ``"correlation"`` of the shapes, in [-1, 1]; ``"rms"``, root mean square of the
        difference as a share of the largest response, in [0, 1]; ``"angle_deg"`` between the
        preferred angles, in [0, 180] for directions and [0, 90] for orientations. Of a picked
        field: ``"right"`` (bool) and ``"cosine"`` of the picked and the measured image. NaN where
        it is not determined.
    reasons
        Why, by the same names.
    words
        Sentences for who predicted.
    """

    values: dict[str, float | bool] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    words: str = ""


def angle_between(first: float, second: float, period: float = 360.0) -> float:
    """Return the angle between two directions, or orientations with a period of 180 (degrees)."""
    away = math.fmod(abs(first - second), period)
    return min(away, period - away)


def preferred_angle(
    values: Sequence[float] | np.ndarray, angles_deg: np.ndarray, period: float = 360.0
) -> tuple[float, str]:
    """Return the angle of the vector sum (degrees), or NaN and the reason.

    It is not determined where the vector index is below 0.1: noise would decide it.
    """
    found = _selectivity(values, angles_deg, period)
    index, preferred = found.vector_index, found.preferred_deg
    if index.reasons[0] or preferred.reasons[0]:
        return math.nan, index.reasons[0] or preferred.reasons[0]
    if (value := float(index.values[0])) < _LEAST_SELECTIVITY:
        word, short = ("direction", "DSI") if period == 360.0 else ("orientation", "OSI")
        return math.nan, f"no {word} is preferred: {short} {value:.2g} < {_LEAST_SELECTIVITY:g}"
    return float(preferred.values[0]), ""


def curve_distance(
    predicted: Sequence[float] | np.ndarray,
    measured: Sequence[float] | np.ndarray,
    *,
    angles_deg: np.ndarray | None = None,
    period: float = 360.0,
) -> Distance:
    """Compare two tuning curves over the same conditions.

    Parameters
    ----------
    predicted, measured
        ``(n,)``, in any unit: both are taken in percent of their largest value.
    angles_deg
        ``(n,)``, the conditions where they are angles; None otherwise.
    period
        Of the angles: 360 for directions, 180 for orientations.

    Raises
    ------
    ValueError
        If the curves do not have the same number of values, or one is not finite.
    """
    guess, truth = _checked(predicted, measured)
    names = [CORRELATION, RMS] + ([ANGLE] if angles_deg is not None else [])
    if _is_silent(truth):
        words = f"Not determined: {SILENT}."
        if not guess.any():
            words = "You expected no response at all, and there is none. " + words
        return Distance(dict.fromkeys(names, math.nan), dict.fromkeys(names, SILENT), words)
    values: dict[str, float | bool] = {}
    reasons: dict[str, str] = {}
    values[CORRELATION], why = _correlation(guess, truth)
    if why:
        reasons[CORRELATION] = why
    values[RMS] = float(np.sqrt(np.mean((guess - truth) ** 2))) / 100.0
    parts = [_shape_in_words(values[CORRELATION], why), _difference_in_words(values[RMS])]
    if angles_deg is not None:
        expected, why_not = preferred_angle(guess, angles_deg, period)
        if why_not:
            why_not = f"in your prediction {why_not}"
        found, unfound = preferred_angle(truth, angles_deg, period)
        values[ANGLE] = angle_between(expected, found, period)
        if reason := (f"in what was measured {unfound}" if unfound else why_not):
            values[ANGLE], reasons[ANGLE] = math.nan, reason
        parts.append(
            _angle_in_words(expected, found, values[ANGLE], reasons.get(ANGLE, ""), period)
        )
    return Distance(values, reasons, " ".join(parts))


def dial_distance(
    predicted_deg: float,
    measured: Sequence[float] | np.ndarray,
    angles_deg: np.ndarray,
    *,
    period: float = 360.0,
) -> Distance:
    """Compare a preferred angle with the one of a measured curve.

    Parameters
    ----------
    predicted_deg
        Degrees.
    measured, angles_deg
        ``(n,)``: the measured curve and its conditions.
    period
        360 for directions, 180 for orientations.
    """
    truth = in_percent(measured)
    found, why = (
        (math.nan, SILENT) if _is_silent(truth) else preferred_angle(truth, angles_deg, period)
    )
    value = angle_between(predicted_deg, found, period)
    words = _angle_in_words(predicted_deg, found, value, why, period)
    return Distance({ANGLE: value}, {ANGLE: why} if why else {}, words)


def as_rows(distance: Distance, period: float = 360.0) -> list[tuple[str, str, str]]:
    """Return name, number and what the number may be, or why there is none, for a table."""
    half = f"0° the same, {period / 2:g}° the farthest"
    said: Mapping[str, tuple[str, str, str]] = {
        CORRELATION: ("shape correlation", "{:.2f}", "1 the same shape, 0 unrelated, −1 opposite"),
        RMS: ("RMS difference", "{:.0f} % of the largest response", "0 % the same"),
        ANGLE: ("between preferred angles", "{:.0f}°", half),
        "right": ("picked", "{}", ""),
        "cosine": ("cosine of the images", "{:.2f}", "1 the same image, −1 its negative"),
    }
    rows = []
    for name, value in distance.values.items():
        label, number, meaning = said[name]
        if why := distance.reasons.get(name):
            rows.append((label, "not determined", why))
        elif name == "right":
            rows.append((label, "right" if value else "wrong", meaning))
        else:
            shown = 100 * value if name == RMS else value + 0.0  # no minus zero
            rows.append((label, number.format(shown).replace("-", "−"), meaning))
    return rows


def _checked(predicted: object, measured: object) -> tuple[np.ndarray, np.ndarray]:
    curves = []
    for name, values in (("predicted", predicted), ("measured", measured)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1 or not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers (n,), got {array.tolist()}")
        curves.append(in_percent(array))
    if len(curves[0]) != len(curves[1]):
        raise ValueError(
            f"predicted: expected {len(curves[1])} values as were measured, got {len(curves[0])}"
        )
    return curves[0], curves[1]


def _is_silent(percent: np.ndarray) -> bool:
    return not (percent > 0).any()


def _selectivity(values: object, angles_deg: np.ndarray, period: float) -> Selectivity:
    of = direction_selectivity if period == 360.0 else orientation_selectivity
    return of(np.asarray(values, dtype=np.float64)[:, None], angles_deg)


def _correlation(guess: np.ndarray, truth: np.ndarray) -> tuple[float, str]:
    """Pearson's r over the conditions, or NaN and the reason."""
    if len(truth) < _LEAST_CONDITIONS:
        return math.nan, f"{len(truth)} conditions have no shape"
    for curve, whose in ((truth, "what was measured"), (guess, "your prediction")):
        if np.ptp(curve) <= _FLAT:
            return math.nan, f"{whose} is flat, and has no shape"
    return float(np.clip(np.corrcoef(guess, truth)[0, 1], -1.0, 1.0)), ""


def _shape_in_words(value: float, why: str) -> str:
    if why:
        return f"The shapes cannot be compared: {why}."
    for least, words in (
        (0.95, "You drew nearly the same shape."),
        (0.7, "You drew a similar shape."),
        (0.3, "Your shape is somewhat like the measured one."),
        (-0.3, "Your shape has little in common with the measured one."),
    ):
        if value >= least:
            return words
    return "Your shape goes the other way: low where the response is high."


def _difference_in_words(value: float) -> str:
    if value < 0.005:
        return "There is no difference."
    off = f"{100 * value:.0f} % of the largest response (root mean square)"
    return f"On average you are off by {off}."


def _angle_in_words(expected: float, found: float, value: float, why: str, period: float) -> str:
    word = "direction" if period == 360.0 else "orientation"
    if why:
        return f"The preferred {word}s cannot be compared: {why}."
    said = f"You expected {expected:.0f}°, it prefers {found:.0f}°: "
    share = value / (period / 2)
    if share <= 15 / 180:
        return said + f"the right {word}."
    if share >= 165 / 180:
        opposite = "opposite direction" if period == 360.0 else "orthogonal orientation"
        return said + f"the {opposite}."
    return said + f"{value:.0f}° away."
