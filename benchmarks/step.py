"""The step on one device: computed each time, replayed as a CUDA graph, in lower precisions.

``python -m benchmarks.step [CHECKPOINT] [--device cuda]`` prints stimulus-iterations a second
(forward, backward to the stimulus, step and projection) in one run, turn by turn, as ratios to a
plain loop as OpenRetina's scripts have it, with the whole kernels; and of each precision how far
the scores of the best stimuli are off. On a CPU there is no graph, and no TF32.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from benchmarks.optimise import CHECKPOINT, NORM, TIME_STEPS
from benchmarks.prepared import plain_loop
from benchmarks.rates import compare
from openretina_widgets import RetinaModel, load_model, optimize_neurons
from openretina_widgets.insilico.compute import PRECISIONS, check_precision, torch_threads
from openretina_widgets.insilico.stimulus_optimization.descent import NormalizedDescent
from openretina_widgets.insilico.stimulus_optimization.optimizer import _MOST_IN_A_GRAPH


def optimise(model: RetinaModel, batch: int, iterations: int, **settings: Any) -> Any:
    """Optimise a batch of independent stimuli, and wait until it is done."""
    n = model.n_neurons()
    return optimize_neurons(
        model,
        [element % n for element in range(batch)],
        time_steps=TIME_STEPS,
        max_iterations=iterations,
        patience=None,
        norm=NORM,
        optimizer_init_fn=lambda params: NormalizedDescent(params, lr=3.0),
        **settings,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT, type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--batches", type=int, nargs="+", default=None)
    parser.add_argument("--precisions", choices=PRECISIONS, nargs="+", default=PRECISIONS)
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    arguments = parser.parse_args()
    model = load_model(arguments.checkpoint, device=arguments.device)
    on_cuda = model.device.type == "cuda"
    batches = arguments.batches or ([1, 64, 512, 1024] if on_cuda else [1, 16])
    precisions = []
    for precision in arguments.precisions:
        try:
            precisions.append(check_precision(precision, model.device))
        except ValueError as error:
            print(f"left out: {error}")
    runs: dict[str, tuple[Any, int]] = {"(a) plain loop": (lambda n: plain_loop(model, n), 1)}
    for batch in batches:
        for precision in precisions:
            for graph in (False, True) if on_cuda and batch <= _MOST_IN_A_GRAPH else (False,):
                settings = {"precision": precision, "cuda_graph": graph}
                name = f"batch of {batch}, {precision}{', graph' if graph else ''}"
                runs[name] = (
                    lambda n, batch=batch, settings=settings: optimise(model, batch, n, **settings),
                    batch,
                )
    where = torch.cuda.get_device_name(model.device) if on_cuda else "CPU"
    print(f"{model.name}, {TIME_STEPS} frames of {model.input_shape}, {where}, {torch.__version__}")
    with torch_threads(arguments.threads):
        found = {
            precision: optimise(model, 16, 100, precision=precision) for precision in precisions
        }
        print(next(iter(found.values())).settings["computed"])
        plain_loop(model, 5)  # in its first iterations cuDNN tries out its algorithms
        compare(runs, rounds=arguments.rounds, seconds=arguments.seconds)
    print("16 stimuli, 100 iterations: score reached, and how far the precision is off there")
    for precision, result in found.items():
        off = result.settings.get("relative_deviation_of_score", 0.0)
        print(f"{precision:12}{float(result.score.mean()):12.5f}{off:12.2g}")
        if "cuda_graph" in result.settings:
            print(f"{'':12}graph: {result.settings['cuda_graph']}")


if __name__ == "__main__":
    main()
