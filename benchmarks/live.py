"""What the live widget costs and how soon it answers, in real JupyterLab and Chromium.

``python -m benchmarks.live`` prints, from one run on one machine:

- the steps a second with the widget shown at 10 pictures a second, against the bare engine in the
  same kernel, turn by turn; turns in which other processes took the cores are taken again;
- the same a second of processor time, which nobody else's load changes, and what the thread of the
  run was kept waiting; the processor time of browser, server and kernel beside it (on Linux);
- the time from a click in the page to Python, and from Stop to the end of the run;
- the time until another cell answers while the run goes on;
- pictures drawn and bytes sent a second;
- how soon a newcomer sees something: import, lab, first picture.

``--memory`` prints instead the memory of kernel and server over 10,000 steps, ``--open-close`` what
is left in the kernel after opening and closing the widget 200 times. Needs Chromium and the test
environment.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.browser.lab import Lab, LabServer, launch_chromium

CHECKPOINT = (
    Path(__file__).parents[1].parent
    / "shared/data/openretina_checkpoints/hoefling_2024_low_res.ckpt"
)

SHOW = """
import threading, time
import ipywidgets, torch
import openretina_widgets as orw
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.stimulus_optimization import neuron_steps
lab = orw.RetinaLab({model!r}, max_iterations=10**6, patience=None)
optimizer = lab.optimizer
clicks, ends = [], []
probe = ipywidgets.Button(description="Probe")
probe.on_click(lambda _: clicks.append(time.time()))
def watch_end():
    def wait(job=optimizer.job):
        while not job.done():
            time.sleep(0.0005)
        ends.append((time.time(), job.iteration))
    threading.Thread(target=wait, daemon=True).start()
optimizer._buttons.stop.on_click(lambda _: clicks.append(optimizer.job.iteration))
def bare(seconds):
    steps = neuron_steps(lab.model, 0, patience=None, **optimizer._settings.engine_settings())
    with torch_threads(live_threads()):
        next(steps)
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            next(steps)
            n += 1
        rate = n / (time.perf_counter() - start)
    steps.close()
    return rate
def rate_of_job():
    return optimizer.job.iteration, optimizer.job.elapsed, optimizer.player.stats
ipywidgets.VBox([probe, lab])
"""

# Cores that other processes may take in a turn that counts, and the turns for each that does.
_QUIET = 0.1
_TRIES = 3

FIRST_PICTURE = """
() => new Promise((done) => {
  const player = document.querySelector(".orw-optimizer .orw-player");
  const button = [...document.querySelectorAll("button")]
    .find((b) => b.textContent.trim() === "Optimise");
  const start = performance.now();
  const look = () => player.classList.contains("orw-player-empty")
    ? requestAnimationFrame(look)
    : requestAnimationFrame(() => done(performance.now() - start));
  button.click();
  requestAnimationFrame(look);
})
"""


def spread(values: Sequence[float], unit: str) -> str:
    """Return median, 95th percentile and maximum of a sample."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return (
        f"median {statistics.median(ordered):.1f}, p95 {p95:.1f}, max {ordered[-1]:.1f} {unit} "
        f"(n = {len(ordered)})"
    )


def press(lab: Lab, name: str) -> float:
    """Click a button of the lab; return when, in epoch seconds."""
    buttons = lab.output_area(0).locator(".jupyter-button")
    return lab.click(buttons.filter(has_text=re.compile(rf"^\s*{name}$")))


class Used(NamedTuple):
    """Seconds since some start: of the clock, and of the processor by whom."""

    clock: float
    browser: float
    server: float
    kernel: float
    run: float
    waited: float  # of the run, for a core
    others: float  # all that is not of this measurement


