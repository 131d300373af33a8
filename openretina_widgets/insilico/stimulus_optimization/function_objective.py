"""What a plain function of the response or of the stimulus likes best."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType, ModuleType, TracebackType
from typing import Any

import torch
from torch import nn

from openretina_widgets.errors import ObjectiveFailed
from openretina_widgets.insilico.metering import is_out_of_memory
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    _one_score,
    check_window,
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

_OF_RESPONSE = "response"
_OF_STIMULUS = (
    "stimulus",
    "stimuli",
    "stim",
    "movie",
    "movies",
    "video",
    "image",
    "images",
    "input",
    "x",
)
"""What the first parameter may be called. Any other name is refused: given the stimulus where the
response was meant, a function such as ``lambda r: r.mean()`` would be maximised without an error,
and the optimum would be a wrong one."""


@dataclass(frozen=True)
class FunctionObjective:
    """Maximise a plain function.

    Attributes
    ----------
    function
        The name of its first parameter says what it is given. ``response``: it maps the model's
        response in the window, ``(time, neuron)``, to one number. ``stimulus``, ``movie``, ``x``
        and the like: it maps a stimulus ``(1, channel, time, height, width)`` to one number. Other
        names are refused. With `whole_batch` it maps a batch of either to ``(batch,)``. An object
        with ``forward``, such as OpenRetina's objectives, is asked through that and given the
        stimulus, whatever it calls it; so is one that does not tell its parameters. Torch
        operations alone.
    model
        Held frozen while the objective is optimised; None where none is known.
    data_key
        Session that the model is asked for.
    whole_batch
        Whether the function takes a batch at once, which is faster.
    frames
        First response frame that a function of the response is given, and the frame after the
        last; None for all.
    """

    function: Score
    model: RetinaModel | None = None
    data_key: str | None = None
    whole_batch: bool = False
    frames: Window | None = None
    batched: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        _check_name(self.function)
        if self.model is None and self.takes_response:
            raise ValueError(
                "function: its first parameter is called 'response', and there is no model that "
                "would respond"
            )

    @property
    def takes_response(self) -> bool:
        """Whether the function asks for the response."""
        return takes_response(self.function)

    def described(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the settings as plain values: of the function its name, and its code."""
        return {
            "type": type(self).__name__,
            "name": name_of(self.function),
            "function": source_of(self.function) or name_of(self.function),
            "data_key": self.data_key,
            "whole_batch": self.whole_batch,
            "frames": None if self.frames is None else list(self.frames),
        }

    def window(self, time_steps: int) -> Window | None:
        """Return the response frames that count, where the function is given them."""
        if self.model is None or not self.takes_response:
            return None
        return check_window(self.frames, time_steps - self.model.lag)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``.

        Raises
        ------
        ObjectiveFailed
            If the function raises; the message says what, and in which line.
        TypeError, ValueError
            If it gives something else than one number a stimulus, or one without a gradient.
        """
        if self.takes_response and self.model is not None:
            start, stop = self.frames or (0, None)
            given = self.model(stimulus, data_key=self.data_key)[:, start:stop]
            rows = list(given)
        else:
            given, rows = stimulus, list(stimulus.split(1))
        if self.whole_batch:
            score = self._asked(given)
            if not isinstance(score, torch.Tensor) or score.shape != stimulus.shape[:1]:
                got = tuple(score.shape) if isinstance(score, torch.Tensor) else repr(score)
                raise ValueError(
                    f"function: expected {len(stimulus)} scores for a batch of {len(stimulus)}, "
                    f"got {got}"
                )
        else:
            score = torch.stack([_one_score(self._asked(one), "function") for one in rows])
        if stimulus.requires_grad and torch.is_grad_enabled() and not score.requires_grad:
            raise ValueError(
                "function: torch sees no way from the stimulus to its score; compute the score "
                "with torch operations alone, without detach(), item(), numpy() or no_grad()"
            )
        return Evaluation(score)

    def _asked(self, given: torch.Tensor) -> torch.Tensor:
        try:
            return _act(self.function)(given)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise  # fewer rows may do
        # A user's function can raise anything, and what it was is in the message.
        except Exception as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            raise ObjectiveFailed(
                f"function: {name_of(self.function)} raised {type(error).__name__}: {error}"
                f"{_place(self.function, error.__traceback__)}{self._what_was_given(given)}"
            ) from error

    def _what_was_given(self, given: torch.Tensor) -> str:
        """Return what the function worked on, in words: its error may come of a wrong idea."""
        name, shape = _first_parameter(self.function), tuple(given.shape)
        if not name:
            return ""
        if self.takes_response:
            axes = "batch, time, neuron" if self.whole_batch else "time, neuron"
            return f"; {name!r} was given the response {shape}: ({axes})"
        words = f"; {name!r} was given the stimulus {shape}: (batch, channel, time, height, width)"
        if self.model is None or hasattr(self.function, "forward"):
            return words
        return f"{words}; to get the response, name the parameter {_OF_RESPONSE!r}"

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def keep(self, elements: Sequence[int]) -> FunctionObjective:
        """Return the same objective: it is that of every element."""
        return self


def optimize_function(
    model: RetinaModel | nn.Module | Sequence[int],
    function: Score,
    **settings: Any,
) -> OptimizationResult:
    """Find the stimulus that a plain function likes best.

    **The name of the function's parameter says what it is given**: the model's response
    ``(time, neuron)`` where it is ``response``, the stimulus
    ``(1, channel, time, height, width)`` where it is ``stimulus``, ``movie`` or ``x``. Another name
    is refused, since a function of the one that is given the other may well have an optimum.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.function_steps`: ``whole_batch``,
    ``data_key``, and what `openretina_widgets.optimize_neurons` lists, from ``seed`` on. The
    elements of the result are the seeds.

    Examples
    --------
    >>> def difference(response):  # (time, neuron), in the window
    ...     return response[:, 3].mean() - response[:, 7].mean()
    >>> result = optimize_function(load_model("synthetic"), difference, seed=[0, 1])
    >>> def last_frame(stimulus):  # (1, channel, time, height, width)
    ...     return stimulus[:, 0, -1].mean()
    >>> result = optimize_function(load_model("synthetic"), last_frame)
    """
    check_settings("optimize_function", settings, function_steps, seeded)
    return drain(function_steps(model, function, **settings))


def function_steps(
    model: RetinaModel | nn.Module | Sequence[int],
    function: Score,
    *,
    whole_batch: bool = False,
    data_key: str | None = None,
    window: Window | None = None,
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    The function is asked once before the run, so that what is wrong with it is said at once.

    Parameters
    ----------
    model
        The model behind the function: it is held frozen in eval mode for the run, and gives the
        stimulus its shape, range, norm and device. Where there is none,
        ``(channel, height, width)``.
    function
        A function of the response where its first parameter is called ``response``, of the
        stimulus where it is called ``stimulus``, ``movie`` or ``x``, or an object with
        ``forward``, which is given the stimulus; see `FunctionObjective`.
    whole_batch
        True where the function takes a batch at once, which is faster. The scores have to be
        independent of each other.
    data_key
        Session of the model, the first one for None.
    window
        First frame of the response that the function is given, and the frame after the last; None
        for all. Not for functions of the stimulus, whose own matter that is.
    **settings
        ``seed``, ``time_steps``, and what else `neuron_steps` takes.

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
    if not callable(_act(function)):
        raise TypeError(
            "function: expected a function of the response or of the stimulus, or an object with "
            f"forward(stimulus), got {function!r}"
        )
    _check_name(function)
    if window is not None and not takes_response(function):
        raise ValueError(
            "window: a function of the stimulus is given all frames; take the mean over some in "
            "it, or call its first parameter 'response'"
        )
    shape = _shape(model)
    face = shape if isinstance(shape, RetinaModel) else None
    if face is None and data_key is not None:
        raise ValueError(f"data_key: there are no sessions without a model, got {data_key!r}")
    session = None if face is None else face.session(data_key)
    made: list[FunctionObjective] = []

    def objective_of(seeds: int, frames: Window) -> FunctionObjective:
        counted = frames if takes_response(function) else None
        made.append(FunctionObjective(function, face, session, whole_batch, counted))
        return made[0]

    prepared = seeded(shape, objective_of, 1, window=window, **settings)
    run = prepared.run(range(prepared.total))
    generator = torch.Generator().manual_seed(0)
    _try(made[0], 0.1 * torch.randn(prepared.shape, generator=generator).to(run.start))
    return run.steps()


@torch.inference_mode(False)
@torch.enable_grad()
def _try(objective: FunctionObjective, stimulus: torch.Tensor) -> None:
    """Ask the function once."""
    stimulus = stimulus.clone().requires_grad_(True)
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


def name_of(function: Any) -> str:
    """Return what a function or an objective is called."""
    inner = getattr(function, "func", function)  # of a functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def takes_response(function: Any) -> bool:
    """Tell whether a function asks for the response: its first parameter is called so."""
    return not hasattr(function, "forward") and _first_parameter(function) == _OF_RESPONSE


def _first_parameter(function: Any) -> str:
    """Return the name of the first parameter, "" where there is none or it is not told."""
    try:
        names = list(inspect.signature(_act(function)).parameters)
    except (TypeError, ValueError):  # of torch's own functions, for instance
        return ""
    return names[0] if names else ""


def _check_name(function: Any) -> None:
    """Refuse a function that does not say whether it wants the response or the stimulus."""
    name = _first_parameter(function)
    if hasattr(function, "forward") or name in ("", _OF_RESPONSE, *_OF_STIMULUS):
        return
    raise ValueError(
        f"function: {name_of(function)} calls its first parameter {name!r}, and the name has to "
        f"say what it is given: {_OF_RESPONSE!r} for the response (time, neuron), 'stimulus', "
        "'movie' or 'x' for the stimulus (1, channel, time, height, width)"
    )


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
    imports = []
    for name in sorted((_names_in(code) | _names_before(text)) & set(function.__globals__)):
        value = function.__globals__[name]
        if not isinstance(value, ModuleType):
            return ""
        alias = "" if name == value.__name__ else f" as {name}"
        imports.append(f"import {value.__name__}{alias}")
    return "\n".join([*imports, *([""] * 2 if imports else []), text])


def _names_in(code: CodeType) -> set[str]:
    """Return the global names that code reads; attributes and names of its own are none."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    own = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
    return own.union(*map(_names_in, inner))


def _names_before(text: str) -> set[str]:
    """Return the names in the defaults and annotations of a function."""
    (function,) = ast.parse(text).body
    arguments = function.args  # type: ignore[attr-defined]
    parts = [arguments, function.returns]  # type: ignore[attr-defined]
    names = (node for part in parts if part is not None for node in ast.walk(part))
    return {node.id for node in names if isinstance(node, ast.Name)}


def _act(function: Any) -> Any:
    """Return what is called: a module itself, so that its hooks are, and else its ``forward``."""
    if isinstance(function, nn.Module):
        return function
    return getattr(function, "forward", function)


def _place(function: Any, traceback: TracebackType | None) -> str:
    """Return the line of the function's own code that an error came from, in words."""
    inner = getattr(function, "func", function)
    called = getattr(inner, "forward", inner)
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
