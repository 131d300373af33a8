"""Fitted curves: parameters come back, the optimum is SciPy's, the rest is not determined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from openretina_widgets.insilico.tuning_analyses import circular_fits, fits
from openretina_widgets.insilico.tuning_analyses.fits import (
    fit_area_summation,
    fit_log_gaussian,
    fit_naka_rushton,
    fit_von_mises,
    fits_of,
)
from openretina_widgets.insilico.tuning_analyses.selectivity import direction_selectivity
from tests.insilico.tuning_analyses.curves_by_hand import curves

CONTRASTS = np.array([0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
OCTAVES = 2.0 ** np.arange(-3, 5)
DIAMETERS = np.array([50, 100, 150, 200, 300, 400, 600, 800.0])
EIGHT = np.arange(0.0, 360, 45)
N = 200


def draw(n: int, *ranges: tuple[float, float]) -> np.ndarray:
    """Return random parameters, ``(n, parameter)``."""
    low, high = np.array(ranges).T
    return low + np.random.default_rng(0).random((n, len(ranges))) * (high - low)


def naka_rushton(c, r0, rmax, c50, n):
    return r0 + rmax * c**n / (c**n + c50**n)


def log_gaussian(f, height, x0, sigma):
    return height * np.exp(-((np.log2(f) - x0) ** 2) / (2 * sigma**2))


def area(d, kc, ks, sc, ss):
    return kc * (1 - np.exp(-((d / 2) ** 2) / (2 * sc**2))) - ks * (
        1 - np.exp(-((d / 2) ** 2) / (2 * ss**2))
    )


def von_mises(deg, preferred, kappa, baseline, a, b):
    cos = np.cos(np.radians(deg - preferred))
    return baseline + a * np.exp(kappa * (cos - 1)) + b * np.exp(kappa * (-cos - 1))


def made_by(curve, x, parameters):
    return np.stack([curve(x, *row) for row in parameters], axis=1)


def optimum(curve, x, y, truth):
    """Return the residual power at SciPy's optimum, from the true parameters."""
    found, _ = curve_fit(curve, x, y, p0=truth, maxfev=20000)
    return ((curve(x, *found) - y) ** 2).sum()


def power(fit, x, y):
    return ((fit.predict(x) - y) ** 2).sum(axis=0)


def test_naka_rushton_comes_back():
    truth = draw(N, (0, 1), (1, 5), (0.15, 0.6), (1, 3))
    found = fit_naka_rushton(made_by(naka_rushton, CONTRASTS, truth), CONTRASTS)
    np.testing.assert_allclose(found.values, truth, rtol=1e-3, atol=1e-3)
    assert set(found.reasons) == {""}


def test_log_gaussian_comes_back():
    truth = draw(N, (1, 5), (-1, 2), (0.6, 1.2))
    found = fit_log_gaussian(made_by(log_gaussian, OCTAVES, truth) + 2, OCTAVES, baseline=2)
    height, x0, sigma = truth.T
    np.testing.assert_allclose(found.value("height").values, height, rtol=1e-5)
    np.testing.assert_allclose(found.value("preferred").values, 2**x0, rtol=1e-5)
    np.testing.assert_allclose(found.value("bandwidth").values, 2.355 * sigma, rtol=1e-4)
    np.testing.assert_allclose(
        np.log2(found.value("high_cutoff").values / found.value("low_cutoff").values),
        found.value("bandwidth").values,
    )
    for row in range(5):  # half height, by the curve itself
        edge = found.value("high_cutoff").values[row]
        assert found.predict([edge])[0, row] == pytest.approx(2 + height[row] / 2)
    assert set(found.shapes) == {"band-pass"}


def test_area_summation_comes_back():
    truth = draw(N, (8, 10), (2, 5), (40, 70), (120, 200))
    found = fit_area_summation(made_by(area, DIAMETERS, truth) + 3, DIAMETERS, baseline=3)
    np.testing.assert_allclose(found.values, truth, rtol=1e-3)
    assert (found.value("surround_sigma").values > found.value("centre_sigma").values).all()


