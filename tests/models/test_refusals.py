"""What a configuration may not ask for; among it, what OpenRetina 1.1.1 itself cannot run."""

import sys
import types

import numpy as np
import pytest
import torch

from openretina_widgets.models.checkpoint import (
    UnsafeCheckpointError,
    load_checkpoint,
    read_checkpoint,
)
from openretina_widgets.models.core_readout import UnknownClassError, build_core_readout
from openretina_widgets.models.dummy_core import DummyCore
from openretina_widgets.models.gru_core import ConvGRUCore
from openretina_widgets.models.nonlinearities import function_configured
from openretina_widgets.models.readout_factorized import FactorizedReadout, factorized_readouts
from openretina_widgets.models.readout_lnp import LinearNonlinearReadout, linear_nonlinear_readouts
from openretina_widgets.models.readout_point import PointReadout, point_readouts
from openretina_widgets.models.registry import readouts_of_one_kind
from tests.models.checkpoint_files import content_of, model_of, save

SHAPE, COUNTS = (4, 10, 6, 5), {"a": 2, "b": 2}
UNIT = {"rec_channels": 3, "input_kern": 3, "rec_kern": 3}


def gru_core(**changes):
    arguments = {"channels": (2, 3, 4), "temporal_kernel_sizes": [5, 3], "spatial_kernel_sizes": 3}
    return ConvGRUCore(**{**arguments, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_gru": True}, "gru_kwargs: use_gru asks for rec_channels"),
        ({"use_gru": True, "gru_kwargs": {"rec_channels": 3}}, "expected rec_channels, input_kern"),
        (
            {"use_gru": True, "gru_kwargs": {**UNIT, "rec_kern": 2}},
            r"rec_kern: OpenRetina .* got 2",
        ),
        ({"use_gru": True, "gru_kwargs": {**UNIT, "input_kern": 4}}, r"input_kern: OpenRetina"),
        ({"use_gru": True, "gru_kwargs": {**UNIT, "groups": 2}}, "groups: expected a divisor"),
        ({"bias": False}, "bias: OpenRetina 1.1.1 cannot run more than one layer"),
        ({"temporal_kernel_sizes": [5]}, "temporal_kernel_sizes: expected 2, one for each layer"),
        ({"nonlinearity": "PReLU"}, "nonlinearity: 'PReLU' is not known"),
        ({"channels": (2,)}, "channels: expected those of at least one layer"),
    ],
)
def test_a_recurrent_core_that_cannot_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        gru_core(**changes)


def test_a_recurrent_core_calculates_its_shape():
    for changes in (
        {},
        {"input_padding": True, "use_projections": True},
        {"use_gru": True, "gru_kwargs": {**UNIT, "pad_input": False}, "bias": True},
        {"convolution_type": "separable", "input_padding": True},
    ):
        core = gru_core(**changes)
        made = core(torch.zeros(1, 2, 12, 11, 9))
        assert core.feature_shape((2, 12, 11, 9)) == tuple(made.shape[1:])
    with pytest.raises(ValueError, match="in_shape: the core takes 2 channels, got 1"):
        gru_core().feature_shape((1, 12, 11, 9))
    with pytest.raises(ValueError, match="in_shape: too small"):
        gru_core().feature_shape((2, 12, 3, 9))


def test_a_core_that_is_none_hands_the_stimulus_on():
    stimulus = torch.randn(1, 2, 8, 3, 4)
    core = DummyCore(cut_first_n_frames=3, hidden=7)
    assert torch.equal(core(stimulus), stimulus[:, :, 3:])
    assert core.feature_shape((2, 8, 3, 4)) == (2, 5, 3, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_constraint": "positive"}, r"weights_constraint: .* got 'positive'"),
        ({"mask_constraint": "norm"}, "mask_constraint: expected 'abs' or none, got 'norm'"),
        ({"mask_size": 6}, r"mask_size: expected \(6, 5\), .* got \(6, 6\)"),
    ],
)
def test_a_factorised_readout_names_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        FactorizedReadout(SHAPE, 2, **changes)


def test_constraints_are_those_that_are_named():
    readout = FactorizedReadout(SHAPE, 2, weights_constraint="absnorm", mask_constraint="abs")
    with torch.no_grad():
        readout.feature_weights.copy_(torch.tensor([[3.0, 0], [-4, 1], [0, 0], [0, 0]]))
    expected = torch.tensor([[0.6, 0], [0.8, 1], [0, 0], [0, 0]])
    torch.testing.assert_close(readout.weights(), expected, atol=1e-5, rtol=0)
    assert torch.equal(readout.masks(), readout.mask_weights.abs())


def test_a_point_reads_between_the_pixels():
    readout = PointReadout((1, 1, 2, 3), 2, bias=False, nonlinearity=lambda x: x)
    with torch.no_grad():
        readout._mu.copy_(torch.tensor([[[[-0.5, 1.0]], [[7.0, 0.0]]]]))  # (x, y); 7 counts as 1
        readout._features.fill_(1.0)
    image = torch.tensor([[0.0, 1, 2], [10, 20, 30]])[None, None, None]
    torch.testing.assert_close(readout(image), torch.tensor([[[15.0, 16.0]]]))
    assert readout._mu.max() == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gauss_type": "iso"}, r"gauss_type: expected 'full', .*'isotropic', got 'iso'"),
        ({"grid_mean_predictor": {}}, "grid_mean_predictor: OpenRetina 1.1.1 cannot build"),
        ({"shared_grid": {"match_ids": [1]}}, "shared_grid: expected 'match_ids' .* of 2 neurons"),
        ({"nonlinearity_function": "softplus"}, "nonlinearity_function: expected a configuration"),
    ],
)
def test_a_point_readout_names_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        point_readouts(in_shape=SHAPE, n_neurons_dict=COUNTS, bias=True, **changes)


