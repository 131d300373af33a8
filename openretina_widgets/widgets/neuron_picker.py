"""Choose a session and a neuron from a list that shows what is known of each."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as ipw
import traitlets

from openretina_widgets.models.retina_model import Neuron, RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition

_LONGEST_LIST = 500  # rows that a browser shows without delay; the filter finds the others


class NeuronPicker(Composition):
    """A list of a model's neurons with their known types, to be filtered by typing.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neuron
        Neuron chosen at first.
    data_key
        Session chosen at first, the first one for None.

    Attributes
    ----------
    neuron, data_key
        The choice; may be observed and set. A session or neuron that does not exist raises
        `traitlets.TraitError`, which names the nearest that does.
    """

    neuron = traitlets.Int(0)
    data_key = traitlets.Unicode()

    def __init__(
        self, model: RetinaModel | Any, *, neuron: int = 0, data_key: str | None = None
    ) -> None:
        self._model = as_retina_model(model)
        session = self._model.session(data_key)
        (neuron,) = self._model.check_neurons(neuron, session)
        wide = ipw.Layout(width="auto", min_width="0")
        style = {"description_width": "62px"}
        self._session = ipw.Dropdown(description="Session", layout=wide, style=style)
        self._filter = ipw.Text(
            description="Find", placeholder="number or type, e.g. ON", layout=wide, style=style
        )
        self._list = ipw.Select(
            description="Neuron",
            rows=7,
            layout=ipw.Layout(width="auto", min_width="0", height="150px"),
            style=style,
        )
        self._note = ipw.HTML(layout=ipw.Layout(width="auto", height="76px", overflow="auto"))
        super().__init__((self._session, self._filter, self._list, self._note))
        self.add_class("orw-picker")
        self._drawing = False
        self._session.observe(self._session_chosen, "value")
        self._filter.observe(lambda _: self._draw(), "value")
        self._list.observe(self._row_chosen, "value")
        self.show_model(self._model, neuron=neuron, data_key=session)

    @property
    def model(self) -> RetinaModel:
        """The model whose neurons are listed."""
        return self._model

    @property
    def chosen(self) -> Neuron:
        """What is known of the chosen neuron."""
        return self._model.neurons(self.data_key)[self.neuron]

    def show_model(
        self, model: RetinaModel, *, neuron: int = 0, data_key: str | None = None
    ) -> None:
        """List the neurons of another model."""
        self._model = model
        with self.hold_trait_notifications():
            self.data_key = model.session(data_key)
            self.neuron = neuron
        self._filter.value = ""
        self._draw()

    @traitlets.validate("data_key")
    def _known_session(self, proposal: Any) -> str:
        try:
            return self._model.session(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("neuron")
    def _known_neuron(self, proposal: Any) -> int:
        try:
            return self._model.check_neurons(proposal["value"], self.data_key or None)[0]
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error

    def _session_chosen(self, change: Any) -> None:
        if self._drawing or change["new"] is None:
            return
        with self.hold_trait_notifications():
            self.data_key = change["new"]
            self.neuron = min(self.neuron, self._model.n_neurons(change["new"]) - 1)

    def _row_chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.neuron = change["new"]

    @traitlets.observe("data_key", "neuron")
    def _draw(self, _: Any = None) -> None:
        """Make the lists show the choice; what they report meanwhile is not a choice."""
        if self._drawing or not self.data_key:
            return
        self._drawing = True
        try:
            self._draw_sessions()
            self._draw_neurons()
        finally:
            self._drawing = False

    def _draw_sessions(self) -> None:
        counts = [(name, self._model.n_neurons(name)) for name in self._model.sessions]
        options = tuple((f"{name} · {n} neurons", name) for name, n in counts)
        if self._session.options != options:
            self._session.options = options
        self._session.value = self.data_key
        self._session.disabled = len(options) == 1

    def _draw_neurons(self) -> None:
        words = self._filter.value.lower().split()
        neurons = self._model.neurons(self.data_key)
        found = [n for n in neurons if all(word in n.label.lower() for word in words)]
        rows = tuple((n.label, n.index) for n in found[:_LONGEST_LIST])
        with self._list.hold_sync():
            if self._list.options != rows:
                self._list.options = rows
            listed = any(index == self.neuron for _, index in rows)
            self._list.value = self.neuron if listed else None
        self._note.value = f'<div class="orw-note">{self._words(len(found))}</div>'

    def _words(self, found: int) -> str:
        if not found:
            return "No neuron matches; clear the filter to see all."
        neuron = self.chosen
        text = f"<b>{html.escape(neuron.label)}</b>"
        if neuron.x_um is not None and neuron.y_um is not None:
            text += f" · centre {neuron.x_um:+.0f}, {neuron.y_um:+.0f} µm"
        if neuron.note:
            text += f"<br>{html.escape(neuron.note)}"
        if found > _LONGEST_LIST:
            text += f"<br>{found - _LONGEST_LIST} more match: type to find them."
        return text
