"""The stimuli that are optimised now, row by row, and the optimizers that move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

OptimizerInit = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


class Rows:
    """Stimuli of which each may have begun at another time, and leaves when it has ended.

    A torch optimizer counts its steps for all rows at once, as Adam does. So rows that entered
    together have an optimizer of their own; where two have come to the same settings and the same
    count, and differ in nothing but what they hold of each row, one takes over from both.

    Parameters
    ----------
    make
        Makes a torch optimizer for a list with one tensor.
    starts
        ``(row, channel, time, height, width)``.
    captured
        Whether steps may be captured, for which an optimizer such as Adam has to keep its count of
        them on the device.
    """

    def __init__(
        self, make: OptimizerInit, starts: torch.Tensor, *, captured: bool = False
    ) -> None:
        self._make, self._captured = make, captured
        self._build(starts, [_Course(len(starts))])

    def __len__(self) -> int:
        return len(self.x)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """One of the optimizers, which all have been made alike."""
        return self._parts[0].optimizer

    @property
    def optimizers(self) -> int:
        """How many there are."""
        return len(self._parts)

    def move(self, gradient: torch.Tensor, project: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Take a step along the gradient, and project."""
        self.move_uncounted(gradient, project)
        self.count()

    def move_uncounted(
        self, gradient: torch.Tensor, project: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """Take a step in place, with nothing but operations of torch."""
        first = 0
        for part in self._parts:
            last = first + len(part.x)
            part.x.grad = gradient[first:last]
            part.optimizer.step()
            first = last
        with torch.no_grad():
            self.x.copy_(project(self.x.detach()))

    def count(self) -> None:
        """Count a step, as one that was replayed."""
        for part in self._parts:
            part.steps += 1

    def keep(self, going: Sequence[int]) -> None:
        """Go on with some of the rows, in their order."""
        courses, first = [], 0
        for part in self._parts:
            last = first + len(part.x)
            own = [row - first for row in going if first <= row < last]
            if own:
                courses.append(part.course(own))
            first = last
        self._build(self.x.detach()[list(going)], courses)

    def enter(self, starts: torch.Tensor) -> None:
        """Take in further rows, after those that are there."""
        courses: list[_Course] = []
        for part in self._parts:
            course = part.course(range(len(part.x)))
            joined = courses[-1].joined(course) if courses else None
            courses[-1:] = [joined] if joined is not None else [*courses[-1:], course]
        courses.append(_Course(len(starts)))
        self._build(torch.cat([self.x.detach(), starts]), courses)

    def _build(self, x: torch.Tensor, courses: Sequence[_Course]) -> None:
        x = x.detach().contiguous()
        self.x = x.requires_grad_(True)
        self._parts = []
        first = 0
        for course in courses:
            # The optimizers move views of the one tensor that the model is asked about.
            view = x.detach()[first : first + course.rows].requires_grad_(True)
            self._parts.append(course.part(view, self._optimizer(view)))
            first += course.rows

    def _optimizer(self, x: torch.Tensor) -> torch.optim.Optimizer:
        optimizer = self._make([x])
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer_init_fn: expected it to make a torch optimizer, got {optimizer!r}"
            )
        if isinstance(optimizer, torch.optim.LBFGS):
            raise TypeError(
                "optimizer_init_fn: LBFGS mixes the elements of a batch; use one that treats all "
                "values apart, such as torch.optim.Adam"
            )
        if self._captured and x.device.type == "cuda":
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = True
            # The first steps are not captured, and torch would warn of each new optimizer.
            optimizer._warned_capturable_if_run_uncaptured = True
        return optimizer


@dataclass
class _Part:
    """Rows with an optimizer of their own."""

    x: torch.Tensor
    optimizer: torch.optim.Optimizer
    steps: int

    def course(self, rows: Sequence[int]) -> _Course:
        """Return how far the optimizer is with some of its rows."""
        shared: dict[str, Any] = {}
        of_rows: dict[str, torch.Tensor] = {}
        for key, value in self.optimizer.state.get(self.x, {}).items():
            if isinstance(value, torch.Tensor) and value.shape == self.x.shape:
                of_rows[key] = value[list(rows)]
            else:
                shared[key] = value
        (group,) = self.optimizer.param_groups
        settings = {key: value for key, value in group.items() if key != "params"}
        return _Course(len(rows), self.steps, settings, shared, of_rows)


@dataclass
class _Course:
    """How far an optimizer is: its settings now, and what it remembers."""

    rows: int
    steps: int = 0
    settings: dict[str, Any] | None = None
    shared: dict[str, Any] | None = None
    of_rows: dict[str, torch.Tensor] | None = None

    def part(self, x: torch.Tensor, optimizer: torch.optim.Optimizer) -> _Part:
        """Set a new optimizer of `x` to where this is."""
        (group,) = optimizer.param_groups
        group.update(self.settings or {})
        remembered = {**(self.shared or {}), **(self.of_rows or {})}
        if remembered:
            optimizer.state[x].update(remembered)
        return _Part(x, optimizer, self.steps)

    def joined(self, other: _Course) -> _Course | None:
        """Return one for the rows of both, None where they differ in more than the rows."""
        mine, theirs = self.of_rows or {}, other.of_rows or {}
        # Before its first step an optimizer remembers nothing yet, and that is not the same.
        if not (self.steps and other.steps) or mine.keys() != theirs.keys():
            return None
        if not (_same(self.settings, other.settings) and _same(self.shared, other.shared)):
            return None
        rows = {key: torch.cat([mine[key], theirs[key]]) for key in mine}
        return _Course(self.rows + other.rows, self.steps, self.settings, self.shared, rows)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        alike = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
        return alike and torch.equal(a, b)
    return bool(a == b)
