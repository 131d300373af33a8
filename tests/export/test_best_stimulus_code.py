"""The code of a run, executed: it gives the same stimuli."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.export.best_stimulus import recipe_of
from openretina_widgets.export.code import ARRAY
from openretina_widgets.insilico import compute
from openretina_widgets.insilico.stimulus_optimization import (
    GaborSinusoid,
    GradientBlur,
    IncreaseObjective,
    Jitter,
    LowFrequencies,
    NormalizedDescent,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    Separable,
    optimize_stimulus,
)

needs_bfloat16 = pytest.mark.skipif(
    not compute._has_bfloat16(torch.device("cpu")), reason="no instructions for bfloat16 here"
)


@pytest.fixture(scope="module")
def trained() -> orw.RetinaModel:
    return orw.load_model("trained")


def executed(result: OptimizationResult, model: orw.RetinaModel) -> OptimizationResult:
    recipe = recipe_of(result, "model")
    assert recipe.missing == ()
    space = {"orw": orw, "model": model}
    lines = ["import numpy as np", ARRAY, *recipe.before, f"again = {recipe.code}"]
    exec("\n".join(lines), space)
    return space["again"]


def assert_made_again(result: OptimizationResult, model: orw.RetinaModel) -> None:
    again = executed(result, model)
    assert again.settings == result.settings
    assert (again.seeds, again.window) == (result.seeds, result.window)
    torch.testing.assert_close(again.stimulus, result.stimulus, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(again.score, result.score, atol=1e-6, rtol=1e-6)


def test_channels_of_a_layer(trained):
    result = orw.optimize_layer(
        trained,
        "core.features.layer0",
        [3, 0],
        seed=[1, 7],
        direction="decrease",
        place="middle",
        window=(2, 9),
        time_steps=40,
        max_iterations=3,
    )
    assert_made_again(result, trained)


@pytest.mark.parametrize(
    "bounds",
    [
        {"rms": 0.3},
        {"rms": [0.3, 0.5], "mean_luminance": 0.0},
        {"norm": 30.0, "mean_luminance": [0.1, 0.2]},
        {"norm": float("inf"), "mean_luminance": 0.1},
    ],
)
def test_constraints(trained, bounds):
    result = orw.optimize_neurons(trained, [4, 2], max_iterations=2, **bounds)
    assert result.settings["postprocessors"][-1]["type"] == "ContrastAndRange"
    assert_made_again(result, trained)


def test_jitter_and_a_filtered_gradient(trained):
    settings = {"jitter": Jitter(1, 2, seed=4), "precondition": GradientBlur(1.0)}
    result = orw.optimize_neurons(trained, [4, 2], max_iterations=3, **settings)
    assert_made_again(result, trained)


@pytest.mark.parametrize("form", [Separable(), GaborSinusoid(drifting=True), LowFrequencies(0.1)])
def test_parametrizations(trained, form):
    result = orw.optimize_neurons(trained, [4, 2], parametrization=form, max_iterations=3)
    assert_made_again(result, trained)


def test_sparse_activation(trained):
    settings = {"others": [1, 5, 9], "weight": 0.5, "seed": [3, 4]}
    result = orw.sparse_stimuli(trained, [4, 2], max_iterations=2, **settings)
    assert_made_again(result, trained)


def test_a_diverse_set(trained):
    result = orw.diverse_stimuli(
        trained, [4, 4, 2], count=3, similarity_weight=0.2, seed=6, max_iterations=2
    )
    assert_made_again(result, trained)


def test_several_neurons_together(trained):
    result = orw.optimize_groups(
        trained, [4, 2, 7], direction="decrease", seed=[3, 4], max_iterations=2
    )
    assert_made_again(result, trained)


def test_a_function_that_stands_on_its_own(trained):
    def contrast(response: torch.Tensor) -> torch.Tensor:
        return torch.log1p(response[:, 3].mean()) - response[:, 5].mean()

    result = orw.optimize_function(
        trained, contrast, seed=[3, 4], window=(2, 9), max_iterations=2, jitter=Jitter(1)
    )
    assert "def contrast(response" in result.settings["objective"]["function"]
    again = executed(result, trained)
    assert again.settings["postprocessors"] == result.settings["postprocessors"]
    assert (again.seeds, again.window) == (result.seeds, result.window)
    torch.testing.assert_close(again.stimulus, result.stimulus, atol=1e-6, rtol=1e-6)


response = "a name of the notebook that the function below has as its own"


def test_a_functions_own_names_are_not_those_of_the_notebook(trained):
    def largest(response):
        mean = response.mean(dim=0)
        return mean.max()

    result = orw.optimize_function(trained, largest, max_iterations=2)
    torch.testing.assert_close(executed(result, trained).stimulus, result.stimulus)


@needs_bfloat16
def test_a_lower_precision(trained):
    result = orw.optimize_neurons(trained, [4], precision="bfloat16", max_iterations=2)
    assert executed(result, trained).settings["precision"] == "bfloat16"
    start = 0.1 * torch.randn(trained.stimulus_shape(40))
    steps = optimize_stimulus(
        start,
        lambda params: NormalizedDescent(params, lr=0.5),
        IncreaseObjective(trained, 3),
        OptimizationStopper(2),
        stimulus_postprocessor=NormAndRange(5.0),
        precision="bfloat16",
    )
    assert executed(steps, trained).settings["precision"] == "bfloat16"
    elsewhere = replace(result, settings={**result.settings, "device": "cuda:0"})
    recipe = recipe_of(elsewhere, "model")
    assert "precision" not in recipe.code
    assert any("the code computes in float32" in words for words in recipe.words)


def test_a_form_with_an_optimizer_of_ones_own(trained):
    result = orw.optimize_neurons(
        trained,
        [4],
        parametrization=LowFrequencies(0.2, 10.0),
        optimizer_init_fn=lambda params: NormalizedDescent(params, lr=0.3),
        max_iterations=2,
    )
    assert_made_again(result, trained)


def test_a_function_that_uses_more_is_missing(trained):
    weight = 2.0

    def heavy(response):
        return weight * response[:, 3].mean()

    recipe = recipe_of(orw.optimize_function(trained, heavy, max_iterations=1), "model")
    assert len(recipe.missing) == 1
    assert "'heavy'" in recipe.missing[0]


@pytest.mark.parametrize("goal", ["increase", "neurons", "type", "groups", "diverse", "sparse"])
def test_what_is_chosen_in_the_widget(trained, goal):
    optimizer = orw.StimulusOptimizer(
        trained,
        neuron=3,
        objective=goal,
        seeds=2,
        rms=0.3,
        mean_luminance=[0.1, 0.0],
        jitter=Jitter(1, 1, seed=2),
        precondition=GradientBlur(0.8),
        stimulus_range=[(-2.0, 2.0), (-1.0, 1.0)],
        tv_weight=0.01,
        smooth_ms=20.0,
        max_iterations=2,
    )
    result = optimizer.start().result(timeout=120)
    optimizer.close()
    assert_made_again(result, trained)


def test_a_channel_and_a_form_that_are_chosen_in_the_widget(trained):
    optimizer = orw.StimulusOptimizer(
        trained, objective="layer", parametrization=LowFrequencies(0.2, 10.0), max_iterations=2
    )
    result = optimizer.start().result(timeout=120)
    optimizer.close()
    assert_made_again(result, trained)


def test_groups_of_neurons(trained):
    groups = {"first": [4, 2], "second": [1]}
    result = orw.optimize_groups(
        trained, groups, direction="decrease", seed=[3, 4], max_iterations=2
    )
    assert_made_again(result, trained)
    part = result.take([2, 3])
    torch.testing.assert_close(executed(part, trained).stimulus, part.stimulus)


def test_parts_of_results_with_more_than_neurons(trained):
    sets = orw.diverse_stimuli(trained, [4, 2], count=2, max_iterations=2)
    part = sets.take([2, 3])
    torch.testing.assert_close(executed(part, trained).stimulus, part.stimulus)
    channels = orw.optimize_layer(
        trained, orw.list_layers(trained)[0].name, [2, 0, 1], max_iterations=2, time_steps=40
    )
    assert_made_again(channels.take([1, 2]), trained)
