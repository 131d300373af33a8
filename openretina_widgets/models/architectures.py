"""The models of OpenRetina 1.1.1 that a checkpoint may be of, and how each is told and built.

A checkpoint does not name the class of its model: the names of its hyper-parameters tell, or, where
it has none, those of its weights. To know one more model, add it to `ARCHITECTURES`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from openretina_widgets.models.core_readout import CheckpointModel, build_core_readout
from openretina_widgets.models.example_core_readout import (
    build_example_core_readout,
    with_renamed_biases,
)
from openretina_widgets.models.single_cell_lnp import build_single_cell_lnp
from openretina_widgets.models.spatial_contrast import (
    build_single_cell_contrast,
    build_spatial_contrast,
)

Shapes = Mapping[str, Sequence[int]]
"""Shape of each weight in a file, by name."""


@dataclass(frozen=True)
class Architecture:
    """A model of OpenRetina.

    Attributes
    ----------
    class_path
        OpenRetina's name for its class.
    build
        Builds it with fresh weights from hyper-parameters and the shapes of the weights in a file.
    keys
        Hyper-parameters that tell it.
    weights
        Names of weights that tell it where there are no hyper-parameters.
    adapted
        Brings the weights of older versions to the names of OpenRetina 1.1.1.
    """

    class_path: str
    build: Callable[[Mapping[str, Any], Shapes], CheckpointModel]
    keys: frozenset[str]
    weights: frozenset[str] = frozenset()
    adapted: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] = dict


ARCHITECTURES: tuple[Architecture, ...] = (
    # Lightning records the core and the readout of these two with what they were built from, so
    # they come before the model that is told by core and readout.
    Architecture(
        "openretina.models.core_readout.ExampleCoreReadout",
        lambda hyper_parameters, _: build_example_core_readout(hyper_parameters),
        frozenset({"temporal_kernel_sizes", "spatial_kernel_sizes", "hidden_channels"}),
        adapted=with_renamed_biases,
    ),
    Architecture(
        "openretina.models.spatial_contrast.SpatialContrastCoreReadout",
        build_spatial_contrast,
        frozenset({"sta_dir", "n_neurons_dict"}),
    ),
    Architecture(
        "openretina.models.core_readout.UnifiedCoreReadout",
        lambda hyper_parameters, _: build_core_readout(hyper_parameters),
        frozenset({"core", "readout"}),
    ),
    Architecture(
        "openretina.models.spatial_contrast.SingleCellSpatialContrast",
        build_single_cell_contrast,
        frozenset({"sta_dir", "sta_file_name"}),
    ),
    Architecture(
        "openretina.models.linear_nonlinear.SingleCellSeparatedLNP",
        build_single_cell_lnp,
        frozenset({"spat_kernel_size"}),
        weights=frozenset({"space_conv.weight", "time_conv.weight"}),
    ),
)
"""The models that can be opened; the first that a checkpoint tells is the one."""


def architecture_of(
    hyper_parameters: Collection[str], weights: Collection[str]
) -> Architecture | None:
    """Return the model that these names tell, None for none."""
    by_keys = (a for a in ARCHITECTURES if a.keys <= set(hyper_parameters))
    by_weights = (a for a in ARCHITECTURES if a.weights and a.weights <= set(weights))
    return next(by_keys, None) or next(by_weights, None)


def way_out(path: object) -> str:
    """Return how to open a checkpoint of a model that is not known here: with OpenRetina itself."""
    installed = importlib.util.find_spec("openretina") is not None
    where = "OpenRetina is installed here" if installed else "where OpenRetina is installed"
    return (
        f"{where}: open it there and pass the live model, RetinaModel(model); for one that was "
        "saved by UnifiedCoreReadout, model = openretina.models.core_readout."
        f"load_core_readout_model({str(path)!r}, 'cpu'), for another "
        f"model = YourClass.load_from_checkpoint({str(path)!r}, weights_only=False). Both unpickle "
        "the file: only for one that you trust"
    )
