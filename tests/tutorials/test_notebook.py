"""Tutorials are read from notebooks, and a malformed one is refused with the cell's number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from openretina_widgets.errors import TutorialError
from openretina_widgets.tutorials import Tutorial

CHOICE = {
    "id": "sign",
    "kind": "choice",
    "choices": [{"text": "ON", "right": True}, {"text": "OFF", "feedback": "Look at the sign."}],
}


def says(**tutorial: Any) -> dict[str, Any]:
    return {"openretina_widgets": {"tutorial": tutorial}}


def written(folder: Path, cells: list[Any], metadata: dict[str, Any] | None = None) -> Path:
    path = folder / "lesson.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata or {}), path)
    return path


def lesson(folder: Path) -> Path:
    return written(
        folder,
        [
            new_markdown_cell("# One\n\n## not a step", metadata=says(role="step", title="First")),
            new_code_cell("x = 1"),
            new_markdown_cell("For the teacher", metadata=says(role="teacher")),
            new_markdown_cell(
                "Which?\n\n- ON\n- OFF", metadata=says(role="question", question=CHOICE)
            ),
            new_markdown_cell("Think", metadata=says(role="hint", **{"for": "sign"})),
            new_markdown_cell("Think more", metadata=says(role="hint", **{"for": "sign"})),
            new_markdown_cell("ON", metadata=says(role="solution", **{"for": "sign"})),
            new_markdown_cell("# Two", metadata=says(role="step", title="Second")),
            new_code_cell("y = 2", metadata=says(role="solution")),
        ],
        says(version=1, name="small", title="A small one", minutes=5, goals=["g"], needs=[]),
    )


def test_steps_questions_hints_and_solutions(tmp_path: Path) -> None:
    tutorial = Tutorial.read(lesson(tmp_path))
    assert (tutorial.name, tutorial.title, tutorial.minutes) == ("small", "A small one", 5)
    assert [step.title for step in tutorial.steps] == ["First", "Second"]
    assert [(c.number, c.role) for c in tutorial.steps[0].cells] == [
        (1, "text"),
        (2, "code"),
        (4, "question"),
    ]
    assert [c.role for c in tutorial.steps[1].cells] == ["text", "solution"]
    assert [c.source for c in tutorial.hints["sign"]] == ["Think", "Think more"]
    assert [c.source for c in tutorial.solutions["sign"]] == ["ON"]
    assert tutorial.questions["sign"].prompt == "Which?"
    assert tutorial.notes == ()


def test_without_metadata_headings_open_steps(tmp_path: Path) -> None:
    cells = [
        new_code_cell("0"),
        new_markdown_cell("# The `first`"),
        new_markdown_cell("### not"),
        new_markdown_cell("## Second"),
        new_markdown_cell(" "),
    ]
    tutorial = Tutorial.read(written(tmp_path, cells))
    assert [step.title for step in tutorial.steps] == ["Start", "The first", "Second"]
    assert tutorial.name == "lesson"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"role": "stepp", "title": "x"}, "role: there is no role 'stepp'; the nearest is 'step'"),
        ({"role": "step"}, "'title' is a required property"),
        ({"role": "hint", "for": "nothing"}, "there is no question 'nothing' to this hint"),
        ({"title": "x"}, "expected an object with a role"),
        ({"role": "prediction", "id": "p"}, "a prediction is a code cell"),
        ({"role": "question", "question": {"id": "q"}}, "question: 'kind' is a required property"),
        (
            {"role": "question", "question": {"id": "q", "kind": "nummer"}},
            "question.kind: there is no kind of question 'nummer'; the nearest is 'number'",
        ),
        (
            {"role": "question", "question": {"id": "q", "kind": "number"}},
            "either an answer or an expression",
        ),
        (
            {"role": "question", "question": {"id": "q", "kind": "number", "answer": "1"}},
            "question.answer: '1' is not of type 'number'",
        ),
        (
            {"role": "question", "question": {"id": "q", "kind": "check", "code": "1 +"}},
            "question.code: invalid syntax in line 1",
        ),
        (
            {
                "role": "question",
                "question": {
                    "id": "q",
                    "kind": "choice",
                    "choices": [{"text": "a", "feedback": "b"}, {"text": "c", "feedback": "d"}],
                },
            },
            "question.choices: none of them is right",
        ),
    ],
)
def test_malformed_cells_are_refused_by_number(
    tmp_path: Path, said: dict[str, Any], reason: str
) -> None:
    path = written(tmp_path, [new_code_cell("1"), new_markdown_cell("text", metadata=says(**said))])
    with pytest.raises(TutorialError) as caught:
        Tutorial.read(path)
    assert "lesson.ipynb, cell 2: " in str(caught.value)
    assert reason in str(caught.value)


def test_choices_that_differ_from_the_text_are_refused(tmp_path: Path) -> None:
    cell = new_markdown_cell(
        "Which?\n\n1. ON\n2. off", metadata=says(role="question", question=CHOICE)
    )
    with pytest.raises(TutorialError, match=r"cell 1: question\.choices: differ from the list"):
        Tutorial.read(written(tmp_path, [cell]))


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    cells = [
        new_markdown_cell("Which?", metadata=says(role="question", question=CHOICE))
        for _ in range(2)
    ]
    with pytest.raises(TutorialError, match=r"cell 2: id: there is a question .* 'sign' already"):
        Tutorial.read(written(tmp_path, cells))


def test_an_old_notebook_is_upgraded_and_said(tmp_path: Path) -> None:
    old = nbformat.v3.new_notebook(
        worksheets=[
            nbformat.v3.new_worksheet(
                cells=[
                    nbformat.v3.new_heading_cell("Old", level=1),
                    nbformat.v3.new_code_cell("1 + 1"),
                ]
            )
        ]
    )
    path = tmp_path / "old.ipynb"
    text = json.dumps(old)
    path.write_text(text)
    tutorial = Tutorial.read(path)
    assert tutorial.steps[0].title == "Old"
    assert tutorial.steps[0].cells[1].source == "1 + 1"
    assert "Read from nbformat 3.0" in tutorial.notes[0]
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cannot be read as a notebook"),
        ("[1, 2]", "cannot be read as a notebook"),
        (
            '{"nbformat": 9, "nbformat_minor": 0, "metadata": {}, "cells": []}',
            "Unsupported nbformat version 9",
        ),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "nothing in it"),
        (
            '{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells":'
            ' [{"cell_type": "code", "source": "1", "metadata": {}}]}',
            "cell 1: ",
        ),
    ],
)
def test_an_invalid_notebook_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text(content)
    with pytest.raises(TutorialError, match=r"bad\.ipynb") as caught:
        Tutorial.read(path)
    assert reason in str(caught.value)


def test_another_language_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, [new_markdown_cell("# R")], {"language_info": {"name": "R"}})
    assert "Written in R" in Tutorial.read(path).notes[0]


def test_a_missing_or_unknown_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no notebook"):
        Tutorial.read(tmp_path / "no.ipynb")
    with pytest.raises(ValueError, match="the nearest is 'tuning_curves'"):
        Tutorial.read("tuning_curve")
    with pytest.raises(TypeError, match="expected the name of a lesson or a path, got 3"):
        Tutorial.read(3)  # type: ignore[arg-type]


def test_a_lesson_by_its_name() -> None:
    tutorial = Tutorial.read("tuning_curves")
    assert tutorial.path.name == "02_tuning_curves.ipynb"
    assert len(tutorial.steps) >= 4
