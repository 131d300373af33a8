"""Draw the tuning curve that you expect, then measure it, and see how near you came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as ipw
import numpy as np

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.drawing.curve_content import Curve, number
from openretina_widgets.errors import real_number, unknown_name
from openretina_widgets.export.views import Group, lines_view
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.insilico.tuning_analyses.sweep import SweepStep, sweep_steps
from openretina_widgets.jobs import Job
from openretina_widgets.models.neuron import ModelIdentity
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.tutorials.percent import in_percent
from openretina_widgets.tutorials.prediction_canvas import KINDS, UNIT, Kind, PredictionCanvas
from openretina_widgets.tutorials.prediction_distance import (
    Distance,
    curve_distance,
    dial_distance,
    preferred_angle,
)
from openretina_widgets.tutorials.prediction_panel import (
    PredictionPanel,
    TakesSubmissions,
    check_classroom,
    listed,
)
from openretina_widgets.widgets.experiment_controls import value_in_words

if TYPE_CHECKING:
    from openretina_widgets.tutorials.prediction_field import FieldPrediction

Progress = tuple[int, int, TuningCurves]
_PERIODS: Mapping[str, Literal[180, 360]] = {"direction": 360, "orientation": 180}


class Prediction(PredictionPanel[Progress, TuningCurves]):
    """Predict a tuning curve, or a preferred direction, before it is measured.

    The curve is drawn by hand in percent of its largest response: 0 % is no response, and what is
    highest is 100 %, so that its shape counts and not its height. When it is committed it is
    stretched to that, and locked. Only then the sweep may run; the measured curve, in percent of
    its own largest response, grows beside it.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    experiment
        See `experiments`; or the name of one of its standard ones, such as ``"direction"``.
    neuron
        Index in its session.
    data_key
        Session, the first one for None.
    kind
        ``"cartesian"``, ``"polar"``, or ``"dial"`` for the preferred angle alone. None: by the
        axis; around a circle for angles, with the dial offered beside the curve.
    along
        The axis of the curve. None: the one that is varied, or of several the one after which the
        experiment is named.
    at
        Value of other axes, which are then held at the nearest one. The rest are swept, and the
        curve is taken at the neuron's best.
    name
        Under which the prediction is kept and sent; made of experiment and neuron for None.
    question
        What is asked above; a plain one for None.
    classroom
        Any object with ``submit(kind, id, value)``, which takes the prediction when it is
        committed, and once more when it is observed and when it is explained.

    Attributes
    ----------
    committed, attempts, result, explanation, job
        See `PredictionPanel`.
    canvas : PredictionCanvas

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. If several axes are varied, the
        experiment is named after none of them, and `along` is not given.

    Examples
    --------
    >>> prediction = Prediction(load_model("synthetic"), "direction", neuron=40)
    >>> prediction.draw([10, 20, 60, 100, 60, 20, 10, 10])
    >>> prediction.commit()
    >>> curves = await prediction.observe()
    >>> prediction.distance["angle_deg"]
    """

    def __init__(
        self,
        model: RetinaModel | Any,
        experiment: Experiment | str,
        *,
        neuron: int = 0,
        data_key: str | None = None,
        kind: Kind | None = None,
        along: str | None = None,
        at: Mapping[str, float] | None = None,
        name: str | None = None,
        question: str | None = None,
        classroom: TakesSubmissions | None = None,
    ) -> None:
        check_classroom(classroom)
        self.model = as_retina_model(model)
        self.data_key = self.model.session(data_key)
        (self.neuron,) = self.model.check_neurons(neuron, self.data_key)
        if isinstance(experiment, str):
            experiment = experiments.standard(experiment, self.model)
        if not isinstance(experiment, Experiment):
            raise TypeError(
                "experiment: expected an Experiment, such as experiments.drifting_gratings(), or "
                f"the name of a standard one, got {experiment!r}"
            )
        suited = _held(experiment.on(Screen.of(self.model)), at or {})
        self.experiment, self.axis = suited, _axis_of(suited, along)
        self._circular = self.axis.name in _PERIODS and self.axis.unit == "°"
        if kind is not None and kind not in KINDS:
            raise ValueError(unknown_name("kind", str(kind), KINDS, "kind"))
        self.canvas = PredictionCanvas(
            self.axis,
            kind=kind or ("polar" if self._circular else "cartesian"),
            period=_PERIODS.get(self.axis.name, 360),
            measured_name=f"neuron {self.neuron}, measured",
        )
        axis_words = self.axis.name.replace("_", " ")
        self._choice = ipw.ToggleButtons(
            options=[("Draw the curve", "polar"), (f"Place the preferred {axis_words}", "dial")],
            value="dial" if kind == "dial" else "polar",
            style={"button_width": "230px"},
        )
        known = suited.name.replace("_", " ")
        offered = kind is None and self._circular
        if not offered:
            self._choice.layout.display = "none"
        super().__init__(
            name=name
            or f"{' along '.join(dict.fromkeys((known, axis_words)))}, neuron {self.neuron}",
            question=question
            or f"{suited.title}. How does the response of neuron {self.neuron} depend on "
            f"{axis_words}?",
            drawing=self.canvas,
            above=(self._choice,),
            classroom=classroom,
        )
        self.add_class("orw-prediction")
        self._choice.observe(self._kind_chosen, "value")
        self.canvas.observe(lambda _: self._drawn_by_hand(), ["drawn", "angle"])

    @classmethod
    def field(cls, model: RetinaModel | Any, **settings: Any) -> FieldPrediction:
        """Return a prediction of a receptive field, picked among pictures.

        Parameters
        ----------
        model
            A `RetinaModel`, or a live OpenRetina model.
        **settings
            Of `FieldPrediction`: ``neuron``, ``data_key``, ``pictures``, ``method``, ``seed``,
            ``name``, ``question`` and ``classroom``.
        """
        from openretina_widgets.tutorials.prediction_field import FieldPrediction

        return FieldPrediction(model, **settings)

    @property
    def kind(self) -> str:
        """``"cartesian"``, ``"polar"`` or ``"dial"``."""
        return self.canvas.kind

    @property
    def value(self) -> np.ndarray | float | None:
        """What is predicted: ``(n,)`` percent, NaN where nothing is drawn; degrees of the dial."""
        if self.kind == "dial":
            return self.canvas.angle
        return np.array([np.nan if v is None else v for v in self.canvas.drawn])

    def draw(self, value: Any) -> None:
        """Draw in code.

        Parameters
        ----------
        value
            ``(n,)``, percent of the largest response, in [0, 100], one for each condition; of a
            dial the preferred angle (degrees).

        Raises
        ------
        ValueError
            If the prediction is committed, or there is another number of values, or one is not
            finite or not in [0, 100].
        TypeError
            If these are no numbers.
        """
        if self.committed:
            raise ValueError("draw: the prediction is committed, and locked; reset() starts anew")
        if self.kind == "dial":
            angle = real_number(value, "value")
            if not np.isfinite(angle):
                raise ValueError(f"value: expected an angle in degrees, got {value!r}")
            self.canvas.angle = angle
            return
        self.canvas.drawn = _checked(value, self.axis).tolist()

    # What a drawn curve has of its own ----------------------------------------------------------

    @property
    def _kind(self) -> str:  # type: ignore[override]
        return "angle" if self.kind == "dial" else "curve"

    def _missing(self) -> str:
        word = self.axis.name.replace("_", " ")
        if self.kind == "dial":
            return "" if self.canvas.angle is not None else f"place the preferred {word}"
        unit = self.axis.unit
        left = [
            value_in_words(float(at), unit)
            for at, drawn in zip(self.axis.values, self.canvas.drawn, strict=True)
            if drawn is None
        ]
        if len(left) == len(self.axis):
            return "draw the response that you expect in each condition"
        more = f" and {len(left) - 6} more" if len(left) > 6 else ""
        return f"still to draw: {word} {', '.join(left[:6])}{more}" if left else ""

    def _touched(self) -> bool:
        return self.canvas.angle is not None or any(v is not None for v in self.canvas.drawn)

    def _settle(self) -> None:
        """Stretch the curve, so that what is highest is 100 %."""
        if self.kind != "dial":
            self.canvas.drawn = in_percent(np.array(self.canvas.drawn, dtype=float)).tolist()
        self._choice.disabled = True

    def _clear(self) -> None:
        self._choice.disabled = False
        with self.canvas.hold_sync():
            self.canvas.drawn = [None] * len(self.axis)
            self.canvas.angle = None
            self.canvas.show_measured(None)

    def _kind_chosen(self, change: Any) -> None:
        self.canvas.kind = change["new"]
        self._tell()

    def _drawn_by_hand(self) -> None:
        if not self.committed:
            self._tell()

    def _new_job(self) -> Job[Progress, TuningCurves]:
        self.canvas.show_measured(None)
        n = len(self.experiment)
        self._doing = f"{self.experiment.title}: {n} conditions, neuron {self.neuron}."
        return Job(
            partial(
                sweep_steps,
                self.model,
                self.experiment,
                neurons=[self.neuron],
                data_key=self.data_key,
                batch=1,
            ),
            snapshot=_progress,
            on_update=self._show,
            on_done=self._ended,
            rate_hz=10.0,
            name="prediction",
            context=partial(torch_threads, live_threads()),
        )

    def _figures(self, done: int, total: int) -> list[tuple[str, str]]:
        shown = f"{done} of {total}" if total else f"– of {len(self.experiment)}"
        return [("attempt", str(self.attempts)), ("condition", shown)]

    def _show(self, progress: Progress) -> None:
        done, total, curves = progress
        self._counts = (done, total)
        self._draw_measured(curves, finished=False)
        self._show_going(progress=done / total, figures=self._figures(done, total))

    def _compare_with(self, result: TuningCurves) -> Distance:
        measured = self._along(result)
        period = float(_PERIODS.get(self.axis.name, 360))
        if self.kind == "dial":
            found = dial_distance(
                float(self.canvas.angle or 0.0), measured, self.axis.values, period=period
            )
        else:
            angles = self.axis.values if self._circular else None
            drawn = np.array(self.canvas.drawn, dtype=float)
            found = curve_distance(drawn, measured, angles_deg=angles, period=period)
        self._draw_measured(result, finished=True, words=found.words)
        return found

    def _along(self, curves: TuningCurves) -> np.ndarray:
        _, responses = curves.curve(self.axis.name, self.neuron)
        return responses

    def _draw_measured(self, curves: TuningCurves, *, finished: bool, words: str = "") -> None:
        responses = self._along(curves)
        known = responses[np.isfinite(responses)]
        largest = max(0.0, float(known.max(initial=0.0)))
        percent = in_percent(responses)
        baseline, preferred, note = None, None, ""
        if largest > 0:
            so_far = "" if finished else " so far"
            note = f"Measured: 100 % is {largest:.3g} {curves.unit}, the largest response{so_far}."
            if (known < 0).any():
                note += " Responses below 0 are drawn as 0."
            grey = float(curves.baseline[0])
            if finished and 0 <= grey <= largest:
                baseline = 100.0 * grey / largest
                note += " Dashed: the response to grey."
            elif finished and np.isfinite(grey):
                note += f" The response to grey is {grey:.3g} {curves.unit}."
        elif finished:
            note = "Measured: no response in any condition."
        if finished and self._circular and largest > 0:
            preferred, _ = preferred_angle(
                percent, self.axis.values, float(_PERIODS[self.axis.name])
            )
        of = f"{len(known)} of {len(responses)} conditions measured."
        self.canvas.show_measured(
            percent,
            baseline=baseline,
            preferred=number(preferred),
            note=note,
            words=f"{of} {words}".strip(),
            finished=finished,
        )

    def _period(self) -> float:
        return float(_PERIODS.get(self.axis.name, 360))

    # Keeping and sending ---------------------------------------------------------------------

    def _identity(self) -> ModelIdentity:
        return self.model.identity

    def _about(self) -> dict[str, Any]:
        axis = self.axis
        return {
            "neuron": self.neuron,
            "data_key": self.data_key,
            "experiment": self.experiment.name,
            "axis": {"name": axis.name, "unit": axis.unit, "values": axis.values.tolist()},
            "unit": "°" if self.kind == "dial" else UNIT,
        }

    def _groups(self) -> list[Group]:
        curves = [Curve("measured", in_percent(self._along(self.result)))]
        if self.kind != "dial":
            curves.insert(0, Curve("predicted", np.asarray(self.value, dtype=float)))
        view = lines_view(
            "Predicted and measured",
            self.axis.values,
            curves,
            x=(self.axis.name.replace("_", " "), self.axis.unit),
            y_label="% of the largest response",
        )
        return [Group(self.name, self.verdict, [view])]

    def _figure(self) -> Any:
        figure = new_figure(6.5, 5.0)
        axes = figure.add_subplot(projection="polar" if self._circular else None)
        drawn = np.full(len(self.axis), np.nan) if self.kind == "dial" else self.value
        curves = {
            "predicted": (np.asarray(drawn, dtype=float), "--", "#d95f02"),
            "measured": (in_percent(self._along(self.result)), "-", "black"),
        }
        for name, (percent, line, colour) in curves.items():
            x, y = self.axis.values, percent
            if self._circular:
                x = np.deg2rad(x)
                if self.axis.name == "orientation":  # each lies on both sides
                    x, y = np.append(x, x + np.pi), np.tile(y, 2)
                x, y = np.append(x, x[0]), np.append(y, y[0])
            if np.isfinite(y).any():
                axes.plot(x, y, line, marker="o", markersize=3, color=colour, label=name)
        if self.kind == "dial":
            axes.plot(
                np.deg2rad([self.canvas.angle or 0.0] * 2), [0, 100], "--", color="#d95f02",
                label="predicted",
            )  # fmt: skip
        elif self.canvas.is_logarithmic:
            axes.set_xscale("log")
        if self._circular:
            axes.set_xlabel(f"{self.axis.label}; radius in % of the largest response")
        else:
            axes.set(xlabel=self.axis.label, ylabel="response (% of the largest)")
        figure.legend(loc="outside right upper", fontsize="small")
        return figure

    def _plain_value(self) -> Any:
        return self.canvas.angle if self.kind == "dial" else list(self.canvas.drawn)

    def _plain_result(self) -> Any:
        return listed(self._along(self.result))

    def _submission(self) -> dict[str, Any]:
        if self.kind == "dial":
            return {"value": self.canvas.angle, "unit": "°"}
        measured = None if self.result is None else listed(in_percent(self._along(self.result)))
        return {
            "x": self.axis.values.tolist(),
            "values": list(self.canvas.drawn),
            "unit": UNIT,
            "label": self.axis.label,
            "log": self.canvas.is_logarithmic,
            "kind": self.kind,
            "measured": measured,
        }


def _progress(step: SweepStep) -> Progress:
    return step.done, step.total, step.curves


def _checked(values: Any, axis: Axis) -> np.ndarray:
    """Return drawn values, or raise with what is wrong."""
    try:
        drawn = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"values: expected {len(axis)} numbers, got {values!r}") from None
    if drawn.shape != (len(axis),):
        raise ValueError(
            f"values: expected {len(axis)}, one for each {axis.label}, got shape {drawn.shape}"
        )
    if not np.isfinite(drawn).all() or drawn.min() < 0 or drawn.max() > 100:
        raise ValueError(f"values: expected percent in [0, 100], got {drawn.tolist()}")
    return drawn


def _axis_of(experiment: Experiment, along: str | None) -> Axis:
    """Return the axis of the curve; one has to be chosen where several are varied."""
    if along is not None:
        axis = experiment.axis(along)
        if len(axis) < 2:
            raise ValueError(f"along: {along!r} is held at {axis.values[0]:g}, and has no curve")
        return axis
    varied = [axis for axis in experiment.axes if len(axis) > 1]
    if len(varied) == 1:
        return varied[0]
    names = [axis.name for axis in varied]
    if experiment.name in names:
        return _axis_of(experiment, experiment.name)
    if not names:
        raise ValueError(f"experiment: nothing is varied in {experiment.name!r}: there is no curve")
    raise ValueError(
        f"along: {experiment.name!r} varies {' and '.join(map(repr, names))}; choose one of them, "
        f"such as along={names[0]!r}"
    )


def _held(experiment: Experiment, at: Mapping[str, float]) -> Experiment:
    """Return the experiment with axes held at their nearest value."""
    axes = list(experiment.axes)
    for name, value in at.items():
        axis = experiment.axis(name)
        wanted = real_number(value, f"at[{name!r}]")
        if not np.isfinite(wanted):
            raise ValueError(f"at: expected a finite {axis.label}, got {value!r}")
        nearest = axis.values[int(np.abs(axis.values - wanted).argmin())]
        axes[axes.index(axis)] = Axis(axis.name, np.array([nearest]), axis.unit)
    polar = None if experiment.polar in at else experiment.polar
    return replace(experiment, axes=tuple(axes), polar=polar) if at else experiment
