"""What is kept of a run while it goes on: the best of each element, and why it has ended."""

from __future__ import annotations

import torch

from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience

# Why an element has ended, as kept on the device while the run goes on.
RUNNING, SPENT, BAD_SCORE, BAD_GRADIENT = 0, 1, 2, 3


class Kept:
    """The best of each element so far, who has ended and why, and every score, on the device."""

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

    def take(
        self,
        iteration: int,
        rows: torch.Tensor,
        x: torch.Tensor,
        score: torch.Tensor,
        penalty: torch.Tensor,
        loss: torch.Tensor,
        response: torch.Tensor | None,
        patience: Patience,
    ) -> None:
        """Take one iteration of the elements `rows`."""
        with torch.no_grad():
            running = self.code[rows] == RUNNING
            finite = torch.isfinite(loss)
            better = running & finite & (loss < self.loss[rows])
            self._replace("stimulus", rows, better, x.detach())
            self._replace("score", rows, better, score.detach())
            self._replace("penalty", rows, better, penalty.detach())
            self._replace("loss", rows, better, loss.detach())
            self._replace("iteration", rows, better, torch.full_like(rows, iteration))
            if response is not None:
                if self.response is None:
                    self.response = torch.full(
                        (len(self.code), response.shape[1]), torch.nan, device=x.device
                    ).to(response.dtype)
                self._replace("response", rows, better, response)
            self._extend(iteration)
            self._trace[iteration, rows] = torch.where(
                running, score.detach().to(self._trace.dtype), torch.nan
            )
            spent = patience.spent(loss.detach())
            code = torch.where(finite, torch.where(spent, SPENT, RUNNING), BAD_SCORE)
            self._end(iteration, rows, running, code)

    def checked(self, iteration: int, rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """End the elements whose gradient is not finite, and return a gradient that is."""
        bad = ~torch.isfinite(gradient).flatten(1).all(dim=1)
        running = self.code[rows] == RUNNING
        self._end(iteration, rows, running, torch.where(bad, BAD_GRADIENT, RUNNING))
        return gradient.masked_fill(bad.view(-1, *[1] * (gradient.ndim - 1)), 0.0)

    def ended(self, rows: torch.Tensor) -> torch.Tensor:
        """Return which of the elements `rows` have ended."""
        return self.code[rows] != RUNNING

    def trace(self) -> torch.Tensor:
        """Return every score so far, ``(iteration, batch)``."""
        return self._trace[: self._traced]

    def _end(
        self, iteration: int, rows: torch.Tensor, running: torch.Tensor, code: torch.Tensor
    ) -> None:
        ends = running & (code != RUNNING)
        self._replace("code", rows, ends, code)
        self._replace("end", rows, ends, torch.full_like(rows, iteration))

    def _replace(
        self, name: str, rows: torch.Tensor, where: torch.Tensor, value: torch.Tensor
    ) -> None:
        whole = getattr(self, name)
        value = value.to(whole.dtype)
        mask = where.view(-1, *[1] * (value.ndim - 1))
        if len(rows) == len(whole):
            torch.where(mask, value, whole, out=whole)
        else:
            whole[rows] = torch.where(mask, value, whole[rows])

    def _extend(self, iteration: int) -> None:
        if iteration >= len(self._trace):
            self._trace = torch.cat([self._trace, torch.full_like(self._trace, torch.nan)])
        self._traced = iteration + 1
