"""A slider over the iterations of a run, and what of it is shown."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as ipw

from openretina_widgets.widgets.composition import button
from openretina_widgets.widgets.transport import MainLoop


class HistoryBar(ipw.HBox):
    """Look back in a run; at its end the slider follows the run.

    Attributes
    ----------
    live : bool
        Whether the newest is shown, and what comes next will be.
    """

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._moved, self._moving, self._main_loop = moved, False, MainLoop()
        self.live, self._newest = True, 0
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
        self.live, self._newest = True, 0
        self._put(0, last)
        self.slider.disabled = self.latest.disabled = True
        self.say("")

    def grow(self, iteration: int) -> None:
        """The run has come so far."""
        self._newest = max(self._newest, iteration)
        if self.slider.disabled and self._newest:
            self.slider.disabled = False
        if self.live:
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
        self._put(self._newest)
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

    def _changed(self, _: object) -> None:
        if not self._moving:
            self.live = self.slider.value >= self._newest  # at once, or a picture moves it on
            self._main_loop.call(self._look)

    def _look(self) -> None:
        self.live = self.slider.value >= self._newest
        if self.slider.value > self._newest:
            self._put(self._newest)
        self.latest.disabled = self.live
        self._moved(self.slider.value)
