"""Pictures of which one is picked, beside the one that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.tutorials.static_files import tutorial_text
from openretina_widgets.widgets.canvas_widget import CanvasWidget, static_text


class FieldChoice(CanvasWidget):
    """Signed images, blue - white - red, of which one is picked by a click, a tap or arrow keys.

    Parameters
    ----------
    images
        ``(n, height, width)``; each has its own symmetric limits.
    words
        What is picked, for who does not see it.
    measured_name
        Of the picture that is measured, beside them.

    Attributes
    ----------
    picked : int or None
        May be observed and set.
    locked : bool
        Whether the choice stays as it is.
    """

    _esm = static_text("canvas.js") + tutorial_text("field_choice.js")
    _css = static_text("run_status.css", "tuning_plot.css") + tutorial_text("field_choice.css")

    picked = traitlets.Int(None, allow_none=True).tag(sync=True)
    locked = traitlets.Bool(False).tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)
    _colours = traitlets.Bytes(colour.DIVERGING.tobytes()).tag(sync=True)

    def __init__(
        self,
        images: np.ndarray,
        *,
        words: str,
        measured_name: str = "measured",
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        self.names = tuple(_letter(k) for k in range(len(images)))
        content = {
            "version": 0,
            "shape": list(images.shape),
            "names": list(self.names),
            "notes": [""] * len(images),
            "right": None,
            "words": words,
            "frames": b"".join(map(_encoded, images)),
            "measured": None,
            "measured_name": measured_name,
            "measured_note": "",
        }
        super().__init__(_content=content, layout=layout or {"width": "100%"})

    def show_measured(self, image: np.ndarray | None, note: str = "") -> None:
        """Show the measured picture, with a note beneath; None takes it away."""
        self._change(measured=None if image is None else _encoded(image), measured_note=note)

    def tell(self, notes: Sequence[str] | None, right: int | None) -> None:
        """Say what the pictures are, and mark the right one; None takes that away."""
        n = len(self.names)
        self._change(notes=[""] * n if notes is None else list(notes), right=right)

    @traitlets.validate("picked")
    def _known(self, proposal: Any) -> int | None:
        picked = proposal["value"]
        if self.locked or (picked is not None and not 0 <= picked < len(self.names)):
            return self.picked
        return None if picked is None else int(picked)

    def _change(self, **changed: Any) -> None:
        old = self._content
        self._content = {**old, **changed, "version": old["version"] + 1}


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _encoded(image: np.ndarray) -> bytes:
    largest = float(np.nanmax(np.append(np.abs(image), 0.0))) or 1.0
    return colour.quantise(image / largest, (-1.0, 1.0)).tobytes()
