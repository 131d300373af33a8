"""What the widgets that run something share: the buttons that steer a run, and its course."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import ClassVar, Generic, Literal

import ipywidgets as ipw

from openretina_widgets.jobs import Job
from openretina_widgets.jobs.worker import ResultT, SnapshotT
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.run_status import RunStatus

RunState = Literal["idle", "running", "paused"]


class RunControls(ipw.HBox):
    """Buttons of a run: its start, Pause or Resume, Step and Stop; what makes sense is enabled.

    Parameters
    ----------
    label
        Of the button that starts.
    start, pause, stop
        What they do, said when the pointer rests on them.
    step
        The same; without it there is no such button.
    more
        Further buttons, after these.
    width
        Of each button, in CSS.
    restarts
        Whether the button that starts works while a run goes on, which it ends: for a widget whose
        settings may have been changed meanwhile.
    """

    def __init__(
        self,
        label: str,
        *,
        start: str,
        pause: str,
        stop: str,
        step: str = "",
        more: Sequence[ipw.Button] = (),
        width: str,
        restarts: bool = True,
    ) -> None:
        self._restarts = restarts
        self.start = button(label, "play", start, width=width, style="primary")
        self.pause = button("Pause", "pause", pause, width=width)
        self.step = button("Step", "step-forward", step, width=width) if step else None
        self.stop = button("Stop", "stop", stop, width=width)
        buttons = [self.start, self.pause, *([self.step] if self.step else []), self.stop, *more]
        super().__init__(buttons, layout=ipw.Layout(flex_flow="row wrap", width="100%"))
        self.show("idle")

    def show(self, state: RunState) -> None:
        """Enable what makes sense in a state."""
        self.start.disabled = state != "idle" and not self._restarts
        self.pause.disabled = self.stop.disabled = state == "idle"
        self.pause.description = "Resume" if state == "paused" else "Pause"
        self.pause.icon = "play" if state == "paused" else "pause"


class RunPanel(Composition, Generic[SnapshotT, ResultT]):
    """A widget with a job: one run at a time, whose course and end its status tells.

    What runs makes the job in `start`, with `_ended` to be called at its end, and tells of each
    snapshot with `_show_going`. It has its buttons in `_buttons`.

    Attributes
    ----------
    job : Job or None
        The run that is going on, or the last one.
    """

    job: Job[SnapshotT, ResultT] | None = None
    _buttons: RunControls
    _status: RunStatus
    _doing: str  # what is said while it runs
    _paused: ClassVar[str]  # what is said while it is paused

    def start(self, *, paused: bool = False) -> Job[SnapshotT, ResultT]:
        """Start a run; one that is going on is ended first."""
        raise NotImplementedError

    def stop(self, reason: str = "stopped by the user") -> Job[SnapshotT, ResultT] | None:
        """Ask the run to end, and keep what it has; return its job, None if nothing runs.

        Parameters
        ----------
        reason
            Words for the status, and for the result where it tells why it ended.
        """
        if self.job is None or self.job.done():
            return None
        self.job.cancel(reason)
        return self.job

    def close(self) -> None:
        """End the run and close the widget with all that belongs to it."""
        self._end_job()
        super().close()

    # From the page ---------------------------------------------------------------------------

    def _steered_by(self, buttons: RunControls) -> None:
        """Let the buttons steer the run."""
        buttons.start.on_click(lambda _: self._main_loop.call(self._try(self.start)))
        if buttons.step is not None:
            buttons.step.on_click(lambda _: self._main_loop.call(self._try(self._step)))
        # These steer the run from whatever thread they are called in, without a detour.
        buttons.pause.on_click(lambda _: self._pause_or_resume())
        buttons.stop.on_click(lambda _: self.stop())

    def _try(self, action: Callable[[], object]) -> Callable[[], None]:
        """Return the action with its errors shown in the widget, where a user who clicks looks."""

        def tried() -> None:
            try:
                action()
            except (TypeError, ValueError, RuntimeError, MemoryError, OSError) as error:
                self._fail(error)

        return tried

    def _pause_or_resume(self) -> None:
        job = self.job
        if job is None or job.done():
            return
        if job.state == "paused":
            job.resume()
            self._main_loop.call(self._show_going)
        else:
            job.pause()

    def _step(self) -> None:
        if self.job is None or self.job.done():
            self.start(paused=True)
        if self.job is not None:
            self.job.step()

    # From the run, on the loop ---------------------------------------------------------------

    def _show_going(
        self,
        *,
        progress: float | None = None,
        figures: list[tuple[str, str]] | None = None,
    ) -> None:
        """Tell how a run is going; None leaves a part as it is."""
        job = self.job
        if job is None or job.done():
            return
        paused = job.state == "paused" and job.pending != "resume"
        state: RunState = "paused" if paused else "running"
        self._show_state(state)
        words = self._paused if paused else self._doing
        self._status.tell(state, words, progress=progress, figures=figures)

    def _ended(self, job: Job[SnapshotT, ResultT]) -> None:
        self._show_state("idle")
        error = None if job.state == "cancelled" else job.exception()
        if error is not None:
            self._fail(error)
            return
        try:
            result = job.result()
        except CancelledError:
            self._ended_without(job)
            return
        self._ended_with(result, job)

    def _ended_with(self, result: ResultT, job: Job[SnapshotT, ResultT]) -> None:
        """Show the result of a run that ended by itself, or answered when it was stopped."""
        raise NotImplementedError

    def _ended_without(self, job: Job[SnapshotT, ResultT]) -> None:
        """Say that a run was stopped and has no result."""
        raise NotImplementedError

    def _fail(self, error: BaseException) -> None:
        self._show_state("idle")
        self._status.tell("failed", f"{type(error).__name__}: {error}")

    def _show_state(self, state: RunState) -> None:
        self._buttons.show(state)

    def _end_job(self) -> None:
        """End a run for good: it calls back no more, and its model is free."""
        if self.job is not None:
            self.job.close()
