"""Questions of a tutorial, and how an answer is checked.

An answer is checked by computing where that is possible, in the student's own namespace, and what
comes back names what was wrong. What cannot be checked is not judged: `Feedback.correct` is None.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from openretina_widgets.errors import real_number

__all__ = ["Feedback", "Question", "read_question"]

LONGEST_ANSWER = 65_536  # characters; what the class's database takes
_NUMBER = re.compile(r"^\s*([+−-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+−-]?\d+)?)\s*(.*?)\s*$")
_LIST_ITEM = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+(.*)$")
_FAR = 8.0  # times; beyond it the unit is more likely to be wrong than the measurement


@dataclass(frozen=True)
class Feedback:
    """What is said of an answer.

    Attributes
    ----------
    correct
        None when it is not judged.
    text
        In words, as Markdown.
    """

    correct: bool | None
    text: str


@dataclass(frozen=True)
class Question(ABC):
    """A question of a tutorial.

    Attributes
    ----------
    id
        Unique in its tutorial.
    prompt
        What is asked, as Markdown.
    """

    id: str
    prompt: str
    kind: ClassVar[str]

    def check(self, answer: Any, namespace: Mapping[str, Any] | None = None) -> Feedback:
        """Check an answer.

        Parameters
        ----------
        answer
            What the student gave: see the kind of question.
        namespace
            The student's variables; they are read, and not changed.

        Returns
        -------
        Feedback
            An answer that cannot be understood, or a check that fails itself, is said in words
            and not judged; nothing is raised.
        """
        if isinstance(answer, str) and len(answer) > LONGEST_ANSWER:
            return Feedback(
                None,
                f"This answer has {len(answer):,} characters, and at most {LONGEST_ANSWER:,} are "
                "taken. It stays as you wrote it; shorten it and answer again.",
            )
        try:
            return self._check(answer, namespace or {})
        except KeyboardInterrupt:
            return Feedback(None, "The check was stopped, so this answer is not judged.")
        except (Exception, SystemExit) as error:  # noqa: BLE001  a check is a tutorial's own code
            return Feedback(None, f"This answer could not be checked: {_words(error)}")

    def in_words(self, answer: Any) -> Any:
        """Return an answer as others read it, such as the texts of what was chosen."""
        return answer

    @abstractmethod
    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback: ...


@dataclass(frozen=True)
class Choice:
    """One of several answers to choose from."""

    text: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class ChoiceQuestion(Question):
    """Multiple choice; answered with the position of a choice, from 0, or with several."""

    choices: tuple[Choice, ...]
    kind = "choice"

    @property
    def several(self) -> bool:
        """Whether more than one is right."""
        return sum(choice.right for choice in self.choices) > 1

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        given = [answer] if isinstance(answer, int | str) else list(answer or ())
        if not given:
            return Feedback(None, "Choose an answer first.")
        chosen = {self._position(one) for one in given}
        wrong = [self.choices[k] for k in sorted(chosen) if not self.choices[k].right]
        if wrong:
            return Feedback(False, "\n\n".join(f"*{one.text}*: {one.feedback}" for one in wrong))
        right = {k for k, choice in enumerate(self.choices) if choice.right}
        said = "\n\n".join(
            self.choices[k].feedback for k in sorted(chosen) if self.choices[k].feedback
        )
        if missing := len(right - chosen):
            more = "One more is right." if missing == 1 else f"{missing} more are right."
            return Feedback(False, f"So far so good. {more}")
        return Feedback(True, said or "Right.")

    def in_words(self, answer: Any) -> Any:
        """Return the texts of what was chosen."""
        if isinstance(answer, list | tuple):
            return [self.choices[self._position(one)].text for one in answer]
        return self.choices[self._position(answer)].text

    def _position(self, answer: Any) -> int:
        texts = [choice.text for choice in self.choices]
        if isinstance(answer, str) and answer in texts:
            return texts.index(answer)
        if isinstance(answer, bool) or not isinstance(answer, int):
            raise TypeError(f"answer: expected the position of a choice, got {answer!r}")
        if not 0 <= answer < len(texts):
            raise ValueError(f"answer: expected 0 to {len(texts) - 1}, got {answer}")
        return answer


@dataclass(frozen=True)
class Mistake:
    """A number that a known mistake leads to."""

    near: float
    tolerance: float
    says: str


@dataclass(frozen=True)
class NumberQuestion(Question):
    """A number; answered with one, or with a text such as ``"1.5 Hz"``."""

    answer: float | None
    expression: str
    tolerance: float
    relative_tolerance: float
    unit: str
    mistakes: tuple[Mistake, ...]
    kind = "number"

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        given = self._given(answer)
        if isinstance(given, Feedback):
            return given
        true = self._true(namespace)
        if isinstance(true, Feedback):
            return true
        allowed = self.relative_tolerance * abs(true) + self.tolerance
        if abs(given - true) <= allowed + 1e-12 * abs(true):
            about = f", to within {_said(allowed, self.unit)}" if allowed else ""
            return Feedback(True, f"Right: {_said(true, self.unit)}{about}.")
        for mistake in self.mistakes:
            if abs(given - mistake.near) <= mistake.tolerance:
                return Feedback(False, mistake.says)
        if true and abs(given + true) <= allowed:
            return Feedback(False, "The size is right, the sign is not.")
        if true and given and (given > 0) == (true > 0):
            times = abs(given / true)
            if times >= _FAR or times <= 1 / _FAR:
                words = "far too large" if times > 1 else "far too small"
                unit = f" It is asked for in {self.unit}." if self.unit else ""
                return Feedback(False, f"{_said(given, self.unit)} is {words}.{unit}")
        words = "too large" if given > true else "too small"
        return Feedback(False, f"{_said(given, self.unit)} is {words}.")

    def _given(self, answer: Any) -> float | Feedback:
        if not isinstance(answer, str):
            number = real_number(answer, "answer")
        elif found := _NUMBER.match(answer):
            if found[2] and found[2] != self.unit:
                wanted = f"in {self.unit}" if self.unit else "without a unit"
                return Feedback(None, f"A number {wanted} is asked for, not one in {found[2]}.")
            number = float(found[1].replace("−", "-").replace(",", "."))
        else:
            unit = f" in {self.unit}" if self.unit else ""
            return Feedback(None, f"Write a number{unit}, such as 1.5.")
        if not math.isfinite(number):
            return Feedback(None, f"A finite number is asked for, not {number}.")
        return number

    def _true(self, namespace: Mapping[str, Any]) -> float | Feedback:
        if self.answer is not None:
            return self.answer
        value = np.asarray(eval(self.expression, dict(namespace)), dtype=float)  # the lesson's own
        if value.size != 1 or not math.isfinite(value.item()):
            return Feedback(
                None, f"This answer could not be checked: `{self.expression}` is no finite number."
            )
        return float(value.item())


@dataclass(frozen=True)
class NeuronQuestion(Question):
    """Find a neuron that meets a condition; answered with its number, and checked by measuring."""

    query: str
    model: str
    kind = "neuron"

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        from openretina_widgets.insilico.population import selectivity_table

        text = str(answer).strip()
        if isinstance(answer, bool) or not re.fullmatch(r"\d{1,9}", text):
            return Feedback(None, "Write the number of a neuron, such as 12.")
        model = _variable(namespace, self.model)
        neuron, n = int(text), len(model.neurons())
        if neuron >= n:
            return Feedback(None, f"There is no neuron {neuron}: they are numbered 0 to {n - 1}.")
        table = selectivity_table(model, neurons=[neuron])
        names = [name for name in table.names if re.search(rf"\b{name}\b", self.query)]
        row = table.row(neuron)
        measured = ", ".join(f"{name} = {_cell(row[name])}" for name in names if name != "neuron")
        found = len(table.where(self.query).neurons) == 1
        words = f"Neuron {neuron} has {measured}" if measured else f"Neuron {neuron} was measured"
        undefined = [
            f"{name} is not determined: {reason}"
            for name in names
            if (reason := table.reason(name, neuron))
        ]
        asked = f"asked is {self.query}"
        more = f" ({'; '.join(undefined)})" if undefined else ""
        return Feedback(found, f"{'Right. ' if found else ''}{words}{more}; {asked}.")


@dataclass(frozen=True)
class ScoreQuestion(Question):
    """Reach a score with few iterations; checked on a result in one of the student's variables."""

    variable: str
    score: float
    iterations: float
    kind = "score"

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        result = _variable(namespace, self.variable)
        if not (hasattr(result, "score") and hasattr(result, "iterations")):
            return Feedback(
                None,
                f"`{self.variable}` is no result of an optimisation, but {type(result).__name__}.",
            )
        scores = np.atleast_1d(np.asarray(result.score, dtype=float))
        needed = np.atleast_1d(np.asarray(result.iterations, dtype=float))
        usable = np.where(needed <= self.iterations, scores, -np.inf)
        at = int(np.argmax(np.nan_to_num(usable, nan=-np.inf)))
        reached = f"`{self.variable}` reached a score of {scores[at]:.3g}"
        used = f"in {needed[at]:.0f} iterations"
        limit = (
            "" if math.isinf(self.iterations) else f" in at most {self.iterations:.0f} iterations"
        )
        asked = f"asked is {self.score:.3g}{limit}"
        enough = bool(scores[at] >= self.score)
        quick = bool(needed[at] <= self.iterations)
        if enough and quick:
            return Feedback(True, f"Right: {reached} {used}; {asked}.")
        missing = " and ".join(
            [*(["the score is too low"] if not enough else []),
             *(["it took too many iterations"] if not quick else [])]
        )  # fmt: skip
        return Feedback(False, f"{reached} {used}; {asked}: {missing}.")


