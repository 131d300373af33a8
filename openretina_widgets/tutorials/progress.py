"""Where a student is in a tutorial, kept on disk: a restart of the kernel loses nothing."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from openretina_widgets.tutorials.classroom.place import user_folder
from openretina_widgets.tutorials.classroom.submission import as_json_value
from openretina_widgets.tutorials.lessons import lesson_paths
from openretina_widgets.tutorials.notebook import Tutorial

__all__ = ["Progress"]

_VERSION = 1
_PATIENCE = 2.0  # s, while another kernel writes
_LONGEST_TEXT = 1000  # characters of an object that is no answer as JSON holds it
_COMPANY = (
    "This tutorial is open in another notebook too. Answers, hints and code of both are kept; of "
    "one question or cell, and of the step, what was done last counts."
)


class Progress:
    """What a student has done of one tutorial.

    Every change is written at once: the file is read, changed and replaced as a whole under a
    lock, so two kernels with the same tutorial add to each other, and neither finds half a file.
    Where it cannot be written, `trouble` says why, the work goes on in memory, and what was done
    meanwhile is added to the file when it can be written again. `company` says that another kernel
    has the tutorial open as well.

    Parameters
    ----------
    tutorial
        A lesson that ships is known by its name, any other notebook by its path.
    folder
        Where to keep it; ``progress`` in the user's own folder by default.
    """

    def __init__(self, tutorial: Tutorial, *, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = Path(folder) if folder is not None else user_folder() / "progress"
        self.path = self._folder / f"{_key(tutorial)}.json"
        self.trouble = self.company = ""
        self._on_disk: dict[str, Any] = {}  # as it was read or written last
        self._waiting: list[Callable[[dict[str, Any]], None]] = []  # changes that are not on it
        try:
            self._on_disk = self._read()
        except OSError as error:
            self.trouble = self._words(error)
        self._kept = copy.deepcopy(self._on_disk)

    @property
    def step(self) -> int:
        """Step that was shown last, from 0."""
        step = self._kept.get("step", 0)
        return step if isinstance(step, int) and step >= 0 else 0

    @step.setter
    def step(self, step: int) -> None:
        def go(kept: dict[str, Any]) -> None:
            kept["step"] = step
            kept["seen"] = sorted({*kept.get("seen", ()), step})

        self._change(go)

    @property
    def seen(self) -> frozenset[int]:
        """Steps that have been shown."""
        return frozenset(self._kept.get("seen", ()))

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """Question to the last answer: ``value``, ``correct``, ``feedback``, ``tries``."""
        return {key: dict(value) for key, value in self._kept.get("answers", {}).items()}

    def answer(self, question: str, value: Any, correct: bool | None, feedback: str) -> None:
        """Keep an answer; the tries are counted, and what was right once stays solved."""
        try:
            value = as_json_value(value)
        except TypeError:  # an object that was given in code: its text says what it was
            value = str(value)[:_LONGEST_TEXT]

        def keep(kept: dict[str, Any]) -> None:
            before = kept.setdefault("answers", {}).get(question, {})
            kept["answers"][question] = {
                "value": value,
                "correct": correct,
                "feedback": feedback,
                "tries": int(before.get("tries", 0)) + 1,
                "solved": bool(correct) or bool(before.get("solved")),
            }

        self._change(keep)

    @property
    def hints(self) -> dict[str, int]:
        """Question to the number of hints that were opened."""
        return dict(self._kept.get("hints", {}))

    def open_hints(self, question: str, number: int) -> None:
        """Keep how many hints were opened; the most counts, of all kernels."""

        def keep(kept: dict[str, Any]) -> None:
            opened = kept.setdefault("hints", {})
            opened[question] = max(number, int(opened.get(question, 0)))

        self._change(keep)

    @property
    def code(self) -> dict[str, str]:
        """Cell to the code that the student made of it."""
        return dict(self._kept.get("code", {}))

    def keep_code(self, cell: str, source: str | None) -> None:
        """Keep a student's code; None where it is the lesson's own again."""

        def keep(kept: dict[str, Any]) -> None:
            changed = kept.setdefault("code", {})
            if source is None:
                changed.pop(cell, None)
            else:
                changed[cell] = source

        self._change(keep)

    def forget(self) -> None:
        """Begin anew; what was kept is put beside the file, under the name ``.before.json``."""
        with contextlib.suppress(OSError):
            os.replace(self.path, self.path.with_suffix(".before.json"))
        self._on_disk, self._waiting = {}, []
        self._change(lambda kept: kept.clear())

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Apply a change to what lies on disk, or in memory where that cannot be written."""
        self._waiting.append(change)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=_PATIENCE):
                found = self._read()
                if found != self._on_disk:
                    self.company = _COMPANY
                kept = copy.deepcopy(found)
                for one in self._waiting:
                    one(kept)
                self._write(kept)
        except (OSError, Timeout) as error:
            change(self._kept)
            self.trouble = self._words(error)
        else:
            self._kept, self._on_disk = kept, copy.deepcopy(kept)
            self._waiting, self.trouble = [], ""

    def _words(self, error: Exception) -> str:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"Your progress cannot be kept in {self._folder} ({reason}): it lasts for as long "
            "as this kernel runs."
        )

    def _read(self) -> dict[str, Any]:
        """Return what is kept; a file that cannot be understood is put aside, not lost.

        Raises
        ------
        OSError
            If there is a file that cannot be read: it must not be replaced either.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return copy.deepcopy(self._on_disk)  # it was taken away, and what it held is kept
        except UnicodeDecodeError:
            text = ""
        with contextlib.suppress(ValueError):
            kept = json.loads(text)
            if _fits(kept):
                kept.pop("version", None)
                return dict(kept)
        with contextlib.suppress(OSError):
            os.replace(self.path, self.path.with_suffix(".damaged.json"))
        return {}

    def _write(self, kept: dict[str, Any]) -> None:
        part = self.path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            text = json.dumps({**kept, "version": _VERSION}, ensure_ascii=False)
            part.write_text(text, encoding="utf-8")
            os.replace(part, self.path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _key(tutorial: Tutorial) -> str:
    path = tutorial.path.resolve()
    if path in {known.resolve() for known in lesson_paths().values()}:
        return tutorial.name
    return f"{path.stem[:60]}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def _fits(kept: Any) -> bool:
    """Whether a file's content is of a form that the properties can read."""
    expected = {"answers": dict, "hints": dict, "code": dict, "seen": list, "step": int}
    if not isinstance(kept, dict):
        return False
    if not all(isinstance(kept.get(key, kind()), kind) for key, kind in expected.items()):
        return False
    return (
        all(isinstance(value, dict) for value in kept.get("answers", {}).values())
        and all(isinstance(value, int) for value in kept.get("seen", []))
        and all(isinstance(value, int) for value in kept.get("hints", {}).values())
    )
