"""Curves for tuning: Naka–Rushton, log-Gaussian, area summation and von Mises.

Every function fits all neurons at once, by bounded least squares from several starts. A value that
the data do not determine is NaN with a reason, and the fitted curve can be drawn all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.insilico.least_squares import (
    Solution,
    least_squares_batched,
)
from openretina_widgets.insilico.tuning_analyses.circular_fits import fit_von_mises
from openretina_widgets.insilico.tuning_analyses.fit import (
    RESPONSE_UNIT,
    Fit,
    finish,
    prepared,
    several_starts,
    solve,
)
from openretina_widgets.insilico.tuning_analyses.indices import resting_response, tuning_along
from openretina_widgets.insilico.tuning_analyses.measure import per_neuron

__all__ = [
    "Fit",
    "Solution",
    "fit_area_summation",
    "fit_log_gaussian",
    "fit_naka_rushton",
    "fit_von_mises",
    "fits_of",
    "least_squares_batched",
]

HALF_HEIGHT = float(np.sqrt(2 * np.log(2)))  # half width at half height of a Gaussian of σ = 1


def _naka_rushton(p: np.ndarray, c: np.ndarray) -> np.ndarray:
    r0, rmax, c50, n = (p[:, k, None] for k in range(4))
    return r0 + rmax * _saturation(c, c50, n)


def _saturation(c: np.ndarray, c50: np.ndarray, n: np.ndarray) -> np.ndarray:
    ratio = np.where(c > 0, c / c50, 0.0) ** n
    return ratio / (1 + ratio)


def _naka_rushton_slope(p: np.ndarray, c: np.ndarray) -> np.ndarray:
    _, rmax, c50, n = (p[:, k, None] for k in range(4))
    share = _saturation(c, c50, n)
    steep = rmax * share * (1 - share)
    log = np.log(np.where(c > 0, c / c50, 1.0))
    return np.stack([np.ones_like(share), share, -steep * n / c50, steep * log], axis=-1)


def fit_naka_rushton(responses: Any, contrasts: Any) -> Fit:
    """Fit the contrast response ``R0 + Rmax cⁿ / (cⁿ + c50ⁿ)`` (Naka & Rushton 1966).

    ``n`` lies in [0.1, 5]. Where the response has not come to half of its maximum at the largest
    contrast, it does not saturate, and neither c50 nor Rmax is determined. Rmax is negative for a
    neuron that contrast suppresses.

    Parameters
    ----------
    responses
        ``(contrast, neuron)``.
    contrasts
        ``(contrast,)``, at least 0.

    Returns
    -------
    Fit
        Values ``r0``, ``rmax`` (unit of the response), ``c50`` (contrast) and ``exponent``.

    Raises
    ------
    ValueError
        If a shape does not fit, a contrast is negative or none is above 0.
    """
    c, y, low, high = prepared(responses, contrasts, "contrast", "contrasts", positive=False)
    if (c < 0).any() or not (c > 0).any():
        raise ValueError(f"contrasts: expected contrasts from 0 on, got {contrasts!r}")
    n, span, top = len(y), high - low, c.max()
    order = np.argsort(c, kind="stable")
    first, last = y[:, order[0]], y[:, order[-1]]
    rise = np.nan_to_num(np.where(last >= first, span, -span))
    r0 = np.nan_to_num(first)
    half, steep = (np.array(v)[:, None] for v in ((0.15, 0.15, 0.5, 0.5), (1.0, 3.0, 1.0, 3.0)))
    starts = several_starts(r0, rise, half * top, steep, n=n)
    lower = np.stack([low - span, -5 * span, np.full(n, c[c > 0].min() / 10), np.full(n, 0.1)], 1)
    upper = np.stack([high + span, 5 * span, np.full(n, 10 * top), np.full(n, 5.0)], 1)
    solved = solve(_naka_rushton, _naka_rushton_slope, c, y, starts, lower, upper)
    unsaturated = {
        f"at the largest contrast, {top:g}, the response is below half of its maximum": (
            solved.parameters[:, 2] > top
        )
    }
    return finish(
        "Naka–Rushton",
        {"r0": RESPONSE_UNIT, "rmax": RESPONSE_UNIT, "c50": "", "exponent": ""},
        solved,
        lambda p: p,
        _naka_rushton,
        undetermined={"c50": unsaturated, "rmax": unsaturated},
        scales=("c50", "exponent"),
    )


def _gaussian(p: np.ndarray, f: np.ndarray) -> np.ndarray:
    offset, height, x0, sigma = (p[:, k, None] for k in range(4))
    return offset + height * np.exp(-((np.log2(f) - x0) ** 2) / (2 * sigma**2))


def _gaussian_slope(p: np.ndarray, f: np.ndarray) -> np.ndarray:
    _, height, x0, sigma = (p[:, k, None] for k in range(4))
    z = (np.log2(f) - x0) / sigma
    bell = np.exp(-(z**2) / 2)
    steep = height * bell / sigma
    return np.stack([np.zeros_like(bell), bell, steep * z, steep * z**2], axis=-1)


def fit_log_gaussian(
    responses: Any, frequencies: Any, *, baseline: Any = 0.0, unit: str = "Hz"
) -> Fit:
    """Fit a Gaussian on log2 of spatial or temporal frequency, above the baseline.

    Cut-offs are where the fitted curve has half of its height; the bandwidth is
    ``log2(high / low) = 2.355 σ`` octaves. A neuron whose largest response, or whose fitted peak,
    is at the lowest frequency is ``"low-pass"`` and has a high cut-off only, at half of the fitted
    response to the lowest frequency; one at the highest is ``"high-pass"``. A cut-off beyond the
    tested frequencies is not determined; neither are the cut-offs and the bandwidth of a peak that
    is narrower than the step between the two tested frequencies around it.

    Parameters
    ----------
    responses
        ``(frequency, neuron)``.
    frequencies
        ``(frequency,)``, positive.
    baseline
        Response to grey; a number, or one for each neuron.
    unit
        Of the frequencies.

    Returns
    -------
    Fit
        Values ``height`` above baseline (unit of the response), ``preferred``, ``low_cutoff``,
        ``high_cutoff`` (unit of the frequencies) and ``bandwidth`` (octaves).

    Raises
    ------
    ValueError
        If a shape does not fit or a frequency is not positive.
    """
    f, y, _, high = prepared(responses, frequencies, "frequency", "frequencies")
    n = len(y)
    rest = np.nan_to_num(per_neuron(baseline, "baseline", n))
    log = np.log2(f)
    first, last = float(log.min()), float(log.max())
    height = np.maximum(high - rest, 1e-3 * np.abs(high))
    above = np.clip(np.nan_to_num(y) - rest[:, None], 0, None)
    total = above.sum(axis=1)
    middle = np.divide(above @ log, total, out=np.full(n, (first + last) / 2), where=total > 0)
    peak = log[above.argmax(axis=1)]
    width = np.array([0.7, 2.0, 0.7, 2.0])[:, None]
    starts = several_starts(rest, height, np.stack([peak, peak, middle, middle]), width, n=n)
    span = max(last - first, 1.0)
    lower = np.stack([rest, np.zeros(n), np.full(n, first - span), np.full(n, 0.1)], 1)
    upper = np.stack([rest, 10 * height, np.full(n, last + span), np.full(n, 3 * span)], 1)
    solved = solve(_gaussian, _gaussian_slope, f, y, starts, lower, upper)
    x0 = solved.parameters[:, 2]
    shapes = np.where(np.isfinite(x0), "band-pass", "").astype(object)
    shapes[(x0 <= first) | ((peak == first) & np.isfinite(x0))] = "low-pass"
    shapes[(x0 >= last) | ((peak == last) & np.isfinite(x0))] = "high-pass"
    low_pass, high_pass = shapes == "low-pass", shapes == "high-pass"

    def derive(p: np.ndarray) -> np.ndarray:
        x0, sigma = p[:, 2], p[:, 3]
        # Half of the largest fitted response among the tested frequencies, which for a low-pass
        # curve is that at the lowest one, not at a peak that nobody has seen.
        seen = np.clip(x0, first, last)
        reach = np.sqrt((seen - x0) ** 2 + (HALF_HEIGHT * sigma) ** 2)
        top = p[:, 1] * np.exp(-((seen - x0) ** 2) / (2 * sigma**2))
        cutoffs = [2 ** (x0 - reach), 2 ** (x0 + reach)]
        return np.stack([top, 2**x0, *cutoffs, 2 * HALF_HEIGHT * sigma], axis=1)

    with np.errstate(invalid="ignore"):
        _, _, low_cutoff, high_cutoff, _ = derive(solved.parameters).T
        low_words = {
            "low-pass, the peak is at the lowest frequency": low_pass,
            "beyond the tested frequencies": low_cutoff < 2**first * (1 - 1e-9),
        }
        high_words = {
            "high-pass, the peak is at the highest frequency": high_pass,
            "beyond the tested frequencies": high_cutoff > 2**last * (1 + 1e-9),
        }
    edge = {
        "low-pass, the peak is at the lowest frequency": low_pass,
        "high-pass, the peak is at the highest frequency": high_pass,
    }
    # A neuron that frequency only suppresses has no height.
    none = {"no response above baseline": solved.parameters[:, 1] <= 0}
    with np.errstate(invalid="ignore"):
        none["the curve fits worse than a constant"] = solved.r_squared < 0
        narrow = {
            "the peak is narrower than the steps between the tested frequencies": (
                2 * HALF_HEIGHT * solved.parameters[:, 3] < _step_at(log, x0)
            )
        }
    columns = {
        "preferred": edge,
        "low_cutoff": low_words | narrow,
        "high_cutoff": high_words | narrow,
        "bandwidth": edge | narrow,
    }
    return finish(
        "log-Gaussian",
        {
            "height": RESPONSE_UNIT,
            "preferred": unit,
            "low_cutoff": unit,
            "high_cutoff": unit,
            "bandwidth": "octaves",
        },
        solved,
        derive,
        _gaussian,
        undetermined={name: none | words for name, words in columns.items()},
        scales=("preferred", "low_cutoff", "high_cutoff", "bandwidth"),
        shapes=shapes,
    )


def _step_at(log: np.ndarray, x0: np.ndarray) -> np.ndarray:
    """Return the step between the two tested frequencies around each peak, in octaves."""
    tested = np.unique(log)
    above = np.searchsorted(tested, np.nan_to_num(x0)).clip(1, len(tested) - 1)
    return tested[above] - tested[above - 1]


def _area(p: np.ndarray, d: np.ndarray) -> np.ndarray:
    offset, kc, ks, sigma, ratio = (p[:, k, None] for k in range(5))
    radius = (d / 2) ** 2 / (2 * sigma**2)
    return offset - kc * np.expm1(-radius) + ks * np.expm1(-radius / ratio**2)


def _area_slope(p: np.ndarray, d: np.ndarray) -> np.ndarray:
    _, kc, ks, sigma, ratio = (p[:, k, None] for k in range(5))
    inner = (d / 2) ** 2 / (2 * sigma**2)
    outer = inner / ratio**2
    centre, surround = kc * inner * np.exp(-inner), ks * outer * np.exp(-outer)
    return np.stack(
        [
            np.zeros_like(inner),
            -np.expm1(-inner),
            np.expm1(-outer),
            2 * (surround - centre) / sigma,
            2 * surround / ratio,
        ],
        axis=-1,
    )


def fit_area_summation(
    responses: Any, diameters: Any, *, baseline: Any = 0.0, unit: str = "µm"
) -> Fit:
    """Fit how the response to a spot grows with its size, and falls with a surround.

    ``K_c (1 − exp(−(d/2)² / 2σ_c²)) − K_s (1 − exp(−(d/2)² / 2σ_s²))`` above baseline, σ_s > σ_c:
    the volumes of a centre and a surround Gaussian under the spot (Sceniak et al. 1999, here in
    two dimensions). Nothing is determined with R² below 0.5, and σ_s not without a surround.

    Parameters
    ----------
    responses
        ``(diameter, neuron)``.
    diameters
        ``(diameter,)``, positive.
    baseline
        Response to grey; a number, or one for each neuron.
    unit
        Of the diameters.

    Returns
    -------
    Fit
        Values ``centre_gain``, ``surround_gain`` (unit of the response), ``centre_sigma`` and
        ``surround_sigma`` (unit of the diameters).

    Raises
    ------
    ValueError
        If a shape does not fit or a diameter is not positive.
    """
    d, y, _, high = prepared(responses, diameters, "diameter", "diameters")
    n = len(y)
    rest = np.nan_to_num(per_neuron(baseline, "baseline", n))
    peak = np.maximum(high - rest, 1e-3 * np.abs(high))
    best = d[np.nan_to_num(y, nan=-np.inf).argmax(axis=1)]
    wide = np.array([0.25, 0.4, 0.25, 0.15])[:, None]
    surround = np.array([0.5, 0.5, 0.1, 0.8])[:, None]
    ratio = np.array([2.0, 4.0, 3.0, 1.5])[:, None]
    starts = several_starts(rest, (1 + surround) * peak, surround * peak, wide * best, ratio, n=n)
    lower = np.stack([rest, 0 * rest, 0 * rest, 0 * rest + d.min() / 20, 0 * rest + 1.05], 1)
    upper = np.stack([rest, 10 * peak, 10 * peak, 0 * rest + d.max(), 0 * rest + 20.0], 1)
    solved = solve(_area, _area_slope, d, y, starts, lower, upper)
    with np.errstate(invalid="ignore"):
        poor = {f"R² is below {0.5:g}": solved.r_squared < 0.5}
        kc, ks, sigma, ratio_found = solved.parameters[:, 1:].T
        flat = poor | {"no surround": ks <= 0.01 * kc}
        outer = flat | {"wider than the largest spot": sigma * ratio_found > d.max()}
        near = (ratio_found <= 1.05) & (ks > 0.01 * kc)
        tied = poor | {"centre and surround cannot be told apart": near}
    names = {"centre_gain": RESPONSE_UNIT, "surround_gain": RESPONSE_UNIT}
    return finish(
        "area summation",
        names | {"centre_sigma": unit, "surround_sigma": unit},
        solved,
        lambda p: np.stack([p[:, 1], p[:, 2], p[:, 3], p[:, 3] * p[:, 4]], axis=1),
        _area,
        undetermined={
            "centre_gain": tied,
            "surround_gain": tied,
            "centre_sigma": tied,
            "surround_sigma": tied | outer,
        },
        scales=("centre_gain", "centre_sigma", "surround_sigma"),
    )


def fits_of(curves: Any) -> dict[str, Fit]:
    """Return every fit that a sweep allows, along each axis at each neuron's best of the others.

    ``"direction"`` and ``"orientation"``: von Mises. ``"spatial_frequency"`` and
    ``"temporal_frequency"``: log-Gaussian. ``"contrast"``: Naka–Rushton, over the contrasts from 0
    on. ``"diameter"``: area summation. An axis with fewer values than the curve has parameters is
    fitted nevertheless, and says so for every neuron.

    Parameters
    ----------
    curves
        As in `measures_of`.

    Returns
    -------
    dict
        Name of the axis to its fit.
    """
    found: dict[str, Fit] = {}
    rest = resting_response(curves)
    for axis in curves.axes:
        along = tuning_along(curves, axis.name)
        unit = getattr(axis, "unit", "")
        if axis.name == "direction":
            found[axis.name] = fit_von_mises(along.responses, along.values)
        elif axis.name == "orientation":
            found[axis.name] = fit_von_mises(along.responses, along.values, period_deg=180.0)
        elif axis.name in ("spatial_frequency", "temporal_frequency"):
            shown = along.values > 0
            if shown.any():
                found[axis.name] = fit_log_gaussian(
                    along.responses[shown], along.values[shown], baseline=rest, unit=unit
                )
        elif axis.name == "diameter":
            found[axis.name] = fit_area_summation(
                along.responses, along.values, baseline=rest, unit=unit
            )
        elif axis.name == "contrast" and (along.values > 0).any():
            shown = along.values >= 0
            found[axis.name] = fit_naka_rushton(along.responses[shown], along.values[shown])
    return found
