"""The wall of receptive fields in a real browser: pixels, choosing, scrolling, live images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openretina_widgets.drawing.colour import DIVERGING, quantise
from openretina_widgets.widgets.field_wall import FieldWall
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

SCROLLER = ".orw-wall-scroller"
CANVAS = ".orw-wall-sizer canvas"
FOOT = ".orw-wall-foot"
GAP, LABEL, TILE = 12, 20, 96


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

    def make(*values: Any, **named: Any) -> FieldWall:
        made.append(plain(FieldWall, *values, **named))
        return made[-1]

    yield make
    for wall in made:
        wall.close()


def fields(n: int = 100, *, panels: int = 1, shape: tuple[int, int] = (18, 16)) -> np.ndarray:
    """Centres with a surround, of both signs, at random places."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    across, down = random.uniform(3, shape[1] - 3, n), random.uniform(3, shape[0] - 3, n)
    far = (x - across[:, None, None]) ** 2 + (y - down[:, None, None]) ** 2
    images = np.exp(-far / 5) - 0.3 * np.exp(-far / 25) + random.normal(0, 0.02, (n, *shape))
    images *= random.choice([-1, 1], n)[:, None, None]
    return np.stack([images * factor for factor in (1.0, -0.7)[:panels]], axis=1)


def labels(n: int) -> list[str]:
    names = ("ON sustained", "OFF transient", "ON-OFF direction selective 90°")
    return [f"{i} · {names[i % 3]}" for i in range(n)]


def place(page: BarePage, i: int) -> tuple[int, int]:
    """Left upper corner of an image of 16 pixels on the canvas, not scrolled."""
    width = page.evaluate("s => document.querySelector(s).clientWidth", SCROLLER)
    across = (width - GAP) // (TILE + GAP)
    pitch = (width - GAP) // across
    left = int((pitch - GAP - TILE) / 2 + 0.5)
    return GAP + left + (i % across) * pitch, GAP + (i // across) * (18 * 6 + LABEL + GAP)


def click(page: BarePage, i: int, **named: Any) -> None:
    x, y = place(page, i)
    page.click(CANVAS, position={"x": x + 20, "y": y + 20}, **named)
    page.pump()


def test_pixels_are_the_colours_of_the_table(page: BarePage, make: Any) -> None:
    images = fields()
    page.show(make(images, labels=labels(100)))
    page.settle()
    for i in (0, 1, 9):
        x, y = place(page, i)
        shown = page.pixels(CANVAS)[y : y + 108, x : x + 96, :3]
        limit = np.abs(images[i]).max()
        expected = DIVERGING[quantise(images[i, 0], (-limit, limit))]
        assert (shown[3::6, 3::6] == expected).all()  # the middle of each pixel
        assert (shown == np.kron(expected, np.ones((6, 6, 1)))).all()  # pixel-exact


def test_scroll_shows_the_others(page: BarePage, make: Any) -> None:
    images = fields(300)
    page.show(make(images))
    page.settle()
    page.evaluate("s => { document.querySelector(s).scrollTop = 10 * (18 * 6 + 32); }", SCROLLER)
    page.settle()
    page.settle()
    width = page.evaluate("s => document.querySelector(s).clientWidth", SCROLLER)
    i = 10 * ((width - GAP) // (TILE + GAP))
    limit = np.abs(images[i]).max()
    expected = DIVERGING[quantise(images[i, 0], (-limit, limit))]
    x, y = place(page, 0)
    shown = page.pixels(CANVAS)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3]
    assert (shown == expected).all()


def test_click_chooses_and_ctrl_or_shift_adds(page: BarePage, make: Any) -> None:
    wall = make(fields(), labels=labels(100), neurons=range(200, 300))
    page.show(wall)
    click(page, 3)
    assert wall.selected == (203,)
    click(page, 5, modifiers=["Control"])
    click(page, 0, modifiers=["Shift"])
    assert wall.selected == (203, 205, 200)
    click(page, 5, modifiers=["Control"])
    assert wall.selected == (203, 200)
    click(page, 1)
    click(page, 1, modifiers=["Control"])
    assert wall.selected == (201,)  # one stays
    assert "Chosen: 1 · OFF transient." in (page.attribute(CANVAS, "aria-label") or "")


def test_keys_move_and_bring_into_view(page: BarePage, make: Any) -> None:
    wall = make(fields(), selected=(0,))
    page.show(wall)
    page.evaluate("s => document.querySelector(s).focus()", SCROLLER)
    for key, expected in [
        ("ArrowRight", (1,)),
        ("Shift+ArrowRight", (1, 2)),
        ("ArrowLeft", (1,)),
        ("ArrowLeft", (0,)),
        ("ArrowLeft", (0,)),
        ("End", (99,)),
    ]:
        page.press(key)
        page.pump()
        assert wall.selected == expected
    assert page.evaluate("s => document.querySelector(s).scrollTop", SCROLLER) > 300
    page.press("Home")
    page.pump()
    assert wall.selected == (0,)
    assert page.evaluate("s => document.querySelector(s).scrollTop", SCROLLER) == 0


def test_choice_made_in_python_is_framed_and_brought_into_view(page: BarePage, make: Any) -> None:
    wall = make(fields())
    page.show(wall)
    page.settle()
    x, y = place(page, 2)
    before = page.pixels(CANVAS)[y - 3, x + 40, :3]
    wall.selected = (2,)
    page.settle()
    assert (page.pixels(CANVAS)[y - 3, x + 40, :3] != before).any()
    wall.selected = (90,)
    page.settle()
    assert page.evaluate("s => document.querySelector(s).scrollTop", SCROLLER) > 300


def test_pointer_says_what_is_under_it_and_nothing_moves(page: BarePage, make: Any) -> None:
    page.show(make(fields(), labels=labels(100), notes=["a <b>note</b>"] * 100, unit="a.u."))
    page.settle()
    height = page.evaluate("() => document.body.scrollHeight")
    x, y = place(page, 1)
    box = page.evaluate(
        "s => { const b = document.querySelector(s).getBoundingClientRect(); return [b.x, b.y] }",
        CANVAS,
    )
    page._chromium.call(page._page.mouse.move, box[0] + x + 5, box[1] + y + 5)
    page.settle()
    assert page.text(FOOT).startswith("1 · OFF transient · scale ±")
    assert page.text(FOOT).endswith("a.u. · a <b>note</b>")  # as text
    assert page.evaluate("() => document.body.scrollHeight") == height


def test_scale_is_chosen_in_the_page(page: BarePage, make: Any) -> None:
    images = fields(8) * np.linspace(0.1, 1, 8)[:, None, None, None]
    wall = make(images)
    page.show(wall)
    page.select(".orw-wall-scale", "common")
    page.pump()
    page.settle()
    assert wall.scale == "common"
    x, y = place(page, 0)
    shown = page.pixels(CANVAS)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3]
    assert (shown == DIVERGING[quantise(images[0, 0], (-wall.limits[0], wall.limits[0]))]).all()
    assert page.text(".orw-wall-bar-labels") == f"−{wall.limits[0]:g}0{wall.limits[0]:g}"


