"""Tuning curves on straight axes or around a circle, and traces over time, for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from openretina_widgets.drawing.curve_content import Curve, encoded, number, y_axis
from openretina_widgets.drawing.ticks import round_ticks, thin
from openretina_widgets.insilico.tuning_analyses.axis import Axis

Kind = Literal["cartesian", "polar"]
Extent = tuple[float, float]

_HARDLY = 0.02  # of the range of the responses
_AT_CENTRE = " Responses below 0 are drawn at the centre."


def axes_content(
    axis: Axis, *, kind: Kind, log: bool | None, period: int, unit: str, note: str
) -> dict[str, Any]:
    """Return the axes of a drawing of tuning curves without any."""
    return {
        "kind": kind,
        "closed": period,
        "x": _x_axis(axis, _looks_logarithmic(axis.values) if log is None else log),
        "y": y_axis((0.0, 1.0), f"response ({unit})", [0.0, 1.0]),
        "note": note,
    }


def curves_content(
    curves: Sequence[Curve],
    axis: Axis,
    axes: dict[str, Any],
    *,
    unit: str,
    note: str,
    baseline: float | None,
    extent: Extent | None = None,
) -> tuple[dict[str, Any], Extent]:
    """Return what changes when curves are drawn, and the least and largest response so far.

    Parameters
    ----------
    curves
        One a neuron, at most `MOST_CURVES`.
    axis, axes
        What was varied, and its `axes_content`.
    unit, note
        Of the responses; a sentence beneath.
    baseline
        Response to grey; None without.
    extent
        What was returned before, since the axis only grows; None at first.
    """
    low, high = extent = _grown(curves, baseline, extent)
    polar = axes["kind"] == "polar"
    ticks = round_ticks(0.0 if polar else low, max(high, 0.0) if high or low else 1.0)
    content = {
        "y": y_axis((ticks[0], ticks[-1]), f"response ({unit})", ticks),
        "curves": [encoded(i, _within(curve, axes)) for i, curve in enumerate(curves)],
        "baseline": None if baseline is None else number(baseline),
        "note": note + (_AT_CENTRE if polar and _any_below(curves) else ""),
        "words": _in_words(curves, axis, unit),
    }
    return content, extent


def which_way(period: int) -> str:
    """Return which way angles are drawn, in words."""
    if period == 180:
        return "Direction of the bars: 0° = horizontal, 90° = vertical; drawn on both sides."
    return "Direction of motion: 0° = right, 90° = up, counter-clockwise."


def _within(curve: Curve, axes: dict[str, Any]) -> Curve:
    """Return a curve whose fit ends where the axis does."""
    if curve.fit is None or axes["kind"] == "polar":
        return curve
    axis = axes["x"]
    kept = (curve.fit[0] >= axis["low"]) & (curve.fit[0] <= axis["high"])
    return replace(curve, fit=(curve.fit[0][kept], curve.fit[1][kept]))


def _grown(curves: Sequence[Curve], baseline: float | None, extent: Extent | None) -> Extent:
    parts = [np.array([0.0] if baseline is None else [0.0, baseline])]
    for curve in curves:
        values = np.asarray(curve.values, dtype=float)
        parts.append(values)
        if curve.errors is not None:
            parts.append(values + curve.errors)  # below, an error bar ends at the axis
    every = np.concatenate(parts)
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    fits = [curve.fit[1] for curve in curves if curve.fit is not None]
    fitted = np.concatenate([np.asarray(fit, dtype=float) for fit in fits]) if fits else every
    fitted = fitted[np.isfinite(fitted)]
    if fitted.size:
        high = max(high, float(fitted.max()))
        # A fit that dips below 0 by less than the line is wide does not open an axis below 0.
        lowest = float(fitted.min())
        low = lowest if lowest < low - _HARDLY * (high - low) else low
    if extent is not None:
        low, high = min(low, extent[0]), max(high, extent[1])
    return (low, high)


def _in_words(curves: Sequence[Curve], axis: Axis, unit: str) -> str:
    """What is shown, for who does not see it."""
    parts = []
    for curve in curves:
        values = np.asarray(curve.values, dtype=float)
        known = np.isfinite(values)
        if not known.any():
            parts.append(f"{curve.name}: no response yet")
            continue
        best = int(np.nanargmax(values))
        text = f"{curve.name}: {known.sum()} of {len(values)} conditions, "
        text += f"highest {values[best]:.3g} {unit} at {axis.values[best]:g} {axis.unit}"
        if (preferred := number(curve.preferred)) is not None:
            text += f", preferred {preferred:.3g} {axis.unit}"
        parts.append(text)
    return f"response against {axis.label}. " + "; ".join(parts)


def _any_below(curves: Sequence[Curve]) -> bool:
    return any(bool(np.nanmin(np.append(curve.values, 0.0)) < 0) for curve in curves)


def _x_axis(axis: Axis, log: bool) -> dict[str, Any]:
    values = axis.values
    low, high = float(values.min()), float(values.max())
    steps = np.diff(np.sort(values))
    even = len(steps) > 0 and np.allclose(steps, steps[0])
    if log:
        margin = (high / low) ** 0.04 if high > low else 2.0
        ends = (low / margin, high * margin)
    else:
        margin = 0.04 * (high - low) or 1.0
        ends = (low - margin, high + margin)
    if log or (len(values) <= 9 and even) or len(values) == 1:
        ticks = sorted(values.tolist())
    else:
        ticks = [tick for tick in round_ticks(low, high, 8) if ends[0] <= tick <= ends[1]]
    return {
        "values": values.tolist(),
        "ticks": ticks,
        "label": axis.label,
        "low": ends[0],
        "high": ends[1],
        "log": log,
        "name": axis.name.replace("_", " "),
        "unit": axis.unit,
    }


def _looks_logarithmic(values: np.ndarray) -> bool:
    """Whether values are more evenly spaced by their ratios than by their differences."""
    if len(values) < 3 or values.min() <= 0:
        return False
    ordered = np.sort(values)
    steps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    return bool(steps.std() / steps.mean() > ratios.std() / ratios.mean() + 1e-9)


def trace_content(
    seconds: np.ndarray,
    traces: np.ndarray,
    names: Sequence[str],
    *,
    extent: Extent = (0.0, 0.0),
    y_label: str = "response (a.u.)",
    duration_s: float | None = None,
    shade: tuple[float, float] | None = None,
    landmarks: Sequence[tuple[str, float, float]] = (),
    note: str = "",
) -> dict[str, Any]:
    """Return what changes when traces ``(frame, neuron)`` are drawn.

    Parameters
    ----------
    seconds, traces, names, duration_s, shade, landmarks, note
        See `TracePlot.draw`.
    extent
        Least and largest value that the axis has to hold.
    y_label
        What is drawn, with its unit.
    """
    times, columns = _thinned(np.asarray(seconds, dtype=float), traces)
    low, high = extent
    ticks = round_ticks(low, high if high > 0 or low < 0 else 1.0)
    end = float(times[-1]) if duration_s is None and len(times) else duration_s or 1.0
    return {
        "x": time_axis(0.0, end, [number(t) for t in times]),
        "y": y_axis((ticks[0], ticks[-1]), y_label, ticks),
        "curves": [
            encoded(i, Curve(name, column))
            for i, (name, column) in enumerate(zip(names, columns, strict=True))
        ],
        "shade": [] if shade is None else [list(shade)],
        "landmarks": [{"what": w, "start": start, "stop": stop} for w, start, stop in landmarks],
        "note": note,
        "words": _traces_in_words(names, traces, end, shade),
    }


def time_axis(start: float, stop: float, values: list[float | None]) -> dict[str, Any]:
    """Return an axis of time (s)."""
    ticks = [tick for tick in round_ticks(start, stop, 8) if start <= tick <= stop * (1 + 1e-9)]
    words = {"label": "time (s)", "name": "time", "unit": "s", "log": False}
    return {**words, "values": values, "ticks": ticks, "low": start, "high": stop}


def _thinned(seconds: np.ndarray, traces: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a common time axis and the traces on it, without losing the peaks of any."""
    kept = [np.isin(seconds, thin(seconds, trace)[0]) for trace in traces.T]
    keep = np.logical_or.reduce(kept) if kept else np.ones(len(seconds), dtype=bool)
    return seconds[keep], list(traces[keep].T)


def _traces_in_words(
    names: Sequence[str], traces: np.ndarray, end: float, shade: tuple[float, float] | None
) -> str:
    parts = [
        f"{name} from {np.nanmin(trace):.3g} to {np.nanmax(trace):.3g}"
        for name, trace in zip(names, traces.T, strict=True)
        if np.isfinite(trace).any()
    ]
    window = "" if shade is None else f"; response window {shade[0]:.2f} to {shade[1]:.2f} s"
    return f"responses over {end:.2f} s{window}. " + "; ".join(parts)
