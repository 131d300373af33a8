"""Progress survives the kernel, two kernels add to each other, a read-only folder is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from filelock import FileLock
from nbformat.v4 import new_markdown_cell, new_notebook

from openretina_widgets.tutorials import Tutorial, progress
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


def test_another_notebook_is_said_once_it_has_changed_something(
    tutorial: Tutorial, tmp_path: Path
) -> None:
    mine, other = (Progress(tutorial, folder=tmp_path) for _ in range(2))
    mine.step = 1
    assert mine.company == ""
    other.open_hints("q", 2)
    assert "open in another notebook too" in other.company
    mine.open_hints("q", 1)
    assert "open in another notebook too" in mine.company
    assert Progress(tutorial, folder=tmp_path).hints == {"q": 2}  # what was seen stays open
    assert Progress(tutorial, folder=tmp_path).company == ""


def test_what_could_not_be_written_is_added_to_what_others_wrote_meanwhile(
    tutorial: Tutorial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.05)
    mine, other = (Progress(tutorial, folder=tmp_path) for _ in range(2))
    mine.answer("a", 1, False, "")
    with FileLock(mine.path.with_suffix(".lock")):
        mine.answer("a", 2, True, "")
        mine.keep_code("c", "x = 2")
        assert "cannot be kept" in mine.trouble
        assert mine.answers["a"]["tries"] == 2
    other.answer("b", 3, True, "")
    mine.step = 1
    assert mine.trouble == ""
    again = Progress(tutorial, folder=tmp_path)
    assert (again.step, again.code) == (1, {"c": "x = 2"})
    assert {key: value["tries"] for key, value in again.answers.items()} == {"a": 2, "b": 1}


NOBODY = """
import os, sys
import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook
from openretina_widgets.tutorials import Tutorial
from openretina_widgets.tutorials.progress import Progress
os.umask(0)
folder = sys.argv[1]
path = os.path.join(folder, "lesson.ipynb")
nbformat.write(new_notebook(cells=[new_markdown_cell("# Step")]), path)
tutorial = Tutorial.read(path)
if os.geteuid() == 0:  # root may read and write everything
    os.setgid(65534)
    os.setuid(65534)
first = Progress(tutorial, folder=folder)
first.answer("a", 1, True, "")
"""
UNREADABLE = """
first.path.chmod(0)
second = Progress(tutorial, folder=folder)
second.answer("b", 2, True, "")
print(second.trouble)
first.path.chmod(0o600)
second.step = 0
print(second.trouble, sorted(Progress(tutorial, folder=folder).answers))
"""
READ_ONLY = """
os.mkdir(folder + "/sub")
os.chmod(folder + "/sub", 0o555)
second = Progress(tutorial, folder=folder + "/sub")
second.answer("b", 2, True, "")
print(second.trouble)
os.chmod(folder + "/sub", 0o700)
second.step = 0
print(second.trouble, sorted(Progress(tutorial, folder=folder + "/sub").answers))
"""


@pytest.mark.skipif(os.name == "nt", reason="no such permissions on Windows")
@pytest.mark.parametrize(("code", "kept"), [(UNREADABLE, "['a', 'b']"), (READ_ONLY, "['b']")])
def test_without_permission_nothing_is_replaced_and_it_is_added_later(code: str, kept: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        command = [sys.executable, "-c", NOBODY + code, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        denied, again = done.stdout.splitlines()
        assert "cannot be kept in" in denied
        assert "Permission denied" in denied
        assert again == f" {kept}"


def test_a_folder_in_place_of_the_file_is_said_and_left(tutorial: Tutorial, tmp_path: Path) -> None:
    path = Progress(tutorial, folder=tmp_path).path
    path.mkdir()
    kept = Progress(tutorial, folder=tmp_path)
    kept.answer("a", 1, True, "")
    assert "cannot be kept" in kept.trouble
    assert kept.answers["a"]["solved"]
    path.rmdir()
    kept.step = 2
    assert Progress(tutorial, folder=tmp_path).answers["a"]["solved"]


def test_answers_from_code_are_kept_as_json_holds_them(tutorial: Tutorial, tmp_path: Path) -> None:
    first = Progress(tutorial, folder=tmp_path)
    first.answer("a", np.int64(12), True, "")
    first.answer("b", np.array([1.0, np.nan]), None, "")
    first.answer("c", {1, 2}, None, "")
    kept = Progress(tutorial, folder=tmp_path).answers
    assert [kept[name]["value"] for name in "abc"] == [12, [1.0, None], "{1, 2}"]


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