def test_von_mises_comes_back():
    truth = draw(N, (0, 360), (0.8, 4), (0, 1), (2, 5), (0, 1))
    found = fit_von_mises(made_by(von_mises, EIGHT, truth), EIGHT)
    off = np.mod(found.value("preferred").values - truth[:, 0] + 180, 360) - 180
    np.testing.assert_allclose(off, 0, atol=0.01)
    np.testing.assert_allclose(found.value("amplitude").values, truth[:, 3], rtol=1e-3)
    np.testing.assert_allclose(found.value("null_amplitude").values, truth[:, 4], atol=1e-3)
    np.testing.assert_allclose(found.value("kappa").values, truth[:, 1], rtol=1e-3)


def test_von_mises_of_an_orientation():
    angles = np.arange(0.0, 180, 22.5)
    curve = 1 + 3 * np.exp(2 * (np.cos(2 * np.radians(angles - 100)) - 1))
    found = fit_von_mises(curve[:, None], angles, period_deg=180)
    assert found.value("preferred").values == pytest.approx([100])
    assert found.value("amplitude").values == pytest.approx([3])
    half = found.value("half_width").values[0]
    top, bottom, beside = found.predict([100, 190, 100 + half])[:, 0]
    assert beside == pytest.approx((top + bottom) / 2)


@pytest.mark.parametrize(
    ("fit", "curve", "x", "ranges"),
    [
        (fit_naka_rushton, naka_rushton, CONTRASTS, [(0, 1), (1, 5), (0.2, 0.5), (1.5, 3)]),
        (fit_log_gaussian, log_gaussian, OCTAVES, [(1, 5), (-1, 2), (0.6, 1.2)]),
        (fit_area_summation, area, DIAMETERS, [(8, 10), (2, 5), (40, 70), (120, 200)]),
        (fit_von_mises, von_mises, EIGHT, [(0, 360), (1, 4), (0.2, 1), (3, 5), (0.5, 1)]),
    ],
)
def test_the_optimum_of_noisy_curves_is_that_of_scipy(fit, curve, x, ranges):
    truth = draw(15, *ranges)
    clean = made_by(curve, x, truth)
    y = clean + 0.02 * np.ptp(clean, axis=0) * np.random.default_rng(1).normal(size=clean.shape)
    found = fit(y, x)
    theirs = [optimum(curve, x, column, row) for column, row in zip(y.T, truth, strict=True)]
    np.testing.assert_allclose(power(found, x, y), theirs, rtol=1e-4)
    np.testing.assert_allclose(
        found.r_squared, 1 - power(found, x, y) / (len(x) * y.var(axis=0)), rtol=1e-9
    )


def test_standard_errors_are_those_of_scipy():
    truth = np.array([0.5, 3.0, 0.3, 2.0])
    y = naka_rushton(CONTRASTS, *truth) + 0.05 * np.random.default_rng(2).normal(size=8)
    found = fit_naka_rushton(y[:, None], CONTRASTS)
    theirs, covariance = curve_fit(naka_rushton, CONTRASTS, y, p0=truth)
    np.testing.assert_allclose(found.values[0], theirs, rtol=1e-3)
    np.testing.assert_allclose(found.errors[0], np.sqrt(np.diag(covariance)), rtol=1e-2)


def test_errors_of_derived_values_follow_the_spread_of_repeated_fits():
    """The delta method against 300 noisy copies of one curve."""
    clean = log_gaussian(OCTAVES, 4.0, 0.5, 1.0)
    noisy = clean[:, None] + 0.1 * np.random.default_rng(3).normal(size=(8, 300))
    found = fit_log_gaussian(noisy, OCTAVES)
    spread = np.nanstd(found.values, axis=0)
    np.testing.assert_allclose(np.nanmedian(found.errors, axis=0), spread, rtol=0.25)


