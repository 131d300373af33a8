"""The one loop: gradient ascent on the stimulus, as a generator of steps."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from openretina_widgets.insilico.compute import (
    Precision,
    check_precision,
    computing_in,
    memory_in_words,
)
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.stimulus_optimization.ascent import (
    RECORDERS,
    Ascent,
    Replay,
    reason_against,
)
from openretina_widgets.insilico.stimulus_optimization.kept import (
    BAD_GRADIENT,
    BAD_SCORE,
    DONE,
    RUNNING,
    SPENT,
    Best,
    Kept,
)
from openretina_widgets.insilico.stimulus_optimization.objective import model_of
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from openretina_widgets.insilico.stimulus_optimization.piecewise import Piecewise
from openretina_widgets.insilico.stimulus_optimization.regularizer import project, stimulus_norm
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step
from openretina_widgets.insilico.stimulus_optimization.rows import OptimizerInit, Rows
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.lower_precision import in_full
from openretina_widgets.models.prepared import AS_IT_IS, words_of
from openretina_widgets.models.retina_model import RetinaModel

Steps = Generator[Step, str | None, OptimizationResult]

# On a GPU the host asks only now and then who has ended, since asking makes it wait. What has
# ended is left as it was until then, so the result does not depend on it.
_CHECK_EVERY = {"cpu": 1}
# Rows of a batch whose iterations are captured: in larger ones it is the device that is waited for.
_MOST_IN_A_GRAPH = 256


def optimize_stimulus(
    stimulus: torch.Tensor,
    optimizer_init_fn: OptimizerInit,
    objective_object: Any,
    optimization_stopper: Any,
    stimulus_regularization_loss: Any = None,
    stimulus_postprocessor: Any = None,
    precision: Precision = "float32",
    cuda_graph: bool = True,
) -> OptimizationResult:
    """Optimise a stimulus in place, and return it with the course of the run.

    Arguments, errors and result are those of `optimization_steps`. Afterwards `stimulus` holds
    the best stimulus, and can be used for a further run.
    """
    steps = optimization_steps(
        stimulus,
        optimizer_init_fn=optimizer_init_fn,
        objective_object=objective_object,
        optimization_stopper=optimization_stopper,
        stimulus_regularization_loss=stimulus_regularization_loss,
        stimulus_postprocessor=stimulus_postprocessor,
        precision=precision,
        cuda_graph=cuda_graph,
    )
    if any(n > 1 and step == 0 for n, step in zip(stimulus.shape, stimulus.stride(), strict=True)):
        raise ValueError("stimulus: expand() made its values share memory; give it a .clone()")
    result = drain(steps)
    stimulus.detach().copy_(result.stimulus)
    return result


def drain(steps: Steps) -> OptimizationResult:
    """Run a generator of steps to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def optimization_steps(
    stimulus: torch.Tensor,
    *,
    optimizer_init_fn: OptimizerInit,
    objective_object: Any,
    optimization_stopper: Any,
    stimulus_regularization_loss: Any = None,
    stimulus_postprocessor: Any = None,
    seeds: Sequence[int] = (),
    precision: Precision = "float32",
    cuda_graph: bool = True,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    The elements of the batch are independent experiments: each has its own score and its own end.
    Every evaluated stimulus, the first one included, has been projected by the postprocessors.
    Sending a text into the generator (``steps.send("stopped by the user")``) ends the run with
    that reason, and with the best stimuli so far.

    Parameters
    ----------
    stimulus
        Start, ``(batch, channel, time, height, width)``; not changed here.
    optimizer_init_fn
        Makes a torch optimizer for a list with one tensor, such as
        ``lambda params: torch.optim.Adam(params, lr=0.05)``. It has to treat all values alike
        and apart, as SGD, Adam and their kind do.
    objective_object
        What to maximise: an objective of ours or of OpenRetina's, or a function from one stimulus
        ``(1, channel, time, height, width)`` to one number. The model behind a plain function is
        not known, so it is not held frozen: put it in eval mode beforehand.
    optimization_stopper
        Has ``max_iterations`` and ``early_stop(loss)``.
    stimulus_regularization_loss, stimulus_postprocessor
        None, one, or several in order. See `regularizer`.
    seeds
        Seed of each element's start, for the record.
    precision
        What the model is computed in while the stimuli move: ``"float32"``, or on CUDA ``"tf32"``,
        or ``"bfloat16"`` where the device has it. Score and response of the result are always
        those in float32; ``settings["deviation_of_score"]`` says how far the lower precision was
        off there.
    cuda_graph
        Whether iterations on CUDA may be captured as one graph and replayed, which is done where
        every part is known to do the same each time; ``settings["cuda_graph"]`` says whether it
        was, or why not. False to compute each as the first one.

    Returns
    -------
    generator
        Yields `Step` for iteration 0, 1, …; returns an `OptimizationResult`. The model behind the
        objective is held frozen in eval mode while the generator lives, and handed back as it was.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. Checked before the first step.
    OutOfMemory
        From a step, if the device runs out of memory; the message says what would fit.
    """
    return checked_run(
        stimulus,
        optimizer_init_fn=optimizer_init_fn,
        objective_object=objective_object,
        optimization_stopper=optimization_stopper,
        stimulus_regularization_loss=stimulus_regularization_loss,
        stimulus_postprocessor=stimulus_postprocessor,
        seeds=seeds,
        precision=precision,
        cuda_graph=cuda_graph,
    ).steps()


def checked_run(
    stimulus: torch.Tensor,
    *,
    optimizer_init_fn: OptimizerInit,
    objective_object: Any,
    optimization_stopper: Any,
    stimulus_regularization_loss: Any = None,
    stimulus_postprocessor: Any = None,
    seeds: Sequence[int] = (),
    precision: Precision = "float32",
    cuda_graph: bool = True,
) -> Run:
    """Check the arguments, which are those of `optimization_steps`, and return the run."""
    model = model_of(objective_object)
    if isinstance(model, RetinaModel):
        model.check_stimulus(stimulus)
        if model.device != stimulus.device:
            raise ValueError(
                f"stimulus: it is on {stimulus.device}, but the model is on {model.device}; move "
                "one of them with .to()"
            )
        if model.dtype != stimulus.dtype:
            raise ValueError(
                f"stimulus: it is {stimulus.dtype}, but the model is {model.dtype}; move one of "
                "them with .to()"
            )
    else:
        _check_stimulus(stimulus)
    if not callable(optimizer_init_fn):
        raise TypeError(f"optimizer_init_fn: expected a function, got {optimizer_init_fn!r}")
    if not callable(objective_object) and not hasattr(objective_object, "forward"):
        raise TypeError(
            "objective_object: expected an objective with forward(stimulus), or a function, got "
            f"{objective_object!r}"
        )
    if not callable(getattr(optimization_stopper, "early_stop", None)):
        raise TypeError(
            "optimization_stopper: expected an object with early_stop(loss), got "
            f"{optimization_stopper!r}"
        )
    postprocessors = _as_tuple(stimulus_postprocessor, "process", "stimulus_postprocessor")
    for postprocessor in postprocessors:
        if hasattr(postprocessor, "check"):
            postprocessor.check(stimulus)
    if seeds and len(seeds) != stimulus.shape[0]:
        raise ValueError(
            f"seeds: expected one for each of {stimulus.shape[0]} stimuli, got {len(seeds)}"
        )
    window = getattr(objective_object, "window", None)
    return Run(
        start=stimulus.detach(),
        optimizer_init_fn=optimizer_init_fn,
        objective=objective_object,
        stopper=optimization_stopper,
        regularizers=_as_tuple(
            stimulus_regularization_loss, "forward", "stimulus_regularization_loss"
        ),
        postprocessors=postprocessors,
        seeds=tuple(int(seed) for seed in seeds),
        model=model,
        window=window(stimulus.shape[2]) if callable(window) else None,
        total=len(stimulus),
        precision=check_precision(precision, stimulus.device),
        cuda_graph=bool(cuda_graph),
    )


class Form(Protocol):
    """What makes stimuli of the rows of a run over something else."""

    @property
    def frames(self) -> int:
        """Frames of the stimuli."""
        ...

    def stimuli(self, x: torch.Tensor) -> torch.Tensor:
        """Return the stimuli ``(row, channel, time, height, width)`` of rows."""
        ...

    def result(self, result: OptimizationResult) -> OptimizationResult:
        """Return a result over rows as one over stimuli."""
        ...


@dataclass
class Run:
    """The arguments of a run, checked.

    Attributes
    ----------
    start
        Starts of the first elements, one a row.
    total
        Number of elements. Where they are more than the rows, the others wait, and enter in the
        place of those that have ended.
    draw
        Makes the starts of elements that enter.
    deliver
        Takes the positions and the result of elements that have ended while the run goes on. There
        is no result at the end then, and a lack of memory is no end: fewer rows are computed at
        once.
    form
        What makes stimuli of the rows, where these are something else.
    """

    start: torch.Tensor
    optimizer_init_fn: OptimizerInit
    objective: Any
    stopper: Any
    regularizers: tuple[Any, ...]
    postprocessors: tuple[Any, ...]
    seeds: tuple[int, ...]
    model: torch.nn.Module | None
    window: tuple[int, int] | None
    total: int
    draw: Callable[[Sequence[int]], torch.Tensor] | None = None
    deliver: Callable[[tuple[int, ...], OptimizationResult], None] | None = None
    precision: Precision = "float32"
    cuda_graph: bool = True
    computed: str = AS_IT_IS
    form: Form | None = None

    def steps(self) -> Steps:
        """Return the generator of the steps."""
        with ExitStack() as held:
            if self.model is not None:
                held.enter_context(frozen(self.model))
            as_it_is = getattr(self.objective, "as_it_is", False)
            if isinstance(self.model, RetinaModel) and not as_it_is:
                session = getattr(self.objective, "data_key", None)
                frames = self.start.shape[2] if self.form is None else self.form.frames
                prepared = self.model.prepared(frames, session)
                self.computed = words_of(held.enter_context(prepared))
            return (yield from self._loop())

    def _loop(self) -> Generator[Step, str | None, Any]:
        device = self.start.device
        every = _CHECK_EVERY.get(device.type, 10)
        last = getattr(self.stopper, "max_iterations", None)
        last = sys.maxsize if last is None else last
        clock = _Clock()
        entered = len(self.start)
        elements = tuple(range(entered))
        held = list(elements)  # the element at each place of `kept`
        free: list[int] = []  # places
        births = [0] * entered  # the iteration of the run that was each row's first
        losses = Piecewise(self.objective, self.regularizers, halves=self.deliver is not None)
        losses.put(elements, all_of_them=entered == self.total)
        with self._computing(entered):
            rows = Rows(
                self.optimizer_init_fn,
                self._projected(self.start.clone()),
                captured=self._may_be_captured(),
            )
            kept = Kept(rows.x, last)
            patience = Patience(self.stopper, entered, rows.x)
            about = described_optimizer(rows.optimizer)
            ascent = Ascent(rows, kept, patience, losses, self._projected, last)
            replay = self._replay(ascent)
            kept.reach(0)
            ascent.evaluate([0] * entered)
        iteration, stopped = 0, None
        while True:
            step = self._step(ascent, iteration, elements, births)
            clock.stop()
            stopped = yield step
            clock.start()
            if stopped:
                break
            going: list[int] | None = None  # rows, where not all of them go on
            entering: tuple[int, ...] = ()
            if (iteration - min(births) >= last or iteration % every == 0) and any(
                ended := kept.ended().tolist()
            ):
                left = [place for place, over in zip(kept.places, ended, strict=True) if over]
                if self.deliver is not None:
                    gone = tuple(held[place] for place in left)
                    with self._computing(len(elements)):
                        result = self._result(
                            kept, left, gone, 0, None, patience.reason, about, replay, clock.lap()
                        )
                        self.deliver(gone, result)
                    free += left
                going = [row for row, over in enumerate(ended) if not over]
                room = len(held) if losses.most is None else losses.most
                number = max(0, min(self.total - entered, len(free), room - len(going)))
                entering = tuple(range(entered, entered + number))
                if not going and not entering:
                    break
                elements = (*(elements[row] for row in going), *entering)
                births = [births[row] for row in going] + [iteration + 1] * number
            iteration += 1
            ages = [iteration - birth for birth in births]
            oldest, youngest = max(ages), min(ages)
            if going is not None or kept.reach(oldest):
                replay.changed()
            elif youngest < last and replay.advance():
                continue
            with self._computing(len(elements)):
                if going is not None:
                    enters, free = free[: len(entering)], free[len(entering) :]
                    ascent.keep(going, enters, elements)
                    ascent.move()
                    if entering:
                        ascent.enter(self._projected(self._drawn(entering)), enters)
                        entered += len(entering)
                    for place, element in zip(enters, entering, strict=True):
                        held[place] = element
                    kept.reach(oldest)
                    ascent.evaluate(ages, gradient=youngest < last)
                elif youngest >= last or not (replay.prepare() and replay.advance()):
                    ascent.move()
                    ascent.evaluate(ages, gradient=youngest < last)
        clock.stop()
        if self.deliver is not None:
            return None
        everyone = range(self.total)
        spent = patience.reason
        with self._computing(self.total):
            return self._result(
                kept,
                everyone,
                everyone,
                iteration,
                stopped,
                spent,
                about,
                replay,
                clock.elapsed,
            )

    @contextmanager
    def _computing(self, batch: int) -> Iterator[None]:
        """Compute with gradients, whatever the caller's mode, and never across a yield."""
        device = self.start.device
        # This leaves inference mode and switches gradients on.
        with (
            torch.inference_mode(False),
            computing_in(self.precision, device),
            memory_in_words(batch, device),
        ):
            yield

    def _may_be_captured(self) -> bool:
        """Whether what is known before the first iteration speaks for it."""
        few = self.cuda_graph and len(self.start) <= _MOST_IN_A_GRAPH
        return few and all(getattr(part, "replayable", False) for _, part in self._parts())

    def _replay(self, ascent: Ascent) -> Replay:
        made = RECORDERS.get(self.start.device.type)
        recorder = None if made is None else made()
        reason = f"the device is {self.start.device}" if recorder is None else None
        if not self.cuda_graph:
            reason = "it was not wanted"
        elif len(self.start) > _MOST_IN_A_GRAPH:
            reason = f"the batch is larger than {_MOST_IN_A_GRAPH}, where a graph saves nothing"
        elif recorder is not None:
            reason = reason_against(
                self._parts(), self.model, ascent.rows.optimizer, ascent.patience
            )

        def answering() -> Any:
            if not isinstance(self.model, RetinaModel):
                return None
            session = getattr(self.objective, "data_key", None)
            with in_full():  # whatever is asked for here and now, it is the same form
                form = self.model.answering_form(ascent.rows.x, session)
            if form is not None:
                return form
            # Of an ensemble the members have forms, which hold the weights as they were.
            return [(weight.data_ptr(), weight._version) for weight in self.model.parameters()]

        return Replay(ascent, recorder, answering, reason)

    def _parts(self) -> list[tuple[str, Any]]:
        return [
            ("objective_object", self.objective),
            *(("stimulus_regularization_loss", part) for part in self.regularizers),
            *(("stimulus_postprocessor", part) for part in self.postprocessors),
        ]

    def _step(
        self, ascent: Ascent, iteration: int, elements: tuple[int, ...], births: Sequence[int]
    ) -> Step:
        now = ascent.now
        return Step(
            iteration,
            elements,
            now.score,
            now.penalty,
            now.loss,
            self._shown(ascent.rows.x.detach()),
            now.response,
            ascent.kept.trace(),
            iterations=tuple(iteration - birth for birth in births),
            at_once=ascent.losses.most,
        )

    def _shown(self, x: torch.Tensor) -> torch.Tensor:
        if self.form is None:
            return x
        with torch.no_grad():
            return self.form.stimuli(x)

    def _projected(self, x: torch.Tensor) -> torch.Tensor:
        return project(self.postprocessors, x).detach()

    def _drawn(self, elements: Sequence[int]) -> torch.Tensor:
        if self.draw is None:
            raise RuntimeError("nothing waits where no starts can be drawn")
        return self.draw(elements)

    def _result(
        self,
        kept: Kept,
        places: Sequence[int],
        elements: Sequence[int],
        iteration: int,
        stopped: str | None,
        spent: str,
        optimizer: dict[str, Any],
        replay: Replay,
        duration: float,
    ) -> OptimizationResult:
        objective = self.objective
        if len(elements) < self.total and _keeps(objective):
            objective = objective.keep(elements)
        best = kept.at(places)
        reasons, ends = [], []
        for code, end in zip(best.code.tolist(), best.end.tolist(), strict=True):
            at = f"at iteration {end}"
            at += "; the best before it is kept" if end else ", the start, which is returned"
            reasons.append(
                {
                    RUNNING: stopped or "",
                    DONE: f"{end} iterations done",
                    SPENT: spent,
                    BAD_SCORE: f"the score was not finite {at}",
                    BAD_GRADIENT: f"the gradient was not finite {at}",
                }[code]
            )
            ends.append(iteration if code == RUNNING else end)
        model = self.model if isinstance(self.model, RetinaModel) else None
        seeds = tuple(self.seeds[element] for element in elements) if self.seeds else ()
        score, response, computed_in = self._scored_in_full(objective, best)
        result = OptimizationResult(
            stimulus=best.stimulus,
            score=score,
            penalty=best.penalty,
            response=response,
            score_trace=best.trace[: max(ends) + 1].clone(),
            best_iteration=best.iteration,
            iterations=torch.tensor(ends),
            norm=stimulus_norm(best.stimulus),
            stop_reasons=tuple(reasons),
            neurons=_neurons(objective, len(reasons)),
            window=self.window,
            seeds=seeds,
            start=None if self.seeds else self.start.cpu().clone(),
            data_key=getattr(self.objective, "data_key", None),
            settings={
                "objective": described(objective),
                "optimizer": optimizer,
                "regularizers": [described(r) for r in self.regularizers],
                "postprocessors": [described(p) for p in self.postprocessors],
                "stopper": described(self.stopper),
                "device": str(self.start.device),
                "computed": self.computed,
                **computed_in,
                **replay.described(),
            },
            duration_s=duration,
            versions=versions(),
            **({} if model is None else of_model(model) | _own_lag(self.objective)),
        )
        return result if self.form is None else self.form.result(result)

    def _scored_in_full(
        self, objective: Any, best: Best
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, Any]]:
        """Return score and response of the best stimuli, unshifted and in full float32.

        Also what is to be said of a precision that is lower than that: how far it is off there.
        """
        said: dict[str, Any] = {"precision": self.precision}
        unshifted = getattr(objective, "unshifted", None)
        plain = None if unshifted is None else unshifted()
        if plain is None and self.precision == "float32":
            return best.score, best.response, said
        losses = Piecewise(
            objective if plain is None else plain, (), halves=self.deliver is not None
        )
        losses.put(range(len(best.stimulus)), all_of_them=True)
        x, ages = best.stimulus.to(self.start.device), [0] * len(best.stimulus)
        with self._computing(len(x)), torch.no_grad():
            found = losses(x, ages, gradient=False)
        if self.precision != "float32":
            with computing_in("float32", x.device), torch.no_grad():
                full = losses(x, ages, gradient=False)
            off = (found.score - full.score).abs()
            scale = full.score.abs().clamp(min=torch.finfo(off.dtype).tiny)
            said["deviation_of_score"] = float(off.max())
            said["relative_deviation_of_score"] = float((off / scale).max())
            found = full
        response = None if found.response is None else found.response.cpu()
        return torch.where(best.score.isnan(), best.score, found.score.cpu()), response, said


