"""The buttons of the stimulus optimiser, and what is seen of several seeds."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour
from openretina_widgets.insilico.stimulus_optimization.agreement import agreement_of, set_in_words
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.run_panel import RunControls, RunState
from openretina_widgets.widgets.settings_fields import shown

_WIDTH = "112px"  # of a button
_NAMED = 6  # runs that are named one by one where they ended for different reasons


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

    def show(self, state: RunState) -> None:
        """Enable what makes sense: a run that is paused is not thrown away by starting anew."""
        super().show(state)
        self.start.disabled = state == "paused"
        self.start.tooltip = (
            "Paused: Resume the run, or Stop or Reset it before a new one"
            if state == "paused"
            else "Start from noise"
        )


class ParametersLine(ipw.HTML):
    """What the form of a stimulus is, in figures with their units, once its run has ended."""

    def __init__(self) -> None:
        super().__init__(layout=ipw.Layout(width="auto", min_height="64px", margin="0 2px 4px"))
        shown(self, False)

    def prepare(self, has_form: bool) -> None:
        """Be there for a run whose stimulus has a form, and empty until it has ended."""
        shown(self, has_form)
        self._tell("its parameters are said when the run has ended.")

    def show(self, result: OptimizationResult, element: int) -> None:
        """Say the parameters of one stimulus."""
        shown(self, bool(result.parameters))
        said = parameters_in_words(result, element)
        self._tell(" · ".join(f"{html.escape(name)} {html.escape(text)}" for name, text in said))

    def _tell(self, words: str) -> None:
        self.value = f'<div class="orw-said"><b>Form of the stimulus shown</b>: {words}</div>'


def parameters_in_words(result: OptimizationResult, element: int) -> list[tuple[str, str]]:
    """Return name and value with its unit of each parameter of a stimulus.

    Of a course or a picture there is its size alone: the figures are in the result.
    """
    said = []
    for name, values in result.parameters.items():
        own, unit = values[element], result.parameter_units.get(name, "1")
        unit = {"1": "", "°": "°"}.get(unit, f" {unit}")
        if own.ndim == 0:
            text = f"{_figure(float(own))}{unit}"
        elif own.ndim == 1 and len(own) == len(result.channels):
            each = zip(result.channels, own.tolist(), strict=True)
            text = ", ".join(f"{channel} {_figure(value)}" for channel, value in each) + unit
        else:
            text = f"{' × '.join(map(str, own.shape))} values, in result.parameters"
        said.append((name.replace("_", " "), text))
    return said


def ends_in_words(result: OptimizationResult, labels: Sequence[str]) -> str:
    """Return why the runs of a batch ended, and which of them did where they differ."""
    whose: dict[str, list[str]] = {}
    for reason, label in zip(result.stop_reasons, labels, strict=True):
        whose.setdefault(reason, []).append(label)
    if len(whose) == 1:
        return result.stop_reason
    n = len(labels)
    return "; ".join(
        f"{reason} ({', '.join(own) if len(own) <= _NAMED else f'{len(own)} of {n} runs'})"
        for reason, own in whose.items()
    )


def _figure(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


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
