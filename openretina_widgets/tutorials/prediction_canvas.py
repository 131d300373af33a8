"""Where a curve or a preferred angle is drawn by hand, beside what is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import traitlets

from openretina_widgets.drawing.curve_content import NEURON_COLOURS, number, numbers, whole_content
from openretina_widgets.drawing.tuning_content import axes_content, which_way
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.tutorials.static_files import tutorial_text
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot

Kind = Literal["cartesian", "polar", "dial"]
KINDS = ("cartesian", "polar", "dial")
UNIT = "% of the largest"

_LOOK = (
    {"colour": NEURON_COLOURS[1], "dash": "", "marker": "circle"},
    {"colour": NEURON_COLOURS[0], "dash": "", "marker": "square"},
)
_NOTES = {
    "cartesian": "0 % is no response, 100 % the largest response of the curve: "
    "yours is stretched to that when you commit.",
    "polar": "The centre is no response, the edge the largest response of the curve: "
    "yours is stretched to that when you commit.",
    "dial": "The arrow points to where the response is largest.",
}
_HOW = "Draw with mouse, finger or arrow keys."
_PLACEHOLDERS = {
    "cartesian": "Draw here the curve that you expect",
    "polar": "Draw around here what you expect",
    "dial": "Turn the arrow to what you expect",
}


class PredictionCanvas(SvgPlot):
    """A plot to draw into: with a mouse, a finger, a pen or the keyboard.

    What is drawn by hand snaps to a value at each condition, in percent of the largest response.
    A measured curve is drawn beside it, on the same axes.

    Parameters
    ----------
    axis
        What is varied.
    kind
        ``"cartesian"``, ``"polar"``, or ``"dial"`` for one angle instead of a curve.
    period
        Of angles: 180 for orientations, which are drawn on both sides.
    measured_name
        Of the measured curve, for the legend.
    height
        Of the drawing, in CSS pixels; None for more around a circle than on straight axes.

    Attributes
    ----------
    drawn : list of float or None
        Percent at each condition; None where nothing is drawn yet. May be observed and set.
    angle : float or None
        Degrees, of the dial. May be observed and set.
    locked : bool
        Whether the drawing stays as it is.

    Raises
    ------
    ValueError
        If the kind is not known, or the axis of a polar plot or dial is not in degrees.
    """

    _esm = static_text("canvas.js", "svg_plot.js", "curve_axes.js") + tutorial_text(
        "prediction_canvas.js"
    )
    _css = static_text("run_status.css", "svg_plot.css", "tuning_plot.css") + tutorial_text(
        "prediction_canvas.css"
    )

    drawn = traitlets.List(traitlets.Float(allow_none=True)).tag(sync=True)
    angle = traitlets.Float(None, allow_none=True).tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        axis: Axis,
        *,
        kind: Kind = "cartesian",
        period: Literal[180, 360] = 360,
        measured_name: str = "measured",
        height: float | None = None,
    ) -> None:
        self._axis, self._period, self._measured_name = axis, period, measured_name
        super().__init__(
            title="",
            height=height or (380.0 if kind == "cartesian" else 460.0),
            placeholder=_PLACEHOLDERS.get(kind, ""),
            content=whole_content(**self._axes(kind)),
            layout=None,
        )
        self.drawn = [None] * len(axis)

    @property
    def kind(self) -> str:
        """``"cartesian"``, ``"polar"`` or ``"dial"``; changing it keeps what is drawn."""
        return str(self._content["kind"])

    @kind.setter
    def kind(self, kind: Kind) -> None:
        content = self._axes(kind)
        with self.hold_sync():
            self.placeholder = _PLACEHOLDERS[kind]
            self._change(**content)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the axis of conditions is logarithmic."""
        return bool(self._content["x"]["log"])

    def show_measured(
        self,
        percent: np.ndarray | None,
        *,
        baseline: float | None = None,
        preferred: float | None = None,
        note: str = "",
        words: str = "",
        finished: bool = False,
    ) -> None:
        """Draw a measured curve beside the prediction.

        Parameters
        ----------
        percent
            ``(n,)``, NaN where it is not measured yet; None to take it away.
        baseline
            Response to grey, likewise in percent.
        preferred
            Degrees: preferred angle of the measured curve, where it is determined.
        note
            What is said beneath, besides which way angles go.
        words
            What is shown, for who does not see it.
        finished
            Whether the difference is drawn.
        """
        measured = np.full(len(self._axis), np.nan) if percent is None else percent
        self._change(
            curves=self._curves(measured),
            baseline=number(baseline),
            preferred=number(preferred),
            note=self._note(self.kind, note),
            words=words,
            finished=finished,
        )

    @traitlets.validate("drawn")
    def _within(self, proposal: Any) -> list[float | None]:
        """Take what the page sends as far as it can be true."""
        drawn = list(proposal["value"])
        kept: list[float | None] = []
        if self.locked or len(drawn) != len(self._axis):
            kept.extend(self.drawn)
            return kept
        for value in drawn:
            known = value is not None and math.isfinite(value)
            kept.append(min(100.0, max(0.0, value)) if known else None)
        return kept

    @traitlets.validate("angle")
    def _turned(self, proposal: Any) -> float | None:
        angle = proposal["value"]
        if self.locked:
            return self.angle
        if angle is None or not math.isfinite(angle):
            return None
        return float(angle) % self._period

    def _axes(self, kind: Kind) -> dict[str, Any]:
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")
        if kind != "cartesian" and self._axis.unit != "°":
            raise ValueError(f"kind: {kind!r} shows angles in °, got {self._axis.label!r}")
        axes = axes_content(
            self._axis,
            kind="cartesian" if kind == "cartesian" else "polar",
            log=None,
            period=self._period,
            unit=UNIT,
            note=self._note(kind, ""),
        )
        nothing = np.full(len(self._axis), np.nan)
        y = {"ticks": [0.0, 25.0, 50.0, 75.0, 100.0], "low": 0.0, "high": 100.0}
        return {
            **axes,
            "kind": kind,
            "y": {**y, "label": f"response ({UNIT})"},
            "curves": self._curves(nothing),
            "baseline": None,
            "preferred": None,
            "words": "",
            "finished": False,
        }

    def _curves(self, measured: np.ndarray) -> list[dict[str, Any]]:
        """The look of both, and the measured values; the page has the drawn ones."""
        return [
            {"name": name, **look, "values": values, "errors": None, "fit": None, "preferred": None}
            for name, look, values in zip(
                ("your prediction", self._measured_name),
                _LOOK,
                ([None] * len(self._axis), numbers(measured)),
                strict=True,
            )
        ]

    def _note(self, kind: str, more: str) -> str:
        parts: Sequence[str] = [_NOTES[kind], more]
        if kind != "cartesian":
            parts = [which_way(self._period), *parts]
        return " ".join(part for part in (*parts, "" if more else _HOW) if part)
