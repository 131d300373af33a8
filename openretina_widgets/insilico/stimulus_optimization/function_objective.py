"""What a plain function of the stimulus likes best."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import nn

from openretina_widgets.errors import ObjectiveFailed
from openretina_widgets.insilico.metering import is_out_of_memory
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    _one_score,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import (
    StimulusShape,
    check_settings,
    seeded,
)
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Score = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FunctionObjective:
    """Maximise a plain function of the stimulus.

    Attributes
    ----------
    function
        Maps a stimulus ``(1, channel, time, height, width)`` to one number, or with `whole_batch`
        a batch ``(batch, …)`` to ``(batch,)``, with torch operations alone.
    model
        Held frozen while the objective is optimised; None where none is known.
    data_key
        Session that the model is asked for.
    whole_batch
        Whether the function takes a batch at once, which is faster.
    """

    function: Score
    model: RetinaModel | None = None
    data_key: str | None = None
    whole_batch: bool = False
    batched: bool = field(default=True, init=False)

    def described(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the settings as plain values: of the function its name."""
        return {
            "type": type(self).__name__,
            "function": _name(self.function),
            "data_key": self.data_key,
            "whole_batch": self.whole_batch,
        }

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``.

        Raises
        ------
        ObjectiveFailed
            If the function raises; the message says what, and in which line.
        TypeError, ValueError
            If it gives something else than one number a stimulus, or one without a gradient.
        """
        if self.whole_batch:
            score = self._asked(stimulus)
            if not isinstance(score, torch.Tensor) or score.shape != stimulus.shape[:1]:
                got = tuple(score.shape) if isinstance(score, torch.Tensor) else repr(score)
                raise ValueError(
                    f"function: expected {len(stimulus)} scores for a batch of {len(stimulus)}, "
                    f"got {got}"
                )
        else:
            rows = [_one_score(self._asked(one), "function") for one in stimulus.split(1)]
            score = torch.stack(rows)
        if stimulus.requires_grad and torch.is_grad_enabled() and not score.requires_grad:
            raise ValueError(
                "function: torch sees no way from the stimulus to its score; compute the score "
                "with torch operations alone, without detach(), item(), numpy() or no_grad()"
            )
        return Evaluation(score)

    def _asked(self, stimulus: torch.Tensor) -> torch.Tensor:
        try:
            return self.function(stimulus)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise  # fewer rows may do
        except Exception as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            raise ObjectiveFailed(
                f"function: {_name(self.function)} raised {type(error).__name__}: {error}"
                f"{_place(self.function, error.__traceback__)}"
            ) from error

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def keep(self, elements: Sequence[int]) -> FunctionObjective:
        """Return the same objective: it is that of every element."""
        return self


def optimize_function(
    function: Score,
    model: RetinaModel | nn.Module | Sequence[int],
    **settings: Any,
) -> OptimizationResult:
    """Find the stimulus that a plain function likes best.

    Settings, errors and result are those of `function_steps`. The elements of the result are the
    seeds.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> def contrast_of_two(stimulus):
    ...     response = model(stimulus)[0].mean(dim=0)
    ...     return response[3] - response[7]
    >>> result = optimize_function(contrast_of_two, model, seed=[0, 1])
    """
    check_settings("optimize_function", settings, function_steps, seeded)
    return drain(function_steps(function, model, **settings))


def function_steps(
    function: Score,
    model: RetinaModel | nn.Module | Sequence[int],
    *,
    whole_batch: bool = False,
    data_key: str | None = None,
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    The function is asked once before the run, so that what is wrong with it is said at once.

    Parameters
    ----------
    function
        Maps a stimulus ``(1, channel, time, height, width)`` to one number that is to be
        maximised, with torch operations alone.
    model
        The model behind the function: it is held frozen in eval mode for the run, and gives the
        stimulus its shape, range, norm and device. Where there is none,
        ``(channel, height, width)``.
    whole_batch
        True where the function maps a batch ``(batch, …)`` to ``(batch,)``, which is faster. The
        scores have to be independent of each other.
    data_key
        Session of the model that the function asks, the first one for None.
    **settings
        ``seed``, ``time_steps``, and what else `neuron_steps` takes. There is no ``window``: which
        frames count is the function's own matter.

    Returns
    -------
    generator
        See `optimization_steps`.

    Raises
    ------
    ObjectiveFailed
        If the function raises; the message says what, and in which line.
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("function_steps", settings, function_steps, seeded)
    if not callable(function):
        raise TypeError(f"function: expected a function of the stimulus, got {function!r}")
    if settings.get("window") is not None:
        raise ValueError(
            "window: which frames count is the function's own matter; take the mean over them in it"
        )
    shape = _shape(model)
    if isinstance(shape, RetinaModel):
        objective = FunctionObjective(function, shape, shape.session(data_key), whole_batch)
    elif data_key is not None:
        raise ValueError(f"data_key: there are no sessions without a model, got {data_key!r}")
    else:
        objective = FunctionObjective(function, None, None, whole_batch)

    def objective_of(seeds: int, frames: Window) -> FunctionObjective:
        return objective

    prepared = seeded(shape, objective_of, 1, **settings)
    run = prepared.run(range(prepared.total))
    _try(objective, torch.randn(prepared.shape).to(run.start))
    return run.steps()


@torch.inference_mode(False)
@torch.enable_grad()
def _try(objective: FunctionObjective, stimulus: torch.Tensor) -> None:
    """Ask the function once."""
    stimulus = (0.1 * stimulus).requires_grad_(True)
    if objective.model is None:
        objective.evaluate(stimulus)
        return
    with frozen(objective.model):
        objective.evaluate(stimulus)


def _shape(model: Any) -> RetinaModel | StimulusShape:
    if isinstance(model, nn.Module):
        return as_retina_model(model)
    numbers = isinstance(model, Sequence) and not isinstance(model, str)
    if numbers and len(model) == 3 and all(is_index(one) and one > 0 for one in model):
        channel, height, width = map(int, model)
        return StimulusShape((channel, height, width))
    raise TypeError(
        "model: expected a model, or three whole numbers (channel, height, width) >= 1, got "
        f"{model!r}"
    )


def _name(function: Any) -> str:
    inner = getattr(function, "func", function)  # of a functools.partial
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _place(function: Any, traceback: TracebackType | None) -> str:
    """Return the line of the function's own code that an error came from, in words."""
    inner = getattr(function, "func", function)
    called = inner.forward if isinstance(inner, nn.Module) else inner
    code = getattr(called, "__code__", None) or getattr(type(called).__call__, "__code__", None)
    line = None
    while traceback is not None:
        frame = traceback.tb_frame
        if code is not None and frame.f_code.co_filename == code.co_filename:
            line = (traceback.tb_lineno, frame)
        traceback = traceback.tb_next
    if line is None:
        return ""
    number, frame = line
    text = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
    return f", in line {number}" + (f": {text}" if text else "")
