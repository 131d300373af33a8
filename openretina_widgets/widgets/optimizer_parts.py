"""The parts of the stimulus optimiser: its settings, its buttons and its pictures."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour
from openretina_widgets.insilico.stimulus_optimization.neurons import Direction
from openretina_widgets.insilico.stimulus_optimization.objective import Window, check_window
from openretina_widgets.insilico.stimulus_optimization.picture import Picture, split_channels
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
)
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.run_panel import RunControls
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

_USUAL_FRAMES = 50
_FULL = {"width": "auto", "min_width": "0"}
_STYLE = {"description_width": "118px"}
_WIDTH = "112px"  # of a button


class OptimizerSettings(Composition):
    """The settings of a run, with their units."""

    def __init__(
        self,
        model: RetinaModel,
        *,
        time_steps: int | None,
        window: Window | None,
        seed: int,
        direction: Direction,
        max_iterations: int,
        norm: float | None,
        tv_weight: float,
        smooth_ms: float,
        blur: float,
    ) -> None:
        _checked_frames(model, time_steps, window)  # before any widget is made
        self._model = model
        self.direction = ipw.Dropdown(
            options=[("most exciting", "increase"), ("most depressing", "decrease")],
            value=direction,
            description="Stimulus that is",
            tooltip="Increase or decrease the mean response within the window",
            layout=ipw.Layout(**_FULL),
            style=_STYLE,
        )
        self.frames = _whole("Frames", "Length of the stimulus in frames")
        self.window = ipw.IntRangeSlider(
            description="Response window",
            tooltip="Response frames whose mean is optimised; shaded in the response",
            continuous_update=False,
            layout=ipw.Layout(**_FULL),
            style=_STYLE,
        )
        self.max_iterations = _whole("Iterations, most", "The run ends earlier on a plateau")
        self.seed = _whole("Seed", "Of the noise that the run starts from", low=0)
        self.norm = _number("Norm", "L2 norm of the stimulus in model units; 0: not bounded")
        self.tv_weight = _number("Total variation", "Weight of the penalty on differences; 0: none")
        self.smooth_ms = _number(
            "Smooth, ms", "SD of a low-pass over time after each step; 0: none"
        )
        self.blur = _number("Blur", "SD of a blur of each frame after each step; 0: none")
        super().__init__(
            (
                self.direction,
                self.window,
                self.frames,
                self.max_iterations,
                self.seed,
                self.norm,
                self.tv_weight,
                self.smooth_ms,
                self.blur,
            )
        )
        self.max_iterations.value = max_iterations
        self.seed.value = seed
        self.tv_weight.value, self.smooth_ms.value, self.blur.value = tv_weight, smooth_ms, blur
        self.frames.observe(lambda _: self._fit_window(), "value")
        self.show_model(model, time_steps=time_steps, window=window, norm=norm)

    def show_model(
        self,
        model: RetinaModel,
        *,
        time_steps: int | None = None,
        window: Window | None = None,
        norm: float | None = None,
    ) -> None:
        """Start from what suits a model."""
        self._model = model
        frames, whole = _checked_frames(model, time_steps, window)
        self.frames.min, self.frames.max = 1, 100_000
        self.frames.value, self.frames.min = frames, model.lag + 1
        self._fit_window()
        self.window.value = whole
        self.norm.value = norm if norm is not None else (model.stimulus_norm or 0.0)
        self.blur.description = f"Blur, {'µm' if model.pixel_size_um else 'px'}"

    def engine_settings(self) -> dict[str, Any]:
        """Return the settings as `neuron_steps` takes them."""
        pixel = self._model.pixel_size_um or 1.0
        smoothers = [
            TemporalLowPass(self.smooth_ms.value * self._model.frame_rate / 1000.0)
            if self.smooth_ms.value > 0
            else None,
            SpatialBlur(self.blur.value / pixel) if self.blur.value > 0 else None,
        ]
        return {
            "seed": self.seed.value,
            "direction": self.direction.value,
            "time_steps": self.frames.value,
            "window": tuple(self.window.value),
            "max_iterations": self.max_iterations.value,
            "norm": self.norm.value or math.inf,
            "regularizer": TotalVariationRegularizer(self.tv_weight.value)
            if self.tv_weight.value > 0
            else None,
            "postprocessor": [smoother for smoother in smoothers if smoother is not None],
        }

    def _fit_window(self) -> None:
        """Keep the window within the response; a window that was the whole response stays so."""
        frames = self.frames.value - self._model.lag
        start, stop = self.window.value
        was_whole = (start, stop) == (0, self.window.max)
        with self.window.hold_sync():
            self.window.min, self.window.max = 0, frames
            start = min(start, frames - 1)
            stop = frames if was_whole else min(max(stop, start + 1), frames)
            self.window.value = (start, stop)


class RunButtons(RunControls):
    """Optimise, Pause or Resume, Step, Stop and Reset; those that make sense are enabled."""

    def __init__(self) -> None:
        self.reset = button("Reset", "undo", "Stop, and clear result and pictures", width=_WIDTH)
        super().__init__(
            "Optimise",
            start="Start from noise",
            pause="Pause after this iteration, or go on",
            step="One iteration, then pause",
            stop="End the run and show the best stimulus so far",
            more=[self.reset],
            width=_WIDTH,
        )
        self.optimise = self.start


class OptimizerView(Composition):
    """The movie, the score, the response, and the temporal and spatial components."""

    def __init__(self, model: RetinaModel) -> None:
        self._model = model
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
        half = ipw.Layout(width="49%", min_width="300px", flex="1 1 300px")
        chart = partial(Chart, layout=half)
        self.score = chart("Score", x_label="iteration", y_label="score (a.u.)")
        self.response = chart(
            "Response, optimised window shaded", x_label="time (s)", y_label="response (a.u.)"
        )
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
        spatial = ipw.Box([self.spatial], layout=half)
        row = {"flex_flow": "row wrap", "width": "100%"}
        super().__init__(
            (
                self.player,
                ipw.HBox([self.score, self.response], layout=ipw.Layout(**row)),
                ipw.HBox([self.temporal, spatial], layout=ipw.Layout(**row)),
            ),
            layout=ipw.Layout(width="100%"),
        )

    def prepare(self, time_steps: int, window: Window, last_iteration: int) -> None:
        """Fix sizes and axes for a run, so that nothing moves when its pictures arrive."""
        channel, height, width = self._model.input_shape
        self.player.clear(shape=(channel, time_steps, height, width))
        self.spatial.clear(shape=(channel, 1, height, width))
        for chart in (self.score, self.response, self.temporal):
            chart.clear()
        duration = (time_steps - 1) / self._model.frame_rate
        self.score.limits(0, last_iteration)
        self.response.limits(0, duration)
        self.temporal.limits(0, duration)
        start, stop = (np.array(window) + self._model.lag - 0.5) / self._model.frame_rate
        self.response.shade(start, min(stop, duration))

    def show(self, picture: Picture, *, whole: bool) -> None:
        """Draw a picture of a run that goes on: the movie alone, or the `whole`.

        The movie goes last: the browser paints it when it comes, and with it what came before.
        """
        if whole:
            self._draw_rest(picture)
        self.player.show(picture.movie)

    def finish(self, picture: Picture) -> None:
        """Draw the picture that stays."""
        self.player.stimulus = picture.movie
        self.score.limits(0, max(1, len(picture.score_trace) - 1))
        self._draw_rest(picture)

    def _draw_rest(self, picture: Picture) -> None:
        """Draw the curves and the spatial component."""
        self.score.draw(np.arange(len(picture.score_trace)), picture.score_trace)
        rate = self._model.frame_rate
        if picture.response is not None:
            frames = np.arange(len(picture.response)) + self._model.lag
            self.response.draw(frames / rate, picture.response)
        splits = picture.components or split_channels(picture.movie)
        time = np.arange(picture.movie.shape[1]) / rate
        self.temporal.draw(time, *(split.temporal for split in splits))
        # As state and not live: that would need answers of its own from the browser.
        self.spatial.stimulus = np.stack([split.spatial for split in splits])[:, None]


def _checked_frames(
    model: RetinaModel, time_steps: int | None, window: Window | None
) -> tuple[int, Window]:
    frames = max(_USUAL_FRAMES, 2 * model.lag) if time_steps is None else time_steps
    model.stimulus_shape(frames)  # refuses what is too short
    return frames, check_window(window, frames - model.lag)


def _whole(description: str, tooltip: str, *, low: int = 1) -> ipw.BoundedIntText:
    return ipw.BoundedIntText(
        description=description,
        tooltip=tooltip,
        min=low,
        max=2**31 - 1,
        layout=ipw.Layout(**_FULL),
        style=_STYLE,
    )


def _number(description: str, tooltip: str) -> ipw.BoundedFloatText:
    return ipw.BoundedFloatText(
        description=description,
        tooltip=tooltip,
        min=0.0,
        max=1e9,
        layout=ipw.Layout(**_FULL),
        style=_STYLE,
    )
