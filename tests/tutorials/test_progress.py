"""Progress survives the kernel, two kernels add to each other, a read-only folder is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from openretina_widgets.tutorials import Tutorial
from openretina_widgets.tutorials.progress import Progress


@pytest.fixture
def tutorial(tmp_path: Path) -> Tutorial:
    path = tmp_path / "lesson.ipynb"
    cells = [new_markdown_cell(f"# Step {k}") for k in range(3)]
    nbformat.write(new_notebook(cells=cells), path)
    return Tutorial.read(path)


def test_survives(tutorial: Tutorial, tmp_path: Path) -> None:
    first = Progress(tutorial, folder=tmp_path / "home")
    assert (first.step, first.seen, first.trouble) == (0, frozenset(), "")
    first.step = 2
    first.answer("q", "1.5 Hz", False, "too small")
    first.answer("q", "2 Hz", True, "Right")
    first.answer("q", "9 Hz", False, "too large")
    first.open_hints("q", 1)
    first.keep_code("c", "x = 'ü'")
    again = Progress(tutorial, folder=tmp_path / "home")
    assert (again.step, again.seen) == (2, frozenset({2}))
    assert again.answers["q"] == {
        "value": "9 Hz",
        "correct": False,
        "feedback": "too large",
        "tries": 3,
        "solved": True,
    }
    assert (again.hints, again.code) == ({"q": 1}, {"c": "x = 'ü'"})
    again.keep_code("c", None)
    assert Progress(tutorial, folder=tmp_path / "home").code == {}


def test_two_kernels_add_to_each_other(tutorial: Tutorial, tmp_path: Path) -> None:
    mine, other = (Progress(tutorial, folder=tmp_path) for _ in range(2))
    mine.answer("a", 1, True, "")
    other.answer("b", 2, True, "")
    mine.step = 1
    assert set(Progress(tutorial, folder=tmp_path).answers) == {"a", "b"}


def test_processes_at_once_lose_nothing(tutorial: Tutorial, tmp_path: Path) -> None:
    code = (
        "import sys; from openretina_widgets.tutorials import Tutorial\n"
        "from openretina_widgets.tutorials.progress import Progress\n"
        "progress = Progress(Tutorial.read(sys.argv[1]), folder=sys.argv[2])\n"
        "for k in range(20): progress.answer(f'{sys.argv[3]}-{k}', k, True, '')\n"
        "sys.exit(bool(progress.trouble))\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tutorial.path), str(tmp_path), str(k)])
        for k in range(4)
    ]
    assert [run.wait(60) for run in runs] == [0] * 4
    assert len(Progress(tutorial, folder=tmp_path).answers) == 80


def test_a_folder_that_cannot_be_written_is_said_and_work_goes_on(
    tutorial: Tutorial, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    progress = Progress(tutorial, folder=tmp_path / "file" / "progress")
    for _ in range(2):
        progress.answer("q", 1, False, "")
    progress.step = 1
    assert "cannot be kept in" in progress.trouble
    assert "for as long as this kernel runs" in progress.trouble
    assert progress.step == 1
    assert progress.answers["q"]["tries"] == 2
    (tmp_path / "file").unlink()
    progress.step = 2
    assert progress.trouble == ""
    assert Progress(tutorial, folder=tmp_path / "file" / "progress").answers["q"]["tries"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": "two"}', '{"answers": {"q": 3}}'])
def test_a_damaged_file_is_put_aside(tutorial: Tutorial, tmp_path: Path, content: str) -> None:
    path = Progress(tutorial, folder=tmp_path).path
    path.write_text(content)
    progress = Progress(tutorial, folder=tmp_path)
    assert (progress.step, progress.answers) == (0, {})
    assert path.with_suffix(".damaged.json").read_text() == content


def test_begin_anew_keeps_the_old_beside(tutorial: Tutorial, tmp_path: Path) -> None:
    progress = Progress(tutorial, folder=tmp_path)
    progress.answer("q", 1, True, "")
    progress.forget()
    assert progress.answers == {}
    assert Progress(tutorial, folder=tmp_path).answers == {}
    assert "q" in json.loads(progress.path.with_suffix(".before.json").read_text())["answers"]


def test_each_notebook_has_its_own(tmp_path: Path) -> None:
    cells = [new_markdown_cell("# Step")]
    paths = [tmp_path / folder / "lesson.ipynb" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        nbformat.write(new_notebook(cells=cells), path)
    kept = {Progress(Tutorial.read(path), folder=tmp_path).path for path in paths}
    kept.add(Progress(Tutorial.read("tuning_curves"), folder=tmp_path).path)
    assert len(kept) == 3
    assert tmp_path / "tuning_curves.json" in kept
