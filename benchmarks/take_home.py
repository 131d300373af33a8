"""An exported notebook, executed where nothing of this installation is, gives the same numbers.

``python -m benchmarks.take_home`` measures a best stimulus, noisy tuning curves, receptive fields
from noise and a selectivity table, exports them as one notebook, builds the wheel, installs it with
its dependencies into a new environment, and executes the notebook there. ``--wheels FOLDER`` takes
everything from a folder of wheels, without any network. Printed is the largest difference of each
array, and the run fails where one is above 1e-6 (absolute, and relative to the number).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

import nbformat
import numpy as np

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.export.results import KINDS, Result
from openretina_widgets.insilico.shown_stimulus import show_stimulus

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-6
COMPARED = {
    "best_stimulus": ("stimulus", "score", "score_trace", "response"),
    "tuning_curves": ("responses", "traces", "baseline", "repeats", "f1"),
    "receptive_fields": ("fields", "spatial"),
    "selectivity_table": (),
    "shown_stimulus": ("stimulus", "response"),
}
_EXECUTE = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def measured(neurons: int = 4) -> dict[str, Result]:
    """Return one result of each kind, by the name of its kind, from the embedded retina."""
    model = orw.load_model("synthetic")
    gratings = orw.experiments.drifting_gratings(directions=8, temporal_frequencies=[1, 2])
    some = list(range(0, 84, 84 // neurons))
    return {
        "best_stimulus": orw.optimize_neurons(model, [40, 3], seed=[0, 1], max_iterations=100),
        "tuning_curves": orw.sweep(
            model, gratings, neurons=some, noise="poisson", repeats=3, seed=5
        ),
        "receptive_fields": orw.receptive_fields(
            model, neurons=some, method="sta", frames=2000, seed=7
        ),
        "selectivity_table": orw.selectivity_table(
            model, neurons=some, measure=["flash", "direction"]
        ),
        "shown_stimulus": show_stimulus(model, "moving_bar", direction=35.0, neurons=some),
    }


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this source tree into a folder."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def new_environment(folder: Path, wheel: Path, *, wheels: Path | None = None) -> Path:
    """Install a wheel with its dependencies into a new environment; return its python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    source = ["--no-index", "--find-links", str(wheels.resolve())] if wheels else []
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *source, str(wheel), "ipykernel", "nbclient"],
        check=True,
        env=_without_ours(),
    )
    return python


def borrowing_environment(folder: Path, wheel: Path) -> Path:
    """As `new_environment`, without a download: dependencies are ours, the package is not."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*install, "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)], check=True
    )
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", place], check=True, capture_output=True, text=True)
    # What a path file points to is not searched for further ones: an editable installation of the
    # source tree stays out.
    (Path(packages.stdout.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def executed_by(python: Path, results: Mapping[str, Result], folder: Path) -> dict[str, Result]:
    """Export results as a notebook, execute it with another python, and read what it made."""
    path = export.to_notebook(results, folder / "session.ipynb")
    notebook = nbformat.read(path, as_version=4)
    made = ", ".join(f"{name!r}: {name}" for name in results)  # each is a variable there
    more = (
        f"orw.export.to_archive({{{made}}}, 'again.zip')\n"
        "import pathlib\n"
        "pathlib.Path('place.txt').write_text(orw.__file__)"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(more, id="kept"))
    nbformat.write(notebook, path)
    subprocess.run(
        [python, "-c", _EXECUTE, path.name], check=True, cwd=folder, env=_without_ours(python)
    )
    place = Path((folder / "place.txt").read_text())
    if not place.is_relative_to(python.parents[1]):
        raise RuntimeError(f"the notebook was executed with {place}, outside {python.parents[1]}")
    again = export.from_archive(folder / "again.zip")
    if not isinstance(again, dict):
        raise TypeError("expected a session")
    return again


def differences(
    then: Mapping[str, Result], now: Mapping[str, Result]
) -> dict[str, tuple[float, bool]]:
    """Return the largest difference of each array, and whether all of it is within 1e-6."""
    found = {}
    for name, result in then.items():
        pairs = [
            (key, getattr(result, key), getattr(now[name], key))
            for key in COMPARED[name]
            if getattr(result, key) is not None
        ]
        if isinstance(result, KINDS["selectivity_table"]):
            columns = [column.name for column in result.columns if column.kind == "number"]
            pairs = [(column, result[column], now[name][column]) for column in columns]
        for key, one, other in pairs:
            first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
            if np.isnan(first).all() and np.isnan(second).all():
                continue  # of a table: what was not measured
            same = first.shape == second.shape and np.array_equal(np.isnan(first), np.isnan(second))
            far = float(np.nanmax(np.abs(first - second), initial=0.0)) if same else np.inf
            close = same and np.allclose(
                second, first, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
            )
            found[f"{name}, {key}"] = (far, close)
    return found


def _without_ours(python: Path | None = None) -> dict[str, str]:
    """Return the environment without what would lead to this installation."""
    names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER_PATH", "IPYTHONDIR")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    if python is not None:  # the kernel `python3` of the new environment, or that of its python
        kept["PATH"] = os.pathsep.join([str(python.parent), kept.get("PATH", "")])
        kept["JUPYTER_PREFER_ENV_PATH"] = "1"
    return kept


def main() -> int:
    """Print a line for each array."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install from, offline")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        python = new_environment(folder / "environment", wheel, wheels=options.wheels)
        then = measured()
        found = differences(then, executed_by(python, then, folder))
    for what, (far, close) in found.items():
        print(f"{what:45} largest difference {far:.2g}{'' if close else '  NOT within 1e-6'}")
    worst = max(far for far, _ in found.values())
    print(f"{len(found)} arrays from a new environment; largest difference of all {worst:.2g}")
    return 0 if all(close for _, close in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