class _Clock:
    """Time spent on the run itself, without what happens between its steps."""

    def __init__(self) -> None:
        self.elapsed = self._lapped = 0.0
        self.start()

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.elapsed += time.perf_counter() - self._since

    def lap(self) -> float:
        """Return the time since the last lap, of a clock that runs."""
        now = self.elapsed + time.perf_counter() - self._since
        lap, self._lapped = now - self._lapped, now
        return lap


def _check_stimulus(stimulus: Any) -> None:
    if not isinstance(stimulus, torch.Tensor) or not stimulus.is_floating_point():
        raise TypeError(f"stimulus: expected a floating-point torch tensor, got {type(stimulus)}")
    if stimulus.ndim != 5 or 0 in stimulus.shape:
        raise ValueError(
            "stimulus: expected (batch, channel, time, height, width), none of them 0, got "
            f"{tuple(stimulus.shape)}"
        )
    if not bool(torch.isfinite(stimulus).all()):
        raise ValueError("stimulus: it holds NaN or infinite values; expected finite ones")


def _as_tuple(given: Any, method: str, argument: str) -> tuple[Any, ...]:
    if given is None:
        return ()
    alone = callable(given) or hasattr(given, method)
    several = tuple(given) if not alone and isinstance(given, Iterable) else (given,)
    for one in several:
        if not callable(one) and not hasattr(one, method):
            raise TypeError(f"{argument}: expected an object with {method}(stimulus), got {one!r}")
    return several


