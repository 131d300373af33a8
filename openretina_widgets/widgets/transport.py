"""When may a live picture be sent? The rule for every canvas of this package.

A browser on the same machine competes with the model for the cores, and a browser elsewhere may be
slow. So the kernel never runs ahead: now and then it asks the browser to say when a picture is on
the screen, and until the answer comes at most four pictures are out, the one asked about among
them. A browser that answers promptly is asked half as often from then on, down to one picture
in 32: each answer costs the page four frames, since JupyterLab redraws its signs of a busy kernel
and an idle one, and this is more than the picture itself costs it. A late answer undoes a doubling.
While nothing comes back (a hidden tab does not paint) one picture a second trickles out, so that
the page is not far behind when it is looked at again. Without a view nothing is sent.

Messages of the browser (custom messages of the widget; `view` is a name that the view made up):

==================================================  =======================================
``{"event": "open", "view": v, "version": n}``      a view was drawn; the content it shows
``{"event": "painted", "view": v, "frame": f,       picture `f` is on the screen, and it or one
"painted": p}``                                     before it was asked about; the view has
                                                    painted `p` live pictures so far
``{"event": "close", "view": v}``                   the view was removed
==================================================  =======================================

Several views (two cells, two browser tabs) get the same pictures at the pace of the fastest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TransportStats:
    """What has gone over the wire since the widget was made.

    Attributes
    ----------
    sent
        Live pictures sent to the browser.
    acknowledged
        Number of the newest live picture that a browser said it has painted.
    painted
        Live pictures painted by the view that painted most, as of its last answer. Less than
        `acknowledged` when two arrived between two screen refreshes: the newer one is drawn.
    skipped
        Live pictures replaced by a newer one before they could be sent.
    bytes_sent
        Bytes of picture data in the `sent` live pictures.
    """

    sent: int = 0
    acknowledged: int = 0
    painted: int = 0
    skipped: int = 0
    bytes_sent: int = 0


class FrameWindow:
    """Counts live pictures, says whether the next may go, and which to ask about.

    Every method may be called from any thread (a message of the browser may arrive on a thread of
    its own): it changes a few numbers under a lock, and calls nothing.

    Parameters
    ----------
    size
        How many pictures may be out from the one asked about.
    patience
        Seconds without an answer after which one more may go.
    prompt
        Seconds within which an answer is prompt.
    longest
        Most pictures from one asked about to the next.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        *,
        size: int = 4,
        patience: float = 1.0,
        prompt: float = 0.25,
        longest: int = 32,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size, self.patience, self.prompt, self.longest = size, patience, prompt, longest
        self._clock = clock
        self._lock = threading.Lock()
        self._views: set[str] = set()
        self._sent = self._acknowledged = self._painted = self._skipped = self._bytes = 0
        self._last_sent = float("-inf")
        self._asked: int | None = None  # the picture that an answer is awaited for
        self._asked_at = 0.0
        self._start_asking()

    @property
    def ready(self) -> bool:
        """Whether a picture may be sent now."""
        with self._lock:
            if not self._views:
                return False
            if self._asked is None or self._sent - self._asked + 1 < self.size:
                return True
            return self._clock() - self._last_sent >= self.patience

    @property
    def views(self) -> int:
        """How many views are open, as far as the browser told."""
        with self._lock:
            return len(self._views)

    @property
    def stats(self) -> TransportStats:
        """The counters, as they are now."""
        with self._lock:
            return TransportStats(
                self._sent, self._acknowledged, self._painted, self._skipped, self._bytes
            )

    def count_sent(self, n_bytes: int) -> tuple[int, bool]:
        """Count a picture that is about to be sent; its number (1, 2, ...), and whether to ask."""
        with self._lock:
            self._sent += 1
            self._bytes += n_bytes
            self._last_sent = self._clock()
            ask = self._asked is None and self._sent >= self._ask_next
            if ask:
                self._asked, self._asked_at = self._sent, self._last_sent
            return self._sent, ask

    def count_skipped(self) -> None:
        """Count a picture that was replaced before it could be sent."""
        with self._lock:
            self._skipped += 1

    def hear(self, content: object) -> str:
        """Take a custom message of the browser; its event, or "" if it is none of ours."""
        if not isinstance(content, Mapping):
            return ""
        event, view = content.get("event"), content.get("view")
        if not isinstance(view, str):
            return ""
        with self._lock:
            if event == "open":
                self._views.add(view)
                self._start_asking()  # a reloaded page has not heard what was asked
            elif event == "painted":
                self._acknowledge(content)
            elif event == "close":
                self._views.discard(view)
            else:
                return ""
        return event

    def forget_views(self) -> None:
        """The widget was closed: there is no view any more."""
        with self._lock:
            self._views.clear()

    def _start_asking(self) -> None:
        self._asked = None
        self._stretch = self.size  # pictures from an answered one to the next that is asked about
        self._ask_next = self._sent + 1

    def _acknowledge(self, content: Mapping[str, Any]) -> None:
        frame, painted = content.get("frame"), content.get("painted")
        if isinstance(painted, int):
            self._painted = max(self._painted, min(painted, self._sent))
        if not isinstance(frame, int) or not self._acknowledged < frame <= self._sent:
            return
        self._acknowledged = frame
        if self._asked is not None and frame >= self._asked:
            prompt = self._clock() - self._asked_at <= self.prompt
            self._stretch = (
                min(2 * self._stretch, self.longest) if prompt else (max(1, self._stretch // 2))
            )
            self._ask_next = frame + self._stretch
            self._asked = None


class MainLoop:
    """The event loop of the code that made a widget: where anything that sends belongs.

    Taken when the widget is built, because a message handler may run on a thread with a loop of its
    own. In plain Python there is no loop; then `call` calls at once.
    """

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    @property
    def exists(self) -> bool:
        """Whether there was a loop; in plain Python there is none."""
        return self._loop is not None

    def call(self, function: Callable[[], object]) -> None:
        """Run `function` on the loop, soon; from any thread. Dropped once the loop is closed."""
        if self._loop is None:
            function()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody looks any more
                self._loop.call_soon_threadsafe(function)
