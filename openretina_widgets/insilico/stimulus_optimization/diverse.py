"""Several stimuli that a neuron likes, as different from each other as may be."""

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
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model


@dataclass(frozen=True)
class DiverseObjective(OneNeuronEach):
    """Sets of stimuli: the elements of a set share a neuron and keep apart from each other.

    The elements of a set are not independent. They share one score, the mean over the set of
    response less weighted similarity, so that all of them have their best stimulus in the same
    iteration and end together. Sets are independent of each other. An element whose gradient is
    not finite leaves alone, and the rest of its set goes on without it.

    Attributes
    ----------
    neurons
        Neuron of each element of the batch.
    sets
        Number of the set of each element.
    similarity_weight
        Of an element's similarity, which is the mean over the others of its set of the cosine
        between the two stimuli where it is positive.
    frames
        First response frame that counts and the frame after the last.
    """

    model: RetinaModel
    neurons: tuple[int, ...]
    sets: tuple[int, ...]
    similarity_weight: float
    data_key: str
    frames: Window
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = True

    @cached_property
    @torch.inference_mode(False)  # kept for calls that take gradients
    def _members(self) -> torch.Tensor:
        """``(element, member)``: the elements of each element's set, itself where it has fewer."""
        members = [[j for j, one in enumerate(self.sets) if one == own] for own in self.sets]
        most = max(map(len, members))
        padded = [one + [i] * (most - len(one)) for i, one in enumerate(members)]
        return torch.tensor(padded, device=self.model.device)

    @cached_property
    @torch.inference_mode(False)
    def _counted(self) -> torch.Tensor:
        """``(element, member)``: whether it is a member, and not only fills the row."""
        sizes = [self.sets.count(own) for own in self.sets]
        places = torch.arange(self._members.shape[1])
        return (places < torch.tensor(sizes)[:, None]).to(self.model.device)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        response = self.model(stimulus, data_key=self.data_key)
        own = self._own(response)
        start, stop = self.frames
        alone = own[:, start:stop].mean(dim=1) - self.similarity_weight * self._similarity(stimulus)
        size = self._counted.sum(dim=1)
        each = torch.where(self._counted, alone[self._members], 0.0)
        return Evaluation(each.sum(dim=1) / size, own.detach())

    def _similarity(self, stimulus: torch.Tensor) -> torch.Tensor:
        flat = stimulus.flatten(1)
        length = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
        flat = flat / length.clamp(min=torch.finfo(flat.dtype).tiny)
        cosine = torch.einsum("bn,bmn->bm", flat, flat[self._members]).clamp(min=0)
        rows = torch.arange(len(flat), device=flat.device)[:, None]
        others = self._counted & (self._members != rows)
        return torch.where(others, cosine, 0.0).sum(dim=1) / others.sum(dim=1).clamp(min=1)

    def keep(self, elements: Sequence[int]) -> DiverseObjective:
        """Return the same objective for some elements of the batch."""
        return replace(
            self,
            neurons=tuple(self.neurons[element] for element in elements),
            sets=tuple(self.sets[element] for element in elements),
        )


def diverse_stimuli(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int, **settings: Any
) -> OptimizationResult:
    """Find a set of stimuli for each neuron that drive it and differ from each other.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.diverse_steps`: ``count``,
    ``similarity_weight``, ``seed`` (one), ``data_key``, and what
    `openretina_widgets.optimize_neurons` lists, from ``time_steps`` on. The elements of the result
    are the first neuron's set, then the second's.
    """
    check_settings("diverse_stimuli", settings, diverse_steps, seeded)
    return drain(diverse_steps(model, neurons, **settings))


def diverse_steps(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int,
    *,
    count: int = 4,
    similarity_weight: float = 1.0,
    seed: int = 0,
    data_key: str | None = None,
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One neuron or several of the session, a set for each.
    count
        Stimuli of a set, at least 2.
    similarity_weight
        What a similarity of 1 costs, in the unit of the response; see `DiverseObjective`.
    seed
        Of the first stimulus' start; the others of the set have the seeds that follow.
    data_key
        Session, the first one for None.
    **settings
        ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Returns
    -------
    generator
        See `optimization_steps`. In the result, ``score`` is that of the set, the same for all of
        its elements, and ``response`` is that of each.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("diverse_steps", settings, diverse_steps, seeded)
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = face.check_neurons(neurons, session)
    for name, value, least in (("count", count, 2), ("seed", seed, 0)):
        if not is_index(value) or value < least:
            raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
    number = check_not_negative(similarity_weight, "similarity_weight")

    def objective_of(seeds: int, frames: Window) -> DiverseObjective:
        each = tuple(neuron for neuron in chosen for _ in range(seeds))
        sets = tuple(place for place in range(len(chosen)) for _ in range(seeds))
        return DiverseObjective(face, each, sets, number, session, frames)

    seeds = range(int(seed), int(seed) + int(count))
    return seeded(face, objective_of, len(chosen), seed=seeds, **settings).steps()
