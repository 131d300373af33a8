"""An editor for a few lines of Python, with the buttons that run them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets

from openretina_widgets.tutorials.static_files import tutorial_text

__all__ = ["CodeEditor"]


class CodeEditor(anywidget.AnyWidget):
    """A text that is edited like code, coloured, and grows with its lines.

    Tab and Shift+Tab indent, Escape and then Tab leaves, Shift+Enter and Ctrl+Enter run. The press
    on Run carries the text, so what runs is what is seen.

    Parameters
    ----------
    original
        The lesson's own code, to which Reset goes back; a second press brings the student's back.
    source
        What stands in it first; the original where None.

    Attributes
    ----------
    source : str
        What stands in the editor.
    state : str
        ``"idle"``, ``"waiting"`` or ``"running"``.
    note : str
        Beside the buttons, in words.
    count : str
        How often code has run, as ``[3]``.
    """

    _esm = tutorial_text("code_editor.js")
    _css = tutorial_text("code_editor.css")

    source = traitlets.Unicode().tag(sync=True)
    original = traitlets.Unicode().tag(sync=True)
    state = traitlets.Enum(("idle", "waiting", "running"), "idle").tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    count = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    _kernel = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        original: str,
        *,
        source: str | None = None,
        label: str = "Code",
        on_run: Callable[[], object],
        on_stop: Callable[[], object],
        layout: ipw.Layout | dict[str, str] | None = None,
    ) -> None:
        self._on_run, self._on_stop = on_run, on_stop
        super().__init__(
            source=original if source is None else source,
            original=original,
            label=label,
            _kernel=_kernel_id(),
            layout=layout or {"width": "100%"},
        )
        self.on_msg(self._take)

    def _take(self, widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("do") == "run":
            if isinstance(content.get("source"), str):
                self.source = content["source"]
            self._on_run()
        elif content.get("do") == "stop":
            self._on_stop()


def _kernel_id() -> str:
    """Return the id by which the server knows this kernel, empty outside a kernel."""
    if "ipykernel.kernelapp" not in sys.modules:  # to import it would replace the comm manager
        return ""
    from ipykernel.connect import get_connection_file

    try:
        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except (RuntimeError, OSError):
        return ""
