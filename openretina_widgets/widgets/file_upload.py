"""A file of the browser's machine, sent to the kernel in pieces.

A message to the kernel above about 10 MB closes the connection without a word, so a file travels in
pieces of 2 MiB; each is written to disk and answered before the next one is sent, and what is in
memory at a time is one piece. Messages (custom messages of the widget; `id` is a name that the
page made up for one upload):

====================================================  ============================================
page: ``{"event": "begin", "id", "name", "size"}``    a file was chosen
page: ``{"event": "piece", "id", "offset"}``          one buffer: the bytes from `offset`
page: ``{"event": "cancel", "id"}``                   the user gave it up
kernel: ``{"event": "next", "id", "offset"}``         everything before `offset` is on disk
kernel: ``{"event": "end", "id", "error"}``           complete, or why not
====================================================  ============================================
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import anywidget
import traitlets

from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.transport import MainLoop

PIECE = 2 * 2**20
"""Bytes of a piece."""
LARGEST = 200 * 10**6
"""Bytes of the largest file that is taken."""


@dataclass
class _Incoming:
    """An upload that has begun."""

    id: str
    path: Path
    size: int
    file: BinaryIO
    received: int = 0


class FileUpload(anywidget.AnyWidget):
    """A button that sends a file of the browser's machine to the kernel.

    It shows how far the upload is, and can cancel it. The file is kept in a temporary folder until
    the next one arrives or the widget is closed.

    Parameters
    ----------
    label
        What the button says.
    accept
        Endings of file names that the browser offers, such as ``".ckpt"``.
    largest
        Largest file that is taken, in bytes.

    Attributes
    ----------
    path : pathlib.Path or None
        The file that arrived last, complete; may be observed.
    """

    _esm = static_text("file_upload.js")
    _css = static_text("file_upload.css")

    label = traitlets.Unicode("Upload").tag(sync=True)
    accept = traitlets.Unicode("").tag(sync=True)
    largest = traitlets.Int(LARGEST).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    _piece = traitlets.Int(PIECE).tag(sync=True)

    path = traitlets.Instance(Path, allow_none=True)

    def __init__(
        self, *, label: str = "Upload", accept: str = "", largest: int = LARGEST, **settings: Any
    ) -> None:
        self._main_loop = MainLoop()
        self._incoming: _Incoming | None = None
        self._folder: str | None = None
        super().__init__(label=label, accept=accept, largest=largest, **settings)
        self.on_msg(self._hear)

    def close(self) -> None:
        """Close the widget, and delete the file that arrived."""
        if self.comm is None:
            return
        layout = self.layout
        self._forget()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        super().close()
        layout.close()

    def _hear(self, _: Any, content: Any, buffers: Any) -> None:
        # On the loop, one after the other: a message may arrive on a thread of its own.
        self._main_loop.call(lambda: self._take(content, buffers))

    def _take(self, content: object, buffers: Any) -> None:
        if not isinstance(content, Mapping) or not isinstance(content.get("id"), str):
            return
        event, name = content.get("event"), content["id"]
        incoming = self._incoming
        try:
            if event == "begin":
                self._begin(name, content.get("name"), content.get("size"))
            elif incoming is None or incoming.id != name:
                return  # of an upload that was given up
            elif event == "piece":
                self._write(incoming, content.get("offset"), buffers)
            elif event == "cancel":
                self._forget()
        except (ValueError, OSError) as error:
            self._forget()
            self.send({"event": "end", "id": name, "error": _in_words(error)})

    def _begin(self, upload: str, name: object, size: object) -> None:
        self._forget()
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"size: expected a number of bytes, got {size!r}")
        if size > self.largest:
            raise ValueError(
                f"the file has {size / 1e6:.1f} MB; at most {self.largest / 1e6:g} MB are taken. "
                "Copy it to the machine of the kernel, and open it by its path"
            )
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="openretina-widgets-")
        free = shutil.disk_usage(self._folder).free
        if size > free:
            raise OSError(
                f"the file has {size / 1e6:.1f} MB, but only {free / 1e6:.1f} MB are free in "
                f"{self._folder}"
            )
        # A folder of its own for each file, so that its name can stay as it is.
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        path = folder / _safe_name(name)
        self._incoming = _Incoming(upload, path, size, path.open("wb"))
        self._go_on(self._incoming)

    def _write(self, incoming: _Incoming, offset: object, buffers: Any) -> None:
        if offset != incoming.received:
            raise ValueError(f"a piece is missing: expected byte {incoming.received}, got {offset}")
        data = memoryview(buffers[0]).cast("B") if buffers else memoryview(b"")
        if not len(data) or incoming.received + len(data) > incoming.size:
            raise ValueError(
                f"the file changed while it was read: {incoming.size} bytes were announced"
            )
        incoming.file.write(data)
        incoming.received += len(data)
        self._go_on(incoming)

    def _go_on(self, incoming: _Incoming) -> None:
        if incoming.received < incoming.size:
            self.send({"event": "next", "id": incoming.id, "offset": incoming.received})
            return
        incoming.file.close()
        self._incoming = None
        before = self.path
        self.send({"event": "end", "id": incoming.id, "error": ""})
        self.path = incoming.path
        if before is not None:
            shutil.rmtree(before.parent, ignore_errors=True)

    def _forget(self) -> None:
        """Drop an upload that is not complete, with what came of it."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            with contextlib.suppress(OSError):
                incoming.file.close()
            shutil.rmtree(incoming.path.parent, ignore_errors=True)


def _safe_name(name: object) -> str:
    """Return the last part of a file's name, without what a path could climb with."""
    text = name if isinstance(name, str) else ""
    last = text.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")
    return last[-120:] if last.strip(". ") else "upload"


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({os.fspath(error.filename or 'the temporary folder')})"
    return str(error)
