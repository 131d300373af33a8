"""The map of a grid of conditions in a real browser: colours, clicks, keys, words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from openretina_widgets.drawing import colour
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.tuning_map import ResponseMap, TuningMap
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

GREEN, UV = Axis.of("green", [-1.0, 0.0, 1.0]), Axis.of("uv", [-1.0, 0.0, 1.0])
VALUES = np.arange(9.0).reshape(3, 3)


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


def grid(page: BarePage, values: np.ndarray = VALUES, names: str = "a") -> tuple[TuningMap, str]:
    plot = plain(TuningMap, title="Green and UV contrast")
    plot.prepare(
        GREEN, UV, labels=("green contrast", "UV contrast"), channels=("green", "UV"), names=names
    )
    plot.draw([ResponseMap(name, values, 1.0) for name in names])
    view = page.show(plot)
    page.settle()
    return plot, view


def cells(page: BarePage, view: str) -> list[dict]:
    """Middle and colour of every cell with a response, in the page."""
    return page.evaluate(
        """view => [...document.querySelectorAll(`${view} .orw-map-cell`)].map((cell) => {
            const { x, y, width, height } = cell.getBoundingClientRect();
            const root = cell.ownerSVGElement.getBoundingClientRect();
            const fill = getComputedStyle(cell).fill.match(/[0-9]+/g).map(Number);
            return { x: x + width / 2 - root.x, y: y + height / 2 - root.y, fill };
        })""",
        view,
    )


def click(page: BarePage, view: str, cell: dict) -> None:
    page.click(f"{view} .orw-map-stage > svg", position={"x": cell["x"], "y": cell["y"]})
    page.pump()
    page.settle()


def test_first_axis_goes_right_and_the_second_up_in_colours_of_python(page: BarePage) -> None:
    plot, view = grid(page)
    found = cells(page, view)
    assert len(found) == 9
    x, y = (np.array([cell[name] for cell in found]).reshape(3, 3) for name in "xy")
    assert (np.diff(x, axis=0) > 20).all()
    assert np.diff(x, axis=1) == pytest.approx(0, abs=0.5)
    assert (np.diff(y, axis=1) < -20).all()  # up the page
    levels = colour.quantise(VALUES, (0.0, 8.0)).ravel()
    assert [cell["fill"][:3] for cell in found] == colour.SEQUENTIAL[levels].tolist()
    words = page.text(f"{view} .orw-map-stage > svg")
    for part in ("green contrast", "UV contrast", "response (a.u.)", "−1"):
        assert part in words
    label = page.attribute(f"{view} .orw-map", "aria-label") or ""
    assert "highest 8 a.u. at green contrast 1, UV contrast 1" in label
    ring = page.evaluate(
        """view => {
            const node = document.querySelector(`${view} circle.orw-map-grey`);
            return ["cx", "cy"].map((name) => Number(node.getAttribute(name)));
        }""",
        view,
    )
    assert ring == pytest.approx([found[4]["x"], found[4]["y"]], abs=1)  # grey: (0, 0)
    plot.close()


@pytest.mark.parametrize("points", [5, 9, 17])
def test_the_labels_of_an_axis_come_at_even_steps_and_touch_nothing(
    page: BarePage, points: int
) -> None:
    contrasts = np.linspace(-1.0, 1.0, points)
    plot = plain(TuningMap, title="Green and UV contrast")
    axes = Axis.of("green", contrasts.tolist()), Axis.of("uv", contrasts.tolist())
    plot.prepare(
        *axes, labels=("green contrast", "UV contrast"), channels=("green", "UV"), names="ab"
    )
    plot.draw([ResponseMap(name, np.ones((points, points))) for name in "ab"])
    view = page.show(plot)
    page.settle()
    texts = page.evaluate(
        """view => [...document.querySelector(`${view} .orw-map-one`).querySelectorAll("text")].map(
            (one) => {
                const { left, right, top, bottom } = one.getBoundingClientRect();
                return { words: one.textContent, box: [left, right, top, bottom],
                    anchor: one.getAttribute("text-anchor"), label: one.getAttribute("class") };
            })""",
        view,
    )
    ticks = [one for one in texts if one["label"] is None]
    for anchor in ("middle", "end"):  # along x, and along y
        values = sorted(
            float(one["words"].replace("−", "-")) for one in ticks if one["anchor"] == anchor
        )
        assert len(values) >= 3
        assert (values[0], values[-1]) == (-1.0, 1.0)
        assert np.diff(values) == pytest.approx(np.diff(values)[0])
    (words,) = [one for one in texts if one["words"] == "UV contrast"]
    assert all(one["box"][0] > words["box"][1] + 1 for one in ticks if one["anchor"] == "end")
    plot.close()


def test_click_and_keys_choose_a_cell_that_has_a_response(page: BarePage) -> None:
    values = VALUES.copy()
    values[1, 1] = np.nan
    plot, view = grid(page, values)
    found = cells(page, view)
    assert len(found) == 8
    click(page, view, found[1])
    assert plot.clicked == 1
    readout = f"{view} .orw-map-readout"
    assert page.text(readout) == "green contrast −1, UV contrast 0 — a: 1"
    middle = {"x": found[3]["x"], "y": found[1]["y"]}
    click(page, view, middle)  # it is not measured yet
    assert plot.clicked == 1
    for key, chosen in [
        ("ArrowRight", 7),  # over the one that is not known
        ("ArrowRight", 7),  # the edge
        ("ArrowUp", 8),
        ("ArrowLeft", 5),
        ("ArrowDown", 3),
        ("Home", 0),
        ("End", 8),
    ]:
        page.press(key)
        page.pump()
        assert plot.clicked == chosen
    plot.clicked = 3  # from Python
    page.settle()
    assert "green contrast 0, UV contrast −1" in page.text(readout)
    plot.close()


def test_every_map_can_be_clicked_and_an_empty_one_says_what_to_do(page: BarePage) -> None:
    plot, view = grid(page, names="abcd")
    found = cells(page, view)
    assert len(found) == 36
    click(page, view, found[27 + 5])
    assert plot.clicked == 5
    assert page.text(f"{view} .orw-map-readout").endswith("a: 5; b: 5; c: 5; d: 5")
    plot.clear()
    page.settle()
    assert cells(page, view) == []
    assert "Press Run" in page.text(f"{view} .orw-map-message")
    page.press("ArrowRight")
    page.pump()
    assert plot.clicked is None
    plot.close()


def test_names_are_text_and_views_leave_nothing(page: BarePage) -> None:
    plot, view = grid(page)
    plot.draw([ResponseMap("<img src=x onerror=alert(1)>", VALUES)])
    page.settle()
    assert page.text(f"{view} .orw-map-name") == "<img src=x onerror=alert(1)>"
    page.hide(view)
    plot.draw([ResponseMap("a", VALUES)])
    page.settle()
    left = page.evaluate("() => [bare.frames.size, Object.values(bare.models)[0].listeners.length]")
    assert left == [0, 0]
    plot.close()


def test_arrows_have_the_direction_and_the_length_of_the_gradient(page: BarePage) -> None:
    slopes = np.zeros((3, 3, 2))
    slopes[0, 0], slopes[2, 1], slopes[1, 2] = (0.0, 2.0), (-1.0, 0.0), (np.nan, np.nan)
    plot = plain(TuningMap, title="Gradient")
    plot.prepare(GREEN, UV, names="a")
    plot.draw([ResponseMap("a", VALUES, 1.0, slopes)])
    view = page.show(plot)
    page.settle()
    d = page.evaluate(
        "view => document.querySelector(`${view} .orw-map-arrow`).getAttribute('d')", view
    )
    # Each arrow: tail, tip, one wing; tip, the other wing. Those without length are not drawn.
    ends = [
        np.array([point.split(",") for point in arrow.split("L")], dtype=float)
        for arrow in d.split("M")[1:]
    ]
    assert len(ends) == 4
    found = cells(page, view)
    up, left = ends[0], ends[2]
    assert up[:2].mean(axis=0) == pytest.approx([found[0]["x"], found[0]["y"]], abs=1)
    assert left[:2].mean(axis=0) == pytest.approx([found[7]["x"], found[7]["y"]], abs=1)
    rise, across = up[1] - up[0], left[1] - left[0]
    side = found[3]["x"] - found[0]["x"]
    assert rise == pytest.approx([0, -0.92 * side], abs=0.5)  # UV upwards
    assert across == pytest.approx([-0.46 * side, 0], abs=0.5)
    click(page, view, found[0])  # an arrow is in nobody's way
    assert plot.clicked == 0
    readout = page.text(f"{view} .orw-map-readout")
    assert readout.endswith("a: 0, gradient (0, 2)")
    plot.draw([ResponseMap("a", VALUES, 1.0)])
    page.settle()
    assert page.evaluate("v => document.querySelectorAll(`${v} .orw-map-arrow`).length", view) == 0
    plot.close()
