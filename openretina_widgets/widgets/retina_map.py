"""A map of the retina: an image, ellipses over it, axes in µm; a click chooses an ellipse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import ipywidgets
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.retina_content import retina_content
from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.canvas_widget import CanvasWidget, static_text


@dataclass(frozen=True)
class Outline:
    """An ellipse on the retina.

    Attributes
    ----------
    neuron
        Whose it is.
    x, y
        Centre from the middle of the image, x to the right and y up, in the unit of the map.
    radius_x, radius_y
        Half axes, in the unit of the map.
    angle_deg
        Direction of the first half axis, counter-clockwise from x.
    polarity
        ``"ON"`` is drawn red, ``"OFF"`` blue, as in the images; ``""`` in the colour of the text.
    label
        In words.
    dashed
        Whether the line is dashed.
    """

    neuron: int
    x: float
    y: float
    radius_x: float
    radius_y: float
    angle_deg: float = 0.0
    polarity: Literal["ON", "OFF", ""] = ""
    label: str = ""
    dashed: bool = False


class RetinaMap(CanvasWidget):
    """What lies where on the retina, to scale.

    Parameters
    ----------
    title
        Heading.
    shape
        Height and width of the image in pixels; it spans the map.
    pixel_size_um
        Size of a pixel on the retina (µm); None: the axes count pixels.
    unit
        Unit of the image's values, at the colour bar.
    selectable
        Whether a click or an arrow key chooses an outline.
    width, height
        Size of the map in CSS pixels, about.
    colour_bar
        Whether there is room for a colour bar.
    placeholder
        What an empty map says.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    selected : tuple of int
        Neurons whose outlines stand out; the first leads. May be observed and set.
    """

    _esm = static_text("canvas.js", "retina_map.js")
    _css = static_text("retina_map.css")

    selected: tuple[int, ...] = traitlets.Tuple().tag(sync=True)  # type: ignore[assignment]
    title = traitlets.Unicode("").tag(sync=True)
    unit = traitlets.Unicode("").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    pixel_size_um = traitlets.Float(None, allow_none=True).tag(sync=True)
    selectable = traitlets.Bool(False).tag(sync=True)
    colour_bar = traitlets.Bool(True).tag(sync=True)
    width = traitlets.Float(380.0).tag(sync=True)
    height = traitlets.Float(300.0).tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)
    _colours = traitlets.Bytes(colour.DIVERGING.tobytes()).tag(sync=True)

    def __init__(
        self,
        *,
        shape: tuple[int, int],
        title: str = "",
        pixel_size_um: float | None = None,
        unit: str = "",
        selectable: bool = False,
        width: float = 380.0,
        height: float = 300.0,
        colour_bar: bool = True,
        placeholder: str = "",
        layout: ipywidgets.Layout | dict[str, str] | None = None,
    ) -> None:
        self._shape = (int(shape[0]), int(shape[1]))
        if min(self._shape) < 1:
            raise ValueError(f"shape: expected at least one pixel each way, got {shape}")
        super().__init__(
            title=title,
            pixel_size_um=pixel_size_um,
            unit=unit,
            selectable=selectable,
            width=width,
            height=height,
            colour_bar=colour_bar,
            placeholder=placeholder,
            layout=layout,
        )
        self.clear()

    def show(
        self,
        image: Any = None,
        *,
        limit: float | None = None,
        outlines: Sequence[Outline] = (),
        note: str = "",
    ) -> None:
        """Show an image, outlines, or both.

        Parameters
        ----------
        image
            ``(height, width)`` in `unit`; not finite is drawn as a grey hatch.
        limit
            Value of the full colour; from the image, rounded up, for None.
        outlines
            Those that are not finite are left out.
        note
            A sentence below the map.

        Raises
        ------
        ValueError
            If the image has another shape than the map.
        """
        drawn = [asdict(outline) for outline in outlines if _finite(outline)]
        self._content = retina_content(image, self._shape, limit=limit, outlines=drawn, note=note)

    def clear(self) -> None:
        """Take image and outlines away; the axes stay."""
        self.show()

    @traitlets.validate("width", "height", "pixel_size_um")
    def _positive(self, proposal: Any) -> float | None:
        value, name = proposal["value"], proposal["trait"].name
        return None if value is None else check_positive(value, name)


def _finite(outline: Outline) -> bool:
    sizes = (outline.x, outline.y, outline.radius_x, outline.radius_y, outline.angle_deg)
    return all(math.isfinite(size) for size in sizes)
