"""Results in a file: arrays and JSON in an ``.npz`` archive, without pickle."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from openretina_widgets.models.neuron import ModelIdentity

_FORMAT = 1
_DAMAGED = (EOFError, zipfile.BadZipFile, zlib.error)  # what reading a broken archive raises
Result = TypeVar("Result")


def write_archive(
    path: str | os.PathLike[str], *, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Path:
    """Write an ``.npz`` file and return its path; it appears under its name only once whole.

    Parameters
    ----------
    path
        The ending ``.npz`` is added where it is missing.
    words
        What JSON can hold.
    arrays
        By name, none of them ``"words"`` and none of Python objects.

    Raises
    ------
    TypeError
        If something among `words` is nothing that JSON can hold.
    """
    target = Path(path)
    if target.suffix != ".npz":
        target = target.with_name(target.name + ".npz")
    text = json.dumps({"format": _FORMAT, **words})
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **{"words": np.array(text), **arrays})  # type: ignore[arg-type]
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def read_archive(
    path: str | os.PathLike[str],
    make: Callable[[dict[str, Any], dict[str, np.ndarray]], Result],
    *,
    only: Collection[str] | None = None,
) -> Result:
    """Read what `write_archive` wrote.

    Parameters
    ----------
    path
        The file.
    make
        Builds the result from words and arrays; a LookupError or a TypeError in it means that
        the file holds something else.
    only
        Names of the arrays to read, None for all.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved result of this kind.
    """
    no_result = f"path: {os.fspath(path)!r} is no saved result"
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files if only is None else ["words", *only]
            arrays = {name: archive[name] for name in names}
        words: dict[str, Any] = dict(json.loads(str(arrays.pop("words"))))
    except (LookupError, ValueError, TypeError, *_DAMAGED) as error:
        raise ValueError(no_result) from error
    if (version := words.pop("format", None)) != _FORMAT:
        raise ValueError(f"path: expected format {_FORMAT} of a saved result, got {version!r}")
    try:
        return make(words, arrays)
    except (LookupError, TypeError) as error:
        raise ValueError(no_result) from error


def write_fields(path: str | os.PathLike[str], result: Any, *, kind: str) -> Path:
    """Write a dataclass whose fields are arrays, a `ModelIdentity`, and what JSON can hold.

    Parameters
    ----------
    path, result
        See `write_archive`.
    kind
        What `made_of_fields` is to ask for.
    """
    arrays: dict[str, np.ndarray] = {}
    words: dict[str, Any] = {"kind": kind}
    for name, value in ((f.name, getattr(result, f.name)) for f in fields(result)):
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            words[name] = asdict(value) if isinstance(value, ModelIdentity) else value
    return write_archive(path, words=words, arrays=arrays)


def made_of_fields(
    make: Callable[..., Result], *, kind: str, tuples: Sequence[str]
) -> Callable[[dict[str, Any], dict[str, np.ndarray]], Result]:
    """Return what makes, for `read_archive`, the dataclass that `write_fields` wrote.

    Parameters
    ----------
    make
        The class.
    kind
        As it was written; another one is no such result.
    tuples
        Fields that JSON keeps as lists; None stays None.
    """

    def made(words: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
        if words.pop("kind") != kind:
            raise TypeError("another kind of result")
        for name in tuples:
            words[name] = tuple(words[name]) if words[name] is not None else None
        words["model"] = ModelIdentity(**words["model"]) if words["model"] else None
        return make(**words, **arrays)

    return made
