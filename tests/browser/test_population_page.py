"""Table and scatter of neurons in a real browser: sorted, selected, hovered, by mouse and keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openretina_widgets.drawing.row_content import HUES
from openretina_widgets.widgets.population_scatter import PopulationScatter
from openretina_widgets.widgets.population_table import PopulationTable
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable
from tests.widgets.population import HOSTILE, large_table, small_table

pytestmark = pytest.mark.browser

FOOT = ".orw-table-foot"
GRID = ".orw-table-grid"


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
    """Make widgets, and close them in the end."""
    made = []

    def make(*values: Any, **named: Any) -> Any:
        made.append(plain(*values, **named))
        return made[-1]

    yield make
    for widget in made:
        widget.close()


def column(page: BarePage, index: int) -> list[str]:
    """Texts of a column, as the rows stand on the page."""
    cells: list[tuple[int, str]] = page.evaluate(
        """index => Array.from(document.querySelectorAll(".orw-table-row"), (row) =>
            [Number(row.dataset.place), row.children[index].textContent])""",
        index,
    )
    return [text for _, text in sorted(cells)]


def row(neuron: int) -> str:
    return f'.orw-table-row[id$="-{neuron}"]'


def head(name: str) -> str:
    return f'[role=columnheader]:has-text("{name}")'


def test_every_text_is_text(page: BarePage, make: Any) -> None:
    view = page.show(make(PopulationTable, small_table()))
    assert column(page, 1) == ["ON sustained", "OFF <b>transient</b>", "–"]
    assert column(page, 2) == ["ON sustained", "OFF transient", HOSTILE]
    scatter = page.show(make(PopulationScatter, small_table(), colour="suggested_type"))
    assert HOSTILE in page.text(f"{scatter} .orw-scatter-legend")
    for one in (view, scatter):
        found = page.evaluate("s => document.querySelectorAll(s).length", f"{one} img, {one} td b")
        assert found == 0


def test_numbers_and_what_is_undefined(page: BarePage, make: Any) -> None:
    page.show(make(PopulationTable, small_table()))
    assert column(page, 4) == ["0.10", "–", "0.80"]
    assert column(page, 5) == ["100", "300", "–"]
    assert column(page, 3) == ["0.90", "−0.90", "0.00"]
    assert page.attribute(f"{row(1)} .orw-table-undefined", "title") == "no <b>response</b>"
    align = page.evaluate(
        "s => getComputedStyle(document.querySelector(s)).textAlign", f"{row(0)} .orw-table-number"
    )
    assert align == "right"


def test_a_click_on_a_head_sorts(page: BarePage, make: Any) -> None:
    table = make(PopulationTable, small_table())
    page.show(table)
    page.click(head("DSI"))
    assert column(page, 4) == ["0.80", "0.10", "–"]
    page.click(head("DSI"))
    assert column(page, 4) == ["0.10", "0.80", "–"]
    assert page.attribute('[role=columnheader][data-column="4"]', "aria-sort") == "ascending"
    page.pump()
    assert (table.sort_by, table.descending) == ("dsi", False)
    page.click(head("cell type"))
    assert column(page, 1) == ["–", "OFF <b>transient</b>", "ON sustained"]
    table.sort_by, table.descending = "neuron", True
    page.settle()
    assert column(page, 0) == ["2", "1", "0"]


def test_rows_are_selected_by_mouse(page: BarePage, make: Any) -> None:
    table = make(PopulationTable, large_table(30))
    page.show(table)
    page.click(row(3))
    page.pump()
    assert table.selected == [3]
    page.click(row(6), modifiers=["Shift"])
    page.pump()
    assert table.selected == [3, 4, 5, 6]
    page.click(row(5), modifiers=["Control"])
    page.click(row(1), modifiers=["Control"])
    page.pump()
    assert table.selected == [3, 4, 6, 1]
    assert page.attribute(row(4), "aria-selected") == "true"
    assert page.attribute(row(5), "aria-selected") == "false"
    assert page.text(FOOT) == "30 neurons · 4 selected"


def test_rows_are_selected_by_keys(page: BarePage, make: Any) -> None:
    table = make(PopulationTable, large_table(30))
    page.show(table)
    page.evaluate("s => document.querySelector(s).focus()", GRID)
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowDown"):
        page.press(key)
    page.pump()
    assert table.selected == [2, 3]
    page.press("Control+ArrowDown")
    page.press("Space")
    page.pump()
    assert table.selected == [2, 3, 4]
    page.press("End")
    page.pump()
    assert table.selected == [29]
    assert page.attribute(GRID, "aria-activedescendant").endswith("-29")
    page.press("Control+a")
    page.pump()
    assert sorted(table.selected) == list(range(30))
    for _ in range(4):
        page.press("ArrowRight")
    page.press("Enter")
    page.pump()
    assert (table.sort_by, table.descending) == ("dsi", True)


def test_only_rows_in_sight_are_in_the_page(page: BarePage, make: Any) -> None:
    n = 5000
    table = make(PopulationTable, large_table(n))
    begun = time.perf_counter()
    page.show(table)
    page.settle()
    assert time.perf_counter() - begun < 5
    count = "s => document.querySelectorAll(s).length"
    assert page.evaluate(count, ".orw-table-row") < 40
    page.evaluate("s => { document.querySelector(s).scrollTop = 1e9; }", GRID)
    page.settle()
    page.settle()
    assert column(page, 0)[-1] == str(n - 1)
    assert page.evaluate(count, ".orw-table-row") < 40
    table.selected = [2500]  # from elsewhere: it comes into sight
    page.settle()
    page.settle()
    assert page.evaluate(count, row(2500)) == 1
    # A sort of all rows takes about one screen refresh or two.
    milliseconds = page.evaluate(
        """s => new Promise((done) => {
            const begun = performance.now();
            document.querySelector(s).click();
            const drawn = () => done(performance.now() - begun);
            requestAnimationFrame(() => requestAnimationFrame(drawn));
        })""",
        '[role=columnheader][data-column="4"]',
    )
    assert milliseconds < 500
    assert column(page, 0)[0] == str(n - 1)


def test_rows_that_a_query_leaves(page: BarePage, make: Any) -> None:
    table = make(PopulationTable, large_table(30))
    page.show(table)
    table.shown, table.selected = [4, 8, 15], [8, 9]
    page.settle()
    assert column(page, 0) == ["4", "8", "15"]
    assert page.text(FOOT) == "3 of 30 neurons · 2 selected, 1 of them not listed"
    table.shown = []
    page.settle()
    assert "No neuron meets the query" in page.text(".orw-table-empty")
    table.shown = None
    page.settle()
    assert len(column(page, 0)) > 10


def test_empty_views_say_what_to_do(page: BarePage, make: Any) -> None:
    table = make(PopulationTable, placeholder="Press Compute.")
    scatter = make(PopulationScatter, placeholder="Press Compute.")
    page.show(table)
    page.show(scatter)
    assert page.text(".orw-table-empty") == "Press Compute."
    assert page.text(".orw-scatter-empty") == "Press Compute."
    table.table = scatter.table = small_table()
    page.settle()
    assert column(page, 0) == ["0", "1", "2"]
    assert not page.visible(".orw-scatter-empty")
    assert not page.visible(".orw-table-empty")


def place(page: BarePage, colour: str) -> tuple[float, float]:
    """Middle of the points of a colour in the scatter, in CSS pixels of the canvas."""
    pixels = page.pixels(".orw-scatter canvas")[..., :3].astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    y, x = np.nonzero((np.abs(pixels - wanted) < 12).all(axis=-1))
    return float(x.mean()), float(y.mean())


def drag(page: BarePage, *points: tuple[float, float], shift: bool = False) -> None:
    """Drag over the canvas, from the first point on."""
    page.evaluate(
        """([points, shiftKey]) => {
            const canvas = document.querySelector(".orw-scatter canvas");
            canvas.setPointerCapture = () => {};
            const box = canvas.getBoundingClientRect();
            const send = (type, [x, y]) => canvas.dispatchEvent(new PointerEvent(type, {
                clientX: box.left + x, clientY: box.top + y, button: 0, shiftKey, bubbles: true }));
            send("pointerdown", points[0]);
            for (const point of points.slice(1)) send("pointermove", point);
            send("pointerup", points[points.length - 1]);
        }""",
        [[list(point) for point in points], shift],
    )
    page.settle()


def around(x: float, y: float, r: float = 30) -> list[tuple[float, float]]:
    return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]


@pytest.fixture
def scatter(page: BarePage, make: Any) -> PopulationScatter:
    widget = make(PopulationScatter, small_table(), x="on_off", y="preferred_size")
    page.show(widget)
    page.settle()
    return widget


def test_points_are_where_their_numbers_are(page: BarePage, scatter: PopulationScatter) -> None:
    (x0, y0), (x1, y1) = place(page, HUES[0]), place(page, HUES[1])
    assert x0 > x1 + 200  # ON–OFF index 0.9 and −0.9
    assert y0 > y1 + 100  # 100 and 300 µm: larger is higher
    assert page.text(".orw-scatter-foot") == "1 neuron not shown: undefined on an axis"
    labels = page.evaluate(
        "() => Array.from(document.querySelectorAll('.orw-scatter-label'), (n) => n.textContent)"
    )
    assert labels == ["ON–OFF index", "preferred size (µm)"]


def test_a_click_selects_and_shift_adds(page: BarePage, scatter: PopulationScatter) -> None:
    drag(page, place(page, HUES[1]))
    page.pump()
    assert scatter.selected == [1]
    drag(page, place(page, HUES[0]), shift=True)
    page.pump()
    assert scatter.selected == [1, 0]
    assert "2 selected" in page.attribute(".orw-scatter canvas", "aria-label")


@pytest.mark.parametrize("tool", ["lasso", "rectangle"])
def test_a_drag_selects_what_is_inside(
    page: BarePage, scatter: PopulationScatter, tool: str
) -> None:
    page.click(f'[data-tool="{tool}"]')
    corners = around(*place(page, HUES[1]))
    drag(page, *(corners if tool == "lasso" else [corners[0], corners[2]]))
    page.pump()
    assert scatter.selected == [1]
    corners = around(300, 200, 2000)
    drag(page, *(corners if tool == "lasso" else [corners[0], corners[2]]))
    page.pump()
    assert sorted(scatter.selected) == [0, 1]  # the one that is undefined is not inside


def test_selected_points_have_a_ring(page: BarePage, scatter: PopulationScatter) -> None:
    x, y = place(page, HUES[0])
    before = page.pixels(".orw-scatter canvas")
    scatter.selected = [0]
    page.settle()
    changed = np.argwhere((before != page.pixels(".orw-scatter canvas")).any(axis=-1))
    assert len(changed) > 50
    assert np.abs(changed - [y, x]).max() < 20


def test_hovering_names_the_neuron(page: BarePage, scatter: PopulationScatter) -> None:
    page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector(".orw-scatter canvas");
            const box = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new PointerEvent("pointermove",
                { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
        }""",
        list(place(page, HUES[1])),
    )
    said = page.text(".orw-scatter-tip")
    assert "1 · OFF <b>transient</b>" in said
    assert "preferred size (µm): 300" in said
    assert page.visible(".orw-scatter-tip")


