from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    NormAndRange,
    SpatialBlur,
    TotalVariationRegularizer,
    neuron_steps,
    optimize_neurons,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import project, stimulus_norm
from openretina_widgets.models import RetinaModel, load_model
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    cosine,
    linear_model,
    random_filters,
)

ONE = {"time_steps": LAG + 1}  # as long as the filter, so the best stimulus is the filter itself


@pytest.fixture
def bounded():
    return linear_model(3, stimulus_norm=2.0)


# The right answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("nonlinearity", [None, torch.nn.functional.softplus, torch.sigmoid])
@pytest.mark.parametrize(("direction", "sign"), [("increase", 1), ("decrease", -1)])
def test_best_stimulus_of_a_linear_neuron_is_its_filter(nonlinearity, direction, sign):
    filters = 0.2 * random_filters(3)
    module = LinearNeurons(filters.clone(), nonlinearity=nonlinearity)
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    result = optimize_neurons(model, range(3), direction=direction, **ONE)
    for stimulus, own in zip(result.stimulus, filters, strict=True):
        assert cosine(stimulus, sign * own) >= 0.999
    torch.testing.assert_close(result.norm, torch.full((3,), 2.0))


def test_best_stimulus_for_a_late_window_is_the_filter_at_the_end(bounded):
    """Frames that reach no counted response hold nothing."""
    result = optimize_neurons(bounded, 1, time_steps=LAG + 6, window=(5, 6))
    filters = bounded.module.filters.detach()[1]
    assert cosine(result.stimulus[0, :, -(LAG + 1) :], filters) >= 0.999
    assert float(result.stimulus[0, :, : -(LAG + 1)].abs().max()) < 1e-3
    assert result.window == (5, 6)


def test_best_stimulus_for_the_mean_over_time_is_the_sum_of_shifted_filters(bounded):
    frames = 4
    result = optimize_neurons(bounded, 2, time_steps=LAG + frames)
    filters = bounded.module.filters.detach()[2]
    expected = torch.zeros(2, LAG + frames, *INPUT_SHAPE[1:])
    for shift in range(frames):
        expected[:, shift : shift + LAG + 1] += filters
    assert cosine(result.stimulus[0], expected) >= 0.999
    assert result.window == (0, frames)


def test_best_stimulus_within_a_range_alone_is_the_sign_of_the_filter():
    model = linear_model(2, stimulus_range=[(-1.0, 2.0), (-0.5, 0.25)])
    result = optimize_neurons(model, [0, 1], max_iterations=100, **ONE)
    for stimulus, own in zip(result.stimulus, model.module.filters.detach(), strict=True):
        for values, weights, (low, high) in zip(stimulus, own, model.stimulus_range, strict=True):
            expected = torch.where(weights > 0, high, low)
            torch.testing.assert_close(values, expected)


def test_adam_ends_near_the_sign_of_the_filter_which_is_why_it_is_not_the_default(bounded):
    """What the documentation of `NormalizedDescent` says of Adam: a cosine of sqrt(2 / pi)."""
    result = optimize_neurons(
        bounded,
        range(3),
        optimizer_init_fn=lambda params: torch.optim.Adam(params, lr=0.05),
        **ONE,
    )
    for stimulus, own in zip(result.stimulus, bounded.module.filters.detach(), strict=True):
        assert cosine(stimulus, own) == pytest.approx((2 / np.pi) ** 0.5, abs=0.03)


def test_penalties_and_projections_are_used():
    model = linear_model(1, stimulus_norm=2.0)
    plain = optimize_neurons(model, 0, **ONE)
    smooth = optimize_neurons(
        model, 0, regularizer=TotalVariationRegularizer(40.0), postprocessor=SpatialBlur(1.0), **ONE
    )
    variation = TotalVariationRegularizer(1.0)
    assert variation.forward(smooth.stimulus) < 0.7 * variation.forward(plain.stimulus)
    torch.testing.assert_close(smooth.norm, torch.tensor([2.0]))
    assert [p["type"] for p in smooth.settings["postprocessors"]] == ["SpatialBlur", "NormAndRange"]
    assert smooth.penalty > 0


# Neurons and seeds ---------------------------------------------------------------------------


def test_every_pair_of_neuron_and_seed_is_an_experiment(bounded):
    result = optimize_neurons(bounded, [2, 0], seed=[5, 1, 9], max_iterations=2, **ONE)
    assert result.neurons == ((2,), (2,), (2,), (0,), (0,), (0,))
    assert result.seeds == (5, 1, 9, 5, 1, 9)
    assert result.stimulus.shape == (6, *bounded.stimulus_shape(LAG + 1)[1:])


def test_the_start_is_noise_of_the_seed_projected(bounded):
    step = next(neuron_steps(bounded, [0, 1], seed=[3, 4], **ONE))
    shape = bounded.stimulus_shape(LAG + 1)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in (3, 4, 3, 4)]
    expected = project((NormAndRange(2.0),), torch.cat(noise))
    torch.testing.assert_close(step.stimulus, expected)


def test_the_same_seed_gives_the_same_result_and_another_seed_another(bounded):
    settings = {"max_iterations": 5} | ONE
    first, again, other = (
        optimize_neurons(bounded, [0, 1], seed=seed, **settings) for seed in (1, 1, 2)
    )
    assert torch.equal(first.stimulus, again.stimulus)
    assert torch.equal(first.score_trace, again.score_trace)
    assert not torch.allclose(first.stimulus, other.stimulus)


