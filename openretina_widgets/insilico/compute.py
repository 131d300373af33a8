"""How torch computes during a run, set for the run alone and put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from openretina_widgets.errors import OutOfMemory


def live_threads() -> int:
    """Return the torch threads for a run that is watched: one fewer than the cores, at least one.

    The browser needs a core as well when it runs on the same machine: with as many torch threads
    as cores, a watched run was measured to lose a quarter to a third of its speed, with one thread
    fewer next to nothing.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) - 1)


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Use `number` threads in torch's CPU operations of this thread, and put it back afterwards.

    None changes nothing. With OpenMP, as in torch's published builds, the number belongs to the
    calling thread, so that other threads, the kernel's own among them, keep theirs.
    """
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def full_float32(device: torch.device) -> Any:
    """Return a context in which convolutions on CUDA use plain float32.

    The backward pass of 3-D convolutions in TF32 was seen 17 times slower than in plain float32
    (torch 2.11, H100), and it is less exact.
    """
    if device.type != "cuda":
        return nullcontext()
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    )


@contextmanager
def memory_in_words(batch: int, device: torch.device) -> Iterator[None]:
    """Turn torch's out-of-memory error into one that says what would fit."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfMemory(_what_fits(batch, device)) from error


def _what_fits(batch: int, device: torch.device) -> str:
    said = f"{device}: out of memory with a batch of {batch}"
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        each = max(1, torch.cuda.max_memory_allocated(device) // batch)
        fits = min(batch - 1, max(0, int(0.9 * (free + reserved)) // each))
        said += f" ({total / 2**30:.1f} GiB in all, {free / 2**30:.1f} GiB free)"
        torch.cuda.empty_cache()
    else:
        fits = batch // 2
    if fits >= 1:
        return f"{said}; a batch of about {fits} would fit. The model is as it was."
    return f"{said}; use a shorter stimulus, or device='cpu'. The model is as it was."
