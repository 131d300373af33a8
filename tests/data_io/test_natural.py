"""Pictures and movies of one's own."""

import numpy as np
import pytest
import torch

from openretina_widgets.data_io.artificial_stimuli import natural
from tests.data_io.screens import one_channel, screen

SMALL = one_channel(height=2, width=2, lag=0, pixel_size_um=None)
RNG = np.random.default_rng(1)


def test_a_pixel_is_the_mean_of_the_area_that_it_covers():
    """A 4 × 6 picture on 2 × 2: a pixel of picture is cut at each side, then means of 2 × 2."""
    image = np.arange(24.0).reshape(4, 6)
    stimulus = natural(SMALL, image, mean=0.0, std=1.0)
    blocks = image[:, 1:5].reshape(2, 2, 2, 2).mean(axis=(1, 3))
    assert stimulus.movie[0, 0].tolist() == blocks.tolist()
    assert any("33% of the picture" in note for note in stimulus.notes)
    stretched = natural(SMALL, image, mean=0.0, std=1.0, fit="stretch")
    thirds = image.reshape(2, 2, 2, 3).mean(axis=(1, 3))
    assert np.allclose(stretched.movie[0, 0].numpy(), thirds)


def test_it_is_brought_to_grey_and_to_a_contrast():
    shown_on = screen(grey=(0.1, 0.2), contrast_scale=(2.0, 0.5))
    stimulus = natural(shown_on, RNG.random((12, 40, 40)), rms_contrast=0.3)
    for k in range(2):
        part = stimulus.movie[k, 19:].double()
        assert part.mean().item() == pytest.approx(shown_on.grey[k], abs=0.01)
        assert part.std().item() == pytest.approx(0.3 * shown_on.contrast_scale[k], rel=0.03)
    assert any("trained on" in note for note in stimulus.notes)


def test_with_the_statistics_of_the_training_movies_it_is_normalised_as_they_were():
    image = RNG.random((2, 1, 18, 16)) * 255
    shown_on = screen(grey=(0.0, 0.5), contrast_scale=(0.5, 0.7))
    stimulus = natural(shown_on, image, mean=(100.0, 50.0), std=(20.0, 10.0))
    expected = (image - np.reshape((100.0, 50.0), (2, 1, 1, 1))) / np.reshape(
        (20, 10), (2, 1, 1, 1)
    )
    assert np.allclose(stimulus.movie[:, 19:20].numpy(), expected, atol=1e-5)
    with pytest.raises(ValueError, match="mean, std: expected both or neither"):
        natural(shown_on, image, mean=1.0)


def test_axes_colours_and_rates():
    movie = torch.from_numpy(RNG.random((10, 18, 16)))
    slow = natural(screen(), movie, movie_rate_hz=15.0).movie[0, 19:]
    assert len(slow) == 20
    assert torch.equal(slow[0::2], slow[1::2])
    colour = natural(screen(), RNG.integers(0, 255, (20, 20, 3)).astype(np.uint8))
    assert torch.equal(colour.movie[0], colour.movie[1])
    assert any("luminance" in note for note in colour.notes)
    assert colour.name == "natural image"
    with pytest.raises(ValueError, match=r"axes: an array of shape .* could mean several"):
        natural(screen(), np.ones((5, 6, 7, 8)))
    with pytest.raises(ValueError, match="axes: expected 3 different letters"):
        natural(screen(), np.ones((5, 6, 7)), axes="hhw")
    with pytest.raises(ValueError, match="duration_s: the movie lasts"):
        natural(screen(), movie, duration_s=2.0)


def test_what_is_no_picture():
    with pytest.raises(TypeError, match="movie_or_image: expected an array of numbers"):
        natural(screen(), "cat.png")
    with pytest.raises(ValueError, match="the same everywhere"):
        natural(screen(), np.ones((20, 20)))
    with pytest.raises(ValueError, match="not finite"):
        natural(screen(), np.full((20, 20), np.nan))
    with pytest.raises(ValueError, match="expected 1 channel, 2"):
        natural(screen(), np.ones((5, 1, 9, 9)), axes="cthw")