@pytest.mark.parametrize(
    ("curve", "slope", "x", "parameters"),
    [
        (fits._naka_rushton, fits._naka_rushton_slope, CONTRASTS, [0.5, 3, 0.3, 2]),
        (fits._gaussian, fits._gaussian_slope, OCTAVES, [0.5, 3, 0.3, 1.2]),
        (fits._area, fits._area_slope, DIAMETERS, [0.5, 8, 4, 60, 2.5]),
        (*circular_fits._von_mises(360.0, 2), EIGHT, [100, 0.5, 2, 3, 1]),
        (*circular_fits._von_mises(180.0, 1), EIGHT / 2, [100, 0.5, 2, 3]),
    ],
)
def test_slopes_are_those_of_the_curves(curve, slope, x, parameters):
    p = np.array([parameters], dtype=float)
    if curve.__qualname__.startswith("_von_mises"):
        p[0, :3] = [p[0, 1], 100, 2]
    analytic = slope(p, x)[0]
    for k in range(p.shape[1]):
        step = np.zeros_like(p)
        step[0, k] = 1e-5 * max(abs(p[0, k]), 1)
        numeric = (curve(p + step, x) - curve(p - step, x))[0] / (2 * step[0, k])
        # Offsets that a fit holds have no slope, on purpose.
        if analytic[:, k].any():
            np.testing.assert_allclose(analytic[:, k], numeric, atol=1e-6)


def test_a_response_that_does_not_saturate_has_no_c50():
    found = fit_naka_rushton(np.stack([CONTRASTS, CONTRASTS**2], axis=1), CONTRASTS)
    assert np.isnan(found.value("c50").values).all()
    assert np.isnan(found.value("rmax").values).all()
    assert all("below half of its maximum" in why for why in found.value("c50").reasons)
    assert (found.r_squared > 0.999).all()
    np.testing.assert_allclose(found.predict([0.5])[0], [0.5, 0.25], atol=0.01)


def test_a_neuron_that_contrast_suppresses():
    y = naka_rushton(CONTRASTS, 5.0, -4.0, 0.2, 2.0)[:, None]
    found = fit_naka_rushton(y, CONTRASTS)
    np.testing.assert_allclose(found.values[0], [5, -4, 0.2, 2], rtol=1e-3)


def test_low_pass_and_high_pass_have_one_cutoff():
    low, high = 1 / (1 + OCTAVES**2), OCTAVES**2 / (1 + OCTAVES**2)
    found = fit_log_gaussian(np.stack([low, high], axis=1), OCTAVES)
    assert found.shapes == ("low-pass", "high-pass")
    for name in ("preferred", "bandwidth"):
        assert np.isnan(found.value(name).values).all()
    (low_low, low_high), (high_low, high_high) = (
        found.value(name).values for name in ("low_cutoff", "high_cutoff")
    )
    assert np.isnan([low_low, high_high]).all()
    assert low_high == pytest.approx(2 ** (low_high - low_high), abs=0.35)  # of the curve: 1 Hz
    assert high_low == pytest.approx(1, abs=0.35)
    assert low_high > 0
    assert found.value("low_cutoff").reasons[0] == (
        "not determined: low-pass, the peak is at the lowest frequency"
    )


def test_a_cutoff_that_nobody_tested_is_not_determined():
    found = fit_log_gaussian(log_gaussian(OCTAVES, 1, -2.0, 1.5)[:, None], OCTAVES)
    assert found.shapes == ("band-pass",)
    assert found.value("preferred").values == pytest.approx([0.25])
    assert found.value("high_cutoff").values > 0.25
    assert found.value("low_cutoff").reasons == ("not determined: beyond the tested frequencies",)


def test_without_surround_its_width_is_not_determined():
    found = fit_area_summation(area(DIAMETERS, 5, 0, 60, 200)[:, None], DIAMETERS)
    assert found.value("centre_sigma").values == pytest.approx([60], rel=1e-3)
    assert np.isnan(found.value("surround_sigma").values[0])
    assert found.value("surround_sigma").reasons == ("not determined: no surround",)


def test_area_summation_that_does_not_fit():
    zigzag = np.array([1, 9, 1, 9, 1, 9, 1, 9.0])[:, None]
    found = fit_area_summation(zigzag, DIAMETERS)
    assert found.r_squared[0] < 0.5
    assert np.isnan(found.values).all()
    assert found.reasons == ("not determined: R² is below 0.5",)


