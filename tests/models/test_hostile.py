"""Hostile files through the public doors: refused in words, nothing executed, nothing written."""

from __future__ import annotations

import html
import zipfile

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.models.checkpoint import CheckpointError, UnsafeCheckpointError
from tests.models.hostile_files import HOSTILE, MARKUP, RUNS_CODE, checkpoint

pytest.importorskip("resource")
from tests.models.hostile_table import answers_of, main

WORDS = {
    "os.system in a reduce": r"refused: it asks for '(posix|nt)\.system'.*nothing in it was exec",
    "a lambda in the hyper-parameters": r"refused: it asks for 'builtins\.getattr'",
    "a lambda by name": "refused: it asks for '__main__.<lambda>'",
    "a tar in a tar": "this is a tar archive; .* unpack it first",
    "a tar in the archive": r"refused: '.*/data/weights\.tar' is no part of a checkpoint",
    "10^9 elements declared": "4000000000 bytes are declared, only 16 are there",
    "10^9 elements out of four": r"shape \(1000000000,\) does not fit the 4 numbers",
    "a zip bomb of 100 MB": "is compressed, torch does not",
    "a zip bomb that understates itself": "100000000 bytes are declared, only 97... are there",
    "a zip bomb in a zip": "no checkpoint: it holds 'inner.ckpt'; .* unpack it first",
    "a path that climbs out": r"refused: '\.\./executed' is a path that climbs out",
    "a pickle of protocol 0": "this is a bare pickle",
    "markup as a name": "refused: it asks for '<img",
}


@pytest.fixture
def place(tmp_path):
    """Return a folder in a folder, so that a path can climb out and be seen."""
    folder = tmp_path / "inner"
    folder.mkdir()
    return folder


def content(folder):
    return {path: path.stat().st_size for path in folder.rglob("*")}


def test_every_hostile_file_has_its_words():
    assert WORDS.keys() == HOSTILE.keys()


@pytest.mark.parametrize("kind", RUNS_CODE)
def test_the_file_does_what_it_says_when_it_is_opened_carelessly(place, kind):
    marker = place / "executed"
    path = HOSTILE[kind](place / "hostile.ckpt", marker)
    if zipfile.is_zipfile(path):
        torch.load(path, weights_only=False)
    else:
        with pytest.raises(RuntimeError, match="Invalid magic number"):  # by then it is too late
            torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_load_model_refuses_in_words(place, kind):
    marker = place / "executed"
    path = HOSTILE[kind](place / "hostile.ckpt", marker)
    before = content(place.parent)
    with pytest.raises(CheckpointError, match=WORDS[kind]) as caught:
        orw.load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    if kind in ("os.system in a reduce", "a lambda in the hyper-parameters"):
        assert isinstance(caught.value, UnsafeCheckpointError)
    assert content(place.parent) == before
    assert not marker.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_loader_says_it_and_shows_it_as_text(place, kind):
    marker = place / "executed"
    path = HOSTILE[kind](place / f"{MARKUP}.ckpt", marker)
    before = content(place.parent)
    loader = orw.ModelLoader()
    opened = loader.model
    with pytest.raises(CheckpointError, match=WORDS[kind]) as caught:
        loader.load(str(path)).result(timeout=60)
    assert loader.model is opened
    shown = loader._card.value
    assert 'class="orw-error"' in shown
    assert html.escape(str(caught.value)) in shown
    assert "<img" not in shown
    assert content(place.parent) == before
    assert not marker.exists()
    loader.close()


def test_nothing_is_executed_or_written_and_memory_is_bounded(place):
    marker = place / "executed"
    warm = checkpoint(place / "fine.ckpt")
    files = {
        kind: make(place / f"{i}.ckpt", marker) for i, (kind, make) in enumerate(HOSTILE.items())
    }
    before = content(place.parent)
    answers = dict(zip(files, answers_of(warm, list(files.values())), strict=True))
    assert content(place.parent) == before
    for kind, answer in answers.items():
        assert answer.kind in ("CheckpointError", "UnsafeCheckpointError"), kind
        assert answer.acts == [], kind
        assert answer.grown_bytes < 32e6, kind  # of at most 100 kB, claiming up to 4 GB


def test_the_watch_sees_what_a_file_does(place):
    """Without this, the test above would pass with a watch that sees nothing."""
    marker = place / "executed"
    path = checkpoint(place / "fine.ckpt")
    code = (
        "import sys; from tests.models import hostile_table; import openretina_widgets as orw; "
        "from pathlib import Path; import os; fine = orw.load_model(sys.argv[1]); "
        "orw.load_model = lambda path: "
        "os.system('true') or Path(path).touch() or len(b'x' * 10**8) and fine; "
        "hostile_table._open_all(sys.argv[1], sys.argv[2])"
    )
    (answer,) = answers_of(path, [marker], command=["-c", code])
    assert any(act.startswith("os.system") for act in answer.acts)
    assert f"open '{marker}' to write" in answer.acts
    assert answer.grown_bytes > 9e7
    assert marker.exists()


def test_the_table_names_every_file(capsys):
    main()
    table = capsys.readouterr().out
    assert all(f"| {kind} |" in table for kind in HOSTILE)
    assert "LOADED" not in table
    assert "New files beside them: none." in table
