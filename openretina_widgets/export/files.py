"""Files under a name that a user gave: refused in words, whole or not there."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from openretina_widgets.errors import unknown_name

_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def check_path(path: str | os.PathLike[str], suffixes: Sequence[str], *, overwrite: bool) -> Path:
    """Return where to write.

    Raises
    ------
    TypeError
        If `path` is no path.
    ValueError
        If its suffix is none of `suffixes`.
    FileExistsError
        If something is there, and `overwrite` is false or it is a folder.
    FileNotFoundError
        If its folder does not exist.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    target = Path(path).expanduser()
    if target.suffix.lower() not in suffixes:
        if not target.suffix:
            raise ValueError(
                f"path: {target.name!r} has no suffix; give it one of {', '.join(suffixes)}"
            )
        raise ValueError(unknown_name("path", target.suffix, suffixes, "format with the suffix"))
    if target.is_dir():
        raise FileExistsError(f"path: {str(target)!r} is a folder; name a file")
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"path: {str(target)!r} is there already; choose another name, or say overwrite=True"
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"path: there is no folder {str(target.parent)!r}; make it first, or choose another"
        )
    return target


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a name to write under, which becomes `target` at the end unless something is raised.

    Raises
    ------
    PermissionError
        If the folder cannot be written into.
    """
    partial = target.with_name(f"{uuid.uuid4().hex}.part{target.suffix}")
    try:
        partial.touch(exist_ok=False)
        yield partial
        partial.replace(target)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            raise PermissionError(
                f"path: the folder {str(target.parent)!r} cannot be written into "
                f"({os.strerror(error.errno)}); choose another"
            ) from error
        raise
    finally:
        if partial.exists():
            partial.unlink()
