"""Stimuli of a few parameters: the best of a form, and parameters that can be read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from openretina_widgets import most_discriminative_stimuli, optimize_neurons
from openretina_widgets.data_io.artificial_stimuli import drifting_grating
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.insilico.stimulus_optimization import (
    DifferenceOfGaussians,
    GaborSinusoid,
    GradientBlur,
    L2Regularizer,
    LowFrequencies,
    OptimizationResult,
    Separable,
    neuron_steps,
)
from openretina_widgets.insilico.stimulus_optimization.parametrization import Geometry
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.freezing import frozen
from tests.insilico.modules import (
    FILTER_SHAPE,
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    assert_untouched,
    cosine,
    is_frozen,
    linear_model,
    random_filters,
    state_of,
)
from tests.insilico.test_batch import assert_same

ONE = {"time_steps": LAG + 1}
LARGE = (2, 20, 16, 14)  # channel, time, height, width
FORMS = [
    Separable(),
    GaborSinusoid(),
    GaborSinusoid(drifting=True),
    DifferenceOfGaussians(),
    LowFrequencies(0.2, 5.0),
]


def neuron_of(filters: torch.Tensor, **settings: object) -> RetinaModel:
    shape = (filters.shape[1], *filters.shape[3:])
    return RetinaModel(LinearNeurons(filters), input_shape=shape, **settings)  # type: ignore[arg-type]


# The right answer ----------------------------------------------------------------------------


def test_the_best_separable_stimulus_of_a_separable_neuron_is_its_filter():
    generator = torch.Generator().manual_seed(7)
    space = torch.randn(2, 2, 1, *INPUT_SHAPE[1:], generator=generator)
    time = torch.randn(2, 2, LAG + 1, 1, 1, generator=generator)
    model = neuron_of(space * time, stimulus_norm=2.0)
    result = optimize_neurons(model, [0, 1], parametrization=Separable(), **ONE)
    for stimulus, own in zip(result.stimulus, space * time, strict=True):
        assert cosine(stimulus, own) >= 0.999
    torch.testing.assert_close(result.norm, torch.full((2,), 2.0))
    assert abs(cosine(result.parameters["space"][0, 1], space[0, 1])) >= 0.999
    assert abs(cosine(result.parameters["time"][1, 0], time[1, 0])) >= 0.999


def test_the_best_separable_stimulus_of_any_linear_neuron_is_the_nearest_of_rank_one():
    generator = torch.Generator().manual_seed(7)
    space = torch.randn(1, 2, 1, *INPUT_SHAPE[1:], generator=generator)
    time = torch.randn(1, 2, LAG + 1, 1, 1, generator=generator)
    filters = space * time + 0.5 * random_filters(1)
    model = neuron_of(filters.clone(), stimulus_norm=2.0)
    result = optimize_neurons(model, 0, parametrization=Separable(), **ONE)
    expected = torch.zeros(FILTER_SHAPE)
    for channel, own in enumerate(filters[0]):
        u, s, v = torch.linalg.svd(own.flatten(1), full_matrices=False)
        expected[channel] = (s[0] * torch.outer(u[:, 0], v[0])).view(own.shape)
    assert cosine(result.stimulus[0], expected) >= 0.999
    assert cosine(filters[0], expected) < 0.98


def test_space_times_time_is_the_stimulus_and_the_signs_are_fixed():
    model = linear_model(3, stimulus_norm=2.0)
    result = optimize_neurons(model, [0, 1, 2], parametrization=Separable(), **ONE)
    space, time = result.parameters["space"], result.parameters["time"]
    product = time[..., None, None] * space[:, :, None]
    torch.testing.assert_close(product, result.stimulus, atol=1e-6, rtol=1e-5)
    assert (time.amax(dim=2) >= time.abs().amax(dim=2)).all()
    torch.testing.assert_close(space.square().sum(dim=(2, 3)), torch.ones(3, 2))
    assert result.parameter_units == {"space": "1", "time": "model units"}


def test_the_best_stimulus_of_low_frequencies_is_the_filter_without_the_others():
    model = linear_model(1, stimulus_norm=2.0, frame_rate=20.0)
    result = optimize_neurons(model, 0, parametrization=LowFrequencies(0.2, 4.0), **ONE)
    own = model.module.filters.detach()[0].double()
    for axis, n in ((1, LAG + 1), (2, 6), (3, 5)):  # 4 Hz are 0.2 cycles a frame as well
        place = torch.arange(n, dtype=torch.float64) + 0.5
        kept = torch.stack(
            [torch.cos(torch.pi * k * place / n) for k in range(n) if k / (2 * n) <= 0.2 + 1e-9]
        )
        kept = kept / kept.square().sum(dim=1, keepdim=True).sqrt()
        own = (own.movedim(axis, -1) @ kept.T @ kept).movedim(-1, axis)
    assert cosine(result.stimulus[0], own) >= 0.999
    coefficients = result.parameters["coefficients"]
    assert coefficients.shape == (1, 2, 3, 3, 3)
    assert float(coefficients.square().sum().sqrt()) == pytest.approx(2.0, rel=1e-5)


def gabor(g: Geometry, **p: float) -> torch.Tensor:
    """The formula of the docstring, written anew."""
    t, y, x = np.meshgrid(
        np.arange(g.frames),
        np.arange(g.height) - (g.height - 1) / 2,
        np.arange(g.width) - (g.width - 1) / 2,
        indexing="ij",
    )
    x, y = x - p["x"], y - p["y"]
    angle = math.radians(p["angle"])
    along = x * math.cos(angle) + y * math.sin(angle)
    envelope = np.exp(-(x**2 + y**2) / (2 * p["sigma"] ** 2))
    space, time = 2 * math.pi * p["f"] * along, 2 * math.pi * p["rate"] * t
    wave = (
        np.cos(space - time + p["phase"])
        if "start" not in p
        else np.cos(space + p["phase"]) * np.sin(time + p["start"])
    )
    return torch.tensor(envelope * wave, dtype=torch.float32)


@pytest.mark.parametrize("drifting", [False, True])
def test_a_gabor_is_recovered_with_its_parameters_and_units(drifting):
    g = Geometry(*LARGE)
    true = {"x": 2.0, "y": -3.0, "sigma": 2.5, "angle": 30.0, "f": 0.15, "phase": 0.7, "rate": 0.1}
    movie = gabor(g, **true, **({} if drifting else {"start": 0.5}))
    filters = torch.stack([movie, -0.5 * movie])[None]
    model = neuron_of(filters, stimulus_norm=3.0, pixel_size_um=50.0, frame_rate=40.0)
    result = optimize_neurons(
        model,
        0,
        seed=range(12),
        parametrization=GaborSinusoid(drifting),
        time_steps=LARGE[1],
        max_iterations=400,
        patience=None,
    )
    best = int(result.score.argmax())
    assert cosine(result.stimulus[best], filters) >= 0.999
    found = {name: values[best] for name, values in result.parameters.items()}
    for name, expected, unit in (
        ("centre_x", 100.0, "µm"),
        ("centre_y", 150.0, "µm"),
        ("sigma", 125.0, "µm"),
        ("spatial_frequency", 3.0, "cycles/mm"),
        ("temporal_frequency", 4.0, "Hz"),
    ):
        assert float(found[name]) == pytest.approx(expected, rel=0.03), name
        assert result.parameter_units[name] == unit
    # With y up, 30° downwards is -30°, and the bars lie across that, at 60°.
    assert float(found["orientation"]) == pytest.approx(60.0, abs=2.0)
    assert ("direction" in found) == drifting
    if drifting:
        assert float(found["direction"]) == pytest.approx(330.0, abs=2.0)
    # Its contrasts, other than signs, are those of the filter at the norm.
    ratio = float(found["contrast"][1] / found["contrast"][0])
    assert ratio == pytest.approx(-0.5, abs=0.02)
    assert ("temporal_phase" in found) != drifting


@pytest.mark.parametrize("seed", range(4))
def test_the_parameters_put_into_the_formula_are_the_stimulus(seed):
    model = neuron_of(torch.randn(1, *LARGE, generator=torch.Generator().manual_seed(0)))
    result = optimize_neurons(
        model,
        0,
        seed=seed,
        parametrization=GaborSinusoid(),
        time_steps=LARGE[1],
        norm=3.0,
        max_iterations=5,
    )
    assert 0.0 <= float(result.parameters["orientation"]) < 180.0
    p = {name: values[0] for name, values in result.parameters.items()}
    movie = gabor(
        Geometry(*LARGE),
        x=float(p["centre_x"]),
        y=-float(p["centre_y"]),  # down, as in the formula above
        sigma=float(p["sigma"]),
        angle=-(float(p["orientation"]) + 90.0),
        f=float(p["spatial_frequency"]),
        phase=math.radians(float(p["spatial_phase"])),
        rate=float(p["temporal_frequency"]) / 30.0,
        start=math.radians(float(p["temporal_phase"])),
    )
    expected = p["contrast"].view(2, 1, 1, 1) * movie
    torch.testing.assert_close(result.stimulus[0], expected, atol=1e-4, rtol=1e-4)
    assert result.parameter_units["centre_x"] == "px"
    assert result.parameter_units["spatial_frequency"] == "cycles/px"


def test_a_difference_of_gaussians_is_recovered():
    y, x = np.meshgrid(np.arange(16) - 7.5, np.arange(14) - 6.5, indexing="ij")
    square = ((x - 1.5) ** 2 + (y - 2.0) ** 2) / (2 * 1.8**2)
    space = torch.tensor(np.exp(-square) - 0.4 * np.exp(-square / 4), dtype=torch.float32)
    time = torch.randn(2, 20, 1, 1, generator=torch.Generator().manual_seed(1))
    model = neuron_of((time * space)[None], stimulus_norm=3.0)
    result = optimize_neurons(
        model,
        0,
        seed=range(6),
        parametrization=DifferenceOfGaussians(),
        time_steps=20,
        max_iterations=500,
        patience=None,
    )
    best = int(result.score.argmax())
    assert cosine(result.stimulus[best], time * space) >= 0.999
    for name, expected in (("centre_x", 1.5), ("centre_y", -2.0), ("sigma", 1.8)):
        assert float(result.parameters[name][best]) == pytest.approx(expected, rel=0.05), name
    assert abs(cosine(result.parameters["time"][best], time)) >= 0.999


# As any other run ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_batch_is_as_many_single_runs(form):
    gains = torch.tensor([0.02, 0.2, 1.0]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(gains * random_filters(3), nonlinearity=torch.tanh)
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=3.0)

    def run(neurons: list[int]) -> OptimizationResult:
        return optimize_neurons(
            model,
            neurons,
            parametrization=form,
            seed=3,
            max_iterations=40,
            patience=4,
            min_delta=2e-2,
            time_steps=LAG + 2,
        )

    together = run([0, 1, 2])
    alone = [run([neuron]) for neuron in range(3)]
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, alone)
    for name, values in together.parameters.items():
        for element, one in enumerate(alone):
            torch.testing.assert_close(
                values[element], one.parameters[name][0], atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_norm_and_range_hold(form):
    limits = [(-0.4, 0.5), (-0.6, 0.3)]
    model = linear_model(2, stimulus_norm=3.0, stimulus_range=limits)
    result = optimize_neurons(model, [0, 1], parametrization=form, max_iterations=10, **ONE)
    assert (result.norm <= 3.0 + 1e-5).all()
    low, high = torch.tensor(limits).T.view(2, 1, 2, 1, 1, 1)
    assert (low <= result.stimulus).all()
    assert (result.stimulus <= high).all()
    full = result.norm >= 3.0 - 1e-5
    room = torch.minimum(result.stimulus - low, high - result.stimulus).flatten(1).amin(dim=1)
    assert (full | (room < 1e-6)).all(), "the range leaves no room for more"


def test_steps_show_stimuli_the_model_is_frozen_meanwhile_and_a_run_can_be_stopped(network):
    before = state_of(network)
    steps = neuron_steps(network, [0, 1], parametrization=Separable(), norm=2.0, time_steps=5)
    step = next(steps)
    assert step.stimulus.shape == (2, 2, 5, 6, 5)
    assert is_frozen(network)
    with frozen(network), torch.no_grad():
        torch.testing.assert_close(step.response[0], network(step.stimulus)[0, :, 0])
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send("stopped here")
    assert end.value.value.stop_reasons == ("stopped here",) * 2
    assert end.value.value.stimulus.shape == (2, 2, 5, 6, 5)
    assert_untouched(network, before)
    steps = neuron_steps(network, 0, parametrization=Separable(), norm=2.0, time_steps=5)
    next(steps)
    steps.close()
    assert_untouched(network, before)


def test_penalties_and_settings_are_those_of_the_stimulus():
    model = linear_model(2, stimulus_norm=2.0)
    form = LowFrequencies(0.3)
    result = optimize_neurons(
        model, 1, parametrization=form, regularizer=L2Regularizer(3.0), max_iterations=2, **ONE
    )
    assert float(result.penalty) == pytest.approx(3.0 * 4.0 / 300, rel=1e-5)
    assert result.settings["regularizers"][0]["type"] == "L2Regularizer"
    assert result.settings["objective"]["type"] == "NeuronsObjective"
    assert result.settings["postprocessors"][0]["norm"] == 2.0
    assert result.settings["parametrization"] == {
        "type": "LowFrequencies",
        "cycles_per_pixel": 0.3,
        "hz": None,
    }
    assert (result.neurons, result.window, result.data_key) == (((1,),), (0, 1), "default")
    assert (result.model, result.lag) == (model.identity, LAG)


@pytest.mark.parametrize("direction", [0.0, 45.0, 90.0, 200.0, 330.0])
def test_direction_and_orientation_are_those_of_a_grating(direction):
    """A grating of known direction is the filter, and its patch is found with that direction."""
    grating = drifting_grating(
        Screen(("one",), 16, 14, 30.0, pixel_size_um=50.0),
        direction=direction,
        spatial_frequency=3.0,
        temporal_frequency=3.0,
        duration_s=20 / 30,
        before_s=0.0,
        settle_s=0.0,
        cycles=None,
    )
    model = neuron_of(grating.movie[None, :, :20], stimulus_norm=3.0, pixel_size_um=50.0)
    result = optimize_neurons(
        model,
        0,
        seed=range(8),
        parametrization=GaborSinusoid(drifting=True),
        time_steps=20,
        max_iterations=300,
        patience=None,
    )
    best = int(result.score.argmax())
    found = float(result.parameters["direction"][best])
    assert abs((found - direction + 180) % 360 - 180) < 3.0
    bars = float(result.parameters["orientation"][best])
    assert abs((bars - (direction - 90) + 90) % 180 - 90) < 3.0


@pytest.mark.parametrize("drifting", [False, True])
def test_a_file_from_before_y_was_up_is_read_as_now(tmp_path, drifting):
    model = linear_model(1, stimulus_norm=2.0)
    form = GaborSinusoid(drifting)
    result = optimize_neurons(
        model, 0, seed=range(6), parametrization=form, max_iterations=1, **ONE
    )
    with np.load(result.save(tmp_path / "one.npz")) as file:
        arrays = dict(file)
    words = json.loads(str(arrays.pop("words")))
    assert words.pop("y") == "up"
    arrays["parameter centre_y"] = -arrays["parameter centre_y"]
    across = arrays["parameter orientation"] + 90.0
    if drifting:
        across = arrays.pop("parameter direction")
        del words["parameter_units"]["direction"]
    # Half of the standing ones were reported half a turn further, with the other phase.
    turned = np.arange(6) % 2 == 1 if not drifting else np.zeros(6, dtype=bool)
    arrays["parameter orientation"] = (-across + 180.0 * turned) % 360
    phase = arrays["parameter spatial_phase"]
    arrays["parameter spatial_phase"] = np.where(turned, -phase, phase) % 360
    np.savez(tmp_path / "older.npz", words=np.array(json.dumps(words)), **arrays)
    older = OptimizationResult.load(tmp_path / "older.npz")
    assert older.parameter_units == result.parameter_units
    assert older.parameters.keys() == result.parameters.keys()
    for name, values in result.parameters.items():
        torch.testing.assert_close(
            older.parameters[name].double(), values.double(), atol=1e-3, rtol=1e-5
        )


def test_groups_have_parametrized_stimuli_too():
    model = linear_model(4, stimulus_norm=2.0)
    result = most_discriminative_stimuli(
        model, [[0, 1], [2, 3]], parametrization=Separable(), max_iterations=3, **ONE
    )
    assert result.parameters["time"].shape == (2, 2, LAG + 1)
    assert result.neurons == ((0, 1), (2, 3))


def test_parameters_are_saved_and_loaded_and_older_files_still_are(tmp_path):
    model = linear_model(1, stimulus_norm=2.0)
    result = optimize_neurons(model, 0, parametrization=Separable(), max_iterations=1, **ONE)
    path = result.save(tmp_path / "one.npz")
    loaded = OptimizationResult.load(path)
    assert loaded.parameters.keys() == result.parameters.keys()
    for name, values in result.parameters.items():
        assert torch.equal(loaded.parameters[name], values)
    assert loaded.parameter_units == result.parameter_units
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if not name.startswith("parameter")}
    words = json.loads(str(arrays.pop("words")))
    del words["parameter_units"]
    np.savez(tmp_path / "older.npz", words=np.array(json.dumps(words)), **arrays)
    older = OptimizationResult.load(tmp_path / "older.npz")
    assert (older.parameters, older.parameter_units) == ({}, {})
    assert torch.equal(older.stimulus, result.stimulus)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"parametrization": "separable"},
            TypeError,
            r"expected openretina_widgets\.Separable\(\)",
        ),
        ({"parametrization": GaborSinusoid}, TypeError, "GaborSinusoid.*got <class"),
        ({"rms": 1.0}, ValueError, "rms and mean_luminance cannot be held with it"),
        ({"precondition": GradientBlur()}, ValueError, "precondition and postprocessor change"),
        (
            {"stimulus_range": [(0.0, 1.0)] * 2},
            ValueError,
            r"has to hold 0 within; that of channel 0 is \(0.0, 1.0\)",
        ),
        ({"norm": math.inf}, ValueError, "without any bound the stimulus grows for ever"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate: expected a positive number"),
    ],
)
def test_what_does_not_go_with_it_is_refused(settings, error, message):
    given = {"parametrization": Separable(), "norm": 2.0, **settings}
    if "rms" in given:
        given.pop("norm")
    with pytest.raises(error, match=message):
        optimize_neurons(linear_model(1), 0, **ONE, **given)
