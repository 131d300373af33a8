"""Sweeps: linear neurons counted by hand, batches, memory, noise, controls, what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli import (
    ArtificialStimulus,
    Screen,
    StimulusEvent,
)
from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.tuning_analyses import (
    Axis,
    Experiment,
    experiments,
    sweep,
    sweep_steps,
)
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    HEIGHT,
    INPUT_SHAPE,
    LAG,
    WIDTH,
    LinearNeurons,
    LittleMemory,
    TrainedNetwork,
    assert_untouched,
    is_frozen,
    linear_model,
    random_filters,
    state_of,
)

LEVELS = (-1.0, 0.0, 0.5, 2.0)


def steps_of_light(screen: Screen, condition: dict) -> ArtificialStimulus:
    """A uniform step to a level after LAG frames of grey, longer for higher levels."""
    frames = 6 + 2 * round(condition.get("longer", 0.0))
    movie = torch.zeros(len(screen.channels), LAG + frames, screen.height, screen.width)
    movie[:, LAG:] = condition["level"]
    events = (StimulusEvent("ON step", LAG, LAG + frames),)
    return ArtificialStimulus(
        "step", movie, screen, events, (2 * LAG, LAG + frames), {"level": condition["level"]}
    )


def experiment(**axes) -> Experiment:
    axes = axes or {"level": LEVELS}
    return Experiment(
        "step", "Steps", tuple(Axis.of(n, v) for n, v in axes.items()), steps_of_light
    )


def spot_on_centre(screen: Screen, condition: dict) -> ArtificialStimulus:
    """One pixel, the one nearest to the centre, at a level."""
    row = round(screen.middle[0] - screen.pixels(condition["centre"][1]))
    column = round(screen.middle[1] + screen.pixels(condition["centre"][0]))
    movie = torch.zeros(len(screen.channels), LAG + 3, screen.height, screen.width)
    movie[:, :, row, column] = condition["level"]
    return ArtificialStimulus("pixel", movie, screen, (), (LAG, LAG + 3))


# Analytic truth ------------------------------------------------------------------------------


def test_a_linear_neuron_answers_a_lasting_step_with_the_sum_of_its_filter(linear):
    curves = sweep(linear, experiment())
    sums = random_filters(3).sum(dim=(1, 2, 3, 4)).numpy()
    assert curves.responses.shape == (4, 3)
    np.testing.assert_allclose(curves.responses, np.outer(LEVELS, sums), atol=1e-4)
    np.testing.assert_allclose(curves.baseline, 0, atol=1e-6)
    assert curves.windows.tolist() == [[LAG, 6]] * 4
    np.testing.assert_allclose(curves.responses, curves.traces[:, LAG:6].mean(axis=1), atol=1e-5)


def test_a_grating_drives_a_linear_neuron_at_its_frequency_only():
    """One pixel and the newest frame: the response is the stimulus there."""
    filters = torch.zeros(1, 1, 1, 4, 8)
    filters[0, 0, 0, 1, 2] = 3.0
    model = RetinaModel(LinearNeurons(filters), input_shape=(1, 4, 8), frame_rate=24.0)
    curves = sweep(
        model,
        experiments.drifting_gratings(directions=4, temporal_frequencies=[2.0, 3.0], contrasts=0.5),
    )
    assert curves.f1.shape == (4, 2, 1)
    np.testing.assert_allclose(curves.f1, 1.5, atol=1e-5)
    np.testing.assert_allclose(curves.f0, 0.0, atol=1e-5)
    np.testing.assert_allclose(curves.f0, curves.responses)
    assert [axis.unit for axis in curves.axes] == ["°", "Hz"]


def test_a_squaring_neuron_has_a_mean_and_no_amplitude_at_the_frequency():
    filters = torch.zeros(1, 1, 1, 4, 8)
    filters[0, 0, 0, 1, 2] = 1.0
    module = LinearNeurons(filters, nonlinearity=torch.square)
    model = RetinaModel(module, input_shape=(1, 4, 8), frame_rate=24.0)
    curves = sweep(model, experiments.drifting_gratings(temporal_frequencies=2.0))
    np.testing.assert_allclose(curves.f0, 0.5, atol=1e-5)  # the mean of sin²
    np.testing.assert_allclose(curves.f1, 0.0, atol=1e-5)


def test_at_half_the_frame_rate_the_amplitude_counts_once():
    filters = torch.zeros(1, 1, 1, 4, 8)
    filters[0, 0, 0] = 1 / 32
    model = RetinaModel(LinearNeurons(filters), input_shape=(1, 4, 8), frame_rate=24.0)
    curves = sweep(
        model,
        experiments.drifting_gratings(
            directions=2, temporal_frequencies=12.0, spatial_frequencies=0.0, phase_deg=90
        ),
    )
    np.testing.assert_allclose(curves.f1, 1.0, atol=1e-5)


def test_without_a_whole_cycle_there_is_no_amplitude_and_a_note(linear):
    curves = sweep(
        linear,
        experiments.temporal_frequency([0.5, 2.0], duration_s=1.0, settle_s=0.0),
    )
    assert np.isnan(curves.f1[0]).all()
    assert np.isfinite(curves.f1[1]).all()
    assert any("no whole cycle of 0.5 Hz" in note for note in curves.notes)


# Batches, order, memory ----------------------------------------------------------------------


def test_batches_do_not_change_the_result(linear):
    axes = {"level": LEVELS, "longer": (0.0, 2.0, 1.0)}
    at_once = sweep(linear, experiment(**axes))
    one_by_one = sweep(linear, experiment(**axes), batch=1)
    frugal = sweep(linear, experiment(**axes), memory_mb=0.05)
    for other in (one_by_one, frugal):
        np.testing.assert_allclose(at_once.traces, other.traces, atol=1e-5)
        np.testing.assert_allclose(at_once.responses, other.responses, atol=1e-5)
        assert (at_once.windows == other.windows).all()
    # Shorter traces end with NaN.
    assert np.isfinite(at_once.traces).sum(axis=2)[0, :, 0].tolist() == [6, 10, 8]


def test_every_movie_is_seen_once_and_equal_lengths_share_a_batch():
    shapes = []

    class Watched(LinearNeurons):
        def forward(self, stimulus):
            shapes.append(tuple(stimulus.shape[:3]))
            return super().forward(stimulus)

    model = RetinaModel(Watched(random_filters(2)), input_shape=INPUT_SHAPE)
    shapes.clear()
    sweep(model, experiment(level=tuple(range(20)), longer=(0.0, 1.0)))
    movies = sum(batch for batch, _, _ in shapes)
    assert movies == 40 + 2  # and grey of each length
    assert len(shapes) <= 4  # the first movie is measured alone


def test_the_curve_grows_step_by_step(linear):
    whole = sweep(linear, experiment())
    steps = sweep_steps(linear, experiment(), batch=1)
    for done in range(1, 5):
        step = next(steps)
        assert (step.done, step.total) == (done, 4)
        assert step.conditions == ((done - 1,),)
        assert step.stimuli[0].parameters["level"] == LEVELS[done - 1]
        partial = step.curves
        assert partial.finished == done / 4
        np.testing.assert_allclose(partial.responses[:done], whole.responses[:done], atol=1e-5)
        assert np.isnan(partial.responses[done:]).all()
        np.testing.assert_allclose(step.traces[0], whole.traces[done - 1], atol=1e-5)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value.finished == 1


def test_the_model_is_held_still_and_handed_back(network: TrainedNetwork):
    model = RetinaModel(network, stimulus_range=[(-1.0, 1.0)] * 2)
    before = state_of(network)
    steps = sweep_steps(model, experiment(), batch=1, data_key="b")
    next(steps)
    assert is_frozen(network)
    steps.close()
    assert_untouched(network, before)
    first, second = (sweep(model, experiment(), data_key="b") for _ in range(2))
    assert np.array_equal(first.responses, second.responses)
    assert first.responses.shape == (4, 2)
    assert_untouched(network, before)


def test_neurons_are_a_selection_in_the_order_asked_for(linear):
    every, some = sweep(linear, experiment()), sweep(linear, experiment(), neurons=[2, 0])
    assert some.neurons == (2, 0)
    np.testing.assert_allclose(some.responses, every.responses[:, [2, 0]], atol=1e-6)


def test_what_does_not_fit_is_halved_until_it_does():
    fits = RetinaModel(LittleMemory(random_filters(3), fits=2), input_shape=INPUT_SHAPE)
    curves = sweep(fits, experiment(level=tuple(range(12))))
    whole = sweep(linear_model(), experiment(level=tuple(range(12))))
    np.testing.assert_allclose(curves.responses, whole.responses, atol=1e-5)


def test_one_condition_above_the_memory_is_refused_in_words(linear):
    with pytest.raises(OutOfMemory, match=r"memory_mb: one condition of \d+ frames takes"):
        sweep(linear, experiment(), memory_mb=1e-5)


def test_one_condition_that_the_device_cannot_hold_is_refused_in_words():
    class Full(LinearNeurons):
        def forward(self, stimulus):
            if stimulus.abs().max() > 1:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super().forward(stimulus)

    model = RetinaModel(Full(random_filters(2)), input_shape=INPUT_SHAPE)
    with pytest.raises(OutOfMemory, match="out of memory with a batch of 1"):
        sweep(model, experiment())


# On each receptive field ---------------------------------------------------------------------


def on_centres() -> Experiment:
    return Experiment(
        "pixel", "Pixels", (Axis.of("level", [1.0, 2.0]),), spot_on_centre, centred=True
    )


def test_a_centred_stimulus_is_shown_to_each_neuron_on_its_own_place():
    filters = random_filters(4)
    model = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE, pixel_size_um=50.0)
    rows, columns = [0, 5, 3, 3], [4, 0, 2, 2]
    x = (np.array(columns) - (WIDTH - 1) / 2) * 50
    y = ((HEIGHT - 1) / 2 - np.array(rows)) * 50
    centres = np.stack([x, y], axis=1)
    steps = list(sweep_steps(model, on_centres(), centres=centres, batch=1))
    assert steps[-1].total == 2 * 3  # the last two share a movie
    curves = sweep(model, on_centres(), centres=centres)
    for neuron, (row, column) in enumerate(zip(rows, columns, strict=True)):
        known = float(filters[neuron, :, :, row, column].sum())
        np.testing.assert_allclose(curves.responses[:, neuron], [known, 2 * known], atol=1e-4)
    assert np.array_equal(curves.centres, centres)


def test_centres_are_refused_in_words(linear):
    with pytest.raises(ValueError, match=r"centres: expected \(x, y\) for each of 3 neurons"):
        sweep(linear, on_centres(), centres=[(0, 0)])
    with pytest.raises(ValueError, match="centres: the experiment 'step' shows all neurons"):
        sweep(linear, experiment(), centres=[(0, 0)] * 3)


# Noise and controls --------------------------------------------------------------------------


def positive() -> RetinaModel:
    module = LinearNeurons(random_filters(3), nonlinearity=lambda x: nn.functional.softplus(x) + 1)
    return RetinaModel(module, input_shape=INPUT_SHAPE)


def test_poisson_repeats_have_the_mean_and_variance_of_counts():
    curves = sweep(
        positive(), experiment(), noise="poisson", repeats=4000, spikes_per_unit=30.0, seed=3
    )
    assert curves.repeats.shape == (4000, 4, 3)
    scale = 30.0 * (6 - LAG) / 30.0  # spikes in the window for a response of 1
    expected = curves.responses
    error = np.sqrt(expected / scale / 4000)
    assert (np.abs(curves.repeats.mean(axis=0) - expected) < 5 * error).all()
    ratio = curves.repeats.var(axis=0) * scale / expected
    assert (np.abs(ratio - 1) < 0.15).all()
    assert np.allclose(curves.repeats * scale, np.round(curves.repeats * scale))
    assert any("30 spikes/s" in note and "seed 3" in note for note in curves.notes)


def test_the_seed_decides_the_noise_and_batches_do_not():
    settings = {"noise": "poisson", "repeats": 5}
    first = sweep(positive(), experiment(), seed=1, **settings)
    again = sweep(positive(), experiment(), seed=1, batch=1, **settings)
    other = sweep(positive(), experiment(), seed=2, **settings)
    np.testing.assert_allclose(first.repeats, again.repeats)
    assert not np.array_equal(first.repeats, other.repeats)


def test_repeats_without_noise_are_refused(linear):
    with pytest.raises(ValueError, match="repeats: the model has no noise"):
        sweep(linear, experiment(), repeats=3)


def test_controls_are_what_they_say():
    filters = torch.zeros(1, 1, 1, 4, 8)
    filters[0, 0, 0, 1, 2:4] = 1.0
    module = LinearNeurons(filters, nonlinearity=lambda x: nn.functional.relu(x) + 1)
    model = RetinaModel(module, input_shape=(1, 4, 8), frame_rate=24.0)
    curves = sweep(
        model,
        experiments.drifting_gratings(),
        controls=("blank", "scrambled", "phase-shifted"),
    )
    np.testing.assert_allclose(curves.controls["blank"], 1.0, atol=1e-6)
    np.testing.assert_allclose(curves.controls["phase-shifted"], curves.responses, atol=1e-4)
    scrambled = curves.controls["scrambled"]
    assert scrambled.shape == curves.responses.shape
    assert not np.allclose(scrambled, curves.responses, atol=1e-2)
    reseeded = sweep(model, experiments.drifting_gratings(), controls="scrambled", seed=1)
    assert not np.allclose(scrambled, reseeded.controls["scrambled"])


def test_a_phase_needs_a_grating_and_a_control_a_known_name(linear):
    with pytest.raises(ValueError, match=r"'phase-shifted' needs a grating; 'step'"):
        sweep(linear, experiment(), controls="phase-shifted")
    with pytest.raises(ValueError, match=r"no control 'blanc'.*'blank'"):
        sweep(linear, experiment(), controls="blanc")
    with pytest.raises(ValueError, match="has no neurons of the type 'linear control'"):
        sweep(linear, experiment(), controls="linear control")


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"neurons": [7]}, "has no neuron 7"),
        ({"neurons": [1, 1]}, "each neuron once"),
        ({"data_key": "elsewhere"}, "no session 'elsewhere'"),
        ({"noise": "gaussian"}, "no noise model 'gaussian'"),
        ({"repeats": 0}, "repeats: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"batch": 0}, "batch: expected a whole number"),
        ({"memory_mb": 0}, "memory_mb: expected a positive number"),
        ({"spikes_per_unit": 0}, "spikes_per_unit: expected a positive number"),
    ],
)
def test_what_does_not_fit_is_named(linear, settings, words):
    with pytest.raises(ValueError, match=words):
        sweep_steps(linear, experiment(), **settings)


def test_something_else_than_an_experiment_is_refused(linear):
    with pytest.raises(TypeError, match="experiment: expected an Experiment"):
        sweep(linear, "direction")


def test_a_window_without_response_is_refused(linear):
    def no_window(screen, condition):
        stimulus = steps_of_light(screen, condition)
        return ArtificialStimulus("step", stimulus.movie, screen, (), (0, 1))

    with pytest.raises(ValueError, match="the window of 'step', response frames 0 to 0"):
        sweep(linear, Experiment("step", "Steps", (Axis.of("level", LEVELS),), no_window))


def test_a_model_without_lag_says_what_it_cannot_tell():
    filters = torch.randn(2, 1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model = RetinaModel(LinearNeurons(filters, nonlinearity=torch.relu), input_shape=(1, 6, 6))
    assert model.lag == 0
    curves = sweep(model, experiments.drifting_gratings(temporal_frequencies=2.0))
    assert any("the model has no lag" in note for note in curves.notes)
    # Either way the same frames are seen, only in another order.
    np.testing.assert_allclose(curves.responses[:4], curves.responses[4:], rtol=1e-3)


def test_measuring_the_memory_of_a_batch_does_not_import_torchs_compiler():
    """It would be 800 modules in every student's kernel, and a second of the first run."""
    code = """
import sys
import openretina_widgets as orw
model = orw.load_model("synthetic")
orw.sweep(model, orw.experiments.standard("direction", model))
orw.selectivity_table(model)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_compiled_model_is_measured_without_compiling_the_measurement():
    code = """
import numpy as np, torch
import openretina_widgets as orw
model = orw.load_model("synthetic")
experiment = orw.experiments.standard("direction", model)
plain = orw.sweep(model, experiment)

class Compiled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.compile(model.module, backend="eager")

    def forward(self, stimulus, data_key=None):
        return self.inner(stimulus)

face = orw.RetinaModel(Compiled(), input_shape=model.input_shape)
compiled = orw.sweep(face, orw.experiments.standard("direction", model))
print(np.allclose(plain.responses, compiled.responses, rtol=1e-5))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"
    assert "__torch_dispatch__" not in done.stderr
