"""Lessons in a folder of the student's own, which nobody but the student changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from openretina_widgets.tutorials.lessons import lesson_paths, notebook_bytes

__all__ = ["CopiedLesson", "copy_lessons"]

RECORD = ".openretina_lessons.json"
PATIENCE = 30.0  # s, while another process copies into the same folder

State = Literal["new", "updated", "same", "kept", "beside"]


@dataclass(frozen=True)
class CopiedLesson:
    """What became of one lesson.

    Attributes
    ----------
    path
        The notebook to work in.
    state
        ``"new"``: it was not there. ``"updated"``: it was there untouched, in an older version.
        ``"same"``: it is there as it ships. ``"kept"``: it was changed, and stays as it is.
        ``"beside"``: it was changed and stays, and there is a newer version, at `beside`.
    beside
        Where the newer version was put.
    """

    path: Path
    state: State
    beside: Path | None = None

    @property
    def words(self) -> str:
        """What happened, in a sentence."""
        name = self.path.name
        return {
            "new": f"{name}: copied",
            "updated": f"{name}: replaced by the newer version (you had not changed it)",
            "same": f"{name}: there already",
            "kept": f"{name}: yours, kept as you left it",
            "beside": f"{name}: yours, kept as you left it; the newer version is "
            f"{self.beside.name if self.beside else ''}",
        }[self.state]


def copy_lessons(
    folder: str | os.PathLike[str], *, solutions: bool = False
) -> tuple[CopiedLesson, ...]:
    """Copy the lessons into a folder, never over what somebody changed there.

    A hidden file in the folder records what was copied. A notebook that is no longer as it was
    copied is the student's, be it only that it was run and saved; a newer version is put beside
    it, once, under a name of its own.

    Parameters
    ----------
    folder
        Made where it is missing.
    solutions
        Whether to copy the originals, with solutions and the teacher's pages.

    Returns
    -------
    tuple of CopiedLesson
        One a lesson, in their order.

    Raises
    ------
    NotADirectoryError
        If `folder` is a file.
    OSError
        If it cannot be made or written; nothing that was there is touched.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder: expected a folder, but {folder} is a file")
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        path.name: notebook_bytes(path, solutions=solutions) for path in lesson_paths().values()
    }
    try:
        with FileLock(folder / f"{RECORD}.lock", timeout=PATIENCE):
            record = _Record.read(folder)
            copied = tuple(_copy(folder, name, text, record) for name, text in sources.items())
            record.write(folder)
    except Timeout:
        raise TimeoutError(f"folder: another program is copying lessons into {folder}") from None
    return copied


@dataclass
class _Record:
    """What was copied: the hash of what lies under a name, and of the newest lesson handed out."""

    written: dict[str, str]
    handed_out: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> _Record:
        """Read it; one that cannot be understood counts as none, so all is the student's."""
        try:
            told = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            told = {}
        parts = [told.get(key) if isinstance(told, dict) else None for key in cls.__annotations__]
        return cls(*({k: v for k, v in _items(part) if isinstance(v, str)} for part in parts))

    def write(self, folder: Path) -> None:
        text = json.dumps({"written": self.written, "handed_out": self.handed_out}, indent=1)
        content = f"{text}\n".encode()
        path = folder / RECORD
        if not path.exists() or path.read_bytes() != content:
            _replace(path, content)


def _copy(folder: Path, name: str, content: bytes, record: _Record) -> CopiedLesson:
    path = folder / name
    lesson = _hash(content)
    there = _hash(path.read_bytes()) if os.path.lexists(path) else None
    if there is None:
        _create(path, content)
        state: State = "new"
    elif there == lesson:
        state = "same"
    elif there == record.written.get(name):
        _replace(path, content)
        state = "updated"
    elif record.handed_out.get(name) == lesson:
        return CopiedLesson(path, "kept")
    else:
        beside = _beside(path, content)
        record.handed_out[name] = lesson
        return CopiedLesson(path, "beside", beside)
    record.written[name] = record.handed_out[name] = lesson
    return CopiedLesson(path, state)


def _beside(path: Path, content: bytes) -> Path:
    """Put a newer version under the first name that is free, or that holds it already."""
    number = 1
    while True:
        tail = "_new" if number == 1 else f"_new_{number}"
        beside = path.with_name(f"{path.stem}{tail}{path.suffix}")
        try:
            _create(beside, content)
        except FileExistsError:
            if beside.is_file() and beside.read_bytes() == content:
                return beside
            number += 1
        else:
            return beside


def _create(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, whole or not at all."""
    part = _part(path, content)
    try:
        try:
            os.link(part, path)  # unlike a renaming, it never takes the place of a file
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(path):
                raise FileExistsError(path) from None
            os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    part = _part(path, content)
    try:
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _part(path: Path, content: bytes) -> Path:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(content)
    except OSError:  # such as a full disk: nothing of it stays
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return part


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []
