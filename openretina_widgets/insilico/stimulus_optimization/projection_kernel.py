"""The projection of `NormAndRange` as one kernel of a GPU.

The torch operations for it are some hundred of a few microseconds each, in a fixed number of
rounds; the kernel ends each row when that has settled. It is written in Triton, which comes with
torch for CUDA on Linux and needs a C compiler there. `available` tells whether it works.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache

import torch

__all__ = ["available", "scaled_and_clipped"]

try:
    import triton
    from triton import language as tl
    from triton.errors import TritonError
except ImportError:
    triton = None

_BLOCK = 4096  # values of a row at a time
_WARPS = 16
_MOST_ROUNDS = 100


if triton is not None:

    @triton.jit
    def _scale_and_clip(
        x_of, out_of, low_of, high_of, norm, size, pixels, most, BLOCK: tl.constexpr
    ):
        first_of_row = tl.program_id(0).to(tl.int64) * size
        x_of += first_of_row
        out_of += first_of_row
        lanes = tl.arange(0, BLOCK)
        squares = tl.zeros([BLOCK], dtype=tl.float32)
        for first in range(0, size, BLOCK):
            at = first + lanes
            x = tl.load(x_of + at, mask=at < size, other=0.0)
            squares += x * x
        square = tl.sum(squares, axis=0)
        scale = tl.where(square > 0, norm / tl.sqrt(tl.maximum(square, 1e-38)), 1.0)
        rounds = 0
        while rounds < most:
            free = tl.zeros([BLOCK], dtype=tl.float32)
            fixed = tl.zeros([BLOCK], dtype=tl.float32)
            for first in range(0, size, BLOCK):
                at = first + lanes
                there = at < size
                x = tl.load(x_of + at, mask=there, other=0.0)
                low = tl.load(low_of + at // pixels, mask=there, other=0.0)
                high = tl.load(high_of + at // pixels, mask=there, other=0.0)
                y = x * scale
                outside = (y < low) | (y > high)
                limit = tl.where(y < low, low, high)
                free += tl.where(outside, 0.0, x * x)
                fixed += tl.where(outside, limit * limit, 0.0)
            rest = tl.sum(free, axis=0)
            wanted = tl.maximum(norm * norm - tl.sum(fixed, axis=0), 0.0)
            other = tl.sqrt(wanted / tl.maximum(rest, 1e-38))
            rises = (rest > 0) & (other > scale * 1.0000005)
            scale = tl.where(rises, other, scale)
            rounds = tl.where(rises, rounds + 1, most)
        for first in range(0, size, BLOCK):
            at = first + lanes
            there = at < size
            x = tl.load(x_of + at, mask=there, other=0.0)
            low = tl.load(low_of + at // pixels, mask=there, other=0.0)
            high = tl.load(high_of + at // pixels, mask=there, other=0.0)
            tl.store(out_of + at, tl.minimum(tl.maximum(x * scale, low), high), mask=there)


def scaled_and_clipped(
    stimulus: torch.Tensor, norm: float, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Return each stimulus scaled such that it has the norm once it is clipped, and clipped.

    Parameters
    ----------
    stimulus
        ``(batch, channel, time, height, width)``, in float32.
    norm
        L2 norm of each.
    low, high
        Limits of each channel, infinite where there are none.
    """
    x = stimulus.contiguous()
    made = torch.empty_like(x)
    size = x[0].numel()
    _scale_and_clip[(len(x),)](
        x,
        made,
        low,
        high,
        norm,
        size,
        size // x.shape[1],
        _MOST_ROUNDS,
        BLOCK=_BLOCK,
        num_warps=_WARPS,
    )
    return made


@lru_cache(maxsize=8)
def available(device: torch.device) -> bool:
    """Tell whether the kernel can be made for a device, and makes there what it should."""
    if triton is None or device.type != "cuda":
        return False
    x = torch.tensor([3.0, 4.0], device=device).view(1, 1, 1, 1, 2)
    limit = x.new_full((1,), 4.0)
    try:
        made = scaled_and_clipped(x, 5.0, -limit, limit)
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError):
        return False  # there is no compiler, or the device is too old
    return torch.allclose(made, x)
