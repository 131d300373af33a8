"""Spots, annuli, flashes, contrast steps, the chirp and the chromatic grid, counted by hand."""

import math

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import (
    annulus,
    centre_surround,
    chirp,
    chromatic_contrast,
    contrast_steps,
    flash,
    spot,
)
from tests.data_io.screens import one_channel, screen

PIXEL_UM2 = 2500.0


def shown(stimulus):
    """What is seen in the first frame after the lead-in."""
    return stimulus.movie[0, stimulus.onset].double()


def events(stimulus):
    return {
        row["what"]: (row["start_frame"] - stimulus.onset, row["stop_frame"] - stimulus.onset)
        for row in stimulus.table()
    }


@pytest.mark.parametrize("diameter", [20.0, 50.0, 100.0, 333.0, 700.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (37.0, -61.0), (-25.0, 25.0)])
def test_a_spot_covers_its_area_around_its_centre(diameter, centre):
    image = shown(spot(screen(height=20, width=20), diameter=diameter, centre=centre))
    assert image.sum().item() * PIXEL_UM2 == pytest.approx(math.pi * diameter**2 / 4, rel=1e-5)
    x = (torch.arange(20) - 9.5).double() * 50
    # Within a pixel nobody can tell where; a spot over several is centred to a few µm.
    tolerance = 25.0 if diameter < 100.0 else 2.0
    assert (image.sum(0) @ x / image.sum()).item() == pytest.approx(centre[0], abs=tolerance)
    assert (image.sum(1) @ -x / image.sum()).item() == pytest.approx(centre[1], abs=tolerance)


def test_the_pixels_of_a_small_spot_counted_by_hand():
    """A disc of 2 px on the corner of four pixels covers each by a quarter of its area."""
    image = shown(spot(one_channel(pixel_size_um=None), diameter=2.0))
    assert image[8:10, 7:9].flatten().tolist() == pytest.approx([math.pi / 4] * 4)
    assert image.count_nonzero() == 4
    up_and_right = shown(spot(one_channel(pixel_size_um=None), diameter=2.0, centre=(3.0, 5.0)))
    assert torch.allclose(up_and_right[3:5, 10:12], image[8:10, 7:9])
    half_a_pixel = shown(spot(one_channel(pixel_size_um=None), diameter=0.5, centre=(0.5, 0.5)))
    assert half_a_pixel[8, 8].item() == pytest.approx(math.pi / 16)


def test_an_annulus_is_a_spot_without_its_middle():
    ring = shown(annulus(screen(), inner_diameter=200.0, outer_diameter=500.0, contrast=-0.5))
    outer = shown(spot(screen(), diameter=500.0))
    inner = shown(spot(screen(), diameter=200.0))
    assert torch.allclose(ring, -0.5 * (outer - inner))
    with pytest.raises(ValueError, match="outer_diameter: expected more than inner_diameter, 300"):
        annulus(screen(), inner_diameter=300.0, outer_diameter=300.0)


def test_a_spot_and_its_surround_fill_the_screen_without_a_seam():
    both = shown(
        centre_surround(screen(), spot_diameter=230.0, spot_contrast=0.8, surround_contrast=0.8)
    )
    assert torch.allclose(both, torch.full_like(both, 0.8))
    opposed = centre_surround(screen(), spot_diameter=200.0, centre=(300.0, 300.0))
    assert shown(opposed).min() == -1.0
    assert opposed.notes == ()
    part = centre_surround(
        screen(), spot_diameter=100.0, inner_diameter=200.0, outer_diameter=400.0
    )
    assert shown(part)[9, 9:13].tolist() == pytest.approx(
        (shown(spot(screen(), diameter=100.0)) - shown(spot(screen(), diameter=400.0))
         + shown(spot(screen(), diameter=200.0)))[9, 9:13].tolist(), abs=1e-6
    )  # fmt: skip
    with pytest.raises(ValueError, match="inner_diameter: expected at least that of the spot"):
        centre_surround(screen(), spot_diameter=100.0, inner_diameter=50.0)


