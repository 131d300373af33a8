"""The parts of the tuning explorer: its buttons, and the condition that is shown."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ipywidgets as ipw
import numpy as np

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.shown_stimulus import respond
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Condition, Experiment
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.experiment_controls import (
    condition_of,
    held_parameters,
    holding,
    value_in_words,
)
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.newest import NewestOnly
from openretina_widgets.widgets.run_panel import RunControls
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_controls import ParameterSliders
from openretina_widgets.widgets.stimulus_designer import draw_response, player_limits
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from openretina_widgets.widgets.trace_plot import TracePlot
from openretina_widgets.widgets.transport import MainLoop


class SweepButtons(RunControls):
    """Run, Pause or Resume, Step and Stop; those that make sense are enabled."""

    def __init__(self) -> None:
        super().__init__(
            "Run",
            start="Measure every condition",
            pause="Pause after this condition, or go on",
            step="One condition, then pause",
            stop="End the run; what was measured stays drawn",
            width="96px",
        )
        self.run = self.start


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
        self.traces.clear()  # the axis of responses starts anew
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
        f"{name.replace('_', ' ')} {value_in_words(value, units[name])}"
        for name, value in question.condition.items()
        if name in units
    ]
    where = ", on the leading neuron's receptive field" if "centre" in question.condition else ""
    return ", ".join(parts) + where
