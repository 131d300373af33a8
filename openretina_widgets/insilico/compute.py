"""How torch computes during a run, set for the run alone and put back afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.models.lower_precision import in_bfloat16, in_full


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


class _Float32:
    """Counts who computes in plain float32 and who in TF32: torch has one setting for all threads.

    While both kinds are there, everybody computes in plain float32, which is the more exact.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = {"ieee": 0, "tf32": 0}
        self._before: _Settings = ((), ())

    @contextmanager
    def using(self, precision: str) -> Iterator[None]:
        """Let matrix products use a precision, and convolutions plain float32."""
        with self._lock:
            if not any(self._users.values()):
                self._before = _settings()
            self._users[precision] += 1
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._users[precision] -= 1
                self._apply()

    def _apply(self) -> None:
        if not any(self._users.values()):
            _set(self._before)
            return
        tf32 = not self._users["ieee"]
        older = tuple(
            None if was is None else wanted
            for was, wanted in zip(self._before[0], (False, tf32), strict=True)
        )
        _set((older, ("ieee", "ieee", "tf32" if tf32 else "ieee")))


_Settings = tuple[tuple[bool | None, ...], tuple[str, ...]]
_float32 = _Float32()

Precision = Literal["float32", "tf32", "bfloat16"]
"""How the model is computed. ``"tf32"``: float32 whose matrix products round their factors to 10
bits of mantissa (NVIDIA, from compute capability 8.0). ``"bfloat16"``: 7 bits of mantissa."""
PRECISIONS = get_args(Precision)


def full_float32(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which convolutions and matrix products on CUDA use plain float32.

    The backward pass of 3-D convolutions in TF32 was seen 17 times slower than in plain float32
    (torch 2.11, H100), and it is less exact. torch knows this setting only for all threads at
    once; contexts may overlap, and the last one to end puts it back.
    """
    return computing_in("float32", device)


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision, checked by `check_precision`.

    Convolutions on CUDA use plain float32 in ``"tf32"`` as well; see `full_float32`.
    """
    with ExitStack() as held:
        if device.type == "cuda":
            held.enter_context(_float32.using("tf32" if precision == "tf32" else "ieee"))
        held.enter_context(in_bfloat16() if precision == "bfloat16" else in_full())
        yield


def check_precision(precision: Any, device: torch.device) -> Precision:
    """Return a precision that the device computes in.

    Raises
    ------
    ValueError
        If there is no such precision, or not on this device.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "tf32" and not _has_tf32(device):
        raise ValueError(
            "precision: 'tf32' is for NVIDIA GPUs from compute capability 8.0 on, and the model "
            f"is on {device}; use 'float32'"
        )
    if precision == "bfloat16" and not _has_bfloat16(device):
        raise ValueError(
            f"precision: this {'GPU' if device.type == 'cuda' else 'processor'} has no "
            "instructions for 'bfloat16', and would be slower with it; use 'float32'"
        )
    return precision


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    there = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _settings() -> _Settings:
    """Return torch's older settings, None where the newer ones contradict them, and the newer."""
    return (
        tuple(_older(part) for part in (torch.backends.cudnn, torch.backends.cuda.matmul)),
        tuple(operator.fp32_precision for operator in _operators()),
    )


def _older(part: Any) -> bool | None:
    try:
        return bool(part.allow_tf32)
    except RuntimeError:
        return None


def _set(settings: _Settings) -> None:
    older, newer = settings
    parts: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    for part, value in zip(parts, older, strict=True):
        if value is not None:
            part.allow_tf32 = value
    for operator, precision in zip(_operators(), newer, strict=False):
        operator.fp32_precision = precision


def _operators() -> tuple[Any, ...]:
    """Return what carries the newer setting (torch 2.9)."""
    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        return ()
    return (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)


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
