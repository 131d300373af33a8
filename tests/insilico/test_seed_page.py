"""Snippets of the page that the project is built from, as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from openretina_widgets.errors import Unreachable
from openretina_widgets.models import load_core_readout_from_remote, published_path
from tests.models.checkpoint_files import HYPER_PARAMETERS, content_of, model_of, save

COPY = Path(__file__).resolve().parents[1] / "data" / "seed_page_snippet.txt"
PAGE = Path(__file__).resolve().parents[2].parent / "shared" / "seed" / "in_silico_experiments.txt"
FIRST, LAST = "import torch\n", 'print(f"Optimized stimulus shape'
EXPERIMENT = COPY.with_name("seed_page_custom_experiment.txt")
NAME = "hoefling_2024_base_low_res"


def first_snippet(page: str) -> str:
    start = page.index(FIRST)
    last = page.index(LAST, start)
    return page[start : page.index("\n", last) + 1]


def run(snippet: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    code = snippet.replace("openretina", "openretina_widgets")
    exec(compile(code, "the seed page", "exec"), names)
    return names


@pytest.fixture
def in_the_cache(tmp_path, monkeypatch):
    """Place a checkpoint where the one that the page loads is looked for; fetch nothing."""
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = published_path(NAME)
    place.parent.mkdir(parents=True)
    settings = {**HYPER_PARAMETERS, "n_neurons_dict": {"1_a": 8, "2_b": 2}}  # it picks neuron 5
    model = model_of(settings)
    for name, parameter in model.named_parameters():
        if "features" in name:  # responses of some height, beside which the penalty is small
            parameter.data.mul_(10.0)
    save(content_of(model, hyper_parameters=settings), place)


@pytest.fixture
def snippet() -> str:
    """What the page says, or where it is not there, what it said."""
    if PAGE.exists():
        return first_snippet(PAGE.read_text(encoding="utf-8"))
    return COPY.read_text(encoding="utf-8")


def test_the_snippet_runs_as_it_stands_and_optimises_in_place(snippet, in_the_cache, capsys):
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


def test_offline_the_page_says_where_the_file_belongs(snippet, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unreachable, match=f"save it as {published_path(NAME)}"):
        run(snippet)


def test_the_embedded_name_needs_no_file():
    model = load_core_readout_from_remote("synthetic", "cpu")
    assert model.name == "synthetic"
    assert model.device.type == "cpu"


def test_the_custom_experiment_runs_as_it_stands(in_the_cache):
    """The page has lost its indentation, and the loader's import is that of its first snippet."""
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="it draws a plot")
    pyplot.switch_backend("template")  # one without a window, that shows nothing without a warning
    loader = "from openretina.models import load_core_readout_from_remote\n"
    names = run(loader + EXPERIMENT.read_text(encoding="utf-8"))
    model, results = names["model"], names["results"]
    # Its mean is over the batch, not over time as it says, so that time stays.
    assert results.shape == (20, 30 - model.lag, model.n_neurons())
    assert not (results[0] == results[10]).all()
    (axes,) = pyplot.gcf().axes
    assert axes.get_xlabel() == "Temporal Frequency (Hz)"
    assert axes.lines[0].get_xdata().tolist() == names["frequencies"].tolist()
    pyplot.close("all")


def test_the_copy_of_the_experiment_is_what_the_page_says():
    if not PAGE.exists():
        pytest.skip("the seed page itself lies beside the repository, and is not there")
    page = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines()]
    copy = [line.strip() for line in EXPERIMENT.read_text(encoding="utf-8").splitlines()]
    start = page.index("def custom_experiment(model, parameter_range):") - 4
    assert page[start : start + len(copy)] == copy
