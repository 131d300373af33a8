"""Transactions in the database of a class, an SQLite file or a server.

SQLite keeps its rollback journal: the write-ahead log needs memory that all processes share, which
a folder on a network does not have, and thirty laptops would damage the file. The journal is
truncated, not deleted, so that one that a killed process left behind can be finished by another
user in a folder where everybody may write but not delete. Every write is one short transaction that
takes the lock at its beginning. Processes of one machine queue for it (`turnstile`); machines that
share a folder ask again after random pauses, shorter ones the longer they have waited, while
SQLite itself would ask ever more seldom, so that who came first may come last. A connection
lives as long as a transaction and the wait for it: a file that is moved away is away, and nobody
goes on writing into the moved one. Who waits has opened the file already, as that costs time that
those who come after would wait for; SQLite looks whether it was moved before it writes.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from openretina_widgets.tutorials.classroom.place import Place
from openretina_widgets.tutorials.classroom.turnstile import turn

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_COMMIT = 2.0  # s that a commit waits for those who read
_FIRST_PAUSE, _LEAST_PAUSE, _HURRY = 0.03, 0.004, 0.1  # s, between two tries to get the lock

ResultT = TypeVar("ResultT")


class DatabaseAway(OSError):
    """The database of a class does not answer now; the message says why."""


class Database:
    """Carries out transactions. May be used from any thread.

    Parameters
    ----------
    place
        Where it is.
    patience
        Seconds that a write waits for a lock that somebody else holds.
    """

    def __init__(self, place: Place, *, patience: float) -> None:
        self.place = place
        self.patience = patience

    def create_file(self) -> None:
        """Make an empty file where there is none; DatabaseAway if it cannot be."""
        if (path := self.place.file) is None:
            return
        with _in_words(self.place):
            if self.place.is_default:
                path.parent.mkdir(exist_ok=True)
            shared = path.parent.stat().st_mode & 0o066
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                return
            os.chmod(path, 0o600 | shared)  # who may write in the folder may write in the file

    def transaction(
        self, work: Callable[[Connection], ResultT], *, reading: bool = False
    ) -> ResultT:
        """Do something and commit; again where another took the name in this moment.

        Raises
        ------
        DatabaseAway
            Then nothing was kept, or it cannot be known.
        """
        from sqlalchemy.exc import DBAPIError, IntegrityError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        end = time.monotonic() + self.patience
        queue = self.place.file is not None and not reading
        while True:
            try:
                with (
                    self._engine.connect() as plain,
                    turn(self.place.key, self.patience) if queue else nullcontext(),
                ):
                    connection = plain.execution_options(classroom_reading=reading)
                    with connection.begin():
                        return work(connection)
            except (DBAPIError, PoolTimeout) as error:
                if isinstance(error, IntegrityError) and time.monotonic() < end:
                    time.sleep(random.uniform(0.0, _FIRST_PAUSE))
                    continue
                raise DatabaseAway(_reason(self.place, error)) from error
            except sqlite3.Error as error:
                raise DatabaseAway(_reason(self.place, error)) from error

    def close(self) -> None:
        """Close the connections; they are opened anew when needed."""
        engine = self.__dict__.get("_engine")
        if engine is not None:
            engine.dispose()

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        if self.place.file is None:
            arguments = {"connect_timeout": 5} if self.place.url.startswith("postgresql") else {}
            return create_engine(
                self.place.url,
                pool_size=1,
                max_overflow=2,
                pool_pre_ping=True,
                connect_args=arguments,
            )
        engine = create_engine("sqlite+pysqlite://", creator=self._open_file, poolclass=NullPool)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            raw = connection.connection.dbapi_connection
            if isinstance(raw, sqlite3.Connection):
                reading = connection.get_execution_options().get("classroom_reading")
                self._patiently(raw, "PRAGMA journal_mode=TRUNCATE")
                raw.execute("PRAGMA synchronous=FULL")
                self._patiently(raw, "BEGIN" if reading else "BEGIN IMMEDIATE")
                raw.execute(f"PRAGMA busy_timeout={1000 * _COMMIT:.0f}")

        return engine

    def _open_file(self) -> sqlite3.Connection:
        quoted = urllib.parse.quote(str(self.place.file))
        return sqlite3.connect(  # mode=rw: a file that is away is not made anew
            f"file:{quoted}?mode=rw",
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
        )

    def _patiently(self, connection: sqlite3.Connection, statement: str) -> None:
        """Run a statement; again while somebody else holds the lock, for a while."""
        began = time.monotonic()
        while True:
            try:
                connection.execute(statement)
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - began
                if not _is_busy(error) or waited > self.patience:
                    raise
                pause = max(_LEAST_PAUSE, _FIRST_PAUSE * math.exp(-waited / _HURRY))
                time.sleep(pause * random.uniform(0.5, 1.5))


def _is_busy(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def _in_words(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseAway(_reason(place, error)) from error


def _reason(place: Place, error: Exception) -> str:
    """Why a database does not answer, for a person."""
    original = getattr(error, "orig", None) or error
    said = " ".join(str(original).split())
    if place.file is None:
        return f"the database {place.words} does not answer: {said[:200]}"
    if _is_busy(error):
        return f"the database {place.words} is locked by another program"
    try:
        has_folder, there = place.file.parent.is_dir(), place.file.exists()
    except OSError:  # a folder that this user may not look into
        return f"the database {place.words} may not be read by this user"
    # SQLite says "readonly" of a file that was moved, too.
    if isinstance(original, PermissionError) or ("readonly" in said and there):
        return f"the database {place.words} may not be written by this user"
    if not has_folder:
        return f"the database {place.words} is away: there is no folder {place.file.parent}"
    if not there:
        return (
            f"the database {place.words} is away: there is no such file. "
            "To begin a new one, open the dashboard of the room anew"
        )
    return f"the database {place.words} cannot be used: {said[:200]}"
