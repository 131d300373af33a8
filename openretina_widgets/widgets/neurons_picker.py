"""Choose several neurons for all widgets that share a selection."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as ipw

from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.selection import Selection

_LONGEST_LIST = 500  # rows that a browser shows without delay; typing finds the others
_STYLE = {"description_width": "62px"}


class NeuronsPicker(Composition):
    """A list in which several neurons are chosen, of a session; typing shortens it.

    Parameters
    ----------
    selection
        What is chosen; others may change it too, and the list follows.
    """

    def __init__(self, selection: Selection) -> None:
        wide = ipw.Layout(width="auto", min_width="0")
        self._session = ipw.Dropdown(description="Session", layout=wide, style=_STYLE)
        self._find = ipw.Text(
            description="Find", placeholder="number or type, e.g. ON", layout=wide, style=_STYLE
        )
        self._list = ipw.SelectMultiple(
            description="Neurons",
            tooltip="Ctrl or Shift and a click choose several",
            rows=7,
            layout=ipw.Layout(width="auto", min_width="0", height="150px"),
            style=_STYLE,
        )
        self._note = ipw.HTML(layout=ipw.Layout(width="auto"))
        super().__init__((self._session, self._find, self._list, self._note))
        self.add_class("orw-neurons")
        self.selection = selection
        self._drawing = False
        self._draw()
        self._session.observe(self._session_chosen, "value")
        self._find.observe(lambda _: self._draw(), "value")
        self._list.observe(self._rows_chosen, "value")
        selection.observe(self._draw, ["model", "data_key", "neurons"])

    def close(self) -> None:
        """Close the widget; the selection stays."""
        if self.comm is not None:
            self.selection.unobserve(self._draw, ["model", "data_key", "neurons"])
        super().close()

    def _session_chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.selection.choose(0, data_key=change["new"])

    def _rows_chosen(self, change: Any) -> None:
        if self._drawing:
            return
        if not change["new"]:
            self._draw()  # at least one stays chosen
            return
        kept = [n for n in self.selection.neurons if n in change["new"]]
        self.selection.choose([*kept, *(n for n in change["new"] if n not in kept)])

    def _draw(self, _: Any = None) -> None:
        """Make the list show the selection; what it reports meanwhile is not a choice."""
        if self._drawing:
            return
        self._drawing = True
        try:
            self._fill()
        finally:
            self._drawing = False

    def _fill(self) -> None:
        chosen = self.selection
        model = chosen.model
        sessions = tuple((f"{s} · {model.n_neurons(s)} neurons", s) for s in model.sessions)
        if self._session.options != sessions:
            self._session.options = sessions
        self._session.value = chosen.data_key
        self._session.disabled = len(sessions) == 1
        words = self._find.value.lower().split()
        known = model.neurons(chosen.data_key)
        found = [n for n in known if all(word in n.label.lower() for word in words)]
        rows = tuple((n.label, n.index) for n in found[:_LONGEST_LIST])
        with self._list.hold_sync():
            if self._list.options != rows:
                self._list.options = rows
            listed = {index for _, index in rows}
            self._list.value = tuple(n for n in chosen.neurons if n in listed)
        self._note.value = f'<div class="orw-note">{self._in_words(len(found))}</div>'

    def _in_words(self, found: int) -> str:
        if not found:
            return "No neuron matches: clear what you typed to see all."
        labels = self.selection.labels
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        text = f"Shown: <b>{html.escape(', '.join(labels[:3]))}</b>{more}."
        if found > _LONGEST_LIST:
            text += f" {found - _LONGEST_LIST} more match: type to find them."
        return text + " Ctrl or Shift and a click choose several."
