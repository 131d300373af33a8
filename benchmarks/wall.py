"""What the wall of best stimuli costs, in real JupyterLab and Chromium.

``python -m benchmarks.wall`` prints, from one run on one machine, how long every neuron of the
synthetic retina takes for 200 iterations each, with the wall shown and without, turn by turn; and
how many pictures a second the wall has drawn. It also says how much processor time the pictures
cost the kernel, the server and the browser, which other work on the machine changes less. Needs
Chromium and the test environment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import psutil

from tests.browser.lab import Lab, LabServer, launch_chromium

SHOW = """
import time
import torch
import openretina_widgets as orw
from openretina_widgets.insilico.compute import live_threads, torch_threads
wall = orw.StimulusWall({model!r}, max_iterations={iterations}, patience=None)
def bare():
    start, used = time.perf_counter(), time.process_time()
    with torch_threads(live_threads()):
        orw.optimize_population(
            wall.model, chunk=16, max_iterations={iterations}, patience=None
        )
    print(time.perf_counter() - start, time.process_time() - used)
wall
"""


_KINDS = {"ipykernel": "kernel", "jupyter": "server", "chrom": "browser"}


def processor_seconds() -> dict[str, float]:
    """Return the processor time so far of what this process has started, by kind."""
    found = dict.fromkeys(_KINDS.values(), 0.0)
    for process in psutil.Process().children(recursive=True):
        try:
            words, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:  # it has ended meanwhile
            continue
        kind = next((kind for part, kind in _KINDS.items() if part in words), None)
        if kind is not None:
            found[kind] += times.user + times.system
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=200)
    arguments = parser.parse_args()
    ratios, shown, alone, rates = [], [], [], []
    kernel: list[float] = []
    each: dict[str, list[float]] = {"server": [], "browser": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        LabServer(Path(folder)) as server,
        launch_chromium() as browser,
        Lab(server, browser) as lab,
    ):
        lab.page.set_viewport_size({"width": 1440, "height": 1000})
        code = SHOW.replace("{iterations}", str(arguments.iterations))
        lab.new_notebook([code.replace("{model!r}", 'orw.load_model("synthetic")')])
        lab.run_cell(0)
        message = lab.output_area(0).locator(".orw-status-message")
        lab.evaluate_in_kernel("bare()", timeout=600)
        for _ in range(arguments.rounds):
            before, used_before = _bare(lab)
            lab.evaluate_in_kernel(
                "sent = wall.wall.stats.sent; used = time.process_time(); job = wall.start()"
            )
            start = processor_seconds()
            lab.page.wait_for_timeout(2000)
            while "have ended" not in (message.text_content() or ""):
                lab.page.wait_for_timeout(500)  # without asking the kernel, which would cost it
            end = processor_seconds()
            now = "print(job.elapsed, wall.wall.stats.sent - sent, time.process_time() - used)"
            elapsed, sent, used = (float(x) for x in lab.evaluate_in_kernel(now).split())
            after, used_after = _bare(lab)
            bare = (before + after) / 2  # half before, half after, as the machine's speed drifts
            shown.append(elapsed)
            alone.append(bare)
            ratios.append(bare / elapsed)
            rates.append(sent / elapsed)
            kernel.append(used / ((used_before + used_after) / 2) - 1)
            for kind, values in each.items():
                values.append((end[kind] - start[kind]) / max(1.0, sent))
    print(f"every neuron of the synthetic retina, {arguments.iterations} iterations each")
    print(f"without the wall    {statistics.median(alone):.1f} s")
    print(f"with the wall       {statistics.median(shown):.1f} s")
    print(
        f"speed with / without   median {statistics.median(ratios):.3f}, "
        f"{min(ratios):.3f} – {max(ratios):.3f} ({arguments.rounds} rounds)"
    )
    print(f"pictures sent       {statistics.median(rates):.1f} /s")
    print(f"kernel's processor time beyond the run alone   {statistics.median(kernel):.1%}")
    for kind, values in each.items():
        picture = 1000 * statistics.median(values)
        print(f"processor time of the {kind:8} {picture:.0f} ms a picture")


def _bare(lab: Lab) -> tuple[float, float]:
    """Return seconds and processor seconds of the run without the wall."""
    taken, used = (float(x) for x in lab.evaluate_in_kernel("bare()", timeout=600).split())
    return taken, used


if __name__ == "__main__":
    main()
