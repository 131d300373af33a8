"""Permutation tests and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.permutation import (
    bootstrap_interval,
    permutation_p,
)
from openretina_widgets.insilico.tuning_analyses.selectivity import direction_selectivity

EIGHT = np.arange(0.0, 360.0, 45.0)


def test_tuned_neurons_are_told_from_noise():
    rng = np.random.default_rng(0)
    curve = np.stack([4 + 4 * np.cos(np.radians(EIGHT)), np.full(8, 4.0)], axis=1)
    found = permutation_p(rng.poisson(curve, size=(10, 8, 2)), EIGHT, n=999)
    assert found.values[0] == pytest.approx(1 / 1000)  # no shuffle comes near: the smallest p
    assert found.values[1] > 0.05


def test_p_of_neurons_without_tuning_is_uniform():
    noise = np.random.default_rng(1).poisson(5, size=(5, 8, 2000))
    p = permutation_p(noise, EIGHT, n=199).values
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.035)


def test_every_arrangement_counted():
    """One response of 1 in 2 x 4 cells: every shuffle has the same length, so p is 1."""
    repeats = np.zeros((2, 4, 1))
    repeats[0, 0] = 1
    assert permutation_p(repeats, [0, 90, 180, 270]).values.tolist() == [1]


def test_a_shuffle_as_long_as_the_data_is_as_rare_as_it_should_be():
    """Two repeats of 1 at one of 4 directions: both in one column in 4 of C(8, 2) = 28 ways."""
    repeats = np.zeros((2, 4, 1))
    repeats[:, 0] = 1
    repeats[0, 0] += 1e-9
    found = permutation_p(repeats, [0, 90, 180, 270], n=20000)
    # The tiny difference keeps the repeats apart; it does not change which shuffles are as long.
    assert found.values == pytest.approx([4 / 28], abs=0.01)


def test_traces_are_projected_on_their_time_component():
    rng = np.random.default_rng(0)
    course = np.array([0, 1, 3, 1.0])
    curve = 4 + 3 * np.cos(np.radians(EIGHT))
    gains = rng.normal(curve, 0.5, size=(6, 8))[..., None]
    traces = gains[..., None, :] * course[:, None]
    found = permutation_p(traces, EIGHT, seed=3)
    assert found.values == permutation_p(gains, EIGHT, seed=3).values


def test_without_variability_there_is_no_p():
    same = np.tile(np.arange(8.0)[:, None], (5, 1, 1))
    assert permutation_p(same, EIGHT).reasons == ("undefined: no variability between repeats",)
    assert permutation_p(same[:1], EIGHT).reasons == ("undefined: no variability with one repeat",)
    assert permutation_p(same[:, :4], EIGHT[:4]).reasons[0] == (
        "undefined: no variability between repeats"
    )


def test_p_needs_what_the_index_needs():
    noise = np.random.default_rng(0).random((3, 4, 2))
    assert (
        permutation_p(noise, EIGHT[:4]).reasons
        == ("the directions are not evenly spaced over 360°",) * 2
    )
    noise[0, 0, 0] = np.nan
    assert permutation_p(noise, EIGHT[::2]).reasons == ("a response is missing (NaN)", "")


def test_the_seed_decides():
    noise = np.random.default_rng(0).random((3, 8, 20))
    first, again, other = (permutation_p(noise, EIGHT, seed=s).values for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    repeats = np.random.default_rng(0).normal(10, 2, size=(100, 1, 3))
    found = bootstrap_interval(repeats, lambda mean: mean[0], seed=1)
    error = repeats.std(axis=0)[0] / 10
    centre = repeats.mean(axis=0)[0]
    np.testing.assert_allclose(found.low.values, centre - 1.96 * error, atol=0.06)
    np.testing.assert_allclose(found.high.values, centre + 1.96 * error, atol=0.06)


def test_the_interval_of_an_index():
    curve = 10 + 10 * np.cos(np.radians(EIGHT))
    repeats = np.random.default_rng(0).poisson(curve[:, None], size=(20, 8, 1))
    found = bootstrap_interval(
        repeats, lambda mean: direction_selectivity(mean, EIGHT).vector_index, n=300
    )
    assert found.low.values < 0.5 < found.high.values  # that of 1 + cos
    assert found.high.values - found.low.values < 0.15


@pytest.mark.parametrize(
    ("repeats", "reason"),
    [
        (np.ones((1, 8, 1)), "undefined: no variability with one repeat"),
        (np.ones((5, 8, 1)), "undefined: no variability between repeats"),
        (np.full((5, 8, 1), np.nan), "a response is missing (NaN)"),
    ],
)
def test_no_interval(repeats, reason):
    found = bootstrap_interval(repeats, lambda mean: mean.mean(axis=0), n=5)
    assert np.isnan(found.low.values[0])
    assert found.high.reasons == (reason,)


@pytest.mark.parametrize(
    ("options", "message"), [({"n": 0}, "n: expected"), ({"level": 95}, "level: expected")]
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.ones((2, 1)), lambda mean: mean, **options)
    with pytest.raises(ValueError, match="n: expected"):
        permutation_p(np.ones((2, 8, 1)), EIGHT, n=0)
