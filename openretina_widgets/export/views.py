"""What a page shows of each result: which widget, in which state, under which heading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openretina_widgets.drawing import colour, movie
from openretina_widgets.drawing.curve_content import Curve, encoded, numbers, whole_content, y_axis
from openretina_widgets.drawing.field_content import (
    as_images,
    encode_images,
    listing,
    project,
    unit_of,
)
from openretina_widgets.drawing.row_content import encode
from openretina_widgets.drawing.ticks import round_ticks, thin
from openretina_widgets.drawing.tuning_content import (
    axes_content,
    curves_content,
    trace_content,
    which_way,
)
from openretina_widgets.export.results import Result
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.insilico.shown_stimulus import ShownStimulus
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.indices import tuning_along

_GROUP = 6  # neurons in a plot: as many colours are told apart
_LINES = {"clicked": None, "placeholder": "Nothing is defined here."}


@dataclass(frozen=True)
class View:
    """A widget's front end with its state; bytes in the state are bytes."""

    module: str
    state: dict[str, Any]
    whole: bool = False  # takes the width of the page
    name: str = ""  # of what is chosen here, for those that follow
    follows: tuple[str, ...] = ()  # names of the choices that decide the state
    # What changes, by the choices: their values with a slash between them.
    states: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Views under a heading, folded or not."""

    title: str = ""
    words: str = ""
    views: list[View] = field(default_factory=list)
    folded: bool = False


def groups_of(result: Result) -> list[Group]:
    """Return what is shown of a result in which no view follows another."""
    if isinstance(result, OptimizationResult):
        return [_stimulus(result, element) for element in range(len(result.stimulus))]
    if isinstance(result, TuningCurves):
        starts = range(0, len(result.neurons), _GROUP)
        return [_curves(result, range(len(result.neurons))[k : k + _GROUP]) for k in starts]
    if isinstance(result, ReceptiveFields):
        return _fields(result)
    if isinstance(result, ShownStimulus):
        return _shown(result)
    if isinstance(result, SelectivityTable):
        return [_table(result)]
    raise TypeError(f"there is no view of {type(result).__name__}")


# Stimuli -------------------------------------------------------------------------------------


def _stimulus(result: OptimizationResult, element: int) -> Group:
    neurons = result.neurons[element] if result.neurons else ()
    seed = f", seed {result.seeds[element]}" if result.seeds else ""
    several = f"{len(neurons)} neurons" if len(neurons) > 4 else ", ".join(map(str, neurons))
    title = f"Neuron {several}{seed}" if neurons else f"Stimulus {element}"
    best, end = int(result.best_iteration[element]), int(result.iterations[element])
    trace = result.score_trace[: end + 1, element].numpy()
    views = [
        _player(result, result.stimulus[element]),
        lines_view(
            "Score",
            np.arange(len(trace)),
            [Curve("score", trace)],
            x=("iteration", ""),
            y_label="score (a.u.)",
        ),
    ]
    if result.response is not None:
        views.append(_response(result, result.response[element].numpy()))
    words = (
        f"Score {float(result.score[element]):.4g} at iteration {best} of {end}, norm "
        f"{float(result.norm[element]):.4g}. Ended: {result.stop_reasons[element]}."
    )
    return Group(title, words, views)


def player_content(stimulus: Any, channels: Sequence[str]) -> dict[str, Any]:
    """Return what a player draws of a stimulus."""
    values = movie.as_movie(stimulus)
    names = channels or movie.channel_names(len(values))
    content = movie.encode_movie(
        values, values.shape, channels=names, limits=(), colour_map="diverging"
    )
    return {"version": 1, **content}


def player_state(result: Any, *, unit: str) -> dict[str, Any]:
    """Return the state of a player without a stimulus, for a result's rate and pixels."""
    return {
        "title": "",
        "unit": unit,
        "frame_rate": result.frame_rate,
        "pixel_size_um": result.pixel_size_um,
        "height": 220.0,
        "scale": None,
        "panels": "all",
        "controls": True,
        "autoplay": True,
        "loop": True,
        "placeholder": "",
        "_colours": movie.look_up_tables("diverging"),
    }


def _player(result: OptimizationResult | ShownStimulus, stimulus: Any) -> View:
    state = player_state(result, unit=result.unit)
    content = player_content(stimulus, result.channels)
    return View("stimulus_player", state | {"_content": content}, whole=True)


def _shown(result: ShownStimulus) -> list[Group]:
    """Return the movie, and the responses of some neurons at a time."""
    seconds = result.response_frames / result.frame_rate
    duration = result.stimulus.shape[1] / result.frame_rate
    shade = None
    if result.window is not None:
        edges = [min(edge / result.frame_rate, duration) for edge in result.window]
        shade = (edges[0], edges[1])
    groups = [Group(views=[_player(result, result.stimulus)])]
    for start in range(0, len(result.neurons), _GROUP):
        columns = range(len(result.neurons))[start : start + _GROUP]
        traces = np.asarray(result.response)[:, list(columns)]
        names = [name_of(result.neurons[c], result.cell_types[c]) for c in columns]
        first, last = result.neurons[columns[0]], result.neurons[columns[-1]]
        title = f"Neuron {first}" if len(columns) == 1 else f"Neurons {first} to {last}"
        view = _traces("Response, window shaded", seconds, traces, names, shade, duration)
        groups.append(Group(title, "", [view], folded=start > 0))
    return groups


