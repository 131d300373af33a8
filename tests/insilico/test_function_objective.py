"""A plain function of the stimulus: seeds, bounds and errors as everywhere else."""

from __future__ import annotations

import functools
import math

import pytest
import torch

from openretina_widgets import optimize_function, optimize_neurons
from openretina_widgets.errors import ObjectiveFailed, OutOfMemory
from openretina_widgets.insilico.stimulus_optimization import (
    FunctionObjective,
    GaborSinusoid,
    GradientBlur,
    Jitter,
    OptimizationResult,
    Separable,
    function_steps,
)
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.freezing import frozen
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LittleMemory,
    TrainedNetwork,
    assert_untouched,
    cosine,
    is_frozen,
    linear_model,
    random_filters,
    state_of,
)
from tests.insilico.test_population import saturating

ONE = {"time_steps": LAG + 1}


@pytest.fixture
def model():
    return linear_model(3, stimulus_norm=2.0)


def test_the_best_stimulus_of_a_linear_function_is_its_direction(model):
    filters = model.module.filters.detach()

    def difference(stimulus):
        response = model(stimulus)[0].mean(dim=0)
        return response[0] - response[2]

    result = optimize_function(model, difference, seed=[0, 4], **ONE)
    assert result.seeds == (0, 4)
    for stimulus in result.stimulus:
        assert cosine(stimulus, filters[0] - filters[2]) >= 0.999
    torch.testing.assert_close(result.norm, torch.full((2,), 2.0))
    assert result.model == model.identity
    described = result.settings["objective"]
    assert described["function"].endswith("difference")
    assert described["type"] == "FunctionObjective"


@pytest.mark.parametrize("whole_batch", [False, True])
def test_it_is_optimize_neurons_where_the_function_is_a_neurons_response(whole_batch):
    model = saturating()

    def own(stimulus):
        response = model(stimulus)[:, :, 1].mean(dim=1)
        return response if whole_batch else response[0]

    settings = {"seed": [0, 1, 2, 3], "norm": 3.0, "patience": 3, "min_delta": 1e-3, **ONE}
    result = optimize_function(model, own, whole_batch=whole_batch, **settings)
    expected = optimize_neurons(model, 1, **settings)
    assert len(set(expected.iterations.tolist())) > 1, "they are to end at different times"
    assert result.iterations.tolist() == expected.iterations.tolist()
    for name in ("stimulus", "score_trace", "score", "norm"):
        torch.testing.assert_close(
            getattr(result, name), getattr(expected, name), atol=1e-5, rtol=1e-5, equal_nan=True
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"jitter": Jitter(1)},
        {"parametrization": Separable()},
        {"parametrization": GaborSinusoid(), "jitter": Jitter(1)},
        {"precondition": GradientBlur()},
        {"rms": 0.3, "mean_luminance": 0.1, "stimulus_range": [(-1, 1)] * 2},
    ],
    ids=["jitter", "form", "jittered form", "preconditioned", "contrast"],
)
def test_settings_are_those_of_neurons(model, settings):
    def own(stimulus):
        return model(stimulus)[0, :, 1].mean()

    settings = {"max_iterations": 8, **ONE, **settings}
    result = optimize_function(model, own, **settings)
    expected = optimize_neurons(model, 1, **settings)
    torch.testing.assert_close(result.stimulus, expected.stimulus, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(result.score, expected.score, atol=1e-5, rtol=1e-5)
    assert result.parameters.keys() == expected.parameters.keys()


def test_without_a_model_the_shape_is_given(tmp_path):
    target = random_filters(1)[0]
    result = optimize_function(
        INPUT_SHAPE, lambda x: (x[0] * target).sum(), norm=3.0, seed=1, **ONE
    )
    assert cosine(result.stimulus[0], target) >= 0.999
    assert result.model is None
    form = optimize_function(
        INPUT_SHAPE, lambda x: (x[0] * target).sum(), norm=3.0, parametrization=Separable(), **ONE
    )
    assert form.parameters["time"].shape == (1, 2, LAG + 1)
    assert form.norm.item() == pytest.approx(3.0)
    loaded = OptimizationResult.load(result.save(tmp_path / "result.npz"))
    torch.testing.assert_close(loaded.stimulus, result.stimulus)


def test_the_model_is_held_frozen_and_handed_back():
    module = TrainedNetwork()
    model = RetinaModel(module, stimulus_norm=1.0)
    before = state_of(module)
    seen = []

    def first(stimulus):
        seen.append(is_frozen(module))
        return model(stimulus, data_key="b")[0, :, 0].mean()

    result = optimize_function(model, first, data_key="b", max_iterations=3, time_steps=6)
    assert len(seen) == 1 + 4  # once before the run
    assert all(seen)
    assert result.data_key == "b"
    assert_untouched(module, before)
    with frozen(model):
        again = first(result.stimulus)
    assert float(again) == pytest.approx(float(result.score), rel=1e-5)


def test_a_lack_of_memory_is_said_as_such():
    model = RetinaModel(LittleMemory(random_filters(2), fits=1), input_shape=INPUT_SHAPE)
    with pytest.raises(OutOfMemory):
        optimize_function(
            model, lambda x: model(x)[:, 0, 0], whole_batch=True, seed=[0, 1], norm=1.0, **ONE
        )


# What is wrong with the function -------------------------------------------------------------


def raising(stimulus):
    weights = torch.ones(3)
    return (stimulus * weights).sum()


class Callable:
    def __call__(self, stimulus):
        return stimulus.unknown_method()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (raising, ObjectiveFailed,
         r"^function: raising raised RuntimeError: The size .*, in line \d+: "
         r"return \(stimulus \* weights\)\.sum\(\); 'stimulus' was given the stimulus "
         rf"\(1, 2, {LAG + 1}, .*; to get the response, name the parameter 'response'$"),
        (functools.partial(raising), ObjectiveFailed, r"^function: raising raised .* weights"),
        (Callable(), ObjectiveFailed,
         r"Callable raised AttributeError: .*, in line \d+: return stimulus\.unknown_method\(\)"),
        (lambda x: 1 / 0, ObjectiveFailed, "raised ZeroDivisionError: division by zero, in line"),
        (lambda x: x.mean(dim=(2, 3, 4)), ValueError,
         r"^function: expected one number for one stimulus, got shape \(1, 2\)"),
        (lambda x: 3.0, TypeError, "^function: expected a torch tensor, got float"),
        (lambda x: None, TypeError, "^function: expected a torch tensor, got NoneType"),
        (lambda x: x.detach().sum(), ValueError, "^function: torch sees no way from the stimulus"),
        (3, TypeError, "^function: expected a function of the response .* got 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_function_is_said_before_the_run(model, function, error, message):
    with pytest.raises(error, match=message) as caught:
        function_steps(model, function, **ONE)
    if error is ObjectiveFailed:
        assert caught.value.__cause__ is not None


def test_an_error_in_the_middle_is_said_with_its_line(model):
    calls = []

    def later(stimulus):
        calls.append(1)
        if len(calls) > 3:
            raise KeyError("lost")
        return stimulus.sum()

    with pytest.raises(ObjectiveFailed, match="later raised KeyError: 'lost', in line") as caught:
        optimize_function(model, later, **ONE)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"model": (2, 6)}, TypeError, r"model: expected a model, or three whole numbers"),
        ({"model": (2, 0, 5)}, TypeError, "model: expected a model, or three whole numbers"),
        ({"model": "synthetic"}, TypeError, "model: expected a model, or three whole numbers"),
        ({"model": INPUT_SHAPE}, ValueError, "without any bound the stimulus grows for ever"),
        ({"model": INPUT_SHAPE, "data_key": "a", "norm": 1.0}, ValueError, "data_key: there are"),
        ({"data_key": "lost"}, ValueError, "data_key: there is no session 'lost'"),
        ({"window": (0, 1)}, ValueError, "window: a function of the stimulus is given all"),
        (
            {"model": INPUT_SHAPE, "norm": 1.0, "function": lambda response: response.sum()},
            ValueError,
            "called 'response', and there is no model",
        ),
        ({"nrom": 1.0}, TypeError, "optimize_function: there is no setting 'nrom'; the nearest"),
        ({"norm": 1e6, "stimulus_range": [(-1, 1)] * 2}, ValueError, "norm: .* out of reach"),
        ({"seed": []}, ValueError, "seed: expected at least one"),
        ({"whole_batch": True}, ValueError, r"expected 1 scores for a batch of 1, got \(\)"),
    ],
)
def test_bad_settings_are_told(model, given, error, message):
    given = {"model": model, "function": lambda x: x.sum(), **ONE, **given}
    with pytest.raises(error, match=message):
        optimize_function(**given)


