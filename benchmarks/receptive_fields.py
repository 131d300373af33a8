"""Gradient fields of all neurons, against one backward pass for each.

``python -m benchmarks.receptive_fields`` measures both turn by turn in one run, on the embedded
model and on a checkpoint, and says by how much the numbers differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from openretina_widgets import RetinaModel, load_model
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.insilico.receptive_fields import neuron_gradients

CHECKPOINT = (
    Path(__file__).parents[1].parent
    / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"
)


def one_by_one(model: RetinaModel, base: torch.Tensor) -> torch.Tensor:
    """Return the gradients from a forward and a backward pass for each neuron."""
    found = []
    for neuron in range(model.n_neurons()):
        stimulus = base.clone().requires_grad_(True)
        response = model(stimulus)[:, -1, neuron].sum()
        found.append(torch.autograd.grad(response, stimulus)[0])  # none of the parameters'
    return torch.stack(found)


def together(model: RetinaModel, base: torch.Tensor) -> torch.Tensor:
    """Return ours."""
    neurons = range(model.n_neurons())
    return torch.cat([gradient for _, _, gradient in neuron_gradients(model, base, neurons)])


def timed(run: Callable[[], torch.Tensor]) -> float:
    """Return seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["synthetic", CHECKPOINT])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    arguments = parser.parse_args()
    with torch_threads(arguments.threads):
        for name in arguments.models:
            model = load_model(name, device=arguments.device).eval()
            base = torch.zeros(model.stimulus_shape(model.lag + 1), device=model.device)
            # The first passes of a process allocate and choose algorithms, whichever comes first.
            expected, found = one_by_one(model, base), together(model, base)
            ratios, fastest = [], [float("inf")] * 2
            for turn in range(arguments.rounds):
                seconds = [0.0, 0.0]
                for k in (0, 1) if turn % 2 == 0 else (1, 0):
                    run = (one_by_one, together)[k]
                    seconds[k] = timed(lambda r=run, m=model, b=base: r(m, b))
                ratios.append(seconds[0] / seconds[1])
                fastest = [min(both) for both in zip(fastest, seconds, strict=True)]
            error = float((found - expected).abs().max() / expected.abs().max())
            print(
                f"{model.name}, {model.n_neurons()} neurons, {arguments.device}: "
                f"{statistics.median(ratios):.2f} times faster ({min(ratios):.2f} – "
                f"{max(ratios):.2f}; fastest rounds {fastest[0] / fastest[1]:.2f}), "
                f"largest difference {error:.1e} of the largest value"
            )


if __name__ == "__main__":
    main()
