"""The selection that linked widgets share."""

import pytest
import torch

from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.selection import Selection


@pytest.fixture
def two_sessions() -> RetinaModel:
    class Two(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor, data_key: str = "large") -> torch.Tensor:
            mean = stimulus.mean(dim=(1, 3, 4))[..., None]
            return mean.expand(-1, -1, {"large": 3, "tiny": 1}[data_key])

    return RetinaModel(Two(), input_shape=(2, 6, 5), sessions={"large": 3, "tiny": 1})


def test_it_starts_with_the_first_neuron_of_the_first_session(two_sessions):
    selection = Selection(two_sessions)
    assert (selection.data_key, selection.neurons, selection.neuron) == ("large", (0,), 0)


def test_neurons_count_once_and_keep_their_order(small_model):
    selection = Selection(small_model, neurons=[2, 0, 2, 2])
    assert selection.neurons == (2, 0)
    assert selection.labels == ("2", "0 · ON sustained")


def test_those_who_look_see_no_neuron_of_another_session(two_sessions):
    selection = Selection(two_sessions, neurons=[2, 1])
    seen = []
    selection.observe(
        lambda change: seen.append((selection.data_key, selection.neurons)), ["data_key", "neurons"]
    )
    selection.choose(0, data_key="tiny")
    assert set(seen) == {("tiny", (0,))}


def test_another_model_brings_its_own_session(two_sessions, small_model):
    selection = Selection(two_sessions, neurons=1)
    selection.show_model(small_model)
    assert selection.model is small_model
    assert (selection.data_key, selection.neurons) == ("small", (0,))


def test_what_does_not_exist_is_refused_and_nothing_changes(two_sessions):
    selection = Selection(two_sessions, data_key="tiny")
    with pytest.raises(ValueError, match="neuron 1"):
        selection.choose(1)
    with pytest.raises(ValueError, match="neuron 2"):
        selection.neurons = (2,)
    with pytest.raises(ValueError, match="nearest is 'large'"):
        selection.choose(0, data_key="larg")
    assert (selection.data_key, selection.neurons) == ("tiny", (0,))


def test_unknown_session_is_refused(small_model: RetinaModel) -> None:
    selection = Selection(small_model)
    with pytest.raises(ValueError, match="there is no session 'nope'; the nearest is 'small'"):
        selection.data_key = "nope"
    assert selection.data_key == "small"
