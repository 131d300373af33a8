"""What is published: the built wheel, installed in a new environment, shows a widget."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.browser import lab as harness
from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
LAB = ["lab", "my_lessons", "--copy-only"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; its dependencies are borrowed, our source tree is not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*install, "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)], check=True
    )
    place = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", place], check=True, capture_output=True, text=True)
    # A path file that is read from another environment's folder is not followed any further, so
    # the editable installation of the source tree stays out.
    path_file = Path(packages.stdout.strip()) / "borrowed.pth"
    path_file.write_text(sysconfig.get_path("purelib"))
    return folder


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "openretina_widgets"
    there = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.is_file() and path.suffix in {".py", ".js", ".css", ".typed", ".ckpt"}
    }
    assert any(name.endswith(".js") for name in there)
    assert there <= set(zipfile.ZipFile(wheel).namelist())


def test_a_room_without_internet(wheel: Path, environment: Path, tmp_path: Path) -> None:
    """What docs/classroom.md says, without the download of 300 MB: that is left to a person.

    The wheel installs by its name from a folder and from nowhere else, on what the folder would
    hold as well; its command looks at the installation and copies the lessons, and Python finds no
    way to a network meanwhile.
    """
    script = environment / "bin" / "openretina-widgets"
    python = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    quiet = ("--quiet", "--disable-pip-version-check")
    folder = ("--no-index", "--find-links", str(wheel.parent))
    install = [*python, "install", *quiet, *folder, "--target", str(tmp_path / "again")]
    subprocess.run([*install, "--no-deps", "openretina-widgets"], check=True)
    assert (tmp_path / "again" / "openretina_widgets").is_dir()
    needed = [*python, "install", *quiet, *folder, "--dry-run", "openretina-widgets", "jupyterlab"]
    subprocess.run(needed, check=True)

    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def connect(self, address, *_):\n"
        "    raise AssertionError(f'asked for {address}')\n"
        "socket.socket.connect = socket.socket.connect_ex = connect\n"
    )
    borrowed = str(Path(sysconfig.get_path("data")) / "share" / "jupyter")
    variables = {"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    variables["JUPYTER_PATH"] = borrowed  # a real installation has the pages' halves in its own
    for arguments, words in ((["check"], "All that is needed works."), (LAB, "copied")):
        done = subprocess.run(
            [str(script), *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert words in done.stdout
    assert (tmp_path / "my_lessons" / "01_optimise_a_stimulus.ipynb").is_file()


def test_wheel_shows_the_lab(lab: Lab, environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = lab.server.root.parent / "jupyter" / "kernels" / "wheel" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    launch = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv = [str(environment / "bin" / "python"), *launch]
    spec.write_text(json.dumps({"argv": argv, "display_name": "wheel", "language": "python"}))
    lab.page.evaluate("jupyterapp.serviceManager.kernelspecs.refreshSpecs()")
    monkeypatch.setattr(harness, "require_kernel", lambda name: None)
    lab.new_notebook(
        ["import openretina_widgets as orw\nlab = orw.RetinaLab()\nlab"], kernel="wheel"
    )
    lab.run_cell(0)
    assert str(environment) in lab.evaluate_in_kernel("orw.__file__")
    output = lab.output_area(0)
    expect(output.locator(".orw-status-message")).to_contain_text("press Optimise")
    canvas = output.locator(".orw-player canvas").first
    expect(canvas).to_be_attached()
    lab.evaluate_in_kernel("lab.optimizer.start(); None")
    lab.wait_until("lab.result is not None", timeout=180)
    expect(output.locator(".orw-status-message")).to_contain_text("Ended:")
    # Some frames of the movie are white: it plays until one is not.
    lab.wait_for(lambda: lab.canvas_pixels(canvas)[..., :3].std() > 0, what="a frame with contrast")
