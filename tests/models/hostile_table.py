"""Prints what each hostile file got: ``python -m tests.models.hostile_table``.

The files are opened in an interpreter of their own with an audit hook, which sees every file that
is written, every command that is run and every piece of code that is compiled, executed or
unmarshalled.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_ACTS = (
    *("compile", "exec", "import", "marshal.loads", "pickle.find_class", "code.__new__"),
    *("function.__new__", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"),
    *("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "socket.connect"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Answer:
    """What a file got.

    Attributes
    ----------
    kind, message
        Class and words of the error; kind is empty when the file was loaded.
    grown_bytes
        By how much the peak memory of the process grew.
    seconds
        How long it took.
    acts
        What was executed or written meanwhile.
    """

    kind: str
    message: str
    grown_bytes: int
    seconds: float
    acts: list[str]


_COMMAND = ("-m", "tests.models.hostile_table", "--open")


def answers_of(
    warm: Path, files: Sequence[Path], *, command: Sequence[str] = _COMMAND
) -> list[Answer]:
    """Open files with `load_model` in a new interpreter, after one that is fine."""
    done = subprocess.run(
        [sys.executable, *command, str(warm), *map(str, files)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return [Answer(**answer) for answer in json.loads(done.stdout)]


def _open_all(warm: str, *paths: str) -> None:
    """Open the files and print what each got; this is what runs in the new interpreter."""
    from openretina_widgets import load_model

    # What Python itself loads on first use is loaded here, so that it is not taken for an act of
    # the file: the modules of the reader, and the alphabet of names in a zip archive.
    load_model(warm)
    b"a".decode("cp437")
    ballast = b"\x01" * _slack_bytes()  # so that any further memory shows in the peak
    acts: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                acts.append(f"open {path!r} to write")
        elif watching and event in _ACTS:
            acts.append(f"{event} {arguments[0]!r:.40}" if arguments else event)

    sys.addaudithook(watch)
    answers = []
    for path in paths:
        before, start = _peak_bytes(), time.perf_counter()
        kind = message = ""
        watching = True
        try:
            load_model(path)
        except (ValueError, OSError) as error:
            kind, message = type(error).__name__, str(error)
        finally:
            watching = False
        seconds, grown = time.perf_counter() - start, _peak_bytes() - before
        answers.append(Answer(kind, message, grown, seconds, acts.copy()).__dict__)
        acts.clear()
    print(json.dumps(answers))
    del ballast


def _slack_bytes() -> int:
    """Return by how much the process has shrunk since its peak, where the system tells."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0
    now = int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return max(0, _peak_bytes() - now)


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Write the files, open them, and print the table."""
    from tests.models.hostile_files import HOSTILE, checkpoint

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        warm, marker = checkpoint(place / "fine.ckpt"), place / "executed"
        files = {
            kind: make(place / f"{i}.ckpt", marker)
            for i, (kind, make) in enumerate(HOSTILE.items())
        }
        before = sorted(place.rglob("*"))
        answers = answers_of(warm, list(files.values()))
        left = sorted(set(place.rglob("*")) - set(before))
        print("| file | size | what it got | executed or written | peak memory | time |")
        print("|---|---|---|---|---|---|")
        for (kind, path), answer in zip(files.items(), answers, strict=True):
            size = f"{path.stat().st_size / 1e3:.1f} kB"
            words = answer.message.removeprefix(f"{path}: ").replace(folder, "…")
            print(
                f"| {kind} | {size} | {answer.kind or 'LOADED'}: {words} "
                f"| {', '.join(answer.acts) or 'nothing'} | +{answer.grown_bytes / 1e6:.1f} MB "
                f"| {answer.seconds * 1e3:.1f} ms |"
            )
        print(f"\nNew files beside them: {[path.name for path in left] or 'none'}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--open"]:
        _open_all(*sys.argv[2:])
    else:
        main()
