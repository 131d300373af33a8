"""Functions of one value that OpenRetina's configurations name, by the names of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import shown, unknown_class

Function = Callable[[torch.Tensor], torch.Tensor]

FUNCTIONS: dict[str, Function] = {
    "celu": F.celu,
    "elu": F.elu,
    "exp": torch.exp,
    "gelu": F.gelu,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "leaky_relu": F.leaky_relu,
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "relu": F.relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
}
"""By the names of ``torch.nn.functional``, and ``exp``."""

LAYERS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity),
        *(nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid),
        *(nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink),
    )
}
"""By the names of ``torch.nn``; those without weights."""

_HOMES = ("torch.", "torch.nn.functional.", "torch.nn.", "torch.nn.modules.activation.")


def function_named(name: object, argument: str) -> Function:
    """Return the function of ``torch.nn.functional`` of this name."""
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise unknown_class(argument, name, FUNCTIONS)
    return FUNCTIONS[name]


def layer_named(name: object, argument: str) -> nn.Module:
    """Return a fresh layer of ``torch.nn`` of this name."""
    if not isinstance(name, str) or name not in LAYERS:
        raise unknown_class(argument, name, LAYERS)
    return LAYERS[name]()


def function_configured(config: object, argument: str) -> Function:
    """Return the function that a configuration stands for.

    Parameters
    ----------
    config
        As Hydra takes it: ``{"_target_": "hydra.utils.get_method", "path": PATH}``,
        ``{"_target_": PATH, "_partial_": True}`` or ``{"_target_": "torch.nn.Softplus"}``, with a
        path such as ``"torch.nn.functional.softplus"``.
    argument
        Its name, for the error.

    Raises
    ------
    UnknownClassError
        If the function is not known here.
    ValueError
        If `config` is no such configuration.
    """
    rest = dict(config) if isinstance(config, Mapping) else {}
    path = rest.pop("_target_", None)
    rest.pop("_partial_", None)
    if path in ("hydra.utils.get_method", "hydra.utils.get_object"):
        path = rest.pop("path", None)
    if not isinstance(path, str) or rest:
        raise ValueError(
            f"{argument}: expected a configuration that names a function, got {shown(config)}"
        )
    home, _, name = path.rpartition(".")
    if f"{home}." in _HOMES:
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if name in LAYERS:
            return LAYERS[name]()
    raise unknown_class(argument, path, FUNCTIONS)
