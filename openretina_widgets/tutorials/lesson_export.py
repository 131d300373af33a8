"""A lesson with what a student made of it, as a notebook to take home."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.notebook import escaped
from openretina_widgets.tutorials.notebook import Tutorial, read_notebook
from openretina_widgets.tutorials.progress import Progress
from openretina_widgets.tutorials.questions import ChoiceQuestion, Question
from openretina_widgets.tutorials.schema import tutorial_metadata

__all__ = ["LESSON_FORMATS", "export_lesson"]

LESSON_FORMATS: Mapping[str, str] = {
    ".ipynb": "the lesson with your code and answers",
    ".json": "your code and answers alone",
}


def export_lesson(
    tutorial: Tutorial, progress: Progress, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a lesson with the student's code and answers.

    Parameters
    ----------
    tutorial, progress
        The lesson, and what was made of it.
    path
        Ends in ``.ipynb``: the lesson as a notebook, with the student's code in place of its own
        and each answer under its question, without what is for the teacher; or ``.json``.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError
        If the suffix is another one; the message says how results are saved.
    OSError
        If it cannot be written.
    """
    suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else ""
    if suffix and suffix not in LESSON_FORMATS:
        raise ValueError(
            f"path: a lesson is saved as {' or '.join(LESSON_FORMATS)}, not as {suffix}; what was "
            "measured in it is saved by openretina_widgets.export.save(result, path)"
        )
    target = check_path(path, tuple(LESSON_FORMATS), overwrite=overwrite)
    if suffix == ".json":
        kept = {
            "tutorial": tutorial.name,
            "title": tutorial.title,
            "step": progress.step + 1,
            "of": len(tutorial.steps),
            "answers": progress.answers,
            "hints": progress.hints,
            "code": progress.code,
        }
        text = json.dumps(kept, indent=1, ensure_ascii=False)
    else:
        text = str(nbformat.writes(_worked(tutorial, progress)))
    with written_whole(target) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return target


def _worked(tutorial: Tutorial, progress: Progress) -> Any:
    notebook = copy.deepcopy(read_notebook(tutorial.path)[0])
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)
    code, answers = progress.code, progress.answers
    cells = []
    for number, cell in enumerate(notebook.cells, start=1):
        said = tutorial_metadata(cell.metadata) or {}
        if said.get("role") == "teacher":
            continue
        cell.setdefault("id", f"cell-{number}")
        if cell.cell_type == "code":
            cell.source = code.get(cell.id, cell.source)
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
        name = said.get("question", {}).get("id", "") if said.get("role") == "question" else ""
        if name in answers:
            words = _answer_in_words(tutorial.questions[name], answers[name])
            cells.append(nbformat.v4.new_markdown_cell(words, id=f"answer-{number}"))
    notebook.cells = cells
    nbformat.validate(notebook)
    return notebook


def _answer_in_words(question: Question, kept: Mapping[str, Any]) -> str:
    value = kept.get("value")
    if isinstance(question, ChoiceQuestion):
        chosen = value if isinstance(value, list) else [value]
        texts = [
            question.choices[k].text
            for k in chosen
            if isinstance(k, int) and 0 <= k < len(question.choices)
        ]
        value = "; ".join(texts) or value
    judged = {True: "right", False: "not yet right"}.get(kept.get("correct"), "not judged")  # type: ignore[arg-type]
    tries = int(kept.get("tries", 1))
    said = "" if value is None else f" {escaped(value)}"
    return f"**My answer:**{said}\n\n*{judged}, {tries} {'try' if tries == 1 else 'tries'}*"
