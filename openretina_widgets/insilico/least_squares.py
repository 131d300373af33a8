"""Bounded least squares for many problems at once: Levenberg–Marquardt on arrays.

Every problem has the same model and the same points, its own data and its own parameters. All
problems and all their starts take their steps together; those that have converged leave. Tuning
curves and receptive fields are fitted by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Solution", "least_squares_batched"]

Model = Callable[[np.ndarray], np.ndarray]

_EXACT = 1e-15  # residuals of this share of the data are rounding
_AHEAD = 0.1  # of a step, to see how the residuals curve along it
_BEND = 0.375  # most that the curvature may bend a step, of its length
_FLOAT32 = 2.0**-24  # rounding of responses, relative
_PATIENCE = 10  # steps
_BLOCK = 2**22  # entries of a Jacobian at a time, 32 MB


@dataclass(frozen=True, eq=False)
class Solution:
    """What `least_squares_batched` found.

    Attributes
    ----------
    parameters
        ``(problem, parameter)``; NaN for a problem without enough data.
    covariance
        ``(problem, parameter, parameter)``, ``s² (JᵀJ)⁻¹``: 0 for a parameter at a bound, NaN
        where `errors` has one for want of data.
    errors
        ``(problem, parameter)``, standard errors from the Jacobian at the solution,
        ``s² (JᵀJ)⁻¹`` with ``s²`` the residual variance. NaN for a parameter at a bound, or that
        the data do not determine, or with no more data than parameters.
    cost
        ``(problem,)``, sum of squared residuals.
    r_squared
        ``(problem,)``, ``1 − cost / Σ (y − mean)²``; NaN for constant data.
    converged
        ``(problem,)``, false where the iterations ran out.
    at_bound
        ``(problem, parameter)``.
    iterations
        Steps that were taken.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    errors: np.ndarray
    cost: np.ndarray
    r_squared: np.ndarray
    converged: np.ndarray
    at_bound: np.ndarray
    iterations: int


def least_squares_batched(
    model: Model,
    y: Any,
    starts: Any,
    *,
    lower: Any = -np.inf,
    upper: Any = np.inf,
    jacobian: Model | None = None,
    iterations: int = 200,
    tolerance: float = 1e-10,
    precision: float = _FLOAT32,
) -> Solution:
    """Fit a model to many sets of data at once.

    Levenberg–Marquardt (Marquardt 1963), a step bent by how the residuals curve along it
    (Transtrum & Sethna 2012), which follows narrow valleys, and projected on the bounds; a
    parameter is held for as long as it sits on a bound and the gradient pushes it out. The best of
    the starts of each problem is returned.

    A start has converged when a step improves its cost by less than the share `tolerance`, and its
    linear model promised no more; when the step moves every parameter by less than that share of
    its scale; when the residuals are as good as orthogonal to every column of the Jacobian (Moré
    1978); when nothing but rounding is left of them; or when 10 successive steps have each improved
    the cost by less than that share of it, or than `precision` of the data, squared: a valley that
    they do not resolve.

    Parameters
    ----------
    model
        ``(problem, parameter)`` to ``(problem, point)``, for any number of problems.
    y
        ``(problem, point)``; NaN is left out.
    starts
        ``(start, problem, parameter)``; clipped to the bounds.
    lower, upper
        ``(parameter,)`` or ``(problem, parameter)``; equal ones hold a parameter.
    jacobian
        ``(problem, parameter)`` to ``(problem, point, parameter)``; central differences without.
    iterations
        Largest number of steps.
    tolerance
        Relative, of cost and parameters.
    precision
        Relative rounding of the data; that of float32, in which models respond.

    Raises
    ------
    ValueError
        If shapes do not fit, a start is not finite, or `lower` is above `upper`.
    """
    data = np.asarray(y, dtype=np.float64)
    first = np.asarray(starts, dtype=np.float64)
    if data.ndim != 2:
        raise ValueError(f"y: expected (problem, point), got shape {data.shape}")
    if first.ndim != 3 or first.shape[1] != len(data):
        raise ValueError(
            f"starts: expected (start, {len(data)} problems, parameter), got shape {first.shape}"
        )
    if not np.isfinite(first).all():
        raise ValueError("starts: expected finite numbers")
    n_starts, n, n_parameters = first.shape
    low, high = (np.broadcast_to(np.asarray(b, float), (n, n_parameters)) for b in (lower, upper))
    if not (low <= high).all():
        raise ValueError("lower: expected every bound to be at most the upper one")
    together = max(1, _BLOCK // max(1, n_starts * data.shape[1] * n_parameters))
    if n > together:
        blocks = [slice(k, k + together) for k in range(0, n, together)]
        return _joined(
            [
                least_squares_batched(
                    model,
                    data[block],
                    first[:, block],
                    lower=low[block],
                    upper=high[block],
                    jacobian=jacobian,
                    iterations=iterations,
                    tolerance=tolerance,
                    precision=precision,
                )
                for block in blocks
            ]
        )
    weights = np.isfinite(data).astype(np.float64)
    problem = _Problem(
        model,
        jacobian,
        np.tile(np.where(weights > 0, data, 0.0), (n_starts, 1)),
        np.tile(weights, (n_starts, 1)),
        np.tile(low, (n_starts, 1)),
        np.tile(high, (n_starts, 1)),
    )
    with np.errstate(all="ignore"):
        found, cost, done, steps = problem.descend(
            first.reshape(-1, n_parameters), iterations, tolerance, precision
        )
        best = cost.reshape(n_starts, n).argmin(axis=0) * n + np.arange(n)
        parameters, cost, done = found[best], cost[best], done[best]
        few = weights.sum(axis=1) < (low < high).sum(axis=1)
        parameters = np.where(few[:, None], np.nan, parameters)
        cost = np.where(few, np.nan, cost)
        at_bound = (parameters <= low) | (parameters >= high)
        errors, covariance = problem.errors(
            np.where(few[:, None], first[0], parameters), cost, at_bound
        )
    return Solution(
        parameters,
        np.where(few[:, None, None], np.nan, covariance),
        np.where(few[:, None], np.nan, errors),
        cost,
        _r_squared(data, weights, cost),
        done & ~few,
        at_bound,
        steps,
    )


def _joined(parts: list[Solution]) -> Solution:
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Solution.__annotations__
        if name != "iterations"
    }
    return Solution(**arrays, iterations=max(part.iterations for part in parts))


