"""A separable convolution of known size as a chain of matrix products that stay in the cache.

On a CPU a product of matrices that fit the cache runs at several times the speed at which its
result can be written to memory, put into another order, and read again. So nothing of the size of
channels in times channels out is kept here: each piece of it goes on into its sum at once.

All take feature maps as ``(channel, frame, batch, pixel)`` and give the same axes, whatever their
order in memory. They are linear; their `back` is the product with the transposed operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

__all__ = ["ByChannels", "ByRows", "ByTaps", "Linear", "linear", "moved"]

_PIECE = 16  # elements of a batch at a time

_Product = Callable[[torch.Tensor], torch.Tensor]


class Linear(Protocol):
    """A linear function and its transpose.

    `pieces` is how many elements of a batch it takes at a time.
    """

    pieces: int

    def there(self, x: torch.Tensor) -> torch.Tensor:
        """Return what it gives."""
        ...

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return what its transpose gives."""
        ...


class _Applied(torch.autograd.Function):
    """A linear function, which keeps nothing for its gradient."""

    @staticmethod
    def forward(x: torch.Tensor, there: _Product, back: _Product) -> torch.Tensor:
        return there(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        _, ctx.there, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        # Through `apply`, so that a gradient of the gradient is right as well.
        return _Applied.apply(gradient, ctx.back, ctx.there), None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], x: torch.Tensor, there: _Product, back: _Product
    ) -> tuple[torch.Tensor, int]:
        # One more batch, beside the one that is there; the gradients of many neurons come so.
        batch = x.shape[3] if in_dims[0] <= 2 else x.shape[2]
        x = x.movedim(in_dims[0], 2).flatten(2, 3)
        return _Applied.apply(x, there, back).unflatten(2, (info.batch_size, batch)), 2


def linear(function: Linear, x: torch.Tensor) -> torch.Tensor:
    """Return what a linear function gives; its gradient is what its transpose gives."""
    there, back = (_in_pieces(way, function.pieces) for way in (function.there, function.back))
    made: torch.Tensor = _Applied.apply(x, there, back)
    return made


def _in_pieces(product: _Product, pieces: int) -> _Product:
    """Return a product that takes a few elements of the batch at a time."""

    def of_pieces(x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] <= pieces:
            return product(x)
        return torch.cat([product(piece) for piece in x.split(pieces, dim=2)], dim=2)

    return of_pieces


class _Moved(torch.autograd.Function):
    """Axes in another order, in memory as well; all but the last one."""

    @staticmethod
    def forward(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        x = x.contiguous()
        size = x.element_size()
        steps = (x.shape[-1] * size, x.storage_offset() * size)  # bytes
        wide = next((kind for kind, n in _WIDE if not any(step % n for step in steps)), x.dtype)
        return x.view(wide).permute(axes).contiguous().view(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        _, ctx.axes = inputs

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        back = sorted(range(len(ctx.axes)), key=lambda axis: ctx.axes[axis])
        return _Moved.apply(gradient, tuple(back)), None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], x: torch.Tensor, axes: tuple[int, ...]
    ) -> tuple[torch.Tensor, int]:
        shifted = (0, *(axis + 1 for axis in axes))
        return _Moved.apply(x.movedim(in_dims[0], 0), shifted), 0


# Types whose numbers take so many bytes. torch's copy into another order works out where each
# number comes from, which on a GPU takes longer than to fetch it; four of float32 are moved as one
# here (an iteration of 1,024 stimuli on an H100: 2.1 ms for all copies instead of 3.0).
_WIDE = ((torch.complex128, 16), (torch.complex64, 8))


