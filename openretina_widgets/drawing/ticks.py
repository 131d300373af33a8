"""Round numbers for axes, and curves with fewer points."""

from __future__ import annotations

import math

import numpy as np

MOST_POINTS = 2000  # more take the browser longer to draw than a picture may last


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` equidistant round numbers that span an interval.

    Their distance is 1, 2 or 5 times a power of ten, so that an axis which follows growing data
    moves now and then, and not with every picture.
    """
    if not high > low:
        middle = low if math.isfinite(low) else 0.0
        margin = abs(middle) / 2 or 1.0
        low, high = middle - margin, middle + margin
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def thin(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` points of a curve: the lowest and the highest of each stretch.

    Parameters
    ----------
    x, y
        ``(n,)``, `x` ascending.
    most
        Most points to return, at least 4.
    """
    n = len(x)
    if n <= most:
        return x, y
    stretches = (most - 2) // 2
    edges = np.linspace(0, n, stretches + 1).astype(int)
    longest = int(np.diff(edges).max())
    index = np.minimum(edges[:-1, None] + np.arange(longest), edges[1:, None] - 1)
    values = y[index]
    low = np.where(np.isnan(values), np.inf, values).argmin(axis=1)
    high = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    row = np.arange(stretches)
    kept = np.unique(np.concatenate([[0, n - 1], index[row, low], index[row, high]]))
    return x[kept], y[kept]
