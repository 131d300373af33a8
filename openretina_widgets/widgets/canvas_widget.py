"""What the drawn widgets share: their text for the page, their layout, and live pictures."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from openretina_widgets.widgets.transport import FrameWindow, MainLoop, TransportStats

_STATIC = Path(__file__).parent / "static"


@functools.cache
def static_text(*names: str) -> str:
    """Return files of the folder ``static``, one after the other.

    As text and not as a path: anywidget watches the files of paths, and that keeps every widget
    alive. Joined, because a module cannot import another one in a notebook's page.
    """
    return "".join((_STATIC / name).read_text(encoding="utf-8") for name in names)


class CanvasWidget(anywidget.AnyWidget):
    """A drawn widget, which closes the layout that was made for it.

    Parameters
    ----------
    layout
        An ipywidgets layout, which its owner closes, or the values of one.
    settings
        Traits.
    """

    def __init__(
        self, *, layout: ipywidgets.Layout | dict[str, str] | None = None, **settings: Any
    ) -> None:
        self._owns_layout = not isinstance(layout, ipywidgets.Layout)
        super().__init__(**settings, **({} if layout is None else {"layout": layout}))

    def close(self) -> None:
        """Close the widget, and the layout that was made for it."""
        if self.comm is None:
            return
        layout = self.layout
        super().close()
        if self._owns_layout:
            layout.close()


class LiveCanvas(CanvasWidget):
    """A drawn widget whose content may change many times a second, by the rule of transport.py.

    What is drawn has `_encoded`, with its ``frames`` as bytes and a ``version`` that grows.
    """

    # The newest content, for a view that opens: one trait, so that its parts arrive as one.
    _content = traitlets.Dict().tag(sync=True)

    def __init__(
        self, *, layout: ipywidgets.Layout | dict[str, str] | None = None, **settings: Any
    ) -> None:
        self._due = False  # a live picture waits to be sent
        self._whole = True  # and all of it has to be
        self._window, self._main_loop = FrameWindow(), MainLoop()
        super().__init__(layout=layout, **settings)
        self.on_msg(self._on_message)

    @property
    def ready(self) -> bool:
        """Whether a live picture may be sent now: ask before making one."""
        return self._window.ready

    @property
    def stats(self) -> TransportStats:
        """Counters of the live route."""
        return self._window.stats

    def flush(self) -> None:
        """Make the newest content the widget's state: every view draws it, whatever waits.

        It is then also what a saved notebook keeps. Without a newer one it does nothing.
        """
        self._due = False
        self._content = self._encoded()

    def close(self) -> None:
        """Close the widget, and the layout that was made for it."""
        if self.comm is None:  # closed already, or refused before it was built
            return
        super().close()
        self._window.forget_views()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """State for the browser; the content in it is always the newest, live or not."""
        state: dict[str, Any] = super().get_state(key=key, drop_defaults=drop_defaults)
        if key is None or "_content" in state:
            state["_content"] = self._encoded()
        return state

    def _encoded(self) -> dict[str, Any]:
        """What the browser needs to draw the newest content."""
        raise NotImplementedError

    def _live(self, content: dict[str, Any]) -> dict[str, Any]:
        """What of the content goes with live frames."""
        raise NotImplementedError

    def _is_newest(self, version: Any) -> bool:
        raise NotImplementedError

    def _send_soon(self) -> None:
        """Send the newest content as a live picture when the browser is ready for it."""
        if self._due:
            self._window.count_skipped()
        self._due = True
        self._deliver()

    def _deliver(self) -> None:
        """Send the live picture that waits, if the browser keeps up."""
        if not (self._due and self._window.ready):
            return
        self._due = False
        told, frames = self._picture()
        number, ask = self._window.count_sent(len(frames))
        self.send({"event": "frames", "frame": number, "ask": ask, **told}, buffers=[frames])

    def _picture(self) -> tuple[dict[str, Any], bytes]:
        """Return what goes with the live picture that is due, and its pixels."""
        content = self._encoded()
        return self._live(content), content["frames"]

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        """Hear the browser; on any thread, so what there is to send is left to the main loop."""
        event = self._window.hear(content)
        if event == "open" and not self._is_newest(content.get("version")):
            self._due = self._whole = True  # the page missed the newest while it loaded
        if event and self._due:
            self._main_loop.call(self._deliver)
