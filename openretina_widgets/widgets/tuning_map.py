"""Responses to a grid of two parameters, such as green and UV contrast, as a map of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.map_content import (
    MOST_MAPS,
    NO_MAPS,
    ResponseMap,
    encoded_axis,
    encoded_map,
    map_note,
    maps_in_words,
)
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot

__all__ = ["MOST_MAPS", "ResponseMap", "TuningMap"]


class TuningMap(SvgPlot):
    """Responses of up to four neurons to a grid of two parameters; cells may come one by one.

    Each neuron has a colour bar of its own, whose ends only ever grow, by round numbers, until
    `prepare`. A ring marks grey, where both parameters are 0, and a line on the bar the response to
    it. A gradient is drawn as an arrow in each cell, the longest of a neuron as long as a cell. A
    click on a cell, or the arrow keys, choose a condition that has a response.

    Parameters
    ----------
    title
        Heading; none when empty.
    height
        Of the drawing of one map, in CSS pixels.
    placeholder
        What is said while there is no cell.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    clicked : int or None
        The condition that is chosen: ``index along x * len(y) + index along y``; may be observed
        and set. `place` has it as two indices.

    Raises
    ------
    ValueError
        If the height is not positive.
    """

    _esm = static_text("canvas.js", "svg_plot.js", "map_parts.js", "tuning_map.js")
    _css = static_text("svg_plot.css", "tuning_map.css")

    _colours = traitlets.Bytes(colour.SEQUENTIAL.tobytes()).tag(sync=True)

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 340.0,
        placeholder: str = "Press Run: the map grows cell by cell.",
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        self._axes: tuple[Axis, Axis] | None = None
        self._labels = ("", "")
        self._unit = "a.u."
        self._limits: dict[str, colour.Limits] = {}
        super().__init__(
            title=title,
            height=height,
            placeholder=placeholder,
            content=NO_MAPS,
            layout=layout,
        )

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """What is varied along x and along y, as `prepare` was told."""
        if self._axes is None:
            raise RuntimeError("call prepare with two axes first")
        return self._axes

    @property
    def place(self) -> tuple[int, int] | None:
        """Index of the chosen condition along x and along y; None for no choice."""
        if self.clicked is None:
            return None
        x, y = divmod(self.clicked, len(self.axes[1]))
        return x, y

    def prepare(
        self,
        x: Axis,
        y: Axis,
        *,
        labels: tuple[str, str] | None = None,
        channels: tuple[str, str] = ("", ""),
        unit: str = "a.u.",
        names: Sequence[str] = (),
    ) -> None:
        """Fix the axes and take all maps away, so that nothing moves later.

        Parameters
        ----------
        x, y
            What is varied to the right, and upwards.
        labels
            Words beside the axes; None: theirs.
        channels
            Channel of each axis, for its colour; ``""`` for none.
        unit
            Of the responses.
        names
            Of the neurons to come.
        """
        self._axes, self._unit, self._limits = (x, y), unit, {}
        self._labels = labels or (x.label, y.label)
        empty = np.full((len(x), len(y)), np.nan)
        with self.hold_sync():
            self.clicked = None
            self._change(
                x=encoded_axis(x, self._labels[0], channels[0]),
                y=encoded_axis(y, self._labels[1], channels[1]),
                unit=unit,
                maps=[self._encoded(ResponseMap(name, empty)) for name in names[:MOST_MAPS]],
                note=map_note(x, y, len(names)),
                words="",
            )

    def draw(self, maps: Sequence[ResponseMap], *, note: str = "") -> None:
        """Draw maps; what was drawn before is replaced.

        Parameters
        ----------
        maps
            One a neuron, at most 4.
        note
            A further sentence beneath.

        Raises
        ------
        ValueError
            If there are too many, or one has another shape than the axes.
        RuntimeError
            Before `prepare`.
        """
        x, y = self.axes
        if len(maps) > MOST_MAPS:
            raise ValueError(f"maps: at most {MOST_MAPS} are drawn side by side, got {len(maps)}")
        for one in maps:
            if np.shape(one.values) != (len(x), len(y)):
                raise ValueError(
                    f"maps: {one.name!r} has values of shape {np.shape(one.values)}, expected "
                    f"({len(x)}, {len(y)}) for {self._labels[0]} and {self._labels[1]}"
                )
            if one.gradient is not None and np.shape(one.gradient) != (len(x), len(y), 2):
                raise ValueError(
                    f"maps: {one.name!r} has gradients of shape {np.shape(one.gradient)}, expected "
                    f"({len(x)}, {len(y)}, 2)"
                )
        self._change(
            maps=[self._encoded(one) for one in maps],
            note=f"{map_note(x, y, len(maps))} {note}".strip(),
            words=maps_in_words(maps, (x, y), self._labels, self._unit),
        )

    def clear(self) -> None:
        """Take the responses away; the axes and the names stay."""
        self._limits = {}
        empty = np.full([len(axis) for axis in self.axes], np.nan)
        names = [one["name"] for one in self._content["maps"]]
        with self.hold_sync():
            self.clicked = None
            self._change(maps=[self._encoded(ResponseMap(n, empty)) for n in names], words="")

    @traitlets.validate("clicked")
    def _on_the_grid(self, proposal: Any) -> int | None:
        value: int | None = proposal["value"]
        n = 0 if self._axes is None else len(self._axes[0]) * len(self._axes[1])
        if value is not None and not 0 <= value < n:
            raise traitlets.TraitError(f"clicked: expected None or 0 to {n - 1}, got {value}")
        return value

    def _encoded(self, one: ResponseMap) -> dict[str, Any]:
        return encoded_map(one, self._limits)