def test_off_the_screen_and_over_its_edge():
    with pytest.raises(
        ValueError,
        match=r"centre: a spot of 100 µm around \(900, 0\) µm lies off the screen, .* 800 × 900 µm",
    ):
        spot(screen(), diameter=100.0, centre=(900.0, 0.0))
    with pytest.raises(ValueError, match="centre: a spot of 100 µm"):
        flash(screen(), diameter=100.0, centre=(0.0, 600.0))
    with pytest.raises(ValueError, match="centre: an annulus of 2000 to 2100 µm"):
        annulus(screen(), inner_diameter=2000.0, outer_diameter=2100.0)
    cut = spot(screen(), diameter=1000.0)
    assert any("reaches beyond the screen of 800 × 900 µm" in note for note in cut.notes)
    assert spot(screen(), diameter=800.0).notes == ()
    for bad in (0.0, -5.0):
        with pytest.raises(ValueError, match="diameter: expected more than 0 µm"):
            spot(screen(), diameter=bad)


def test_a_flash_goes_on_and_off():
    stimulus = flash(screen(), contrast=0.5, on_s=1.0, off_s=0.5, repeats=2)
    course = stimulus.movie[0, :, 0, 0]
    assert course.tolist() == [0.0] * 19 + ([0.5] * 30 + [0.0] * 15) * 2
    assert stimulus.window == (19, 49)
    assert [row["what"] for row in stimulus.table()] == ["grey", *["ON step", "OFF step"] * 2]
    assert stimulus.table()[2]["start_s"] == pytest.approx((19 + 30) / 30)


def test_a_dark_flash_begins_with_an_off_step():
    dark = flash(screen(), contrast=-1.0)
    assert events(dark)["OFF step"] == (0, 30)
    assert events(dark)["ON step"] == (30, 60)
    on_dark = flash(screen(), contrast=1.0, background=-1.0, diameter=200.0)
    assert on_dark.movie[0, :19].unique().tolist() == [-1.0]
    assert on_dark.movie[0, 20, 9, 8] == 1.0
    assert on_dark.movie[0, 20, 0, 0] == -1.0
    assert on_dark.table()[0]["what"] == "background of contrast -1"
    with pytest.raises(ValueError, match="contrast: 0 is that of the background"):
        flash(screen(), contrast=0.0)
    with pytest.raises(ValueError, match="repeats: expected a whole number of at least 1, got 0"):
        flash(screen(), repeats=0)


def test_frames_do_not_drift():
    """0.35 s are 10.5 frames: 20 of them are 210 frames, not 20 times 10 or 11."""
    stimulus = flash(screen(lag=0), on_s=0.35, off_s=0.35, repeats=10)
    assert len(stimulus) == 210


def test_contrast_steps_rise_and_flicker():
    stimulus = contrast_steps(screen(), step_s=1.5, pause_s=0.5)
    found = events(stimulus)
    levels = (10, 20, 40, 60, 80, 100)
    assert [f"{level} % contrast" for level in levels] == list(found)[1:]
    for k, level in enumerate(levels):
        start, stop = found[f"{level} % contrast"]
        assert (start, stop) == (60 * k, 60 * k + 45)
        part = stimulus.movie[0, 19 + start : 19 + stop, 4, 4]
        assert part.abs().max().item() == pytest.approx(level / 100, rel=0.01)
        assert part[5].item() == pytest.approx(level / 100 * math.sin(2 * math.pi * 2 * 5 / 30))
        assert part.sum().abs() < 1e-5  # three cycles of 15 frames
        assert stimulus.movie[0, 19 + stop : 19 + stop + 15].count_nonzero() == 0
    local = contrast_steps(screen(), diameter=100.0, waveform="square")
    assert local.movie[0, :, 0].count_nonzero() == 0
    assert local.movie[0, -1, 9, 8].abs().item() == pytest.approx(math.pi / 4)
    with pytest.raises(ValueError, match=r"contrasts: expected a modulation depth .* got 1.2"):
        contrast_steps(screen(), contrasts=(0.5, 1.2))
    with pytest.raises(ValueError, match="contrasts: expected at least one"):
        contrast_steps(screen(), contrasts=())


