"""The best stimulus of every neuron: time, memory, and that nobody's result depends on the others.

``python -m benchmarks.population`` prints, each part from processes of its own,

- how long the whole synthetic retina takes, every neuron from one seed, ``--iterations`` each;
- the largest difference in score to one neuron at a time, on the model as it is;
- peak of the resident memory above that before the run, against the rows of the pool, and what the
  pool itself expects of so many rows;
- the same for ``--many`` neurons of 50 frames that are written to a folder, and that folder's size,
  within a budget of ``--budget`` MiB.

``--parts`` picks some of them. ``--checkpoint`` is for the memory; random neurons are added to it.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

import openretina_widgets as orw
from benchmarks.optimise import CHECKPOINT
from benchmarks.prepared import as_it_is
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.core_readout import CoreReadout

PARTS = ("time", "same", "chunks", "many")
MIB = 2**20


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


class Peak:
    """Largest resident memory of this process, above that at the beginning, in bytes."""

    def __enter__(self) -> Peak:
        self._me, self._over = psutil.Process(), threading.Event()
        self._before = self._most = self._me.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self._most = max(self._most, self._me.memory_info().rss)

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """What was added at most."""
        return self._most - self._before


def seconds_of(iterations: int, threads: int | None) -> tuple[float, int]:
    """Return how long the whole synthetic retina takes, and how many neurons it has."""
    model = orw.load_model("synthetic")
    with torch_threads(threads):
        orw.optimize_population(model, [0], max_iterations=2)
        start = time.perf_counter()
        result = orw.optimize_population(model, max_iterations=iterations, patience=None)
        return time.perf_counter() - start, len(result)


def difference(name: str, neurons: int, iterations: int) -> float:
    """Return the largest difference in score between the pool and one at a time, as it is."""
    model = orw.load_model(name)
    chosen = range(min(neurons, model.n_neurons()))
    settings: dict[str, Any] = {"max_iterations": iterations, "patience": None}
    together = orw.optimize_population(model, chosen, chunk=7, **settings)
    with as_it_is():
        single = orw.load_model(name)
        each = [orw.optimize_neurons(single, neuron, **settings).score for neuron in chosen]
    return max(
        float((together.of(n).score - score).abs().max())
        for n, score in zip(chosen, each, strict=True)
    )


def with_neurons(checkpoint: str, neurons: int) -> RetinaModel:
    """Return a checkpoint's model with as many neurons, each a copy of a random one."""
    model = orw.load_model(checkpoint)
    module: CoreReadout = model.module
    session = model.sessions[0]
    old = module.readout[session]
    count = model.n_neurons(session)
    generator = torch.Generator().manual_seed(0)
    picked = torch.randint(count, (neurons,), generator=generator)
    readout = copy.deepcopy(old)
    for held in (readout._parameters, readout._buffers):
        for name, value in held.items():
            axes = [axis for axis, n in enumerate(value.shape) if n == count]
            if axes:
                value.data = value.data.index_select(axes[-1] if name == "features" else 0, picked)
    module.readout[session] = readout
    return RetinaModel(
        module.eval(),
        name="many neurons",
        stimulus_norm=model.stimulus_norm,
        stimulus_range=model.stimulus_range,
    )


def peak_of(checkpoint: str, neurons: int, chunk: int | None, budget: float | None) -> Any:
    """Return peak, folder's bytes, rows of the pool, seconds, and stimulus-iterations a second."""
    model = with_neurons(checkpoint, neurons)
    session = model.sessions[0]
    warm = {"max_iterations": 1, "patience": None}
    orw.optimize_population(model, [0], data_key=session, chunk=1, **warm)
    rows = 0
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        start = time.perf_counter()
        steps = orw.insilico.stimulus_optimization.population_steps(
            model, data_key=session, folder=folder, chunk=chunk, memory_mb=budget, **warm
        )
        for step in steps:
            rows = max(rows, len(step.pairs))
        took = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return peak.bytes, size, rows, took


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--budget", type=float, default=512.0, help="MiB")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    if "time" in arguments.parts:
        found = [
            alone(seconds_of, arguments.iterations, arguments.threads)
            for _ in range(arguments.rounds)
        ]
        times = [seconds for seconds, _ in found]
        print(
            f"synthetic retina, {found[0][1]} neurons, {arguments.iterations} iterations each: "
            f"{statistics.median(times):.1f} s ({min(times):.1f} – {max(times):.1f})"
        )
    if "same" in arguments.parts:
        for name in ("synthetic", arguments.checkpoint):
            off = alone(difference, name, 12, 60)
            print(f"{Path(name).stem}: scores of 12 neurons differ from one at a time by {off:.1e}")
    if "chunks" in arguments.parts:
        print(f"{'rows of the pool':>18}{'peak above before':>20}{'a row':>12}")
        for chunk in (1, 4, 16, 64):
            peak, _, rows, _ = alone(peak_of, arguments.checkpoint, 2 * chunk, chunk, None)
            print(f"{rows:>18}{peak / MIB:>16.0f} MiB{peak / MIB / rows:>8.1f} MiB")
    if "many" in arguments.parts:
        peak, size, rows, took = alone(
            peak_of, arguments.checkpoint, arguments.many, None, arguments.budget
        )
        print(
            f"{arguments.many} neurons of 50 frames, budget {arguments.budget:.0f} MiB: "
            f"{rows} rows at once, peak {peak / MIB:.0f} MiB above before, "
            f"{size / MIB:.0f} MiB in the folder, {took:.0f} s with one step each"
        )


if __name__ == "__main__":
    main()
