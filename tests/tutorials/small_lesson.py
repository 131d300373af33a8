"""A lesson of three steps with each kind of cell, written as a real notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def _said(**tutorial: Any) -> dict[str, Any]:
    return {"openretina_widgets": {"tutorial": tutorial}}


def small_lesson(folder: Path, name: str = "small") -> Path:
    """Write the lesson; its path."""
    text, code = new_markdown_cell, new_code_cell
    cells = [
        text(
            "# A small lesson\n\nA **bold** word, a formula $a^2 + b^2 = c^2$, and a picture:\n\n"
            "![dot](dot.png)\n\n<script>window.hacked = 1</script>",
            metadata=_said(role="step", title="Begin"),
        ),
        text("To be asked, open it as a lesson.", metadata=_said(role="plain")),
        code("start = 20"),
        text(
            "What is one more than `start`?",
            metadata=_said(
                role="question",
                question={
                    "id": "more",
                    "kind": "number",
                    "expression": "start + 1",
                    "unit": "Hz",
                    "feedback": [{"near": 20, "says": "That is `start` itself."}],
                },
            ),
        ),
        text(
            "<details><summary>Hint</summary>\n\nAdd.\n</details>",
            metadata=_said(role="hint", **{"for": "more"}),
        ),
        text("Add one.", metadata=_said(role="hint", **{"for": "more"})),
        text("It is $20 + 1 = 21$.", metadata=_said(role="solution", **{"for": "more"})),
        text("## Choose", metadata=_said(role="step", title="Choose")),
        text(
            "Which is even?\n\n- two\n- three",
            metadata=_said(
                role="question",
                question={
                    "id": "even",
                    "kind": "choice",
                    "choices": [
                        {"text": "two", "right": True},
                        {"text": "three", "feedback": "Three is odd."},
                    ],
                },
            ),
        ),
        text("Why?", metadata=_said(role="question", question={"id": "why", "kind": "text"})),
        text("## End\n\nDone.", metadata=_said(role="step", title="End")),
        code("start * 2"),
        text("For the teacher only", metadata=_said(role="teacher")),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata = _said(
        version=1, name=name, title="A small lesson", minutes=5, goals=["Add one", "Find even ones"]
    )
    nbformat.validate(notebook)
    (folder / "dot.png").write_bytes(_PNG)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c"
    "6360f8cf50000003010180f92e8c5c0000000049454e44ae426082"
)
