"""The one loop: gradient ascent on the stimulus, as a generator of steps."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.stimulus_optimization.jitter import JitteredObjective
from openretina_widgets.insilico.stimulus_optimization.kept import (
    BAD_GRADIENT,
    BAD_SCORE,
    RUNNING,
    SPENT,
    Kept,
)
from openretina_widgets.insilico.stimulus_optimization.objective import evaluate, model_of
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    penalty_of,
    project,
    stimulus_norm,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.prepared import AS_IT_IS, words_of
from openretina_widgets.models.retina_model import RetinaModel

Steps = Generator[Step, str | None, OptimizationResult]
OptimizerInit = Callable[[list[torch.Tensor]], torch.optim.Optimizer]

# On a GPU the host asks only now and then who has ended, since asking makes it wait. What has
# ended is left as it was until then, so the result does not depend on it.
_CHECK_EVERY = {"cpu": 1}


def optimize_stimulus(
    stimulus: torch.Tensor,
    optimizer_init_fn: OptimizerInit,
    objective_object: Any,
    optimization_stopper: Any,
    stimulus_regularization_loss: Any = None,
    stimulus_postprocessor: Any = None,
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
    run = _Run(
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
    )
    return run.steps()


@dataclass
class _Run:
    """The arguments of a run, checked."""

    start: torch.Tensor
    optimizer_init_fn: OptimizerInit
    objective: Any
    stopper: Any
    regularizers: tuple[Any, ...]
    postprocessors: tuple[Any, ...]
    seeds: tuple[int, ...]
    model: torch.nn.Module | None
    window: tuple[int, int] | None
    computed: str = AS_IT_IS

    def steps(self) -> Steps:
        with ExitStack() as held:
            if self.model is not None:
                held.enter_context(frozen(self.model))
            if isinstance(self.model, RetinaModel):
                session = getattr(self.objective, "data_key", None)
                form = self.model.prepared(self.start.shape[2], session)
                self.computed = words_of(held.enter_context(form))
            return (yield from self._loop())

    def _loop(self) -> Steps:
        device = self.start.device
        batch = self.start.shape[0]
        every = _CHECK_EVERY.get(device.type, 10)
        last = getattr(self.stopper, "max_iterations", None)
        last = sys.maxsize if last is None else last
        clock = _Clock()
        objective = self.objective
        elements = tuple(range(batch))
        with _computing(batch, device):
            x = project(self.postprocessors, self.start.clone()).detach().contiguous()
            x.requires_grad_(True)
            optimizer = self._optimizer(x)
            rows = torch.arange(batch, device=device)
            kept = Kept(x)
            patience = Patience(self.stopper, batch, x)
        iteration, stopped = 0, None
        while True:
            with _computing(len(elements), device):
                objective = objective.at(iteration) if hasattr(objective, "at") else objective
                now = evaluate(objective, x)
                penalty = penalty_of(self.regularizers, x)
                loss = penalty - now.score
                kept.take(iteration, rows, x, now.score, penalty, loss, now.response, patience)
                step = Step(
                    iteration,
                    elements,
                    now.score.detach(),
                    penalty.detach(),
                    loss.detach(),
                    x.detach(),
                    now.response,
                    kept.trace(),
                )
            clock.stop()
            stopped = yield step
            clock.start()
            if stopped or iteration >= last:
                break
            with _computing(len(elements), device):
                x.grad = kept.checked(iteration, rows, _gradient(now.score, loss, x))
                if iteration % every == 0 and bool((ended := kept.ended(rows)).any()):
                    going = (~ended).nonzero().flatten()
                    if not len(going):
                        break
                    rows, elements = rows[going], tuple(rows[going].tolist())
                    patience.keep(going)
                    objective = self.objective.keep(elements) if _keeps(objective) else objective
                    x, optimizer = self._keep(x, optimizer, going)
                optimizer.step()
                with torch.no_grad():
                    x.copy_(project(self.postprocessors, x.detach()))
            iteration += 1
        clock.stop()
        return self._result(kept, iteration, stopped, patience.reason, optimizer, clock.elapsed)

    def _optimizer(self, x: torch.Tensor) -> torch.optim.Optimizer:
        optimizer = self.optimizer_init_fn([x])
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer_init_fn: expected it to make a torch optimizer, got {optimizer!r}"
            )
        if isinstance(optimizer, torch.optim.LBFGS):
            raise TypeError(
                "optimizer_init_fn: LBFGS mixes the elements of a batch; use one that treats all "
                "values apart, such as torch.optim.Adam"
            )
        return optimizer

    def _keep(
        self, x: torch.Tensor, optimizer: torch.optim.Optimizer, going: torch.Tensor
    ) -> tuple[torch.Tensor, torch.optim.Optimizer]:
        """Go on with some rows of the stimulus and of the optimizer's state."""
        kept = x.detach()[going].requires_grad_(True)
        kept.grad = None if x.grad is None else x.grad[going]
        successor = self._optimizer(kept)
        for old, new in zip(optimizer.param_groups, successor.param_groups, strict=True):
            new.update({key: value for key, value in old.items() if key != "params"})
        for key, value in optimizer.state.get(x, {}).items():
            per_row = isinstance(value, torch.Tensor) and value.shape == x.shape
            successor.state[kept][key] = value[going] if per_row else value
        return kept, successor

    def _result(
        self,
        kept: Kept,
        iteration: int,
        stopped: str | None,
        spent: str,
        optimizer: torch.optim.Optimizer,
        duration: float,
    ) -> OptimizationResult:
        otherwise = stopped or f"{iteration} iterations done"
        reasons, ends = [], []
        for code, end in zip(kept.code.tolist(), kept.end.tolist(), strict=True):
            at = f"at iteration {end}"
            at += "; the best before it is kept" if end else ", the start, which is returned"
            reasons.append(
                {
                    RUNNING: otherwise,
                    SPENT: spent,
                    BAD_SCORE: f"the score was not finite {at}",
                    BAD_GRADIENT: f"the gradient was not finite {at}",
                }[code]
            )
            ends.append(iteration if code == RUNNING else end)
        model = self.model if isinstance(self.model, RetinaModel) else None
        score, response = self._unjittered(kept)
        return OptimizationResult(
            stimulus=kept.stimulus.cpu(),
            score=score.cpu(),
            penalty=kept.penalty.cpu(),
            response=None if response is None else response.cpu(),
            score_trace=kept.trace()[: max(ends) + 1].cpu().clone(),
            best_iteration=kept.iteration.cpu(),
            iterations=torch.tensor(ends),
            norm=stimulus_norm(kept.stimulus).cpu(),
            stop_reasons=tuple(reasons),
            neurons=_neurons(self.objective, len(reasons)),
            window=self.window,
            seeds=self.seeds,
            start=None if self.seeds else self.start.cpu().clone(),
            data_key=getattr(self.objective, "data_key", None),
            settings={
                "objective": _described(self.objective),
                "optimizer": _described_optimizer(optimizer),
                "regularizers": [_described(r) for r in self.regularizers],
                "postprocessors": [_described(p) for p in self.postprocessors],
                "stopper": _described(self.stopper),
                "device": str(self.start.device),
                "computed": self.computed,
            },
            duration_s=duration,
            versions=versions(),
            **({} if model is None else of_model(model) | _own_lag(self.objective)),
        )

    def _unjittered(self, kept: Kept) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return score and response of the best stimuli, as the model sees them unshifted."""
        if not isinstance(self.objective, JitteredObjective):
            return kept.score, kept.response
        with _computing(len(kept.stimulus), kept.stimulus.device), torch.no_grad():
            plain = evaluate(self.objective.objective, kept.stimulus)
        return torch.where(kept.score.isnan(), kept.score, plain.score), plain.response


class _Clock:
    """Time spent on the run itself, without what happens between its steps."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.start()

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.elapsed += time.perf_counter() - self._since


