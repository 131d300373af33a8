"""Still pictures with matplotlib (the ``plot`` extra), in one style."""

from __future__ import annotations

import io
from typing import Any

COLOURS = {"green": "#2b9348", "UV": "#9a55ff"}
"""Colours of the channels."""


def new_figure(**settings: Any) -> Any:
    """Return an empty figure that a notebook shows, whatever backend matplotlib has.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot() needs matplotlib: pip install 'openretina-widgets[plot]'"
        ) from error

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            picture = io.BytesIO()
            self.savefig(picture, format="png", dpi=100)
            return picture.getvalue()

    return ShownFigure(layout="constrained", **settings)
