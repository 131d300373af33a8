"""Runs movies through a model in batches that fit into a memory budget, measured on the first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.metering import bytes_of, free_on, is_out_of_memory, meter
from openretina_widgets.models.prepared import words_of
from openretina_widgets.models.retina_model import RetinaModel

Job = TypeVar("Job")

_SHARE = {"cuda": 0.5}  # of the free memory that a batch may take
_OTHER_SHARE = 0.25
# Most MB of a batch without a budget given; larger ones were measured to be no faster. On the CPU
# the table of the trained model takes as long with 16 MB as with 256, and longer with 1,024.
_MOST_MB = {"cuda": 1024.0}
_OTHER_MOST_MB = 128.0


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
    computed
        What was computed how, in words, in the order in which it came.
    """

    device: torch.device
    budget: float
    batch: int | None
    stated: bool
    bytes_per_frame: float | None = field(default=None, init=False)
    computed: dict[str, None] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, device: torch.device, memory_mb: float | None, batch: int | None) -> Room:
        """Return the room that is stated in MB (2^20 bytes), or a share of what is free."""
        if memory_mb is not None:
            return cls(device, memory_mb * 2**20, batch, True)
        share = _SHARE.get(device.type, _OTHER_SHARE) * free_on(device)
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
    try:
        with (
            torch.no_grad(),
            full_float32(room.device),
            memory_in_words(len(movies), room.device),
            model.prepared(frames, sessions) as form,
        ):
            room.computed[words_of(form)] = None
            stimulus = torch.stack(list(movies)).to(device=room.device, dtype=model.dtype)
            if room.bytes_per_frame is None:
                with meter(room.device) as used:
                    responses = model.responses(stimulus, sessions)
                room.measured(used.peak + bytes_of(stimulus), len(movies), frames)
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
        if not is_out_of_memory(error):
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
