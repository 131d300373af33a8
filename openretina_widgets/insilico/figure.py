"""Figures of results, with matplotlib (the ``plot`` extra), which is imported when one is drawn."""

from __future__ import annotations

import io
from typing import Any


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure (inches) that a notebook shows, whatever backend matplotlib has.

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
    return _shown_by_notebooks(Figure)(figsize=(width, height), layout="constrained")


def _shown_by_notebooks(base: type) -> type:
    class ShownFigure(base):
        def _repr_png_(self) -> bytes:
            picture = io.BytesIO()
            self.savefig(picture, format="png", dpi=100)
            return picture.getvalue()

    return ShownFigure
