"""Cores: what the sessions of a model share, from the stimulus to the feature maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import (
    checked_share,
    checked_sizes,
    number,
    shown,
    smoothness_penalty,
    unknown_class,
    whole,
)
from openretina_widgets.models.convolutions import (
    CONVOLUTIONS,
    KernelConv3d,
    Padding,
    TwoStepConv3d,
    checked_padding,
)


class Core(nn.Module, ABC):
    """What the sessions share: a stimulus in, feature maps of the same five axes out."""

    @abstractmethod
    def feature_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """Return ``(channel, time, height, width)`` of the feature maps of such a stimulus.

        It is calculated, not tried out, so that sizes from a file cost nothing.
        """


class Bias(nn.Module):
    """Adds a learnt value to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps, shifted."""
        return x + self.bias


class _ChannelSum(nn.Module):
    """Weighted sum over the channels, such as one grey channel out of green and UV."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.channel_weights = nn.Parameter(torch.tensor(weights), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == 1:
            return x
        return (x * self.channel_weights.view(1, -1, 1, 1, 1)).sum(dim=1, keepdim=True)


class SimpleCore(Core):
    """Layers of convolution, batch norm, bias and ELU; OpenRetina's ``SimpleCoreWrapper``.

    Parameters
    ----------
    channels
        Channels of the stimulus, then of each layer.
    temporal_kernel_sizes, spatial_kernel_sizes
        Kernel size of each layer (frames; pixels along height and width).
    dropout_rate
        Share of feature maps dropped in train mode.
    cut_first_n_frames
        Frames cut off the start of the feature maps.
    maxpool_every_n_layers
        Halve height and width after the first layer and each n-th from it; None for never.
    downsample_input_kernel_size
        Average the stimulus over ``(time, height, width)`` blocks first.
    input_padding, hidden_padding
        Padding of the first layer and of the others, see `Padding`.
    color_squashing_weights
        Sum the stimulus channels with these weights into one.
    convolution_type
        A key of `CONVOLUTIONS`.
    gamma_input, gamma_temporal, gamma_in_sparse, gamma_hidden, n_neurons_dict
        Accepted as OpenRetina passes them; they have no part in the response.

    Raises
    ------
    ValueError
        If an argument is out of bounds or does not fit another.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        temporal_kernel_sizes: Sequence[int],
        spatial_kernel_sizes: Sequence[int],
        dropout_rate: float = 0.0,
        cut_first_n_frames: int = 30,
        maxpool_every_n_layers: int | None = None,
        downsample_input_kernel_size: Sequence[int] | None = None,
        input_padding: Padding = False,
        hidden_padding: Padding = True,
        color_squashing_weights: Sequence[float] | None = None,
        convolution_type: str = "custom_separable",
        gamma_input: float = 0.0,
        gamma_temporal: float = 0.0,
        gamma_in_sparse: float = 0.0,
        gamma_hidden: float = 0.0,
        n_neurons_dict: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        widths = checked_sizes(channels, "channels")
        frames = checked_sizes(temporal_kernel_sizes, "temporal_kernel_sizes")
        pixels = checked_sizes(spatial_kernel_sizes, "spatial_kernel_sizes")
        if not len(widths) - 1 == len(frames) == len(pixels):
            raise ValueError(
                "channels: expected one more than kernel sizes, got "
                f"{len(widths)} channels, {len(frames)} temporal_kernel_sizes and "
                f"{len(pixels)} spatial_kernel_sizes"
            )
        if not isinstance(convolution_type, str) or convolution_type not in CONVOLUTIONS:
            raise unknown_class("convolution_type", convolution_type, CONVOLUTIONS)
        convolution = CONVOLUTIONS[convolution_type]
        checked_padding(input_padding, "input_padding")
        checked_padding(hidden_padding, "hidden_padding")
        self.cut_first_n_frames = whole(cut_first_n_frames, "cut_first_n_frames", low=0)
        self.downsampling = _checked_downsampling(downsample_input_kernel_size)
        rate = checked_share(dropout_rate, "dropout_rate")
        every = maxpool_every_n_layers
        if every is not None:
            every = whole(every, "maxpool_every_n_layers", low=1)
        self.color_squashing_layer = _channel_sum(color_squashing_weights, widths[0])
        # OpenRetina stores this filter with the weights: without it they would not load strictly.
        self._input_weights_regularizer_spatial = smoothness_penalty(
            "FlatLaplaceL23dnorm", "regularizer"
        )
        self.features = nn.Sequential()
        for i, out_channels in enumerate(widths[1:]):
            layer: OrderedDict[str, nn.Module] = OrderedDict()
            layer["conv"] = convolution(
                widths[i],
                out_channels,
                temporal_kernel_size=frames[i],
                spatial_kernel_size=pixels[i],
                padding=hidden_padding if i else input_padding,
            )
            layer["norm"] = nn.BatchNorm3d(out_channels)
            layer["bias"] = Bias(out_channels)
            layer["nonlin"] = nn.ELU()
            if rate > 0:
                layer["dropout"] = nn.Dropout3d(rate)
            if every is not None and i % every == 0:
                layer["pool"] = nn.MaxPool3d((1, 2, 2))
            self.features.add_module(f"layer{i}", nn.Sequential(layer))
        self.channels = widths

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps ``(batch, channel, time, height, width)``."""
        if self.color_squashing_layer is not None:
            x = self.color_squashing_layer(x)
        if self.downsampling is not None:
            x = F.avg_pool3d(x, kernel_size=self.downsampling)
        return self.features(x)[:, :, self.cut_first_n_frames :]

    def feature_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """Return ``(channel, time, height, width)`` of the feature maps; see `Core`."""
        channel, *size = in_shape
        if self.downsampling is not None:
            size = [n // block for n, block in zip(size, self.downsampling, strict=True)]
        wanted = self.channels[0]
        if channel != wanted and self.color_squashing_layer is None:
            raise ValueError(f"in_shape: the core takes {wanted} channels, got {channel}")
        time, height, width = size_after(self.features, size)
        checked_room(height, width, in_shape)
        return (self.channels[-1], time - self.cut_first_n_frames, height, width)


def size_after(layers: nn.Module, size: Sequence[int]) -> list[int]:
    """Return time, height and width of feature maps after the layers of a core."""
    sizes = list(size)
    for layer in layers.children():
        for part in layer.children():
            if isinstance(part, KernelConv3d | TwoStepConv3d):
                sizes = part.output_size(sizes)
            elif isinstance(part, nn.MaxPool3d):
                sizes = [sizes[0], sizes[1] // 2, sizes[2] // 2]
    return sizes


def checked_room(height: int, width: int, in_shape: Sequence[int]) -> None:
    """Raise ValueError if no pixel is left of the feature maps."""
    if height < 1 or width < 1:
        raise ValueError(
            "in_shape: too small for the kernels of the core, got (channel, time, height, "
            f"width) = {tuple(in_shape)}"
        )


def _channel_sum(weights: Sequence[float] | None, n_channels: int) -> _ChannelSum | None:
    if weights is None:
        return None
    if isinstance(weights, str) or not isinstance(weights, Sequence) or not weights:
        raise ValueError(f"color_squashing_weights: expected numbers, got {shown(weights)}")
    if n_channels != 1:
        raise ValueError(
            "color_squashing_weights: the sum has one channel, so channels has to start with 1, "
            f"got {n_channels}"
        )
    return _ChannelSum([number(weight, "color_squashing_weights") for weight in weights])


def _checked_downsampling(blocks: object) -> list[int] | None:
    if blocks is None:
        return None
    sizes = checked_sizes(blocks, "downsample_input_kernel_size")
    if len(sizes) != 3:
        raise ValueError(
            f"downsample_input_kernel_size: expected (time, height, width), got {shown(blocks)}"
        )
    return list(sizes)
