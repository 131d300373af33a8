"""The best stimulus of every neuron: a pool that stays full while results come out of it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import torch
from torch import nn

from openretina_widgets.errors import OutOfMemory, check_positive
from openretina_widgets.insilico.compute import computing_in
from openretina_widgets.insilico.metering import KeptBytes, bytes_of, free_on, meter
from openretina_widgets.insilico.stimulus_optimization.neurons import neuron_steps, seeded_neurons
from openretina_widgets.insilico.stimulus_optimization.optimizer import (
    Run,
    described,
    described_optimizer,
)
from openretina_widgets.insilico.stimulus_optimization.piecewise import Piecewise
from openretina_widgets.insilico.stimulus_optimization.population_result import (
    PopulationResult,
    Store,
    card_of,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step
from openretina_widgets.insilico.stimulus_optimization.seeded import Seeded, check_settings
from openretina_widgets.memory import free_memory
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

_SHARE = {"cuda": 0.5}  # of the free memory that the pool may take
_OTHER_SHARE = 0.25
# Most rows where the memory would hold more; larger pools were measured to be no faster.
_MOST = {"cuda": 1024}
_OTHER_MOST = 64
_PROBES = (2, 8)  # rows that are measured
# Of each row besides what the model takes: the stimulus, the best so far, the gradient, and what
# an optimizer such as Adam remembers.
_TENSORS_OF_A_ROW = 5
_BLOCK = 64  # results in a file
_WRITE_EVERY_S = 5.0  # or sooner than that, so that little is lost when the run is killed


@dataclass(frozen=True)
class PopulationStep:
    """One iteration of the pool.

    Attributes
    ----------
    step
        The rows of the pool; see `Step`.
    pairs
        Neuron and seed of each row.
    finished
        Neuron and seed of those that have ended since the last step.
    ended
        Their results.
    done, total
        Results so far, those of earlier runs in the same folder included, and in the end.
    chunk
        Rows that the pool may have.
    result_bytes
        What all results take, on the disk or in memory.
    result
        The results so far; it grows.
    updates
        Iterations of single rows since the last step; None for one of each row.
    """

    step: Step
    pairs: tuple[tuple[int, int], ...]
    finished: tuple[tuple[int, int], ...]
    ended: tuple[OptimizationResult, ...]
    done: int
    total: int
    chunk: int
    result_bytes: int
    result: PopulationResult
    updates: int | None = None


PopulationSteps = Generator[PopulationStep, str | None, PopulationResult]


def optimize_population(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int | None = None, **settings: Any
) -> PopulationResult:
    """Find the best stimulus of every neuron, however many there are.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.population_steps`: ``seed``, ``folder``,
    ``chunk``, ``memory_mb``, ``client``, and what `openretina_widgets.optimize_neurons` lists, from
    ``data_key`` on.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> result = optimize_population(model, seed=[0, 1], folder="best_stimuli")
    >>> result.summary.sort("score", descending=True)
    """
    _check_settings("optimize_population", settings)
    steps = population_steps(model, neurons, **settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def population_steps(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int | None = None,
    *,
    seed: int | Sequence[int] = 0,
    folder: Any = None,
    chunk: int | None = None,
    memory_mb: float | None = None,
    client: Any = None,
    **settings: Any,
) -> PopulationSteps:
    """Check the arguments, and return the generator of the run's steps.

    Every pair of neuron and seed comes out as `optimize_neurons` gives it alone. A pool of pairs is
    computed at once; where one has ended, the next one enters in its place. If the memory turns
    out not to suffice, half as many rows are computed at once, and nothing is lost.

    Sending a text into the generator ends the run: what has finished is kept.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        Neurons of the session, all of them for None.
    seed
        One seed or several for each neuron.
    folder
        Where the results go while the run goes on; made where it does not exist. A run that was
        stopped or killed goes on when it is called with the same folder: pairs that are there are
        not computed again. None to hold the results in memory.
    chunk
        Most pairs in the pool. None to measure what a row takes, with 2 rows and with 8, and to
        fill a quarter of the free memory, half of it on CUDA, with at most 64 rows, 1,024 on CUDA.
        On CUDA it is torch's count of allocated bytes that is measured; on the CPU, where torch
        counts none, the bytes that are kept for the backward pass and twice those of the largest
        operation.
    memory_mb
        What the pool may take (MiB) instead of that share.
    client
        A ``distributed.Client``: its workers compute, each with a pool of its own, of `chunk` and
        `memory_mb`. Steps come ten times a second then. Their rows are those that the workers last
        told of, four times a second, with the frame of the most power in place of the movie.
    settings
        Those of `neuron_steps`: ``data_key``, ``direction``, ``time_steps``, ``window``,
        ``max_iterations``, ``patience``, ``min_delta``, ``norm``, ``stimulus_range``, ``rms``,
        ``mean_luminance``, ``learning_rate``, ``optimizer_init_fn``, ``precondition``, ``jitter``,
        ``parametrization``, ``regularizer``, ``postprocessor``, ``precision`` and ``cuda_graph``.

    Returns
    -------
    generator
        Yields `PopulationStep`; returns a `PopulationResult`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. So it does where the folder holds
        results of another model or of other settings: the message says which.
    OutOfMemory
        If the results do not fit into the memory and no folder is given, or if not even one row
        fits.
    OSError
        From a step, if the folder cannot be written to, as when the disk is full. What was written
        is whole.
    """
    _check_settings("population_steps", settings)
    face = as_retina_model(model)
    session = face.session(settings.get("data_key"))
    chosen = face.check_neurons(
        range(face.n_neurons(session)) if neurons is None else neurons, session
    )
    _check_chunk(chunk)
    budget = None if memory_mb is None else check_positive(memory_mb, "memory_mb") * 2**20
    prepared = seeded_neurons(face, chosen, seed=seed, **settings)
    for name, given in (("neurons", chosen), ("seed", prepared.seeds)):
        if len(set(given)) < len(given):
            raise ValueError(f"{name}: expected each one once, got one of them twice")
    run = prepared.run([0])
    one = torch.empty(prepared.shape)  # as results hold it
    card = card_of(face, session, _settings(run, prepared), one) | {"chunk": chunk}
    result_bytes = prepared.total * bytes_of(one)
    if folder is None and 2 * result_bytes > free_memory():
        raise OutOfMemory(
            f"folder: the results take {result_bytes / 2**30:.3g} GiB, more than half of the "
            f"{free_memory() / 2**30:.3g} GiB that are free; give a folder for them"
        )
    store = Store(card, folder)
    if client is not None:
        from openretina_widgets.insilico.cluster.optimising import shared_out

        return shared_out(
            client,
            face,
            neurons=chosen,
            seeds=prepared.seeds,
            store=store,
            chunk=chunk,
            settings={"chunk": chunk, "memory_mb": memory_mb, **settings},
            result_bytes=result_bytes,
            start=run.start,
        )
    population = _Population(face, run, prepared, chosen, store, chunk, budget, result_bytes)
    return population.steps()


@dataclass
class _Population:
    """The arguments of a run, checked."""

    model: RetinaModel
    run: Run
    prepared: Seeded
    neurons: list[int]
    store: Store
    chunk: int | None
    budget: float | None
    result_bytes: int

    def steps(self) -> PopulationSteps:
        with self.store.open():
            return (yield from self._loop())

    def _loop(self) -> PopulationSteps:
        total = self.prepared.total
        pairs = [
            (self.neurons[element // len(self.prepared.seeds)], seed)
            for element, seed in enumerate(self.prepared.seeds_of(range(total)))
        ]
        there = self.store.result
        missing = [element for element, pair in enumerate(pairs) if not there.has(*pair)]
        if not missing:
            return there
        chunk = min(self.chunk or self._measured(missing), len(missing))
        finished: list[tuple[int, int]] = []
        ended: list[OptimizationResult] = []

        def deliver(positions: tuple[int, ...], result: OptimizationResult) -> None:
            result = replace(result, stimulus=result.stimulus.float())
            self.store.add(result)
            ended.append(result)
            finished.extend(pairs[missing[position]] for position in positions)

        steps = replace(
            self.run,
            start=self.prepared.starts(missing[:chunk]),
            objective=self.run.objective.keep(missing),
            seeds=self.prepared.seeds_of(missing),
            total=len(missing),
            draw=lambda positions: self.prepared.starts([missing[at] for at in positions]),
            deliver=deliver,
        ).steps()
        done, written = total - len(missing), time.monotonic()
        sent: str | None = None
        try:
            while True:
                try:
                    step = steps.send(sent)
                except StopIteration:
                    return there
                done += len(finished)
                late = time.monotonic() - written > _WRITE_EVERY_S
                if self.store.waiting >= _BLOCK or (late and self.store.waiting):
                    self.store.write()
                    written = time.monotonic()
                sent = yield PopulationStep(
                    step,
                    tuple(pairs[missing[position]] for position in step.elements),
                    tuple(finished),
                    tuple(ended),
                    done,
                    total,
                    chunk if step.at_once is None else step.at_once,
                    self.result_bytes,
                    there,
                )
                finished.clear()
                ended.clear()
        finally:
            steps.close()
            self.store.write()

    def _measured(self, missing: Sequence[int]) -> int:
        """Return how many rows the memory holds, from one iteration of a few and of some more."""
        device = self.run.start.device
        most = min(_MOST.get(device.type, _OTHER_MOST), len(missing))
        small, large = _PROBES
        if most <= small:
            return most
        large = min(large, most)
        share = _SHARE.get(device.type, _OTHER_SHARE)
        budget = share * free_on(device) if self.budget is None else self.budget
        try:
            few = self._taken(missing[:small])
            if few * large / small > budget:  # those would not fit themselves
                return max(1, min(small, int(budget * small / few)))
            more = self._taken(missing[:large])
        except OutOfMemory:
            return small  # and the pool goes on halving
        each = max(1.0, (more - few) / (large - small))
        each += _TENSORS_OF_A_ROW * math.prod(self.prepared.shape) * self.run.start.itemsize
        base = max(0.0, few - small * (more - few) / (large - small))
        return max(1, min(most, int((budget - base) / each)))

    def _taken(self, elements: Sequence[int]) -> int:
        """Return the bytes that losses and gradients of some elements take."""
        run, model = self.run, self.model
        with (
            frozen(model),
            model.prepared(self.prepared.shape[2], run.objective.data_key),
            torch.inference_mode(False),
            computing_in(run.precision, run.start.device),
        ):
            x = self.prepared.starts(elements).requires_grad_(True)
            losses = Piecewise(run.objective, run.regularizers, halves=False)
            losses.put(elements)
            losses(x, [0] * len(x), gradient=True)  # what is made once is not to be counted
            with meter(x.device) as used, KeptBytes() as kept:
                losses(x, [0] * len(x), gradient=True)
        return int(used.peak) + (kept.total if x.device.type != "cuda" else 0)


def _settings(run: Run, prepared: Seeded) -> dict[str, Any]:
    """Return what makes results comparable, as plain values that are the same in any process."""
    objective = {
        name: value for name, value in described(run.objective).items() if name != "neurons"
    }
    probe = run.optimizer_init_fn([run.start.clone().requires_grad_(True)])
    settings = {
        "time_steps": prepared.shape[2],
        "objective": objective,
        "optimizer": described_optimizer(probe),
        "regularizers": [described(part) for part in run.regularizers],
        "postprocessors": [described(part) for part in run.postprocessors],
        "stopper": described(run.stopper),
        "dtype": str(run.start.dtype),
        "precision": run.precision,
    }
    if prepared.form is not None:
        settings["parametrization"] = described(prepared.form.parametrization)
        settings["postprocessors"] = [described(prepared.form.bounds)]
    return _without_addresses(settings)


def _without_addresses(value: Any) -> Any:
    """Return the value without what differs from process to process in a function's name."""
    if isinstance(value, dict):
        return {key: _without_addresses(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_addresses(one) for one in value]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", value) if isinstance(value, str) else value


# Settings of objectives that a pool does not take: its folders hold a result for each pair of
# neuron and seed, independent of all others.
_ELSEWHERE = {
    "groups": "optimize_groups or most_discriminative_stimuli",
    "targets": "most_discriminative_stimuli",
    "temperature": "most_discriminative_stimuli",
    "count": "diverse_stimuli",
    "similarity_weight": "diverse_stimuli",
    "others": "sparse_stimuli",
    "weight": "sparse_stimuli",
    "layer": "optimize_layer",
    "channels": "optimize_layer",
    "place": "optimize_layer",
    "function": "optimize_function",
    "objective_object": "optimize_stimulus",
}


def _check_settings(asked: str, settings: dict[str, Any]) -> None:
    for name in settings:
        if name in _ELSEWHERE:
            raise TypeError(
                f"{asked}: {name!r} is no setting of a population, which holds a best stimulus of "
                f"each neuron alone; use {_ELSEWHERE[name]}, where all is computed in one batch"
            )
    check_settings(asked, settings, population_steps, neuron_steps)


def _check_chunk(chunk: Any) -> None:
    if chunk is None:
        return
    if isinstance(chunk, bool) or not isinstance(chunk, SupportsIndex) or int(chunk) < 1:
        raise ValueError(f"chunk: expected a whole number >= 1 or None, got {chunk!r}")
