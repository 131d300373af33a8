"""Where neurons look, against what is built into them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from openretina_widgets.insilico.receptive_fields import centres
from openretina_widgets.models import RetinaModel, load_model
from openretina_widgets.models.synthetic import load_synthetic
from tests.insilico.modules import TrainedNetwork

MODEL = load_model("synthetic")
TRUTH = MODEL.module.ground_truth
PIXEL_UM = 50.0


@pytest.fixture(scope="module")
def found() -> np.ndarray:
    return centres(MODEL)


def off_by_px(found: np.ndarray, truth) -> np.ndarray:
    return np.hypot(*(found - [(cell.x_um, cell.y_um) for cell in truth]).T) / PIXEL_UM


@pytest.mark.parametrize("seed", [0, 7])
def test_every_cell_is_found_within_half_a_pixel(seed):
    model = load_synthetic(seed=seed)
    truth = model.module.ground_truth
    off = off_by_px(centres(model), truth)
    assert len(off) == 84
    assert off.max() < 0.5
    assert off[[cell.circuit != "direction" for cell in truth]].max() < 0.1


def test_neither_the_veto_from_ahead_nor_the_movies_seed_moves_a_direction_selective_cell(found):
    cells = [cell for cell in TRUTH if cell.circuit == "direction"]
    assert len(cells) == 28
    again = centres(MODEL, neurons=[cell.index for cell in cells], seed=1)
    apart = np.hypot(*(again - found[[cell.index for cell in cells]]).T) / PIXEL_UM
    assert apart.max() < 0.1
    assert off_by_px(again, cells).max() < 0.5


def test_the_cells_of_the_trained_network_are_found_where_those_it_learned_from_look():
    # The network has learned where each cell looks from responses: it is not exact itself.
    off = off_by_px(centres(load_model("trained")), TRUTH)
    linear = np.array([cell.circuit == "linear" for cell in TRUTH])
    assert np.median(off[linear]) < 0.2
    assert np.median(off) < 0.25
    assert np.mean(off < 0.5) > 0.75


class _Filters(nn.Module):
    """One frame; Gaussians at the places given, of sum 0 where told, each with a hard rectifier."""

    def __init__(self, places, *, balanced: bool) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(14.0), indexing="ij")
        filters = torch.stack(
            [torch.exp(-((x - column) ** 2 + (y - row) ** 2) / 4.5) for column, row in places]
        )
        if balanced:  # checks of alternating sign, and as much above as below zero
            filters = filters * (-1.0) ** (x + y)
            filters = filters - filters.mean((1, 2), keepdim=True)
        self.register_buffer("filters", filters)
        self.bias = 1.0 - 2.0 * balanced

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        signal = torch.einsum("bthw,nhw->btn", stimulus[:, 0], self.filters)
        return torch.relu(signal + self.bias)


def filters(places, *, balanced: bool = False) -> RetinaModel:
    return RetinaModel(
        _Filters(places, balanced=balanced), input_shape=(1, 12, 14), stimulus_range=[(-1.0, 1.0)]
    )


def in_pixels(model: RetinaModel) -> np.ndarray:
    """Return column and row of each centre."""
    x, y = centres(model).T
    return np.stack([x + 6.5, 5.5 - y], axis=1)


def test_a_field_that_the_frame_cuts_is_found_at_its_middle():
    places = [(0.0, 6.0), (13.0, 3.0), (5.0, 0.5), (0.0, 11.0), (7.0, 6.0)]
    np.testing.assert_allclose(in_pixels(filters(places)), places, atol=0.01)


def test_a_neuron_that_is_silent_to_all_that_is_uniform_is_found_all_the_same():
    places = [(6.0, 6.0), (8.0, 4.0)]
    model = filters(places, balanced=True)
    for level in (-1.0, 0.0, 1.0):
        assert not model(torch.full((1, 1, 1, 12, 14), level)).any()
    np.testing.assert_allclose(in_pixels(model), places, atol=0.1)


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
