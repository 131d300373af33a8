"""The player in a real browser: pixels against the tables, playback, keys, live pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from openretina_widgets.drawing.colour import (
    CHANNEL_COLOURS,
    DIVERGING,
    SEQUENTIAL,
    mix_light,
    quantise,
)
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from tests.browser.bare_page import BareChromium, BarePage, plain
from tests.browser.conftest import unavailable
from tests.browser.lab import Unavailable

pytestmark = pytest.mark.browser

SHAPE = (2, 50, 18, 16)
IMAGES = ".orw-player-panel canvas"
PLAY = ".orw-player-play"
FRAME = ".orw-player-frame"
SCRUB = ".orw-player-scrub"
SPEED = ".orw-player-speed"
LOOP = ".orw-player-loop"
CONTRAST = ".orw-player-contrast"


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
    """Make players, and close them in the end."""
    made = []

    def make(*values: Any, **named: Any) -> StimulusPlayer:
        made.append(plain(StimulusPlayer, *values, **named))
        return made[-1]

    yield make
    for player in made:
        player.close()


def blob(shape: tuple[int, int, int, int] = SHAPE) -> np.ndarray:
    """A centre with a surround that flickers at 2 Hz, and a little noise."""
    n_channels, n_frames, height, width = shape
    y, x = np.mgrid[:height, :width]
    time = np.arange(n_frames) / 30
    movie = np.zeros(shape, np.float32)
    for c in range(n_channels):
        far = ((x - width * (0.45 + 0.2 * c)) ** 2 + (y - height / 2) ** 2) / height**2
        picture = np.exp(-far * 40) - 0.35 * np.exp(-far * 8)
        flicker = np.sin(2 * np.pi * 2 * time + 0.6 + c) if n_frames > 1 else np.ones(1)
        movie[c] = (0.43 - 0.75 * c) * flicker[:, None, None] * picture
    movie += np.random.default_rng(0).normal(0, 0.01, shape)
    return 0.45 * movie / np.abs(movie).max()


def numbered(n_frames: int = 10, shape: tuple[int, int] = (4, 3)) -> np.ndarray:
    """A movie whose frame k is k/n everywhere: a pixel tells the frame."""
    values = np.arange(n_frames, dtype=np.float32) / n_frames
    return np.broadcast_to(values[None, :, None, None], (1, n_frames, *shape)).copy()


def expected(movie: np.ndarray, channel: int, frame: int, limit: float) -> np.ndarray:
    return DIVERGING[quantise(movie[channel, frame], (-limit, limit))]


def shown(page: BarePage, view: str = "") -> str:
    return page.text(f"{view} {FRAME}")


# ---- pixels


def test_pixels_are_the_colours_of_the_table(page: BarePage, make: Any) -> None:
    movie = blob()
    page.show(make(movie))
    page.settle()
    for channel in (0, 1):
        pixels = page.pixels(IMAGES, channel)
        assert pixels.shape == (18, 16, 4)
        assert (pixels[..., 3] == 255).all()
        assert (pixels[..., :3] == expected(movie, channel, 0, 0.5)).all()
    both = [quantise(movie[c, 0], (-0.5, 0.5)) for c in (0, 1)]
    assert (page.pixels(IMAGES, 2)[..., :3] == mix_light(*both)).all()


def test_zero_is_white_positive_red_negative_blue(page: BarePage, make: Any) -> None:
    page.show(make(np.array([[[[0.0, 1.0, -1.0, 0.5]]]])))
    page.settle()
    zero, positive, negative, half = page.pixels(IMAGES)[0, :, :3].astype(int)
    assert zero.tolist() == [255, 255, 255]
    assert positive[0] > 150 > positive[1:].max()
    assert negative[2] > 150 > negative[:2].max()
    assert half.tolist() == DIVERGING[192].tolist()


def test_undefined_pixels_let_the_hatch_through(page: BarePage, make: Any) -> None:
    page.show(make(np.array([[[[0.0, np.nan]]], [[[1.0, 1.0]]]])))
    page.settle()
    for image, alpha in ((0, [255, 0]), (1, [255, 255]), (2, [255, 0])):
        assert page.pixels(IMAGES, image)[0, :, 3].tolist() == alpha
    note = ".orw-player-bar .orw-player-foot"
    assert page.text(note) == "undefined"
    assert page.attribute(note, "title") == "Not finite: 1 value"
    assert page.attribute(".orw-player", "aria-label").endswith("; 1 value undefined")


def test_sequential_colours(page: BarePage, make: Any) -> None:
    page.show(make(np.array([[[[0.0, 0.5, 1.0]]]]), colour_map="sequential", unit="contrast"))
    page.settle()
    assert page.pixels(IMAGES)[0, :, :3].tolist() == SEQUENTIAL[[1, 128, 255]].tolist()
    assert page.text(".orw-player-unit") == "contrast"


def test_contrast_stretches_the_colours_and_the_labels_follow(page: BarePage, make: Any) -> None:
    page.show(make(np.array([[[[0.0, 0.25, -0.25, 1.0]]]])))
    assert page.text(".orw-player-bar-labels") == "10−1"
    page.fill(CONTRAST, "4")  # ×4
    page.settle()
    assert page.text(".orw-player-gain") == "×4"
    assert page.text(".orw-player-bar-labels") == "0.250−0.25"
    pixels = page.pixels(IMAGES)[0, :, :3]
    assert pixels.tolist() == DIVERGING[[128, 255, 1, 255]].tolist()
    assert [m["content"]["event"] for m in page.pump()] == ["open"]  # and nothing of the slider


def test_bar_and_legend_show_whole_tables(page: BarePage, make: Any) -> None:
    page.show(make(blob(), unit="z-score"))
    bar = page.pixels(".orw-player-bar canvas")
    assert (bar[::-1, 0, :3] == DIVERGING[1:]).all()
    plane = page.pixels(".orw-player-plane canvas")[..., :3]
    corners = plane[[-1, -1, 0, 0], [0, -1, 0, -1]]
    wanted = mix_light(np.uint8([1, 255, 1, 255]), np.uint8([1, 1, 255, 255]))
    assert (corners == wanted).all()
    assert page.text(".orw-player-unit") == "z-score"
    assert page.text(".orw-player-plane") == "0.5UV−0.5−0.5green0.5"


def test_every_channel_has_its_bar_when_limits_differ(page: BarePage, make: Any) -> None:
    page.show(make(blob(), limits=[(-1, 1), (-3, 3)]))
    labels = page.evaluate(
        "() => [...document.querySelectorAll('.orw-player-bar-labels')].map(n => n.textContent)"
    )
    assert labels == ["10−1", "30−3"]


@pytest.mark.parametrize(
    ("panels", "names"),
    [
        ("all", ["green", "UV", "combined"]),
        ("channels", ["green", "UV"]),
        ("combined", ["combined"]),
    ],
)
def test_panels(page: BarePage, make: Any, panels: str, names: list[str]) -> None:
    player = make(blob())
    view = page.show(player)
    player.panels = panels
    page.settle()
    heads = "[...document.querySelectorAll('.orw-player-panel .orw-player-head')]"
    assert page.evaluate(f"() => {heads}.map(n => n.textContent)") == names
    assert page.pixels(f"{view} {IMAGES}").any()
    chip = page.evaluate(
        "() => getComputedStyle(document.querySelector('.orw-player-chip')).backgroundColor"
    )
    green = tuple(int(CHANNEL_COLOURS["green"][i : i + 2], 16) for i in (1, 3, 5))
    assert chip == ("rgba(0, 0, 0, 0)" if panels == "combined" else f"rgb{green}")


# ---- playback


def test_play_changes_the_pixels_and_sends_nothing(page: BarePage, make: Any) -> None:
    page.show(make(numbered(100)))
    page.settle()
    page.pump()
    before = page.pixels(IMAGES)
    page.click(PLAY)
    page.wait_for(f"() => document.querySelector('{SCRUB}').value > 5")
    assert page.attribute(PLAY, "aria-label") == "Pause"
    page.click(PLAY)
    assert page.attribute(PLAY, "aria-label") == "Play"
    frame = int(page.evaluate(f"() => document.querySelector('{SCRUB}').value"))
    pixels = page.pixels(IMAGES)
    assert (pixels != before).any()
    assert (pixels[..., :3] == expected(numbered(100), 0, frame, 1)).all()
    page.settle()
    assert shown(page).startswith(f"frame {frame} ")
    assert page.evaluate("() => bare.frames.size") == 0  # at rest nothing is scheduled
    assert page.pump() == []


def test_scrubbing_shows_frame_and_time(page: BarePage, make: Any) -> None:
    page.show(make(numbered(10), frame_rate=20))
    page.fill(SCRUB, "7")
    assert shown(page) == "frame 7 of 0–9"
    assert page.text(".orw-player-time") == "0.350 s (350 ms)"
    assert (page.pixels(IMAGES)[..., :3] == expected(numbered(10), 0, 7, 1)).all()
    assert page.attribute(SCRUB, "aria-valuetext") == "frame 7, 0.350 s"


def test_keys(page: BarePage, make: Any) -> None:
    view = page.show(make(numbered(10)))
    page.evaluate("view => document.querySelector(view + ' .orw-player').focus()", view)
    keys = ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home", "ArrowLeft"]
    for key, frame in zip(keys, [1, 2, 1, 9, 9, 0, 0], strict=True):
        page.press(key)
        assert shown(page) == f"frame {frame} of 0–9", key
    page.press("Space")
    assert page.attribute(PLAY, "aria-label") == "Pause"
    page.press("Space")
    assert page.attribute(PLAY, "aria-label") == "Play"
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_keys_belong_to_the_control_that_uses_them(page: BarePage, make: Any) -> None:
    page.show(make(numbered(10)))
    page.evaluate(f"() => document.querySelector('{PLAY}').focus()")
    page.press("Space")
    assert page.attribute(PLAY, "aria-label") == "Pause"  # once, not twice
    page.press("ArrowRight")
    assert page.attribute(PLAY, "aria-label") == "Play"  # a step pauses
    frame = shown(page)
    page.evaluate(f"() => document.querySelector('{CONTRAST}').focus()")
    page.press("ArrowRight")
    assert page.text(".orw-player-gain") == "×1.5"
    page.evaluate(f"() => document.querySelector('{LOOP}').focus()")
    page.press("Space")
    assert not page.evaluate(f"() => document.querySelector('{LOOP}').checked")
    assert page.attribute(PLAY, "aria-label") == "Play"
    assert shown(page) == frame


def test_without_loop_it_stops_at_the_end_and_plays_again(page: BarePage, make: Any) -> None:
    page.show(make(numbered(10), loop=False))
    page.select(SPEED, "4")
    page.click(PLAY)
    page.wait_for(f"() => document.querySelector('{PLAY}').ariaLabel === 'Play'")
    page.settle()
    assert shown(page) == "frame 9 of 0–9"
    page.click(PLAY)
    page.wait_for(f"() => document.querySelector('{PLAY}').ariaLabel === 'Play'")


def test_loop_starts_over(page: BarePage, make: Any) -> None:
    page.show(make(numbered(10)))
    page.evaluate(
        f"""() => {{
            window.wraps = 0;
            let last = 0;
            const look = () => {{
                const now = Number(document.querySelector('{SCRUB}').value);
                if (now < last) window.wraps++;
                last = now;
                if (window.wraps < 2) requestAnimationFrame(look);
            }};
            look();
        }}"""
    )
    page.select(SPEED, "4")
    page.click(PLAY)
    page.wait_for("() => window.wraps === 2")
    page.click(PLAY)


@pytest.mark.parametrize("speed", ["0.25", "4"])
def test_speed_is_a_factor_of_the_frame_rate(page: BarePage, make: Any, speed: str) -> None:
    page.show(make(numbered(300)))
    page.select(SPEED, speed)
    frames, seconds = page.evaluate(
        f"""async () => {{
            const value = () => Number(document.querySelector('{SCRUB}').value);
            const until = (condition) => new Promise((done) => {{
                const look = (now) => condition(now) ? done(now) : requestAnimationFrame(look);
                requestAnimationFrame(look);
            }});
            document.querySelector('{PLAY}').click();
            const start = await until(() => value() > 0);
            const from = value();
            const end = await until((now) => now - start > 1000);
            return [value() - from, (end - start) / 1000];
        }}"""
    )
    assert frames == pytest.approx(30 * float(speed) * seconds, abs=2 + 4 * float(speed))
    page.click(PLAY)


def test_autoplay_and_reduced_motion(page: BarePage, make: Any) -> None:
    player = make(shape=(1, 10, 4, 3), autoplay=True)
    view = page.show(player)
    assert page.attribute(f"{view} {PLAY}", "aria-label") == "Play"
    player.stimulus = numbered(10)
    assert page.attribute(f"{view} {PLAY}", "aria-label") == "Pause"
    page.click(f"{view} {PLAY}")
    player.stimulus = -numbered(10)  # what the user paused stays paused
    assert page.attribute(f"{view} {PLAY}", "aria-label") == "Play"
    player.clear()
    player.stimulus = numbered(10)  # a new run
    assert page.attribute(f"{view} {PLAY}", "aria-label") == "Pause"
    page.emulate(reduced_motion="reduce")
    still = page.show(player)
    assert page.attribute(f"{still} {PLAY}", "aria-label") == "Play"


def test_a_single_frame_has_no_playback_controls(page: BarePage, make: Any) -> None:
    view = page.show(make(blob((2, 1, 18, 16))))
    assert not page.visible(f"{view} {PLAY}")
    assert page.visible(f"{view} {CONTRAST}")
    bare = page.show(make(blob((2, 1, 18, 16)), controls=False))
    assert not page.visible(f"{bare} {CONTRAST}")
    width = "view => document.querySelector(view + ' .orw-player').offsetWidth"
    assert page.evaluate(width, f"{bare}") > 500  # three panels
    small = page.show(make(blob((1, 1, 18, 16)), controls=False, height=100))
    assert page.evaluate(width, small) < 250  # no room is kept for controls that are not there


# ---- live pictures


def frames_painted(page: BarePage) -> list[int]:
    """Numbers of the live pictures that the page has acknowledged since the last look."""
    messages = [m["content"] for m in page.pump()]
    return [m["frame"] for m in messages if m["event"] == "painted"]


def test_live_pictures_are_painted_and_the_page_answers_when_asked(
    page: BarePage, make: Any
) -> None:
    player = make(numbered(10))
    player._window.prompt = math.inf
    page.show(player)
    page.pump()
    assert player.ready
    acknowledged = []
    for k in range(1, 14):
        movie = numbered(10) * (1 - k / 20)
        player.show(movie)
        page.settle()
        acknowledged += frames_painted(page)
        limit = player.limits[0][1]
        assert (page.pixels(IMAGES)[..., :3] == expected(movie, 0, 0, limit)).all()
    assert acknowledged == [1, 9]
    stats = player.stats
    assert (stats.sent, stats.acknowledged, stats.painted) == (13, 9, 9)
    assert stats.bytes_sent == 13 * numbered(10).size


def test_the_window_of_four_is_kept_and_the_last_arrives(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.pump()
    for k in range(20):
        player.show(numbered(10) * (k + 1) / 20)
    assert player.stats.sent == 4
    page.pump_until(lambda: player.stats.sent == 5)  # an acknowledgement lets the newest follow
    page.settle()
    page.fill(SCRUB, "9")
    limit = player.limits[0][1]
    assert (page.pixels(IMAGES)[..., :3] == expected(numbered(10), 0, 9, limit)).all()
    assert player.stats.skipped == 15


def test_playback_waits_for_live_pictures_and_goes_on_after_them(page: BarePage, make: Any) -> None:
    player = make(numbered(30), autoplay=True, frame_rate=30)
    page.show(player)
    page.pump()
    page.evaluate(
        """() => {
            const draw = CanvasRenderingContext2D.prototype.putImageData;
            window.drawn = 0;
            CanvasRenderingContext2D.prototype.putImageData = function (...values) {
                window.drawn += 1;
                draw.apply(this, values);
            };
        }"""
    )
    drawn = "() => window.drawn"
    for k in range(20):
        player.show(numbered(30) * (1 - k / 40))
        page.pump()
        time.sleep(0.1)
    sent = player.stats.sent
    assert sent > 15
    assert sent - 2 <= page.evaluate(drawn) <= 1.5 * sent  # 60 frames would be due in this time
    time.sleep(0.6)
    before = page.evaluate(drawn)
    time.sleep(1.0)
    assert page.evaluate(drawn) - before > 20
    page.click(PLAY)


def test_a_live_picture_keeps_frame_and_play_state(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.pump()
    page.fill(SCRUB, "6")
    movie = -numbered(10)
    player.show(movie)
    page.settle()
    assert shown(page) == "frame 6 of 0–9"
    assert (page.pixels(IMAGES)[..., :3] == expected(movie, 0, 6, 1)).all()
    assert page.attribute(PLAY, "aria-label") == "Play"
    page.click(PLAY)
    page.wait_for(f"() => document.querySelector('{SCRUB}').value > 7")
    player.show(numbered(10))
    page.settle()
    assert page.attribute(PLAY, "aria-label") == "Pause"
    player.stimulus = numbered(5)
    page.settle()
    assert page.attribute(PLAY, "aria-label") == "Pause"
    page.click(PLAY)


def test_a_shorter_stimulus_shows_its_last_frame(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.fill(SCRUB, "9")
    player.stimulus = numbered(4)
    page.settle()
    assert shown(page) == "frame 3 of 0–3"


def test_the_scrubber_and_its_axis_follow_the_length(page: BarePage, make: Any) -> None:
    """A stimulus of another length, with the same colours and sizes: nothing else changes."""
    player = make(np.zeros((1, 30, 4, 4)), channels=("green",), limits=(-1, 1), frame_rate=30)
    page.show(player)
    for frames in (300, 45):
        player.stimulus = np.zeros((1, frames, 4, 4))
        page.settle()
        last = float(page.text(".orw-player-ticks :last-child"))
        assert page.attribute(SCRUB, "max") == str(frames - 1)
        assert 0.6 * frames / 30 < last <= frames / 30


def test_two_views_of_one_model_play_apart_and_both_get_live_pictures(
    page: BarePage, make: Any
) -> None:
    player = make(numbered(10))
    first = page.show(player)
    page.pump()
    player.show(-numbered(10))
    second = page.show(player)  # the page has the live picture, the widget's trait has not
    page.pump()
    page.fill(f"{first} {SCRUB}", "6")
    page.fill(f"{second} {SCRUB}", "2")
    for view, frame in ((first, 6), (second, 2)):
        assert shown(page, view) == f"frame {frame} of 0–9"
        wanted = expected(-numbered(10), 0, frame, 1)
        assert (page.pixels(f"{view} {IMAGES}")[..., :3] == wanted).all()
    page.hide(first)
    page.pump()
    assert player.ready
    page.hide(second)
    page.pump()
    assert not player.ready


def test_a_reloaded_page_shows_the_newest_live_picture(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.pump()
    player.show(-numbered(10))
    page.reload()
    view = page.show(player)
    page.fill(f"{view} {SCRUB}", "9")
    wanted = expected(-numbered(10), 0, 9, 1)
    assert (page.pixels(f"{view} {IMAGES}")[..., :3] == wanted).all()


def test_a_hidden_page_does_not_acknowledge(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.pump()
    page.evaluate("() => { window.requestAnimationFrame = () => 1; }")  # as in a hidden tab
    for _ in range(6):
        player.show(numbered(10))
    page.pump()
    assert player.stats.sent == 4
    assert player.stats.acknowledged == 0
    player._window.patience = 0.0
    assert player.ready


# ---- empty, layout, words


def test_an_empty_player_says_what_to_do_and_does_not_jump(page: BarePage, make: Any) -> None:
    player = make(shape=SHAPE, pixel_size_um=50, placeholder="Press Optimise.")
    view = page.show(player)
    page.settle()
    assert page.text(".orw-player-message") == "Press Optimise."
    words = "Stimulus: empty. Press Optimise."
    assert page.attribute(".orw-player", "aria-label") == words
    assert page.evaluate(f"() => document.querySelector('{PLAY}').matches(':disabled')")
    boxes = """view => [view, ...['canvas', '.orw-player-controls', '.orw-player-scrub'].map(
        (name) => `${view} ${name}`)].map((name) => {
            const { x, y, width, height } = document.querySelector(name).getBoundingClientRect();
            return [x, y, width, height];
        })"""
    before = page.evaluate(boxes, view)
    player.show(blob())
    page.pump()
    page.settle()
    assert page.evaluate(boxes, view) == before
    assert page.text(".orw-player-message") == ""
    player.show(100 * blob())
    page.settle()
    assert page.evaluate(boxes, view) == before
    player.clear()
    page.settle()
    assert page.evaluate(boxes, view) == before
    assert not page.pixels(f"{view} {IMAGES}").any()
    assert page.text(".orw-player-message") == "Press Optimise."


def test_it_says_in_words_what_is_shown(page: BarePage, make: Any) -> None:
    player = make(blob(), title="Best stimulus", unit="z-score")
    page.show(player)
    page.fill(SCRUB, "12")
    assert page.attribute(".orw-player", "aria-label") == (
        "Best stimulus: 2 channels (green, UV), 50 frames at 30 Hz, 16 by 18 pixels; "
        "colours from −0.5 to 0.5 z-score"
    )
    assert page.attribute(IMAGES, "aria-label") == "green, frame 12 at 0.400 s"
    player.clear()
    assert page.attribute(".orw-player", "aria-label").startswith("Best stimulus: empty. No stim")


@pytest.mark.parametrize(
    ("pixel_size_um", "words", "width"), [(50, "200 µm", 4 * 12), (None, "5 pixels", 5 * 12)]
)
def test_scale_bar(
    page: BarePage, make: Any, pixel_size_um: float | None, words: str, width: int
) -> None:
    page.show(make(blob(), pixel_size_um=pixel_size_um))
    foot = ".orw-player-panel .orw-player-foot"
    assert page.text(foot) == words
    line = f"() => document.querySelector('{foot} span').getBoundingClientRect().width"
    assert page.evaluate(line) == width


@pytest.mark.parametrize(
    ("shape", "options", "size"),
    [
        ((1, 2, 72, 64), {}, (192, 216)),
        ((1, 2, 18, 16), {"height": 100}, (80, 90)),
        ((1, 2, 18, 16), {"scale": 2.5}, (40, 45)),
        ((1, 2, 10, 80), {}, (480, 60)),
        ((1, 2, 440, 300), {}, (150, 220)),
    ],
)
def test_size_of_a_panel(
    page: BarePage, make: Any, shape: Any, options: dict[str, float], size: tuple[int, int]
) -> None:
    page.show(make(np.zeros(shape), **options))
    style = f"document.querySelector('{IMAGES}').style"
    css = page.evaluate(f"() => [{style}.width, {style}.height]")
    assert css == [f"{size[0]}px", f"{size[1]}px"]


def test_time_axis_is_aligned_with_the_scrubber(page: BarePage, make: Any) -> None:
    page.show(make(numbered(31)))
    ticks = page.evaluate(
        """() => [...document.querySelectorAll('.orw-player-ticks span')].map((tick) => {
            const { left, width } = tick.getBoundingClientRect();
            return [tick.textContent, left + width / 2];
        })"""
    )
    scrub = page.evaluate(
        f"() => {{ const b = document.querySelector('{SCRUB}').getBoundingClientRect();"
        " return [b.left + 7, b.right - 7] }"  # the thumb is 14 pixels wide
    )
    assert [text for text, _ in ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [ticks[0][1], ticks[-1][1]] == pytest.approx(scrub, abs=0.6)


def test_changed_settings_are_drawn(page: BarePage, make: Any) -> None:
    player = make(blob())
    view = page.show(player)
    page.fill(SCRUB, "30")
    player.title = "New <b>title</b>"
    player.frame_rate = 60
    page.settle()
    assert page.text(f"{view} .orw-player-title") == "New <b>title</b>"
    assert page.text(f"{view} .orw-player-time") == "0.500 s (500 ms)"


# ---- the end


def test_a_removed_view_leaves_nothing_running(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    before = page.evaluate("() => bare.global")
    view = page.show(player)
    model = player.model_id
    listeners = page.evaluate("id => bare.models[id].listeners.length", model)
    page.click(PLAY)
    page.evaluate("view => { window.old = document.querySelector(view); }", view)
    page.evaluate("() => { window.canvas = old.querySelector('canvas'); }")
    asked = "(done) => bare.frames.size ? done() : setTimeout(() => until(done), 1)"
    page.evaluate(f"() => {{ window.until = {asked}; return new Promise(until); }}")  # it plays
    page.hide(view)
    page.settle()
    # Longer than a frame of the stimulus lasts: no timer asks for another one.
    later = "() => new Promise((done) => setTimeout(() => done(bare.frames.size), 200))"
    assert page.evaluate(later) == 0
    assert page.evaluate("() => [canvas.width, canvas.height, old.childElementCount]") == [0] * 3
    assert page.evaluate("() => bare.global") == before  # none on window or document
    again = page.show(player)
    assert page.evaluate("id => bare.models[id].listeners.length", model) == listeners
    page.hide(again)
    player.close()
    page.settle()
    assert page.evaluate("() => Object.keys(bare.models).length") == 0
    assert [m["content"]["event"] for m in page.pump()] == ["open", "close", "open", "close"]


def test_closing_the_widget_removes_its_views(page: BarePage, make: Any) -> None:
    player = make(numbered(10))
    page.show(player)
    page.click(PLAY)
    player.close()
    page.settle()
    assert page.evaluate("() => document.querySelectorAll('.orw-player').length") == 0
    assert page.evaluate("() => bare.frames.size") == 0


# ---- looks


def contrast_of(page: BarePage, selector: str) -> float:
    """Contrast (WCAG 2.1) of a text against the page."""
    return page.evaluate(
        """selector => {
            const paint = (...colours) => {
                const canvas = document.createElement('canvas').getContext('2d');
                for (const colour of colours) {
                    canvas.fillStyle = colour;
                    canvas.fillRect(0, 0, 1, 1);
                }
                const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => {
                    const share = v / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = getComputedStyle(document.body).backgroundColor;
            const text = getComputedStyle(document.querySelector(selector)).color;
            const both = [paint(ground), paint(ground, text)].sort((a, b) => a - b);
            return (both[1] + 0.05) / (both[0] + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_are_readable_in_both_themes(browser: BareChromium, make: Any, theme: str) -> None:
    movie = blob()
    movie[0, 0, :2, :3] = np.nan
    with browser.page(theme=theme, height=1600) as page:
        page.show(make(movie, pixel_size_um=50, title="Two channels, 18 × 16 pixels"))
        page.show(make(blob((1, 300, 72, 64)), title="One channel, 72 × 64 pixels, 300 frames"))
        page.show(make(blob((2, 1, 18, 16)), pixel_size_um=50, panels="channels", height=150))
        page.show(make(shape=SHAPE, placeholder="Press Optimise to see the stimulus emerge."))
        page.evaluate("() => document.querySelector('.orw-player').focus()")
        page.press("End")
        page.screenshot(f"stimulus_player_{theme}")
        names = ["title", "head", "foot", "unit", "bar-labels", "plane", "frame", "time", "ticks"]
        for name in [*names, "axis", "settings", "message"]:
            assert contrast_of(page, f".orw-player-{name}") >= 4.5, name
        sizes = page.evaluate(
            """() => [...document.querySelectorAll('.orw-player *')]
                .filter((node) => node.textContent.trim())
                .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
        )
        assert min(sizes) >= 13


def test_a_narrow_cell_wraps_and_keeps_everything_in_reach(
    browser: BareChromium, make: Any
) -> None:
    with browser.page(width=560, height=900) as page:
        page.show(make(blob(), pixel_size_um=50))
        page.screenshot("stimulus_player_narrow")
        overflow = "() => document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0
