"""The database of a class: one row a submission, in SQLite or on a server.

SQLite keeps its rollback journal: the write-ahead log needs memory that all processes share, which
a folder on a network does not have, and thirty laptops would damage the file. The journal is
truncated, not deleted, so that one that a killed process left behind can be finished by another
user in a folder where everybody may write but not delete. Every write is one short transaction that
takes the lock at its beginning. Processes of one machine queue for it (`turnstile`); machines that
share a folder ask again after random pauses, shorter ones the longer they have waited, while
SQLite itself would ask ever more seldom, so that who came first may come last. A connection
lives as long as a transaction: a file that is moved away is away, and nobody goes on writing into
the moved one.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import random
import secrets
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from openretina_widgets.tutorials.classroom.place import Place
from openretina_widgets.tutorials.classroom.pseudonyms import pseudonym
from openretina_widgets.tutorials.classroom.submission import Submission
from openretina_widgets.tutorials.classroom.turnstile import turn

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

SCHEMA_VERSION = 1
_COMMIT = 2.0  # s that a commit waits for those who read
_FIRST_PAUSE, _LEAST_PAUSE, _HURRY = 0.03, 0.004, 0.1  # s, between two tries to get the lock
_AT_ONCE = 500  # rows of one read, below what every database takes as parameters
_LOCK = 7283051  # any number, the same for all: who makes the tables on PostgreSQL
# As text: compiling it would keep the lock for 60 ms the first time.
_INSERT_NEW = """
INSERT INTO classroom_submission (uuid, room, participant, kind, item, value, made_at)
VALUES (:uuid, :room, :participant, :kind, :item, :value, :made_at)
ON CONFLICT (uuid) DO NOTHING
"""

ResultT = TypeVar("ResultT")


class ClassroomError(RuntimeError):
    """The database of a class cannot be used as it is; the message says why."""


class DatabaseAway(OSError):
    """The database of a class does not answer now; the message says why."""


@dataclass(frozen=True)
class Participant:
    """Who sends.

    Attributes
    ----------
    id
        Made where the student joined.
    room
        Name of the room.
    name
        As others see it.
    token
        Secret of the student; the database keeps its hash.
    is_pseudonym
        Whether another pseudonym may be chosen when this one is taken.
    """

    id: str
    room: str
    name: str
    token: str
    is_pseudonym: bool

    @property
    def token_hash(self) -> str:
        """What the database keeps: SHA-256 of 256 random bits, which need no salt."""
        return hashlib.sha256(self.token.encode()).hexdigest()


def new_participant(room: str, name: str | None) -> Participant:
    """Return somebody who was not there before."""
    return Participant(
        id=secrets.token_hex(16),
        room=room,
        name=pseudonym() if name is None else name,
        token=secrets.token_urlsafe(32),
        is_pseudonym=name is None,
    )


@dataclass(frozen=True)
class Row:
    """A submission as the teacher reads it."""

    id: int
    participant: str
    name: str
    submission: Submission


class Store:
    """Reads and writes the database of a class. May be used from any thread.

    Parameters
    ----------
    place
        Where it is.
    patience
        Seconds that a write waits for a lock that somebody else holds.
    may_create
        Whether the file and the tables are made, once, where they are missing. A database that was
        there before is not made anew: what is written into the new one would be lost when the old
        one is back.
    """

    def __init__(self, place: Place, *, patience: float = 10.0, may_create: bool = False) -> None:
        self.place = place
        self.patience = patience
        self.may_create = may_create
        self._ready = False

    def create(self) -> None:
        """Make the file and the tables where they are missing; several may do so at once.

        Raises
        ------
        DatabaseAway
            If the folder is away or cannot be written, or the server does not answer.
        ClassroomError
            If a newer version of this package made the tables.
        """
        if self.place.file is not None:
            self._create_file(self.place.file)
        self._in_transaction(self._create_tables)
        self._ready, self.may_create = True, False

    def write(self, participant: Participant, submissions: Sequence[Submission]) -> str:
        """Keep submissions, each once, and the participant; return when they are committed.

        Returns
        -------
        str
            Name of the participant in the room: another one if it was taken.

        Raises
        ------
        DatabaseAway, ClassroomError
            Then nothing was kept, or it cannot be known; writing the same again is safe.
        """
        self._make_ready()
        tables = self._tables
        rows = [
            {
                "uuid": one.uuid,
                "room": participant.room,
                "participant": participant.id,
                "kind": one.kind,
                "item": one.item,
                "value": one.text,
                "made_at": one.made_at,
            }
            for one in submissions
        ]

        def keep(connection: Connection) -> str:
            name = self._register(connection, participant)
            if rows:
                self._insert_new(connection, tables["submission"], rows)
            return name

        return self._in_transaction(keep)

    def read(self, room: str, *, after: int = 0, known: frozenset[int] = frozenset()) -> list[Row]:
        """Return the rows of a room with an id above `after` that are not `known`, by id."""
        from sqlalchemy import select

        self._make_ready()
        people, sent = self._tables["participant"].c, self._tables["submission"].c
        ids_above = select(sent.id).where(sent.room == room, sent.id > after).order_by(sent.id)
        columns = (sent.id, sent.participant, people.name, *self._columns)

        def rows(connection: Connection) -> list[Any]:
            ids = [one for one in connection.execute(ids_above).scalars() if one not in known]
            found: list[Any] = []
            for start in range(0, len(ids), _AT_ONCE):
                wanted = sent.id.in_(ids[start : start + _AT_ONCE])
                whole = select(*columns).join_from(
                    self._tables["submission"],
                    self._tables["participant"],
                    sent.participant == people.id,
                )
                found += connection.execute(whole.where(wanted).order_by(sent.id))
            return found

        read = self._in_transaction(rows, reading=True)
        return [Row(one[0], one[1], one[2], Submission(*one[3:])) for one in read]

    def people(self, room: str) -> dict[str, str]:
        """Return the names of who joined a room, by participant, in the order of joining."""
        from sqlalchemy import select

        self._make_ready()
        people = self._tables["participant"].c
        joined = select(people.id, people.name).where(people.room == room)

        def names(connection: Connection) -> dict[str, str]:
            ordered = connection.execute(joined.order_by(people.joined_at, people.id))
            return {one[0]: one[1] for one in ordered}

        return self._in_transaction(names, reading=True)

    def read_own(self, participant: Participant) -> list[Submission]:
        """Return what a participant has sent, oldest first.

        Raises
        ------
        PermissionError
            If the token is not that of the participant.
        """
        from sqlalchemy import select

        self._make_ready()
        people, sent = self._tables["participant"].c, self._tables["submission"].c

        def rows(connection: Connection) -> list[Any]:
            of_participant = select(people.token_hash).where(people.id == participant.id)
            kept = connection.execute(of_participant).scalar()
            if kept is None:
                return []
            if not hmac.compare_digest(kept, participant.token_hash):
                raise PermissionError(
                    f"the token is not that of {participant.name!r}: only their own answers are "
                    "shown to a student"
                )
            own = select(*self._columns).where(sent.participant == participant.id)
            return list(connection.execute(own.order_by(sent.id)))

        return [Submission(*one) for one in self._in_transaction(rows, reading=True)]

    def close(self) -> None:
        """Close the connections; the store may be used again."""
        engine = self.__dict__.get("_engine")
        if engine is not None:
            engine.dispose()

    # ---- tables

    @cached_property
    def _tables(self) -> Any:
        from sqlalchemy import (
            Column,
            Float,
            Index,
            Integer,
            MetaData,
            String,
            Table,
            Text,
            UniqueConstraint,
        )

        metadata = MetaData()
        Table("classroom_schema", metadata, Column("version", Integer, primary_key=True))
        Table(
            "classroom_participant",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("room", String(64), nullable=False),
            Column("name", String(80), nullable=False),
            Column("token_hash", String(64), nullable=False),
            Column("joined_at", Float(53), nullable=False),
            UniqueConstraint("room", "name"),
        )
        Table(
            "classroom_submission",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("uuid", String(36), nullable=False, unique=True),
            Column("room", String(64), nullable=False),
            Column("participant", String(32), nullable=False),
            Column("kind", String(16), nullable=False),
            Column("item", String(200), nullable=False),
            Column("value", Text, nullable=False),
            Column("made_at", Float(53), nullable=False),
            Index("classroom_submission_of_room", "room", "id"),
            Index("classroom_submission_of_participant", "participant", "id"),
            sqlite_autoincrement=True,  # an id is never given twice: the dashboard counts on it
        )
        return {name.removeprefix("classroom_"): table for name, table in metadata.tables.items()}

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        sent = self._tables["submission"].c
        return (sent.kind, sent.item, sent.value, sent.uuid, sent.made_at)

    def _create_file(self, path: Path) -> None:
        with _in_words(self.place):
            if self.place.is_default:
                path.parent.mkdir(exist_ok=True)
            shared = path.parent.stat().st_mode & 0o066
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                return
            os.chmod(path, 0o600 | shared)  # who may write in the folder may write in the file

    def _create_tables(self, connection: Connection) -> None:
        from sqlalchemy import insert

        if self.place.file is None and connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        tables = self._tables
        tables["submission"].metadata.create_all(connection)
        if self._version(connection) is None:
            connection.execute(insert(tables["schema"]).values(version=SCHEMA_VERSION))

    def _version(self, connection: Connection) -> int | None:
        from sqlalchemy import func, select

        version = connection.execute(select(func.max(self._tables["schema"].c.version))).scalar()
        if version is not None and version != SCHEMA_VERSION:
            raise ClassroomError(
                f"the database {self.place.words} has tables of version {version}, and this "
                f"package knows version {SCHEMA_VERSION}: install the same version everywhere"
            )
        return version

    def _make_ready(self) -> None:
        if self.may_create:
            self.create()
        elif not self._ready:
            if self._in_transaction(self._version, reading=True) is None:
                raise DatabaseAway(f"the database {self.place.words} is still being made")
            self._ready = True

    def _register(self, connection: Connection, participant: Participant) -> str:
        """Return the name of a participant in the room, who is written down if not known yet."""
        from sqlalchemy import insert, select

        people = self._tables["participant"]
        known = connection.execute(select(people.c.name).where(people.c.id == participant.id))
        if (name := known.scalar()) is not None:
            return str(name)
        taken = set(
            connection.execute(select(people.c.name).where(people.c.room == participant.room))
            .scalars()
            .all()
        )
        name = next(name for name in _names(participant) if name not in taken)
        connection.execute(
            insert(people).values(
                id=participant.id,
                room=participant.room,
                name=name,
                token_hash=participant.token_hash,
                joined_at=time.time(),
            )
        )
        return name

    @staticmethod
    def _insert_new(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
        """Insert what is not there yet."""
        from sqlalchemy import insert, select, text

        if connection.dialect.name in ("postgresql", "sqlite"):
            connection.execute(text(_INSERT_NEW), rows)
            return
        uuids = [row["uuid"] for row in rows]
        there = set(
            connection.execute(select(table.c.uuid).where(table.c.uuid.in_(uuids))).scalars()
        )
        if missing := [row for row in rows if row["uuid"] not in there]:
            connection.execute(insert(table), missing)

    # ---- transactions

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
                self._patiently(raw, "BEGIN" if reading else "BEGIN IMMEDIATE")
                raw.execute(f"PRAGMA busy_timeout={1000 * _COMMIT:.0f}")

        return engine

    def _open_file(self) -> sqlite3.Connection:
        quoted = urllib.parse.quote(str(self.place.file))
        connection = sqlite3.connect(  # mode=rw: a file that is away is not made anew
            f"file:{quoted}?mode=rw",
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._patiently(connection, "PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

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

    def _in_transaction(
        self, work: Callable[[Connection], ResultT], *, reading: bool = False
    ) -> ResultT:
        """Do something and commit; again where another took the name in this moment."""
        from sqlalchemy.exc import DBAPIError, IntegrityError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        end = time.monotonic() + self.patience
        queue = self.place.file is not None and not reading
        while True:
            try:
                with (
                    turn(self.place.key, self.patience) if queue else nullcontext(),
                    self._engine.connect() as plain,
                ):
                    connection = plain.execution_options(classroom_reading=reading)
                    with connection.begin():
                        return work(connection)
            except (DBAPIError, PoolTimeout) as error:
                if isinstance(error, IntegrityError) and time.monotonic() < end:
                    time.sleep(random.uniform(0.0, _FIRST_PAUSE))
                    continue
                self._ready = False
                raise DatabaseAway(_reason(self.place, error)) from error
            except sqlite3.Error as error:
                self._ready = False
                raise DatabaseAway(_reason(self.place, error)) from error


def _names(participant: Participant) -> Iterator[str]:
    yield participant.name
    for k in range(2, 10_000):
        if participant.is_pseudonym and k < 100:
            yield pseudonym()
        yield f"{participant.name} {k}"


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
    if "readonly" in said or isinstance(original, PermissionError):
        return f"the database {place.words} may not be written by this user"
    if not place.file.parent.is_dir():
        return f"the database {place.words} is away: there is no folder {place.file.parent}"
    if not place.file.exists():
        return (
            f"the database {place.words} is away: there is no such file. "
            "To begin a new one, open the dashboard of the room anew"
        )
    return f"the database {place.words} cannot be used: {said[:200]}"
