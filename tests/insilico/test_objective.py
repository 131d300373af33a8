from __future__ import annotations

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    DecreaseObjective,
    IncreaseObjective,
    MeanReducer,
    ResponseObjective,
    SliceMeanReducer,
)
from openretina_widgets.insilico.stimulus_optimization.objective import (
    NeuronsObjective,
    evaluate,
    model_of,
)
from tests.insilico.foreign import ForeignIncrease, ForeignSliceReducer
from tests.insilico.modules import LAG, TrainedNetwork, noise

TIME = LAG + 6
FRAMES = TIME - LAG


@pytest.fixture
def stimulus():
    return noise(3, TIME)


@pytest.fixture
def response(linear, stimulus):
    return linear(stimulus).detach()


# Reducers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [1, np.int64(1), [1], (1,), np.array([1])])
def test_mean_reducer_takes_a_neuron(response, index):
    torch.testing.assert_close(
        MeanReducer(neuron_dim=1, indices=index).forward(response), response[:, :, 1].mean(dim=1)
    )


def test_mean_reducer_takes_several_neurons_all_and_a_window(response):
    several = MeanReducer(indices=[0, 2], window=(1, 4)).forward(response)
    torch.testing.assert_close(several, response[:, 1:4, [0, 2]].mean(dim=(1, 2)))
    torch.testing.assert_close(MeanReducer().forward(response), response.mean(dim=(1, 2)))


def test_reducers_take_one_stimulus_as_well(response):
    torch.testing.assert_close(
        MeanReducer(indices=2, window=(0, 2)).forward(response[1]), response[1, :2, 2].mean()
    )
    torch.testing.assert_close(
        SliceMeanReducer(axis=0, start=1, length=3).forward(response[1, :, 0]),
        response[1, 1:4, 0].mean(),
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MeanReducer(neuron_dim=0), ValueError, "neuron_dim: .* on axis 1; got 0"),
        (lambda: MeanReducer(window=(3, 3)), ValueError, r"window: .*got \(3, 3\)"),
        (lambda: MeanReducer(window=(-1, 3)), ValueError, "window: "),
        (lambda: MeanReducer(indices=[0, -1]), ValueError, "indices: .* count from 0, got -1"),
        (lambda: MeanReducer(indices=-1), ValueError, "indices: .* count from 0, got -1"),
        (lambda: MeanReducer(window=5), TypeError, "window: expected two whole numbers.*got 5"),
        (lambda: MeanReducer(window=(0.0, 2.5)), TypeError, r"window: .*got \(0.0, 2.5\)"),
        (lambda: MeanReducer(window=(0, 1, 2)), TypeError, "window: "),
        (lambda: SliceMeanReducer(axis=1), ValueError, "axis: .*got 1"),
        (lambda: SliceMeanReducer(start=-1), ValueError, "start, length: .*start=-1"),
        (lambda: SliceMeanReducer(length=0), ValueError, "start, length: .*length=0"),
    ],
)
def test_reducers_are_checked_at_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_window_beyond_the_response_is_refused(linear, stimulus):
    objective = IncreaseObjective(linear, reducer=MeanReducer(indices=0, window=(0, FRAMES + 1)))
    message = rf"window: expected 0 <= start < stop <= {FRAMES} response frames, got \(0, 7\)"
    with pytest.raises(ValueError, match=message):
        objective.window(TIME)
    with pytest.raises(ValueError, match=message):
        objective.forward(stimulus)


# Objectives ----------------------------------------------------------------------------------


def test_increase_scores_each_stimulus(linear, stimulus, response):
    score = IncreaseObjective(linear, 1).forward(stimulus)
    torch.testing.assert_close(score, response[:, :, 1].mean(dim=1))


def test_increase_takes_the_mean_of_several_neurons(linear, stimulus, response):
    score = IncreaseObjective(linear, [0, 2]).forward(stimulus)
    torch.testing.assert_close(score, response[:, :, [0, 2]].mean(dim=(1, 2)))


def test_decrease_is_the_negative_of_increase(linear, stimulus):
    torch.testing.assert_close(
        DecreaseObjective(linear, 1).forward(stimulus),
        -IncreaseObjective(linear, 1).forward(stimulus),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"reducer": MeanReducer(neuron_dim=1, indices=2, window=(1, 4))},
        {"neuron_indices": 2, "response_reducer": SliceMeanReducer(axis=0, start=1, length=3)},
        {"neuron_indices": 2, "response_reducer": MeanReducer(window=(1, 4))},
        {"neuron_indices": 2, "response_reducer": ForeignSliceReducer(axis=0, start=1, length=3)},
        {"neuron_indices": 2, "response_reducer": lambda trace: trace[1:4].mean()},
    ],
    ids=["reducer", "slice", "mean", "foreign", "function"],
)
def test_increase_takes_a_window_in_every_spelling(linear, stimulus, response, settings):
    objective = IncreaseObjective(linear, **settings)
    torch.testing.assert_close(objective.forward(stimulus), response[:, 1:4, 2].mean(dim=1))
    known = isinstance(next(reversed(settings.values())), MeanReducer | SliceMeanReducer)
    assert objective.window(TIME) == ((1, 4) if known else None)


def test_increase_tells_the_response_that_it_looks_at(linear, stimulus, response):
    seen = IncreaseObjective(linear, [0, 2]).evaluate(stimulus).response
    torch.testing.assert_close(seen, response[:, :, [0, 2]].mean(dim=2))
    assert not seen.requires_grad


