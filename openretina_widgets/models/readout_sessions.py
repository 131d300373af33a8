"""A readout for each session, of one kind: each its own, or clones of the first session's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from openretina_widgets.errors import unknown_name
from openretina_widgets.models._parts import flag


class SessionReadouts(nn.ModuleDict):
    """A readout for each session, in the sorted order in which OpenRetina joins them.

    Raises
    ------
    ValueError
        If a session has a name that torch does not take.
    """

    def __init__(self, readouts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for session, readout in sorted(readouts.items()):
            try:
                self.add_module(session, readout)
            except KeyError as error:  # empty, with a dot, or the name of a method
                raise ValueError(
                    f"n_neurons_dict: {session!r} cannot be the name of a session: {error.args[0]}"
                ) from error

    def forward(self, features: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)`` of a session, of all of them for None."""
        if data_key is None:
            return torch.cat([readout(features) for readout in self.values()], dim=-1)
        if data_key not in self:
            raise ValueError(unknown_name("data_key", str(data_key), list(self.keys()), "session"))
        return self[data_key](features)


class ClonedReadout(nn.Module):
    """The responses of another session's neurons, scaled and shifted; OpenRetina's own name.

    Parameters
    ----------
    source
        Readout of the other session. It is shared, not copied.
    n_neurons
        Neurons of both sessions.
    """

    def __init__(self, source: nn.Module, n_neurons: int) -> None:
        super().__init__()
        self._source = source
        self.alpha = nn.Parameter(torch.ones(n_neurons))
        self.beta = nn.Parameter(torch.zeros(n_neurons))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        return self._source(features) * self.alpha + self.beta


def session_readouts(
    make: Callable[[int], nn.Module],
    n_neurons_dict: Mapping[str, int],
    *,
    clone_readout: bool = False,
) -> SessionReadouts:
    """Make a readout for each session.

    Parameters
    ----------
    make
        Makes the readout of so many neurons.
    n_neurons_dict
        Neurons of each session.
    clone_readout
        Make one for the first session, and clones of it for the others.

    Raises
    ------
    ValueError
        If a clone is to have another number of neurons than its source.
    """
    if not flag(clone_readout, "clone_readout"):
        return SessionReadouts({session: make(n) for session, n in n_neurons_dict.items()})
    (first, n_first), *others = n_neurons_dict.items()
    readouts = {first: make(n_first)}
    for session, n_neurons in others:
        if n_neurons != n_first:
            raise ValueError(
                f"clone_readout: {session!r} is a clone of {first!r}, which has {n_first} neurons; "
                f"expected as many, got {n_neurons}"
            )
        readouts[session] = ClonedReadout(readouts[first], n_first)
    return SessionReadouts(readouts)
