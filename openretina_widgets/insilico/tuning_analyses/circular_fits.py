"""Von Mises curves for direction and orientation."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.insilico.tuning_analyses.fit import (
    RESPONSE_UNIT,
    Curve,
    Fit,
    finish,
    prepared,
    several_starts,
    solve,
)

__all__ = ["fit_von_mises"]


def _von_mises(period: float, lobes: int) -> tuple[Curve, Curve]:
    """Return the curve and its slope: one lobe, or a second one half a period away."""
    turn = 2 * np.pi / period
    shifts = [np.pi * k for k in range(lobes)]

    def curve(p: np.ndarray, angles: np.ndarray) -> np.ndarray:
        total = np.repeat(p[:, :1], len(angles), axis=1)
        for k, shift in enumerate(shifts):
            phase = (angles - p[:, 1:2]) * turn - shift
            total = total + p[:, 3 + k, None] * np.exp(p[:, 2:3] * (np.cos(phase) - 1))
        return total

    def slope(p: np.ndarray, angles: np.ndarray) -> np.ndarray:
        columns = np.zeros((len(p), len(angles), 3 + lobes))
        columns[..., 0] = 1
        for k, shift in enumerate(shifts):
            phase = (angles - p[:, 1:2]) * turn - shift
            bell = np.exp(p[:, 2:3] * (np.cos(phase) - 1))
            height = p[:, 3 + k, None] * bell
            columns[..., 1] += height * p[:, 2:3] * np.sin(phase) * turn
            columns[..., 2] += height * (np.cos(phase) - 1)
            columns[..., 3 + k] = bell
        return columns

    return curve, slope


def fit_von_mises(responses: Any, angles_deg: Any, *, period_deg: float = 360.0) -> Fit:
    """Fit direction or orientation tuning.

    ``B + A exp(κ (cos(θ − θ0) − 1))``, θ in radians over the period, and for direction a second
    lobe of the same width half a turn away. The half width is that at which a lobe alone has
    fallen half way from its peak to its trough. The preferred angle is not determined where its
    standard error exceeds a quarter of the period: a flat curve has none.

    Parameters
    ----------
    responses
        ``(angle, neuron)``.
    angles_deg
        ``(angle,)``, in any order and spacing.
    period_deg
        360 for directions, 180 for orientations.

    Returns
    -------
    Fit
        Values ``preferred`` (degrees), ``half_width`` (degrees), ``kappa``, ``baseline``,
        ``amplitude`` and, for direction, ``null_amplitude`` (unit of the response).

    Raises
    ------
    ValueError
        If a shape does not fit, or the period is another.
    """
    if period_deg not in (180.0, 360.0):
        raise ValueError(f"period_deg: expected 360 or 180, got {period_deg!r}")
    angles, y, low, high = prepared(responses, angles_deg, "angle", "angles_deg", positive=False)
    angles = np.mod(angles, period_deg)
    n, span, lobes = len(y), high - low, 2 if period_deg == 360 else 1
    known = np.nan_to_num(y)
    peak = angles[known.argmax(axis=1)]
    phases = np.exp(2j * np.pi * angles / period_deg)
    resultant = np.degrees(np.angle((known - low[:, None]) @ phases)) * period_deg / 360
    at = np.stack([peak, resultant, peak, resultant])
    kappa = np.array([1.0, 1.0, 4.0, 4.0])[:, None]
    amplitudes = [np.tile(span, (4, 1)), np.tile(span / 4, (4, 1))][:lobes]
    starts = several_starts(low, at, kappa, *amplitudes, n=n)
    free = np.full(n, np.inf)
    lower = [low - 3 * span, -free, np.full(n, 0.1), *[np.zeros(n)] * lobes]
    upper = [high, free, np.full(n, 30.0), *[5 * span] * lobes]
    curve, slope = _von_mises(period_deg, lobes)
    solved = solve(curve, slope, angles, y, starts, np.stack(lower, 1), np.stack(upper, 1))
    parameters = solved.parameters
    if lobes == 2:  # the larger lobe is the preferred one
        with np.errstate(invalid="ignore"):
            swap = parameters[:, 4] > parameters[:, 3]
        order = np.array([0, 1, 2, 4, 3])
        parameters[swap] = parameters[swap][:, order]
        parameters[swap, 1] += period_deg / 2
        solved.covariance[swap] = solved.covariance[swap][:, order][:, :, order]
        solved.at_bound[swap] = solved.at_bound[swap][:, order]
    parameters[:, 1] = np.mod(parameters[:, 1], period_deg)

    def derive(p: np.ndarray) -> np.ndarray:
        kappa = p[:, 2]
        half = np.arccos(1 + np.log((1 + np.exp(-2 * kappa)) / 2) / kappa)
        half *= period_deg / (2 * np.pi)
        return np.stack([p[:, 1], half, kappa, p[:, 0], *p[:, 3:].T], axis=1)

    with np.errstate(invalid="ignore"):
        sides = {
            "narrower than the angles can show": parameters[:, 2] >= 30.0,
            "wider than a von Mises curve can be told from a cosine": parameters[:, 2] <= 0.1,
        }
        none = {"no lobe above baseline": ~(parameters[:, 3] > 0)}
    sizes = ["baseline", "amplitude", "null_amplitude"][: 1 + lobes]
    return finish(
        "von Mises",
        {"preferred": "°", "half_width": "°", "kappa": "", **dict.fromkeys(sizes, RESPONSE_UNIT)},
        solved,
        derive,
        curve,
        undetermined={
            "preferred": none,
            **dict.fromkeys(("half_width", "kappa", *sizes), none | sides),
        },
        scales=("half_width", "kappa"),
        cyclic={"preferred": period_deg},
    )
