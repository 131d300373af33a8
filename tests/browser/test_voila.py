"""Voilà in Chromium, where there is no network: the laboratory and a lesson as an app."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from tests.browser.conftest import unavailable
from tests.browser.lab import App
from tests.browser.lesson_page import COMPUTES, WAITS, answer_to_the_next_step, press, run_code
from tests.browser.servers import Unavailable, VoilaServer
from tests.browser.test_retina_lab import ENDLESS, button, iteration, message, movie
from tests.browser.watched_page import expect
from tests.tutorials.small_lesson import small_lesson

pytestmark = pytest.mark.browser

WALL = """
import openretina_widgets as orw
model = orw.load_model("synthetic")
orw.StimulusWall(model, neurons=range(16), max_iterations=20, patience=None)
"""
TEMPLATE = Path(__file__).parents[2] / "voila_template"
ICONS = "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@%5E5/css/"
# Notebook 7's part for JupyterLab does not start in Voilà, which then goes on without it.
OPTIONS = ("--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",)
ASKED = r"404 \(Not Found\) http://127\.0\.0\.1:\d+/api/kernels/[\w-]+/interrupt$"
# Voilà 0.5.13 refuses its own page, which asks without the token that it wants from a page.
NOT_ENDED = r"403 \(Forbidden\) http://127\.0\.0\.1:\d+/voila/api/shutdown/[\w-]+$"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoilaServer]:
    folder = tmp_path_factory.mktemp("voila")
    try:
        made = VoilaServer(folder, options=OPTIONS)
    except Unavailable as error:
        unavailable(str(error))
    shutil.copytree(TEMPLATE, folder / "jupyter/voila/templates/openretina_widgets")
    with made:
        yield made


@pytest.fixture
def app(server: VoilaServer, chromium: Browser) -> Iterator[App]:
    with App(server, chromium) as page:
        yield page


def lesson_of(app: App, folder: Path, **options: str) -> Locator:
    code = (
        "import openretina_widgets as orw\n"
        f"orw.TutorialStepper({str(small_lesson(folder))!r}, progress_folder={str(folder)!r})"
    )
    lesson = app.show(code, template="openretina_widgets", **options)
    expect(lesson.locator(".orw-contents-title")).to_have_text("A small lesson")
    expect(lesson.locator("mjx-container, .MathJax").first).to_be_visible()
    return lesson


def test_the_laboratory_optimises_and_stops(app: App) -> None:
    app.page.set_viewport_size({"width": 1500, "height": 1400})
    output = app.show(ENDLESS)
    button(output, "Optimise").click()
    app.wait_for(lambda: iteration(output) > 2, what="the first pictures")
    before, at = app.canvas_pixels(movie(output)), iteration(output)
    app.wait_for(lambda: iteration(output) > at + 5, what="further iterations")
    button(output, "Pause").click()
    expect(message(output)).to_contain_text("Paused")
    assert (app.canvas_pixels(movie(output)) != before).any()
    button(output, "Stop").click()
    expect(message(output)).to_contain_text("stopped by the user")
    app.screenshot("voila-lab")
    # With Voilà's own template two style sheets of icons are asked for; refused, all works.
    assert set(app.outside_requests) == {f"{ICONS}{name}.min.css" for name in ("all", "v4-shims")}
    app.allow_error("ERR_INTERNET_DISCONNECTED https://cdn.jsdelivr.net/")
    app.outside_requests.clear()
    assert app.complaints() == []


def test_the_wall_of_best_stimuli_emerges_and_a_click_opens_one(app: App) -> None:
    app.page.set_viewport_size({"width": 1500, "height": 1700})
    output = app.show(WALL)
    button(output, "Optimise").click()
    expect(message(output)).to_contain_text("16 of 16 neurons have ended", timeout=120_000)
    output.locator(".orw-wall-sizer canvas").click(position={"x": 210, "y": 60})
    heading = output.locator(".orw-neuron-detail .orw-heading").first
    expect(heading).to_have_text(re.compile(r"Receptive field: 1 [^…]*$"))
    expect(output.locator(".orw-player")).not_to_have_class(re.compile("orw-player-empty"))
    expect(output.locator(".orw-neuron-detail .orw-curves-mark").first).to_be_visible()
    app.screenshot("voila-wall")
    app.allow_error("ERR_INTERNET_DISCONNECTED https://cdn.jsdelivr.net/")
    app.outside_requests.clear()  # the icons, as above
    assert app.complaints() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_lesson_is_run_and_answered_without_any_request(
    app: App, tmp_path: Path, theme: str
) -> None:
    lesson = lesson_of(app, tmp_path, theme=theme)
    run_code(lesson, WAITS)
    press(lesson, "Stop")
    expect(lesson.locator(".orw-code-note")).to_have_text("Stopped")
    icon = lesson.locator(".orw-code-icon").first
    assert icon.evaluate("i => getComputedStyle(i, '::before').content").strip('"')
    app.screenshot(f"voila-lesson-{theme}")
    answer_to_the_next_step(lesson)
    app.allow_error(ASKED)
    assert app.complaints() == []


def test_what_cannot_be_stopped_is_said_and_a_reload_goes_on(app: App, tmp_path: Path) -> None:
    lesson = lesson_of(app, tmp_path)
    run_code(lesson, COMPUTES)
    press(lesson, "Stop")
    note = lesson.locator(".orw-code-note")
    expect(note).to_contain_text("This page cannot interrupt code that computes.")
    stop = lesson.locator(".orw-code-button").filter(has_text="Stop")
    expect(stop).to_be_disabled()
    app.screenshot("voila-lesson-stuck")
    app.page.reload()
    lesson = app.shown
    expect(lesson.locator(".orw-code textarea")).to_have_value(COMPUTES)
    answer_to_the_next_step(lesson)
    app.allow_error(ASKED)
    app.allow_error(NOT_ENDED)
    assert app.complaints() == []
