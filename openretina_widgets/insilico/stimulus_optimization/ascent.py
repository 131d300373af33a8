"""One iteration of all rows, and its replay as one CUDA graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from openretina_widgets.insilico.stimulus_optimization.kept import Kept
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from openretina_widgets.insilico.stimulus_optimization.piecewise import Losses, Piecewise
from openretina_widgets.insilico.stimulus_optimization.rows import Rows
from openretina_widgets.models.prepared import undisturbed

__all__ = ["Ascent", "Replay", "reason_against"]

Projection = Callable[[torch.Tensor], torch.Tensor]
Recorder = Callable[[Callable[[], None], torch.device], Callable[[], None]]

_KNOWN = ("torch", "openretina", "openretina_widgets")  # where layers come from
_STEADY = 3  # iterations in which libraries set themselves up, before one is captured


class Ascent:
    """The rows that are computed now, and all that an iteration of them changes.

    `move_uncounted` and `evaluate` read and write the same tensors in every iteration and ask the
    device for nothing, so that what they do can be captured once and replayed.
    """

    def __init__(
        self,
        rows: Rows,
        kept: Kept,
        patience: Patience,
        losses: Piecewise,
        project: Projection,
        last: int,
    ) -> None:
        self.rows, self.kept, self.patience, self.losses = rows, kept, patience, losses
        self._project, self._last = project, last
        self.own = torch.zeros(len(rows), dtype=torch.long, device=rows.x.device)
        self.gradient: torch.Tensor | None = None
        self.now: Losses

    def evaluate(self, ages: Sequence[int], *, gradient: bool = True) -> None:
        """Compute the losses of the rows as they are, and keep what is to be kept.

        `ages` are the iterations that the rows are at, as `own` is on the device.
        """
        now = self.losses(self.rows.x, ages, gradient=gradient)
        self._take(now)
        self._went(now)

    def evaluate_captured(self, ages: Sequence[int], side: Side | None) -> _Written:
        """Do the same as part of what is captured; return what was computed, side by side.

        What is to be kept is known before the gradient, and a GPU that has little to do with the
        one can do the other at the same time, on another `side`.
        """
        written: list[_Written] = []

        def take(now: Losses) -> None:
            with nullcontext() if side is None else side.after_what_came():
                self._take(now)
                written.append(_Written(now))

        now = self.losses(self.rows.x, ages, gradient=True, between=take)
        if side is not None:
            side.wait()
        self._went(now)
        return written[0]

    def _take(self, now: Losses) -> None:
        self.kept.take(self.own, self.rows.x, now, self.patience, self._last)

    def _went(self, now: Losses) -> None:
        moves = None if now.gradient is None else self.kept.checked(self.own, now.gradient)
        self.now, self.gradient = replace(now, gradient=None), moves

    def move(self) -> None:
        """Take a step along the gradient of the last evaluation."""
        self._move(self.rows.move)

    def move_uncounted(self) -> None:
        """Take the step with nothing but operations of torch."""
        self._move(self.rows.move_uncounted)

    def _move(self, move: Callable[[torch.Tensor, Projection], None]) -> None:
        if self.gradient is not None and len(self.rows):
            move(self.gradient, self._project)
        self.own += 1

    def keep(self, going: Sequence[int], enters: Sequence[int], elements: Sequence[int]) -> None:
        """Go on with some of the rows, and give the places `enters` to those that come.

        `elements` are those of all rows then.
        """
        chosen = torch.tensor(going, dtype=torch.long, device=self.own.device)
        self.rows.keep(going)
        self.patience.keep(chosen)
        self.kept.put([*(self.kept.places[row] for row in going), *enters])
        self.losses.put(elements)
        self.own = self.own[chosen]
        if self.gradient is not None:
            self.gradient = self.gradient[chosen]

    def enter(self, starts: torch.Tensor, places: Sequence[int]) -> None:
        """Take in further rows, after those that are there."""
        self.rows.enter(starts)
        self.kept.clear(places, starts)
        self.patience.enter(len(starts))
        self.own = torch.cat([self.own, self.own.new_zeros(len(starts))])


class Replay:
    """Advances an `Ascent` by replaying one CUDA graph, once its rows have stayed for some time.

    Parameters
    ----------
    ascent
        What is advanced.
    recorder
        Captures what a function does on a device, without doing it, and returns what does it.
    still
        Returns what has to be the same as when an iteration was captured, for that to be replayed.
    reason
        Why nothing is to be captured; None where it may be.
    """

    def __init__(
        self,
        ascent: Ascent,
        recorder: Recorder | None,
        still: Callable[[], Any],
        reason: str | None,
    ) -> None:
        self._ascent, self._recorder, self._still = ascent, recorder, still
        self.reason = reason
        self.replayed = 0  # iterations
        self._again: Callable[[], None] | None = None
        self._captured: Any = None
        self._written: _Written
        self._steady = 0

    def changed(self) -> None:
        """Say that the tensors or the rows are others now."""
        self._again, self._steady = None, 0

    def advance(self) -> bool:
        """Advance by a replay, where there is something to replay; tell whether there was.

        A replay is what was captured, with whatever settings torch has now.
        """
        if self._again is None:
            return False
        if self._still() != self._captured:
            self.changed()
            return False
        self._again()
        self._ascent.now = self._written.copied()  # the next replay writes over it
        self._ascent.rows.count()
        self.replayed += 1
        return True

    def prepare(self) -> bool:
        """Capture an iteration once the rows have stayed for some; tell whether that was done."""
        if self.reason is not None or self._again is not None:
            return False
        self._steady += 1
        if self._steady <= _STEADY or self._ascent.losses.most is not None:
            return False
        self._capture()
        return self._again is not None

    def described(self) -> dict[str, Any]:
        """Return what is to be said of it where an iteration can be captured at all."""
        if self._recorder is None:
            return {}
        if self.replayed:
            return {"cuda_graph": True}
        return {"cuda_graph": self.reason or "no iteration was like the one before for long enough"}

    def _capture(self) -> None:
        ascent = self._ascent
        if self._recorder is None or ascent.gradient is None:
            return
        before, now = ascent.gradient, ascent.now
        fixed = before.clone()
        written: list[_Written] = []
        side = self._recorder.side(fixed.device) if hasattr(self._recorder, "side") else None
        ages = [0] * len(ascent.rows)  # of which nothing that may be captured takes notice

        def iteration() -> None:
            ascent.gradient = fixed
            ascent.move_uncounted()
            written.append(ascent.evaluate_captured(ages, side))
            fixed.copy_(ascent.gradient)

        self._captured = self._still()
        try:
            with ascent.losses.captured():
                again = self._recorder(iteration, fixed.device)
        except (RuntimeError, MemoryError) as error:
            ascent.gradient, ascent.now = before, now
            self.reason = f"it could not be captured: {str(error).splitlines()[0]}"
            return
        self._again, self._written = again, written[-1]
        ascent.gradient = fixed


class _Written:
    """What an iteration has computed of its rows, side by side, so that one operation copies it."""

    def __init__(self, losses: Losses) -> None:
        self._whole = torch.stack((losses.score, losses.penalty, losses.loss), dim=1)
        self._apart, self._has_response = losses.response, losses.response is not None
        if losses.response is not None and losses.response.dtype == self._whole.dtype:
            self._whole, self._apart = torch.cat((self._whole, losses.response), dim=1), None

    def copied(self) -> Losses:
        """Return a copy as it is now."""
        whole = self._whole.clone()
        score, penalty, loss = whole[:, :3].unbind(dim=1)
        response = whole[:, 3:] if self._has_response else None
        if self._apart is not None:
            response = self._apart.clone()
        return Losses(score, penalty, loss, response, None)


class Side:
    """A second stream of a CUDA device, on which something is done while the first one goes on."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    @contextmanager
    def after_what_came(self) -> Iterator[None]:
        """Compute there what is asked for within, after what was asked for before."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def wait(self) -> None:
        """Go on only when all there is done."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)