def test_no_random_number_is_drawn_from_the_global_generator(bounded):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    optimize_neurons(bounded, 0, max_iterations=2, **ONE)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_of_the_model_is_used_can_be_replaced():
    model = linear_model(1, stimulus_range=[(-1.0, 1.0)] * 2, stimulus_norm=2.0)
    result = optimize_neurons(
        model, 0, norm=4.0, stimulus_range=[(-0.3, 0.3), (None, None)], max_iterations=20, **ONE
    )
    torch.testing.assert_close(stimulus_norm(result.stimulus), torch.tensor([4.0]))
    assert result.stimulus[:, 0].abs().max() <= torch.tensor(0.3)
    assert result.stimulus[:, 1].abs().max() > 0.3


def test_a_session_is_asked_by_name(trained):
    result = optimize_neurons(trained, [1], data_key="b", time_steps=5, max_iterations=2)
    assert result.data_key == "b"
    expected = trained.eval()(result.stimulus, data_key="b")[0, :, 1].detach()
    torch.testing.assert_close(result.response[0], expected)


def test_a_live_module_of_openretinas_shape_is_taken(network):
    result = optimize_neurons(network, 0, norm=2.0, time_steps=5, max_iterations=2)
    assert result.data_key == "a"
    assert result.model.source.endswith("TrainedNetwork")


@pytest.mark.parametrize("norm", [None, 2.0])
def test_the_step_is_a_tenth_of_the_bounds_by_default(norm):
    model = linear_model(1, stimulus_range=[(-0.5, 2.0), (-4.0, 0.0)])
    settings = optimize_neurons(model, 0, norm=norm, max_iterations=1, **ONE).settings["optimizer"]
    assert settings["type"] == ("Adam" if norm is None else "NormalizedDescent")
    assert settings["lr"] == pytest.approx(0.05 if norm is None else 0.2)


def test_numpy_integers_are_integers(bounded):
    result = optimize_neurons(
        bounded, np.array([1, 2]), seed=np.arange(2), max_iterations=np.int64(1), **ONE
    )
    assert result.neurons == ((1,), (1,), (2,), (2,))
    assert result.seeds == (0, 1, 0, 1)
    assert optimize_neurons(
        bounded, np.int64(1), seed=np.int64(3), max_iterations=1, **ONE
    ).seeds == (3,)


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("neurons", "settings", "error", "message"),
    [
        (3, {}, ValueError, "no neuron 3; it has neurons 0 to 2, the nearest is 2"),
        (-1, {}, ValueError, "no neuron -1; it has neurons 0 to 2, the nearest is 0"),
        ([0, -4], {}, ValueError, "no neuron -4; .* the nearest is 0"),
        ([], {}, ValueError, "neurons: expected at least one neuron, got none"),
        ("0", {}, TypeError, "neurons: expected whole numbers, got '0'"),
        (0.0, {}, TypeError, r"neurons: expected whole numbers, got 0\.0"),
        (True, {}, TypeError, "neurons: expected whole numbers, got True"),
        (None, {}, TypeError, "neurons: expected whole numbers, got None"),
        (0, {"data_key": "dfault"}, ValueError, "no session 'dfault'; the nearest is 'default'"),
        (0, {"time_steps": 4}, ValueError, "^time_steps: 4 frames .* consumes 4 .* works is 5"),
        (0, {"window": (0, 2)}, ValueError, r"window: .* <= 1 response frames, got \(0, 2\)"),
        (0, {"window": 3}, TypeError, "window: expected two whole numbers"),
        (0, {"direction": "up"}, ValueError, "direction: expected 'increase' or .*got 'up'"),
        (0, {"seed": []}, ValueError, "seed: expected at least one seed, got none"),
        (0, {"seed": -1}, ValueError, "seed: expected whole numbers >= 0, got -1"),
        (0, {"seed": 1.5}, ValueError, r"seed: expected whole numbers >= 0, got 1\.5"),
        (0, {"seed": True}, ValueError, "seed: expected whole numbers >= 0, got True"),
        (0, {"norm": -1.0}, ValueError, r"norm: expected a positive number, got -1\.0"),
        (0, {"learning_rate": 0.0}, ValueError, "learning_rate: expected a positive number"),
        (0, {"max_iterations": 0}, ValueError, "max_iterations: expected a whole number >= 1"),
        (0, {"stimulus_range": [(0, 1)]}, ValueError, "expected limits for 2 channels, got 1"),
        (0, {"stimulus_range": [(1, 0)] * 2}, ValueError, r"low < high, got \(1, 0\)"),
        (0, {"iterations": 3}, TypeError, "unexpected keyword argument 'iterations'"),
        (
            0,
            {"learning_rate": 0.1, "optimizer_init_fn": torch.optim.Adam},
            ValueError,
            "learning_rate: leave it out when optimizer_init_fn is given",
        ),
    ],
)
def test_arguments_are_checked_before_the_run(bounded, neurons, settings, error, message):
    with pytest.raises(error, match=message):
        neuron_steps(bounded, neurons, **(ONE | settings))


def test_a_model_without_any_bound_is_refused(linear):
    with pytest.raises(
        ValueError, match=r"norm, stimulus_range, regularizer: .* give at least one"
    ):
        neuron_steps(linear, 0, **ONE)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"model: expected a RetinaModel or a torch\.nn\.Module"):
        neuron_steps(lambda x: x, 0)


def test_a_module_that_does_not_say_its_shape_is_refused():
    with pytest.raises(ValueError, match=r"input_shape: expected .* has no stimulus_shape\(\)"):
        neuron_steps(torch.nn.Identity(), 0)


def test_a_setting_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(TypeError, match=r"no setting 'time_step'; the nearest is 'time_steps'"):
        optimize_neurons(load_model("synthetic"), 3, time_step=30)


def test_infinite_norm_is_no_norm():
    model = load_model("synthetic")
    result = optimize_neurons(model, 5, norm=math.inf, time_steps=25, max_iterations=30)
    assert float(result.norm[0]) > 1.5 * model.stimulus_norm
