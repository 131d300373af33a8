"""Rates of several ways to optimise, measured turn by turn, as ratios to the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

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
    print_ratios("stimulus-iterations/s", "ratio to (a)", rates, digits=1)


def print_ratios(
    unit: str, ratio: str, measured: Mapping[str, Sequence[float]], *, digits: int
) -> None:
    """Print the median of what was measured turn by turn, and its ratios to the first."""
    first = next(iter(measured.values()))
    print(f"{'':34}{unit:>22}{f'{ratio}, min – max':>38}")
    for name, values in measured.items():
        ratios = [value / base for value, base in zip(values, first, strict=True)]
        print(
            f"{name:34}{statistics.median(values):>22,.{digits}f}"
            f"{statistics.median(ratios):>18,.2f}  {min(ratios):,.2f} – {max(ratios):,.2f}"
        )
