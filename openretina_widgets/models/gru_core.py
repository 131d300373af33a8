"""A core of convolutions with an optional recurrent unit; OpenRetina's ``ConvGRUCore``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from openretina_widgets.models._parts import (
    checked_sizes,
    flag,
    shown,
    smoothness_penalty,
    unknown_class,
    whole,
)
from openretina_widgets.models.convolutions import CONVOLUTIONS, Convolution, FullConv3d
from openretina_widgets.models.core import Bias, Core, checked_room, size_after
from openretina_widgets.models.gru import ConvGRU
from openretina_widgets.models.nonlinearities import layer_named


class _Scale(nn.Module):
    """Scales each channel by a learnt factor."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class ConvGRUCore(Core):
    """Layers of convolution, batch norm and a nonlinearity, then a gated recurrent unit.

    Parameters
    ----------
    channels
        Channels of the stimulus, then of each layer.
    n_neurons_dict
        Neurons of each session; their names are needed for `batch_adaptation` alone.
    temporal_kernel_sizes, spatial_kernel_sizes
        Kernel size of each layer (frames; pixels along height and width), or one for all.
    final_nonlinearity
        Whether the last layer ends with the nonlinearity, and the first one too.
    bias, batch_norm, batch_norm_scale
        Which of batch norm, its shift and its scale each layer has.
    input_padding, hidden_padding
        Whether the first layer, and the others, add half a kernel of pixels around the image. As
        in OpenRetina, each layer after the second takes half of the kernel *before* it, and the
        second adds none.
    nonlinearity
        Name of a class of ``torch.nn``.
    convolution_type
        A key of `CONVOLUTIONS`.
    use_projections
        Add a layer of 1 x 1 x 1 kernels after the first.
    use_gru, gru_kwargs
        Whether there is a recurrent unit, and its arguments, see `ConvGRU`.
    batch_adaptation
        Store a speed for each session. OpenRetina's models do not use it: their core is not told
        the session.
    gamma_hidden, gamma_input, gamma_in_sparse, gamma_temporal, batch_norm_momentum, laplace_padding
        Belong to training, as does `use_avg_reg`.
    ignored
        OpenRetina takes any further argument, such as ``cut_first_n_frames``, and uses none.

    Raises
    ------
    ValueError
        If an argument is out of bounds or does not fit another, or if OpenRetina itself could not
        run the core.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        n_neurons_dict: Mapping[str, int] | None = None,
        temporal_kernel_sizes: int | Sequence[int] = (21,),
        spatial_kernel_sizes: int | Sequence[int] = (14,),
        gamma_hidden: float = 0.0,
        gamma_input: float = 0.0,
        gamma_in_sparse: float = 0.0,
        gamma_temporal: float = 0.0,
        final_nonlinearity: bool = True,
        bias: bool = True,
        input_padding: bool = False,
        hidden_padding: bool = True,
        batch_norm: bool = True,
        batch_norm_scale: bool = True,
        batch_norm_momentum: float = 0.1,
        laplace_padding: int | None = 0,
        batch_adaptation: bool = False,
        use_avg_reg: bool = False,
        nonlinearity: str = "ELU",
        convolution_type: str = "custom_separable",
        use_gru: bool = False,
        use_projections: bool = False,
        gru_kwargs: Mapping[str, Any] | None = None,
        **ignored: Any,
    ) -> None:
        super().__init__()
        widths = checked_sizes(channels, "channels")
        n_layers = len(widths) - 1
        frames = _for_each(temporal_kernel_sizes, n_layers, "temporal_kernel_sizes")
        pixels = _for_each(spatial_kernel_sizes, n_layers, "spatial_kernel_sizes")
        if n_layers < 1:
            raise ValueError(f"channels: expected those of at least one layer, got {widths}")
        if not isinstance(convolution_type, str) or convolution_type not in CONVOLUTIONS:
            raise unknown_class("convolution_type", convolution_type, CONVOLUTIONS)
        normed, shifted = flag(batch_norm, "batch_norm"), flag(bias, "bias")
        scaled = flag(batch_norm_scale, "batch_norm_scale")
        ends = flag(final_nonlinearity, "final_nonlinearity")
        self.channels = widths
        self._input_weights_regularizer_spatial = smoothness_penalty(
            "FlatLaplaceL23dnorm", "regularizer"
        )
        self._input_weights_regularizer_temporal = smoothness_penalty(
            "TimeLaplaceL23dnorm", "regularizer"
        )
        self.features = nn.Sequential()
        for i, out_channels in enumerate(widths[1:]):
            # Of the layer before: OpenRetina counts its padding from the second layer on, and
            # begins it with none.
            half = pixels[max(i - 1, 0)] // 2
            around = bool(input_padding) if i == 0 else bool(hidden_padding) and i > 1
            layer: OrderedDict[str, nn.Module] = OrderedDict()
            layer["conv"] = CONVOLUTIONS[convolution_type](
                widths[i],
                out_channels,
                temporal_kernel_size=frames[i],
                spatial_kernel_size=pixels[i],
                padding=(0, half, half) if around else False,
            )
            if normed:
                layer["norm"] = nn.BatchNorm3d(out_channels, affine=shifted and scaled)
                if shifted and not scaled:
                    layer["bias"] = Bias(out_channels)
                elif scaled and not shifted:
                    layer["scale"] = _scale(out_channels, first=i == 0)
            if ends or 0 < i < n_layers - 1:
                layer["nonlin"] = layer_named(nonlinearity, "nonlinearity")
            self.features.add_module(f"layer{i}", nn.Sequential(layer))
            if i == 0 and flag(use_projections, "use_projections"):
                mixed = FullConv3d(
                    out_channels, out_channels, temporal_kernel_size=1, spatial_kernel_size=1
                )
                projection = nn.Sequential(mixed, layer_named(nonlinearity, "nonlinearity"))
                self.features.add_module("projection", projection)
        if flag(batch_adaptation, "batch_adaptation"):
            self._store_speeds(list(n_neurons_dict or {}))
        self.unit: list[ConvGRU] = []
        if flag(use_gru, "use_gru"):
            gru = _recurrent_unit(widths[-1], gru_kwargs)
            self.features.add_module("gru", gru)
            self.unit = [gru]

    def _store_speeds(self, sessions: Sequence[str]) -> None:
        """Register the speeds that OpenRetina stores, once for the core and in each convolution."""
        for session in sessions:
            speed = nn.Parameter(torch.zeros(1))
            parts = (part for layer in self.features for part in layer.children())
            try:
                for holder in (self, *(part for part in parts if isinstance(part, Convolution))):
                    holder.register_parameter(f"log_speed_{session}", speed)
            except KeyError as error:
                raise ValueError(
                    f"n_neurons_dict: {session!r} cannot be the name of a session: {error.args[0]}"
                ) from error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps ``(batch, channel, time, height, width)``."""
        return self.features(x)

    def feature_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """Return ``(channel, time, height, width)`` of the feature maps; see `Core`."""
        channel, *size = in_shape
        if channel != self.channels[0]:
            raise ValueError(f"in_shape: the core takes {self.channels[0]} channels, got {channel}")
        size = size_after(self.features, size)
        channel = self.channels[-1]
        for unit in self.unit:
            size, channel = unit.output_size(size), unit.channels
        time, height, width = size
        checked_room(height, width, in_shape)
        return (channel, time, height, width)


