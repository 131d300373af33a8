"""Reads the zip archive that `torch.save` writes, and takes no more memory than the file has.

Nothing is written to disk. Only the entries that torch writes are let in, none of them
compressed, and a tensor is a view of the numbers that are stored for it.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import sys
import zipfile
from typing import BinaryIO

import torch

from openretina_widgets.models.safe_values import (
    CheckpointError,
    TensorClaim,
    UnsafeCheckpointError,
    short,
    some_of,
)

LARGEST_FILE = 2 * 2**30
"""Largest checkpoint that is opened (bytes)."""
LARGEST_DIRECTORY = 8 * 2**20
"""Largest table of contents of the archive (bytes); that of a usual checkpoint has 10 kB."""

# What a file that is no zip archive may be instead, by its first bytes.
_OTHER_FILES = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (b"<", "a web page, so a download may have failed"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x80", "a bare pickle; torch writes an archive since its version 1.6"),
    (b"\x1f\x8b", "a gzip file; if a checkpoint is packed inside, unpack it first"),
)
# A tar archive has its mark behind the name of its first file.
_TAR_MARK_AT, _TAR_MARK = 257, b"ustar"
# The first protocol of pickle has no mark, and is text: a name, or the start of a container.
_TEXT_PICKLE = re.compile(rb"c[\w.]+\n[\w.<>]+\n|\((?:l|d|t)?p[0-9]+\n")


def _kind_of_file(beginning: bytes) -> str:
    """Return what a file is that begins like this, in words."""
    if beginning[_TAR_MARK_AT:].startswith(_TAR_MARK):
        return "a tar archive; if a checkpoint is packed inside, unpack it first"
    if _TEXT_PICKLE.match(beginning):
        return "a bare pickle; torch writes an archive since its version 1.6"
    found = (what for start, what in _OTHER_FILES if beginning.lstrip().startswith(start))
    return next(found, f"something that begins with {beginning[:12]!r}")


class _Guard(io.RawIOBase):
    """A file of which no more than `most` bytes are read at once."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self.most = file, most
        self.size = file.seek(0, os.SEEK_END)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self.most:
            raise CheckpointError(f"its table of contents is larger than {self.most} bytes")
        return self._file.read(wanted)


class Archive:
    """The zip archive of a checkpoint, as `torch.save` writes it: nothing in it is compressed."""

    _DAMAGED = (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,  # zipfile's word for a compression or a version it does not know
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
        struct.error,
    )

    def __init__(self, file: BinaryIO) -> None:
        guard = _Guard(file, LARGEST_DIRECTORY)
        self._size = guard.size
        self._check_beginning(file)
        try:
            self._zip = zipfile.ZipFile(guard)
        except CheckpointError:
            raise
        except self._DAMAGED as error:
            raise CheckpointError(f"cut short or damaged: {error}") from error
        guard.most = self._size
        self._entries = self._checked_entries()
        self._storages: dict[tuple[str, torch.dtype], torch.Tensor] = {}
        order = self._text("byteorder") or "little"
        if order != sys.byteorder:
            raise CheckpointError(f"its numbers are {order}-endian, this machine {sys.byteorder}")
        self.version = self._text("version")

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of an entry, refusing more than `most`."""
        if (info := self._entries.get(name)) is None:
            raise CheckpointError(f"damaged: there is no {short(name)} in the archive")
        if info.file_size > most:
            raise CheckpointError(f"its {name} has {info.file_size} bytes, expected up to {most}")
        try:
            return self._zip.read(info)
        except self._DAMAGED as error:
            raise CheckpointError(f"damaged: {name}: {error}") from error

    def tensor(self, claim: TensorClaim) -> torch.Tensor:
        """Return a view of the stored numbers, if all that it claims to show is there."""
        numbers = self._storage(claim.key, claim.dtype, claim.n_stored)
        extent = [(n - 1) * step for n, step in zip(claim.size, claim.stride, strict=True)]
        n_shown = math.prod(claim.size)
        if n_shown > len(numbers) or (n_shown and claim.offset + sum(extent) >= len(numbers)):
            raise CheckpointError(
                f"a tensor of shape {short(claim.size)} does not fit the {len(numbers)} numbers "
                "stored for it"
            )
        if not n_shown:
            return torch.empty(claim.size, dtype=claim.dtype)
        return numbers.as_strided(claim.size, claim.stride, claim.offset)

    def _storage(self, key: str, dtype: torch.dtype, n_stored: int) -> torch.Tensor:
        name, n_bytes = f"data/{key}", n_stored * dtype.itemsize
        if (info := self._entries.get(name)) is not None and info.file_size < n_bytes:
            raise CheckpointError(
                f"{name}: {n_bytes} bytes are declared, only {info.file_size} are there"
            )
        if (key, dtype) not in self._storages:
            raw = bytearray(self.read(name, self._size))
            del raw[n_bytes:]
            if not raw:
                numbers = torch.empty(0, dtype=dtype)
            elif dtype is torch.bool:  # a byte that is neither 0 nor 1 is no valid boolean
                numbers = torch.frombuffer(raw, dtype=torch.uint8) != 0
            else:
                numbers = torch.frombuffer(raw, dtype=dtype)
            self._storages[key, dtype] = numbers
        return self._storages[key, dtype][:n_stored]

    def _text(self, name: str) -> str:
        if name not in self._entries:
            return ""
        return self.read(name, 64).decode("ascii", errors="replace").strip()

    def _check_beginning(self, file: BinaryIO) -> None:
        if not self._size:
            raise CheckpointError("an empty file, expected a checkpoint")
        if self._size > LARGEST_FILE:
            raise CheckpointError(f"{self._size} bytes, expected up to {LARGEST_FILE}")
        file.seek(0)
        beginning = file.read(512)
        if beginning.startswith(b"PK\x03\x04"):
            return
        raise CheckpointError(
            f"no checkpoint, which begins as a zip archive; this is {_kind_of_file(beginning)}"
        )

    def _checked_entries(self) -> dict[str, zipfile.ZipInfo]:
        """Return the entries by name within the archive's one folder."""
        infos = self._zip.infolist()
        names = [info.orig_filename for info in infos]
        for name in names:
            if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                raise UnsafeCheckpointError(f"refused: {short(name)} is a path that climbs out")
        roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1 or "/" in roots[0]:
            raise CheckpointError(
                f"a zip archive, but no checkpoint: it holds {some_of(map(short, names))}; if a "
                "checkpoint is packed inside, unpack it first"
            )
        entries: dict[str, zipfile.ZipInfo] = {}
        for name, info in zip(names, infos, strict=True):
            inner = name.removeprefix(roots[0] + "/")
            if inner in entries or not re.fullmatch(
                r"data\.pkl|version|byteorder|data/[0-9]+|\.[ -~]+", inner
            ):
                raise CheckpointError(f"refused: {short(name)} is no part of a checkpoint")
            if info.flag_bits & 1:
                raise CheckpointError(f"refused: {short(name)} is encrypted")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise CheckpointError(f"refused: {short(name)} is compressed, torch does not")
            entries[inner] = info
        if sum(info.file_size for info in infos) > self._size:
            raise CheckpointError("refused: its entries claim more bytes than the file has")
        return entries
