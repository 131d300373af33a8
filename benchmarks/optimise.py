"""Stimulus-iterations a second: a plain loop, one stimulus, and batches.

``python -m benchmarks.optimise [CHECKPOINT]`` measures in one run, turn by turn so that a change of
the machine's speed meets all alike:

(a) a plain loop as OpenRetina's scripts have it: the parameters' gradients on, one neuron at a
    time, the score copied to the host in every iteration;
(b) ours with one stimulus;
(c) ours with batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.rates import compare
from openretina_widgets import RetinaModel, load_model, optimize_neurons
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.insilico.stimulus_optimization.descent import NormalizedDescent

CHECKPOINT = (
    Path(__file__).parents[1].parent
    / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"
)
TIME_STEPS = 50
NORM = 30.0


def plain_loop(model: RetinaModel, neuron: int, iterations: int) -> None:
    """Optimise one stimulus, with nothing of ours but the model."""
    session = model.sessions[0]
    stimulus = 0.1 * torch.randn(model.stimulus_shape(TIME_STEPS), device=model.device)
    stimulus.requires_grad_(True)
    optimizer = torch.optim.SGD([stimulus], lr=10.0)
    low, high = (
        torch.tensor(x, device=model.device) for x in zip(*model.stimulus_range, strict=True)
    )
    shape = (1, -1, 1, 1, 1)
    for _ in range(iterations):
        score = model.module(stimulus, data_key=session).squeeze(0)[:, neuron].mean()
        loss = -score
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            stimulus *= NORM / stimulus.norm()
            stimulus.clamp_(low.view(shape), high.view(shape))
        loss.item()


def ours(model: RetinaModel, batch: int, iterations: int) -> None:
    """Optimise a batch of independent stimuli."""
    n = model.n_neurons()
    optimize_neurons(
        model,
        [element % n for element in range(batch)],
        time_steps=TIME_STEPS,
        max_iterations=iterations,
        patience=None,
        norm=NORM,
        optimizer_init_fn=lambda params: NormalizedDescent(params, lr=3.0),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT, type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    arguments = parser.parse_args()
    model = load_model(arguments.checkpoint, device=arguments.device)
    runs: dict[str, tuple[Callable[[int], None], int]] = {
        "(a) plain loop, one neuron": (lambda n: plain_loop(model, 0, n), 1),
        "(b) ours, one stimulus": (lambda n: ours(model, 1, n), 1),
    }
    for batch in arguments.batches:
        runs[f"(c) ours, batch of {batch}"] = (
            lambda n, batch=batch: ours(model, batch, n),
            batch,
        )
    with torch_threads(arguments.threads):
        print(
            f"{model.name}, {TIME_STEPS} frames of {model.input_shape}, {arguments.device}, "
            f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
            f"{arguments.rounds} rounds"
        )
        compare(runs, rounds=arguments.rounds, seconds=arguments.seconds)


if __name__ == "__main__":
    main()
