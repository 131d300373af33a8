"""The core-readout architecture: its formulas, its shapes, and its answers against OpenRetina's."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from openretina_widgets.models.checkpoint import read_checkpoint
from openretina_widgets.models.core_readout import (
    CoreReadout,
    GaussianMaskReadout,
    SessionReadouts,
    SimpleCore,
    SpaceTimeSeparableConv3d,
    TimeIndependentConv3d,
    UnknownClassError,
    build_core_readout,
)

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "openretina_checkpoints"
CORE = "openretina.modules.core.base_core.SimpleCoreWrapper"
READOUT = "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout"


def hyper_parameters(**core):
    return {
        "in_shape": (2, 20, 9, 8),
        "hidden_channels": (3, 4),
        "n_neurons_dict": {"b": 2, "a": 5},
        "core": {
            "_target_": CORE,
            "_convert_": "object",
            "temporal_kernel_sizes": [6, 4],
            "spatial_kernel_sizes": [3, 3],
            "input_padding": False,
            "hidden_padding": [0, 1, 1],
            "cut_first_n_frames": 0,
            **core,
        },
        "readout": {
            "_target_": READOUT,
            "scale": True,
            "bias": True,
            "gaussian_mean_scale": 6.0,
            "gaussian_var_scale": 4.0,
            "positive": True,
        },
        "learning_rate": 0.01,
    }


def simple_core(**changes):
    arguments = {
        "channels": (2, 3),
        "temporal_kernel_sizes": [6],
        "spatial_kernel_sizes": [3],
        "cut_first_n_frames": 0,
    }
    return SimpleCore(**{**arguments, **changes}).eval()


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def stimulus():
    return torch.randn(2, 2, 20, 9, 8)


# Against OpenRetina --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hoefling_2024_low_res", "goldin_2022_mouse"])
def test_answers_as_openretina_does(name):
    if not RECORDED.is_dir():
        pytest.skip(f"recorded responses of OpenRetina are not at {RECORDED}")
    checkpoint = read_checkpoint(RECORDED / f"{name}.ckpt")
    model = build_core_readout(checkpoint.hyper_parameters)
    assert list(model.state_dict()) == list(checkpoint.state_dict)
    model.load_state_dict(checkpoint.state_dict, strict=True)
    model.eval()
    with np.load(RECORDED / f"{name}.npz") as recorded:
        shape, seed = tuple(map(int, recorded["shape"])), int(recorded["stimulus_seed"])
        stimulus = torch.from_numpy(recorded["stimulus"])
        if not stimulus.numel():
            stimulus = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        responses = [torch.from_numpy(recorded[f"response_{x}"]) for x in "ab"]
    with torch.no_grad():
        a, b = (model(stimulus, data_key=key) for key in ("1_session_a", "2_session_b"))
        joined = model(stimulus)
    assert min(response.std() for response in responses) > 0.1  # so agreement means something
    assert (a - responses[0]).abs().max() <= 1e-5
    assert (b - responses[1]).abs().max() <= 1e-5
    assert (joined - torch.cat(responses, dim=-1)).abs().max() <= 1e-5


# Convolutions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "log_speed"), [(21, 0.0), (11, 0.0), (8, 0.3), (3, -0.2)])
def test_temporal_basis_is_the_published_one(n, log_speed):
    conv = SpaceTimeSeparableConv3d(1, 1, temporal_kernel_size=n, spatial_kernel_size=1)
    conv._log_speed_default.fill_(log_speed)
    speed, frequencies = math.exp(log_speed), n // 3

    def value(wave, k, t):
        envelope = 1 / (1 + math.exp(-(t - n) - int(0.95 * n) / speed))
        return wave(2 * math.pi * k * speed * (t - n) / n) * envelope

    expected = [
        [value(wave, k, t) for t in range(n)]
        for wave in (math.sin, math.cos)
        for k in range(frequencies)
    ]
    torch.testing.assert_close(conv.temporal_basis(), torch.tensor(expected), atol=1e-5, rtol=0)


def test_kernel_is_a_product_of_space_and_time():
    conv = SpaceTimeSeparableConv3d(2, 3, temporal_kernel_size=9, spatial_kernel_size=5)
    kernel = conv.kernel().detach()
    assert kernel.shape == (3, 2, 9, 5, 5)
    for out in range(3):
        for channel in range(2):
            separate = torch.linalg.svdvals(kernel[out, channel].flatten(1).double())
            assert separate[1] < 1e-6 * separate[0]


def test_an_impulse_reads_the_kernel_backwards():
    conv = SpaceTimeSeparableConv3d(1, 1, temporal_kernel_size=9, spatial_kernel_size=3)
    impulse = torch.zeros(1, 1, 17, 5, 5)
    impulse[0, 0, 8, 2, 2] = 1
    torch.testing.assert_close(conv(impulse)[0, 0].flip(0, 1, 2), conv.kernel()[0, 0])


def test_a_weight_changed_in_place_changes_the_answer(stimulus):
    core = simple_core()
    with torch.no_grad():
        before = core(stimulus)
        core.features.layer0.conv.weight_spatial.data[0] = 0  # unseen by autograd's counters
        after = core(stimulus)
    assert (after[:, 0] - before[:, 0]).abs().max() > 1e-3
    torch.testing.assert_close(after[:, 1:], before[:, 1:])


def test_gradients_reach_stimulus_and_weights():
    conv = SpaceTimeSeparableConv3d(2, 2, temporal_kernel_size=4, spatial_kernel_size=2).double()
    x = torch.randn(1, 2, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    weights = [conv.sin_weights, conv.cos_weights, conv.weight_spatial]
    assert torch.autograd.gradcheck(lambda *_: conv(x), [x, *weights])


@pytest.mark.parametrize("size", [(4, 3), (3, 4), (5, 5), (6, 2)])
def test_padding_same_is_that_of_torch(size):
    conv = SpaceTimeSeparableConv3d(
        1, 2, temporal_kernel_size=size[0], spatial_kernel_size=size[1], padding=True
    )
    x = torch.randn(1, 1, 9, 7, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own warns of even kernels
        expected = F.conv3d(x, conv.kernel(), padding="same")
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize(
    ("padding", "explicit"),
    [(False, 0), ("valid", 0), (0, 0), (1, 1), ([0, 2, 1], (0, 2, 1)), ((1, 0, 0), (1, 0, 0))],
)
def test_padding_in_numbers_is_that_of_torch(padding, explicit):
    conv = TimeIndependentConv3d(1, 2, spatial_kernel_size=3, padding=padding)
    x = torch.randn(1, 1, 9, 7, 6)
    torch.testing.assert_close(conv(x), F.conv3d(x, conv.conv.weight, padding=explicit))


# Core ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"input_padding": "same"},
        {"input_padding": [1, 2, 0]},
        {"cut_first_n_frames": 4},
        {"downsample_input_kernel_size": [2, 1, 2]},
        {"maxpool_every_n_layers": 1},
        {"convolution_type": "time_independent"},
        {"channels": (1, 3), "color_squashing_weights": [0.5, 0.5]},
        {
            "channels": (2, 3, 4, 2),
            "temporal_kernel_sizes": [3, 4, 5],
            "spatial_kernel_sizes": [2, 4, 3],
            "maxpool_every_n_layers": 2,
            "input_padding": True,
        },
    ],
    ids=str,
)
def test_feature_shape_is_what_comes_out(changes, stimulus):
    core = simple_core(**changes)
    assert core.feature_shape(stimulus.shape[1:]) == tuple(core(stimulus).shape[1:])


def test_a_layer_is_convolution_norm_bias_elu(stimulus):
    core = simple_core()
    conv, norm, bias, _ = core.features.layer0
    with torch.no_grad():
        norm.running_mean.fill_(0.2)
        norm.running_var.fill_(4.0)
        norm.weight.fill_(3.0)
        norm.bias.fill_(-0.5)
        bias.bias.fill_(0.1)
        normed = (conv(stimulus) - 0.2) / math.sqrt(4.0 + 1e-5) * 3.0 - 0.5
        torch.testing.assert_close(core(stimulus), F.elu(normed + 0.1))


def test_cut_frames_are_the_first(stimulus):
    whole, cut = simple_core(), simple_core(cut_first_n_frames=5)
    cut.load_state_dict(whole.state_dict())
    torch.testing.assert_close(cut(stimulus), whole(stimulus)[:, :, 5:])


def test_downsampling_averages_blocks(stimulus):
    whole, coarse = simple_core(), simple_core(downsample_input_kernel_size=(2, 3, 2))
    coarse.load_state_dict(whole.state_dict())
    blocks = stimulus.view(2, 2, 10, 2, 3, 3, 4, 2).mean(dim=(3, 5, 7))
    torch.testing.assert_close(coarse(stimulus), whole(blocks))


def test_pooling_halves_height_and_width_only(stimulus):
    whole, pooled = simple_core(), simple_core(maxpool_every_n_layers=1)
    pooled.load_state_dict(whole.state_dict())
    maps = whole(stimulus)[..., :6, :6]
    blocks = maps.reshape(*maps.shape[:3], 3, 2, 3, 2).amax(dim=(4, 6))
    torch.testing.assert_close(pooled(stimulus), blocks)


def test_colour_squashing_weighs_the_channels(stimulus):
    squashing = simple_core(channels=(1, 3), color_squashing_weights=(0.25, 2.0))
    grey = 0.25 * stimulus[:, :1] + 2.0 * stimulus[:, 1:]
    torch.testing.assert_close(squashing(stimulus), squashing(grey))


# Readout -------------------------------------------------------------------------------------


def gaussian_readout(**changes):
    readout = GaussianMaskReadout((3, 1, 8, 6), 4, gaussian_mean_scale=6.0, **changes)
    with torch.no_grad():
        readout.mask_mean.copy_(torch.tensor([[0, 0], [0.1, 0], [0, -0.05], [2, 2]]))
        readout.mask_log_var.copy_(torch.tensor([-2.0, -4.0, -3.0, 0.0]))
        readout.features.copy_(torch.randn(1, 3, 1, 4))
    return readout


def test_masks_are_gaussians_that_sum_to_one():
    readout = gaussian_readout(gaussian_var_scale=0.5)
    masks = readout.masks().detach().double()
    torch.testing.assert_close(masks.sum(dim=(1, 2)), torch.ones(4, dtype=torch.float64))
    y, x = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-6 / 8, 6 / 8, 6), indexing="ij")
    for i, ((my, mx), log_var) in enumerate([((0, 0), -2), ((0.6, 0), -4), ((0, -0.3), -3)]):
        bump = np.exp(-0.5 * np.minimum(((y - my) ** 2 + (x - mx) ** 2) / np.exp(log_var / 2), 20))
        np.testing.assert_allclose(masks[i], bump / bump.sum(), rtol=1e-4)
    # One far outside the image sees all of it alike, as OpenRetina's does.
    torch.testing.assert_close(masks[3], torch.full((8, 6), 1 / 48, dtype=torch.float64))


def test_readout_is_a_softplus_of_weighted_masked_maps():
    readout = gaussian_readout(scale=True)
    features = torch.randn(2, 3, 5, 8, 6)
    masks, weights = readout.masks(), readout.features[0, :, 0]
    drive = torch.einsum("bcthw,nhw,cn->btn", features, masks, weights)
    expected = torch.log1p(torch.exp(drive * readout.scale_param + readout.bias))
    torch.testing.assert_close(readout(features), expected)


def test_positive_weights_leave_the_parameters_alone():
    free, positive = gaussian_readout(), gaussian_readout(positive=True)
    positive.load_state_dict(free.state_dict())
    before = positive.features.detach().clone()
    assert before.min() < 0
    features = torch.randn(2, 3, 5, 8, 6)
    answer = positive(features)
    assert torch.equal(positive.features, before)
    free.features.data.clamp_(min=0)
    torch.testing.assert_close(answer, free(features))


@pytest.mark.parametrize(("scale", "bias"), [(True, True), (False, True), (True, False)])
def test_scale_and_bias_are_stored_either_way(scale, bias):
    readout = gaussian_readout(scale=scale, bias=bias)
    learnt = {name for name, _ in readout.named_parameters()}
    assert ("scale_param" in learnt, "bias" in learnt) == (scale, bias)
    assert {"scale_param", "bias", "grid"} <= readout.state_dict().keys()


# Model ---------------------------------------------------------------------------------------


def test_sessions_are_joined_in_sorted_order(stimulus):
    model = build_core_readout(hyper_parameters()).eval()
    assert model.sessions == ("a", "b")
    a, b = model(stimulus, data_key="a"), model(stimulus, data_key="b")
    assert (a.shape, b.shape) == ((2, 12, 5), (2, 12, 2))
    torch.testing.assert_close(model(stimulus), torch.cat([a, b], dim=-1))
    assert model.stimulus_shape(30) == (1, 2, 30, 9, 8)


def test_an_unknown_session_names_the_nearest(stimulus):
    readouts = SessionReadouts({"session_1": gaussian_readout(), "session_2": gaussian_readout()})
    with pytest.raises(ValueError, match="no session 'sesion_2'; the nearest is 'session_2'"):
        readouts(stimulus, data_key="sesion_2")


@pytest.mark.parametrize("name", ["", "with.dot", "keys"])
def test_a_session_that_torch_cannot_name_is_refused(name):
    with pytest.raises(ValueError, match=f"n_neurons_dict: '{name}' cannot be the name"):
        SessionReadouts({name: gaussian_readout()})


def test_a_model_of_any_size_can_be_sketched():
    claims = hyper_parameters()
    claims["n_neurons_dict"] = {"a": 10**9}
    with torch.device("meta"):
        model = build_core_readout(claims)
    assert isinstance(model, CoreReadout)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert model.state_dict()["readout.a.features"].shape == (1, 4, 1, 10**9)


@pytest.mark.parametrize(
    ("part", "class_path"),
    [
        ("core", "openretina.modules.core.gru_core.OtherCore"),
        ("readout", "openretina.modules.readout.multi_readout.OtherReadout"),
    ],
)
def test_an_unknown_part_is_named(part, class_path):
    config = hyper_parameters()
    config[part] = {**config[part], "_target_": class_path}
    with pytest.raises(UnknownClassError, match=f"{part}: '{class_path}' is not known") as caught:
        build_core_readout(config)
    assert caught.value.class_path == class_path


def test_an_unknown_convolution_is_named():
    message = r"core\.convolution_type: 'diagonal' is not known"
    with pytest.raises(UnknownClassError, match=message):
        build_core_readout(hyper_parameters(convolution_type="diagonal"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spin": 3}, "SimpleCoreWrapper: got an unexpected keyword argument 'spin'"),
        ({"temporal_kernel_sizes": None}, r"temporal_kernel_sizes: expected 1 to 64 .* got None"),
        ({"temporal_kernel_sizes": ["6", 4]}, r"temporal_kernel_sizes: .* whole number .* got '6'"),
        ({"temporal_kernel_sizes": [6, 2]}, "at least 3 frames for convolution_type"),
        ({"temporal_kernel_sizes": [6]}, "one more than kernel sizes, got 3 channels, 1 temporal"),
        ({"spatial_kernel_sizes": [3, 10**9]}, r"spatial_kernel_sizes: .* from 1 to 65536"),
        ({"spatial_kernel_sizes": [3] * 65}, "1 to 64 whole numbers"),
        ({"hidden_padding": "sum"}, r"hidden_padding: expected true, false, 'same'.* got 'sum'"),
        ({"hidden_padding": [0, 1]}, r"hidden_padding: .*got \[0, 1\]"),
        ({"input_padding": -1}, "input_padding: expected a whole number from 0"),
        ({"dropout_rate": 1.5}, "dropout_rate: expected a number from 0 up to 1"),
        ({"cut_first_n_frames": True}, "cut_first_n_frames: expected a whole number"),
        ({"downsample_input_kernel_size": [1, 2]}, r"expected \(time, height, width\)"),
        ({"color_squashing_weights": [1, 1]}, "channels has to start with 1, got 2"),
    ],
)
def test_a_core_that_makes_no_sense_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=f"core.*{message}"):
        build_core_readout(hyper_parameters(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_shape": (2, 20, 9, 2)}, "in_shape: too small for the kernels of the core"),
        ({"in_shape": None}, "in_shape: missing from the hyper-parameters"),
        ({"in_shape": (2, 9, 8)}, r"in_shape: expected \(channel, time, height, width\)"),
        ({"in_shape": (2, 20, 5000, 5000)}, "in_shape: expected at most 1048576 values"),
        ({"n_neurons_dict": {}}, "n_neurons_dict: expected the number of neurons"),
        ({"n_neurons_dict": {"a": 0}}, r"n_neurons_dict\['a'\]: expected a whole number from 1"),
        ({"core": "???"}, r"core: expected a configuration .* got '\?\?\?'"),
        ({"core": {"channels": [2, 3]}}, "core: expected a configuration with the class path"),
        ({"readout": {"_target_": READOUT}}, r"readout: .* missing a required argument: 'scale'"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        build_core_readout({**hyper_parameters(), **changes})


def test_a_stimulus_with_other_channels_is_refused():
    config = hyper_parameters(channels=(1, 3, 4))
    del config["hidden_channels"]
    with pytest.raises(ValueError, match="in_shape: the core takes 1 channels, got 2"):
        build_core_readout(config)


def test_a_readout_for_other_feature_maps_is_refused():
    config = hyper_parameters()
    config["readout"]["in_shape"] = [4, 12, 7, 6]
    build_core_readout(config)
    config["readout"]["in_shape"] = [4, 12, 7, 7]
    with pytest.raises(ValueError, match=r"readout\.in_shape: expected \(4, 12, 7, 6\)"):
        build_core_readout(config)
