"""Diverse sets, sparse activation, ensembles, and functions of one's own: in one batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from openretina_widgets import diverse_stimuli, list_layers, optimize_layer, optimize_neurons
from openretina_widgets import sparse_stimuli as sparse
from openretina_widgets.insilico.stimulus_optimization import (
    DiverseObjective,
    GaborSinusoid,
    NormalizedDescent,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    ResponseObjective,
    Separable,
    optimize_stimulus,
)
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.ensemble import ensemble_of
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
from tests.insilico.test_batch import assert_same

ONE = {"time_steps": LAG + 1}


class Energy(nn.Module):
    """Each neuron adds the squares of two orthogonal filters: a whole circle of best stimuli."""

    def __init__(self, neurons: int = 2) -> None:
        super().__init__()
        flat = torch.linalg.qr(random_filters(2 * neurons).flatten(1).T).Q.T
        self.linear = LinearNeurons(flat.reshape(2 * neurons, 2, LAG + 1, *INPUT_SHAPE[1:]))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return self.linear(stimulus).square().unflatten(2, (-1, 2)).sum(dim=3)


@pytest.fixture
def energy() -> RetinaModel:
    return RetinaModel(Energy(), input_shape=INPUT_SHAPE, stimulus_norm=1.0)


def cosines(stimuli: torch.Tensor) -> torch.Tensor:
    flat = stimuli.flatten(1) / stimuli.flatten(1).norm(dim=1, keepdim=True)
    return (flat @ flat.T)[~torch.eye(len(flat), dtype=torch.bool)]


# A diverse set -------------------------------------------------------------------------------


def test_a_set_spreads_over_the_circle_of_best_stimuli_at_no_cost(energy):
    settings = {"count": 4, "max_iterations": 300, "patience": None, "learning_rate": 0.05, **ONE}
    alike = diverse_stimuli(energy, 0, similarity_weight=0.0, **settings)
    apart = diverse_stimuli(energy, 0, similarity_weight=0.3, **settings)
    for result in (alike, apart):  # at norm 1 the largest response is 1
        assert (result.response.mean(dim=1) > 0.98).all()
    assert cosines(alike.stimulus).max() > 0.9
    assert cosines(apart.stimulus).max() < 0.2  # four on a circle, a quarter turn apart
    assert apart.neurons == ((0,),) * 4
    assert apart.seeds == (0, 1, 2, 3)


def test_the_score_is_that_of_the_set_and_as_stated(energy):
    result = diverse_stimuli(
        energy, [1, 0], count=3, similarity_weight=0.7, seed=5, max_iterations=4, **ONE
    )
    assert result.seeds == (5, 6, 7, 5, 6, 7)
    assert result.neurons == ((1,),) * 3 + ((0,),) * 3
    for first in (0, 3):
        members = slice(first, first + 3)
        similar = float(cosines(result.stimulus[members]).clamp(min=0).mean())
        expected = float(result.response[members].mean()) - 0.7 * similar
        assert result.score[members].tolist() == pytest.approx([expected] * 3, rel=1e-5)
        assert len(set(result.best_iteration[members].tolist())) == 1
        assert len(set(result.iterations[members].tolist())) == 1


def test_sets_are_independent_of_each_other():
    gains = torch.tensor([0.1, 1.0]).view(-1, 1, 1)

    class Gained(Energy):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return super().forward(stimulus) * gains.view(1, 1, -1)

    model = RetinaModel(Gained(), input_shape=INPUT_SHAPE, stimulus_norm=1.0)

    def run(neurons: list[int]) -> OptimizationResult:
        return diverse_stimuli(
            model,
            neurons,
            count=3,
            similarity_weight=0.02,
            max_iterations=80,
            patience=3,
            min_delta=1e-3,
            **ONE,
        )

    together = run([0, 1])
    assert len(set(together.iterations.tolist())) == 2, "they are to end at different times"
    for neuron in (0, 1):
        alone = run([neuron])
        members = slice(3 * neuron, 3 * neuron + 3)
        torch.testing.assert_close(together.stimulus[members], alone.stimulus, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.score[members], alone.score, atol=1e-5, rtol=1e-5)
        assert together.stop_reasons[members] == alone.stop_reasons
        assert together.iterations[members].tolist() == alone.iterations.tolist()


def test_a_set_goes_on_without_an_element_that_left(energy):
    objective = DiverseObjective(energy, (0, 0, 0, 1, 1), (0, 0, 0, 1, 1), 0.5, "default", (0, 1))
    x = noise(5)
    kept = objective.keep([0, 2, 3, 4])
    other = DiverseObjective(energy, (0, 0, 1, 1), (0, 0, 1, 1), 0.5, "default", (0, 1))
    rest = x[[0, 2, 3, 4]]
    torch.testing.assert_close(kept.forward(rest), other.forward(rest))
    assert not torch.allclose(kept.forward(rest)[:2], objective.forward(x)[[0, 2]])
    torch.testing.assert_close(kept.forward(rest)[2:], objective.forward(x)[3:])


def test_a_set_of_a_form(energy):
    result = diverse_stimuli(
        energy, 0, count=2, parametrization=Separable(), max_iterations=3, **ONE
    )
    assert result.parameters["time"].shape == (2, 2, LAG + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 1}, "count: expected a whole number >= 2, got 1"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"similarity_weight": -0.1}, "similarity_weight: expected a number >= 0, got -0.1"),
        ({"similarity_weight": math.nan}, "similarity_weight: expected a number >= 0, got nan"),
    ],
)
def test_bad_sets_are_refused(energy, settings, message):
    with pytest.raises(ValueError, match=message):
        diverse_stimuli(energy, 0, **ONE, **settings)


# Sparse activation ---------------------------------------------------------------------------


@pytest.mark.parametrize(("others", "low"), [(None, [0, 2, 3]), ([1, 3], [3])])
def test_the_sparse_stimulus_of_a_linear_neuron_is_its_filter_less_the_others(others, low):
    model = linear_model(4, stimulus_norm=2.0)
    result = sparse(model, 1, others=others, weight=0.8, **ONE)
    filters = model.module.filters.detach()
    expected = filters[1] - 0.8 * filters[low].mean(dim=0)
    assert cosine(result.stimulus[0], expected) >= 0.999
    with torch.no_grad():
        response = model(result.stimulus)[0].mean(dim=0)
    assert float(result.score) == pytest.approx(
        float(response[1] - 0.8 * response[low].mean()), rel=1e-5
    )
    torch.testing.assert_close(result.response.mean(), response[1])
    assert result.neurons == ((1,),)


def test_a_weight_of_zero_is_the_best_stimulus():
    model = linear_model(3, stimulus_norm=2.0)
    plain = optimize_neurons(model, [0, 2], max_iterations=9, **ONE)
    other = sparse(model, [0, 2], weight=0, max_iterations=9, **ONE)
    torch.testing.assert_close(plain.stimulus, other.stimulus)


def test_a_sparse_batch_is_as_many_single_runs():
    gains = torch.tensor([0.02, 0.2, 1.0]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(gains * random_filters(3))
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=3.0)

    def run(neurons: list[int]) -> OptimizationResult:
        settings = {"max_iterations": 60, "patience": 3, "min_delta": 0.1, "weight": 0.01}
        return sparse(model, neurons, time_steps=LAG + 2, **settings)

    together = run([0, 1, 2])
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [run([neuron]) for neuron in range(3)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"others": [1]}, r"others: expected a neuron other than 1, got \[1\]"),
        ({"others": [9]}, "others: session 'default' has no neuron 9"),
        ({"weight": -1.0}, "weight: expected a number >= 0, got -1.0"),
    ],
)
def test_bad_populations_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        sparse(linear_model(3, stimulus_norm=1.0), 1, **ONE, **settings)


# Ensembles -----------------------------------------------------------------------------------


def test_the_best_stimulus_of_an_ensemble_is_the_mean_of_the_members_filters():
    members = [linear_model(2, seed=seed, stimulus_norm=2.0) for seed in (0, 1, 2)]
    result = optimize_neurons(ensemble_of(members), [0, 1], **ONE)
    for neuron, stimulus in enumerate(result.stimulus):
        filters = [member.module.filters.detach()[neuron] for member in members]
        assert cosine(stimulus, sum(filters)) >= 0.999


def test_a_channel_of_one_member_of_an_ensemble_has_a_best_stimulus():
    networks = [TrainedNetwork(seed=seed) for seed in (0, 1)]
    model = ensemble_of([RetinaModel(network) for network in networks])
    layers = list_layers(model, time_steps=5)
    name = next(name for name in layers.names if name.startswith("members.1") and "core.0" in name)
    before = state_of(model)
    result = optimize_layer(model, name, 2, place="middle", time_steps=3, norm=2.0)
    assert_untouched(model, before)
    kernel = networks[1].core[0].weight.detach()[2]
    assert cosine(result.stimulus[0, :, :, 2:5, 1:4], kernel) >= 0.999


# A function of one's own ---------------------------------------------------------------------


def contrast_of_two(response: torch.Tensor) -> torch.Tensor:
    return (response[:, 0] - 0.5 * response[:, 1]).mean()


@pytest.mark.parametrize("way", ["of the response", "of the stimulus"])
def test_a_plain_function_works_in_the_batch(way):
    model = linear_model(2)
    objective = (
        ResponseObjective(model, contrast_of_two)
        if way == "of the response"
        else lambda x: contrast_of_two(model(x)[0])
    )

    def run(stimulus: torch.Tensor) -> OptimizationResult:
        return optimize_stimulus(
            stimulus,
            lambda params: NormalizedDescent(params, lr=0.2),
            objective,
            OptimizationStopper(60, patience=3, min_delta=0.002),
            stimulus_postprocessor=NormAndRange(2.0),
        )

    starts = torch.cat([noise(2), -model.module.filters.detach()[:1]])
    together = run(starts.clone())
    filters = model.module.filters.detach()
    for stimulus in together.stimulus[:2]:
        assert cosine(stimulus, filters[0] - 0.5 * filters[1]) >= 0.999
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [run(x.clone()) for x in starts.split(1)])


def test_the_best_stimulus_of_an_ensemble_may_have_a_form():
    members = [linear_model(2, seed=seed, stimulus_norm=2.0) for seed in (0, 1)]
    result = optimize_neurons(
        ensemble_of(members), 0, parametrization=GaborSinusoid(), max_iterations=2, **ONE
    )
    assert result.parameters["contrast"].shape == (1, 2)
