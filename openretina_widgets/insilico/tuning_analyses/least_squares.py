"""Bounded least squares for many problems at once: Levenberg–Marquardt on arrays.

Every problem has the same model and the same points, its own data and its own parameters. All
problems and all their starts take their steps together; those that have converged leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Solution", "least_squares_batched"]

Model = Callable[[np.ndarray], np.ndarray]


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
) -> Solution:
    """Fit a model to many sets of data at once.

    Levenberg–Marquardt (Marquardt 1963), the step projected on the bounds and a parameter held
    for as long as it sits on a bound and the gradient pushes it out. The best of the starts of
    each problem is returned.

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
        A start has converged when a step improves its cost by less than this share, or moves
        every parameter by less than this share of its scale.

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
            first.reshape(-1, n_parameters), iterations, tolerance
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
        self, parameters: np.ndarray, iterations: int, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return parameters, cost, which converged, and the number of steps."""
        found = np.clip(parameters, self.lower, self.upper)
        everything = np.arange(len(found))
        cost = _power(self.residuals(found, everything))
        done = np.zeros(len(found), dtype=bool)
        damping = np.full(len(found), 1e-3)
        rows, step = everything, 0
        # The normal equations of a row change only when its step was taken.
        normal = np.zeros((len(found), found.shape[1], found.shape[1]))
        gradient = np.zeros_like(found)
        moved = np.ones(len(found), dtype=bool)
        for step in range(1, iterations + 1):  # noqa: B007
            fresh = rows[moved[rows]]
            if len(fresh):
                slope = self.derivative(found[fresh], fresh)
                residual = self.residuals(found[fresh], fresh)
                normal[fresh] = slope.transpose(0, 2, 1) @ slope
                gradient[fresh] = (residual[:, None, :] @ slope)[:, 0]
            here = found[rows]
            tried = self._step(here, normal[rows], gradient[rows], damping[rows], rows)
            new_cost = _power(self.residuals(tried, rows))
            better = new_cost < cost[rows]
            gain = cost[rows] - new_cost
            moves = (np.abs(tried - here) / (np.abs(here) + 1e-8)).max(axis=1)
            finished = (better & (gain <= tolerance * cost[rows])) | (moves <= tolerance)
            taken = rows[better]
            found[taken], cost[taken] = tried[better], new_cost[better]
            moved[rows] = better
            damping[rows] = np.where(better, damping[rows] * 0.2, damping[rows] * 4.0)
            np.clip(damping, 1e-12, None, out=damping)
            done[rows] = finished | (damping[rows] > 1e12) | (cost[rows] == 0)
            rows = rows[~done[rows]]
            if not len(rows):
                break
        return found, cost, done, step

    def _step(
        self,
        here: np.ndarray,
        normal: np.ndarray,
        gradient: np.ndarray,
        damping: np.ndarray,
        rows: np.ndarray,
    ) -> np.ndarray:
        low, high = self.lower[rows], self.upper[rows]
        held = ((here <= low) & (gradient > 0)) | ((here >= high) & (gradient < 0))
        free = ~held
        diagonal = np.einsum("npp->np", normal)
        floor = 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-300)
        # In units in which the diagonal is 1 the matrix is well scaled, whatever the parameters.
        scale = 1 / np.sqrt(np.maximum(diagonal, floor))
        matrix = normal * scale[:, :, None] * scale[:, None, :]
        matrix *= free[:, :, None] & free[:, None, :]
        index = np.arange(here.shape[1])
        matrix[:, index, index] = np.where(free, matrix[:, index, index] + damping[:, None], 1.0)
        target = np.where(free, -gradient * scale, 0.0)
        usable = np.isfinite(matrix).all(axis=(1, 2)) & np.isfinite(target).all(axis=1)
        matrix = np.where(usable[:, None, None], matrix, np.eye(here.shape[1]))
        target = np.where(usable[:, None], target, 0.0)
        solved = np.linalg.solve(matrix, target[..., None])[..., 0]
        return np.clip(here + solved * scale, low, high)

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
