"""Curves that change while one watches: bqplot figures in the look of the toolkit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import bqplot
import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.ticks import round_ticks, thin
from openretina_widgets.widgets.composition import Composition

_INK = "var(--jp-ui-font-color1, #333)"
_MARGIN = {"top": 8, "bottom": 46, "left": 86, "right": 14}


class Chart(Composition):
    """One or several lines over a common axis.

    Parameters
    ----------
    title, x_label, y_label
        Words; the labels carry the unit.
    colours
        CSS colour of each line.
    names
        Name of each line, for the legend; none for a single line.
    height
        Height of the plot in CSS pixels.
    bands
        Whether each line may have a band about it.
    layout
        Layout of the whole.
    """

    def __init__(
        self,
        title: str,
        *,
        x_label: str,
        y_label: str,
        colours: Sequence[str] = (_INK,),
        names: Sequence[str] = (),
        height: int = 210,
        bands: bool = False,
        layout: ipw.Layout | None = None,
    ) -> None:
        self.x_scale, self.y_scale = bqplot.LinearScale(), bqplot.LinearScale()
        self._shade_scale = bqplot.LinearScale(min=0, max=1)
        self._lines = [
            bqplot.Lines(
                x=[],
                y=[],
                scales={"x": self.x_scale, "y": self.y_scale},
                colors=[colour],
                stroke_width=2,
                line_style="dashed" if i else "solid",  # one that lies on another is seen
                labels=[names[i]] if names else [""],
            )
            for i, colour in enumerate(colours)
        ]
        self._shade = bqplot.Lines(
            x=[],
            y=[],
            scales={"x": self.x_scale, "y": self._shade_scale},
            colors=["#888888"],
            fill="bottom",
            fill_colors=["#888888"],
            fill_opacities=[0.22],
            stroke_width=0,
            opacities=[0.0],
        )
        faint = {"x": [], "y": [], "stroke_width": 1, "labels": [""]}
        # Curves beside the one that counts, as one mark: their number differs from run to run.
        self._others = bqplot.Lines(
            scales={"x": self.x_scale, "y": self.y_scale},
            colors=[_INK],
            opacities=[0.4],
            **faint,
        )
        self._bands = [
            bqplot.Lines(
                scales={"x": self.x_scale, "y": self.y_scale},
                colors=[colour],
                fill="between",
                fill_colors=[colour],
                fill_opacities=[0.2],
                opacities=[0.0],
                **faint,
            )
            for colour in (colours if bands else ())
        ]
        self._cursor = bqplot.Lines(
            scales={"x": self.x_scale, "y": self._shade_scale},
            colors=["var(--jp-brand-color1, #2196f3)"],
            **(faint | {"stroke_width": 2}),
        )
        self._y_axis = bqplot.Axis(
            scale=self.y_scale,
            side="left",
            label=y_label,
            label_offset="70px",
            grid_lines="none",
        )
        self._x_axis = bqplot.Axis(
            scale=self.x_scale, label=x_label, label_offset="34px", grid_lines="none"
        )
        self._figure = bqplot.Figure(
            marks=[self._shade, *self._bands, self._others, *self._lines, self._cursor],
            axes=[self._x_axis, self._y_axis],
            animation_duration=0,
            padding_x=0.0,
            padding_y=0.0,
            fig_margin=_MARGIN,
            layout=ipw.Layout(height=f"{height}px", width="100%", min_width="240px"),
        )
        self._legend = _legend(names, colours)
        self.heading = ipw.HTML()
        self.entitle(title)
        super().__init__((self.heading, self._figure), **({"layout": layout} if layout else {}))
        self.add_class("orw-chart")

    def draw(
        self, x: np.ndarray, *lines: np.ndarray, others: Sequence[np.ndarray] | np.ndarray = ()
    ) -> None:
        """Draw every line over `x`; long ones are thinned without losing peaks.

        `others` are drawn faintly over the same `x`, behind them.
        """
        self._fit(np.concatenate([*lines, *others]))
        for mark, y in zip(self._lines, lines, strict=True):
            _put(mark, *thin(x, y))
        if len(others) and len(x) > 1:  # bqplot squeezes axes of length 1 away
            keep = thin(x, np.max(others, axis=0))[0]
            kept = np.isin(x, keep)
            _put(self._others, keep, np.stack([one[kept] for one in others]))
        elif len(self._others.x):
            _put(self._others, np.empty(0), np.empty(0))

    def draw_apart(self, *lines: tuple[np.ndarray, np.ndarray]) -> None:
        """Draw lines that have an x of their own each."""
        self._fit(np.concatenate([y for _, y in lines]))
        for mark, (x, y) in zip(self._lines, lines, strict=True):
            _put(mark, *thin(x, y))

    def draw_bands(self, x: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> None:
        """Draw a line for each row of `mean`, and a band of `spread` to both sides."""
        low, high = mean - spread, mean + spread
        self._fit(np.concatenate([low.ravel(), high.ravel()]))
        for line, band, y, *ends in zip(self._lines, self._bands, mean, low, high, strict=True):
            _put(line, x, y)
            if len(x) > 1:
                _put(band, x, np.stack(ends))

    def mark(self, x: float | None) -> None:
        """Put the cursor at a place of the x axis, or take it away."""
        at = [] if x is None else [float(x), float(x)]
        if list(self._cursor.x) != at:
            with self._cursor.hold_sync():
                self._cursor.x, self._cursor.y = at, [0.0, 1.0][: len(at)]

    def shade(self, start: float, stop: float) -> None:
        """Shade the background between two places of the x axis."""
        with self._shade.hold_sync():
            self._shade.x, self._shade.y = [start, stop], [1.0, 1.0]

    def limits(self, start: float, stop: float) -> None:
        """Fix the x axis, so that it does not move while the lines grow."""
        with self.x_scale.hold_sync():
            self.x_scale.min, self.x_scale.max = float(start), float(stop)
        ticks = round_ticks(start, stop)
        _set_ticks(self._x_axis, [tick for tick in ticks if start <= tick <= stop])

    def _fit(self, values: np.ndarray) -> None:
        finite = values[np.isfinite(values)]
        ticks = round_ticks(float(finite.min()), float(finite.max())) if len(finite) else [0.0, 1.0]
        if self._y_axis.tick_values is None or list(self._y_axis.tick_values) != ticks:
            with self.y_scale.hold_sync():
                self.y_scale.min, self.y_scale.max = ticks[0], ticks[-1]
            _set_ticks(self._y_axis, ticks)

    def entitle(self, title: str) -> None:
        """Give the chart another title."""
        self.heading.value = f'<div class="orw-heading">{title}{self._legend}</div>'

    def clear(self) -> None:
        """Take all lines away; the axes stay."""
        for mark in (*self._lines, *self._bands, self._others):
            with mark.hold_sync():
                mark.x, mark.y = [], []
        self.mark(None)
        self._fit(np.empty(0))


def _put(mark: bqplot.Lines, x: np.ndarray, y: np.ndarray) -> None:
    with mark.hold_sync():
        mark.x, mark.y = x.astype(np.float32), y.astype(np.float32)


def _set_ticks(axis: bqplot.Axis, ticks: list[float]) -> None:
    # In two messages, the format first: bqplot writes new ticks with a delay, in the format that
    # it has when they come, and within one message the order is left to chance.
    if len(ticks) > 1:
        axis.tick_format = tick_format(ticks)
    axis.tick_values = ticks


def tick_format(ticks: Sequence[float]) -> str:
    """Return the d3 format in which equidistant ticks differ, and no digit is idle."""
    step = ticks[1] - ticks[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    largest = max(abs(tick) for tick in ticks)
    if digits <= 5 and largest < 1e5:
        return f".{digits}f"
    return f".{max(1, math.floor(math.log10(largest / step) + 1e-9))}e"


def _legend(names: Sequence[str], colours: Sequence[str]) -> str:
    return "".join(
        f' <span class="orw-key" style="--key: {colour}; --key-line: {line}">{name}</span>'
        for name, colour, line in zip(names, colours, ["solid", *["dashed"] * 9], strict=False)
    )
