"""How torch computes during a run, set for the run alone and put back afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from openretina_widgets.errors import OutOfMemory


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def live_threads() -> int:
    """Return the torch threads for a run that is watched: one fewer than the cores, at least one.

    No more than ``OMP_NUM_THREADS`` where it is set, as on a server that many share.

    The browser needs a core as well when it runs on the same machine: with as many torch threads
    as cores, a watched run was measured to lose a quarter to a third of its speed, with one thread
    fewer next to nothing.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    most = cores() - 1
    if stated.isdecimal() and int(stated) > 0:
        most = min(most, int(stated))
    return max(1, most)


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
    # torch remembers the last number that any thread has set, for threads that use it for the
    # first time later on: another thread, which then ends, sets back what is remembered.
    teller = threading.Thread(target=torch.set_num_threads, args=(before,), daemon=True)
    teller.start()
    teller.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _FullFloat32:
    """Counts who needs plain float32, as the setting belongs to the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: tuple[bool | None, list[str]] = (None, [])

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = _tf32()
                _set_tf32(None if self._before[0] is None else False, ["ieee"] * 2)
            self._users += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _set_tf32(*self._before)


_full_float32 = _FullFloat32()


def full_float32(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which convolutions on CUDA use plain float32.

    The backward pass of 3-D convolutions in TF32 was seen 17 times slower than in plain float32
    (torch 2.11, H100), and it is less exact. torch knows this setting only for all threads at
    once; contexts may overlap, and the last one to end puts it back.
    """
    return _full_float32 if device.type == "cuda" else nullcontext()


def _tf32() -> tuple[bool | None, list[str]]:
    """Return torch's older setting, None where the newer one contradicts it, and the newer one."""
    try:
        older: bool | None = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        older = None
    return older, [operator.fp32_precision for operator in _operators()]


def _set_tf32(older: bool | None, newer: list[str]) -> None:
    if older is not None:
        torch.backends.cudnn.allow_tf32 = older
    for operator, precision in zip(_operators(), newer, strict=False):
        operator.fp32_precision = precision


def _operators() -> tuple[Any, ...]:
    """Return what carries the newer setting (torch 2.9), both so that the older one agrees."""
    cudnn = torch.backends.cudnn
    return (cudnn.conv, cudnn.rnn) if hasattr(cudnn, "conv") else ()


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
