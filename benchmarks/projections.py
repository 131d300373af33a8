"""What holding a norm, a contrast and a range costs, beside the model's own step.

``python -m benchmarks.projections [CHECKPOINT]`` measures in one run, turn by turn: the model's
forward pass and the backward pass to the stimulus, and each projection of a stimulus that has just
moved by a tenth of its norm, in milliseconds a stimulus.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.optimise import CHECKPOINT, NORM, TIME_STEPS
from openretina_widgets import RetinaModel, load_model
from openretina_widgets.insilico.stimulus_optimization import ContrastAndRange, NormAndRange

ROUNDS = 7


def projections(model: RetinaModel) -> dict[str, NormAndRange | ContrastAndRange]:
    """Return what is measured, by what it is called."""
    limits = model.stimulus_range
    return {
        "norm and range": NormAndRange(NORM, limits),
        "norm and range, many clipped": NormAndRange(5 * NORM, limits),
        "RMS contrast 0.5, mean 0": ContrastAndRange(0.5, 0.0, None, limits),
        "RMS contrast 0.5 and 1 by channel": ContrastAndRange((0.5, 1.0), 0.0, None, limits),
        "RMS contrast 1.5, mean kept": ContrastAndRange(1.5, None, None, limits),
        "mean alone": ContrastAndRange(None, 0.1, None, limits),
    }


def milliseconds(run: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT, type=Path)
    model = load_model(parser.parse_args().checkpoint)
    print(f"{model.name}, {torch.get_num_threads()} threads; milliseconds a stimulus")
    for batch in (1, 16, 64):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(model.stimulus_shape(TIME_STEPS, batch), generator=generator)
        neurons = torch.arange(batch) % model.n_neurons()

        def step(x: torch.Tensor = x, neurons: torch.Tensor = neurons) -> None:
            own = x.clone().requires_grad_(True)
            torch.autograd.grad(model.own_responses(own, neurons).mean(dim=1).sum(), own)

        moved = {}
        for name, bounds in projections(model).items():
            held = bounds.process(x)
            by = torch.randn(x.shape, generator=generator)
            by *= 0.1 * held.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1) / by[0].norm()
            moved[name] = (bounds, held + by)
        times: dict[str, list[float]] = {"the model": [], **{name: [] for name in moved}}
        with model.prepared(TIME_STEPS):
            for _ in range(ROUNDS):
                times["the model"].append(milliseconds(step))
                for name, (bounds, start) in moved.items():
                    times[name].append(milliseconds(lambda b=bounds, s=start: b.process(s)))
        each = {name: min(own[1:]) / batch for name, own in times.items()}
        print(f"\nbatch of {batch}")
        for name, own in each.items():
            print(f"{name:36}{own:8.3f}{own / each['the model']:8.1%} of the model's step")


if __name__ == "__main__":
    main()
