"""The stimuli of a run on their way, kept in few bytes, to be looked at again."""

from __future__ import annotations

import bisect
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step

BUDGET_MB = 16.0

# Of the run's time; with a start in which everything is kept, however short the steps are.
_SHARE_OF_TIME = 0.01
_FREE_S = 0.1


@dataclass(frozen=True)
class Snapshot:
    """All running elements at one iteration.

    Attributes
    ----------
    iteration
        Updates so far.
    elements
        Position in the batch of each row below.
    values
        ``(row, channel, time, height, width)``, float16, as multiples of `scale`.
    scale
        Largest magnitude at the start of the run, so that float16 has room above and below.
    score
        ``(row,)``.
    response
        ``(row, time)``, None when the objective does not tell.
    """

    iteration: int
    elements: tuple[int, ...]
    values: np.ndarray
    scale: float
    score: np.ndarray
    response: np.ndarray | None

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.values.nbytes + (0 if self.response is None else self.response.nbytes)

    def movie(self, element: int) -> np.ndarray:
        """Return the stimulus of an element, float32 ``(channel, time, height, width)``."""
        row = self.elements.index(element)
        values: np.ndarray = self.values[row].astype(np.float32) * np.float32(self.scale)
        return values

    def of(self, element: int) -> tuple[float, np.ndarray | None]:
        """Return score and response of an element."""
        row = self.elements.index(element)
        return float(self.score[row]), None if self.response is None else self.response[row]


class RunHistory:
    """Snapshots of a run, at first of every iteration, of every other one when they grow many.

    Written in the thread of the run, and read in any other. To copy out costs the run at most 1 %
    of its time after the first tenth of a second: where a copy is dear, such as from a GPU, fewer
    are taken.

    Parameters
    ----------
    budget_mb
        Most megabytes that are kept. When it is full every other snapshot goes, and only every
        other iteration is kept from then on. Two snapshots are always kept.
    """

    def __init__(self, budget_mb: float = BUDGET_MB) -> None:
        self.budget_mb = check_positive(budget_mb, "budget_mb")
        self.every = 1
        self.spent_s = 0.0
        self._began = time.perf_counter()
        # Replaced as a whole and never changed, so that a reader needs no lock.
        self._kept: tuple[Snapshot, ...] = ()
        self._bytes = 0
        self._scale = 1.0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    @property
    def iterations(self) -> list[int]:
        """The iterations that are kept, in order."""
        return [one.iteration for one in self._kept]

    def take(self, step: Step) -> None:
        """Keep a step, if it is its turn."""
        if step.iteration % self.every:
            return
        now = time.perf_counter()
        if self.spent_s > _FREE_S + _SHARE_OF_TIME * (now - self._began):
            return
        if not self._kept:
            self._scale = float(step.stimulus.abs().max()) or 1.0
        snapshot = _copied(step, self._scale)
        self._kept = (*self._kept, snapshot)
        self._bytes += snapshot.nbytes
        while self._bytes > 1e6 * self.budget_mb and len(self._kept) > 2:
            self.every *= 2
            first, *others = self._kept
            thinned = [one for one in others if one.iteration % self.every == 0]
            self._kept = (first, *(thinned or others[-1:]))
            self._bytes = sum(one.nbytes for one in self._kept)
        self.spent_s += time.perf_counter() - now

    def at(self, iteration: int, element: int = 0) -> Snapshot | None:
        """Return the newest snapshot of an element up to an iteration, None where there is none."""
        kept = self._kept
        place = bisect.bisect_right(kept, iteration, key=lambda one: one.iteration)
        for one in reversed(kept[:place]):
            if element in one.elements:
                return one
        return None


def recorded(steps: Steps, history: RunHistory) -> Steps:
    """Return the same steps, each of which the history sees before it is handed out."""
    return _recorded(steps, history)


def _recorded(steps: Steps, history: RunHistory) -> Generator[Step, str | None, OptimizationResult]:
    reason: str | None = None
    try:
        while True:
            try:
                step = steps.send(reason)
            except StopIteration as end:
                result: OptimizationResult = end.value
                return result
            history.take(step)
            reason = yield step
    finally:
        steps.close()


def _copied(step: Step, scale: float) -> Snapshot:
    with torch.no_grad():
        values = (step.stimulus * (1 / scale)).to(torch.float16).cpu().numpy()
        response = None if step.response is None else step.response.cpu().numpy().copy()
        score = step.score.cpu().numpy().copy()
    return Snapshot(step.iteration, step.elements, values, scale, score, response)
