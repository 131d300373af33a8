"""Processes of one machine take turns, first come, first served.

SQLite's own lock decides who may write, wherever the file is. It knows no queue, though: whoever
waits asks again and again, which costs time that the writer needs, and who came last may be first.
So those who are on one machine, as the kernels of a hub, queue for an operating system's lock on a
file in the temporary folder, and only the first of them asks SQLite. Where there is no such lock,
or somebody holds it for too long, everybody asks SQLite, and nothing but the order is lost.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def turn(key: str, patience: float) -> Iterator[None]:
    """Wait for one's turn among the processes of this machine, at most `patience` seconds."""
    file = _open(Path(tempfile.gettempdir()) / f"openretina_widgets-{key}.turn")
    if file is None:
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not _queue(file, patience):
            yield
            return
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int | None:
    if fcntl is None:
        return None
    with contextlib.suppress(FileExistsError, OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
    try:  # another user's file in a folder of all may not be opened to create or write
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None


def _queue(file: int, patience: float) -> bool:
    """Wait for the lock in a thread, which no time limit can wake; it closes what it gets late."""
    lock = threading.Lock()
    state = {"late": False, "held": False}

    def wait() -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        with lock:
            state["held"] = True
            if state["late"]:
                os.close(file)

    thread = threading.Thread(target=wait, name="classroom turn", daemon=True)
    thread.start()
    thread.join(patience)
    with lock:
        state["late"] = not state["held"]
        return state["held"]
