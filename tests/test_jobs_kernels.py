"""Jobs in real kernels: ipykernel 7, 7.1 (comms in subshell threads) and 6, and in nbclient."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernels import PATIENCE, Kernel, jupyter_environment, require_kernel, running_kernel

SETUP = """
import asyncio, gc, sys, threading, time
from openretina_widgets.jobs import Job

MAIN_LOOP = asyncio.get_running_loop()
updates, threads, clicked = [], set(), []

def steps(total=10**9, seconds=0.002):
    for number in range(1, total + 1):
        time.sleep(seconds)
        reason = yield number
        if reason:
            return reason
    return f"all {total}"

def broken():
    yield from steps(5)
    raise ValueError("spilt")

def draw(step):
    updates.append(step)
    threads.add(threading.current_thread().name)

def new_job(*arguments):
    updates.clear(); threads.clear(); clicked.clear()
    return Job(lambda: steps(*arguments), on_update=draw, rate_hz=50, loop=MAIN_LOOP)

def on_open(comm, message):
    # What a widget does when one of its buttons is clicked.
    @comm.on_msg
    def on_click(message):
        global job
        verb, *values = message["content"]["data"]["click"]
        clicked.append((verb, threading.current_thread().name))
        if verb == "start":
            job = new_job(*values).start()
        else:
            getattr(job, verb)(*values)

