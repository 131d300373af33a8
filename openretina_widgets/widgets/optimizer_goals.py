"""What the optimiser seeks: the objectives, their settings, and the run that each stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ipywidgets as ipw

from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.stimulus_optimization.discriminative import (
    TEMPERATURE,
    discriminative_steps,
)
from openretina_widgets.insilico.stimulus_optimization.diverse import diverse_steps
from openretina_widgets.insilico.stimulus_optimization.function_objective import (
    function_steps,
    name_of,
    takes_response,
)
from openretina_widgets.insilico.stimulus_optimization.groups import group_steps
from openretina_widgets.insilico.stimulus_optimization.layer_objective import layer_steps
from openretina_widgets.insilico.stimulus_optimization.neurons import neuron_steps
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps
from openretina_widgets.insilico.stimulus_optimization.sparse import sparse_steps
from openretina_widgets.models.layers import find_layer, list_layers
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.neuron_picker import NeuronPicker
from openretina_widgets.widgets.settings_fields import (
    FULL,
    STYLE,
    choice,
    neurons_in,
    number,
    shown,
    titled,
    whole,
    words,
)

Objective = str | Callable[..., Any]

_GOALS = {
    "increase": "most exciting",
    "decrease": "most depressing",
    "neurons": "best for several neurons",
    "type": "best for a cell type",
    "groups": "telling groups apart",
    "diverse": "one of a diverse set",
    "sparse": "for this neuron alone",
    "layer": "best for an inner channel",
}
_OWN = "own"
_NO_LAYER = "none in this model"
_FIELDS = {
    "neurons": ("neurons", "direction"),
    "type": ("type", "direction"),
    "groups": ("groups", "temperature"),
    "diverse": ("count", "similarity"),
    "sparse": ("weight",),
    "layer": ("layer", "channel", "place", "direction"),
}
_DIRECTIONS = (("increase", "increase"), ("decrease", "decrease"))
_PLACES = (("mean over the frame", "mean"), ("middle of the frame", "middle"))


@dataclass(frozen=True)
class Planned:
    """A run that has been checked and has not begun.

    Attributes
    ----------
    steps
        The steps.
    doing
        What it does, in words.
    subjects
        What each experiment is the stimulus of; every seed of the first, then of the second.
    seeds
        Seeds of each experiment; one where the elements do not differ by their seed alone.
    lag
        Frames of the stimulus less frames of the response that is shown.
    window
        Response frames that count, None where they are not to be shown.
    objective
        What is sought, as a difference between two runs says it.
    is_set
        Whether the experiments are one diverse set.
    """

    steps: Steps
    doing: str
    subjects: tuple[str, ...]
    seeds: tuple[int, ...]
    lag: int
    window: tuple[int, int] | None
    objective: str
    is_set: bool = False

    @property
    def elements(self) -> int:
        """Number of experiments in the batch."""
        return len(self.subjects) * len(self.seeds)

    def labels(self) -> list[str]:
        """Return a name for each element, by what tells it from the others."""
        several = len(self.seeds) > 1
        return [
            (", " if len(self.subjects) > 1 and several else "").join(
                [subject if len(self.subjects) > 1 else "", f"seed {seed}" if several else ""]
            )
            for subject in self.subjects
            for seed in self.seeds
        ]

    def of(self, element: int) -> str:
        """Return what the stimulus of an element is, in words."""
        subject = self.subjects[element // len(self.seeds)]
        return subject + (
            f", seed {self.seeds[element % len(self.seeds)]}" if len(self.seeds) > 1 else ""
        )


class GoalSettings(ipw.VBox):
    """The objective, with the settings that belong to it and no others."""

    def __init__(self, *, objective: Objective | None, direction: str) -> None:
        self._own: Callable[..., Any] | None = None
        chosen = direction
        if isinstance(objective, str):
            if objective not in _GOALS:
                raise ValueError(unknown_name("objective", objective, [*_GOALS], "objective"))
            chosen = objective
        elif objective is not None:
            if not callable(objective) and not hasattr(objective, "forward"):
                raise TypeError(
                    "objective: expected the name of an objective, a function, or an object with "
                    f"forward(stimulus), got {objective!r}"
                )
            self._own, chosen = objective, _OWN
        elif direction not in ("increase", "decrease"):
            raise ValueError(f"direction: expected 'increase' or 'decrease', got {direction!r}")
        options = [(label, name) for name, label in _GOALS.items()]
        if self._own is not None:
            options.append((f"best for {name_of(self._own)}", _OWN))
        self.goal = choice(
            "Stimulus that is",
            "The mean response within the window counts, unless it is said otherwise",
            options,
            value=chosen,
        )
        self._made: list[ipw.Widget] = [self.goal]
        self._callback: Callable[[], None] = lambda: None
        super().__init__((self.goal,), layout=ipw.Layout(width="auto"))
        self.goal.observe(lambda _: self._fit(), "value")
        self.goal.observe(lambda _: self._callback(), "value")

    # Each is made when it is first wanted: most people never want most of them.

    @cached_property
    def neurons(self) -> ipw.Text:
        """Neurons whose mean counts."""
        field = words("Neurons", "Their mean response counts", placeholder="3, 7, 9-12")
        return self._new(field)

    @cached_property
    def type(self) -> ipw.Dropdown:
        """Cell type whose mean counts."""
        return self._new(choice("Cell type", "The mean response of its neurons counts", []))

    @cached_property
    def groups(self) -> ipw.Textarea:
        """Groups to be told apart, one a line."""
        return self._new(
            ipw.Textarea(
                **titled("Groups", "One a line: a cell type, or neurons such as 3, 7, 9-12"),
                placeholder="one a line: a cell type, or neurons such as 0, 3-5",
                continuous_update=False,
                rows=3,
                layout=ipw.Layout(**FULL),
                style=STYLE,
            )
        )

    @cached_property
    def temperature(self) -> Any:
        """Of the groups' score."""
        tooltip = "In the unit of the response; beyond it the score saturates"
        return self._new(number("Temperature", tooltip, value=TEMPERATURE))

    @cached_property
    def count(self) -> Any:
        """Stimuli of a diverse set."""
        return self._new(whole("Stimuli", "Of the set, at least 2", low=2, value=4))

    @cached_property
    def similarity(self) -> Any:
        """Weight of the similarity in a diverse set."""
        tooltip = (
            "Taken off the score of a stimulus that equals the others (mean cosine 1), in the unit "
            "of the response (a.u.); 0: nothing"
        )
        return self._new(number("Similarity costs", tooltip, value=1.0))

    @cached_property
    def weight(self) -> Any:
        """Weight of the other neurons."""
        tooltip = (
            "Weight, without unit, of the mean response of all other neurons, which is taken off "
            "that of this one; 0: they do not count"
        )
        return self._new(number("Others count", tooltip, value=1.0))

    @cached_property
    def layer(self) -> ipw.Dropdown:
        """Name of an inner layer."""
        return self._new(choice("Layer", "An inner layer of the model, and what it gives", []))

    @cached_property
    def channel(self) -> Any:
        """Channel of the layer."""
        return self._new(whole("Channel", "Of the layer, from 0", low=0))

    @cached_property
    def place(self) -> ipw.Dropdown:
        """Where in the layer's frame."""
        return self._new(choice("Place", "Where in the layer's frame", _PLACES))

    @cached_property
    def direction(self) -> ipw.Dropdown:
        """Whether the response is to rise."""
        return self._new(choice("Response", "To be increased or decreased", _DIRECTIONS))

    def _new(self, field: Any) -> Any:
        field.observe(lambda _: self._callback(), "value")
        self._made.append(field)
        self.children = (*self._made,)
        return field

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back when any setting has changed."""
        self._callback = callback

    def show_model(self, model: RetinaModel, data_key: str | None = None) -> None:
        """Offer the cell types and the layers of a model."""
        self._model, self._session = model, data_key
        self._offered: set[str] = set()  # objectives whose lists are those of this session
        self._fit()

    def show_session(self, data_key: str | None) -> None:
        """Offer the cell types of a session."""
        self._session = data_key
        self._offered -= {"neurons", "type", "groups"}
        self._fit()

    def _offer(self, goal: str) -> None:
        """Fill the lists of an objective, when it is first chosen for a session."""
        if goal in self._offered:
            return
        self._offered.add(goal)
        types = self._model.cell_types(self._session)
        if goal == "neurons":
            self.neurons.value = ", ".join(map(str, next(iter(types.values()), [0])[:3]))
        elif goal == "type":
            self.type.options = [(f"{name} · {len(found)}", name) for name, found in types.items()]
            self.type.value = next(iter(types), None)
        elif goal == "groups":
            self.groups.value = "\n".join([*types][:2])
        elif goal == "layer":
            layers = list_layers(self._model)
            self.layer.options = [
                (f"{one.name} · {' × '.join(map(str, one.shape))}", one.name) for one in layers
            ] or [(_NO_LAYER, "")]
            self.layer.value = next(iter(layers.names), "")
            for field in (self.layer, self.channel, self.place):
                field.disabled = not layers.names

    @property
    def is_of_one_neuron(self) -> bool:
        """Whether the neuron that is chosen in the list counts."""
        return self.goal.value in ("increase", "decrease", "diverse", "sparse")

    @property
    def is_costly_to_check(self) -> bool:
        """Whether a check asks the model, or a function of one's own."""
        return self.goal.value in ("layer", _OWN)

    @property
    def hint(self) -> str:
        """What is needed for the objective, in words."""
        needed = {
            "neurons": "Write the neurons whose mean counts and press Optimise.",
            "type": "Choose a cell type and press Optimise.",
            "groups": "Write two groups or more, one a line, and press Optimise.",
            "layer": "Choose a layer and a channel of it and press Optimise.",
            _OWN: "Press Optimise: the function says what counts.",
        }
        return needed.get(str(self.goal.value), "Choose a neuron and press Optimise.")

    @property
    def is_window_of_response(self) -> bool:
        """Whether the window counts: not for a layer, nor for a function of the stimulus."""
        own = self.goal.value == _OWN and not takes_response(self._own)
        return bool(self.goal.value != "layer" and not own)

    def planned(
        self,
        model: RetinaModel,
        picker: NeuronPicker,
        seeds: Sequence[int],
        settings: dict[str, Any],
    ) -> Planned:
        """Check everything, and return the run.

        Raises
        ------
        TypeError, ValueError
            If something does not fit; the message names it.
        """
        session, label = picker.data_key, f"neuron {picker.chosen.label}"
        neuron, goal = picker.neuron, self.goal.value
        direction = settings.pop("direction")
        shared = {"data_key": session, "seed": list(seeds), **settings}
        window = settings["window"]
        up = "Increasing" if direction == "increase" else "Decreasing"

        def plan(
            steps: Steps, doing: str, *subjects: str, objective: str = "", **other: Any
        ) -> Planned:
            values = {"lag": model.lag, "window": window, "seeds": tuple(seeds), **other}
            return Planned(steps, doing, subjects, objective=objective or subjects[0], **values)

        if goal in ("increase", "decrease"):
            steps = neuron_steps(model, neuron, direction=direction, **shared)
            return plan(
                steps,
                f"{up} the response of {label}",
                f"the best stimulus of {label}",
                objective=f"{_GOALS[goal]}, {label}",
            )
        if goal in ("neurons", "type"):
            if goal == "type":
                if self.type.value is None:
                    raise ValueError("Cell type: this session has no known cell types")
                chosen = model.cell_types(session)[self.type.value]
                whose = f"{len(chosen)} {self.type.value} neurons"
            else:
                chosen = neurons_in(self.neurons.value, "Neurons")
                whose = f"neurons {self.neurons.value.strip()}"
            steps = group_steps(model, chosen, direction=direction, **shared)
            return plan(
                steps,
                f"{up} the mean response of {whose}",
                f"the best stimulus of {whose}",
                objective=f"{direction} the mean of {whose}",
            )
        if goal == "groups":
            groups = self._named_groups(session)
            tau = self.temperature.value
            steps = discriminative_steps(model, groups, temperature=tau, **shared)
            return plan(
                steps,
                f"Telling {len(groups)} groups apart",
                *(f"the most discriminative stimulus of {name}" for name in groups),
                objective=f"telling apart {' and '.join(groups)} (temperature {tau:g})",
            )
        if goal == "diverse":
            count, weight = self.count.value, self.similarity.value
            shared["seed"] = seeds[0]
            steps = diverse_steps(model, neuron, count=count, similarity_weight=weight, **shared)
            return plan(
                steps,
                f"Seeking {count} different stimuli of {label}",
                *(f"stimulus {k + 1} of {count} that drive {label}" for k in range(count)),
                objective=f"{count} different stimuli of {label} (similarity costs {weight:g})",
                seeds=(seeds[0],),
                is_set=True,
            )
        if goal == "sparse":
            weight = self.weight.value
            steps = sparse_steps(model, neuron, weight=weight, **shared)
            return plan(
                steps,
                f"Increasing the response of {label} and holding all others low",
                f"the stimulus that drives {label} alone",
                objective=f"{label} alone (the others count {weight:g})",
            )
        if goal == "layer":
            return self._planned_layer(plan, model, direction, shared)
        name = name_of(self._own)
        counted = window if self.is_window_of_response else None
        steps = function_steps(model, self._own, **{**shared, "window": counted})  # type: ignore[arg-type]
        return plan(
            steps,
            f"Increasing {name}",
            f"the best stimulus for {name}",
            objective=name,
            window=counted,
        )

    def _planned_layer(
        self, plan: Callable[..., Planned], model: RetinaModel, direction: str, shared: Any
    ) -> Planned:
        name, channel, place = self.layer.value, self.channel.value, self.place.value
        if not name:
            raise ValueError(
                f"Layer: {self._model.name!r} has no inner layer whose channels can be told apart; "
                "a model of convolutions has, such as 'trained'. Choose another goal or model"
            )
        frames = shared["time_steps"]
        found = find_layer(list_layers(model, time_steps=frames, data_key=shared["data_key"]), name)
        settings = {**shared, "window": None}
        steps = layer_steps(
            model,
            name,
            channel,
            direction=direction,  # type: ignore[arg-type]
            place=place,
            **settings,
        )
        what = f"channel {channel} of {name}"
        return plan(
            steps,
            f"{'Increasing' if direction == 'increase' else 'Decreasing'} {what}",
            f"the best stimulus of {what}",
            objective=f"{direction} {what}, {place} of its frame",
            lag=0 if found.lag is None else found.lag,
            window=None,
        )

    def direction_of(self) -> str:
        """Return whether what is sought is to be increased or decreased."""
        goal = self.goal.value
        if goal in ("increase", "decrease"):
            return str(goal)
        return str(self.direction.value) if goal in ("neurons", "type", "layer") else "increase"

    def _named_groups(self, session: str) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        types = self._model.cell_types(session)
        for line in (line.strip() for line in self.groups.value.splitlines() if line.strip()):
            if line in groups:
                raise ValueError(f"Groups: {line!r} stands there twice")
            if line in types:
                groups[line] = types[line]
            elif line[0].isdigit():
                groups[line] = neurons_in(line, "Groups")
            else:
                try:
                    groups[line] = self._model.neurons_of(line, data_key=session)
                except ValueError as error:
                    words = str(error).removeprefix("cell_type: ")
                    raise ValueError(f"Groups: {words}") from error
        return groups

    def _fit(self) -> None:
        """Show the settings of the objective that is chosen, and no others."""
        goal = self.goal.value
        mine = [getattr(self, name) for name in _FIELDS.get(goal, ())]
        self._offer(goal)
        for field in self._made[1:]:
            shown(field, field in mine)
