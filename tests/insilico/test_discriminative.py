from __future__ import annotations

import math

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.stimulus_optimization import (
    OptimizationResult,
    discriminative_steps,
)
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    assert_untouched,
    cosine,
    linear_model,
    random_filters,
    state_of,
)

ONE = {"time_steps": LAG + 1}  # as long as the filter, so the best stimulus is a filter itself


@pytest.fixture
def bounded():
    return linear_model(5, stimulus_norm=2.0)


def mean_responses(model, stimulus, groups):
    with torch.no_grad():
        response = model(stimulus).mean(dim=1)
    return torch.stack([response[:, list(neurons)].mean(dim=1) for neurons in groups], dim=1)


# The right answer ----------------------------------------------------------------------------


def test_of_two_linear_groups_it_is_the_difference_of_their_mean_filters():
    filters = 0.05 * random_filters(5)  # small, so that the score does not saturate
    model = RetinaModel(LinearNeurons(filters.clone()), input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    result = orw.most_discriminative_stimuli(model, {"a": [0, 1], "b": [4, 2, 3]}, **ONE)
    difference = filters[[0, 1]].mean(dim=0) - filters[[2, 3, 4]].mean(dim=0)
    assert cosine(result.stimulus[0], difference) >= 0.999
    assert cosine(result.stimulus[1], -difference) >= 0.999


def test_the_score_is_that_of_burg_and_others(bounded):
    groups, tau = ([0], [1, 3], [4]), 0.7
    result = orw.most_discriminative_stimuli(
        bounded, groups, temperature=tau, max_iterations=3, **ONE
    )
    means = mean_responses(bounded, result.stimulus, groups).double()
    shares = torch.exp(means / tau) / torch.exp(means / tau).sum(dim=1, keepdim=True)
    torch.testing.assert_close(
        result.score.double(), torch.log(shares.diagonal()) + math.log(3), rtol=1e-5, atol=1e-5
    )


def test_groups_that_answer_alike_score_0_and_none_scores_more_than_log_k():
    filters = random_filters(1).repeat(3, 1, 1, 1, 1)
    filters[2] *= -50
    model = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    alike = orw.most_discriminative_stimuli(model, [[0], [1]], max_iterations=3, **ONE)
    torch.testing.assert_close(alike.score, torch.zeros(2))
    far = orw.most_discriminative_stimuli(model, [[0], [2]], **ONE)
    torch.testing.assert_close(far.score, torch.full((2,), math.log(2)))


def test_the_size_of_a_group_does_not_count():
    filters = random_filters(2)[[0, 1, 1, 1]]
    model = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE, stimulus_norm=1.0)
    small, large = (
        orw.most_discriminative_stimuli(model, groups, max_iterations=5, **ONE)
        for groups in ([[0], [1]], [[0], [1, 2, 3]])
    )
    torch.testing.assert_close(small.score_trace, large.score_trace, rtol=1e-5, atol=1e-6)


def test_with_two_groups_the_temperature_changes_the_score_and_not_the_stimulus():
    filters = 0.02 * random_filters(2)
    model = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    warm, cold = (
        orw.most_discriminative_stimuli(model, [[0], [1]], temperature=tau, **ONE)
        for tau in (1.6, 0.4)
    )
    for one, other in zip(warm.stimulus, cold.stimulus, strict=True):
        assert cosine(one, other) >= 0.999
    assert bool((cold.score > warm.score).all())


def test_it_tells_the_twins_of_the_retina_apart_which_the_best_stimulus_does_not():
    """Twins sit at the same places and differ in one property, their surround."""
    model = orw.load_model("synthetic")
    names = ("ON sustained", "ON sustained, no surround")
    groups = {name: model.neurons_of(name)[:4] for name in names}
    with_surround, without = groups.values()
    best = orw.optimize_neurons(model, [with_surround[0], without[0]])
    both = mean_responses(model, best.stimulus, groups.values())
    assert bool((both[:, 1] > both[:, 0]).all())  # either one drives the neuron without better
    told = orw.most_discriminative_stimuli(model, groups)
    own = mean_responses(model, told.stimulus, groups.values())
    assert own[0, 0] > 1.3 * own[0, 1]
    assert own[1, 1] > 1.3 * own[1, 0]


# A batch is independent experiments -----------------------------------------------------------


