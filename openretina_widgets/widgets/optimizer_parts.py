"""The buttons of the stimulus optimiser, and what is seen of several seeds."""

from __future__ import annotations

import html

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour
from openretina_widgets.insilico.stimulus_optimization.agreement import agreement_of, set_in_words
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.run_panel import RunControls
from openretina_widgets.widgets.settings_fields import shown

_WIDTH = "112px"  # of a button


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


class SeedsPanel(Composition):
    """Whether the seeds of an experiment agree: in words, and as the spread of the course."""

    def __init__(self, model: RetinaModel) -> None:
        self._model = model
        # Made when they are first wanted: a chart that is drawn where it is hidden has no size.
        self._heading, self._said = ipw.HTML(), ipw.HTML(layout=ipw.Layout(min_height="60px"))
        self.chart: Chart | None = None
        self._is_set = False
        super().__init__((self._heading, self._said), layout=ipw.Layout(width="100%"))
        self.add_class("orw-seeds")
        shown(self, False)

    def _made_chart(self) -> Chart:
        if self.chart is None:
            self.chart = Chart(
                "Course where it varies most, mean ± SD of the seeds",
                x_label="time (s)",
                y_label="model units",
                colours=[channel_colour(name) for name in self._model.channels],
                names=self._model.channels,
                bands=True,
                layout=ipw.Layout(width="100%", max_width="720px"),
            )
            self.children = (self._heading, self._said, self.chart)
        return self.chart

    @property
    def words(self) -> str:
        """What is said, as HTML."""
        return str(self._said.value)

    def prepare(self, seeds: int, time_steps: int, *, is_set: bool = False) -> None:
        """Be there for a run of several seeds or a diverse set, and empty until it has ended."""
        self._is_set = is_set
        shown(self, seeds > 1 or is_set)
        if seeds < 2 and not is_set:
            return
        heading = "How different are they?" if is_set else "Do the seeds agree?"
        self._heading.value = f'<div class="orw-heading">{heading}</div>'
        self._tell("It is said when the run has ended.")
        if is_set:
            if self.chart is not None:
                shown(self.chart, False)
            return
        chart = self._made_chart()
        shown(chart, True)
        chart.clear()
        chart.limits(0, (time_steps - 1) / self._model.frame_rate)

    def show(self, result: OptimizationResult, elements: range) -> None:
        """Compare the seeds of an experiment, or the stimuli of a set."""
        if self._is_set:
            self._tell(set_in_words(result))
            return
        if len(elements) < 2:
            return
        found = agreement_of(result, elements)
        row, column = found.pixel
        self._tell(
            f"{found.in_words} Below, the course where their mean varies most in time: row {row}, "
            f"column {column}."
        )
        seconds = np.arange(found.mean.shape[1]) / self._model.frame_rate
        self._made_chart().draw_bands(seconds, found.mean, found.spread)

    def _tell(self, words: str) -> None:
        self._said.value = f'<div class="orw-said" role="status">{html.escape(words)}</div>'
