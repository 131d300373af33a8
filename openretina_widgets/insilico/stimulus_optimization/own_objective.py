"""A plain function as an objective, whose errors name their line."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any

import torch
from torch import nn

from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    check_window,
    evaluate,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
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


class OwnFunction:
    """A function, which prints as its code where that stands on its own, else as its name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.takes_response = takes_response(function)

    def __call__(self, given: torch.Tensor) -> Any:
        """Ask the function."""
        return self.function(given)

    def __repr__(self) -> str:
        return source_of(self.function) or name_of(self.function)


def source_of(function: Any) -> str:
    """Return the code of a function with its imports, "" where it uses more than that."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars or not str(function.__name__).isidentifier():
        return ""
    try:
        text = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        return ""
    if not text.startswith("def "):  # it has a decorator, or is no function of one's own
        return ""
    names = _names_in(code) | {
        node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)
    }
    imports = []
    for name in sorted(names & set(function.__globals__)):
        value = function.__globals__[name]
        if not isinstance(value, ModuleType):
            return ""
        alias = "" if name == value.__name__ else f" as {name}"
        imports.append(f"import {value.__name__}{alias}")
    return "\n".join([*imports, *([""] * 2 if imports else []), text])


def _names_in(code: CodeType) -> set[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


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
    function: OwnFunction
    data_key: str
    frames: Window
    name: str
    batched: bool = field(default=True, init=False)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        if not self.function.takes_response:
            return self._tried(lambda: evaluate(self.function.function, stimulus))
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
            where = _where(error, self.function.function)
            raise ObjectiveError(f"{self.name}: {type(error).__name__}: {error}{where}") from error


def optimize_own(
    model: RetinaModel | nn.Module, objective: Callable[..., Any], **settings: Any
) -> OptimizationResult:
    """Find the stimulus that a function of one's own likes best.

    Settings, errors and result are those of `own_objective_steps`. The elements of the result are
    the seeds.

    Examples
    --------
    >>> def contrast(response):  # (time, neuron), in the window
    ...     return response[:, 3].mean() - response[:, 5].mean()
    >>> result = optimize_own(load_model("synthetic"), contrast, seed=0)
    """
    check_settings("optimize_own", settings, own_objective_steps, seeded)
    return drain(own_objective_steps(model, objective, **settings))


def own_objective_steps(
    model: RetinaModel | nn.Module,
    objective: Callable[..., Any],
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
    objective
        A function, or an object with ``forward``: see `OwnObjective`.
    **settings
        ``seed``, ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Raises
    ------
    ObjectiveError
        If the function fails, or does not answer with one number that depends on the stimulus.
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    if not callable(objective) and not hasattr(objective, "forward"):
        raise TypeError(
            "objective: expected a function of the response or of the stimulus, or an object with "
            f"forward(stimulus), got {objective!r}"
        )
    face = as_retina_model(model)
    session = face.session(data_key)
    made: list[OwnObjective] = []

    def objective_of(seeds: int, frames: Window) -> OwnObjective:
        made.append(OwnObjective(face, OwnFunction(objective), session, frames, name_of(objective)))
        return made[0]

    prepared = seeded(face, objective_of, 1, **settings)
    with frozen(face), torch.inference_mode(False), torch.enable_grad():
        score = made[0].forward(prepared.starts([0]).requires_grad_(True))
    if not score.requires_grad:
        raise ObjectiveError(
            f"{name_of(objective)}: its value does not depend on the stimulus by torch operations, "
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
