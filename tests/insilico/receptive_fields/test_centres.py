"""Where neurons look, against what is built into them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from openretina_widgets.insilico.receptive_fields import centres
from openretina_widgets.models import RetinaModel, load_model
from tests.insilico.modules import TrainedNetwork

MODEL = load_model("synthetic")
TRUTH = MODEL.module.ground_truth
PIXEL_UM = 50.0


@pytest.fixture(scope="module")
def found() -> np.ndarray:
    return centres(MODEL)


def test_every_cell_without_a_row_of_subunits_is_found_within_a_tenth_of_a_pixel(found):
    cells = [cell for cell in TRUTH if cell.circuit != "direction"]
    assert len(cells) == 56
    for cell in cells:
        error = np.hypot(*(found[cell.index] - (cell.x_um, cell.y_um))) / PIXEL_UM
        assert error < 0.1, cell


def test_a_direction_selective_cell_is_found_within_a_pixel_though_its_veto_comes_from_ahead(found):
    cells = [cell for cell in TRUTH if cell.circuit == "direction"]
    assert len(cells) == 28
    errors = [np.hypot(*(found[cell.index] - (cell.x_um, cell.y_um))) / PIXEL_UM for cell in cells]
    assert max(errors) < 1.0
    assert np.median(errors) < 0.5


def test_chosen_neurons_have_the_centres_they_have_among_all(found):
    np.testing.assert_allclose(centres(MODEL, neurons=[70, 3], seed=0), found[[70, 3]], atol=0.1)
    np.testing.assert_allclose(centres(MODEL, neurons=3, memory_mb=0.001)[0], found[3], atol=0.1)


def test_without_a_pixel_size_the_unit_is_the_pixel():
    model = RetinaModel(MODEL.module, input_shape=(2, 18, 16), sessions={"synthetic": 84})
    x, y = centres(model, neurons=0)[0]
    np.testing.assert_allclose([x, y], centres(MODEL, neurons=0)[0] / PIXEL_UM, atol=1e-4)


class _Constant(nn.Module):
    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(stimulus), stimulus.shape[2], 2)


def test_a_neuron_that_no_pixel_moves_has_no_centre():
    assert np.isnan(centres(RetinaModel(_Constant(), input_shape=(1, 4, 5)))).all()


def test_the_model_is_handed_back_as_it_was():
    network = TrainedNetwork()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    centres(RetinaModel(network, stimulus_range=[(-1.0, 1.0)] * 2), data_key="b")
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ValueError, match="no neuron 84"):
        centres(MODEL, neurons=[84])
    with pytest.raises(ValueError, match="data_key: there is no session 'rod'"):
        centres(MODEL, data_key="rod")
    with pytest.raises(ValueError, match="memory_mb: expected a positive number"):
        centres(MODEL, memory_mb=0)
