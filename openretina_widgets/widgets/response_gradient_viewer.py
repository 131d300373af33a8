"""The gradient of the response on the grid of green and UV contrasts, as arrows over a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.response_gradient import (
    GradientStep,
    response_gradient_steps,
)
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import beside_or_above
from openretina_widgets.widgets.export_button import ChosenExport, ExportMenu
from openretina_widgets.widgets.measures_table import table
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.run_panel import RunControls
from openretina_widgets.widgets.run_status import RunStatus
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.selection_run import SelectionRun
from openretina_widgets.widgets.stimulus_designer import player_limits, shared_selection
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from openretina_widgets.widgets.tuning_map import MOST_MAPS, ResponseMap, TuningMap

_HINT = "Press Run: an arrow is how the response grows with green and with UV."
_FLASHES = {"flash, full field": "full field", "flash, on each receptive field": "local"}
_POINTS = (5, 7, 9, 13, 17)
_EXPLAINED = (
    '<div class="orw-note">Direction: 0° more green, 90° more UV. Opponency, from −1 to 1: 1 where '
    "the derivatives by green and by UV are of opposite sign and equal size at every point, −1 "
    "where they are equal, 0 where one channel alone counts. Share of opposed signs: of the points "
    "at which the two have opposite signs. Coherence: 1 where the gradient has one direction at "
    "every point, 0 where its directions cancel.</div>"
)


@dataclass(frozen=True, eq=False)
class LiveGradient:
    """What is drawn of a run: copies of a step's arrays."""

    done: int
    total: int
    neurons: tuple[int, ...]
    responses: np.ndarray
    gradients: np.ndarray
    grey_response: np.ndarray

    @classmethod
    def of(cls, step: GradientStep) -> LiveGradient:
        """Copy what is drawn of a step."""
        arrays = (step.responses, step.gradients, step.grey_response)
        return cls(step.done, step.total, step.neurons, *(array.copy() for array in arrays))


