"""The thread that runs a job's generator, and what it shares with the job."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import math
import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

SnapshotT = TypeVar("SnapshotT")
ResultT = TypeVar("ResultT")

Command = Literal["show", "pause", "resume", "step", "cancel", "abandon"]
State = Literal["new", "running", "paused", "finished", "cancelled", "failed"]
ENDED: frozenset[State] = frozenset({"finished", "cancelled", "failed"})

# With the interpreter's switch interval of 5 ms, steps of pure Python make every system call of the
# main thread wait 5 ms, and a message from the browser needs a dozen. A pause of a microsecond
# (a real sleep: sleep(0) does not reliably let another thread in) once a millisecond avoids that.
_BREATH_EVERY = 1e-3
_BREATH = 1e-6
# While jobs run, a thread that waits for the interpreter asks for it after this many seconds, and
# not after 5 ms. The main thread draws for one to three milliseconds at a time, and a run stood
# still for all of it, which was 3 % of a watched run on two cores.
_SWITCH_EVERY = 5e-4
# When Python exits, a step that is being computed may take this long to end: to pull the thread out
# of a library's code would abort the process. (Jupyter kills a kernel after 2.5 s, without noise.)
_EXIT_PATIENCE = 10.0
# The recent rate weighs a step of this age by 1/e.
_RATE_MEMORY = 1.0


class Pumped(Protocol):
    """What the worker knows of the job that holds it."""

    def _turn(self, *, by_timer: bool) -> None:
        """Take what there is, call back, and ask for the next picture when it is due."""


class Worker(threading.Thread, Generic[SnapshotT, ResultT]):
    """The thread that runs the generator, and all that it shares with the job."""

    def __init__(
        self,
        steps: Callable[[], Generator[Any, Any, ResultT]],
        *,
        snapshot: Callable[[Any], SnapshotT] | None,
        context: Callable[[], contextlib.AbstractContextManager[Any]] | None,
        name: str,
        watched: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._steps = steps
        self._snapshot = snapshot
        self._context = contextlib.nullcontext if context is None else context
        self._vars = contextvars.copy_context()
        # A SimpleQueue can be put into from anywhere, from a finalizer in the midst of another put
        # too, where a lock would be taken twice.
        self._commands: queue.SimpleQueue[tuple[Command, Any]] = queue.SimpleQueue()
        self._steps_left: float = math.inf  # until the next pause
        self._show_asked = False
        self._shown = True  # there is no step yet
        self._wants_result = True
        self._breathed_at = 0.0
        self._counted_at = 0.0  # on the clock of running
        self._recent_steps = self._recent_seconds = 0.0
        # Written by the worker, one assignment each, so that reading needs no lock.
        self.mailbox: deque[SnapshotT] = deque(maxlen=1)
        self.state: State = "new"
        self.reason = ""
        self.iteration = 0
        self.rate = 0.0
        self._clock: tuple[float, float | None] = (0.0, None)  # seconds run, running since
        self._obeyed: tuple[Command, Any] | None = None
        self._value: ResultT | None = None
        self._has_value = False
        # Written by the job.
        self.watched = watched  # pauses are to be shown
        self.job: Callable[[], Pumped | None] = lambda: None
        self.loop: asyncio.AbstractEventLoop | None = None
        # Written by both sides.
        self.error: BaseException | None = None
        self._traceback: TracebackType | None = None
        # Guarded by the lock of `news`. The futures of those who wait, and whether for a snapshot,
        # are kept here because a running thread is sure to live: a loop forgets a waiting task.
        self.news = threading.Condition()
        self.rings = 0
        self.waiters: dict[asyncio.Future[None], bool] = {}
        self._given: tuple[Command, Any] | None = None

    # -- called by the job -------------------------------------------------------------------------

    def begin(self, *, paused: bool) -> None:
        """Start the thread."""
        self._steps_left = 0 if paused else math.inf
        self.state = "paused" if paused else "running"
        _alive.add(self)
        try:
            self.start()
        except RuntimeError:  # the system has no thread left
            self.state = "new"
            raise

    def end_unstarted(self, reason: str) -> None:
        """End a run that never began."""
        self.reason = reason
        self.state = "cancelled"
        self._let_go()

    def put(self, command: Command, value: Any = None) -> None:
        """Give a command, to be obeyed between two steps."""
        with self.news:
            entry: tuple[Command, Any] = (command, value)
            if command != "show":
                self._given = entry
            self._commands.put(entry)

    def abandon(self, reason: str) -> None:
        """End the run, whose result nobody wants; may be called by a finalizer."""
        self._commands.put(("abandon", reason))

    @property
    def pending(self) -> str:
        """The last command, while it has not been obeyed."""
        if self.state in ENDED:
            return ""
        if self.reason:
            return "cancel"
        given = self._given
        return "" if given is None or given is self._obeyed else given[0]

    @property
    def elapsed(self) -> float:
        """Seconds of running."""
        ran, since = self._clock
        return ran if since is None else ran + time.perf_counter() - since

    def has_watchers(self) -> bool:
        """Whether somebody awaits a snapshot."""
        with self.news:
            return any(self.waiters.values())

    def wake(self, *, watchers_only: bool = False) -> None:
        """Wake those who wait; the lock is held."""
        for future, watches in list(self.waiters.items()):
            if watches or not watchers_only:
                del self.waiters[future]
                with contextlib.suppress(RuntimeError):  # their loop is closed
                    future.get_loop().call_soon_threadsafe(_wake, future)

    def ring(self) -> None:
        """Tell the loop, and threads that wait, that there is something to look at."""
        with self.news:
            self.rings += 1
            self.news.notify_all()
        loop = self.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the kernel shuts down
                loop.call_soon_threadsafe(turn, self, False, context=self._vars.copy())

    def fail(self, error: BaseException) -> None:
        """Keep the first error."""
        if self.error is None:
            # Without this module's frames, which would tie error and worker into a cycle that keeps
            # the tensors of a failed step until the next garbage collection.
            traceback = error.__traceback__
            while traceback is not None and traceback.tb_frame.f_globals is globals():
                traceback = traceback.tb_next
            self._traceback = traceback
            self.error = error.with_traceback(traceback)

    def outcome(self, cancelled: type[BaseException]) -> ResultT:
        """Return the result, or raise what there is instead."""
        if self.error is not None:
            # With the traceback that it had, or each who waits would add frames to it.
            raise self.error.with_traceback(self._traceback)
        if not self._has_value:
            raise cancelled(self.reason)
        return cast(ResultT, self._value)

    # -- the thread --------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the generator in the context in which the job was built."""
        self._vars.copy().run(self._run)

    def _run(self) -> None:
        state: State = "failed"
        if self.state == "running":
            self._start_clock()
        try:
            with _short_turns, self._context():
                state = self._drive()
        # Whatever ends the run ends in the job: nobody looks at a thread's own traceback.
        except BaseException as error:  # noqa: BLE001
            self.fail(error)
        self._stop_clock()
        self._let_go()
        self.state = state
        self.ring()

    def _drive(self) -> State:
        steps = self._steps()
        if not isinstance(steps, Generator):
            raise TypeError(f"steps() must return a generator, got {type(steps).__name__}")
        step: Any = None
        try:
            while self._obey(step):
                try:
                    step = next(steps)
                except StopIteration as end:
                    self._show(step)
                    self._value, self._has_value = end.value, True
                    return "finished"
                self._count()
            if self._wants_result and self.iteration and _listens(steps):
                self._show(step)
                try:
                    steps.send(self.reason)
                except StopIteration as end:
                    self._value, self._has_value = end.value, True
            return "cancelled"
        finally:
            steps.close()

    def _obey(self, step: Any) -> bool:
        """Obey the commands, through a pause if need be; False if the run is to end."""
        obeyed = self._obeyed
        while True:
            if self._steps_left <= 0 and self.state == "running":
                self._stop_clock()
                self.state = "paused"
                if self.watched:
                    self._show(step)
                self.ring()
            elif self._steps_left > 0 and self.state == "paused":
                self._start_clock()
                self.state = "running"
                self.ring()
            self._obeyed = obeyed
            try:
                entry = self._commands.get(block=self.state == "paused")
            except queue.Empty:
                break
            command, value = entry
            if command == "show":
                self._show_asked = True
                if self.state == "paused":
                    self._show(step)
                    self.ring()
                continue
            obeyed = entry
            if command in ("cancel", "abandon"):
                self.reason = value
                self._wants_result = command == "cancel"
                return False
            if command == "step":
                self._steps_left = value + (0 if self._steps_left == math.inf else self._steps_left)
            else:
                self._steps_left = 0 if command == "pause" else math.inf
        if self._show_asked and not self._shown:
            self._show(step)
            self.ring()
        self._breathe()
        return True

    def _show(self, step: Any) -> None:
        """Put the step into the mailbox, unless it has been there."""
        if not self._shown:
            self.mailbox.append(step if self._snapshot is None else self._snapshot(step))
            self._shown = True
            self._show_asked = False

    def _count(self) -> None:
        """Account for a step."""
        self._shown = False
        self._steps_left -= 1
        self.iteration += 1
        elapsed = self.elapsed
        faded = math.exp((self._counted_at - elapsed) / _RATE_MEMORY)
        self._recent_steps = self._recent_steps * faded + 1.0
        self._recent_seconds = self._recent_seconds * faded + elapsed - self._counted_at
        self._counted_at = elapsed
        self.rate = self._recent_steps / max(self._recent_seconds, 1e-9)

    def _breathe(self) -> None:
        """Let the main thread in."""
        if time.perf_counter() - self._breathed_at > _BREATH_EVERY:
            time.sleep(_BREATH)
            self._breathed_at = time.perf_counter()

    def _start_clock(self) -> None:
        self._clock = (self._clock[0], time.perf_counter())

    def _stop_clock(self) -> None:
        self._clock = (self.elapsed, None)

    def _let_go(self) -> None:
        """Free what the steps hold: models, data, a widget."""
        del self._steps, self._snapshot, self._context


class _ShortTurns:
    """Counts the running jobs: the interval belongs to the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs = 0
        self._before = self._set = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._jobs == 0:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, _SWITCH_EVERY))
                self._set = sys.getswitchinterval()
            self._jobs += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._jobs -= 1
            if self._jobs == 0 and sys.getswitchinterval() == self._set:  # nobody else set it
                sys.setswitchinterval(self._before)


_short_turns = _ShortTurns()


def turn(worker: Worker[Any, Any], by_timer: bool) -> None:
    """Let the job take a turn, if somebody still holds it."""
    job = worker.job()
    if job is not None:
        job._turn(by_timer=by_timer)


def _listens(steps: Any) -> bool:
    """Whether a string can be sent: ``yield from`` an iterator passes it on to what has no send."""
    inner = getattr(steps, "gi_yieldfrom", None)
    return hasattr(steps, "send") and (inner is None or _listens(inner))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_alive: weakref.WeakSet[Worker[Any, Any]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End what runs before Python goes away under it."""
    workers = [worker for worker in _alive if worker.is_alive()]
    for worker in workers:
        worker.abandon("Python exits")
    deadline = time.monotonic() + _EXIT_PATIENCE
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
