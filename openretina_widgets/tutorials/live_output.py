"""Output that appears where the code stands, whichever message of the page started it.

ipywidgets' Output shows what answers the message that it is told; JupyterLab forgets a widget's
message as soon as the kernel has taken it, so output of code that awaits would be lost. Here the
kernel's own streams and displays are led into the widget while the code's task runs, and only
what that task, or a task that it began, wrote: `contextvars` tell them apart.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO

import ipywidgets as ipw
from IPython.core.getipython import get_ipython

__all__ = ["LiveOutput"]

_target: ContextVar[LiveOutput | None] = ContextVar("openretina_widgets_output", default=None)

SENT_EVERY = 0.05
"""Seconds between two messages to the page while code computes."""

LONGEST = 200_000
"""Characters of text that are kept; the middle of a longer one is left out."""


class LiveOutput(ipw.Output):
    """Shows what code writes, displays and raises, while it runs."""

    def __init__(self, **kwargs: Any) -> None:
        self._shown: list[dict[str, Any]] = []
        self._named: dict[str, list[int]] = {}
        self._clear_first, self._sent = False, 0.0
        super().__init__(**kwargs)

    def clear(self, wait: bool = False) -> None:
        """Take all away, or wait until something else comes."""
        self._clear_first = wait
        if not wait:
            self._shown, self._named = [], {}
            self.send()

    def write(self, name: str, text: str) -> None:
        """Add text of ``stdout`` or ``stderr``."""
        self._clear_if_waited()
        last = self._shown[-1] if self._shown else None
        if last is None or last["output_type"] != "stream" or last["name"] != name:
            self._shown.append({"output_type": "stream", "name": name, "text": text})
        else:
            self._shown[-1] = {**last, "text": _shortened(last["text"] + text)}
        self._send_soon()

    def add(self, output: dict[str, Any], display_id: str | None = None) -> None:
        """Add one output as nbformat describes it."""
        self._clear_if_waited()
        if display_id is not None:
            self._named.setdefault(display_id, []).append(len(self._shown))
        self._shown.append(output)
        self.send()

    def update(self, display_id: str, data: Any, metadata: Any) -> bool:
        """Change what was displayed by that id; False if it is not here."""
        places = self._named.get(display_id, [])
        for place in places:
            self._shown[place] = {**self._shown[place], "data": data, "metadata": metadata}
        if places:
            self._send_soon()
        return bool(places)

    def send(self) -> None:
        """Let the page show what there is."""
        self._sent = time.monotonic()
        if self.comm is not None:
            self.outputs = tuple(self._shown)

    def _send_soon(self) -> None:
        if time.monotonic() - self._sent >= SENT_EVERY:
            self.send()

    def _clear_if_waited(self) -> None:
        if self._clear_first:
            self._clear_first, self._shown, self._named = False, [], {}

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """Lead here what the present task writes, displays and raises."""
        token = _target.set(self)
        try:
            with _led():
                yield
        finally:
            _target.reset(token)
            self.send()


class _Stream:
    """A stream that leads text of a task to its output, and all other text where it went."""

    def __init__(self, name: str, before: TextIO) -> None:
        self._name, self._before = name, before

    def write(self, text: str) -> int:
        target = _target.get()
        if target is None:
            return self._before.write(text)
        target.write(self._name, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        target = _target.get()
        if target is None:
            self._before.flush()
        else:
            target.send()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)


@contextlib.contextmanager
def _led() -> Iterator[None]:
    """Put what leads output between the kernel and its streams, its displays and its tracebacks."""
    shell: Any = get_ipython()
    with contextlib.ExitStack() as undo:
        undo.enter_context(contextlib.redirect_stdout(_Stream("stdout", sys.stdout)))
        undo.enter_context(contextlib.redirect_stderr(_Stream("stderr", sys.stderr)))
        if hasattr(shell.display_pub, "register_hook"):
            shell.display_pub.register_hook(_displayed)
            undo.callback(shell.display_pub.unregister_hook, _displayed)

        result, error = shell.displayhook.write_format_data, shell._showtraceback

        def write_format_data(format_dict: Any, md_dict: Any = None) -> None:
            target = _target.get()
            if target is None:
                result(format_dict, md_dict)
                return
            target.add(
                {
                    "output_type": "execute_result",
                    "execution_count": shell.displayhook.prompt_count,
                    "data": _without_bytes(format_dict),
                    "metadata": _without_bytes(md_dict or {}),
                }
            )

        def show_traceback(kind: type[BaseException], value: object, lines: list[str]) -> None:
            target = _target.get()
            if target is None:
                error(kind, value, lines)
                return
            shell._last_traceback = lines
            target.add(
                {
                    "output_type": "error",
                    "ename": kind.__name__,
                    "evalue": str(value),
                    "traceback": lines,
                }
            )

        for owner, name, ours in (
            (shell.displayhook, "write_format_data", write_format_data),
            (shell, "_showtraceback", show_traceback),
        ):
            undo.callback(_put_back, owner, name, owner.__dict__.get(name))
            owner.__dict__[name] = ours
        yield


def _put_back(owner: Any, name: str, before: Any) -> None:
    if before is None:
        owner.__dict__.pop(name, None)
    else:
        owner.__dict__[name] = before


def _displayed(message: dict[str, Any]) -> dict[str, Any] | None:
    """Take a display of the task, as a hook of the kernel's display publisher."""
    target = _target.get()
    if target is None:
        return message
    kind, content = message["header"]["msg_type"], message["content"]
    display_id: Any = (content.get("transient") or {}).get("display_id")
    if kind == "clear_output":
        target.clear(wait=bool(content.get("wait")))
    elif kind == "update_display_data":
        if not target.update(display_id, content["data"], content.get("metadata", {})):
            return message  # it stands elsewhere in the notebook
    else:
        output = {"output_type": "display_data"}
        output |= {"data": content["data"], "metadata": content.get("metadata", {})}
        target.add(output, display_id)
    return None


def _without_bytes(bundle: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle of MIME types as JSON can carry it."""
    from base64 import b64encode

    return {
        kind: b64encode(data).decode() if isinstance(data, bytes) else data
        for kind, data in bundle.items()
    }


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
