"""What goes wrong in other optimisers of stimuli, and must not here: one test for each.

The list is that of the project's notes on optimising stimuli; each test is named after its entry.
"""

from __future__ import annotations

import dataclasses
import types

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    IncreaseObjective,
    MeanReducer,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
    neuron_steps,
    optimize_neurons,
    optimize_stimulus,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import stimulus_norm
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    TrainedNetwork,
    assert_untouched,
    cosine,
    linear_model,
    noise,
    random_filters,
    state_of,
)

HOEFLING_RANGE = ((-0.654, 6.269), (-0.913, 6.269))  # Höfling et al. 2024, z-scored
HOEFLING_NORM = 30.0


def adam(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.05)


def optimise(objective: object, stimulus: torch.Tensor, **settings: object) -> OptimizationResult:
    settings = {"optimization_stopper": OptimizationStopper(10)} | settings
    return optimize_stimulus(stimulus, adam, objective, **settings)


def test_the_call_returns_nothing_and_keeps_the_last_iterate():
    """Here: a frozen result with the best stimulus, and the stimulus is updated in place."""
    stimulus = noise(1)
    result = optimise(
        lambda x: -(x.sum() - 0.9).abs(), stimulus, optimization_stopper=OptimizationStopper(40)
    )
    assert result.score_trace.shape == (41, 1)
    assert result.score[0] == result.score_trace.max() > result.score_trace[-1, 0]
    assert result.score_trace[result.best_iteration[0], 0] == result.score[0]
    assert result.stop_reasons == ("40 iterations done",)
    assert result.settings["optimizer"]["lr"] == 0.05
    assert result.duration_s > 0
    assert torch.equal(stimulus, result.stimulus)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.stimulus = stimulus
    seeded = optimize_neurons(linear_model(stimulus_norm=1.0), 0, seed=7, max_iterations=1)
    assert seeded.seeds == (7,)


def test_a_batch_silently_optimises_the_wrong_thing():
    """Here: elements are independent, each with its neuron, score and end."""
    model = linear_model(3, stimulus_norm=2.0)
    result = optimize_neurons(model, [2, 0, 1], time_steps=LAG + 1)
    filters = model.module.filters.detach()
    for b, neuron in enumerate([2, 0, 1]):
        assert cosine(result.stimulus[b], filters[neuron]) > 0.999
        torch.testing.assert_close(result.score[b], 2.0 * filters[neuron].norm())
    assert result.neurons == ((2,), (0,), (1,))


def test_a_second_call_on_the_same_tensor_does_nothing(linear):
    stimulus = noise(1).requires_grad_(True)
    objective = IncreaseObjective(linear, 0)
    first = optimise(objective, stimulus)
    second = optimise(objective, stimulus)
    assert second.score_trace[0] == first.score
    assert second.score > first.score
    assert torch.equal(stimulus, second.stimulus)


def test_gradients_pile_up_on_the_parameters_and_train_mode_layers_change():
    network = TrainedNetwork()
    before = state_of(network)
    assert network.training
    optimise(IncreaseObjective(network, [0, 1]), noise(3, 6))
    assert_untouched(network, before)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_an_early_stopper_never_fires_on_a_flat_plateau():
    result = optimise(
        lambda x: 0 * x.sum() + 1.0,
        noise(2),
        optimization_stopper=OptimizationStopper(1000, patience=6),
    )
    assert result.iterations.tolist() == [6, 6]
    assert result.stop_reason == "no improvement in 6 iterations"


def test_a_stimulus_of_zeros_under_a_norm_turns_nan(linear):
    norm = NormAndRange(3.0)
    with pytest.raises(ValueError, match=r"stimulus: element 0 .* zero everywhere.*noise instead"):
        optimise(
            IncreaseObjective(linear, 0), torch.zeros_like(noise(1)), stimulus_postprocessor=norm
        )
    assert not norm.process(torch.zeros_like(noise(1))).any()


def test_clipping_after_the_norm_lets_the_norm_drift():
    """Here: both hold at once, at every step, and the norm reached is reported."""
    range_ = [(-0.2, 0.3), (-0.5, 0.1)]
    model = linear_model(2, stimulus_range=range_, stimulus_norm=3.0)
    steps = neuron_steps(model, [0, 1], time_steps=LAG + 1, max_iterations=40)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result = end.value
            break
        torch.testing.assert_close(stimulus_norm(step.stimulus), torch.full((2,), 3.0))
        for channel, (low, high) in enumerate(range_):
            assert torch.tensor(low) <= step.stimulus[:, channel].min()
            assert step.stimulus[:, channel].max() <= torch.tensor(high)
    torch.testing.assert_close(result.norm, torch.full((2,), 3.0))