class ResponseGradientViewer(ChosenExport, SelectionRun[LiveGradient, ResponseGradient]):
    """How the response of each neuron grows with the contrast of green and of UV, live.

    A map of the responses with the gradient as an arrow in each cell; a click on a cell plays its
    stimulus, and a run that of the largest response at first. A run takes place in a worker thread
    and computes all neurons, so that others can be chosen afterwards without a new one.

    Parameters
    ----------
    model
        A `RetinaModel` with two channels, or such a live OpenRetina model. None with a selection.
    selection
        What is shared with other widgets; one of its own for None.
    stimulus
        Chosen at first: ``"full field"``, ``"local"``, or what else `response_gradient_steps`
        takes, such as the `OptimizationResult` that has each neuron's own best stimulus.
    points
        Contrasts of each channel, evenly spaced from −1 to 1: 5, 7, 9, 13 or 17.

    Attributes
    ----------
    result : ResponseGradient or None
        Of the last run that was not stopped; may be observed.
    job : Job or None
        The run that is going on, or the last one.
    selection : Selection
    map : TuningMap
        Its `clicked` is the point that is played.
    player : StimulusPlayer

    Raises
    ------
    ValueError
        If the model does not have two channels, or an argument does not fit.

    Examples
    --------
    >>> viewer = ResponseGradientViewer(load_model("synthetic"))
    >>> gradient = await viewer.start()
    """

    _paused = "Paused. Press Resume to go on."
    _counted = "movies"
    result = traitlets.Instance(ResponseGradient, allow_none=True)

    def __init__(
        self,
        model: RetinaModel | Any | None = None,
        *,
        selection: Selection | None = None,
        stimulus: Any = "full field",
        points: int = 9,
    ) -> None:
        self.selection = shared_selection(model, selection)
        _check_channels(self.selection.model)
        if points not in _POINTS:
            raise ValueError(f"points: expected one of {_POINTS}, got {points!r}")
        options: list[tuple[str, Any]] = [*_FLASHES.items()]
        if not isinstance(stimulus, str):
            options.append((_name_of(stimulus), stimulus))
        elif stimulus not in _FLASHES.values():
            raise ValueError(
                f"stimulus: expected one of {tuple(_FLASHES.values())}, a result or a movie, got "
                f"{stimulus!r}"
            )
        self._live: LiveGradient | None = None
        style, wide = {"description_width": "82px"}, {"width": "auto", "min_width": "0"}
        self._stimulus = ipw.Dropdown(
            options=[name for name, _ in options],
            value=next(name for name, value in options if value is stimulus or value == stimulus)
            if isinstance(stimulus, str)
            else options[-1][0],
            description="Stimulus",
            tooltip="Whose channels are scaled apart",
            layout=ipw.Layout(**wide),
            style=style,
        )
        self._given = dict(options)
        self._points = ipw.Dropdown(
            options=[(f"{n} × {n}", n) for n in _POINTS],
            value=points,
            description="Grid",
            tooltip="Contrasts of green × contrasts of UV, from −1 to 1",
            layout=ipw.Layout(**wide),
            style=style,
        )
        boxes = {
            "equalize": ("Same norm in both channels", "The norm of the whole stays"),
            "align": ("Same polarity in both channels", "The weaker one is turned over if opposed"),
        }
        self._boxes = {
            name: ipw.Checkbox(
                value=False,
                indent=False,
                description=words,
                tooltip=tooltip,
                layout=ipw.Layout(width="auto", margin="2px 0 2px 90px"),
            )
            for name, (words, tooltip) in boxes.items()
        }
        self.picker = NeuronsPicker(self.selection)
        self._buttons = RunControls(
            "Run",
            start="Compute responses and gradients of every neuron",
            pause="Pause after this batch, or go on",
            stop="End the run; what was computed stays drawn",
            width="96px",
        )
        self._status = RunStatus()
        self.map = TuningMap(title="Response and its gradient", height=400)
        self._words = ipw.HTML(layout=ipw.Layout(width="auto", overflow="auto"))
        self._stage = ipw.VBox(layout=ipw.Layout(width="100%", margin="8px 0 0"))
        what = ipw.VBox([self._stimulus, self._points, *self._boxes.values()])
        right = ipw.VBox(
            [self._buttons, self._status, self.map, self._stage, self._words],
            layout=ipw.Layout(flex="1000 1 480px", min_width="0"),
        )
        super().__init__(
            (
                ipw.HBox(
                    [beside_or_above([what, self.picker]), right],
                    layout=ipw.Layout(flex_flow="row wrap", width="100%"),
                ),
                ExportMenu(self, name="response_gradient"),
            )
        )
        self.add_class("orw-response-gradient")
        self._steered_by(self._buttons)
        self.player: StimulusPlayer
        self._show_model()
        self.map.observe(lambda _: self._main_loop.call(self._show_point), "clicked")
        for control in (self._stimulus, self._points, *self._boxes.values()):
            control.observe(lambda _: self._main_loop.call(self.reset), "value")
        self._follow_selection()

    # In code ---------------------------------------------------------------------------------

    def start(self, *, paused: bool = False) -> Job[LiveGradient, ResponseGradient]:
        """Start a run with the settings shown; one that is going on is ended first.

        Returns
        -------
        Job
            ``await`` it for the `ResponseGradient`.

        Raises
        ------
        TypeError, ValueError
            If the settings do not fit; the message is shown in the widget as well.
        """
        self._end_job()
        chosen, values = self.selection, self._contrasts
        try:
            steps = response_gradient_steps(
                chosen.model,
                self._given[self._stimulus.value],
                data_key=chosen.data_key,
                green=values,
                uv=values,
                **{name: box.value for name, box in self._boxes.items()},
            )
        except (TypeError, ValueError, MemoryError) as error:
            self._fail(error)
            raise
        self.result, self._live = None, None
        self._prepare()
        n = len(values)
        return self._launch(
            lambda: steps,
            snapshot=LiveGradient.of,
            name="response gradient",
            doing=f"{self._stimulus.value.capitalize()}: {n} × {n} contrasts, all neurons.",
            paused=paused,
        )

    def reset(self) -> None:
        """End the run, and take result and pictures away."""
        self._end_job()
        self.job, self.result, self._live = None, None, None
        self._prepare()
        self._say_idle(_HINT)

    def _close_others(self) -> None:
        self.picker.close()

    # The selection ---------------------------------------------------------------------------

    @property
    def _chosen_neurons(self) -> tuple[int, ...]:
        return self.selection.neurons

    def _selection_changed(self, change: Any) -> None:
        if change["name"] == "model":
            self._show_model()
        elif change["name"] == "data_key":
            self.reset()
        else:
            self._draw()
            self._show_point()

    def _show_model(self) -> None:
        screen = Screen.of(self.selection.model)
        old = self._stage.children
        self.player = StimulusPlayer(
            title="Stimulus of this point",
            channels=screen.channels,
            frame_rate=screen.frame_rate,
            pixel_size_um=screen.pixel_size_um,
            limits=player_limits(screen),
            shape=(len(screen.channels), screen.lag + 1, screen.height, screen.width),
            height=180,
            autoplay=True,
            placeholder="Press Run: the point with the largest response is played first.",
        )
        self._stage.children = (self.player,)
        for widget in old:
            widget.close()
        self.reset()

    # Pictures --------------------------------------------------------------------------------

    @property
    def _contrasts(self) -> Sequence[float]:
        return tuple(np.linspace(-1.0, 1.0, self._points.value).tolist())

    @property
    def _labels(self) -> tuple[str, ...]:
        return self.selection.labels[:MOST_MAPS]

    def _prepare(self) -> None:
        """Draw the empty grid, so that nothing moves while it fills."""
        self._words.value = ""
        self.player.clear()
        names = self.selection.model.channels
        if len(names) != 2:  # another model came: a run says what is missing
            names = ("green", "UV")
        first, second = names
        self.map.prepare(
            Axis.of(first, self._contrasts),
            Axis.of(second, self._contrasts),
            labels=(f"{first} contrast", f"{second} contrast"),
            channels=(first, second),
            names=self._labels,
        )

    def _draw(self) -> None:
        live, names = self._live, self._labels
        n = len(self._contrasts)
        empty = np.full((n, n), np.nan)
        maps, longest = [], []
        for name, neuron in zip(names, self.selection.neurons, strict=False):
            if live is None or neuron not in live.neurons:
                maps.append(ResponseMap(name, empty))
                continue
            at = live.neurons.index(neuron)
            slopes = live.gradients[:, :, at]
            maps.append(
                ResponseMap(name, live.responses[..., at], float(live.grey_response[at]), slopes)
            )
            if np.isfinite(slopes).any():
                longest.append(f"{np.nanmax(np.linalg.norm(slopes, axis=2)):.3g}")
        note = ""
        if longest:
            note = f"Arrows: gradient, the longest {', '.join(longest)} a.u. for a contrast of 1."
        if live is not None and any(one.gradient is None for one in maps):
            note += " An empty map: that neuron has no stimulus among those given."
        if (left_out := len(self.selection.neurons) - len(names)) > 0:
            note += f" {left_out} further chosen neurons are not drawn."
        self.map.draw(maps, note=note.strip())
        self._tell_measures()

    def _tell_measures(self) -> None:
        result = self.result
        if result is None:
            return
        shown = [
            (result.column(neuron), name)
            for name, neuron in zip(self._labels, self.selection.neurons, strict=False)
            if neuron in result.neurons
        ]
        self._words.value = (
            table(
                result.indices(),
                {},
                main="contrast",
                columns=[column for column, _ in shown],
                names=[name for _, name in shown],
            )
            + _EXPLAINED
            if shown
            else ""
        )

    def _choose_point(self) -> None:
        """Choose the point of the largest response of the leading neuron, where none is chosen."""
        result, neuron = self.result, self.selection.neuron
        if result is None or neuron not in result.neurons or self.map.clicked is not None:
            return
        responses = result.responses[:, :, result.column(neuron)]
        if np.isfinite(responses).any():
            self.map.clicked = int(np.nanargmax(responses))

    def _show_point(self) -> None:
        """Play the stimulus of the chosen point, that of the leading neuron."""
        result, place = self.result, self.map.place
        if result is None or place is None or self.selection.neuron not in result.neurons:
            return
        at = (float(result.green[place[0]]), float(result.uv[place[1]]))
        self.player.stimulus = result.movie(self.selection.neuron, *at)
        first, second = result.channels
        words = f"{first} {at[0]:+.3g}, {second} {at[1]:+.3g}".replace("-", "−")
        self.player.title = f"Stimulus of this point: {words}"

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, live: LiveGradient) -> None:
        self._live = live
        self._draw()
        progress = live.done / live.total
        self._show_going(progress=progress, figures=self._figures(live.done, live.total))

    def _ended_without(self, job: Job[LiveGradient, ResponseGradient]) -> None:
        live = self._live
        share = 0.0 if live is None else live.done / live.total
        words = f"Ended: {job.reason}, with {share:.0%} of the movies done. "
        self._status.tell("idle", words + "Press Run to compute them all.")

    def _ended_with(
        self, result: ResponseGradient, job: Job[LiveGradient, ResponseGradient]
    ) -> None:
        self.result = result
        total = len(result.movies) * (len(result.green) * len(result.uv) + 1)
        self._live = LiveGradient(
            total,
            total,
            result.neurons,
            result.responses,
            result.gradients,
            result.grey_response,
        )
        self._draw()
        self._choose_point()
        self._show_point()
        notes = "".join(f" Note: {note}." for note in result.notes)
        self._status.tell(
            "finished",
            f"Done: {result.stimulus}, {len(result.neurons)} neurons. Click on a cell to see its "
            f"stimulus.{notes}",
            progress=1.0,
            figures=self._figures(total, total),
        )


def _check_channels(model: RetinaModel) -> None:
    if len(model.channels) != 2:
        raise ValueError(
            "model: two channels, green and UV, are scaled apart; this one has "
            f"{len(model.channels)}: {', '.join(model.channels)}"
        )


def _name_of(stimulus: Any) -> str:
    if isinstance(stimulus, OptimizationResult):
        return "each neuron's own best stimulus"
    return str(getattr(stimulus, "name", "") or "the movie given")
