"""How much memory a run may take."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

import openretina_widgets as orw
from openretina_widgets.errors import OutOfMemory
from openretina_widgets.memory import free_memory


def test_without_a_limit_it_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    assert free_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_it_is_no_more_than_jupyterhub_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = psutil.Process().memory_info().rss
    monkeypatch.setenv("MEM_LIMIT", str(resident + 200 * 2**20))
    assert free_memory() == pytest.approx(200 * 2**20, abs=50 * 2**20)
    held = np.ones(100 * 2**20, dtype=np.uint8)
    assert free_memory() == pytest.approx(100 * 2**20, abs=50 * 2**20)
    del held
    monkeypatch.setenv("MEM_LIMIT", "1")
    assert free_memory() == 0.0
    monkeypatch.setenv("MEM_LIMIT", "2G")  # JupyterHub writes bytes; anything else is not its own
    assert free_memory() > 2**30


def test_what_would_be_killed_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    model = orw.load_model("synthetic")
    experiment = orw.experiments.drifting_gratings(directions=np.arange(0.0, 360.0, 0.5))
    resident = psutil.Process().memory_info().rss
    monkeypatch.setenv("MEM_LIMIT", str(resident + 2**20))
    with pytest.raises(OutOfMemory, match="GB that are free"):
        orw.sweep(model, experiment)