@pytest.mark.parametrize("name", ["r", "responses", "y", "self"])
def test_a_name_that_does_not_say_what_it_is_given_is_refused(model, name):
    def call(value):
        return value.mean()

    function = eval(f"lambda {name}: call({name})", {"call": call})
    words = f"calls its first parameter '{name}', .* 'response' for the response .* 'stimulus'"
    with pytest.raises(ValueError, match=words):
        function_steps(model, function, **ONE)
    with pytest.raises(ValueError, match=words):
        FunctionObjective(function, model)


@pytest.mark.parametrize("name", ["stimulus", "movie", "x"])
def test_a_name_of_the_stimulus_gets_the_stimulus(model, name):
    shapes = []

    def call(value):
        shapes.append(tuple(value.shape))
        return value.mean()

    function = eval(f"lambda {name}: call({name})", {"call": call})
    optimize_function(model, function, max_iterations=1, **ONE)
    assert set(shapes) == {model.stimulus_shape(LAG + 1)}


def test_an_object_with_forward_and_what_hides_its_parameters_get_the_stimulus(model):
    class Objective:
        def forward(self, r):
            return r[0, 0].mean()

    for one in (Objective(), torch.sum):
        optimize_function(model, one, max_iterations=1, **ONE)


def test_an_error_says_what_the_response_is(model):
    with pytest.raises(ObjectiveFailed, match=r"'response' was given the response \(1, 3\)"):
        optimize_function(model, lambda response: response[:, 5].mean(), **ONE)


def test_the_help_says_what_the_name_decides():
    words = " ".join(str(optimize_function.__doc__).split())
    assert "name of the function's parameter says what it is given" in words


def test_the_random_state_of_the_user_stays(model):
    before = torch.get_rng_state()
    function_steps(model, lambda x: x.square().sum(), **ONE).close()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_score_that_is_not_finite_ends_the_run_as_elsewhere(model):
    result = optimize_function(model, lambda x: x.sum() * math.nan, **ONE)
    assert "the score was not finite at iteration 0" in result.stop_reason


def test_the_objective_works_in_optimize_stimulus_too(model):
    objective = FunctionObjective(lambda x: x[0].square().sum())
    x = torch.full((2, *model.stimulus_shape(LAG + 1)[1:]), 2.0)
    torch.testing.assert_close(objective.forward(x), torch.full((2,), 4.0 * x[0].numel()))
