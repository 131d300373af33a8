"""Sweeps on a cluster: conditions are shared out."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    SweepSteps,
    items_of,
    places_of,
    record,
    showings,
    shown_controls,
    step_of,
)
from openretina_widgets.models.freezing import frozen

_MOST = 64  # conditions in a part


@dataclass(frozen=True)
class Answers:
    """What a worker returns: responses ``(frame, neuron)`` to each movie, and to grey by length."""

    responses: tuple[np.ndarray, ...]
    grey: dict[int, np.ndarray]
    computed: tuple[str, ...] = ()


def shared_out(
    client: Any, recording: Recording, *, memory_mb: float | None, batch: int | None
) -> SweepSteps:
    """Check the client, and return the generator of the sweep's steps, see `sweep_steps`."""
    settings = {
        "session": recording.session,
        "wanted": [*recording.neurons, *recording.linear],
        "experiment": recording.experiment,
        "screen": recording.screen,
        "places": places_of(recording),
        "controls": recording.controls,
        "seed": recording.seed,
        "memory_mb": memory_mb,
        "batch": batch,
    }
    return _steps(Sharded(client, respond, recording.model, settings), recording, settings)


def respond(part: Part) -> Answers:
    """Show a share of the conditions; on a worker."""
    model, asked, kept = part.model, part.settings, part.run.kept
    room = kept.setdefault("room", Room.of(model.device, asked["memory_mb"], asked["batch"]))
    grey: dict[int, np.ndarray] = kept.setdefault("grey", {})
    wanted = [(asked["session"], torch.tensor(asked["wanted"], device=model.device))]
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
    responses: list[np.ndarray] = [np.empty(0)] * len(shown)
    lengths = set()
    with frozen(model):
        jobs = ((len(one.stimulus), number) for number, one in enumerate(shown))
        for frames, numbers in grouped(jobs, room):
            part.go_on()
            movies = [shown[number].stimulus.movie for number in numbers]
            if needs_grey := frames not in grey:
                movies.insert(0, _grey(asked["screen"], frames))
            (answers,) = run_batch(model, movies, wanted, room)
            if needs_grey:
                grey[frames] = answers[0]
                answers = answers[1:]
            lengths.add(frames)
            for number, response in zip(numbers, answers, strict=True):
                responses[number] = response
    return Answers(
        tuple(responses), {frames: grey[frames] for frames in lengths}, tuple(room.computed)
    )


def _grey(screen: Screen, frames: int) -> torch.Tensor:
    grey = torch.tensor(screen.grey, dtype=torch.float32)[:, None, None, None]
    return grey.expand(-1, frames, screen.height, screen.width).contiguous()


def _steps(sharded: Sharded, recording: Recording, settings: dict[str, Any]) -> SweepSteps:
    experiment, places = recording.experiment, settings["places"]
    items = items_of(experiment, places)
    each = 1 + len(shown_controls(recording.controls))
    total, done = len(items) * each, 0
    at_once = sharded.share(len(items), settings["batch"] or _MOST)
    shares: Iterator[Any] = (items[at : at + at_once] for at in range(0, len(items), at_once))
    # What the result tells of the stimuli is that of the first one, whichever comes first.
    recording.shown = plain(
        experiment.stimulus(recording.screen, **items[0][1], **items[0][3]).parameters
    )
    since = time.perf_counter()
    with closing(sharded.news(shares, watched=False)) as news:
        for one in news:
            batch, responses = [], []
            for _, share, answers in one.results:
                recording.computed = tuple(dict.fromkeys((*recording.computed, *answers.computed)))
                for frames, response in answers.grey.items():
                    if not recording.has_grey(frames):
                        recording.take_grey(frames, response)
                # Made here once more: a movie is faster made than sent.
                shown = showings(
                    recording.model,
                    experiment,
                    recording.screen,
                    share,
                    recording.controls,
                    recording.seed,
                )
                for showing, response in zip(shown, answers.responses, strict=True):
                    record(recording, showing, response)
                    batch.append(showing)
                    responses.append(response)
            done += len(batch)
            recording.duration_s = time.perf_counter() - since
            yield step_of(recording, done, total, batch, responses)
    return recording.curves()
