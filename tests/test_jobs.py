"""Jobs in plain Python and in asyncio; `test_jobs_kernels` runs them in real kernels."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import itertools
import math
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from openretina_widgets.jobs import Job
from openretina_widgets.jobs.worker import Worker

PATIENCE = 20.0  # s, until a test gives up; nothing waits that long unless it fails


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, Worker)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    for worker in workers():
        worker.join(PATIENCE)
    assert workers() == []


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.0005)


async def until_async(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.0005)


def rests(job: Job[Any, Any]) -> bool:
    """Whether a job has obeyed all commands and is paused."""
    return not job.pending and job.state == "paused"


def count(total: int) -> Callable[[], Generator[int, str | None, str]]:
    """Steps 1 ... total, as fast as they come."""

    def steps() -> Generator[int, str | None, str]:
        for number in range(1, total + 1):
            reason = yield number
            if reason:
                return f"{reason}, after {number}"
        return f"all {total}"

    return steps


class Gate:
    """Endless steps that happen one by one, when the test says so; a string ends them."""

    def __init__(self) -> None:
        self.tickets = threading.Semaphore(0)
        self.is_open = False
        self.waiting = threading.Event()  # the run is within a step
        self.closed = threading.Event()
        self.steps = 0

    def __call__(self) -> Generator[int, str | None, str]:
        try:
            while True:
                self.waiting.set()
                assert self.is_open or self.tickets.acquire(timeout=PATIENCE)
                self.waiting.clear()
                self.steps += 1
                reason = yield self.steps
                if reason:
                    return f"{reason}, after {self.steps}"
        finally:
            self.closed.set()

    def pass_(self, n: int = 1) -> None:
        """Let n steps happen and wait until they have."""
        goal = self.steps + n
        self.tickets.release(n)
        until(lambda: self.steps >= goal)

    def open(self) -> None:
        self.is_open = True
        self.tickets.release()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


class Mishap(Exception):
    pass


def mishap(*_: Any) -> Any:
    raise Mishap("spilt")


class Log(list[Any]):
    """Collects what an update callback is called with, and in which threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __call__(self, item: Any) -> None:
        self.append(item)
        self.threads.add(threading.get_ident())


# -- building and starting -------------------------------------------------------------------------


def test_importing_jobs_imports_neither_torch_nor_jupyter() -> None:
    code = """
        import sys, openretina_widgets.jobs
        heavy = {"torch", "numpy", "ipywidgets", "IPython", "anywidget", "bqplot", "traitlets"}
        print(sorted(heavy & set(sys.modules)), [m for m in sys.modules if "insilico" in m])
    """
    assert in_python(code) == "[] []"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": count(3)()}, TypeError, "steps must be a function .* got generator"),
        ({"snapshot": 3}, TypeError, "snapshot must be callable or None, got int"),
        ({"on_update": "draw"}, TypeError, "on_update must be callable or None, got str"),
        ({"on_done": 1.0}, TypeError, "on_done must be callable or None, got float"),
        ({"ready": True}, TypeError, "ready must be callable or None, got bool"),
        ({"context": contextlib.nullcontext()}, TypeError, "context must be callable .* nullcont"),
        ({"loop": "main"}, TypeError, "loop must be an asyncio event loop, got str"),
        ({"rate_hz": 0}, ValueError, "rate_hz must be a positive number .* got 0"),
        ({"rate_hz": math.inf}, ValueError, "rate_hz must be a positive number .* got inf"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Job(**{"steps": count(3), **arguments})


def test_result_of_a_run() -> None:
    job = Job(count(100), name="hundred")
    assert (job.state, job.done(), job.iteration, job.rate, job.elapsed) == ("new", False, 0, 0, 0)
    assert job.start() is job
    assert job.result() == job.result() == "all 100"
    assert job.exception() is None
    assert (job.state, job.done(), job.iteration, job.reason) == ("finished", True, 100, "")
    assert repr(job).startswith("<Job 'hundred': finished, 100 steps, ")


def test_a_run_without_steps_has_a_result() -> None:
    updates = Log()
    assert Job(count(0), on_update=updates).start().result() == "all 0"
    assert updates == []


def test_starting_twice_is_an_error_in_words(gate: Gate) -> None:
    job = Job(gate, name="twice").start()
    with pytest.raises(RuntimeError, match="'twice' is running and cannot be started: build a new"):
        job.start()
    job.cancel()
    gate.open()
    job.wait()
    with pytest.raises(RuntimeError, match="'twice' is cancelled"):
        job.start()


@pytest.mark.parametrize("verb", ["pause", "resume", "wait", "result", "exception", "__aiter__"])
def test_what_needs_a_started_job_says_so(verb: str) -> None:
    with pytest.raises(RuntimeError, match=r"it was not started, call start\(\)"):
        getattr(Job(count(3)), verb)()


async def test_awaiting_a_job_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"cannot await job 'job': it was not started"):
        await Job(count(3))


def test_steps_must_make_a_generator() -> None:
    job = Job(lambda: [1, 2, 3]).start()  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"steps\(\) must return a generator, got list"):
        job.result()


