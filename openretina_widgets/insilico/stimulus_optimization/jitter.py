"""A stimulus that is shifted a little in every iteration, so that no single place decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch

from openretina_widgets.insilico.stimulus_optimization.objective import Evaluation, evaluate
from openretina_widgets.models._checks import is_index


@dataclass(frozen=True)
class Jitter:
    """Shift the stimulus at random before the model sees it, anew in every iteration.

    The shift of an iteration follows from the seed and its number alone, counted for each element
    from its own start, so that a batch gives what its elements give alone. What comes in at an
    edge repeats the edge.

    Parameters
    ----------
    pixels
        Largest shift along height and width, less than either.
    frames
        Largest shift in time, less than the frames of the stimulus.
    seed
        Of the shifts.
    """

    pixels: int = 1
    frames: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("pixels", "frames", "seed"):
            value = getattr(self, name)
            if not is_index(value):
                raise TypeError(f"{name}: expected a whole number >= 0, got {value!r}")
            if value < 0:
                raise ValueError(f"{name}: expected a whole number >= 0, got {value!r}")
            object.__setattr__(self, name, int(value))
        if not self.pixels and not self.frames:
            raise ValueError("pixels, frames: a jitter of 0 pixels and 0 frames shifts nothing")

    def check_shape(self, shape: Sequence[int]) -> None:
        """Refuse stimuli of a shape ``(..., time, height, width)`` that a shift would empty.

        Raises
        ------
        ValueError
            If the largest shift leaves nothing of the stimulus but a repeated edge.
        """
        time, height, width = shape[-3:]
        if self.pixels >= min(height, width):
            raise ValueError(
                f"jitter: a shift of {self.pixels} pixels takes everything out of a frame of "
                f"{height} × {width} pixels (height × width); expected pixels of at most "
                f"{min(height, width) - 1}"
            )
        if self.frames >= time:
            raise ValueError(
                f"jitter: a shift of {self.frames} frames takes everything out of a stimulus of "
                f"{time} frames; expected frames of at most {time - 1}"
            )

    def shift(self, iteration: int) -> tuple[int, int, int]:
        """Return the shift of an iteration: frames, then pixels along height and width."""
        draw = np.random.default_rng((self.seed, iteration))
        time, *space = (
            int(draw.integers(-most, most + 1)) for most in (self.frames, self.pixels, self.pixels)
        )
        return (time, *space)  # type: ignore[return-value]

    def forward(self, stimulus: torch.Tensor, iteration: int | Sequence[int]) -> torch.Tensor:
        """Return the stimulus as the model sees it in an iteration, that of each row or of all."""
        self.check_shape(stimulus.shape)
        each = iteration if isinstance(iteration, Sequence) else [iteration]
        shift_of = {one: self.shift(one) for one in set(each)}
        if len(shift_of) == 1:
            (one,) = shift_of.values()
            shifts = [(by,) for by in one]
        else:
            shifts = list(zip(*(shift_of[one] for one in each), strict=True))
        for axis, by in zip((2, 3, 4), shifts, strict=True):
            stimulus = _shifted(stimulus, axis, by)
        return stimulus


def _shifted(stimulus: torch.Tensor, axis: int, by: tuple[int, ...]) -> torch.Tensor:
    """Shift along an axis, every row by one number or each by its own."""
    if not any(by):
        return stimulus
    n = stimulus.shape[axis]
    places = torch.arange(n, device=stimulus.device) - torch.tensor(
        by, device=stimulus.device
    ).view(-1, 1)
    places = places.clamp(0, n - 1)
    if len(by) == 1:
        return stimulus.index_select(axis, places[0])
    shape = [1] * stimulus.ndim
    shape[0], shape[axis] = len(by), n
    return stimulus.gather(axis, places.view(shape).expand(stimulus.shape))


@dataclass(frozen=True)
class JitteredObjective:
    """Another objective, of the stimulus shifted by a `Jitter`.

    Only what the model sees is shifted: penalties and projections are those of the stimulus
    itself. In the result the best stimulus is that of the lowest loss under the shift of its own
    iteration, as in ``score_trace``; ``score`` and ``response`` are those without a shift.

    Attributes
    ----------
    objective
        Any objective.
    jitter
        The shifts.
    iteration
        Whose shift it is; of each row where they are at different ones.
    """

    objective: Any
    jitter: Jitter
    iteration: int | Sequence[int] = 0
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = False  # the shift is another one in each iteration

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "objective":
            raise AttributeError(name)
        return getattr(self.objective, name)  # its model, neurons, window and session

    def at(self, iterations: Sequence[int]) -> JitteredObjective:
        """Return the objective of rows that are at these iterations."""
        return replace(self, iteration=tuple(iterations))

    def unshifted(self) -> Any:
        """Return the objective of the stimulus as it is."""
        return self.objective

    def described(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the settings of the other objective, and the jitter's."""
        return {**describe(self.objective), "jitter": describe(self.jitter)}

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        return evaluate(self.objective, self.jitter.forward(stimulus, self.iteration))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def keep(self, elements: Sequence[int]) -> JitteredObjective:
        """Return the same objective for some elements of the batch."""
        keep = getattr(self.objective, "keep", None)
        return self if keep is None else replace(self, objective=keep(elements))


def jittered(objective: Any, jitter: Jitter) -> JitteredObjective:
    """Return an objective of the stimulus that is shifted in every iteration.

    Raises
    ------
    TypeError
        If `jitter` is no `Jitter`.
    """
    if not isinstance(jitter, Jitter):
        raise TypeError(
            "jitter: expected a Jitter, such as openretina_widgets.Jitter(pixels=1), got "
            f"{jitter!r}"
        )
    return JitteredObjective(objective, jitter)
