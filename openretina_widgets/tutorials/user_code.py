"""Run code in the user's own namespace, like a cell, and stop it when it never ends.

Code runs as a task on the kernel's main loop, through the running IPython shell, so `await` works
at the top level and the shell's history and displays are the user's own. While it computes, no
message reaches the kernel's main thread; only a signal does. SIGINT, which every Jupyter server
sends for an interrupt, is therefore taken while code runs: it raises KeyboardInterrupt where the
code computes, and cancels the task where it waits (raising there would end the kernel's loop).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from IPython.core.getipython import get_ipython

__all__ = ["namespace", "run_code", "shell_missing"]


def shell_missing() -> str:
    """Return why code cannot run here, empty where it can."""
    return "" if get_ipython() is not None else "Code runs in a notebook, and this is plain Python."


def namespace() -> dict[str, Any]:
    """Return the user's variables, none where there is no shell."""
    shell: Any = get_ipython()
    return {} if shell is None else dict(shell.user_ns)


async def run_code(source: str) -> BaseException | None:
    """Run code as a cell does, and return what it raised.

    Parameters
    ----------
    source
        As a user types it, magics included.

    Returns
    -------
    BaseException or None
        Its traceback was shown where output goes. KeyboardInterrupt or `asyncio.CancelledError`
        when it was stopped.

    Raises
    ------
    RuntimeError
        If there is no IPython shell.
    """
    shell: Any = get_ipython()
    if shell is None:
        raise RuntimeError(shell_missing())
    task = asyncio.current_task()
    with _interrupts(task.cancel if task else None):
        try:
            transformed, failed = shell.transform_cell(source), None
        except Exception:  # noqa: BLE001  the shell shows it as it does for a cell
            transformed, failed = source, sys.exc_info()
        try:
            result = await shell.run_cell_async(
                source,
                store_history=True,
                transformed_cell=transformed,
                preprocessing_exc_tuple=failed,
            )
        except (KeyboardInterrupt, asyncio.CancelledError) as stopped:
            return stopped
        finally:
            with contextlib.suppress(KeyboardInterrupt):
                shell.events.trigger("post_execute")  # figures are drawn here
        shell.events.trigger("post_run_cell", result)
    return result.error_before_exec or result.error_in_exec


@contextlib.contextmanager
def _interrupts(cancel: Callable[[], object] | None) -> Iterator[None]:
    """Take SIGINT for the code of this task."""
    if cancel is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if task is None or task.done():
            return
        if asyncio.current_task(loop) is task:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(cancel)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, before)
