"""Sends what waits in the outbox, in a thread, and tries again while the database is away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from openretina_widgets.tutorials.classroom.database import DatabaseAway
from openretina_widgets.tutorials.classroom.outbox import Outbox
from openretina_widgets.tutorials.classroom.store import (
    ClassroomError,
    Participant,
    Store,
)

_LINGER = 2.0  # s that the thread waits for a next submission
_PAUSES = (0.5, 15.0)  # s between two tries: doubled each time, half of it at random
_AT_ONCE = 100  # submissions in one transaction


class Sender:
    """Carries submissions from an outbox to a store.

    The thread lives while something waits, and a moment longer; it touches neither a widget nor
    the event loop.

    Parameters
    ----------
    store, outbox, participant
        From where to where, and of whom.
    news
        Called in the thread after something was sent, or could not be.

    Attributes
    ----------
    trouble : str
        Why nothing could be sent the last time; empty when it could.
    name : str
        Of the participant, as the database has it; empty before the first contact.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        participant: Participant,
        *,
        news: Callable[[], object],
    ) -> None:
        self._store, self._outbox, self._participant = store, outbox, participant
        self._news = news
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asked = self._closed = self._hurried = False
        self._failures = 0
        self.trouble = ""
        self.name = ""

    def wake(self, *, now: bool = False) -> None:
        """Something waits: send it; `now`: even if it failed a moment ago."""
        with self._wake:
            if self._closed:
                return
            self._asked = True
            self._hurried |= now
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="classroom sender", daemon=True
                )
                self._thread.start()
            self._wake.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so, which is looked at whenever there is news."""
        with self._wake:
            return self._wake.wait_for(condition, timeout)

    def close(self, timeout: float = 0.0) -> None:
        """Let what waits be sent, for a while and unless there is trouble; then send nothing."""
        with self._wake:
            thread = self._thread
            if thread is not threading.current_thread():
                self._wake.wait_for(
                    lambda: self._thread is None or self.trouble or not len(self._outbox), timeout
                )
            self._closed = True
            self._wake.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def contact(self) -> None:
        """Reach the database, and send what waits, now and in this thread.

        Raises
        ------
        DatabaseAway, ClassroomError
        """
        batch = self._outbox.oldest(_AT_ONCE)
        while not self._closed:
            self.name = self._store.write(self._participant, batch)
            self._outbox.done(batch)
            self._tell("")
            if not (batch := self._outbox.oldest(_AT_ONCE)):
                return

    def _tell(self, trouble: str) -> None:
        with self._wake:
            self.trouble = trouble
            self._wake.notify_all()
        self._news()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._asked or self._closed, _LINGER)
                if self._closed or not self._asked:
                    self._thread = None
                    return
                self._asked = False
            try:
                self.contact()
                self._failures = 0
            except (DatabaseAway, ClassroomError) as error:
                self._tell(str(error))
                self._failures += 1
                self._rest()

    def _rest(self) -> None:
        """Wait before the next try: a new submission does not make a server come back sooner."""
        first, longest = _PAUSES
        pause = min(longest, first * 2 ** min(self._failures - 1, 10))
        end = time.monotonic() + pause * random.uniform(0.5, 1.0)
        with self._wake:
            self._hurried = False
            while not (self._closed or self._hurried) and (left := end - time.monotonic()) > 0:
                self._wake.wait(left)
            self._asked = True
