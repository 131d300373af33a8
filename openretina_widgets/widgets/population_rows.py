"""What a table of neurons and a scatter of them share: rows for the browser, and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from openretina_widgets.insilico.population import SelectivityTable
from openretina_widgets.widgets.canvas_widget import CanvasWidget
from openretina_widgets.widgets.selection import Following, Selection
from openretina_widgets.widgets.transport import MainLoop

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


class PopulationView(CanvasWidget):
    """A view of a `SelectivityTable` in which neurons are selected.

    Parameters
    ----------
    table
        What is shown; None for an empty view that says what to do next.
    selection
        A selection to follow and to lead; None to select for oneself.
    height
        Height in CSS pixels.
    placeholder
        What an empty view says.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    table : SelectivityTable or None
        May be set at any time.
    selection : Selection or None
        What is shared with other widgets.
    selected : list of int
        Neurons that are selected, the first one leading; may be observed and set.
    shown : tuple of int or None
        Neurons that are listed or in colour, None for all.
    """

    _following: Following | None = None  # none yet while it is built
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    height = traitlets.Int(420).tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)
    _shown: bytes | None = traitlets.Bytes(  # type: ignore[assignment]
        None, allow_none=True
    ).tag(sync=True)  # int32 neurons

    def __init__(
        self,
        table: SelectivityTable | None = None,
        *,
        selection: Selection | None = None,
        height: int = 420,
        placeholder: str = "No neurons are measured yet.",
        layout: ipywidgets.Layout | None = None,
    ) -> None:
        if not (isinstance(height, int) and height >= 160):
            raise ValueError(f"height: expected at least 160 CSS pixels, got {height!r}")
        self._table = table
        self._main_loop = MainLoop()
        self._selection = selection
        super().__init__(
            height=height,
            placeholder=placeholder,
            _content=encode(table),
            layout=layout,
        )
        self._follow()
        self._following = None if selection is None else Following(selection, self._follow)
        self.observe(self._chosen, "selected")

    @property
    def selection(self) -> Selection | None:
        """What is shared with other widgets."""
        return self._selection

    @property
    def table(self) -> SelectivityTable | None:
        """What is shown; may be set."""
        return self._table

    @table.setter
    def table(self, table: SelectivityTable | None) -> None:
        self._table = table
        with self.hold_sync():
            self._content = encode(table)
            self._follow()

    @property
    def shown(self) -> tuple[int, ...] | None:
        """Neurons that are listed or in colour, None for all; may be set."""
        return None if self._shown is None else tuple(np.frombuffer(self._shown, np.int32).tolist())

    @shown.setter
    def shown(self, neurons: Sequence[int] | None) -> None:
        self._shown = None if neurons is None else np.array(neurons, dtype=np.int32).tobytes()

    def close(self) -> None:
        """Close the view, its layout, and its tie to the selection."""
        if self.comm is None:
            return
        if self._following is not None:
            self._following.end()
        super().close()

    def _follow(self, _: Any = None) -> None:
        """Show what the shared selection says, if it looks at the session of the table."""
        if self._selection is None:
            return
        of_table = self._table is None or self._table.data_key in (None, self._selection.data_key)
        self.selected = list(self._selection.neurons) if of_table else []

    def _chosen(self, _: Any) -> None:
        # A page may tell it on a thread of its own; those who follow send, so on the main loop.
        self._main_loop.call(self._lead)

    def _lead(self) -> None:
        selection, chosen = self._selection, tuple(self.selected)
        if selection is None or not chosen or self._table is None:
            return
        session = self._table.data_key or selection.data_key
        if (session, chosen) != (selection.data_key, selection.neurons):
            selection.choose(chosen, data_key=session)