@pytest.mark.parametrize(
    ("fit", "x"),
    [
        (fit_naka_rushton, CONTRASTS),
        (fit_log_gaussian, OCTAVES),
        (fit_area_summation, DIAMETERS),
        (fit_von_mises, EIGHT),
    ],
)
def test_flat_silent_and_missing(fit, x):
    y = np.stack([np.full(8, 3.0), np.zeros(8), np.full(8, np.nan), np.arange(8.0)], axis=1)
    found = fit(y, x)
    assert np.isnan(found.values[:3]).all()
    flat = "not determined: the same response to every condition"
    assert found.reasons[:3] == (flat, flat, "a response is missing (NaN)")
    assert np.isnan(found.predict(x)[:, :3]).all()
    assert np.isfinite(found.predict(x)[:, 3]).all()
    assert np.isnan(found.r_squared[:3]).all()


@pytest.mark.parametrize(
    ("fit", "x"),
    [
        (fit_naka_rushton, CONTRASTS),
        (fit_log_gaussian, OCTAVES),
        (fit_area_summation, DIAMETERS),
        (fit_von_mises, EIGHT),
    ],
)
def test_noise_and_suppression_never_give_a_wild_number(fit, x):
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(size=(8, 200)), rng.exponential(size=(8, 200)), -np.eye(8)], 1)
    found = fit(y, x)
    reach = {"preferred": 360 if x is EIGHT else 4 * x.max(), "centre_sigma": x.max()}
    for name, limit in reach.items():
        if name in found.names:
            values = found.value(name).values
            assert (np.abs(values[np.isfinite(values)]) <= limit).all()
    for row, why in enumerate(found.reasons):
        assert bool(why) == np.isnan(found.values[row]).any()
    known = np.isfinite(found.values)
    np.testing.assert_array_less(np.abs(found.values[known]), 1e3)


def nearly_flat(n: int, repeats: int = 200) -> np.ndarray:
    return 1 + 1e-3 * np.random.default_rng(0).standard_normal((n, repeats))


@pytest.mark.parametrize("period", [360.0, 180.0])
def test_an_angle_as_uncertain_as_the_circle_is_not_determined(period):
    found = fit_von_mises(nearly_flat(8), EIGHT * period / 360, period_deg=period)
    angle, errors = found.value("preferred"), found.errors[:, 0]
    lost = np.isnan(angle.values)
    assert lost.sum() > 20
    assert (errors[~lost] <= period / 4).all()
    words = "not determined: its standard error exceeds a quarter of the period"
    assert {angle.reasons[k] for k in np.flatnonzero(lost)} == {words}
    sharp = von_mises(EIGHT, 77.0, 2.0, 1.0, 1e-3, 3e-4)[:, None]  # small, but without noise
    assert fit_von_mises(sharp, EIGHT).values[0, 0] == pytest.approx(77.0, abs=1e-3)


@pytest.mark.parametrize(
    "found",
    [
        fit_von_mises(nearly_flat(8), EIGHT),
        fit_von_mises(nearly_flat(8), EIGHT / 2, period_deg=180.0),
        fit_naka_rushton(nearly_flat(8), CONTRASTS),
        fit_log_gaussian(nearly_flat(8), OCTAVES),
        fit_log_gaussian(nearly_flat(8), OCTAVES, baseline=1.0),
        fit_area_summation(nearly_flat(8), DIAMETERS),
        fit_area_summation(nearly_flat(8), DIAMETERS, baseline=1.0),
    ],
    ids=lambda found: found.kind,
)
def test_a_nearly_flat_curve_has_no_wild_error(found):
    """In the unit of the response, no error is beyond what all responses span."""
    span = np.ptp(nearly_flat(8), axis=0)
    for column, unit in enumerate(found.units):
        errors = found.errors[:, column]
        if unit == "a.u.":
            assert not (errors > span).any(), found.names[column]
        elif unit != "°":
            assert not (errors > np.abs(found.values[:, column])).any(), found.names[column]


def test_a_curve_that_fits_worse_than_a_constant_tells_nothing():
    found = fit_log_gaussian(nearly_flat(8), OCTAVES)  # far above its baseline, 0
    assert (found.r_squared < 0).all()
    assert np.isnan(found.values[:, 1:]).all()
    assert "fits worse than a constant" in found.value("preferred").reasons[0]


