"""The command ``openretina-widgets``: open the lessons, and say what of the installation works."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_FOLDER = "openretina_lessons"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is returned, 0 when all went well.

    Parameters
    ----------
    arguments
        Those of the command line by default.
    """
    parser = _parser()
    asked, more = parser.parse_known_args(arguments)
    if more and asked.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if asked.command == "check":
        return _check()
    return _lab(Path(asked.folder), more, solutions=asked.solutions, copy_only=asked.copy_only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openretina-widgets", description="Live experiments on retina models in a notebook."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    lab = commands.add_parser(
        "lab",
        help="copy the lessons into a folder and open JupyterLab there",
        description="Copy the lessons into FOLDER, never over a notebook that you changed, and "
        "open JupyterLab there. Arguments that are not known here are JupyterLab's, such as "
        "--no-browser or --port 9000.",
    )
    lab.add_argument(
        "folder", nargs="?", default=_FOLDER, metavar="FOLDER", help=f"default: {_FOLDER}"
    )
    lab.add_argument(
        "--solutions", action="store_true", help="with solutions and the teacher's pages"
    )
    lab.add_argument("--copy-only", action="store_true", help="copy the lessons, and open nothing")
    commands.add_parser(
        "check", help="say in words what of the installation works; status 1 if something does not"
    )
    return parser


def _lab(folder: Path, more: Sequence[str], *, solutions: bool, copy_only: bool) -> int:
    from openretina_widgets.tutorials.lesson_copies import copy_lessons

    try:
        copied = copy_lessons(folder, solutions=solutions)
    except OSError as error:
        _say(f"The lessons cannot be copied: {error}", to_errors=True)
        return 1
    for lesson in copied:
        _say(lesson.words)
    _say(f"The lessons are in {folder.expanduser().resolve()}")
    if copy_only:
        return 0
    if importlib.util.find_spec("jupyterlab") is None:
        _say("JupyterLab is not installed: pip install jupyterlab", to_errors=True)
        return 1
    command = [sys.executable, "-m", "jupyterlab", *more]
    if os.name == "posix":  # in this process's place, so that every signal reaches JupyterLab
        os.chdir(folder.expanduser())
        os.execv(sys.executable, command)
    return subprocess.call(command, cwd=folder.expanduser())


def _check() -> int:
    from openretina_widgets.installation import findings

    marks = {True: "✓", False: "✗", None: "–"}
    found = findings()
    for finding in found:
        _say(f"{marks[finding.works]} {finding.words}")
    broken = sum(finding.works is False for finding in found)
    if broken:
        _say(f"{broken} of {len(found)} do not work; what to do stands beside each.")
    else:
        _say("All that is needed works.")
    return int(bool(broken))


def _say(words: str, *, to_errors: bool = False) -> None:
    stream = sys.stderr if to_errors else sys.stdout
    encoding = stream.encoding or "utf-8"
    stream.write(words.encode(encoding, "replace").decode(encoding) + os.linesep[-1])
    stream.flush()  # before JupyterLab writes


if __name__ == "__main__":
    sys.exit(main())
