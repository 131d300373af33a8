"""Reads what is new in a room, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable

from openretina_widgets.tutorials.classroom.store import Row, Store

_GRACE = 15.0  # s: longer than a transaction of ours may take


class RoomReader:
    """Reads a room row by row.

    A server gives a row its id before it commits it, so a smaller id may come after a larger one.
    Ids are asked for again for a while; the rows themselves are read once.

    Parameters
    ----------
    store, room
        What to read.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self, store: Store, room: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._room, self._clock = store, room, clock
        self._floor = 0
        self._recent: dict[int, float] = {}

    def read(self) -> tuple[dict[str, str], list[Row]]:
        """Return the names of all who joined, by participant, and the rows that are new.

        Raises
        ------
        DatabaseAway, ClassroomError
            Then nothing counts as read.
        """
        people = self._store.people(self._room)
        known = frozenset(self._recent)
        rows = self._store.read(self._room, after=self._floor, known=known)
        now = self._clock()
        self._recent.update((row.id, now) for row in rows)
        old = [one for one, seen in self._recent.items() if now - seen > _GRACE]
        self._floor = max(old, default=self._floor)
        self._recent = {one: seen for one, seen in self._recent.items() if one > self._floor}
        return people, rows
