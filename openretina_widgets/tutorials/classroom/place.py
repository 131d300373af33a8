"""Where a class keeps its answers, and which names a room and a student may have."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "OPENRETINA_WIDGETS_CLASSROOM"
HOME_VARIABLE = "OPENRETINA_WIDGETS_HOME"
DEFAULT_FILE = Path("classroom") / "answers.sqlite"
LONGEST_ROOM = 64
LONGEST_NAME = 60

_ROOM = re.compile(r"\w[\w .\-]*")
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


@dataclass(frozen=True)
class Place:
    """A database.

    Attributes
    ----------
    url
        SQLAlchemy URL, with its password.
    file
        Path of an SQLite file; None for a server.
    words
        How to name it to a person: without a password.
    is_default
        Whether nobody said where, so that it lies in the working folder.
    """

    url: str = field(repr=False)
    file: Path | None
    words: str
    is_default: bool = False

    @property
    def key(self) -> str:
        """Same for the same place, whoever logs in there."""
        return hashlib.sha256(self.words.encode()).hexdigest()[:16]


def resolve_place(url: str | os.PathLike[str] | None = None) -> Place:
    """Return where answers are kept.

    Parameters
    ----------
    url
        Path of an SQLite file, or any SQLAlchemy URL. None: the environment variable
        ``OPENRETINA_WIDGETS_CLASSROOM``, else ``classroom/answers.sqlite`` in the working folder.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it is no URL, names a database that is known not to exist for others (in memory), or
        lacks what it needs.
    ImportError
        If the driver of this kind of database is not installed.
    """
    source, is_default = "url", False
    if url is None and os.environ.get(VARIABLE):
        url, source = os.environ[VARIABLE], VARIABLE
    if url is None:
        url, is_default = DEFAULT_FILE, True
    if not isinstance(url, str | os.PathLike):
        raise TypeError(f"{source}: expected a path or an SQLAlchemy URL, got {type(url).__name__}")
    text = os.fspath(url)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(f"{source}: expected a path or an SQLAlchemy URL, got {text!r}")
    if "://" not in text:
        return _file_place(text, is_default)
    return _server_place(text, source)


def _file_place(text: str, is_default: bool) -> Place:
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if path.is_dir():
        path /= DEFAULT_FILE.name
    return Place(url="sqlite+pysqlite://", file=path, words=str(path), is_default=is_default)


def _server_place(text: str, source: str) -> Place:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(text)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        if url.get_backend_name() == "sqlite":
            if url.drivername not in ("sqlite", "sqlite+pysqlite") or url.query:
                raise ValueError(
                    f"{source}: expected sqlite:///PATH without further settings, got {text!r}"
                )
            if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
                raise ValueError(
                    f"{source}: {text!r} is a database in memory, which nobody else sees; "
                    "expected the path of a file"
                )
            return _file_place(str(url.database), is_default=False)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(
            f"{source}: expected a path or an SQLAlchemy URL such as "
            f"postgresql://user:password@host/database; {error}"
        ) from error
    except ModuleNotFoundError as error:
        hint = (
            'pip install "openretina-widgets[postgresql]"'
            if url.get_backend_name() == "postgresql"
            else f"pip install {error.name}"
        )
        raise ImportError(
            f"{source}: {url.get_backend_name()} needs the package {error.name}, which is not "
            f"installed: {hint}"
        ) from error
    public = {name: text for name, text in url.query.items() if "pass" not in name.lower()}
    shown = url.set(query=public).render_as_string(hide_password=True)
    return Place(url=url.render_as_string(hide_password=False), file=None, words=shown)


def check_room(room: str) -> str:
    """Return the name of a room as it is kept, or raise TypeError or ValueError."""
    if not isinstance(room, str):
        raise TypeError(f"room: expected text, got {type(room).__name__}")
    text = unicodedata.normalize("NFC", room).strip()
    if not _ROOM.fullmatch(text) or len(text) > LONGEST_ROOM:
        raise ValueError(
            f"room: expected 1 to {LONGEST_ROOM} letters, digits, spaces, '.', '-' or '_', "
            f"beginning with a letter or a digit; got {_short(room)}"
        )
    return text


def check_name(name: str) -> str:
    """Return a student's name as it is kept, or raise TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"name: expected text or None, got {type(name).__name__}")
    text = " ".join(unicodedata.normalize("NFC", name).split())
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise ValueError(
            f"name: expected 1 to {LONGEST_NAME} characters that can be printed, "
            f"got {_short(name)}; None chooses a pseudonym"
        )
    return text


def _short(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:40]!r} … ({len(text)} characters)"


def user_folder() -> Path:
    """Return where this user's own things are kept: ``~/.openretina_widgets``.

    The environment variable ``OPENRETINA_WIDGETS_HOME`` names another folder.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".openretina_widgets"
