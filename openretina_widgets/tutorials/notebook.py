"""A tutorial read from a notebook: steps, and in them texts, code and questions."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat

from openretina_widgets.errors import TutorialError
from openretina_widgets.tutorials.lessons import lesson_name, lesson_path
from openretina_widgets.tutorials.questions import Question, read_question
from openretina_widgets.tutorials.schema import (
    problem_of_cell,
    problem_of_notebook,
    tutorial_metadata,
)
from openretina_widgets.tutorials.sealed import opened

__all__ = ["Tutorial", "TutorialCell", "TutorialStep"]

_LARGEST = 64  # MiB; a notebook beyond that is no lesson
_LONGEST_TITLE = 80  # characters


@dataclass(frozen=True)
class TutorialCell:
    """One cell.

    Attributes
    ----------
    number
        Place in the file, from 1.
    id
        The cell's own id, the same for as long as the notebook is edited.
    kind
        ``"markdown"`` or ``"code"``.
    source
        Its text.
    role
        ``"text"``, ``"code"``, ``"question"``, ``"prediction"``, ``"hint"`` or ``"solution"``.
    about
        Id of the question or prediction that it is, or that it is a hint or solution to.
    attachments
        Name to MIME type to base64, pictures that were pasted into the cell.
    """

    number: int
    id: str
    kind: Literal["markdown", "code"]
    source: str
    role: str
    about: str = ""
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class TutorialStep:
    """A part of a tutorial that is shown at once.

    Attributes
    ----------
    title
        What the list of steps says.
    cells
        Shown from top to bottom; hints, and solutions to a question, are not among them.
    """

    title: str
    cells: tuple[TutorialCell, ...]


@dataclass(frozen=True)
class Tutorial:
    """A tutorial, as read from a notebook.

    Attributes
    ----------
    name
        Short name; the file's, where the notebook gives none.
    title
        What the page says at the top.
    path
        The notebook.
    steps
        In order.
    questions
        Id to `Question`, in order.
    hints, solutions
        Id of a question to the cells that help with it, in order.
    goals, needs
        What is learnt, and what has to be known before.
    minutes
        How long it takes, None when it is not said.
    notes
        What was done to read it, in words.
    """

    name: str
    title: str
    path: Path
    steps: tuple[TutorialStep, ...]
    questions: dict[str, Question]
    hints: dict[str, tuple[TutorialCell, ...]]
    solutions: dict[str, tuple[TutorialCell, ...]]
    goals: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    minutes: float | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, name: str | os.PathLike[str]) -> Tutorial:
        """Read a lesson that ships with the package, or any notebook.

        Without metadata of a tutorial every heading of the first or second level opens a step.

        Parameters
        ----------
        name
            Name of a lesson, ``"tuning_curves"``, or path of an ``.ipynb`` file.

        Raises
        ------
        TypeError
            If it is neither a text nor a path.
        ValueError
            If there is no lesson of that name; the message names the nearest.
        FileNotFoundError
            If there is no such file.
        TutorialError
            If it is no valid notebook, or its metadata are malformed; the message gives the
            number of the cell, from 1, and the reason.
        """
        path = _path_of(name)
        notebook, notes = read_notebook(path)
        return _Reader(path, notebook, notes).tutorial()


def _path_of(name: str | os.PathLike[str]) -> Path:
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name: expected the name of a lesson or a path, got {name!r}")
    path = Path(name).expanduser()
    if path.suffix != ".ipynb":
        if path.is_file():
            raise TutorialError(f"{path}: expected a notebook, a file whose name ends in .ipynb")
        return lesson_path(os.fspath(name))
    if not path.is_file():
        raise FileNotFoundError(f"name: there is no notebook {path}")
    return path


def read_notebook(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return a notebook, upgraded to nbformat 4 where it is older, and what was done to it."""
    if path.stat().st_size > _LARGEST << 20:
        raise TutorialError(f"{path.name}: larger than {_LARGEST} MiB, which is no lesson")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TutorialError(f"{path.name}: not a text in UTF-8, so no notebook") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that an older format lacks
            told = nbformat.reader.reads(text)
            older = (told.get("nbformat", 0), told.get("nbformat_minor", 0))
            notebook = nbformat.convert(told, 4)
            notebook = nbformat.validator.normalize(notebook)[1]
            nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise TutorialError(f"{path.name}: {_invalid(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # of any damaged file
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise TutorialError(f"{path.name}: cannot be read as a notebook: {reason}") from None
    if older[0] >= 4:
        return notebook, ()
    words = f"Read from nbformat {older[0]}.{older[1]}, upgraded to 4; the file is as it was."
    return notebook, (words,)


def _invalid(error: Any) -> str:
    """Return where and why nbformat calls a notebook invalid."""
    place = [*getattr(error, "absolute_path", [])]
    cell = f"cell {place[1] + 1}: " if len(place) > 1 and place[0] == "cells" else ""
    return f"{cell}{error.message.splitlines()[0][:200]}"


class _Reader:
    """Goes through the cells once."""

    def __init__(self, path: Path, notebook: Any, notes: tuple[str, ...]) -> None:
        self.path, self.notebook, self.notes = path, notebook, [*notes]
        self.steps: list[tuple[str, list[TutorialCell]]] = []
        self.questions: dict[str, Question] = {}
        self.predictions: set[str] = set()
        self.helps: dict[str, dict[str, list[TutorialCell]]] = {"hint": {}, "solution": {}}
        self.said = tutorial_metadata(notebook.metadata)
        self.by_headings = self.said is None and not any(
            isinstance(said, dict) and said.get("role") == "step"
            for said in (tutorial_metadata(cell.metadata) for cell in notebook.cells)
        )

    def tutorial(self) -> Tutorial:
        said = self.said
        if said is not None and (problem := problem_of_notebook(said)):
            raise TutorialError(f"{self.path.name}, the notebook's metadata: {problem}")
        language = self.notebook.metadata.get("language_info", {}).get("name", "python")
        if str(language).lower() != "python":
            self.notes.append(f"Written in {language}: its code cannot run in a Python kernel.")
        for number, cell in enumerate(self.notebook.cells, start=1):
            if cell.cell_type != "raw" and cell.source.strip():
                self._take(number, cell)
        for role, helps in self.helps.items():
            for about, cells in helps.items():
                if about not in self.questions and about not in self.predictions:
                    self._refuse(
                        cells[0].number, f"for: there is no question {about!r} to this {role}"
                    )
        if not self.steps:
            raise TutorialError(f"{self.path.name}: there is nothing in it to show")
        said = said or {}
        return Tutorial(
            name=said.get("name") or lesson_name(self.path),
            title=said.get("title") or self.steps[0][0],
            path=self.path,
            steps=tuple(TutorialStep(title, tuple(cells)) for title, cells in self.steps),
            questions=self.questions,
            hints={about: tuple(cells) for about, cells in self.helps["hint"].items()},
            solutions={about: tuple(cells) for about, cells in self.helps["solution"].items()},
            goals=tuple(said.get("goals", ())),
            needs=tuple(said.get("needs", ())),
            minutes=said.get("minutes"),
            notes=tuple(self.notes),
        )

    def _take(self, number: int, cell: Any) -> None:
        said = tutorial_metadata(cell.metadata)
        if said is not None and (problem := problem_of_cell(said, cell.cell_type)):
            self._refuse(number, problem)
        role = said["role"] if said else ""
        if role in ("teacher", "plain"):
            return
        if role == "step":
            self.steps.append((said["title"], []))
        elif self.by_headings and (title := _heading(cell)):
            self.steps.append((title, []))
        if not self.steps:
            self.steps.append((_heading(cell) or "Start", []))
        about = ""
        if role == "question":
            about = self._question(number, cell.source, opened(said["question"]))
        elif role in ("hint", "solution"):
            about = said.get("for", "")
        elif role == "prediction":
            about = self._new(number, said["id"])
            self.predictions.add(about)
        taken = TutorialCell(
            number=number,
            id=cell.get("id") or f"cell-{number}",
            kind=cell.cell_type,
            source=cell.source,
            role={"": "text" if cell.cell_type == "markdown" else "code", "step": "text"}.get(
                role, role
            ),
            about=about,
            attachments=dict(cell.get("attachments", {})),
        )
        if role == "hint" or (role == "solution" and about):
            self.helps[role].setdefault(about, []).append(taken)
        else:
            self.steps[-1][1].append(taken)

    def _question(self, number: int, prompt: str, said: dict[str, Any]) -> str:
        name = self._new(number, said["id"])
        try:
            self.questions[name] = read_question(prompt, said)
        except ValueError as error:
            self._refuse(number, str(error))
        return name

    def _new(self, number: int, name: str) -> str:
        if name in self.questions or name in self.predictions:
            self._refuse(number, f"id: there is a question or prediction {name!r} already")
        return name

    def _refuse(self, number: int, reason: str) -> None:
        raise TutorialError(f"{self.path.name}, cell {number}: {reason}")


def _heading(cell: Any) -> str:
    """Return the text of a heading of the first or second level that opens a cell, or nothing."""
    if cell.cell_type != "markdown":
        return ""
    marks, _, title = cell.source.lstrip().splitlines()[0].partition(" ")
    if marks not in ("#", "##"):
        return ""
    title = title.strip().rstrip("#").strip().replace("**", "").replace("`", "")
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
