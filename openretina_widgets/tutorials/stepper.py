"""A tutorial, step by step, in one widget: read, run, answer, go on."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from openretina_widgets.tutorials.class_news import class_trouble, follow_class
from openretina_widgets.tutorials.code_cell import CodeCell
from openretina_widgets.tutorials.lesson_contents import LessonContents
from openretina_widgets.tutorials.lesson_export import export_lesson
from openretina_widgets.tutorials.markdown_text import MarkdownText
from openretina_widgets.tutorials.notebook import Tutorial, TutorialCell
from openretina_widgets.tutorials.prediction_panel import TakesSubmissions, check_classroom
from openretina_widgets.tutorials.progress import Progress
from openretina_widgets.tutorials.question_panel import Help, QuestionPanel
from openretina_widgets.tutorials.questions import LONGEST_ANSWER, Feedback
from openretina_widgets.tutorials.user_code import namespace
from openretina_widgets.widgets.composition import Composition, button, close_all

__all__ = ["TutorialStepper"]


LONGEST_PROMPT = 300  # characters of a question that the class's dashboard is told


class TutorialStepper(Composition):
    """Step through a tutorial: text, code that runs here, questions, hints and solutions.

    Where one was, what was answered and what became of the code is kept on disk, so that a reload
    of the page or a new kernel loses nothing. Code runs in the notebook's own namespace.

    Parameters
    ----------
    name
        Of a lesson that ships, ``"tuning_curves"``; or the path of any notebook.
    classroom
        Any object with ``submit(kind, id, value)``, such as a `Classroom`, which is told the steps
        and the answers.
    progress_folder
        Where progress is kept; a folder of the user's own by default.

    Attributes
    ----------
    tutorial : Tutorial
    progress : Progress
        What is kept.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If there is no such tutorial, or `classroom` does not fit.
    TutorialError
        If the notebook is malformed: the message gives the cell's number and the reason.

    Examples
    --------
    >>> stepper = TutorialStepper("optimise_a_stimulus")
    >>> stepper.next()
    >>> stepper.answer("best-neuron", 12).correct
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        classroom: TakesSubmissions | None = None,
        *,
        progress_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        check_classroom(classroom)
        self.tutorial = Tutorial.read(name)
        self.progress = Progress(self.tutorial, folder=progress_folder)
        self._classroom, self._trouble = classroom, ""
        self._pages: dict[int, ipw.VBox] = {}
        self._cells: dict[str, CodeCell] = {}
        self._panels: dict[str, QuestionPanel] = {}
        self._contents = LessonContents(
            self.tutorial.title,
            [step.title for step in self.tutorial.steps],
            on_go=self._go,
            on_again=self.restart,
            goals=self.tutorial.goals,
            minutes=self.tutorial.minutes,
        )
        self._back = button("Back", "arrow-left", "To the step before", width="110px")
        self._next = button("Next", "arrow-right", "To the next step", width="110px")
        self._catch_up = button(
            "Run the code above", "fast-forward", "Run the code of all steps before", width="180px"
        )
        self._back.on_click(lambda _: self.back())
        self._next.on_click(lambda _: self.next())
        self._catch_up.on_click(lambda _: self._main_loop.call(self._begin_catch_up))
        self._note = ipw.HTML("")
        self._note.add_class("orw-lesson-note")
        self._page = ipw.VBox()
        foot = ipw.HBox(
            [self._back, self._next, self._catch_up],
            layout=ipw.Layout(margin="12px 0 0 0", flex_flow="row wrap"),
        )
        right = ipw.VBox(
            [self._page, foot, self._note],
            layout=ipw.Layout(flex="1000 1 480px", min_width="0"),
        )
        body = ipw.HBox([self._contents, right], layout=ipw.Layout(flex_flow="row wrap"))
        super().__init__((body,), layout=ipw.Layout(width="100%"))
        self.add_class("orw-lesson")
        self._step = -1
        self._go(min(self.progress.step, len(self.tutorial.steps) - 1))
        self._end_news = follow_class(classroom, self._show_state)

    @property
    def step(self) -> int:
        """The step that is shown, from 0."""
        return self._step

    @step.setter
    def step(self, step: int) -> None:
        n = len(self.tutorial.steps)
        if isinstance(step, bool) or not isinstance(step, int):
            raise TypeError(f"step: expected a whole number, got {step!r}")
        if not 0 <= step < n:
            raise ValueError(f"step: expected 0 to {n - 1}, got {step}")
        self._go(step)

    def next(self) -> None:
        """Show the next step; at the last nothing changes."""
        self._go(min(self._step + 1, len(self.tutorial.steps) - 1))

    def back(self) -> None:
        """Show the step before; at the first nothing changes."""
        self._go(max(self._step - 1, 0))

    def answer(self, id: str, value: Any = None) -> Feedback:
        """Answer a question, as if it had been written into its field.

        Parameters
        ----------
        id
            Of the question, see ``tutorial.questions``.
        value
            See `Question.check`; None for what stands in the field.

        Raises
        ------
        ValueError
            If there is no such question.
        """
        if id not in self.tutorial.questions:
            known = ", ".join(self.tutorial.questions) or "none"
            raise ValueError(f"id: there is no question {id!r}; there are {known}")
        if id not in self._panels:
            places = [
                k
                for k, step in enumerate(self.tutorial.steps)
                if any(cell.about == id for cell in step.cells)
            ]
            self._build(places[0])
        return self._panels[id].check(value)

    async def catch_up(self) -> BaseException | None:
        """Run the code of all steps before this one that has not run in this kernel.

        Returns
        -------
        BaseException or None
            What stopped it; the code that raised is then shown.
        """
        for k in range(self._step):
            for cell in self._code_of(k):
                if cell.runs:
                    continue
                task = cell.run()
                error = await task if task is not None else None
                if error is not None:
                    self._go(k)
                    return error
        self._show_state()
        return None

    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save the lesson with one's own code and answers, to read and run it at home.

        Parameters
        ----------
        path
            Ends in ``.ipynb``: an ordinary notebook, with each answer under its question; or in
            ``.json``: code and answers alone.
        overwrite
            Whether a file that is there may be replaced.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        TypeError, ValueError, OSError
            If it cannot be written; the message says why.
        """
        return export_lesson(self.tutorial, self.progress, path, overwrite=overwrite)

    def restart(self) -> None:
        """Begin anew: answers, hints and changed code are put aside, and the first step shown."""
        self.progress.forget()
        self._page.children = ()
        for page in self._pages.values():
            close_all(page)
        self._pages, self._cells, self._panels = {}, {}, {}
        self._step = -1
        self._go(0)

    def close(self) -> None:
        """Close it, with the steps that are not shown."""
        if self.comm is not None:
            self._end_news()
        for widget in getattr(self, "_pages", {}).values():
            if widget not in self._page.children:
                close_all(widget)
        super().close()

    def _begin_catch_up(self) -> None:
        self._catching = asyncio.get_running_loop().create_task(self.catch_up())

    def _go(self, step: int) -> None:
        if step == self._step:
            return
        self._page.children = (self._build(step),)
        self._step = step
        self.progress.step = step
        if self._classroom is not None:
            about = {
                "step": step + 1,
                "of": len(self.tutorial.steps),
                "title": self.tutorial.steps[step].title,
            }
            self._tell_class("step", self.tutorial.name, about)
        self._show_state()

    def _build(self, step: int) -> ipw.VBox:
        """Return the page of a step; made once, so that outputs stay when one comes back."""
        if step not in self._pages:
            widgets: list[ipw.Widget] = []
            for cell in self.tutorial.steps[step].cells:
                widgets += self._widgets_of(cell)
            self._pages[step] = ipw.VBox(widgets)
        return self._pages[step]

    def _widgets_of(self, cell: TutorialCell) -> list[ipw.Widget]:
        if cell.role == "question":
            return [self._question(cell)]
        if cell.role == "solution":
            return [Help((), [self._shown(cell)])]
        if cell.kind == "code":
            return [self._code(cell), *self._help_of(cell)]
        return [self._shown(cell)]

    def _shown(self, cell: TutorialCell) -> ipw.Widget:
        """Return a cell as text, or as code to run."""
        if cell.kind == "code":
            return self._code(cell)
        if cell.role == "solution":  # folded in the notebook; here a button has opened it
            opened = cell.source.replace("<details>", "<details open>")
            return self._text(cell, opened, "orw-lesson-said")
        return self._text(cell, cell.source)

    def _text(self, cell: TutorialCell, text: str, kind: str = "") -> MarkdownText:
        folder = self.tutorial.path.parent
        return MarkdownText(text, folder=folder, attachments=cell.attachments, kind=kind)

    def _code(self, cell: TutorialCell) -> CodeCell:
        self._cells[cell.id] = CodeCell(
            cell.source,
            source=self.progress.code.get(cell.id),
            label=f"Code of cell {cell.number}",
            on_ran=lambda _: self._show_state(),
        )
        editor = self._cells[cell.id].editor

        def keep(change: Any) -> None:
            self.progress.keep_code(cell.id, None if change.new == cell.source else change.new)
            self._show_state()

        editor.observe(keep, "source")
        return self._cells[cell.id]

    def _help_of(self, cell: TutorialCell) -> list[ipw.Widget]:
        hints = self.tutorial.hints.get(cell.about, ()) if cell.about else ()
        solution = self.tutorial.solutions.get(cell.about, ()) if cell.about else ()
        if not hints and not solution:
            return []
        return [
            Help(
                self._hints(hints),
                [self._shown(one) for one in solution],
                opened=self.progress.hints.get(cell.about, 0),
                on_opened=lambda number: self.progress.open_hints(cell.about, number),
            )
        ]

    def _hints(self, cells: Sequence[TutorialCell]) -> list[ipw.Widget]:
        kind = "orw-lesson-said orw-lesson-hint"
        return [self._text(cell, _unfolded(cell.source), kind) for cell in cells]

    def _question(self, cell: TutorialCell) -> QuestionPanel:
        id = cell.about
        question = self.tutorial.questions[id]
        self._panels[id] = QuestionPanel(
            question,
            self._text(cell, question.prompt),
            on_check=lambda answer: self._check(id, answer),
            hints=self._hints(self.tutorial.hints.get(id, ())),
            solution=[self._shown(one) for one in self.tutorial.solutions.get(id, ())],
            opened=self.progress.hints.get(id, 0),
            on_opened=lambda number: self.progress.open_hints(id, number),
            kept=self.progress.answers.get(id),
        )
        return self._panels[id]

    def _check(self, id: str, answer: Any) -> Feedback:
        question = self.tutorial.questions[id]
        feedback = question.check(answer, namespace())
        too_long = isinstance(answer, str) and len(answer) > LONGEST_ANSWER
        nothing = answer == [] or (isinstance(answer, str) and not answer.strip())
        if not too_long and not nothing:
            self.progress.answer(id, answer, feedback.correct, feedback.text)
            if self._classroom is not None:
                told = {
                    "answer": question.in_words(answer),
                    "correct": feedback.correct,
                    "question": question.prompt[:LONGEST_PROMPT],
                }
                self._tell_class("answer", id, told)
        self._show_state()
        return feedback

    def _tell_class(self, kind: str, id: str, value: Any) -> None:
        """Tell the class; what cannot be sent is said, and the lesson goes on."""
        try:
            self._classroom.submit(kind, id, value)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001  the lesson does not end with the class
            self._trouble = f"The class was not told: {error}"
        else:
            self._trouble = ""

    def _code_of(self, step: int) -> list[CodeCell]:
        """Return the code of a step that is part of its text, not of a solution."""
        self._build(step)
        return [
            self._cells[cell.id]
            for cell in self.tutorial.steps[step].cells
            if cell.kind == "code" and cell.role != "solution"
        ]

    def _show_state(self) -> None:
        if self._step < 0 or self.comm is None:
            return
        last = len(self.tutorial.steps) - 1
        self._contents.step = self._step
        self._contents.done = [self._state_of(k) for k in range(last + 1)]
        self._back.disabled, self._next.disabled = self._step == 0, self._step == last
        waits = any(
            cell.kind == "code"
            and cell.role != "solution"
            and not (cell.id in self._cells and self._cells[cell.id].runs)
            for step in self.tutorial.steps[: self._step]
            for cell in step.cells
        )
        self._catch_up.layout.display = None if waits else "none"
        said = [*self.tutorial.notes, self.progress.company, self.progress.trouble]
        said += [self._trouble, class_trouble(self._classroom)]
        if self._step == last and not any(state == "open" for state in self._contents.done):
            said.insert(0, "This is the last step.")
        self._note.value = "<br>".join(escape(words) for words in said if words)

    def _state_of(self, step: int) -> str:
        """Return ``""``, ``"seen"``, ``"open"`` or ``"done"``."""
        if step not in self.progress.seen:
            return ""
        asked = [cell.about for cell in self.tutorial.steps[step].cells if cell.role == "question"]
        if not asked:
            return "seen"
        answers = self.progress.answers
        solved = all(
            id in answers and (answers[id].get("solved") or answers[id].get("correct") is None)
            for id in asked
        )
        return "done" if solved else "open"


def _unfolded(hint: str) -> str:
    """Return a hint that is folded in the notebook, where no button opens it, as its text."""
    found = re.fullmatch(r"\s*<details><summary>.*?</summary>\s*(.*?)\s*</details>\s*", hint, re.S)
    return found[1] if found else hint
