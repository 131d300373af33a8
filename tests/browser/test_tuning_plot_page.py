"""Tuning curves and traces in a real browser: what is drawn, clicks, keys, words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.trace_plot import TracePlot
from openretina_widgets.widgets.tuning_plot import Curve, TuningPlot
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

DIRECTIONS = Axis.of("direction", np.arange(0, 360, 45.0), "°")
CONTRASTS = Axis.of("contrast", [0.1, 0.2, 0.4, 0.8])


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


def polar(page: BarePage, period: int = 360) -> tuple[Any, str]:
    plot = plain(TuningPlot, title="Direction tuning")
    axis = DIRECTIONS if period == 360 else Axis.of("orientation", [0, 45, 90, 135], "°")
    plot.prepare(axis, kind="polar", period=period)
    turn = 360 / period
    values = 1 + np.cos(np.deg2rad(axis.values - 90 / turn) * turn)
    plot.draw([Curve("3 DS", values, preferred=90.0 / turn)])
    view = page.show(plot)
    page.settle()
    return plot, view


def marks(page: BarePage, view: str) -> list[list[float]]:
    """Places of the marks, in the order of the conditions, from the middle of the drawing, y up."""
    return page.evaluate(
        """view => {
            const drawing = document.querySelector(`${view} .orw-curves-stage > svg`);
            const [w, h] = ["width", "height"].map((n) => Number(drawing.getAttribute(n)));
            return [...drawing.querySelectorAll(".orw-curves-mark")].map((mark) => {
                const [x, y] = mark.getAttribute("transform").match(/[-.0-9]+/g).map(Number);
                return [x - w / 2, h / 2 - y];
            });
        }""",
        view,
    )


def click_at(page: BarePage, view: str, x: float, y: float) -> None:
    """Click at a place from the middle of the drawing, y up."""
    drawing = f"{view} .orw-curves-stage > svg"
    width, height = (float(page.attribute(drawing, name) or 0) for name in ("width", "height"))
    page.click(drawing, position={"x": width / 2 + x, "y": height / 2 - y})
    page.pump()
    page.settle()


def test_right_is_zero_and_up_is_ninety(page: BarePage) -> None:
    plot, view = polar(page)
    places = np.array(marks(page, view))
    values = 1 + np.cos(np.deg2rad(DIRECTIONS.values - 90))
    radius = np.hypot(*places.T)
    assert radius / radius.max() == pytest.approx(values / 2, abs=0.01)
    assert places[0] == pytest.approx([radius[0], 0], abs=0.2)  # 0°: right
    assert places[2] == pytest.approx([0, radius[2]], abs=0.2)  # 90°: up
    assert places[4][0] < 0
    assert "0° = right, 90° = up" in page.text(f"{view} .orw-curves-note")
    plot.close()


def test_orientation_is_drawn_on_both_sides_and_clicks_on_either_count(page: BarePage) -> None:
    plot, view = polar(page, 180)
    places = np.array(marks(page, view))
    assert len(places) == 8
    assert places[4:] == pytest.approx(-places[:4], abs=0.21)
    click_at(page, view, *places[1])
    assert plot.clicked == 1
    click_at(page, view, *places[6])  # the other side of 90°
    assert plot.clicked == 2
    plot.close()


def test_click_and_keys_choose_a_condition_that_has_a_response(page: BarePage) -> None:
    plot = plain(TuningPlot, title="Contrast")
    plot.prepare(CONTRASTS)
    view = page.show(plot)
    page.settle()
    assert "Press Run" in page.text(f"{view} .orw-curves-message")
    page.click(f"{view} .orw-curves-stage > svg")
    page.pump()
    assert plot.clicked is None
    plot.draw([Curve("1 ON", np.array([0.1, np.nan, 0.5, 0.9])), Curve("2", np.full(4, np.nan))])
    page.settle()
    assert page.text(f"{view} .orw-curves-message") == ""
    places = marks(page, view)
    assert len(places) == 3
    click_at(page, view, *places[1])
    assert plot.clicked == 2
    assert page.text(f"{view} .orw-curves-readout") == "contrast 0.4 — 1 ON: 0.5"
    for key, chosen in [
        ("ArrowRight", 3),
        ("ArrowRight", 0),
        ("ArrowRight", 2),
        ("ArrowLeft", 0),
        ("End", 3),
        ("Home", 0),
    ]:
        page.press(key)
        page.pump()
        assert plot.clicked == chosen
    plot.clicked = 3  # from Python
    page.settle()
    assert "contrast 0.8" in page.text(f"{view} .orw-curves-readout")
    label = page.attribute(f"{view} .orw-curves", "aria-label") or ""
    assert "1 ON: 3 of 4 conditions, highest 0.9 a.u. at 0.8" in label
    plot.close()


def test_names_are_text_and_views_leave_nothing(page: BarePage) -> None:
    plot = plain(TuningPlot)
    plot.prepare(CONTRASTS, names=["<img src=x onerror=alert(1)>"])
    first, second = page.show(plot), page.show(plot)
    page.settle()
    assert page.text(f"{first} .orw-curves-key").strip() == "<img src=x onerror=alert(1)>"
    page.hide(second)
    plot.draw([Curve("a", np.ones(4))])
    page.settle()
    assert len(marks(page, first)) == 4
    page.hide(first)
    plot.draw([Curve("a", np.ones(4))])
    page.settle()
    left = page.evaluate("() => [bare.frames.size, Object.values(bare.models)[0].listeners.length]")
    assert left == [0, 0]
    plot.close()


def test_trace_shades_its_window(page: BarePage) -> None:
    plot = plain(TracePlot, title="Responses")
    view = page.show(plot)
    seconds = np.arange(0, 10, 0.1)
    plot.draw(
        seconds,
        np.sin(seconds)[:, None],
        names=["1"],
        duration_s=10.0,
        shade=(2.5, 7.5),
        landmarks=[("ON step", 2.5, 5.0)],
    )
    page.settle()
    box = page.evaluate(
        """view => {
            const part = (name) => document.querySelector(`${view} ${name}`).getBBox();
            const boxes = [".orw-curves-shade", ".orw-curves-line"].map(part);
            return boxes.map(({ x, width }) => [x, width]);
        }""",
        f"{view} .orw-curves-stage",
    )
    (start, width), (line_start, line_width) = box
    whole = line_width / 9.9 * 10
    assert width == pytest.approx(whole / 2, rel=0.01)
    assert start - line_start == pytest.approx(whole / 4, rel=0.01)
    assert "ON step" in page.text(f"{view} .orw-curves-stage > svg")
    label = page.attribute(f"{view} .orw-curves", "aria-label") or ""
    assert "response window 2.50 to 7.50 s" in label
    plot.close()