class Meter:
    """Reads who uses the processor; on Linux, elsewhere all is 0."""

    def __init__(self, lab: Lab) -> None:
        self._kernel = psutil.Process(int(lab.evaluate_in_kernel("import os; print(os.getpid())")))
        ours = psutil.Process().children(recursive=True)
        self._browser = [one for one in ours if "chrom" in one.name()]
        # The kernel is a child of the server.
        self._server = [one for one in self._kernel.parents() if one in ours]
        known = (self._kernel, *self._browser, *self._server)
        self._own = [psutil.Process(), *(one for one in ours if one not in known)]

    @property
    def kernel(self) -> int:
        """The kernel's process, and so its main thread."""
        return int(self._kernel.pid)

    def read(self, thread: int) -> Used:
        """Read the clocks; the run is in this thread of the kernel."""
        place = Path(f"/proc/{self.kernel}/task/{thread}/schedstat")
        if not place.exists():
            return Used(time.perf_counter(), 0, 0, 0, 0, 0, 0)
        run, waited = (int(number) / 1e9 for number in place.read_text().split()[:2])
        browser, server, kernel, own = (
            sum(sum(one.cpu_times()[:2]) for one in some if one.is_running())
            for some in (self._browser, self._server, [self._kernel], self._own)
        )
        machine = psutil.cpu_times()
        busy = machine.user + machine.system + machine.nice + machine.irq + machine.softirq
        others = busy - browser - server - kernel - own
        return Used(time.perf_counter(), browser, server, kernel, run, waited, others)


class Turn(NamedTuple):
    """Steps a second, what was used meanwhile a second, and pictures and KiB a second."""

    steps: float
    used: Used
    pictures: float = 0.0
    size: float = 0.0

    @property
    def steps_a_cpu_second(self) -> float:
        """Steps in a second of processor time of the run."""
        return self.steps / self.used.run if self.used.run else float("nan")


def _between(first: Used, last: Used) -> Used:
    span = last.clock - first.clock
    return Used(*((b - a) / span for a, b in zip(first, last, strict=True)))


def bare_turn(lab: Lab, meter: Meter, seconds: float) -> Turn:
    """Run the bare engine. Without pictures meanwhile: a page that plays takes time as well."""
    lab.evaluate_in_kernel("optimizer.reset()")
    lab.page.wait_for_timeout(500)
    first = meter.read(meter.kernel)
    rate = float(lab.evaluate_in_kernel(f"bare({seconds})", timeout=seconds + 60))
    return Turn(rate, _between(first, meter.read(meter.kernel)))


def shown_turn(lab: Lab, meter: Meter, seconds: float) -> Turn:
    """Run the optimisation with its pictures."""
    press(lab, "Optimise")
    lab.wait_until("optimizer.job.iteration > 5")
    thread = "next(t.native_id for t in threading.enumerate() if t.name == optimizer.job.name)"
    number = int(lab.evaluate_in_kernel(thread))
    now = "print(*(lambda i, e, s: (i, e, s.sent, s.bytes_sent))(*rate_of_job()))"
    first, used = [float(x) for x in lab.evaluate_in_kernel(now).split()], meter.read(number)
    lab.page.wait_for_timeout(1000 * seconds)
    used = _between(used, meter.read(number))
    last = [float(x) for x in lab.evaluate_in_kernel(now).split()]
    press(lab, "Stop")
    lab.wait_until("optimizer.job.done()")
    steps, span, sent, size = (b - a for a, b in zip(first, last, strict=True))
    return Turn(steps / span, used, sent / span, size / span / 1024)