class ConditionedGRUCore(ConvGRUCore):
    """A `ConvGRUCore` whose layers are scaled and shifted under a condition.

    In a checkpoint's model nothing says the condition: as in OpenRetina, it is then zero, and each
    layer is scaled and shifted by learnt values.

    Parameters
    ----------
    cond_dim
        Length of the condition.
    others
        As of `ConvGRUCore`.
    """

    def __init__(self, *, cond_dim: int, **others: Any) -> None:
        super().__init__(**others)
        length = whole(cond_dim, "cond_dim")
        self._films: dict[str, str] = {}
        widths = iter(self.channels[1:])
        for i, (name, layer) in enumerate(self.features.named_children()):
            if {"conv", "norm"} <= {part for part, _ in layer.named_children()}:
                self._films[name] = f"film_{i}"
                self.add_module(f"film_{i}", _Film(next(widths), length))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps ``(batch, channel, time, height, width)``."""
        for name, layer in self.features.named_children():
            x = layer(x)
            if name in self._films:
                x = getattr(self, self._films[name])(x)
        return x


class _Film(nn.Module):
    """Scale and shift of each channel, both linear in a condition that is zero here."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.fc_gamma = nn.Linear(length, channels)
        self.fc_beta = nn.Linear(length, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1, 1)
        return self.fc_gamma.bias.view(shape) * x + self.fc_beta.bias.view(shape)


def _for_each(sizes: object, n_layers: int, argument: str) -> tuple[int, ...]:
    if isinstance(sizes, int):
        return (whole(sizes, argument),) * n_layers
    checked = checked_sizes(sizes, argument)
    # OpenRetina reads as many as there are layers, and leaves the rest.
    if len(checked) < n_layers:
        raise ValueError(f"{argument}: expected {n_layers}, one for each layer, got {checked}")
    return checked


def _scale(channels: int, *, first: bool) -> _Scale:
    if first:
        return _Scale(1, channels, 1, 1, 1)
    if channels > 1:
        raise ValueError(
            "bias: OpenRetina 1.1.1 cannot run more than one layer with batch_norm_scale and "
            "without bias, since it scales their frames in place of their channels"
        )
    return _Scale(1, channels, 1, 1)


def _recurrent_unit(in_channels: int, arguments: object) -> ConvGRU:
    if not isinstance(arguments, Mapping):
        raise ValueError(
            "gru_kwargs: use_gru asks for rec_channels, input_kern and rec_kern, got "
            f"{shown(arguments)}"
        )
    given = {str(key): value for key, value in arguments.items()}
    missing = [key for key in ("rec_channels", "input_kern", "rec_kern") if key not in given]
    if missing or "in_channels" in given:
        raise ValueError(
            "gru_kwargs: expected rec_channels, input_kern and rec_kern, got "
            f"{shown(sorted(given))}"
        )
    return ConvGRU(in_channels, **given)
