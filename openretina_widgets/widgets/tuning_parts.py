"""The parts of the tuning explorer: its buttons, its curves, and the condition that is shown."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import ipywidgets as ipw
import numpy as np

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Condition, Experiment
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.curve_content import MOST_CURVES, Curve
from openretina_widgets.widgets.experiment_controls import (
    along_main,
    condition_of,
    held_parameters,
    holding,
    main_axis,
)
from openretina_widgets.widgets.measures_table import table
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.newest import NewestOnly
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_controls import ParameterSliders
from openretina_widgets.widgets.stimulus_designer import draw_response, player_limits, respond
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from openretina_widgets.widgets.trace_plot import TracePlot
from openretina_widgets.widgets.transport import MainLoop
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


class SweepButtons(ipw.HBox):
    """Run, Pause or Resume, Step and Stop; those that make sense are enabled."""

    def __init__(self) -> None:
        self.run = _button("Run", "play", "Measure every condition", style="primary")
        self.pause = _button("Pause", "pause", "Pause after this condition, or go on")
        self.step = _button("Step", "step-forward", "One condition, then pause")
        self.stop = _button("Stop", "stop", "End the run; what was measured stays drawn")
        super().__init__(
            [self.run, self.pause, self.step, self.stop],
            layout=ipw.Layout(flex_flow="row wrap", width="100%"),
        )
        self.show("idle")

    def show(self, state: Literal["idle", "running", "paused"]) -> None:
        """Enable what makes sense in a state."""
        self.pause.disabled = self.stop.disabled = state == "idle"
        self.pause.description = "Resume" if state == "paused" else "Pause"
        self.pause.icon = "play" if state == "paused" else "pause"


class CurveView(Composition):
    """The tuning curves of the chosen neurons, with indices and fits in words.

    Parameters
    ----------
    selection
        Whose neurons are drawn.
    on_point
        Called with nothing when a point is chosen, or what the other axes are held at.
    """

    def __init__(self, selection: Selection, *, on_point: Callable[[], object]) -> None:
        self._selection, self._on_point = selection, on_point
        self.plot = TuningPlot(title="Tuning")
        self.words = ipw.HTML(layout=ipw.Layout(width="100%", overflow="auto"))
        self.at = ipw.VBox(layout=ipw.Layout(width="auto"))
        self._held: dict[str, ipw.Dropdown] = {}
        self._newest: tuple[TuningCurves | None, dict[str, Any]] = (None, {})
        super().__init__((self.plot,), layout=ipw.Layout(flex="1 1 320px", min_width="0"))
        self.plot.observe(lambda _: on_point(), "clicked")

    @property
    def held(self) -> dict[str, float]:
        """Value of each axis that is not the curve's own, where one is chosen."""
        found = {name: menu.value for name, menu in self._held.items()}
        return {name: value for name, value in found.items() if value != _BEST}

    def prepare(self, experiment: Experiment) -> None:
        """Fix the axes for an experiment, and take curves away."""
        axis = main_axis(experiment)
        self._newest = (None, {})
        others = [one for one in experiment.axes if one is not axis]
        before = self.held
        old, self._held = list(self._held.values()), {
            one.name: ipw.Dropdown(
                description=f"At {one.name.replace('_', ' ')}",
                options=[(_BEST, _BEST), *((_value(v, one.unit), float(v)) for v in one.values)],
                value=before.get(one.name) if before.get(one.name) in one.values else _BEST,
                layout=ipw.Layout(width="auto", min_width="0"),
                style={"description_width": "138px"},
            )
            for one in others
        }  # fmt: skip
        self.at.children = tuple(self._held.values())
        for menu in old:
            for part in (menu.layout, menu.style, menu):
                part.close()
        for menu in self._held.values():
            menu.observe(lambda _: self._held_changed(), "value")
        single = len(axis) == 1
        self.plot.layout.display = "none" if single else None
        self.plot.title = experiment.title
        self.plot.prepare(
            axis,
            kind="polar" if experiment.polar else "cartesian",
            period=180 if axis.name == "orientation" else 360,
            names=self._selection.labels[:MOST_CURVES],
        )
        self.words.value = ""

    def draw(self, curves: TuningCurves | None, measured: dict[str, Any]) -> None:
        """Draw what is known of the chosen neurons."""
        self._newest = (curves, measured)
        if curves is None or curves.data_key != self._selection.data_key:
            self.plot.draw(
                [Curve(name, np.full(len(self.plot.axis), np.nan)) for name in self._labels]
            )
            return
        neurons = self._selection.neurons[:MOST_CURVES]
        columns = [curves.column(neuron) for neuron in neurons]
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
        self.plot.draw(drawn, baseline=baseline)
        if measured.get("measures"):
            self.words.value = table(
                measured["measures"],
                measured["fits"],
                main=main.name,
                columns=columns,
                names=self._labels,
            )

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


@dataclass(frozen=True, eq=False)
class _Question:
    model: RetinaModel
    data_key: str
    screen: Screen
    experiment: Experiment
    condition: Condition
    curves: TuningCurves | None  # holds the responses already, where they were measured


@dataclass(frozen=True, eq=False)
class _Answer:
    question: _Question
    stimulus: ArtificialStimulus
    response: np.ndarray


def _answer(question: _Question) -> _Answer:
    stimulus = question.experiment.stimulus(question.screen, **question.condition)
    found = respond(question.model, question.data_key, stimulus)
    curves = question.curves
    if curves is not None and curves.centres is not None:
        # Measured, each neuron on its own receptive field: what is played is the leading one's.
        index = tuple(
            int(np.abs(axis.values - question.condition[axis.name]).argmin())
            for axis in curves.axes
        )
        measured = curves.traces[index][: len(found)]
        found = np.where(np.isfinite(measured), measured, found)
    return _Answer(question, stimulus, found)


