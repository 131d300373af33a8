"""Best stimuli of a population on a cluster: neurons and seeds are shared out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from openretina_widgets.insilico.cluster.on_worker import Part
from openretina_widgets.insilico.cluster.shards import News, Sharded
from openretina_widgets.insilico.stimulus_optimization.picture import strongest_frames
from openretina_widgets.insilico.stimulus_optimization.population import (
    PopulationStep,
    PopulationSteps,
    population_steps,
)
from openretina_widgets.insilico.stimulus_optimization.population_result import Store
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step
from openretina_widgets.models.retina_model import RetinaModel

_MOST = 1024  # pairs of neuron and seed in a part
_MOST_BYTES = 64 * 2**20  # of a part's results, which are sent in one message
_BLOCK, _WRITE_EVERY_S = 64, 5.0  # as in a run without a cluster

Pair = tuple[int, int]
Share = tuple[tuple[int, ...], tuple[int, ...]]  # each of these neurons from each of these seeds


def shared_out(
    client: Any,
    model: RetinaModel,
    *,
    neurons: Sequence[int],
    seeds: Sequence[int],
    store: Store,
    chunk: int | None,
    settings: Mapping[str, Any],
    result_bytes: int,
    start: torch.Tensor,
) -> PopulationSteps:
    """Check the client, and return the generator of the run's steps, see `population_steps`.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    model, neurons, seeds, store, chunk, result_bytes
        Those of the run, checked.
    settings
        What the workers call `population_steps` with.
    start
        A stimulus of the run, for its shape and type.
    """
    sharded = Sharded(client, optimise, model, settings)
    return _steps(sharded, list(neurons), list(seeds), store, chunk, result_bytes, start)


def optimise(part: Part) -> tuple[OptimizationResult, int]:
    """Find the best stimuli of a share; on a worker. Return them, and the updates it took."""
    neurons, seeds = part.share
    updates = 0
    with closing(population_steps(part.model, neurons, seed=seeds, **part.settings)) as steps:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value.together(), updates
            updates += len(step.pairs)
            part.go_on()
            part.show(partial(_picture, step, updates))


@dataclass(frozen=True)
class _Picture:
    """What a worker tells of a share: of each stimulus one frame, not the movie."""

    pairs: tuple[Pair, ...]
    frames: np.ndarray
    score: np.ndarray
    penalty: np.ndarray
    iterations: tuple[int, ...]
    updates: int


def _picture(step: PopulationStep, updates: int) -> _Picture:
    now = step.step
    return _Picture(
        step.pairs,
        strongest_frames(now.stimulus),
        now.score.double().cpu().numpy().copy(),
        now.penalty.double().cpu().numpy().copy(),
        now.iterations,
        updates,
    )


def _seen(news: News, start: torch.Tensor) -> tuple[Step, tuple[Pair, ...]]:
    """Return the rows that are being computed, as the workers last told them."""
    pictures = [news.pictures[number] for number in sorted(news.pictures)]
    pairs = tuple(pair for one in pictures for pair in one.pairs)
    iterations = tuple(age for one in pictures for age in one.iterations)

    def together(name: str, *shape: int) -> torch.Tensor:
        arrays = [np.empty((0, *shape)), *(getattr(one, name) for one in pictures)]
        return torch.from_numpy(np.concatenate(arrays)).to(start.dtype)

    _, channels, _, height, width = start.shape
    score, penalty = together("score"), together("penalty")
    step = Step(
        max(iterations, default=0),
        tuple(range(len(pairs))),
        score,
        penalty,
        penalty - score,
        together("frames", channels, height, width)[:, :, None],
        None,
        score[None],
        iterations=iterations,
    )
    return step, pairs


def shares_of(missing: Sequence[Pair], most: int) -> Iterator[Share]:
    """Yield all pairs in shares of at most `most`, neighbours together."""
    seeds_of: dict[int, list[int]] = {}
    for neuron, seed in missing:
        seeds_of.setdefault(neuron, []).append(seed)
    alike: dict[tuple[int, ...], list[int]] = {}
    for neuron, own in seeds_of.items():
        alike.setdefault(tuple(own), []).append(neuron)
    for seeds, neurons in alike.items():
        for first in range(0, len(seeds), most):
            some = seeds[first : first + most]
            at_once = max(1, most // len(some))
            for start in range(0, len(neurons), at_once):
                yield tuple(neurons[start : start + at_once]), some


def _steps(
    sharded: Sharded,
    neurons: list[int],
    seeds: list[int],
    store: Store,
    chunk: int | None,
    result_bytes: int,
    start: torch.Tensor,
) -> PopulationSteps:
    with store.open():
        there = store.result
        pairs = [(neuron, seed) for neuron in neurons for seed in seeds]
        recorded = {pair for pair in pairs if there.has(*pair)}
        missing = [pair for pair in pairs if pair not in recorded]
        if not missing:
            return there
        most = min(_MOST, max(1, _MOST_BYTES * len(pairs) // max(1, result_bytes)))
        most = sharded.share(len(missing), most if chunk is None else min(chunk, most))
        updates: dict[int, int] = {}  # of each part so far
        told, written = 0, time.monotonic()
        news = sharded.news(shares_of(missing, most))
        try:
            for one in news:
                finished: list[Pair] = []
                ended: list[OptimizationResult] = []
                for number, _, (result, took) in one.results:
                    updates[number] = max(took, updates.get(number, 0))
                    new = _not_in(recorded, result)
                    if new is not None:
                        store.add(new)
                        ended.append(new)
                        finished += _pairs(new)
                recorded.update(finished)
                late = time.monotonic() - written > _WRITE_EVERY_S
                if store.waiting >= _BLOCK or (late and store.waiting):
                    store.write()
                    written = time.monotonic()
                for number, picture in one.pictures.items():
                    updates[number] = max(picture.updates, updates.get(number, 0))
                step, running = _seen(one, start)
                so_far = sum(updates.values())
                sent = yield PopulationStep(
                    step,
                    running,
                    tuple(finished),
                    tuple(ended),
                    len(recorded),
                    len(pairs),
                    most,
                    result_bytes,
                    there,
                    so_far - told,
                )
                told = so_far
                if sent:
                    break
        finally:
            news.close()
            store.write()
        return there


def _pairs(result: OptimizationResult) -> list[Pair]:
    return [(neuron, seed) for (neuron,), seed in zip(result.neurons, result.seeds, strict=True)]


def _not_in(recorded: set[Pair], result: OptimizationResult) -> OptimizationResult | None:
    """Return what is not recorded yet of a result, None where all of it is."""
    new = [row for row, pair in enumerate(_pairs(result)) if pair not in recorded]
    if len(new) == len(result.seeds):
        return result
    return result.take(new) if new else None
