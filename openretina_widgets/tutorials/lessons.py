"""The lessons that ship with the package: where they are, and what a student gets of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nbformat

from openretina_widgets.errors import unknown_name
from openretina_widgets.tutorials.sealed import sealed

__all__ = ["lesson_path", "lesson_paths", "without_solutions"]

KEY = "openretina_widgets"
TEACHERS_ONLY = ("solution", "teacher")

# In a wheel the lessons lie beside this file; in a source tree they are its `notebooks/`.
_IN_A_WHEEL = Path(__file__).parent / "lessons"
_IN_THE_SOURCE = Path(__file__).parents[2] / "notebooks"


def lessons_folder() -> Path:
    """Return the folder of the lessons.

    Raises
    ------
    FileNotFoundError
        If the package was installed without them.
    """
    for folder in (_IN_A_WHEEL, _IN_THE_SOURCE):
        if any(folder.glob("*.ipynb")):
            return folder
    raise FileNotFoundError(
        f"the lessons are missing: there is no notebook in {_IN_A_WHEEL} nor in {_IN_THE_SOURCE};"
        " install openretina-widgets again"
    )


def lesson_paths() -> dict[str, Path]:
    """Return the notebooks of all lessons by name, in the order in which they build on each other.

    Returns
    -------
    dict
        Name, such as ``"tuning_curves"``, to path, such as ``.../02_tuning_curves.ipynb``. These
        are the originals, with solutions and the teacher's pages.

    Raises
    ------
    FileNotFoundError
        If the package was installed without them.
    """
    return {lesson_name(path): path for path in sorted(lessons_folder().glob("*.ipynb"))}


def lesson_path(name: str) -> Path:
    """Return the notebook of a lesson.

    Parameters
    ----------
    name
        ``"tuning_curves"``, or with its number: ``"02_tuning_curves"``, ``"02"``, ``"2"``.

    Raises
    ------
    TypeError
        If `name` is no text.
    ValueError
        If there is no such lesson; the message names the nearest.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected that of a lesson, got {name!r}")
    known = lesson_paths()
    asked = name.strip().removesuffix(".ipynb")
    for short, path in known.items():
        number = path.stem.partition("_")[0]
        if asked in (short, path.stem) or (asked.isdecimal() and int(asked) == int(number)):
            return path
    raise ValueError(unknown_name("name", name, list(known), "lesson"))


def without_solutions(notebook: Any) -> Any:
    """Return the student's version of a notebook: no solutions, teacher's page or outputs.

    How an answer is checked stays in the metadata, since the student's own kernel checks it. It is
    packed, so that no answer is read by accident; who wants to can unpack it.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        It is left as it is.

    Returns
    -------
    nbformat.NotebookNode
        A valid notebook, the same for the same input.
    """
    student = copy.deepcopy(notebook)
    student.cells = [cell for cell in student.cells if role_of(cell) not in TEACHERS_ONLY]
    for cell in student.cells:
        cell.metadata.pop("execution", None)
        if role_of(cell) == "question":
            said = cell.metadata[KEY]["tutorial"]
            if isinstance(said.get("question"), dict):
                said["question"] = sealed(said["question"])
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    student.metadata.pop("widgets", None)
    return student


def role_of(cell: Any) -> str:
    """Return what a cell is in its tutorial, ``""`` where nothing is said of it."""
    tutorial = cell.metadata.get(KEY, {}).get("tutorial", {})
    role = tutorial.get("role", "")
    return role if isinstance(role, str) else ""


def notebook_bytes(path: Path, *, solutions: bool) -> bytes:
    """Return a lesson as the content of a file, with or without its solutions."""
    notebook = nbformat.read(path, as_version=4)
    if not solutions:
        notebook = without_solutions(notebook)
    text: str = nbformat.writes(notebook)
    return (text.rstrip("\n") + "\n").encode()


def lesson_name(path: Path) -> str:
    """Return the short name of a lesson's file, without its number."""
    number, _, name = path.stem.partition("_")
    return name if number.isdecimal() and name else path.stem
