"""Images as points in a plane, with the gradient of a neuron's response at each as an arrow."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.plane_content import NO_PLANE, plane_content
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot


class VectorPlane(SvgPlot):
    """A neuron's gradient at images, each a point of a plane, coloured by the response to it.

    Both axes have one scale, so that an arrow points where the image would have to move for the
    response to grow fastest. Dashed lines meet at grey. A click on a point, or the arrow keys,
    choose an image.

    Parameters
    ----------
    title
        Heading; none when empty.
    height
        Of the drawing, in CSS pixels.
    placeholder
        What is said while there is no image.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    clicked : int or None
        The image that is chosen; may be observed and set.

    Raises
    ------
    ValueError
        If the height is not positive.
    """

    _esm = static_text("canvas.js", "svg_plot.js", "map_parts.js", "vector_plane.js")
    _css = static_text("svg_plot.css", "tuning_map.css", "vector_plane.css")

    _colours = traitlets.Bytes(colour.SEQUENTIAL.tobytes()).tag(sync=True)

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 400.0,
        placeholder: str = "Press Run: each image will be a point.",
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            title=title, height=height, placeholder=placeholder, content=NO_PLANE, layout=layout
        )

    def draw(
        self,
        coordinates: np.ndarray,
        slopes: np.ndarray,
        responses: np.ndarray,
        *,
        labels: tuple[str, str],
        unit: str = "a.u.",
        note: str = "",
    ) -> None:
        """Draw images; what was drawn before is replaced, the chosen one stays where it can.

        Parameters
        ----------
        coordinates, slopes
            ``(image, 2)``: place of each image, and gradient of the response there.
        responses
            ``(image,)``.
        labels
            Beside the axes.
        unit
            Of the responses.
        note
            A sentence beneath.

        Raises
        ------
        ValueError
            If a shape does not fit, or something is not finite.
        """
        content = plane_content(coordinates, slopes, responses, labels=labels, unit=unit, note=note)
        with self.hold_sync():
            if self.clicked is not None and self.clicked >= len(content["points"]):
                self.clicked = None
            self._change(**content)

    def clear(self) -> None:
        """Take the images away."""
        with self.hold_sync():
            self.clicked = None
            self._change(**NO_PLANE)

    @traitlets.validate("clicked")
    def _an_image(self, proposal: Any) -> int | None:
        value: int | None = proposal["value"]
        n = len(self._content.get("points", ()))
        if value is not None and not 0 <= value < n:
            raise traitlets.TraitError(f"clicked: expected None or 0 to {n - 1}, got {value}")
        return value
