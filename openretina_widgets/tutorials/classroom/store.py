"""What a class has sent, kept in a database: one row a submission."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from openretina_widgets.tutorials.classroom.database import Database, DatabaseAway
from openretina_widgets.tutorials.classroom.place import Place
from openretina_widgets.tutorials.classroom.pseudonyms import pseudonym
from openretina_widgets.tutorials.classroom.submission import Submission
from openretina_widgets.tutorials.classroom.tables import SCHEMA_VERSION, make_tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

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
        self._database = Database(place, patience=patience)
        self.may_create = may_create
        self._ready = False

    @property
    def patience(self) -> float:
        """Seconds that a write waits for a lock that somebody else holds."""
        return self._database.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._database.patience = seconds

    def create(self) -> None:
        """Make the file and the tables where they are missing; several may do so at once.

        Raises
        ------
        DatabaseAway
            If the folder is away or cannot be written, or the server does not answer.
        ClassroomError
            If a newer version of this package made the tables.
        """
        self._database.create_file()
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
        self._database.close()

    # ---- tables

    @cached_property
    def _tables(self) -> dict[str, Any]:
        return make_tables()

    @cached_property
    def _columns(self) -> tuple[Any, ...]:
        sent = self._tables["submission"].c
        return (sent.kind, sent.item, sent.value, sent.uuid, sent.made_at)

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

    def _in_transaction(
        self, work: Callable[[Connection], ResultT], *, reading: bool = False
    ) -> ResultT:
        try:
            return self._database.transaction(work, reading=reading)
        except DatabaseAway:
            self._ready = False  # what is there when it is back may be another one
            raise


def _names(participant: Participant) -> Iterator[str]:
    yield participant.name
    for k in range(2, 10_000):
        if participant.is_pseudonym and k < 100:
            yield pseudonym()
        yield f"{participant.name} {k}"
