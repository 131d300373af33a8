"""A question of a lesson on the page: its answer, what is said of it, hints and the solution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw

from openretina_widgets.tutorials.markdown_text import MarkdownText
from openretina_widgets.tutorials.questions import (
    CheckQuestion,
    ChoiceQuestion,
    Feedback,
    NeuronQuestion,
    NumberQuestion,
    Question,
    TextQuestion,
)
from openretina_widgets.widgets.composition import Composition, button, close_all

__all__ = ["Help", "QuestionPanel"]


class Help(Composition):
    """Hints that open one at a time, and a solution on request.

    Parameters
    ----------
    hints
        Widgets, in order.
    solution
        Widgets that are shown together.
    opened
        How many hints are open at first.
    on_opened
        Called with the number of hints that are open.
    before
        Buttons that stand left of these.
    """

    def __init__(
        self,
        hints: Sequence[ipw.Widget],
        solution: Sequence[ipw.Widget],
        *,
        opened: int = 0,
        on_opened: Callable[[int], object] = lambda number: None,
        before: Sequence[ipw.Widget] = (),
    ) -> None:
        self._hints, self._solution = list(hints), list(solution)
        self._opened, self._shown = min(opened, len(self._hints)), False
        self._on_opened = on_opened
        self.hint_button = button("", "lightbulb-o", "Open the next hint", width="150px")
        self.solution_button = button("Show solution", "key", "See how it is done", width="150px")
        self.hint_button.on_click(lambda _: self.open_hint())
        self.solution_button.on_click(lambda _: self.show_solution(not self._shown))
        buttons = [*before]
        buttons += [self.hint_button] if self._hints else []
        buttons += [self.solution_button] if self._solution else []
        self._row = ipw.HBox(buttons, layout=ipw.Layout(flex_flow="row wrap"))
        self._opens = ipw.VBox()
        super().__init__((self._row, self._opens))
        self._draw()

    def open_hint(self) -> None:
        """Open the next hint."""
        if self._opened < len(self._hints):
            self._opened += 1
            self._draw()
            self._on_opened(self._opened)

    def show_solution(self, shown: bool = True) -> None:
        """Show the solution, or put it away."""
        self._shown = shown and bool(self._solution)
        self._draw()

    def close(self) -> None:
        """Close it, with what was never opened."""
        hidden = (*self._hints, *self._solution, self.hint_button, self.solution_button)
        for widget in hidden if hasattr(self, "_opens") else ():
            close_all(widget)
        super().close()

    def _draw(self) -> None:
        total = len(self._hints)
        left = self._opened < total
        self.hint_button.description = (
            f"Hint {self._opened + 1} of {total}" if left else "No more hints"
        )
        self.hint_button.disabled = not left
        self.solution_button.description = "Hide solution" if self._shown else "Show solution"
        shown = self._hints[: self._opened] + (self._solution if self._shown else [])
        self._opens.children = tuple(shown)


class QuestionPanel(Composition):
    """One question.

    Parameters
    ----------
    question
        What is asked.
    prompt
        The widget that asks it.
    on_check
        Called with the answer; what is said of it.
    hints, solution, opened, on_opened
        See `Help`.
    kept
        The answer that was given before: ``value``, ``correct``, ``feedback``.
    """

    def __init__(
        self,
        question: Question,
        prompt: ipw.Widget,
        *,
        on_check: Callable[[Any], Feedback],
        hints: Sequence[ipw.Widget] = (),
        solution: Sequence[ipw.Widget] = (),
        opened: int = 0,
        on_opened: Callable[[int], object] = lambda number: None,
        kept: dict[str, Any] | None = None,
    ) -> None:
        self.question, self._on_check = question, on_check
        self._input = _Input(question, self.check)
        style = "primary"
        name = "Keep" if isinstance(question, TextQuestion) else "Check"
        self._button = button(name, "check", "Check your answer", width="110px", style=style)
        self._button.on_click(lambda _: self.check())
        self._said = MarkdownText()
        self.help = Help(hints, solution, opened=opened, on_opened=on_opened, before=[self._button])
        super().__init__((prompt, *self._input.widgets, self.help, self._said))
        self.add_class("orw-lesson-question")
        if kept:
            self._input.put(kept.get("value"))
            self.say(Feedback(kept.get("correct"), str(kept.get("feedback", ""))))

    @property
    def answer(self) -> Any:
        """What stands in the input: a position, a list of them, a text, or None."""
        return self._input.value()

    def check(self, answer: Any = None) -> Feedback:
        """Check what stands in the input, or an answer that is put there."""
        if answer is not None:
            self._input.put(answer)
        self._button.disabled = True
        try:
            feedback = self._on_check(self.answer if answer is None else answer)
        finally:
            self._button.disabled = False
        self.say(feedback)
        return feedback

    def say(self, feedback: Feedback) -> None:
        """Show what is said of the answer."""
        kind, word = {
            True: ("orw-lesson-right", "✓ Right"),
            False: ("orw-lesson-wrong", "✗ Not yet"),
            None: ("", ""),
        }[feedback.correct]
        text = feedback.text.removeprefix("Right: ").removeprefix("Right.").lstrip()
        text = text[:1].upper() + text[1:] if feedback.correct else feedback.text
        verdict = f'<p class="orw-lesson-verdict">{word}</p>\n\n' if word else ""
        self._said.show(verdict + text, f"orw-lesson-said {kind}")


class _Input:
    """The widgets that take the answer to one kind of question."""

    def __init__(self, question: Question, on_enter: Callable[[], object]) -> None:
        self.widgets: list[ipw.Widget] = []
        self._several = isinstance(question, ChoiceQuestion) and question.several
        self._taken: Any = None
        wide = {"width": "auto", "max_width": "46em"}
        if isinstance(question, ChoiceQuestion):
            texts = [_without_marks(choice.text) for choice in question.choices]
            if self._several:
                self.widgets = [
                    ipw.Checkbox(False, description=text, indent=False, layout=wide)
                    for text in texts
                ]
            else:
                options = [(text, k) for k, text in enumerate(texts)]
                self.widgets = [ipw.RadioButtons(options=options, value=None, layout=wide)]
        elif isinstance(question, TextQuestion):
            words = "Write your answer in your own words"
            tall = wide | {"height": "110px"}
            self.widgets = [ipw.Textarea(placeholder=words, layout=tall)]
        elif isinstance(question, NumberQuestion | NeuronQuestion) or (
            isinstance(question, CheckQuestion) and question.answered_with != "none"
        ):
            words = {"number": "a number", "neuron": "a neuron's number"}.get(question.kind, "")
            field = ipw.Text(
                placeholder=words or "your answer",
                layout=ipw.Layout(width="200px"),
            )
            self.widgets = [field]

            def pressed(widget: Any, content: Any, buffers: Any) -> None:
                if isinstance(content, dict) and content.get("event") == "submit":
                    on_enter()

            field.on_msg(pressed)
            if isinstance(question, NumberQuestion) and question.unit:
                unit = ipw.Label(question.unit)
                self.widgets = [ipw.HBox([field, unit])]
            self._taken = field
        if self._taken is None and self.widgets:
            self._taken = self.widgets[0]

    def value(self) -> Any:
        if not self.widgets:
            return None
        if self._several:
            return [k for k, box in enumerate(self.widgets) if box.value]
        value = self._taken.value
        return [] if value is None else value

    def put(self, value: Any) -> None:
        if not self.widgets or value is None:
            return
        if self._several:
            given = {value} if isinstance(value, int) else set(value)
            for k, box in enumerate(self.widgets):
                box.value = k in given
        elif isinstance(self._taken, ipw.RadioButtons):
            if isinstance(value, int) and 0 <= value < len(self._taken.options):
                self._taken.value = value
        else:
            self._taken.value = str(value)


def _without_marks(text: str) -> str:
    """Return a choice without the marks of Markdown, which its button cannot draw."""
    return text.replace("**", "").replace("`", "").replace("*", "")
