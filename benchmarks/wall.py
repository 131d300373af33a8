"""What the wall of best stimuli costs, in real JupyterLab and Chromium.

``python -m benchmarks.wall`` prints, from one run on one machine, how long every neuron of the
synthetic retina takes for 200 iterations each, with the wall shown and without, turn by turn; and
how many pictures a second the wall has drawn. Needs Chromium and the test environment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tests.browser.lab import Lab, LabServer, launch_chromium

SHOW = """
import time
import torch
import openretina_widgets as orw
from openretina_widgets.insilico.compute import live_threads, torch_threads
wall = orw.StimulusWall({model!r}, max_iterations={iterations}, patience=None)
def bare():
    start = time.perf_counter()
    with torch_threads(live_threads()):
        orw.optimize_population(
            wall.model, chunk=16, max_iterations={iterations}, patience=None
        )
    return time.perf_counter() - start
wall
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=200)
    arguments = parser.parse_args()
    ratios, shown, alone, rates = [], [], [], []
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
        lab.evaluate_in_kernel("bare()", timeout=600)
        for _ in range(arguments.rounds):
            before = float(lab.evaluate_in_kernel("bare()", timeout=600))
            lab.evaluate_in_kernel("sent = wall.wall.stats.sent; job = wall.start()")
            lab.wait_until("job.done()", timeout=600)
            now = "print(job.elapsed, wall.wall.stats.sent - sent)"
            elapsed, sent = (float(x) for x in lab.evaluate_in_kernel(now).split())
            after = float(lab.evaluate_in_kernel("bare()", timeout=600))
            bare = (before + after) / 2  # half before, half after, as the machine's speed drifts
            shown.append(elapsed)
            alone.append(bare)
            ratios.append(bare / elapsed)
            rates.append(sent / elapsed)
    print(f"every neuron of the synthetic retina, {arguments.iterations} iterations each")
    print(f"without the wall    {statistics.median(alone):.1f} s")
    print(f"with the wall       {statistics.median(shown):.1f} s")
    print(
        f"speed with / without   median {statistics.median(ratios):.3f}, "
        f"{min(ratios):.3f} – {max(ratios):.3f} ({arguments.rounds} rounds)"
    )
    print(f"pictures sent       {statistics.median(rates):.1f} /s")


if __name__ == "__main__":
    main()
