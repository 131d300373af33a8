"""Every objective, constraint and transform: that it does what it says, and in a population too.

One row of the table for each; a row holds the settings, and what has to be true of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from openretina_widgets import (
    diverse_stimuli,
    most_discriminative_stimuli,
    optimize_function,
    optimize_groups,
    optimize_layer,
    optimize_neurons,
    optimize_population,
    sparse_stimuli,
)
from openretina_widgets.insilico.stimulus_optimization import (
    GaborSinusoid,
    GradientBlur,
    GradientSpectrum,
    Jitter,
    L2Regularizer,
    OptimizationResult,
    Separable,
    SpatialBlur,
    discriminative_steps,
    diverse_steps,
    function_steps,
    group_steps,
    layer_steps,
    neuron_steps,
    population_steps,
    sparse_steps,
)
from openretina_widgets.models import Neuron, RetinaModel
from openretina_widgets.models.ensemble import ensemble_of
from tests.insilico.modules import INPUT_SHAPE, LAG, LinearNeurons, random_filters

Check = Callable[[OptimizationResult], Any]
RANGE = [(-0.5, 1.0), (-0.4, 0.8)]
TIME = LAG + 4
SETTINGS = {"time_steps": TIME, "max_iterations": 25, "patience": 5, "min_delta": 1e-4}


def model_of(seed: int = 0) -> RetinaModel:
    types = ("ON", "OFF", "ON", "OFF")
    module = LinearNeurons(0.3 * random_filters(4, seed=seed), nonlinearity=torch.tanh)
    return RetinaModel(
        module,
        input_shape=INPUT_SHAPE,
        sessions={"a": [Neuron(i, kind) for i, kind in enumerate(types)]},
        stimulus_norm=4.0,
        stimulus_range=RANGE,
    )


@pytest.fixture
def model() -> RetinaModel:
    return model_of()


def within(result: OptimizationResult, limits: Any = RANGE) -> bool:
    low, high = (torch.tensor(ends).view(1, -1, 1, 1, 1) for ends in zip(*limits, strict=True))
    return bool(((result.stimulus >= low) & (result.stimulus <= high)).all())


def near(value: torch.Tensor, expected: float) -> bool:
    return torch.allclose(value.float(), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class Goal:
    """What is asked of single neurons, and what has to be true then."""

    true: Check
    settings: dict[str, Any] = field(default_factory=dict)
    model: Callable[[], RetinaModel] = model_of


OF_NEURONS = {
    "increase": Goal(lambda r: (r.score > 0.5).all()),
    "decrease": Goal(lambda r: (r.response.mean(1) < -0.5).all(), {"direction": "decrease"}),
    "a response window": Goal(
        lambda r: torch.allclose(r.score, r.response[:, 1:3].mean(1)), {"window": (1, 3)}
    ),
    "an ensemble": Goal(
        lambda r: (r.score > 0.3).all(),
        model=lambda: ensemble_of([model_of(0), model_of(1)]),
    ),
    "a jitter": Goal(
        lambda r: r.settings["objective"]["jitter"]["frames"] == 1, {"jitter": Jitter(1, 1)}
    ),
    "a blur after each step": Goal(
        lambda r: r.settings["postprocessors"][0]["type"] == "SpatialBlur",
        {"postprocessor": SpatialBlur(0.5)},
    ),
    "a blurred gradient": Goal(
        lambda r: "GradientBlur" in str(r.settings["optimizer"]),
        {"precondition": GradientBlur(0.5)},
    ),
    "a 1/f gradient": Goal(
        lambda r: "GradientSpectrum" in str(r.settings["optimizer"]),
        {"precondition": GradientSpectrum()},
    ),
    "separable": Goal(
        lambda r: torch.linalg.matrix_rank(r.stimulus[0, 0].flatten(1), rtol=1e-4) == 1,
        {"parametrization": Separable()},
    ),
    "a Gabor": Goal(
        lambda r: r.parameter_units["orientation"] == "°", {"parametrization": GaborSinusoid()}
    ),
    "a jittered Gabor": Goal(
        lambda r: "centre_x" in r.parameters and "jitter" in r.settings["objective"],
        {"parametrization": GaborSinusoid(), "jitter": Jitter(1)},
    ),
    "a norm": Goal(lambda r: near(r.norm, 2.5) and within(r), {"norm": 2.5}),
    "no norm": Goal(lambda r: within(r), {"norm": math.inf}),
    "an RMS contrast": Goal(
        lambda r: near(r.rms_contrast.square().mean(1).sqrt(), 0.3) and within(r), {"rms": 0.3}
    ),
    "an RMS contrast of each channel": Goal(
        lambda r: near(r.rms_contrast[:, 0], 0.2) and near(r.rms_contrast[:, 1], 0.3) and within(r),
        {"rms": [0.2, 0.3]},
    ),
    "a range for each channel": Goal(
        lambda r: within(r, [(-0.2, 0.3), (-0.3, 0.2)]) and float(r.stimulus.max()) > 0.2,
        {"stimulus_range": [(-0.2, 0.3), (-0.3, 0.2)], "norm": math.inf},
    ),
    "a mean luminance": Goal(
        lambda r: near(r.mean_luminance, 0.1) and within(r), {"mean_luminance": 0.1, "norm": 5.0}
    ),
    "a penalty": Goal(
        lambda r: (r.penalty > 0).all(), {"regularizer": L2Regularizer(1.0), "norm": math.inf}
    ),
}


@pytest.mark.parametrize("name", OF_NEURONS)
def test_a_goal_of_neurons_holds_and_is_the_same_in_a_population(name):
    goal = OF_NEURONS[name]
    model, settings = goal.model(), SETTINGS | goal.settings
    together = optimize_neurons(model, range(4), seed=[0, 1], **settings)
    assert goal.true(together)
    population = optimize_population(model, seed=[0, 1], chunk=3, **settings).together()
    assert population.neurons == together.neurons
    assert population.seeds == together.seeds
    assert population.stop_reasons == together.stop_reasons
    for each in ("score", "stimulus", "response", "norm"):
        torch.testing.assert_close(
            getattr(population, each), getattr(together, each), atol=1e-4, rtol=1e-4
        )
    for part in ("objective", "parametrization", "postprocessors", "regularizers"):
        assert population.settings.get(part) == together.settings.get(part)
    assert goal.true(population)


# Those that a population does not take, each with the setting that says so.
ELSEWHERE = {
    "several neurons": (
        lambda m, **s: optimize_groups(m, [[0, 3]], **s),
        lambda r: r.neurons == ((0, 3),),
        {"groups": [[0, 3]]},
    ),
    "a cell-type group": (
        lambda m, **s: optimize_groups(m, "ON", **s),
        lambda r: r.neurons == ((0, 2),) and float(r.score) > 0.3,
        {"groups": "ON"},
    ),
    "a group's decrease": (
        lambda m, **s: optimize_groups(m, "ON", direction="decrease", **s),
        lambda r: float(r.response.mean()) < -0.3,
        {"groups": "ON"},
    ),
    "an inner layer": (
        lambda m, **s: optimize_layer(layered(), "0", [0, 1], **s),
        lambda r: (r.score > 0.5).all(),
        {"layer": "0"},
    ),
    "most discriminative": (
        lambda m, **s: most_discriminative_stimuli(m, m.cell_types(), temperature=0.5, **s),
        lambda r: (r.score > 0).all() and (r.score < math.log(2)).all(),
        {"targets": [0]},
    ),
    "a diverse set": (
        lambda m, **s: diverse_stimuli(m, 0, count=2, **s),
        lambda r: r.score[0] == r.score[1],
        {"similarity_weight": 1.0},
    ),
    "sparse activation": (
        lambda m, **s: sparse_stimuli(m, [0, 1], **s),
        lambda r: (r.score > 0.5).all(),
        {"others": [1]},
    ),
    "a function": (
        lambda m, **s: optimize_function(m, lambda x: (m(x)[0, :, 0] - m(x)[0, :, 1]).mean(), **s),
        lambda r: float(r.score) > 0.5,
        {"function": len},
    ),
}
TRANSFORMS = {
    "plain": {},
    "jitter": {"jitter": Jitter(1, 1)},
    "form": {"parametrization": Separable()},
    "jittered form": {"parametrization": Separable(), "jitter": Jitter(1)},
    "filtered gradient": {"precondition": GradientBlur(0.5)},
    "contrast": {"rms": 0.3, "mean_luminance": 0.1},
}


def layered() -> RetinaModel:
    """Neurons behind a layer that can be asked for."""
    plain = model_of()
    return RetinaModel(
        torch.nn.Sequential(plain.module, torch.nn.Identity()),
        input_shape=INPUT_SHAPE,
        stimulus_norm=4.0,
        stimulus_range=RANGE,
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_goal_of_more_than_a_neuron_holds_with_every_transform(name, transform):
    run, true, _ = ELSEWHERE[name]
    settings = SETTINGS | {"max_iterations": 60} | TRANSFORMS[transform]
    result = run(model_of(), **settings)
    assert within(result)
    if transform == "contrast":
        assert near(result.rms_contrast.square().mean(1).sqrt(), 0.3)
        assert near(result.mean_luminance, 0.1)
    assert bool(result.parameters) == ("form" in transform)
    if transform in ("plain", "filtered gradient"):
        assert true(result)
    part = result.take([len(result.stop_reasons) - 1])
    joined = OptimizationResult.join([part, part])
    lengths = {len(v) for v in _per_element(joined)}
    assert lengths <= {2}


def _per_element(result: OptimizationResult) -> list[list[Any]]:
    names = ("neurons", "sets", "targets", "channel")
    objective = result.settings["objective"]
    return [objective[name] for name in names if isinstance(objective.get(name), list)]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_population_says_why_it_does_not_take_a_goal(model, name):
    (setting,) = given = ELSEWHERE[name][2]
    for ask in (optimize_population, population_steps):
        with pytest.raises(TypeError, match=rf"'{setting}' is no setting of a population, .* use "):
            ask(model, [0], **SETTINGS, **given)


# What cannot be -------------------------------------------------------------------------------

ENTRIES = {
    "neurons": lambda m, **s: neuron_steps(m, 0, **s),
    "population": lambda m, **s: population_steps(m, [0], **s),
    "groups": lambda m, **s: group_steps(m, "ON", **s),
    "discriminative": lambda m, **s: discriminative_steps(m, ["ON", "OFF"], **s),
    "diverse": lambda m, **s: diverse_steps(m, 0, **s),
    "sparse": lambda m, **s: sparse_steps(m, 0, **s),
    "layer": lambda m, **s: layer_steps(layered(), "0", **s),
    "function": lambda m, **s: function_steps(m, lambda x: m(x).mean(), **s),
}
N = TIME * INPUT_SHAPE[1] * INPUT_SHAPE[2]
IMPOSSIBLE = {
    "a norm beyond the range": (
        {"norm": 1000.0}, f"norm: 1000.0 is out of reach: .* is {math.sqrt(N * 1.64):.6g}"),
    "a form's norm beyond the range": (
        {"norm": 1000.0, "parametrization": Separable()}, "norm: 1000.0 is out of reach"),
    "a norm below a range without 0": (
        {"norm": 0.1, "stimulus_range": [(0.5, 1), (0.5, 1)]}, "norm: 0.1 is out of reach: .* 0,"),
    "a contrast beyond the range": ({"rms": 3.0}, "rms: 3.0 is out of reach"),
    "a contrast of a channel": ({"rms": [0.1, 3.0]}, "rms: 3.0 of channel 1 is out of reach"),
    "a mean beyond the range": ({"mean_luminance": 2.0}, "mean_luminance: 2.0 of channel 0"),
    "a norm with a mean": (
        {"mean_luminance": 0.5, "norm": 1.0}, "norm: 1.0 cannot be held with the mean luminance"),
    "a norm and a contrast": ({"norm": 3.0, "rms": 0.3}, "norm, rms: .* contradict each other"),
    "a form with a contrast": (
        {"rms": 0.3, "parametrization": Separable()}, "parametrization: .* rms and mean_luminance"),
    "a form and a filtered gradient": (
        {"precondition": GradientBlur(), "parametrization": Separable()}, "parametrization: pre"),
    "a step and an optimizer": (
        {"learning_rate": 0.1, "optimizer_init_fn": torch.optim.Adam}, "learning_rate: leave it"),
    "a range of another channel": (
        {"stimulus_range": [(-1, 1)]}, "expected limits for 2 channels, got 1"),
    "a range upside down": ({"stimulus_range": [(1, -1), (0, 1)]}, "range: expected low < high"),
    "a range that is none": ({"stimulus_range": [0.0, 1.0]}, r"range: expected a pair .* got 0\.0"),
    "no frame left": ({"time_steps": LAG}, "time_steps"),
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_said_before_the_run(model, name, entry):
    settings, message = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=message):
        ENTRIES[entry](model, **({"time_steps": TIME} | settings))
