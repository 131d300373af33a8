"""What tuning curves and traces share: the drawing, its size and its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets

from openretina_widgets.drawing.curve_content import whole_content
from openretina_widgets.errors import check_positive


def _text(name: str) -> str:
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


class CurvesWidget(anywidget.AnyWidget):
    """What tuning curves and traces share: the drawing, its size and its words."""

    # Texts, not paths: anywidget watches a path for changes and keeps every widget alive for it.
    _esm = _text("canvas.js") + _text("tuning_plot.js")
    _css = _text("run_status.css") + _text("tuning_plot.css")  # the look of compositions as well

    title = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Float(300.0).tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    clicked = traitlets.Int(None, allow_none=True).tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        title: str = "",
        height: float = 300.0,
        placeholder: str = "",
        layout: ipw.Layout | dict[str, str] | None = None,
        **content: Any,
    ) -> None:
        self._owns_layout = not isinstance(layout, ipw.Layout)
        super().__init__(
            title=title,
            height=height,
            placeholder=placeholder,
            _content=self._whole(**content),
            layout={"width": "100%"} if layout is None else layout,
        )

    @traitlets.validate("height")
    def _positive(self, proposal: Any) -> float:
        return check_positive(proposal["value"], "height")

    def _whole(self, **changed: Any) -> dict[str, Any]:
        return whole_content(**changed)

    def _change(self, **changed: Any) -> None:
        old = self._content
        self._content = {**old, **changed, "version": old["version"] + 1}

    def close(self) -> None:
        """Close the widget, and the layout that was made for it."""
        if self.comm is None:
            return
        layout = self.layout
        super().close()
        if self._owns_layout:
            layout.close()
