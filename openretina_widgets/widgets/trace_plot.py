"""Responses over time of several neurons, with what happens when and the response window."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.curve_content import y_axis
from openretina_widgets.drawing.tuning_content import time_axis, trace_content
from openretina_widgets.widgets.curve_content import CurvesWidget


class TracePlot(CurvesWidget):
    """Traces of several neurons over time, in the colours that they have in a `TuningPlot`.

    Parameters
    ----------
    title
        Heading; none when empty.
    height
        Of the drawing, in CSS pixels.
    placeholder
        What is said while there is no trace.
    y_label
        What is drawn, with its unit.
    layout
        An ipywidgets layout.
    """

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 230.0,
        placeholder: str = "",
        y_label: str = "response (a.u.)",
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        self._y_label = y_label
        self._extent: tuple[float, float] | None = None
        self._extent_of: tuple[str, ...] = ()
        super().__init__(
            title=title,
            height=height,
            placeholder=placeholder,
            layout=layout,
            marks=False,
            x=time_axis(0.0, 1.0, []),
            y=y_axis((0.0, 1.0), y_label, [0.0, 1.0]),
        )

    def draw(
        self,
        seconds: np.ndarray,
        traces: np.ndarray,
        *,
        names: Sequence[str],
        duration_s: float | None = None,
        shade: tuple[float, float] | None = None,
        landmarks: Sequence[tuple[str, float, float]] = (),
        note: str = "",
    ) -> None:
        """Draw traces; what was drawn before is replaced, and the axis of responses grows.

        Parameters
        ----------
        seconds
            ``(frame,)``.
        traces
            ``(frame, neuron)``; NaN is a gap.
        names
            One a neuron.
        duration_s
            End of the time axis; that of the traces for None.
        shade
            Start and end of the response window (s).
        landmarks
            What happens when: words, start and end (s).
        note
            A sentence beneath.

        Raises
        ------
        ValueError
            If the sizes do not agree.
        """
        traces = np.asarray(traces, dtype=float)
        if traces.shape != (len(seconds), len(names)):
            raise ValueError(
                f"traces: expected the shape ({len(seconds)}, {len(names)}), got {traces.shape}"
            )
        self._change(
            **trace_content(
                seconds,
                traces,
                names,
                extent=self._grow(traces, names),
                y_label=self._y_label,
                duration_s=duration_s,
                shade=shade,
                landmarks=landmarks,
                note=note,
            )
        )

    def _grow(self, traces: np.ndarray, names: Sequence[str]) -> tuple[float, float]:
        """Ends of the axis: it grows while the same neurons are drawn, so that sizes compare."""
        if self._extent is None or self._extent_of != tuple(names):
            self._extent, self._extent_of = (0.0, 0.0), tuple(names)
        finite = traces[np.isfinite(traces)]
        ends = np.append(finite, self._extent)
        self._extent = (float(ends.min()), float(ends.max()))
        return self._extent

    def clear(self) -> None:
        """Take the traces away; the axes stay until others come."""
        self._extent = None
        self._change(curves=[], shade=[], landmarks=[], note="", words="")
