"""Receptive fields as a temporal kernel, weights of the channels and an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

_TIE = 0.99  # channels of nearly the same weight: the first one decides the sign
_SILENT_CHANNEL = 0.2  # of the larger weight: too little to call a cell colour opponent


@dataclass(frozen=True, eq=False)
class FieldSplit:
    """The best separable description of each field.

    Attributes
    ----------
    temporal
        ``(neuron, time)``, oldest frame first, without unit: 1 where its magnitude is largest.
    spatial
        ``(neuron, height, width)`` in the unit of the field: negative in an OFF centre.
    channel_weights
        ``(neuron, channel)``, without unit: 1 for the channel that weighs most, the first one of
        two alike.
    separability
        ``(neuron,)``: share of the field's power that the best product of a temporal kernel and
        an image of all channels holds, in (0, 1].
    """

    temporal: np.ndarray
    spatial: np.ndarray
    channel_weights: np.ndarray
    separability: np.ndarray


def split_fields(fields: np.ndarray) -> FieldSplit:
    """Split fields ``(neuron, channel, time, height, width)`` in time and space, by their SVD.

    As in `space_time_split`, the sign is that of the largest lobe in time; NaN for a field that is
    zero everywhere or not known.
    """
    channels, _, height, width = fields.shape[1:]
    known = np.isfinite(fields).all(axis=(1, 2, 3, 4))
    given = torch.from_numpy(np.where(known[:, None, None, None, None], fields, 0.0)).double()
    matrix = given.transpose(1, 2).flatten(2)
    # Products of two matrices and not the SVD: a fraction of its time for many small fields.
    powers, vectors = torch.linalg.eigh(matrix @ matrix.mT)
    total = powers.clamp(min=0).sum(1)
    first = vectors[:, :, -1]
    images = (first[:, None] @ matrix)[:, 0].unflatten(1, (channels, height * width))
    _, of_channels = torch.linalg.eigh(images @ images.mT)
    weights = of_channels[:, :, -1]
    spatial = (weights[:, None] @ images)[:, 0]
    temporal, peak = _with_peak_one(first)
    size = weights.abs()
    leading = (size >= _TIE * size.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
    lead = weights.gather(1, leading)
    spatial = (spatial * peak * lead).unflatten(1, (height, width))
    nothing = ~torch.from_numpy(known) | (total <= 0)
    parts = [temporal, spatial, weights / lead, powers[:, -1] / total]
    for part in parts:
        part[nothing] = torch.nan
    return FieldSplit(*(part.numpy() for part in parts))


def _with_peak_one(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    peak = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors / peak, peak


def polarity_of(
    amplitude: np.ndarray, channel_weights: np.ndarray, channels: Sequence[str]
) -> tuple[str, ...]:
    """Return ``"ON"``, ``"OFF"``, or, where channels oppose, such as ``"green OFF / UV ON"``.

    Parameters
    ----------
    amplitude
        ``(neuron,)``: height of the centre; NaN gives ``""``.
    channel_weights
        ``(neuron, channel)``.
    channels
        Names.
    """
    words = []
    for height, weights in zip(amplitude, channel_weights, strict=True):
        strong = np.abs(weights) >= _SILENT_CHANNEL
        if not np.isfinite(height):
            words.append("")
        elif len(set(np.sign(weights[strong]))) < 2:
            words.append(_on_off(height * np.sign(weights[strong][0])))
        else:
            words.append(
                " / ".join(
                    f"{name} {_on_off(height * weight)}"
                    for name, weight, counts in zip(channels, weights, strong, strict=True)
                    if counts
                )
            )
    return tuple(words)


def _on_off(height: float) -> str:
    return "ON" if height > 0 else "OFF"


def time_to_peak(temporal: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the time of the largest lobe of each kernel (ms before the response).

    The newest frame stands for half a frame ago. A parabola through the peak and its neighbours
    tells where between frames it lies. NaN for a kernel of one frame, or not known.

    Parameters
    ----------
    temporal
        ``(neuron, time)``, oldest frame first.
    frame_rate
        Hz.
    """
    n, length = temporal.shape
    if length < 2:
        return np.full(n, np.nan)
    size = np.abs(np.nan_to_num(temporal))
    at = size.argmax(axis=1)
    cells = np.arange(n)
    sign = np.sign(np.nan_to_num(temporal)[cells, at])
    before, peak, after = (
        sign * np.nan_to_num(temporal)[cells, np.clip(at + step, 0, length - 1)]
        for step in (-1, 0, 1)
    )
    curvature = before - 2 * peak + after
    inside = (at > 0) & (at < length - 1) & (curvature < 0)
    shift = np.where(inside, 0.5 * (before - after) / np.where(inside, curvature, 1.0), 0.0)
    ago = length - 1 - (at + shift) + 0.5
    return np.where(np.isfinite(temporal).all(axis=1), ago * 1000.0 / frame_rate, np.nan)


def biphasic_index(temporal: np.ndarray) -> np.ndarray:
    """Return the largest lobe of the other sign over the largest lobe, in [0, 1].

    Parameters
    ----------
    temporal
        ``(neuron, time)`` with a peak of 1, as `split_fields` gives it; NaN for one frame.
    """
    if temporal.shape[1] < 2:
        return np.full(len(temporal), np.nan)
    return np.maximum(-temporal.min(axis=1), 0.0)
