"""Seconds and memory from a fresh interpreter to a loaded checkpoint: ours, and OpenRetina's own.

``python -m benchmarks.load PYTHON [CHECKPOINT]`` takes the Python of an environment that has
OpenRetina 1.1.1. Each turn starts both interpreters anew, one after the other, so that a change of
the machine's speed meets both alike; imports are counted. It prints the ratio of the medians.
A bare ``import torch``, which neither can do without, is measured along as the floor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "tests/data/openretina/klindt.ckpt"
# The peak is read at the end, by the process itself (KiB on Linux, bytes on macOS).
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
OURS = f"import sys; from openretina_widgets import load_model; load_model(sys.argv[1]); {PEAK}"
THEIRS = (
    "import sys; from openretina.models.core_readout import load_core_readout_model; "
    f"load_core_readout_model(sys.argv[1], 'cpu'); {PEAK}"
)


def measure(python: str, code: str, checkpoint: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory (MB) of an interpreter that runs this code."""
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(checkpoint)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, int(done.stdout.split()[-1]) * unit / 1e6


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="Python of an environment with OpenRetina 1.1.1")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=CHECKPOINT)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    sides = {
        "ours": (sys.executable, OURS),
        "OpenRetina": (arguments.python, THEIRS),
        "torch alone": (sys.executable, f"import torch; {PEAK}"),
    }
    for python, code in sides.values():  # once unmeasured, so that the disk is read
        measure(python, code, arguments.checkpoint)
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(arguments.turns):
        for side, (python, code) in sides.items():
            taken[side].append(measure(python, code, arguments.checkpoint))
    medians = {
        side: [statistics.median(values) for values in zip(*runs, strict=True)]
        for side, runs in taken.items()
    }
    for side, (seconds, megabytes) in medians.items():
        print(f"{side:12}{seconds:8.2f} s {megabytes:8.0f} MB")
    floor = medians["torch alone"][0]
    beyond = {side: medians[side][0] - floor for side in ("ours", "OpenRetina")}
    print(f"beyond torch: {beyond['ours']:.2f} s and {beyond['OpenRetina']:.2f} s")
    times, memory = (
        theirs / ours for ours, theirs in zip(medians["ours"], medians["OpenRetina"], strict=True)
    )
    print(f"ours is {times:.1f} times faster and takes {memory:.1f} times less memory")


if __name__ == "__main__":
    main()
