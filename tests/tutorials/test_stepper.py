"""The stepper without a page: steps, answers, what is kept, and what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import ipywidgets as ipw
import nbformat
import pytest

from openretina_widgets import TutorialStepper
from openretina_widgets.errors import TutorialError
from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE
from openretina_widgets.tutorials.markdown_text import markdown_html
from tests.tutorials.small_lesson import small_lesson


@pytest.fixture
def stepper(tmp_path: Path) -> TutorialStepper:
    return TutorialStepper(small_lesson(tmp_path), progress_folder=tmp_path)


def test_steps_go_on_and_back_and_end(stepper: TutorialStepper) -> None:
    assert stepper.step == 0
    stepper.back()
    assert stepper.step == 0
    stepper.next()
    stepper.next()
    stepper.next()
    assert stepper.step == 2
    stepper.step = 1
    assert stepper.progress.step == 1
    with pytest.raises(ValueError, match="step: expected 0 to 2, got 3"):
        stepper.step = 3
    with pytest.raises(TypeError, match="step: expected a whole number, got True"):
        stepper.step = True
    stepper.close()


def test_answers_are_checked_said_and_kept(stepper: TutorialStepper, tmp_path: Path) -> None:
    assert stepper.answer("even", 1).text == "*three*: Three is odd."
    assert stepper.answer("even", 0).correct
    assert stepper.answer("more", "21").correct is None  # its code has not run
    assert "Have you run the code above?" in stepper.answer("more", "21").text
    stepper.close()
    again = TutorialStepper(tmp_path / "small.ipynb", progress_folder=tmp_path)
    assert again.progress.answers["even"]["solved"]
    again.step = 1
    assert again._panels["even"].answer == 0
    with pytest.raises(ValueError, match="there is no question 'odd'; there are more, even, why"):
        again.answer("odd", 1)
    again.close()


def test_an_answer_of_a_megabyte_is_refused_and_not_kept(stepper: TutorialStepper) -> None:
    feedback = stepper.answer("why", "a" * 1_000_000)
    assert feedback.correct is None
    assert "1,000,000 characters" in feedback.text
    assert "why" not in stepper.progress.answers
    assert stepper.answer("why", "short").text == "Kept."
    stepper.close()


def test_hints_open_one_at_a_time_and_are_remembered(
    stepper: TutorialStepper, tmp_path: Path
) -> None:
    panel = stepper._panels["more"].help
    assert panel.hint_button.description == "Hint 1 of 2"
    panel.open_hint()
    assert len(panel._opens.children) == 1
    panel.show_solution()
    assert len(panel._opens.children) == 2
    assert stepper.progress.hints == {"more": 1}
    stepper.close()
    again = TutorialStepper(tmp_path / "small.ipynb", progress_folder=tmp_path)
    assert again._panels["more"].help.hint_button.description == "Hint 2 of 2"
    again.close()


def test_starting_again_puts_everything_back(stepper: TutorialStepper) -> None:
    stepper.answer("even", 0)
    stepper._cells[next(iter(stepper._cells))].source = "start = 5"
    assert stepper.progress.code
    stepper.restart()
    assert (stepper.step, stepper.progress.answers, stepper.progress.code) == (0, {}, {})
    stepper.close()


def test_what_is_for_the_plain_notebook_is_not_shown_and_folded_hints_open_by_their_button(
    tmp_path: Path,
) -> None:
    stepper = TutorialStepper(small_lesson(tmp_path), progress_folder=tmp_path)
    texts = [
        widget.value
        for widget in ipw.widgets.widget._instances.values()
        if isinstance(widget, ipw.HTML | ipw.HTMLMath)
    ]
    shown = str(texts) + str(
        [cell.source for step in stepper.tutorial.steps for cell in step.cells]
    )
    assert "To be asked" not in shown
    hint = stepper._panels["more"].help._hints[0]
    assert "Add." in str(hint.get_state())
    assert "details" not in str(hint.get_state())
    stepper.close()


def test_nothing_is_no_answer(tmp_path: Path) -> None:
    told: list[tuple[str, str, object]] = []

    class Room:
        def submit(self, kind: str, id: str, value: object) -> None:
            told.append((kind, id, value))

    stepper = TutorialStepper(small_lesson(tmp_path), Room(), progress_folder=tmp_path)
    for id, nothing in (("more", ""), ("more", "  "), ("even", []), ("why", "")):
        assert stepper.answer(id, nothing).correct is not True
    assert stepper.progress.answers == {}
    assert [kind for kind, _, _ in told] == ["step"]
    stepper.close()


def test_a_class_is_told_and_its_trouble_does_not_stop_the_lesson(tmp_path: Path) -> None:
    told: list[tuple[str, str, object]] = []

    class Room:
        def submit(self, kind: str, id: str, value: object) -> None:
            told.append((kind, id, value))
            if kind == "answer":
                raise RuntimeError("this classroom was closed: join again")

    stepper = TutorialStepper(small_lesson(tmp_path), Room(), progress_folder=tmp_path)
    assert stepper.answer("even", 0).correct
    stepper.close()
    assert told[0] == ("step", "small", {"step": 1, "of": 3, "title": "Begin"})
    sent = {"answer": "two", "correct": True, "question": "Which is even?"}
    assert told[1] == ("answer", "even", sent)
    assert "join again" in stepper._note.value


def test_nothing_is_left_when_it_is_closed(tmp_path: Path) -> None:
    before = set(ipw.widgets.widget._instances)
    stepper = TutorialStepper(small_lesson(tmp_path), progress_folder=tmp_path)
    stepper.next()
    stepper.answer("even", 0)
    stepper.restart()
    stepper.close()
    assert set(ipw.widgets.widget._instances) <= before


def test_a_plain_notebook_steps_by_its_headings(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# One"),
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_markdown_cell("## Two"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "plain.ipynb")
    stepper = TutorialStepper(tmp_path / "plain.ipynb", progress_folder=tmp_path)
    assert stepper._contents.titles == ["One", "Two"]
    stepper.close()


def test_a_malformed_one_is_refused_by_its_cell(tmp_path: Path) -> None:
    path = small_lesson(tmp_path)
    notebook = nbformat.read(path, 4)
    notebook.cells[3].metadata["openretina_widgets"]["tutorial"]["question"]["kind"] = "nmber"
    nbformat.write(notebook, path)
    with pytest.raises(TutorialError, match=r"cell 4.*number"):
        TutorialStepper(path, progress_folder=tmp_path)
    with pytest.raises(ValueError, match="tuning_curves"):
        TutorialStepper("tuning_curve")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    stepper = TutorialStepper(small_lesson(tmp_path), progress_folder=tmp_path / "file")
    stepper.next()
    assert "cannot be kept" in stepper._note.value
    assert stepper.step == 1
    stepper.close()


@pytest.mark.parametrize(
    "bad",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[a](javascript:alert(1))",
        '<a href="data:text/html,<script>alert(1)</script>">a</a>',
        "<iframe src='https://outside.invalid'></iframe>",
        "<style>body {display: none}</style>",
        "![a](https://outside.invalid/a.png)",
        "![a](../../../../etc/passwd)",
        "$<img src=x>$",
    ],
)
def test_markdown_runs_nothing_and_loads_nothing(bad: str, tmp_path: Path) -> None:
    shown = markdown_html(bad, folder=tmp_path)
    for dangerous in (
        "<script",
        "onerror",
        "javascript:",
        "data:text",
        "<iframe",
        "<style",
        "<img",
    ):
        assert dangerous not in shown.replace("&lt;", "‹").lower(), shown


def test_markdown_shows_tables_formulas_and_pasted_pictures() -> None:
    shown = markdown_html(
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n$x_1 < y_2$ and\n\n$$\\sum_i x_i$$\n\n"
        "![p](attachment:p.png)",
        attachments={"p.png": {"image/png": "iVBORw0KGgo="}},
    )
    assert "<td>1</td>" in shown
    assert r"\(x_1 &lt; y_2\)" in shown
    assert r"\sum_i x_i" in shown
    assert "data:image/png;base64,iVBORw0KGgo=" in shown


def test_a_lesson_is_taken_home_with_code_and_answers(
    stepper: TutorialStepper, tmp_path: Path
) -> None:
    stepper._cells[next(iter(stepper._cells))].source = "start = 30"
    stepper.answer("even", 1)
    stepper.answer("even", 0)
    stepper.answer("why", "<img src=x onerror=alert(1)> $a$")
    path = stepper.export(tmp_path / "mine.ipynb")
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells]
    assert "start = 30" in sources
    assert "start = 20" not in sources
    assert "For the teacher only" not in sources
    answers = [source for source in sources if source.startswith("**My answer:**")]
    assert answers[0] == "**My answer:** two\n\n*right, 2 tries*"
    assert "<img" not in answers[1]
    assert r"\$a\$" in answers[1]
    again = TutorialStepper(path, progress_folder=tmp_path / "again")  # still a lesson
    assert len(again.tutorial.steps) == 3
    again.close()
    kept = json.loads(stepper.export(tmp_path / "mine.json").read_text(encoding="utf-8"))
    assert kept["answers"]["even"]["tries"] == 2
    assert list(kept["code"].values()) == ["start = 30"]
    with pytest.raises(ValueError, match=r"saved as \.ipynb or \.json, not as \.html; what was"):
        stepper.export(tmp_path / "mine.html")
    with pytest.raises(FileExistsError, match="is there already"):
        stepper.export(path)
    stepper.close()


def test_a_database_that_goes_away_is_said_and_answers_are_sent_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    url, away = tmp_path / "class.sqlite", tmp_path / "away"
    classroom = Classroom.join("retina", "Ada", url=url)
    stepper = TutorialStepper(small_lesson(tmp_path), classroom, progress_folder=tmp_path)
    assert classroom.flush()
    assert stepper._note.value == ""
    url.rename(away)
    stepper.answer("even", 0)
    deadline = time.monotonic() + 20
    while "there is no such file" not in stepper._note.value:
        assert time.monotonic() < deadline, stepper._note.value
        time.sleep(0.02)
    assert "1 submission is kept here and will be sent when it is back" in stepper._note.value
    away.rename(url)
    assert classroom.flush(20)
    while stepper._note.value:
        assert time.monotonic() < deadline + 20, stepper._note.value
        time.sleep(0.02)
    assert [one.item for one in classroom.mine()] == ["small", "even"]
    stepper.close()
    classroom.close()
