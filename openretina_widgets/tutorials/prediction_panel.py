"""What predictions share: commit first, observe then, explain afterwards."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.jobs import Job
from openretina_widgets.jobs.worker import ResultT, SnapshotT
from openretina_widgets.models.neuron import ModelIdentity
from openretina_widgets.tutorials.class_news import class_trouble, follow_class
from openretina_widgets.tutorials.prediction_distance import Distance, as_rows
from openretina_widgets.tutorials.prediction_export import PredictionExport
from openretina_widgets.widgets.composition import button
from openretina_widgets.widgets.export_button import ExportMenu
from openretina_widgets.widgets.run_panel import RunControls, RunPanel, RunState
from openretina_widgets.widgets.run_status import RunStatus

_LATER = "Afterwards you are asked what you expected, what came, and why."
_EXPLAIN = "What did you expect, what came, and why? Write it for somebody who has not seen it."
_AT_MOST = 20_000  # characters of an explanation that are sent


class TakesSubmissions(Protocol):
    """What a prediction is sent to, such as a `Classroom`."""

    def submit(self, kind: str, id: str, value: Any) -> Any:
        """Take an answer; `value` is what JSON can carry."""


class PredictionButtons(RunControls):
    """Commit, Observe, Pause, Stop and Try again; those that make sense are enabled."""

    def __init__(self) -> None:
        self.commit = button(
            "Commit", "lock", "Lock the prediction", width="112px", style="warning"
        )
        self.reset = button("Try again", "undo", "A new attempt; it is counted", width="112px")
        super().__init__(
            "Observe",
            start="Measure, and compare",
            pause="Pause after this condition, or go on",
            stop="End the measurement; the prediction stays",
            more=[self.reset],
            width="112px",
        )
        self.children: tuple[ipw.Widget, ...] = (self.commit, *self.children)


class PredictionPanel(PredictionExport, RunPanel[SnapshotT, ResultT]):
    """A prediction that is committed before a measurement may run, and compared with it.

    Parameters
    ----------
    name
        Under which it is kept and sent.
    question
        What is predicted, as text.
    drawing
        The widget in which it is drawn or picked, with the trait ``locked``.
    above
        Further widgets, above the drawing.
    classroom
        What predictions are sent to; None for nobody.

    Attributes
    ----------
    committed : bool
        Whether the prediction is locked; may be observed.
    attempts : int
        Attempts so far, the present one among them; may be observed.
    result : object or None
        What was measured; may be observed.
    explanation : str
        What was written afterwards; may be observed and set.
    job : Job or None
        The measurement that is going on, or the last one.
    """

    _paused = "Paused. Press Resume to go on."
    _kind = ""  # of prediction, for `to_dict`

    committed = traitlets.Bool(False, read_only=True)
    attempts = traitlets.Int(1, read_only=True)
    result = traitlets.Any(None, allow_none=True, read_only=True)
    explanation = traitlets.Unicode("")

    def __init__(
        self,
        *,
        name: str,
        question: str,
        drawing: Any,
        above: tuple[ipw.Widget, ...] = (),
        classroom: TakesSubmissions | None = None,
    ) -> None:
        self.name, self.question, self._classroom = name, question, classroom
        self._drawing = drawing
        self._compared = Distance()
        self._callbacks: list[Callable[[Any], object]] = []
        self._earlier: list[dict[str, Any]] = []
        self._first: dict[str, Any] | None = None  # what was sent of the first that was observed
        self._unsent, self._handed_in = "", False
        self._state: RunState = "idle"
        self._counts = (0, 0)  # done and total, of the measurement
        self._buttons = PredictionButtons()
        self._status = RunStatus()
        self._verdict = ipw.HTML(layout=ipw.Layout(width="100%", min_height="132px"))
        self._explain = ipw.Textarea(
            placeholder=_LATER,
            disabled=True,
            continuous_update=False,
            layout=ipw.Layout(width="auto", height="96px"),
        )
        self._sent = ipw.HTML(layout=ipw.Layout(width="100%", min_height="20px"))
        asked = ipw.HTML(
            f'<div class="orw-title" style="white-space: normal">{html.escape(question)}</div>'
        )
        super().__init__(
            (
                asked,
                *above,
                self._buttons,
                self._status,
                drawing,
                self._verdict,
                ipw.HTML('<div class="orw-heading">Explain</div>'),
                self._explain,
                self._sent,
                ExportMenu(self, name="prediction"),
            )
        )
        self._steered_by(self._buttons)
        self._buttons.commit.on_click(lambda _: self._main_loop.call(self._try(self.commit)))
        self._buttons.reset.on_click(lambda _: self._main_loop.call(self._try(self.reset)))
        self._explain.observe(self._explained, "value")
        super().observe(self._show_explanation, "explanation")
        self._end_news = follow_class(classroom, self._show_sent)
        self._tell()

    # In code ---------------------------------------------------------------------------------

    @property
    def distance(self) -> dict[str, float | bool]:
        """Distances by name, see `Distance`; empty until it is observed, NaN: not determined."""
        return dict(self._compared.values)

    @property
    def reasons(self) -> dict[str, str]:
        """Why a distance is not determined, by its name."""
        return dict(self._compared.reasons)

    @property
    def verdict(self) -> str:
        """The distance in words."""
        return self._compared.words

    @property
    def value(self) -> Any:
        """What is predicted."""
        raise NotImplementedError

    def draw(self, value: Any) -> None:
        """Predict in code what is drawn by hand otherwise."""
        raise NotImplementedError

    def commit(self) -> None:
        """Lock the prediction, so that it can be observed.

        Raises
        ------
        ValueError
            If it is committed already, or something is not predicted yet; the message says what.
        """
        if self.committed:
            raise ValueError("commit: the prediction is committed already; Try again starts anew")
        if missing := self._missing():
            raise ValueError(f"commit: {missing}")
        self._settle()
        self._drawing.locked = True
        self.set_trait("committed", True)
        self._tell()
        self._hand_in()
        for callback in [*self._callbacks]:
            callback(self)

    def observe(self, handler: Any = None, *args: Any, **settings: Any) -> Any:
        """Measure, and compare with the prediction: return the `Job`, to be awaited.

        With a handler it is what every widget has: ``observe(handler, names)`` calls it when a
        trait changes.

        Raises
        ------
        ValueError
            If no prediction is committed.
        """
        if handler is None:
            return self.start()
        return super().observe(handler, *args, **settings)

    def start(self, *, paused: bool = False) -> Job[SnapshotT, ResultT]:
        """Start the measurement, as `observe` does.

        Raises
        ------
        ValueError
            If no prediction is committed.
        """
        if not self.committed:
            missing = self._missing()
            raise ValueError(
                "observe: predict first, and commit it" + (f"; {missing}" if missing else "")
            )
        self._end_job()
        self.set_trait("result", None)
        self._compared, self._counts = Distance(), (0, 0)
        self._show_verdict()
        self.job = job = self._new_job()
        self._status.tell("running", self._doing, progress=0.0, figures=self._figures(0, 0))
        self._show_state("paused" if paused else "running")
        return job.start(paused=paused)

    def reset(self) -> None:
        """Start a new attempt with nothing predicted; it counts if the last one was committed."""
        self._end_job()
        self.job = None
        if self.committed:
            self._earlier.append(self._attempt())
            self.set_trait("attempts", self.attempts + 1)
        self.set_trait("committed", False)
        self.set_trait("result", None)
        self._compared, self._counts = Distance(), (0, 0)
        self.explanation = ""
        self._drawing.locked = False
        self._clear()
        self._show_verdict()
        self._state = "idle"
        self._tell()

    def on_commit(self, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Have a function called with the prediction when it is committed; returns what ends it."""
        if not callable(callback):
            raise TypeError(f"callback: expected a function, got {callback!r}")
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction and what came of it, as JSON holds them."""
        return {
            "kind": self._kind,
            "name": self.name,
            "question": self.question,
            **self._about(),
            "model": asdict(self._identity()),
            "attempts": self.attempts,
            "committed": self.committed,
            **self._attempt(),
            "earlier": list(self._earlier),
        }

    # What kinds of predictions have of their own -----------------------------------------------

    def _missing(self) -> str:
        """What is not predicted yet, as a clause; empty where it may be committed."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Bring what is drawn into the form in which it is compared."""

    def _clear(self) -> None:
        raise NotImplementedError

    def _new_job(self) -> Job[SnapshotT, ResultT]:
        raise NotImplementedError

    def _compare_with(self, result: ResultT) -> Distance:
        """Draw the result, and return the distance of the prediction from it."""
        raise NotImplementedError

    def _figures(self, done: int, total: int) -> list[tuple[str, str]]:
        raise NotImplementedError

    def _about(self) -> dict[str, Any]:
        raise NotImplementedError

    def _identity(self) -> ModelIdentity:
        raise NotImplementedError

    def _plain_value(self) -> Any:
        """The prediction as JSON holds it."""
        raise NotImplementedError

    def _plain_result(self) -> Any:
        raise NotImplementedError

    def _submission(self) -> dict[str, Any]:
        """What is sent to a class, besides distance and explanation."""
        raise NotImplementedError

    # From the run, on the loop ---------------------------------------------------------------

    def _ended_with(self, result: ResultT, job: Job[SnapshotT, ResultT]) -> None:
        self._compared = self._compare_with(result)
        self.set_trait("result", result)
        self._show_verdict()
        self._tell("finished")
        self._hand_in()

    def _ended_without(self, job: Job[SnapshotT, ResultT]) -> None:
        words = f"Ended: {job.reason}. Your prediction stays. Press Observe to measure all of it."
        self._status.tell("idle", words)

    def _show_state(self, state: RunState) -> None:
        super()._show_state(state)
        self._state = state
        self._enable()

    # On the page -----------------------------------------------------------------------------

    def _tell(self, kind: str = "idle") -> None:
        """Say what is to be done next."""
        missing = self._missing()
        if self.result is not None:
            words = "Observed. Now explain: what did you expect, what came, and why?"
        elif self.committed:
            words = "Committed: your prediction stays as it is. Press Observe."
        elif missing:
            words = f"Predict first: {missing}. Observe opens when you have committed."
        else:
            words = "Press Commit when this is what you expect. Observe opens then."
        done = 1.0 if kind == "finished" else 0.0
        self._status.tell(
            "finished" if kind == "finished" else "idle",
            words,
            progress=done,
            figures=self._figures(*self._counts),
        )
        self._enable()

    def _enable(self) -> None:
        missing, idle = self._missing(), self._state == "idle"
        buttons, observed = self._buttons, self.result is not None
        buttons.commit.disabled = self.committed or bool(missing)
        buttons.commit.tooltip = (
            "The prediction is locked"
            if self.committed
            else f"Not yet: {missing}"
            if missing
            else "Lock the prediction"
        )
        buttons.start.disabled = not self.committed or not idle or observed
        buttons.start.tooltip = (
            "Predict and commit first"
            if not self.committed
            else "Observed; Try again starts anew"
            if observed
            else "Measure, and compare"
        )
        buttons.reset.disabled = not (self.committed or self._touched())
        self._explain.disabled = not observed
        self._explain.placeholder = _EXPLAIN if observed else _LATER

    def _touched(self) -> bool:
        """Whether there is something to take away."""
        raise NotImplementedError

    def _show_verdict(self) -> None:
        rows = "".join(
            f"<tr><td>{html.escape(label)}</td><td><b>{html.escape(value)}</b></td>"
            f'<td class="orw-undefined">{html.escape(meaning)}</td></tr>'
            for label, value, meaning in as_rows(self._compared, self._period())
        )
        words = html.escape(self._compared.words)
        table = f'<table class="orw-measures">{rows}</table>' if rows else ""
        self._verdict.value = (
            f'<div class="orw-card" role="status" style="font-size: 18px"><b>{words}</b></div>'
            f"{table}"
            if words
            else '<div class="orw-note">How near you came is said here, once you have observed.'
            "</div>"
        )

    def _period(self) -> float:
        return 360.0

    def _explained(self, change: Any) -> None:
        self.explanation = change["new"]

    def _show_explanation(self, change: Any) -> None:
        if self._explain.value != change["new"]:
            self._explain.value = change["new"]
        if change["new"] and self.result is not None:
            self._hand_in()

    # Keeping and sending ---------------------------------------------------------------------

    def _attempt(self) -> dict[str, Any]:
        return {
            "prediction": self._plain_value() if self.committed else None,
            "measured": None if self.result is None else self._plain_result(),
            "distance": as_json(self._compared.values),
            "reasons": self.reasons,
            "explanation": self.explanation,
        }

    def _hand_in(self) -> None:
        """Send to the class; of attempts after the first that was observed, their number alone."""
        if self._classroom is None:
            return
        if self._first is None or self.attempts == self._first["attempt"]:
            value = {
                **self._submission(),
                "attempt": self.attempts,
                "distance": as_json(self._compared.values),
                "explanation": self.explanation[:_AT_MOST],
            }
            if self.result is not None:
                self._first = value
        else:
            value = self._first
        try:
            self._classroom.submit("prediction", self.name, {**value, "attempts": self.attempts})
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            self._unsent = f"Not sent to the class: {error}"
        else:
            self._unsent = ""
        self._handed_in = True
        self._show_sent()

    def _show_sent(self) -> None:
        if not self._handed_in or self.comm is None:
            return
        if said := self._unsent or class_trouble(self._classroom):
            self._sent.value = f'<div class="orw-error" role="alert">{html.escape(said)}</div>'
        else:
            self._sent.value = '<div class="orw-note">Handed to the class.</div>'

    def close(self) -> None:
        """End the measurement, and close the widget."""
        if self.comm is not None:
            self._end_news()
        super().close()


def check_classroom(classroom: Any) -> None:
    """Raise TypeError for what takes no submissions."""
    if classroom is not None and not callable(getattr(classroom, "submit", None)):
        raise TypeError(
            f"classroom: expected an object with submit(kind, id, value), got {classroom!r}"
        )


def as_json(values: Any) -> dict[str, Any]:
    """Return numbers as JSON holds them: None for what is not determined."""
    return {
        name: value if isinstance(value, bool) else (float(value) if math.isfinite(value) else None)
        for name, value in values.items()
    }


def listed(values: np.ndarray) -> list[float | None]:
    """Return an array as JSON holds it."""
    return [float(v) if math.isfinite(v) else None for v in np.asarray(values).tolist()]
