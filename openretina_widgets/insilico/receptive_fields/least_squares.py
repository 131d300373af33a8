"""Bounded least squares for many data sets at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

Model = Callable[[torch.Tensor], torch.Tensor]

_STEP = 1e-6  # of the finite differences, in float64
_SETTLED = 1e-6  # relative gain of an accepted step


def least_squares(
    model: Model,
    data: torch.Tensor,
    start: torch.Tensor,
    lower: torch.Tensor,
    upper: torch.Tensor,
    *,
    max_iterations: int = 200,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fit every data set by Levenberg-Marquardt steps, cut at the bounds.

    Each data set has its own damping and its own end; what has ended leaves the batch.

    Parameters
    ----------
    model
        Maps parameters ``(set, parameter)`` to predictions ``(set, point)``, set by set alike.
    data
        ``(set, point)``, float64.
    start, lower, upper
        ``(set, parameter)``.
    max_iterations
        Steps of a data set, accepted or not.

    Returns
    -------
    parameters
        ``(set, parameter)`` with the lowest sum of squares.
    cost
        ``(set,)``: half the sum of squared residuals.
    converged
        ``(set,)``: whether steps ceased to help within `max_iterations`.
    """
    best = start.clamp(lower, upper)
    cost = _cost(model(best), data)
    damping = torch.full_like(cost, 1e-2)
    converged = torch.zeros_like(cost, dtype=torch.bool)
    for _ in range(max_iterations):
        live = (~converged).nonzero()[:, 0]
        if not len(live):
            break
        here, low, high = best[live], lower[live], upper[live]
        predicted = model(here)
        jacobian = _jacobian(model, here, predicted)
        slope = torch.einsum("spk,sp->sk", jacobian, data[live] - predicted)
        # A parameter at a bound that the slope pushes against stays there.
        held = ((here <= low) & (slope < 0)) | ((here >= high) & (slope > 0))
        jacobian = jacobian.masked_fill(held[:, None], 0.0)
        slope = slope.masked_fill(held, 0.0)
        normal = jacobian.mT @ jacobian
        diagonal = torch.diagonal(normal, dim1=1, dim2=2)
        floor = 1e-9 * diagonal.amax(1, keepdim=True).clamp(min=1e-300)
        damped = normal + torch.diag_embed(damping[live, None] * diagonal.clamp(min=floor) + floor)
        step = torch.linalg.solve(damped, slope)
        moved = (here + step).clamp(low, high)
        new = _cost(model(moved), data[live])
        better = new < cost[live]
        gain = (cost[live] - new) / cost[live].clamp(min=1e-300)
        damping[live] = torch.where(better, damping[live] * 0.2, damping[live] * 5.0)
        damping.clamp_(min=1e-10)
        best[live] = torch.where(better[:, None], moved, here)
        cost[live] = torch.where(better, new, cost[live])
        converged[live] = (better & (gain < _SETTLED)) | (~better & (damping[live] > 1e8))
    return best, cost, converged


def _cost(predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    return 0.5 * (predicted - data).square().sum(1)


def _jacobian(model: Model, here: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Return forward differences ``(set, point, parameter)``."""
    columns = []
    for k in range(here.shape[1]):
        moved = here.clone()
        moved[:, k] += _STEP
        columns.append((model(moved) - predicted) / _STEP)
    return torch.stack(columns, dim=2)