def test_places_may_be_shared_by_an_array_of_numbers():
    readout = PointReadout(SHAPE, 3, bias=True, shared_grid={"match_ids": np.array([5, 2, 5])})
    assert readout.grid_sharing_index.tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", ["os.system", "exp_", "Softplus"])
def test_a_nonlinearity_is_one_of_a_list(name):
    with pytest.raises(UnknownClassError, match="nonlinearity: "):
        LinearNonlinearReadout(SHAPE, 2, nonlinearity=name)


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": "hydra.utils.get_method", "path": "torch.nn.functional.relu"},
        {"_target_": "torch.nn.functional.relu", "_partial_": True},
        {"_target_": "torch.nn.ReLU"},
    ],
)
def test_a_function_is_found_as_hydra_finds_it(config):
    values = torch.tensor([-1.0, 2.0])
    assert function_configured(config, "f")(values).tolist() == [0.0, 2.0]


def test_a_function_from_elsewhere_is_not_known():
    with pytest.raises(UnknownClassError, match=r"'os\.system' is not known"):
        function_configured({"_target_": "hydra.utils.get_method", "path": "os.system"}, "f")


def test_a_clone_has_as_many_neurons_as_its_source():
    with pytest.raises(ValueError, match="clone_readout: 'b' is a clone of 'a', which has 2"):
        factorized_readouts(in_shape=SHAPE, n_neurons_dict={"a": 2, "b": 3}, clone_readout=True)


def test_the_source_of_clones_is_the_first_session():
    readouts = linear_nonlinear_readouts(
        in_shape=SHAPE, n_neurons_dict={"z": 2, "a": 2}, clone_readout=True
    )
    assert readouts["a"]._source is readouts["z"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("gaussian.PointGaussianReadout", "cannot run .*PointGaussianReadout without"),
        ("base.Readout", "base_readout: 'openretina.modules.readout.base.Readout' is not known"),
    ],
)
def test_a_base_readout_that_cannot_run_is_refused(base, message):
    config = {"_target_": "hydra.utils.get_class", "path": f"openretina.modules.readout.{base}"}
    with pytest.raises(ValueError, match=message):
        readouts_of_one_kind(base_readout=config, in_shape=SHAPE, n_neurons_dict=COUNTS)
    with pytest.raises(ValueError, match="base_readout: expected"):
        readouts_of_one_kind(base_readout="x", in_shape=SHAPE, n_neurons_dict=COUNTS)


# Sizes in a file are only claims --------------------------------------------------------------


def test_claimed_sizes_take_no_memory():
    with torch.device("meta"):
        model = build_core_readout(
            {
                "in_shape": (2, 40, 900, 500),
                "n_neurons_dict": {"a": 2**20, "b": 2**20},
                "core": {
                    "_target_": "openretina.modules.core.gru_core.ConvGRUCore",
                    "channels": [2, 4096, 4096],
                    "temporal_kernel_sizes": 31,
                    "spatial_kernel_sizes": 31,
                    "convolution_type": "full",
                    "use_gru": True,
                    "gru_kwargs": {**UNIT, "rec_channels": 4096},
                },
                "readout": {
                    "_target_": "openretina.modules.readout.multi_readout.MultiFactorizedReadout",
                },
            }
        )
    assert all(tensor.is_meta for tensor in model.state_dict().values())


# Parts of a model that Lightning records whole ------------------------------------------------


class Recorded(torch.nn.Module):
    """A part of no package that a model may have."""


def test_a_part_that_is_recorded_whole_stands_for_its_name(tmp_path):
    home = "openretina.modules.losses.poisson"
    kind = type("PoissonLoss3d", (torch.nn.Module,), {"__module__": home})
    model = model_of()
    content = content_of(model)
    content["hyper_parameters"]["loss"] = kind()
    with pytest.MonkeyPatch.context() as patch:
        for n in range(1, 5):
            name = ".".join(home.split(".")[:n])
            patch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[home].PoissonLoss3d = kind
        path = save(content, tmp_path / "loss.ckpt")
    stimulus = torch.randn(1, 2, 12, 6, 5)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded(stimulus, data_key="1_a"), model(stimulus, data_key="1_a"))
    assert read_checkpoint(path).hyper_parameters["loss"] == f"{home}.PoissonLoss3d"


def test_a_part_of_another_package_is_refused(tmp_path):
    content = content_of(model_of())
    content["hyper_parameters"]["loss"] = Recorded()
    path = save(content, tmp_path / "loss.ckpt")
    with pytest.raises(UnsafeCheckpointError, match=r"tests\.models\.test_refusals\.Recorded"):
        load_checkpoint(path)
