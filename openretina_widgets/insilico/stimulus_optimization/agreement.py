"""Do several seeds end in the same stimulus? Correlations, and the spread of its course."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult

# What counts as the same stimulus, and as the same score; stated wherever it is used in words.
SAME_STIMULUS = 0.95
SAME_SCORE = 0.02


@dataclass(frozen=True)
class Agreement:
    """Several optima beside each other.

    Attributes
    ----------
    scores
        ``(stimulus,)``.
    correlations
        ``(pair,)``: Pearson correlation of the values of each pair of stimuli, NaN for one that
        is uniform.
    pixel
        ``(row, column)`` at which the mean of the stimuli varies most in time, over all channels.
    mean, spread
        ``(channel, time)``: mean and standard deviation (n − 1) over the stimuli of the course at
        that pixel, in the unit of the stimulus.
    settled
        Whether every run ended on a plateau, and not at its last allowed iteration.
    """

    scores: np.ndarray
    correlations: np.ndarray
    pixel: tuple[int, int]
    mean: np.ndarray
    spread: np.ndarray
    settled: bool = True

    @property
    def in_words(self) -> str:
        """What the seeds tell, with the numbers it rests on."""
        n = len(self.scores)
        scores = self.scores[np.isfinite(self.scores)]
        known = self.correlations[np.isfinite(self.correlations)]
        if len(scores) < n or not len(known):
            return (
                f"Of {n} seeds, {len(scores)} reach a finite score: whether they agree is not "
                "determined."
            )
        low, high = float(scores.min()), float(scores.max())
        least, most = float(known.min()), float(known.max())
        digits = 4 if least > 0.99 else 2
        first, last = _signed(least, digits), _signed(most, digits)
        words = (
            f"{n} seeds reach {_range(low, high)} a.u.; their optima correlate {first}"
            + (f" to {last}" if last != first else "")
            + "."
        )
        apart = (high - low) / max(abs(low), abs(high), 1e-30)
        if least >= SAME_STIMULUS:
            shared = math.floor(1e4 * least**2) / 100
            return (
                f"{words} They end in one optimum, as far as {n} seeds can tell: any two of these "
                f"stimuli share at least {shared:.2f} % of their variance."
            )
        if not self.settled:
            return (
                f"{words} Not all of them ended on a plateau: let them run longer before you "
                "conclude that they disagree."
            )
        if apart <= SAME_SCORE:
            return (
                f"{words} The scores differ by {100 * apart:.2g} % at most and the stimuli by "
                "more: the optimum is not unique, or what differs hardly counts."
            )
        return (
            f"{words} They end in different optima, whose scores differ by {100 * apart:.2g} %: "
            "the best seed need not be the best there is."
        )


def set_in_words(result: OptimizationResult) -> str:
    """Return how far the stimuli of one diverse set differ, and what each drives."""
    found = agreement_of(result)
    known = found.correlations[np.isfinite(found.correlations)]
    n = len(found.scores)
    if not len(known):
        return f"Of {n} stimuli, all but one are uniform: no correlation."
    least, most = float(known.min()), float(known.max())
    words = f"The {n} stimuli correlate {_signed(least, 2)}"
    words += f" to {_signed(most, 2)} in pairs" if n > 2 else ""
    if result.response is None or result.window is None:
        return f"{words}."
    start, stop = result.window
    means = result.response[:, start:stop].mean(dim=1)
    span = _range(float(means.min()), float(means.max()))
    return f"{words}; the mean responses to them are {span} a.u."


def agreement_of(result: OptimizationResult, elements: Sequence[int] | None = None) -> Agreement:
    """Compare the stimuli of a result.

    Parameters
    ----------
    result
        Whose elements differ in their seed.
    elements
        Positions in the batch; None for all.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    rows = list(range(len(result.stimulus)) if elements is None else elements)
    if len(rows) < 2:
        raise ValueError(f"elements: expected two stimuli at least to compare, got {len(rows)}")
    stimuli = result.stimulus[rows].double().numpy()
    flat = stimuli.reshape(len(rows), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(length > 0, flat / length, np.nan)
    pairs = [float(unit[i] @ unit[j]) for i in range(len(rows)) for j in range(i)]
    power = stimuli.mean(axis=0).var(axis=1).sum(axis=0)
    row, column = np.unravel_index(int(power.argmax()), power.shape)
    courses = stimuli[:, :, :, row, column]
    return Agreement(
        scores=result.score[rows].double().numpy(),
        correlations=np.clip(np.array(pairs), -1, 1),
        pixel=(int(row), int(column)),
        mean=courses.mean(axis=0),
        spread=courses.std(axis=0, ddof=1),
        settled=all("no improvement" in result.stop_reasons[row] for row in rows),
    )


def _range(low: float, high: float) -> str:
    """Return two numbers with as many digits as tell them apart, four at most."""
    for digits in (3, 4):
        first, last = (_minus(f"{value:#.{digits}g}".rstrip(".")) for value in (low, high))
        if first != last:
            return f"{first} to {last}"
    return first


def _signed(value: float, digits: int) -> str:
    return _minus(f"{value:.{digits}f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
