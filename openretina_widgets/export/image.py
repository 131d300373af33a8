"""Still pictures of results, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.drawing.row_content import HUES
from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.results import Result, Results, only
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.insilico.shown_stimulus import ShownStimulus
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient

_MARKERS = ("o", "s", "^", "D")


def to_image(
    results: Results,
    path: str | os.PathLike[str],
    *,
    element: int = 0,
    neurons: Any = None,
    dpi: float = 150.0,
    overwrite: bool = False,
) -> Path:
    """Write a still picture of a result: what its ``plot`` draws, with axes and units.

    Parameters
    ----------
    results
        One result. A selectivity table is drawn as ON-OFF index against direction selectivity.
    path
        Ends in ``.png`` or ``.svg``.
    element
        Which optimised stimulus of a batch.
    neurons
        Whose tuning curves, receptive fields, gradients or planes; the first ones for None.
    dpi
        Pixels an inch of a ``.png``.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    target = check_path(path, (".png", ".svg"), overwrite=overwrite)
    return write_figure(_figure(only(results), element, neurons), target, dpi=dpi)


def write_figure(figure: Any, target: Path, *, dpi: float = 150.0) -> Path:
    """Write a figure under a name that was checked, ``.png`` or ``.svg``; return it."""
    kind = target.suffix.lower()[1:]
    # Without a date, and with names of parts that are no random ones, the same result gives the
    # same file.
    metadata = {"Date": None} if kind == "svg" else {}
    from matplotlib import rc_context

    with written_whole(target) as partial, rc_context({"svg.hashsalt": "openretina_widgets"}):
        figure.savefig(partial, format=kind, dpi=dpi, metadata=metadata)
    return target


def _figure(result: Result, element: int, neurons: Any) -> Any:
    if isinstance(result, OptimizationResult):
        batch = len(result.stimulus)
        if not -batch <= element < batch:
            raise ValueError(f"element: expected 0 to {batch - 1}, got {element!r}")
        return result.plot(element)
    if isinstance(
        result, TuningCurves | ReceptiveFields | ShownStimulus | ResponseGradient | VectorField
    ):
        return result.plot(neurons)
    if isinstance(result, PopulationResult):
        raise ValueError(
            "results: a picture shows one neuron's stimuli; export result.of(neuron), or all of "
            "them as .html"
        )
    return _of_table(result)


def _of_table(table: SelectivityTable) -> Any:
    """Draw ON-OFF index against DSI, a colour and a marker for each suggested type."""
    figure = new_figure(9.0, 5.5)
    axes = figure.subplots()
    x, y = table.column("on_off"), table.column("dsi")
    types = np.array([str(name) or "no type" for name in table["suggested_type"]], dtype=object)
    for k, name in enumerate(dict.fromkeys(types[:].tolist())):
        here = types == name
        axes.scatter(
            table["on_off"][here],
            table["dsi"][here],
            color=HUES[k % len(HUES)],
            marker=_MARKERS[k // len(HUES) % len(_MARKERS)],
            # Names are data: a dollar sign in one is no formula.
            label=f"{name} ({int(here.sum())})".replace("$", r"\$"),
        )
    undefined = int((np.isnan(table["on_off"]) | np.isnan(table["dsi"])).sum())
    axes.set(xlabel=f"{x.label} (−1 OFF, 1 ON)", ylabel=f"{y.label} (0 to 1)", xlim=(-1.08, 1.08))
    axes.set_title(
        f"{len(table)} neurons" + (f", {undefined} of them undefined" if undefined else "")
    )
    if len(table):
        figure.legend(loc="outside right upper", fontsize="small", title="suggested type")
    return figure
