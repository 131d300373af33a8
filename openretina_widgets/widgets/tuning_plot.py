"""Tuning curves of several neurons, on straight axes or around a circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.curve_content import MOST_CURVES, Curve, empty_curve, nothing
from openretina_widgets.drawing.tuning_content import (
    Extent,
    Kind,
    axes_content,
    curves_content,
    which_way,
)
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.curve_content import CurvesWidget


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
            note = "" if kind == "cartesian" else which_way(period)
        self._axis, self._unit, self._note = axis, unit, note
        curves = [empty_curve(i, name, len(axis)) for i, name in enumerate(names)]
        with self.hold_sync():
            self.clicked = None
            self._change(
                **axes_content(axis, kind=kind, log=log, period=period, unit=unit, note=note),
                curves=curves,
                baseline=None,
                words="",
            )
        self._extent: Extent | None = None

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
        content, self._extent = curves_content(
            curves,
            self._axis,
            self._content,
            unit=self._unit,
            note=self._note,
            baseline=baseline,
            extent=self._extent,
        )
        self._change(**content)

    def clear(self) -> None:
        """Take the points away; the axes and the names stay."""
        curves = [{**curve, **nothing(len(self._axis))} for curve in self._content["curves"]]
        self._extent = None
        with self.hold_sync():
            self.clicked = None
            self._change(curves=curves, baseline=None, words="")