def _response(result: OptimizationResult, response: np.ndarray) -> View:
    lag = result.lag or 0
    seconds = (np.arange(len(response)) + lag) / result.frame_rate
    shade = None
    if result.window is not None:
        start, stop = result.window
        shade = ((start + lag) / result.frame_rate, (stop + lag) / result.frame_rate)
    duration = result.stimulus.shape[2] / result.frame_rate
    return _traces("Response to it", seconds, response[:, None], ["response"], shade, duration)


# Tuning --------------------------------------------------------------------------------------


def _curves(curves: TuningCurves, columns: range) -> Group:
    axis = curves.axis(curves.polar) if curves.polar else curves.axes[0]
    names = [name_of(curves.neurons[c], curves.cell_types[c]) for c in columns]
    along = tuning_along(curves, axis.name)
    views = []
    if len(axis) > 1:
        period = 180 if axis.name == "orientation" else 360
        note = which_way(period) if curves.polar else ""
        if len(curves.axes) > 1:
            others = ", ".join(one.label for one in curves.axes if one.name != axis.name)
            note = f"{note} Each neuron at its best {others}.".strip()
        spread = _errors(curves)
        errors = None if spread is None else along.take(spread)
        drawn = [
            Curve(name, along.responses[:, c], None if errors is None else errors[:, c])
            for name, c in zip(names, columns, strict=True)
        ]
        axes = axes_content(
            axis,
            kind="polar" if curves.polar else "cartesian",
            log=None,
            period=period,
            unit=curves.unit,
            note=note,
        )
        baseline = float(curves.baseline[columns[0]]) if len(columns) == 1 else None
        content, _ = curves_content(
            drawn, axis, axes, unit=curves.unit, note=note, baseline=baseline
        )
        state = {"title": "Tuning", "height": 340.0, **_LINES}
        views.append(View("tuning_plot", state | {"_content": whole_content(**axes | content)}))
    views.append(_best_traces(curves, along, columns, names))
    first, last = curves.neurons[columns[0]], curves.neurons[columns[-1]]
    title = f"Neuron {first}" if len(columns) == 1 else f"Neurons {first} to {last}"
    return Group(title, "", views, folded=columns[0] > 0)


def _best_traces(curves: TuningCurves, along: Any, columns: range, names: list[str]) -> View:
    best = np.where(np.isfinite(along.responses), along.responses, -np.inf).argmax(axis=0)
    every = along.take(curves.traces)
    traces = np.stack([every[best[c], :, c] for c in columns], axis=1)
    windows = curves.windows.reshape(-1, 2)
    alike = bool((windows == windows[0]).all())
    shade = tuple(windows[0] / curves.frame_rate) if alike else None
    seconds = np.arange(len(traces)) / curves.frame_rate
    note = "Each neuron in the condition that it answers most; time from the first response."
    if curves.onset:
        note += f" The stimulus begins at {curves.onset / curves.frame_rate:.3g} s."
    return _traces("Responses over time", seconds, traces, names, shade, None, note)


def _errors(curves: TuningCurves) -> np.ndarray | None:
    """Return standard errors over noisy repeats, None where there are none."""
    if curves.repeats is None or len(curves.repeats) < 2:
        return None
    spread: np.ndarray = curves.repeats.std(axis=0, ddof=1) / np.sqrt(len(curves.repeats))
    return spread


# Fields --------------------------------------------------------------------------------------


def _fields(fields: ReceptiveFields) -> list[Group]:
    images, kernels = project(fields.fields, fields.temporal, fields.spatial)
    shown = as_images(images)
    types = fields.cell_types or ("",) * len(fields.neurons)
    names = [name_of(neuron, kind) for neuron, kind in zip(fields.neurons, types, strict=True)]
    several = fields.channels if len(fields.channels) > 1 else ()
    many = len(fields.neurons) > 8
    frames, limits = encode_images(shown, "each")
    said = listing(shown, fields.neurons, names, _field_notes(fields), several)
    wall = wall_state("Receptive fields", unit_of(fields.method), fields.pixel_size_um, many=many)
    wall["_content"] = {"version": 1, **said, "limits": limits, "frames": frames}
    groups = [Group(views=[View("field_wall", wall, whole=True)])]
    if fields.temporal.shape[1] > 1:
        for start in range(0, len(fields.neurons), _GROUP):
            cells = range(len(fields.neurons))[start : start + _GROUP]
            views = [
                lines_view(
                    f"Kernels in time, {channel}",
                    fields.time_ms,
                    [Curve(names[cell], kernels[cell, k]) for cell in cells],
                    x=("time before the response", "ms"),
                    y_label="relative to the peak",
                )
                for k, channel in enumerate(fields.channels)
            ]
            first, last = fields.neurons[cells[0]], fields.neurons[cells[-1]]
            title = f"Neuron {first}" if len(cells) == 1 else f"Neurons {first} to {last}"
            groups.append(Group(title, "", views, folded=start > 0))
    return groups


