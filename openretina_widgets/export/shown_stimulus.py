"""The code that shows a stimulus once more."""

from __future__ import annotations

from openretina_widgets.export.code import call, literal
from openretina_widgets.export.recipe import Missing, Recipe, means
from openretina_widgets.insilico.shown_stimulus import BUILDERS, ShownStimulus


def recipe_of(shown: ShownStimulus, model: str) -> Recipe:
    """Return the code for a stimulus and its responses, with the name that the model has there."""
    missing, settings = Missing(), shown.settings
    builder = str(settings.get("builder", ""))
    if builder not in BUILDERS or shown.response is None:
        missing(
            "the stimulus was handed in as an array, and there is nothing that makes it again",
            "save it as .npz, which holds it, and show it from there",
        )
        return Recipe(call("show_stimulus", model, literal(builder)), missing=tuple(missing.said))
    code = call(
        "show_stimulus",
        model,
        literal(builder),
        neurons=list(shown.neurons),
        data_key=shown.data_key,
        **settings["arguments"],
    )
    device = settings.get("device", "cpu")
    return Recipe(
        code,
        before=("from openretina_widgets.insilico.shown_stimulus import show_stimulus",),
        words=()
        if device == "cpu"
        else (f"It was computed on {device}; the CPU rounds otherwise.",),
        compare=(
            means("stimulus", "{}.stimulus.numpy()", shown.stimulus.numpy()),
            means("response", "{}.response", shown.response),
        ),
    )
