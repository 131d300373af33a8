"""Layers of a core for feature maps of a known size, in an exact and faster form.

What follows a convolution and is linear, batch norm and bias, is folded into its operators. The
feature maps are ``(channel, frame, batch, pixel)``, in whatever order they lie in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models.convolutions import (
    FullConv3d,
    KernelConv3d,
    SpaceTimeSeparableConv3d,
)
from openretina_widgets.models.core import Bias, size_after
from openretina_widgets.models.prepared_products import (
    ByChannels,
    ByRows,
    ByTaps,
    linear,
    moved,
)
from openretina_widgets.models.two_step_convolution import bands

__all__ = ["LARGEST", "WAYS", "AsItIs", "Cut", "Size", "Stage", "Way", "prepared_layer"]

LARGEST = 16 * 2**20
"""Most numbers in one operator (64 MiB in float32); beyond that a convolution takes its place."""

# What a multiplication takes, and what a number takes that is moved to another order, in
# multiplications of a large matrix product; forward and backward together. Measured on a CPU by
# `python -m benchmarks.prepared --ways`: 1.8 – 3.4, 0.9 – 3.5 and 80 – 126, and in pieces.
_CONVOLUTION_2D, _CONVOLUTION_3D, _MOVED = 2.5, 1.7, 100.0
_BY_CHANNELS, _BY_ROWS, _BY_TAPS = 1.0, 1.5, 1.1

# Stimuli for which a few large products, and a 3-D convolution, are faster than many small ones.
_FEW, _FEW_OF_WHOLE = 1, 3


@dataclass(frozen=True)
class Size:
    """Axes of feature maps, without those of the batch."""

    channels: int
    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.height * self.width


class Stage(Protocol):
    """Feature maps ``(channel, frame, batch, pixel)`` in, others out."""

    words: str

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps."""
        ...

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """The operators that it holds."""
        ...


_Function = Callable[[torch.Tensor], torch.Tensor]

_ELEMENTWISE = (nn.ReLU, nn.GELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh, nn.LeakyReLU)


@dataclass(frozen=True)
class _After:
    """What a layer does after its convolution: a factor and a shift a channel, and a function."""

    scale: torch.Tensor
    shift: torch.Tensor
    function: _Function | None
    pool: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.function is None else self.function(x)


