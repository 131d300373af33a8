"""Results that draw and save themselves, as a picture or as data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.image import write_figure

PLOTTED_SUFFIXES: dict[str, str] = {
    ".png": "picture",
    ".svg": "drawing",
    ".npz": "data of the result",
}
"""What each suffix stands for, in words."""


class Plotted(Protocol):
    """A result with a picture and a file of its own."""

    def plot(self, neurons: Any = None) -> Any:
        """Return a figure of some neurons."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an archive, and return its path."""
        raise NotImplementedError


def save_plotted(
    result: Plotted,
    path: str | os.PathLike[str],
    *,
    neurons: Any = None,
    dpi: float = 150.0,
    overwrite: bool = False,
) -> Path:
    """Write what a result's ``plot`` draws, or all its data.

    Parameters
    ----------
    result
        Such as a `ResponseGradient`.
    path
        Ends in ``.png``, ``.svg`` or ``.npz``.
    neurons
        Which neurons a picture shows; the first ones for None.
    dpi
        Pixels an inch of a ``.png``.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    target = check_path(path, tuple(PLOTTED_SUFFIXES), overwrite=overwrite)
    if target.suffix.lower() != ".npz":
        return write_figure(result.plot(neurons), target, dpi=dpi)
    with written_whole(target) as partial:
        result.save(partial).replace(partial)
    return target
