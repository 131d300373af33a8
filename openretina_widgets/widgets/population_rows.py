"""What a table of neurons and a scatter of them share: rows for the browser, and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from openretina_widgets.drawing.row_content import encode
from openretina_widgets.insilico.population import SelectivityTable
from openretina_widgets.widgets.canvas_widget import CanvasWidget
from openretina_widgets.widgets.selection import Following, Selection
from openretina_widgets.widgets.transport import MainLoop


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
