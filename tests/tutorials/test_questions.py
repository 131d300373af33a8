"""Answers are checked by computing, and the feedback names what was wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import openretina_widgets as orw
from openretina_widgets.tutorials.questions import Question, read_question


def question(**said: Any) -> Question:
    return read_question("Well?", {"id": "q", **said})


RATE = {"kind": "number", "answer": 1.5, "tolerance": 0.1, "unit": "Hz"}


@pytest.mark.parametrize(
    ("answer", "correct", "words"),
    [
        (1.5, True, "Right: 1.5 Hz, to within 0.1 Hz."),
        ("1.42 Hz", True, "Right"),
        ("1,5", True, "Right"),
        ("  1.61", False, "1.61 Hz is too large."),
        ("1", False, "1 Hz is too small."),
        ("1500", False, "1500 Hz is far too large. It is asked for in Hz."),
        ("−1.5", False, "The size is right, the sign is not."),
        ("3.0", False, "You counted both half cycles."),
        ("1.5 s", None, "A number in Hz is asked for, not one in s."),
        ("fast", None, "Write a number in Hz, such as 1.5."),
        ("", None, "Write a number"),
        (float("nan"), None, "A finite number is asked for, not nan."),
        (None, None, "could not be checked: TypeError: answer: expected a number, got None"),
        ("1" * 70_000, None, "This answer has 70,000 characters, and at most 65,536 are taken."),
    ],
)
def test_number(answer: Any, correct: bool | None, words: str) -> None:
    feedback = question(
        **RATE, feedback=[{"near": 3.0, "says": "You counted both half cycles."}]
    ).check(answer)
    assert feedback.correct is correct
    assert words in feedback.text


def test_number_computed_in_the_students_namespace() -> None:
    asked = question(kind="number", expression="max(values) * 2", relative_tolerance=0.1)
    assert asked.check("9", {"values": [1, 5]}).correct is True
    assert asked.check("8.9", {"values": [1, 5]}).correct is False
    missing = asked.check("9", {})
    assert missing.correct is None
    assert "name 'values' is not defined. Have you run the code above?" in missing.text
    undefined = asked.check("9", {"values": [float("nan")]})
    assert undefined.correct is None
    assert "is no finite number" in undefined.text


def test_choice_names_what_was_wrong() -> None:
    asked = question(
        kind="choice",
        choices=[
            {"text": "ON", "right": True, "feedback": "Yes, ON."},
            {"text": "OFF", "feedback": "OFF cells like dark."},
            {"text": "both", "right": True},
        ],
    )
    assert asked.check([0, 2]).correct is True
    assert asked.check([0, 2]).text == "Yes, ON."
    assert asked.check(1).text == "*OFF*: OFF cells like dark."
    assert asked.check(["ON"]).text == "So far so good. One more is right."
    assert asked.check([]).correct is None
    assert "expected 0 to 2, got 7" in asked.check(7).text


def test_neuron_is_measured() -> None:
    model = orw.load_model("synthetic")
    asked = question(kind="neuron", query="dsi > 0.4", model="lab.model")
    namespace = {"lab": SimpleNamespace(model=model)}
    selective = model.neurons_of("ON-OFF DS 90°")[0]
    right = asked.check(selective, namespace)
    assert right.correct is True
    assert right.text.startswith(f"Right. Neuron {selective} has dsi = 0.8")
    wrong = asked.check("0", namespace)
    assert wrong.correct is False
    assert wrong.text == "Neuron 0 has dsi = 0.00; asked is dsi > 0.4."
    assert (
        asked.check("500", namespace).text == "There is no neuron 500: they are numbered 0 to 83."
    )
    assert asked.check("none", namespace).correct is None
    assert "Have you run the code above?" in asked.check("0", {}).text


def test_score_is_read_from_a_result() -> None:
    model = orw.load_model("synthetic")
    result = orw.optimize_neurons(model, neurons=[0], seed=0)
    reached = float(result.score[0])
    used = int(result.iterations[0])
    namespace = {"result": result}
    easy = question(kind="score", score=reached - 0.01, iterations=used)
    assert easy.check(None, namespace).correct is True
    high = question(kind="score", score=reached + 1, iterations=used).check(None, namespace)
    assert high.correct is False
    assert high.text.endswith("the score is too low.")
    slow = question(kind="score", score=reached - 0.01, iterations=used - 1).check(None, namespace)
    assert slow.correct is False
    assert slow.text.endswith("it took too many iterations.")
    assert "is no result of an optimisation" in easy.check(None, {"result": 3}).text


def test_text_is_kept_not_judged() -> None:
    asked = question(kind="text", at_least=20, model_answer="Because of the surround.")
    assert asked.check("short").correct is False
    assert "15 characters at least are missing" in asked.check("short").text
    kept = asked.check("It is the surround, I think.")
    assert kept.correct is None
    assert "Because of the surround." in kept.text


def test_check_runs_the_lessons_code() -> None:
    code = "correct = x > 1\nfeedback = f'x is {x}'\nx = 100"
    asked = question(kind="check", code=code)
    namespace = {"x": 1}
    assert asked.check(None, namespace).correct is False
    assert asked.check(None, namespace).text == "x is 1"
    assert namespace == {"x": 1}  # a check changes nothing of the student's
    assert asked.check(None, {"x": 2}).correct is True


def test_a_check_that_raises_or_says_nothing_is_not_judged() -> None:
    raised = question(kind="check", code="1 / 0").check(None, {})
    assert raised.correct is None
    assert "ZeroDivisionError" in raised.text
    left = question(kind="check", code="import sys; sys.exit(1)").check(None, {})
    assert left.correct is None
    assert "could not be checked: SystemExit" in left.text
    silent = question(kind="check", code="pass").check(None, {"correct": True})
    assert silent.correct is None
    assert "does not say whether it is correct" in silent.text
