"""Core-readout models of OpenRetina 1.1.1: same answers, same state-dict names.

A *core* is shared by all sessions and turns the stimulus into feature maps; a *readout* turns the
feature maps into the responses of one session's neurons. The architecture is that of Höfling et
al. 2024 (eLife 13:e86860). A configuration names its parts by OpenRetina's class paths; `CORES`,
`READOUTS` and `CONVOLUTIONS` say which of them are known here. To know one more, add it there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from openretina_widgets.models._parts import (
    UnknownClassError,
    checked_sizes,
    shown,
    unknown_class,
    whole,
)
from openretina_widgets.models.convolutions import (
    CONVOLUTIONS,
    SpaceTimeSeparableConv3d,
    TimeIndependentConv3d,
)
from openretina_widgets.models.core import CORES, Core, SimpleCore
from openretina_widgets.models.readout import READOUTS, GaussianMaskReadout, SessionReadouts

__all__ = [
    "CONVOLUTIONS",
    "CORES",
    "LARGEST_FRAME",
    "READOUTS",
    "CoreReadout",
    "GaussianMaskReadout",
    "SessionReadouts",
    "SimpleCore",
    "SpaceTimeSeparableConv3d",
    "TimeIndependentConv3d",
    "UnknownClassError",
    "build_core_readout",
]

Part = TypeVar("Part", bound=nn.Module)

LARGEST_FRAME = 2**20
"""Most values in one stimulus frame (channel × height × width) that a model may ask for."""

_MOST_SESSIONS = 10_000
_HYDRA_KEYS = frozenset({"_target_", "_convert_", "_recursive_", "_partial_"})


class CoreReadout(nn.Module):
    """A core shared by all sessions, and a readout for each; OpenRetina's ``UnifiedCoreReadout``.

    Parameters
    ----------
    core
        Maps a stimulus ``(batch, channel, time, height, width)`` to feature maps of the same axes.
    readout
        Maps feature maps to the response of one session.
    in_shape
        ``(channel, time, height, width)`` of the stimulus; `time` is only an example.
    """

    def __init__(self, core: Core, readout: SessionReadouts, *, in_shape: Sequence[int]) -> None:
        super().__init__()
        self.core = core
        self.readout = readout
        self.in_shape = _checked_in_shape(in_shape, "in_shape")

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions, in the order in which their responses are joined."""
        return tuple(self.readout.keys())

    def stimulus_shape(self, time_steps: int, num_batches: int = 1) -> tuple[int, ...]:
        """Return the shape ``(batch, channel, time, height, width)`` of a stimulus."""
        channel, _, height, width = self.in_shape
        return (num_batches, channel, time_steps, height, width)

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)``.
        data_key
            Session to answer for; None for all of them, joined along the neuron axis.

        Raises
        ------
        ValueError
            If there is no such session.
        """
        return self.readout(self.core(stimulus), data_key=data_key)


def build_core_readout(hyper_parameters: Mapping[str, Any]) -> CoreReadout:
    """Build a model with fresh weights from the hyper-parameters of a ``UnifiedCoreReadout``.

    Under ``with torch.device("meta")`` no memory is taken, whatever the sizes say.

    Parameters
    ----------
    hyper_parameters
        ``in_shape``, ``n_neurons_dict``, ``core`` and ``readout``, and ``hidden_channels`` where
        the core does not name its own ``channels``. What concerns training alone is ignored.

    Raises
    ------
    UnknownClassError
        If the core or the readout is of a class that is not known here.
    ValueError
        If something is missing, unknown, or out of bounds; the message names it.
    """
    in_shape = _checked_in_shape(_needed(hyper_parameters, "in_shape"), "in_shape")
    counts = _checked_counts(_needed(hyper_parameters, "n_neurons_dict"))
    core_config = dict(_checked_config(hyper_parameters, "core"))
    readout_config = dict(_checked_config(hyper_parameters, "readout"))
    if (hidden := hyper_parameters.get("hidden_channels")) is not None:
        core_config["channels"] = (in_shape[0], *checked_sizes(hidden, "hidden_channels"))
    core = _built(core_config, CORES, "core")
    made = core.feature_shape(in_shape)
    stated = readout_config.pop("in_shape", None)
    if isinstance(stated, Sequence) and not isinstance(stated, str):
        channel, _, height, width = _checked_in_shape(stated, "readout.in_shape", what="features")
        if (channel, height, width) != (made[0], *made[2:]):
            raise ValueError(
                f"readout.in_shape: expected {made} as the core gives it for a stimulus of "
                f"{in_shape}, got {tuple(stated)}"
            )
    readout = _built(readout_config, READOUTS, "readout", in_shape=made, n_neurons_dict=counts)
    return CoreReadout(core, readout, in_shape=in_shape)


def _built(
    config: Mapping[str, Any],
    known: Mapping[str, Callable[..., Part]],
    argument: str,
    **shared: Any,
) -> Part:
    """Build the part that a configuration describes by a class path and keyword arguments."""
    class_path = config["_target_"]
    if class_path not in known:
        raise unknown_class(argument, class_path, known)
    keywords = {str(key): value for key, value in config.items() if key not in _HYDRA_KEYS}
    builder = known[class_path]
    try:
        inspect.signature(builder).bind(**keywords, **shared)
    except TypeError as error:
        raise ValueError(f"{argument}: {class_path}: {error}") from error
    try:
        return builder(**keywords, **shared)
    except UnknownClassError as error:
        raise UnknownClassError(f"{argument}.{error}", error.class_path) from error
    except ValueError as error:
        raise ValueError(f"{argument}.{error}") from error


def _needed(hyper_parameters: Mapping[str, Any], key: str) -> Any:
    if hyper_parameters.get(key) is None:
        raise ValueError(f"{key}: missing from the hyper-parameters")
    return hyper_parameters[key]


def _checked_config(hyper_parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    config = _needed(hyper_parameters, key)
    if not isinstance(config, Mapping) or not isinstance(config.get("_target_"), str):
        raise ValueError(
            f"{key}: expected a configuration with the class path '_target_', got {shown(config)}"
        )
    return config


def _checked_counts(counts: object) -> dict[str, int]:
    if (
        not isinstance(counts, Mapping)
        or not 1 <= len(counts) <= _MOST_SESSIONS
        or not all(isinstance(session, str) for session in counts)
    ):
        raise ValueError(
            "n_neurons_dict: expected the number of neurons of each of 1 to "
            f"{_MOST_SESSIONS} sessions, got {shown(counts)}"
        )
    return {s: whole(n, f"n_neurons_dict[{s!r}]", high=2**31) for s, n in counts.items()}


def _checked_in_shape(shape: object, argument: str, *, what: str = "stimulus") -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 4:
        raise ValueError(
            f"{argument}: expected (channel, time, height, width) of the {what}, got {shown(shape)}"
        )
    channel, time, height, width = (whole(n, argument) for n in shape)
    if what == "stimulus" and channel * height * width > LARGEST_FRAME:
        raise ValueError(
            f"{argument}: expected at most {LARGEST_FRAME} values in a frame, got "
            f"{channel} x {height} x {width}"
        )
    return (channel, time, height, width)
