"""Memory of a student's kernel, and what reduces it.

``python -m benchmarks.memory`` prints, each stage after the one before it in one real kernel,

- resident: all that the process has in memory, with what it shares with others;
- own: what it alone has there, and what one more student on the same server costs (USS);
- peak: the largest resident memory so far.

A second kernel with `RetinaLab` open runs beside it throughout, as on a server of a class: without
one the pages of torch's library, which all share, would count as the student's own. Then the
stages with levers pulled: settings of the environment, and things that a student can do. In the
end, in real JupyterLab and Chromium, kernel, server and the browser's processes while `RetinaLab`
is shown and after an optimisation; this part needs Chromium, ``--no-page`` leaves it out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.browser.lab import Lab, LabServer, launch_chromium
from tests.kernels import Kernel, running_kernel

PATIENCE = 600.0  # s, of a cell

SHOW = "lab = orw.RetinaLab({model!r})\nlab"
STAGES = {
    "bare ipykernel": "",
    "import openretina_widgets": "import openretina_widgets as orw",
    "import torch": "import torch",
    "RetinaLab() open": SHOW.format(model="synthetic"),
    "after an optimisation": "done = await lab.optimizer.start()",
    "after a tuning curve": "done = await lab.show_tab('tuning').start()",
    "after receptive fields": "done = await lab.show_tab('fields').start()",
    "after the population table": "done = await lab.show_tab('population').start()",
    "designer open, all 5 tabs": "lab.show_tab('designer'); None",
}
LAST = "designer open, all 5 tabs"
TRAINED = {
    "RetinaLab('trained') open": "import openretina_widgets as orw\n"
    + SHOW.format(model="trained"),
    "after an optimisation": "done = await lab.optimizer.start()",
    "after the population table": "done = await lab.show_tab('population').start()",
}
LESSON = {
    "lesson 02 open": "import openretina_widgets as orw\n"
    "stepper = orw.TutorialStepper('tuning_curves')\nstepper",
}
CLOSE = "lab.close(); del lab, done\nimport gc; gc.collect(); None"
TRIM = "import ctypes; ctypes.CDLL('libc.so.6').malloc_trim(0); None"

LEVERS: dict[str, Mapping[str, str]] = {
    "nothing": {},
    "MALLOC_ARENA_MAX=2": {"MALLOC_ARENA_MAX": "2"},
    "MALLOC_TRIM_THRESHOLD_=131072": {"MALLOC_TRIM_THRESHOLD_": "131072"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}


class Held(NamedTuple):
    """Memory of a process in MiB."""

    resident: float
    own: float
    peak: float

    def __str__(self) -> str:
        return f"resident {self.resident:5.0f}, own {self.own:5.0f}, peak {self.peak:5.0f} MiB"


def held(process: int) -> Held:
    """Return the memory of a process (Linux)."""
    info = psutil.Process(process).memory_full_info()
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    (peak,) = [line.split()[1] for line in lines.splitlines() if line.startswith("VmHWM:")]
    return Held(info.rss / 2**20, info.uss / 2**20, int(peak) / 2**10)


@contextmanager
def student(environment: Mapping[str, str] | None = None) -> Iterator[Kernel]:
    """Start the kernel of one student, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = {"OPENRETINA_WIDGETS_HOME": folder, **(environment or {})}
        with running_kernel("python3", Path(folder), environment=home) as kernel:
            yield kernel


def walk(kernel: Kernel, stages: Mapping[str, str]) -> Iterator[tuple[str, Held]]:
    """Run the stages, and yield what the kernel holds after each."""
    process = int(kernel.run("import os; print(os.getpid())"))
    for name, code in stages.items():
        reply = kernel.reply(kernel.send(code), timeout=PATIENCE)
        if reply.error:
            raise RuntimeError(f"{name}: {reply.content['traceback']}")
        kernel.run("import asyncio; await asyncio.sleep(1)")  # the last picture is drawn
        yield name, held(process)


def measure_stages(title: str, stages: Mapping[str, str]) -> None:
    """Print what a kernel holds after each stage."""
    print(f"\n{title}")
    with student() as kernel:
        for name, memory in walk(kernel, stages):
            print(f"  {name:30} {memory}", flush=True)


def measure_levers() -> None:
    """Print what each lever leaves of the memory, once all tabs have computed."""
    print("\nlevers, once all five tabs have computed")
    first = None
    for lever, environment in LEVERS.items():
        with student(environment) as kernel:
            memory = dict(walk(kernel, STAGES))[LAST]
            first = first or memory
            saved = first.own - memory.own
            print(f"  {lever:30} {memory}; saves {saved:.0f} MiB", flush=True)
            if not environment:
                after = {"and the laboratory closed": CLOSE, "and malloc_trim(0)": TRIM}
                for name, left in walk(kernel, after):
                    print(f"  {name:30} {left}; saves {memory.own - left.own:.0f} MiB", flush=True)


def measure_page() -> None:
    """Print kernel, server and browser with a page that shows the laboratory."""
    print("\nin JupyterLab and Chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        LabServer(Path(folder)) as server,
        launch_chromium() as browser,
        Lab(server, browser) as lab,
    ):
        lab.new_notebook(["import openretina_widgets as orw", SHOW.format(model="synthetic")])
        started = lab.memory().server
        lab.run_all()
        lab.output_area(1).locator(".orw-player canvas").first.wait_for(state="attached")
        kernel = int(lab.evaluate_in_kernel("import os; print(os.getpid())"))
        for stage in ("RetinaLab() shown", "after an optimisation"):
            if stage != "RetinaLab() shown":
                lab.evaluate_in_kernel("lab.optimizer.start(); None")
                lab.wait_until("lab.result is not None", timeout=300)
            lab.page.wait_for_timeout(2000)
            pages = sum(
                child.memory_full_info().uss
                for child in psutil.Process().children(recursive=True)
                if "chrom" in child.name()
            )
            print(f"  {stage:30} kernel {held(kernel)}", flush=True)
            print(f"  {'':30} browser, own of all its processes {pages / 2**20:5.0f} MiB")
        grown = (lab.memory().server - started) / 2**20
        print(f"  server, one notebook open      {started / 2**20:.0f} MiB, grown by {grown:.0f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-page", action="store_true", help="without JupyterLab and Chromium")
    parser.add_argument("--no-levers", action="store_true")
    arguments = parser.parse_args()
    with student() as neighbour:
        neighbour.run(f"import openretina_widgets as orw\n{SHOW.format(model='synthetic')}; None")
        measure_stages("the synthetic retina", STAGES)
        measure_stages("the trained model", TRAINED)
        measure_stages("a lesson", LESSON)
        if not arguments.no_levers:
            measure_levers()
        if not arguments.no_page:
            measure_page()


if __name__ == "__main__":
    main()