def prepared_layer(
    layer: nn.Module, channels: int, size: Size, cut: int, ways: Sequence[Way] | None
) -> tuple[list[Stage], Size]:
    """Return the stages of a layer, and the size of what it gives.

    Parameters
    ----------
    layer
        A convolution and what follows it.
    channels
        Channels out.
    size
        What comes in.
    cut
        Frames that are cut off the start of what it gives.
    ways
        Compute a separable convolution in the fastest of these; None: of all, or as it is.
    """
    convolution, *rest = layer.children()
    after = _after(rest, next(layer.parameters()).new_ones(channels))
    made: tuple[Stage, Size] | None = None
    if after is not None:
        if type(convolution) is SpaceTimeSeparableConv3d:
            made = _separable(convolution, size, after, cut, ways)
        elif (
            type(convolution) is FullConv3d and after.scale.device.type == "cpu" and not after.pool
        ):
            made = _by_taps(layer, convolution, size, after, cut)
    if after is None or made is None:
        frames, height, width = size_after(
            nn.Sequential(layer), [size.frames, size.height, size.width]
        )
        out = Size(channels, frames - cut, height, width)
        return [AsItIs(layer, size, "layer"), *([Cut(cut)] if cut else [])], out
    stage, out = made
    if not after.pool:
        return [stage], out
    return [stage, _Pool(out)], replace(out, height=out.height // 2, width=out.width // 2)


def _after(parts: Sequence[nn.Module], scale: torch.Tensor) -> _After | None:
    """Return what is known of the parts after a convolution, None where one is not known."""
    shift = torch.zeros_like(scale)
    function: _Function | None = None
    pool = False
    for part in parts:
        linear_part = type(part) in (nn.BatchNorm3d, Bias)
        if pool or (linear_part and function is not None):
            return None
        if isinstance(part, nn.BatchNorm3d) and linear_part:
            mean, variance = part.running_mean, part.running_var
            if mean is None or variance is None:
                return None
            factor = torch.rsqrt(variance + part.eps)
            if part.affine:
                factor = factor * part.weight
            scale, shift = scale * factor, (shift - mean) * factor
            if part.affine:
                shift = shift + part.bias
        elif isinstance(part, Bias) and linear_part:
            shift = shift + part.bias.flatten()
        elif type(part) is nn.ELU and function is None:
            function = _elu(part.alpha)
        elif type(part) in _ELEMENTWISE and function is None:
            function = part
        elif type(part) is nn.MaxPool3d:
            pool = True
        elif type(part) is not nn.Dropout3d:
            return None
    return _After(scale, shift, function, pool)


def _elu(alpha: float) -> _Function:
    return lambda x: F.elu(x, alpha, inplace=True)


# Separable convolutions --------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """In which order, and how, a separable convolution is computed.

    Attributes
    ----------
    time_first
        Whether the temporal step comes before the spatial one.
    space
        ``"matrices"``: the spatial step is a matrix product; ``"convolution"``: a 2-D convolution;
        ``"pieces"``: both steps are many small matrix products, see `prepared_products`.
    """

    time_first: bool
    space: str

    @property
    def words(self) -> str:
        """What is done, in words."""
        order = "time then space" if self.time_first else "space then time"
        return f"{order}, {_HOW[self.space]}"


_HOW = {
    "matrices": "matrices",
    "convolution": "matrix and 2-D convolution",
    "pieces": "matrices in pieces",
}

WAYS = (
    Way(time_first=True, space="matrices"),
    Way(time_first=False, space="matrices"),
    Way(time_first=False, space="convolution"),
    Way(time_first=True, space="pieces"),
    Way(time_first=False, space="pieces"),
)
"""Not the temporal step and a 2-D convolution after it: it has many groups of few channels, and is
never much faster."""


def _costs(way: Way, size: Size, out: Size, kernel: Sequence[int]) -> tuple[float, int]:
    """Return what a way costs a stimulus, in multiplications, and the numbers it holds."""
    pairs = size.channels * out.channels
    frames = out.frames if way.time_first else size.frames  # that are seen by the spatial step
    pixels = size.pixels if way.time_first else out.pixels  # that are seen by the temporal one
    steps: float = pairs * out.frames * size.frames * pixels
    if way.space == "pieces":
        window = size.pixels if way.time_first else kernel[0] * size.width
        spatial: float = pairs * frames * window * out.pixels
        columns = out.pixels if way.time_first else out.width
        share = _BY_CHANNELS if way.time_first else _BY_ROWS
        return share * (steps + spatial), pairs * window * columns
    steps += _MOVED * pairs * frames * pixels
    if way.space == "matrices":
        numbers = pairs * size.pixels * out.pixels
        return steps + frames * numbers, numbers
    spatial = _CONVOLUTION_2D * pairs * frames * kernel[0] * kernel[1] * out.pixels
    return steps + spatial + _MOVED * pairs * frames * pixels, pairs * kernel[0] * kernel[1]


def _separable(
    convolution: SpaceTimeSeparableConv3d,
    size: Size,
    after: _After,
    cut: int,
    ways: Sequence[Way] | None,
) -> tuple[Stage, Size] | None:
    """Return the fastest way to compute a layer, None where the layer as it is would be faster."""
    frames, height, width = convolution.output_size([size.frames, size.height, size.width])
    out = Size(len(after.scale), frames - cut, height, width)
    if ways is None:  # many small products suit a CPU, and a few large ones a GPU
        cpu = after.scale.device.type == "cpu"
        ways_here = [way for way in WAYS if cpu or way.space != "pieces"]
    else:
        ways_here = list(ways)
    if out.frames < 1 or min(height, width) < 1:
        return None
    # Of a long movie most of the operator over time is zeros: it is taken in blocks of frames.
    lengths = [0, *(n for n in _blocks(convolution.size[0]) if 2 * n <= out.frames)]
    costs = {}
    for way in ways_here:
        for length in lengths:
            cost, numbers = _blocked(way, size, out, convolution.size, length)
            if numbers <= LARGEST:
                costs[way, length] = cost
    if not costs:
        return None
    way, length = min(costs, key=lambda one: costs[one])
    pairs = size.channels * out.channels
    as_it_is = _CONVOLUTION_3D * pairs * frames * math.prod(convolution.size) * out.pixels
    if ways is None and costs[way, length] > as_it_is:
        return None
    before, behind = convolution.padding[0]
    if length:
        taps = convolution.size[0]
        inner = replace(size, frames=length + taps - 1)
        of_block = replace(out, frames=length)
        stage = _Separable(convolution, way, inner, of_block, after, 0, (0, 0))
        return _Blocks(stage, taps, length, before, cut, out.frames), out
    stage = _Separable(convolution, way, size, out, after, cut, (before, behind))
    large = [one for one, block in costs if one.space != "pieces" and not block]
    if ways is None and large and way not in large:
        few = min(large, key=lambda one: costs[one, 0])
        stage.few = _Separable(convolution, few, size, out, after, cut, (before, behind))
    return stage, out


def _blocks(taps: int) -> list[int]:
    """Return numbers of frames out that a block may have."""
    return [2 * taps, 4 * taps]


def _blocked(
    way: Way, size: Size, out: Size, kernel: Sequence[int], length: int
) -> tuple[float, int]:
    """Return the cost of a way in blocks of so many frames out, 0 for no blocks."""
    if not length:
        return _costs(way, size, out, kernel[1:])
    inner = replace(size, frames=length + kernel[0] - 1)
    cost, numbers = _costs(way, inner, replace(out, frames=length), kernel[1:])
    cost += _MOVED * inner.channels * inner.frames * inner.pixels
    return math.ceil(out.frames / length) * cost, numbers


class _Separable:
    """A separable convolution, what is linear after it, and its function."""

    def __init__(
        self,
        convolution: SpaceTimeSeparableConv3d,
        way: Way,
        size: Size,
        out: Size,
        after: _After,
        cut: int,
        padding: tuple[int, int],
    ) -> None:
        self.way, self.size, self.out, self.after = way, size, out, after
        self.words = way.words
        _, *self.padding = convolution.padding
        before, behind = padding
        padded = size.frames + before + behind
        temporal = bands(convolution.temporal_kernel() * after.scale[:, None, None], padded)
        temporal = temporal.unflatten(2, (size.channels, padded))[:, cut:]
        temporal = temporal[..., before : before + size.frames]  # (out, frame out, in, frame in)
        spatial = convolution.weight_spatial[:, :, 0]  # (out, in, height, width)
        self.shift = after.shift[:, None, None].contiguous()
        self.pieces: ByChannels | ByRows | None = None
        self.few: _Separable | None = None  # takes its place for few stimuli
        if way.space == "pieces":
            self.pieces = self._in_pieces(temporal, spatial)
            return
        if way.time_first:
            temporal = temporal.permute(2, 0, 1, 3)
            self.temporal = temporal.reshape(size.channels, -1, size.frames).contiguous()
        else:
            self.temporal = temporal.flatten(2).contiguous()
        if way.space == "convolution":
            self.spatial = spatial.transpose(0, 1).flatten(0, 1)[:, None].contiguous()
            return
        matrices = _spatial_matrices(spatial, size, self.padding)
        if way.time_first:  # (out, in * pixel in, pixel out)
            self.spatial = matrices.flatten(1, 2).contiguous()
        else:  # (in, pixel in, out * pixel out)
            self.spatial = matrices.permute(1, 2, 0, 3).flatten(2).contiguous()

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The operators that it holds."""
        if self.pieces is not None:
            few = [] if self.few is None else self.few.tensors
            return [self.shift, self.pieces.temporal, self.pieces.spatial, *few]
        return [self.shift, self.temporal, self.spatial]

    def _in_pieces(self, temporal: torch.Tensor, spatial: torch.Tensor) -> ByChannels | ByRows:
        if self.way.time_first:
            matrices = _spatial_matrices(spatial, self.size, self.padding)
            return ByChannels(temporal.permute(2, 0, 1, 3), matrices.transpose(0, 1))
        height, (left, right) = spatial.shape[2], self.padding[1]
        # What a kernel takes from its rows of the image to one row of pixels.
        row = Size(self.size.channels, 1, height, self.size.width)
        matrices = _spatial_matrices(spatial, row, ((0, 0), (left, right)))
        matrices = matrices.permute(1, 0, 3, 2).unflatten(3, (height, self.size.width))
        return ByRows(temporal.permute(2, 0, 3, 1), matrices, self.size.height, self.padding[0])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.few is not None and x.shape[2] <= _FEW:
            return self.few(x)
        if self.pieces is not None:
            return self.after(linear(self.pieces, x).add_(self.shift[..., None]))
        # What works in place gets what the product has made, not a view of that: torch copies back
        # and forth for the gradient of what is changed through a view.
        made = self.after(self._time_first(x) if self.way.time_first else self._space_first(x))
        return made.view(self.out.channels, self.out.frames, x.shape[2], self.out.pixels)

    def _space_first(self, x: torch.Tensor) -> torch.Tensor:
        size, out, batch = self.size, self.out, x.shape[2]
        if self.way.space == "matrices":
            y = torch.bmm(x.reshape(size.channels, -1, size.pixels), self.spatial)
            y = y.view(size.channels, size.frames, batch, out.channels, out.pixels)
            y = moved(y, (3, 0, 1, 2, 4))
        else:
            y = self._convolve(x)
            y = y.view(size.frames, batch, size.channels, out.channels, out.pixels)
            y = moved(y, (3, 2, 0, 1, 4))
        y = y.view(out.channels, size.channels * size.frames, batch * out.pixels)
        return torch.baddbmm(self.shift, self.temporal, y)

    def _time_first(self, x: torch.Tensor) -> torch.Tensor:
        size, out, batch = self.size, self.out, x.shape[2]
        y = torch.bmm(self.temporal, x.reshape(size.channels, size.frames, -1))
        y = y.view(size.channels, out.channels, out.frames * batch, size.pixels)
        y = moved(y, (1, 2, 0, 3)).view(out.channels, out.frames * batch, -1)
        return torch.baddbmm(self.shift, y, self.spatial)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Return each frame convolved in space: ``(frame * batch, in * out, height, width)``."""
        size = self.size
        (top, bottom), (left, right) = self.padding
        frames = moved(x, (1, 2, 0, 3)).view(-1, size.channels, size.height, size.width)
        if any((top, bottom, left, right)):
            frames = F.pad(frames, (left, right, top, bottom))
        return F.conv2d(frames, self.spatial, groups=size.channels)


def _spatial_matrices(
    spatial: torch.Tensor, size: Size, padding: Sequence[tuple[int, int]]
) -> torch.Tensor:
    """Return the kernels ``(out, in, height, width)`` as matrices ``(out, in, pixel, pixel)``.

    What each pixel alone gives is a row.
    """
    (top, bottom), (left, right) = padding
    single = torch.eye(size.pixels, dtype=spatial.dtype, device=spatial.device)
    single = single.view(size.pixels, 1, size.height, size.width)
    rows = F.conv2d(F.pad(single, (left, right, top, bottom)), spatial.flatten(0, 1)[:, None])
    return rows.flatten(2).view(size.pixels, *spatial.shape[:2], -1).permute(1, 2, 0, 3)


class _Blocks:
    """A layer over blocks of frames, each an element of the batch."""

    def __init__(
        self, stage: _Separable, taps: int, length: int, before: int, cut: int, frames: int
    ) -> None:
        self.stage, self.taps, self.length = stage, taps, length
        self.before, self.cut, self.frames = before, cut, frames
        self.words = f"{stage.words}, in blocks of {length} frames"

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """The operators that it holds."""
        return self.stage.tensors

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        blocks = math.ceil(self.frames / self.length)
        needed = self.cut + blocks * self.length + self.taps - 1
        x = F.pad(x, (0, 0, 0, 0, self.before, needed - self.before - x.shape[1]))[:, self.cut :]
        seen = x.unfold(1, self.length + self.taps - 1, self.length)
        made = self.stage(seen.permute(0, 4, 1, 2, 3).flatten(2, 3))
        made = made.unflatten(2, (blocks, -1)).permute(0, 2, 1, 3, 4)
        return made.flatten(1, 2)[:, : self.frames]


# Other convolutions ------------------------------------------------------------------------------


class _Taps:
    """A convolution with whole kernels, what is linear after it, and its function."""

    words = "sums of matrices"

    def __init__(self, product: ByTaps, after: _After, cut: int, few: Sequence[Stage]) -> None:
        self.product, self.after, self.cut, self.few = product, after, cut, few
        self.shift = after.shift[:, None, None, None].contiguous()

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """The operators that it holds."""
        return [self.shift, self.product.weights]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] <= _FEW_OF_WHOLE:
            for stage in self.few:
                x = stage(x)
            return x
        return self.after(linear(self.product, x)[:, self.cut :] + self.shift)


def _by_taps(
    layer: nn.Module, convolution: KernelConv3d, size: Size, after: _After, cut: int
) -> tuple[Stage, Size] | None:
    """Return a convolution as sums over its frames, None where it would not be faster."""
    frames, height, width = convolution.output_size([size.frames, size.height, size.width])
    if min(frames - cut, height, width) < 1:
        return None
    taps, rows, columns = convolution.size
    kernel = convolution.kernel() * after.scale[:, None, None, None, None]
    if math.prod(kernel.shape[:4]) * size.width * width > LARGEST:
        return None
    if _BY_TAPS * size.width > _CONVOLUTION_3D * columns:
        return None
    # What the rows of the image that a kernel sees give to one row of pixels.
    seen = Size(1, 1, rows, size.width)
    matrices = _spatial_matrices(
        kernel.transpose(1, 2).flatten(1, 2), seen, ((0, 0), convolution.padding[2])
    )
    matrices = matrices.unflatten(1, (taps, size.channels)).unflatten(3, (rows, size.width))
    time, above = convolution.padding[:2]
    product = ByTaps(matrices.permute(1, 0, 5, 3, 2, 4), size.height, (time, above))
    few: list[Stage] = [AsItIs(layer, size, "layer"), *([Cut(cut)] if cut else [])]
    return _Taps(product, after, cut, few), Size(len(kernel), frames - cut, height, width)


class AsItIs:
    """A part of the model that is run as it is."""

    def __init__(self, part: nn.Module, size: Size, what: str) -> None:
        self.part, self.size, self.words = part, size, f"{what} as it is"

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """It holds none."""
        return ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps."""
        size = (self.size.height, self.size.width)
        made = self.part(x.permute(2, 0, 1, 3).unflatten(3, size))
        return made.flatten(3).permute(1, 2, 0, 3)


class _Pool:
    """Largest of each two by two pixels."""

    words = "pool"

    def __init__(self, size: Size) -> None:
        self.size = size

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """It holds none."""
        return ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        channels, frames, batch, _ = x.shape
        images = x.reshape(channels, frames * batch, self.size.height, self.size.width)
        return F.max_pool2d(images, 2).view(channels, frames, batch, -1)


class Cut:
    """Without the first frames."""

    words = "cut"

    def __init__(self, frames: int) -> None:
        self.frames = frames

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """It holds none."""
        return ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps."""
        return x[:, self.frames :]
