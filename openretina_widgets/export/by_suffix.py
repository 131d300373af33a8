"""One function for every format, chosen by the suffix of the path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from openretina_widgets.export.archive import to_archive
from openretina_widgets.export.files import check_path
from openretina_widgets.export.image import to_image
from openretina_widgets.export.movie import to_movie
from openretina_widgets.export.notebook import to_notebook
from openretina_widgets.export.page import to_page
from openretina_widgets.export.results import Results

_WRITERS: dict[str, Any] = {
    ".ipynb": to_notebook,
    ".html": to_page,
    ".png": to_image,
    ".svg": to_image,
    ".gif": to_movie,
    ".mp4": to_movie,
    ".npz": to_archive,
    ".zip": to_archive,
}
SUFFIXES: dict[str, str] = {
    ".ipynb": "notebook that makes it again",
    ".html": "page that opens offline",
    ".png": "picture",
    ".svg": "drawing",
    ".gif": "movie",
    ".mp4": "movie, smaller and in full colour",
    ".npz": "data of one result",
    ".zip": "data of all results",
}
"""What each suffix stands for, in words."""


def save(
    results: Results, path: str | os.PathLike[str], *, overwrite: bool = False, **settings: Any
) -> Path:
    """Write results in the format that the suffix of the path names.

    Parameters
    ----------
    results
        One result, a list of them, or a dictionary by name; one for a picture or a movie.
    path
        Ends in one of `SUFFIXES`.
    overwrite
        Whether a file that is there may be replaced.
    **settings
        Of `to_notebook`, `to_page`, `to_image`, `to_movie` or `to_archive`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    target = check_path(path, tuple(SUFFIXES), overwrite=overwrite)
    written: Path = _WRITERS[target.suffix.lower()](
        results, target, overwrite=overwrite, **settings
    )
    return written
