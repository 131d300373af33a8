"""What tuning, receptive fields and comparisons answer to bad input, case by case, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openretina_widgets as orw
from openretina_widgets.data_io import artificial_stimuli as stimuli
from openretina_widgets.data_io.artificial_stimuli import Screen
from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.comparison import compare_receptive_fields, compare_tuning
from openretina_widgets.insilico.population import SelectivityTable
from openretina_widgets.insilico.receptive_fields import spike_triggered_average
from openretina_widgets.insilico.tuning_analyses import (
    Axis,
    Experiment,
    experiments,
    fits,
    selectivity,
)
from openretina_widgets.models import RetinaModel
from tests.shared_data import shared_data

NAN, INF = float("nan"), float("inf")
MODEL = orw.load_model("synthetic")
FOUR = np.array([0.0, 90.0, 180.0, 270.0])
CURVE = (FOUR, [1.0, 3.0, 1.0, 2.0])


class OddNeurons(nn.Module):
    """A silent neuron, a constant one, one that is always below zero, and a rectified filter."""

    def __init__(self, lag: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.filters = nn.Parameter(torch.randn(4, 1, lag + 1, 6, 6, generator=generator))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        drive = nn.functional.conv3d(stimulus, self.filters)[..., 0, 0]
        constant = torch.full_like(drive[:, 1], 2.5)
        below = -1 - drive[:, 2].abs()
        return torch.stack([0 * constant, constant, below, drive[:, 3].relu()], dim=2)


SILENT, CONSTANT, NEGATIVE, FILTER = range(4)
ODD = {lag: RetinaModel(OddNeurons(lag), input_shape=(1, 6, 6)) for lag in (0, 3)}


def says(words: str, error: type[Exception] = ValueError) -> Any:
    """Expect an error whose message holds these words."""
    return pytest.raises(error, match=re.escape(words))


def swept(experiment: Experiment, **settings: Any) -> Any:
    return orw.sweep(MODEL, experiment, **({"neurons": [0, 1]} | settings))


def shown_by(build: Callable[[Screen], Any]) -> Experiment:
    axis = Axis("contrast", np.array([0.5, 1.0]))
    return Experiment("own", "Own", (axis,), lambda screen, _: build(screen))


# What a screen and a frame rate can show ----------------------------------------------------------


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (
            experiments.temporal_frequency([1.0, 20.0]),
            "temporal_frequency: 20 Hz is above half the frame rate of 30 Hz; at most 15 Hz",
        ),
        (
            experiments.drifting_gratings(temporal_frequencies=20.0),
            "temporal_frequency: 20 Hz is above half the frame rate of 30 Hz; at most 15 Hz",
        ),
        (
            experiments.spatial_frequency([1.0, 20.0]),
            "spatial_frequency: 20 cyc/mm at 0° is 1 cycles per pixel along one side, above the "
            "0.5 that pixels can show; at most 10 cyc/mm",
        ),
    ],
)
def test_frequency_above_nyquist_is_refused(experiment: Experiment, words: str):
    with says(words):
        swept(experiment)


@pytest.mark.parametrize("build", [stimuli.drifting_grating, stimuli.counterphase_grating])
def test_grating_that_does_not_complete_a_cycle_says_so(build: Callable[..., Any]):
    grating = build(MODEL, temporal_frequency=0.5, duration_s=1.0)
    assert "no whole cycle of 0.5 Hz fits: 1 s hold 0.50 cycles" in grating.notes[0]


def test_sweep_of_gratings_without_a_whole_cycle_says_so_and_has_no_f1():
    curves = swept(
        experiments.drifting_gratings(directions=4, temporal_frequencies=0.5, duration_s=1.0)
    )
    assert "no whole cycle of 0.5 Hz fits" in curves.notes[0]
    assert curves.f1 is None


def test_bar_wider_than_the_screen_says_so():
    bar = stimuli.moving_bar(MODEL, width=5000.0)
    assert "the bar is 5000 µm wide, wider than the screen (900 µm" in bar.notes[0]


def test_bar_that_misses_the_screen_is_refused():
    with says("centre: a bar of 100 µm that moves at 0° through (0.0, 5000.0) µm misses"):
        stimuli.moving_bar(MODEL, centre=(0.0, 5000.0), width=100.0)


def test_spot_off_the_screen_is_refused_and_one_at_its_edge_is_noted():
    off = "lies off the screen, which is 800 × 900 µm around (0, 0)"
    with says(off):
        stimuli.spot(MODEL, diameter=100.0, centre=(5000.0, 0.0))
    with says(off):
        swept(experiments.size_tuning([100.0]), centres=[(0.0, 0.0), (5000.0, 0.0)])
    assert "its edge is cut" in stimuli.spot(MODEL, diameter=100.0, centre=(400.0, 0.0)).notes[0]


# Curves that determine nothing --------------------------------------------------------------------


def test_one_direction_alone_is_refused_as_an_experiment():
    with says("direction: one value only, 45°, tells nothing of selectivity"):
        experiments.drifting_gratings(directions=[45.0])


def test_one_direction_in_another_experiment_has_no_dsi_but_a_reason():
    curves = swept(experiments.spatial_frequency([2.0, 4.0], directions=[0.0]))
    assert np.isnan(curves.indices()["dsi"]).all()
    found = selectivity.direction_selectivity(np.ones((1, 2)), [0.0])
    assert found.reasons == ("one direction only",) * 2
    assert np.isnan(found.preferred_deg.values).all()


@pytest.mark.parametrize("angles", [[0.0, 360.0], [-90.0, 270.0, 10.0]])
def test_the_same_direction_twice_is_refused(angles: list[float]):
    with says("since 360° is a whole turn"):
        experiments.drifting_gratings(directions=angles)


def test_the_same_orientation_twice_is_refused():
    with says("orientation: 0° came twice in [0.0, 90.0, 180.0], since 180° is a whole turn"):
        experiments.orientation([0.0, 90.0, 180.0])


def test_silent_constant_and_negative_neurons_in_a_sweep():
    curves = orw.sweep(ODD[3], experiments.standard("direction", ODD[3]))
    dsi = curves.indices()["dsi"]
    assert np.isnan(dsi[[SILENT, NEGATIVE]]).all()
    assert dsi[CONSTANT] == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(curves.indices()["preferred_direction"][CONSTANT])


def test_negative_responses_are_rectified_and_it_is_said():
    responses = np.array([[-1.0, 3.0, -1.0, -1.0]]).T
    found = selectivity.direction_selectivity(responses, FOUR)
    assert found.vector_index.values == pytest.approx(1.0)  # all of it is at 90°
    assert found.rectified.tolist() == [True]


@pytest.mark.parametrize("level", [0.0, 2.0])
@pytest.mark.parametrize(
    "fit", [fits.fit_naka_rushton, fits.fit_log_gaussian, fits.fit_area_summation]
)
def test_silent_and_constant_neurons_are_not_fitted(fit: Callable[..., Any], level: float):
    found = fit(np.full((5, 1), level), [0.1, 0.2, 0.4, 0.8, 1.0])
    assert found.reasons == ("not determined: the same response to every condition",)
    assert np.isnan(found.parameters).all()


@pytest.mark.parametrize("lag", [0, 3])
def test_average_without_spikes_is_not_known_and_says_why(lag: int):
    fields = orw.receptive_fields(ODD[lag], method="sta", frames=300)
    assert fields.reasons[SILENT] == "no response to the noise"
    assert fields.reasons[CONSTANT] == "the response to the noise is constant"
    assert fields.reasons[NEGATIVE] == "no response to the noise"
    assert np.isnan(fields.fields[[SILENT, CONSTANT, NEGATIVE]]).all()
    assert np.isfinite(fields.fields[FILTER]).all()


def test_average_of_a_recording_without_spikes_is_nan():
    stimulus = np.random.default_rng(0).normal(size=(1, 50, 3, 3))
    spikes = np.zeros((50, 2))
    spikes[20, 1] = 1
    silent, one = spike_triggered_average(stimulus, spikes, 3)
    assert np.isnan(silent).all()
    np.testing.assert_allclose(one, stimulus[:, 17:21])


# Models that cannot -------------------------------------------------------------------------------


def test_model_without_lag_says_what_it_cannot_tell():
    curves = orw.sweep(ODD[0], experiments.standard("direction", ODD[0]))
    assert any("the model has no lag" in note for note in curves.notes)
    fields = orw.receptive_fields(ODD[0])
    assert "The model sees one frame: there is no kernel in time." in fields.notes
    assert fields.fields.shape[2] == 1
    with says("0 frames are too short, since the model consumes 0"):
        ODD[0](torch.zeros(1, 1, 0, 6, 6))


def test_model_of_static_images():
    path = shared_data("openretina_checkpoints") / "goldin_2022_mouse.ckpt"
    model = orw.load_model(str(path))
    assert model.lag == 0
    curves = orw.sweep(model, experiments.drifting_gratings(directions=4), neurons=[0, 1])
    assert any("it can tell neither directions of motion" in note for note in curves.notes)
    fields = orw.receptive_fields(model, neurons=[0, 1])
    assert "The model sees one frame: there is no kernel in time." in fields.notes


@pytest.mark.parametrize("name", ["built", "goldin_2022_mouse"])
def test_one_channel_has_no_chromatic_tuning(name: str):
    model = ODD[3]
    if name != "built":
        model = orw.load_model(str(shared_data("openretina_checkpoints") / f"{name}.ckpt"))
    with says("compares two channels, green and UV; this model has one, luminance"):
        experiments.standard("chromatic", model)
    with says("needs two channels, green and UV; this one shows 1: luminance"):
        orw.sweep(model, experiments.chromatic(), neurons=[0])


# Memory -------------------------------------------------------------------------------------------


def test_condition_that_does_not_fit_is_refused_with_both_numbers():
    with says("takes 1.35 MB, more than the 0.001 MB that were given", OutOfMemory):
        swept(experiments.drifting_gratings(directions=2), memory_mb=0.001)


def test_more_conditions_than_memory_are_refused_before_the_first():
    many = experiments.drifting_gratings(
        directions=3600,
        contrasts=np.linspace(0.01, 1.0, 3600),
        temporal_frequencies=np.linspace(1.0, 15.0, 500),
    )
    with says("take at most", OutOfMemory) as refused:
        swept(many)
    assert "2 neurons in 6480000000 conditions" in str(refused.value)


@pytest.mark.parametrize(
    ("build", "settings", "argument"),
    [
        (stimuli.drifting_grating, {"duration_s": 1e9}, "duration_s"),
        (stimuli.drifting_grating, {"cycles": 10**9}, "cycles"),
        (stimuli.drifting_grating, {"temporal_frequency": 1e-9}, "temporal_frequency"),
        (stimuli.drifting_grating, {"settle_s": 1e9, "duration_s": 1.0}, "settle_s"),
        (stimuli.moving_bar, {"speed": 1e-5}, "speed"),
        (stimuli.flash, {"repeats": 10**9}, "repeats"),
        (stimuli.binary_noise, {"duration_s": 1e9}, "duration_s"),
        (stimuli.flash, {"before_s": 1e9}, "before_s"),
    ],
)
def test_stimulus_longer_than_memory_is_refused_before_it_is_made(
    build: Callable[..., Any], settings: dict[str, Any], argument: str
):
    with pytest.raises(OutOfMemory, match=rf"^{argument}: a stimulus of .* GB that are free"):
        build(MODEL, **settings)


# Numbers that are none ----------------------------------------------------------------------------

BUILDERS = {
    "drifting_grating": ("spatial_frequency", "temporal_frequency", "direction", "contrast"),
    "counterphase_grating": ("spatial_frequency", "temporal_frequency", "phase_deg"),
    "moving_bar": ("direction", "width", "length", "speed", "contrast", "background"),
    "flash": ("contrast", "background", "on_s", "off_s", "repeats", "diameter"),
    "contrast_steps": ("temporal_frequency", "step_s", "pause_s"),
    "chirp": ("contrast", "diameter"),
    "binary_noise": ("contrast", "check_size", "update_rate_hz", "duration_s"),
}


@pytest.mark.parametrize(
    ("builder", "argument"), [(b, a) for b, arguments in BUILDERS.items() for a in arguments]
)
def test_builders_name_the_argument_that_is_no_number(builder: str, argument: str):
    build = getattr(stimuli, builder)
    for value in (NAN, INF):
        with pytest.raises(ValueError, match=rf"^{argument}: expected a .*number, got {value}"):
            build(MODEL, **{argument: value})
    for text in ("two", [], [1.0, 2.0], np.array([1.0, 2.0]), True, 1j):
        with pytest.raises(TypeError, match=rf"^{argument}: expected a number, got"):
            build(MODEL, **{argument: text})


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"temporal_frequencies": ["a", "b"]}, TypeError, "temporal_frequency: expected numbers"),
        ({"temporal_frequencies": ["1", "2"]}, TypeError, "expected numbers in Hz, got ['1', '2']"),
        ({"temporal_frequencies": [True]}, TypeError, "expected numbers in Hz, got [True]"),
        ({"temporal_frequencies": [1j]}, TypeError, "expected numbers in Hz, got [1j]"),
        ({"temporal_frequencies": []}, ValueError, "expected at least one value, got none"),
        ({"temporal_frequencies": [1.0, NAN]}, ValueError, "expected finite numbers in Hz"),
        ({"temporal_frequencies": [[1.0], [2.0]]}, ValueError, "expected a list of numbers in Hz"),
        ({"temporal_frequencies": [1.0, 1.0]}, ValueError, "a value came twice in [1.0, 1.0]"),
        ({"temporal_frequencies": "two"}, TypeError, "temporal_frequency: expected a number"),
        ({"directions": 0}, ValueError, "directions: expected how many, 2 to 3600"),
        ({"directions": 10**12}, ValueError, "directions: expected how many, 2 to 3600"),
        ({"directions": "up"}, TypeError, "direction: expected numbers in °, got ['up']"),
        ({"directions": True}, TypeError, "direction: expected numbers in °, got [True]"),
        ({"colour": 3}, TypeError, "settings: there is no setting 'colour'; the nearest is"),
        ({"direction": 45.0}, TypeError, "direction: it is varied in this experiment"),
        ({"waveform": "saw"}, ValueError, "waveform: there is no waveform 'saw'; the nearest is"),
    ],
)
def test_experiments_say_what_they_cannot_vary(
    settings: dict[str, Any], error: type[Exception], words: str
):
    with says(words, error):
        experiments.drifting_gratings(**settings).stimulus(MODEL)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"polarities": [0.0, 1.0]}, ValueError, "polarities: expected 1 (bright) and -1 (dark)"),
        ({"contrast": 0.0}, ValueError, "contrast: expected a number in (0, 1], got 0"),
        ({"contrast": -0.5}, ValueError, "contrast: expected a number in (0, 1], got -0.5"),
        ({"centre": (1.0, 2.0)}, TypeError, "give places to sweep(..., centres=...)"),
    ],
)
def test_spots_say_what_they_cannot_vary(
    settings: dict[str, Any], error: type[Exception], words: str
):
    with says(words, error):
        experiments.size_tuning([100.0, 200.0], **settings)


@pytest.mark.parametrize("name", ["directions", 3, None, ["direction"]])
def test_unknown_experiment_is_answered_with_the_nearest(name: Any):
    with says("name: there is no experiment"):
        experiments.standard(name, MODEL)


@pytest.mark.parametrize(
    ("shape", "error"),
    [("a", TypeError), (None, TypeError), (5, TypeError), ((1, 2, 50.5, 18, 16), TypeError),
     ((2, 50, 18, 16), ValueError), ((0, 2, 50, 18, 16), ValueError)],
)  # fmt: skip
def test_gratings_of_a_shape_that_is_none(shape: Any, error: type[Exception]):
    with says("shape: expected five positive lengths (batch, channel, time, height, width)", error):
        stimuli.generate_gratings(shape)


# Sweeps -------------------------------------------------------------------------------------------

GRATINGS = experiments.drifting_gratings(directions=2)
NOISY = {"noise": "poisson", "repeats": 2}


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"neurons": [999]}, ValueError, "has no neuron 999; it has neurons 0 to 83"),
        ({"neurons": [-999]}, ValueError, "has no neuron -999; it has neurons 0 to 83"),
        ({"neurons": [True]}, TypeError, "neurons: expected whole numbers, got True"),
        ({"neurons": 1.5}, TypeError, "neurons: expected whole numbers, got 1.5"),
        ({"neurons": "0"}, TypeError, "neurons: expected whole numbers, got '0'"),
        ({"neurons": []}, ValueError, "neurons: expected at least one neuron, got none"),
        ({"neurons": [0, 0]}, ValueError, "neurons: expected each neuron once, got [0, 0]"),
        ({"data_key": "nope"}, ValueError, "data_key: there is no session 'nope'; the nearest"),
        ({"data_key": ["synthetic"]}, ValueError, "data_key: there is no session"),
        ({"repeats": 0}, ValueError, "repeats: expected a whole number of at least 1, got 0"),
        ({"repeats": "2"}, ValueError, "repeats: expected a whole number of at least 1, got '2'"),
        ({"repeats": 3}, ValueError, "the model has no noise, so 3 repeats would be identical"),
        ({"noise": "gauss"}, ValueError, "noise: there is no noise model 'gauss'"),
        ({**NOISY, "seed": -1}, ValueError, "seed: expected a whole number >= 0, got -1"),
        ({**NOISY, "seed": True}, ValueError, "seed: expected a whole number >= 0, got True"),
        ({"spikes_per_unit": "a"}, TypeError, "spikes_per_unit: expected a number, got 'a'"),
        ({"spikes_per_unit": NAN}, ValueError, "spikes_per_unit: expected a positive number"),
        ({"memory_mb": "a"}, TypeError, "memory_mb: expected a number, got 'a'"),
        ({"memory_mb": 0}, ValueError, "memory_mb: expected a positive number, got 0"),
        ({"batch": 0}, ValueError, "batch: expected a whole number of at least 1, got 0"),
        ({"controls": 3}, TypeError, "controls: expected names"),
        ({"controls": "nope"}, ValueError, "controls: there is no control 'nope'"),
        ({"neuron": 0}, TypeError, "sweep: there is no setting 'neuron'; the nearest is 'neurons'"),
    ],
)
def test_sweep_names_the_argument(settings: dict[str, Any], error: type[Exception], words: str):
    with says(words, error):
        swept(GRATINGS, **settings)


def test_a_negative_neuron_is_refused():
    with says("has no neuron -1; it has neurons 0 to 83, the nearest is 0"):
        swept(GRATINGS, neurons=-1)


@pytest.mark.parametrize("centres", ["a", [("a", "b"), (0, 0)], [(0, 0)], [(NAN, 0), (0, 0)]])
def test_centres_that_are_no_places(centres: Any):
    with says("centres: expected"):
        swept(experiments.size_tuning([100.0]), centres=centres)


@pytest.mark.parametrize("model", [None, "synthetic", 3])
def test_sweep_of_what_is_no_model(model: Any):
    with says("model: expected a RetinaModel or a torch.nn.Module", TypeError):
        orw.sweep(model, GRATINGS)


def test_sweep_of_what_is_no_experiment():
    with says("experiment: expected an Experiment", TypeError):
        orw.sweep(MODEL, "direction")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda _: stimuli.flash(Screen(("luminance",), 10, 10)), ValueError,
         "build: expected a movie (2, time, 18, 16) from the experiment 'own', got shape (1, 60"),
        (lambda _: torch.zeros(2, 60, 18, 16), TypeError, "build: expected an ArtificialStimulus"),
        (lambda _: None, TypeError, "build: expected an ArtificialStimulus"),
        (lambda s: stimuli.flash(s, on_s=0.1, off_s=0.0, before_s=0.0), ValueError,
         "stimulus: 3 frames are too short, since the model consumes 19 before its first response; "
         "the shortest that works is 20"),
    ],
)  # fmt: skip
def test_stimuli_that_do_not_fit_the_model(
    build: Callable[[Screen], Any], error: type[Exception], words: str
):
    with says(words, error):
        swept(shown_by(build))


def test_stimulus_with_nan_is_refused():
    def build(screen: Screen) -> Any:
        flash = stimuli.flash(screen)
        flash.movie[:, 5] = NAN
        return flash

    with says("stimulus: 576 of"):
        swept(shown_by(build))


# Receptive fields ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"method": "stc"}, ValueError, "method: there is no method 'stc'; the nearest is 'sta'"),
        ({"method": "local gradient"}, ValueError, "needs an image or a movie, got None"),
        ({"base": "x"}, TypeError, "base: expected an image or a movie, got str"),
        ({"base": [["a"]]}, TypeError, "base: expected an image or a movie of numbers"),
        ({"base": np.zeros((4, 4))}, ValueError, "base: expected an image (18, 16) or (2, 18, 16)"),
        ({"base": np.full((18, 16), NAN)}, ValueError, "values are NaN or infinite"),
        ({"window": ("a", "b")}, TypeError, "window: expected (first, stop) response frames"),
        ({"window": (0.5, 1)}, TypeError, "window: expected (first, stop) response frames"),
        ({"window": (0, 9)}, ValueError, "window: expected 0 <= first < stop <= 1"),
        ({"method": "sta", "frames": 0}, ValueError, "frames: expected a whole number of at least"),
        ({"method": "sta", "frames": 1}, ValueError, "frames: expected a whole number of at least"),
        ({"method": "sta", "seed": -1}, ValueError, "seed: expected a whole number from 0"),
        ({"method": "sta", "seed": "a"}, TypeError, "seed: expected a whole number, got 'a'"),
        ({"method": "sta", "contrast": NAN}, ValueError, "contrast: expected a positive number"),
        ({"neurons": [0, 999]}, ValueError, "has no neuron 999"),
        ({"data_key": "nope"}, ValueError, "data_key: there is no session 'nope'"),
        ({"memory_mb": "a"}, TypeError, "memory_mb: expected a number, got 'a'"),
    ],
)
def test_receptive_fields_name_the_argument(
    settings: dict[str, Any], error: type[Exception], words: str
):
    given = settings if "base" not in settings else settings | {"method": "local gradient"}
    with says(words, error):
        orw.receptive_fields(MODEL, **({"neurons": [0]} | given))


@pytest.mark.parametrize(
    ("stimulus", "responses", "lag", "error", "words"),
    [
        ("a", np.ones((9, 1)), 2, TypeError, "stimulus: expected an array of numbers"),
        (np.ones((1, 9, 2, 2)), [["a"]], 2, TypeError, "responses: expected an array of numbers"),
        (np.ones((1, 9, 2, 2)), np.ones((9, 1)), 9, ValueError, "lag: expected 0 to 8 for 9"),
        (np.ones((1, 9, 2, 2)), np.ones((9, 1)), 1.5, TypeError, "lag: expected a whole number"),
        (np.ones((1, 9, 2, 2)), np.ones((4, 1)), 2, ValueError, "responses: expected (9, neuron)"),
        (np.full((1, 9, 2, 2), NAN), np.ones((9, 1)), 2, ValueError, "expected finite values"),
    ],
)
def test_average_of_what_is_no_recording(
    stimulus: Any, responses: Any, lag: Any, error: type[Exception], words: str
):
    with says(words, error):
        spike_triggered_average(stimulus, responses, lag)


# The table of all neurons -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> SelectivityTable:
    return orw.selectivity_table(ODD[3], measure=["direction"])


def test_table_says_why_a_neuron_has_no_dsi(table: SelectivityTable):
    assert table.reason("dsi", SILENT) == "silent: no response above zero"
    assert table.reason("on_off", FILTER) == "it was not asked for"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "query: expected a condition such as"),
        ("dsi >", "query: cannot be read"),
        ("dsii > 0.4", "query: there is no column 'dsii'; the nearest is 'dsi'"),
        ("dsi > 'a'", "compares a number and a text"),
        ("dsi", "query: expected a condition"),
        ("dsi > 0.4 & osi < 1", "put each comparison in brackets"),
        ("dsi ** 9**9**9 > 0", "is not possible in a query"),
        ("dsi.__class__ == 1", "is not possible in a query"),
        ("(lambda: 1)() > 0", "is not possible in a query"),
    ],
)
def test_query_that_cannot_be_answered(table: SelectivityTable, query: str, words: str):
    with says(words):
        table.where(query)


def test_query_never_runs_code(table: SelectivityTable, tmp_path: Path):
    made = tmp_path / "made"
    with says("is not possible in a query"):
        table.where(f"__import__('pathlib').Path({str(made)!r}).touch() is None")
    assert not made.exists()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"measure": "dsi"}, ValueError, "measure: expected some of"),
        ({"measure": []}, ValueError, "measure: expected some of"),
        ({"measure": 3}, ValueError, "measure: expected some of"),
        ({"neurons": [0, 0]}, ValueError, "neurons: expected each neuron once"),
        ({"seed": -1}, ValueError, "seed: expected a whole number from 0"),
        ({"seed": "a"}, TypeError, "seed: expected a whole number, got 'a'"),
        ({"memory_mb": -1}, ValueError, "memory_mb: expected a positive number, got -1"),
    ],
)
def test_table_names_the_argument(settings: dict[str, Any], error: type[Exception], words: str):
    with says(words, error):
        orw.selectivity_table(ODD[3], **settings)


# Measured points and fields -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (([90.0], [3.0]), "fewer than 3 points are common to both"),
        ((FOUR, [1.0, 1.0, 1.0, 1.0]), "the measured values are all the same"),
        (([90.0, 90.0, 90.0], [1.0, 2.0, 3.0]), "the model's values are all the same"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(measured: Any, reason: str):
    found = compare_tuning(CURVE, measured)
    assert found.agreement.reasons == (reason,)
    assert math.isnan(found.agreement.correlation[0])
    assert math.isnan(found.agreement.error[0])
    with says(f"no neuron can be compared: {reason}"):
        _ = found.best


def test_points_without_a_number_are_counted():
    assert compare_tuning(CURVE, (FOUR, [1.0, NAN, 2.0, 4.0])).left_out == 1


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (None, "measured: expected (x, y), an array (point, 2), or a file, got None"),
        (([], []), "measured: no point has a number"),
        ((FOUR, [NAN] * 4), "measured: no point has a number, 4 have none"),
        ((FOUR, [INF, 1.0, 2.0, 3.0]), "measured: expected finite numbers"),
        ((["a"], ["b"]), "measured: expected numbers, got ['a']"),
        (([1.0, 2.0], [1.0]), "measured: expected as many responses as values, got 1 and 2"),
        (([1000.0], [1.0]), "no point lies within the model's curve, 0 to 270"),
        ({"a": [1], "b": [1], "c": [1]}, "such as x and y, got 3, named 'a', 'b', 'c'"),
        ("points.txt", "measured: expected a .npz or .csv file, got 'points.txt'"),
    ],
)
def test_points_that_are_none(measured: Any, words: str):
    with says(words):
        compare_tuning(CURVE, measured)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "points.csv: holds no points"),
        ("x,y\n", "no point has a number"),
        ("1,2,3\n4,5,6\n", "such as x and y, got 3, named '0', '1', '2'"),  # no header to choose by
        ("a,b,c\n1,2,3\n", "such as x and y, got 3, named 'a', 'b', 'c'"),
        ("x;y\n0;1\n", "such as x and y, got 1, named 'x;y'"),
        ("x,y\n1,2\n3\n", "points.csv, line 3: expected 2 columns, got 1"),
        ("x,y\n0,1\n90,high\n", "points.csv, line 3: expected a number, got 'high'"),
        (b"\xff\xfe\x00\x81", "points.csv: is no .csv file of text in UTF-8"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path: Path, content: str | bytes, words: str):
    path = tmp_path / "points.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with says(words):
        compare_tuning(CURVE, path)


def test_csv_without_a_header_is_two_columns(tmp_path: Path):
    path = tmp_path / "points.csv"
    path.write_text("0,1\n90,2\n180,3\n270,\n", encoding="utf-8")
    found = compare_tuning(CURVE, path)
    assert found.measured.tolist() == [1.0, 2.0, 3.0]
    assert found.left_out == 1  # the empty cell


def test_npz_without_the_keys(tmp_path: Path):
    path = tmp_path / "points.npz"
    np.savez(path, a=[1.0], b=[2.0], c=[3.0])
    with says("such as x and y, got 3, named 'a', 'b', 'c'"):
        compare_tuning(CURVE, path)
    with says("points.npz: expected one array of images, got ['a', 'b', 'c']"):
        compare_receptive_fields(np.ones((1, 5, 5)), path)


def test_npz_with_pickled_objects_is_refused_and_not_opened(tmp_path: Path):
    path = tmp_path / "points.npz"
    np.savez(path, x=np.array([object()]), y=[1.0])
    with says("is no .npz file of arrays of numbers"):
        compare_tuning(CURVE, path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zzz", b"text"])
def test_npz_that_is_none(tmp_path: Path, content: bytes):
    path = tmp_path / "points.npz"
    path.write_bytes(content)
    with says("points.npz: is no .npz file"):
        compare_tuning(CURVE, path)


def test_a_single_array_in_the_place_of_an_npz(tmp_path: Path):
    path = tmp_path / "points.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with says("points.npz: is no .npz file"):
        compare_tuning(CURVE, path)


def test_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"nope\.csv"):
        compare_tuning(CURVE, "nope.csv")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"neurons": 9}, ValueError, "neurons: the curves hold neurons 0, not 9"),
        ({"neurons": True}, TypeError, "neurons: expected whole numbers, got True"),
        ({"neurons": "a"}, TypeError, "neurons: expected whole numbers, got 'a'"),
        ({"neurons": []}, ValueError, "neurons: expected at least one neuron, got none"),
        ({"neurons": [0, 0]}, ValueError, "neurons: expected each neuron once"),
        ({"confidence": 95}, ValueError, "confidence: expected a number between 0 and 1, got 95"),
        ({"confidence": "a"}, TypeError, "confidence: expected a number, got 'a'"),
        ({"resamples": 1.5}, ValueError, "resamples: expected a whole number of at least 1"),
        ({"seed": -1}, ValueError, "seed: expected a whole number from 0"),
        ({"log_x": "a"}, TypeError, "log_x: expected True, False or None, got 'a'"),
    ],
)
def test_comparison_names_the_argument(
    settings: dict[str, Any], error: type[Exception], words: str
):
    with says(words, error):
        compare_tuning(CURVE, (FOUR, [1.0, 2.0, 3.0, 4.0]), **settings)


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        (None, "curves: expected TuningCurves or (x, responses) of numbers, got None"),
        (([1.0], [2.0]), "of at least 2 points"),
        (([0.0, NAN], [1.0, 2.0]), "curves: expected finite values of x"),
        ((["a", "b"], [1.0, 2.0]), "curves: expected TuningCurves or (x, responses) of numbers"),
    ],
)
def test_comparison_with_what_is_no_curve(curves: Any, words: str):
    with says(words):
        compare_tuning(curves, (FOUR, [1.0, 2.0, 3.0, 4.0]))


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (None, "measured: expected"),
        (np.ones(3), "measured: expected (cell, height, width), got shape (3,)"),
        (np.full((2, 5, 5), NAN), "measured: expected finite numbers"),
        (np.array([["a"]]), "measured: expected images of numbers"),
    ],
)
def test_fields_that_are_none(measured: Any, words: str):
    with says(words):
        compare_receptive_fields(np.ones((1, 5, 5)), measured)
