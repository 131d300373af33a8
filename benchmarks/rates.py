"""Rates of several ways to optimise, measured turn by turn, as ratios to the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Runs = Mapping[str, tuple[Callable[[int], None], int]]
"""What runs so many iterations, and how many stimuli each of these moves."""


def measure(
    run: Callable[[int], None],
    stimuli: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the stimulus-iterations a second of one run that takes about `seconds`, whole.

    What a run takes before its first iteration, and for its result, is in there.
    """
    run(1)
    iterations = 2
    while True:
        start = clock()
        run(iterations)
        taken = clock() - start
        if taken >= 0.5 * seconds:
            return stimuli * iterations / taken
        iterations = round(iterations * min(20.0, max(2.0, seconds / taken)))


def compare(
    runs: Runs, *, rounds: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Measure all in turn, so that a change of the machine's speed meets all; print the table."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, stimuli) in runs.items():
            rates[name].append(measure(run, stimuli, seconds, clock))
    plain = next(iter(rates.values()))
    print(f"{'':34}{'stimulus-iterations/s':>22}{'ratio to (a), min – max':>28}")
    for name, values in rates.items():
        ratios = [value / base for value, base in zip(values, plain, strict=True)]
        print(
            f"{name:34}{statistics.median(values):>22,.1f}"
            f"{statistics.median(ratios):>14,.2f}  {min(ratios):,.2f} – {max(ratios):,.2f}"
        )
