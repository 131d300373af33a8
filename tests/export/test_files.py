"""Paths are refused in words, and nothing half is left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from openretina_widgets import export
from openretina_widgets.export.files import written_whole


@pytest.mark.parametrize("suffix", [".ipynb", ".html", ".npz", ".zip", ".svg", ".gif"])
def test_nothing_is_overwritten_silently(suffix, best, tmp_path):
    path = tmp_path / f"mine{suffix}"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"is there already; .* overwrite=True"):
        export.save(best, path)
    assert path.read_text() == "mine"
    export.save(best, path, overwrite=True)
    assert path.stat().st_size > 1000
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_said(best, tmp_path):
    with pytest.raises(ValueError, match=r"the suffix '.pgn'; the nearest is '.png'"):
        export.save(best, tmp_path / "a.pgn")
    with pytest.raises(ValueError, match=r"'a' has no suffix; give it one of .ipynb, .html"):
        export.save(best, tmp_path / "a")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere.*; make it first"):
        export.save(best, tmp_path / "nowhere" / "a.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(FileExistsError, match="is a folder; name a file"):
        export.save(best, tmp_path / "folder.html", overwrite=True)
    with pytest.raises(TypeError, match="path: expected a path, got int"):
        export.save(best, 3)


def test_a_folder_that_cannot_be_written_into_is_said(gradient, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:  # root may write everywhere but on a file system that is read-only
        folder = Path("/sys")
    else:
        folder.chmod(0o500)
    with pytest.raises(PermissionError, match=r"cannot be written into .*; choose another"):
        export.save(gradient, folder / "fields.npz")


def test_a_failure_leaves_nothing(tmp_path):
    target = tmp_path / "file.npz"
    target.write_text("old")

    def fail() -> None:
        with written_whole(target) as partial:
            partial.write_text("half")
            raise OSError(errno.ENOSPC, "no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["file.npz"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("results", [[], {}])
def test_no_result_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="expected at least one result, got none"):
        export.save(results, tmp_path / "a.html")


def test_what_is_no_result_is_refused(best, tmp_path):
    with pytest.raises(TypeError, match=r"results: expected OptimizationResult, .*, got ndarray"):
        export.save({"a": best, "b": np.zeros(3)}, tmp_path / "a.html")
    with pytest.raises(TypeError, match="expected names as keys, got 3"):
        export.save({3: best}, tmp_path / "a.html")


def test_a_picture_shows_one_result(best, gradient, tmp_path):
    with pytest.raises(ValueError, match="one result for a single picture, got 2: best_stimulus"):
        export.save([best, gradient], tmp_path / "a.png")


@pytest.mark.parametrize(("suffix", "blocked", "extra"), [
    (".png", "matplotlib", "plot"), (".gif", "PIL", "movie"), (".mp4", "imageio_ffmpeg", "movie"),
])  # fmt: skip
def test_a_missing_extra_is_named(suffix, blocked, extra, best, tmp_path):
    best.save(tmp_path / "best.npz")
    code = f"""
import sys
sys.modules[{blocked!r}] = None
from openretina_widgets import export
try:
    export.save(export.from_archive("best.npz"), "best{suffix}")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert f"pip install 'openretina-widgets[{extra}]'" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["best.npz"]
