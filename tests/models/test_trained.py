"""The trained embedded model: what the shipped file holds, and that it keeps what it claims."""

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import drifting_grating
from openretina_widgets.models.checkpoint import read_checkpoint
from openretina_widgets.models.loading import TRAINED_PATH, load_core_readout_from_remote
from openretina_widgets.models.synthetic import SESSION
from scripts.train_embedded import correlation, unseen_movie

# A short movie scatters around the long one that the file's figures come from.
MARGIN = 0.05


@pytest.fixture(scope="module")
def model():
    return orw.load_model("trained")


@pytest.fixture(scope="module")
def truth():
    return orw.load_model("synthetic")


def test_it_is_opened_by_its_name_as_any_checkpoint(model):
    assert model.name == "trained"
    assert model.source == "embedded, fitted to 'synthetic'"
    assert not model.training
    by_path = orw.load_model(TRAINED_PATH)
    assert by_path.weight_hash == model.weight_hash
    assert load_core_readout_from_remote("trained").weight_hash == model.weight_hash


def test_it_is_of_the_published_shape(model):
    checkpoint = read_checkpoint(TRAINED_PATH)
    assert checkpoint.class_path == "openretina.models.core_readout.UnifiedCoreReadout"
    core, readout = (checkpoint.hyper_parameters[part] for part in ("core", "readout"))
    assert core["channels"] == [2, 16, 32]
    assert core["temporal_kernel_sizes"] == [21, 11]
    assert core["spatial_kernel_sizes"] == [11, 5]
    assert core["convolution_type"] == "custom_separable"
    assert readout["_target_"].endswith(".MultiGaussianMaskReadout")
    assert model.lag == 30
    assert TRAINED_PATH.stat().st_size < 400_000


def test_it_holds_nothing_but_plain_data_and_tensors():
    content = torch.load(TRAINED_PATH, map_location="cpu", weights_only=True)
    assert content["pytorch-lightning_version"]


def test_it_takes_the_same_stimuli_as_the_retina_that_it_was_fitted_to(model, truth):
    assert model.input_shape == truth.input_shape
    assert model.sessions == truth.sessions == (SESSION,)
    assert model.channels == truth.channels
    assert model.stimulus_range == truth.stimulus_range
    assert model.stimulus_norm == truth.stimulus_norm
    assert (model.frame_rate, model.pixel_size_um) == (truth.frame_rate, truth.pixel_size_um)


def test_its_neurons_are_those_of_the_retina(model, truth):
    assert model.neurons() == truth.neurons()
    assert model.neurons()[0].cell_type == "ON sustained"


def test_it_correlates_with_the_truth_as_the_file_claims(model, truth):
    movie = unseen_movie(seed=2**41, scenes=120)
    with torch.no_grad():
        got, expected = model(movie)[0], truth(movie)[0, model.lag - truth.lag :]
    found = correlation(got, expected)
    claimed = read_checkpoint(TRAINED_PATH).data_info["pretrained_performance"][SESSION]
    assert claimed.shape == (model.n_neurons(),)
    assert found.mean() >= claimed.mean() - MARGIN / 2
    types = [neuron.cell_type for neuron in model.neurons()]
    for cell_type in dict.fromkeys(types):
        mine = [i for i, kind in enumerate(types) if kind == cell_type]
        assert found[mine].mean() >= claimed[mine].mean() - MARGIN, cell_type


def test_its_direction_selective_neurons_prefer_the_direction_as_built(model, truth):
    directions = torch.arange(0, 360, 45)
    gratings = [
        drifting_grating(model, direction=d, spatial_frequency=2.5, temporal_frequency=2.0)
        for d in directions.tolist()
    ]
    start, stop = gratings[0].response_window
    with torch.no_grad():
        response = model(torch.stack([grating.movie for grating in gratings]))[:, start:stop]
    mean = response.mean(dim=1).to(torch.complex64)
    angle = torch.deg2rad(directions)[:, None]
    vector = (mean * torch.polar(torch.ones(8, 1), angle)).sum(dim=0) / mean.sum(dim=0)
    built = [cell.preferred_direction_deg for cell in truth.module.ground_truth]
    for neuron, direction in enumerate(built):
        if direction is None:
            # The weakest of the 28 direction-selective cells is far above all others.
            assert vector[neuron].abs() < 0.35, neuron
            continue
        away = (torch.rad2deg(vector[neuron].angle()) - direction + 180) % 360 - 180
        assert away.abs() < 15, neuron
        assert vector[neuron].abs() > 0.5, neuron


def test_openretina_gives_the_same_response(model):
    core_readout = pytest.importorskip("openretina.models.core_readout")
    theirs = core_readout.UnifiedCoreReadout.load_from_checkpoint(
        TRAINED_PATH, map_location="cpu", weights_only=False
    ).eval()
    assert theirs.stimulus_shape(50) == model.stimulus_shape(50)
    movie = unseen_movie(seed=2**41, scenes=2)
    with torch.no_grad():
        difference = theirs(movie, data_key=SESSION) - model(movie, data_key=SESSION)
    assert difference.abs().max() < 1e-5


def test_card_says_the_correlation_of_each_cell_type_on_a_line_of_its_own() -> None:
    card = orw.load_model("trained").card
    lines = [line.strip() for line in str(card).splitlines()]
    assert len(card.cell_types) == 21
    for kind in card.cell_types:
        line = f"{kind.name}: {kind.n_neurons}, performance {kind.performance:.3f}"
        assert any(shown.replace("\u00a0", " ") == line for shown in lines)
        assert line in card.html().replace("\u00a0", " ")
