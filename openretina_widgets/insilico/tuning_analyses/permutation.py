"""How far chance alone would take an index: permutation tests and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    Measure,
    as_responses,
    measure,
)
from openretina_widgets.insilico.tuning_analyses.selectivity import (
    direction_component,
    fold_angles,
    why_uneven,
)

__all__ = ["Interval", "bootstrap_interval", "permutation_p"]

NO_VARIABILITY = "undefined: no variability between repeats"
BLOCK = 250  # permutations at a time


def permutation_p(
    repeats: Any, angles_deg: Any, *, period_deg: float = 360.0, n: int = 1000, seed: int = 0
) -> Measure:
    """Test whether direction or orientation tuning is more than chance.

    Responses are shuffled over repeats and angles; ``p = (k + 1) / (n + 1)``, where `k` counts
    the shuffles whose vector sum is at least as long as the one that was measured. Shuffling
    leaves the sum of the responses as it is, so the test of the vector sum is that of the index
    (Baden et al. 2016).

    Parameters
    ----------
    repeats
        ``(repeat, angle, neuron)``, or ``(repeat, angle, time, neuron)``: these are projected on
        each neuron's time component, that of its mean time × angle matrix.
    angles_deg
        ``(angle,)``, evenly spaced over the period.
    period_deg
        360 for directions, 180 for orientations.
    n
        Number of shuffles; every neuron sees the same ones.
    seed
        Of the shuffles.

    Returns
    -------
    Measure
        In (0, 1]; NaN for a neuron whose repeats do not differ, a model without noise.

    Raises
    ------
    ValueError
        If a shape does not fit, or `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n: expected at least one shuffle, got {n!r}")
    raw = np.asarray(repeats)
    if raw.ndim == 4:
        raw, missing = _projected(
            as_responses(raw, "repeats", ("repeat", "angle", "time", "neuron"))
        )
    else:
        raw = as_responses(raw, "repeats", ("repeat", "angle", "neuron"))
        missing = ~np.isfinite(raw).all(axis=(0, 1))
    n_repeats, n_angles, n_neurons = raw.shape
    angles = as_responses(angles_deg, "angles_deg", ("angle",), sizes={"angle": n_angles})
    unique, _ = fold_angles(angles, period_deg)
    uneven = why_uneven(unique, period_deg, "direction" if period_deg == 360 else "orientation")
    known = np.where(missing, 0.0, raw)
    same = (np.ptp(known, axis=0) <= 1e-12 * np.abs(known).max(axis=0)).all(axis=0)
    flat = known.reshape(-1, n_neurons)
    turns = np.tile(np.exp(2j * np.pi * angles / period_deg), n_repeats)
    measured = np.abs(turns @ flat) * (1 - 1e-12)  # a shuffle that changes nothing counts
    generator = np.random.default_rng(seed)
    beyond = np.zeros(n_neurons)
    for start in range(0, n, BLOCK):
        rows = np.tile(turns, (min(BLOCK, n - start), 1))
        beyond += (np.abs(generator.permuted(rows, axis=1) @ flat) >= measured).sum(axis=0)
    undefined = {
        MISSING: missing,
        "undefined: no variability with one repeat": n_repeats < 2,
        NO_VARIABILITY: same,
    }
    if uneven:
        undefined[uneven] = True
    return measure("permutation p", (beyond + 1) / (n + 1), undefined, limits=(1 / (n + 1), 1))


def _projected(traces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each repeat's traces along the time component of their mean, and where NaN is."""
    missing = ~np.isfinite(traces).all(axis=(0, 1, 2))
    known = np.where(missing, 0.0, traces)
    mean = known.mean(axis=0)
    component, _, _ = direction_component(
        mean, n_conditions=mean.shape[0], n_neurons=mean.shape[-1]
    )
    time = np.einsum("atn,an->tn", mean, component)
    length = np.linalg.norm(time, axis=0)
    return np.einsum("ratn,tn->ran", known, time / np.where(length > 0, length, 1)), missing


class Interval(NamedTuple):
    """Ends of a bootstrap interval, each a measure of every neuron."""

    low: Measure
    high: Measure


def bootstrap_interval(
    repeats: Any,
    statistic: Callable[[np.ndarray], Any],
    *,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval (Efron 1979) of any statistic over repeats.

    Repeats are drawn with replacement, anew within each condition.

    Parameters
    ----------
    repeats
        ``(repeat, *conditions, neuron)``.
    statistic
        Mean responses ``(*conditions, neuron)`` to ``(neuron,)``; a `Measure` will do.
    n
        Number of draws.
    level
        Share of the draws that lie within, in (0, 1).
    seed
        Of the draws.

    Raises
    ------
    ValueError
        If there are no repeats, `n` is below 1 or `level` is not in (0, 1).
    """
    raw = np.asarray(repeats, dtype=np.float64)
    if raw.ndim < 2 or not len(raw):
        raise ValueError(f"repeats: expected (repeat, *conditions, neuron), got shape {raw.shape}")
    if n < 1:
        raise ValueError(f"n: expected at least one draw, got {n!r}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level!r}")
    generator = np.random.default_rng(seed)
    drawn = np.empty((n, raw.shape[-1]))
    for k in range(n):
        index = generator.integers(len(raw), size=(*raw.shape[:-1], 1))
        drawn[k] = np.asarray(statistic(np.take_along_axis(raw, index, axis=0).mean(axis=0)))
    known = np.isfinite(drawn).all(axis=0)
    filled = np.where(known, drawn, 0.0)
    ends = np.quantile(filled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    flat = raw.reshape(len(raw), -1, raw.shape[-1])
    missing = ~np.isfinite(flat).all(axis=(0, 1))
    same = (np.ptp(np.where(missing, 0.0, flat), axis=0) <= 0).all(axis=0)
    undefined = {
        MISSING: missing,
        "undefined: no variability with one repeat": len(raw) < 2,
        NO_VARIABILITY: same,
        "the statistic is not defined in every draw": ~known,
    }
    return Interval(
        measure(f"lower end of the {level:.0%} interval", ends[0], undefined),
        measure(f"upper end of the {level:.0%} interval", ends[1], undefined),
    )
