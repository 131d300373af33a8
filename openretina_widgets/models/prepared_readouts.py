"""Readouts of a core-readout model for feature maps of a known size: one matrix product each.

Feature maps come as ``(channel, frame, batch, pixel)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models import prepared_layers
from openretina_widgets.models.prepared_layers import Size
from openretina_widgets.models.prepared_products import moved
from openretina_widgets.models.readout_factorized import FactorizedReadout
from openretina_widgets.models.readout_gaussian_mask import GaussianMaskReadout
from openretina_widgets.models.readout_lnp import LinearNonlinearReadout
from openretina_widgets.models.readout_point import PointReadout
from openretina_widgets.models.readout_sessions import ClonedReadout
from openretina_widgets.models.single_cell_lnp import SingleCellLNP

__all__ = ["Reads", "SingleCell", "prepared_readout"]


class Reads(Protocol):
    """Feature maps in, responses out."""

    words: str

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time, neuron)``."""
        ...

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time)``: of each stimulus the response of its own neuron."""
        ...


class _Readout:
    """A weight for each pixel and channel, a factor and a shift, then a function.

    Either `weights` ``(neuron, channel * pixel)``, or where these are too many `masks`
    ``(neuron, pixel)`` times `features` ``(neuron, channel)``.
    """

    def __init__(
        self,
        *,
        masks: torch.Tensor | None,
        features: torch.Tensor,
        gain: torch.Tensor | None,
        shift: torch.Tensor | None,
        function: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        if masks is None:
            self.weights: torch.Tensor | None = features
            self.masks = features[:0]
            n = len(features)
        else:
            n = len(masks)
            fits = n * masks.shape[1] * features.shape[1] <= prepared_layers.LARGEST
            weights = (features[:, :, None] * masks[:, None]).flatten(1) if fits else None
            self.weights = weights if gain is None or weights is None else weights * gain[:, None]
            self.masks = masks.contiguous()
        self.features = features if gain is None else features * gain[:, None]
        self.shift = features.new_zeros(n) if shift is None else shift
        self.function = function
        self.words = "readout as one matrix" if self.weights is not None else "readout by masks"

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time, neuron)`` of feature maps ``(channel, frame, batch, pixel)``."""
        if self.weights is not None:
            seen = moved(x, (2, 1, 0, 3)).flatten(2)
            return self.function(seen @ self.weights.T + self.shift)
        seen = x.permute(2, 1, 0, 3) @ self.masks.T  # (batch, frame, channel, neuron)
        return self.function((seen * self.features.T).sum(dim=2) + self.shift)

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time)``: of each stimulus the response of its own neuron."""
        shift = self.shift[neurons, None]
        if self.weights is not None:
            seen = moved(x, (2, 1, 0, 3)).flatten(2)  # (batch, frame, channel * pixel)
            drive = torch.bmm(seen, self.weights[neurons, :, None])[..., 0]
            return self.function(drive + shift)
        frames = x.permute(2, 1, 0, 3)
        seen = torch.bmm(frames.flatten(1, 2), self.masks[neurons, :, None])
        seen = seen.view(frames.shape[:3])
        return self.function((seen * self.features[neurons, None]).sum(dim=2) + shift)


class _Clone:
    """The responses of another readout, scaled and shifted."""

    def __init__(self, source: Reads, factor: torch.Tensor, shift: torch.Tensor) -> None:
        self.source, self.factor, self.shift = source, factor.clone(), shift.clone()
        self.words = f"{source.words}, cloned"

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        return self.source.of_all(x) * self.factor + self.shift

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        own = self.source.of_own(x, neurons)
        return own * self.factor[neurons, None] + self.shift[neurons, None]


def prepared_readout(readout: nn.Module, size: Size) -> Reads | None:
    """Return the readout of a session for such feature maps, None where it is not known."""
    if type(readout) is ClonedReadout:
        source = prepared_readout(readout._source, size)
        return None if source is None else _Clone(source, readout.alpha, readout.beta)
    if type(readout) is GaussianMaskReadout:
        features = readout.features[0, :, 0].T
        return _Readout(
            masks=readout.masks().flatten(1),
            features=features.clamp(min=0) if readout.positive else features,
            gain=readout.scale_param,
            shift=readout.bias,
            function=F.softplus,
        )
    if type(readout) is FactorizedReadout:
        return _Readout(
            masks=readout.masks().T,
            features=readout.weights().T,
            gain=None,
            shift=readout.bias if readout.readout_bias else None,
            function=F.softplus,
        )
    if type(readout) is PointReadout:
        return _Readout(
            masks=_masks_of_points(readout, size),
            features=readout.weights().T,
            gain=None,
            shift=readout.bias,
            function=readout.nonlinearity,
        )
    if type(readout) is LinearNonlinearReadout:
        kernel = readout.inner_product_kernel
        return _Readout(
            masks=None,
            features=kernel.weight.flatten(1),
            gain=None,
            shift=kernel.bias,
            function=readout.nonlinearity,
        )
    return None


def _masks_of_points(readout: PointReadout, size: Size) -> torch.Tensor:
    """Return the weight of each pixel at the places between them, ``(neuron, pixel)``."""
    places = readout.places()
    single = torch.eye(size.pixels, dtype=places.dtype, device=places.device)
    images = single.view(1, size.pixels, size.height, size.width)
    seen = F.grid_sample(images, places[None, None], align_corners=readout.align_corners)
    return seen[0, :, 0].T


class SingleCell:
    """A cell with spatial and temporal filters: a matrix product, then a convolution in time."""

    words = "spatial filters as one matrix"

    def __init__(self, cell: SingleCellLNP) -> None:
        space, time = cell.space_conv.weight, cell.time_conv.weight
        if cell.normalize_weights:
            space, time = space / space.norm(), time / time.norm()
        _, channels, _, *frame = cell.space_conv.weight.shape
        _, _, height, width = cell.in_shape
        whole = space.new_zeros(len(space), channels, height, width)
        whole[..., cell.rows, cell.columns] = space.view(len(space), channels, *frame)
        self.weights = whole.flatten(2).transpose(0, 1).contiguous()  # (channel, rank, pixel)
        self.kernel = time.flatten(2).clone()
        self.function = cell.nonlinearity

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time, 1)`` of the stimulus ``(channel, frame, batch, pixel)``."""
        channels, frames, batch, pixels = x.shape
        seen = torch.bmm(x.reshape(channels, frames * batch, pixels), self.weights.transpose(1, 2))
        seen = seen.sum(dim=0).view(frames, batch, -1).permute(1, 2, 0)
        return self.function(F.conv1d(seen, self.kernel)).transpose(1, 2)

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time)``; there is one neuron."""
        return self.of_all(x)[..., 0]
