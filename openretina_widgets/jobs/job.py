"""The face of a run: steered from anywhere, pumped on the kernel's main loop, awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import numbers
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Generic, cast

from openretina_widgets.jobs.worker import ENDED, ResultT, SnapshotT, State, Worker, turn

# A blocked wait looks up this often, so that Ctrl-C gets through where locks cannot be interrupted.
_LOOK_UP_EVERY = 0.25


class Job(Generic[SnapshotT, ResultT]):
    """A run of a generator of steps in a worker thread.

    ``await job`` waits for the result, ``async for snapshot in job`` watches it come about, and
    `pause`, `resume`, `step` and `cancel` steer it. These four put a command in a queue, return at
    once and may be called from any thread; the run obeys between two steps.

    Where callbacks run: ``steps``, ``snapshot`` and ``context`` in the worker thread;
    ``on_update``, ``ready`` and ``on_done`` on the event loop, in the context (`contextvars`) in
    which the job was built. With no loop running, `wait`, `result` and `exception` run them in the
    thread that waits, and so they do when a cell blocks the loop with them. What a callback raises
    ends the run and is what the job raises.

    Keep a reference: a job that is collected or closed ends its run. ``steps``, ``snapshot`` and
    ``context`` are held by the thread, so they should not refer to what holds the job.

    Ending a wait does not end the run: when the task or cell that awaits is cancelled or
    interrupted, the job goes on. `cancel` ends it.

    Parameters
    ----------
    steps
        Makes the generator; called in the worker thread. What the generator returns is the result.
        Sending it a string asks it to end and to return what it has. A step may hold live tensors:
        they need to be valid until the generator is resumed, and those of the last step after it
        has returned.
    snapshot
        Copies what is to be shown out of a step. Called between two steps, and only when a picture
        was asked for, when the run pauses, or for the last step. Default: the step itself.
    on_update
        Called with a snapshot at most ``rate_hz`` times a second on average, besides when the run
        pauses, after `step`, and for the last step of a run that did not fail.
    on_done
        Called once with the job, after the last update.
    ready
        Asked before a picture is requested; ``False`` skips it (the browser is behind).
    rate_hz
        Pictures per second, at most.
    name
        Name of the thread, also in messages.
    context
        Makes a context manager that the worker thread enters around the run, for settings that
        belong to a thread: a new thread heeds `torch.set_num_threads` of another only after it has
        itself called `torch.get_num_threads`.
    loop
        The loop on which callbacks run. Default: the one that runs in the thread that builds the
        job; where there is none, the loop of the first ``await``.

    Raises
    ------
    TypeError
        If a callback cannot be called, or ``loop`` is no event loop.
    ValueError
        If ``rate_hz`` is not a positive number.

    Examples
    --------
    >>> def count():
    ...     for number in range(3):
    ...         yield number
    ...     return "counted"
    >>> Job(count).start().result()
    'counted'
    """

    def __init__(
        self,
        steps: Callable[[], Generator[Any, Any, ResultT]],
        *,
        snapshot: Callable[[Any], SnapshotT] | None = None,
        on_update: Callable[[SnapshotT], object] | None = None,
        on_done: Callable[[Job[SnapshotT, ResultT]], object] | None = None,
        ready: Callable[[], bool] | None = None,
        rate_hz: float = 20.0,
        name: str = "job",
        context: Callable[[], contextlib.AbstractContextManager[Any]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not callable(steps):
            raise TypeError(
                "steps must be a function without arguments that makes the generator "
                f"(`lambda: ...`), got {type(steps).__name__}"
            )
        callbacks = {
            "snapshot": snapshot,
            "on_update": on_update,
            "on_done": on_done,
            "ready": ready,
            "context": context,
        }
        for argument, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise TypeError(
                    f"{argument} must be callable or None, got {type(callback).__name__}"
                )
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError(f"loop must be an asyncio event loop, got {type(loop).__name__}")
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise ValueError(
                f"rate_hz must be a positive number of pictures a second, got {rate_hz}"
            )
        self._on_update = on_update
        self._on_done = on_done
        self._ready = ready
        self._period = 1.0 / rate_hz
        self._newest: SnapshotT | None = None
        self._delivered = 0  # snapshots so far: by a change of it a watcher knows of a new one
        self._asked = False  # for a picture that has not come yet
        self._asked_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._settler: int | None = None  # the thread that calls on_done
        self._settled = False  # nothing more will be called
        self._starting = threading.Lock()
        self._pumping = threading.RLock()  # re-entrant: a callback may ask for the result
        self._worker: Worker[SnapshotT, ResultT] = Worker(
            steps, snapshot=snapshot, context=context, name=name, watched=on_update is not None
        )
        self._worker.loop = _running_loop() if loop is None else loop
        self._worker.job = weakref.ref(self)
        weakref.finalize(self, self._worker.abandon, "nobody holds the job").atexit = False

    # -- steering: any thread ----------------------------------------------------------------------

    def start(self, *, paused: bool = False) -> Job[SnapshotT, ResultT]:
        """Start the run, or with ``paused`` make it ready for `step`; return the job.

        Raises
        ------
        RuntimeError
            If the job was started, cancelled or closed before.
        """
        with self._starting:
            if self.state != "new":
                raise RuntimeError(
                    f"job {self.name!r} is {self.state} and cannot be started: build a new Job"
                )
            self._worker.begin(paused=paused)
        self._worker.ring()
        return self

    def pause(self) -> None:
        """Pause after the step that is being computed; nothing happens to a job that has ended.

        Raises
        ------
        RuntimeError
            If the job was not started.
        """
        self._check_started("pause")
        self._worker.put("pause")

    def resume(self) -> None:
        """Go on after a pause; nothing happens to a job that runs or has ended.

        Raises
        ------
        RuntimeError
            If the job was not started.
        """
        self._check_started("resume")
        self._worker.put("resume")

    def step(self, n: int = 1) -> None:
        """Take ``n`` further steps and pause; a new job is started, an ended one left alone.

        Called while steps are left from an earlier call, it adds to them.

        Raises
        ------
        ValueError
            If ``n`` is not a whole number of at least 1.
        """
        if not isinstance(n, numbers.Integral) or n < 1:
            raise ValueError(f"n must be a whole number of steps, at least 1, got {n!r}")
        with self._starting:
            fresh = self.state == "new"
            if fresh:
                self._worker.begin(paused=True)
        self._worker.put("step", n)
        if fresh:
            self._worker.ring()

    def cancel(self, reason: str = "stopped by the user") -> None:
        """End the run after the step that is being computed.

        The generator is sent the reason. If it answers by returning, that is the result; if it goes
        on, or has not begun, there is none, and waiting for it raises a ``CancelledError``. Nothing
        happens to a job that has ended.

        Raises
        ------
        ValueError
            If ``reason`` is not a string that says something.
        """
        if not isinstance(reason, str) or not reason:
            raise ValueError(f"reason must be a string that is not empty, got {reason!r}")
        with self._starting:
            fresh = self.state == "new"
            if fresh:
                self._worker.end_unstarted(reason)
        if fresh:
            self._worker.ring()
        else:
            self._worker.put("cancel", reason)

    def close(self) -> None:
        """End the run, call back no more and let go of what the job holds.

        The generator is closed, without a result. May be called more than once.
        """
        self._drop_callbacks()
        with self._starting:
            if self.state == "new":
                self._worker.end_unstarted("closed")
        self._worker.abandon("closed")
        self._worker.ring()

    # -- looking -----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name that the job was given."""
        return self._worker.name

    @property
    def state(self) -> State:
        """What the run does now: new, running, paused, finished, cancelled or failed.

        A command shows here once the run has obeyed it; `pending` says what it is about to obey.
        """
        state = self._worker.state
        return "failed" if state in ENDED and self._worker.error is not None else state

    @property
    def pending(self) -> str:
        """The command that waits for the step to end: pause, resume, step, cancel or nothing."""
        return self._worker.pending

    @property
    def reason(self) -> str:
        """Why the run was cancelled, empty if it was not."""
        return self._worker.reason

    @property
    def iteration(self) -> int:
        """Number of steps taken."""
        return self._worker.iteration

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been running, pauses left out."""
        return self._worker.elapsed

    @property
    def rate(self) -> float:
        """Steps per second over about the last second of running; 0 before the first step."""
        return self._worker.rate

    def done(self) -> bool:
        """Whether the run has ended."""
        return self._worker.state in ENDED

    def __repr__(self) -> str:
        return f"<Job {self.name!r}: {self.state}, {self.iteration} steps, {self.rate:.3g} steps/s>"

    # -- waiting -----------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended and its last callback returned; say whether it has.

        Parameters
        ----------
        timeout
            Seconds to wait at most.

        Raises
        ------
        RuntimeError
            If the job was not started.
        """
        self._check_started("wait for")
        worker = self._worker
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        me = threading.get_ident()
        # on_done may ask for the result: for its thread all is over.
        while not self._settled and self._settler != me:
            rings = worker.rings
            delay = self._pump() if self._is_pumped_here() else None
            left = deadline - time.monotonic()
            if left <= 0:
                break
            with worker.news:
                if worker.rings == rings:
                    nap = _LOOK_UP_EVERY if delay is None else min(delay, _LOOK_UP_EVERY)
                    worker.news.wait(min(left, nap))
        return self._settled or self._settler == me

    def result(self, timeout: float | None = None) -> ResultT:
        """Block until the run has ended and return what the generator returned.

        Interrupting the wait does not end the run.

        Parameters
        ----------
        timeout
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If the run has not ended by then; it goes on.
        concurrent.futures.CancelledError
            If the job was cancelled and there is no result.
        RuntimeError
            If the job was not started.
        Exception
            What the run or a callback raised.
        """
        self._wait_or_raise(timeout)
        return self._worker.outcome(concurrent.futures.CancelledError)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Block until the run has ended and return what it or a callback raised.

        ``None`` if all went well, or if the job was cancelled.

        Parameters
        ----------
        timeout
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If the run has not ended by then; it goes on.
        RuntimeError
            If the job was not started.
        """
        self._wait_or_raise(timeout)
        return self._worker.error

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self._join().__await__()

    def __aiter__(self) -> AsyncIterator[SnapshotT]:
        self._check_started("watch")
        return _Watch(self)

    async def _join(self) -> ResultT:
        self._check_started("await")
        while not self._settled:
            await self._news()
        return self._worker.outcome(asyncio.CancelledError)

    async def _news(self, seen: int | None = None) -> None:
        """Wait until all is over, or until there are other than ``seen`` snapshots."""
        loop = asyncio.get_running_loop()
        worker = self._worker
        if worker.loop is None or not worker.loop.is_running():
            worker.loop, self._timer = loop, None
        future = loop.create_future()
        with worker.news:
            if self._settled or seen not in (None, self._delivered):
                return
            worker.waiters[future] = seen is not None
        worker.ring()  # a picture may have to be asked for, or an end be noticed
        try:
            await future
        finally:
            with worker.news:
                worker.waiters.pop(future, None)

    def _wait_or_raise(self, timeout: float | None) -> None:
        if not self.wait(timeout):
            raise TimeoutError(f"job {self.name!r} is still {self.state} after {timeout} s")

    def _check_started(self, verb: str) -> None:
        if self._worker.state == "new":
            raise RuntimeError(f"cannot {verb} job {self.name!r}: it was not started, call start()")

    # -- the pump: on the loop, or in a thread that waits where no loop runs -----------------------

    def _is_pumped_here(self) -> bool:
        loop = self._worker.loop
        return loop is None or not loop.is_running() or loop is _running_loop()

    def _turn(self, *, by_timer: bool) -> None:
        """Take one turn on the loop and see to the next."""
        loop = _running_loop()
        if loop is None or loop is not self._worker.loop:
            return  # a loop that came back after another took over
        if by_timer:
            self._timer = None
        delay = self._pump()
        if delay is not None and self._timer is None:
            self._timer = loop.call_later(delay, turn, self._worker, True)

    def _pump(self) -> float | None:
        """Deliver, settle or ask; return the seconds to the next turn, None if the worker rings."""
        if not self._pumping.acquire(blocking=False):
            return None  # another thread is at it
        try:
            ended = self.done()  # before the mailbox is emptied: the last snapshot went there first
            self._deliver()
            if ended:
                self._settle()
                return None
            return self._ask()
        finally:
            self._pumping.release()

    def _deliver(self) -> None:
        worker = self._worker
        try:
            snapshot = worker.mailbox.popleft()
        except IndexError:
            return
        self._asked = False
        with worker.news:
            self._newest = snapshot
            self._delivered += 1
            worker.wake(watchers_only=True)
        if self._on_update is not None and worker.error is None:
            with self._failing():
                self._on_update(snapshot)

    def _ask(self) -> float | None:
        worker = self._worker
        watched = worker.has_watchers()
        if self._asked or not (watched or self._on_update is not None):
            return None
        if worker.state == "paused" and not watched:
            return None  # it has shown its step, and rings when it goes on
        now = time.monotonic()
        due = self._asked_at + self._period
        if now < due:
            return due - now
        if self._ready is not None and worker.state != "paused":
            ready = False
            with self._failing():
                ready = self._ready()
            if not ready:
                return self._period
        self._asked, self._asked_at = True, now
        worker.put("show")
        return None

    def _settle(self) -> None:
        if self._settler is not None:
            return
        self._settler = threading.get_ident()
        try:
            if self._on_done is not None:
                with self._failing():
                    self._on_done(self)
        finally:
            self._drop_callbacks()
            worker = self._worker
            with worker.news:
                self._settled = True
                worker.wake()
            worker.ring()

    @contextlib.contextmanager
    def _failing(self) -> Generator[None, None, None]:
        """Let what a callback raises end the run and be what the job raises."""
        try:
            yield
        # Whatever it is: nobody else would see it, and the run would go on without a picture.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            self._worker.fail(error)
            self._worker.abandon(f"a callback raised {type(error).__name__}")

    def _drop_callbacks(self) -> None:
        self._on_update = self._on_done = self._ready = None
        self._worker.watched = False


class _Watch(Generic[SnapshotT]):
    """The newest snapshots of a job, one after the other; those that come too fast are skipped."""

    def __init__(self, job: Job[SnapshotT, Any]) -> None:
        self._job = job
        self._seen = 0

    def __aiter__(self) -> _Watch[SnapshotT]:
        return self

    async def __anext__(self) -> SnapshotT:
        job = self._job
        while job._delivered == self._seen:
            if job._settled:
                if job.state == "failed":
                    await job
                raise StopAsyncIteration
            await job._news(self._seen)
        with job._worker.news:
            self._seen = job._delivered
            return cast(SnapshotT, job._newest)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