class CudaGraphs:
    """Captures what functions do on a CUDA device as graphs, one after the other.

    The next one takes over the memory of the one before, which is not replayed any more. All
    capture on one stream of a device, one at a time: cuBLAS keeps 32 MiB for each stream that it
    has ever seen, and each thread.
    """

    _lock = threading.Lock()
    _streams: ClassVar[dict[torch.device, torch.cuda.Stream]] = {}
    _sides: ClassVar[dict[torch.device, Side]] = {}

    def __init__(self) -> None:
        self._last: torch.cuda.CUDAGraph | None = None

    def side(self, device: torch.device) -> Side:
        """Return a second stream, for use within what is captured."""
        if device not in self._sides:
            self._sides[device] = Side(device)
        return self._sides[device]

    def __call__(self, compute: Callable[[], None], device: torch.device) -> Callable[[], None]:
        """Capture a function, and return its replay.

        Raises
        ------
        RuntimeError
            If the function does what cannot be captured, such as to wait for the device.
        """
        graph = torch.cuda.CUDAGraph()
        pool = None if self._last is None else self._last.pool()
        with self._lock:
            stream = self._streams.get(device)
            if stream is None:
                stream = self._streams[device] = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            # Not `torch.cuda.graph`, which collects garbage and empties the cache before: that
            # takes as long as a thousand iterations. Other threads may go on meanwhile.
            with torch.cuda.stream(stream):
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                try:
                    compute()
                except BaseException:
                    with suppress(RuntimeError):  # what has broken the capture is raised instead
                        graph.capture_end()
                    raise
                graph.capture_end()
            torch.cuda.current_stream(device).wait_stream(stream)
        self._last = graph
        return graph.replay


RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CudaGraphs}
"""What makes a recorder of iterations on a kind of device. There is none for a CPU."""


def reason_against(
    parts: Iterable[tuple[str, Any]],
    model: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    patience: Patience,
) -> str | None:
    """Return why an iteration must not be captured, None where it may be.

    A capture holds what torch was told to do, and not the Python that told it to. So every part has
    to say that it always does the same (``replayable``), of optimizers only those are taken that
    keep their count of steps on the device, and of models those that are made of torch's own
    layers and of those of this package and of OpenRetina.
    """
    for argument, part in parts:
        if not getattr(part, "replayable", False):
            return f"{argument}: {type(part).__name__} may do something else in each iteration"
    if model is None:
        return "objective_object: its model is not known"
    for layer in model.modules():
        if type(layer).__module__.partition(".")[0] not in _KNOWN:
            return f"model: its {type(layer).__name__} may do something else in each iteration"
    if not undisturbed(model.modules()):
        return "model: somebody listens to its layers, and would not hear of a replay"
    if patience.asks_the_host:
        return "optimization_stopper: its rule is Python code"
    if not _keeps_to_the_device(optimizer):
        return f"optimizer_init_fn: {type(optimizer).__name__} may not be captured"
    return None


def _keeps_to_the_device(optimizer: torch.optim.Optimizer) -> bool:
    own = getattr(type(optimizer), "replayable", False)
    known = type(optimizer) is torch.optim.SGD or (
        type(optimizer).__module__.startswith("torch.optim.")
        and all(group.get("capturable", False) for group in optimizer.param_groups)
    )
    hooks = len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)
    filtered = getattr(optimizer, "preconditioner", None)
    return (own or known) and hooks == (1 if getattr(filtered, "replayable", False) else 0)
