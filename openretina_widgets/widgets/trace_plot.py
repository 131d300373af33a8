"""Responses over time of several neurons, with what happens when and the response window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np

from openretina_widgets.widgets.curve_content import Curve, CurvesWidget, encoded, number, y_axis
from openretina_widgets.widgets.curves import round_ticks, thin


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
            x=_time_axis(0.0, 1.0, []),
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
        times, columns = _thinned(np.asarray(seconds, dtype=float), traces)
        low, high = self._grow(traces, names)
        ticks = round_ticks(low, high if high > 0 or low < 0 else 1.0)
        end = float(times[-1]) if duration_s is None and len(times) else duration_s or 1.0
        curves = [
            encoded(i, Curve(name, column))
            for i, (name, column) in enumerate(zip(names, columns, strict=True))
        ]
        self._change(
            x=_time_axis(0.0, end, [number(t) for t in times]),
            y=y_axis((ticks[0], ticks[-1]), self._y_label, ticks),
            curves=curves,
            shade=[] if shade is None else [list(shade)],
            landmarks=[{"what": w, "start": start, "stop": stop} for w, start, stop in landmarks],
            note=note,
            words=_traces_in_words(names, traces, end, shade),
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


def _time_axis(start: float, stop: float, values: list[float | None]) -> dict[str, Any]:
    ticks = [tick for tick in round_ticks(start, stop, 8) if start <= tick <= stop * (1 + 1e-9)]
    words = {"label": "time (s)", "name": "time", "unit": "s", "log": False}
    return {**words, "values": values, "ticks": ticks, "low": start, "high": stop}


def _thinned(seconds: np.ndarray, traces: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a common time axis and the traces on it, without losing the peaks of any."""
    kept = [np.isin(seconds, thin(seconds, trace)[0]) for trace in traces.T]
    keep = np.logical_or.reduce(kept) if kept else np.ones(len(seconds), dtype=bool)
    return seconds[keep], list(traces[keep].T)


def _traces_in_words(
    names: Sequence[str], traces: np.ndarray, end: float, shade: tuple[float, float] | None
) -> str:
    parts = [
        f"{name} from {np.nanmin(trace):.3g} to {np.nanmax(trace):.3g}"
        for name, trace in zip(names, traces.T, strict=True)
        if np.isfinite(trace).any()
    ]
    window = "" if shade is None else f"; response window {shade[0]:.2f} to {shade[1]:.2f} s"
    return f"responses over {end:.2f} s{window}. " + "; ".join(parts)
