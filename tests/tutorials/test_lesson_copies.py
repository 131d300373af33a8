"""Lessons are copied for a student, and what a student changed is never touched."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import ipywidgets as ipw
import nbformat
import pytest

from openretina_widgets import TutorialStepper
from openretina_widgets.errors import TutorialError
from openretina_widgets.tutorials import Tutorial, copy_lessons, lesson_copies
from openretina_widgets.tutorials.lessons import lesson_paths, role_of


def states(folder: Path) -> dict[str, str]:
    return {lesson.path.name: lesson.state for lesson in copy_lessons(folder)}


def test_all_lessons_are_copied_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert set(states(folder).values()) == {"new"}
    assert {path.name for path in folder.glob("*.ipynb")} == {
        path.name for path in lesson_paths().values()
    }
    assert set(states(folder).values()) == {"same"}


def test_a_students_copy_has_no_solutions_and_a_teachers_has(tmp_path: Path) -> None:
    copy_lessons(tmp_path / "student")
    copy_lessons(tmp_path / "teacher", solutions=True)
    for path in lesson_paths().values():
        roles = {
            folder: [
                cell.metadata.get("openretina_widgets", {}).get("tutorial", {}).get("role")
                for cell in nbformat.read(tmp_path / folder / path.name, 4).cells
            ]
            for folder in ("student", "teacher")
        }
        assert not {"solution", "teacher"} & set(roles["student"])
        assert len(roles["teacher"]) >= len(roles["student"])
        nbformat.validate(nbformat.read(tmp_path / "student" / path.name, 4))


def test_a_students_copy_asks_the_same_and_shows_no_answer(tmp_path: Path) -> None:
    for copied, source in zip(copy_lessons(tmp_path), lesson_paths().values(), strict=True):
        original, student = Tutorial.read(source), Tutorial.read(copied.path)
        assert student.questions == original.questions
        assert student.solutions == {}
        text = copied.path.read_text(encoding="utf-8")
        for answer in ('"right"', '"feedback"', '"answer"', '"expression"', '"model_answer"'):
            assert answer not in text


def test_a_students_copy_is_stepped_through_without_a_solution(tmp_path: Path) -> None:
    for copied in copy_lessons(tmp_path):
        stepper = TutorialStepper(copied.path, progress_folder=tmp_path / "progress")
        for _ in stepper.tutorial.steps:
            stepper.next()
        buttons = [w for w in _everything(stepper) if isinstance(w, ipw.Button)]
        words = {button.description for button in buttons}
        assert "Check" in words
        assert not {word for word in words if "solution" in word}
        stepper.close()


def _everything(widget: ipw.Widget) -> Iterator[ipw.Widget]:
    """A widget with all that it shows; of a stepper, on all its steps."""
    yield widget
    pages = widget._pages.values() if isinstance(widget, TutorialStepper) else ()
    for child in (*getattr(widget, "children", ()), *pages):
        yield from _everything(child)


@pytest.mark.parametrize("packed", ["", "%", "bm8=", "W10=", "eyJpZCI6ICJhIn0=", 3])
def test_answers_that_cannot_be_opened_are_refused_by_their_cell(
    tmp_path: Path, packed: object
) -> None:
    path = copy_lessons(tmp_path)[0].path
    notebook = nbformat.read(path, 4)
    number, cell = next(
        (k, cell) for k, cell in enumerate(notebook.cells, 1) if role_of(cell) == "question"
    )
    cell.metadata["openretina_widgets"]["tutorial"]["question"]["sealed"] = packed
    nbformat.write(notebook, path)
    with pytest.raises(TutorialError, match=rf"cell {number}: question\.sealed: cannot be opened"):
        Tutorial.read(path)


def test_what_was_changed_is_kept_and_a_newer_version_put_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (copied.path for copied in copy_lessons(tmp_path)[:2])
    first.write_bytes(b"mine")
    assert states(tmp_path)[first.name] == "kept"
    newer = lesson_copies.notebook_bytes(next(iter(lesson_paths().values())), solutions=True)
    monkeypatch.setattr(lesson_copies, "notebook_bytes", lambda path, solutions: newer + b"\n")
    copied = {lesson.path.name: lesson for lesson in copy_lessons(tmp_path)}
    assert first.read_bytes() == b"mine"
    beside = copied[first.name].beside
    assert beside is not None
    assert beside.read_bytes() == newer + b"\n"
    assert copied[second.name].state == "updated"
    assert second.read_bytes() == newer + b"\n"
    again = {lesson.path.name: lesson.state for lesson in copy_lessons(tmp_path)}
    assert again[first.name] == "kept"
    assert len(list(tmp_path.glob("*_new*.ipynb"))) == 1


@pytest.mark.parametrize("record", ["", "[]", '{"written": 3}', "\x00"])
def test_a_damaged_record_makes_everything_the_students(tmp_path: Path, record: str) -> None:
    first = copy_lessons(tmp_path)[0].path
    first.write_bytes(b"mine")
    (tmp_path / lesson_copies.RECORD).write_text(record)
    assert states(tmp_path)[first.name] == "beside"
    assert first.read_bytes() == b"mine"
    json.loads((tmp_path / lesson_copies.RECORD).read_text())


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"expected a folder, but .*file is a file"):
        copy_lessons(tmp_path / "file")


def test_several_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        told = pool.map(states, [tmp_path] * 3)
    seen = [set(one.values()) for one in told]
    assert sorted(map(sorted, seen)) == [["new"], ["same"], ["same"]]
    assert not list(tmp_path.glob("*_new*"))


def test_what_a_full_disk_cut_off_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        copy_lessons(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{lesson_copies.RECORD}.lock"]
