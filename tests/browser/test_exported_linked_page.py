"""Exported pages in which a click decides what is seen beside it, from disk and offline."""

from __future__ import annotations

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
        "best": orw.optimize_population(model, range(0, 84, 4), max_iterations=15, chunk=16),
        "gradient": orw.response_gradient(model, neurons=[0, 40, 68]),
        "field": orw.vector_field(model, neurons=[24, 72]),
    }
    return export.to_page(results, tmp_path_factory.mktemp("page") / "linked.html")


@pytest.fixture(scope="module")
def call():
    """What calls Playwright, in a thread of its own."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield lambda function, *values, **named: thread.submit(function, *values, **named).result(
            timeout=120
        )


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, call, page_path):
    launched = launch_chromium()
    try:
        browser = call(launched.__enter__)
    except Unavailable as error:
        unavailable(str(error))
    size = {"width": 1300, "height": 1000}
    context = call(browser.new_context, offline=True, color_scheme=request.param, viewport=size)
    opened = call(context.new_page)
    said, requests = [], []

    def listen():
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("request", lambda one: requests.append(one.url))
        opened.goto(page_path.as_uri())
        opened.wait_for_selector(".orw-player canvas")
        opened.wait_for_selector(".orw-plane-point")
        opened.wait_for_timeout(300)
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"exported_linked_page_{request.param}.png"
        opened.screenshot(path=path, full_page=True)

    call(listen)
    yield opened
    call(context.close)
    call(launched.__exit__, None, None, None)
    assert said == []
    assert requests == [page_path.as_uri()]


def texts(page, call, selector):
    return call(lambda: page.locator(selector).all_text_contents())


def pictures(page, call, selector):
    script = "s => [...document.querySelectorAll(s)].map((one) => one.toDataURL())"
    return call(page.evaluate, script, selector)


def test_a_click_on_the_wall_plays_that_stimulus(page, call):
    part = "#part-0"
    before = texts(page, call, f"{part} .orw-player-title")

    def click(x):
        canvas = page.locator(f"{part} .orw-wall-sizer canvas").first
        canvas.scroll_into_view_if_needed()
        canvas.click(position={"x": x, "y": 60})
        page.wait_for_timeout(200)

    seen = set()
    for x in (70, 250, 420):
        call(click, x)
        (title,) = texts(page, call, f"{part} .orw-player-title")
        score = texts(page, call, f"{part} .orw-curves-title")
        assert title.removeprefix("Neuron ") in score[0]
        (foot,) = texts(page, call, f"{part} .orw-wall-foot")
        assert foot.startswith(title.removeprefix("Neuron ")), (foot, title)
        seen.add(title)
    assert len(seen) == 3
    assert before[0].startswith("Neuron ")
    moving = set()
    for _ in range(20):
        moving.add(tuple(pictures(page, call, f"{part} .orw-player-panel canvas")))
        call(page.wait_for_timeout, 40)
    assert len(moving) > 2, "it plays by itself"


def test_a_row_of_the_table_and_a_tile_of_the_wall_choose_together(page, call):
    part = "#part-0"

    def click():
        row = page.locator(f"{part} .orw-table-row").nth(4)
        row.scroll_into_view_if_needed()
        row.click()
        page.wait_for_timeout(200)
        return row.text_content()

    words = call(click)
    (title,) = texts(page, call, f"{part} .orw-player-title")
    neuron = title.removeprefix("Neuron ").split(" ")[0]
    assert words.startswith(neuron), (words, title)
    (foot,) = texts(page, call, f"{part} .orw-wall-foot")
    assert foot.startswith(f"Chosen: {neuron} · ")


def test_a_row_shows_that_neurons_map_and_a_cell_plays_its_stimulus(page, call):
    part = "#part-1"

    def press(k):
        row = page.locator(f"{part} .orw-table-row").nth(k)
        row.scroll_into_view_if_needed()
        row.click()
        page.wait_for_timeout(200)

    call(press, 2)
    before = texts(page, call, f"{part} .orw-tuning-map text, {part} svg text")
    call(press, 1)
    assert texts(page, call, f"{part} .orw-tuning-map text, {part} svg text") != before
    (title,) = texts(page, call, f"{part} .orw-player-title")

    def cell():
        frame = page.locator(f"{part} svg .orw-map-frame").first  # of the map, then of its bar
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.75 * box["height"])
        page.wait_for_timeout(200)

    call(cell)
    (after,) = texts(page, call, f"{part} .orw-player-title")
    assert after != title
    assert after.startswith("Stimulus: green ")


def test_a_point_of_the_plane_shows_its_image_and_the_lsta_there(page, call):
    part = "#part-2"
    maps = f"{part} .orw-retina canvas"
    before = pictures(page, call, maps)
    assert len(before) >= 4

    def point(k):
        one = page.locator(f"{part} .orw-plane-point").nth(k)
        one.scroll_into_view_if_needed()
        box = one.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(300)

    call(point, 3)
    first = pictures(page, call, maps)
    call(point, 9)
    second = pictures(page, call, maps)
    assert all(one != other for one, other in zip(first, second, strict=True))

    def row():
        page.locator(f"{part} .orw-table-row").nth(1).click()
        page.wait_for_timeout(300)

    call(row)
    third = pictures(page, call, maps)
    # The image is that of the point still; the LSTA is that of another neuron.
    assert third[:2] == second[:2]
    assert all(one != other for one, other in zip(second[2:], third[2:], strict=True))