def test_live_images_replace_those_shown(page: BarePage, make: Any) -> None:
    images = fields(20)
    wall = make(images)
    page.show(wall)
    page.pump()
    for factor in (-1, 1, -1):
        wall.show_live(factor * images)
        page.settle()
        page.pump()
    x, y = place(page, 4)
    limit = np.abs(images[4]).max()
    shown = page.pixels(CANVAS)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3]
    assert (shown == DIVERGING[quantise(-images[4, 0], (-limit, limit))]).all()
    assert wall.stats.sent == 3
    page.show(wall)  # a second view, from what is newest
    page.settle()
    assert (page.pixels(CANVAS, 1)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3] == shown).all()


def test_only_images_that_changed_are_sent(page: BarePage, make: Any) -> None:
    images = fields(20)
    wall = make(images)
    page.show(wall)
    page.pump()
    x, y = place(page, 4)

    def shown(view: int = 0) -> Any:
        return page.pixels(CANVAS, view)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3]

    limit = np.abs(images[4]).max()
    for factor in (-1, 2, -3):
        before = wall.stats.bytes_sent
        images = images.copy()
        images[[4, 7]] *= factor
        wall.show_live(images)
        assert wall.stats.bytes_sent - before == 2 * images[0].size
        page.settle()
        page.pump()
        limit *= abs(factor)
        expected = DIVERGING[quantise(images[4, 0], (-limit, limit))]
        assert (shown() == expected).all()
    wall.show_live(images)  # nothing changed, nothing is sent
    assert wall.stats.sent == 3
    page.show(wall)  # a second view has all of them
    page.settle()
    assert (shown(1) == shown()).all()


def test_page_that_missed_a_picture_gets_all_of_it(page: BarePage, make: Any) -> None:
    images = fields(20)
    wall = make(images)
    page.show(wall)
    page.pump()
    send, wall.send = wall.send, lambda *_, **__: None  # lost on its way
    images = images.copy()
    images[4] *= -1
    wall.show_live(images)
    wall.send = send
    images = images.copy()
    images[7] *= -1
    wall.show_live(images)
    page.settle()
    page.pump()  # it asks
    page.settle()
    x, y = place(page, 4)
    limit = np.abs(images[4]).max()
    shown = page.pixels(CANVAS)[y + 3 : y + 108 : 6, x + 3 : x + 96 : 6, :3]
    assert (shown == DIVERGING[quantise(images[4, 0], (-limit, limit))]).all()


