"""What is kept of a run while it goes on: the best of each element, and why it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from openretina_widgets.insilico.stimulus_optimization.piecewise import Losses

# Why an element has ended, as kept on the device while the run goes on.
RUNNING, SPENT, BAD_SCORE, BAD_GRADIENT, DONE = 0, 1, 2, 3, 4

# Iterations whose scores there is room for at first, and the most scores for which there is room
# for all that may come: where they move to a larger place, a graph has to be captured anew.
_AT_FIRST, _AT_ONCE = 256, 2**20


@dataclass(frozen=True)
class Best:
    """What is kept of some elements, on the CPU, the trace as ``(iteration, element)``."""

    stimulus: torch.Tensor
    score: torch.Tensor
    penalty: torch.Tensor
    iteration: torch.Tensor
    end: torch.Tensor
    code: torch.Tensor
    response: torch.Tensor | None
    trace: torch.Tensor


class Kept:
    """The best of each element so far, who has ended and why, and every score, on the device.

    Each element has a place here. The rows that are being computed are those of some places, in
    any order (`put`). A place whose element has left can be `clear`ed for another one. `take` and
    `checked` change what is here in place and never ask the device, so that an iteration can be
    captured and replayed; and they ask for as few operations as they can, since on a GPU each of
    these takes about as long as the other, however few the rows are.

    Parameters
    ----------
    x
        What the rows are at first, each in the place of its number.
    last
        The last iteration that a row may have.
    """

    def __init__(self, x: torch.Tensor, last: int) -> None:
        batch = x.shape[0]
        self.stimulus = x.detach().clone()
        self.response: torch.Tensor | None = None
        self.score = torch.full((batch,), torch.nan, dtype=x.dtype, device=x.device)
        self.penalty = self.score.clone()
        self.loss = torch.full_like(self.score, torch.inf)
        self.iteration = torch.zeros(batch, dtype=torch.long, device=x.device)
        self.end = torch.zeros_like(self.iteration)
        self.code = torch.full_like(self.iteration, RUNNING)
        # Numbers that are chosen from, on the device: torch would put them there at each choice.
        self._codes = torch.arange(DONE + 1, device=x.device).unbind()
        self._zero, self._nan = x.new_zeros(()), x.new_full((), torch.nan)
        room = last + 1 if (last + 1) * batch <= _AT_ONCE else _AT_FIRST
        self._trace = torch.full((room, batch), torch.nan, dtype=x.dtype, device=x.device)
        self._traced = 0
        self.put(range(batch))

    def put(self, places: Sequence[int]) -> None:
        """Say which places the rows have from now on."""
        self.places = tuple(places)
        self._rows = torch.tensor(self.places, dtype=torch.long, device=self.code.device)
        self._is_all = self.places == tuple(range(len(self.code)))

    def clear(self, places: Sequence[int], starts: torch.Tensor) -> None:
        """Begin anew at some places, with elements that start there."""
        where = torch.tensor(places, dtype=torch.long, device=self.code.device)
        self.stimulus[where] = starts
        if self.response is not None:
            self.response[where] = torch.nan
        self._trace[:, where] = torch.nan
        for tensor, value in (
            (self.score, torch.nan),
            (self.penalty, torch.nan),
            (self.loss, torch.inf),
            (self.iteration, 0),
            (self.end, 0),
            (self.code, RUNNING),
        ):
            tensor[where] = value

    def reach(self, iteration: int) -> bool:
        """Make room for the scores of an iteration; tell whether they are in another place now."""
        self._traced = max(self._traced, iteration + 1)
        if iteration < len(self._trace):
            return False
        self._trace = torch.cat([self._trace, torch.full_like(self._trace, torch.nan)])
        return True

    def take(
        self, own: torch.Tensor, x: torch.Tensor, now: Losses, patience: Patience, last: int
    ) -> None:
        """Take an iteration, the `own` one of each row, that was `reach`ed.

        A row ends with a score that is not finite, when its patience is spent, and with its `last`
        iteration.
        """
        with torch.no_grad():
            running = self._of_rows(self.code) == RUNNING
            finite = _is_finite(now.loss)
            better = running & finite
            better &= now.loss < self._of_rows(self.loss)
            self._replace("stimulus", better, x.detach())
            self._replace("score", better, now.score)
            self._replace("penalty", better, now.penalty)
            self._replace("loss", better, now.loss)
            self._replace("iteration", better, own)
            if now.response is not None:
                if self.response is None:
                    self.response = torch.full(
                        (len(self.code), now.response.shape[1]), torch.nan, device=x.device
                    ).to(now.response.dtype)
                self._replace("response", better, now.response)
            score = now.score.to(self._trace.dtype)
            self._trace[own, self._rows] = torch.where(running, score, self._nan)
            code = torch.where(own >= last, self._codes[DONE], self._codes[RUNNING])
            spent = patience.spent(now.loss)
            if spent is not None:
                code = torch.where(spent, self._codes[SPENT], code)
            self._end(own, running, torch.where(finite, code, self._codes[BAD_SCORE]))

    def checked(self, own: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """End the rows whose gradient is not finite, and return a gradient that is."""
        # The largest of all is NaN where one is.
        largest = torch.linalg.vector_norm(gradient.flatten(1), ord=torch.inf, dim=1)
        moving = _is_finite(largest)
        code = torch.where(moving, self._codes[RUNNING], self._codes[BAD_GRADIENT])
        self._end(own, self._of_rows(self.code) == RUNNING, code)
        moving = moving.view(-1, *[1] * (gradient.ndim - 1))
        return torch.where(moving, gradient, self._zero.to(gradient.dtype))

    def _end(self, own: torch.Tensor, running: torch.Tensor, code: torch.Tensor) -> None:
        ends = running & (code != RUNNING)
        self._replace("code", ends, code)
        self._replace("end", ends, own)

    def ended(self) -> torch.Tensor:
        """Return which of the rows have ended."""
        return self._of_rows(self.code) != RUNNING

    def trace(self) -> torch.Tensor:
        """Return every score so far, ``(iteration, place)``."""
        return self._trace[: self._traced]

    def at(self, places: Sequence[int]) -> Best:
        """Return a copy on the CPU of what is kept at some places."""
        where = torch.tensor(places, dtype=torch.long, device=self.code.device)
        return Best(
            stimulus=self.stimulus[where].cpu(),
            score=self.score[where].cpu(),
            penalty=self.penalty[where].cpu(),
            iteration=self.iteration[where].cpu(),
            end=self.end[where].cpu(),
            code=self.code[where].cpu(),
            response=None if self.response is None else self.response[where].cpu(),
            trace=self.trace()[:, where].cpu(),
        )

    def _of_rows(self, whole: torch.Tensor) -> torch.Tensor:
        return whole if self._is_all else whole[self._rows]

    def _replace(self, name: str, where: torch.Tensor, value: torch.Tensor) -> None:
        whole = getattr(self, name)
        value = value.to(whole.dtype)
        mask = where.view(-1, *[1] * (value.ndim - 1))
        if self._is_all:
            torch.where(mask, value, whole, out=whole)
        else:
            whole[self._rows] = torch.where(mask, value, whole[self._rows])


def _is_finite(values: torch.Tensor) -> torch.Tensor:
    """Return what `torch.isfinite` does, in two operations instead of five."""
    return (values - values) == 0
