"""What a class has sent so far: who is where, what was answered, what was predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.tutorials.classroom.histogram import Bar, histogram
from openretina_widgets.tutorials.classroom.predictions import (
    PredictedCurve,
    read_prediction,
)
from openretina_widgets.tutorials.classroom.store import Row


@dataclass(frozen=True)
class Position:
    """Where a student is.

    Attributes
    ----------
    tutorial
        Its name.
    step
        Counted from 1.
    of
        Number of steps; 0 where it is not known.
    title
        Of the step.
    """

    tutorial: str
    step: int
    of: int
    title: str


@dataclass(frozen=True)
class Student:
    """A student as the teacher sees them.

    Attributes
    ----------
    name
        Pseudonym or name.
    position
        None before the first step.
    answers
        Questions and predictions answered, each once.
    """

    name: str
    position: Position | None
    answers: int


@dataclass(frozen=True, eq=False)
class Curves:
    """Predictions of a class of one tuning curve.

    Attributes
    ----------
    names
        Of the students.
    curves
        One a student, all over the same conditions.
    truth
        The true curve, ``(n,)`` in percent of its largest: the teacher's, else the median of those
        that students have measured; None where there is neither.
    left_out
        Predictions over other conditions, which cannot be drawn together with these.
    """

    names: tuple[str, ...]
    curves: tuple[PredictedCurve, ...]
    truth: np.ndarray | None
    left_out: int

    @property
    def mean(self) -> np.ndarray:
        """Mean of the predictions, ``(n,)``; NaN where nobody drew anything."""
        drawn = np.array([curve.predicted for curve in self.curves])
        n = np.isfinite(drawn).sum(axis=0)
        return np.where(n > 0, np.nansum(drawn, axis=0) / np.maximum(n, 1), np.nan)


class Overview:
    """Everything that a room has sent; grows row by row."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._names: dict[str, str] = {}
        self._newest: dict[tuple[str, str], dict[str, Row]] = {}
        self._position: dict[str, tuple[int, Position]] = {}
        self._titles: dict[tuple[str, int], str] = {}
        self._truths: dict[str, PredictedCurve] = {}

    def meet(self, people: Mapping[str, str]) -> bool:
        """Take the names of who joined, by participant; whether somebody is new."""
        grown = len(people.keys() - self._names.keys()) > 0
        self._names.update(people)
        return grown

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows; the newest of a student counts."""
        for row in rows:
            self.rows.append(row)
            self._names.setdefault(row.participant, row.name)
            sent = row.submission
            if sent.kind == "step":
                position = read_position(sent.item, sent.value)
                known = self._position.get(row.participant)
                if position is not None and (known is None or row.id > known[0]):
                    self._position[row.participant] = (row.id, position)
                if position is not None and position.title:
                    self._titles[position.tutorial, position.step] = position.title
                continue
            newest = self._newest.setdefault((sent.kind, sent.item), {})
            if row.participant not in newest or newest[row.participant].id < row.id:
                newest[row.participant] = row

    def set_truth(self, prediction: str, curve: PredictedCurve) -> None:
        """Take the true curve of a prediction from who knows it; it counts, not the measured."""
        self._truths[prediction] = curve

    def names(self, *, hidden: bool = False) -> dict[str, str]:
        """Return the name of each participant in the order of joining, or "student 1" and so on."""
        if not hidden:
            return dict(self._names)
        return {who: f"student {k}" for k, who in enumerate(self._names, start=1)}

    def students(self, *, hidden: bool = False) -> list[Student]:
        """Return everybody who joined, in that order."""
        answered = Counter(who for newest in self._newest.values() for who in newest)
        return [
            Student(name, self._position.get(who, (0, None))[1], answered[who])
            for who, name in self.names(hidden=hidden).items()
        ]

    @property
    def tutorial(self) -> str:
        """The tutorial that most are in; empty before the first step."""
        counts = Counter(position.tutorial for _, position in self._position.values())
        return counts.most_common(1)[0][0] if counts else ""

    def steps(self) -> list[tuple[str, int]]:
        """Return for each step of the `tutorial` its title and how many are there."""
        places = [p for _, p in self._position.values() if p.tutorial == self.tutorial]
        n = max((max(p.of, p.step) for p in places), default=0)
        counts, titles = Counter(p.step for p in places), self._titles
        return [(titles.get((self.tutorial, k), ""), counts[k]) for k in range(1, n + 1)]

    @property
    def questions(self) -> dict[str, int]:
        """How many answered each question, in the order of the first answers.

        Predictions that are not curves are counted here as well.
        """
        return {
            item: len(newest)
            for (kind, item), newest in self._newest.items()
            if kind == "answer" or not self._curves(newest)
        }

    def asked(self, question: str) -> str:
        """Return the text of a question as the newest answer tells it, empty where none does."""
        for row in reversed(self._newest.get(("answer", question), {}).values()):
            value = row.submission.value
            if isinstance(value, dict) and isinstance(value.get("question"), str):
                return str(value["question"])
        return ""

    @property
    def predictions(self) -> dict[str, int]:
        """How many predicted each curve, in the order of the first predictions."""
        found = {
            item: len(self._curves(newest))
            for (kind, item), newest in self._newest.items()
            if kind == "prediction"
        }
        return {item: n for item, n in found.items() if n}

    def bars(self, question: str) -> list[Bar]:
        """Return the histogram of the answers to a question; empty if there is none."""
        values = [
            row.submission.value
            for kind in ("answer", "prediction")
            for row in self._newest.get((kind, question), {}).values()
        ]
        return histogram(values)

    def curves(self, prediction: str) -> Curves | None:
        """Return what was predicted of one curve; None if nothing was.

        Where predictions are over different conditions, those over the conditions of the teacher's
        true curve are returned, or else those that most share.
        """
        found = self._curves(self._newest.get(("prediction", prediction), {}))
        if not found:
            return None
        known = self._truths.get(prediction)
        alike = [] if known is None else [c for c in found.values() if c.has_conditions_of(known)]
        axis = Counter(curve.axis for curve in alike or found.values()).most_common(1)[0][0]
        kept = {who: curve for who, curve in found.items() if curve.axis == axis}
        measured = [curve.measured for curve in kept.values() if curve.measured is not None]
        if known is not None and alike:
            measured = [known.predicted]
        return Curves(
            names=tuple(self._names[who] for who in kept),
            curves=tuple(kept.values()),
            truth=np.median(measured, axis=0) if measured else None,
            left_out=len(found) - len(kept),
        )

    @staticmethod
    def _curves(newest: Mapping[str, Row]) -> dict[str, PredictedCurve]:
        read = {who: read_prediction(row.submission.value) for who, row in newest.items()}
        return {who: curve for who, curve in read.items() if curve is not None}


def read_position(tutorial: str, value: Any) -> Position | None:
    """Return where a student is, from what was sent; None if it does not say."""
    fields = value if isinstance(value, dict) else {"step": value}
    step, of = _count(fields.get("step")), _count(fields.get("of"))
    return Position(tutorial, step, of, str(fields.get("title", ""))[:80]) if step else None


def _count(value: Any) -> int:
    """Return a number of steps; 0 for what is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1000
    return value if is_count else 0
