"""Reads measured points from arrays and files."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Names of the two columns, in order of preference; the last pair is that of digitised figures.
_NAMES = (("x", "y"), ("value", "response"), ("Xdata", "Ydata"))


def read_points(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return measured points: what was varied, and the responses.

    Parameters
    ----------
    source
        ``(x, y)``; an array ``(point, 2)``; a mapping; or the path of a file: ``.npz`` with two
        arrays, ``.csv`` with two columns, with or without a line of names. Of named arrays or
        columns ``x, y``, ``value, response`` and ``Xdata, Ydata`` are known; two that are called
        otherwise are taken in their order.

    Returns
    -------
    tuple of numpy.ndarray
        Both ``(point,)``, float64, by ascending x; points with a NaN are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there are no two columns of numbers of equal length.
    """
    x, y, _ = points_of(source)
    return x, y


def points_of(source: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what `read_points` does, and how many points were left out for want of a number."""
    where = "measured"
    if isinstance(source, str | os.PathLike):
        x, y = _from_file(Path(source))
        where = str(source)
    elif isinstance(source, Mapping):
        x, y = _two_of(dict(source), "measured")
    else:
        x, y = _from_arrays(source)
    x, y = (_numbers(values, where) for values in (x, y))
    if x.shape != y.shape:
        raise ValueError(
            f"measured: expected as many responses as values, got {len(y)} and {len(x)}"
        )
    if np.isinf(x).any() or np.isinf(y).any():
        raise ValueError(f"{where}: expected finite numbers, or NaN where there is none, got inf")
    known = ~np.isnan(x) & ~np.isnan(y)
    order = np.argsort(x[known], kind="stable")
    return x[known][order], y[known][order], int((~known).sum())


def _from_arrays(source: Any) -> tuple[Any, Any]:
    if isinstance(source, tuple | list) and len(source) == 2:
        return source[0], source[1]
    try:
        table = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"measured: expected (x, y), an array (point, 2), or a file, got {source!r}"
        ) from error
    if table.ndim == 0:
        raise ValueError(
            f"measured: expected (x, y), an array (point, 2), or a file, got {source!r}"
        )
    if table.ndim != 2 or table.shape[1] != 2:
        raise ValueError(f"measured: expected an array (point, 2), got shape {table.shape}")
    return table[:, 0], table[:, 1]


def _from_file(path: Path) -> tuple[Any, Any]:
    if path.suffix.lower() == ".npz":
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        # numpy answers with TypeError to a single array (.npy), ValueError to pickled objects.
        except (zipfile.BadZipFile, EOFError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no .npz file of arrays of numbers") from error
        return _two_of(arrays, str(path))
    if path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as text:
                rows = [row for row in csv.reader(text) if any(cell.strip() for cell in row)]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path}: is no .csv file of text in UTF-8") from error
        return _columns(rows, path)
    raise ValueError(f"measured: expected a .npz or .csv file, got {str(path)!r}")


def _columns(rows: list[list[str]], path: Path) -> tuple[Any, Any]:
    if not rows:
        raise ValueError(f"{path}: holds no points")
    names = None if _is_number(rows[0][0]) else [name.strip() for name in rows[0]]
    body = rows[1:] if names else rows
    width = len(rows[0])
    for number, row in enumerate(body, start=2 if names else 1):
        if len(row) != width:
            raise ValueError(f"{path}, line {number}: expected {width} columns, got {len(row)}")
        for cell in row:
            if cell.strip() and not _is_number(cell) and width == 2:
                raise ValueError(f"{path}, line {number}: expected a number, got {cell!r}")
    columns = {
        name: [row[index] for row in body]
        for index, name in enumerate(names or map(str, range(width)))
    }
    return _two_of(columns, str(path))


def _two_of(arrays: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    for x, y in _NAMES:
        if x in arrays and y in arrays:
            return arrays[x], arrays[y]
    if len(arrays) == 2:
        first, second = arrays.values()
        return first, second
    raise ValueError(
        f"{where}: expected two arrays or columns, such as x and y, got {len(arrays)}, named "
        f"{', '.join(map(repr, arrays))}"
    )


def _numbers(values: Any, where: str) -> np.ndarray:
    try:
        # Of a file, an empty cell is a missing number.
        values = [cell or "nan" for cell in values] if _is_texts(values, where) else values
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError(f"{where}: expected numbers, got {values!r}"[:200]) from None


def _is_texts(values: Any, where: str) -> bool:
    return where != "measured" and isinstance(values, list)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
