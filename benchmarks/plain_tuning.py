"""Tuning as a plain loop measures it: a forward pass a condition, then a neuron at a time.

Every index and fit that `TuningCurves.indices` and `TuningCurves.fits` return for drifting gratings
of several temporal frequencies, with numpy and scipy alone. Fits are from as many starts and within
the same bounds as ours, and settle as far: with scipy's own tolerances of 1e-8 a fitted frequency
was still 5e-5 Hz from the minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import curve_fit

from openretina_widgets import RetinaModel
from openretina_widgets.data_io.artificial_stimuli import Screen, drifting_grating

Values = dict[str, float]
Curve = Callable[..., np.ndarray]

DIRECTIONS = np.arange(8) * 45.0
FREQUENCIES = np.array([1.0, 2.0, 3.0, 5.0])
TOLERANCE = 1e-10  # of cost, parameters and gradient
VON_MISES = ("preferred", "half_width", "kappa", "baseline", "amplitude", "null_amplitude")
LOG_GAUSSIAN = ("height", "preferred", "low_cutoff", "high_cutoff", "bandwidth")


@dataclass
class Responses:
    """Of a session: ``(direction, frequency, [frame,] neuron)``, and ``(neuron,)`` to grey."""

    means: np.ndarray
    traces: np.ndarray
    f1: np.ndarray
    baseline: np.ndarray


def plain_responses(model: RetinaModel, session: str) -> Responses:
    """Show condition by condition."""
    screen = Screen.of(model)
    means, traces, modulated, rest = [], [], [], []
    grey = None
    for direction in DIRECTIONS:
        for frequency in FREQUENCIES:
            stimulus = drifting_grating(screen, direction=direction, temporal_frequency=frequency)
            with torch.no_grad():
                if grey is None:
                    blank = torch.zeros_like(stimulus.batch).to(model.device)
                    grey = model(blank, data_key=session)[0].cpu().numpy()
                response = model(stimulus.batch.to(model.device), data_key=session)
            response = response[0].cpu().numpy()
            start, stop = stimulus.response_window
            within = response[start:stop].astype(np.float64)
            wave = np.exp(-2j * np.pi * frequency / screen.frame_rate * np.arange(stop - start))
            means.append(within.mean(axis=0))
            modulated.append(2 * np.abs(wave @ within) / (stop - start))
            traces.append(response[max(0, stimulus.onset - screen.lag) :])
            rest.append(grey[start:stop].mean(axis=0))
    shape = (len(DIRECTIONS), len(FREQUENCIES))
    each = [np.array(a).reshape(*shape, *a[0].shape) for a in (means, traces, modulated)]
    return Responses(*each, np.mean(rest, axis=0, dtype=np.float64))


def plain_tuning(responses: Responses) -> dict[str, np.ndarray]:
    """Return indices and fits by name, ``(neuron,)`` each, neuron by neuron."""
    found: list[Values] = []
    for neuron in range(responses.means.shape[-1]):
        grid, rest = responses.means[..., neuron], float(responses.baseline[neuron])
        direction, frequency = np.unravel_index(int(grid.argmax()), grid.shape)
        traces = responses.traces[:, frequency, :, neuron].astype(np.float64)
        values = selectivity(grid[:, frequency], traces)
        values["best_temporal_frequency"] = FREQUENCIES[int(grid[direction].argmax())]
        values["f1_f0"] = responses.f1[direction, frequency, neuron] / grid.max()
        rates = np.clip(grid, 0, None).reshape(-1)
        n = len(rates)
        even = ratio(rates.mean() ** 2, (rates**2).mean())
        values["lifetime_sparseness"] = (1 - even) / (1 - 1 / n)
        values |= direction_fit(grid[:, frequency])
        values |= frequency_fit(grid[direction], rest)
        found.append(values)
    return {name: np.array([values[name] for values in found]) for name in found[0]}


def selectivity(along: np.ndarray, traces: np.ndarray) -> Values:
    """Return every index of direction and orientation; traces are (direction, frame)."""
    values: Values = {}
    rates = np.clip(along, 0, None)
    vectors = np.linalg.svd(traces, full_matrices=False)[0]
    component = vectors[:, 0] * (1.0 if vectors[:, 0].sum() >= 0 else -1.0)
    span = np.ptp(component)
    rescaled = (component - component.min()) / span if span else np.full(len(component), np.nan)
    positive = np.clip(component, 0, None)
    for short, preferred, opposite, angles, period in (
        ("dsi", "preferred_direction", "null", DIRECTIONS, 360.0),
        ("osi", "preferred_orientation", "orth", (DIRECTIONS - 90) % 180, 180.0),
    ):
        turns = np.exp(2j * np.pi * angles / period)
        vector = (rates * turns).sum()
        values[short] = ratio(abs(vector), rates.sum())
        values[preferred] = np.degrees(np.angle(vector)) * period / 360 % period
        distinct = np.unique(angles)
        curve = np.array([rates[angles == angle].mean() for angle in distinct])
        best = int(curve.argmax())
        null = int(np.flatnonzero(distinct == (distinct[best] + period / 2) % period)[0])
        index = ratio(curve[best] - curve[null], curve[best] + curve[null])
        values[f"{short}_pref_{opposite}"] = index
        half = np.pi / len(distinct)
        arc = half / np.sin(half)
        values[f"{short}_baden"] = arc * abs((turns * rescaled).sum()) / rescaled.sum()
        values[f"{short}_baden_raw"] = arc * abs((turns * positive).sum()) / positive.sum()
    return values


def ratio(above: float, below: float) -> float:
    """Return NaN where the divisor is 0."""
    return above / below if below else np.nan


def direction_fit(along: np.ndarray) -> Values:
    """Fit two lobes of one width, half a turn apart."""

    def curve(
        angle: np.ndarray, base: float, at: float, kappa: float, peak: float, null: float
    ) -> np.ndarray:
        cosine = np.cos(np.deg2rad(angle - at))
        lobes = peak * np.exp(kappa * (cosine - 1)) + null * np.exp(kappa * (-cosine - 1))
        return base + lobes

    def derive(p: np.ndarray) -> np.ndarray:
        base, at, kappa, peak, null = p
        half = np.arccos(1 + np.log((1 + np.exp(-2 * kappa)) / 2) / kappa)
        return np.array([at % 360, np.degrees(half), kappa, base, peak, null])

    low, span = along.min(), np.ptp(along)
    peak = DIRECTIONS[int(along.argmax())]
    turn = np.exp(1j * np.deg2rad(DIRECTIONS))
    mean = np.degrees(np.angle(((along - low) * turn).sum()))
    starts = [[low, at, kappa, span, span / 4] for kappa in (1.0, 4.0) for at in (peak, mean)]
    lower = np.array([low - 3 * span, -np.inf, 0.1, 0.0, 0.0])
    upper = np.array([along.max(), np.inf, 30.0, 5 * span, 5 * span])
    fit = best_fit(curve, DIRECTIONS, along, starts, lower, upper)
    if fit[4] > fit[3]:
        fit[[3, 4]] = fit[[4, 3]]
        fit[1] += 180
    return described("direction", VON_MISES, curve, DIRECTIONS, along, fit, derive, lower, upper)


def frequency_fit(along: np.ndarray, rest: float) -> Values:
    """Fit a Gaussian on log2 of the frequency, above the response to grey."""

    def curve(x: np.ndarray, height: float, at: float, sigma: float) -> np.ndarray:
        return rest + height * np.exp(-((x - at) ** 2) / (2 * sigma**2))

    octaves = np.log2(FREQUENCIES)
    first, last = octaves[0], octaves[-1]
    half_height = np.sqrt(2 * np.log(2))

    def derive(p: np.ndarray) -> np.ndarray:
        height, at, sigma = p
        seen = np.clip(at, first, last)
        reach = np.sqrt((seen - at) ** 2 + (half_height * sigma) ** 2)
        top = height * np.exp(-((seen - at) ** 2) / (2 * sigma**2))
        return np.array([top, 2**at, 2 ** (at - reach), 2 ** (at + reach), 2 * half_height * sigma])

    height = max(along.max() - rest, 1e-3 * abs(along.max()))
    above = np.clip(along - rest, 0, None)
    middle = float(above @ octaves / above.sum()) if above.sum() else (first + last) / 2
    starts = [
        [height, at, width] for at in (octaves[int(above.argmax())], middle) for width in (0.7, 2.0)
    ]
    reach = max(last - first, 1.0)
    lower = np.array([0.0, first - reach, 0.1])
    upper = np.array([10 * height, last + reach, 3 * reach])
    fit = best_fit(curve, octaves, along, starts, lower, upper)
    return described(
        "temporal_frequency", LOG_GAUSSIAN, curve, octaves, along, fit, derive, lower, upper
    )


def best_fit(
    curve: Curve,
    x: np.ndarray,
    y: np.ndarray,
    starts: list[list[float]],
    lower: np.ndarray,
    upper: np.ndarray,
) -> np.ndarray:
    """Return the best of scipy's fits from several starts, NaN when none converges."""
    best, error = np.full(len(lower), np.nan), np.inf
    for start in starts:
        inside = np.clip(start, lower, upper)
        try:
            found, _ = curve_fit(
                curve,
                x,
                y,
                inside,
                bounds=(lower, upper),
                max_nfev=400,
                ftol=TOLERANCE,
                xtol=TOLERANCE,
                gtol=TOLERANCE,
            )
        except (RuntimeError, ValueError):  # it did not converge; it is a flat curve
            continue
        if (left := float(((curve(x, *found) - y) ** 2).sum())) < error:
            best, error = found, left
    return best