# -- pause, resume, step ---------------------------------------------------------------------------


def test_pause_holds_and_resume_goes_on(gate: Gate) -> None:
    job = Job(gate).start()
    gate.pass_(3)
    gate.waiting.wait(PATIENCE)
    job.pause()
    assert (job.state, job.pending) == ("running", "pause")  # the fourth step is being computed
    gate.pass_()
    until(lambda: rests(job))
    assert job.pending == ""
    gate.open()  # steps could happen now
    time.sleep(0.05)
    assert job.iteration == gate.steps == 4
    job.resume()
    until(lambda: job.iteration > 4)
    assert job.state == "running"
    job.cancel()
    job.wait()


def test_pause_then_resume_within_one_step_does_not_pause(gate: Gate) -> None:
    updates = Log()
    job = Job(gate, on_update=updates).start()
    gate.waiting.wait(PATIENCE)
    job.pause()
    job.resume()
    gate.pass_(5)
    job.cancel()
    gate.open()
    assert job.result().startswith("stopped by the user")


def test_pause_immediately_after_start() -> None:
    for _ in range(50):
        job = Job(count(10**9)).start()
        job.pause()
        until(lambda job=job: rests(job))
        taken = job.iteration
        time.sleep(0.001)
        assert job.iteration == taken
        job.cancel()
        job.wait()


def test_starting_paused_takes_no_step() -> None:
    job = Job(count(5)).start(paused=True)
    assert job.state == "paused"
    time.sleep(0.02)
    assert job.iteration == 0
    job.resume()
    assert job.result() == "all 5"


@pytest.mark.parametrize("n", [1, 7])
def test_step_takes_exactly_n_steps(n: int) -> None:
    job = Job(count(10**9))
    job.step(n)  # a new job is started by it
    until(lambda: rests(job) and job.iteration == n)
    job.step(n)
    until(lambda: rests(job) and job.iteration == 2 * n)
    time.sleep(0.02)
    assert job.iteration == 2 * n
    job.cancel()
    job.wait()


def test_steps_that_are_asked_for_in_a_row_add_up(gate: Gate) -> None:
    gate.open()
    job = Job(gate).start(paused=True)
    for _ in range(100):
        job.step(2)
    until(lambda: rests(job) and job.iteration == 200)
    time.sleep(0.02)
    assert gate.steps == 200
    job.close()


def test_step_while_running_takes_n_more_and_pauses(gate: Gate) -> None:
    job = Job(gate).start()
    gate.pass_(2)
    gate.waiting.wait(PATIENCE)
    job.step(3)  # besides the third, which is being computed
    gate.open()
    until(lambda: rests(job))
    assert gate.steps == job.iteration == 6
    job.close()


def test_resume_while_running_and_pause_while_paused_change_nothing(gate: Gate) -> None:
    gate.open()
    job = Job(gate).start()
    job.resume()
    until(lambda: not job.pending)
    assert job.state == "running"
    job.pause()
    until(lambda: rests(job))
    job.pause()
    until(lambda: not job.pending)
    assert job.state == "paused"
    job.close()


@pytest.mark.parametrize("n", [0, -1, 1.0, "2"])
def test_step_names_a_bad_number(n: Any) -> None:
    with pytest.raises(ValueError, match="n must be a whole number of steps, at least 1, got"):
        Job(count(3)).step(n)


def test_commands_to_a_job_that_has_ended_do_nothing() -> None:
    job = Job(count(3)).start()
    job.wait()
    job.pause()
    job.resume()
    job.step()
    job.cancel()
    assert (job.state, job.pending, job.reason, job.result()) == ("finished", "", "", "all 3")


def test_threads_take_short_turns_while_jobs_run_and_usual_ones_afterwards() -> None:
    before = sys.getswitchinterval()

    def endless() -> Generator[float, str, None]:
        while True:
            yield sys.getswitchinterval()

    first, second = Job(endless).start(), Job(endless).start()
    until(lambda: first.iteration and second.iteration)
    assert sys.getswitchinterval() == pytest.approx(5e-4)
    for job in (first, second):
        assert sys.getswitchinterval() == pytest.approx(5e-4)
        job.close()
        job.wait()
        until(lambda job=job: not job._worker.is_alive())
    assert sys.getswitchinterval() == before


def test_an_interval_that_somebody_set_meanwhile_is_left_alone() -> None:
    before = sys.getswitchinterval()
    job = Job(lambda: (time.sleep(0.001) for _ in itertools.count())).start()
    until(lambda: job.iteration)
    sys.setswitchinterval(0.003)
    try:
        job.close()
        until(lambda: not job._worker.is_alive())
        assert sys.getswitchinterval() == pytest.approx(0.003)
    finally:
        sys.setswitchinterval(before)


def test_elapsed_leaves_pauses_out_and_rate_is_recent() -> None:
    def steps() -> Generator[int, None, None]:
        for number in range(10**9):
            time.sleep(0.002)
            yield number

    job = Job(steps)
    began = time.perf_counter()
    job.step(20)
    until(lambda: rests(job))
    took = time.perf_counter() - began
    at_pause = job.elapsed
    assert 20 * 0.002 <= at_pause <= took
    time.sleep(0.05)
    assert job.elapsed == at_pause
    assert job.rate == pytest.approx(20 / at_pause, rel=0.25)
    job.resume()
    until(lambda: job.elapsed > at_pause)
    job.close()


