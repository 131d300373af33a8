"""Predictions drawn in a real browser: with a mouse, a finger and keys; pictures picked."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.tutorials.field_choice import FieldChoice
from openretina_widgets.tutorials.prediction_canvas import PredictionCanvas
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

DIRECTIONS = Axis.of("direction", np.arange(0, 360, 45.0), "°")
CONTRASTS = Axis.of("contrast", [0.05, 0.1, 0.2, 0.4, 0.8])
TOP, BELOW = 12, 52  # CSS pixels above and beneath the plot
MEASURED = np.array([5.0, 10, 40, 100, 40, 10, 5, 0])
Spot = tuple[float, float]


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


def show(page: BarePage, axis: Axis, kind: Any = "cartesian") -> tuple[PredictionCanvas, str]:
    canvas = plain(PredictionCanvas, axis, kind=kind, measured_name="neuron 3, measured")
    view = page.show(canvas)
    page.settle()
    return canvas, view


def frame(page: BarePage, view: str) -> dict[str, float]:
    return page.evaluate(
        """view => {
            const { x, y, width, height } =
                document.querySelector(`${view} .orw-curves-stage > svg`).getBoundingClientRect();
            return { x, y, width, height };
        }""",
        view,
    )


def handles(page: BarePage, view: str) -> list[Spot]:
    """Where the handles are in the drawing."""
    return page.evaluate(
        """view => [...document.querySelectorAll(`${view} .orw-predict-handle`)].map((handle) =>
            handle.getAttribute("transform").match(/[-.0-9]+/g).map(Number))""",
        view,
    )


def straight_spots(page: BarePage, view: str, values: Sequence[float]) -> list[Spot]:
    """Where values are, each at its condition, on the page."""
    box = frame(page, view)
    inner = box["height"] - TOP - BELOW
    return [
        (box["x"] + x, box["y"] + TOP + (1 - value / 100) * inner)
        for (x, _), value in zip(handles(page, view), values, strict=True)
    ]


def round_spot(page: BarePage, view: str, degrees: float, value: float) -> Spot:
    box = frame(page, view)
    radius = min(box["width"] / 2 - 46, box["height"] / 2 - 30) * value / 100
    angle = np.radians(degrees)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    return (float(x + radius * np.cos(angle)), float(y - radius * np.sin(angle)))


def stroke(page: BarePage, spots: Sequence[Spot], steps: int = 6) -> None:
    """Draw with the mouse."""
    mouse = page._page.mouse

    def go() -> None:
        mouse.move(*spots[0])
        mouse.down()
        for spot in spots[1:]:
            mouse.move(*spot, steps=steps)
        mouse.up()

    page._chromium.call(go)
    page.settle()
    page.pump()


def finger(page: BarePage, spots: Sequence[Spot]) -> None:
    """Draw with a finger: touches as the browser gets them from a screen."""

    def go() -> None:
        session = page._page.context.new_cdp_session(page._page)
        send = session.send
        send("Emulation.setTouchEmulationEnabled", {"enabled": True})

        def touch(kind: str, at: Sequence[Spot]) -> None:
            points = [{"x": x, "y": y} for x, y in at]
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", spots[:1])
        for first, last in itertools.pairwise(spots):
            for share in np.linspace(0.2, 1, 5):
                spot = np.add(first, share * np.subtract(last, first))
                touch("touchMove", [(float(spot[0]), float(spot[1]))])
        touch("touchEnd", [])
        session.detach()

    page._chromium.call(go)
    page.settle()
    page.pump()


def still(page: BarePage, view: str) -> None:
    script = "v => document.querySelector(`${v} .orw-predict`).dataset.moving === 'false'"
    page.wait_for(script, view)


def test_a_stroke_of_the_mouse_snaps_to_a_value_at_each_condition(page: BarePage) -> None:
    canvas, view = show(page, CONTRASTS)
    assert "Draw here the curve that you expect" in page.text(f"{view} .orw-curves-message")
    wanted = [10, 20, 60, 90, 100]
    stroke(page, straight_spots(page, view, wanted))
    assert canvas.drawn == pytest.approx(wanted, abs=1)
    assert page.text(f"{view} .orw-curves-message") == ""
    page.wait_for("v => !document.querySelector(`${v} .orw-predict-ink`)", view)  # it has faded
    # A fast stroke, of which the page sees two places only, passes over all of them as well.
    stroke(page, [straight_spots(page, view, [80] * 5)[k] for k in (0, 4)], steps=1)
    assert canvas.drawn == pytest.approx([80] * 5, abs=1)
    # One point alone, upwards.
    spots = straight_spots(page, view, [80] * 5), straight_spots(page, view, [30] * 5)
    stroke(page, [spots[0][2], spots[1][2]])
    assert canvas.drawn == pytest.approx([80, 80, 30, 80, 80], abs=1)
    # On a logarithmic axis the conditions are evenly spaced.
    gaps = np.diff([x for x, _ in handles(page, view)])
    assert gaps == pytest.approx([gaps[0]] * 4, abs=0.3)
    canvas.close()


def test_a_finger_draws_and_the_page_does_not_scroll(page: BarePage) -> None:
    canvas, view = show(page, CONTRASTS)
    page.evaluate("() => { document.body.style.minHeight = '3000px'; }")
    wanted = [100, 80, 50, 20, 5]
    finger(page, straight_spots(page, view, wanted))
    assert canvas.drawn == pytest.approx(wanted, abs=1)
    up, down = straight_spots(page, view, [100] * 5)[3], straight_spots(page, view, [10] * 5)[3]
    finger(page, [down, up])
    assert canvas.drawn[3] == pytest.approx(100, abs=1)
    assert page.evaluate("() => window.scrollY") == 0
    canvas.locked = True
    finger(page, [up, down])  # what is locked is not drawn into: a finger scrolls again
    assert canvas.drawn[3] == pytest.approx(100, abs=1)
    canvas.close()


def test_keys_choose_a_condition_and_move_its_point(page: BarePage) -> None:
    canvas, view = show(page, CONTRASTS)
    page.press("Tab")
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown", "PageDown", "ArrowDown"):
        page.press(key)
    page.press("Tab")
    page.press("ArrowUp")
    page.press("End")
    page.press("PageUp")
    for _ in range(3):
        page.press("PageUp")
    page.pump()
    assert canvas.drawn == [55, 20, 50, None, 100]
    told = page.evaluate(
        """() => ["aria-label", "aria-valuetext", "aria-valuenow", "role"].map((name) =>
            document.activeElement.getAttribute(name))"""
    )
    assert told == ["contrast 0.8", "100 % of the largest response", "100", "slider"]
    assert "contrast 0.8 — your prediction: 100 %" in page.text(f"{view} .orw-curves-readout")
    label = page.attribute(f"{view} .orw-predict", "aria-label") or ""
    assert "predicted response against contrast, 4 of 5 conditions drawn" in label
    canvas.locked = True
    page.press("PageDown")
    page.pump()
    assert canvas.drawn[4] == 100
    assert "Committed." in (page.attribute(f"{view} .orw-predict", "aria-label") or "")
    canvas.close()


def test_around_a_circle(page: BarePage) -> None:
    canvas, view = show(page, DIRECTIONS, "polar")
    spots = [round_spot(page, view, a, 60) for a in range(0, 361, 15)]
    stroke(page, spots, steps=2)
    assert canvas.drawn == pytest.approx([60] * 8, abs=2)
    stroke(page, [round_spot(page, view, 90, v) for v in (60, 100)])
    assert canvas.drawn == pytest.approx([60, 60, 100, 60, 60, 60, 60, 60], abs=2)
    stroke(page, [round_spot(page, view, 270, v) for v in (60, 1)])  # through to the centre
    assert canvas.drawn[6] == pytest.approx(1, abs=2)
    canvas.close()


def test_an_orientation_is_drawn_on_either_side(page: BarePage) -> None:
    axis = Axis.of("orientation", [0, 45, 90, 135], "°")
    canvas = plain(PredictionCanvas, axis, kind="polar", period=180)
    view = page.show(canvas)
    page.settle()
    stroke(page, [round_spot(page, view, a, 70) for a in range(180, 361, 15)], steps=2)
    assert canvas.drawn == pytest.approx([70] * 4, abs=2)
    canvas.close()


def test_the_dial_turns(page: BarePage) -> None:
    canvas, view = show(page, DIRECTIONS, "dial")
    assert canvas.angle is None
    stroke(page, [round_spot(page, view, a, 80) for a in (0, 40, 80, 121)])
    assert canvas.angle == 120
    finger(page, [round_spot(page, view, a, 80) for a in (200, 231)])
    assert canvas.angle == 230
    page.evaluate("v => document.querySelector(`${v} .orw-predict-handle`).focus()", view)
    for key in ("ArrowLeft", "ArrowRight", "ArrowRight", "PageUp"):
        page.press(key)
    page.pump()
    assert canvas.angle == 270
    assert page.text(f"{view} .orw-curves-readout") == "270°"
    canvas.show_measured(MEASURED, preferred=135.0, finished=True)
    still(page, view)
    assert (
        page.evaluate("v => document.querySelectorAll(`${v} .orw-predict-arrow`).length", view) == 2
    )
    canvas.close()


def difference(page: BarePage, view: str) -> float:
    """Length of the longest bar between prediction and measurement (CSS pixels)."""
    return page.evaluate(
        """view => Math.max(0, ...[...document.querySelectorAll(`${view} .orw-predict-difference`)]
            .map((bar) => bar.getTotalLength()))""",
        view,
    )


def test_the_measured_curve_grows_and_the_difference_is_shown(page: BarePage) -> None:
    canvas, view = show(page, DIRECTIONS, "polar")
    canvas.drawn = np.roll(MEASURED, 4).tolist()
    canvas.locked = True
    before = frame(page, view)
    for k in range(1, 9):
        part = np.where(np.arange(8) < k, MEASURED, np.nan)
        canvas.show_measured(part)
        page.settle()
        marks = "v => document.querySelectorAll(`${v} .orw-curves-stage .orw-curves-mark`).length"
        assert page.evaluate(marks, view) == k
    assert difference(page, view) == 0
    canvas.show_measured(MEASURED, preferred=135.0, finished=True, words="You are 180° away.")
    page.settle()
    part_way = difference(page, view)
    still(page, view)
    whole = difference(page, view)
    assert 0 <= part_way < whole
    radius = min(before["width"] / 2 - 46, before["height"] / 2 - 30)
    assert whole == pytest.approx(radius, rel=0.02)  # 100 against 0
    assert frame(page, view) == before  # nothing jumped
    assert "You are 180° away." in (page.attribute(f"{view} .orw-predict", "aria-label") or "")
    canvas.close()


def test_nothing_moves_for_who_asked_for_that(page: BarePage) -> None:
    page.emulate(reduced_motion="reduce")
    canvas, view = show(page, CONTRASTS)
    stroke(page, straight_spots(page, view, [10, 20, 60, 90, 100]))
    assert page.evaluate("v => !document.querySelector(`${v} .orw-predict-ink`)", view)
    canvas.show_measured(np.array([100.0, 90, 60, 20, 10]), finished=True)
    page.settle()
    now = difference(page, view)
    time.sleep(0.6)
    page.settle()
    assert difference(page, view) == now > 0
    canvas.close()


def test_views_leave_nothing(page: BarePage) -> None:
    canvas, view = show(page, CONTRASTS)
    second = page.show(canvas)
    stroke(page, straight_spots(page, view, [50] * 5))
    page.settle()
    page.hide(second)
    page.hide(view)
    canvas.show_measured(np.full(5, 10.0))
    page.settle()
    left = "() => [bare.frames.size, Object.values(bare.models)[0].listeners.length]"
    assert page.evaluate(left) == [0, 0]
    canvas.close()


# Pictures ----------------------------------------------------------------------------------------


def pictures() -> np.ndarray:
    image = np.zeros((12, 14))
    image[3:6, 4:8] = 1.0
    image[6:8, 4:8] = -0.3
    return np.stack([image, -image, np.roll(image, 5, axis=1), np.flipud(image)])


def test_a_picture_is_picked_by_mouse_finger_and_keys(page: BarePage) -> None:
    choice = plain(FieldChoice, pictures(), words="Which is the field?")
    view = page.show(choice)
    page.settle()
    cards = f"{view} .orw-choice-group .orw-choice-card"
    page.click(f"{cards}:nth-child(2)")
    page.pump()
    assert choice.picked == 1
    for key, picked in (("ArrowRight", 2), ("End", 3), ("ArrowRight", 0), ("ArrowLeft", 3)):
        page.press(key)
        page.pump()
        assert choice.picked == picked
    checked = page.evaluate(
        "c => [...document.querySelectorAll(c)].map((e) => e.getAttribute('aria-checked'))", cards
    )
    assert checked == ["false", "false", "false", "true"]
    spot = page.evaluate(
        """c => { const { x, y } = document.querySelector(c).getBoundingClientRect();
            return [x + 20, y + 20]; }""",
        f"{cards}:nth-child(3)",
    )
    finger(page, [tuple(spot)])
    assert choice.picked == 2
    # Red is above zero, blue below, white nothing.
    red, white = (page.pixels(f"{cards} canvas")[4, 5], page.pixels(f"{cards} canvas")[0, 0])
    assert red[0] > 150 > red[2]
    assert white[:3].tolist() == [255, 255, 255]
    blue = page.pixels(f"{cards} canvas", 1)[4, 5]
    assert blue[2] > 150 > blue[0]
    choice.locked = True
    page.click(f"{cards}:nth-child(1)", force=True)
    page.pump()
    assert choice.picked == 2
    choice.show_measured(pictures()[0], "measured")
    choice.tell(["its own", "flipped", "shifted", "of neuron 4"], 0)
    page.settle()
    assert "its own" in page.text(f"{cards}.orw-choice-right")
    assert "shifted" in page.text(f"{cards}.orw-choice-wrong")
    measured = page.pixels(f"{view} .orw-choice-measured canvas")
    np.testing.assert_array_equal(measured, page.pixels(f"{cards} canvas"))
    page.hide(view)
    assert page.evaluate("() => Object.values(bare.models)[0].listeners.length") == 0
    choice.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 900])
def test_looks(browser: BareChromium, theme: str, width: int) -> None:
    with browser.page(theme=theme, width=width, height=1700) as page:
        canvas, view = show(page, CONTRASTS)
        stroke(page, straight_spots(page, view, [5, 20, 60, 90, 100])[:3])
        dial, _ = show(page, DIRECTIONS, "dial")
        dial.angle = 60
        dial.show_measured(MEASURED, preferred=135.0, finished=True, note="Measured.")
        curve, _ = show(page, DIRECTIONS, "polar")
        curve.drawn = np.roll(MEASURED, 2).tolist()
        curve.locked = True
        curve.show_measured(MEASURED, preferred=135.0, baseline=20, finished=True)
        _, last = show(page, DIRECTIONS, "polar")
        page.press("Tab")
        page.press("Tab")
        time.sleep(0.6)
        page.screenshot(f"prediction-canvas-{theme}-{width}")
        assert page.text(f"{last} .orw-curves-message") != ""
        for one in (canvas, dial, curve):
            one.close()
