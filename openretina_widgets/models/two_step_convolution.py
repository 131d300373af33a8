"""Convolution with kernels that are each the product of a spatial and a temporal one.

Taken in two steps, space first, such a convolution needs a fraction of the multiplications that
the whole kernels need, and its backward pass fewer still. For small frames each step is a matrix
product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

Padding = Sequence[tuple[int, int]]  # before and after time, height and width

# Measured on a CPU, on kernels of 21 x 11 x 11 and 11 x 5 x 5 with 1 to 33 movies: multiplications
# in the time that a number takes between the steps, and by how much the count has to be lower. The
# backward pass of conv3d is its slow part.
_MOVED = 400
_FEWER = 1.3
_FEWER_WITH_GRADIENT = 0.55


def pays(x: torch.Tensor, weight_spatial: torch.Tensor, frames: int, padding: Padding) -> bool:
    """Return whether two steps were measured to be faster than `conv3d`, on a CPU.

    Parameters
    ----------
    x
        ``(batch, channel, time, height, width)``.
    weight_spatial
        ``(out, in, 1, height, width)``.
    frames
        Length of the temporal kernels.
    padding
        Before and after time, height and width.
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    batch, _, time, *frame = x.shape
    size = weight_spatial.shape[-2:]
    time += sum(padding[0])
    left = time - frames + 1
    if left < 1 or any(
        n + sum(added) < kernel for n, added, kernel in zip(frame, padding[1:], size, strict=True)
    ):
        return False  # conv3d says what is wrong
    kernel, pixels = size.numel(), frame[0] * frame[1]
    # Multiplications for each pair of channels and each place of the feature maps.
    whole = batch * left * frames * kernel
    matrices = kernel * pixels
    steps = batch * time * (pixels + _MOVED) + batch * time * left
    learns = torch.is_grad_enabled() and (x.requires_grad or weight_spatial.requires_grad)
    return whole > (_FEWER_WITH_GRADIENT if learns else _FEWER) * (matrices + steps)


def convolve_in_two_steps(
    x: torch.Tensor,
    weight_spatial: torch.Tensor,
    weight_temporal: torch.Tensor,
    padding: Padding,
) -> torch.Tensor:
    """Return what `conv3d` with the product of both weights returns, up to rounding.

    Parameters
    ----------
    x
        ``(batch, in, time, height, width)``.
    weight_spatial
        ``(out, in, 1, height, width)``.
    weight_temporal
        ``(out, in, time)``.
    padding
        Before and after time, height and width.

    Returns
    -------
    torch.Tensor
        ``(batch, out, time, height, width)``.
    """
    in_time, in_height, in_width = padding
    if any(in_time):
        x = F.pad(x, (0, 0, 0, 0, *in_time))
    batch, channels, time, height, width = x.shape
    pixels = height * width
    # What each pixel alone gives are the columns of the matrices.
    single = torch.eye(pixels, dtype=x.dtype).view(pixels, 1, height, width)
    kernels = weight_spatial.transpose(0, 1).flatten(0, 1)
    columns = F.conv2d(F.pad(single, (*in_width, *in_height)), kernels)
    frame = columns.shape[-2:]
    matrices = columns.view(pixels, channels, -1).permute(1, 2, 0)  # (in, out * place, pixel)
    weighed = matrices @ x.permute(1, 3, 4, 2, 0).reshape(channels, pixels, time * batch)
    weighed = weighed.view(channels, -1, frame.numel(), time, batch).permute(1, 0, 3, 2, 4)
    weighed = weighed.reshape(len(weight_spatial), channels * time, -1)
    made = bands(weight_temporal, time) @ weighed  # (out, time, place * batch)
    return made.unflatten(2, (*frame, batch)).permute(4, 0, 1, 2, 3).contiguous()


def bands(kernels: torch.Tensor, time: int) -> torch.Tensor:
    """Return kernels ``(out, in, frame)`` as matrices that convolve `time` frames of all inputs.

    Row t of a matrix holds the kernel from column t on. A row of length time + 1, written over and
    over and read in rows of length time, moves on by one column a row.

    Returns
    -------
    torch.Tensor
        ``(out, time - frame + 1, in * time)``.
    """
    out_channels, in_channels, frames = kernels.shape
    rows = time - frames + 1
    padded = F.pad(kernels, (0, time + 1 - frames))
    flat = padded[:, :, None].expand(-1, -1, rows, -1).flatten(2)[..., : rows * time]
    banded = flat.unflatten(2, (rows, time))
    return banded.transpose(1, 2).reshape(out_channels, rows, in_channels * time)
