"""The code that makes the experiment of tuning curves once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from openretina_widgets.export.code import Code, call
from openretina_widgets.export.own_code import OwnCode
from openretina_widgets.export.recipe import Missing, Recipe, means
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment, plain

# What each experiment calls the values of its axes.
_FACTORIES: dict[str, tuple[str, Mapping[str, str]]] = {
    "direction": (
        "drifting_gratings",
        {
            "direction": "directions",
            "temporal_frequency": "temporal_frequencies",
            "spatial_frequency": "spatial_frequencies",
            "contrast": "contrasts",
        },
    ),
    "orientation": ("orientation", {"orientation": "orientations", "phase": "phases"}),
    "spatial_frequency": (
        "spatial_frequency",
        {"spatial_frequency": "spatial_frequencies", "direction": "directions"},
    ),
    "temporal_frequency": (
        "temporal_frequency",
        {"temporal_frequency": "temporal_frequencies", "direction": "directions"},
    ),
    "contrast": ("contrast_response", {"contrast": "contrasts", "direction": "directions"}),
    "size": ("size_tuning", {"diameter": "diameters", "polarity": "polarities"}),
    "flash": ("flash", {"polarity": "polarities"}),
    "chirp": ("chirp", {"contrast": "contrasts"}),
    "moving_bar": (
        "moving_bar",
        {"direction": "directions", "speed": "speeds", "contrast": "contrasts"},
    ),
    "chromatic": ("chromatic", {"green": "green", "uv": "uv"}),
}
# What a sweep adds to the settings of its experiment.
_OF_SWEEP = (
    "events",
    "events_of_conditions",
    "stimulus",
    "contrast_source",
    "device",
    "computed",
    "spikes_per_unit",
    "linear_control_neurons",
)


def recipe_of(curves: TuningCurves, model: str, own: OwnCode | None = None) -> Recipe:
    """Return the code for tuning curves, with the name that the model has there.

    Raises
    ------
    ValueError
        If code of the user's own makes another experiment than that of the curves.
    """
    missing = Missing()
    settings = curves.settings
    arguments: dict[str, Any] = {"neurons": list(curves.neurons), "data_key": curves.data_key}
    if curves.centres is not None:
        arguments["centres"] = curves.centres.tolist()
    if curves.repeats is not None:
        arguments |= {
            "repeats": len(curves.repeats),
            "noise": curves.noise,
            "spikes_per_unit": settings.get("spikes_per_unit", 10.0),
        }
    if curves.controls:
        arguments["controls"] = list(curves.controls)
    arguments["seed"] = curves.seed
    if own is None:
        experiment = _experiment(curves, missing)
    elif (differs := _difference(own.experiment, curves)) is None:
        experiment = Code(own.call)
    else:
        raise ValueError(
            f"experiment: {own.call} is not the experiment of these curves, "
            f"{curves.experiment!r}: they differ in {differs}"
        )
    code = call("orw.sweep", model, str(experiment), **arguments)
    words: list[str] = []
    if curves.finished < 1:
        words.append(
            f"The sweep was ended with {curves.finished:.0%} of its conditions shown; the code "
            "shows all of them."
        )
    if (device := settings.get("device", "cpu")) != "cpu":
        words.append(f"It was computed on {device}; the CPU rounds otherwise.")
    whole = curves.finished == 1
    compare = []
    if whole:
        compare += [
            means("responses", "{}.responses", curves.responses),
            means("baseline", "{}.baseline", curves.baseline),
        ]
    if curves.repeats is not None and whole:
        compare.append(means("repeats", "{}.repeats", curves.repeats))
    imported = ("from dataclasses import replace",) if "replace(" in code and own is None else ()
    return Recipe(
        code,
        before=imported if own is None else own.before,
        missing=tuple(missing.said),
        words=tuple(words),
        compare=tuple(compare),
    )


def _experiment(curves: TuningCurves, missing: Missing) -> Code:
    """Return the call that makes the experiment, once it has been made and found the same."""
    name, arguments = _factory(curves)
    if name is not None:
        try:
            again = getattr(experiments, name)(**arguments)
        except (TypeError, ValueError):
            again = None
        made = Code(call(f"orw.experiments.{name}", **arguments))
        if again is not None and _same(again, curves):
            return made
        # A slider of the explorer gives a diameter to an experiment of the whole screen, which
        # stays in the middle of it; the function puts the spot on each receptive field.
        changed: dict[str, Any] = {"title": curves.title, "centred": False}
        if again is not None and again.centred and _same(replace(again, **changed), curves):
            return Code(call("replace", made, **changed))
    return missing(
        f"the experiment {curves.experiment!r} was built by hand, and its code is not known",
        "hand in the function that makes it, to_notebook(..., experiment=...), write it into the "
        "notebook in the place that says so, or use one of orw.experiments",
    )


def _factory(curves: TuningCurves) -> tuple[str | None, dict[str, Any]]:
    if curves.experiment not in _FACTORIES:
        return None, {}
    name, names = _FACTORIES[curves.experiment]
    arguments: dict[str, Any] = {}
    for axis in curves.axes:
        if axis.name not in names:
            return None, {}
        arguments[names[axis.name]] = axis.values.tolist()
    held = {key: value for key, value in curves.settings.items() if key not in _OF_SWEEP}
    if curves.experiment == "orientation":
        arguments["kind"] = curves.title.split()[0].lower()
        if arguments["kind"] == "counterphase" and "phase_deg" in held:
            arguments["phases"] = held.pop("phase_deg")
    return name, arguments | held


def _same(experiment: Any, curves: TuningCurves) -> bool:
    return _difference(experiment, curves) is None


def _difference(experiment: Experiment, curves: TuningCurves) -> str | None:
    """Return in what an experiment differs from that of curves, None where in nothing."""
    held = {key: value for key, value in curves.settings.items() if key not in _OF_SWEEP}
    if experiment.title != curves.title:
        return "the title"
    if experiment.polar != curves.polar:
        return "the axis that is an angle"
    if [axis.name for axis in experiment.axes] != [axis.name for axis in curves.axes]:
        return "the axes"
    for one, other in zip(experiment.axes, curves.axes, strict=True):
        if not np.array_equal(one.values, other.values):
            return f"the values of {one.name!r}"
    if plain(experiment.settings) != held:
        return "the settings"
    if experiment.centred != (curves.centres is not None):
        return "the place of the stimuli"
    return None
