"""A still picture of tuning curves, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from openretina_widgets.insilico.figure import new_figure

if TYPE_CHECKING:
    from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves

_CONVENTION = {
    "direction": "direction of motion: 0° right, 90° up",
    "orientation": "direction of the bars: 0° horizontal, 90° vertical",
}


def plot_curves(curves: TuningCurves, neurons: list[int]) -> Any:
    """Draw the curve and the traces of each neuron, a row each; the window is shaded.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a neuron was not recorded, or none was given.
    """
    if not neurons:
        raise ValueError("neurons: expected at least one neuron, got none")
    columns = [curves.column(neuron) for neuron in neurons]
    name = curves.polar or max(curves.axes, key=len).name
    figure = new_figure(8.0, 2.8 * len(neurons))
    for row, (neuron, column) in enumerate(zip(neurons, columns, strict=True)):
        polar = {"projection": "polar"} if curves.polar else {}
        left = figure.add_subplot(len(neurons), 2, 2 * row + 1, **polar)
        values, responses = curves.curve(name, neuron)
        _draw_curve(left, curves, name, values, responses, float(curves.baseline[column]))
        kind = f" · {curves.cell_types[column]}" if curves.cell_types[column] else ""
        left.set_title(f"{neuron}{kind}", fontsize="medium")
        _draw_traces(figure.add_subplot(len(neurons), 2, 2 * row + 2), curves, name, column)
    figure.suptitle(f"{curves.title}, response window shaded")
    return figure


def _draw_curve(
    axes: Any,
    curves: TuningCurves,
    name: str,
    values: np.ndarray,
    responses: np.ndarray,
    baseline: float,
) -> None:
    axis = curves.axis(name)
    if curves.polar:
        turn = np.deg2rad(values)
        if name == "orientation":  # each pair of opposite directions is one orientation
            turn, responses = np.append(turn, turn + np.pi), np.tile(responses, 2)
        closed = np.append(turn, turn[0]), np.append(responses, responses[0])
        axes.plot(*closed, "o-", color="black", markersize=3)
        around = np.linspace(0, 2 * np.pi, 90)
        axes.plot(around, np.full(90, baseline), ":", color="0.5")
        axes.set_rmin(min(0.0, float(np.nanmin(responses, initial=0.0))))
        axes.set_xlabel(f"{_CONVENTION.get(name, axis.label)}; radius {curves.unit}")
        return
    axes.plot(values, responses, "o-", color="black", markersize=3)
    axes.axhline(baseline, color="0.5", linestyle=":")
    if name.endswith("frequency") and (values > 0).all():
        axes.set_xscale("log")
    axes.set(xlabel=axis.label, ylabel=f"response ({curves.unit})")


def _draw_traces(axes: Any, curves: TuningCurves, name: str, column: int) -> None:
    names = [axis.name for axis in curves.axes]
    where = names.index(name)
    flat = np.where(np.isfinite(curves.responses[..., column]), curves.responses[..., column], -1e9)
    best: list[Any] = list(np.unravel_index(int(flat.argmax()), flat.shape))
    seconds = (np.arange(curves.traces.shape[-2]) - curves.onset) / curves.frame_rate
    n = len(curves.axes[where])
    for k in range(n):
        at: tuple[Any, ...] = (*best[:where], k, *best[where + 1 :])
        shade = str(0.75 * (1 - k / max(1, n - 1)))
        axes.plot(seconds, curves.traces[at][:, column], color=shade, linewidth=0.8)
    start, stop = curves.windows[tuple(best)] - curves.onset
    axes.axvspan((start - 0.5) / curves.frame_rate, (stop - 0.5) / curves.frame_rate, color="0.93")
    axes.set(xlabel="time from onset (s)", ylabel=f"response ({curves.unit})")
