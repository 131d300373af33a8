"""The batched solver against hand counts and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit, least_squares

from openretina_widgets.insilico import least_squares as solver
from openretina_widgets.insilico.least_squares import least_squares_batched

X = np.linspace(-3, 3, 25)


def gaussian(p: np.ndarray) -> np.ndarray:
    return p[:, :1] + p[:, 1:2] * np.exp(-((X - p[:, 2:3]) ** 2) / (2 * p[:, 3:] ** 2))


def line(p: np.ndarray) -> np.ndarray:
    return p[:, :1] + p[:, 1:] * X


def true_gaussians(n: int) -> np.ndarray:
    draw = np.random.default_rng(0).random((n, 4))
    return draw * [1, 3, 2, 1] + [0, 1, -1, 0.4]


START = np.array([0.0, 1, 0, 1])


def starts(n: int) -> np.ndarray:
    """Three starts apart from each other: with one, a Gaussian can run away from its peak."""
    centres = np.array([-0.7, 0, 0.7])
    return np.stack([np.tile([0.5, 2, x, 0.7], (n, 1)) for x in centres])


WIDE = np.array([-np.inf, -np.inf, -np.inf, 0.05])  # the sign of a width is arbitrary


def test_parameters_of_curves_without_noise_come_back():
    truth = true_gaussians(200)
    found = least_squares_batched(gaussian, gaussian(truth), starts(200), lower=WIDE)
    np.testing.assert_allclose(found.parameters, truth, atol=1e-6)
    assert found.converged.all()
    np.testing.assert_allclose(found.r_squared, 1)


def test_a_line_has_the_solution_and_errors_of_the_textbook():
    y = 1 + 2 * X + np.random.default_rng(0).normal(size=(3, 25))
    found = least_squares_batched(line, y, np.zeros((1, 3, 2)))
    slope = (X @ (y - y.mean(axis=1, keepdims=True)).T) / (X @ X)
    np.testing.assert_allclose(found.parameters, np.stack([y.mean(axis=1), slope], 1), atol=1e-7)
    variance = ((y - line(found.parameters)) ** 2).sum(axis=1) / 23
    np.testing.assert_allclose(
        found.errors, np.sqrt(np.stack([variance / 25, variance / (X @ X)], 1)), rtol=1e-5
    )


def test_the_optimum_and_errors_are_those_of_scipy():
    truth = true_gaussians(12)
    y = gaussian(truth) + 0.1 * np.random.default_rng(1).normal(size=(12, 25))
    found = least_squares_batched(gaussian, y, starts(12), lower=WIDE)
    for row, one in enumerate(y):
        theirs, covariance = curve_fit(
            lambda _, *p: gaussian(np.array([p]))[0], X, one, p0=truth[row]
        )
        np.testing.assert_allclose(found.parameters[row], theirs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.errors[row], np.sqrt(np.diag(covariance)), rtol=1e-2)


def test_the_optimum_at_a_bound_is_that_of_scipy():
    y = gaussian(true_gaussians(12)) + 0.1 * np.random.default_rng(1).normal(size=(12, 25))
    lower, upper = np.array([0.3, 0, -0.2, 0.2]), np.array([2, 2, 0.4, 0.7])
    found = least_squares_batched(
        gaussian, y, np.tile([0.5, 1, 0, 0.5], (1, 12, 1)), lower=lower, upper=upper
    )
    assert ((found.parameters >= lower) & (found.parameters <= upper)).all()
    assert found.at_bound.any()
    assert np.isnan(found.errors[found.at_bound]).all()
    for row, one in enumerate(y):
        theirs = least_squares(
            lambda p, one=one: gaussian(p[None])[0] - one, [0.5, 1, 0, 0.5], bounds=(lower, upper)
        )
        assert found.cost[row] <= 2 * theirs.cost * (1 + 1e-6)


def test_an_analytic_jacobian_gives_the_same():
    def jacobian(p: np.ndarray) -> np.ndarray:
        return np.stack(np.broadcast_arrays(np.ones_like(p[:, :1]), X), axis=-1)

    y = 1 + 2 * X + np.random.default_rng(0).normal(size=(3, 25))
    start = np.zeros((1, 3, 2))
    numeric = least_squares_batched(line, y, start)
    analytic = least_squares_batched(line, y, start, jacobian=jacobian)
    np.testing.assert_allclose(analytic.parameters, numeric.parameters, atol=1e-7)


def test_the_best_of_several_starts_is_kept():
    """From far away the Gaussian has no gradient; the other start finds it."""
    truth = np.array([[0.0, 1, 2, 0.3]])
    bad, good = np.array([0.0, 1, -30, 0.3]), np.array([0.0, 1, 1.5, 0.5])
    alone = least_squares_batched(gaussian, gaussian(truth), bad[None, None])
    both = least_squares_batched(gaussian, gaussian(truth), np.stack([bad, good])[:, None])
    assert alone.r_squared[0] < 0.5
    np.testing.assert_allclose(both.parameters, truth, atol=1e-6)


def test_missing_points_are_left_out():
    truth = true_gaussians(5)
    y = gaussian(truth)
    y[:, ::4] = np.nan
    found = least_squares_batched(gaussian, y, starts(5), lower=WIDE)
    np.testing.assert_allclose(found.parameters, truth, atol=1e-6)


def test_fewer_points_than_parameters():
    y = np.full((2, 25), np.nan)
    y[0, :3], y[1] = 1.0, X**2
    found = least_squares_batched(gaussian, y, np.tile(START, (1, 2, 1)))
    assert np.isnan(found.parameters[0]).all()
    assert not found.converged[0]
    assert np.isfinite(found.parameters[1]).all()


def test_a_parameter_without_effect_has_no_error():
    def model(p: np.ndarray) -> np.ndarray:
        return line(p[:, :2])

    y = (1 + 2 * X + np.random.default_rng(0).normal(size=25))[None]
    found = least_squares_batched(model, y, np.zeros((1, 1, 3)))
    assert np.isnan(found.errors[0, 2])
    assert np.isfinite(found.errors[0, :2]).all()


def test_a_sum_of_two_parameters_does_not_determine_either():
    def model(p: np.ndarray) -> np.ndarray:
        return (p[:, :1] + p[:, 1:2]) + p[:, 2:] * X

    y = (1 + 2 * X + np.random.default_rng(0).normal(size=25))[None]
    found = least_squares_batched(model, y, np.zeros((1, 1, 3)))
    assert np.isnan(found.errors[0, :2]).all()
    assert np.isfinite(found.errors[0, 2])


def test_a_model_that_overflows_does_not_stop_the_others():
    def model(p: np.ndarray) -> np.ndarray:
        return np.exp(np.exp(p[:, :1])) * X

    starts = np.array([[[50.0], [0.1]]])
    found = least_squares_batched(model, np.tile(np.e * X, (2, 1)), starts)
    assert found.parameters[1, 0] == pytest.approx(0, abs=1e-6)


def test_a_valley_that_float32_does_not_resolve_is_left():
    """Responses of a model that hardly answers: four points, of which noise is the larger part."""
    octaves = np.log2([1.0, 2.0, 3.0, 5.0])

    def bell(p: np.ndarray) -> np.ndarray:
        return 0.8 + p[:, :1] * np.exp(-((octaves - p[:, 1:2]) ** 2) / (2 * p[:, 2:] ** 2))

    y = 0.8 + 1e-6 * np.array([[-3.4, 0.6, -0.1, 5.9], [-4.4, 1.2, -0.2, 5.0]])
    bounds = {"lower": [0, -2.3, 0.1], "upper": [0.008, 4.6, 7]}
    begin = np.tile([8e-4, 2.3, 2.0], (1, 2, 1))
    exact = least_squares_batched(bell, y, begin, precision=0.0, iterations=2000, **bounds)
    rounded = least_squares_batched(bell, y, begin, **bounds)
    assert rounded.converged.all()
    assert rounded.iterations < 0.5 * exact.iterations
    assert (rounded.cost - exact.cost < 1e-13 * (y**2).sum(axis=1)).all()


def test_a_narrow_valley_is_followed_to_its_end(monkeypatch):
    """Rosenbrock's, ten times as narrow."""

    def valley(p: np.ndarray) -> np.ndarray:
        return np.stack([100 * (p[:, 1] - p[:, 0] ** 2), 1 - p[:, 0]], axis=1)

    def solved() -> solver.Solution:
        begin = np.array([[[-1.2, 1.0]]])
        return least_squares_batched(valley, np.zeros((1, 2)), begin, iterations=2000)

    bent = solved()
    monkeypatch.setattr(solver, "_BEND", 0.0)
    straight = solved()
    np.testing.assert_allclose([bent.parameters, straight.parameters], 1.0, atol=1e-6)
    assert bent.iterations < 0.5 * straight.iterations


