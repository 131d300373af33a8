"""The code that computes a response gradient, and a vector field, once more."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.export.code import Code, array, call
from openretina_widgets.export.fields_and_tables import device_words
from openretina_widgets.export.recipe import Missing, Recipe, means
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient

_MOST_BYTES = 32 * 2**20  # of stimuli that are written into a notebook


def recipe_of_gradient(gradient: ResponseGradient, model: str) -> Recipe:
    """Return the code for a response gradient, with the name that the model has there."""
    missing, settings = Missing(), gradient.settings
    arguments: dict[str, Any] = {
        "neurons": list(gradient.neurons),
        "data_key": gradient.data_key,
        "green": gradient.green.tolist(),
        "uv": gradient.uv.tolist(),
        "window": gradient.window,
        "memory_mb": settings.get("memory_mb", 512.0),
    }
    before: tuple[str, ...] = ()
    words = device_words(settings)
    if (flash := settings.get("flash")) is not None:
        stimulus = Code(repr(flash))
        arguments |= {name: settings.get(name, False) for name in ("equalize", "align")}
    else:  # as it was shown: the norms are equal and the signs turned already
        stimulus = Code("movies")
        alike = len(gradient.movies) == 1
        shown = gradient.movies[0] if alike else gradient.movies[gradient.movie_of]
        words = (*words, f"What is scaled: {gradient.stimulus}.")
        if shown.nbytes > _MOST_BYTES:
            missing(
                f"the stimuli that are scaled take {shown.nbytes / 2**20:.0f} MiB, too much for a "
                "notebook",
                "compute fewer neurons, or save it as .npz",
            )
        else:
            before = (array("movies", shown),)
    return Recipe(
        call("orw.response_gradient", model, stimulus, **arguments),
        before=before,
        needs_array=bool(before),
        missing=tuple(missing.said),
        words=words,
        compare=(
            means("responses", "{}.responses", gradient.responses),
            means("gradients", "{}.gradients", gradient.gradients),
            means("response to grey", "{}.grey_response", gradient.grey_response),
        ),
    )


def recipe_of_vector_field(field: VectorField, model: str) -> Recipe:
    """Return the code for a vector field, with the name that the model has there."""
    missing, settings = Missing(), field.settings
    arguments: dict[str, Any] = {
        "neurons": list(field.neurons),
        "data_key": field.data_key,
        "plane": field.plane,
        "duration_s": settings.get("duration_s", 0.5),
        "window": field.window,
        "memory_mb": settings.get("memory_mb", 512.0),
    }
    before: tuple[str, ...] = ()
    words = device_words(settings)
    given: list[str] = []
    if settings.get("noise"):
        arguments["seed"] = field.seed
    else:
        given = ["images"]
        words = (*words, f"The images: {field.described}.")
        if field.images.nbytes > _MOST_BYTES:
            missing(
                f"the images take {field.images.nbytes / 2**20:.0f} MiB, too much for a notebook",
                "compute fewer images, or save it as .npz",
            )
        else:
            before = (array("images", field.images),)
    length = np.sqrt((field.lsta**2.0).sum(axis=(2, 3, 4)))
    return Recipe(
        call("orw.vector_field", model, *given, **arguments),
        before=before,
        needs_array=bool(before),
        missing=tuple(missing.said),
        words=words,
        compare=(
            means("responses", "{}.responses", field.responses),
            means("length of the LSTA", _LENGTH, length),
            means("power in the plane", "{}.explained", field.explained),
        ),
    )


_LENGTH = "np.sqrt(({}.lsta**2.0).sum(axis=(2, 3, 4)))"
