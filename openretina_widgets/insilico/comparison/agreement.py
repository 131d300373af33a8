"""How well one curve or image agrees with another, up to a scale and an offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.errors import real_number
from openretina_widgets.models._checks import is_index

FEWEST_POINTS = 3
_PAIRS_AT_ONCE = 2**23  # numbers in one product of resamples and pairs: 64 MB


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well models agree with a measurement; one number for each model neuron.

    Attributes
    ----------
    scale, offset
        ``measured ≈ scale · model + offset`` by least squares, `scale` at least 0: a model that
        falls where the measurement rises does not agree by being turned over.
    correlation
        Pearson's, in [−1, 1].
    error
        Root mean squared residual over the standard deviation of the measurement, in [0, 1]:
        0 for a perfect model, 1 for one that is no better than the mean of the measurement.
    correlation_interval, error_interval
        ``(neuron, 2)``: percentile bootstrap.
    confidence
        Of the intervals.
    resamples, seed
        Of the bootstrap.
    points
        ``(neuron,)``: measured points that took part.
    reasons
        Why a neuron's numbers are NaN; empty where they are not.
    """

    scale: np.ndarray
    offset: np.ndarray
    correlation: np.ndarray
    error: np.ndarray
    correlation_interval: np.ndarray
    error_interval: np.ndarray
    confidence: float
    resamples: int
    seed: int
    points: np.ndarray
    reasons: tuple[str, ...]


def check_bootstrap(resamples: int, confidence: float, seed: int) -> None:
    """Check what a bootstrap is told."""
    if not 0 < real_number(confidence, "confidence") < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    if not is_index(resamples) or resamples < 1:
        raise ValueError(f"resamples: expected a whole number of at least 1, got {resamples!r}")
    check_seed(seed)


def agreement(
    model: np.ndarray,
    measured: np.ndarray,
    *,
    draws: np.ndarray,
    confidence: float,
    seed: int,
    known: np.ndarray | None = None,
) -> Agreement:
    """Compare models with one measurement, and say how sure that is.

    Parameters
    ----------
    model
        ``(neuron, point)``.
    measured
        ``(point,)``.
    draws
        ``(resample, point)``: how often each resample of the bootstrap holds each point.
    confidence
        Of the intervals, in (0, 1).
    seed
        Seed of the draws, to be recorded.
    known
        ``(neuron, point)``, True where the model has a value; everywhere for None.
    """
    known = np.ones(model.shape, dtype=bool) if known is None else known
    reasons = _reasons(model, measured, known)
    usable = np.flatnonzero(reasons == "")
    values = np.full((4, len(model)), np.nan)
    intervals = np.full((2, len(model), 2), np.nan)
    if len(usable):
        # One formula for the data as they are and for all resamples: a resample is a weight for
        # each point.
        whole = np.ones((1, len(measured)))
        values[:, usable] = [
            value[0] for value in _weighted(model[usable], measured, whole, known[usable])
        ]
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        groups = -(-len(usable) * len(draws) // _PAIRS_AT_ONCE)
        for group in np.array_split(usable, max(1, groups)):
            resampled = _weighted(model[group], measured, draws, known[group])[2:]
            for into, found in zip(intervals, resampled, strict=True):
                into[group] = _percentiles(found, tails)
    scale, offset, correlation, error = values
    return Agreement(
        scale=scale,
        offset=offset,
        correlation=correlation,
        error=error,
        correlation_interval=intervals[0],
        error_interval=intervals[1],
        confidence=confidence,
        resamples=len(draws),
        seed=seed,
        points=known.sum(axis=1),
        reasons=tuple(reasons.tolist()),
    )


def _reasons(model: np.ndarray, measured: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return why a model cannot be compared, empty where it can."""
    spread = [
        np.where(known, values, -np.inf).max(axis=1) - np.where(known, values, np.inf).min(axis=1)
        for values in (model, np.broadcast_to(measured, model.shape))
    ]
    reasons = np.full(len(model), "", dtype=object)
    reasons[spread[1] <= 0] = "the measured values are all the same"
    reasons[spread[0] <= 0] = "the model's values are all the same"
    reasons[~np.isfinite(np.where(known, model, 0)).all(axis=1)] = (
        "the model's values are not all finite"
    )
    reasons[known.sum(axis=1) < FEWEST_POINTS] = (
        f"fewer than {FEWEST_POINTS} points are common to both"
    )
    return reasons


def _weighted(
    model: np.ndarray, measured: np.ndarray, weights: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scale, offset, correlation and error, each ``(resample, neuron)``."""
    # About the mean of all points first, or squares of large means would swamp the variances.
    here = known.astype(np.float64)
    model = np.where(known, model, 0.0)
    about_x = model.sum(axis=1, keepdims=True) / here.sum(axis=1, keepdims=True)
    about_y = measured.mean()
    x, y = here * (model - about_x), here * (measured - about_y)
    total = weights @ here.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = weights @ x.T / total, weights @ y.T / total
        var_x = weights @ (x * x).T / total - mean_x**2
        var_y = weights @ (y * y).T / total - mean_y**2
        covariance = weights @ (x * y).T / total - mean_x * mean_y
        # A resample may hold one value only, over and over; it says nothing.
        var_x = np.where(var_x > 1e-12 * (x * x).mean(axis=1), var_x, np.nan)
        var_y = np.where(var_y > 1e-12 * (y * y).mean(axis=1), var_y, np.nan)
        scale = np.maximum(covariance / var_x, 0.0)
        correlation = np.clip(covariance / np.sqrt(var_x * var_y), -1.0, 1.0)
        error = np.sqrt(1 - np.maximum(correlation, 0.0) ** 2)
    offset = mean_y + about_y - scale * (mean_x + about_x.T)
    return scale, offset, correlation, error


def _percentiles(values: np.ndarray, tails: list[float]) -> np.ndarray:
    """Return ``(neuron, 2)``; NaN where fewer than half of the resamples say something."""
    told = np.isfinite(values).mean(axis=0) >= 0.5
    bounds = np.full((values.shape[1], 2), np.nan)
    if told.any():
        bounds[told] = np.nanquantile(values[:, told], tails, axis=0).T
    return bounds


def draws_of_points(n_points: int, *, resamples: int, seed: int) -> np.ndarray:
    """Return how often each resample holds each point, drawn with replacement."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_points, np.full(n_points, 1 / n_points), size=resamples).astype(
        np.float64
    )


def draws_of_blocks(blocks: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Return the same for points that are drawn in blocks, as neighbours are not independent.

    Parameters
    ----------
    blocks
        ``(point,)``: number of the block of each point.
    """
    _, block = np.unique(blocks, return_inverse=True)
    return draws_of_points(int(block.max()) + 1, resamples=resamples, seed=seed)[:, block]
