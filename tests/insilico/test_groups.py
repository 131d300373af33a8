"""The best stimulus of the mean of a group: by name, by cell type, by neurons."""

from __future__ import annotations

import pytest
import torch

from openretina_widgets import load_model, most_discriminative_stimuli, optimize_groups
from openretina_widgets.insilico.stimulus_optimization import group_steps, optimize_neurons
from openretina_widgets.models import Neuron, RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    cosine,
    random_filters,
)
from tests.insilico.test_batch import assert_same

ONE = {"time_steps": LAG + 1}


@pytest.fixture
def model() -> RetinaModel:
    types = ["ON", "OFF", "ON", "", "OFF sustained"]
    sessions = {"a": [Neuron(index, kind) for index, kind in enumerate(types)]}
    module = LinearNeurons(random_filters(5), nonlinearity=torch.nn.functional.softplus)
    return RetinaModel(module, input_shape=INPUT_SHAPE, sessions=sessions, stimulus_norm=2.0)


def test_the_best_stimulus_of_linear_neurons_is_the_mean_of_their_filters():
    filters = random_filters(5)
    model = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    result = optimize_groups(model, {"two": [0, 3], "one": [4]}, seed=[0, 1], **ONE)
    assert result.neurons == ((0, 3), (0, 3), (4,), (4,))
    for stimulus in result.stimulus[:2]:
        assert cosine(stimulus, filters[0] + filters[3]) >= 0.999
    response = model(result.stimulus)[0, :, [0, 3]].mean(dim=1).detach()
    torch.testing.assert_close(result.response[0], response)
    torch.testing.assert_close(result.score[0], response.mean())
    low = optimize_groups(model, [[0, 3]], direction="decrease", **ONE)
    assert cosine(low.stimulus, -(filters[0] + filters[3])[None]) >= 0.999


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("ON", {"ON": (0, 2)}),
        ("off", {"off": (1,)}),
        (["OFF sustained", "ON"], {"OFF sustained": (4,), "ON": (0, 2)}),
        (["ON", [3, 1]], {"ON": (0, 2), "1": (3, 1)}),
        ([3, 4], {"0": (3, 4)}),
        (range(2), {"0": (0, 1)}),
        ({"mine": [2], "theirs": "ON"}, {"mine": (2,), "theirs": (0, 2)}),
    ],
)
def test_a_group_is_given_by_cell_type_or_by_neurons(model, groups, expected):
    result = optimize_groups(model, groups, max_iterations=1, **ONE)
    assert result.neurons == tuple(expected.values())
    assert result.settings["objective"]["names"] == list(expected)


def test_a_group_of_one_is_that_neuron(model):
    settings = {"max_iterations": 20, **ONE}
    group = optimize_groups(model, [[2]], **settings)
    neuron = optimize_neurons(model, 2, **settings)
    torch.testing.assert_close(group.stimulus, neuron.stimulus, atol=1e-5, rtol=1e-5)


def test_groups_together_are_as_many_single_runs(model):
    settings = {"patience": 3, "min_delta": 5e-2, "seed": 3, **ONE}
    each = [[0, 1], [2, 3, 4], [4]]
    together = optimize_groups(model, each, **settings)
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [optimize_groups(model, [own], **settings) for own in each])


def test_parts_of_a_result_keep_their_groups(model):
    result = optimize_groups(model, ["ON", [3, 1]], seed=[0, 1], max_iterations=1, **ONE)
    part = result.take([2, 3])
    assert part.settings["objective"]["targets"] == [1, 1]
    assert part.neurons == ((3, 1), (3, 1))


def test_cell_types_are_told_apart_by_name(model):
    result = most_discriminative_stimuli(model, ["ON", "OFF sustained"], max_iterations=5, **ONE)
    assert result.neurons == ((0, 2), (4,))
    assert result.settings["objective"]["names"] == ["ON", "OFF sustained"]
    types = model.cell_types()
    assert len(most_discriminative_stimuli(model, types, max_iterations=1, **ONE).neurons) == 3


def test_a_cell_type_of_the_synthetic_retina():
    retina = load_model("synthetic")
    types = ["ON sustained", "OFF sustained"]
    result = optimize_groups(retina, types, max_iterations=30, time_steps=40)
    own, other = (retina(result.stimulus).mean(dim=1)[:, retina.neurons_of(one)] for one in types)
    assert own[0].mean() > 2 * own[1].mean()
    assert other[1].mean() > 2 * other[0].mean()


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ("ONN", ValueError, "groups: there is no cell type 'ONN'; the nearest is 'ON'"),
        (["ON", "green"], ValueError, "groups: there is no cell type 'green'"),
        (["ON", "ON"], ValueError, "groups: 'ON' was given twice"),
        ([], ValueError, "groups: expected one at least, got 0"),
        ({}, ValueError, "groups: expected one at least, got 0"),
        ([[]], ValueError, "groups: '0' is empty; every group needs a neuron"),
        ({"mine": []}, ValueError, "groups: 'mine' is empty; every group needs a neuron"),
        ({"mine": [9]}, ValueError, "groups: 'mine': session 'a' has no neuron 9"),
        ({"mine": ["ON"]}, TypeError, "groups: 'mine': expected whole numbers, got 'ON'"),
        ({"mine": [1, 1]}, ValueError, "groups: neuron 1 is twice in 'mine'"),
        ({"mine": 3}, TypeError, "groups: expected the neurons of 'mine' as a list, got 3"),
        (4.5, TypeError, "groups: expected a dictionary of name to neurons, or a list of lists"),
    ],
)
def test_bad_groups_are_told_before_the_run(model, groups, error, message):
    with pytest.raises(error, match=message):
        group_steps(model, groups, **ONE)


def test_other_bad_settings_are_told(model):
    with pytest.raises(ValueError, match="direction: expected 'increase' or 'decrease'"):
        group_steps(model, "ON", direction="up", **ONE)
    with pytest.raises(TypeError, match="optimize_groups: there is no setting 'sead'"):
        optimize_groups(model, "ON", sead=1, **ONE)
    untyped = RetinaModel(model.module, input_shape=INPUT_SHAPE, stimulus_norm=1.0)
    with pytest.raises(ValueError, match="groups: 'ON' was asked for, but no cell type is known"):
        group_steps(untyped, "ON", **ONE)