def test_every_pair_of_group_and_seed_is_an_experiment(bounded):
    groups = {"a": [0, 1], "b": [2], "c": [4]}
    together = orw.most_discriminative_stimuli(bounded, groups, seed=[3, 8], patience=5, **ONE)
    assert together.neurons == ((0, 1), (0, 1), (2,), (2,), (4,), (4,))
    assert together.seeds == (3, 8, 3, 8, 3, 8)
    alone = orw.most_discriminative_stimuli(
        bounded, groups, targets=["b"], seed=8, patience=5, **ONE
    )
    torch.testing.assert_close(together.stimulus[3], alone.stimulus[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.score[3], alone.score[0])
    assert together.iterations[3] == alone.iterations[0]


def test_elements_that_have_ended_leave_and_the_others_go_on(bounded):
    """A saturated group stops at once, and its neighbour's course is not changed by that."""
    with torch.no_grad():
        bounded.module.filters[0] *= 1000
    groups = [[0], [1], [2]]
    together = orw.most_discriminative_stimuli(bounded, groups, patience=3, **ONE)
    assert len(set(together.iterations.tolist())) > 1
    for group in range(3):
        alone = orw.most_discriminative_stimuli(bounded, groups, targets=group, patience=3, **ONE)
        torch.testing.assert_close(alone.score[0], together.score[group], rtol=1e-4, atol=1e-5)


def test_the_response_is_the_mean_of_the_own_group(bounded):
    result = orw.most_discriminative_stimuli(
        bounded, [[0, 1], [3]], time_steps=LAG + 4, window=(1, 3), max_iterations=2
    )
    with torch.no_grad():
        response = bounded(result.stimulus)
    torch.testing.assert_close(result.response[0], response[0, :, [0, 1]].mean(dim=1))
    torch.testing.assert_close(result.response[1], response[1, :, 3])
    assert result.window == (1, 3)


def test_the_model_is_handed_back_as_it_was(bounded):
    before = state_of(bounded.module)
    orw.most_discriminative_stimuli(bounded, [[0], [1]], max_iterations=2, **ONE)
    assert_untouched(bounded.module, before)


def test_it_says_what_it_did_and_is_saved_and_loaded(bounded, tmp_path):
    result = orw.most_discriminative_stimuli(
        bounded, {"a": [0], "b": [1, 2]}, temperature=0.5, max_iterations=2, **ONE
    )
    said = result.settings["objective"]
    assert said["type"] == "GroupsObjective"
    assert (said["names"], said["groups"], said["temperature"]) == (["a", "b"], [[0], [1, 2]], 0.5)
    again = OptimizationResult.load(result.save(tmp_path / "told.npz"))
    assert again.settings == result.settings
    assert again.neurons == ((0,), (1, 2))


@pytest.mark.cuda
def test_cuda_gives_the_same_within_rounding(bounded):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    groups = [[0, 1], [2], [3, 4]]
    here = orw.most_discriminative_stimuli(bounded, groups, max_iterations=20, **ONE)
    there = orw.most_discriminative_stimuli(bounded.to("cuda"), groups, max_iterations=20, **ONE)
    torch.testing.assert_close(here.score, there.score, rtol=1e-4, atol=1e-4)


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ("ON", TypeError, "groups: expected a dictionary"),
        (3, TypeError, "groups: expected a dictionary"),
        ({"a": [0]}, ValueError, "groups: expected two at least to tell apart, got 1"),
        ({"a": [0], "b": []}, ValueError, "groups: 'b' is empty"),
        ({"a": [0], "b": 1}, TypeError, "the neurons of 'b' as a list, got 1"),
        ({"a": [0, 1], "b": [1]}, ValueError, "neuron 1 is in both 'a' and 'b'"),
        ({"a": [0, 0], "b": [1]}, ValueError, "neuron 0 is twice in 'a'"),
        ({"a": [0], "b": [5]}, ValueError, "groups: 'b': session 'default' has no neuron 5"),
        ({"a": [0], "b": [1.5]}, TypeError, "groups: 'b': expected whole numbers, got 1.5"),
    ],
)
def test_groups_that_cannot_be_told_apart_are_refused(bounded, groups, error, words):
    with pytest.raises(error, match=words):
        discriminative_steps(bounded, groups)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"targets": "of"}, ValueError, "targets: there is no group 'of'; the nearest is 'off'"),
        ({"targets": 2}, ValueError, "targets: expected places from 0 to 1, got 2"),
        ({"targets": []}, ValueError, "targets: expected a group at least"),
        ({"targets": [0.5]}, TypeError, "targets: expected names of groups"),
        ({"targets": True}, TypeError, "targets: expected names of groups"),
        ({"temperature": 0}, ValueError, "temperature: expected a positive number"),
        ({"temperature": "hot"}, TypeError, "temperature: expected a number"),
        ({"direction": "increase"}, TypeError, "there is no setting 'direction'"),
        ({"seeds": 1}, TypeError, "the nearest is 'seed'"),
        ({"window": (0, 99)}, ValueError, "window: expected"),
    ],
)
def test_settings_are_checked_before_the_run(bounded, settings, error, words):
    with pytest.raises(error, match=words):
        orw.most_discriminative_stimuli(bounded, {"on": [0], "off": [1]}, **settings)


def test_of_two_groups_the_temperature_changes_the_score_and_not_the_stimulus():
    model = linear_model(4, stimulus_norm=2.0)
    two = [[0, 1], [2, 3]]
    low, high = (
        orw.most_discriminative_stimuli(model, two, temperature=tau, **ONE) for tau in (5.0, 50.0)
    )
    for one, other in zip(low.stimulus, high.stimulus, strict=True):
        assert cosine(one, other) >= 0.999
    assert (low.score > 1.5 * high.score).all()
