"""What a notebook's metadata may say of a tutorial.

The metadata lie under the key ``openretina_widgets``, in the notebook's as in each cell's, so that
a tutorial stays an ordinary notebook, valid for nbformat and every front end.
"""

from __future__ import annotations

from typing import Any

import jsonschema

from openretina_widgets.errors import unknown_name
from openretina_widgets.tutorials.sealed import opened

__all__ = ["KEY", "problem_of_cell", "problem_of_notebook", "tutorial_metadata"]

KEY = "openretina_widgets"
VERSION = 1

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_NAME: dict[str, Any] = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,80}$"}
_POSITIVE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object that holds these and nothing else."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


NOTEBOOK = _object(
    {"version": {"const": VERSION}, "name": _NAME},
    {"title": _TEXT, "minutes": _POSITIVE, "goals": _TEXTS, "needs": _TEXTS},
)

CELLS = {
    "step": _object({"role": _TEXT, "title": _TEXT}),
    "question": _object(
        {"role": _TEXT, "question": {"type": "object", "required": ["id", "kind"]}}
    ),
    "hint": _object({"role": _TEXT, "for": _NAME}),
    "solution": _object({"role": _TEXT}, {"for": _NAME}),
    "prediction": _object({"role": _TEXT, "id": _NAME}),
    "teacher": _object({"role": _TEXT}),
    "plain": _object({"role": _TEXT}),
}

_CHOICE = {
    "anyOf": [
        _object({"text": _TEXT, "right": {"const": True}}, {"feedback": _TEXT}),
        _object({"text": _TEXT, "feedback": _TEXT}, {"right": {"const": False}}),
    ]
}
_MISTAKE = _object({"near": {"type": "number"}, "says": _TEXT}, {"tolerance": _POSITIVE})
_ASKED = {"id": _NAME, "kind": _TEXT}

QUESTIONS = {
    "choice": _object({**_ASKED, "choices": {"type": "array", "items": _CHOICE, "minItems": 2}}),
    "number": {
        **_object(
            _ASKED,
            {
                "answer": {"type": "number"},
                "expression": _TEXT,
                "tolerance": {"type": "number", "minimum": 0},
                "relative_tolerance": {"type": "number", "minimum": 0},
                "unit": _TEXT,
                "feedback": {"type": "array", "items": _MISTAKE},
            },
        ),
    },
    "neuron": _object({**_ASKED, "query": _TEXT}, {"model": {"type": "string"}}),
    "score": _object(
        {**_ASKED, "score": {"type": "number"}}, {"variable": _TEXT, "iterations": _POSITIVE}
    ),
    "text": _object(_ASKED, {"at_least": {"type": "integer", "minimum": 1}, "model_answer": _TEXT}),
    "check": _object({**_ASKED, "code": _TEXT}, {"answer": {"enum": ["none", "text", "number"]}}),
}


def tutorial_metadata(metadata: Any) -> Any:
    """Return what a notebook's or a cell's metadata say of a tutorial, None where nothing."""
    ours = metadata.get(KEY)
    return ours.get("tutorial") if isinstance(ours, dict) else None


def problem_of_notebook(said: Any) -> str:
    """Return what is wrong with the metadata of a notebook in words, empty where nothing is."""
    return _problem(said, NOTEBOOK)


def problem_of_cell(said: Any, cell_type: str) -> str:
    """Return what is wrong with the metadata of a cell in words, empty where nothing is."""
    if not isinstance(said, dict) or not isinstance(said.get("role"), str):
        return f"expected an object with a role, got {said!r}"
    role = said["role"]
    if role not in CELLS:
        return unknown_name("role", role, list(CELLS), "role")
    if problem := _problem(said, CELLS[role]):
        return problem
    wanted = {"prediction": ("code",), "solution": ("markdown", "code")}.get(role, ("markdown",))
    if cell_type not in wanted:
        return f"role: a {role} is a {' or '.join(wanted)} cell, and this is a {cell_type} cell"
    return _problem_of_question(said["question"]) if role == "question" else ""


def _problem_of_question(question: dict[str, Any]) -> str:
    try:
        question = opened(question)
    except ValueError as error:
        return str(error)
    kind = question["kind"]
    if kind not in QUESTIONS:
        return unknown_name("question.kind", kind, list(QUESTIONS), "kind of question")
    if problem := _problem(question, QUESTIONS[kind], "question"):
        return problem
    if kind == "choice" and not any(choice.get("right") for choice in question["choices"]):
        return "question.choices: none of them is right"
    if kind == "number":
        if ("answer" in question) == ("expression" in question):
            return "question: expected either an answer or an expression"
        if "tolerance" in question and "relative_tolerance" in question:
            return "question: expected a tolerance or a relative_tolerance, not both"
    return ""


def _problem(said: Any, schema: dict[str, Any], where: str = "") -> str:
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(said)
    )
    if problem is None:
        return ""
    place = ".".join([*filter(None, [where]), *(str(part) for part in problem.absolute_path)])
    return f"{place}: {problem.message}" if place else problem.message
