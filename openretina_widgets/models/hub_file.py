"""Fetches a file of a hub in steps: once for all kernels, resumably, and checked.

`huggingface_hub.hf_hub_download` throws away what came when a connection breaks for good, and
cannot be cancelled between chunks. Files lie where it puts them, and its lock is taken.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from openretina_widgets.errors import NotFetched, Unreachable
from openretina_widgets.models.hub import Hub, Remote, client_error

__all__ = ["Progress", "fetch_file"]

_RETRIES = 3  # in a row, without a byte that had not come before
_RETRY_AFTER = 1.0  # seconds
_LOOK_UP_EVERY = 0.2  # seconds, while waiting
_RETRY_ON = {408, 429, 500, 502, 503, 504}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BLOCK = 1 << 20


class Progress(NamedTuple):
    """How much of a file is here.

    Attributes
    ----------
    done, total : int
        Bytes.
    """

    done: int
    total: int


class _WrongBytes(Exception):
    """What came is not the file: nothing of it is worth keeping."""


def fetch_file(hub: Hub, path: str, folder: Path) -> Generator[Progress, object, Path]:
    """Fetch a file, in steps.

    Closed between two steps, the generator leaves the part that came, and the next one asks for the
    rest. Who fetches the same file at the same time waits for the first.

    Parameters
    ----------
    hub, path
        The repository, and the file's path in it.
    folder
        The file lands at ``folder / path``, where ``hf_hub_download(local_dir=folder)`` puts it.

    Yields
    ------
    Progress
        Bytes here and in all. The first step comes when the hub has answered. Bytes here fall back
        to 0 only where a server cannot go on in the middle.

    Returns
    -------
    Path
        The complete file, with the hash that the hub says.

    Raises
    ------
    Unreachable
        If there is no way to the hub, or it has no such file. What came is kept.
    NotFetched
        If the folder is full or cannot be written, or what came is not what the hub says.
    """
    remote = hub.look_up(path)
    target = folder / path
    # The folder and the lock of the hub's own client, so that OpenRetina and we wait for one
    # another. OpenRetina searches by the stem: a part must not have that of the file.
    beside = folder.joinpath(".cache", "huggingface", "download", path).parent
    version = hashlib.sha256(remote.etag.encode()).hexdigest()[:16]
    part = beside / f"{target.name}.{version}.part"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(beside / f"{target.name}.lock")
        yield from _acquire(lock, part, remote.size)
        try:
            if not target.is_file():  # else another kernel has fetched it meanwhile
                for old in set(beside.glob(f"{target.name}.*.part")) - {part}:
                    old.unlink()  # of a version that the hub has replaced
                yield from _receive(hub, path, remote, part)
                os.replace(part, target)
        except (_WrongBytes, OSError) as error:
            if isinstance(error, _WrongBytes) or error.errno in _NO_ROOM:
                part.unlink(missing_ok=True)
            raise
        finally:
            lock.release()
    except _WrongBytes as error:
        raise NotFetched(f"{error}; nothing was kept, fetch it again") from error
    except NotFetched:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(folder, remote.size) from error
        raise NotFetched(f"{folder} cannot be written ({error.strerror or error})") from error
    return target


def _report(done: int, total: int) -> Generator[Progress, object, None]:
    """Yield, and again to a reason sent in: a `Job` that cancels need not wait for more bytes."""
    while (yield Progress(done, total)):
        pass


# -- one at a time ---------------------------------------------------------------------------------


def _lock(path: Path) -> Any:
    from filelock import FileLock

    # Writable for the group, as the hub's client has it: a class may share a folder. A generator
    # may be closed in another thread than the one that ran it.
    return FileLock(path, mode=0o664, thread_local=False)


def _acquire(lock: Any, part: Path, total: int) -> Generator[Progress, object, None]:
    """Wait for the lock; meanwhile report how far its holder is."""
    from filelock import Timeout

    done = 0
    while True:
        with contextlib.suppress(FileNotFoundError):
            done = max(done, part.stat().st_size)
        yield from _report(min(done, total), total)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=_LOOK_UP_EVERY)
            return


# -- the bytes -------------------------------------------------------------------------------------


def _receive(hub: Hub, path: str, remote: Remote, part: Path) -> Generator[Progress, object, None]:
    """Bring the part to its full length, on the disk, and check it."""
    total = remote.size
    digest = _new_digest(remote)
    done = farthest = _read_part(part, total, digest)
    if shutil.disk_usage(part.parent).free < total - done:
        raise _no_room(part.parent, total - done)
    failures = 0
    with part.open("ab", buffering=0) as file:
        while done < total:
            said = "the connection ended early"
            try:
                with hub.get(path, remote.commit, done) as answer:
                    if answer.status_code in _RETRY_ON:
                        said = f"{answer.status_code} {answer.reason_phrase}"
                    else:
                        if _starts_at(answer, hub, done) < done:
                            file.truncate(0)
                            digest, done = _new_digest(remote), 0
                        for chunk in answer.iter_raw():
                            done += len(chunk)
                            if done > total:
                                raise _WrongBytes(f"more came than the {total:,} bytes announced")
                            _write(file, chunk)
                            digest.update(chunk)
                            yield from _report(done, total)
            except client_error() as error:
                said = str(error) or type(error).__name__
            failures = 0 if done > farthest else failures + 1
            farthest = max(farthest, done)
            if failures > _RETRIES:
                raise Unreachable(
                    f"the connection broke after {done:,} of {total:,} bytes ({said}); "
                    "they are kept, and the next fetch goes on from there"
                )
            if done < total:
                yield from _pause(done, total)
        os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
    if _is_hash(remote.etag) and digest.hexdigest() != remote.etag:
        raise _WrongBytes(
            f"what came is not what the hub announced: its {digest.name} is "
            f"{digest.hexdigest()[:12]}…, expected {remote.etag[:12]}…"
        )


def _read_part(part: Path, total: int, digest: Any) -> int:
    """Feed what an earlier fetch left to the digest; return how much it is."""
    with contextlib.suppress(FileNotFoundError):
        if part.stat().st_size > total:
            part.unlink()
        with part.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
            return file.tell()
    return 0


def _starts_at(answer: Any, hub: Hub, asked: int) -> int:
    """Return the byte of the file with which an answer begins: the one asked for, or the first."""
    if answer.status_code == 200:
        return 0  # a server that gives a file only as a whole
    given = answer.headers.get("content-range", "")
    if answer.status_code != 206 or not given.startswith(f"bytes {asked}-"):
        raise hub.refusal(answer)
    return asked


def _write(file: Any, chunk: bytes) -> None:
    """Write all of it: on a disk that is almost full, a first write takes what still fits."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _pause(done: int, total: int) -> Generator[Progress, object, None]:
    until = time.monotonic() + _RETRY_AFTER
    while time.monotonic() < until:
        yield from _report(done, total)
        time.sleep(_LOOK_UP_EVERY)


def _is_hash(etag: str) -> bool:
    return re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag) is not None


def _new_digest(remote: Remote) -> Any:
    """Return the hash that the etag is of: sha256, or for a small file git's, which has a head."""
    if len(remote.etag) == 40:
        return hashlib.sha1(b"blob %d\0" % remote.size, usedforsecurity=False)
    return hashlib.sha256()


def _no_room(folder: Path, needed: int) -> NotFetched:
    free = shutil.disk_usage(folder).free
    return NotFetched(
        f"{folder} has no room for it: {needed:,} bytes are needed and {free:,} are free (or there "
        "is a quota); make room, or set OPENRETINA_CACHE_DIRECTORY to a folder on another disk"
    )
