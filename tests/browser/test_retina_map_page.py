"""The map of the retina in a real browser: pixels, ellipses, choosing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openretina_widgets.drawing.colour import DIVERGING, quantise, symmetric_limits
from openretina_widgets.widgets.retina_map import Outline, RetinaMap
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

CANVAS = ".orw-map canvas"
FRAME = ".orw-map-frame"
LEFT, TOP = 66, 8


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


@pytest.fixture
def make() -> Iterator[Any]:
    made = []

    def make(**named: Any) -> RetinaMap:
        made.append(plain(RetinaMap, **{"shape": (18, 16), "pixel_size_um": 50.0, **named}))
        return made[-1]

    yield make
    for chart in made:
        chart.close()


def centre() -> np.ndarray:
    y, x = np.mgrid[:18, :16]
    far = (x - 9.5) ** 2 + (y - 4.5) ** 2  # 2 px right of the middle, 4 px above it
    return np.exp(-far / 4) - 0.3 * np.exp(-far / 25)


OUTLINES = [
    Outline(3, 100.0, 200.0, 150.0, 80.0, 30.0, "ON", "3 · ON sustained"),
    Outline(7, -200.0, -100.0, 60.0, 60.0, 0.0, "OFF", "7 · OFF transient"),
    Outline(9, -200.0, -130.0, 60.0, 60.0, 0.0, "OFF", "9 · OFF transient"),
]


def at(x_um: float, y_um: float, scale: int) -> dict[str, float]:
    """Where a place on the retina is drawn."""
    return {"x": LEFT + 8 * scale + x_um / 50 * scale, "y": TOP + 9 * scale - y_um / 50 * scale}


def test_image_is_pixel_exact_and_the_ellipse_lies_on_it(page: BarePage, make: Any) -> None:
    chart = make(width=420.0, height=400.0, unit="a.u.")
    image = centre()
    chart.show(image)
    page.show(chart)
    page.settle()
    scale = 15  # (420 - 66 - 12 - 98) / 16, rounded down
    shown = page.pixels(CANVAS)[TOP : TOP + 18 * scale, LEFT : LEFT + 16 * scale, :3]
    expected = DIVERGING[quantise(image, symmetric_limits(image))]
    top = shown[: 15 * scale]  # the scale bar is below
    assert (top == np.kron(expected[:15], np.ones((scale, scale, 1)))).all()
    chart.show(image, outlines=[Outline(0, 100.0, 200.0, 100.0, 100.0)])
    page.settle()
    after = page.pixels(CANVAS)[TOP : TOP + 18 * scale, LEFT : LEFT + 16 * scale, :3]
    changed = np.argwhere((after[: 15 * scale] != top).any(axis=-1)) + 0.5
    row, column = changed.mean(axis=0) / scale - 0.5
    assert row == pytest.approx(4.5, abs=0.1)
    assert column == pytest.approx(9.5, abs=0.1)


def test_click_and_keys_choose_an_ellipse(page: BarePage, make: Any) -> None:
    chart = make(selectable=True, colour_bar=False, width=398.0, height=500.0)
    chart.show(outlines=OUTLINES)
    page.show(chart)
    scale = 20
    for place, modifiers, expected in [
        ((160, 230), [], (3,)),  # inside the ellipse, along its long axis
        ((-200, -95), [], (7,)),  # where two overlap, the nearer one
        ((-200, -140), ["Control"], (7, 9)),
        ((-200, -95), ["Shift"], (9,)),
        ((300, -300), [], (9,)),  # nothing is there
    ]:
        page.click(CANVAS, position=at(*place, scale), modifiers=modifiers)
        page.pump()
        assert chart.selected == expected
    page.evaluate("s => document.querySelector(s).focus()", FRAME)
    page.press("ArrowLeft")
    page.pump()
    assert chart.selected == (7,)
    assert "Chosen: 7 · OFF transient" in (page.attribute(CANVAS, "aria-label") or "")
    chart.selected = (3,)
    page.settle()
    assert "3 · ON sustained" in page.text(".orw-map-note")


def test_empty_map_says_what_to_do(page: BarePage, make: Any) -> None:
    chart = make(placeholder="Press Compute.")
    page.show(chart)
    page.settle()
    assert page.text(".orw-map-message") == "Press Compute."
    height = page.evaluate("() => document.body.scrollHeight")
    chart.show(centre(), outlines=OUTLINES, note="x")
    page.settle()
    assert page.text(".orw-map-message") == ""
    assert page.evaluate("() => document.body.scrollHeight") == height


def test_view_that_is_removed_leaves_nothing(page: BarePage, make: Any) -> None:
    view = page.show(make())
    page.hide(view)
    assert page.evaluate("() => document.querySelectorAll('.orw-map').length") == 0
    assert page.evaluate("() => bare.frames.size") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(browser: BareChromium, make: Any, theme: str) -> None:
    with browser.page(theme=theme, width=860) as page:
        first = make(unit="a.u.", title="Spatial map, green", width=400.0, height=360.0)
        ellipses = [
            Outline(0, 100.0, 200.0, 150.0, 110.0, 30.0),
            Outline(0, 100.0, 200.0, 300.0, 220.0, 30.0, dashed=True),
        ]
        first.show(centre(), outlines=ellipses)
        second = make(title="Mosaic", selectable=True, colour_bar=False, height=360.0)
        second.show(outlines=OUTLINES)
        second.selected = (7,)
        page.show(first)
        page.show(second)
        page.screenshot(f"retina-map-{theme}")
        axis = page.pixels(CANVAS)[-44:, :300]
        text = axis[axis[..., 3] > 200][:, :3]
        assert text.min() < 60 if theme == "light" else text.max() > 200