@dataclass(frozen=True)
class TextQuestion(Question):
    """Free text; kept, not judged, with a model answer to compare with."""

    at_least: int
    model_answer: str
    kind = "text"

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        if not isinstance(answer, str):
            raise TypeError(f"answer: expected a text, got {type(answer).__name__}")
        short = self.at_least - len(answer.strip())
        if short > 0:
            return Feedback(False, f"Write a little more: {short} characters at least are missing.")
        if not self.model_answer:
            return Feedback(None, "Kept.")
        return Feedback(None, f"Kept. Compare yours with this one:\n\n{self.model_answer}")


@dataclass(frozen=True)
class CheckQuestion(Question):
    """Checked by the lesson's own code, which leaves ``correct`` and ``feedback``."""

    code: str
    answered_with: str
    kind = "check"

    def _check(self, answer: Any, namespace: Mapping[str, Any]) -> Feedback:
        names = {**namespace, "answer": answer}
        names.pop("correct", None)
        names.pop("feedback", None)
        exec(compile(self.code, f"<check of {self.id}>", "exec"), names)  # the lesson's own
        if "correct" not in names:
            raise ValueError("its check does not say whether it is correct")
        correct = names["correct"]
        judged = None if correct is None else bool(correct)
        return Feedback(judged, str(names.get("feedback") or ("Right." if judged else "Not yet.")))


