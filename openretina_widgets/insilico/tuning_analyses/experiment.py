"""An experiment: what is varied, over which values, and the stimulus of each condition."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.tuning_analyses.axis import Axis

Condition = dict[str, Any]
Build = Callable[[Screen, Condition], ArtificialStimulus]

# Lengths and spatial frequencies have the unit of the screen, which is known once there is one.
_SPATIAL = {"diameter": "length", "width": "length", "length": "length", "speed": "speed"}
_OF_THE_SCREEN = "of the screen"
_WHOLE = {"direction": 360.0, "orientation": 180.0}  # degrees after which it is the same again


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is shown in each condition; the conditions are every combination of the axes.

    Attributes
    ----------
    name
        Such as ``"direction"``; the indices and fits are chosen by it.
    title
        What it is, in words.
    axes
        What is varied. A unit ``"of the screen"`` stands for that of the screen's lengths or
        spatial frequencies, and is filled in by `on`.
    build
        ``build(screen, condition)`` returns the stimulus of a condition: the value of each axis
        by its name, and ``"centre"`` where it is centred.
    polar
        Name of the axis that is an angle, drawn as a polar plot; None without one.
    centred
        Whether every neuron sees it on its own receptive field.
    settings
        All else that the stimuli are made from, as plain values; results carry them.

    Raises
    ------
    ValueError
        If there is no axis, a name comes twice, `polar` is no axis, or an axis of directions or
        orientations has one value only.
    """

    name: str
    title: str
    axes: tuple[Axis, ...]
    build: Build
    polar: str | None = None
    centred: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        if not self.axes:
            raise ValueError("axes: expected at least one axis, got none")
        names = [axis.name for axis in self.axes]
        if len(set(names)) < len(names):
            raise ValueError(f"axes: a name came twice in {names}")
        if self.polar is not None and self.polar not in names:
            raise ValueError(unknown_name("polar", self.polar, names, "axis"))
        if self.polar is not None and len(self.axis(self.polar)) < 2:
            only = self.axis(self.polar).values[0]
            raise ValueError(
                f"{self.polar}: one value only, {only:g}°, tells nothing of selectivity; give at "
                "least 2, better 8"
            )
        for axis in self.axes:
            if axis.name in _WHOLE and axis.unit == "°":
                _check_angles(axis, _WHOLE[axis.name])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(axis) for axis in self.axes)

    def __len__(self) -> int:
        """Return the number of conditions."""
        return int(np.prod(self.shape))

    def axis(self, name: str) -> Axis:
        """Return an axis by its name.

        Raises
        ------
        ValueError
            If there is none; the message names the nearest.
        """
        return axis_of(self.axes, name)

    def conditions(self) -> list[Condition]:
        """Return every condition, the last axis fastest."""
        names = [axis.name for axis in self.axes]
        values = itertools.product(*(axis.values.tolist() for axis in self.axes))
        return [dict(zip(names, value, strict=True)) for value in values]

    def stimulus(self, screen_or_model: Any, **condition: Any) -> ArtificialStimulus:
        """Return the stimulus of a condition.

        Parameters
        ----------
        screen_or_model
            Where it is shown.
        condition
            The value of each axis, which may lie between those of the sweep; the first one of an
            axis where it is left out. ``centre=(x, y)`` where the experiment is centred, the
            middle of the screen where it is left out.

        Raises
        ------
        ValueError
            If there is no such axis, the builder refuses the value, or its movie does not have
            the shape of the screen.
        TypeError
            If the builder makes no stimulus.
        """
        known = [axis.name for axis in self.axes] + ["centre"] * self.centred
        for name in condition:
            if name not in known:
                raise ValueError(unknown_name("condition", name, known, "axis"))
        chosen: Condition = {axis.name: float(axis.values[0]) for axis in self.axes}
        if self.centred:
            chosen["centre"] = (0.0, 0.0)
        screen = as_screen(screen_or_model)
        stimulus = self.build(screen, chosen | condition)
        if not isinstance(stimulus, ArtificialStimulus):
            raise TypeError(
                f"build: expected an ArtificialStimulus from the experiment {self.name!r}, got "
                f"{type(stimulus).__name__}"
            )
        shape, pixels = tuple(stimulus.movie.shape), (screen.height, screen.width)
        channels = len(screen.channels)
        if len(shape) != 4 or (shape[0], *shape[2:]) != (channels, *pixels):
            raise ValueError(
                f"build: expected a movie ({channels}, time, {pixels[0]}, {pixels[1]}) from the "
                f"experiment {self.name!r}, got shape {shape}"
            )
        return stimulus

    def on(self, screen: Screen) -> Experiment:
        """Return the experiment with the units of a screen."""
        axes = [
            replace(axis, unit=_unit(axis.name, screen)) if axis.unit == _OF_THE_SCREEN else axis
            for axis in self.axes
        ]
        return replace(self, axes=tuple(axes))


def _check_angles(axis: Axis, whole: float) -> None:
    """Refuse two angles that are the same: one would count twice in every vector sum."""
    angles = np.sort(np.round(axis.values % whole, 6) % whole)
    if (same := angles[1:][np.diff(angles) == 0]).size:
        raise ValueError(
            f"{axis.name}: {same[0]:g}° came twice in {axis.values.tolist()}, since {whole:g}° is "
            "a whole turn"
        )


def as_screen(screen_or_model: Any) -> Screen:
    """Return a screen as it is, and that of a model."""
    return screen_or_model if isinstance(screen_or_model, Screen) else Screen.of(screen_or_model)


def axis_of(axes: Sequence[Axis], name: str) -> Axis:
    """Return an axis by its name, or raise ValueError."""
    for axis in axes:
        if axis.name == name:
            return axis
    raise ValueError(unknown_name("axis", name, [axis.name for axis in axes], "axis"))


def spatial_axis(name: str, values: Sequence[float] | np.ndarray) -> Axis:
    """Return an axis of lengths or spatial frequencies, in the unit of the screen."""
    return Axis.of(name, values, _OF_THE_SCREEN)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON holds them."""
    return {name: _as_json(value) for name, value in settings.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def _unit(name: str, screen: Screen) -> str:
    kind = _SPATIAL.get(name, "frequency")
    if kind == "frequency":
        return "cyc/px" if screen.pixel_size_um is None else "cyc/mm"
    return screen.space_unit + ("/s" if kind == "speed" else "")
