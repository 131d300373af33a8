"""Convolutions over time, height and width whose kernels are put together from parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import scattered, shown, whole
from openretina_widgets.models.two_step_convolution import convolve_in_two_steps, pays

_FRAMES_PER_FREQUENCY = 3  # of the temporal basis: keeps it well below the Nyquist limit

Padding = bool | int | str | Sequence[int]
"""``True`` or ``"same"``, ``False`` or ``"valid"``, a number for time, height and width alike, or
one for each."""


class KernelConv3d(nn.Module, ABC):
    """A 3-D convolution whose kernel is put together from its parameters at each call.

    The kernel is not kept: making it is about 2 % of a gradient step with one stimulus and far
    less with a batch, and a kept one would be wrong after a weight is changed in place.
    """

    def __init__(self, size: tuple[int, int, int], padding: Padding) -> None:
        super().__init__()
        self.size = size
        added = checked_padding(padding, "padding")
        # Before and after each axis. An even kernel has no middle: "same" adds one more after it.
        self.padding = (
            [((n - 1) // 2, n // 2) for n in size] if added is None else [(n, n) for n in added]
        )

    def output_size(self, size: Sequence[int]) -> list[int]:
        """Return time, height and width of the answer to an input of these."""
        grown = (n + before + after for n, (before, after) in zip(size, self.padding, strict=True))
        return [n - kernel + 1 for n, kernel in zip(grown, self.size, strict=True)]

    @abstractmethod
    def kernel(self) -> torch.Tensor:
        """Return the kernel ``(out, in, time, height, width)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input ``(batch, channel, time, height, width)``, convolved."""
        if all(before == after for before, after in self.padding):
            return F.conv3d(x, self.kernel(), padding=[before for before, _ in self.padding])
        width_first = [n for pair in reversed(self.padding) for n in pair]
        return F.conv3d(F.pad(x, width_first), self.kernel())


class SpaceTimeSeparableConv3d(KernelConv3d):
    """Each kernel is the product of a spatial and a temporal one (``"custom_separable"``).

    The temporal kernel is a sum of sines and cosines, one pair for every three frames, under an
    envelope that fades out at its oldest frames.

    Parameters
    ----------
    in_channels, out_channels
        Number of channels.
    temporal_kernel_size
        Frames; at least 3.
    spatial_kernel_size
        Pixels along height and width.
    padding
        See `Padding`.
    """

    _log_speed_default: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temporal_kernel_size: int,
        spatial_kernel_size: int,
        padding: Padding = False,
    ) -> None:
        space = spatial_kernel_size
        super().__init__((temporal_kernel_size, space, space), padding)
        if temporal_kernel_size < _FRAMES_PER_FREQUENCY:
            raise ValueError(
                f"temporal_kernel_sizes: expected at least {_FRAMES_PER_FREQUENCY} frames for "
                f"convolution_type 'custom_separable', got {temporal_kernel_size}"
            )
        self.temporal_kernel_size = temporal_kernel_size
        frequencies = temporal_kernel_size // _FRAMES_PER_FREQUENCY
        channels = (out_channels, in_channels)
        self.sin_weights = scattered(*channels, frequencies)
        self.cos_weights = scattered(*channels, frequencies)
        self.weight_spatial = scattered(*channels, 1, space, space)
        self.register_buffer("_log_speed_default", torch.zeros(1))

    def temporal_basis(self) -> torch.Tensor:
        """Return the sines, then the cosines: ``(2 * frequency, time)``."""
        n, speed = self.temporal_kernel_size, self._log_speed_default.exp()
        steps = torch.arange(n, dtype=speed.dtype, device=speed.device)
        time = steps - n
        phase = steps[: n // _FRAMES_PER_FREQUENCY, None] * (time * speed * (2 * math.pi / n))
        envelope = torch.sigmoid(time + int(0.95 * n) / speed)
        return torch.cat([phase.sin(), phase.cos()]) * envelope

    def temporal_kernel(self) -> torch.Tensor:
        """Return the temporal kernels ``(out, in, time)``; the last frame is the newest."""
        return torch.cat([self.sin_weights, self.cos_weights], dim=-1) @ self.temporal_basis()

    def kernel(self) -> torch.Tensor:
        """Return the kernel ``(out, in, time, height, width)``."""
        return self.temporal_kernel()[..., None, None] * self.weight_spatial

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input ``(batch, channel, time, height, width)``, convolved."""
        if pays(x, self.weight_spatial, self.temporal_kernel_size, self.padding):
            temporal = self.temporal_kernel()
            return convolve_in_two_steps(x, self.weight_spatial, temporal, self.padding)
        return super().forward(x)


