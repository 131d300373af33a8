"""Groups of neurons: by name, by cell type, as found by clustering; and what drives each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import nn

from openretina_widgets.insilico.stimulus_optimization.neurons import Direction, check_direction
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    OverWindow,
    Window,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Groups = Mapping[str, Sequence[int]] | Sequence[Sequence[int] | str]
"""Name to neurons, such as ``model.cell_types()`` or what `find_groups` gives, or a list of
neurons and of names of cell types."""

Named = tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]


def checked_groups(
    model: RetinaModel, session: str, groups: Any, *, least: int = 1, apart: bool = False
) -> Named:
    """Return names and neurons of groups.

    Parameters
    ----------
    groups
        See `Groups`.
    least
        How many groups are needed.
    apart
        Whether no two may have a neuron in common.

    Raises
    ------
    TypeError, ValueError
        If there are fewer, one is empty, or a neuron or a cell type does not exist.
    """
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise TypeError(
            f"groups: expected a dictionary of name to neurons, or a list of lists, got {groups!r}"
        )
    named = groups if isinstance(groups, Mapping) else _named(list(groups))
    if len(named) < least:
        needed = "two at least to tell apart" if least == 2 else "one at least"
        raise ValueError(f"groups: expected {needed}, got {len(named)}")
    members: list[tuple[int, ...]] = []
    home: dict[int, str] = {}
    for name, group in named.items():
        checked = _members(model, session, str(name), group)
        for neuron in checked if apart else ():
            if neuron in home:
                raise ValueError(
                    f"groups: neuron {neuron} is in both {home[neuron]!r} and {name!r}"
                )
            home[neuron] = str(name)
        members.append(checked)
    return tuple(str(name) for name in named), tuple(members)


def _named(groups: list[Any]) -> dict[str, Any]:
    """Return groups by name: cell types by theirs, others by their place."""
    named: dict[str, Any] = {}
    for place, group in enumerate(groups):
        name = group if isinstance(group, str) else str(place)
        if name in named:
            raise ValueError(f"groups: {name!r} was given twice")
        named[name] = group
    return named


def _members(model: RetinaModel, session: str, name: str, group: Any) -> tuple[int, ...]:
    if isinstance(group, str):
        try:
            return tuple(model.neurons_of(group, data_key=session))
        except ValueError as error:  # it says cell_type of this argument
            raise ValueError(str(error).replace("cell_type: ", "groups: ", 1)) from error
    if not isinstance(group, Iterable):
        raise TypeError(f"groups: expected the neurons of {name!r} as a list, got {group!r}")
    neurons = list(group)
    if not neurons:
        raise ValueError(f"groups: {name!r} is empty; every group needs a neuron")
    try:
        checked = model.check_neurons(neurons, session)
    except (TypeError, ValueError) as error:  # it says neurons of this argument
        words = str(error).replace("neurons: ", f"groups: {name!r}: ", 1)
        raise type(error)(words) from error
    for neuron in checked:
        if checked.count(neuron) > 1:
            raise ValueError(f"groups: neuron {neuron} is twice in {name!r}")
    return tuple(checked)


@dataclass(frozen=True)
class OneGroupEach(OverWindow):
    """What objectives have in common of which each element looks at one group of its own.

    Attributes
    ----------
    groups, names
        Neurons and name of each group.
    targets
        Place among the groups of each element of the batch.
    frames
        First response frame that counts and the frame after the last.
    """

    model: RetinaModel
    groups: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    targets: tuple[int, ...]
    data_key: str
    frames: Window
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = True

    @property
    def neurons_of_elements(self) -> tuple[tuple[int, ...], ...]:
        """The neurons that each element is to drive."""
        return tuple(self.groups[target] for target in self.targets)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that take gradients
    def _means(self) -> torch.Tensor:
        """``(neuron, group)``: what the response is multiplied by to give the groups' means."""
        means = torch.zeros(self.model.n_neurons(self.data_key), len(self.groups))
        for group, neurons in enumerate(self.groups):
            means[list(neurons), group] = 1 / len(neurons)
        return means.to(device=self.model.device, dtype=self.model.dtype)

    def keep(self, elements: Sequence[int]) -> Self:
        """Return the same objective for some elements of the batch."""
        return replace(self, targets=tuple(self.targets[element] for element in elements))


@dataclass(frozen=True)
class GroupMeanObjective(OneGroupEach):
    """One group an element: element b maximises the mean response of its own group.

    Attributes are those of `OneGroupEach`, and:

    Attributes
    ----------
    sign
        1 to increase the response, -1 to decrease it.
    """

    sign: float = 1.0

    @cached_property
    @torch.inference_mode(False)
    def _own(self) -> torch.Tensor:
        """``(element, neuron, 1)``: what each neuron's response counts for."""
        return self._means.T[list(self.targets), :, None].contiguous()

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        own = (self.model(stimulus, data_key=self.data_key) @ self._own)[..., 0]
        start, stop = self.frames
        return Evaluation(self.sign * own[:, start:stop].mean(dim=1), own.detach())


def optimize_groups(
    model: RetinaModel | nn.Module, groups: Groups | Sequence[int] | str, **settings: Any
) -> OptimizationResult:
    """Find the stimulus that drives the mean of each group of neurons.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.group_steps`: ``data_key``, ``direction``,
    and what `openretina_widgets.optimize_neurons` lists, from ``seed`` on. The elements of the
    result are the first group's seeds, then the second's.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> result = optimize_groups(model, ["ON sustained", "OFF transient"], seed=0)
    >>> result = optimize_groups(model, find_groups(model), seed=[0, 1])
    """
    check_settings("optimize_groups", settings, group_steps, seeded)
    return drain(group_steps(model, groups, **settings))


def group_steps(
    model: RetinaModel | nn.Module,
    groups: Groups | Sequence[int] | str,
    *,
    data_key: str | None = None,
    direction: Direction = "increase",
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Every pair of group and seed is an experiment of its own.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    groups
        Name to neurons of the session, such as ``model.cell_types()`` or what `find_groups` gives;
        a list of names of cell types, or of lists of neurons; one cell type, or the neurons of one
        group.
    data_key
        Session, the first one for None.
    direction
        ``"increase"`` or ``"decrease"`` of the mean.
    **settings
        ``seed``, ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Returns
    -------
    generator
        See `optimization_steps`. In the result, ``neurons`` are those of each element's group, and
        ``response`` is their mean.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. So it does where a group is empty, or
        the session has no such cell type.
    """
    check_settings("group_steps", settings, group_steps, seeded)
    check_direction(direction)
    face = as_retina_model(model)
    session = face.session(data_key)
    names, members = checked_groups(face, session, _several(groups))

    def objective_of(seeds: int, frames: Window) -> GroupMeanObjective:
        each = tuple(group for group in range(len(names)) for _ in range(seeds))
        sign = 1.0 if direction == "increase" else -1.0
        return GroupMeanObjective(face, members, names, each, session, frames, sign)

    return seeded(face, objective_of, len(names), **settings).steps()


def _several(groups: Any) -> Any:
    """Return one group as a list of one."""
    if isinstance(groups, str):
        return [groups]
    if isinstance(groups, Iterable) and not isinstance(groups, Mapping):
        several = list(groups)
        return [several] if several and all(is_index(one) for one in several) else several
    return groups
