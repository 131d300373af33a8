"""Responses to a grid of two parameters, such as green and UV contrast, as a map of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.curve_content import number, numbers
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot

MOST_MAPS = 4

_NO_AXIS: dict[str, Any] = {"label": "", "colour": "", "values": [], "edges": []}


@dataclass(frozen=True, eq=False)
class ResponseMap:
    """One neuron's responses to a grid.

    Attributes
    ----------
    name
        Heading.
    values
        ``(x, y)``, one for each place of the two axes; NaN where it is not known (yet).
    baseline
        Response to grey; NaN or None where it was not measured.
    gradient
        ``(x, y, 2)``: derivatives of the response with respect to both parameters, drawn as
        arrows; NaN where it is not known. None for no arrows.
    """

    name: str
    values: np.ndarray
    baseline: float | None = None
    gradient: np.ndarray | None = None


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
            content={
                "x": _NO_AXIS,
                "y": _NO_AXIS,
                "unit": "a.u.",
                "maps": [],
                "note": "",
                "words": "",
            },
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
                x=_encoded_axis(x, self._labels[0], channels[0]),
                y=_encoded_axis(y, self._labels[1], channels[1]),
                unit=unit,
                maps=[self._encoded(ResponseMap(name, empty)) for name in names[:MOST_MAPS]],
                note=_note(x, y, len(names)),
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
            note=f"{_note(x, y, len(maps))} {note}".strip(),
            words=self._in_words(maps),
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
        values = np.asarray(one.values, dtype=float)
        baseline = number(one.baseline)
        every = values if baseline is None else np.append(values, baseline)
        limits = None
        if np.isfinite(values).any():
            low, high = colour.sequential_limits(every)
            before = self._limits.get(one.name, (low, high))
            limits = (min(low, before[0]), max(high, before[1]))
            self._limits[one.name] = limits
        return {
            "name": one.name,
            "values": numbers(values.ravel()),
            "levels": colour.quantise(values, limits or (0.0, 1.0)).ravel().tolist(),
            "limits": limits,
            "baseline": baseline,
            "slopes": None if one.gradient is None else _pairs(one.gradient),
        }

    def _in_words(self, maps: Sequence[ResponseMap]) -> str:
        """What is shown, for who does not see it."""
        (x, y), (across, upwards) = self.axes, self._labels
        parts = []
        for one in maps:
            values = np.asarray(one.values, dtype=float)
            known = np.isfinite(values)
            if not known.any():
                parts.append(f"{one.name}: no response yet")
                continue
            i, j = np.unravel_index(int(np.nanargmax(values)), values.shape)
            text = f"{one.name}: {known.sum()} of {values.size} conditions, highest "
            text += f"{values[i, j]:.3g} {self._unit} at {across} {x.values[i]:g}, "
            text += f"{upwards} {y.values[j]:g}"
            if (baseline := number(one.baseline)) is not None:
                text += f", {baseline:.3g} at grey"
            if one.gradient is not None and np.isfinite(one.gradient).any():
                size = np.linalg.norm(one.gradient, axis=2)
                i, j = np.unravel_index(int(np.nanargmax(size)), size.shape)
                slope = ", ".join(f"{part:.3g}" for part in one.gradient[i, j])
                text += f", steepest at {x.values[i]:g}, {y.values[j]:g} with gradient ({slope})"
            parts.append(text)
        words = f"response against {across} to the right and {upwards} upwards. "
        return (words + "; ".join(parts)).replace("-", "−")


def _pairs(gradient: np.ndarray) -> list[list[float] | None]:
    flat = np.asarray(gradient, dtype=float).reshape(-1, 2)
    return [pair.tolist() if np.isfinite(pair).all() else None for pair in flat]


def _note(x: Axis, y: Axis, n_maps: int) -> str:
    parts = []
    if all(axis.values.min() <= 0 <= axis.values.max() for axis in (x, y)):
        parts.append("Ring: grey (0, 0); line on the bar: response to it.")
    if n_maps > 1:
        parts.append("Each neuron has a colour bar of its own.")
    return " ".join(parts)


def _encoded_axis(axis: Axis, label: str, channel: str) -> dict[str, Any]:
    """Return values and the edges of their cells: half way to the next, as far at the ends."""
    values = axis.values
    order = np.sort(values)
    if len(order) == 1:
        edges = np.array([order[0] - 0.5, order[0] + 0.5])
    else:
        middle = (order[:-1] + order[1:]) / 2
        first, last = order[0] - (middle[0] - order[0]), order[-1] + (order[-1] - middle[-1])
        edges = np.concatenate([[first], middle, [last]])
    ranks = np.searchsorted(order, values)
    return {
        "label": label,
        "colour": colour.channel_colour(channel) if channel else "",
        "values": values.tolist(),
        "edges": [[float(edges[k]), float(edges[k + 1])] for k in ranks],
    }
