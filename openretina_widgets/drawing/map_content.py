"""Responses to a grid of two parameters as maps of colours with arrows, for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.curve_content import number, numbers
from openretina_widgets.insilico.tuning_analyses.axis import Axis

MOST_MAPS = 4
NO_MAPS: dict[str, Any] = {
    "x": {"label": "", "colour": "", "values": [], "edges": []},
    "y": {"label": "", "colour": "", "values": [], "edges": []},
    "unit": "a.u.",
    "maps": [],
    "note": "",
    "words": "",
}


@dataclass(frozen=True, eq=False)
class ResponseMap:
    """One neuron's responses to a grid.

    Attributes
    ----------
    name
        Heading.
    values
        ``(x, y)``, one for each place of the two axes; NaN where it is not known (yet).
    baseline
        Response to grey; NaN or None where it was not measured.
    gradient
        ``(x, y, 2)``: derivatives of the response with respect to both parameters, drawn as
        arrows; NaN where it is not known. None for no arrows.
    """

    name: str
    values: np.ndarray
    baseline: float | None = None
    gradient: np.ndarray | None = None


def encoded_map(one: ResponseMap, grown: dict[str, colour.Limits] | None = None) -> dict[str, Any]:
    """Return a map as the browser draws it.

    Parameters
    ----------
    one
        The map.
    grown
        Ends of the colour bar so far, by name; they only grow, and are changed here.
    """
    values = np.asarray(one.values, dtype=float)
    baseline = number(one.baseline)
    every = values if baseline is None else np.append(values, baseline)
    limits = None
    if np.isfinite(values).any():
        low, high = colour.sequential_limits(every)
        before = (grown or {}).get(one.name, (low, high))
        limits = (min(low, before[0]), max(high, before[1]))
        if grown is not None:
            grown[one.name] = limits
    return {
        "name": one.name,
        "values": numbers(values.ravel()),
        "levels": colour.quantise(values, limits or (0.0, 1.0)).ravel().tolist(),
        "limits": limits,
        "baseline": baseline,
        "slopes": None if one.gradient is None else _pairs(one.gradient),
    }


def maps_in_words(
    maps: Sequence[ResponseMap], axes: tuple[Axis, Axis], labels: tuple[str, str], unit: str
) -> str:
    """Return what is shown, for who does not see it."""
    (x, y), (across, upwards) = axes, labels
    parts = []
    for one in maps:
        values = np.asarray(one.values, dtype=float)
        known = np.isfinite(values)
        if not known.any():
            parts.append(f"{one.name}: no response yet")
            continue
        i, j = np.unravel_index(int(np.nanargmax(values)), values.shape)
        text = f"{one.name}: {known.sum()} of {values.size} conditions, highest "
        text += f"{values[i, j]:.3g} {unit} at {across} {x.values[i]:g}, "
        text += f"{upwards} {y.values[j]:g}"
        if (baseline := number(one.baseline)) is not None:
            text += f", {baseline:.3g} at grey"
        if one.gradient is not None and np.isfinite(one.gradient).any():
            size = np.linalg.norm(one.gradient, axis=2)
            i, j = np.unravel_index(int(np.nanargmax(size)), size.shape)
            slope = ", ".join(f"{part:.3g}" for part in one.gradient[i, j])
            text += f", steepest at {x.values[i]:g}, {y.values[j]:g} with gradient ({slope})"
        parts.append(text)
    words = f"response against {across} to the right and {upwards} upwards. "
    return (words + "; ".join(parts)).replace("-", "−")


def _pairs(gradient: np.ndarray) -> list[list[float] | None]:
    flat = np.asarray(gradient, dtype=float).reshape(-1, 2)
    return [pair.tolist() if np.isfinite(pair).all() else None for pair in flat]


def map_note(x: Axis, y: Axis, n_maps: int) -> str:
    """Return what is said beneath maps."""
    parts = []
    if all(axis.values.min() <= 0 <= axis.values.max() for axis in (x, y)):
        parts.append("Ring: grey (0, 0); line on the bar: response to it.")
    if n_maps > 1:
        parts.append("Each neuron has a colour bar of its own.")
    return " ".join(parts)


def encoded_axis(axis: Axis, label: str, channel: str) -> dict[str, Any]:
    """Return values and the edges of their cells: half way to the next, as far at the ends."""
    values = axis.values
    order = np.sort(values)
    if len(order) == 1:
        edges = np.array([order[0] - 0.5, order[0] + 0.5])
    else:
        middle = (order[:-1] + order[1:]) / 2
        first, last = order[0] - (middle[0] - order[0]), order[-1] + (order[-1] - middle[-1])
        edges = np.concatenate([[first], middle, [last]])
    ranks = np.searchsorted(order, values)
    return {
        "label": label,
        "colour": colour.channel_colour(channel) if channel else "",
        "values": values.tolist(),
        "edges": [[float(edges[k]), float(edges[k + 1])] for k in ranks],
    }
