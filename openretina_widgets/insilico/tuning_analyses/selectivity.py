"""Direction and orientation selectivity: vector sum, preferred against null, and Baden's index.

Directions are degrees counter-clockwise, 0 = right, 90 = up; the orientation of a grating is the
direction of its bars, the direction of motion − 90°, in [0, 180). Responses have the neuron on the
last axis, and all neurons are computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    ROUNDING,
    Measure,
    as_responses,
    divide,
    measure,
)

__all__ = [
    "Selectivity",
    "direction_selectivity",
    "motion_orientation",
    "orientation_selectivity",
]

SILENT = "silent: no response above zero"


@dataclass(frozen=True, eq=False)
class Selectivity:
    """How selective every neuron is for direction, or for orientation.

    Attributes
    ----------
    vector_index
        Length of the vector sum over the sum, in [0, 1].
    preferred_deg
        Angle of the vector sum: a direction in [0, 360), or an orientation in [0, 180).
    pref_null_index
        ``(r_pref − r_null) / (r_pref + r_null)`` between the tested angle with the largest
        response and the opposite direction, or the orthogonal orientation; in [0, 1] after
        rectification.
    baden_index
        As Baden et al. (2016) compute it, from the direction component of the time × direction
        matrix, rescaled to [0, 1], which inflates weak tuning; 1.026 at most with 8 directions.
    baden_raw_index
        The same without the rescaling.
    rectified
        ``(neuron,)``, true where a negative response was set to 0 before all but Baden's index.
    period_deg
        360 for direction, 180 for orientation.
    """

    vector_index: Measure
    preferred_deg: Measure
    pref_null_index: Measure
    baden_index: Measure
    baden_raw_index: Measure
    rectified: np.ndarray
    period_deg: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the vector index of a neuron is NaN; ``""`` where it is defined."""
        return self.vector_index.reasons


