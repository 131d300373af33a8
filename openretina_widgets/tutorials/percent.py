"""Curves in percent of their own largest value: how predictions are drawn and compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def in_percent(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a curve in percent of its largest value, what is below 0 as 0.

    A curve without anything above 0 is 0 throughout; NaN stays NaN.
    """
    rectified = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
    largest = float(np.nanmax(np.append(rectified, 0.0)))
    return rectified if largest == 0 else 100.0 * rectified / largest
