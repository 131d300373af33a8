"""The console script, as it is installed and called."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

from openretina_widgets.command_line import main
from openretina_widgets.installation import findings
from openretina_widgets.tutorials.lessons import lesson_paths

ROOT = Path(__file__).parents[1]


def test_check_says_in_words_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    for words in (
        "✓ openretina-widgets",
        "✓ torch",
        "✓ The synthetic retina runs: 84 neurons",
        "✓ @jupyter-widgets/jupyterlab-manager",
        "✓ anywidget",
        "✓ bqplot",
        "✓ JupyterLab 4",
        "All that is needed works.",
    ):
        assert words in said


def test_what_does_not_work_is_said_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert "✗ anywidget: JupyterLab will not find it; pip install" in said
    assert "3 of" in said

    def broken() -> None:
        raise OSError("no such file")

    monkeypatch.setattr("openretina_widgets.tutorials.lessons.lesson_paths", broken)
    assert any(found.words == "lessons: OSError: no such file" for found in findings())


def test_check_says_whether_voila_finds_the_offline_template(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    (said,) = (found.words for found in findings() if found.words.startswith("Voilà"))
    assert "is not found" in said
    shutil.copy(ROOT / "voila_template" / "index.html.j2", tmp_path)
    (said,) = (found.words for found in findings() if found.words.startswith("Voilà"))
    assert "offline with --template=openretina_widgets" in said


def test_lab_copies_the_lessons_and_says_what_it_did(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["lab", str(tmp_path / "class"), "--copy-only"]) == 0
    assert "01_optimise_a_stimulus.ipynb: copied" in capsys.readouterr().out
    assert len(list((tmp_path / "class").glob("*.ipynb"))) == len(lesson_paths())
    assert main(["lab", str(tmp_path / "class"), "--copy-only"]) == 0
    assert "01_optimise_a_stimulus.ipynb: there already" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert main(["lab", str(tmp_path / "file")]) == 1
    assert "expected a folder" in capsys.readouterr().err


def _answer(url: str, server: subprocess.Popen[str]) -> bytes:
    """What a server says, as soon as it listens."""
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                said: bytes = answer.read()
                return said
        except OSError:
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.2)


def test_lab_opens_a_real_jupyterlab_in_the_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "openretina_widgets.command_line", "lab", "class"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command += ["--no-browser", f"--port={port}", "--IdentityProvider.token=t", "--allow-root"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as lab:
        try:
            url = f"http://127.0.0.1:{port}/api/contents?token=t"
            assert b"01_optimise_a_stimulus.ipynb" in _answer(url, lab)
        finally:
            lab.terminate()


@pytest.mark.parametrize("arguments", [[], ["labs"], ["check", "--fast"]])
def test_what_it_does_not_know_it_says(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: openretina-widgets" in capsys.readouterr().err


def test_the_wheel_holds_the_lessons_and_the_command(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert b"openretina-widgets = openretina_widgets.command_line:main" in content.read(points)
        content.extractall(tmp_path / "installed")
    for path in lesson_paths().values():
        assert f"openretina_widgets/tutorials/lessons/{path.name}" in names
    template = "data/share/jupyter/voila/templates/openretina_widgets"
    for name in ("conf.json", "index.html.j2"):
        assert any(there.endswith(f"{template}/{name}") for there in names)
    code = (
        "import openretina_widgets.tutorials as t; t.copy_lessons('class');"
        "print(t.Tutorial.read('tuning_curves').path)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(tmp_path / "installed") in run.stdout, run.stderr
    assert (tmp_path / "class" / "02_tuning_curves.ipynb").is_file()
