"""A table of measured indices with one row for each neuron: sorted, asked, saved."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.population.columns import Column
from openretina_widgets.insilico.population.query import matches
from openretina_widgets.insilico.tuning_analyses.measure import within_turn
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import ModelIdentity

_KIND = "selectivity table"
_ROWS_SHOWN = 12
# Of a table with more than `_ALL_SHOWN` columns, as of the selectivity indices.
_COLUMNS_SHOWN = ("neuron", "cell_type", "suggested_type", "on_off", "transience", "dsi", "osi")
_ALL_SHOWN = 8


@dataclass(frozen=True, eq=False)
class SelectivityTable:
    """Measured indices, one row a neuron.

    Attributes
    ----------
    columns
        Name, title, unit and meaning of each column.
    values
        Name to ``(n,)``: float64, NaN where undefined, or texts as objects. The column
        ``"neuron"`` holds the neurons' indices as integers.
    reasons
        Name of a column of numbers to ``(n,)`` texts: why a number is undefined, ``""`` where it
        is defined.
    data_key
        Session.
    model
        Which model was measured.
    settings
        How: experiments and their settings, and ``"neurons"``, all that were measured together.
    seed
        Seed of every random draw.
    duration_s
        Time that the measurement took.
    versions
        Versions of the libraries.
    notes
        What a reader has to know.

    Examples
    --------
    >>> table = selectivity_table(load_model("synthetic"))
    >>> table.where("dsi > 0.4 and on_off.abs() < 0.3").sort("dsi", descending=True).neurons
    """

    columns: tuple[Column, ...]
    values: Mapping[str, NDArray[Any]]
    reasons: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    data_key: str | None = None
    model: ModelIdentity | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    duration_s: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns or self.columns[0].name != "neuron":
            raise ValueError("columns: expected the first one to be 'neuron'")
        n = len(self.values["neuron"])
        values: dict[str, NDArray[Any]] = {}
        reasons: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            if column.name not in self.values:
                raise ValueError(f"values: column {column.name!r} has none")
            given = self.values[column.name]
            kind = object if column.kind == "text" else np.float64
            array = np.array(given, dtype=np.int64 if column.name == "neuron" else kind)
            if array.shape != (n,):
                raise ValueError(
                    f"values: column {column.name!r} has shape {array.shape}, expected ({n},)"
                )
            values[column.name] = _frozen(array)
            if column.kind == "number" and column.name != "neuron":
                why = np.array(self.reasons.get(column.name, [""] * n), dtype=object)
                why = np.where(np.isnan(array), why, "")
                why[np.isnan(array) & (why == "")] = "undefined"
                reasons[column.name] = _frozen(why)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "reasons", reasons)

    # Reading ---------------------------------------------------------------------------------

    @property
    def neurons(self) -> tuple[int, ...]:
        """The neurons, row by row."""
        return tuple(self.values["neuron"].tolist())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        """Return the number of neurons."""
        return len(self.values["neuron"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the values of a column, row by row."""
        return self.values[self.column(name).name]

    def column(self, name: str) -> Column:
        """Return what is known of a column.

        Raises
        ------
        ValueError
            If there is none of that name; the message names the nearest.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ValueError(unknown_name("name", str(name), self.names, "column"))

    def row(self, neuron: int) -> dict[str, Any]:
        """Return the row of a neuron: column to value.

        Raises
        ------
        ValueError
            If the neuron is not in the table.
        """
        known = is_index(neuron)
        found = np.flatnonzero((self.values["neuron"] == neuron) & known)
        if not len(found):
            raise ValueError(f"neuron: {neuron!r} is not in this table of {len(self)} neurons")
        return {name: values[found[0]] for name, values in self.values.items()}

    def reason(self, name: str, neuron: int) -> str:
        """Return why an index of a neuron is undefined; ``""`` where it is defined."""
        self.row(neuron)
        why = self.reasons.get(self.column(name).name)
        at = np.flatnonzero(self.values["neuron"] == neuron)[0]
        return "" if why is None else str(why[at])

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as dictionaries, one a neuron."""
        lists = {name: values.tolist() for name, values in self.values.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``, indexed by neuron.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas") from error
        return pd.DataFrame(dict(self.values)).set_index("neuron")

    def to_xarray(self) -> Any:
        """Return an ``xarray.Dataset`` over neurons, units and meanings as attributes.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("to_xarray() needs xarray: pip install xarray") from error
        data = {
            column.name: (
                ("neuron",),
                self[column.name],
                {"units": column.unit, "long_name": column.title, "description": column.meaning},
            )
            for column in self.columns
            if column.name != "neuron"
        }
        return xarray.Dataset(data, coords={"neuron": np.asarray(self.neurons)})

    # Choosing --------------------------------------------------------------------------------

    def sort(self, name: str, *, descending: bool = False) -> SelectivityTable:
        """Return the rows ordered by a column; undefined numbers come last either way."""
        return self.take(order_of(self[name], descending=descending))

    def where(self, query: str) -> SelectivityTable:
        """Return the rows that meet a condition.

        Parameters
        ----------
        query
            Such as ``"dsi > 0.4 and on_off.abs() < 0.3"`` or ``"'DS' in suggested_type"``:
            comparisons of columns, numbers and texts in quotes, joined by ``and``, ``or`` and
            ``not``, with ``+ - * /``, ``abs``, ``isna`` and ``notna``. It is read and never
            executed. A comparison with an undefined number is false.

        Raises
        ------
        ValueError
            If it cannot be read; the message says what is wrong, and names the nearest column.
        """
        return self.take(np.flatnonzero(self.mask(query)))

    def mask(self, query: str) -> NDArray[np.bool_]:
        """Return ``(n,)`` whether each row meets a condition; see `where`."""
        return matches(query, self.values)

    def take(self, rows: NDArray[np.int_]) -> SelectivityTable:
        """Return some rows, in the order given."""
        return replace(
            self,
            values={name: values[rows] for name, values in self.values.items()},
            reasons={name: why[rows] for name, why in self.reasons.items()},
        )

    # Keeping ---------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path."""
        arrays: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            values = self.values[column.name]
            arrays[f"values {column.name}"] = (
                values.astype(np.str_) if column.kind == "text" else values
            )
        for name, why in self.reasons.items():
            arrays[f"reasons {name}"] = why.astype(np.str_)
        words = {
            "kind": _KIND,
            "columns": [asdict(column) for column in self.columns],
            "data_key": self.data_key,
            "model": asdict(self.model) if self.model else None,
            "settings": dict(self.settings),
            "seed": self.seed,
            "duration_s": self.duration_s,
            "versions": dict(self.versions),
            "notes": list(self.notes),
        }
        return write_archive(path, words=words, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SelectivityTable:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is no saved selectivity table.
        """
        return read_archive(path, _made)

    def __repr__(self) -> str:
        name = self.model.name if self.model else "unknown model"
        return f"SelectivityTable({len(self)} neurons, {len(self.columns)} columns, {name})"

    def _repr_html_(self) -> str:
        return f"<b>{html.escape(repr(self))}</b>{self.html_rows()}"

    def html_rows(self) -> str:
        """Return the first rows as HTML, in which everything is escaped, and the columns' names."""
        few = len(self.columns) <= _ALL_SHOWN
        shown = [column for column in self.columns if few or column.name in _COLUMNS_SHOWN]
        rows = (
            [as_text(self.values[column.name][row], column.period) for column in shown]
            for row in range(min(len(self), _ROWS_SHOWN))
        )
        more = len(self) - _ROWS_SHOWN
        rest = f"<i>and {more} more neuron{'' if more == 1 else 's'}</i>, " if more > 0 else ""
        return (
            html_table([column.label for column in shown], rows, [c.kind == "text" for c in shown])
            + f"{rest}{len(self.columns)} columns: {html.escape(', '.join(self.names))}"
        )


def _made(words: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SelectivityTable:
    if words.pop("kind") != _KIND:
        raise LookupError("another kind of result")
    columns = tuple(Column(**column) for column in words.pop("columns"))
    model = words.pop("model")
    notes = tuple(words.pop("notes"))
    return SelectivityTable(
        columns,
        {c.name: arrays[f"values {c.name}"] for c in columns},
        {
            c.name: arrays[f"reasons {c.name}"]
            for c in columns
            if c.kind == "number" and c.name != "neuron"
        },
        model=ModelIdentity(**model) if model else None,
        notes=notes,
        **words,
    )


def order_of(values: NDArray[Any], *, descending: bool = False) -> NDArray[np.int_]:
    """Return the order of rows by a column, stable; undefined numbers come last."""
    if values.dtype == object:
        _, keys = np.unique(np.array([str(v).lower() for v in values]), return_inverse=True)
    else:
        keys = values.astype(np.float64)
    order = np.argsort(-keys if descending else keys, kind="stable")
    return np.asarray(order)


def as_text(value: Any, period: int = 0) -> str:
    """Return a value as a person writes it: three digits, a dash where it is undefined.

    With the period of an angle, what rounds up to a whole turn is 0.
    """
    if isinstance(value, str):
        return value
    number = within_turn(float(value), period) if period else float(value)
    if np.isnan(number):
        return "–"
    if number == int(number) and abs(number) < 1e6:
        return f"{int(number)}".replace("-", "−")
    if 0 < abs(number) < 0.0005:
        return "0"
    return f"{number:.3g}".replace("-", "−")


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[bool]) -> str:
    """Return a table as HTML, in which everything is escaped.

    Parameters
    ----------
    head
        Of each column.
    rows
        Texts, one for each column.
    left
        Whether a column stands at the left, as words do; figures stand at the right.
    """

    def cells(tag: str, texts: Sequence[str]) -> str:
        sides = ("left" if one else "right" for one in left)
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(text)}</{tag}>'
            for text, side in zip(texts, sides, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>{body}</table>"


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
