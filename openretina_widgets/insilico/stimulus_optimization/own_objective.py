"""A plain function as an objective, whose errors name their line."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    check_window,
    evaluate,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps
from openretina_widgets.insilico.stimulus_optimization.seeded import seeded
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model


class ObjectiveError(ValueError):
    """A function that was given as an objective failed; the message names the line."""


def name_of(function: Any) -> str:
    """Return what a function or an objective is called."""
    return str(getattr(function, "__name__", type(function).__name__))


def takes_response(function: Any) -> bool:
    """Tell whether a function asks for the response: its first parameter is called so."""
    if hasattr(function, "forward"):
        return False
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return names[:1] == ["response"]


@dataclass(frozen=True)
class OwnObjective:
    """An objective of the user's own.

    Attributes
    ----------
    function
        A function with a first parameter called ``response``, which is the response in the window,
        ``(time, neuron)``; or any other function of one stimulus
        ``(1, channel, time, height, width)``; each returns one number. Or an object with
        ``forward``, such as OpenRetina's objectives.
    frames
        First response frame that counts and the frame after the last.
    """

    model: RetinaModel
    function: Callable[..., Any]
    data_key: str
    frames: Window
    name: str
    batched: bool = field(default=True, init=False)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        if not takes_response(self.function):
            return self._tried(lambda: evaluate(self.function, stimulus))
        response = self.model(stimulus, data_key=self.data_key)
        start, stop = self.frames
        rows = [self._one(row[start:stop]) for row in response]
        return Evaluation(torch.stack(rows))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def window(self, time_steps: int) -> Window:
        """Return the response frames that count."""
        return check_window(self.frames, time_steps - self.model.lag)

    def _one(self, response: torch.Tensor) -> torch.Tensor:
        value = self._tried(lambda: self.function(response))
        if not isinstance(value, torch.Tensor):
            raise ObjectiveError(
                f"{self.name}: expected it to return a torch tensor of one number, got "
                f"{type(value).__name__}"
            )
        if value.numel() != 1:
            raise ObjectiveError(
                f"{self.name}: expected one number for one stimulus, got shape "
                f"{tuple(value.shape)}; reduce it, for instance with .mean()"
            )
        return value.reshape(())

    def _tried(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        # A user's function can raise anything, and what it was is in the message.
        except Exception as error:
            raise ObjectiveError(
                f"{self.name}: {type(error).__name__}: {error}{_where(error, self.function)}"
            ) from error


def own_objective_steps(
    model: RetinaModel | nn.Module,
    function: Callable[..., Any],
    *,
    data_key: str | None = None,
    **settings: Any,
) -> Steps:
    """Check the arguments and the function, and return the generator of the run's steps.

    The function is asked once beforehand, about a stimulus of noise.

    Parameters
    ----------
    model, data_key
        A `RetinaModel`, or a live OpenRetina model, and its session, the first one for None.
    function
        See `OwnObjective`.
    **settings
        ``seed``, ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Raises
    ------
    ObjectiveError
        If the function fails, or does not answer with one number that depends on the stimulus.
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    if not callable(function) and not hasattr(function, "forward"):
        raise TypeError(
            "objective: expected a function of the response or of the stimulus, or an object with "
            f"forward(stimulus), got {function!r}"
        )
    face = as_retina_model(model)
    session = face.session(data_key)
    made: list[OwnObjective] = []

    def objective_of(seeds: int, frames: Window) -> OwnObjective:
        made.append(OwnObjective(face, function, session, frames, name_of(function)))
        return made[0]

    prepared = seeded(face, objective_of, 1, **settings)
    with frozen(face), torch.inference_mode(False), torch.enable_grad():
        score = made[0].forward(prepared.starts([0]).requires_grad_(True))
    if not score.requires_grad:
        raise ObjectiveError(
            f"{name_of(function)}: its value does not depend on the stimulus by torch operations, "
            "so there is no gradient to follow"
        )
    return prepared.steps()


def _where(error: BaseException, function: Any) -> str:
    """Return the line of the user's code in which an error came up."""
    act = getattr(function, "forward", function)
    code = getattr(act, "__code__", None)
    if code is None:
        return ""
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if one.filename == code.co_filename
    ]
    if not frames:
        return ""
    number = frames[-1].lineno or 0
    text = linecache.getline(code.co_filename, number).strip()
    return f"; in line {number}" + (f": {text}" if text else "")
