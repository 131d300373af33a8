"""Checks of what a `RetinaModel` is told; each error names the argument."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TypeGuard

from torch import nn

_CHANNEL_NAMES: dict[int, tuple[str, ...]] = {1: ("luminance",), 2: ("green", "UV")}


def is_index(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number, also one of numpy."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "__len__"))


def checked_input_shape(
    input_shape: tuple[int, int, int] | None, module: nn.Module
) -> tuple[int, int, int]:
    """Return ``(channel, height, width)`` as given, or as the module itself says."""
    if input_shape is None:
        if not callable(own := getattr(spokesman(module), "stimulus_shape", None)):
            raise ValueError(
                "input_shape: expected (channel, height, width), since "
                f"{type(module).__name__} has no stimulus_shape() to ask; "
                "RetinaModel(module, input_shape=...) is told it"
            )
        _, channel, _, height, width = own(time_steps=2)
        input_shape = (channel, height, width)
    shape = tuple(int(n) for n in input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"input_shape: expected (channel, height, width), got {input_shape!r}")
    return shape


def checked_channels(channels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """Return the names of the channels, the usual ones for None."""
    if channels is None:
        return _CHANNEL_NAMES.get(n, tuple(f"channel {i}" for i in range(n)))
    if len(channels) != n or isinstance(channels, str):
        raise ValueError(f"channels: expected {n} names, got {channels!r}")
    return tuple(channels)


def checked_range(
    stimulus_range: Sequence[tuple[float, float]] | None, channels: tuple[str, ...]
) -> tuple[tuple[float, float], ...] | None:
    """Return the limits of each channel as numbers, None for None."""
    if stimulus_range is None:
        return None
    expected = (
        f"stimulus_range: expected (low, high) with low < high for each of {channels}, "
        f"got {stimulus_range!r}"
    )
    try:
        limits = tuple((float(low), float(high)) for low, high in stimulus_range)
    except (TypeError, ValueError) as error:  # one pair for all channels, texts, three numbers
        raise type(error)(expected) from error
    if len(limits) != len(channels) or not all(low < high for low, high in limits):
        raise ValueError(expected)
    return limits


def spokesman(module: nn.Module) -> nn.Module:
    """Return the module that knows the sessions and the shape of the stimulus.

    It is the module itself, or the first member of an ensemble such as OpenRetina's, which hands
    every argument on to its members.
    """
    members = getattr(module, "members", None)
    hands_on = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(module.forward).parameters.values()
    )
    if hands_on and isinstance(members, nn.ModuleList) and len(members):
        return spokesman(members[0])
    return module