def measure_cost(lab: Lab, rounds: int, seconds: float) -> None:
    """Print steps a second with the widget against the bare engine."""
    meter = Meter(lab)
    quiet: list[tuple[Turn, Turn, Turn]] = []
    noisy: list[tuple[Turn, Turn, Turn]] = []
    # Half of the bare turn before and half after, as the machine's own speed drifts.
    before = bare_turn(lab, meter, seconds / 2)
    while len(quiet) < rounds and len(quiet) + len(noisy) < _TRIES * rounds:
        turn = shown_turn(lab, meter, seconds)
        after = bare_turn(lab, meter, seconds / 2)
        most = max(one.used.others for one in (before, turn, after))
        (quiet if most < _QUIET else noisy).append((before, turn, after))
        before = after
    counted = quiet or noisy

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    def against(values: Sequence[float]) -> str:
        return (
            f"median {middle(values):.3f}, mean {statistics.mean(values):.3f}, "
            f"{min(values):.3f} – {max(values):.3f}"
        )

    bare = middle([(a.steps + b.steps) / 2 for a, _, b in counted])
    print(f"bare engine                {bare:.1f} steps/s ({1000 / bare:.1f} ms a step)")
    print(f"widget shown               {middle([one.steps for _, one, _ in counted]):.1f} steps/s")
    ratios = [2 * one.steps / (a.steps + b.steps) for a, one, b in counted]
    taken = (
        f"{len(counted)} turns of {seconds:g} s each; others took more than {_QUIET:g} cores in "
    )
    taken += f"{len(noisy)} more" if quiet else "all of them"
    print(f"widget / bare              {against(ratios)} ({taken})")
    per_cpu = [
        2 * one.steps_a_cpu_second / (a.steps_a_cpu_second + b.steps_a_cpu_second)
        for a, one, b in counted
    ]
    print(f"the same a CPU second      {against(per_cpu)}")
    for name, turns in (
        ("bare", [one for a, _, b in counted for one in (a, b)]),
        ("shown", [one for _, one, _ in counted]),
    ):
        used = Used(
            *(1000 * middle(column) for column in zip(*(one.used for one in turns), strict=True))
        )
        print(
            f"{name + ', each second':26} the run computes {used.run:.0f} ms, waits for a core "
            f"{used.waited:.0f} ms; CPU of the browser {used.browser:.0f} ms, of the server "
            f"{used.server:.0f} ms, of the kernel beside the run {used.kernel - used.run:.0f} ms, "
            f"of others {used.others:.0f} ms"
        )
    print(
        f"pictures sent              {middle([one.pictures for _, one, _ in counted]):.1f} /s, "
        f"{middle([one.size for _, one, _ in counted]):.0f} KiB/s of picture data"
    )


