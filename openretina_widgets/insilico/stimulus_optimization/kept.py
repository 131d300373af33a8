"""What is kept of a run while it goes on: the best of each element, and why it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from openretina_widgets.insilico.stimulus_optimization.piecewise import Losses

# Why an element has ended, as kept on the device while the run goes on.
RUNNING, SPENT, BAD_SCORE, BAD_GRADIENT, DONE = 0, 1, 2, 3, 4


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
    any order (`put`). A place whose element has left can be `clear`ed for another one. `take`,
    `done` and `checked` change what is here in place and never ask the device, so that an
    iteration can be captured and replayed.
    """

    def __init__(self, x: torch.Tensor) -> None:
        batch = x.shape[0]
        self.stimulus = x.detach().clone()
        self.response: torch.Tensor | None = None
        self.score = torch.full((batch,), torch.nan, dtype=x.dtype, device=x.device)
        self.penalty = self.score.clone()
        self.loss = torch.full_like(self.score, torch.inf)
        self.iteration = torch.zeros(batch, dtype=torch.long, device=x.device)
        self.end = torch.zeros_like(self.iteration)
        self.code = torch.full_like(self.iteration, RUNNING)
        self._trace = torch.full((256, batch), torch.nan, dtype=x.dtype, device=x.device)
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

    def take(self, own: torch.Tensor, x: torch.Tensor, now: Losses, patience: Patience) -> None:
        """Take an iteration, the `own` one of each row, that was `reach`ed."""
        with torch.no_grad():
            rows = self._rows
            running = self.code[rows] == RUNNING
            finite = torch.isfinite(now.loss)
            better = running & finite & (now.loss < self.loss[rows])
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
            self._trace[own, rows] = torch.where(
                running, now.score.to(self._trace.dtype), torch.nan
            )
            spent = patience.spent(now.loss)
            code = torch.where(finite, torch.where(spent, SPENT, RUNNING), BAD_SCORE)
            self._end(own, code)

    def done(self, own: torch.Tensor, last: int) -> None:
        """End the rows that have had their last iteration."""
        self._end(own, torch.where(own >= last, DONE, RUNNING))

    def checked(self, own: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """End the rows whose gradient is not finite, and return a gradient that is."""
        # The largest of all is NaN where one is, and this is the quickest way to ask.
        bad = ~torch.isfinite(gradient.flatten(1).abs().amax(dim=1))
        self._end(own, torch.where(bad, BAD_GRADIENT, RUNNING))
        return torch.where(bad.view(-1, *[1] * (gradient.ndim - 1)), 0.0, gradient)

    def ended(self) -> torch.Tensor:
        """Return which of the rows have ended."""
        return self.code[self._rows] != RUNNING

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

    def _end(self, own: torch.Tensor, code: torch.Tensor) -> None:
        ends = ~self.ended() & (code != RUNNING)
        self._replace("code", ends, code)
        self._replace("end", ends, own)

    def _replace(self, name: str, where: torch.Tensor, value: torch.Tensor) -> None:
        whole = getattr(self, name)
        value = value.to(whole.dtype)
        mask = where.view(-1, *[1] * (value.ndim - 1))
        if self._is_all:
            torch.where(mask, value, whole, out=whole)
        else:
            whole[self._rows] = torch.where(mask, value, whole[self._rows])