class ConditionView(Composition):
    """The stimulus of one condition, the responses to it, and what all conditions have in common.

    Parameters
    ----------
    selection
        Whose neurons' responses are drawn.
    main_loop
        The loop of the widget that holds it.
    on_change
        Called with nothing when a slider was moved.
    """

    def __init__(
        self, selection: Selection, *, main_loop: MainLoop, on_change: Callable[[], object]
    ) -> None:
        self._selection, self._changed = selection, on_change
        self._screen = Screen.of(selection.model)
        self.player = self._new_player()
        self._stage = ipw.VBox([self.player], layout=ipw.Layout(width="100%"))
        self.traces = TracePlot(title="Responses, window shaded", height=290)
        self.picker = NeuronsPicker(selection)
        self._place = ipw.VBox(layout=ipw.Layout(width="auto"))
        self._status = ipw.HTML(layout=ipw.Layout(width="auto", height="64px", overflow="auto"))
        heading = ipw.HTML('<div class="orw-heading">Held in every condition</div>')
        self.controls = ipw.VBox([heading, self._place, self._status])
        self.beside = ipw.VBox([self.traces], layout=ipw.Layout(flex="1 1 320px", min_width="0"))
        super().__init__((self._stage,), layout=ipw.Layout(width="100%"))
        self._live: NewestOnly[_Question, _Answer] = NewestOnly(
            _answer,
            show=self._show,
            fail=self._fail,
            main_loop=main_loop,
            context=partial(torch_threads, live_threads()),
        )
        self.sliders: ParameterSliders
        self.stimulus: ArtificialStimulus | None = None
        self._newest: _Answer | None = None

    @property
    def experiment(self) -> Experiment:
        """The experiment with what the sliders hold."""
        return holding(self._experiment, list(self.sliders.parameters), self.sliders.values)

    @property
    def busy(self) -> bool:
        """Whether the responses to what is shown are still being computed."""
        return self._live.busy

    def show_experiment(self, experiment: Experiment) -> None:
        """Show the sliders of another experiment."""
        old = getattr(self, "sliders", None)
        self._experiment = experiment
        self.sliders = ParameterSliders(
            held_parameters(experiment, self._screen), on_change=self._changed
        )
        self._place.children = (self.sliders,)
        if old is not None:
            old.close()

    def show_model(self) -> None:
        """Show another model's screen; an experiment follows."""
        self._screen = Screen.of(self._selection.model)
        old, self.player = self.player, self._new_player()
        self._stage.children = (self.player,)
        old.close()
        self._newest = None
        self.traces.clear()

    def show_point(
        self,
        index: int,
        at: dict[str, float],
        curves: TuningCurves | None,
        measured: TuningCurves | None,
    ) -> None:
        """Show the stimulus of a condition, and the responses to it.

        `curves` tell where the leading neuron is best and has its receptive field; responses are
        taken from `measured`, and computed where that is None.
        """
        experiment, chosen = self.experiment, self._selection
        condition = condition_of(curves, experiment, index, at, chosen.neuron)
        if curves is not None and curves.centres is not None:
            centre = curves.centres[curves.column(chosen.neuron)]
            if np.isfinite(centre).all():
                condition["centre"] = (float(centre[0]), float(centre[1]))
        self._live.ask(
            _Question(chosen.model, chosen.data_key, self._screen, experiment, condition, measured)
        )

    def redraw(self) -> None:
        """Draw the responses of the neurons that are chosen now."""
        found = self._newest
        if found is not None and found.question.data_key == self._selection.data_key:
            draw_response(self.traces, self._selection, found.stimulus, found.response)

    def close(self) -> None:
        """Close the widget and its controls."""
        if self.comm is not None:
            self._live.close()
            self.picker.close()
        super().close()

    def _show(self, found: _Answer) -> None:
        if found.question.model is not self._selection.model:
            return
        self._newest, self.stimulus = found, found.stimulus
        self.redraw()
        self.player.stimulus = found.stimulus.movie
        at = _condition_in_words(found.question)
        notes = "".join(f"<br>{html.escape(note)}" for note in found.stimulus.notes)
        self._say(f'<div class="orw-note">Shown: {html.escape(at)}.{notes}</div>')

    def _fail(self, error: Exception) -> None:
        words = html.escape(str(error))
        self._say(f'<div class="orw-note orw-error" role="alert">{words}</div>')

    def _say(self, words: str) -> None:
        if self._status.value != words:
            self._status.value = words

    def _new_player(self) -> StimulusPlayer:
        return StimulusPlayer(
            title="Stimulus of this condition",
            channels=self._screen.channels,
            frame_rate=self._screen.frame_rate,
            pixel_size_um=self._screen.pixel_size_um,
            limits=player_limits(self._screen),
            height=180,
            autoplay=True,
        )


def _condition_in_words(question: _Question) -> str:
    units = {axis.name: axis.unit for axis in question.experiment.axes}
    parts = [
        f"{name.replace('_', ' ')} {_value(value, units[name])}"
        for name, value in question.condition.items()
        if name in units
    ]
    where = ", on the leading neuron's receptive field" if "centre" in question.condition else ""
    return ", ".join(parts) + where


def _value(value: float, unit: str) -> str:
    return f"{value:.4g}{unit if unit == '°' else f' {unit}' if unit else ''}".replace("-", "−")


def _button(description: str, icon: str, tooltip: str, *, style: str = "") -> ipw.Button:
    return ipw.Button(
        description=description,
        icon=icon,
        tooltip=tooltip,
        button_style=style,
        layout=ipw.Layout(width="96px"),
    )
