"""What a dashboard shows, as a still picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.tutorials.classroom.histogram import Bar
from openretina_widgets.tutorials.classroom.overview import Curves

_RIGHT = {True: "#2b9348", False: "#d95f02", None: "0.5"}


def picture(
    title: str, steps: list[tuple[str, int]], question: str, bars: list[Bar], prediction: str,
    curves: Curves | None, *, show_truth: bool,
) -> Any:  # fmt: skip
    """Draw who is at which step, the answers to a question and the predicted curves.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(14.0, 4.2)
    at, answers, drawn = figure.subplots(1, 3)
    at.bar(range(1, len(steps) + 1), [n for _, n in steps], color="0.5")
    at.set(xlabel="step", ylabel="students", title="Steps")
    labels = [_text(bar.label[:40]) for bar in bars]
    answers.barh(
        range(len(bars)), [bar.count for bar in bars], color=[_RIGHT[bar.correct] for bar in bars]
    )
    answers.set_yticks(range(len(bars)), labels)
    answers.invert_yaxis()
    answers.set(xlabel="students", title=_text(question) or "No answers yet")
    drawn.set_title(_text(prediction) or "No predictions yet")
    if curves is not None:
        first = curves.curves[0]
        for one in curves.curves:
            drawn.plot(first.x, one.predicted, color="#1f83c9", alpha=0.35, linewidth=0.9)
        drawn.plot(first.x, curves.mean, color="#1f83c9", linewidth=2.5, label="mean prediction")
        if show_truth and curves.truth is not None:
            drawn.plot(
                first.x, np.asarray(curves.truth), color="black", linewidth=2.5, label="true"
            )
        if first.log:
            drawn.set_xscale("log")
        drawn.set(xlabel=_text(first.label[:80]), ylabel="% of the largest response")
        drawn.legend(fontsize="small")
    figure.suptitle(_text(title))
    return figure


def _text(words: str) -> str:
    """Return what students wrote as text: a dollar sign in it begins no formula."""
    return words.replace("$", r"\$")
