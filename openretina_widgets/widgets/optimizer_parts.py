"""The buttons of the stimulus optimiser, and what is seen of several seeds."""

from __future__ import annotations

import html

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour
from openretina_widgets.insilico.stimulus_optimization.agreement import agreement_of
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
        self._said: ipw.HTML | None = None  # made when there are several seeds, as is the chart
        self.chart: Chart | None = None
        super().__init__(layout=ipw.Layout(width="100%"))
        self.add_class("orw-seeds")
        shown(self, False)

    def _build(self) -> tuple[ipw.HTML, Chart]:
        if self._said is None or self.chart is None:
            self._said = ipw.HTML(layout=ipw.Layout(width="auto", min_height="60px"))
            self.chart = Chart(
                "Course where it varies most, mean ± SD of the seeds",
                x_label="time (s)",
                y_label="model units",
                colours=[channel_colour(name) for name in self._model.channels],
                names=self._model.channels,
                bands=True,
                layout=ipw.Layout(width="100%", max_width="720px"),
            )
            heading = ipw.HTML('<div class="orw-heading">Do the seeds agree?</div>')
            self.children = (heading, self._said, self.chart)
        return self._said, self.chart

    @property
    def words(self) -> str:
        """What is said, as HTML."""
        return "" if self._said is None else str(self._said.value)

    def prepare(self, seeds: int, time_steps: int) -> None:
        """Be there for a run of several seeds, and empty until it has ended."""
        shown(self, seeds > 1)
        if seeds < 2:
            return
        _, chart = self._build()
        chart.clear()
        chart.limits(0, (time_steps - 1) / self._model.frame_rate)
        self._tell("It is said when the run has ended.")

    def show(self, result: OptimizationResult, elements: range) -> None:
        """Compare the seeds of an experiment."""
        if len(elements) < 2:
            return
        found = agreement_of(result, elements)
        row, column = found.pixel
        self._tell(
            f"{found.in_words} Below, the course where their mean varies most in time: row {row}, "
            f"column {column}."
        )
        seconds = np.arange(found.mean.shape[1]) / self._model.frame_rate
        self._build()[1].draw_bands(seconds, found.mean, found.spread)

    def _tell(self, words: str) -> None:
        self._build()[0].value = f'<div class="orw-note" role="status">{html.escape(words)}</div>'