def test_empty_wall_says_what_to_do_and_gets_filled_in_place(page: BarePage, make: Any) -> None:
    wall = make(placeholder="Press Compute.", title="Receptive fields")
    page.show(wall)
    page.settle()
    assert page.text(".orw-wall-message") == "Press Compute."
    height = page.evaluate("() => document.body.scrollHeight")
    wall.show(fields(), labels=labels(100))
    page.settle()
    assert page.text(".orw-wall-message") == ""
    assert page.evaluate("() => document.body.scrollHeight") == height


def test_view_that_is_removed_leaves_nothing(page: BarePage, make: Any) -> None:
    wall = make(fields())
    view = page.show(wall)
    page.pump()
    assert wall._window.views == 1
    page.hide(view)
    page.pump()
    assert wall._window.views == 0
    assert page.evaluate("() => document.querySelectorAll('.orw-wall').length") == 0
    assert page.evaluate("() => bare.frames.size") == 0


FRAMES = """async ([selector, act, n]) => {
    const scroller = document.querySelector(selector);
    const canvas = scroller.querySelector("canvas");
    const acts = {
        scroll: (i) => { scroller.scrollTop = i * 47; },
        hover: (i) => {
            const { left, top, width, height } = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new PointerEvent("pointermove", {
                bubbles: true, clientX: left + (i * 53) % width, clientY: top + (i * 31) % height,
            }));
        },
    };
    const times = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < n; i++) {
        acts[act](i);
        const now = await new Promise(requestAnimationFrame);
        times.push(now - last);
        last = now;
    }
    return times;
}"""


@pytest.mark.parametrize("act", ["scroll", "hover"])
def test_two_thousand_fields_move_smoothly(page: BarePage, make: Any, act: str) -> None:
    page.show(make(fields(2000, panels=2), labels=labels(2000), panels=("green", "UV")))
    page.settle()
    times = np.array(page.evaluate(FRAMES, [SCROLLER, act, 150]))
    p95 = float(np.percentile(times, 95))
    print(f"{act} over 2,000 neurons: median {np.median(times):.1f} ms, p95 {p95:.1f} ms a frame")
    assert p95 < 50


def test_ten_thousand_scroll_to_the_last_and_change(page: BarePage, make: Any) -> None:
    images = np.tile(fields(100), (100, 1, 1, 1))
    wall = make(images)
    page.show(wall)
    page.pump()
    page.evaluate("() => document.querySelector('.orw-wall-scroller').focus()")
    page.press("End")
    page.pump()
    assert wall.selected == (9999,)
    painted = page.pixels(CANVAS)
    assert painted.shape[0] * painted.shape[1] < 4_000_000  # what is in view, and no more
    newer = images.copy()
    newer[9999] *= -1
    before = wall.stats.bytes_sent
    wall.show_live(newer)
    page.settle()
    assert wall.stats.bytes_sent - before == newer[0].size
    assert (page.pixels(CANVAS) != painted).any()


def test_wall_of_one_hundred_appears_within_a_second(page: BarePage, make: Any) -> None:
    wall = make(placeholder="soon")
    page.show(wall)
    page.settle()
    images = fields(100)
    start = time.perf_counter()
    wall.show(images, labels=labels(100))
    page.settle()
    seconds = time.perf_counter() - start
    assert page.pixels(CANVAS)[..., 3].any()
    print(f"100 neurons appear {1000 * seconds:.0f} ms after their fields are there")
    assert seconds < 1.0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(browser: BareChromium, make: Any, theme: str) -> None:
    with browser.page(theme=theme, width=760) as page:
        images = fields(60, panels=2)
        images[3] = np.nan
        wall = make(
            images,
            labels=labels(60),
            panels=("green", "UV"),
            unit="a.u.",
            title="Receptive fields",
            pixel_size_um=50.0,
            selected=(1, 4),
        )
        page.show(wall)
        page.settle()
        page.screenshot(f"field-wall-{theme}")
        # Labels are drawn in the colour of the text, which the theme decides.
        x, y = place(page, 0)
        label = page.pixels(CANVAS)[y + 18 * 3 + 4 : y + 18 * 3 + 4 + LABEL, x : x + 90]
        opaque = label[label[..., 3] > 128][:, :3]
        assert opaque.mean() < 80 if theme == "light" else opaque.mean() > 180
