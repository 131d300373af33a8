"""The code that estimates receptive fields, and measures a selectivity table, once more."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.export.code import Code, array, call, literal
from openretina_widgets.export.recipe import Missing, Recipe, means
from openretina_widgets.insilico.population.measuring import EXPERIMENTS
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.estimation import METHODS
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields


def recipe_of_fields(fields: ReceptiveFields, model: str) -> Recipe:
    """Return the code for receptive fields, with the name that the model has there."""
    missing, settings = Missing(), fields.settings
    arguments: dict[str, Any] = {
        "neurons": list(fields.neurons),
        "data_key": fields.data_key,
        "method": fields.method,
    }
    before: tuple[str, ...] = ()
    if fields.method not in METHODS:
        missing(
            f"the fields were not estimated from a model, but {fields.method}",
            "keep the data that they were made from; save the fields as .npz",
        )
    elif fields.method == "sta":
        arguments |= {
            "noise": settings.get("noise", "binary"),
            "contrast": settings.get("contrast", 1.0),
            "check_pixels": settings.get("check_pixels", 1),
            "frames": fields.frames_used,
            "chunk": settings.get("chunk", 500),
            "seed": fields.seed,
        }
    else:
        arguments["memory_mb"] = settings.get("memory_mb", 512.0)
        if fields.method == "local gradient":
            arguments |= {"base": Code("base"), "window": fields.window}
            if fields.base_movie is None:
                missing(
                    f"the stimulus of the gradient, {fields.base}, is not in the result",
                    "estimate the fields again with this version of openretina_widgets",
                )
            else:
                before = (array("base", fields.base_movie),)
    words = device_words(settings)
    if before:
        words = (*words, f"The gradient is taken at: {fields.base}.")
    return Recipe(
        call("orw.receptive_fields", model, **arguments),
        before=before,
        needs_array=bool(before),
        missing=tuple(missing.said),
        words=words,
        compare=(
            means("length", _LENGTH, np.sqrt((fields.fields**2.0).sum(axis=(1, 2, 3, 4)))),
            means("separability", "{}.separability", fields.separability),
            means("diameter", "{}.fit.diameter", fields.fit.diameter),
        ),
    )


_LENGTH = "np.sqrt(({}.fields**2.0).sum(axis=(1, 2, 3, 4)))"


def recipe_of_table(table: SelectivityTable, model: str) -> Recipe:
    """Return the code for a selectivity table, with the name that the model has there."""
    settings = table.settings
    measured = [int(neuron) for neuron in settings.get("neurons", table.neurons)]
    wanted = [
        name
        for name in EXPERIMENTS
        if name in settings or any(note.startswith(f"{name} was left out") for note in table.notes)
    ]
    words: list[str] = []
    missing: tuple[str, ...] = ()
    if not wanted and not settings:
        missing = (
            "the table does not say how it was measured: measure it with orw.selectivity_table, "
            "or save it as .npz",
        )
    ended = [note for note in table.notes if note.startswith("ended early")]
    if ended:
        words.append(f"The measurement was {ended[0]}; the code measures all of it.")
    before: tuple[str, ...] = ()
    code = call(
        "orw.selectivity_table",
        model,
        neurons=measured,
        data_key=table.data_key,
        seed=table.seed,
        measure=wanted,
    )
    if list(table.neurons) != measured:
        words.append(
            f"{len(table)} of {len(measured)} neurons that were measured together are listed."
        )
        before = (f"listed = {literal(list(table.neurons))}", f"measured = {code}")
        code = "measured.take(np.array([measured.neurons.index(neuron) for neuron in listed]))"
    compare = [
        means(column.name, f"{{}}[{column.name!r}]", table[column.name], most=12)
        for column in table.columns
        if column.kind == "number" and column.name != "neuron" and not ended
    ]
    return Recipe(code, before=before, missing=missing, words=tuple(words), compare=tuple(compare))


def device_words(settings: Any) -> tuple[str, ...]:
    """Return what is said of a device that rounds otherwise than the notebook will."""
    device = settings.get("device", "cpu")
    return () if device == "cpu" else (f"It was computed on {device}; the CPU rounds otherwise.",)