def described(
    axis: str,
    names: tuple[str, ...],
    curve: Curve,
    x: np.ndarray,
    y: np.ndarray,
    fit: np.ndarray,
    derive: Callable[[np.ndarray], np.ndarray],
    lower: np.ndarray,
    upper: np.ndarray,
) -> Values:
    """Return the values of a fit, their standard errors and R²."""
    left = ((curve(x, *fit) - y) ** 2).sum()
    total = ((y - y.mean()) ** 2).sum()
    # scipy's steps come close to a bound, and never onto it.
    margin = 1e-6 * np.where(np.isfinite(upper - lower), upper - lower, 0.0)
    free = (fit > lower + margin) & (fit < upper - margin)
    slope, change = [], []
    for k in np.flatnonzero(free):
        step = np.zeros(len(fit))
        step[k] = 1e-6 * max(abs(fit[k]), 1e-6)
        slope.append((curve(x, *(fit + step)) - curve(x, *(fit - step))) / (2 * step[k]))
        change.append((derive(fit + step) - derive(fit - step)) / (2 * step[k]))
    errors = np.full(len(names), np.nan)
    if 0 < free.sum() < len(y):
        columns = np.array(slope)
        spread = left / (len(y) - free.sum())
        covariance = np.linalg.pinv(columns @ columns.T) * spread
        each = np.array(change)
        errors = np.sqrt(np.einsum("pv,pq,qv->v", each, covariance, each))
    values = {f"{axis} {name}": value for name, value in zip(names, derive(fit), strict=True)}
    values |= {f"{axis} {name} error": e for name, e in zip(names, errors, strict=True)}
    return values | {f"{axis} R²": 1 - left / total if total else np.nan}
