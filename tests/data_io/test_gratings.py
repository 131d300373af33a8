"""Gratings: where they are, which way they move, whole cycles, and frequencies that do not show."""

import math

import numpy as np
import pytest
import torch

from openretina_widgets.data_io.artificial_stimuli import (
    counterphase_grating,
    drifting_grating,
    generate_gratings,
)
from tests.data_io.screens import one_channel, screen

PX = one_channel(pixel_size_um=None, height=16, width=16, lag=0)


@pytest.mark.parametrize(
    ("direction", "axis", "shift"), [(0, -1, 1), (180, -1, -1), (90, -2, -1), (270, -2, 1)]
)
@pytest.mark.parametrize("waveform", ["sine", "square"])
def test_it_moves_in_its_direction(direction, axis, shift, waveform):
    """A cycle of 8 px at 3.75 Hz moves by a pixel a frame; 90° is towards row 0."""
    grating = drifting_grating(
        PX,
        direction=direction,
        spatial_frequency=1 / 8,
        temporal_frequency=3.75,
        waveform=waveform,
        phase_deg=10.0,
    )
    movie = grating.movie[0]
    assert not torch.allclose(movie[1], movie[0])
    assert torch.allclose(movie[1], movie[0].roll(shift, axis), atol=1e-6)
    assert torch.allclose(movie[7], movie[0].roll(7 * shift, axis), atol=1e-6)
    assert movie[0].std(dim=-2 if axis == -1 else -1).max() < 1e-6  # bars across the motion
    assert grating.parameters["orientation_deg"] == (direction - 90) % 180


def test_its_phase_is_exact_at_pixel_centres():
    """The middle of a 16 px image lies between pixels: the first to its right is at 0.5 px."""
    grating = drifting_grating(
        PX, spatial_frequency=0.1, temporal_frequency=2.0, phase_deg=30.0, contrast=0.7
    )
    for column, frame in ((8, 0), (11, 4), (0, 9)):
        cycles = 0.1 * (column - 7.5) - 2.0 * frame / 30 + 30 / 360
        expected = 0.7 * math.sin(2 * math.pi * cycles)
        assert grating.movie[0, frame, 5, column].item() == pytest.approx(expected, abs=1e-6)


def test_units_are_those_of_the_screen():
    um = drifting_grating(one_channel(), spatial_frequency=2.0)  # 2 cyc/mm of 50 µm: 0.1 cyc/px
    px = drifting_grating(one_channel(pixel_size_um=None), spatial_frequency=0.1)
    assert torch.equal(um.movie, px.movie)


def test_a_diagonal_moves_along_the_diagonal():
    """At 45° a shift by a pixel up and right is √2 px along the motion."""
    grating = drifting_grating(
        PX, direction=45.0, spatial_frequency=0.1, temporal_frequency=0.1 * math.sqrt(2) * 30
    )
    movie = grating.movie[0]
    assert torch.allclose(movie[1, :-1, 1:], movie[0, 1:, :-1], atol=1e-5)


def test_a_window_shows_part_of_it():
    whole = drifting_grating(PX, spatial_frequency=0.1, centre=(2.0, 1.0))
    part = drifting_grating(PX, spatial_frequency=0.1, centre=(2.0, 1.0), diameter=6.0)
    inside = part.movie[0, :, 7:9, 9:11]  # the centre lies between rows 6, 7 and columns 9, 10
    assert torch.equal(inside, whole.movie[0, :, 7:9, 9:11])
    assert part.movie[0, :, :3].count_nonzero() == 0
    assert part.parameters["diameter_px"] == 6.0


def test_a_counterphase_grating_stands_and_reverses():
    """3 Hz at 30 Hz: 10 frames a cycle, so that 5 frames later all is reversed."""
    grating = counterphase_grating(
        PX, spatial_frequency=0.1, temporal_frequency=3.0, orientation=0.0, phase_deg=90.0
    )
    movie = grating.movie[0].double()
    assert torch.allclose(movie[1], -movie[6], atol=1e-6)
    assert movie[0].abs().max() == 0
    assert movie[3].std(dim=-1).max() < 1e-6  # horizontal bars
    assert np.linalg.matrix_rank(movie.flatten(1).numpy(), tol=1e-4) == 1  # it does not move
    vertical = counterphase_grating(PX, spatial_frequency=0.1, orientation=90.0)
    assert vertical.movie[0, 2].std(dim=-2).max() < 1e-6


def test_a_square_wave_has_two_values_in_equal_parts():
    grating = drifting_grating(
        PX, spatial_frequency=1 / 8, temporal_frequency=3.75, waveform="square", contrast=0.5
    )
    assert set(grating.movie.unique().tolist()) == {-0.5, 0.5}
    assert grating.movie.mean(dim=-1).abs().max() == 0
    assert grating.movie[0, 0, 0, 8:12].tolist() == [0.5] * 4  # bright from the middle on


@pytest.mark.parametrize(
    ("frequency", "cycles", "frames"), [(0.5, 1, 60), (1, 1, 30), (4, 4, 30), (7.5, 8, 32)]
)
def test_the_window_is_whole_cycles_after_it_has_settled(frequency, cycles, frames):
    grating = drifting_grating(screen(), temporal_frequency=frequency)
    start, stop = grating.window
    assert stop - start == frames == round(cycles * 30 / frequency)
    assert start == 19 + 19  # grey, then as long as the model remembers
    assert stop == len(grating)
    assert grating.parameters["window_cycles"] == cycles
    assert grating.notes == ()
    mean = grating.movie[:, start:stop].double().mean(dim=1)
    assert mean.abs().max() < 1e-6  # over whole cycles a grating averages to grey