def test_commands_from_many_threads_at_once_leave_a_job_that_obeys() -> None:
    job = Job(count(10**9)).start()
    start = threading.Barrier(4)

    def meddle(verbs: str) -> None:
        start.wait()
        for verb in verbs.split() * 100:
            getattr(job, verb)()

    threads = [
        threading.Thread(target=meddle, args=(verbs,))
        for verbs in ("pause resume", "step pause", "resume step", "pause step resume")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.pause()
    until(lambda: rests(job))
    taken = job.iteration
    job.step(3)
    until(lambda: rests(job) and job.iteration == taken + 3)
    job.cancel()
    assert job.result() == f"stopped by the user, after {taken + 3}"


# -- cancel ----------------------------------------------------------------------------------------


def test_cancel_ends_within_the_step_and_keeps_the_result(gate: Gate) -> None:
    job = Job(gate).start()
    gate.pass_(2)
    gate.waiting.wait(PATIENCE)
    job.cancel("seen enough")
    assert (job.state, job.pending) == ("running", "cancel")
    gate.pass_()
    assert job.result() == "seen enough, after 3"
    assert (job.state, job.iteration, job.reason) == ("cancelled", 3, "seen enough")
    assert job.exception() is None
    assert gate.closed.is_set()


def test_cancel_while_paused(gate: Gate) -> None:
    gate.open()
    job = Job(gate)
    job.step(4)
    until(lambda: rests(job))
    job.cancel()
    job.cancel("a second reason comes too late")
    assert job.result() == "stopped by the user, after 4"


@pytest.mark.parametrize("kind", ["deaf", "delegating"])
def test_cancel_of_a_generator_that_goes_on_closes_it(kind: str) -> None:
    closed = threading.Event()

    def deaf() -> Generator[int, None, str]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    def delegating() -> Generator[int, None, str]:
        try:
            yield from itertools.repeat(0)  # an iterator has no send
        finally:
            closed.set()
        return "never"

    job = Job({"deaf": deaf, "delegating": delegating}[kind])
    job.step()
    until(lambda: rests(job))
    job.cancel("enough")
    with pytest.raises(concurrent.futures.CancelledError, match="enough"):
        job.result()
    assert closed.is_set()
    assert (job.state, job.exception(), job.iteration) == ("cancelled", None, 1)


def test_what_a_generator_raises_when_it_is_closed_ends_in_the_result() -> None:
    def steps() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            mishap()

    job = Job(steps)
    job.step()
    until(lambda: rests(job))
    job.cancel()
    with pytest.raises(Mishap):
        job.result(PATIENCE)


def test_cancel_before_the_first_step_has_no_result() -> None:
    job = Job(count(3)).start(paused=True)
    job.cancel()
    with pytest.raises(concurrent.futures.CancelledError, match="stopped by the user"):
        job.result()
    assert (job.state, job.iteration) == ("cancelled", 0)


def test_cancel_before_start() -> None:
    done = Log()
    job = Job(count(3), on_done=done)
    job.cancel("changed my mind")
    assert (job.state, job.reason) == ("cancelled", "changed my mind")
    with pytest.raises(RuntimeError, match="is cancelled and cannot be started"):
        job.start()
    with pytest.raises(concurrent.futures.CancelledError, match="changed my mind"):
        job.result()
    assert done == [job]


async def test_cancel_before_start_ends_a_wait() -> None:
    done = Log()
    job = Job(count(3), on_done=done)
    job.cancel()
    with pytest.raises(asyncio.CancelledError, match="stopped by the user"):
        await job
    assert done == [job]


@pytest.mark.parametrize("reason", ["", None, object()])
def test_cancel_wants_a_reason(reason: Any) -> None:
    with pytest.raises(ValueError, match="reason must be a string that is not empty, got"):
        Job(count(3)).cancel(reason)


def test_cancel_races_with_the_end() -> None:
    outcomes = set()
    for n in range(300):
        job = Job(count(n % 30)).start()
        job.cancel()
        with contextlib.suppress(concurrent.futures.CancelledError):
            outcomes.add(job.result().split(",")[0][:3])
        assert job.state in ("finished", "cancelled")
    assert outcomes  # whichever came first, each run ended


# -- updates in plain Python -----------------------------------------------------------------------


def test_without_a_loop_the_thread_that_waits_is_called_back() -> None:
    updates, done = Log(), Log()
    job = Job(count(2000), on_update=updates, on_done=done, rate_hz=1000).start()
    assert job.result() == "all 2000"
    assert updates[-1] == 2000
    assert updates == sorted(set(updates))
    assert done == [job]
    assert updates.threads == done.threads == {threading.get_ident()}


def test_on_done_comes_once_after_the_last_update_and_may_ask_for_the_result() -> None:
    events: list[Any] = []
    job = Job(
        count(5), on_update=events.append, on_done=lambda job: events.append(job.result())
    ).start()
    job.wait()
    job.wait()
    assert events[-2:] == [5, "all 5"]
    assert events.count("all 5") == 1


def test_updates_come_at_most_at_the_rate() -> None:
    times: list[float] = []

    def steps() -> Generator[float, None, None]:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            time.sleep(0.001)
            yield time.monotonic()

    Job(steps, on_update=lambda _: times.append(time.monotonic()), rate_hz=20).start().result()
    assert 3 <= len(times) <= 0.6 * 20 + 2  # the first at once, the last besides


def test_a_snapshot_is_taken_only_when_asked_for() -> None:
    taken: list[int] = []
    threads: set[threading.Thread] = set()

    def snapshot(step: int) -> str:
        taken.append(step)
        threads.add(threading.current_thread())
        return f"step {step}"

    Job(count(10000), snapshot=snapshot).start().result()
    assert taken == [10000]  # nobody watches: the last one only
    updates = Log()
    taken.clear()
    Job(count(10000), snapshot=snapshot, on_update=updates, rate_hz=200).start().result()
    assert updates[-1] == "step 10000"
    assert {int(update.split()[1]) for update in updates} <= set(taken)
    assert len(taken) <= len(updates) + 1  # one that was asked for may be overtaken by the last
    assert all(isinstance(thread, Worker) for thread in threads)


def test_each_pause_and_step_is_shown(gate: Gate) -> None:
    gate.open()
    states: list[tuple[int, str]] = []
    # So slow that only the first step, pauses and the end are shown.
    job = Job(gate, on_update=lambda step: states.append((step, job.state)), rate_hz=0.001)
    for goal in range(1, 6):
        job.step()
        until(lambda goal=goal: job.wait(0.001) or (goal, "paused") in states)
    assert states == [(goal, "paused") for goal in range(1, 6)]
    job.resume()
    until(lambda: job.iteration > 50)
    job.pause()
    until(lambda: job.wait(0.001) or len(states) == 6)
    assert states[-1] == (job.iteration, "paused")
    job.step()
    job.cancel()
    job.wait()
    assert states[-1][0] == job.iteration


def test_no_picture_is_asked_for_while_the_browser_is_behind() -> None:
    ready = threading.Event()
    asked = Log()
    updates = Log()
    taken = Log()

    def snapshot(step: int) -> int:
        taken(step)
        return step

    def is_ready() -> bool:
        asked(None)
        return ready.is_set()

    job = Job(count(10**9), snapshot=snapshot, on_update=updates, ready=is_ready, rate_hz=200)
    job.start()
    until(lambda: job.wait(0.01) or len(asked) > 5)
    assert updates == taken == []
    ready.set()
    until(lambda: job.wait(0.01) or len(updates) > 2)
    ready.clear()
    job.wait(0.05)
    behind = len(updates)
    job.wait(0.1)
    assert len(updates) == behind
    job.pause()  # shown all the same
    until(lambda: job.wait(0.01) or len(updates) > behind)
    assert updates[-1] == job.iteration
    idle = len(asked)
    job.wait(0.1)
    assert len(asked) == idle  # a paused job asks nothing
    job.cancel()
    job.wait()
    assert asked.threads == {threading.get_ident()}


def test_the_newest_snapshot_is_what_is_delivered(gate: Gate) -> None:
    gate.open()
    updates = Log()
    job = Job(gate, on_update=updates, rate_hz=1000).start()
    job.wait(0.01)
    until(lambda: job.iteration > 1000)  # nobody pumps meanwhile: the mailbox has one place
    job.pause()
    until(lambda: rests(job))
    before = len(updates)
    job.wait(0.05)
    assert updates[before:] == [job.iteration]
    job.close()


def test_result_times_out_and_the_job_goes_on(gate: Gate) -> None:
    job = Job(gate, name="slow").start()
    with pytest.raises(TimeoutError, match=r"'slow' is still running after 0\.01 s"):
        job.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        job.exception(timeout=0)
    assert job.wait(timeout=0) is False
    job.cancel()
    gate.open()
    assert job.result(PATIENCE)


def test_interrupting_a_wait_leaves_the_job_running(gate: Gate) -> None:
    job = Job(gate).start()
    gate.waiting.wait(PATIENCE)
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        job.result(PATIENCE)
    assert job.state == "running"
    job.cancel()
    gate.open()
    assert job.result(PATIENCE) == "stopped by the user, after 1"


def test_interrupting_on_done_leaves_a_job_that_has_ended() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    job = Job(count(3), on_done=interrupted).start()
    with pytest.raises(KeyboardInterrupt):
        job.result(PATIENCE)
    assert asyncio.run(asyncio.wait_for(job, PATIENCE)) == "all 3"


def test_several_threads_may_wait() -> None:
    updates = Log()
    job = Job(count(5000), on_update=updates, rate_hz=500).start(paused=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = [pool.submit(job.result, PATIENCE) for _ in range(8)]
        job.resume()
        assert {result.result() for result in results} == {"all 5000"}
    assert updates[-1] == 5000
    assert updates == sorted(set(updates))


# -- failures --------------------------------------------------------------------------------------


def broken(after: int) -> Callable[[], Generator[int, None, None]]:
    def steps() -> Generator[int, None, None]:
        yield from range(after)
        mishap()

    return steps


@contextlib.contextmanager
def broken_exit() -> Iterator[None]:
    yield
    mishap()


FAILURES = {
    "making the generator": {"steps": mishap},
    "the first step": {"steps": broken(0)},
    "a later step": {"steps": broken(100)},
    "snapshot": {"snapshot": mishap},
    "context, made": {"context": mishap},
    "context, left": {"steps": count(10), "context": broken_exit},
    "on_update": {"on_update": mishap},
    "on_update, the last": {"steps": count(1), "on_update": mishap},
    "ready": {"ready": mishap},
    "on_done": {"steps": count(10), "on_done": mishap},
}


@pytest.mark.parametrize("where", FAILURES)
def test_every_failure_ends_in_the_result(where: str) -> None:
    seen = Log()
    arguments = {
        "steps": count(10**9),
        "on_update": lambda _: None,
        "on_done": lambda job: seen((job.state, job.exception())),
        **FAILURES[where],
    }
    job = Job(**arguments).start()
    for _ in range(2):
        with pytest.raises(Mishap, match="spilt") as caught:
            job.result(PATIENCE)
    assert job.state == "failed"
    assert job.exception() is caught.value
    if where != "on_done":
        assert seen == [("failed", caught.value)]


@pytest.mark.parametrize("where", FAILURES)
async def test_every_failure_ends_in_the_await(where: str) -> None:
    seen = Log()
    arguments = {
        "steps": count(10**9),
        "on_update": lambda _: None,
        "on_done": lambda job: seen((job.state, job.exception())),
        **FAILURES[where],
    }
    job = Job(**arguments).start()
    for _ in range(2):
        with pytest.raises(Mishap, match="spilt"):
            await job
    assert job.state == "failed"
    assert len(seen) == (where != "on_done")


def test_a_callback_that_raised_is_not_called_again() -> None:
    calls = Log()

    def draw(step: int) -> None:
        calls(step)
        mishap()

    job = Job(count(10**9), on_update=draw, rate_hz=1000).start()
    with pytest.raises(Mishap):
        job.result(PATIENCE)
    assert len(calls) == 1
    assert job.reason == "a callback raised Mishap"


def test_the_error_of_the_run_is_not_hidden_by_one_of_on_done() -> None:
    job = Job(broken(3), on_done=lambda job: 1 / 0).start()
    with pytest.raises(Mishap):
        job.result()


def test_exit_in_a_step_is_a_failure_and_does_not_end_python() -> None:
    def steps() -> Generator[int, None, None]:
        yield 1
        sys.exit("no more")

    job = Job(steps).start()
    assert isinstance(job.exception(PATIENCE), SystemExit)


def test_a_traceback_shows_the_step_and_does_not_grow() -> None:
    job = Job(broken(3)).start()
    lengths = []
    for _ in range(3):
        with pytest.raises(Mishap) as caught:
            job.result()
        lengths.append(len(caught.traceback))
        names = [entry.name for entry in caught.traceback]
    assert names[-2:] == ["steps", "mishap"]
    assert len(set(lengths)) == 1


def test_a_failed_job_frees_what_the_step_held_when_it_is_dropped() -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def steps() -> Generator[int, None, None]:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        yield 1
        raise Mishap

    gc.collect()
    gc.disable()
    try:
        job = Job(steps).start()
        job.wait()
        for worker in workers():
            worker.join(PATIENCE)
        del job
        assert held[0]() is None
    finally:
        gc.enable()


# -- threads, contexts, memory ---------------------------------------------------------------------


def test_context_is_entered_in_the_worker_around_the_run() -> None:
    events: list[tuple[str, threading.Thread]] = []

    def note(what: str) -> None:
        events.append((what, threading.current_thread()))

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        note("enter")
        yield
        note("leave")

    def steps() -> Generator[int, None, None]:
        note("make")
        try:
            yield 1
        finally:
            note("end")

    Job(steps, snapshot=lambda step: note("snapshot"), context=context).start().result()
    assert [what for what, _ in events] == ["enter", "make", "end", "snapshot", "leave"]
    assert all(isinstance(thread, Worker) for _, thread in events)


async def test_worker_and_callbacks_see_the_context_in_which_the_job_was_built() -> None:
    cell: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="none")
    seen: list[str] = []

    def steps() -> Generator[int, None, None]:
        seen.append("worker " + cell.get())
        yield 1

    token = cell.set("first")
    job = Job(
        steps,
        on_update=lambda _: seen.append("update " + cell.get()),
        on_done=lambda _: seen.append("done " + cell.get()),
    )
    cell.reset(token)
    job.start()
    until(job.done)  # so that the loop is first called from here
    await job
    assert seen == ["worker first", "update first", "done first"]


@pytest.mark.parametrize("paused", [False, True])
def test_a_job_that_is_collected_ends_its_run(gate: Gate, paused: bool) -> None:
    class Widget:
        def __init__(self) -> None:
            self.job = Job(gate, on_update=self.draw, on_done=self.draw)

        def draw(self, _: Any) -> None:
            raise AssertionError

    def use() -> weakref.ref[Any]:
        widget = Widget()  # a cycle: widget - job - widget.draw
        widget.job.step()
        gate.pass_()
        until(lambda: rests(widget.job))
        if not paused:
            widget.job.resume()
            gate.waiting.wait(PATIENCE)
        return weakref.ref(widget.job)

    gone = use()
    (worker,) = workers()
    gc.collect()
    assert gone() is None
    gate.open()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert gate.closed.is_set()


def test_close_ends_the_run_without_calling_back(gate: Gate) -> None:
    calls = Log()
    job = Job(gate, on_update=calls, on_done=calls).start()
    gate.pass_(2)
    job.close()
    job.close()
    gate.open()
    with pytest.raises(concurrent.futures.CancelledError, match="closed"):
        job.result(PATIENCE)
    assert (calls, job.state) == ([], "cancelled")
    assert gate.closed.is_set()


def test_close_before_start() -> None:
    job = Job(count(3))
    job.close()
    with pytest.raises(RuntimeError, match="is cancelled and cannot be started"):
        job.start()


def test_an_ended_job_holds_neither_steps_nor_callbacks() -> None:
    class Big:
        def steps(self) -> Generator[int, None, str]:
            yield 1
            return "done"

        def draw(self, _: Any) -> None:
            pass

    def use() -> tuple[Job[int, str], weakref.ref[Big]]:
        big = Big()
        job = Job(
            big.steps, snapshot=lambda _: hash(big), on_update=big.draw, ready=lambda: bool(big)
        )
        job.start().result()
        return job, weakref.ref(big)

    job, gone = use()
    for worker in workers():
        worker.join(PATIENCE)
    gc.collect()
    assert gone() is None
    assert job.result() == "done"


def test_two_hundred_jobs_leave_no_thread_and_no_job() -> None:
    before = threading.active_count()
    gone = []
    for n in range(200):
        job = Job(count(10**9), on_update=lambda _: None).start(paused=n % 3 == 0)
        gone.append(weakref.ref(job))
        if n % 2:
            job.cancel()
    del job
    gc.collect()
    assert all(job() is None for job in gone)
    until(lambda: threading.active_count() == before)


def in_python(code: str, *options: str) -> str:
    """Run code in a new Python, which has to end well, soon and without a word on stderr."""
    process = subprocess.run(
        [sys.executable, *(options or ("-X", "dev", "-W", "error")), "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.strip()


JOB_AT_EXIT = """
    import asyncio, threading, time
    from openretina_widgets.jobs import Job
    def steps():
        try:
            for number in range(10**9):
                time.sleep(0.001)
                yield number
        finally:
            print("closed")
    job = Job(steps, on_update=lambda _: None)
    async def within_a_loop():
        global job
        job = Job(steps, on_update=lambda _: None).start()
        await asyncio.sleep(0.02)
"""


@pytest.mark.parametrize(
    "ending",
    [
        "job.start()",
        "job.step(3); time.sleep(0.05)",
        "job.start(); job.wait(0.05)",
        "asyncio.run(within_a_loop())",
        "asyncio.run(within_a_loop()); time.sleep(0.05)",
    ],
    ids=["running", "paused", "waited for", "within a loop", "after its loop"],
)
def test_python_exits_cleanly_while_a_job_lives(ending: str) -> None:
    began = time.monotonic()
    assert in_python(JOB_AT_EXIT + "    " + ending).split()[-1] == "closed"
    assert time.monotonic() - began < 15


def test_python_exits_cleanly_in_the_midst_of_torch() -> None:
    code = """
        import threading, torch
        from openretina_widgets.jobs import Job
        within = threading.Event()
        def steps():
            x = torch.rand(300, 300, requires_grad=True)
            while True:
                within.set()
                for _ in range(10):
                    (x @ x).sum().backward()
                yield x
        job = Job(steps).start()
        within.wait()
    """
    assert in_python(code, "-W", "default") == ""


def test_python_exits_although_a_step_takes_for_ever() -> None:
    code = """
        import threading
        from openretina_widgets import jobs
        from openretina_widgets.jobs import worker
        worker._EXIT_PATIENCE = 0.2
        within = threading.Event()
        def steps():
            within.set()
            threading.Event().wait()
            yield
        job = jobs.Job(steps).start()
        within.wait()
    """
    assert in_python(code) == ""


# -- asyncio ---------------------------------------------------------------------------------------


async def test_await_gives_the_result_to_all_who_wait() -> None:
    job = Job(count(100)).start(paused=True)
    waits = [asyncio.ensure_future(job) for _ in range(5)]
    await asyncio.sleep(0)
    job.resume()
    assert await asyncio.gather(*waits) == ["all 100"] * 5
    assert await job == await job == "all 100"


async def test_callbacks_run_on_the_loop_and_before_the_await_returns() -> None:
    updates, done = Log(), Log()
    job = Job(count(20000), on_update=updates, on_done=done, rate_hz=500).start()
    assert await job == "all 20000"
    assert updates[-1] == 20000
    assert updates == sorted(set(updates))
    assert done == [job]
    assert updates.threads == done.threads == {threading.get_ident()}


async def test_updates_on_the_loop_come_at_most_at_the_rate() -> None:
    updates = Log()
    job = Job(count(10**9), on_update=updates, rate_hz=20).start()
    await asyncio.sleep(0.6)
    job.cancel()
    await job
    assert 3 <= len(updates) <= job.elapsed * 20 + 2


async def test_cancelling_the_wait_leaves_the_job_running(gate: Gate) -> None:
    job = Job(gate).start()
    wait = asyncio.ensure_future(job)
    await asyncio.sleep(0.01)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 0.01)
    assert job.state == "running"
    assert job._worker.waiters == {}
    job.cancel()
    gate.open()
    assert (await job).startswith("stopped by the user")


async def test_cancelling_the_job_without_a_result_raises_in_the_await() -> None:
    job = Job(count(3)).start(paused=True)
    wait = asyncio.ensure_future(job)
    await asyncio.sleep(0)
    job.cancel("not today")
    with pytest.raises(asyncio.CancelledError, match="not today"):
        await wait


async def test_steering_from_another_thread(gate: Gate) -> None:
    gate.open()
    states = Log()
    job = Job(gate, on_update=lambda _: states(job.state)).start()

    def handler() -> None:  # as a comm callback does that has its own loop in its own thread
        async def message(verb: str, *values: Any) -> None:
            getattr(job, verb)(*values)

        asyncio.run(message("pause"))
        until(lambda: rests(job))
        asyncio.run(message("step", 2))
        until(lambda: rests(job))
        asyncio.run(message("cancel", "from afar"))

    await asyncio.to_thread(handler)
    assert (await job).startswith("from afar")
    assert states.threads == {threading.get_ident()}


async def test_a_job_started_in_a_thread_with_its_own_loop_calls_back_on_the_given_loop() -> None:
    updates = Log()
    main_loop = asyncio.get_running_loop()
    jobs: list[Job[int, str]] = []

    async def handler() -> None:
        jobs.append(Job(count(100), on_update=updates, loop=main_loop).start())

    await asyncio.to_thread(lambda: asyncio.run(handler()))
    assert await jobs[0] == "all 100"
    assert updates[-1] == 100
    assert updates.threads == {threading.get_ident()}


async def test_result_that_blocks_the_loop_delivers_all_the_same() -> None:
    updates, done = Log(), Log()
    job = Job(count(5000), on_update=updates, on_done=done, rate_hz=1000).start()
    assert job.result(PATIENCE) == "all 5000"
    assert updates[-1] == 5000
    assert done == [job]
    assert await job == "all 5000"
    await asyncio.sleep(0.01)
    assert done == [job]


async def test_the_loop_takes_over_after_a_wait_that_blocked_it() -> None:
    updates = Log()
    job = Job(count(10**9), on_update=updates, rate_hz=200).start()
    assert job.wait(0.02) is False
    so_far = len(updates)
    await until_async(lambda: len(updates) > so_far + 3)
    job.cancel()
    await job


async def test_result_in_another_thread_waits_for_the_loop() -> None:
    updates = Log()
    job = Job(count(5000), on_update=updates, rate_hz=1000).start()
    assert await asyncio.to_thread(job.result, PATIENCE) == "all 5000"
    assert updates.threads == {threading.get_ident()}


def test_a_job_without_a_loop_takes_that_of_the_first_await() -> None:
    updates = Log()
    job = Job(count(10**9), on_update=updates, rate_hz=200).start()

    async def first() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.05)

    async def second() -> str:
        await until_async(lambda: job.iteration > 100)
        job.cancel()
        return await job

    asyncio.run(first())
    assert len(updates) > 1
    seen = len(updates)
    time.sleep(0.02)
    assert len(updates) == seen  # its loop is closed
    assert asyncio.run(second()).startswith("stopped by the user")
    assert updates[-1] == job.iteration


def test_a_loop_that_comes_back_does_not_meddle_with_the_one_that_took_over(gate: Gate) -> None:
    gate.open()
    updates = Log()
    stopped = asyncio.new_event_loop()
    job = Job(gate, on_update=updates, loop=stopped)
    job.step()
    until(lambda: rests(job))  # the step lies in the mailbox, and the first loop has been told

    async def take_over() -> None:
        wait = asyncio.ensure_future(job)
        await asyncio.sleep(0)
        thread = threading.Thread(target=stopped.run_until_complete, args=(asyncio.sleep(0),))
        thread.start()
        thread.join()
        await until_async(lambda: updates == [1])
        job.cancel()
        await wait

    with contextlib.closing(stopped):
        asyncio.run(take_over())
    assert updates.threads == {threading.get_ident()}


def test_a_job_that_ended_before_its_first_await_is_delivered_then() -> None:
    updates = Log()
    job = Job(count(5), on_update=updates).start()
    until(job.done)
    assert updates == []

    async def late() -> str:
        return await job

    assert asyncio.run(late()) == "all 5"
    assert updates == [5]


async def test_awaiting_from_the_loop_of_another_thread() -> None:
    job = Job(count(10**9), on_update=lambda _: None).start()

    async def elsewhere() -> tuple[str, list[int]]:
        seen = []
        async for step in job:
            seen.append(step)
            if len(seen) == 3:
                job.cancel()
        return await job, seen

    result, seen = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert result.startswith("stopped by the user")
    assert seen == sorted(set(seen))
    assert seen[-1] == job.iteration


async def test_a_task_that_awaits_a_job_and_that_nobody_holds_is_not_collected() -> None:
    results: list[str] = []
    release = threading.Event()

    def steps() -> Generator[int, None, str]:
        yield 1
        release.wait(PATIENCE)
        return "kept"

    async def wait() -> None:
        results.append(await Job(steps).start())

    task = weakref.ref(asyncio.create_task(wait()))
    await asyncio.sleep(0.02)
    gc.collect()
    assert task() is not None
    release.set()
    await until_async(lambda: results == ["kept"])


# -- async for -------------------------------------------------------------------------------------


async def test_async_for_gives_newest_snapshots_and_the_last() -> None:
    seen = []
    job = Job(count(20000), rate_hz=500, snapshot=lambda step: -step).start()
    async for snapshot in job:
        seen.append(snapshot)
    assert seen[-1] == -20000
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) < 20000
    assert job.state == "finished"
    assert [snapshot async for snapshot in job] == [-20000]  # late, and still shown the last


