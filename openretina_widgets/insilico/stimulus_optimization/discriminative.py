"""What makes groups of neurons different: the most discriminative stimulus of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from openretina_widgets.errors import check_positive, unknown_name
from openretina_widgets.insilico.stimulus_optimization.groups import (
    Groups,
    OneGroupEach,
    checked_groups,
)
from openretina_widgets.insilico.stimulus_optimization.objective import Evaluation, Window
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

TEMPERATURE = 1.6  # Burg et al. 2024


def most_discriminative_stimuli(
    model: RetinaModel | nn.Module, groups: Groups, **settings: Any
) -> OptimizationResult:
    """Find the stimulus that drives each group of neurons and no other group.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.discriminative_steps`: ``data_key``,
    ``targets``, ``temperature``, and what `openretina_widgets.optimize_neurons` lists, from
    ``seed`` on. The elements of the result are the first group's seeds, then the second's.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> groups = {name: model.neurons_of(name) for name in ("ON-OFF DS 0°", "ON DS 0°")}
    >>> result = most_discriminative_stimuli(model, groups, seed=0)
    >>> result.score  # at most log 2, the number of groups
    """
    check_settings("most_discriminative_stimuli", settings, discriminative_steps, seeded)
    return drain(discriminative_steps(model, groups, **settings))


def discriminative_steps(
    model: RetinaModel | nn.Module,
    groups: Groups,
    *,
    data_key: str | None = None,
    targets: Sequence[str | int] | str | int | None = None,
    temperature: float = TEMPERATURE,
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    The score of a stimulus for group g, of K groups whose mean responses are r_1 … r_K, is
    ``r_g / τ - log(sum_k exp(r_k / τ)) + log K`` (Burg et al. 2024, "Most discriminative stimuli
    for functional cell type clustering"): 0 when all groups answer alike, and log K at most, when
    the others are silent beside it. Every pair of group and seed is an experiment of its own.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    groups
        Name to neurons of the session, such as ``model.cell_types()`` or what `find_groups` gives,
        or a list of lists of neurons or of names of cell types; two groups at least, without a
        neuron in common. The mean over a group's neurons counts, so that its size does not.
    data_key
        Session, the first one for None.
    targets
        Groups for which a stimulus is sought, by name or place; None for each.
    temperature
        τ > 0, in the unit of the response: differences far below it hardly count, and beyond it
        the score saturates at log K. A small one weighs the strongest other group, a large one the
        mean of all; of two groups it changes the score alone, not the stimulus. A quarter to a half
        of the difference to be expected is a fair value: about 0.1 for the synthetic retina, whose
        mean responses differ by 0.2 to 0.4. The default is that of Burg et al., for responses of
        some units.
    **settings
        ``seed``, ``time_steps``, ``window``, ``max_iterations``, ``patience``, ``min_delta``,
        ``norm``, ``stimulus_range``, ``rms``, ``mean_luminance``, ``learning_rate``,
        ``optimizer_init_fn``, ``precondition``, ``jitter``,
        ``parametrization``, ``regularizer`` and ``postprocessor``: see `neuron_steps`.

    Returns
    -------
    generator
        See `optimization_steps`. In the result, ``neurons`` are those of each element's group,
        and ``response`` is their mean.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("discriminative_steps", settings, discriminative_steps, seeded)
    face = as_retina_model(model)
    session = face.session(data_key)
    names, members = checked_groups(face, session, groups, least=2, apart=True)
    sought = _checked_targets(targets, names)
    tau = check_positive(temperature, "temperature")

    def objective_of(seeds: int, frames: Window) -> GroupsObjective:
        each = tuple(group for group in sought for _ in range(seeds))
        return GroupsObjective(face, members, names, each, session, frames, tau)

    return seeded(face, objective_of, len(sought), **settings).steps()


@dataclass(frozen=True)
class GroupsObjective(OneGroupEach):
    """One group an element: element b tells its own group from all others.

    Attributes are those of `OneGroupEach`, and:

    Attributes
    ----------
    temperature
        See `discriminative_steps`.
    """

    temperature: float

    @cached_property
    @torch.inference_mode(False)
    def _own(self) -> torch.Tensor:
        return torch.tensor(self.targets, device=self.model.device)[:, None]

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        means = self.model(stimulus, data_key=self.data_key) @ self._means
        start, stop = self.frames
        share = torch.log_softmax(means[:, start:stop].mean(dim=1) / self.temperature, dim=1)
        score = share.gather(1, self._own)[:, 0] + math.log(len(self.groups))
        own = self._own[:, None].expand(-1, means.shape[1], 1)
        return Evaluation(score, means.gather(2, own)[..., 0].detach())


def _checked_targets(
    targets: Sequence[str | int] | str | int | None, names: tuple[str, ...]
) -> tuple[int, ...]:
    if targets is None:
        return tuple(range(len(names)))
    asked = list(targets) if isinstance(targets, list | tuple | range) else [targets]
    if not asked:
        raise ValueError("targets: expected a group at least, got none")
    places = []
    for target in asked:
        if isinstance(target, str):
            if target not in names:
                raise ValueError(unknown_name("targets", target, names, "group"))
            places.append(names.index(target))
        elif not is_index(target):
            raise TypeError(f"targets: expected names of groups or their places, got {target!r}")
        elif not 0 <= target < len(names):
            raise ValueError(f"targets: expected places from 0 to {len(names) - 1}, got {target}")
        else:
            places.append(int(target))
    return tuple(places)