def test_a_norm_that_the_range_does_not_allow_is_refused_with_the_largest():
    model = linear_model(1, stimulus_range=[(-0.1, 0.1)] * 2)
    most = 0.1 * 300**0.5
    with pytest.raises(ValueError, match=rf"norm: 100.0 is out of reach.* is {most:.6g}"):
        optimize_neurons(model, 0, norm=100.0, time_steps=LAG + 1)


def test_a_norm_that_a_stimulus_does_not_come_to_is_reported_as_reached():
    """Where the start is negative and the filter too, it is 0, which no scale lifts."""
    model = linear_model(1)
    start = noise(1)
    start[:, 0] = -1.0
    norm = 0.09 * 300**0.5
    result = optimize_stimulus(
        start.clone(),
        lambda params: torch.optim.SGD(params, lr=1e-9),
        IncreaseObjective(model, 0),
        OptimizationStopper(1),
        stimulus_postprocessor=NormAndRange(norm, [(0.0, 0.1)] * 2),
    )
    lifted = int(((start > 0) | (model.module.filters > 0)).sum())
    torch.testing.assert_close(result.norm, torch.tensor([0.1 * lifted**0.5]))
    assert result.norm < 0.9 * norm
    assert result.settings["postprocessors"][-1]["norm"] == norm


@pytest.mark.parametrize("smoothing", [TemporalLowPass(1.5), SpatialBlur(1.5)])
def test_a_low_pass_that_pads_with_zeros_dims_the_end_frames(smoothing):
    constant = torch.full((1, 2, 8, 6, 5), 0.8)
    torch.testing.assert_close(smoothing.process(constant), constant)


@pytest.mark.parametrize("axis", ["time", "height", "width"])
def test_a_total_variation_that_forgets_an_axis(axis):
    n = 4
    shape = [1, 1, 1, 1, 1]
    shape[["time", "height", "width"].index(axis) + 2] = n
    stripes = (torch.arange(n) % 2).float().view(shape).expand(1, 1, n, n, n)
    penalty = TotalVariationRegularizer(weight=1.0)
    assert float(penalty.forward(stripes)) == 1.0
    assert float(penalty.forward(torch.ones(1, 1, n, n, n))) == 0.0


def test_a_score_that_is_not_finite_spoils_the_run():
    result = optimise(lambda x: x.sum() + 0 * (35.0 - x.sum()).sqrt().detach(), noise(1))
    (end,) = result.iterations.tolist()
    assert 0 < end < 10
    assert result.stop_reason == (
        f"the score was not finite at iteration {end}; the best before it is kept"
    )
    assert result.best_iteration[0] == end - 1
    assert torch.isfinite(result.stimulus).all()


def test_a_gradient_that_is_not_finite_spoils_the_run():
    start = torch.full((1, 1, 1, 1, 2), 0.12)
    result = optimise(lambda x: -x.sqrt().sum(), start, stimulus_postprocessor=ClipStimulus(0, 1))
    (end,) = result.iterations.tolist()
    assert 0 < end < 10
    assert "the gradient was not finite at iteration" in result.stop_reason
    assert not result.stimulus.any()


def test_a_range_of_zero_to_one_for_every_model():
    """Here: a model carries its own range and norm, and its optimisation starts from them."""
    filters = random_filters(2)
    model = RetinaModel(
        LinearNeurons(filters),
        input_shape=INPUT_SHAPE,
        stimulus_range=HOEFLING_RANGE,
        stimulus_norm=HOEFLING_NORM,
    )
    result = optimize_neurons(model, [0, 1], time_steps=LAG + 1, max_iterations=60)
    torch.testing.assert_close(result.norm, torch.full((2,), HOEFLING_NORM))
    for channel, (low, high) in enumerate(HOEFLING_RANGE):
        values = result.stimulus[:, channel]
        assert values.min() == torch.tensor(low)
        assert values.max() <= torch.tensor(high)
        assert values.max() > 1.0


def test_results_stay_when_the_model_goes_on(linear):
    """Here: nothing in a result is shared with the run or the model."""
    objective = IncreaseObjective(linear, reducer=MeanReducer(neuron_dim=1, indices=1))
    result = optimise(objective, noise(1))
    kept = types.SimpleNamespace(stimulus=result.stimulus.clone(), trace=result.score_trace.clone())
    optimise(objective, result.stimulus.clone())
    with torch.no_grad():
        linear.module.filters.zero_()
    assert torch.equal(result.stimulus, kept.stimulus)
    assert torch.equal(result.score_trace, kept.trace)
