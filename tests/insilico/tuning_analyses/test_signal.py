"""Reliability, correlations and explained variance, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.signal import (
    correlation_to_average,
    feve,
    noise_correlation,
    oracle,
    response_quality,
    signal_correlation,
)


def repeats_of(*rows: list[float]) -> np.ndarray:
    """One neuron's repeats, ``(repeat, sample, 1)``."""
    return np.array(rows, dtype=float)[..., None]


def test_quality_counted_by_hand():
    """Mean (0, 2) has variance 1; the repeats (1, 3) and (-1, 1) have 1; so 1."""
    found = response_quality(repeats_of([1, 3], [-1, 1]))
    assert found.values.tolist() == [1]
    # Mean (0, 1): variance 1/4; the repeats (0, 2) and (0, 0): 1 and 0, mean 1/2.
    assert response_quality(repeats_of([0, 2], [0, 0])).values.tolist() == [0.5]


def test_quality_of_noise_is_one_over_the_number_of_repeats():
    noise = np.random.default_rng(0).normal(size=(5, 400, 300))
    found = response_quality(noise).values
    assert found.mean() == pytest.approx(1 / 5, abs=0.005)
    assert ((found >= 0) & (found <= 1)).all()


def test_quality_without_noise_is_1_by_construction():
    same = repeats_of([1, 2, 5], [1, 2, 5])
    found = response_quality(same)
    assert found.values == pytest.approx([1])
    assert found.notes == ("1 by construction for 1 neurons whose repeats do not differ",)
    assert response_quality(same[:1]).reasons == ("undefined with one repeat",)
    assert response_quality(np.ones((2, 3, 1))).reasons == ("constant: it does not vary",)
    assert response_quality(np.full((2, 3, 1), np.nan)).reasons == ("a response is missing (NaN)",)


def test_signal_correlation_is_that_of_numpy():
    tuning = np.random.default_rng(0).random((8, 6))
    tuning[:, 2], tuning[0, 4] = 3.0, np.nan
    found = signal_correlation(tuning)
    good = [0, 1, 3, 5]
    np.testing.assert_allclose(
        found.values[np.ix_(good, good)], np.corrcoef(tuning[:, good], rowvar=False)
    )
    assert np.isnan(found.values[2]).all()
    assert np.isnan(found.values[:, 4]).all()
    assert found.reasons[2] == "constant: it does not vary"
    assert found.reasons[4] == "a response is missing (NaN)"


def test_noise_correlation_leaves_tuning_out():
    """Shared noise with opposite tuning: +1; half of it shared: 1/2; none: 0."""
    rng = np.random.default_rng(0)
    shared, own, other = rng.normal(size=(3, 400, 8))
    curve = 10 * np.cos(np.linspace(0, 6, 8))
    repeats = np.stack([curve + shared, 2 * shared - curve, shared + own, other], axis=-1)
    found = noise_correlation(repeats).values
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert found[0, 3] == pytest.approx(0, abs=0.05)


def test_noise_correlation_over_the_conditions_in_which_both_vary():
    """Silent in half of the conditions, alike in the others: 1, not a half."""
    noise = np.random.default_rng(0).normal(size=(20, 4))
    silent = np.where([True, True, False, False], 0.0, noise)
    found = noise_correlation(np.stack([noise, silent], axis=-1))
    np.testing.assert_allclose(found.values, 1)


def test_noise_correlation_without_noise():
    same = np.tile(np.random.default_rng(0).random((1, 4, 2)), (3, 1, 1))
    assert (
        noise_correlation(same).reasons
        == ("undefined without noise: the repeats do not differ",) * 2
    )
    assert noise_correlation(same[:1]).reasons == ("undefined with one repeat",) * 2
    assert np.isnan(noise_correlation(same).values).all()


def test_correlation_to_average():
    repeats = repeats_of([1, 2, 3], [3, 4, 5])
    assert correlation_to_average([[1], [2], [3]], repeats).values == pytest.approx([1])
    assert correlation_to_average([[3], [2], [1]], repeats).values == pytest.approx([-1])
    for prediction, measured in (([[2], [2], [2]], repeats), ([[1], [2], [3]], 0 * repeats)):
        found = correlation_to_average(prediction, measured)
        assert found.reasons == ("constant: it does not vary",)


def test_oracle_counted_by_hand():
    """Two repeats, each against the other: the same pairs both ways round."""
    a, b = [1.0, 2, 4], [2.0, 2, 5]
    expected = np.corrcoef([*a, *b], [*b, *a])[0, 1]
    assert oracle(repeats_of(a, b)).values == pytest.approx([expected])
    assert oracle(repeats_of(a, a)).values == pytest.approx([1])
    assert oracle(repeats_of(a)).reasons == ("undefined with one repeat",)
    assert oracle(repeats_of([1, 1, 1], [1, 1, 1])).reasons == ("constant: it does not vary",)


def test_oracle_of_noise_is_not_above_0():
    noise = np.random.default_rng(0).normal(size=(5, 400, 50))
    assert oracle(noise).values.mean() == pytest.approx(0, abs=0.01)


def test_feve_counted_by_hand():
    """Repeats ±1 around (0, 10), predicted as (1, 10).

    Noise 2, total variance of (1, −1, 11, 9) is 104 / 3, the error (0 + 4 + 1 + 1) / 4.
    """
    found = feve([[1], [10]], repeats_of([1, 11], [-1, 9]))
    total = 104 / 3
    assert found.feve.values == pytest.approx([1 - (1.5 - 2) / (total - 2)])
    assert found.explainable.values == pytest.approx([(total - 2) / total])


def test_feve_of_the_true_mean_is_1_and_of_the_overall_mean_0():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(300, 20))
    repeats = mean + rng.normal(size=(10, 300, 20))
    assert feve(mean, repeats).feve.values.mean() == pytest.approx(1, abs=0.01)
    flat = np.broadcast_to(repeats.mean(axis=(0, 1)), mean.shape)
    assert feve(flat, repeats).feve.values == pytest.approx(np.zeros(20), abs=0.01)


def test_feve_not_defined():
    noise = np.random.default_rng(0).normal(size=(4, 300, 1))
    guess = np.zeros((300, 1))
    assert feve(guess, noise).reasons == ("less than 15% of the variance can be explained",)
    assert feve(guess, noise[:1]).reasons == (
        "undefined with one repeat: noise cannot be told from signal",
    )
    assert feve(guess + 1, 0 * noise + 1).reasons == ("constant: it does not vary",)
    with pytest.raises(ValueError, match="predictions: expected 300 on the axis 'sample'"):
        feve(guess[1:], noise)