def test_problems_in_blocks_are_those_together(monkeypatch):
    y = gaussian(true_gaussians(7)) + 0.1 * np.random.default_rng(1).normal(size=(7, 25))
    y[5, :23] = np.nan
    lower = np.tile(WIDE, (7, 1))
    whole = least_squares_batched(gaussian, y, starts(7), lower=lower)
    monkeypatch.setattr(solver, "_BLOCK", 2 * 3 * 25 * 4)
    parts = least_squares_batched(gaussian, y, starts(7), lower=lower)
    for name in ("parameters", "covariance", "errors", "cost", "r_squared", "converged"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9)


@pytest.mark.parametrize(
    ("y", "starts", "options", "message"),
    [
        (X, np.zeros((1, 1, 2)), {}, r"y: expected \(problem, point\)"),
        (X[None], np.zeros((1, 2, 2)), {}, r"starts: expected \(start, 1 problems, parameter\)"),
        (X[None], np.full((1, 1, 2), np.nan), {}, "starts: expected finite numbers"),
        (X[None], np.zeros((1, 1, 2)), {"lower": 1, "upper": 0}, "lower: expected every bound"),
    ],
)
def test_bad_input(y, starts, options, message):
    with pytest.raises(ValueError, match=message):
        least_squares_batched(line, y, starts, **options)
