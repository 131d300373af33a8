"""Writes the checkpoints in this folder with OpenRetina itself, and what it answers.

Run once, with the Python of an environment that has ``openretina==1.1.1`` (torch on the CPU)::

    python tests/data/openretina/make_checkpoints.py

Each model is small, with random weights and random batch-norm statistics from a fixed seed, and is
saved by a Lightning trainer, as after training. Beside each ``NAME.ckpt`` lies ``NAME.npz``:

``stimulus``
    ``(batch, channel, time, height, width)``, float32.
``a``, ``b``, ``all``
    What OpenRetina answers in eval mode, for the sessions ``1_a`` and ``2_b`` and for all together
    (``data_key=None``); a single-cell model has ``all`` alone. Each is the answer of a freshly
    loaded model to its first stimulus: some readouts of OpenRetina change their weights when they
    are called.

Where OpenRetina 1.1.1 cannot make a model that its options name, this script says so and mends it
for the time of the call: see `mended_clones`.
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from omegaconf import OmegaConf
from openretina.models.core_readout import ExampleCoreReadout, UnifiedCoreReadout
from openretina.models.linear_nonlinear import SingleCellSeparatedLNP
from openretina.models.spatial_contrast import (
    SingleCellSpatialContrast,
    SpatialContrastCoreReadout,
)
from openretina.modules.readout.base import ClonedReadout

HERE = Path(__file__).parent
SESSIONS = {"2_b": 2, "1_a": 3}  # not in sorted order: OpenRetina joins them sorted
ALIKE = {"2_b": 3, "1_a": 3}
CHANNELS, TIME, HEIGHT, WIDTH = 2, 16, 10, 9
IN_SHAPE = (CHANNELS, TIME, HEIGHT, WIDTH)

SIMPLE = "openretina.modules.core.base_core.SimpleCoreWrapper"
DUMMY = "openretina.modules.core.base_core.DummyCore"
GRU = "openretina.modules.core.gru_core.ConvGRUCore"
FILM = "openretina.modules.core.gru_core.ConditionedGRUCore"
MULTI = "openretina.modules.readout.multi_readout."


def simple(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": SIMPLE,
        "_convert_": "object",
        "temporal_kernel_sizes": [5, 3],
        "spatial_kernel_sizes": [3, 3],
        "gamma_input": 0.0,
        "gamma_temporal": 0.0,
        "gamma_in_sparse": 0.0,
        "gamma_hidden": 0.0,
        "input_padding": False,
        "hidden_padding": [0, 1, 1],
        "cut_first_n_frames": 0,
        **changes,
    }


def gru(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": GRU,
        "_convert_": "object",
        "temporal_kernel_sizes": [5, 3, 3],
        "spatial_kernel_sizes": [3, 3, 3],
        **changes,
    }


UNIT = {"rec_channels": 3, "input_kern": 3, "rec_kern": 3, "groups": 1, "pad_input": True}


def mask(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": f"{MULTI}MultiGaussianMaskReadout",
        "_convert_": "object",
        "scale": True,
        "bias": True,
        "gaussian_mean_scale": 2.0,
        "gaussian_var_scale": 1.0,
        "positive": False,
        **changes,
    }


def factorized(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": f"{MULTI}MultiFactorizedReadout",
        "_convert_": "object",
        "mask_l1_reg": 1.0,
        "weights_l1_reg": 1.0,
        "laplace_mask_reg": 1.0,
        "init_scales": [[0.0, 0.2], [0.0, 0.2]],
        **changes,
    }


def point(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": f"{MULTI}MultiSampledGaussianReadout",
        "_convert_": "object",
        "bias": True,
        "init_mu_range": 0.9,
        "init_sigma_range": 0.3,
        **changes,
    }


def lnp(**changes: Any) -> dict[str, Any]:
    return {
        "_target_": f"{MULTI}MultipleLNPReadout",
        "_convert_": "object",
        "nonlinearity": "softplus",
        "bias": True,
        **changes,
    }


def of_one_kind(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "_target_": f"{MULTI}MultiReadoutBase",
        "_convert_": "object",
        "base_readout": {
            "_target_": "hydra.utils.get_class",
            "path": f"openretina.modules.readout.{name}",
        },
        **changes,
    }


def method(path: str) -> dict[str, str]:
    return {"_target_": "hydra.utils.get_method", "path": path}


KLINDT = {
    "mask_l1_reg": 1.0,
    "weights_l1_reg": 1.0,
    "laplace_mask_reg": 1.0,
    "mask_size": [8, 7],
    "readout_bias": True,
    "init_scales": [[0.0, 0.2], [0.0, 0.2]],
}

# name: core, readout, and what differs in the model around them
UNIFIED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "simple_custom_separable": (simple(), mask(), {}),
    "simple_separable": (simple(convolution_type="separable"), mask(), {}),
    "simple_separable_number_padding": (
        simple(convolution_type="separable", input_padding=1, hidden_padding="valid"),
        mask(),
        {},
    ),
    "simple_separable_same": (
        simple(convolution_type="separable", spatial_kernel_sizes=[4, 3], input_padding="same"),
        mask(positive=True),
        {},
    ),
    "simple_full": (simple(convolution_type="full"), mask(scale=False, bias=False), {}),
    "simple_full_same": (
        simple(convolution_type="full", input_padding=True, hidden_padding="same"),
        mask(),
        {},
    ),
    "simple_time_independent": (
        simple(convolution_type="time_independent", input_padding=[0, 2, 1]),
        mask(),
        {},
    ),
    "simple_even_kernels_same": (
        simple(
            temporal_kernel_sizes=[6, 4],
            spatial_kernel_sizes=[4, 2],
            input_padding=True,
            hidden_padding=True,
            cut_first_n_frames=4,
        ),
        mask(),
        {},
    ),
    "simple_number_padding": (simple(input_padding=2, hidden_padding=1), mask(), {}),
    "simple_pool_dropout": (
        simple(
            temporal_kernel_sizes=[3, 3, 3],
            spatial_kernel_sizes=[3, 3, 1],
            dropout_rate=0.3,
            maxpool_every_n_layers=2,
            input_padding="same",
            hidden_padding="same",
        ),
        mask(),
        {"hidden_channels": [3, 4, 3]},
    ),
    "simple_downsample": (
        simple(
            downsample_input_kernel_size=[1, 2, 2], spatial_kernel_sizes=[3, 1], hidden_padding=0
        ),
        mask(),
        {},
    ),
    "simple_colour": (
        simple(color_squashing_weights=[0.3, 0.7], channels=[1, 3, 4]),
        mask(),
        {"hidden_channels": None},
    ),
    "klindt": (simple(), factorized(readout_bias=True), {}),
    "klindt_no_bias": (simple(), factorized(), {}),
    "klindt_abs": (
        simple(),
        factorized(weights_constraint="abs", mask_constraint="abs", readout_bias=True),
        {},
    ),
    "klindt_norm": (simple(), factorized(weights_constraint="norm"), {}),
    "klindt_absnorm": (
        simple(),
        factorized(weights_constraint="absnorm", mask_constraint="abs"),
        {},
    ),
    "klindt_wrapper": (
        simple(),
        of_one_kind("factorized.KlindtReadoutWrapper3D", **KLINDT),
        {},
    ),
    "point_full": (simple(), point(gauss_type="full"), {}),
    "point_isotropic": (
        simple(),
        point(gauss_type="isotropic", align_corners=False, batch_sample=False, bias=False),
        {},
    ),
    "point_uncorrelated": (
        simple(),
        point(gauss_type="uncorrelated", nonlinearity_function=method("torch.nn.functional.elu")),
        {},
    ),
    "point_shared": (
        simple(),
        point(shared_features={"match_ids": [4, 1, 4]}, shared_grid={"match_ids": [0, 2, 2]}),
        {"n_neurons_dict": ALIKE},
    ),
    "lnp": (
        {"_target_": DUMMY, "_convert_": "object", "cut_first_n_frames": 3},
        lnp(),
        {"hidden_channels": None},
    ),
    "lnp_exp": (
        {"_target_": DUMMY, "_convert_": "object"},
        lnp(nonlinearity="exp", bias=False, smooth_regularizer="GaussianLaplaceL2"),
        {"hidden_channels": None},
    ),
    "lnp_on_core": (simple(), lnp(smooth_regularizer="Laplace"), {}),
    "cloned_lnp": (simple(), lnp(clone_readout=True), {"n_neurons_dict": ALIKE}),
    "cloned_mask": (
        simple(),
        of_one_kind("factorized_gaussian.GaussianMaskReadout", clone_readout=True),
        {"n_neurons_dict": ALIKE},
    ),
    "gru_off": (gru(), mask(), {"hidden_channels": [3, 4, 3]}),
    "gru_on": (
        gru(use_gru=True, gru_kwargs=UNIT, input_padding=True),
        mask(),
        {"hidden_channels": [3, 4, 3]},
    ),
    "gru_projections": (
        gru(
            use_gru=True,
            gru_kwargs={**UNIT, "pad_input": False, "input_kern": 2},
            use_projections=True,
            final_nonlinearity=False,
            nonlinearity="Softplus",
        ),
        factorized(readout_bias=True),
        {"hidden_channels": [3, 4, 3]},
    ),
    "gru_groups_full": (
        gru(
            convolution_type="full",
            use_gru=True,
            gru_kwargs={**UNIT, "rec_channels": 4, "groups": 2},
            batch_norm_scale=False,
        ),
        mask(),
        {"hidden_channels": [3, 4, 2]},
    ),
    "gru_separable": (
        gru(
            convolution_type="separable",
            batch_norm=False,
            use_projections=True,
            nonlinearity="Tanh",
        ),
        mask(),
        {"hidden_channels": [3, 4, 3]},
    ),
    "gru_scale_alone": (
        gru(
            temporal_kernel_sizes=[5],
            spatial_kernel_sizes=[3],
            bias=False,
            convolution_type="time_independent",
        ),
        mask(),
        {"hidden_channels": [3]},
    ),
    "gru_adapted": (gru(batch_adaptation=True), mask(), {"hidden_channels": [3, 4, 3]}),
    "gru_conditioned": (
        gru(_target_=FILM, cond_dim=2, use_projections=True),
        mask(),
        {"hidden_channels": [3, 4, 3]},
    ),
}


# Weights that multiply, so that values around 1 keep the scale of the answer.
FACTORS = (
    *("norm.weight", "alpha", "scale", "scale_param", "scales"),
    *(".w", "fc_gamma.bias"),
)


@contextmanager
def mended_clones() -> Iterator[None]:
    """Let a cloned readout be made: it fails since ``initialize`` is handed an argument by place.

    `ClonedReadout.initialize` takes keywords alone, so that ``clone_readout=True`` raises a
    TypeError in OpenRetina 1.1.1 as soon as there are two sessions.
    """
    original = ClonedReadout.initialize
    ClonedReadout.initialize = lambda self, *_, **others: original(self)
    try:
        yield
    finally:
        ClonedReadout.initialize = original


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Give all weights and batch-norm statistics random values, once for each that is shared."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "channel_weights" in name:
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith(FACTORS):
                parameter.copy_(1 + 0.2 * noise)
            elif name.endswith("mask_log_var"):  # masks of a few pixels, so that neurons differ
                parameter.copy_(-3 + 0.4 * noise)
            elif name.endswith("mask_weights"):
                parameter.copy_(0.1 * noise)
            elif "bias" in name or name.endswith("beta"):
                parameter.copy_(0.3 * noise)
            elif "nl_" in name or parameter.ndim == 0:
                parameter.copy_(parameter + 0.2 * noise)
            elif name.endswith(("inner_product_kernel.weight", ".conv.conv.weight")):
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(0.4 * noise)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                n = module.num_features
                module.running_mean.copy_(0.3 * torch.randn(n, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(n, generator=generator))
                module.num_batches_tracked.fill_(7)
    return model


def save(name: str, model: lightning.LightningModule) -> Path:
    path = HERE / f"{name}.ckpt"
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return path


def record(name: str, path: Path, kind: type, shape: tuple[int, ...], **told: Any) -> None:
    def answer(data_key: str | None) -> np.ndarray:
        model = kind.load_from_checkpoint(
            path, map_location="cpu", weights_only=False, **told
        ).eval()
        with torch.no_grad():
            return model(stimulus, data_key=data_key).numpy()

    generator = torch.Generator().manual_seed(2)
    # In steps of an eighth, which take a fifth of the space.
    stimulus = (8 * torch.randn(2, *shape, generator=generator)).round() / 8
    answers = {"all": answer(None)}
    if "n_neurons_dict" in inspect.signature(kind).parameters:
        answers |= {"a": answer("1_a"), "b": answer("2_b")}
    np.savez_compressed(HERE / f"{name}.npz", stimulus=stimulus.numpy(), **answers)
    size = path.stat().st_size + (HERE / f"{name}.npz").stat().st_size
    spread = answers["all"].std(axis=(0, 1))
    print(f"{name:32} {size / 1000:6.1f} kB, standard deviation {spread.min():.3f} or more")


def data_info(n_neurons_dict: dict[str, int], in_shape: tuple[int, ...]) -> dict[str, Any]:
    channel, _, height, width = in_shape
    return {
        "input_shape": (channel, height, width),
        "n_neurons_dict": n_neurons_dict,
        "stimulus_rate_hz": 30.0,
        "sessions_kwargs": {
            session: {"cell_indices": list(range(n))} for session, n in n_neurons_dict.items()
        },
    }


def unified() -> None:
    for name, (core, readout, changes) in UNIFIED.items():
        torch.manual_seed(0)
        settings = {"hidden_channels": [3, 4], "n_neurons_dict": SESSIONS, **changes}
        with mended_clones():
            model = UnifiedCoreReadout(
                in_shape=IN_SHAPE,
                core=OmegaConf.create(core),
                readout=OmegaConf.create(readout),
                data_info=data_info(settings["n_neurons_dict"], IN_SHAPE),
                **settings,
            )
            path = save(name, randomised(model))
            record(name, path, UnifiedCoreReadout, IN_SHAPE)


def example() -> None:
    for name, legacy in (("example", False), ("example_legacy_bias", True)):
        torch.manual_seed(0)
        model = ExampleCoreReadout(
            IN_SHAPE,
            [3, 4],
            [5, 3],
            [3, 3],
            SESSIONS,
            cut_first_n_frames_in_core=1,
            data_info=data_info(SESSIONS, IN_SHAPE),
        )
        path = save(name, randomised(model))
        if legacy:  # as versions of OpenRetina before `bias` was renamed wrote it
            content = torch.load(path, weights_only=False)
            content["state_dict"] = {
                f"{key.removesuffix('.bias')}.bias_param"
                if key.startswith("readout.") and key.endswith(".bias")
                else key: value
                for key, value in content["state_dict"].items()
            }
            torch.save(content, path)
        record(name, path, ExampleCoreReadout, IN_SHAPE)


def single_cell() -> None:
    patch = (CHANNELS, 6, 5, 4)
    for name, nonlinearity in (
        ("single_cell_lnp", "softplus"),
        ("single_cell_lnp_parametrized", "parametrized_softplus"),
    ):
        torch.manual_seed(0)
        told = {
            "in_shape": patch,
            "spat_kernel_size": patch[2:],
            "rank": 2,
            "nonlinearity": nonlinearity,
        }
        path = save(name, randomised(SingleCellSeparatedLNP(**told)))
        record(name, path, SingleCellSeparatedLNP, (CHANNELS, TIME, *patch[2:]), **told)


def spike_triggered_average(rng: np.random.Generator) -> np.ndarray:
    """Return a noisy blob in space that is first dark, then bright: (frame, height, width)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    at_y, at_x = rng.uniform(3, 6, size=2)
    blob = np.exp(-0.5 * (((y - at_y) / 1.8) ** 2 + ((x - at_x) / 1.4) ** 2))
    time = np.sin(np.linspace(0, 2 * np.pi, 8))
    return time[:, None, None] * blob + 0.01 * rng.standard_normal((8, HEIGHT, WIDTH))


