"""Tuning curves of several neurons, on straight axes or around a circle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import ipywidgets as ipw
import numpy as np

from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.curve_content import (
    MOST_CURVES,
    Curve,
    CurvesWidget,
    empty_curve,
    encoded,
    nothing,
    number,
    y_axis,
)
from openretina_widgets.widgets.curves import round_ticks

Kind = Literal["cartesian", "polar"]

_AT_CENTRE = " Responses below 0 are drawn at the centre."


class TuningPlot(CurvesWidget):
    """Tuning curves of several neurons; points may come one by one.

    Colours are told apart with every kind of colour vision, and markers and dashes differ too. The
    axis of the responses only ever grows while curves are drawn, by round numbers, until `prepare`.
    A click on the plot, or the arrow keys, choose the nearest condition that has a response.

    Parameters
    ----------
    title
        Heading; none when empty.
    height
        Of the drawing, in CSS pixels.
    placeholder
        What is said while there is no point.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    clicked : int or None
        Index of the condition that is chosen, along the axis; may be observed and set.
    """

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 340.0,
        placeholder: str = "Press Run: the curve grows condition by condition.",
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        super().__init__(title=title, height=height, placeholder=placeholder, layout=layout)

    @property
    def axis(self) -> Axis:
        """What is varied, as `prepare` was told."""
        return self._axis

    def prepare(
        self,
        axis: Axis,
        *,
        kind: Kind = "cartesian",
        log: bool | None = None,
        period: Literal[180, 360] = 360,
        unit: str = "a.u.",
        names: Sequence[str] = (),
        note: str | None = None,
    ) -> None:
        """Fix the axis of the conditions and take all curves away, so that nothing moves later.

        Parameters
        ----------
        axis
            What is varied.
        kind
            ``"polar"`` for angles in degrees, counter-clockwise, 0° right.
        log
            Whether the axis is logarithmic. None: if its values are positive and about evenly
            spaced that way.
        period
            Of the angle: 180° for orientations, which are drawn on both sides.
        unit
            Of the responses.
        names
            Of the neurons to come, for the legend.
        note
            A sentence beneath. None: which way 0° and 90° are, on a polar plot.

        Raises
        ------
        ValueError
            If the axis of a polar plot is not in degrees, or that of a logarithmic one has values
            that are not positive.
        """
        if kind not in ("cartesian", "polar"):
            raise ValueError(f"kind: expected 'cartesian' or 'polar', got {kind!r}")
        if kind == "polar" and axis.unit != "°":
            raise ValueError(f"axis: a polar plot shows angles in °, got {axis.label!r}")
        if log and axis.values.min() <= 0:
            raise ValueError(f"axis: a logarithmic axis takes positive values, got {axis.values}")
        if note is None:
            note = "" if kind == "cartesian" else _which_way(period)
        self._axis, self._unit, self._note = axis, unit, note
        curves = [empty_curve(i, name, len(axis)) for i, name in enumerate(names)]
        with self.hold_sync():
            self.clicked = None
            self._change(
                kind=kind,
                closed=period,
                x=_x_axis(axis, _looks_logarithmic(axis.values) if log is None else log),
                y=y_axis((0.0, 1.0), f"response ({unit})", [0.0, 1.0]),
                curves=curves,
                baseline=None,
                note=note,
                words="",
            )
        self._extent: tuple[float, float] | None = None

    def draw(self, curves: Sequence[Curve], *, baseline: float | None = None) -> None:
        """Draw curves; what was drawn before is replaced, and the axis of responses grows.

        Parameters
        ----------
        curves
            One a neuron, at most 12.
        baseline
            Response to grey, for a dashed line; None without.

        Raises
        ------
        ValueError
            If there are too many curves, or one has another number of values than the axis.
        RuntimeError
            Before `prepare`.
        """
        if not hasattr(self, "_axis"):
            raise RuntimeError("call prepare with an axis before draw")
        if len(curves) > MOST_CURVES:
            raise ValueError(f"curves: at most {MOST_CURVES} are told apart, got {len(curves)}")
        n = len(self._axis)
        for curve in curves:
            if np.shape(curve.values) != (n,):
                raise ValueError(
                    f"curves: {curve.name!r} has values of shape {np.shape(curve.values)}, "
                    f"expected ({n},) for {self._axis.label}"
                )
        self._grow(curves, baseline)
        low, high = self._extent or (0.0, 1.0)
        polar = self._content["kind"] == "polar"
        ticks = round_ticks(0.0 if polar else low, max(high, 0.0) if high or low else 1.0)
        self._change(
            y=y_axis((ticks[0], ticks[-1]), f"response ({self._unit})", ticks),
            curves=[encoded(i, self._within(curve)) for i, curve in enumerate(curves)],
            baseline=None if baseline is None else number(baseline),
            note=self._note + (_AT_CENTRE if polar and _any_below(curves) else ""),
            words=self._in_words(curves),
        )

    def clear(self) -> None:
        """Take the points away; the axes and the names stay."""
        curves = [{**curve, **nothing(len(self._axis))} for curve in self._content["curves"]]
        self._extent = None
        with self.hold_sync():
            self.clicked = None
            self._change(curves=curves, baseline=None, words="")

    def _within(self, curve: Curve) -> Curve:
        """Return a curve whose fit ends where the axis does."""
        if curve.fit is None or self._content["kind"] == "polar":
            return curve
        axis = self._content["x"]
        kept = (curve.fit[0] >= axis["low"]) & (curve.fit[0] <= axis["high"])
        return replace(curve, fit=(curve.fit[0][kept], curve.fit[1][kept]))

    def _grow(self, curves: Sequence[Curve], baseline: float | None) -> None:
        parts = [np.array([0.0] if baseline is None else [0.0, baseline])]
        for curve in curves:
            values = np.asarray(curve.values, dtype=float)
            parts.append(values)
            if curve.errors is not None:
                parts.append(values + curve.errors)  # below, an error bar ends at the axis
            if curve.fit is not None:
                parts.append(np.asarray(curve.fit[1], dtype=float))
        every = np.concatenate(parts)
        every = every[np.isfinite(every)]
        low, high = float(every.min()), float(every.max())
        if self._extent is not None:
            low, high = min(low, self._extent[0]), max(high, self._extent[1])
        self._extent = (low, high)

    def _in_words(self, curves: Sequence[Curve]) -> str:
        """What is shown, for who does not see it."""
        axis = self._axis
        parts = []
        for curve in curves:
            values = np.asarray(curve.values, dtype=float)
            known = np.isfinite(values)
            if not known.any():
                parts.append(f"{curve.name}: no response yet")
                continue
            best = int(np.nanargmax(values))
            text = f"{curve.name}: {known.sum()} of {len(values)} conditions, "
            text += f"highest {values[best]:.3g} {self._unit} at {axis.values[best]:g} {axis.unit}"
            if (preferred := number(curve.preferred)) is not None:
                text += f", preferred {preferred:.3g} {axis.unit}"
            parts.append(text)
        return f"response against {axis.label}. " + "; ".join(parts)


def _any_below(curves: Sequence[Curve]) -> bool:
    return any(bool(np.nanmin(np.append(curve.values, 0.0)) < 0) for curve in curves)


def _x_axis(axis: Axis, log: bool) -> dict[str, Any]:
    values = axis.values
    low, high = float(values.min()), float(values.max())
    steps = np.diff(np.sort(values))
    even = len(steps) > 0 and np.allclose(steps, steps[0])
    if log:
        margin = (high / low) ** 0.04 if high > low else 2.0
        ends = (low / margin, high * margin)
    else:
        margin = 0.04 * (high - low) or 1.0
        ends = (low - margin, high + margin)
    if log or (len(values) <= 9 and even) or len(values) == 1:
        ticks = sorted(values.tolist())
    else:
        ticks = [tick for tick in round_ticks(low, high, 8) if ends[0] <= tick <= ends[1]]
    return {
        "values": values.tolist(),
        "ticks": ticks,
        "label": axis.label,
        "low": ends[0],
        "high": ends[1],
        "log": log,
        "name": axis.name.replace("_", " "),
        "unit": axis.unit,
    }


def _looks_logarithmic(values: np.ndarray) -> bool:
    """Whether values are more evenly spaced by their ratios than by their differences."""
    if len(values) < 3 or values.min() <= 0:
        return False
    ordered = np.sort(values)
    steps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    return bool(steps.std() / steps.mean() > ratios.std() / ratios.mean() + 1e-9)


def _which_way(period: int) -> str:
    if period == 180:
        return "Direction of the bars: 0° = horizontal, 90° = vertical; drawn on both sides."
    return "Direction of motion: 0° = right, 90° = up, counter-clockwise."
