"""Core-readout models of OpenRetina 1.1.1: same answers, same state-dict names.

A *core* is shared by all sessions and turns the stimulus into feature maps; a *readout* turns the
feature maps into the responses of one session's neurons. The architecture is that of Höfling et
al. 2024 (eLife 13:e86860). A configuration names its parts by OpenRetina's class paths; `CORES` and
`READOUTS` in `registry`, and `CONVOLUTIONS`, say which of them are known here. To know one more,
add it there.
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
from openretina_widgets.models.core import Core, SimpleCore
from openretina_widgets.models.readout_gaussian_mask import GaussianMaskReadout
from openretina_widgets.models.readout_sessions import SessionReadouts
from openretina_widgets.models.registry import CORES, READOUTS

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


class CheckpointModel(nn.Module):
    """A model that a checkpoint describes.

    Attributes
    ----------
    in_shape
        ``(channel, time, height, width)`` of the stimulus; `time` is only an example.
    n_neurons
        Neurons of each session, where they are known.
    summary
        What it is made of, in a line.
    """

    in_shape: tuple[int, ...]
    n_neurons: dict[str, int]
    summary: str

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions."""
        return tuple(self.n_neurons)


class CoreReadout(CheckpointModel):
    """A core shared by all sessions, and a readout for each; OpenRetina's ``UnifiedCoreReadout``.

    Parameters
    ----------
    core
        Maps a stimulus ``(batch, channel, time, height, width)`` to feature maps of the same axes.
    readout
        Maps feature maps to the response of one session.
    in_shape
        ``(channel, time, height, width)`` of the stimulus; `time` is only an example.
    n_neurons
        Neurons of each session, where they are known.
    summary
        What it is made of, in a line.
    """

    def __init__(
        self,
        core: Core,
        readout: SessionReadouts,
        *,
        in_shape: Sequence[int],
        n_neurons: Mapping[str, int] | None = None,
        summary: str = "",
    ) -> None:
        super().__init__()
        self.core = core
        self.readout = readout
        self.in_shape = checked_in_shape(in_shape, "in_shape")
        known = n_neurons or {}
        self.n_neurons = {session: known[session] for session in self.sessions if session in known}
        self.summary = summary

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

    def responses(
        self, stimulus: torch.Tensor, data_keys: Sequence[str]
    ) -> tuple[torch.Tensor, ...]:
        """Return the responses ``(batch, time, neuron)`` of several sessions, from one core pass.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)``.
        data_keys
            Sessions to answer for, in this order.

        Raises
        ------
        ValueError
            If there is no such session.
        """
        features = self.core(stimulus)
        return tuple(self.readout(features, data_key=data_key) for data_key in data_keys)


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
    in_shape = checked_in_shape(needed(hyper_parameters, "in_shape"), "in_shape")
    counts = checked_counts(needed(hyper_parameters, "n_neurons_dict"))
    core_config = dict(_checked_config(hyper_parameters, "core"))
    readout_config = dict(_checked_config(hyper_parameters, "readout"))
    if (hidden := hyper_parameters.get("hidden_channels")) is not None:
        core_config["channels"] = (in_shape[0], *checked_sizes(hidden, "hidden_channels"))
    core = _built(core_config, CORES, "core", n_neurons_dict=counts)
    made = core.feature_shape(in_shape)
    stated = readout_config.pop("in_shape", None)
    if isinstance(stated, Sequence) and not isinstance(stated, str):
        sizes = checked_in_shape(stated, "readout.in_shape", what="features")
        if (sizes[0], *sizes[2:]) != (made[0], *made[2:]):
            raise ValueError(
                f"readout.in_shape: expected {made} as the core gives it for a stimulus of "
                f"{in_shape}, got {tuple(stated)}"
            )
    readout = _built(readout_config, READOUTS, "readout", in_shape=made, n_neurons_dict=counts)
    names = (config["_target_"].rpartition(".")[2] for config in (core_config, readout_config))
    return CoreReadout(
        core,
        readout,
        in_shape=in_shape,
        n_neurons=counts,
        summary=" and ".join(names) + " of OpenRetina",
    )


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
    keywords.update(shared)
    builder = known[class_path]
    try:
        inspect.signature(builder).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"{argument}: {class_path}: {error}") from error
    try:
        return builder(**keywords)
    except UnknownClassError as error:
        raise UnknownClassError(f"{argument}.{error}", error.class_path) from error
    except ValueError as error:
        raise ValueError(f"{argument}.{error}") from error


def needed(hyper_parameters: Mapping[str, Any], key: str) -> Any:
    """Return a hyper-parameter, or raise ValueError where it is missing."""
    if hyper_parameters.get(key) is None:
        raise ValueError(f"{key}: missing from the hyper-parameters")
    return hyper_parameters[key]


def _checked_config(hyper_parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    config = needed(hyper_parameters, key)
    if not isinstance(config, Mapping) or not isinstance(config.get("_target_"), str):
        raise ValueError(
            f"{key}: expected a configuration with the class path '_target_', got {shown(config)}"
        )
    return config


def checked_counts(counts: object) -> dict[str, int]:
    """Return the number of neurons of each session, or raise ValueError."""
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


def checked_in_shape(shape: object, argument: str, *, what: str = "stimulus") -> tuple[int, ...]:
    """Return a shape ``(channel, time, height, width)``, or raise ValueError."""
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 4:
        raise ValueError(
            f"{argument}: expected (channel, time, height, width) of the {what}, got {shown(shape)}"
        )
    # The frames that are left of an example stimulus may be none: they have no part in the weights.
    lowest = {1: 0} if what == "features" else {}
    channel, time, height, width = (
        whole(n, argument, low=lowest.get(i, 1)) for i, n in enumerate(shape)
    )
    if what == "stimulus" and channel * height * width > LARGEST_FRAME:
        raise ValueError(
            f"{argument}: expected at most {LARGEST_FRAME} values in a frame, got "
            f"{channel} x {height} x {width}"
        )
    return (channel, time, height, width)
