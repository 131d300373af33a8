"""What tuning curves and traces share: their content for the browser, and each neuron's look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

NEURON_COLOURS = ("#1f83c9", "#d95f02", "#14976b", "#c462a0", "#b8860b", "#7e6fd0")
"""CSS colours of neurons that are shown together, told apart with every kind of colour vision."""

MOST_CURVES = 12
_DASHES = ("", "7 4")
_MARKERS = ("circle", "square", "triangle", "diamond")
_NO_POINTS: dict[str, Any] = {"values": [], "ticks": [], "name": "", "unit": "", "log": False}


@dataclass(frozen=True, eq=False)
class Curve:
    """One neuron's curve.

    Attributes
    ----------
    name
        For the legend.
    values
        ``(n,)``, one for each place of the x axis; NaN where it is not known (yet).
    errors
        ``(n,)``, half the length of an error bar; None without.
    fit
        x and y of a fitted curve, ``(m,)`` each; None without.
    preferred
        Where on the x axis the neuron responds best; NaN or None without.
    """

    name: str
    values: np.ndarray
    errors: np.ndarray | None = None
    fit: tuple[np.ndarray, np.ndarray] | None = None
    preferred: float | None = None


def whole_content(**changed: Any) -> dict[str, Any]:
    """Return the content of a drawing: empty but for what is given."""
    empty = {
        "version": 0,
        "kind": "cartesian",
        "marks": True,
        "closed": 360,
        "x": {**_NO_POINTS, "label": "", "low": 0.0, "high": 1.0},
        "y": {"ticks": [0.0, 1.0], "label": "", "low": 0.0, "high": 1.0},
        "curves": [],
        "shade": [],
        "landmarks": [],
        "baseline": None,
        "note": "",
        "words": "",
    }
    return {**empty, **changed}


def number(value: Any) -> float | None:
    """As JSON can carry it: five digits, None for what is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.5g}")


def numbers(values: np.ndarray) -> list[float | None]:
    """As JSON can carry them."""
    return [number(value) for value in np.asarray(values, dtype=float).tolist()]


def nothing(n: int) -> dict[str, Any]:
    """What a curve without points has."""
    return {"values": [None] * n, "errors": None, "fit": None, "preferred": None}


def empty_curve(index: int, name: str, n: int) -> dict[str, Any]:
    """A curve whose points are yet to come."""
    return {"name": name, **_look(index), **nothing(n)}


def _look(index: int) -> dict[str, str]:
    return {
        "colour": NEURON_COLOURS[index % len(NEURON_COLOURS)],
        "dash": _DASHES[index // len(NEURON_COLOURS) % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)],
    }


def encoded(index: int, curve: Curve) -> dict[str, Any]:
    """Return a curve as the browser takes it, in the look of the neuron in this place."""
    fit = None
    if curve.fit is not None:
        fx, fy = (np.asarray(part, dtype=float) for part in curve.fit)
        known = np.isfinite(fx) & np.isfinite(fy)
        fit = [numbers(fx[known]), numbers(fy[known])] if known.any() else None
    return {
        "name": curve.name,
        **_look(index),
        "values": numbers(curve.values),
        "errors": None if curve.errors is None else numbers(curve.errors),
        "fit": fit,
        "preferred": number(curve.preferred),
    }


def y_axis(limits: tuple[float, float], label: str, ticks: list[float]) -> dict[str, Any]:
    """Return an axis of responses."""
    return {"ticks": ticks, "label": label, "low": limits[0], "high": limits[1]}
