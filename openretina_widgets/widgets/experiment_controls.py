"""What can be chosen of an experiment: its axes to look along, and what is held meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Condition, Experiment
from openretina_widgets.insilico.tuning_analyses.indices import tuning_along
from openretina_widgets.widgets.stimulus_kinds import KINDS, Parameter, arguments

TITLES: Mapping[str, str] = {
    "direction": "direction",
    "orientation": "orientation",
    "spatial_frequency": "spatial frequency",
    "temporal_frequency": "temporal frequency",
    "contrast": "contrast",
    "size": "size",
    "flash": "flash",
    "chirp": "chirp",
    "moving_bar": "moving bar",
    "chromatic": "chromatic",
}
"""Words for each of `experiments.NAMES`."""

_BUILDERS = {
    "direction": "drifting_grating",
    "orientation": "counterphase_grating",
    "spatial_frequency": "drifting_grating",
    "temporal_frequency": "drifting_grating",
    "contrast": "drifting_grating",
    "size": "spot",
    "flash": "flash",
    "chirp": "chirp",
    "moving_bar": "moving_bar",
    "chromatic": "chromatic_contrast",
}


def main_axis(experiment: Experiment | TuningCurves) -> Axis:
    """Return the axis of the curve: the angle where there is one, else the first."""
    names = [axis.name for axis in experiment.axes]
    return experiment.axes[names.index(experiment.polar) if experiment.polar else 0]


def held_parameters(experiment: Experiment, screen: Screen) -> list[Parameter]:
    """Return what is held in every condition and can be set, from where the experiment has it."""
    varied = {{"phase": "phase_deg"}.get(axis.name, axis.name) for axis in experiment.axes}
    if experiment.centred:
        varied |= {"centre_x", "centre_y"}
    parameters = KINDS[_BUILDERS[experiment.name]].parameters(screen)
    return [
        replace(p, value=type(p.value)(experiment.settings.get(p.name, p.value)))
        for p in parameters
        if p.name not in varied
    ]


def holding(
    experiment: Experiment, parameters: list[Parameter], values: Mapping[str, Any]
) -> Experiment:
    """Return the experiment with other values held; itself where none is another.

    Parameters
    ----------
    experiment
        Of `experiments.standard`.
    parameters
        Its `held_parameters`.
    values
        By the names of these.
    """
    before, now = arguments(parameters, {}), arguments(parameters, values)
    changed = {name: value for name, value in now.items() if value != before[name]}
    if not changed:
        return experiment
    settings = {**experiment.settings, **changed}
    builder = KINDS[_BUILDERS[experiment.name]].builder

    def build(screen: Screen, condition: Condition) -> ArtificialStimulus:
        given = {**settings, **condition}
        if "polarity" in given:
            given["contrast"] = given.pop("polarity") * given["contrast"]
        if "phase" in given:
            given["phase_deg"] = given.pop("phase")
        return builder(screen, **given)

    return replace(experiment, build=build, settings=settings)


def along_main(curves: TuningCurves, array: np.ndarray, at: Mapping[str, float]) -> np.ndarray:
    """Return ``(*axes, ..., neuron)`` along the main axis: ``(n, ..., neuron)``.

    Parameters
    ----------
    curves
        Where the axes are from.
    array
        Such as its responses or traces.
    at
        Value of each other axis; each neuron at its best where one is left out.
    """
    main = main_axis(curves)
    others = [axis for axis in curves.axes if axis.name != main.name]
    if any(axis.name not in at for axis in others):
        return tuning_along(curves, main.name).take(array)
    position = [axis.name for axis in curves.axes].index(main.name)
    moved = np.moveaxis(array, position, 0)
    for axis in others:
        moved = moved[:, int(np.abs(axis.values - at[axis.name]).argmin())]
    return moved


def condition_of(
    curves: TuningCurves | None, experiment: Experiment, index: int, at: Mapping[str, float],
    neuron: int,
) -> Condition:  # fmt: skip
    """Return the condition of a point: where a neuron is best in the axes that `at` leaves out."""
    main = main_axis(experiment)
    condition: Condition = {main.name: float(main.values[index])}
    others = [axis for axis in experiment.axes if axis.name != main.name]
    best = {axis.name: axis.values[0] for axis in others}
    if others and curves is not None:
        flat = int(tuning_along(curves, main.name).best[curves.column(neuron)])
        places = np.unravel_index(flat, [len(axis) for axis in others])
        best = {axis.name: axis.values[place] for axis, place in zip(others, places, strict=True)}
    return condition | {name: float(at.get(name, value)) for name, value in best.items()}


def value_in_words(value: float, unit: str) -> str:
    """Return a value of an axis as a person writes it."""
    return f"{value:.4g}{unit if unit == '°' else f' {unit}' if unit else ''}".replace("-", "−")