async def test_async_for_asks_for_no_picture_while_its_body_runs() -> None:
    taken = []
    job = Job(count(10**9), rate_hz=1000, snapshot=taken.append).start()
    seen = 0
    async for _ in job:
        before = len(taken)
        await asyncio.sleep(0.03)
        assert len(taken) == before
        seen += 1
        if seen == 3:
            break
    job.cancel()
    await job


async def test_async_for_by_several() -> None:
    job = Job(count(20000), rate_hz=500).start()

    async def watch() -> list[int]:
        return [step async for step in job]

    for seen in await asyncio.gather(watch(), watch(), watch()):
        assert seen[-1] == 20000
        assert seen == sorted(set(seen))


async def test_async_for_shows_the_step_at_which_a_job_is_paused(gate: Gate) -> None:
    gate.open()
    job = Job(gate)
    job.step(4)
    await until_async(lambda: rests(job))
    seen = []
    async for step in job:
        seen.append(step)
        if len(seen) < 3:
            job.step(2)
        else:
            job.cancel()
    assert seen == [4, 6, 8]


async def test_async_for_raises_what_the_run_raised() -> None:
    job = Job(broken(10)).start()
    with pytest.raises(Mishap):
        async for _ in job:
            pass


async def test_async_for_ends_when_the_job_is_cancelled_without_a_result() -> None:
    job = Job(count(10)).start(paused=True)
    asyncio.get_running_loop().call_later(0.01, job.cancel)
    assert [step async for step in job] == []