get_ipython().kernel.comm_manager.register_target("buttons", on_open)
"""


@pytest.fixture(scope="module", params=["python3", "ipykernel71", "ipykernel6"])
def kernel_of_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with running_kernel(request.param, tmp_path_factory.mktemp(request.param)) as kernel:
        kernel.run(SETUP)
        kernel.comm("comm_open", {"comm_id": "buttons", "target_name": "buttons", "data": {}})
        yield kernel


@pytest.fixture
def kernel(kernel_of_module: Kernel) -> Iterator[Kernel]:
    """A kernel in which no job may be left behind."""
    yield kernel_of_module
    kernel_of_module.run("job = None; gc.collect();")
    kernel_of_module.until("not [t for t in threading.enumerate() if t.name == 'job']")


@pytest.fixture(params=["main shell", "subshell"])
def subshell(request: pytest.FixtureRequest, kernel: Kernel) -> str | None:
    """Which way comm messages go; JupyterLab decides by a setting."""
    if request.param == "main shell":
        return None
    if kernel.subshell is None:
        pytest.skip("ipykernel 6 has no subshells")
    return kernel.subshell


def click(kernel: Kernel, *what: object, subshell: str | None = None) -> None:
    kernel.comm("comm_msg", {"comm_id": "buttons", "data": {"click": what}}, subshell)


def test_a_cell_starts_and_awaits(kernel: Kernel) -> None:
    assert kernel.run("job = new_job(50); print(await job.start())") == "all 50"
    assert kernel.run("print(updates[-1], threads)") == "50 {'MainThread'}"


def test_a_cell_watches(kernel: Kernel) -> None:
    code = """
    job = new_job(50).start()
    async for step in job:
        print(step)
    """
    seen = [int(line) for line in kernel.run(textwrap.dedent(code)).split()]
    assert seen[-1] == 50
    assert seen == sorted(set(seen))


def test_other_cells_run_and_pictures_come_meanwhile(kernel: Kernel) -> None:
    kernel.run("job = new_job().start()")
    kernel.until("len(updates) > 5")
    waits = []
    for _ in range(5):
        began = time.monotonic()
        assert kernel.run("print(job.state, 6 * 7)") == "running 42"
        waits.append(time.monotonic() - began)
    assert min(waits) < 1.0
    kernel.run("job.pause()")
    kernel.until("job.state == 'paused' and updates[-1] == job.iteration")
    kernel.run("before = job.iteration; job.step(2)")
    kernel.until("job.iteration == before + 2 and updates[-1] == job.iteration")
    kernel.run("job.resume()")
    kernel.until("job.iteration > before + 2")
    kernel.run("job.cancel()")
    assert kernel.run("print(await job, job.state)") == "stopped by the user cancelled"
    assert kernel.run("print(updates[-1] == job.iteration, threads)") == "True {'MainThread'}"


def test_a_cell_that_blocks_on_the_result_gets_it_and_the_pictures(kernel: Kernel) -> None:
    assert kernel.run("job = new_job(50).start(); print(job.result(30))") == "all 50"
    assert kernel.run("print(updates[-1], len(updates) > 2, threads)") == "50 True {'MainThread'}"


def test_a_cell_that_blocks_does_not_hold_up_the_run(kernel: Kernel) -> None:
    kernel.run("job = new_job(50).start(); time.sleep(0.5); assert job.done(), job")
    kernel.until("updates and updates[-1] == 50")


def test_a_failure_is_the_error_of_the_cell_that_awaits(kernel: Kernel) -> None:
    reply = kernel.reply(kernel.send("job = Job(broken).start(); await job"))
    assert (reply.error, reply.errors) == ("ValueError", "")
    assert "spilt" in reply.content["evalue"]
    assert any("broken()" in line for line in reply.content["traceback"])
    reply = kernel.reply(kernel.send("job.result()"))
    assert reply.error == "ValueError"


def test_what_a_callback_prints_goes_to_the_cell_that_built_the_job(kernel: Kernel) -> None:
    message = kernel.send("job = Job(lambda: steps(50), on_done=lambda job: print('over')).start()")
    assert kernel.reply(message).text == ""
    kernel.run("'a later cell'")
    while True:
        late = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if late["msg_type"] == "stream":
            break
    assert (late["content"]["text"].strip(), late["parent_header"]["msg_id"]) == ("over", message)


def test_clicks_steer_from_whatever_thread_they_come_in(
    kernel: Kernel, subshell: str | None
) -> None:
    click(kernel, "start", subshell=subshell)
    kernel.until("len(updates) > 2")
    click(kernel, "pause", subshell=subshell)
    kernel.until("job.state == 'paused' and updates[-1] == job.iteration")
    kernel.run("before = job.iteration")
    click(kernel, "step", 3, subshell=subshell)
    kernel.until("job.iteration == before + 3 and updates[-1] == job.iteration")
    click(kernel, "resume", subshell=subshell)
    kernel.until("job.iteration > before + 3")
    click(kernel, "cancel", "clicked", subshell=subshell)
    assert kernel.run("print(await job)") == "clicked"
    assert kernel.run("print(threads)") == "{'MainThread'}"
    clicked_in = kernel.run("print({name.split('-')[0] for _, name in clicked})")
    assert clicked_in == ("{'MainThread'}" if subshell is None else "{'subshell'}")


def test_a_click_gets_through_while_a_cell_awaits(kernel: Kernel, subshell: str | None) -> None:
    if subshell is None and kernel.name != "python3":
        pytest.skip("before 7.4 the main shell keeps messages until the cell has ended")
    kernel.run("job = new_job().start()")
    message = kernel.send("print(await job)")
    click(kernel, "cancel", "clicked", subshell=subshell)
    assert kernel.reply(message).text.strip() == "clicked"


def test_interrupting_the_cell_that_awaits_leaves_the_job_running(kernel: Kernel) -> None:
    kernel.run("job = new_job().start()")
    message = kernel.send("print('waiting', flush=True); await job")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    time.sleep(0.1)  # from the print to the await
    kernel.manager.interrupt_kernel()
    assert kernel.reply(message).error in ("KeyboardInterrupt", "CancelledError")
    assert kernel.run("print(job.state)") == "running"
    click(kernel, "cancel", "clicked")  # the button works again, on ipykernel 6 too
    assert kernel.run("print(await job)") == "clicked"


def test_interrupting_a_cell_that_blocks_leaves_the_job_running(kernel: Kernel) -> None:
    kernel.run("job = new_job().start()")
    message = kernel.send("print('waiting', flush=True); job.result()")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    time.sleep(0.1)
    kernel.manager.interrupt_kernel()
    assert kernel.reply(message).error == "KeyboardInterrupt"
    kernel.run("seen = len(updates)")
    kernel.until("len(updates) > seen + 2")  # the loop draws again
    kernel.run("job.cancel()")
    assert kernel.run("print(await job)") == "stopped by the user"


def test_two_hundred_jobs_leave_no_thread_and_no_task(kernel: Kernel) -> None:
    code = """
    for n in range(200):
        job = new_job().start(paused=bool(n % 2))
        if n % 3:
            await asyncio.sleep(0)
            job.cancel()
    job = None
    gc.collect()
    """
    kernel.run("gc.collect(); before = threading.active_count(), len(asyncio.all_tasks())")
    kernel.run(textwrap.dedent(code))
    kernel.until("(threading.active_count(), len(asyncio.all_tasks())) == before")


def test_a_kernel_shuts_down_at_once_and_quietly(kernel: Kernel, tmp_path: Path) -> None:
    with running_kernel(kernel.name, tmp_path) as mortal:
        mortal.run(SETUP)
        mortal.run("job = new_job().start(); idle = new_job().start(paused=True)")
        mortal.run("print(job.iteration)")
        began = time.monotonic()
        mortal.client.shutdown()
        while mortal.manager.is_alive():
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.01)
        process = getattr(mortal.manager.provisioner, "process", None)
        assert process is not None
        assert process.returncode == 0
    noise = (tmp_path / "stderr.txt").read_text()
    assert "Traceback" not in noise
    assert "rror" not in noise


@pytest.mark.parametrize("name", ["python3", "ipykernel6"])
def test_nbclient_executes_a_notebook_with_jobs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_kernel(name)
    for variable, value in jupyter_environment(tmp_path).items():
        monkeypatch.setenv(variable, value)
    cells = [
        SETUP,
        "job = new_job(40).start()\nprint(await job)",
        "job = new_job().start()",
        "await asyncio.sleep(0.1)\nprint(job.state, len(updates) > 1)",
        "job.cancel('seen enough')\nprint(await job)",
        "async for step in new_job(20).start():\n    last = step\nprint(last)",
        "import ipykernel\nprint(ipykernel.__version__.split('.')[0])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name=name, timeout=PATIENCE).execute(cwd=str(tmp_path))
    printed = [
        "".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells
    ]
    version = "6" if name == "ipykernel6" else "7"
    expected = ["", "all 40", "", "running True", "seen enough", "20", version]
    assert [text.strip() for text in printed] == expected
