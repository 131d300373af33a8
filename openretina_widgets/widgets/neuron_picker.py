"""Choose a session and a neuron from a list that shows what is known of each."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as ipw
import traitlets

from openretina_widgets.errors import unknown_name
from openretina_widgets.models.retina_model import Neuron, RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition

_LONGEST_LIST = 500  # rows that a browser shows without delay; the filter finds the others


class NeuronPicker(Composition):
    """A list of a model's neurons, to be filtered by cell type and by typing.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neuron
        Neuron chosen at first.
    data_key
        Session chosen at first, the first one for None.
    cell_type
        Type of the neurons that are listed at first; ``""`` for all.

    Attributes
    ----------
    neuron, data_key
        The choice; may be observed and set. A session or neuron that does not exist raises
        `traitlets.TraitError`, which names the nearest that does.
    cell_type
        Only neurons of this type are listed, all of them for ``""``; may be observed and set, to
        the name of a type of the session. It says what is listed: the choice stays. In a session
        without this type it falls back to all.
    """

    neuron = traitlets.Int(0)
    data_key = traitlets.Unicode()
    cell_type = traitlets.Unicode()

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        neuron: int = 0,
        data_key: str | None = None,
        cell_type: str = "",
    ) -> None:
        self._model = as_retina_model(model)
        session = self._model.session(data_key)
        (neuron,) = self._model.check_neurons(neuron, session)
        wide = ipw.Layout(width="auto", min_width="0")
        style = {"description_width": "62px"}
        self._session = ipw.Dropdown(description="Session", layout=wide, style=style)
        self._type = ipw.Dropdown(description="Type", layout=wide, style=style)
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
        super().__init__((self._session, self._type, self._filter, self._list, self._note))
        self.add_class("orw-picker")
        self._drawing = False
        self._neurons_enabled = True
        self._session.observe(self._session_chosen, "value")
        self._type.observe(self._type_chosen, "value")
        self._filter.observe(self._searched, "value")
        self._list.observe(self._row_chosen, "value")
        self.show_model(self._model, neuron=neuron, data_key=session)
        self.cell_type = cell_type

    @property
    def model(self) -> RetinaModel:
        """The model whose neurons are listed."""
        return self._model

    @property
    def chosen(self) -> Neuron:
        """What is known of the chosen neuron."""
        return self._model.neurons(self.data_key)[self.neuron]

    def enable_neurons(self, enabled: bool) -> None:
        """Let a neuron be chosen, or grey the list where none counts; the session stays."""
        if enabled is not self._neurons_enabled:
            self._neurons_enabled = enabled
            self._list.disabled = self._filter.disabled = not enabled
            self._draw()

    def show_model(
        self, model: RetinaModel, *, neuron: int = 0, data_key: str | None = None
    ) -> None:
        """List the neurons of another model."""
        self._model = model
        with self.hold_trait_notifications():
            self.data_key = model.session(data_key)
            self.neuron = neuron
            self.cell_type = ""
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

    @traitlets.validate("cell_type")
    def _known_type(self, proposal: Any) -> str:
        known = tuple(self._model.cell_types(self.data_key or None))
        if (name := proposal["value"]) and name not in known:
            raise traitlets.TraitError(unknown_name("cell_type", name, known, "cell type"))
        return name

    def _session_chosen(self, change: Any) -> None:
        if self._drawing or change["new"] is None:
            return
        with self.hold_trait_notifications():
            self.data_key = change["new"]
            self.neuron = min(self.neuron, self._model.n_neurons(change["new"]) - 1)

    def _row_chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.neuron = change["new"]

    def _type_chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.cell_type = change["new"]
            self._choose_listed()

    def _searched(self, _: Any) -> None:
        self._draw()
        self._choose_listed()

    def _choose_listed(self) -> None:
        """Choose the first neuron listed, or a run would take one that is out of sight."""
        listed = [index for _, index in self._list.options]
        if listed and self.neuron not in listed:
            self.neuron = listed[0]

    @traitlets.observe("data_key", "neuron", "cell_type")
    def _draw(self, _: Any = None) -> None:
        """Make the lists show the choice; what they report meanwhile is not a choice."""
        if self._drawing or not self.data_key:
            return
        self._drawing = True
        try:
            if self.cell_type and self.cell_type not in self._model.cell_types(self.data_key):
                self.cell_type = ""
            self._draw_sessions()
            self._draw_types()
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

    def _draw_types(self) -> None:
        types = self._model.cell_types(self.data_key)
        listed = (
            (f"{name} · {len(found)} neuron{'s' if len(found) > 1 else ''}", name)
            for name, found in types.items()
        )
        options = (("all" if types else "not known", ""), *listed)
        if self._type.options != options:
            self._type.options = options
        self._type.value = self.cell_type
        self._type.disabled = not types or not self._neurons_enabled

    def _draw_neurons(self) -> None:
        words = self._filter.value.lower().split()
        neurons = self._model.neurons(self.data_key)
        if self.cell_type:
            neurons = tuple(neuron for neuron in neurons if neuron.cell_type == self.cell_type)
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
            return "No neuron matches; clear the filter, or choose another type, to see more."
        neuron = self.chosen
        text = f"<b>{html.escape(neuron.label)}</b>"
        if neuron.x_um is not None and neuron.y_um is not None:
            text += f" · centre {neuron.x_um:+.0f}, {neuron.y_um:+.0f} µm".replace("-", "−")
        if neuron.note:
            text += f"<br>{html.escape(neuron.note)}"
        if found > _LONGEST_LIST:
            text += f"<br>{found - _LONGEST_LIST} more match: type to find them."
        return text