def read_question(prompt: str, said: Mapping[str, Any]) -> Question:
    """Make a question of a cell's text and its valid metadata; ValueError where they differ."""
    name, kind = said["id"], said["kind"]
    if kind == "choice":
        return _choices(name, prompt, said["choices"])
    if kind == "number":
        return NumberQuestion(
            name,
            prompt,
            answer=None if "answer" not in said else float(said["answer"]),
            expression=said.get("expression", ""),
            tolerance=float(said.get("tolerance", 0.0)),
            relative_tolerance=float(said.get("relative_tolerance", 0.0)),
            unit=said.get("unit", ""),
            mistakes=_mistakes(said.get("feedback", ())),
        )
    if kind == "neuron":
        return NeuronQuestion(name, prompt, query=said["query"], model=said.get("model", "model"))
    if kind == "score":
        return ScoreQuestion(
            name,
            prompt,
            variable=said.get("variable", "result"),
            score=float(said["score"]),
            iterations=float(said.get("iterations", math.inf)),
        )
    if kind == "text":
        model_answer = said.get("model_answer", "")
        return TextQuestion(
            name, prompt, at_least=said.get("at_least", 1), model_answer=model_answer
        )
    try:
        compile(said["code"], "<check>", "exec")
    except SyntaxError as error:
        raise ValueError(f"question.code: {error.msg} in line {error.lineno}") from None
    return CheckQuestion(name, prompt, code=said["code"], answered_with=said.get("answer", "none"))


def _choices(name: str, prompt: str, said: Sequence[Mapping[str, Any]]) -> ChoiceQuestion:
    """Take the choices; a list at the end of the text, for plain readers, has to be the same."""
    choices = tuple(
        Choice(one["text"], bool(one.get("right")), one.get("feedback", "")) for one in said
    )
    lines = prompt.rstrip().splitlines()
    listed: list[str] = []
    while lines and (item := _LIST_ITEM.match(lines[-1])):
        listed.insert(0, item[1].strip())
        lines.pop()
    if listed and listed != [choice.text.strip() for choice in choices]:
        raise ValueError(
            "question.choices: differ from the list at the end of the cell's text: "
            f"{[choice.text for choice in choices]} and {listed}"
        )
    return ChoiceQuestion(name, "\n".join(lines).rstrip(), choices)


def _mistakes(said: Sequence[Mapping[str, Any]]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(
            float(one["near"]),
            float(one.get("tolerance", 0.02 * abs(one["near"]) or 1e-9)),
            one["says"],
        )
        for one in said
    )


def _variable(namespace: Mapping[str, Any], name: str) -> Any:
    """Return what a name, such as ``lab.model``, stands for."""
    first, *rest = name.split(".")
    if first not in namespace:
        raise NameError(f"name {first!r} is not defined")
    value = namespace[first]
    for attribute in rest:
        value = getattr(value, attribute)
    return value


def _said(value: float, unit: str) -> str:
    text = f"{value:.4g}".replace("-", "−")
    return f"{text}{unit}" if unit == "°" else f"{text} {unit}".rstrip()


def _cell(value: Any) -> str:
    return f"{value:.2f}".replace("-", "−") if isinstance(value, float) else str(value)


def _words(error: BaseException) -> str:
    """Return an error in words, with what to do where that is known."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, NameError):
        return f"{text}. Have you run the code above?"
    return text if len(text) <= 500 else text[:499] + "…"
