"""Sweeps of several sessions at once: the curves of single sweeps, from one pass of the core."""

import numpy as np
import pytest
import torch
from torch import nn

from openretina_widgets.insilico.tuning_analyses import (
    experiments,
    sweep,
    sweep_sessions,
)
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.core_readout import CoreReadout, build_core_readout
from tests.models.test_core_readout import hyper_parameters

GRATINGS = experiments.drifting_gratings(directions=4, temporal_frequencies=[2.0, 5.0])
SPOTS = experiments.size_tuning(diameters=[1.0, 3.0])


def two_sessions():
    """Return a core with a readout for each of two sessions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_core_readout(hyper_parameters())
        for parameter in module.parameters():
            parameter.data.normal_(0, 0.3)
    return RetinaModel(module.eval(), input_shape=(2, 9, 8))


@pytest.fixture
def model():
    return two_sessions()


class OfItsOwn(nn.Module):
    """Sessions that share nothing that anybody knows of."""

    def __init__(self, inner: CoreReadout) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        return self.inner(stimulus, data_key=data_key)


def core_passes(model):
    shown = []
    core = next(part for part in model.modules() if isinstance(part, CoreReadout)).core
    core.register_forward_pre_hook(lambda _, given: shown.append(len(given[0])))
    return shown


def assert_same(one, other):
    for name in ("responses", "traces", "baseline", "windows", "f0", "f1", "centres", "repeats"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (one.neurons, one.data_key, one.notes) == (other.neurons, other.data_key, other.notes)


@pytest.mark.parametrize("settings", [{}, {"noise": "poisson", "repeats": 3, "seed": 4}])
def test_sessions_together_have_the_curves_of_each_alone(model, settings):
    together = sweep_sessions(model, GRATINGS, **settings)
    assert list(together) == list(model.sessions)
    for session, curves in together.items():
        assert curves.responses.shape == (4, 2, model.n_neurons(session))
        assert np.ptp(curves.responses) > 1e-3
        assert_same(curves, sweep(model, GRATINGS, data_key=session, **settings))


def test_the_core_sees_each_movie_once_for_all_sessions(model):
    shown = core_passes(model)
    sweep_sessions(model, GRATINGS)
    assert sum(shown) == len(GRATINGS) + 1  # and grey


def test_a_centred_experiment_and_sessions_that_share_nothing_have_the_same_curves(model):
    separate = RetinaModel(OfItsOwn(model.module), input_shape=(2, 9, 8), sessions={"a": 5, "b": 2})
    for session, curves in sweep_sessions(model, SPOTS).items():
        assert_same(curves, sweep(model, SPOTS, data_key=session))
    gratings = sweep_sessions(model, GRATINGS)
    for session, curves in sweep_sessions(separate, GRATINGS).items():
        assert_same(curves, gratings[session])


def test_chosen_neurons_and_controls_of_chosen_sessions(model):
    chosen = {"a": [3, 0], "b": [1]}
    found = sweep_sessions(
        model, GRATINGS, data_keys=["b", "a"], neurons=chosen, controls=["scrambled", "blank"]
    )
    assert list(found) == ["b", "a"]
    for session, curves in found.items():
        alone = sweep(
            model,
            GRATINGS,
            data_key=session,
            neurons=chosen[session],
            controls=["scrambled", "blank"],
        )
        assert_same(curves, alone)
        for name, values in alone.controls.items():
            np.testing.assert_allclose(curves.controls[name], values, rtol=1e-5, atol=1e-6)


def test_the_model_answers_for_sessions_in_the_order_asked(model):
    movie = torch.randn(model.stimulus_shape(20, 2), generator=torch.Generator().manual_seed(1))
    got = model.responses(movie, ["b", "a"])
    for response, session in zip(got, "ba", strict=True):
        torch.testing.assert_close(response, model(movie, session))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"data_keys": "a"}, TypeError, "data_keys: expected several sessions"),
        ({"data_keys": []}, ValueError, "data_keys: expected at least one"),
        ({"data_keys": ["a", "c"]}, ValueError, "'c'"),
        ({"neurons": {"c": [0]}}, ValueError, "neurons: .*'c'"),
        ({"neurons": {"b": [2]}}, ValueError, "has no neuron 2"),
        ({"repeats": 2}, ValueError, "repeats: the model has no noise"),
    ],
)
def test_what_is_refused(model, arguments, error, words):
    with pytest.raises(error, match=words):
        sweep_sessions(model, GRATINGS, **arguments)