class TimeIndependentConv3d(KernelConv3d):
    """A spatial kernel for each frame alone (``"time_independent"``).

    Parameters are those of `SpaceTimeSeparableConv3d`; `temporal_kernel_size` has no effect.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temporal_kernel_size: int = 1,
        spatial_kernel_size: int,
        padding: Padding = False,
    ) -> None:
        size = (1, spatial_kernel_size, spatial_kernel_size)
        super().__init__(size, padding)
        self.conv = nn.Conv3d(in_channels, out_channels, size, bias=False)

    def kernel(self) -> torch.Tensor:
        """Return the kernel ``(out, in, 1, height, width)``."""
        return self.conv.weight


class PlainConv3d(KernelConv3d):
    """A convolution whose kernel is its weight."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int, int],
        padding: Padding = False,
    ) -> None:
        super().__init__(size, padding)
        self.weight = scattered(out_channels, in_channels, *size)

    def kernel(self) -> torch.Tensor:
        """Return the kernel ``(out, in, time, height, width)``."""
        return self.weight


class FullConv3d(KernelConv3d):
    """A kernel with a free weight for each frame and pixel (``"full"``).

    Parameters are those of `SpaceTimeSeparableConv3d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temporal_kernel_size: int,
        spatial_kernel_size: int,
        padding: Padding = False,
    ) -> None:
        size = (temporal_kernel_size, spatial_kernel_size, spatial_kernel_size)
        super().__init__(size, padding)
        # Stored by OpenRetina, and used by its other convolutions only.
        self.register_buffer("_log_speed_default", torch.zeros(1))
        self.conv = nn.Conv3d(in_channels, out_channels, size, bias=False)

    def kernel(self) -> torch.Tensor:
        """Return the kernel ``(out, in, time, height, width)``."""
        return self.conv.weight


class TwoStepConv3d(nn.Module):
    """A convolution in space, then one in time that mixes all channels (``"separable"``).

    Each step is padded as the whole is asked to be, as in OpenRetina: a number of pixels, and of
    frames, is added twice.

    Parameters are those of `SpaceTimeSeparableConv3d`.
    """

    _log_speed_default: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        temporal_kernel_size: int,
        spatial_kernel_size: int,
        padding: Padding = False,
    ) -> None:
        super().__init__()
        self.register_buffer("_log_speed_default", torch.zeros(1))
        space = (1, spatial_kernel_size, spatial_kernel_size)
        self.space_conv = PlainConv3d(in_channels, out_channels, space, padding)
        time = (temporal_kernel_size, 1, 1)
        self.time_conv = PlainConv3d(out_channels, out_channels, time, padding)

    def output_size(self, size: Sequence[int]) -> list[int]:
        """Return time, height and width of the answer to an input of these."""
        return self.time_conv.output_size(self.space_conv.output_size(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input ``(batch, channel, time, height, width)``, convolved."""
        return self.time_conv(self.space_conv(x)) * self._log_speed_default.exp()


Convolution = KernelConv3d | TwoStepConv3d
"""What a layer of a core may begin with: a module with an `output_size`."""

CONVOLUTIONS: dict[str, Callable[..., Convolution]] = {
    "custom_separable": SpaceTimeSeparableConv3d,
    "separable": TwoStepConv3d,
    "full": FullConv3d,
    "time_independent": TimeIndependentConv3d,
}
"""What a core can be made of, by OpenRetina's ``convolution_type``."""


def checked_padding(padding: object, argument: str) -> tuple[int, ...] | None:
    """Return what is added on either side of time, height and width; None for "same"."""
    if padding is True or padding == "same":
        return None
    numbers = [padding] * 3 if isinstance(padding, int) else padding
    if padding == "valid":
        numbers = [0, 0, 0]
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or len(numbers) != 3:
        raise ValueError(
            f"{argument}: expected true, false, 'same', 'valid', a whole number, or one for each "
            f"of time, height and width, got {shown(padding)}"
        )
    return tuple(whole(int(n) if n is False else n, argument, low=0) for n in numbers)
