"""What the teacher sees: a room, live."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing.curve_content import numbers
from openretina_widgets.errors import check_positive
from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.tutorials.classroom.csv_export import as_csv
from openretina_widgets.tutorials.classroom.dashboard_picture import picture
from openretina_widgets.tutorials.classroom.database import DatabaseAway
from openretina_widgets.tutorials.classroom.overview import Curves, Overview
from openretina_widgets.tutorials.classroom.place import Place, check_room, resolve_place
from openretina_widgets.tutorials.classroom.predictions import read_prediction
from openretina_widgets.tutorials.classroom.room_reader import RoomReader
from openretina_widgets.tutorials.classroom.store import (
    ClassroomError,
    Row,
    Store,
)
from openretina_widgets.widgets.transport import MainLoop

_STATIC = Path(__file__).parent / "static"
_MOST_CURVES = 200  # drawn; the mean is that of all
_LONGEST_TITLE = 80
_FORMATS = (".csv", ".png", ".svg")


class ClassroomDashboard(anywidget.AnyWidget):
    """A room, live: who is at which step, the answers to a question, the predicted curves.

    A thread asks the database about once a second for what is new. There is no password: whoever
    can read the database can open the dashboard and sees every answer. Names can be hidden, as on a
    wall that all can see; then they do not leave Python.

    Parameters
    ----------
    room
        Its name. The room and its database are made if they are not there yet.
    url
        As for `Classroom.join`.
    question, prediction
        Which is shown; empty: the first that was answered.
    hide_names
        Whether students are numbered instead.
    show_truth
        Whether the true curve is drawn among the predicted ones, once somebody has measured it or
        `set_truth` was called. It starts hidden, as it is the answer for those who still think.
    interval
        Seconds between two looks into the database.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    question, prediction, hide_names, show_truth
        As above; may be observed and set.

    Raises
    ------
    TypeError, ValueError, ImportError
        As for `Classroom.join`.
    ClassroomError
        If another version of this package made the database.
    """

    # Texts, not paths: anywidget watches a path for changes and keeps every widget alive for it.
    _esm = (_STATIC / "class_dashboard.js").read_text(encoding="utf-8")
    _css = (_STATIC / "class_dashboard.css").read_text(encoding="utf-8")

    question = traitlets.Unicode("").tag(sync=True)
    prediction = traitlets.Unicode("").tag(sync=True)
    hide_names = traitlets.Bool(False).tag(sync=True)
    show_truth = traitlets.Bool(False).tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        room: str,
        *,
        url: str | os.PathLike[str] | None = None,
        question: str = "",
        prediction: str = "",
        hide_names: bool = False,
        show_truth: bool = False,
        interval: float = 1.0,
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        self._room, self._place = check_room(room), resolve_place(url)
        self._interval = check_positive(interval, "interval")
        self._overview = Overview()
        self._trouble, self._version, self._seen_at = "", 0, ""
        self._store = Store(self._place, patience=3.0, may_create=True)
        self._reader = RoomReader(self._store, self._room)
        self._owns_layout = not isinstance(layout, ipw.Layout)
        self._main_loop = MainLoop()
        self._stop = threading.Event()
        super().__init__(
            question=question,
            prediction=prediction,
            hide_names=hide_names,
            show_truth=show_truth,
            layout={"width": "100%"} if layout is None else layout,
        )
        self.on_msg(self._hear)
        try:
            self.refresh()
        except ClassroomError:
            self.close()
            raise
        if self._main_loop.exists:
            threading.Thread(target=self._watch, name="classroom dashboard", daemon=True).start()

    @property
    def room(self) -> str:
        """Name of the room."""
        return self._room

    @property
    def place(self) -> Place:
        """Where the answers are."""
        return self._place

    @property
    def overview(self) -> Overview:
        """Everything that was sent so far."""
        return self._overview

    @property
    def trouble(self) -> str:
        """Why what is shown may be old; empty when the database answers."""
        return self._trouble

    def refresh(self) -> None:
        """Look into the database now. Where an event loop runs, a thread does it by itself."""
        self._take(*self._look())

    def set_truth(
        self, prediction: str, x: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray
    ) -> None:
        """Say what the true curve of a prediction is, as before anybody has measured it.

        ``dashboard.set_truth("direction tuning", *curves.curve("direction", neuron=3))`` takes it
        from a sweep. It is drawn where `show_truth` is set.

        Parameters
        ----------
        prediction
            Its name, as students send it.
        x
            ``(n,)``, conditions, at most 2,000. Once somebody has predicted over them, predictions
            over others are left out.
        values
            ``(n,)``, responses, in any unit.

        Raises
        ------
        ValueError
            If these are not finite conditions and a response to each.
        """
        curve = read_prediction({"x": list(x), "values": list(values)})
        if curve is None or not np.isfinite(curve.predicted).any():
            raise ValueError(
                "x, values: expected 1 to 2,000 finite conditions and a response to each, got "
                f"{len(x)} and {len(values)}"
            )
        self._overview.set_truth(prediction, curve)
        self._show()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return everything that was sent as a table, and write it to a file.

        Parameters
        ----------
        path
            File to write, UTF-8 with the mark that spreadsheets look for; None writes none.

        Returns
        -------
        str
            A row a submission: row, time (UTC), room, student, kind, id, value, whether it is
            correct. Names are hidden where `hide_names` is set. A text that a spreadsheet would
            run as a formula has an apostrophe before it.
        """
        names = self._overview.names(hidden=self.hide_names)
        text = as_csv(self._room, self._overview.rows, names)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8-sig", newline="")
        return text

    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save what was sent as a table, or what is shown as a picture.

        Parameters
        ----------
        path
            Ends in ``.csv``, see `to_csv`; or in ``.png`` or ``.svg``: steps, answers to the
            question and predicted curves that are chosen, with the true curve where `show_truth`
            is set.
        overwrite
            Whether a file that is there may be replaced.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ImportError
            If matplotlib is not installed, for a picture.
        TypeError, ValueError, OSError
            If it cannot be written; the message says why.
        """
        suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else ""
        if suffix and suffix not in _FORMATS:
            raise ValueError(
                f"path: a class is saved as {', '.join(_FORMATS)}, not as {suffix}: experiments "
                "are saved from the widgets that made them"
            )
        target = check_path(path, _FORMATS, overwrite=overwrite)
        if suffix == ".csv":
            with written_whole(target) as partial:
                self.to_csv(partial)
            return target
        overview = self._overview
        question = self.question or next(iter(overview.questions), "")
        prediction = self.prediction or next(iter(overview.predictions), "")
        drawn = picture(
            f"{self._room}: {len(overview.students())} students",
            overview.steps(),
            question,
            overview.bars(question) if question else [],
            prediction,
            overview.curves(prediction) if prediction else None,
            show_truth=self.show_truth,
        )
        with written_whole(target) as partial:
            drawn.savefig(partial, format=suffix[1:], dpi=150.0)
        return target

    def close(self) -> None:
        """Close the widget, end its thread, and close the layout that was made for it."""
        if self.comm is None:  # closed, or never made
            return
        self._stop.set()
        self._store.close()
        layout = self.layout
        super().close()
        if self._owns_layout:
            layout.close()

    # ---- the thread: it touches no widget

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                news = self._look()
            except ClassroomError as error:
                news = {}, [], str(error)
            self._main_loop.call(partial(self._take, *news))

    def _look(self) -> tuple[dict[str, str], list[Row], str]:
        try:
            return *self._reader.read(), ""
        except DatabaseAway as error:
            return {}, [], str(error)

    # ---- the main loop

    def _take(self, people: dict[str, str], rows: list[Row], trouble: str) -> None:
        if self.comm is None:
            return
        changed = self._overview.meet(people) | bool(rows) | (trouble != self._trouble)
        self._overview.add(rows)
        self._trouble = trouble
        if changed or not self._version:
            self._show()
        if not trouble:
            self._seen_at = time.strftime("%H:%M:%S")

    @traitlets.observe("question", "prediction", "hide_names", "show_truth")
    def _changed(self, _: Any) -> None:
        if self._version:
            self._main_loop.call(self._show)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("event") == "csv":
            self._main_loop.call(self._send_csv)

    def _send_csv(self) -> None:
        if self.comm is not None:
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self._room)
            self.send({"event": "csv", "name": f"{name}.csv", "text": self.to_csv()})

    def _show(self) -> None:
        if self.comm is None:
            return
        overview, hidden = self._overview, self.hide_names
        students = overview.students(hidden=hidden)
        questions, predictions = overview.questions, overview.predictions
        question = self.question or next(iter(questions), "")
        prediction = self.prediction or next(iter(predictions), "")
        bars = overview.bars(question) if question else []
        curves = overview.curves(prediction) if prediction else None
        self._version += 1
        self._content = {
            "version": self._version,
            "room": self._room,
            "place": self._place.words,
            "trouble": self._trouble and self._old_words(),
            "total": len(overview.rows),
            "students": [
                {
                    "name": one.name,
                    "step": one.position.step if one.position else 0,
                    "of": one.position.of if one.position else 0,
                    "tutorial": one.position.tutorial if one.position else "",
                    "answers": one.answers,
                }
                for one in students
            ],
            "tutorial": overview.tutorial,
            "steps": [list(step) for step in overview.steps()],
            "questions": [list(pair) for pair in questions.items()],
            "question": question,
            "asked": overview.asked(question) if question else "",
            "bars": [[bar.label, bar.count, bar.correct] for bar in bars],
            "predictions": [list(pair) for pair in predictions.items()],
            "prediction": prediction,
            "curves": None if curves is None else self._encoded(curves),
        }

    def _old_words(self) -> str:
        since = f" What is shown is from {self._seen_at}." if self._seen_at else ""
        return f"Not connected: {self._trouble}.{since}"

    def _encoded(self, curves: Curves) -> dict[str, Any]:
        first = curves.curves[0]
        truth = curves.truth
        return {
            "kind": first.kind,
            "x": numbers(first.x),
            "label": first.label[:_LONGEST_TITLE],
            "log": first.log,
            "count": len(curves.curves),
            "left_out": curves.left_out,
            "lines": [numbers(np.round(c.predicted, 1)) for c in curves.curves[:_MOST_CURVES]],
            "mean": numbers(curves.mean),
            "measured": truth is not None,
            "truth": numbers(truth) if truth is not None and self.show_truth else None,
        }
