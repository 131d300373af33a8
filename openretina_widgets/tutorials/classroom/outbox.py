"""What was not sent yet, in a file of the user's: it survives a killed kernel.

Each kernel appends to a file of its own, which it holds locked; what a kernel that is gone left
behind is taken over by the next one that joins the same room. A line is one JSON object, either a
submission, or the identifiers of those that the database has; it is on the disk when `put` returns.
A line that was cut off when the power went was never said to be kept, and is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from openretina_widgets.tutorials.classroom.submission import Submission

_PREFIX, _SUFFIX, _LOCK = "outbox-", ".jsonl", ".lock"


class Outbox:
    """Submissions that wait to be sent, oldest first. May be used from any thread.

    Parameters
    ----------
    folder
        Where the files are; made when it is missing. Where that cannot be, or cannot be written,
        the outbox is kept in memory, and `problem` says why.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Submission] = {}
        self._file: int | None = None
        self._path: Path | None = None
        self._held: FileLock | None = None
        self._left: list[tuple[Path, FileLock]] = []  # of kernels that are gone, held by us
        self._torn = False
        self.problem = ""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._adopt(folder)
            self._open(folder)
        except (OSError, NotImplementedError) as error:  # the latter: a disk that cannot lock
            why = getattr(error, "strerror", None) or error
            self.problem = f"{folder} cannot be written ({why})"

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    def __contains__(self, uuid: object) -> bool:
        with self._lock:
            return uuid in self._waiting

    def put(self, submission: Submission) -> None:
        """Keep a submission; it is on the disk when this returns, unless there is a `problem`."""
        with self._lock:
            self._waiting[submission.uuid] = submission
            if self._file is None:
                return
            try:
                self._append(submission.to_dict(), synced=True)
            except OSError as error:
                self.problem = f"{self._path} cannot be written ({error.strerror or error})"

    def oldest(self, most: int) -> list[Submission]:
        """Return those that wait longest."""
        with self._lock:
            return list(self._waiting.values())[:most]

    def all(self) -> list[Submission]:
        """Return everything that waits, oldest first."""
        return self.oldest(2**31)

    def done(self, submissions: Iterable[Submission]) -> None:
        """Drop what the database has."""
        with self._lock:
            uuids = [one.uuid for one in submissions]
            for uuid in uuids:
                self._waiting.pop(uuid, None)
            with contextlib.suppress(OSError):  # then it is sent once more, and kept once
                if not self._waiting:
                    self._clear()
                elif self._file is not None:
                    self._append({"sent": uuids}, synced=False)

    def close(self) -> None:
        """Let go of the files; those with something in them stay."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
                path, held = self._path, self._held
                if path is not None and held is not None:
                    _let_go(path, held, remove=not self._waiting)
            for path, held in self._left:
                _let_go(path, held, remove=not self._waiting)
            self._left = []

    def _open(self, folder: Path) -> None:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        held = FileLock(f"{path}{_LOCK}", thread_local=False)
        held.acquire(timeout=0)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._file, self._path, self._held = os.open(path, flags, 0o600), path, held
        _sync_folder(folder)

    def _append(self, line: object, *, synced: bool) -> None:
        file = self._file
        if file is None:
            return
        data = ("\n" * self._torn + json.dumps(line) + "\n").encode()
        self._torn = True  # until the whole line is there: the next one begins anew
        while data:
            data = data[os.write(file, data) :]
        self._torn = False
        if synced:
            os.fsync(file)

    def _clear(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
        for path, held in self._left:
            _let_go(path, held, remove=True)
        self._left = []

    def _adopt(self, folder: Path) -> None:
        """Take over what kernels that are gone have left."""
        for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"), key=_age):
            held = FileLock(f"{path}{_LOCK}", thread_local=False)
            try:
                held.acquire(timeout=0)
            except Timeout:
                continue  # its kernel lives
            try:
                found = read_outbox(path)
            except FileNotFoundError:
                held.release()
                continue
            if found:
                self._waiting.update((one.uuid, one) for one in found)
                self._left.append((path, held))
            else:
                _let_go(path, held, remove=True)


def read_outbox(path: Path) -> list[Submission]:
    """Return what waits in a file, oldest first; a line that was cut off is left out."""
    waiting: dict[str, Submission] = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            if "sent" in entry:
                for uuid in entry["sent"]:
                    waiting.pop(uuid, None)
            else:
                waiting[entry["uuid"]] = Submission(**entry)
        except (ValueError, TypeError, KeyError):
            continue
    return list(waiting.values())


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _let_go(path: Path, held: FileLock, *, remove: bool) -> None:
    with contextlib.suppress(OSError):
        if remove:
            path.unlink(missing_ok=True)
            Path(held.lock_file).unlink(missing_ok=True)
    held.release()


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on the disk as well."""
    with contextlib.suppress(OSError):  # not every system opens a folder
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