def test_increase_counts_neurons_from_zero(linear):
    with pytest.raises(ValueError, match="no neuron -1; it has neurons 0 to 2"):
        IncreaseObjective(linear, [-1, 0])
    assert IncreaseObjective(linear, [2, 0]).neurons == [2, 0]
    assert IncreaseObjective(linear, reducer=MeanReducer()).neurons == [0, 1, 2]


def test_increase_asks_the_session_given(trained):
    stimulus = noise(2, 6)
    with torch.no_grad():
        expected = trained.eval()(stimulus, data_key="b")[..., 1].mean(dim=1)
    score = IncreaseObjective(trained, 1, data_key="b").forward(stimulus)
    torch.testing.assert_close(score, expected)


def test_increase_wraps_a_live_model_of_openretinas_shape(network):
    objective = IncreaseObjective(network, 2)
    assert objective.model.module is network
    assert objective.data_key == "a"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ValueError, "neuron_indices: expected a neuron or several, got None"),
        ({"neuron_indices": 3}, ValueError, "has no neuron 3; it has neurons 0 to 2.*nearest is 2"),
        ({"neuron_indices": []}, ValueError, "neurons: expected at least one neuron, got none"),
        ({"neuron_indices": 1.5}, TypeError, "neurons: expected whole numbers, got 1.5"),
        ({"reducer": MeanReducer(indices=9)}, ValueError, "has no neuron 9"),
        ({"neuron_indices": 1, "reducer": MeanReducer(indices=1)}, ValueError, "^reducer: "),
        ({"reducer": SliceMeanReducer()}, TypeError, "reducer: expected a MeanReducer, got Slice"),
        ({"neuron_indices": 1, "data_key": "defualt"}, ValueError, "the nearest is 'default'"),
    ],
)
def test_increase_is_checked_at_construction(linear, settings, error, message):
    with pytest.raises(error, match=message):
        IncreaseObjective(linear, **settings)


def test_increase_refuses_what_is_no_model():
    with pytest.raises(
        TypeError, match=r"model: expected a RetinaModel or a torch\.nn\.Module, got str"
    ):
        IncreaseObjective("synthetic", 1)


@pytest.mark.parametrize(
    ("reduce", "error", "message"),
    [
        (lambda trace: trace, ValueError, r"response_reducer: expected one number.*\(6,\)"),
        (lambda trace: 1.0, TypeError, "response_reducer: expected a torch tensor, got float"),
    ],
)
def test_a_reducer_has_to_give_one_number(linear, stimulus, reduce, error, message):
    with pytest.raises(error, match=message):
        IncreaseObjective(linear, 0, response_reducer=reduce).forward(stimulus)


def test_any_function_of_the_response_can_be_maximised(linear, stimulus, response):
    objective = ResponseObjective(linear, lambda r: r[-1, 0] - r[-1].logsumexp(dim=0))
    expected = response[:, -1, 0] - response[:, -1].logsumexp(dim=1)
    torch.testing.assert_close(objective.forward(stimulus), expected)


def test_each_element_of_neurons_objective_has_its_own_neuron(linear, stimulus, response):
    objective = NeuronsObjective(linear, (2, 0, 2), "default", (1, 4), -1.0)
    now = objective.evaluate(stimulus)
    own = torch.stack([response[0, :, 2], response[1, :, 0], response[2, :, 2]])
    torch.testing.assert_close(now.score, -own[:, 1:4].mean(dim=1))
    torch.testing.assert_close(now.response, own)
    kept = objective.keep([1, 2])
    torch.testing.assert_close(kept.evaluate(stimulus[1:]).score, now.score[1:])


# Any objective -------------------------------------------------------------------------------


def test_evaluate_asks_a_function_about_one_stimulus_at_a_time(linear, stimulus, response):
    def score(x: torch.Tensor) -> torch.Tensor:
        assert len(x) == 1
        return linear(x)[0, :, 1].mean()

    torch.testing.assert_close(evaluate(score, stimulus).score, response[:, :, 1].mean(dim=1))


def test_evaluate_takes_an_objective_that_squeezes_the_batch(linear, stimulus, response):
    objective = ForeignIncrease(linear, [0, 1], None, ForeignSliceReducer(0, 1, 3))
    expected = response[:, 1:4, :2].mean(dim=(1, 2))
    torch.testing.assert_close(evaluate(objective, stimulus).score, expected)


class TooManyScores:
    batched = True

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return stimulus.flatten(1)


@pytest.mark.parametrize(
    ("objective", "error", "message"),
    [
        (lambda x: x.mean(dim=(1, 2)), ValueError, "objective_object: expected one number for one"),
        (lambda x: float(x.mean()), TypeError, "objective_object: expected a torch tensor, got fl"),
        (TooManyScores(), ValueError, "objective_object: expected 3 scores for a batch of 3"),
    ],
    ids=["vector", "float", "batched"],
)
def test_an_objective_has_to_give_one_number_a_stimulus(stimulus, objective, error, message):
    with pytest.raises(error, match=message):
        evaluate(objective, stimulus)


def test_model_of_finds_the_model_where_it_can_be_told(linear):
    assert model_of(IncreaseObjective(linear, 0)) is linear
    assert model_of(ForeignIncrease(linear, 0, None, ForeignSliceReducer(0, 0, 1))) is linear
    assert model_of(lambda x: x.sum()) is None
    module = TrainedNetwork()
    assert model_of(module) is module, "an objective that is itself a module"
