"""A cell of a lesson that is edited and run where it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import ipywidgets as ipw

from openretina_widgets.insilico.compute import live_threads
from openretina_widgets.tutorials.code_editor import CodeEditor
from openretina_widgets.tutorials.live_output import LiveOutput
from openretina_widgets.tutorials.user_code import run_code, shell_missing
from openretina_widgets.widgets.composition import Composition

__all__ = ["CodeCell"]


class CodeCell(Composition):
    """Editable code with Run, Stop and Reset, and its output beneath.

    It runs in the user's own namespace. Of several cells that are started at once the later ones
    wait for the first.

    Parameters
    ----------
    original
        The lesson's code.
    source
        What the student made of it, where that was kept.
    label
        For who does not see it.
    on_ran
        Called with the cell after each run.

    Attributes
    ----------
    runs : int
        How often it has run.
    error : BaseException or None
        What the last run raised.
    """

    # What one of them holds at a time.
    _running: ClassVar[asyncio.Lock | None] = None

    def __init__(
        self,
        original: str,
        *,
        source: str | None = None,
        label: str = "Code",
        on_ran: Callable[[CodeCell], object] | None = None,
    ) -> None:
        self.error: BaseException | None = None
        self._on_ran = on_ran
        self._task: asyncio.Task[BaseException | None] | None = None
        self.runs = 0
        self.editor = CodeEditor(
            original, source=source, label=label, on_run=self._pressed_run, on_stop=self.stop
        )
        self.output = LiveOutput(layout=ipw.Layout(margin="4px 0 0 0", overflow="auto"))
        super().__init__((self.editor, self.output), layout=ipw.Layout(width="100%"))
        self.add_class("orw-code-cell")

    @property
    def source(self) -> str:
        """What stands in the editor."""
        text: str = self.editor.source
        return text

    @source.setter
    def source(self, source: str) -> None:
        self.editor.source = source

    @property
    def running(self) -> bool:
        """Whether it runs, or waits for another to end."""
        return self._task is not None and not self._task.done()

    def run(self) -> asyncio.Task[BaseException | None] | None:
        """Run what stands in the editor; its output appears beneath.

        Returns
        -------
        asyncio.Task or None
            To await: what the code raised, or None. None at once where there is no notebook; the
            note beside the button says so.
        """
        if self.running:
            return self._task
        if missing := shell_missing():
            self.editor.note = missing
            return None
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self._task

    def stop(self) -> None:
        """Stop it where it waits; code that computes is stopped by the kernel's interrupt."""
        if self._task is not None:
            self._task.cancel()

    def reset(self) -> None:
        """Put the lesson's own code into the editor."""
        self.editor.source = self.editor.original

    def close(self) -> None:
        """End what runs, and close the widget."""
        self.stop()
        super().close()

    def _pressed_run(self) -> None:
        self._main_loop.call(self.run)

    async def _run(self) -> BaseException | None:
        lock = self._lock()
        self.editor.state, self.editor.note = "waiting", ""
        if lock.locked():
            self.editor.note = "Waits for the code that runs now"
        try:
            async with lock:
                self.editor.state, self.editor.note = "running", ""
                self.output.clear()
                await asyncio.sleep(0)  # the page sees that it runs
                with self.output.taking(), _threads():
                    self.error = await run_code(self.source)
        except asyncio.CancelledError as stopped:
            self.error = stopped
        finally:
            self.editor.state = "idle"
        self.runs += 1
        self.editor.count = f"[{self.runs}]"
        self.editor.note = _words(self.error)
        if self._on_ran is not None:
            self._on_ran(self)
        return self.error

    @classmethod
    def _lock(cls) -> asyncio.Lock:
        """Return what one cell holds at a time; made on the loop that is running."""
        lock = CodeCell._running
        loop: Any = getattr(lock, "_loop", None)
        if lock is None or (loop is not None and loop is not asyncio.get_running_loop()):
            lock = CodeCell._running = asyncio.Lock()
        return lock


@contextmanager
def _threads() -> Iterator[None]:
    """Leave the page a core while code runs, as a watched run does; the code may set another."""
    import torch

    before, number = torch.get_num_threads(), live_threads()
    torch.set_num_threads(min(before, number))
    try:
        yield
    finally:
        if torch.get_num_threads() == min(before, number):
            torch.set_num_threads(before)


def _words(error: BaseException | None) -> str:
    if error is None:
        return "Ran"
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return "Stopped"
    if isinstance(error, NameError):
        return "NameError: see below; has the code above been run?"
    return f"{type(error).__name__}: see below, change the code and run it again"
