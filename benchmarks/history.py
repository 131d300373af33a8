"""What it costs a run to keep its history, which the optimiser's slider looks back in.

``python -m benchmarks.history [MODEL ...]`` prints, for each model and turn by turn on one thread,
the CPU time of the run's thread for a step without a history and with one, the least of all turns
each, their ratio, and how much is kept.
"""

from __future__ import annotations

import argparse
import time

import torch

import openretina_widgets as orw
from openretina_widgets.insilico.stimulus_optimization import neuron_steps
from openretina_widgets.insilico.stimulus_optimization.history import RunHistory, recorded


def time_of_a_step(model: orw.RetinaModel, iterations: int, history: RunHistory | None) -> float:
    """Return milliseconds of the thread's CPU time."""
    steps = neuron_steps(model, 0, patience=None, max_iterations=iterations)
    if history is not None:
        steps = recorded(steps, history)
    next(steps)
    start, n = time.thread_time(), 0
    for _ in steps:
        n += 1
    return 1000 * (time.thread_time() - start) / n


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["synthetic", "trained"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.models:
        model = orw.load_model(name)
        bare, kept = [], []
        for _ in range(arguments.rounds):
            bare.append(time_of_a_step(model, arguments.iterations, None))
            history = RunHistory()
            kept.append(time_of_a_step(model, arguments.iterations, history))
        print(
            f"{name}: {min(bare):.2f} ms a step, {min(kept):.2f} ms with a history: ratio "
            f"{min(kept) / min(bare):.3f}; {len(history)} stimuli in {history.nbytes / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
