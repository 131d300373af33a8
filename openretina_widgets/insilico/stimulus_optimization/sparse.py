"""Sparse activation: one neuron active while the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import nn

from openretina_widgets.errors import check_not_negative
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    OneNeuronEach,
    Window,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model


@dataclass(frozen=True)
class SparseObjective(OneNeuronEach):
    """One neuron an element: its response less the weighted mean of the others.

    Attributes
    ----------
    neurons
        Neuron of each element of the batch.
    others
        Neurons that are to stay low; an element's own does not count among them.
    weight
        Of the mean of the others.
    frames
        First response frame that counts and the frame after the last.
    """

    model: RetinaModel
    neurons: tuple[int, ...]
    others: tuple[int, ...]
    weight: float
    data_key: str
    frames: Window
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = True

    @cached_property
    @torch.inference_mode(False)  # kept for calls that take gradients
    def _weights(self) -> torch.Tensor:
        """``(element, neuron)``: what each neuron's response counts for."""
        weights = torch.zeros(len(self.neurons), self.model.n_neurons(self.data_key))
        for element, own in enumerate(self.neurons):
            rest = [neuron for neuron in self.others if neuron != own]
            weights[element, rest] = -self.weight / len(rest)
            weights[element, own] = 1.0
        return weights.to(device=self.model.device, dtype=self.model.dtype)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        response = self.model(stimulus, data_key=self.data_key)
        start, stop = self.frames
        score = (response[:, start:stop].mean(dim=1) * self._weights).sum(dim=1)
        return Evaluation(score, self._own(response).detach())

    def keep(self, elements: Sequence[int]) -> SparseObjective:
        """Return the same objective for some elements of the batch."""
        return replace(self, neurons=tuple(self.neurons[element] for element in elements))


def sparse_stimuli(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int, **settings: Any
) -> OptimizationResult:
    """Find the stimulus of each neuron that drives it and leaves the others low.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.sparse_steps`: ``others``, ``weight``,
    ``data_key``, and what `openretina_widgets.optimize_neurons` lists, from ``seed`` on. The
    elements of the result are the first neuron's seeds, then the second's.
    """
    check_settings("sparse_stimuli", settings, sparse_steps, seeded)
    return drain(sparse_steps(model, neurons, **settings))


def sparse_steps(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int,
    *,
    others: Sequence[int] | None = None,
    weight: float = 1.0,
    data_key: str | None = None,
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    The score is the neuron's mean response less `weight` times the mean of the others' responses.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One neuron or several of the session.
    others
        Neurons that are to stay low; all of the session for None.
    weight
        Of their mean, at least 0.
    data_key
        Session, the first one for None.
    **settings
        ``seed``, ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("sparse_steps", settings, sparse_steps, seeded)
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = face.check_neurons(neurons, session)
    everyone = range(face.n_neurons(session))
    try:
        low = sorted(set(face.check_neurons(everyone if others is None else others, session)))
    except (TypeError, ValueError) as error:  # it says neurons of this argument
        raise type(error)(str(error).replace("neurons: ", "others: ", 1)) from error
    for neuron in chosen:
        if not set(low) - {neuron}:
            raise ValueError(f"others: expected a neuron other than {neuron}, got {low}")
    number = check_not_negative(weight, "weight")

    def objective_of(seeds: int, frames: Window) -> SparseObjective:
        each = tuple(neuron for neuron in chosen for _ in range(seeds))
        return SparseObjective(face, each, tuple(low), number, session, frames)

    return seeded(face, objective_of, len(chosen), **settings).steps()
