"""What is known of a neuron, and how neurons are chosen by cell type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from openretina_widgets.errors import unknown_name


@dataclass(frozen=True)
class Neuron:
    """What is known of one neuron.

    Attributes
    ----------
    index
        Position on the neuron axis of the session's response.
    cell_type
        Name of the type, ``""`` when it is not known.
    x_um, y_um
        Centre of the receptive field in µm on the retina from the middle of the image, x to the
        right and y up the screen; None when it is not known.
    note
        One sentence on what the neuron does.
    """

    index: int
    cell_type: str = ""
    x_um: float | None = None
    y_um: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """Name to show in a list, such as ``"12 · ON transient"``."""
        return f"{self.index} · {self.cell_type}" if self.cell_type else f"{self.index}"


@dataclass(frozen=True)
class ModelIdentity:
    """Which model gave a result: its name, where it came from and the hash of its weights."""

    name: str
    source: str
    weight_hash: str


def cell_types(neurons: Sequence[Neuron]) -> dict[str, list[int]]:
    """Return the indices of the neurons of each known cell type, as the types first appear."""
    found: dict[str, list[int]] = {}
    for neuron in neurons:
        if neuron.cell_type:
            found.setdefault(neuron.cell_type, []).append(neuron.index)
    return found


def of_type(neurons: Sequence[Neuron], cell_type: str) -> list[int]:
    """Return the indices of the neurons of a cell type.

    Parameters
    ----------
    neurons
        What is known of each neuron of a session.
    cell_type
        Name of a type, or whole words of it: where no type is called just ``"ON"``, it stands
        for ``"ON sustained"`` and ``"ON transient"``, and not for ``"ON-OFF"``. Capitals do not
        matter.

    Raises
    ------
    TypeError
        If `cell_type` is no text.
    ValueError
        If there is no such type, or none is known; the message names the nearest.
    """
    if not isinstance(cell_type, str):
        raise TypeError(f"cell_type: expected the name of a type, got {cell_type!r}")
    known = cell_types(neurons)
    if not known:
        raise ValueError(
            f"cell_type: {cell_type!r} was asked for, but no cell type is known of these "
            f"{len(neurons)} neurons"
        )
    wanted = _words(cell_type)
    names = [name for name in known if _words(name) == wanted]
    if not names and wanted:
        names = [name for name in known if set(wanted) <= set(_words(name))]
    if not names:
        raise ValueError(unknown_name("cell_type", cell_type, tuple(known), "cell type"))
    return sorted(index for name in names for index in known[name])


def _words(name: str) -> list[str]:
    return re.findall(r"[^\s,;()]+", name.lower())
