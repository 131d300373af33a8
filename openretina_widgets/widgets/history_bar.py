"""A slider over the iterations of a run, and what of it is shown."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as ipw

from openretina_widgets.widgets.composition import button
from openretina_widgets.widgets.transport import MainLoop

# While the handle follows it moves when it is this much of the slider behind, or after this many
# seconds: each move is a message, and nobody sees it go by less.
_BEHIND = 0.01
_MOVE_EVERY = 3.0


class HistoryBar(ipw.HBox):
    """Look back in a run; at its end the slider follows the run.

    While it follows, its handle may be a hundredth of the slider or a few seconds behind; it is
    exact as soon as the run rests or somebody moves it.

    Attributes
    ----------
    live : bool
        Whether the newest is shown, and what comes next will be.
    """

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved, self._moving, self._main_loop = moved, False, MainLoop()
        self.live, self._newest = True, 0
        self._moved_at = -math.inf
        self.slider = ipw.IntSlider(
            description="Iteration",
            tooltip="Drag to look at an earlier stimulus of the run (arrow keys: one iteration)",
            readout=False,
            disabled=True,
            layout=ipw.Layout(flex="1 1 240px", width="auto", min_width="160px"),
            style={"description_width": "70px"},
        )
        self.latest = button("Newest", "fast-forward", "Show the newest, and follow", width="104px")
        self.latest.disabled = True
        self.said = ipw.HTML(layout=ipw.Layout(width="230px", margin="7px 0 0 8px"))
        super().__init__(
            (self.slider, self.latest, self.said),
            layout=ipw.Layout(flex_flow="row wrap", width="100%", max_width="900px"),
        )
        self.add_class("orw-history")
        self.slider.observe(self._changed, "value")
        self.latest.on_click(lambda _: self._main_loop.call(self.to_newest))

    @property
    def newest(self) -> int:
        """The newest iteration."""
        return self._newest

    def prepare(self, last: int) -> None:
        """Begin anew, for a run of at most so many iterations."""
        self.live, self._newest, self._moved_at = True, 0, -math.inf
        self._put(0, last)
        self.slider.disabled = self.latest.disabled = True
        self.say("")

    def grow(self, iteration: int, *, rests: bool = False) -> None:
        """The run has come so far; `rests` says that it goes no further for now."""
        self._newest = max(self._newest, iteration)
        if self.slider.disabled and self._newest:
            self.slider.disabled = False
        now = time.monotonic()
        value = self.slider.value
        behind = not value or self._newest - value >= _BEHIND * self.slider.max  # none is before 0
        if self.live and (rests or behind or now - self._moved_at >= _MOVE_EVERY):
            self._moved_at = now
            self._put(self._newest)

    def end(self, last: int, shown: int) -> None:
        """The run has ended after so many iterations; one of them is shown."""
        self._newest = last
        self.live = False
        self._put(shown, max(1, last))
        self.slider.disabled = self.latest.disabled = last == 0

    def say(self, words: str) -> None:
        """Say what is shown; plain words, without markup."""
        self.said.value = f'<div class="orw-said">{words}</div>'

    def to_newest(self) -> None:
        """Show the newest, and follow the run if it goes on."""
        self.live = True
        self._look()

    def _put(self, value: int, last: int | None = None) -> None:
        """Move the slider; this is no choice of the user's."""
        self._moving = True
        try:
            with self.slider.hold_sync():
                if last is not None:
                    self.slider.value = min(self.slider.value, last)
                    self.slider.max = last
                self.slider.value = min(value, self.slider.max)
        finally:
            self._moving = False

    def _changed(self, change: Any) -> None:
        if not self._moving:
            # At once, or a picture moves it on. The handle may be behind while it follows: whoever
            # presses the right arrow then wants no earlier stimulus.
            onwards = self.live and change["new"] == change["old"] + 1
            self.live = onwards or self.slider.value >= self._newest
            self._main_loop.call(self._look)

    def _look(self) -> None:
        if self.live:
            self._put(self._newest)
        self.latest.disabled = self.live
        self._moved(self.slider.value)
