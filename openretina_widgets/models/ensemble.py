"""Several models that answer as one: the mean of their responses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from openretina_widgets.models.retina_model import RetinaModel


class Ensemble(nn.Module):
    """The mean response of its members, as OpenRetina's ``EnsembleModel`` gives it.

    Parameters
    ----------
    members
        Modules that take a stimulus and the name of a session.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        """Return the mean of the members' responses ``(batch, time, neuron)``."""
        responses = [member(stimulus, data_key=data_key) for member in self.members]
        return torch.stack(responses).mean(dim=0)


def ensemble_of(models: Sequence[RetinaModel], *, name: str = "ensemble") -> RetinaModel:
    """Return a model that answers with the mean response of others.

    Parameters
    ----------
    models
        The members. What is known of stimulus and neurons is taken from the first.
    name
        What the model is called.

    Raises
    ------
    ValueError
        If there is no member, or they differ in stimulus, sessions, neurons, lag or frame rate;
        the message names the first that differs, and how.
    """
    if not models:
        raise ValueError("source: an ensemble needs at least one member, got none")
    first = models[0]
    for member in models[1:]:
        for what, wanted, got in (
            ("input shape", first.input_shape, member.input_shape),
            ("sessions", first.sessions, member.sessions),
            ("lag", first.lag, member.lag),
            ("frame rate", first.frame_rate, member.frame_rate),
            *(
                (f"neurons of {session!r}", first.n_neurons(session), member.n_neurons(session))
                for session in first.sessions
                if session in member.sessions
            ),
        ):
            if got != wanted:
                raise ValueError(
                    f"source: the members of an ensemble have to agree, but the {what} of "
                    f"{member.source!r} is {got}, that of {first.source!r} is {wanted}"
                )
    return RetinaModel(
        Ensemble(models),
        input_shape=first.input_shape,
        sessions={session: first.neurons(session) for session in first.sessions},
        name=name,
        source=", ".join(model.source for model in models),
        description=f"Mean of {len(models)} models. {first.description}",
        frame_rate=first.frame_rate,
        pixel_size_um=first.pixel_size_um,
        channels=first.channels,
        stimulus_range=first.stimulus_range,
        stimulus_range_source=first.stimulus_range_source,
        stimulus_norm=first.stimulus_norm,
    ).eval()
