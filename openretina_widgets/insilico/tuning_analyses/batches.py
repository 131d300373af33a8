"""Runs movies through a model in batches that fit into a memory budget, measured on the first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.memory import free_memory
from openretina_widgets.models.retina_model import RetinaModel

Job = TypeVar("Job")

_SHARE = {"cuda": 0.5}  # of the free memory that a batch may take
_OTHER_SHARE = 0.25
# Most MB of a batch without a budget given; larger ones were measured to be no faster. On the CPU
# the table of the trained model takes as long with 16 MB as with 256, and longer with 1,024.
_MOST_MB = {"cuda": 1024.0}
_OTHER_MOST_MB = 128.0
_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")  # torch has no class for it


def grouped(jobs: Iterable[tuple[int, Job]], room: Room) -> Iterator[tuple[int, list[Job]]]:
    """Yield jobs of equal length together, as many as there is room for.

    Nothing is padded, so that models that look ahead, or normalise over time, answer as to each
    movie alone. Jobs come as (frames, job), and are held only until a batch of theirs is full.
    """
    waiting: dict[int, list[Job]] = {}
    for frames, job in jobs:
        waiting.setdefault(frames, []).append(job)
        if sum(map(len, waiting.values())) >= room.rows(frames):
            fullest = max(waiting, key=lambda length: len(waiting[length]))
            yield fullest, waiting.pop(fullest)
    yield from waiting.items()


@dataclass
class Room:
    """How many movies fit into a batch.

    Attributes
    ----------
    device
        Where the model runs.
    budget
        Bytes that a batch may take.
    batch
        Most movies in a batch; None for as many as fit.
    stated
        Whether the user gave the budget.
    """

    device: torch.device
    budget: float
    batch: int | None
    stated: bool
    bytes_per_frame: float | None = field(default=None, init=False)

    @classmethod
    def of(cls, device: torch.device, memory_mb: float | None, batch: int | None) -> Room:
        """Return the room that is stated in MB (2^20 bytes), or a share of what is free."""
        if memory_mb is not None:
            return cls(device, memory_mb * 2**20, batch, True)
        share = _SHARE.get(device.type, _OTHER_SHARE) * _free(device)
        most = _MOST_MB.get(device.type, _OTHER_MOST_MB) * 2**20
        return cls(device, min(share, most), batch, False)

    def rows(self, frames: int) -> int:
        """Return how many movies of a length fit, at least 1; 1 before anything was measured."""
        fits = 1
        if self.bytes_per_frame is not None:
            fits = max(1, int(self.budget / (self.bytes_per_frame * frames)))
        return fits if self.batch is None else min(fits, self.batch)

    def measured(self, used: int, movies: int, frames: int) -> None:
        """Take note of what a batch has used.

        Raises
        ------
        OutOfMemory
            If one movie alone takes more than the budget that was stated.
        """
        each = used / (movies * frames)
        self.bytes_per_frame = max(each, self.bytes_per_frame or 0.0)
        if self.stated and (needed := each * frames) > self.budget:
            raise OutOfMemory(
                f"memory_mb: one condition of {frames} frames takes {needed / 2**20:.3g} MB, more "
                f"than the {self.budget / 2**20:.3g} MB that were given. The model is as it was."
            )

    def halved(self, movies: int, frames: int) -> None:
        """Take note that so many movies did not fit."""
        half = self.budget / (max(1, movies // 2) * frames)
        self.bytes_per_frame = max(half, self.bytes_per_frame or 0.0)


def run_batch(
    model: RetinaModel,
    movies: Sequence[torch.Tensor],
    wanted: Sequence[tuple[str, torch.Tensor]],
    room: Room,
) -> list[np.ndarray]:
    """Return the responses ``(movie, frame, neuron)`` of sessions to movies of equal length.

    `wanted` are sessions and the neurons of each. The responses are on the CPU.

    The first batch is measured; one that does not fit is halved until it does.

    Raises
    ------
    OutOfMemory
        If one movie alone does not fit.
    """
    frames = int(movies[0].shape[1])
    sessions = [session for session, _ in wanted]
    out_of_memory = None
    faster = model.prepared(frames, sessions[0]) if len(sessions) == 1 else nullcontext()
    try:
        with (
            torch.no_grad(),
            full_float32(room.device),
            memory_in_words(len(movies), room.device),
            faster,
        ):
            stimulus = torch.stack(list(movies)).to(device=room.device, dtype=model.dtype)
            if room.bytes_per_frame is None:
                with _meter(room.device) as meter:
                    responses = model.responses(stimulus, sessions)
                room.measured(meter.peak + _bytes(stimulus), len(movies), frames)
            else:
                responses = model.responses(stimulus, sessions)
            return [
                response[..., neurons].cpu().float().numpy()
                for response, (_, neurons) in zip(responses, wanted, strict=True)
            ]
    except OutOfMemory as error:
        if room.stated and room.bytes_per_frame is not None and "memory_mb" in str(error):
            raise
        out_of_memory = error
    except RuntimeError as error:
        if not any(words in str(error) for words in _CPU_OUT_OF_MEMORY):
            raise
        out_of_memory = OutOfMemory(
            f"{room.device}: out of memory with a batch of {len(movies)}; use shorter stimuli. "
            "The model is as it was."
        )
    if len(movies) == 1:
        raise out_of_memory
    room.halved(len(movies), frames)
    half = len(movies) // 2
    parts = [run_batch(model, part, wanted, room) for part in (movies[:half], movies[half:])]
    return [np.concatenate(both) for both in zip(*parts, strict=True)]


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return free_memory()


class _CudaMeter:
    """Peak of the memory that torch allocates on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak = 0

    def __enter__(self) -> _CudaMeter:
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.peak = torch.cuda.max_memory_allocated(self._device) - self._before


class _OperationMeter(TorchDispatchMode):
    """Bytes of what the largest operation reads and writes, times two for what else is alive.

    torch does not tell the peak of its memory on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._largest = 0

    @property
    def peak(self) -> int:
        return 2 * self._largest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._weigh(func, args, kwargs or {})

    def _weigh(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        held = {
            tensor.untyped_storage().data_ptr(): _bytes(tensor)
            for tensor in tree_leaves((args, kwargs, out))
            if isinstance(tensor, torch.Tensor)
        }
        self._largest = max(self._largest, sum(held.values()))
        return out


class _LeanOperationMeter(_OperationMeter):
    """The same where torch's compiler is not in use.

    torch keeps its compiler from compiling `__torch_dispatch__`, and imports it to do so: 800
    modules, a second, and some 75 MB of every student's kernel. Where nobody has imported it there
    is nothing to keep off.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._weigh(func, args, kwargs or {})


def _meter(device: torch.device) -> Any:
    if device.type == "cuda":
        return _CudaMeter(device)
    return _OperationMeter() if "torch._dynamo" in sys.modules else _LeanOperationMeter()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
