"""The head of a lesson: its title, how far one is, and the list of its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets

from openretina_widgets.tutorials.static_files import tutorial_text

__all__ = ["LessonContents"]


class LessonContents(anywidget.AnyWidget):
    """The steps of a lesson as a list, with a bar of what is done.

    Parameters
    ----------
    title
        Of the lesson.
    steps
        Their titles.
    on_go
        Called with the position of the step that was pressed.
    on_again
        Called when the student wants to begin anew, which is asked twice.
    goals
        What is learnt.
    minutes
        How long it takes, None when it is not said.

    Attributes
    ----------
    step : int
        The one that is shown, from 0.
    done : list of str
        Of each step: ``""`` not yet seen, ``"seen"``, ``"open"`` with questions left, ``"done"``.
    """

    _esm = tutorial_text("lesson_contents.js")
    _css = tutorial_text("lesson_contents.css", "lesson_page.css")

    title = traitlets.Unicode().tag(sync=True)
    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    goals = traitlets.List(traitlets.Unicode()).tag(sync=True)
    minutes = traitlets.Float(None, allow_none=True).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    done = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        title: str,
        steps: Sequence[str],
        *,
        on_go: Callable[[int], object],
        on_again: Callable[[], object],
        goals: Sequence[str] = (),
        minutes: float | None = None,
    ) -> None:
        self._on_go, self._on_again = on_go, on_again
        super().__init__(
            title=title,
            titles=list(steps),
            goals=list(goals),
            minutes=minutes,
            done=[""] * len(steps),
            layout=ipw.Layout(flex="1 1 220px", min_width="200px", margin="0 16px 8px 0"),
        )
        self.on_msg(self._take)

    def _take(self, widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        step = content.get("go")
        if isinstance(step, int) and 0 <= step < len(self.titles):
            self._on_go(step)
        elif content.get("again"):
            self._on_again()
