"""OpenRetina's objects can be passed wherever ours can, by behaviour and for any batch."""

from __future__ import annotations

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    IncreaseObjective,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    SliceMeanReducer,
    optimization_steps,
    optimize_stimulus,
)
from openretina_widgets.models import RetinaModel
from tests.insilico.foreign import (
    ForeignEarlyStopper,
    ForeignIncrease,
    ForeignNoLoss,
    ForeignNormThenClip,
    ForeignRangeLoss,
    ForeignSliceReducer,
    ForeignStopper,
)
from tests.insilico.modules import TrainedNetwork, assert_untouched, is_frozen, noise, state_of

RANGE = [(-0.3, 0.3), (-0.2, 0.4)]
TIME = 7


def adam(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.05)


def run(objective: object, stimulus: torch.Tensor, **settings: object) -> OptimizationResult:
    settings = {"optimization_stopper": ForeignStopper(12)} | settings
    return optimize_stimulus(
        stimulus=stimulus, optimizer_init_fn=adam, objective_object=objective, **settings
    )


@pytest.fixture
def foreign(network):
    return ForeignIncrease(network, [0, 2], "a", ForeignSliceReducer(0, 1, 3))


def test_a_whole_run_with_their_objects_alone(foreign, network):
    before = state_of(network)
    stimulus = noise(1, TIME)
    result = run(
        foreign,
        stimulus,
        stimulus_regularization_loss=ForeignRangeLoss(RANGE, max_norm=3.0, factor=0.1),
        stimulus_postprocessor=[ForeignNormThenClip(RANGE, norm=3.0)],
    )
    assert_untouched(network, before)
    assert result.score > result.score_trace[0]
    assert result.iterations.tolist() == [12]
    assert torch.equal(stimulus, result.stimulus)
    for channel, (low, high) in enumerate(RANGE):
        assert torch.tensor(low) <= stimulus[:, channel].min()
        assert stimulus[:, channel].max() <= torch.tensor(high)


def test_a_batch_of_theirs_is_as_many_single_runs(foreign):
    """Their objective squeezes the batch, their penalty and norm sum over it: one at a time."""
    settings = {
        "stimulus_regularization_loss": ForeignRangeLoss(RANGE, max_norm=3.0, factor=0.1),
        "stimulus_postprocessor": ForeignNormThenClip(RANGE, norm=3.0),
    }
    start = noise(3, TIME)
    together = run(foreign, start.clone(), **settings)
    for b, x in enumerate(start.split(1)):
        alone = run(foreign, x.clone(), **settings)
        torch.testing.assert_close(together.stimulus[b], alone.stimulus[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.score_trace[:, b], alone.score_trace[:, 0])


def test_theirs_and_ours_give_the_same(foreign, network):
    ours = IncreaseObjective(network, [0, 2], "a", SliceMeanReducer(0, 1, 3))
    results = [run(objective, noise(2, TIME)) for objective in (foreign, ours)]
    torch.testing.assert_close(results[0].stimulus, results[1].stimulus, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(results[0].score, results[1].score, atol=1e-5, rtol=1e-5)


def test_their_model_is_held_frozen(foreign, network):
    steps = optimization_steps(
        noise(1, TIME),
        optimizer_init_fn=adam,
        objective_object=foreign,
        optimization_stopper=ForeignStopper(2),
    )
    for _ in steps:
        assert is_frozen(network)
    assert network.training


def test_their_reducer_and_model_work_in_our_objective(network):
    ours = IncreaseObjective(network, 1, "b", ForeignSliceReducer(0, 1, 3))
    theirs = ForeignIncrease(network, 1, "b", ForeignSliceReducer(0, 1, 3))
    results = [run(objective, noise(2, TIME)) for objective in (ours, theirs)]
    torch.testing.assert_close(results[0].score, results[1].score, atol=1e-5, rtol=1e-5)


def test_our_model_works_in_their_objective(network):
    model = RetinaModel(network)
    foreign = ForeignIncrease(model, 1, "b", ForeignSliceReducer(0, 1, 3))
    result = run(foreign, noise(2, TIME))
    assert result.model == model.identity
    assert result.lag == TrainedNetwork.LAG
    with pytest.raises(ValueError, match=r"2 frames are too short.*the shortest that works is 3"):
        run(foreign, noise(1, 2))


def test_each_element_has_its_own_copy_of_a_stopper_that_counts(network):
    """One shared count would let the elements spend each other's patience."""

    def objective(x: torch.Tensor) -> torch.Tensor:
        return x.clamp(max=0.4).sum()  # a plateau, reached after a time that depends on the start

    start = torch.tensor([0.35, 0.1, 0.4]).view(3, 1, 1, 1, 1).expand(3, 1, 2, 2, 2).clone()
    stopper = ForeignEarlyStopper(max_iterations=100, patience=3)
    together = run(objective, start.clone(), optimization_stopper=stopper)
    assert together.iterations.tolist() == [
        int(run(objective, x.clone(), optimization_stopper=stopper).iterations)
        for x in start.split(1)
    ]
    assert len(set(together.iterations.tolist())) == 3
    assert set(together.stop_reasons) == {"ForeignEarlyStopper stopped it"}
    assert stopper._counter == 0, "so that it can be used again"


def test_their_stopper_without_an_end_is_stopped_by_its_patience():
    stopper = ForeignEarlyStopper(None, patience=3)
    result = run(lambda x: x.clamp(max=0.4).sum(), noise(1), optimization_stopper=stopper)
    assert result.stop_reason == "ForeignEarlyStopper stopped it"


def test_their_penalty_that_is_a_plain_zero(foreign):
    result = run(foreign, noise(2, TIME), stimulus_regularization_loss=ForeignNoLoss())
    assert not result.penalty.any()
    torch.testing.assert_close(result.stimulus, run(foreign, noise(2, TIME)).stimulus)


def test_theirs_and_ours_mix(foreign):
    result = run(
        foreign,
        noise(2, TIME),
        optimization_stopper=OptimizationStopper(5),
        stimulus_postprocessor=[ForeignNormThenClip(RANGE, norm=3.0), NormAndRange(2.0, RANGE)],
    )
    torch.testing.assert_close(result.norm, torch.full((2,), 2.0))
    assert result.settings["objective"]["type"] == "ForeignIncrease"