@contextmanager
def _computing(batch: int, device: torch.device) -> Iterator[None]:
    """Compute with gradients, whatever the caller's mode, and never across a yield."""
    # This leaves inference mode and switches gradients on.
    with torch.inference_mode(False), full_float32(device), memory_in_words(batch, device):
        yield


def _gradient(score: torch.Tensor, loss: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the summed losses with respect to the stimulus alone."""
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), x, allow_unused=True)
        if gradient is not None:
            return gradient
    raise ValueError(
        "objective_object: torch sees no way from the stimulus to its score; compute the score "
        "with torch operations alone, without detach(), item(), numpy() or no_grad()"
    )


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


def _described(part: Any) -> dict[str, Any]:
    """Return the settings of a part of the run as plain values."""
    if isinstance(part, JitteredObjective):
        return {**_described(part.objective), "jitter": _described(part.jitter)}
    settings: dict[str, Any] = {"type": type(part).__name__}
    if dataclasses.is_dataclass(part):
        names = [f.name for f in dataclasses.fields(part) if f.init]
        settings |= {name: _plain(getattr(part, name)) for name in names if name != "model"}
        return settings
    for name in ("data_key", "neurons", "response_reducer"):
        if (value := getattr(part, name, None)) is not None:
            settings[name] = _described(value) if name == "response_reducer" else _plain(value)
    return settings | ({} if len(settings) > 1 else {"repr": repr(part)})


def _described_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    plain = {k: _plain(v) for k, v in optimizer.defaults.items() if _plain(v) is not None}
    described = {"type": type(optimizer).__name__, **plain}
    if (gradient_filter := getattr(optimizer, "preconditioner", None)) is not None:
        described["preconditioner"] = _described(gradient_filter)
    return described


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, range | list | tuple):
        return [_plain(item) for item in value]
    return repr(value)
