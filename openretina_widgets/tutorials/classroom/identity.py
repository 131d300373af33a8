"""Who one is in a room, kept in the user's own folder, so that a restarted kernel is the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

from openretina_widgets.tutorials.classroom.place import Place, user_folder
from openretina_widgets.tutorials.classroom.store import Participant, new_participant

_FILE = "identity.json"


def identity_folder(place: Place, room: str, name: str | None) -> Path:
    """Return the folder of one student in one room of one database.

    Without a name there is one student a user; with names, several may share an account.
    """
    who = hashlib.sha256(json.dumps([place.key, room, name]).encode()).hexdigest()[:24]
    return user_folder() / "classroom" / who


def find_identity(folder: Path) -> Participant | None:
    """Return who joined before, or None."""
    try:
        return Participant(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep_identity(folder: Path, participant: Participant) -> None:
    """Write down who one is, all at once and readable by nobody else; OSError if it cannot be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = folder / _FILE
    part = folder / f"{_FILE}.{secrets.token_hex(4)}"
    try:
        file = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            json.dump(asdict(participant), opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(part, whole)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def forget_identity(folder: Path) -> None:
    """Remove it; the next one to join without a name is somebody else."""
    (folder / _FILE).unlink(missing_ok=True)


def find_or_make_identity(folder: Path, room: str, name: str | None) -> tuple[Participant, str]:
    """Return who one is, and why this could not be kept (or nothing).

    Two kernels that join at the same time are the same student.
    """
    from filelock import FileLock, Timeout

    if (found := find_identity(folder)) is not None:
        return found, ""
    made = new_participant(room, name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / "identity.lock", timeout=5):
            if (found := find_identity(folder)) is not None:
                return found, ""
            keep_identity(folder, made)
    except (OSError, Timeout) as error:
        return made, f"{folder} cannot be written ({getattr(error, 'strerror', None) or error})"
    return made, ""