def test_one_lobe_of_direction_is_the_preferred_one():
    """The larger lobe, also where the fit began at the other one."""
    rates = np.random.default_rng(0).exponential(size=(8, 300))
    found = fit_von_mises(rates, EIGHT)
    known = np.isfinite(found.values[:, -2:]).all(axis=1)
    assert known.sum() > 20
    assert (
        found.value("amplitude").values[known] >= found.value("null_amplitude").values[known]
    ).all()
    sharp = found.value("preferred").values
    vector = direction_selectivity(rates, EIGHT)
    strong = vector.vector_index.values > 0.45
    apart = np.mod(sharp - vector.preferred_deg.values + 180, 360) - 180
    assert np.nanmedian(np.abs(apart[strong])) < 20


@pytest.mark.parametrize(
    ("fit", "x"),
    [
        (fit_naka_rushton, CONTRASTS[:3]),
        (fit_log_gaussian, OCTAVES[:2]),
        (fit_area_summation, DIAMETERS[:3]),
        (fit_von_mises, EIGHT[::2]),
    ],
)
def test_fewer_conditions_than_parameters(fit, x):
    found = fit(np.arange(len(x), dtype=float)[:, None], x)
    assert "parameters and fewer conditions" in found.reasons[0]
    assert np.isnan(found.values).all()


def test_all_neurons_are_those_one_by_one():
    rates = np.random.default_rng(0).exponential(size=(8, 12))
    together = fit_von_mises(rates, EIGHT)
    for cell in range(12):
        np.testing.assert_allclose(
            fit_von_mises(rates[:, [cell]], EIGHT).values[0], together.values[cell], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: fit_naka_rushton(y, -CONTRASTS), "contrasts: expected contrasts from 0 on"),
        (lambda y: fit_naka_rushton(y, 0 * CONTRASTS), "contrasts: expected contrasts from 0 on"),
        (lambda y: fit_log_gaussian(y, OCTAVES - 1), "frequencies: expected positive numbers"),
        (lambda y: fit_area_summation(y, DIAMETERS[:3]), "diameters: expected 8 on the axis"),
        (lambda y: fit_von_mises(y, EIGHT, period_deg=90), "period_deg: expected 360 or 180"),
        (lambda y: fit_von_mises(y[:, 0], EIGHT), r"responses: expected \(angle, neuron\)"),
        (lambda y: fit_von_mises(y, EIGHT).value("c50"), "name: expected one of"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).random((8, 2)))


def test_fits_of_a_sweep_are_those_of_its_axes():
    direction = von_mises(EIGHT, 90, 2, 0.1, 3, 0.5)
    rates = (direction[:, None] * log_gaussian(OCTAVES, 1, 0.5, 1.0))[..., None]
    found = fits_of(curves(rates, {"direction": EIGHT, "temporal_frequency": OCTAVES}))
    assert set(found) == {"direction", "temporal_frequency"}
    assert found["direction"].value("preferred").values == pytest.approx([90])
    assert found["temporal_frequency"].value("preferred").values == pytest.approx([2**0.5])


def test_fits_of_contrast_and_size():
    y = naka_rushton(CONTRASTS, 0, 3, 0.3, 2)[:, None]
    signed = np.concatenate([[[7.0]], y])  # a negative contrast is none of a contrast response
    found = fits_of(curves(signed, {"contrast": [-1, *CONTRASTS]}))
    assert found["contrast"].value("c50").values == pytest.approx([0.3], rel=1e-3)
    spots = area(DIAMETERS, 8, 4, 50, 150)[:, None] + 2
    found = fits_of(curves(spots, {"diameter": DIAMETERS}, baseline=[2.0]))
    assert found["diameter"].value("centre_sigma").values == pytest.approx([50], rel=1e-3)
    assert fits_of(curves([[1]], {"polarity": [1]})) == {}


def test_width_of_a_peak_between_the_tested_frequencies_is_not_determined():
    narrow, wide = (log_gaussian(OCTAVES, 4.0, 1.1, sigma) for sigma in (0.25, 1.0))
    found = fit_log_gaussian(np.stack([narrow, wide], axis=1), OCTAVES)
    for name in ("bandwidth", "low_cutoff", "high_cutoff"):
        value = found.value(name)
        assert np.isnan(value.values[0])
        assert "narrower than the steps" in value.reasons[0]
        assert np.isfinite(value.values[1])
    assert found.value("preferred").values[0] == pytest.approx(2**1.1, rel=0.05)
