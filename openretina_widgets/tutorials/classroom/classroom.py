"""A student in a room: answers are sent to the class's database, and none is lost on the way."""

from __future__ import annotations

import html
import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openretina_widgets.tutorials.classroom.database import DatabaseAway
from openretina_widgets.tutorials.classroom.identity import (
    find_or_make_identity,
    forget_identity,
    identity_folder,
    keep_identity,
)
from openretina_widgets.tutorials.classroom.outbox import Outbox
from openretina_widgets.tutorials.classroom.place import (
    check_name,
    check_room,
    resolve_place,
)
from openretina_widgets.tutorials.classroom.sender import Sender
from openretina_widgets.tutorials.classroom.store import (
    ClassroomError,
    Store,
)
from openretina_widgets.tutorials.classroom.submission import Submission, make_submission
from openretina_widgets.widgets.transport import MainLoop

if TYPE_CHECKING:
    from openretina_widgets.tutorials.classroom.dashboard import ClassroomDashboard

_FIRST_PATIENCE = 3.0  # s that joining waits for a lock
_PATIENCE = 10.0  # s that the thread does
_SEEN = "database-seen"


class Receipt:
    """What became of a submission.

    Attributes
    ----------
    uuid : str
        Its identifier in the database.
    """

    def __init__(self, classroom: Classroom, uuid: str) -> None:
        self._classroom = classroom
        self.uuid = uuid

    @property
    def sent(self) -> bool:
        """Whether the database has it: its transaction was committed."""
        return not self._classroom._waits(self.uuid)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the database has it; False if it does not within `timeout` seconds."""
        return self._classroom._sender.wait_for(lambda: self.sent, timeout)

    def __repr__(self) -> str:
        return f"<Receipt {self.uuid} {'sent' if self.sent else 'kept here, will be sent'}>"


class Classroom:
    """A student in a room; made by `Classroom.join`.

    An answer is written to a file of the user's before anything else, and a thread sends it. While
    the database is away answers wait there, through a restart of the kernel too, and are sent
    when it is back, each once.

    Attributes
    ----------
    room : str
    name : str
        The pseudonym or name that others see. It may gain a number if somebody else has it.
    """

    def __init__(self, room: str, name: str | None, url: str | os.PathLike[str] | None) -> None:
        self.room = check_room(room)
        chosen = None if name is None else check_name(name)
        place = resolve_place(url)
        self._place = place
        self._folder = identity_folder(place, self.room, chosen)
        self._participant, self._homeless = find_or_make_identity(self._folder, self.room, chosen)
        self.name = self._participant.name
        self._main_loop = MainLoop()
        self._learnt = ""
        self._callbacks: list[Callable[[], object]] = []
        self._pid = os.getpid()
        unknown = not (self._folder / _SEEN).exists()
        self._store = Store(place, patience=_FIRST_PATIENCE, may_create=unknown)
        self._outbox = Outbox(self._folder)
        this = weakref.ref(self)

        def news() -> None:
            if (classroom := this()) is not None:
                classroom._announce()

        self._sender = Sender(self._store, self._outbox, self._participant, news=news)
        self._end = weakref.finalize(
            self, _end, os.getpid(), self._sender, self._outbox, self._store
        )
        self._meet()

    @classmethod
    def join(
        cls, room: str, name: str | None = None, *, url: str | os.PathLike[str] | None = None
    ) -> Classroom:
        """Join a room; once more in the same room under the same name is the same student.

        Parameters
        ----------
        room
            Name that the teacher gave, 1 to 64 letters, digits, spaces, dots, dashes.
        name
            As others see it, at most 60 characters. None: a pseudonym, such as "quiet heron". No
            personal data are needed.
        url
            Where the class keeps its answers: path of an SQLite file in a folder that all can
            write, or any SQLAlchemy URL, as ``postgresql://user:password@host/database``. None:
            the environment variable ``OPENRETINA_WIDGETS_CLASSROOM``; without it,
            ``classroom/answers.sqlite`` in the working folder.

        Returns
        -------
        Classroom
            Also while the database is away: `status` says so, and answers are kept.

        Raises
        ------
        TypeError, ValueError
            If the room, the name or the URL is not as above.
        ImportError
            If the driver of this kind of database is not installed.
        ClassroomError
            If another version of this package made the database.
        """
        return cls(room, name, url)

    @staticmethod
    def dashboard(
        room: str, *, url: str | os.PathLike[str] | None = None, **settings: Any
    ) -> ClassroomDashboard:
        """Return what the teacher sees; the room and its database are made if needed.

        Parameters
        ----------
        room, url
            As for `join`.
        **settings
            Of `ClassroomDashboard`.
        """
        from openretina_widgets.tutorials.classroom.dashboard import ClassroomDashboard

        return ClassroomDashboard(room, url=url, **settings)

    def submit(self, kind: str, id: str, value: Any) -> Receipt:
        """Keep an answer on this machine and have it sent; returns within milliseconds.

        Parameters
        ----------
        kind
            ``"answer"``, ``"prediction"`` or ``"step"``.
        id
            Name of the question or prediction; of the tutorial for a step.
        value
            What JSON can carry, at most 65,536 bytes of it. numpy's numbers and arrays are taken,
            and what is not finite becomes None.

            - an answer: the value, or ``{"answer": value, "correct": True | False | None}``
            - a step: ``{"step": 3, "of": 9, "title": "..."}``, counted from 1; or the number
            - a prediction: see `openretina_widgets.tutorials.classroom.predictions`

        Returns
        -------
        Receipt
            Its `wait` returns when the database has it.

        Raises
        ------
        TypeError, ValueError
            If it cannot be sent as it is; the message says how long it may be. Nothing is kept
            then.
        RuntimeError
            After `close`, or in a forked process.
        """
        if not self._end.alive:
            raise RuntimeError("this classroom was closed: join again")
        if os.getpid() != self._pid:
            raise RuntimeError("this classroom belongs to another process: join again in this one")
        submission = make_submission(kind, id, value)
        self._outbox.put(submission)
        self._sender.wake()
        return Receipt(self, submission.uuid)

    def mine(self) -> list[Submission]:
        """Return what this student has sent, oldest first; what waits here is at the end.

        The database gives it only to who has the secret that joining has put into the user's
        folder.

        Raises
        ------
        DatabaseAway
            If it does not answer; `waiting` still says what is kept here.
        PermissionError
            If the secret is not that of the student.
        """
        sent = self._store.read_own(self._participant)
        there = {one.uuid for one in sent}
        return sent + [one for one in self._outbox.all() if one.uuid not in there]

    @property
    def waiting(self) -> list[Submission]:
        """What is kept here and will be sent."""
        return self._outbox.all()

    @property
    def trouble(self) -> str:
        """Why nothing is sent at present; empty when all is well."""
        return self._sender.trouble

    @property
    def status(self) -> str:
        """How it is going, in words."""
        parts = [f"Room {self.room}: you are {self.name}."]
        n = len(self._outbox)
        kept = f"{n} {'submission is' if n == 1 else 'submissions are'} kept here and will be sent"
        if self.trouble:
            parts.append(f"Not connected: {self.trouble}.")
            parts.append(f"{kept} when it is back." if n else "What you send will be kept here.")
        elif n:
            parts.append(f"{kept}.")
        else:
            parts.append("Everything is sent.")
        if problem := self._homeless or self._outbox.problem:
            parts.append(f"What is not sent is lost when this kernel ends: {problem}.")
        return " ".join(parts)

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have a function called when something was sent or could not be; returns what ends it.

        It is called on the kernel's main loop, where widgets may be changed; in plain Python,
        without a loop, in the thread that sends.
        """
        self._callbacks.append(callback)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return end

    def flush(self, timeout: float = 10.0) -> bool:
        """Send what waits, and wait for it; False if something still waits after `timeout` s."""
        if len(self._outbox):
            self._sender.wake(now=True)
        return self._sender.wait_for(lambda: not len(self._outbox), timeout)

    def leave(self, *, timeout: float = 10.0) -> None:
        """Send what waits, and forget on this machine who one was: the next to join is another.

        Raises
        ------
        ClassroomError
            If something could not be sent: then nothing is forgotten.
        """
        if not self.flush(timeout):
            raise ClassroomError(f"not left: {self.status}")
        self.close()
        forget_identity(self._folder)

    def close(self) -> None:
        """Stop sending; what waits stays in the user's folder until the room is joined again."""
        self._callbacks.clear()
        self._end()

    def _meet(self) -> None:
        """First contact: learn one's name, and send what an earlier kernel has left."""
        try:
            self._sender.contact()
        except DatabaseAway as error:
            self._sender.trouble = str(error)
            self._sender.wake()
        except ClassroomError:
            self.close()
            raise
        self._store.patience = _PATIENCE

    def _learn_name(self, name: str) -> None:
        """Keep the name that the database has, and that the database was there."""
        if name == self._learnt:
            return
        self.name = self._learnt = name
        try:
            if name != self._participant.name:
                keep_identity(self._folder, replace(self._participant, name=name))
            (self._folder / _SEEN).touch()
        except OSError as error:
            self._homeless = f"{self._folder} cannot be written ({error.strerror or error})"

    def _waits(self, uuid: str) -> bool:
        return uuid in self._outbox

    def _announce(self) -> None:
        if self._sender.name:
            self._learn_name(self._sender.name)
        if self._callbacks:
            self._main_loop.call(self._call_back)

    def _call_back(self) -> None:
        for callback in list(self._callbacks):
            callback()

    def __repr__(self) -> str:
        return f"<Classroom {self.status} Answers go to {self._place.words}>"

    def _repr_html_(self) -> str:
        return (
            f"<div>{html.escape(self.status)}<br>"
            f"<small>Answers go to {html.escape(self._place.words)}</small></div>"
        )


def _end(pid: int, sender: Sender, outbox: Outbox, store: Store) -> None:
    """At the end of the kernel too: what is on its way may arrive."""
    if os.getpid() != pid:
        return  # a forked process: files and locks are its parent's
    sender.close(timeout=2.0)
    outbox.close()
    store.close()
