"""Tuning curves, or maps of green against UV contrast, of the neurons that are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.curve_content import MOST_CURVES, Curve
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.experiment_controls import along_main, main_axis, value_in_words
from openretina_widgets.widgets.measures_table import table
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.tuning_map import MOST_MAPS, ResponseMap, TuningMap
from openretina_widgets.widgets.tuning_plot import TuningPlot

_PREFERRED = {
    "direction": "preferred_direction",
    "orientation": "preferred_orientation",
    "diameter": "preferred_diameter",
}
_SELECTIVITY = {"direction": "dsi", "orientation": "osi"}
_LEAST_INDEX = 0.1  # an angle that a neuron hardly prefers is not marked
_FREQUENCIES = ("spatial_frequency", "temporal_frequency")
_BEST = "best of each neuron"


class CurveView(Composition):
    """The tuning curves of the chosen neurons, with indices and fits in words.

    Responses to a grid of green and UV contrasts are drawn as maps, of the first neurons.

    Parameters
    ----------
    selection
        Whose neurons are drawn.
    on_point
        Called with nothing when a point is chosen, or what the other axes are held at.
    """

    def __init__(self, selection: Selection, *, on_point: Callable[[], object]) -> None:
        self._selection, self._on_point = selection, on_point
        self._plot, self._map = TuningPlot(title="Tuning"), TuningMap(title="Tuning")
        self._mapped = False
        self.words = ipw.HTML(layout=ipw.Layout(width="100%", overflow="auto"))
        self.at = ipw.VBox(layout=ipw.Layout(width="auto"))
        self._held: dict[str, ipw.Dropdown] = {}
        self._newest: tuple[TuningCurves | None, dict[str, Any]] = (None, {})
        super().__init__(
            (self._plot, self._map), layout=ipw.Layout(flex="1 1 320px", min_width="0")
        )
        for part in (self._plot, self._map):
            part.observe(lambda _: on_point(), "clicked")

    @property
    def plot(self) -> TuningPlot | TuningMap:
        """What is shown, of the two."""
        return self._map if self._mapped else self._plot

    @property
    def point(self) -> int:
        """Index of the chosen condition along the main axis; 0 without a choice."""
        if self._mapped:
            return (self._map.place or (0, 0))[0]
        return self._plot.clicked or 0

    @property
    def held(self) -> dict[str, float]:
        """Value of each axis that is not the curve's own, where one is chosen."""
        if self._mapped:
            place, other = self._map.place, self._map.axes[1]
            return {} if place is None else {other.name: float(other.values[place[1]])}
        found = {name: menu.value for name, menu in self._held.items()}
        return {name: value for name, value in found.items() if value != _BEST}

    def prepare(self, experiment: Experiment) -> None:
        """Fix the axes for an experiment, and take curves away."""
        axis = main_axis(experiment)
        self._newest = (None, {})
        before = self.held
        self._mapped = _is_grid(experiment)
        others = [] if self._mapped else [one for one in experiment.axes if one is not axis]
        old, self._held = (
            list(self._held.values()),
            {
                one.name: ipw.Dropdown(
                    description=f"At {one.name.replace('_', ' ')}",
                    options=_options(one),
                    value=before.get(one.name) if before.get(one.name) in one.values else _BEST,
                    layout=ipw.Layout(width="auto", min_width="0"),
                    style={"description_width": "138px"},
                )
                for one in others
            },
        )
        self.at.children = tuple(self._held.values())
        for menu in old:
            for part in (menu.layout, menu.style, menu):
                part.close()
        for menu in self._held.values():
            menu.observe(lambda _: self._held_changed(), "value")
        # One condition is no curve: its responses get all the room.
        self.layout.display = "none" if not self._mapped and len(axis) == 1 else None
        self._map.layout.display = None if self._mapped else "none"
        self._plot.layout.display = "none" if self._mapped or len(axis) == 1 else None
        self.plot.title = experiment.title
        self.words.value = ""
        if self._mapped:
            green, uv = experiment.axes
            self._map.prepare(
                green,
                uv,
                labels=("green contrast", "UV contrast"),
                channels=("green", "UV"),
                names=self._labels[:MOST_MAPS],
            )
            return
        self._plot.prepare(
            axis,
            kind="polar" if experiment.polar else "cartesian",
            period=180 if axis.name == "orientation" else 360,
            names=self._labels,
        )

    def draw(self, curves: TuningCurves | None, measured: dict[str, Any]) -> None:
        """Draw what is known of the chosen neurons."""
        self._newest = (curves, measured)
        known = curves is not None and curves.data_key == self._selection.data_key
        columns = [] if curves is None or not known else self._columns(curves)
        if self._mapped:
            self._draw_maps(curves if known else None, columns)
        elif curves is None or not known:
            nothing = np.full(len(self._plot.axis), np.nan)
            self._plot.draw([Curve(name, nothing) for name in self._labels])
        else:
            self._draw_curves(curves, columns, measured)
        if curves is not None and known and measured.get("measures"):
            self.words.value = table(
                measured["measures"],
                measured["fits"],
                main=main_axis(curves).name,
                columns=columns,
                names=self._labels,
            )

    def _columns(self, curves: TuningCurves) -> list[int]:
        return [curves.column(neuron) for neuron in self._selection.neurons[:MOST_CURVES]]

    def _draw_maps(self, curves: TuningCurves | None, columns: list[int]) -> None:
        names = self._labels[:MOST_MAPS]
        if curves is None:
            empty = np.full([len(axis) for axis in self._map.axes], np.nan)
            self._map.draw([ResponseMap(name, empty) for name in names])
            return
        left_out = len(self._selection.neurons) - len(names)
        self._map.draw(
            [
                ResponseMap(name, curves.responses[..., column], float(curves.baseline[column]))
                for name, column in zip(names, columns, strict=False)
            ],
            note=f"{left_out} further chosen neurons are not drawn." if left_out else "",
        )

    def _draw_curves(
        self, curves: TuningCurves, columns: list[int], measured: dict[str, Any]
    ) -> None:
        main = main_axis(curves)
        responses = along_main(curves, curves.responses, self.held)
        errors = None
        if curves.repeats is not None and len(curves.repeats) > 1:
            spread = curves.repeats.std(axis=0, ddof=1) / np.sqrt(len(curves.repeats))
            errors = along_main(curves, spread, self.held)
        others = {axis.name for axis in curves.axes} - {main.name}
        at_best = not others & set(self.held)  # what was fitted, and has its indices
        fitted = self._fit(main, measured) if at_best else None
        preferred = self._preferred(main.name, measured) if at_best else None
        drawn = [
            Curve(
                name,
                responses[:, column],
                errors=None if errors is None else errors[:, column],
                fit=None if fitted is None else (fitted[0], fitted[1][:, column]),
                preferred=None if preferred is None else float(preferred[column]),
            )
            for name, column in zip(self._labels, columns, strict=True)
        ]
        baseline = float(curves.baseline[columns[0]]) if len(columns) == 1 else None
        self._plot.draw(drawn, baseline=baseline)

    @property
    def _labels(self) -> tuple[str, ...]:
        return self._selection.labels[:MOST_CURVES]

    def _preferred(self, main: str, measured: dict[str, Any]) -> np.ndarray | None:
        measures, fits = measured.get("measures", {}), measured.get("fits", {})
        if main in _FREQUENCIES and main in fits:
            return np.asarray(fits[main].value("preferred").values)
        if _PREFERRED.get(main) not in measures:
            return None
        values = np.asarray(measures[_PREFERRED[main]].values)
        if main in _SELECTIVITY:
            return np.where(measures[_SELECTIVITY[main]].values >= _LEAST_INDEX, values, np.nan)
        return values

    def _fit(self, main: Any, measured: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        fit = measured.get("fits", {}).get(main.name)
        if fit is None or not np.isfinite(fit.parameters).any():
            return None
        low, high = float(main.values.min()), float(main.values.max())
        if main.unit == "°":
            x = np.linspace(0.0, 180.0 if main.name == "orientation" else 360.0, 121)
        elif low > 0:
            x = np.geomspace(low, high, 81)
        else:
            x = np.linspace(low, high, 81)
        return x, fit.predict(x)

    def _held_changed(self) -> None:
        self.draw(*self._newest)
        self._on_point()


def _options(axis: Axis) -> list[tuple[str, str | float]]:
    values = [(value_in_words(v, axis.unit), float(v)) for v in axis.values]
    return [(_BEST, _BEST), *values]


def _is_grid(experiment: Experiment) -> bool:
    """Whether it varies green against UV contrast, and nothing else."""
    names = [axis.name for axis in experiment.axes]
    return names == ["green", "uv"] and min(len(axis) for axis in experiment.axes) > 1
