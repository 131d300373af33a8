"""Noise: seed, distribution, checks, updates and spectrum."""

import math

import pytest
import torch

from openretina_widgets.data_io.artificial_stimuli import (
    binary_noise,
    gaussian_noise,
    pink_noise,
    uniform_noise,
)
from tests.data_io.screens import one_channel, screen

ALL = (uniform_noise, binary_noise, gaussian_noise, pink_noise)


@pytest.mark.parametrize("build", ALL)
def test_a_seed_makes_the_noise(build):
    first = build(screen(), seed=3, duration_s=1.0)
    assert torch.equal(first.movie, build(screen(), seed=3, duration_s=1.0).movie)
    assert not torch.equal(first.movie, build(screen(), seed=4, duration_s=1.0).movie)
    assert not torch.equal(first.movie[0], first.movie[1])  # each channel has its own
    measured = first.movie[:, 19:].double().square().mean().sqrt().item()
    assert first.parameters["rms_contrast"] == pytest.approx(measured, rel=1e-5)
    with pytest.raises(TypeError, match=r"seed: expected a whole number, got 1.5"):
        build(screen(), seed=1.5)


def test_distributions():
    uniform = uniform_noise(screen(), contrast=0.6).movie[:, 19:].double()
    assert uniform.abs().max().item() == pytest.approx(0.6, abs=1e-3)
    assert uniform.std().item() == pytest.approx(0.6 / math.sqrt(3), rel=0.01)
    binary = binary_noise(screen(), contrast=0.6).movie[:, 19:].double()
    assert binary.abs().unique().tolist() == pytest.approx([0.6])
    assert binary.mean().abs() < 0.01
    gaussian = gaussian_noise(screen(), contrast=0.2).movie[:, 19:].double()
    assert gaussian.std().item() == pytest.approx(0.2, rel=0.01)
    assert (gaussian**4).mean().item() == pytest.approx(3 * 0.2**4, rel=0.03)
    wide = gaussian_noise(screen(), contrast=1.0)
    assert any(note.startswith("31.") and "cut" in note for note in wide.notes)  # beyond 1 SD


def test_checks_and_updates():
    stimulus = binary_noise(screen(), check_size=100.0, update_rate_hz=10.0, duration_s=3.0)
    movie = stimulus.movie[:, 19:]
    checks = movie.unflatten(1, (-1, 3)).unflatten(3, (-1, 2)).unflatten(5, (-1, 2))
    first = checks[:, :, :1, :, :1, :, :1]
    assert torch.equal(checks, first.expand_as(checks))
    assert stimulus.notes == ()
    assert any("do not fill" in n for n in binary_noise(screen(), check_size=150.0).notes)
    assert any("4.29 frames" in n for n in binary_noise(screen(), update_rate_hz=7.0).notes)
    with pytest.raises(ValueError, match=r"check_size: 20 µm is finer than a pixel.* is 50 µm"):
        binary_noise(screen(), check_size=20.0)
    with pytest.raises(ValueError, match="update_rate_hz: 60 Hz is above the frame rate, 30 Hz"):
        binary_noise(screen(), update_rate_hz=60.0)


def test_the_amplitude_of_pink_noise_falls_as_1_over_f():
    shown_on = one_channel(height=64, width=64, lag=0)
    stimulus = pink_noise(shown_on, contrast=0.2, duration_s=10.0)
    movie = stimulus.movie[0].double()
    assert movie.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.05)
    window = torch.hann_window(64, dtype=torch.float64)
    power = torch.fft.rfft(movie * window).abs().square().mean(dim=(0, 1))
    # Along one axis, over all of the other: power ∝ ∫ df'/(f² + f'²) ∝ 1/f below the cut.
    slope = math.log(power[3] / power[9]) / math.log(9 / 3)
    assert slope == pytest.approx(1.0, abs=0.3)
    white = gaussian_noise(shown_on, contrast=0.2).movie[0].double()
    flat = torch.fft.rfft(white * window).abs().square().mean(dim=(0, 1))
    assert abs(math.log(flat[3] / flat[9])) < 0.1
    successive = (movie[1:] * movie[:-1]).mean() / movie.square().mean()
    assert successive.abs() < 0.05