def test_the_legend_selects_a_type(page: BarePage, make: Any) -> None:
    widget = make(PopulationScatter, large_table(120))
    page.show(widget)
    page.click('.orw-scatter-entry:has-text("type 7")')
    page.pump()
    assert widget.selected == [7, 47, 87]


def test_points_by_keys(page: BarePage, scatter: PopulationScatter) -> None:
    page.evaluate("() => document.querySelector('.orw-scatter-plot').focus()")
    page.press("ArrowRight")
    assert "1 · OFF" in page.text(".orw-scatter-said")
    page.press("ArrowRight")
    page.press("Enter")
    page.pump()
    assert scatter.selected == [0]
    page.press("ArrowUp")
    page.press("Shift+Enter")
    page.pump()
    assert scatter.selected == [0, 1]


def test_axes_are_chosen(page: BarePage, scatter: PopulationScatter) -> None:
    page.select('[data-axis="y"]', "dsi")
    page.select('[data-axis="colour"]', "suggested_type")
    page.pump()
    assert (scatter.y, scatter.colour) == ("dsi", "suggested_type")
    scatter.x = "dsi"
    page.settle()
    assert page.evaluate("() => document.querySelector('[data-axis=x]').value") == "dsi"


def test_views_clean_up(page: BarePage, make: Any) -> None:
    for widget in (make(PopulationTable, small_table()), make(PopulationScatter, small_table())):
        before = page.evaluate("() => bare.global")
        view = page.show(widget)
        page.settle()
        page.hide(view)
        count = page.evaluate("id => bare.models[id].listeners.length", widget.comm.comm_id)
        assert count == 0
        assert page.evaluate("() => bare.global") == before
        assert page.evaluate("() => bare.frames.size") == 0
