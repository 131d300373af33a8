"""The player without a browser: what it accepts, what it sends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import weakref
from typing import Any

import comm.base_comm
import ipywidgets
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances

from openretina_widgets.drawing.colour import CHANNEL_COLOURS, DIVERGING, UNDEFINED, quantise
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from openretina_widgets.widgets.transport import TransportStats

SHAPE = (2, 5, 4, 3)


class Wire(comm.base_comm.BaseComm):
    """A comm that keeps what is sent, and hands in what a browser would say."""

    def __init__(self, player: StimulusPlayer) -> None:
        self.messages: list[dict[str, Any]] = []
        player.comm.close()
        super().__init__(comm_id=player.comm.comm_id)
        player.comm = self

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any
    ) -> None:
        if msg_type == "comm_msg":
            thread = threading.get_ident()
            self.messages.append({**data, "buffers": buffers, "thread": thread})

    def say(self, **content: Any) -> None:
        data = {"method": "custom", "content": content}
        self.handle_msg({"content": {"data": data}, "buffers": []})

    def open_view(self, view: str = "a", version: int = 1) -> None:
        self.say(event="open", view=view, version=version)

    def frames(self) -> list[dict[str, Any]]:
        """The live pictures, in order."""
        return [m for m in self.messages if m["method"] == "custom"]

    def states(self) -> list[dict[str, Any]]:
        return [m["state"] for m in self.messages if m["method"] == "update"]


@pytest.fixture
def player() -> Any:
    player = StimulusPlayer(stimulus(0))
    yield player
    player.close()


def stimulus(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.45, 0.45, shape).astype(np.float32)


def indices(content: dict[str, Any], frames: bytes) -> np.ndarray:
    return np.frombuffer(frames, np.uint8).reshape(content["shape"])


@pytest.mark.parametrize(
    "same",
    [
        stimulus(0),
        stimulus(0).astype(np.float64),
        stimulus(0)[None],
        stimulus(0).tolist(),
        np.asfortranarray(stimulus(0)),
        torch.from_numpy(stimulus(0)),
        torch.from_numpy(stimulus(0))[None].requires_grad_(),
        torch.from_numpy(stimulus(0)).double(),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_any_array_of_four_dimensions_is_shown(same: Any) -> None:
    player = StimulusPlayer(same)
    content = player.get_state()["_content"]
    assert content["shape"] == list(SHAPE)
    assert (indices(content, content["frames"]) == quantise(stimulus(0), (-0.5, 0.5))).all()
    assert player.limits == ((-0.5, 0.5), (-0.5, 0.5))
    player.close()


@pytest.mark.parametrize(
    "values",
    [
        np.array([[[[-1, 0, 1]]]], np.int64),
        np.array([[[[-1, 0, 1]]]], np.float16),
        torch.tensor([[[[-1, 0, 1]]]], dtype=torch.bfloat16),
        torch.tensor([[[[-1, 0, 1]]]]),
    ],
)
def test_any_real_dtype_is_shown(values: Any) -> None:
    player = StimulusPlayer(values)
    assert player.get_state()["_content"]["frames"] == bytes([1, 128, 255])
    player.close()


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (np.zeros((5, 4, 3)), ValueError, r"stimulus must have the shape .* got \(5, 4, 3\)"),
        (np.zeros((2, 2, 5, 4, 3)), ValueError, "stimulus must have the shape"),
        (np.zeros((2, 0, 4, 3)), ValueError, "stimulus .* each at least 1"),
        (np.zeros(SHAPE, complex), TypeError, "stimulus must hold real numbers, got .*complex128"),
        (torch.zeros(SHAPE, dtype=torch.complex64), TypeError, "stimulus must hold real numbers"),
        (np.full(SHAPE, "a"), TypeError, "stimulus must hold real numbers"),
        ([[1, 2], [3]], ValueError, "stimulus is not a rectangular array"),
        ("a movie", TypeError, "stimulus must hold real numbers"),
    ],
)
def test_what_is_no_stimulus_is_refused_by_name(
    player: StimulusPlayer, bad: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        StimulusPlayer(bad)
    for assign in (player.show, lambda value: setattr(player, "stimulus", value)):
        with pytest.raises(error, match=words):
            assign(bad)
    assert player.stimulus is not None
    assert (player.stimulus == stimulus(0)).all()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("channels", "green", TypeError),
        ("channels", ["green"], ValueError),
        ("frame_rate", 0, ValueError),
        ("frame_rate", float("nan"), ValueError),
        ("pixel_size_um", -50, ValueError),
        ("height", float("inf"), ValueError),
        ("scale", 0, ValueError),
        ("limits", (1, 2, 3), ValueError),
        ("limits", float("nan"), ValueError),
        ("limits", 0, ValueError),
        ("limits", "wide", TypeError),
        ("limits", [(0, 1), (0, 1), (0, 1)], ValueError),
        ("colour_map", "jet", ValueError),
        ("panels", "some", Exception),
        ("shape", (2, 0, 4, 3), ValueError),
        ("shape", (4, 3), ValueError),
        ("shape", (2, 5, 4.5, 3), TypeError),
        ("framerate", 30, TypeError),
    ],
)
def test_a_wrong_argument_is_named_and_leaves_nothing_behind(
    name: str, value: Any, error: type[Exception]
) -> None:
    before = set(_instances)
    with pytest.raises(error, match=name):
        StimulusPlayer(stimulus(0), **{name: value})
    assert set(_instances) == before


def test_undefined_values_are_counted_and_do_not_set_the_limits() -> None:
    values = stimulus(0)
    values[0, 0, 0, :] = np.nan, np.inf, -np.inf
    player = StimulusPlayer(values)
    content = player.get_state()["_content"]
    assert content["undefined"] == 3
    assert (indices(content, content["frames"])[0, 0, 0] == UNDEFINED).all()
    assert player.limits[0] == (-0.5, 0.5)
    player.close()


def test_a_stimulus_without_any_value_is_shown_as_undefined() -> None:
    player = StimulusPlayer(np.full((1, 1, 2, 2), np.nan))
    assert player.get_state()["_content"]["frames"] == bytes(4)
    player.close()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (2, [(-2, 2), (-2, 2)]),
        ((-0.654, 6.269), [(-6.269, 6.269)] * 2),
        ([(-1, 0.5), (0, 3)], [(-1, 1), (-3, 3)]),
    ],
)
def test_limits_are_symmetric_and_per_channel_if_wanted(given: Any, shown: Any) -> None:
    player = StimulusPlayer(stimulus(0), limits=given)
    assert list(player.limits) == shown
    content = player.get_state()["_content"]
    for values, levels, ends in zip(
        stimulus(0), indices(content, content["frames"]), shown, strict=True
    ):
        assert (levels == quantise(values, ends)).all()
    player.close()


def test_limits_can_be_changed_and_left_to_the_data_again(player: StimulusPlayer) -> None:
    wire = Wire(player)
    player.limits = 4
    assert wire.states()[-1]["_content"]["limits"] == [(-4, 4), (-4, 4)]
    player.limits = None
    assert player.limits[0] == (-0.5, 0.5)
    with pytest.raises(ValueError, match="limits has 3 pairs for 2 channels"):
        player.limits = [(0, 1)] * 3


def test_sequential_scale_starts_at_zero() -> None:
    player = StimulusPlayer(np.abs(stimulus(0)), colour_map="sequential")
    assert player.limits[0] == (0, 0.5)
    state = player.get_state()
    assert state["_colours"]["pivot"] == 1
    assert state["_colours"]["mixture"] == b""
    player.close()


@pytest.mark.parametrize(
    ("n_channels", "names"),
    [(1, ("luminance",)), (2, ("green", "UV")), (3, ("channel 0", "channel 1", "channel 2"))],
)
def test_channels_have_names_and_colours(n_channels: int, names: tuple[str, ...]) -> None:
    player = StimulusPlayer(stimulus(0, (n_channels, 2, 3, 4)))
    assert player.channels == names
    shown = player.get_state()["_content"]["channels"]
    assert [channel["name"] for channel in shown] == list(names)
    assert shown[0]["colour"] == CHANNEL_COLOURS.get(names[0], CHANNEL_COLOURS["luminance"])
    player.close()


def test_tables_are_sent_once_as_a_trait(player: StimulusPlayer) -> None:
    assert player.get_state()["_colours"]["map"] == DIVERGING.tobytes()
    wire = Wire(player)
    player.stimulus = stimulus(1)
    assert [sorted(state) for state in wire.states()] == [["_content"]]


def test_a_new_stimulus_is_one_message_with_one_buffer(player: StimulusPlayer) -> None:
    wire = Wire(player)
    player.stimulus = stimulus(1)
    assert len(wire.messages) == 1
    assert wire.messages[0]["buffer_paths"] == [["_content", "frames"]]
    assert wire.messages[0]["buffers"] == [quantise(stimulus(1), (-0.5, 0.5)).tobytes()]


def test_the_player_keeps_a_copy(player: StimulusPlayer) -> None:
    values = torch.from_numpy(stimulus(1))
    player.show(values)
    values += 1
    assert (player.stimulus == stimulus(1)).all()
    with pytest.raises(ValueError, match="read-only"):
        player.stimulus[:] = 0


# ---- the live route


def test_without_a_view_nothing_is_sent(player: StimulusPlayer) -> None:
    wire = Wire(player)
    assert not player.ready
    for seed in range(3):
        player.show(stimulus(seed))
    assert wire.messages == []
    assert player.stats == TransportStats(skipped=2)


def test_live_pictures_are_custom_messages_with_one_buffer(player: StimulusPlayer) -> None:
    wire = Wire(player)
    wire.open_view()
    assert player.ready
    player.show(stimulus(1))
    [message] = wire.messages
    content = message["content"]
    assert (content["event"], content["frame"], content["shape"]) == ("frames", 1, list(SHAPE))
    assert message["buffers"] == [quantise(stimulus(1), (-0.5, 0.5)).tobytes()]
    assert player.stats.bytes_sent == stimulus(1).size


def test_the_window_is_four_and_the_newest_follows_an_acknowledgement(
    player: StimulusPlayer,
) -> None:
    wire = Wire(player)
    wire.open_view()
    for seed in range(1, 8):
        player.show(stimulus(seed))
    assert [m["content"]["frame"] for m in wire.frames()] == [1, 2, 3, 4]
    assert not player.ready
    wire.say(event="painted", view="a", frame=4, painted=3)
    assert len(wire.frames()) == 5
    assert wire.frames()[-1]["buffers"] == [quantise(stimulus(7), (-0.5, 0.5)).tobytes()]
    stats = player.stats
    assert (stats.sent, stats.acknowledged, stats.painted, stats.skipped) == (5, 4, 3, 2)
    wire.say(event="painted", view="a", frame=5, painted=4)
    assert len(wire.frames()) == 5  # nothing waits: nothing follows


def test_flush_delivers_the_last_to_every_view_and_to_the_saved_state(
    player: StimulusPlayer,
) -> None:
    wire = Wire(player)
    wire.open_view()
    for seed in range(1, 8):
        player.show(stimulus(seed))
    player.flush()
    [state] = wire.states()
    assert (indices(state["_content"], wire.messages[-1]["buffers"][0])).shape == SHAPE
    assert wire.messages[-1]["buffers"] == [quantise(stimulus(7), (-0.5, 0.5)).tobytes()]
    player.flush()
    wire.say(event="painted", view="a", frame=4, painted=4)
    assert len(wire.messages) == 5  # four live, one state: it is not sent twice


def test_a_page_that_loads_gets_the_newest_live_picture(player: StimulusPlayer) -> None:
    wire = Wire(player)
    wire.open_view()
    player.show(stimulus(1))
    assert wire.states() == []
    wire.handle_msg({"content": {"data": {"method": "request_state"}}, "buffers": []})
    assert wire.states()[-1]["_content"]["version"] == 2
    assert quantise(stimulus(1), (-0.5, 0.5)).tobytes() in wire.messages[-1]["buffers"]


def test_a_view_that_missed_the_newest_gets_it(player: StimulusPlayer) -> None:
    wire = Wire(player)
    wire.open_view()
    player.show(stimulus(1))
    wire.open_view("a page that loaded meanwhile", version=1)
    assert [m["content"]["version"] for m in wire.frames()] == [2, 2]
    wire.open_view("b", version=2)
    assert len(wire.frames()) == 2


def test_what_was_shown_before_there_was_a_view_is_sent_when_one_opens(
    player: StimulusPlayer,
) -> None:
    wire = Wire(player)
    player.show(stimulus(1))
    wire.open_view()
    assert [m["content"]["version"] for m in wire.frames()] == [2]


def test_setting_what_was_shown_before_a_live_picture_is_news(player: StimulusPlayer) -> None:
    wire = Wire(player)
    wire.open_view()
    player.show(stimulus(1))
    player.stimulus = stimulus(0)
    assert wire.messages[-1]["buffers"] == [quantise(stimulus(0), (-0.5, 0.5)).tobytes()]


async def test_what_waits_is_sent_by_the_loop_wherever_the_message_came_from() -> None:
    player = StimulusPlayer(stimulus(0))
    wire = Wire(player)
    player.show(stimulus(1))
    elsewhere = threading.Thread(target=wire.open_view)
    elsewhere.start()
    elsewhere.join()
    assert wire.messages == []
    await asyncio.sleep(0)
    assert [m["thread"] for m in wire.messages] == [threading.get_ident()]
    player.close()


def test_odd_messages_of_a_browser_change_nothing(player: StimulusPlayer) -> None:
    wire = Wire(player)
    for content in ({"event": "open"}, {"event": "painted", "view": "a", "frame": 10**9}, {}):
        wire.say(**content)
    assert not player.ready
    assert player.stats == TransportStats()


# ---- empty, and the end


def test_an_empty_player_keeps_the_place_of_what_is_to_come() -> None:
    player = StimulusPlayer(shape=(1, *SHAPE), placeholder="Press Optimise.")
    content = player.get_state()["_content"]
    assert (content["shape"], content["frames"]) == (list(SHAPE), b"")
    assert [channel["name"] for channel in content["channels"]] == ["green", "UV"]
    assert player.stimulus is None
    player.close()


def test_clear_keeps_the_size_or_takes_a_new_one(player: StimulusPlayer) -> None:
    wire = Wire(player)
    player.stimulus = None
    assert player.stimulus is None
    assert wire.states()[-1]["_content"]["shape"] == list(SHAPE)
    player.clear(shape=(1, 7, 8, 9), channels=["luminance"])
    assert wire.states()[-1]["_content"]["shape"] == [1, 7, 8, 9]
    assert player.channels == ("luminance",)
    with pytest.raises(ValueError, match="stimulus has 2 channels, expected 1: luminance"):
        player.show(stimulus(0))


def test_opened_and_closed_200_times_leaves_nothing() -> None:
    before = set(_instances)
    for _ in range(200):
        StimulusPlayer(stimulus(0)).close()
    assert set(_instances) == before


def test_a_layout_of_the_user_is_left_alone() -> None:
    layout = ipywidgets.Layout(width="50%")
    StimulusPlayer(layout=layout).close()
    assert layout.comm is not None
    layout.close()


def test_a_closed_player_is_freed_and_harmless() -> None:
    player = StimulusPlayer(stimulus(0))
    wire = Wire(player)
    wire.open_view()
    player.close()
    player.close()
    sent = len(wire.messages)
    player.show(stimulus(1))
    player.stimulus = stimulus(2)
    player.flush()
    assert not player.ready
    assert len(wire.messages) == sent
    gone = weakref.ref(player)
    del player, wire
    gc.collect()
    assert gone() is None


def test_the_module_is_self_contained() -> None:
    script, style = str(StimulusPlayer._esm), str(StimulusPlayer._css)
    assert re.search(r"^\s*(import\b|export .* from)", script, re.MULTILINE) is None
    assert re.search(r"https?:|@import|url\(", script + style) is None
