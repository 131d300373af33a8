"""Best stimuli from a cluster of processes of which one is killed, against one process.

``python -m benchmarks.cluster`` prints, from one run on one machine: how many results there are of
how many, how many came twice, the largest difference in score to the run without a cluster, and
the time with and without a killed worker against that of one process. Needs the ``dask`` extra and
the test environment.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import Counter

from distributed import Client

from openretina_widgets import load_model, optimize_population
from openretina_widgets.insilico.compute import cores
from openretina_widgets.insilico.stimulus_optimization import PopulationResult, population_steps
from openretina_widgets.models import RetinaModel
from tests.clusters import kill_a_busy_worker, local_cluster


def on_cluster(
    client: Client, model: RetinaModel, settings: dict, *, kill: bool
) -> tuple[PopulationResult, Counter, float, int]:
    """Run; return results, how often each pair came, seconds, and parts lost with the worker."""
    start = time.perf_counter()
    steps = population_steps(model, client=client, **settings)
    came: Counter = Counter()
    lost: list[str] = []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value, came, time.perf_counter() - start, len(lost)
        came.update(step.finished)
        if kill and step.done >= step.total // 2 and not lost:
            lost = kill_a_busy_worker(client)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="synthetic")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells of the killed worker
    model = load_model(arguments.model)
    settings = {"max_iterations": arguments.iterations, "patience": None}
    with local_cluster(arguments.workers) as cluster, Client(cluster) as client:
        # Each worker imports torch and gets the model before the time is taken.
        optimize_population(model, client=client, chunk=1, max_iterations=2)
        start = time.perf_counter()
        alone = optimize_population(model, **settings)
        one = time.perf_counter() - start
        _, _, undisturbed, _ = on_cluster(client, model, settings, kill=False)
        found, came, killed, lost = on_cluster(client, model, settings, kill=True)
    total = len(alone)
    ours, theirs = found.together(), alone.together()
    difference = float((ours.score - theirs.score).abs().max())
    print(f"{model.name}, {total} neurons, {arguments.iterations} iterations, {cores()} cores")
    print(f"{arguments.workers} processes, one killed at half time, with {lost} parts given to it")
    print(f"results                        {len(found)} of {total}")
    print(f"came twice                     {sum(n > 1 for n in came.values())}")
    print(f"largest difference in score    {difference:.2g}")
    print(f"one process                    {one:.1f} s")
    print(f"cluster, nobody killed         {undisturbed:.1f} s, {one / undisturbed:.2f} × as fast")
    print(f"cluster, one killed            {killed:.1f} s, {one / killed:.2f} × as fast")


if __name__ == "__main__":
    main()
