"""The first snippet of the page that the project is built from, as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from openretina_widgets.models import RetinaModel, load_core_readout_from_remote

COPY = Path(__file__).resolve().parents[1] / "data" / "seed_page_snippet.txt"
PAGE = Path(__file__).resolve().parents[2].parent / "shared" / "seed" / "in_silico_experiments.txt"
FIRST, LAST = "import torch\n", 'print(f"Optimized stimulus shape'
EMBEDDED_ANSWERS = "not fetched by this version: the embedded synthetic retina answers"


def first_snippet(page: str) -> str:
    start = page.index(FIRST)
    last = page.index(LAST, start)
    return page[start : page.index("\n", last) + 1]


def run(snippet: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    code = snippet.replace("openretina", "openretina_widgets")
    with pytest.warns(UserWarning, match=EMBEDDED_ANSWERS):
        exec(compile(code, "the seed page", "exec"), names)
    return names


@pytest.fixture
def snippet() -> str:
    """What the page says, or where it is not there, what it said."""
    if PAGE.exists():
        return first_snippet(PAGE.read_text(encoding="utf-8"))
    return COPY.read_text(encoding="utf-8")


def test_the_snippet_runs_as_it_stands_and_optimises_in_place(snippet, capsys):
    torch.manual_seed(0)
    names = run(snippet)
    stimulus, objective = names["stimulus"], names["objective"]
    assert capsys.readouterr().out == f"Optimized stimulus shape: {stimulus.shape}\n"
    assert stimulus.shape == names["model"].stimulus_shape(time_steps=30)
    assert stimulus.requires_grad
    torch.manual_seed(0)
    start = torch.randn(names["stimulus_shape"]).clamp(0.0, 1.0)
    with torch.no_grad():
        assert objective.forward(stimulus) > 1.2 * objective.forward(start)
    assert stimulus.min() >= 0.0
    assert stimulus.max() <= 1.0
    assert objective.neurons == [5]


def test_the_copy_is_what_the_page_says():
    if not PAGE.exists():
        pytest.skip("the seed page itself lies beside the repository, and is not there")
    page = PAGE.read_text(encoding="utf-8")
    assert first_snippet(page) == COPY.read_text(encoding="utf-8")


def test_the_published_name_is_answered_by_the_embedded_retina_with_a_warning():
    with pytest.warns(UserWarning, match=EMBEDDED_ANSWERS) as caught:
        model = load_core_readout_from_remote("hoefling_2024_base_low_res", "cpu")
    assert caught[0].filename == __file__
    assert "'hoefling_2024_base_low_res'" in str(caught[0].message)
    assert isinstance(model, RetinaModel)
    assert model.name == "synthetic"


def test_the_embedded_name_needs_no_warning():
    model = load_core_readout_from_remote("synthetic", "cpu")
    assert model.name == "synthetic"
    assert model.device.type == "cpu"