def _r_squared(y: np.ndarray, weights: np.ndarray, cost: np.ndarray) -> np.ndarray:
    count = np.maximum(weights.sum(axis=1), 1)
    known = np.where(weights > 0, y, 0.0)
    total = (weights * (known - (known.sum(axis=1) / count)[:, None]) ** 2).sum(axis=1)
    share = np.divide(cost, total, out=np.full_like(cost, np.nan), where=total > 0)
    return 1.0 - share


@dataclass(frozen=True, eq=False)
class _Problem:
    model: Model
    jacobian: Model | None
    y: np.ndarray
    weights: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def residuals(self, parameters: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.weights[rows] * (self.model(parameters) - self.y[rows])

    def derivative(self, parameters: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the Jacobian, ``(row, point, parameter)``."""
        if self.jacobian is not None:
            return self.weights[rows][..., None] * self.jacobian(parameters)
        columns = []
        for k in range(parameters.shape[1]):
            step = 6e-6 * np.maximum(np.abs(parameters[:, k]), 1e-2)
            ahead, behind = parameters.copy(), parameters.copy()
            ahead[:, k] = np.minimum(parameters[:, k] + step, self.upper[rows, k])
            behind[:, k] = np.maximum(parameters[:, k] - step, self.lower[rows, k])
            apart = ahead[:, k] - behind[:, k]
            change = self.model(ahead) - self.model(behind)
            columns.append(change / np.where(apart > 0, apart, np.inf)[:, None])
        return self.weights[rows][..., None] * np.stack(columns, axis=-1)

    def descend(
        self, parameters: np.ndarray, iterations: int, tolerance: float, precision: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return parameters, cost, which converged, and the number of steps."""
        found = np.clip(parameters, self.lower, self.upper)
        rows, step = np.arange(len(found)), 0
        residual = self.residuals(found, rows)
        cost = _power(residual)
        size = _power(self.weights * self.y)
        nothing = _EXACT**2 * size
        done = cost <= nothing
        damping = np.full(len(found), 1e-3)
        idle = np.zeros(len(found), dtype=int)
        rows = rows[~done]
        for step in range(1, iterations + 1):  # noqa: B007
            if not len(rows):
                break
            before = cost[rows]
            tried, predicted, steep = self._step(
                found[rows], residual[rows], np.sqrt(before), damping[rows], rows
            )
            new = self.residuals(tried, rows)
            new_cost = _power(new)
            better = new_cost < before
            gain = np.where(better, before - new_cost, 0.0)
            moves = (np.abs(tried - found[rows]) / (np.abs(found[rows]) + 1e-8)).max(axis=1)
            taken = rows[better]
            found[taken], residual[taken] = tried[better], new[better]
            cost[taken] = new_cost[better]
            damping[rows] *= np.where(better, 0.2, 4.0)
            np.clip(damping, 1e-12, None, out=damping)
            little = tolerance * before
            slow = gain <= np.maximum(little, precision**2 * size[rows])
            idle[rows] += slow & better
            idle[rows[better & ~slow]] = 0
            done[rows] = (
                (better & (gain <= little) & (predicted <= little))
                | (moves <= tolerance)
                | (steep <= 1e-3 * np.sqrt(tolerance))
                | (damping[rows] > 1e12)
                | (cost[rows] <= nothing[rows])
                | (idle[rows] >= _PATIENCE)
            )
            rows = rows[~done[rows]]
        return found, cost, done, step

    def _step(
        self,
        here: np.ndarray,
        residual: np.ndarray,
        length: np.ndarray,
        damping: np.ndarray,
        rows: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where to go, the gain that the linear model promises, and the largest cosine."""
        low, high = self.lower[rows], self.upper[rows]
        slope = self.derivative(here, rows)
        normal = slope.transpose(0, 2, 1) @ slope
        gradient = (residual[:, None, :] @ slope)[:, 0]
        free = ~(((here <= low) & (gradient >= 0)) | ((here >= high) & (gradient <= 0)))
        diagonal = np.einsum("npp->np", normal)
        floor = 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-300)
        # In units in which the diagonal is 1 the matrix is well scaled, whatever the parameters.
        scale = np.where(free, 1 / np.sqrt(np.maximum(diagonal, floor)), 0.0)
        matrix = normal * scale[:, :, None] * scale[:, None, :]
        target = -gradient * scale
        index = np.arange(here.shape[1])
        matrix[:, index, index] += np.where(free, damping[:, None], 1.0)
        usable = np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(target).all(axis=1)
        matrix[~usable], target[~usable] = np.eye(here.shape[1]), 0.0
        velocity = np.linalg.solve(matrix, target[..., None])[..., 0]
        # |Jv|² + 2 damping |v|², what the linear model gains (Moré 1978).
        predicted = (velocity * (target + damping[:, None] * velocity)).sum(axis=1)
        steep = np.abs(target).max(axis=1) / length
        # How the residuals curve along the step bends it (Transtrum & Sethna 2012): a narrow
        # valley is followed, where straight steps would have to be short.
        moved = velocity * scale
        ahead = self.residuals(here + _AHEAD * moved, rows)
        curving = (2 / _AHEAD) * ((ahead - residual) / _AHEAD - (slope @ moved[..., None])[..., 0])
        bend = -(curving[:, None, :] @ slope)[:, 0] * scale
        fine = np.isfinite(bend).all(axis=1, keepdims=True)
        bend = np.linalg.solve(matrix, np.where(fine, bend, 0.0)[..., None])[..., 0] / 2
        lengths = [(v**2).sum(axis=1, keepdims=True) for v in (bend, velocity)]
        step = velocity + np.where(fine & (lengths[0] <= _BEND**2 * lengths[1]), bend, 0.0)
        return np.clip(here + step * scale, low, high), predicted, steep

    def errors(
        self, parameters: np.ndarray, cost: np.ndarray, at_bound: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return standard errors and covariance at the parameters of the first start's rows."""
        rows = np.arange(len(parameters))
        slope = self.derivative(parameters, rows) * ~at_bound[:, None, :]
        normal = slope.transpose(0, 2, 1) @ slope
        diagonal = np.einsum("npp->np", normal)
        scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
        matrix = normal * scale[:, :, None] * scale[:, None, :]
        matrix = np.where(np.isfinite(matrix), matrix, 0.0)
        values, vectors = np.linalg.eigh(matrix)
        # A held parameter has a zero row, hence an eigenvalue of 0 of its own.
        loose = values < 1e-13
        inverse = np.where(loose, 0.0, 1 / np.where(loose, 1.0, values))
        covariance = np.einsum("npk,nk,nqk->npq", vectors, inverse, vectors)
        covariance *= scale[:, :, None] * scale[:, None, :]
        left = self.weights[rows].sum(axis=1) - (~at_bound).sum(axis=1)
        spread = np.where(left > 0, cost / np.maximum(left, 1), np.nan)
        covariance *= spread[:, None, None]
        undetermined = np.einsum("npk,nk->np", vectors**2, loose.astype(float)) > 1e-6
        errors = np.sqrt(np.einsum("npp->np", covariance))
        errors = np.where(at_bound | undetermined | (diagonal <= 0), np.nan, errors)
        return errors, covariance


def _power(residuals: np.ndarray) -> np.ndarray:
    power = (residuals**2).sum(axis=1)
    return np.where(np.isfinite(power), power, np.inf)