# -- quiet and idle --------------------------------------------------------------------------------


async def test_a_failure_that_nobody_awaits_makes_no_noise(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    done = Log()
    job = Job(broken(10), on_update=lambda _: None, on_done=lambda job: done(job.state)).start()
    wait = asyncio.ensure_future(job)
    await asyncio.sleep(0)
    wait.cancel()
    await until_async(lambda: done == ["failed"])
    del job, wait
    gc.collect()
    await asyncio.sleep(0.01)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ended", [False, True])
async def test_a_job_that_is_paused_or_has_ended_costs_nothing(ended: bool) -> None:
    job = Job(count(10**9), on_update=lambda _: None, ready=lambda: False, rate_hz=1000)
    job.step(3)
    await until_async(lambda: rests(job))
    if ended:
        job.cancel()
        await job
    await asyncio.sleep(0.05)
    rings = job._worker.rings
    began = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - began < 0.05
    assert job._worker.rings == rings
    assert job._timer is None
    job.close()


async def test_short_steps_of_pure_python_leave_the_main_loop_responsive() -> None:
    def spin() -> Generator[None, None, None]:
        while True:
            end = time.perf_counter() + 5e-5
            while time.perf_counter() < end:
                pass
            yield

    async def delay() -> float:
        await asyncio.sleep(0.001)
        began = time.perf_counter()
        for _ in range(50):  # calls that let go of the interpreter, as a message makes a dozen
            time.sleep(0.0002)
        return time.perf_counter() - began

    async def delay_without_breath() -> float:
        stop = threading.Event()

        def run() -> None:
            for _ in spin():
                if stop.is_set():
                    return

        thread = threading.Thread(target=run)
        thread.start()
        try:
            return await delay()
        finally:
            stop.set()
            thread.join()

    async def delay_with_breath() -> float:
        job = Job(spin).start()
        try:
            return await delay()
        finally:
            job.close()

    for _ in range(10):  # 0.2 where nothing else runs; other processes blur it
        ratio = await delay_with_breath() / await delay_without_breath()
        if ratio < 0.6:
            break
    assert ratio < 0.6