def _keeps(objective: Any) -> bool:
    return hasattr(objective, "keep")


def _neurons(objective: Any, batch: int) -> tuple[tuple[int, ...], ...]:
    if (each := getattr(objective, "neurons_of_elements", None)) is not None:
        return tuple(each)
    neurons = tuple(getattr(objective, "neurons", ()))
    return (neurons,) * batch if neurons else ()


def _own_lag(objective: Any) -> dict[str, Any]:
    """Return the lag of what an objective looks at, where it is not the model's."""
    return {"lag": objective.lag} if hasattr(objective, "lag") else {}


def described(part: Any) -> dict[str, Any]:
    """Return the settings of a part of the run as plain values."""
    if hasattr(part, "described"):  # another objective, and what is done to its stimuli
        return part.described(described)
    settings: dict[str, Any] = {"type": type(part).__name__}
    if dataclasses.is_dataclass(part):
        names = [f.name for f in dataclasses.fields(part) if f.init]
        settings |= {name: _plain(getattr(part, name)) for name in names if name != "model"}
        return settings
    for name in ("data_key", "neurons", "response_reducer"):
        if (value := getattr(part, name, None)) is not None:
            settings[name] = described(value) if name == "response_reducer" else _plain(value)
    return settings | ({} if len(settings) > 1 else {"repr": repr(part)})


def described_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the kind and the settings of an optimizer as plain values."""
    plain = {k: _plain(v) for k, v in optimizer.defaults.items() if _plain(v) is not None}
    words = {"type": type(optimizer).__name__, **plain}
    if (gradient_filter := getattr(optimizer, "preconditioner", None)) is not None:
        words["preconditioner"] = described(gradient_filter)
    return words


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, range | list | tuple):
        return [_plain(item) for item in value]
    return repr(value)
