"""A stimulus as the browser draws it: checked, limited, quantised to one byte a pixel."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.colour import Limits

# The table, the index that more contrast leaves where it is, and how limits follow from data.
COLOUR_MAPS = {
    "diverging": (colour.DIVERGING, colour.ZERO, colour.symmetric_limits),
    "sequential": (colour.SEQUENTIAL, colour.LOWEST, colour.sequential_limits),
}


def channel_names(n_channels: int) -> tuple[str, ...]:
    """The usual names: "luminance", or "green" and "UV", or "channel 0", "channel 1", ..."""
    usual = {1: ("luminance",), 2: ("green", "UV")}
    return usual.get(n_channels) or tuple(f"channel {i}" for i in range(n_channels))


def look_up_tables(colour_map: str) -> dict[str, Any]:
    """Tables for the browser: of one channel, and of two as light (signed values only)."""
    table, pivot, _ = COLOUR_MAPS[colour_map]
    mixture = colour.LIGHT_MIXTURE.tobytes() if colour_map == "diverging" else b""
    return {"map": table.tobytes(), "pivot": pivot, "mixture": mixture}


def encode_movie(
    stimulus: NDArray[np.float32] | None,
    shape: Sequence[int],
    *,
    channels: Sequence[str],
    limits: Sequence[Limits],
    colour_map: str,
) -> dict[str, Any]:
    """What the browser needs to draw a stimulus, or the empty place for one.

    Parameters
    ----------
    stimulus
        (channel, time, height, width), or None.
    shape
        Of the stimulus, or of the one to come.
    channels
        Names, one a channel.
    limits
        One pair for all channels, one a channel, or none: from the data.
    colour_map
        A key of `COLOUR_MAPS`.

    Returns
    -------
    dict
        "shape", "channels" (name and colour), "limits" (a pair a channel), "frames" (bytes of the
        indices, C order) and "undefined" (how many values are not finite).
    """
    if not limits:
        limits = [COLOUR_MAPS[colour_map][2](() if stimulus is None else stimulus)]
    limits = list(limits) * len(channels) if len(limits) == 1 else list(limits)
    content = {
        "shape": list(shape),
        "channels": [{"name": n, "colour": colour.channel_colour(n)} for n in channels],
        "limits": limits,
    }
    if stimulus is None:
        return {**content, "frames": b"", "undefined": 0}
    pairs = zip(stimulus, limits, strict=True)
    indices = np.stack([colour.quantise(values, ends) for values, ends in pairs])
    return {
        **content,
        "frames": indices.tobytes(),
        "undefined": int(np.count_nonzero(indices == colour.UNDEFINED)),
    }


def as_movie(stimulus: Any, *, argument: str = "stimulus") -> NDArray[np.float32]:
    """Copy an array of real numbers to float32 (channel, time, height, width).

    Parameters
    ----------
    stimulus
        numpy, torch (any device, any dtype) or nested lists, (channel, time, height, width), or
        with a leading batch of 1. Values that are not finite stay.
    argument
        Its name in an error message.

    Returns
    -------
    numpy.ndarray
        A read-only copy.

    Raises
    ------
    TypeError, ValueError
        If it holds no real numbers, or has another shape.
    """
    if hasattr(stimulus, "detach"):  # a torch tensor, without importing torch
        stimulus = stimulus.detach().cpu()
        stimulus = stimulus if stimulus.is_complex() else stimulus.float()
    try:
        array = np.asarray(stimulus)
    except ValueError as error:
        raise ValueError(f"{argument} is not a rectangular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{argument} must hold real numbers, got dtype {array.dtype}")
    if array.ndim == 5 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 4 or array.size == 0:
        raise ValueError(
            f"{argument} must have the shape (channel, time, height, width), each at least 1, "
            f"got {array.shape}"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and drawn as undefined
        array = np.array(array, dtype=np.float32, order="C")
    array.setflags(write=False)
    return array


def checked_channels(channels: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the channels; none given: ()."""
    if channels is None:
        return ()
    if isinstance(channels, str) or not all(isinstance(name, str) for name in channels):
        raise TypeError(f"channels must be a sequence of names, got {channels!r}")
    return tuple(channels)


def checked_shape(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    """Shape of a stimulus to come, without a leading batch of 1."""
    if shape is None:
        return None
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError as error:
        raise TypeError(f"shape must hold whole numbers, got {shape!r}") from error
    sizes = sizes[1:] if len(sizes) == 5 and sizes[0] == 1 else sizes
    if len(sizes) != 4 or min(sizes) < 1:
        raise ValueError(
            f"shape must be (channel, time, height, width), each at least 1, got {tuple(shape)}"
        )
    return sizes


def checked_limits(limits: Any, *, symmetric: bool) -> tuple[Limits, ...]:
    """One pair for all channels or one a channel; none: to be taken from the data."""
    if limits is None:
        return ()
    expected = f"a number, (low, high), or one (low, high) a channel, got {limits!r}"
    try:
        pairs = np.asarray(limits, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"limits must be {expected}") from error
    if pairs.ndim == 0:
        pairs = np.array([-pairs if symmetric else 0.0, pairs])
    pairs = np.atleast_2d(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isfinite(pairs).all():
        raise ValueError(f"limits must be {expected}")
    if symmetric:
        largest = np.abs(pairs).max(axis=1)
        pairs = np.stack([-largest, largest], axis=1)
    if (pairs[:, 0] >= pairs[:, 1]).any():
        raise ValueError(f"limits must have low < high, got {limits!r}")
    return tuple((float(low), float(high)) for low, high in pairs)


def check_channel_counts(
    n_channels: int, *, channels: Sequence[str], limits: Sequence[Limits]
) -> None:
    """Refuse a stimulus that does not fit the names or limits that were given for it."""
    if channels and len(channels) != n_channels:
        raise ValueError(
            f"stimulus has {n_channels} channels, expected {len(channels)}: {', '.join(channels)}"
        )
    if len(limits) not in (0, 1, n_channels):
        raise ValueError(f"limits has {len(limits)} pairs for {n_channels} channels")
