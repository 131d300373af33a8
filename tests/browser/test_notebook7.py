"""Notebook 7 in Chromium: the laboratory optimises, and a lesson is run, stopped and answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import FAILED, unavailable
from tests.browser.lab import App, Notebook
from tests.browser.lesson_page import COMPUTES, answer_to_the_next_step, press, run_code
from tests.browser.servers import NotebookServer, Unavailable
from tests.browser.test_retina_lab import ENDLESS, button, iteration, message, movie
from tests.browser.watched_page import expect
from tests.tutorials.small_lesson import small_lesson

pytestmark = pytest.mark.browser

# Notebook 7.6.5 itself, without any widget: its shortcuts plugin asks for the schema of settings
# that are not loaded yet.
SETTINGS = (
    r"reading 'schema'\)\s+at \S+/static/notebook/notebook_core",
    r"^Cannot convert undefined or null to object \S+/static/notebook/notebook_core",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookServer]:
    try:
        made = NotebookServer(tmp_path_factory.mktemp("notebook7"))
    except Unavailable as error:
        unavailable(str(error))
    with made:
        yield made


@pytest.fixture
def notebook(
    server: NotebookServer, chromium: Browser, request: pytest.FixtureRequest
) -> Iterator[Notebook]:
    """Notebook 7 without a notebook; in the end it must have nothing to complain about."""
    with Notebook(server, chromium) as page:
        for pattern in SETTINGS:
            page.allow_error(pattern)
        yield page
        if not request.node.stash.get(FAILED, False):
            page.clear()
            complaints = page.complaints()
            assert not complaints, "\n".join(complaints)


def test_the_laboratory_optimises_and_stops(notebook: Notebook) -> None:
    notebook.page.set_viewport_size({"width": 1500, "height": 1400})
    notebook.new_notebook([ENDLESS, "1 + 1"])
    notebook.run_cell(0)
    output = notebook.output_area(0)
    button(output, "Optimise").click()
    notebook.wait_for(lambda: iteration(output) > 2, what="the first pictures")
    before, at = notebook.canvas_pixels(movie(output)), iteration(output)
    notebook.wait_for(lambda: iteration(output) > at + 5, what="further iterations")
    button(output, "Pause").click()
    expect(message(output)).to_contain_text("Paused")
    assert (notebook.canvas_pixels(movie(output)) != before).any()
    button(output, "Resume").click()
    notebook.run_cell(1)  # another cell runs meanwhile
    assert "2" in notebook.outputs(1)
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    assert notebook.evaluate_in_kernel("lab.optimizer.job.done()") == "True"
    notebook.screenshot("notebook7-lab-light")
    notebook.set_theme("dark")
    notebook.screenshot("notebook7-lab-dark")
    notebook.reload()
    expect(message(notebook.output_area(0))).to_contain_text("stopped by the user")


def test_a_lesson_is_run_stopped_and_answered(notebook: Notebook, tmp_path: Path) -> None:
    path = small_lesson(tmp_path)
    code = (
        "import openretina_widgets as orw\n"
        f"orw.TutorialStepper({str(path)!r}, progress_folder={str(tmp_path)!r})"
    )
    notebook.new_notebook([code])
    notebook.run_cell(0)
    lesson = notebook.output_area(0)
    expect(lesson.locator(".orw-contents-title")).to_have_text("A small lesson")
    expect(lesson.locator("mjx-container, .MathJax").first).to_be_visible()
    run_code(lesson, COMPUTES)
    press(lesson, "Stop")
    expect(lesson.locator(".orw-code-note")).to_have_text("Stopped")
    notebook.screenshot("notebook7-lesson-light")
    notebook.set_theme("dark")
    notebook.screenshot("notebook7-lesson-dark")
    answer_to_the_next_step(lesson)


def test_voila_on_a_jupyter_server_can_interrupt(
    server: NotebookServer, chromium: Browser, tmp_path: Path
) -> None:
    path = small_lesson(tmp_path)
    with App(server, chromium) as app:
        lesson = app.show(
            "import openretina_widgets as orw\n"
            f"orw.TutorialStepper({str(path)!r}, progress_folder={str(tmp_path)!r})"
        )
        run_code(lesson, COMPUTES)
        press(lesson, "Stop")
        expect(lesson.locator(".orw-code-note")).to_have_text("Stopped")
    server.shut_down_kernels()
