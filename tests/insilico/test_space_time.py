from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.space_time import space_time_split

TEMPORAL = np.array([0.0, -0.25, 0.5, 1.0])
SPATIAL = np.array([[0.0, 2.0, 0.0], [-0.5, 3.0, -0.5]])


@pytest.mark.parametrize("sign", [1, -1], ids=["ON", "OFF"])
def test_split_finds_the_components_of_a_separable_movie(sign):
    movie = np.multiply.outer(TEMPORAL, sign * SPATIAL)
    split = space_time_split(movie)
    np.testing.assert_allclose(split.temporal, TEMPORAL, atol=1e-12)
    np.testing.assert_allclose(split.spatial, sign * SPATIAL, atol=1e-12)
    assert split.separability == pytest.approx(1.0)


def test_split_has_a_positive_lobe_in_time_for_either_phase():
    """The largest lobe is positive, and the space takes the sign: the movie stays the same."""
    movie = np.multiply.outer(-TEMPORAL, SPATIAL)
    split = space_time_split(movie)
    assert split.temporal.max() == pytest.approx(1.0)
    assert split.spatial[1, 1] == pytest.approx(-3.0)
    np.testing.assert_allclose(np.multiply.outer(split.temporal, split.spatial), movie, atol=1e-12)


def test_split_of_two_equal_orthogonal_movies_is_half_separable():
    movie = np.zeros((2, 1, 2))
    movie[0, 0, 0] = movie[1, 0, 1] = 1.0
    assert space_time_split(movie).separability == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(6, 3, 4), (20, 2, 3)], ids=["wide", "tall"])
def test_split_gives_the_nearest_separable_movie(shape):
    """Its error is that of the singular values left out (Eckart & Young 1936)."""
    movie = np.random.default_rng(0).standard_normal(shape)
    split = space_time_split(movie)
    error = movie - np.multiply.outer(split.temporal, split.spatial)
    share_left = np.square(error).sum() / np.square(movie).sum()
    assert share_left == pytest.approx(1 - split.separability)


def test_split_of_zeros_is_undefined_rather_than_zero():
    split = space_time_split(np.zeros((3, 2, 2)))
    assert np.isnan(split.separability)
    assert not split.temporal.any()
    assert not split.spatial.any()


def test_split_takes_float32_movies():
    movie = np.multiply.outer(TEMPORAL, SPATIAL).astype(np.float32)
    np.testing.assert_allclose(space_time_split(movie).spatial, SPATIAL, atol=1e-6)


def test_split_refuses_a_movie_with_channels():
    with pytest.raises(
        ValueError, match=r"movie: expected \(time, height, width\).*\(2, 3, 4, 5\)"
    ):
        space_time_split(np.zeros((2, 3, 4, 5)))