def spatial_contrast(folder: Path) -> None:
    rng = np.random.default_rng(3)
    pattern = "cell_data_{retina_index}_WN_stas_cell_{cell_index}.npy"
    for session, n in SESSIONS.items():
        for cell in range(n):
            name = pattern.format(retina_index=session, cell_index=cell)
            np.save(folder / name, spike_triggered_average(rng))
    shape = (1, TIME, HEIGHT, WIDTH)
    # Read where they are written: the place is not recorded, so that the files say nothing of it.
    places = {"sta_dir": str(folder)}
    for name, changes in (
        ("spatial_contrast", {}),
        ("spatial_contrast_cut", {"cut_first_n_frames": 2, "neuron_chunk_size": 2}),
    ):
        torch.manual_seed(0)
        model = SpatialContrastCoreReadout(
            shape,
            SESSIONS,
            sta_file_pattern=pattern,
            temporal_crop_frames=6,
            w_init=0.5,
            a_init=2.0,
            c_init=-0.5,
            data_info=data_info(SESSIONS, shape),
            **places,
            **changes,
        )
        model.hparams["sta_dir"] = "stas"
        path = save(name, randomised(model))
        record(name, path, SpatialContrastCoreReadout, shape, **places)
    for name, crop in (
        ("single_cell_contrast", None),
        ("single_cell_contrast_patch", (5, 5)),
    ):
        torch.manual_seed(0)
        model = SingleCellSpatialContrast(
            shape,
            sta_file_name=pattern.format(retina_index="1_a", cell_index=0),
            temporal_crop_frames=6,
            w_init=0.5,
            spat_crop_size=crop,
            **places,
        )
        model.hparams["sta_dir"] = "stas"
        path = save(name, randomised(model))
        record(name, path, SingleCellSpatialContrast, shape, **places)
        if crop is not None:
            with np.load(HERE / f"{name}.npz") as recorded:
                content = dict(recorded)
            np.savez_compressed(
                HERE / f"{name}.npz", **content, rf_location=np.array(model.rf_location)
            )


def main() -> None:
    warnings.simplefilter("ignore")
    unified()
    example()
    single_cell()
    folder = Path(tempfile.mkdtemp())
    try:
        spatial_contrast(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
