"""The kinds of results, and sessions: several results by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.insilico.shown_stimulus import ShownStimulus
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient

Result = (
    OptimizationResult
    | PopulationResult
    | TuningCurves
    | ReceptiveFields
    | ResponseGradient
    | VectorField
    | SelectivityTable
    | ShownStimulus
)
Results = Result | Sequence[Result] | Mapping[str, Result]

KINDS: dict[str, type[Result]] = {
    "best_stimulus": OptimizationResult,
    "best_stimuli": PopulationResult,
    "tuning_curves": TuningCurves,
    "receptive_fields": ReceptiveFields,
    "response_gradient": ResponseGradient,
    "vector_field": VectorField,
    "selectivity_table": SelectivityTable,
    "shown_stimulus": ShownStimulus,
}
"""Name of each kind, as variables and archives have it."""

_TITLES = {
    "best_stimulus": "Best stimulus",
    "best_stimuli": "Best stimuli of a population",
    "tuning_curves": "Tuning curves",
    "receptive_fields": "Receptive fields",
    "response_gradient": "Response gradient",
    "vector_field": "Vector field",
    "selectivity_table": "Selectivity table",
}


def kind_of(result: Result) -> str:
    """Return the kind of a result.

    Raises
    ------
    TypeError
        If it is none.
    """
    for name, cls in KINDS.items():
        if isinstance(result, cls):
            return name
    expected = ", ".join(cls.__name__ for cls in KINDS.values())
    raise TypeError(f"results: expected {expected}, got {type(result).__name__}")


def title_of(result: Result) -> str:
    """Return what a result is, in words."""
    if isinstance(result, TuningCurves | ShownStimulus):
        return result.title
    return _TITLES[kind_of(result)]


def session_of(results: Any) -> dict[str, Result]:
    """Return results by name; those without one are numbered by their kind.

    Raises
    ------
    TypeError
        If something is no result, or a name no text.
    ValueError
        If there is none.
    """
    if isinstance(results, Mapping):
        for name in results:
            if not isinstance(name, str):
                raise TypeError(f"results: expected names as keys, got {name!r}")
        named = dict(results)
    else:
        several = results if isinstance(results, list | tuple) else [results]
        named = {}
        for result in several:
            kind = kind_of(result)
            n = sum(isinstance(one, KINDS[kind]) for one in named.values()) + 1
            named[kind if n == 1 else f"{kind}_{n}"] = result
    if not named:
        raise ValueError("results: expected at least one result, got none")
    for result in named.values():
        kind_of(result)
    return named


def only(results: Any, argument: str = "results") -> Result:
    """Return the one result, where several cannot be shown.

    Raises
    ------
    ValueError
        If there are several.
    """
    named = session_of(results)
    if len(named) > 1:
        raise ValueError(
            f"{argument}: expected one result for a single picture, got {len(named)}: "
            f"{', '.join(named)}; export them one by one"
        )
    return next(iter(named.values()))