def measure_latency(lab: Lab, clicks: int) -> None:
    """Print the time from click to Python, of another cell, and from Stop to the end."""
    press(lab, "Optimise")
    lab.wait_until("optimizer.job.iteration > 5")
    waits = []
    for _ in range(clicks):
        clicked = press(lab, "Probe")
        lab.wait_until("clicks")
        waits.append(1000 * (float(lab.evaluate_in_kernel("clicks.pop()")) - clicked))
        lab.page.wait_for_timeout(100)
    print(f"click to Python            {spread(waits, 'ms')}")
    waits = []
    for _ in range(clicks):
        start = time.perf_counter()
        lab.evaluate_in_kernel("1 + 1")
        waits.append(1000 * (time.perf_counter() - start))
    print(f"another cell answers       {spread(waits, 'ms')}")
    waits, further = [], []
    for _ in range(max(5, clicks // 3)):
        lab.evaluate_in_kernel("clicks.clear(); ends.clear(); watch_end()")
        clicked = press(lab, "Stop")
        lab.wait_until("ends")
        ended, at_end, at_click = (
            float(x) for x in lab.evaluate_in_kernel("print(*ends[0], clicks[0])").split()
        )
        waits.append(1000 * (ended - clicked))
        further.append(at_end - at_click)
        press(lab, "Optimise")
        lab.wait_until("not optimizer.job.done() and optimizer.job.iteration > 5")
    press(lab, "Stop")
    lab.wait_until("optimizer.job.done()")
    print(f"click on Stop to the end   {spread(waits, 'ms')}; further steps {max(further):.0f}")


def measure_start(lab: Lab) -> None:
    """Print how soon a newcomer sees something, on the synthetic model."""
    code = (
        "import time, sys; t = time.perf_counter(); import openretina_widgets; "
        "print(time.perf_counter() - t)"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    print(f"import openretina_widgets  {1000 * statistics.median(seconds):.0f} ms")
    pictures, shown = [], []
    for _ in range(5):
        lab.new_notebook(["import torch", "import openretina_widgets as orw\norw.RetinaLab()"])
        lab.run_cell(0)
        start = time.perf_counter()
        lab.run_cell(1, wait=False)
        lab.output_area(1).locator(".orw-player canvas").first.wait_for(state="attached")
        lab.output_area(1).locator(".bqplot").last.wait_for(state="attached")
        shown.append(time.perf_counter() - start)
        lab.page.wait_for_timeout(1000)
        pictures.append(lab.page.evaluate(FIRST_PICTURE))
        lab.clear()
    print(f"RetinaLab() shown          {spread(shown, 's')}, torch imported")
    print(f"press to first picture     {spread(pictures, 'ms')}")


def measure_memory(lab: Lab, steps: int) -> None:
    """Print the memory of kernel and server over a long run with pictures."""
    press(lab, "Optimise")
    lab.wait_until("optimizer.job.iteration > 1000", timeout=600)
    first = lab.memory()
    lab.wait_until(f"optimizer.job.iteration > 1000 + {steps}", timeout=3600)
    last = lab.memory()
    press(lab, "Stop")
    for name in first._fields:
        before, after = getattr(first, name) / 2**20, getattr(last, name) / 2**20
        print(f"memory of {name:16} {before:.0f} MiB, after {steps} steps {after:.0f} MiB")


def measure_open_close(lab: Lab, times: int) -> None:
    """Print what is left in the kernel after opening and closing the widget."""
    lab.new_notebook(
        [
            """
import asyncio, gc, threading
import comm, ipywidgets
from IPython.display import clear_output, display
import openretina_widgets as orw
model = orw.load_model("synthetic")
def alive():
    gc.collect()
    widgets = len(ipywidgets.widgets.widget._instances)
    return widgets, threading.active_count(), len(comm.get_comm_manager().comms)
async def open_close(times):
    for _ in range(times):
        optimizer = orw.StimulusOptimizer(model)
        display(optimizer)
        job = optimizer.start()
        await asyncio.sleep(0.5)
        optimizer.close()
        clear_output()
        await asyncio.sleep(0.05)
""",
            f"await open_close(3)\nbefore = alive()\nawait open_close({times})\n"
            "await asyncio.sleep(1)\nafter = alive()",
        ]
    )
    lab.run_cell(0)
    lab.run_cell(1, timeout=3600)
    print(f"widgets, threads, comms    before {lab.evaluate_in_kernel('before')}", end="")
    print(f", after {times} times open and close {lab.evaluate_in_kernel('after')}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(CHECKPOINT), help="a name or path for load_model")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10_000, help="of the memory measurement")
    parser.add_argument("--times", type=int, default=200, help="of opening and closing")
    parser.add_argument("--kernel", default="python3")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--open-close", action="store_true")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        LabServer(Path(folder)) as server,
        launch_chromium() as browser,
        Lab(server, browser) as lab,
    ):
        lab.page.set_viewport_size({"width": 1500, "height": 1400})
        if arguments.memory or arguments.open_close:
            if arguments.memory:
                lab.new_notebook([SHOW.format(model="synthetic")], kernel=arguments.kernel)
                lab.run_cell(0)
                measure_memory(lab, arguments.steps)
                lab.clear()
            if arguments.open_close:
                measure_open_close(lab, arguments.times)
            return
        measure_start(lab)
        lab.new_notebook([SHOW.format(model=arguments.model)], kernel=arguments.kernel)
        lab.run_cell(0)
        measure_cost(lab, arguments.rounds, arguments.seconds)
        measure_latency(lab, arguments.clicks)


if __name__ == "__main__":
    main()
