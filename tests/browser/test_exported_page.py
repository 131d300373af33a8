"""An exported page, opened from disk in Chromium without any network."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import openretina_widgets as orw
from openretina_widgets import export
from tests.browser.conftest import unavailable
from tests.browser.lab import SCREENSHOTS, Unavailable, launch_chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    model = orw.load_model("synthetic")
    results = {
        "best": orw.optimize_neurons(model, 40, seed=4, max_iterations=20),
        "gratings": orw.sweep(model, orw.experiments.drifting_gratings(directions=8)),
        "fields": orw.receptive_fields(model),
        "table": orw.selectivity_table(
            model, neurons=range(0, 84, 4), measure=["flash", "direction"]
        ),
    }
    return export.to_page(results, tmp_path_factory.mktemp("page") / "session.html")


class OpenPage:
    """A page from disk, offline; Playwright runs in a thread of its own."""

    def __init__(self, thread, browser, path, scheme, width):
        self._thread = thread
        self.said, self.requests = [], []
        self.page = self.call(self._open, browser, path, scheme, width)

    def _open(self, browser, path, scheme, width):
        size = {"width": width, "height": 900}
        context = browser.new_context(offline=True, color_scheme=scheme, viewport=size)
        page = context.new_page()
        page.on("console", lambda message: self.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: self.said.append(("error", str(error))))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".orw-player canvas")
        page.wait_for_selector(".orw-curves-mark")
        return page

    def call(self, function, *values, **named):
        return self._thread.submit(function, *values, **named).result(timeout=60)

    def evaluate(self, script, value=None):
        return self.call(self.page.evaluate, script, value)

    def picture(self, selector):
        """A canvas as text; reading its pixels again and again would be warned of."""
        return self.evaluate("s => document.querySelector(s).toDataURL()", selector)


@pytest.fixture(scope="module")
def opened(page_path):
    thread = ThreadPoolExecutor(max_workers=1)
    launched = launch_chromium()
    try:
        browser = thread.submit(launched.__enter__).result(timeout=60)
    except Unavailable as error:
        unavailable(str(error))
    pages = []

    def open_page(scheme="light", width=1440):
        pages.append(OpenPage(thread, browser, page_path, scheme, width))
        return pages[-1]

    yield open_page
    for page in pages:
        page.call(page.page.context.close)
    thread.submit(launched.__exit__, None, None, None).result(timeout=60)
    thread.shutdown()


@pytest.mark.parametrize("width", [1440, 900, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_request_or_a_complaint(scheme, width, opened, page_path):
    page = opened(scheme, width)
    SCREENSHOTS.mkdir(exist_ok=True)
    path = SCREENSHOTS / f"exported_page_{scheme}_{width}.png"
    page.call(page.page.screenshot, path=path, full_page=True)
    assert page.said == []
    assert page.requests == [page_path.as_uri()]
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}[scheme]


def test_the_movie_plays_by_itself_and_stops(opened):
    page = opened()
    play = ".orw-player-play"
    shown = set()
    for _ in range(20):
        shown.add(page.picture(".orw-player-panel canvas"))
        page.call(page.page.wait_for_timeout, 40)
    assert len(shown) > 5
    page.call(page.page.click, play)
    still = page.picture(".orw-player-panel canvas")
    page.call(page.page.wait_for_timeout, 200)
    assert page.picture(".orw-player-panel canvas") == still
    assert page.said == []


def hover(page, selector, x, y):
    def move():
        place = page.page.locator(selector).first
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        page.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.page.wait_for_timeout(100)
        tip = page.page.locator("#tooltip")
        return tip.inner_text() if tip.is_visible() else None

    return page.call(move)


def test_a_tooltip_says_the_nearest_point(opened):
    page = opened()
    at_90 = hover(page, "#part-1 .orw-curves-stage", 0.5, 0.2)
    assert at_90.splitlines()[0] == "direction 90°"
    assert at_90.splitlines()[1].startswith("0 · ON sustained: 0.")
    assert len(at_90.splitlines()) == 7
    assert hover(page, "#part-1 h2", 0.01, 0.5) is None
    score = hover(page, "#part-0 .orw-curves-stage", 0.6, 0.5)
    assert score.startswith("iteration ")
    assert page.said == []


def test_the_table_sorts_and_the_folded_curves_open(opened):
    page = opened()
    rows = "() => [...document.querySelectorAll('#part-3 [role=row]')].map(r => r.textContent)"
    before = page.evaluate(rows)
    head = page.page.locator("#part-3 [role=columnheader]", has_text="DSI").first
    page.call(head.click)
    page.call(page.page.wait_for_timeout, 200)
    assert page.evaluate(rows)[1:] != before[1:]
    page.call(page.page.click, "#part-1 details > summary")
    page.call(page.page.wait_for_selector, "#part-1 details[open] .orw-curves-mark")
    assert page.said == []


def test_the_theme_may_change_while_it_is_open(opened):
    page = opened("light")
    wall = "#part-2 .orw-wall-sizer canvas"
    page.evaluate("() => document.querySelector('#part-2').scrollIntoView()")
    page.call(page.page.wait_for_timeout, 200)
    before = page.picture(wall)
    page.call(page.page.emulate_media, color_scheme="dark")
    until = time.monotonic() + 10
    while page.picture(wall) == before and time.monotonic() < until:
        page.call(page.page.wait_for_timeout, 50)
    assert page.picture(wall) != before
    assert page.said == []
