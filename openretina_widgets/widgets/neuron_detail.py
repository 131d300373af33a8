"""Receptive field and tuning of the neuron that is chosen on a wall, computed behind its run."""

from __future__ import annotations

import html
from collections.abc import Generator, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import channel_colour, symmetric_limits
from openretina_widgets.drawing.field_content import project, unit_of
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.insilico.receptive_fields.estimation import receptive_field_steps
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.indices import measures_of
from openretina_widgets.insilico.tuning_analyses.sweep import sweep_steps
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition, close_all
from openretina_widgets.widgets.curve_view import CurveView
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.experiment_controls import TITLES, main_axis
from openretina_widgets.widgets.receptive_field_parts import figures_of, outlines_of, reason_of
from openretina_widgets.widgets.retina_map import RetinaMap
from openretina_widgets.widgets.selection import Selection

_METHOD = "gradient"  # at grey: one backward pass for a neuron
_MOST_KEPT = 512  # fields; those that were computed longest ago are forgotten
_EMPTY = "Click on a stimulus to see this."
_COMPUTING = "Computing …"
_POINT = "The pointer on a point, or the arrow keys, tell its response."
_SHOWN = ("polarity", "centre x, y", "diameter at 2σ", "time to peak")
_FAILURES = (TypeError, ValueError, RuntimeError, MemoryError)  # RuntimeError: torch's own

Key = tuple[str, Hashable]


@dataclass(frozen=True, eq=False)
class Tuning:
    """Tuning curves of all neurons, and what they say of each."""

    curves: TuningCurves
    measures: dict[str, Any]


