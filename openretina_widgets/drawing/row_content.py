"""Rows of a selectivity table for the browser, with a colour and a shape for each type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openretina_widgets.insilico.population import SelectivityTable

TYPE_COLUMNS = ("cell_type", "suggested_type")
_HIDDEN = ("rule",)  # a sentence: shown beside the chosen neuron, not in a cell

# Eight hues that are told apart with every kind of colour vision (Okabe & Ito 2008), the yellow
# darkened so that it reads on white. With more categories than hues the shape changes as well.
HUES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#a08a00",
    "#8c6bb1",
)
SHAPES = ("circle", "square", "triangle", "diamond")


def encode(table: SelectivityTable | None) -> dict[str, Any]:
    """Return what a page needs to show a table.

    Parameters
    ----------
    table
        None for an empty one.

    Returns
    -------
    dict
        ``columns`` in the order shown, ``neurons`` (int32), ``numbers`` (float32, column by
        column), ``codes`` (uint16, column by column: text as an index into the column's
        ``names``), ``why`` (uint16, column by column: index into ``reasons``, 0 where defined).
        The styles of a text column are pairs of colour and shape, one for each of its names; the
        two columns of cell types share theirs.
    """
    if table is None:
        return {"count": 0, "columns": [], "reasons": [""]}
    styled = _type_styles(table)
    columns: list[dict[str, Any]] = []
    numbers: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    why: list[np.ndarray] = []
    words: dict[str, int] = {"": 0}
    for column in table.columns:
        if column.name in _HIDDEN:
            continue
        shown: dict[str, Any] = {
            "name": column.name,
            "title": column.title,
            "unit": column.unit,
            "meaning": column.meaning,
            "kind": column.kind,
            "period": column.period,
        }
        values = table[column.name]
        if column.kind == "text":
            names = list(dict.fromkeys(values.tolist()))
            lookup = {name: i for i, name in enumerate(names)}
            styles = styled if column.name in TYPE_COLUMNS else _styles(names)
            shown |= {"names": names, "styles": [styles[name] for name in names]}
            shown["at"] = len(codes)
            codes.append(np.array([lookup[name] for name in values], dtype=np.uint16))
        elif column.name != "neuron":
            shown["at"] = len(numbers)
            numbers.append(values.astype(np.float32))
            reasons = table.reasons[column.name]
            for word in reasons:
                words.setdefault(word, len(words))
            why.append(np.array([words[word] for word in reasons], dtype=np.uint16))
        columns.append(shown)
    return {
        "count": len(table),
        "columns": columns,
        "reasons": list(words),
        "neurons": np.array(table.neurons, dtype=np.int32).tobytes(),
        "numbers": b"".join(array.tobytes() for array in numbers),
        "codes": b"".join(array.tobytes() for array in codes),
        "why": b"".join(array.tobytes() for array in why),
    }


def _type_styles(table: SelectivityTable) -> dict[str, tuple[str, str]]:
    """Return the style of every cell type, the same in both columns of types."""
    names: dict[str, None] = {}
    for column in table.columns:
        if column.name in TYPE_COLUMNS:
            names |= dict.fromkeys(table[column.name].tolist())
    return _styles([name for name in names if name])


def _styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    styles = {
        name: (HUES[i % len(HUES)], SHAPES[i // len(HUES) % len(SHAPES)])
        for i, name in enumerate(names)
    }
    return styles | {"": ("#8c8c8c", "circle")}
