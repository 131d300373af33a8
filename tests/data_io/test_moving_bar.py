"""A bar that moves: where it is, and when its edges reach the centre."""

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import moving_bar
from tests.data_io.screens import one_channel, screen

PX = one_channel(pixel_size_um=None, height=12, width=12, lag=0)
X = torch.arange(12).double() - 5.5
DIRECTIONS = tuple(range(0, 360, 45))


def bar(direction, **changes):
    arguments = {"width": 2.0, "length": 4.0, "speed": 15.0, **changes}
    return moving_bar(PX, direction=direction, **arguments)


def edges(stimulus):
    return {row["what"].split()[0]: row["start_frame"] for row in stimulus.table()}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_moves_in_its_direction_at_its_speed_and_covers_its_area(direction):
    stimulus = bar(direction)
    movie = stimulus.movie[0].double()
    mass = movie.sum(dim=(1, 2))
    assert mass.max().item() == pytest.approx(8.0, rel=0.02)  # 2 × 4 px; corners of a diagonal
    whole = mass > 0.98 * 8.0
    x = (movie.sum(1) @ X)[whole] / mass[whole]
    y = (movie.sum(2) @ -X)[whole] / mass[whole]
    angle = torch.tensor(float(direction)).deg2rad()
    step = torch.stack([x.diff(), y.diff()]).mean(1)
    expected = 0.5 * torch.stack([angle.cos(), angle.sin()])  # 15 px/s at 30 Hz
    assert step.tolist() == pytest.approx(expected.tolist(), abs=0.02)
    # It enters and leaves: nothing of it is seen in the first frame, nor in the last.
    assert mass[0].item() == pytest.approx(0.0, abs=1e-6)
    assert mass[-1].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_direction_takes_equally_long(direction):
    assert len(bar(direction)) == len(bar(0))
    assert edges(bar(direction)) == edges(bar(0))


def test_its_edges_reach_the_centre_when_the_events_say():
    """Between pixels 5 and 6: once the leading edge is there, pixel 5 is full and 6 is empty."""
    stimulus = bar(0.0, width=30.0, speed=30.0)  # a pixel a frame
    found = edges(stimulus)
    lead, trail = found["leading"], found["trailing"]
    assert trail - lead == 4
    row = stimulus.movie[0, :, 5]
    assert (row[lead, 5] == 1) & (row[lead - 1, 5] < 1)
    assert (row[trail, 6] > 0) & (row[trail, 5] < 1)
    half = bar(0.0, width=30.0, speed=30.0, centre=(3.0, 0.0))
    assert half.movie[0, edges(half)["leading"], 5, 8] == 1
    assert half.parameters["centre_px"] == (3.0, 0.0)


def test_an_edge_within_a_pixel_dims_it():
    """At half a pixel a frame, a pixel gains half of its brightness each frame at most."""
    course = bar(0.0).movie[0, :, 5, 6].double()
    assert course.diff().abs().max().item() == pytest.approx(0.5)
    assert course.sum().item() == pytest.approx(4.0 / 0.5)  # 4 px at half a pixel a frame


def test_the_bar_of_baden_et_al_is_the_default():
    stimulus = moving_bar(screen())
    known = stimulus.parameters
    assert (known["width_um"], known["length_um"], known["speed_um_per_s"]) == (300, 1000, 1000)
    assert stimulus.window == (19, len(stimulus))
    found = edges(stimulus)
    assert found["trailing"] - found["leading"] == 30  # 1000 µm at 1000 µm/s
    assert known["after_s"] == pytest.approx(19 / 30)


def test_on_dark_all_but_the_bar_is_dark():
    stimulus = moving_bar(screen(), background=-1.0)
    assert stimulus.movie[:, :19].unique().tolist() == [-1.0]
    assert stimulus.movie[:, -1].unique().tolist() == [-1.0]
    assert stimulus.movie.max() == 1.0
    assert any(row["what"] == "bright bar crosses the screen" for row in stimulus.table())
    dark = moving_bar(screen(), contrast=-1.0)
    assert any(row["what"] == "dark bar crosses the screen" for row in dark.table())
    with pytest.raises(ValueError, match="contrast: -1 is that of the background"):
        moving_bar(screen(), contrast=-1.0, background=-1.0)


def test_a_bar_that_is_too_large_too_fast_or_misses_is_answered_in_words():
    wide = moving_bar(screen(), width=900.0, length=300.0)
    assert any("wider than the screen (900 µm across" in note for note in wide.notes)
    assert not any("wider" in note for note in moving_bar(screen(), width=899.0).notes)
    long = moving_bar(screen(), direction=90.0)
    assert any("longer than the screen (900 µm along" in note for note in long.notes)
    with pytest.raises(ValueError, match=r"centre: a bar of 300 µm that moves at 0° .* misses"):
        moving_bar(screen(), centre=(0.0, 700.0))
    with pytest.raises(ValueError, match=r"speed: at 1e\+06 µm/s .* try 4500 µm/s"):
        moving_bar(screen(), length=300.0, speed=1e6)
    fast = moving_bar(screen(), length=300.0, speed=6000.0)
    assert any("it jumps" in note for note in fast.notes)
    for name in ("width", "length", "speed"):
        with pytest.raises(ValueError, match=f"{name}: expected more than 0 µm"):
            moving_bar(screen(), **{name: 0})


def test_direction_selective_cells_prefer_the_direction_that_was_built_in():
    model = orw.load_model("synthetic")
    # As wide as the screen, so that every cell sees all of it: a narrow bar misses some.
    movies = [moving_bar(model, direction=d, width=2500.0).movie for d in DIRECTIONS]
    with torch.no_grad():
        mean = model(torch.stack(movies)).mean(dim=1).double()
        grey = model(torch.zeros(model.stimulus_shape(time_steps=model.lag + 1)))[0, 0]
    angles = torch.tensor(DIRECTIONS).deg2rad()
    vector = ((mean - grey) * torch.exp(1j * angles)[:, None]).sum(0)
    checked = 0
    for cell in model.module.ground_truth:
        if cell.preferred_direction_deg is not None:
            error = vector[cell.index].angle().rad2deg().item() - cell.preferred_direction_deg
            assert abs((error + 180) % 360 - 180) < 15, cell
            checked += 1
    assert checked >= 6
