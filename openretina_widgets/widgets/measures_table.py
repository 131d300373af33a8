"""Indices and fits of a few neurons as a table, with words where one is not defined."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openretina_widgets.insilico.tuning_analyses.measure import within_turn

_TURN = {"direction": 360.0, "orientation": 180.0}
_OF_MOTION = ("dsi", "osi", "preferred_direction", "preferred_orientation")


def table(
    measures: Mapping[str, Any],
    fits: Mapping[str, Any],
    *,
    main: str,
    columns: Sequence[int],
    names: Sequence[str],
) -> str:
    """Return HTML: a row an index, a column a neuron.

    Parameters
    ----------
    measures
        Of `measures_of`.
    fits
        Of `fits_of`; that of the main axis is listed.
    main
        Name of the main axis: what tells of motion is left out where it is another.
    columns, names
        Of the neurons.
    """
    motion = main in ("direction", "orientation")
    rows = [
        (found.name, [_cell(found, column) for column in columns])
        for key, found in measures.items()
        if motion or not key.startswith(_OF_MOTION)
    ]
    fit = fits.get(main)
    if fit is not None and np.isfinite(fit.parameters).any():
        rows.append(
            (f"Fit, {fit.kind}: R²", [_number(fit.r_squared[column], "") for column in columns])
        )
        said: list[set[str]] = [set() for _ in columns]
        for place, name in enumerate(fit.names):
            found = fit.value(name)
            turn = _TURN.get(main, 0.0) if name == "preferred" else 0.0
            words = [_cell(found, column, fit.errors[column, place], turn) for column in columns]
            for k, cell in enumerate(words):  # a reason that all the rest share is said once
                if _UNDETERMINED in cell and cell in said[k]:
                    words[k] = '<span class="orw-undefined">–</span>'
                said[k].add(cell)
            rows.append((f"Fit: {name.replace('_', ' ')}", words))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th>{html.escape(words[:1].upper() + words[1:])}</th>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for words, cells in rows
    )
    return f'<table class="orw-measures"><tr><th></th>{head}</tr>{body}</table>'


_UNDETERMINED = "not determined:"


def _cell(found: Any, column: int, error: float = np.nan, turn: float = 0.0) -> str:
    if found.reasons[column]:
        reason = html.escape(str(found.reasons[column]).split("not determined: ")[-1])
        return f'<span class="orw-undefined">{_UNDETERMINED} {reason}</span>'
    value = float(found.values[column])
    bounded = bool(np.isfinite(getattr(found, "limits", (np.inf,))).all())
    if not found.unit and bounded:
        return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")  # an index: its range is known
    if found.unit == "°" and (bounded or turn):
        value = within_turn(value, turn or found.limits[1])
        value = value if np.isfinite(error) else round(value, 1)
    return _number(value, found.unit, error)


def _number(value: float, unit: str, error: float = np.nan) -> str:
    if not np.isfinite(value):
        return '<span class="orw-undefined">not determined</span>'
    text = _digits(value, 3).replace("-", "−")
    if np.isfinite(error):
        text += f" ± {_digits(error, 2)}"
    return html.escape(text + (unit if unit == "°" else f" {unit}" if unit else ""))


def _digits(value: float, digits: int) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.{digits}g}"
