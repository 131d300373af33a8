"""What several widgets look at together: a model, a session and neurons."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from openretina_widgets.models.retina_model import RetinaModel, as_retina_model


class Selection(traitlets.HasTraits):
    """The model, the session and the neurons that linked widgets share.

    Widgets that are given the same selection follow each other: a neuron chosen in one is chosen
    in all. Several traits that change together are set with `choose` or `show_model`, so that
    nobody sees a neuron of another session.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    data_key
        Session, the first one for None.
    neurons
        Neurons chosen, the first of them leading.

    Attributes
    ----------
    model : RetinaModel
    data_key : str
    neurons : tuple of int
        At least one; may be observed.

    Raises
    ------
    ValueError
        If there is no such session or neuron; the message names the nearest.
    """

    model = traitlets.Instance(RetinaModel)
    data_key = traitlets.Unicode()
    neurons: tuple[int, ...] = traitlets.Tuple()  # type: ignore[assignment]

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        data_key: str | None = None,
        neurons: Sequence[int] | int = 0,
    ) -> None:
        face = as_retina_model(model)
        session = face.session(data_key)
        super().__init__(
            model=face,
            data_key=session,
            neurons=tuple(dict.fromkeys(face.check_neurons(neurons, session))),
        )

    @property
    def neuron(self) -> int:
        """The leading neuron."""
        return int(self.neurons[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """Index and cell type of each chosen neuron."""
        known = self.model.neurons(self.data_key)
        return tuple(known[neuron].label for neuron in self.neurons)

    def choose(self, neurons: Sequence[int] | int, *, data_key: str | None = None) -> None:
        """Choose neurons, of another session where one is named; each counts once."""
        session = self.model.session(self.data_key if data_key is None else data_key)
        chosen = tuple(dict.fromkeys(self.model.check_neurons(neurons, session)))
        with self.hold_trait_notifications():
            self.data_key, self.neurons = session, chosen

    def show_model(self, model: RetinaModel | Any) -> None:
        """Take another model, with the first neuron of its first session."""
        face = as_retina_model(model)
        with self.hold_trait_notifications():
            self.model, self.data_key, self.neurons = face, face.sessions[0], (0,)

    @traitlets.validate("data_key")
    def _known_session(self, proposal: Any) -> str:
        return self.model.session(proposal["value"])

    @traitlets.validate("neurons")
    def _check(self, proposal: Any) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.model.check_neurons(proposal["value"], self.data_key)))


def selection_for(
    model: RetinaModel | Any,
    *,
    selection: Selection | None,
    neuron: int | None = None,
    data_key: str | None = None,
) -> Selection:
    """Return the selection that a widget was given, or one of its own.

    Raises
    ------
    ValueError
        If the selection is of another model, or a neuron or session was given besides.
    """
    if selection is None:
        return Selection(model, data_key=data_key, neurons=0 if neuron is None else neuron)
    for name, value in (("neuron", neuron), ("data_key", data_key)):
        if value is not None:
            raise ValueError(f"{name}: the selection has one already; give one of the two")
    if model is not selection.model and model is not selection.model.module:
        raise ValueError("selection: expected one of the same model")
    return selection


class Following:
    """A widget's tie to a selection, which may outlive it: it keeps the widget from nothing.

    Parameters
    ----------
    selection
        What is followed.
    told
        A method of the widget, called with the change.
    names
        Traits whose changes are told.
    """

    def __init__(
        self,
        selection: Selection,
        told: Callable[[Any], None],
        names: Sequence[str] = ("model", "data_key", "neurons"),
    ) -> None:
        self._selection, self._names = selection, list(names)
        self._told = weakref.WeakMethod(told)
        self._going = True
        selection.observe(self._tell, self._names)

    def end(self) -> None:
        """Follow no more; once more does nothing."""
        if self._going:
            self._going = False
            self._selection.unobserve(self._tell, self._names)

    def _tell(self, change: Any) -> None:
        if (told := self._told()) is None:
            self.end()
        else:
            told(change)
