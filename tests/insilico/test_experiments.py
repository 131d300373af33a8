"""The experiments: their values, their stimuli, and the embedded retina's known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openretina_widgets import load_model
from openretina_widgets.data_io.artificial_stimuli import Screen
from openretina_widgets.insilico.tuning_analyses import (
    Axis,
    Experiment,
    TuningCurves,
    experiments,
    sweep,
)
from openretina_widgets.models.synthetic_cells import GroundTruth

MODEL = load_model("synthetic")
CELLS: tuple[GroundTruth, ...] = MODEL.module.ground_truth
SCREEN = Screen.of(MODEL)
ON_OFF_DS = [c for c in CELLS if c.cell_type.startswith("ON-OFF DS")]
ON_DS = [c for c in CELLS if c.cell_type.startswith("ON DS")]
OS = [c for c in CELLS if c.cell_type.startswith("OS")]


def of_type(*names: str) -> list[GroundTruth]:
    return [cell for cell in CELLS if cell.cell_type in names]


def angle_between(a: float, b: float, period: float) -> float:
    return abs((a - b + period / 2) % period - period / 2)


@pytest.fixture(scope="module")
def swept() -> dict[str, TuningCurves]:
    return {name: sweep(MODEL, experiments.standard(name, MODEL)) for name in experiments.NAMES}


# What is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.NAMES)
@pytest.mark.parametrize(
    "screen",
    [
        SCREEN,
        Screen(("green", "UV"), 36, 64, frame_rate=60.0, pixel_size_um=12.5, lag=9),
        Screen(("green", "UV"), 8, 8, frame_rate=10.0, lag=0),
    ],
    ids=["synthetic", "fine", "coarse"],
)
def test_every_standard_condition_can_be_shown(name, screen):
    experiment = experiments.standard(name, screen)
    assert experiment.name == name
    assert len(experiment.conditions()) == len(experiment)
    for condition in experiment.conditions():
        stimulus = experiment.stimulus(screen, **condition)
        assert bool(torch.isfinite(stimulus.movie).all())
        start, stop = stimulus.response_window
        assert 0 <= start < stop <= len(stimulus) - screen.lag
    assert all(axis.unit != "of the screen" for axis in experiment.axes)


def test_standard_values_suit_the_screen():
    spatial = experiments.standard("spatial_frequency", MODEL).axis("spatial_frequency")
    assert spatial.unit == "cyc/mm"
    assert spatial.values[[0, -1]].tolist() == [1.25, 8.0]  # 1 / 800 µm, and 0.4 / 50 µm
    temporal = experiments.standard("temporal_frequency", MODEL).axis("temporal_frequency")
    assert temporal.values[[0, -1]].tolist() == [0.5, 12.0]
    diameters = experiments.standard("size", MODEL).axis("diameter")
    assert diameters.unit == "µm"
    assert diameters.values[[0, -1]].tolist() == [50.0, 1200.0]
    unknown = Screen(("luminance",), 8, 8)
    assert experiments.standard("size", unknown).axis("diameter").unit == "px"
    assert experiments.standard("spatial_frequency", unknown).axes[0].unit == "cyc/px"


def test_conditions_are_every_combination_the_last_axis_fastest():
    experiment = experiments.drifting_gratings(directions=[0, 90], temporal_frequencies=[1, 2, 4])
    assert experiment.shape == (2, 3)
    assert experiment.conditions()[:4] == [
        {"direction": 0.0, "temporal_frequency": 1.0},
        {"direction": 0.0, "temporal_frequency": 2.0},
        {"direction": 0.0, "temporal_frequency": 4.0},
        {"direction": 90.0, "temporal_frequency": 1.0},
    ]


def test_a_condition_may_lie_between_those_of_the_sweep():
    experiment = experiments.drifting_gratings(temporal_frequencies=3.0)
    stimulus = experiment.stimulus(MODEL, direction=37.0)
    assert stimulus.parameters["direction_deg"] == 37.0
    assert stimulus.parameters["temporal_frequency_hz"] == 3.0


def test_bars_of_an_orientation_lie_as_it_says():
    for kind in ("drifting", "counterphase"):
        experiment = experiments.orientation(4, kind=kind)
        for degrees in (0.0, 45.0, 90.0, 135.0):
            stimulus = experiment.stimulus(MODEL, orientation=degrees)
            assert stimulus.parameters["orientation_deg"] == degrees
        movie = experiment.stimulus(MODEL, orientation=0.0).movie
        assert torch.allclose(movie, movie[..., :1])  # horizontal bars: rows do not change


def test_polarity_is_the_sign_of_the_contrast():
    for experiment in (experiments.size_tuning([200.0]), experiments.flash(diameter=200.0)):
        for polarity in (-1.0, 1.0):
            stimulus = experiment.stimulus(MODEL, polarity=polarity, centre=(0.0, 0.0))
            assert stimulus.parameters["contrast"] == polarity


# What is refused -----------------------------------------------------------------------------


def test_one_direction_tells_nothing_of_selectivity():
    for make in (
        lambda: experiments.drifting_gratings(directions=[90]),
        lambda: experiments.drifting_gratings(directions=1),
        lambda: experiments.moving_bar(directions=[0]),
        lambda: experiments.orientation([45]),
    ):
        with pytest.raises(ValueError, match=r"one value only, .* tells nothing of selectivity"):
            make()


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no experiment 'directions'.*'direction'"):
        experiments.standard("directions", MODEL)
    experiment = experiments.drifting_gratings()
    with pytest.raises(ValueError, match=r"no axis 'directon'.*'direction'"):
        experiment.stimulus(MODEL, directon=3)
    with pytest.raises(ValueError, match=r"no axis 'size'"):
        experiment.axis("size")
    with pytest.raises(ValueError, match="no grating 'still'"):
        experiments.orientation(kind="still")


def test_one_channel_has_no_chromatic_tuning():
    screen = Screen(("luminance",), 8, 8)
    with pytest.raises(ValueError, match="compares two channels"):
        experiments.standard("chromatic", screen)
    with pytest.raises(ValueError, match="needs two channels"):
        experiments.chromatic().stimulus(screen)


def test_frequencies_above_what_can_be_shown_are_refused_before_the_first_step():
    with pytest.raises(ValueError, match="temporal_frequency: 20 Hz is above half"):
        sweep(MODEL, experiments.drifting_gratings(temporal_frequencies=20.0))


def test_an_experiment_needs_axes_with_names_of_their_own():
    def build(screen, condition):
        pytest.fail("nothing is to be shown yet")

    with pytest.raises(ValueError, match="at least one axis"):
        Experiment("x", "X", (), build)
    axis = Axis.of("a", [1, 2])
    with pytest.raises(ValueError, match="a name came twice"):
        Experiment("x", "X", (axis, axis), build)
    with pytest.raises(ValueError, match="no axis 'b'"):
        Experiment("x", "X", (axis,), build, polar="b")


# The embedded retina's known answers ---------------------------------------------------------


@pytest.mark.parametrize("name", ["direction", "moving_bar"])
def test_preferred_directions_are_as_built(swept, name):
    indices = swept[name].indices()
    for cell in (*ON_OFF_DS, *ON_DS):
        assert indices["dsi"][cell.index] >= 0.5, cell
        found = indices["preferred_direction"][cell.index]
        assert angle_between(found, cell.preferred_direction_deg, 360) <= 15, cell
    other = [c.index for c in CELLS if c.preferred_direction_deg is None]
    dsi = indices["dsi"][other]
    assert np.nanmax(dsi) <= 0.1


def test_preferred_orientations_are_as_built(swept):
    for name, key in (("orientation", "osi"), ("direction", "osi")):
        indices = swept[name].indices()
        for cell in OS:
            assert indices[key][cell.index] >= 0.5, (name, cell)
            found = indices["preferred_orientation"][cell.index]
            assert angle_between(found, cell.preferred_orientation_deg, 180) <= 15, (name, cell)
    assert swept["direction"].indices()["dsi"][[c.index for c in OS]].max() <= 0.02


def test_transient_cells_are_band_pass_and_their_twins_low_pass(swept):
    """F1 of whole-field flicker: without bars the surround is there at every frequency."""
    curves = sweep(
        MODEL,
        experiments.temporal_frequency(
            [0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 12.0],
            directions=[0.0],
            contrast=0.2,
            spatial_frequency=0.0,
        ),
    )
    f1 = curves.f1[:, 0] / curves.f1[:, 0].max(axis=0)
    for cell in of_type("ON transient", "OFF transient"):
        own, twin = f1[:, cell.index], f1[:, cell.twin]
        assert own[0] < 0.3, cell
        assert 2 <= int(own.argmax()) <= 4, cell
        assert own[-1] < 0.2, cell
        assert twin[0] > 0.8, cell
        assert twin[-1] < 0.2, cell


def test_on_off_indices_are_as_built(swept):
    found = swept["flash"].indices()["on_off"]
    for cell in CELLS:
        if cell.on_off_index_range is not None and cell.circuit != "direction":
            low, high = cell.on_off_index_range
            assert low <= found[cell.index] <= high, (cell, found[cell.index])


def test_transience_tells_transient_cells_from_their_twins(swept):
    found = swept["flash"].indices()["transience"]
    for cell in of_type("ON transient", "OFF transient"):
        assert found[cell.index] >= 0.9, cell
        assert found[cell.twin] <= 0.3, cell


def test_area_summation_peaks_and_falls_only_with_a_surround(swept):
    indices = swept["size"].indices()
    for cell in of_type(
        *(f"{p} sustained{w}" for p in ("ON", "OFF") for w in ("", ", no surround"))
    ):
        suppression = indices["suppression"][cell.index]
        if cell.surround_sigma_um is None:
            assert suppression <= 0.02, cell
        else:
            assert suppression >= 0.3, cell
            assert 200 <= indices["preferred_diameter"][cell.index] <= 450, cell


def test_contrast_suppresses_those_that_it_should(swept):
    curves = swept["contrast"]
    contrasts, responses = curves.curve("contrast", direction=0)
    assert contrasts[-1] == 1.0
    cells = [cell.index for cell in of_type("suppressed by contrast")]
    below = responses[:, cells] - curves.baseline[cells]
    assert (below[-1] < -0.1).all()
    assert (np.diff(below, axis=0) <= 1e-4).all()


def test_the_opponent_cell_prefers_its_quadrant(swept):
    curves = swept["chromatic"]
    green, uv = (curves.axis(name).values for name in ("green", "uv"))
    for cell in of_type("colour opponent"):
        grid = curves.responses[..., cell.index]
        best = np.unravel_index(int(grid.argmax()), grid.shape)
        assert (green[best[0]], uv[best[1]]) == (-1.0, 1.0), cell
        np.testing.assert_allclose(np.diag(grid), curves.baseline[cell.index], atol=1e-3)


def test_the_linear_control_is_the_cells_own_response():
    curves = sweep(
        MODEL, experiments.drifting_gratings(), neurons=[0, 1], controls="linear control"
    )
    cells = [cell.index for cell in of_type("linear control")]
    assert curves.settings["linear_control_neurons"] == cells
    own = sweep(MODEL, experiments.drifting_gratings(), neurons=cells)
    np.testing.assert_allclose(curves.controls["linear control"], own.responses, atol=1e-5)
    assert np.nanmax(own.indices()["dsi"]) < 0.02
