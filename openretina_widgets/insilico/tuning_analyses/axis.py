"""An axis of a tuning curve: what was varied, over which values, in which unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Axis:
    """What was varied.

    Attributes
    ----------
    name
        Such as ``"direction"``; the name of the builder's parameter without its unit.
    values
        ``(n,)``, one for each condition.
    unit
        Such as ``"°"``, ``"Hz"``, ``"cyc/mm"``, ``"µm"``; empty for a number without one.
    """

    name: str
    values: np.ndarray
    unit: str = ""

    def __post_init__(self) -> None:
        got = np.atleast_1d(np.asarray(self.values))
        shown, numbers = got.tolist(), f"numbers in {self.unit}" if self.unit else "numbers"
        if got.ndim != 1:
            raise ValueError(f"{self.name}: expected a list of {numbers}, got shape {got.shape}")
        if not len(got):
            raise ValueError(f"{self.name}: expected at least one value, got none")
        if got.dtype.kind not in "fiu":
            raise TypeError(f"{self.name}: expected {numbers}, got {shown}")
        values = got.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name}: expected finite {numbers}, got {shown}")
        if len(np.unique(values)) < len(values):
            raise ValueError(f"{self.name}: a value came twice in {shown}")
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def label(self) -> str:
        """Name and unit, for the axis of a plot."""
        words = self.name.replace("_", " ")
        return f"{words} ({self.unit})" if self.unit else words

    @classmethod
    def of(cls, name: str, values: Sequence[float] | np.ndarray | float, unit: str = "") -> Axis:
        """Return an axis over numbers."""
        return cls(name, _listed(values, name), unit)


def _listed(values: Sequence[float] | np.ndarray | float, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        raise ValueError(f"{name}: expected a list of numbers, got {values!r}") from None
