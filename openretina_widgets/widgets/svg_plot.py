"""What plots drawn as SVG share: a heading, a size, words, and the condition that is chosen."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw
import traitlets

from openretina_widgets.errors import check_positive
from openretina_widgets.widgets.canvas_widget import CanvasWidget


class SvgPlot(CanvasWidget):
    """A plot as wide as the page, whose content changes as a whole.

    Parameters
    ----------
    title
        Heading; none when empty.
    height
        Of the drawing, in CSS pixels.
    placeholder
        What is said while there is nothing to draw.
    content
        What is drawn at first.
    layout
        An ipywidgets layout.

    Attributes
    ----------
    clicked : int or None
        Index of the condition that is chosen; may be observed and set.
    """

    title = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Float(300.0).tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    clicked = traitlets.Int(None, allow_none=True).tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        title: str,
        height: float,
        placeholder: str,
        content: dict[str, Any],
        layout: ipw.Layout | dict[str, str] | None,
    ) -> None:
        super().__init__(
            title=title,
            height=height,
            placeholder=placeholder,
            _content={"version": 0, **content},
            layout={"width": "100%"} if layout is None else layout,
        )

    @traitlets.validate("height")
    def _positive(self, proposal: Any) -> float:
        return check_positive(proposal["value"], "height")

    def tell(self, hint: str | None) -> None:
        """Say beneath what a click does; None for what the plot says by itself."""
        self._change(hint=hint)

    def _change(self, **changed: Any) -> None:
        old = self._content
        self._content = {**old, **changed, "version": old["version"] + 1}
