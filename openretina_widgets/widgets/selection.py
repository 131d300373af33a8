"""What several widgets look at together: a model, a session and neurons."""

from __future__ import annotations

from collections.abc import Sequence
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

    @traitlets.validate("neurons")
    def _check(self, proposal: Any) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.model.check_neurons(proposal["value"], self.data_key)))
