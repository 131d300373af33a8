"""Images as points in a plane, with the gradient of a neuron's response at each as an arrow."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.curve_content import number
from openretina_widgets.drawing.ticks import round_ticks
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot

_NO_AXIS: dict[str, Any] = {"label": "", "low": 0.0, "high": 1.0, "ticks": []}
_EMPTY: dict[str, Any] = {
    "x": _NO_AXIS,
    "y": _NO_AXIS,
    "unit": "a.u.",
    "points": [],
    "longest": 0.0,
    "limits": None,
    "baseline": None,
    "note": "",
    "words": "",
}
_ROOM = 0.22  # beyond the outermost points, for their arrows


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
            title=title, height=height, placeholder=placeholder, content=_EMPTY, layout=layout
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
        values = np.asarray(responses, dtype=float)
        n = len(values)
        places, arrows = (np.asarray(one, dtype=float) for one in (coordinates, slopes))
        for name, one in (("coordinates", places), ("slopes", arrows)):
            if one.shape != (n, 2):
                raise ValueError(f"{name}: expected ({n}, 2) for {n} responses, got {one.shape}")
        if not all(np.isfinite(one).all() for one in (values, places, arrows)):
            raise ValueError("coordinates, slopes, responses: expected finite numbers")
        limits = colour.sequential_limits(values)
        levels = colour.quantise(values, limits)
        ends = np.vstack([places, np.zeros((1, 2))])  # grey is always there
        low, high = ends.min(axis=0), ends.max(axis=0)
        half = (0.5 + _ROOM) * (float((high - low).max()) or 1.0)
        axes = [
            {
                "label": label,
                "low": float(middle - half),
                "high": float(middle + half),
                "ticks": round_ticks(float(middle - half), float(middle + half), 9),
            }
            for label, middle in zip(labels, (low + high) / 2, strict=True)
        ]
        longest = float(np.linalg.norm(arrows, axis=1).max(initial=0.0))
        with self.hold_sync():
            if self.clicked is not None and self.clicked >= n:
                self.clicked = None
            self._change(
                x=axes[0],
                y=axes[1],
                unit=unit,
                points=[
                    {
                        "x": number(x),
                        "y": number(y),
                        "u": number(u),
                        "v": number(v),
                        "value": number(value),
                        "level": int(level),
                    }
                    for (x, y), (u, v), value, level in zip(
                        places, arrows, values, levels, strict=True
                    )
                ],
                longest=longest,
                limits=limits,
                note=note,
                words=self._in_words(places, arrows, values, labels, unit),
            )

    def clear(self) -> None:
        """Take the images away."""
        with self.hold_sync():
            self.clicked = None
            self._change(**_EMPTY)

    @traitlets.validate("clicked")
    def _an_image(self, proposal: Any) -> int | None:
        value: int | None = proposal["value"]
        n = len(self._content.get("points", ()))
        if value is not None and not 0 <= value < n:
            raise traitlets.TraitError(f"clicked: expected None or 0 to {n - 1}, got {value}")
        return value

    @staticmethod
    def _in_words(
        places: np.ndarray,
        arrows: np.ndarray,
        values: np.ndarray,
        labels: tuple[str, str],
        unit: str,
    ) -> str:
        """What is shown, for who does not see it."""
        up = int((arrows[:, 0] > 0).sum())
        best = int(values.argmax())
        words = (
            f"{len(values)} images, {labels[0]} to the right and {labels[1]} upwards. The gradient "
            f"points to the right at {up} of them. Highest response {values[best]:.3g} {unit} to "
            f"image {best} at {places[best, 0]:.3g}, {places[best, 1]:.3g}"
        )
        return words.replace("-", "−")
