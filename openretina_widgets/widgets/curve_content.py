"""What tuning curves and traces share: the drawing, its size and its words."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from openretina_widgets.drawing.curve_content import whole_content
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.svg_plot import SvgPlot


class CurvesWidget(SvgPlot):
    """What tuning curves and traces share: the drawing, its size and its words."""

    _esm = static_text("canvas.js", "svg_plot.js", "curve_axes.js", "tuning_plot.js")
    # With the look of compositions as well.
    _css = static_text("run_status.css", "svg_plot.css", "tuning_plot.css")

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 300.0,
        placeholder: str = "",
        layout: ipw.Layout | dict[str, str] | None = None,
        **content: Any,
    ) -> None:
        super().__init__(
            title=title,
            height=height,
            placeholder=placeholder,
            content=whole_content(**content),
            layout=layout,
        )
