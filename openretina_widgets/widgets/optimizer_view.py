"""The pictures of the stimulus optimiser: movie, curves and components, now and earlier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour
from openretina_widgets.insilico.stimulus_optimization.history import RunHistory
from openretina_widgets.insilico.stimulus_optimization.objective import Window
from openretina_widgets.insilico.stimulus_optimization.picture import (
    Picture,
    picture_of_history,
    picture_of_result,
    split_channels,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.history_bar import HistoryBar
from openretina_widgets.widgets.optimizer_parts import ParametersLine, SeedsPanel
from openretina_widgets.widgets.settings_fields import shown, titled
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

_RESPONSE = "Response, optimised window shaded"


class OptimizerView(Composition):
    """The movie, the score, the response, and the temporal and spatial components.

    Parameters
    ----------
    model
        The model of the runs.
    chosen
        Called with the position in the batch of the experiment to be shown, when it changes.
    drawn
        Called with each picture that was drawn whole.
    """

    def __init__(
        self,
        model: RetinaModel,
        *,
        chosen: Callable[[int], None] = lambda element: None,
        drawn: Callable[[Picture], None] = lambda picture: None,
    ) -> None:
        self._model, self._chosen, self._drawn = model, chosen, drawn
        self._history: RunHistory | None = None
        self._result: OptimizationResult | None = None
        self._newest: Picture | None = None
        self._traces: np.ndarray | None = None
        self._lag, self._seeds, self._filling = model.lag, 1, False
        self._rests = False  # whether the run goes no further than the newest picture for now
        self.by_hand = False  # whether the experiment that is shown was chosen in the page
        colours = [channel_colour(name) for name in model.channels]
        player = partial(
            StimulusPlayer,
            channels=model.channels,
            frame_rate=model.frame_rate,
            pixel_size_um=model.pixel_size_um,
        )
        self.player = player(
            title="Stimulus",
            height=200,
            placeholder="Press Optimise to see the stimulus emerge.",
            autoplay=True,
        )
        self.which = ipw.Dropdown(
            **titled("Shown", "Which stimulus of the run"),
            layout=ipw.Layout(width="auto", max_width="560px"),
            style={"description_width": "70px"},
        )
        shown(self.which, False)
        self.history = HistoryBar(self._look)
        self.parameters = ParametersLine()
        half = ipw.Layout(width="49%", min_width="300px", flex="1 1 300px")
        chart = partial(Chart, layout=half)
        self.score = chart("Score", x_label="iteration", y_label="score (a.u.)")
        self.response = chart(_RESPONSE, x_label="time (s)", y_label="response (a.u.)")
        self.temporal = chart(
            "Temporal component",
            x_label="time (s)",
            y_label="weight",
            colours=colours,
            names=model.channels,
        )
        self.spatial = player(
            title="Spatial component",
            height=160,
            panels="channels",
            controls=False,
            placeholder="It follows with the stimulus.",
        )
        self.seeds = SeedsPanel(model)
        # Its maps and their colour bar are one row, which takes the room that it needs or wraps
        # below the temporal component as a whole.
        self.spatial.add_class("orw-in-one-row")
        spatial = ipw.Box(
            [self.spatial], layout=ipw.Layout(min_width="min-content", flex="1 1 300px")
        )
        row = {"flex_flow": "row wrap", "width": "100%"}
        super().__init__(
            (
                self.which,
                self.player,
                self.history,
                self.parameters,
                ipw.HBox([self.score, self.response], layout=ipw.Layout(**row)),
                ipw.HBox([self.temporal, spatial], layout=ipw.Layout(**row)),
                self.seeds,
            ),
            layout=ipw.Layout(width="100%"),
        )
        self.which.observe(self._other, "value")

    @property
    def element(self) -> int:
        """Position in the batch of the experiment that is shown."""
        return int(self.which.value or 0)

    def prepare(
        self,
        time_steps: int,
        window: Window | None,
        last_iteration: int,
        *,
        lag: int | None = None,
        labels: Sequence[str] = ("",),
        seeds: int = 1,
        is_set: bool = False,
        has_form: bool = False,
        history: RunHistory | None = None,
    ) -> None:
        """Fix sizes and axes for a run, so that nothing moves when its pictures arrive."""
        self._history, self._result, self._newest, self._traces = history, None, None, None
        self._rests = False
        self._lag, self._seeds = self._model.lag if lag is None else lag, seeds
        self.by_hand = False
        self._fill(labels, 0)
        shown(self.which, len(labels) > 1)
        channel, height, width = self._model.input_shape
        self.player.clear(shape=(channel, time_steps, height, width))
        self.spatial.clear(shape=(channel, 1, height, width))
        for chart in (self.score, self.response, self.temporal):
            chart.clear()
        self.history.prepare(last_iteration)
        self.parameters.prepare(has_form)
        self.seeds.prepare(seeds, time_steps, is_set=is_set)
        duration = (time_steps - 1) / self._model.frame_rate
        self.score.limits(0, last_iteration)
        self.response.limits(0, duration)
        self.temporal.limits(0, duration)
        if window is None:
            self.response.shade(0.0, 0.0)
        else:
            start, stop = (np.array(window) + self._lag - 0.5) / self._model.frame_rate
            self.response.shade(start, min(stop, duration))

    def show(self, picture: Picture, *, whole: bool, rests: bool = False) -> None:
        """Draw a picture of a run: the movie alone, or the `whole`; `rests` says that it pauses.

        The movie goes last: the browser paints it when it comes, and with it what came before.
        While somebody looks at an earlier stimulus, the score alone goes on. What is shown is
        pointed out in the score and in words once it stays: of the newest picture of a run that
        goes on, the end of the curve and the figures of the run tell the same.
        """
        self._newest, self._rests = picture, rests
        if whole:
            self._take_traces(picture)
            self._draw_score(picture)
            self.history.grow(picture.iteration, rests=rests)
        if not self.history.live:
            return
        if whole:
            if rests:
                self._point_out(picture, "newest")
            else:
                self.score.mark(None)
                self.history.say("following the newest")
            self._draw_rest(picture)
        self.player.show(picture.movie)

    def settle(self) -> None:
        """Make what is shown exact: the run has ended without a result."""
        if self._newest is not None and self._result is None:
            self.show(self._newest, whole=True, rests=True)

    def finish(self, result: OptimizationResult, labels: Sequence[str] = ("",)) -> None:
        """Draw what stays: the best stimulus of the experiment that is shown."""
        self._result, self._traces = result, result.score_trace.numpy()
        if self._seeds > 1 and len(labels) == self._seeds and not self.by_hand:
            scores = result.score.nan_to_num(-math.inf)
            self._fill(labels, int(scores.argmax()))
            self._chosen(self.element)
        self._finish()

    # What is shown ---------------------------------------------------------------------------

    def _finish(self) -> None:
        result, element = self._result, self.element
        if result is None:
            return
        picture = picture_of_result(result, element)
        end, best = int(result.iterations[element]), int(result.best_iteration[element])
        self.score.limits(0, max(1, end))
        self.history.end(end, best)
        self._draw_score(picture)
        self._draw_best(picture, best)
        self.parameters.show(result, element)
        first = element - element % self._seeds
        self.seeds.show(result, range(first, first + self._seeds))

    def _draw_best(self, picture: Picture, iteration: int) -> None:
        self.player.stimulus = picture.movie
        self._point_out(picture, "best", iteration)
        self._draw_rest(picture)

    def _look(self, iteration: int) -> None:
        """The slider was moved."""
        self._main_loop.call(partial(self._show_at, iteration))

    def _show_at(self, iteration: int) -> None:
        if iteration != self.history.slider.value:
            return  # overtaken: it has been moved on
        result = self._result
        if result is not None and iteration == int(result.best_iteration[self.element]):
            self._draw_best(picture_of_result(result, self.element), iteration)
            return
        if self.history.live and self._newest is not None and result is None:
            self.show(self._newest, whole=True, rests=self._rests)
            return
        if self._history is None:
            return
        picture = picture_of_history(self._history, self.element, iteration, self._traces)
        if picture is not None:
            self._point_out(picture, "" if picture.iteration == iteration else "nearest kept")
            self._draw_rest(picture)
            self.player.show(picture.movie)

    def _other(self, _: object) -> None:
        if self._filling:
            return
        self.by_hand = True
        self._main_loop.call(self._switch)

    def _switch(self) -> None:
        self._chosen(self.element)
        self._finish()

    def _fill(self, labels: Sequence[str], element: int) -> None:
        self._filling = True
        try:
            options = [(label or "stimulus", k) for k, label in enumerate(labels)]
            if list(self.which.options) != options:
                self.which.options = options
            self.which.value = element
        finally:
            self._filling = False

    def _take_traces(self, picture: Picture) -> None:
        """Take the score traces of all experiments, as far as the picture has them."""
        if picture.traces is not None:
            self._traces = picture.traces
        elif self._traces is None or self._traces.shape[1] == 1:
            self._traces = picture.score_trace[:, None]

    def _draw_score(self, picture: Picture) -> None:
        trace = picture.score_trace
        if not len(trace):
            return
        others: np.ndarray = np.empty((0, len(trace)))
        traces = self._traces
        if traces is not None and traces.shape[1] > 1:
            newer = max(0, len(trace) - len(traces))  # these come with every few pictures alone
            traces = np.pad(traces, ((0, newer), (0, 0)), constant_values=np.nan)
            others = np.delete(traces, self.element, axis=1).T
            trace = np.append(trace, np.full(len(traces) - len(trace), np.nan))
            if self._result is not None:
                self.score.limits(0, max(1, len(trace) - 1))
        self.score.draw(np.arange(len(trace)), trace, others=others)

    def _point_out(self, picture: Picture, which: str, iteration: int | None = None) -> None:
        """Say what is shown, and put the cursor of the score there."""
        at = picture.iteration if iteration is None else iteration
        self.score.mark(at)
        score = "–" if math.isnan(picture.score) else f"{picture.score:.4g}".replace("-", "−")
        self.history.say(f"{at}, score {score}" + (f" · {which}" if which else ""))

    def _draw_rest(self, picture: Picture) -> None:
        """Draw the other curves and the spatial component."""
        rate = self._model.frame_rate
        if picture.response is not None:
            frames = np.arange(len(picture.response)) + self._lag
            self.response.draw(frames / rate, picture.response)
        has_one = picture.response is not None
        self.response.entitle(_RESPONSE if has_one else "Response: not of one neuron here")
        splits = picture.components or split_channels(picture.movie)
        time = np.arange(picture.movie.shape[1]) / rate
        self.temporal.draw(time, *(split.temporal for split in splits))
        # As state and not live: that would need answers of its own from the browser.
        self.spatial.stimulus = np.stack([split.spatial for split in splits])[:, None]
        self._drawn(picture)
