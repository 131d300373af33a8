"""When live pictures may go, and which are asked about, with a clock that the test turns."""

from __future__ import annotations

import asyncio
import math
import threading

import numpy as np
import pytest

from openretina_widgets.widgets.transport import FrameWindow, MainLoop, TransportStats


class Clock:
    """A clock that stands still until it is told the time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> FrameWindow:
    return FrameWindow(clock=clock)


def open_view(window: FrameWindow, view: str = "a") -> None:
    assert window.hear({"event": "open", "view": view, "version": 0}) == "open"


def paint(window: FrameWindow, frame: int, view: str = "a", painted: int = 0) -> None:
    message = {"event": "painted", "view": view, "frame": frame, "painted": painted or frame}
    assert window.hear(message) == "painted"


def send_all(window: FrameWindow) -> int:
    """Send as long as it is allowed; how many that were."""
    sent = 0
    while window.ready and sent < 100:
        window.count_sent(10)
        sent += 1
    return sent


def test_nothing_is_sent_without_a_view(window: FrameWindow, clock: Clock) -> None:
    assert not window.ready
    clock.now = 100
    assert not window.ready
    open_view(window)
    assert window.ready
    window.hear({"event": "close", "view": "a"})
    assert not window.ready


def test_four_pictures_at_most_are_out_until_the_answer_comes(window: FrameWindow) -> None:
    open_view(window)
    assert window.count_sent(10) == (1, True)
    assert send_all(window) == 3
    paint(window, 1)
    assert [window.count_sent(10)[1] for _ in range(5)] == [False] * 4 + [True]
    assert send_all(window) == 3
    paint(window, 8)  # no answer to the question about 9
    assert send_all(window) == 0
    paint(window, 12)
    assert window.ready


def test_a_trickle_of_one_a_second_without_acknowledgement(
    window: FrameWindow, clock: Clock
) -> None:
    open_view(window)
    assert send_all(window) == 4
    clock.now = 0.99
    assert send_all(window) == 0
    for second in range(1, 5):
        clock.now = second
        assert send_all(window) == 1
    assert not window.ready
    paint(window, 8)  # the tab is looked at again
    assert window.ready


def asked(window: FrameWindow, clock: Clock, answers: int, *, delay: float) -> list[int]:
    """Send ten pictures a second and answer late; the pictures asked about."""
    pictures: list[int] = []
    answer_at = math.inf
    while len(pictures) < answers or answer_at < math.inf:
        clock.now += 0.1
        if clock.now >= answer_at:
            paint(window, window.stats.sent)
            answer_at = math.inf
        if window.ready and len(pictures) < answers:
            number, ask = window.count_sent(10)
            if ask:
                pictures.append(number)
                answer_at = clock.now + delay
    return pictures


def test_a_prompt_browser_is_asked_less_and_less_often(window: FrameWindow, clock: Clock) -> None:
    open_view(window)
    pictures = asked(window, clock, 6, delay=0.05)
    assert pictures == [1, 9, 25, 57, 89, 121]


def test_a_slow_browser_is_asked_all_the_time(window: FrameWindow, clock: Clock) -> None:
    open_view(window)
    asked(window, clock, 5, delay=0.05)  # it was prompt, and then it got stuck
    stretches = np.diff(asked(window, clock, 8, delay=1.0))
    assert stretches[-1] <= 4  # no more than are out while the answer is awaited
    assert window.stats.sent - window.stats.acknowledged <= 4


def test_what_is_out_is_bounded_however_long_a_browser_was_prompt(
    window: FrameWindow, clock: Clock
) -> None:
    open_view(window)
    asked(window, clock, 9, delay=0.05)
    assert send_all(window) <= window.longest + window.size


def test_the_fastest_view_sets_the_pace(window: FrameWindow) -> None:
    open_view(window, "shown")
    open_view(window, "hidden")
    assert send_all(window) == 4
    paint(window, 4, "shown")
    assert send_all(window) == 11  # the next that is asked about, after eight, and three more
    window.hear({"event": "close", "view": "shown"})
    assert send_all(window) == 0


def test_a_view_that_opens_starts_with_an_empty_window(window: FrameWindow) -> None:
    open_view(window, "before a reload")
    assert send_all(window) == 4
    open_view(window, "after it")
    assert send_all(window) == 4


def test_an_acknowledgement_counts_once_and_never_ahead(window: FrameWindow) -> None:
    open_view(window)
    send_all(window)
    paint(window, 4)
    send_all(window)
    for wrong in (4, 2, 16, "9", None, 8.5):
        paint(window, wrong, painted=1)  # type: ignore[arg-type]
        assert not window.ready
    assert window.stats.acknowledged == 4


@pytest.mark.parametrize(
    "content",
    [
        *(None, "open", 3, [], {}),
        {"event": "open"},
        {"event": "open", "view": 3},
        {"event": "frames", "view": "a"},
        {"event": None, "view": "a"},
    ],
)
def test_other_messages_are_not_ours(window: FrameWindow, content: object) -> None:
    assert window.hear(content) == ""
    assert window.views == 0


def test_counters(window: FrameWindow) -> None:
    open_view(window)
    assert [window.count_sent(100), window.count_sent(50)] == [(1, True), (2, False)]
    window.count_skipped()
    paint(window, 2, painted=1)
    assert window.stats == TransportStats(
        sent=2, acknowledged=2, painted=1, skipped=1, bytes_sent=150
    )


def test_a_closed_widget_has_no_views(window: FrameWindow) -> None:
    open_view(window)
    window.forget_views()
    assert (window.views, window.ready) == (0, False)


def test_messages_may_come_from_many_threads(window: FrameWindow) -> None:
    def views(name: str) -> None:
        for i in range(500):
            open_view(window, f"{name}{i}")
            window.count_sent(1)
            if i % 2:
                window.hear({"event": "close", "view": f"{name}{i}"})

    threads = [threading.Thread(target=views, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert window.views == 4 * 250
    assert (window.stats.sent, window.stats.bytes_sent) == (2000, 2000)


def test_main_loop_calls_at_once_in_plain_python() -> None:
    called: list[int] = []
    MainLoop().call(lambda: called.append(1))
    assert called == [1]


async def test_main_loop_calls_on_the_loop_it_was_made_on() -> None:
    loop, where = MainLoop(), asyncio.get_running_loop().create_future()
    here = threading.get_ident()
    other = threading.Thread(
        target=loop.call, args=(lambda: where.set_result(threading.get_ident()),)
    )
    other.start()
    assert await asyncio.wait_for(where, 5) == here
    other.join()


def test_main_loop_drops_calls_once_the_loop_is_closed() -> None:
    async def make() -> MainLoop:
        return MainLoop()

    called: list[int] = []
    asyncio.run(make()).call(lambda: called.append(1))
    assert called == []