def motion_orientation(directions_deg: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the orientation of the bars (degrees, [0, 180)) that move in these directions."""
    return np.mod(np.asarray(directions_deg, dtype=np.float64) - 90.0, 180.0)


def direction_selectivity(
    responses: Any, directions_deg: Any, *, traces: Any = None
) -> Selectivity:
    """Measure direction selectivity.

    ``DSI = |Σ r exp(iθ)| / Σ r``, the resultant length (as ``dsi`` in the AllenSDK); the index of
    Baden et al. (2016) is computed beside it from the traces.

    Parameters
    ----------
    responses
        ``(direction, neuron)``, mean over a window; negative ones are rectified.
    directions_deg
        ``(direction,)``, degrees counter-clockwise; a direction that comes twice is averaged. The
        vector sum needs them evenly spaced over 360°.
    traces
        ``(direction, time, neuron)`` over the same stimulus, for Baden's index; frames that are
        NaN in one direction are left out.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    return _selectivity(responses, directions_deg, traces, 360.0, "directions_deg", "direction")


def orientation_selectivity(
    responses: Any, orientations_deg: Any, *, traces: Any = None
) -> Selectivity:
    """Measure orientation selectivity.

    ``OSI = |Σ r exp(2iθ)| / Σ r`` (as ``osi`` in the AllenSDK).

    Parameters
    ----------
    responses
        ``(orientation, neuron)``, mean over a window; negative ones are rectified.
    orientations_deg
        ``(orientation,)``, direction of the bars. Two directions of motion of one orientation are
        averaged (`motion_orientation` converts). The vector sum needs the orientations evenly
        spaced over 180°.
    traces
        ``(orientation, time, neuron)`` as in `direction_selectivity`.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    return _selectivity(
        responses, orientations_deg, traces, 180.0, "orientations_deg", "orientation"
    )


def _selectivity(
    responses: Any, angles_deg: Any, traces: Any, period: float, argument: str, word: str
) -> Selectivity:
    raw = as_responses(responses, "responses", (word, "neuron"))
    angles = as_responses(angles_deg, argument, (word,), sizes={word: len(raw)})
    if not np.isfinite(angles).all():
        raise ValueError(f"{argument}: expected finite angles, got {angles_deg!r}")
    missing = ~np.isfinite(raw).all(axis=0)
    known = np.where(missing, 0.0, raw)
    rates = np.clip(known, 0.0, None)
    unique, fold = fold_angles(angles, period)
    curve = fold @ rates
    total = curve.sum(axis=0)
    uneven = why_uneven(unique, period, word)
    why = {MISSING: missing, uneven: bool(uneven), SILENT: total <= 0}
    why.pop("", None)

    vector = _phases(unique, period) @ curve
    length = divide(np.abs(vector), total)
    preferred = np.mod(np.degrees(np.angle(vector)) * period / 360.0, period)
    preferred[preferred >= period] = 0.0  # a tiny negative angle, rounded up to a whole turn
    untuned = {f"no {word} is preferred: the vector sum is 0": length < ROUNDING}
    other = "opposite direction" if period == 360.0 else "orthogonal orientation"
    baden, baden_raw = _baden(traces, angles, unique, period, word, missing, uneven)
    return Selectivity(
        vector_index=measure(f"{word} selectivity (vector sum)", length, why, limits=(0, 1)),
        preferred_deg=measure(
            f"preferred {word}", preferred, why | untuned, limits=(0, period), unit="°"
        ),
        pref_null_index=measure(
            f"{word} selectivity (preferred against {other})",
            _against_opposite(unique, curve, period),
            {
                MISSING: missing,
                f"one {word} only": len(unique) < 2,
                SILENT: total <= 0,
                f"the {other} of the preferred one was not shown": _opposite(
                    unique, curve.argmax(axis=0), period
                )
                < 0,
            },
            limits=(0, 1),
        ),
        baden_index=baden,
        baden_raw_index=baden_raw,
        rectified=np.asarray((known < 0).any(axis=0)),
        period_deg=period,
    )


def fold_angles(angles_deg: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct angles modulo `period`, and the matrix that averages equal ones."""
    turned = np.mod(np.round(angles_deg, 9), period)
    unique, index = np.unique(turned, return_inverse=True)
    fold = np.zeros((len(unique), len(angles_deg)))
    fold[index, np.arange(len(angles_deg))] = 1.0
    return unique, fold / fold.sum(axis=1, keepdims=True)


def why_uneven(unique_deg: np.ndarray, period: float, word: str) -> str:
    """Return why a vector sum over these angles means nothing; empty when it does."""
    if len(unique_deg) < 2:
        return f"one {word} only"
    gaps = np.diff(np.append(unique_deg, unique_deg[0] + period))
    if np.allclose(gaps, period / len(unique_deg), rtol=0, atol=1e-6):
        return ""
    return f"the {word}s are not evenly spaced over {period:.0f}°"


def _phases(angles_deg: np.ndarray, period: float) -> np.ndarray:
    return np.exp(2j * np.pi * angles_deg / period)


def _opposite(unique_deg: np.ndarray, index: np.ndarray, period: float) -> np.ndarray:
    """Return the index of the angle half a period from each of some; −1 where there is none."""
    turned = np.mod(unique_deg[index] + period / 2, period)
    apart = np.abs(unique_deg[:, None] - turned)
    apart = np.minimum(apart, period - apart)
    return np.where(apart.min(axis=0) < 1e-6, apart.argmin(axis=0), -1)


def _against_opposite(unique_deg: np.ndarray, curve: np.ndarray, period: float) -> np.ndarray:
    best = curve.argmax(axis=0)
    cells = np.arange(curve.shape[1])
    preferred, null = curve[best, cells], curve[_opposite(unique_deg, best, period), cells]
    return divide(preferred - null, preferred + null)


def _baden(
    traces: Any,
    angles: np.ndarray,
    unique: np.ndarray,
    period: float,
    word: str,
    missing: np.ndarray,
    uneven: str,
) -> tuple[Measure, Measure]:
    """Return the index of Baden et al. (2016), and the one without rescaling."""
    n = len(missing)
    step = 2 * np.pi / len(unique)
    arc = step / (2 * np.sin(step / 2))  # Zar (1999), equation 26.16
    rescaled_name, raw_name = (
        f"{word} selectivity (Baden et al. 2016)",
        f"{word} selectivity (Baden et al. 2016, not rescaled)",
    )
    if traces is None:
        none = np.full(n, np.nan)
        why = {"no response traces were given": True}
        return (
            measure(rescaled_name, none, why, limits=(0, arc)),
            measure(raw_name, none, why, limits=(0, arc)),
        )
    component, power, balanced = direction_component(traces, n_conditions=len(angles), n_neurons=n)
    shared: dict[str, Any] = {MISSING: missing, uneven: bool(uneven), SILENT: power <= 0}
    shared.pop("", None)
    shared["the sign of the component is not defined: it sums to 0"] = balanced
    phases = _phases(angles, period)
    low, high = component.min(axis=0), component.max(axis=0)
    flat = high - low <= ROUNDING * np.abs(component).max(axis=0, initial=0.0)
    rescaled = divide(component - low, high - low)
    positive = np.clip(component, 0.0, None)
    return (
        measure(
            rescaled_name,
            arc * divide(np.abs(phases @ rescaled), rescaled.sum(axis=0)),
            shared | {f"the same response to every {word}: it cannot be rescaled": flat},
            limits=(0, arc),
        ),
        measure(
            raw_name,
            arc * divide(np.abs(phases @ positive), positive.sum(axis=0)),
            shared,
            limits=(0, arc),
        ),
    )


def direction_component(
    traces: Any, *, n_conditions: int, n_neurons: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first singular vector over conditions of each neuron's time × condition matrix.

    Its sign makes the time component, the matrix times this vector, agree with the mean over
    conditions: their product is the singular value squared times the vector's sum.

    Returns
    -------
    component, power, balanced
        ``(condition, neuron)`` of unit length; ``(neuron,)`` the singular value squared; and
        ``(neuron,)``, true where the component sums to 0, so that its sign is arbitrary.
    """
    movie = as_responses(
        traces,
        "traces",
        ("condition", "time", "neuron"),
        sizes={"condition": n_conditions, "neuron": n_neurons},
    )
    seen = np.isfinite(movie).all(axis=0)
    movie = np.where(seen, movie, 0.0).transpose(2, 0, 1)
    powers, vectors = np.linalg.eigh(movie @ movie.transpose(0, 2, 1))
    first = vectors[:, :, -1].T
    total = first.sum(axis=0)
    balanced = np.abs(total) < ROUNDING
    return first * np.where(total < 0, -1.0, 1.0), np.clip(powers[:, -1], 0, None), balanced
