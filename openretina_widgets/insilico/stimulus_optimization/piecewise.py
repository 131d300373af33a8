"""Losses and their gradients, of as many rows at once as the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.compute import memory_in_words
from openretina_widgets.insilico.metering import is_out_of_memory
from openretina_widgets.insilico.stimulus_optimization.objective import evaluate
from openretina_widgets.insilico.stimulus_optimization.regularizer import penalty_of


@dataclass(frozen=True)
class Losses:
    """What an iteration has computed of its rows; nothing here refers to the graph any more."""

    score: torch.Tensor
    penalty: torch.Tensor
    loss: torch.Tensor
    response: torch.Tensor | None
    gradient: torch.Tensor | None


class Piecewise:
    """Computes the losses of rows, in pieces where that was found to need too much memory.

    Parameters
    ----------
    objective, regularizers
        Of the whole batch.
    halves
        Whether to go on with half as many rows at once when the memory does not suffice.
    """

    def __init__(self, objective: Any, regularizers: Sequence[Any], *, halves: bool) -> None:
        self._whole, self._objective = objective, objective
        self._regularizers = tuple(regularizers)
        self._halves = halves
        self._elements: tuple[int, ...] = ()
        self._pieces: list[tuple[slice, Any]] | None = None
        self.most: int | None = None  # rows at once, None for all
        self._captured = False

    def put(self, elements: Sequence[int], *, all_of_them: bool = False) -> None:
        """Say which elements the rows are from now on."""
        self._elements = tuple(elements)
        self._pieces = None
        self._objective = self._whole if all_of_them else self._keep(self._elements)

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Compute as something that is captured: without a second attempt."""
        self._captured = True
        try:
            yield
        finally:
            self._captured = False

    def __call__(
        self,
        x: torch.Tensor,
        ages: Sequence[int],
        *,
        gradient: bool,
        between: Callable[[Losses], None] | None = None,
    ) -> Losses:
        """Return the losses of the rows `x`, and their gradient if it is wanted.

        Each row has its own of the `ages`, which is the iteration that it is at. In what is
        captured, `between` takes the losses before their gradient is computed.

        Raises
        ------
        OutOfMemory
            If the memory does not suffice, with `halves` not even for one row.
        """
        if self._captured:  # nothing else may be done then, and a lack of memory ends the capture
            return self._piece(_at(self._objective, ages), x, gradient, between)
        while True:
            rows = len(x) if self.most is None else min(self.most, len(x))
            try:
                with memory_in_words(rows, x.device):
                    return self._all(x, ages, gradient)
            except (OutOfMemory, RuntimeError) as error:
                short = isinstance(error, OutOfMemory) or is_out_of_memory(error)
                if not (short and self._halves and rows > 1):
                    raise
            # Here nothing refers to the tensors of the failed attempt any more.
            self.most, self._pieces = rows // 2, None

    def _all(self, x: torch.Tensor, ages: Sequence[int], gradient: bool) -> Losses:
        if self.most is None or len(x) <= self.most:
            return self._piece(_at(self._objective, ages), x, gradient)
        if self._pieces is None:
            cuts = [
                slice(first, first + self.most)
                for first in range(0, len(self._elements), self.most)
            ]
            self._pieces = [(cut, self._keep(self._elements[cut])) for cut in cuts]
        parts = [
            self._piece(_at(objective, ages[cut]), x.detach()[cut].requires_grad_(True), gradient)
            for cut, objective in self._pieces
        ]
        return Losses(
            torch.cat([part.score for part in parts]),
            torch.cat([part.penalty for part in parts]),
            torch.cat([part.loss for part in parts]),
            _together([part.response for part in parts]),
            _together([part.gradient for part in parts]),
        )

    def _piece(
        self,
        objective: Any,
        x: torch.Tensor,
        wanted: bool,
        between: Callable[[Losses], None] | None = None,
    ) -> Losses:
        now = evaluate(objective, x)
        penalty = penalty_of(self._regularizers, x)
        loss = penalty - now.score
        losses = Losses(now.score.detach(), penalty.detach(), loss.detach(), now.response, None)
        if between is not None:
            between(losses)
        if not wanted:
            return losses
        # Without penalties the loss is the score with another sign.
        whole, sign = (loss, 1.0) if self._regularizers else (now.score, -1.0)
        return replace(losses, gradient=_gradient(now.score, whole, sign, x))

    def _keep(self, elements: Sequence[int]) -> Any:
        keep = getattr(self._whole, "keep", None)
        return self._whole if keep is None else keep(elements)


def _at(objective: Any, ages: Sequence[int]) -> Any:
    """Return the objective of rows at their iterations, where it differs from one to the next."""
    return objective.at(ages) if hasattr(objective, "at") else objective


def _together(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def _gradient(
    score: torch.Tensor, whole: torch.Tensor, sign: float, x: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of `sign` times the sum of `whole` with respect to the stimulus alone."""
    if score.requires_grad:
        each = torch.full_like(whole, sign)
        (gradient,) = torch.autograd.grad(whole, x, each, allow_unused=True)
        if gradient is not None:
            return gradient
    raise ValueError(
        "objective_object: torch sees no way from the stimulus to its score; compute the score "
        "with torch operations alone, without detach(), item(), numpy() or no_grad()"
    )