def wall_state(title: str, unit: str, pixel_size_um: float | None, *, many: bool) -> dict[str, Any]:
    """Return the state of a wall without its images."""
    return {
        "title": title,
        "unit": unit,
        "pixel_size_um": pixel_size_um,
        "height": 420.0 if many else 240.0,
        "tile": 130.0 if many else 240.0,
        "scale": "each",
        "selected": [],
        "placeholder": "Nothing here.",
        "_colours": colour.DIVERGING.tobytes(),
    }


def _field_notes(fields: ReceptiveFields) -> list[str]:
    diameters = fields.pixel * fields.fit.diameter
    return [
        f"not determined: {reason}"
        if reason
        else f"{polarity}, diameter {diameter:.3g} {fields.space_unit}"
        for reason, polarity, diameter in zip(
            fields.reasons, fields.polarity, diameters, strict=True
        )
    ]


# Tables --------------------------------------------------------------------------------------


def table_state(table: SelectivityTable, *, height: int = 420) -> dict[str, Any]:
    """Return the state of a table."""
    return {
        "_content": encode(table),
        "_shown": None,
        "selected": [],
        "placeholder": "",
        "height": height,
        "sort_by": "",
        "descending": False,
    }


def _table(table: SelectivityTable) -> Group:
    rows = table_state(table)
    shared = {name: rows[name] for name in ("_content", "_shown", "selected", "placeholder")}
    views = [View("population_table", rows, whole=True)]
    numbers_of = [c.name for c in table.columns if c.kind == "number" and c.name != "neuron"]
    texts = [c.name for c in table.columns if c.kind == "text"]
    if len(numbers_of) > 1 and texts:
        x, y = (
            wanted if wanted in numbers_of else numbers_of[k]
            for k, wanted in enumerate(("on_off", "dsi"))
        )
        kind = "suggested_type" if "suggested_type" in texts else texts[0]
        views.append(
            View(
                "population_scatter",
                shared | {"height": 420, "x": x, "y": y, "colour": kind},
                whole=True,
            )
        )
    words = "A click on a heading sorts; a dash is undefined, and says why."
    return Group("", words, views)


# Lines ---------------------------------------------------------------------------------------


def lines_view(
    title: str,
    x_values: np.ndarray,
    curves: Sequence[Curve],
    *,
    x: tuple[str, str],
    y_label: str,
) -> View:
    """Return a line plot over any numbers, such as iterations; `x` is their name and unit."""
    values = np.asarray(x_values, dtype=float)
    kept = np.ones(len(values), dtype=bool)
    if curves:
        shown = [np.isin(values, thin(values, np.asarray(one.values))[0]) for one in curves]
        kept = np.logical_or.reduce(shown)
    every = np.concatenate([np.asarray(one.values, dtype=float) for one in curves])
    every = np.append(every[np.isfinite(every)], 0.0)
    ticks = round_ticks(float(every.min()), float(every.max()) or 1.0)
    low, high = float(values[0]), float(values[-1])
    high = high if high > low else low + 1.0
    name, unit = x
    content = whole_content(
        marks=False,
        hover=True,
        x={
            "values": numbers(values[kept]),
            "ticks": [tick for tick in round_ticks(low, high, 7) if low <= tick <= high],
            "label": f"{name} ({unit})" if unit else name,
            "low": low,
            "high": high,
            "log": False,
            "name": name,
            "unit": unit,
        },
        y=y_axis((ticks[0], ticks[-1]), y_label, ticks),
        curves=[
            encoded(i, Curve(one.name, np.asarray(one.values)[kept]))
            for i, one in enumerate(curves)
        ],
        words=f"{y_label} against {name}: {', '.join(one.name for one in curves)}",
    )
    return View("tuning_plot", {"title": title, "height": 240.0, **_LINES, "_content": content})


def _traces(
    title: str,
    seconds: np.ndarray,
    traces: np.ndarray,
    names: list[str],
    shade: Any,
    duration_s: float | None,
    note: str = "",
) -> View:
    finite = np.append(traces[np.isfinite(traces)], 0.0)
    content = whole_content(
        marks=False,
        hover=True,
        **trace_content(
            seconds,
            traces,
            names,
            extent=(float(finite.min()), float(finite.max())),
            duration_s=duration_s,
            shade=None if shade is None else (float(shade[0]), float(shade[1])),
            note=note,
        ),
    )
    return View("tuning_plot", {"title": title, "height": 240.0, **_LINES, "_content": content})


def name_of(neuron: int, kind: str) -> str:
    """Return what is written at a neuron: its number, and its type where it is known."""
    return f"{neuron} · {kind}" if kind else str(neuron)