def test_a_number_of_cycles_or_a_duration_can_be_given():
    three = drifting_grating(screen(), temporal_frequency=2.0, cycles=3, settle_s=0.0)
    assert (three.window, len(three)) == ((19, 19 + 45), 19 + 45)
    # 4 Hz take 7.5 frames: of the 5 cycles that fit in 40 frames, 4 fill whole frames.
    lasting = drifting_grating(screen(), temporal_frequency=4.0, duration_s=40 / 30, settle_s=0.0)
    assert lasting.window == (19 + 10, 19 + 40)
    assert lasting.parameters["window_cycles"] == 4
    with pytest.raises(ValueError, match="cycles, duration_s: expected one of them, got 3 and 2"):
        drifting_grating(screen(), cycles=3, duration_s=2)
    with pytest.raises(ValueError, match=r"cycles: expected a whole number .* got 1.5"):
        drifting_grating(screen(), cycles=1.5)


def test_a_grating_that_completes_no_cycle_says_so():
    grating = drifting_grating(screen(), temporal_frequency=0.5, duration_s=1.0)
    assert grating.window == (19, 49)
    assert any("no whole cycle of 0.5 Hz fits: 1 s hold 0.50 cycles" in n for n in grating.notes)
    assert grating.parameters["window_cycles"] == 0.5


def test_cycles_that_fill_no_whole_frames_say_so():
    grating = drifting_grating(screen(), temporal_frequency=0.7, cycles=1)
    assert any("42.86 frames, not a whole number" in note for note in grating.notes)
    assert grating.window[1] - grating.window[0] == 43


def test_a_standing_grating_and_flicker():
    standing = drifting_grating(screen(), temporal_frequency=0.0)
    assert torch.equal(standing.movie[:, 19], standing.movie[:, -1])
    assert standing.window == (38, 68)
    with pytest.raises(ValueError, match="cycles: a grating that stands completes none"):
        drifting_grating(screen(), temporal_frequency=0.0, cycles=1)
    flicker = drifting_grating(screen(), spatial_frequency=0.0)
    assert flicker.movie.flatten(2).std(dim=-1).max() < 1e-6


@pytest.mark.parametrize("build", [drifting_grating, counterphase_grating])
def test_frequencies_that_cannot_be_shown(build):
    with pytest.raises(ValueError, match=r"temporal_frequency: 16 Hz .* at most 15 Hz can be"):
        build(screen(), temporal_frequency=16)
    with pytest.raises(ValueError, match=r"spatial_frequency: 11 cyc/mm .* at most 10 cyc/mm"):
        build(screen(), spatial_frequency=11)
    with pytest.raises(ValueError, match=r"temporal_frequency: expected at least 0 Hz, got -2"):
        build(screen(), temporal_frequency=-2)
    with pytest.raises(ValueError, match=r"waveform: there is no waveform 'sinus'.*'sine'"):
        build(screen(), waveform="sinus")


def test_a_grating_that_no_pixel_sees_says_so():
    """At half a cycle per pixel the middles of 15 px lie on the nodes of a sine of phase 0."""
    odd = one_channel(pixel_size_um=None, height=15, width=15)
    hidden = counterphase_grating(odd, spatial_frequency=0.5)
    assert hidden.movie.abs().max() < 1e-6
    assert any("another phase_deg shows it" in note for note in hidden.notes)
    shown = counterphase_grating(odd, spatial_frequency=0.5, phase_deg=90.0)
    assert not any("another phase_deg" in note for note in shown.notes)


def test_along_a_diagonal_pixels_show_more():
    most = 0.5 * math.sqrt(2)
    drifting_grating(PX, direction=45.0, spatial_frequency=0.99 * most)
    with pytest.raises(ValueError, match=r"at 45° .* at most 0.7071 cyc/px in this direction"):
        drifting_grating(PX, direction=45.0, spatial_frequency=1.01 * most)
    with pytest.raises(ValueError, match="at 0°"):
        drifting_grating(PX, direction=0.0, spatial_frequency=0.51)


def test_at_nyquist_it_says_what_is_lost():
    in_time = drifting_grating(PX, spatial_frequency=0.1, temporal_frequency=15.0)
    assert any("half the frame rate" in note for note in in_time.notes)
    in_space = drifting_grating(PX, spatial_frequency=0.5)
    assert any("half a cycle per pixel" in note for note in in_space.notes)
    square = drifting_grating(PX, spatial_frequency=0.2, waveform="square")
    assert any("third harmonic" in note for note in square.notes)
    assert any("uneven from one period" in note for note in square.notes)  # 7.5 frames half


def test_a_grating_of_a_shape():
    grating = generate_gratings(
        shape=(3, 2, 30, 8, 8), temporal_frequency=np.float64(2.0), spatial_frequency=1 / 8
    )
    assert grating.shape == (3, 2, 30, 8, 8)
    assert grating.dtype == torch.float32
    assert torch.equal(grating[0], grating[2])
    expected = math.sin(2 * math.pi * ((6 - 3.5) / 8 - 2.0 * 7 / 30))
    assert grating[1, 1, 7, 3, 6].item() == pytest.approx(expected, abs=1e-6)
    half = generate_gratings((1, 2, 30, 8, 8), contrast=0.5, channel_weights=(1.0, 0.0))
    assert half[0, 0].abs().max() <= 0.5
    assert half[0, 1].count_nonzero() == 0
    with pytest.raises(ValueError, match=r"shape: expected five positive lengths .* \(2, 30\)"):
        generate_gratings((2, 30))
    with pytest.raises(ValueError, match=r"temporal_frequency: 20 Hz .* at most 15 Hz"):
        generate_gratings((1, 1, 30, 8, 8), temporal_frequency=20)
    assert generate_gratings((1, 1, 20, 8, 8), temporal_frequency=20, frame_rate=60).shape[2] == 20