def moved(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Return a tensor with its axes in another order, in memory as well; the last one stays."""
    if x.device.type != "cuda":
        return x.permute(axes).contiguous()
    made: torch.Tensor = _Moved.apply(x, axes)
    return made


class ByChannels:
    """Time, then space, one channel in after the other, summed up as they come.

    Parameters
    ----------
    temporal
        ``(in, out, frame out, frame in)``.
    spatial
        ``(in, out, pixel in, pixel out)``.
    """

    pieces = _PIECE

    def __init__(self, temporal: torch.Tensor, spatial: torch.Tensor) -> None:
        self.shape = temporal.shape[1:3]
        self.temporal = temporal.flatten(1, 2).contiguous()
        self.spatial = spatial.contiguous()

    def there(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum over the channels in."""
        channels, frames, batch, pixels = x.shape
        out, after = self.shape
        x = x.contiguous().view(channels, frames, batch * pixels)
        piece = x.new_empty(out * after, batch * pixels)
        made = x.new_zeros(out, after, batch, self.spatial.shape[3])
        total = made.view(out, after * batch, -1)
        for temporal, spatial, seen in zip(self.temporal, self.spatial, x, strict=True):
            torch.mm(temporal, seen, out=piece)
            total.baddbmm_(piece.view(out, after * batch, pixels), spatial)
        return made

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return what each channel in has a part in."""
        out, after, batch, _ = gradient.shape
        channels, _, pixels = self.spatial.shape[:3]
        gradient = gradient.contiguous().view(out, after * batch, -1)
        piece = gradient.new_empty(out, after * batch, pixels)
        made = gradient.new_empty(channels, self.temporal.shape[2], batch * pixels)
        for i in range(channels):
            torch.bmm(gradient, self.spatial[i].transpose(1, 2), out=piece)
            torch.mm(self.temporal[i].T, piece.view(out * after, -1), out=made[i])
        return made.view(channels, -1, batch, pixels)


class ByRows:
    """Space, then time, one row of pixels out and one channel in after the other.

    All rows out see their rows in through the same matrix.

    Parameters
    ----------
    temporal
        ``(in, out, frame in, frame out)``.
    spatial
        ``(in, out, column out, row of the kernel, column in)``.
    height
        Rows in.
    padding
        Rows of zeros above and below.
    """

    pieces = _PIECE

    def __init__(
        self,
        temporal: torch.Tensor,
        spatial: torch.Tensor,
        height: int,
        padding: tuple[int, int],
    ) -> None:
        self.temporal = temporal.contiguous()
        channels, out, columns, kernel, width = spatial.shape
        self.spatial = spatial.reshape(channels, out * columns, kernel * width).contiguous()
        self.width, self.columns, self.height, self.above = width, columns, height, padding[0]
        self.padded = height + sum(padding)
        self.rows = self.padded - kernel + 1

    def there(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum over the channels in."""
        channels, frames, batch, _ = x.shape
        _, out, _, after = self.temporal.shape
        seen = self._as_rows(x)
        piece = x.new_empty(out * self.columns, batch * frames)
        made = x.new_zeros(self.rows, out, self.columns * batch, after)
        window = self.spatial.shape[2]
        for row in range(self.rows):
            first = row * self.width
            for i in range(channels):
                torch.mm(self.spatial[i], seen[i, first : first + window], out=piece)
                made[row].baddbmm_(piece.view(out, -1, frames), self.temporal[i])
        ordered = x.new_empty(out, after, batch, self.rows * self.columns)
        made = made.view(self.rows, out, self.columns, batch, after)
        ordered.view(out, after, batch, self.rows, -1).copy_(made.permute(1, 4, 3, 0, 2))
        return ordered

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return what each channel in has a part in."""
        out, after, batch, _ = gradient.shape
        channels, _, frames, _ = self.temporal.shape
        rows = gradient.unflatten(3, (self.rows, self.columns)).permute(3, 0, 4, 2, 1)
        rows = rows.reshape(self.rows, out, self.columns * batch, after)
        piece = gradient.new_empty(out, self.columns * batch, frames)
        made = gradient.new_zeros(channels, self.padded * self.width, batch * frames)
        window = self.spatial.shape[2]
        for row in range(self.rows):
            first = row * self.width
            for i in range(channels):
                torch.bmm(rows[row], self.temporal[i].transpose(1, 2), out=piece)
                seen = piece.view(out * self.columns, -1)
                made[i, first : first + window].addmm_(self.spatial[i].T, seen)
        made = made[:, self.above * self.width : (self.above + self.height) * self.width]
        return made.unflatten(2, (batch, frames)).permute(0, 3, 2, 1)

    def _as_rows(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(channel, pixel, batch * frame)``, with the rows of zeros."""
        x = x.permute(0, 3, 2, 1)
        if self.padded == self.height:
            return x.flatten(2) if x.is_contiguous() else x.contiguous().flatten(2)
        channels, pixels, batch, frames = x.shape
        padded = x.new_zeros(channels, self.padded * self.width, batch, frames)
        padded[:, self.above * self.width : self.above * self.width + pixels] = x
        return padded.flatten(2)


class ByTaps:
    """A whole kernel, one row of pixels out and one frame of the kernel after the other.

    Parameters
    ----------
    weights
        ``(frame of the kernel, out, column out, row of the kernel, in, column in)``.
    height
        Rows in.
    padding
        Frames of zeros before and after, rows of zeros above and below.
    """

    pieces = _PIECE

    def __init__(
        self,
        weights: torch.Tensor,
        height: int,
        padding: tuple[tuple[int, int], tuple[int, int]],
    ) -> None:
        taps, out, columns, kernel, channels, width = weights.shape
        self.weights = weights.reshape(taps, out * columns, kernel * channels * width).contiguous()
        self.out, self.columns, self.channels, self.width = out, columns, channels, width
        self.time, (self.above, below) = padding
        self.height, self.padded = height, height + self.above + below
        self.rows = self.padded - kernel + 1
        self.step = channels * width

    def there(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum over the channels in and the frames of the kernel."""
        channels, frames, n, _ = x.shape
        taps, _, window = self.weights.shape
        before, behind = self.time
        seen = x.new_zeros(self.padded, channels, self.width, before + frames + behind, n)
        inside = seen[self.above : self.above + self.height, :, :, before : before + frames]
        inside.copy_(x.unflatten(3, (self.height, self.width)).permute(3, 0, 4, 1, 2))
        seen = seen.view(self.padded * self.step, -1)
        after = before + frames + behind - taps + 1
        made = x.new_zeros(self.rows, self.out * self.columns, after * n)
        for row in range(self.rows):
            rows = seen[row * self.step : row * self.step + window]
            for tap in range(taps):
                made[row].addmm_(self.weights[tap], rows[:, tap * n : (tap + after) * n])
        ordered = x.new_empty(self.out, after, n, self.rows * self.columns)
        made = made.view(self.rows, self.out, self.columns, after, n).permute(1, 3, 4, 0, 2)
        ordered.view(self.out, after, n, self.rows, self.columns).copy_(made)
        return ordered

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return what each channel in and frame has a part in."""
        out, after, n, _ = gradient.shape
        taps, _, window = self.weights.shape
        before, behind = self.time
        frames = after + taps - 1 - before - behind
        rows = gradient.reshape(out, after, n, self.rows, self.columns).permute(3, 0, 4, 1, 2)
        rows = rows.reshape(self.rows, out * self.columns, after * n)
        made = gradient.new_zeros(self.padded * self.step, (before + frames + behind) * n)
        for row in range(self.rows):
            part = made[row * self.step : row * self.step + window]
            for tap in range(taps):
                part[:, tap * n : (tap + after) * n].addmm_(self.weights[tap].T, rows[row])
        made = made.view(self.padded, self.channels, self.width, before + frames + behind, n)
        made = made[self.above : self.above + self.height, :, :, before : before + frames]
        return made.permute(1, 3, 4, 0, 2).flatten(3)
