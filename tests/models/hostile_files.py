"""Writes the files that an enemy would send, each doing what it says when it is opened carelessly.

`HOSTILE` holds one maker for each: ``make(path, marker)`` writes the file to `path`; one that runs
code makes the file `marker` when it succeeds.
"""

from __future__ import annotations

import io
import marshal
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tests.models.checkpoint_files import (
    HYPER_PARAMETERS,
    Calls,
    entries_of,
    model_of,
    pack,
    state_dict_of,
    text,
    with_pickle,
)

MARKUP = "<img src=x onerror=alert(1)>"


def checkpoint(path: Path, **further: Any) -> Path:
    """Write a checkpoint that is fine, but for what is added to its hyper-parameters."""
    content = {
        "state_dict": model_of().state_dict(),
        "hyper_parameters": {**HYPER_PARAMETERS, **further},
    }
    torch.save(content, path)
    return path


def shell(marker: Path) -> Calls:
    return Calls(os.system, f"touch {marker}")


def called_lambda(marker: Path) -> Calls:
    """Return what pickles as a lambda that is made and called, as richer pickles can do."""
    code = eval(f"lambda: __import__('pathlib').Path({str(marker)!r}).touch()").__code__
    function_type = Calls(getattr, Calls(import_module, "types"), "FunctionType")
    return Calls(Calls(function_type, Calls(marshal.loads, marshal.dumps(code)), {}))


def _named_lambda(path: Path, marker: Path) -> Path:
    data = b"\x80\x02}(%b}%b}%bc__main__\n<lambda>\nsu." % (
        text("state_dict"),
        text("hyper_parameters"),
        text("loss"),
    )
    return with_pickle(path, data)


def tar_of(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _tar_in_tar(path: Path, marker: Path) -> Path:
    inner = tar_of({f"../{marker.name}": b"x", "data.pkl": pickle.dumps(shell(marker))})
    path.write_bytes(tar_of({"inner.tar": inner}))
    return path


def _tar_in_archive(path: Path, marker: Path) -> Path:
    inner = tar_of({f"../{marker.name}": b"x"})
    return pack(path, {**entries_of(checkpoint(path)), f"{path.stem}/data/weights.tar": inner})


def _deflated_bomb(path: Path, _: Path) -> Path:
    entries = {"small/data.pkl": b"\x80\x02}.", "small/data/0": bytes(10**8)}
    return pack(path, entries, zipfile.ZIP_DEFLATED)


def _understated_bomb(path: Path, _: Path) -> Path:
    """Say in the table of contents that the bomb is not packed, and no larger than it looks."""
    entries = entries_of(state_dict_of(path, [25_000_000], n_stored=25_000_000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/data.pkl", entries["small/data.pkl"])
        archive.writestr("small/data/0", bytes(10**8), zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[at + 10 : at + 12] = struct.pack("<H", zipfile.ZIP_STORED)
    data[at + 24 : at + 28] = data[at + 20 : at + 24]
    path.write_bytes(data)
    return path


def _bomb_in_bomb(path: Path, _: Path) -> Path:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small/data.pkl", bytes(10**8))
    return pack(path, {"inner.ckpt": inner.getvalue()}, zipfile.ZIP_DEFLATED)


def _climbing(path: Path, marker: Path) -> Path:
    return pack(path, {**entries_of(checkpoint(path)), f"../{marker.name}": b"x"})


def _bare(path: Path, marker: Path) -> Path:
    path.write_bytes(pickle.dumps(shell(marker), protocol=0))
    return path


def _markup(path: Path, _: Path) -> Path:
    return with_pickle(path, b"\x80\x02c" + MARKUP.encode() + b"\nsystem\n.")


HOSTILE: dict[str, Callable[[Path, Path], Path]] = {
    "os.system in a reduce": lambda p, m: checkpoint(p, loss=shell(m)),
    "a lambda in the hyper-parameters": lambda p, m: checkpoint(p, loss=called_lambda(m)),
    "a lambda by name": _named_lambda,
    "a tar in a tar": _tar_in_tar,
    "a tar in the archive": _tar_in_archive,
    "10^9 elements declared": lambda p, _: state_dict_of(p, [10**9], n_stored=10**9),
    "10^9 elements out of four": lambda p, _: state_dict_of(p, [10**9], [0]),
    "a zip bomb of 100 MB": _deflated_bomb,
    "a zip bomb that understates itself": _understated_bomb,
    "a zip bomb in a zip": _bomb_in_bomb,
    "a path that climbs out": _climbing,
    "a pickle of protocol 0": _bare,
    "markup as a name": _markup,
}
RUNS_CODE = (
    "os.system in a reduce",
    "a lambda in the hyper-parameters",
    "a pickle of protocol 0",
)
"""Those that run their code when they are unpickled freely."""