@pytest.mark.parametrize("rate", [7.5, 15.0, 30.0, 60.0, 62.5])
def test_the_landmarks_of_the_chirp(rate):
    stimulus = chirp(screen(frame_rate=rate))
    assert len(stimulus) - stimulus.onset == round(33 * rate)
    landmarks = {row["what"]: row for row in stimulus.table()}
    onset_s = stimulus.onset / rate
    for what, start, stop in (
        ("ON step", 2, 5),
        ("OFF step", 5, 8),
        ("frequency sweep", 10, 18),
        ("contrast ramp", 20, 28),
    ):
        assert landmarks[what]["start_s"] - onset_s == pytest.approx(start, abs=0.5001 / rate)
        assert landmarks[what]["stop_s"] - onset_s == pytest.approx(stop, abs=0.5001 / rate)
    assert any("cannot be shown" in note for note in stimulus.notes) == (rate < 16)


def test_the_course_of_the_chirp():
    course = chirp(screen(frame_rate=60.0, lag=0)).movie[1, :, 3, 3].double()

    def at(seconds):
        return course[round(seconds * 60)].item()

    for seconds, level in ((0, -1), (1.9, -1), (2, 1), (4.9, 1), (5, -1), (8, 0), (9.9, 0)):
        assert at(seconds) == level
    for seconds, level in ((18, 0), (19.9, 0), (28, 0), (29.9, 0), (30, -1), (32.9, -1)):
        assert at(seconds) == level
    for seconds in (0.5, 3.25, 7.75):  # sin(π t²): 1 Hz/s from 0 to 8 Hz
        assert at(10 + seconds) == pytest.approx(math.sin(math.pi * seconds**2), abs=1e-6)
    for seconds in (0.1, 4.2, 7.9):  # 2 Hz, 0 to 100 % in 8 s
        expected = seconds / 8 * math.sin(4 * math.pi * seconds)
        assert at(20 + seconds) == pytest.approx(expected, abs=1e-6)
    half = chirp(screen(frame_rate=60.0, lag=0), contrast=0.5).movie[1, :, 3, 3].double()
    assert torch.allclose(half, 0.5 * course)
    local = chirp(screen(), diameter=300.0)
    assert local.movie[:, :, 0].count_nonzero() == 0
    with pytest.raises(ValueError, match="contrast: expected more than 0, got 0"):
        chirp(screen(), contrast=0)


def test_a_cell_of_the_chromatic_grid():
    stimulus = chromatic_contrast(screen(), green=-0.5, uv=1.0, after_s=0.5)
    assert stimulus.movie[0, 19:49].unique().tolist() == [-0.5]
    assert stimulus.movie[1, 19:49].unique().tolist() == [1.0]
    assert stimulus.movie[:, 49:].count_nonzero() == 0
    assert stimulus.window == (19, 49)
    assert stimulus.table()[1]["what"] == "green -0.5, UV +1"
    with pytest.raises(
        ValueError, match=r"needs two channels, green and UV; this one shows 1: luminance"
    ):
        chromatic_contrast(one_channel(), green=1.0, uv=1.0)
    with pytest.raises(ValueError, match=r"uv: expected a contrast in \[-1, 1\], got 2"):
        chromatic_contrast(screen(), green=1.0, uv=2)
    other = chromatic_contrast(screen(channels=("red", "blue")), green=1.0, uv=0.0)
    assert any("the first is green here" in note for note in other.notes)


def test_known_cells_answer_to_known_steps():
    """On the synthetic retina ON cells answer to the flash, OFF cells to the step back."""
    model = orw.load_model("synthetic")
    truth = model.module.ground_truth
    stimulus = flash(model, on_s=0.5, off_s=0.5)
    with torch.no_grad():
        rates = model(stimulus.batch)[0]
        grey = model(torch.zeros(model.stimulus_shape(time_steps=model.lag + 1)))[0, 0]
    found = events(stimulus)
    on = (rates[slice(*found["ON step"])] - grey).clamp_min(0).amax(0)
    off = (rates[slice(*found["OFF step"])] - grey).clamp_min(0).amax(0)
    for cell in truth:
        if cell.circuit == "linear" and cell.cell_type.startswith("ON trans"):
            assert on[cell.index] > off[cell.index]
        if cell.circuit == "linear" and cell.cell_type.startswith("OFF trans"):
            assert off[cell.index] > on[cell.index]
    assert {c.cell_type for c in truth} >= {"ON transient", "OFF transient"}
