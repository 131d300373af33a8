"""What is built for each class path of OpenRetina 1.1.1. To know one more part, add a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openretina_widgets.models._parts import shown, unknown_class
from openretina_widgets.models.core import Core, SimpleCore
from openretina_widgets.models.dummy_core import DummyCore
from openretina_widgets.models.gru_core import ConditionedGRUCore, ConvGRUCore
from openretina_widgets.models.readout_factorized import factorized_readouts
from openretina_widgets.models.readout_gaussian_mask import gaussian_mask_readouts
from openretina_widgets.models.readout_lnp import linear_nonlinear_readouts
from openretina_widgets.models.readout_point import point_readouts
from openretina_widgets.models.readout_sessions import SessionReadouts

_MODULES = "openretina.modules"

CORES: dict[str, Callable[..., Core]] = {
    f"{_MODULES}.core.base_core.SimpleCoreWrapper": SimpleCore,
    f"{_MODULES}.core.base_core.DummyCore": DummyCore,
    f"{_MODULES}.core.gru_core.ConvGRUCore": ConvGRUCore,
    f"{_MODULES}.core.gru_core.ConditionedGRUCore": ConditionedGRUCore,
    # The same classes, where OpenRetina's other modules import them.
    "openretina.models.core_readout.SimpleCoreWrapper": SimpleCore,
    "openretina.models.spatial_contrast.DummyCore": DummyCore,
}
"""Cores that can be built, by OpenRetina's class path."""

# Readouts of one session, of which `MultiReadoutBase` is told by `base_readout`, with the defaults
# that they have there.
_SINGLE: dict[str, tuple[Callable[..., SessionReadouts], dict[str, Any]]] = {
    "factorized.FactorizedReadout": (factorized_readouts, {}),
    "factorized.KlindtReadoutWrapper3D": (factorized_readouts, {}),
    "factorized_gaussian.GaussianMaskReadout": (
        gaussian_mask_readouts,
        {
            "scale": False,
            "bias": True,
            "gaussian_mean_scale": 1.0,
            "gaussian_var_scale": 1.0,
            "positive": False,
        },
    ),
    "linear_nonlinear_poison.LNPReadout": (linear_nonlinear_readouts, {}),
    "multi_readout.FactorizedReadout": (factorized_readouts, {}),
    "multi_readout.LNPReadout": (linear_nonlinear_readouts, {}),
}
_SINGLE["multi_readout.GaussianMaskReadout"] = _SINGLE["factorized_gaussian.GaussianMaskReadout"]
_POINT = ("PointGaussianReadout", "FullGaussian2d")


def readouts_of_one_kind(*, base_readout: object, **others: Any) -> SessionReadouts:
    """Build OpenRetina's ``MultiReadoutBase``: a readout of the class that is named.

    Parameters
    ----------
    base_readout
        As Hydra takes a class: ``{"_target_": "hydra.utils.get_class", "path": CLASS_PATH}``.
    others
        As of the readout.

    Raises
    ------
    UnknownClassError
        If the class is not known here.
    ValueError
        If `base_readout` names no class, or one that OpenRetina itself cannot run here.
    """
    getters = ("hydra.utils.get_class", "hydra.utils.get_object")
    path = None
    if isinstance(base_readout, Mapping) and base_readout.get("_target_") in getters:
        path = base_readout.get("path")
    if not isinstance(path, str):
        raise ValueError(
            "base_readout: expected {'_target_': 'hydra.utils.get_class', 'path': CLASS_PATH}, got "
            f"{shown(base_readout)}"
        )
    name = path.removeprefix(f"{_MODULES}.readout.")
    if name.rpartition(".")[2] in _POINT:
        raise ValueError(
            f"base_readout: OpenRetina 1.1.1 cannot run {path} without MultiSampledGaussianReadout"
        )
    if name not in _SINGLE:
        raise unknown_class("base_readout", path, {f"{_MODULES}.readout.{n}": n for n in _SINGLE})
    builder, defaults = _SINGLE[name]
    try:
        return builder(**{**defaults, **others})
    except TypeError as error:
        raise ValueError(f"base_readout: {path}: {error}") from error


READOUTS: dict[str, Callable[..., SessionReadouts]] = {
    f"{_MODULES}.readout.multi_readout.MultiGaussianMaskReadout": gaussian_mask_readouts,
    f"{_MODULES}.readout.multi_readout.MultiFactorizedReadout": factorized_readouts,
    f"{_MODULES}.readout.multi_readout.MultiSampledGaussianReadout": point_readouts,
    f"{_MODULES}.readout.multi_readout.MultipleLNPReadout": linear_nonlinear_readouts,
    f"{_MODULES}.readout.multi_readout.MultiReadoutBase": readouts_of_one_kind,
    # The same classes, where OpenRetina's other modules import them.
    "openretina.models.core_readout.MultiGaussianMaskReadout": gaussian_mask_readouts,
    "openretina.models.core_readout.MultiReadoutBase": readouts_of_one_kind,
    f"{_MODULES}.readout.spatial_contrast_model_readout.MultiReadoutBase": readouts_of_one_kind,
}
"""Readouts that can be built, by OpenRetina's class path."""
