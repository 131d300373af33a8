"""Comparisons in a file: arrays and JSON, without pickle."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.comparison.agreement import Agreement
from openretina_widgets.insilico.tuning_analyses.experiment import plain

ComparisonT = TypeVar("ComparisonT")
_INSIDE = "agreement"


def save_comparison(comparison: Any, path: str | os.PathLike[str]) -> Path:
    """Write all that a comparison holds."""
    parts = dict(_flat(comparison))
    arrays = {name: value for name, value in parts.items() if isinstance(value, np.ndarray)}
    words = plain({name: value for name, value in parts.items() if name not in arrays})
    return write_archive(path, words={"kind": type(comparison).__name__, **words}, arrays=arrays)


def load_comparison(kind: type[ComparisonT], path: str | os.PathLike[str]) -> ComparisonT:
    """Read a comparison of a kind; see `read_archive` for what is raised."""

    def make(words: dict[str, Any], arrays: dict[str, np.ndarray]) -> ComparisonT:
        if words.pop("kind") != kind.__name__:
            raise TypeError("this is another kind of result")
        inside = _INSIDE + "."
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in words.items()
        }
        values |= arrays
        parts = {
            name.removeprefix(inside): value
            for name, value in values.items()
            if name.startswith(inside)
        }
        whole = {name: value for name, value in values.items() if not name.startswith(inside)}
        return kind(**whole, **({_INSIDE: Agreement(**parts)} if parts else {}))

    return read_archive(path, make)


def _flat(comparison: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for one in fields(comparison):
        value = getattr(comparison, one.name)
        if isinstance(value, Agreement):
            found += [(f"{one.name}.{name}", part) for name, part in _flat(value)]
        else:
            found.append((one.name, value))
    return found
