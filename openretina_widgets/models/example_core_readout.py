"""OpenRetina's older ``ExampleCoreReadout``: the core-readout model without a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from openretina_widgets.models.core_readout import CoreReadout, build_core_readout, needed

_CORE = "openretina.modules.core.base_core.SimpleCoreWrapper"
_READOUT = "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout"
_OF_CORE = {
    "temporal_kernel_sizes": "temporal_kernel_sizes",
    "spatial_kernel_sizes": "spatial_kernel_sizes",
    "core_input_padding": "input_padding",
    "core_hidden_padding": "hidden_padding",
    "cut_first_n_frames_in_core": "cut_first_n_frames",
    "dropout_rate": "dropout_rate",
    "maxpool_every_n_layers": "maxpool_every_n_layers",
    "downsample_input_kernel_size": "downsample_input_kernel_size",
    "convolution_type": "convolution_type",
    "color_squashing_weights": "color_squashing_weights",
}
_OF_READOUT = {
    "readout_scale": "scale",
    "readout_bias": "bias",
    "readout_gaussian_mean_scale": "gaussian_mean_scale",
    "readout_gaussian_var_scale": "gaussian_var_scale",
    "readout_positive": "positive",
}
_READOUT_DEFAULTS = {
    "scale": True,
    "bias": True,
    "gaussian_mean_scale": 6.0,
    "gaussian_var_scale": 4.0,
    "positive": True,
}


def build_example_core_readout(hyper_parameters: Mapping[str, Any]) -> CoreReadout:
    """Build a model with fresh weights from the hyper-parameters of an ``ExampleCoreReadout``.

    Parameters
    ----------
    hyper_parameters
        ``in_shape``, ``n_neurons_dict``, ``hidden_channels``, the kernel sizes, and what the class
        has defaults for. What concerns training alone is ignored.

    Raises
    ------
    UnknownClassError, ValueError
        As `build_core_readout`.
    """

    def taken(names: Mapping[str, str]) -> dict[str, Any]:
        return {new: hyper_parameters[old] for old, new in names.items() if old in hyper_parameters}

    model = build_core_readout(
        {
            **{
                key: needed(hyper_parameters, key)
                for key in ("in_shape", "n_neurons_dict", "hidden_channels")
            },
            "core": {"_target_": _CORE, **taken(_OF_CORE)},
            "readout": {"_target_": _READOUT, **_READOUT_DEFAULTS, **taken(_OF_READOUT)},
        }
    )
    model.summary = f"ExampleCoreReadout of OpenRetina: {model.summary}"
    return model


def with_renamed_biases(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights with the readouts' ``bias_param``, as it once was, called ``bias``."""
    return {
        f"{key.removesuffix('.bias_param')}.bias"
        if key.startswith("readout.") and key.endswith(".bias_param")
        else key: tensor
        for key, tensor in state_dict.items()
    }