class NeuronDetail(Composition):
    """Receptive field and tuning of the leading neuron of a selection.

    The field is the gradient at grey; the tuning is of one experiment, whose stimuli are shown to
    all neurons at once, so that it is there already for the next neuron. Each is computed once, in
    a worker thread, one after the other, so that a run that goes on meanwhile loses little. Places
    and sizes are those of the finished pictures from the beginning.

    Parameters
    ----------
    selection
        Whose leading neuron is shown.
    data_key
        Session; what is chosen in another one is not shown.
    threads
        Torch threads on a CPU; None leaves torch as it is.
    experiment
        Chosen at first, one of those that `experiments_for` returns.

    Attributes
    ----------
    job : Job or None
        What is being computed, or the last that was.
    maps : list of RetinaMap
        One for each channel.
    computed : int
        How many fields and experiments were computed so far.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        data_key: str,
        threads: int | None = None,
        experiment: str = "direction",
    ) -> None:
        self._selection, self._model = selection, selection.model
        self._data_key, self._threads = data_key, threads
        self.job: Job[Any, Any] | None = None
        self.computed = 0
        self._opened = False
        self._known: dict[Key, Any] = {}
        self._failed: dict[Key, str] = {}
        self._computing: Key | None = None
        model = self._model
        _, height, width = model.input_shape
        n = len(model.channels)
        self._heading = ipw.HTML()
        self.maps = [
            RetinaMap(
                title=name if n > 1 else "",
                shape=(height, width),
                pixel_size_um=model.pixel_size_um,
                unit=unit_of(_METHOD),
                # Without its colour bar of 98 pixels, each is drawn to the same scale.
                width=(318 if n > 1 else 360) - (0 if i == n - 1 else 98),
                height=230 if n > 1 else 270,
                colour_bar=i == n - 1,
                placeholder=_EMPTY,
            )
            for i, name in enumerate(model.channels)
        ]
        self.temporal = Chart(
            "Temporal kernel",
            x_label="time before the response (ms)",
            y_label="relative to the peak",
            colours=[channel_colour(name) for name in model.channels],
            names=model.channels if n > 1 else (),
            height=180,
        )
        self.temporal.limits(-(model.lag + 1) * 1000.0 / model.frame_rate, 0.0)
        self._figures = ipw.HTML(layout=ipw.Layout(min_height="20px"))
        known = experiments_for(model)
        self._choice = ipw.Dropdown(
            options=[(TITLES[name], name) for name in known],
            value=experiment if experiment in known else known[0],
            description="Tuning",
            tooltip="Which stimuli are shown",
            layout=ipw.Layout(width="320px"),
            style={"description_width": "52px"},
        )
        self._curve = CurveView(selection, on_point=_nothing)
        maps = ipw.HBox(
            self.maps, layout=ipw.Layout(flex_flow="row wrap", width="100%", grid_gap="0 8px")
        )
        field = ipw.VBox(
            [self._heading, maps, self._figures, self.temporal],
            layout=ipw.Layout(min_width="0", flex="1 1 480px"),
        )
        self._curve.layout.flex = "0 0 auto"
        tuning = ipw.VBox(
            [self._choice, self._curve, self._curve.at],
            layout=ipw.Layout(min_width="0", flex="1 1 420px", margin="0 0 0 12px"),
        )
        row = ipw.HBox([field, tuning], layout=ipw.Layout(flex_flow="row wrap", width="100%"))
        super().__init__((row,), layout=ipw.Layout(width="100%", margin="8px 0 0"))
        self.add_class("orw-neuron-detail")
        self._choice.observe(lambda _: self._main_loop.call(self._experiment_chosen), "value")
        self._prepare_curve()
        self._draw()

    # In code ---------------------------------------------------------------------------------

    @property
    def field(self) -> ReceptiveFields | None:
        """Receptive field of the leading neuron, None while it is not known."""
        found: ReceptiveFields | None = self._known.get(("field", self._selection.neuron))
        return found if self._is_shown else None

    @property
    def tuning(self) -> TuningCurves | None:
        """Tuning curves of all neurons in the chosen experiment, None while they are not known."""
        found = self._known.get(("tuning", self._choice.value))
        return None if found is None else found.curves

    @property
    def plot(self) -> Any:
        """The plot of the tuning, a `TuningMap` for green against UV contrast."""
        return self._curve.plot

    def show(self) -> None:
        """Show the leading neuron, and compute what is not known of it."""
        self._opened = True
        self._draw()
        self._go_on()

    def wait(self, timeout: float | None = None) -> None:
        """Block until all that is to be shown is computed.

        Raises
        ------
        TimeoutError
            If one of the computations has not ended by then.
        """
        job = None
        # What has ended is shown by the job's last callback, which may begin another job.
        while self.job is not None and self.job is not job:
            job = self.job
            if not job.wait(timeout):
                raise TimeoutError(f"{job.name} is still {job.state} after {timeout} s")

    def close(self) -> None:
        """End what is computed, and close the widget."""
        if self.comm is not None:
            if self.job is not None:
                self.job.close()
            close_all(self._curve.words)  # has no place here
            self._curve.close()
        super().close()

    # What is computed ------------------------------------------------------------------------

    @property
    def _is_shown(self) -> bool:
        chosen = self._selection
        return chosen.model is self._model and chosen.data_key == self._data_key

    def _wanted(self) -> list[Key]:
        """Return what the page waits for, the first first."""
        if not (self._opened and self._is_shown):
            return []
        keys: list[Key] = [("field", self._selection.neuron), ("tuning", self._choice.value)]
        return [key for key in keys if key not in self._known and key not in self._failed]

    def _go_on(self) -> None:
        """Compute the next that is wanted; one at a time, and nothing that nobody looks at."""
        wanted = self._wanted()
        if self._computing is not None or not wanted or self.comm is None:
            return
        kind, what = key = wanted[0]
        steps = _field_of if kind == "field" else _tuning_of
        self._computing = key
        self.job = Job(
            partial(steps, self._model, self._data_key, what),
            on_done=self._ended,
            name="receptive field" if kind == "field" else "tuning curves",
            context=partial(torch_threads, self._threads),
        )
        self.job.start()

    def _ended(self, job: Job[Any, Any]) -> None:
        key, self._computing = self._computing, None
        if key is None:
            return
        error = job.exception()
        if error is None:
            self._known[key] = job.result()
            self.computed += 1
            if len(self._known) > _MOST_KEPT:
                self._known.pop(next(old for old in self._known if old[0] == "field"))
        elif isinstance(error, _FAILURES):
            self._failed[key] = f"{type(error).__name__}: {error}"
        else:
            raise error
        self._draw()
        self._go_on()

    # Pictures --------------------------------------------------------------------------------

    def _experiment_chosen(self) -> None:
        self._failed.pop(("tuning", self._choice.value), None)
        self._prepare_curve()
        self._draw()
        self._go_on()

    def _prepare_curve(self) -> None:
        self._curve.prepare(experiments.standard(self._choice.value, self._model))
        self._curve.plot.tell(_POINT)

    def _draw(self) -> None:
        self._draw_field()
        tuning: Tuning | None = self._known.get(("tuning", self._choice.value))
        said = self._failed.get(("tuning", self._choice.value), "")
        self._curve.plot.placeholder = said or (_COMPUTING if self._opened else _EMPTY)
        if not (self._opened and self._is_shown) or tuning is None:
            self._curve.draw(None, {})
        else:
            self._curve.draw(tuning.curves, {"measures": tuning.measures, "fits": {}})

    def _draw_field(self) -> None:
        neuron, title = self._selection.neuron, "Receptive field"
        fields = self.field if self._opened else None
        if fields is not None:
            self._draw_known(fields)
            self._heading.value = _heading(f"{title}: {self._selection.labels[0]}")
            return
        error = self._failed.get(("field", neuron), "") if self._is_shown else ""
        waits = self._opened and self._is_shown and not error
        for one in self.maps:
            one.placeholder = _COMPUTING if waits else _EMPTY
            one.clear()
        self.temporal.clear()
        whose = f": {self._selection.labels[0]}" if waits or error else ""
        self._heading.value = _heading(f"{title}{whose}{', computing …' if waits else ''}")
        self._figures.value = (
            f'<div class="orw-error" role="alert">{html.escape(error)}</div>'
            if error
            else '<div class="orw-note">&nbsp;</div>'
        )

    def _draw_known(self, fields: ReceptiveFields) -> None:
        images, kernels = project(fields.fields, fields.temporal, fields.spatial)
        image, kernel = images[0], kernels[0]
        limit, outlines = symmetric_limits(image)[1], outlines_of(fields, 0)
        for one, picture in zip(self.maps, image, strict=True):
            one.show(picture, limit=limit, outlines=outlines)
        if np.isfinite(kernel).all():
            self.temporal.draw(fields.time_ms, *kernel)
        else:
            self.temporal.clear()
        known = [
            f"{name} {value}" for name, value in figures_of(fields, 0) if name.startswith(_SHOWN)
        ]
        words = reason_of(fields, 0) or "; ".join(known)
        self._figures.value = f'<div class="orw-note">{html.escape(words)}</div>'


def experiments_for(model: RetinaModel) -> tuple[str, ...]:
    """Return the experiments with several conditions that show all neurons the same stimuli."""
    found = []
    for name in experiments.NAMES:
        if name == "chromatic" and len(model.channels) != 2:
            continue
        made = experiments.standard(name, model)
        if not made.centred and len(main_axis(made)) > 1:
            found.append(name)
    return tuple(found)


def _field_of(
    model: RetinaModel, data_key: str, neuron: Any
) -> Generator[Any, Any, ReceptiveFields]:
    return (
        yield from receptive_field_steps(
            model, neurons=[neuron], data_key=data_key, method="gradient"
        )
    )


def _tuning_of(model: RetinaModel, data_key: str, experiment: Any) -> Generator[Any, Any, Tuning]:
    made = experiments.standard(experiment, model)
    curves = yield from sweep_steps(model, made, data_key=data_key, batch=1)
    return Tuning(curves, measures_of(curves))


def _heading(words: str) -> str:
    return f'<div class="orw-heading">{html.escape(words)}</div>'


def _nothing() -> None:
    """No stimulus is shown when a point of the curve is chosen."""
