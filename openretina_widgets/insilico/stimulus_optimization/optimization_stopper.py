"""When to stop, and why."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class OptimizationStopper:
    """Stop after a number of iterations, or when the loss no longer improves.

    Parameters
    ----------
    max_iterations
        Most updates of the stimulus; None for no such end.
    patience
        Stop after so many iterations in a row without improvement, a flat plateau included;
        None to go on regardless.
    min_delta
        The loss must fall by more than this to count as improved.
    """

    max_iterations: int | None = 200
    patience: int | None = None
    min_delta: float = 0.0
    _best: float = field(default=float("inf"), init=False, repr=False, compare=False)
    _waited: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("max_iterations", "patience"):
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < 1):
                raise ValueError(f"{name}: expected a whole number >= 1 or None, got {value!r}")
        if not self.min_delta >= 0:
            raise ValueError(f"min_delta: expected a number >= 0, got {self.min_delta!r}")

    def early_stop(self, loss: float) -> bool:
        """Take the loss of the next iteration; return whether the patience is spent."""
        if loss < self._best - self.min_delta:
            self._best, self._waited = loss, 0
        else:
            self._waited += 1
        return self.patience is not None and self._waited >= self.patience


class Patience:
    """The stopper's rule for a whole batch, on the device of the loss.

    Parameters
    ----------
    stopper
        An `OptimizationStopper`, or any object with ``early_stop(loss) -> bool``, of which each
        element of the batch gets its own copy.
    batch
        Number of elements.
    like
        Tensor whose device and type are used.
    """

    def __init__(self, stopper: Any, batch: int, like: torch.Tensor) -> None:
        own = getattr(type(stopper), "early_stop", None) is OptimizationStopper.early_stop
        self._fresh = stopper if own else copy.deepcopy(stopper)
        self._stoppers = [] if own else [copy.deepcopy(stopper) for _ in range(batch)]
        self.limit: int | None = stopper.patience if own else None
        self._min_delta = stopper.min_delta if own else 0.0
        self._best = torch.full((batch,), torch.inf, dtype=like.dtype, device=like.device)
        self._waited = torch.zeros(batch, dtype=torch.long, device=like.device)

    @property
    def asks_the_host(self) -> bool:
        """Whether the losses have to come to the host for the rule."""
        return bool(self._stoppers)

    @property
    def reason(self) -> str:
        """Why an element stops here."""
        if self._stoppers:
            return f"{type(self._stoppers[0]).__name__} stopped it"
        return f"no improvement in {self.limit} iterations"

    def spent(self, loss: torch.Tensor) -> torch.Tensor | None:
        """Take the losses ``(batch,)`` of an iteration; return which elements are to stop.

        None where the rule stops nobody.
        """
        if self._stoppers:
            losses = loss.tolist()
            flags = [s.early_stop(value) for s, value in zip(self._stoppers, losses, strict=True)]
            return torch.tensor(flags, device=loss.device)
        if self.limit is None:
            return None
        loss = loss.to(self._best.dtype)
        improved = loss < self._best - self._min_delta
        # In place, as all that a captured iteration goes on with.
        torch.where(improved, loss, self._best, out=self._best)
        self._waited.add_(1).masked_fill_(improved, 0)
        return self._waited >= self.limit

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with some elements of the batch."""
        if self._stoppers:
            self._stoppers = [self._stoppers[row] for row in rows.tolist()]
        self._best, self._waited = self._best[rows], self._waited[rows]

    def enter(self, number: int) -> None:
        """Take in further elements, after those that are there."""
        if self._stoppers:
            self._stoppers += [copy.deepcopy(self._fresh) for _ in range(number)]
        self._best = torch.cat([self._best, self._best.new_full((number,), torch.inf)])
        self._waited = torch.cat([self._waited, self._waited.new_zeros(number)])
