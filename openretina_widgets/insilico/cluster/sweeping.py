"""Sweeps on a cluster: conditions are shared out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.insilico.cluster.on_worker import Part
from openretina_widgets.insilico.cluster.shards import Sharded
from openretina_widgets.insilico.tuning_analyses.batches import Room, grouped, run_batch
from openretina_widgets.insilico.tuning_analyses.experiment import plain
from openretina_widgets.insilico.tuning_analyses.recording import Recording
from openretina_widgets.insilico.tuning_analyses.sweep import (
    Recorded,
    Showing,
    items_of,
    places_of,
    record,
    showings,
    shown_controls,
)
from openretina_widgets.models.freezing import frozen

_MOST = 64  # conditions in a part


@dataclass(frozen=True)
class Answers:
    """What a worker returns of each session.

    Responses ``(frame, neuron)`` to each movie, and to grey by length.
    """

    responses: tuple[list[np.ndarray], ...]
    grey: dict[int, tuple[np.ndarray, ...]]
    computed: tuple[str, ...] = ()


def shared_out(
    client: Any, recordings: Sequence[Recording], *, memory_mb: float | None, batch: int | None
) -> Recorded:
    """Check the client, and return a generator of what `recorded` yields, as it comes."""
    first = recordings[0]
    settings = {
        "wanted": [(one.session, [*one.neurons, *one.linear]) for one in recordings],
        "experiment": first.experiment,
        "screen": first.screen,
        "controls": first.controls,
        "seed": first.seed,
        "memory_mb": memory_mb,
        "batch": batch,
    }
    return _come(Sharded(client, respond, first.model, settings), recordings, batch)


def respond(part: Part) -> Answers:
    """Show a share of the conditions; on a worker."""
    model, asked, kept = part.model, part.settings, part.run.kept
    room = kept.setdefault("room", Room.of(model.device, asked["memory_mb"], asked["batch"]))
    grey: dict[int, tuple[np.ndarray, ...]] = kept.setdefault("grey", {})
    wanted = [
        (session, torch.tensor(neurons, device=model.device))
        for session, neurons in asked["wanted"]
    ]
    shown = list(
        showings(
            model,
            asked["experiment"],
            asked["screen"],
            part.share,
            asked["controls"],
            asked["seed"],
        )
    )
    responses = tuple([np.empty(0)] * len(shown) for _ in wanted)
    lengths = set()
    with frozen(model):
        jobs = ((len(one.stimulus), number) for number, one in enumerate(shown))
        for frames, numbers in grouped(jobs, room):
            part.go_on()
            movies = [shown[number].stimulus.movie for number in numbers]
            if needs_grey := frames not in grey:
                movies.insert(0, _grey(asked["screen"], frames))
            answers = run_batch(model, movies, wanted, room)
            if needs_grey:
                grey[frames] = tuple(of_session[0] for of_session in answers)
                answers = [of_session[1:] for of_session in answers]
            lengths.add(frames)
            for to_all, of_session in zip(responses, answers, strict=True):
                for number, response in zip(numbers, of_session, strict=True):
                    to_all[number] = response
    return Answers(responses, {frames: grey[frames] for frames in lengths}, tuple(room.computed))


def _grey(screen: Screen, frames: int) -> torch.Tensor:
    grey = torch.tensor(screen.grey, dtype=torch.float32)[:, None, None, None]
    return grey.expand(-1, frames, screen.height, screen.width).contiguous()


def _come(sharded: Sharded, recordings: Sequence[Recording], most: int | None) -> Recorded:
    first = recordings[0]
    experiment = first.experiment
    items = items_of(experiment, places_of(first))
    each = 1 + len(shown_controls(first.controls))
    total, done = len(items) * each, 0
    at_once = sharded.share(len(items), most or _MOST)
    shares: Iterator[Any] = (items[at : at + at_once] for at in range(0, len(items), at_once))
    # What a result tells of the stimuli is that of the first one, whichever comes first.
    about = plain(experiment.stimulus(first.screen, **items[0][1], **items[0][3]).parameters)
    for recording in recordings:
        recording.shown = about
    since = time.perf_counter()
    with closing(sharded.news(shares, watched=False)) as news:
        for one in news:
            batch: list[Showing] = []
            responses: list[list[np.ndarray]] = [[] for _ in recordings]
            for _, share, answers in one.results:
                # Made here once more: a movie is faster made than sent.
                shown = list(
                    showings(
                        first.model, experiment, first.screen, share, first.controls, first.seed
                    )
                )
                batch += shown
                for number, recording in enumerate(recordings):
                    for frames, grey in answers.grey.items():
                        if not recording.has_grey(frames):
                            recording.take_grey(frames, grey[number])
                    own = answers.responses[number]
                    for showing, response in zip(shown, own, strict=True):
                        record(recording, showing, response)
                    responses[number] += own
                    recording.computed = tuple(
                        dict.fromkeys((*recording.computed, *answers.computed))
                    )
            done += len(batch)
            for recording in recordings:
                recording.duration_s = time.perf_counter() - since
            yield done, total, batch, responses
