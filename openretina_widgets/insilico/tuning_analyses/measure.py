"""A measure of every neuron: the numbers, what they may be, and why one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# A response that differs from another by less than this share of the larger is the same response:
# models compute in float32, and a mean over frames is not summed in the same order everywhere.
ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Measure:
    """One number a neuron.

    ``numpy.asarray(measure)`` gives the values.

    Attributes
    ----------
    name
        What is measured, in the words of the field.
    values
        ``(neuron,)``, float64; NaN where it is not defined.
    reasons
        One a neuron: why it is NaN, and ``""`` where it is defined.
    limits
        Smallest and largest value that the measure can take.
    unit
        Such as ``"°"`` or ``"µm"``; empty for an index.
    notes
        What a reader has to know.
    """

    name: str
    values: np.ndarray
    reasons: tuple[str, ...]
    limits: tuple[float, float] = (-np.inf, np.inf)
    unit: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    @property
    def defined(self) -> np.ndarray:
        """``(neuron,)``, true where there is a value."""
        return np.isfinite(self.values)

    def __repr__(self) -> str:
        low, high = self.limits
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"Measure({self.name!r}, {int(self.defined.sum())} of {len(self)} neurons, "
            f"in [{low:g}, {high:g}]{unit})"
        )


def measure(
    name: str,
    values: np.ndarray,
    undefined: Mapping[str, Any],
    *,
    limits: tuple[float, float] = (-np.inf, np.inf),
    unit: str = "",
    notes: tuple[str, ...] = (),
) -> Measure:
    """Return a measure that is NaN wherever one of the reasons holds; the first one is given.

    `undefined` says of each reason, in words, of which neurons it holds.
    """
    values = np.array(values, dtype=np.float64)
    reasons = np.full(values.shape, "", dtype=object)
    for words, where in undefined.items():
        reasons[np.broadcast_to(where, values.shape) & (reasons == "")] = words
    reasons[~np.isfinite(values) & (reasons == "")] = "the measure is not finite"
    values[reasons != ""] = np.nan
    return Measure(name, values, tuple(reasons.tolist()), limits, unit, notes)


MISSING = "a response is missing (NaN)"


def as_responses(
    values: Any, argument: str, axes: tuple[str, ...], *, sizes: Mapping[str, int] | None = None
) -> np.ndarray:
    """Return an array of float64 with the named axes.

    Raises
    ------
    ValueError
        If it has another number of axes, or an axis another length than `sizes` says.
    TypeError
        If it does not hold real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{argument}: expected real numbers, got {array.dtype}")
    if array.ndim != len(axes):
        raise ValueError(f"{argument}: expected ({', '.join(axes)}), got shape {array.shape}")
    if 0 in array.shape[:-1]:
        raise ValueError(f"{argument}: there is nothing in it, its shape is {array.shape}")
    for axis, length in zip(axes, array.shape, strict=True):
        if sizes and axis in sizes and length != sizes[axis]:
            raise ValueError(
                f"{argument}: expected {sizes[axis]} on the axis {axis!r}, got shape {array.shape}"
            )
    return array.astype(np.float64)


def per_neuron(values: Any, argument: str, n: int) -> np.ndarray:
    """Return one number a neuron; one number for all is repeated.

    Raises
    ------
    ValueError
        If it is neither one number nor `n`.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (n,)):
        raise ValueError(
            f"{argument}: expected a number, or one for each of {n} neurons, "
            f"got shape {array.shape}"
        )
    return np.broadcast_to(array, (n,))


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the ratio, NaN where the divisor is 0, without a warning."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def within_turn(angle: float, period: float) -> float:
    """Return 0 for an angle that whole degrees would write as a whole turn, such as 359.8."""
    return 0.0 if period - 0.5 <= angle <= period else angle


def magnitude(values: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each neuron's responses and rest, what rounding scales by."""
    size = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=0)
    return np.maximum(size, np.nan_to_num(np.abs(rest)))
