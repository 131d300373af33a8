"""Text for the page of the widgets of this folder."""

from __future__ import annotations

import functools
from pathlib import Path

_STATIC = Path(__file__).parent / "static"


@functools.cache
def tutorial_text(*names: str) -> str:
    """Return files of the folder ``static``, one after the other."""
    return "".join((_STATIC / name).read_text(encoding="utf-8") for name in names)
