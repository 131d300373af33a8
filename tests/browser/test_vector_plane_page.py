"""Images in a plane in a real browser: places, arrows, clicks, keys, words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from openretina_widgets.drawing import colour
from openretina_widgets.widgets.vector_plane import VectorPlane
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

PLACES = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
SLOPES = np.array([[-1.0, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]])
RESPONSES = np.array([0.0, 2.0, 1.0, 0.5])


@pytest.fixture(scope="module")
def browser() -> Iterator[BareChromium]:
    try:
        chromium = BareChromium().__enter__()
    except Unavailable as error:
        unavailable(str(error))
    yield chromium
    chromium.__exit__()


@pytest.fixture
def page(browser: BareChromium) -> Iterator[BarePage]:
    with browser.page() as page:
        yield page


def shown(page: BarePage) -> tuple[VectorPlane, str]:
    plane = plain(VectorPlane, title="Images")
    plane.draw(PLACES, SLOPES, RESPONSES, labels=("LSTA axis 1", "LSTA axis 2"), note="Noted.")
    view = page.show(plane)
    page.settle()
    return plane, view


def circles(page: BarePage, view: str) -> list[dict]:
    return page.evaluate(
        """view => [...document.querySelectorAll(`${view} .orw-plane-point`)].map((node) => ({
            x: Number(node.getAttribute("cx")), y: Number(node.getAttribute("cy")),
            fill: getComputedStyle(node).fill.match(/[0-9]+/g).map(Number),
        }))""",
        view,
    )


def test_points_and_arrows_lie_where_they_should(page: BarePage) -> None:
    plane, view = shown(page)
    found = circles(page, view)
    places = np.array([[one["x"], one["y"]] for one in found])
    px = (places[1, 0] - places[0, 0]) / 4  # pixels for one unit, to the right and up alike
    assert px > 20
    expected = places[0] + px * (PLACES - PLACES[0]) * [1, -1]
    assert places == pytest.approx(expected, abs=0.2)
    levels = colour.quantise(RESPONSES, (0.0, 2.0))
    assert [one["fill"][:3] for one in found] == colour.SEQUENTIAL[levels].tolist()
    d = page.evaluate(
        "view => document.querySelector(`${view} .orw-map-arrow`).getAttribute('d')", view
    )
    ends = [
        np.array([point.split(",") for point in arrow.split("L")], dtype=float)
        for arrow in d.split("M")[1:]
    ][::2]
    assert len(ends) == 3  # the last image has no gradient
    assert np.array([end[0] for end in ends]) == pytest.approx(places[:3], abs=0.2)
    runs = np.array([end[1] - end[0] for end in ends])
    longest = -runs[0, 0]
    assert longest > 20
    assert runs == pytest.approx(longest * SLOPES[:3] * [1, -1], abs=0.3)
    words = page.text(f"{view} .orw-plane-stage > svg")
    for part in ("LSTA axis 1", "LSTA axis 2", "response (a.u.)"):
        assert part in words
    label = page.attribute(f"{view} .orw-plane", "aria-label") or ""
    assert "4 images, LSTA axis 1 to the right" in label
    assert page.text(f"{view} .orw-plane-note") == "Noted."
    plane.close()


def test_click_and_keys_choose_an_image(page: BarePage) -> None:
    plane, view = shown(page)
    found = circles(page, view)
    stage = f"{view} .orw-plane-stage > svg"
    page.click(stage, position={"x": found[2]["x"] + 5, "y": found[2]["y"] - 4})
    page.pump()
    assert plane.clicked == 2
    page.settle()
    assert page.text(f"{view} .orw-plane-readout") == "image 2 — response 1 a.u., gradient (0, 1)"
    page.click(stage, position={"x": found[0]["x"], "y": found[0]["y"] + 60})  # nothing is there
    page.pump()
    assert plane.clicked == 2
    for key, chosen in [("ArrowRight", 3), ("ArrowRight", 3), ("Home", 0), ("End", 3)]:
        page.press(key)
        page.pump()
        assert plane.clicked == chosen
    plane.clicked = 1  # from Python
    page.settle()
    assert "image 1" in page.text(f"{view} .orw-plane-readout")
    plane.close()


def test_an_empty_plane_says_what_to_do_and_views_leave_nothing(page: BarePage) -> None:
    plane, view = shown(page)
    plane.clear()
    page.settle()
    assert circles(page, view) == []
    assert "Press Run" in page.text(f"{view} .orw-plane-message")
    page.hide(view)
    plane.draw(PLACES, SLOPES, RESPONSES, labels=("<b>", "b"))
    page.settle()
    left = page.evaluate("() => [bare.frames.size, Object.values(bare.models)[0].listeners.length]")
    assert left == [0, 0]
    plane.close()
