"""What CUDA gives is what the CPU gives, for every goal and every experiment."""

from __future__ import annotations

import gc
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.stimulus_optimization import population_steps
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.models import RetinaModel, load_model
from openretina_widgets.models.prepared_forms import PreparedForms
from tests.insilico.modules import INPUT_SHAPE, LAG, LinearNeurons, random_filters
from tests.insilico.test_every_goal import ELSEWHERE, OF_NEURONS, SETTINGS, TRANSFORMS, model_of

pytestmark = pytest.mark.cuda

# What is left of differences in the last place after some tens of steps.
SCORES = {"atol": 1e-4, "rtol": 1e-4}


@pytest.mark.parametrize("name", OF_NEURONS)
def test_a_goal_of_neurons(cuda, name):
    goal = OF_NEURONS[name]
    settings = SETTINGS | {"patience": None} | goal.settings  # which would end at other iterations
    # The way of a form's few parameters can hang on the last place of a number.
    kind = torch.float64 if "parametrization" in settings else torch.float32
    cpu, gpu = (
        orw.optimize_neurons(goal.model().to(device, kind), range(4), seed=[0, 1], **settings)
        for device in ("cpu", cuda)
    )
    assert goal.true(gpu)
    torch.testing.assert_close(gpu.score, cpu.score, **SCORES)
    assert gpu.settings["cuda_graph"], "true, or why not"


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", [name for name in ELSEWHERE if name != "an inner layer"])
def test_a_goal_of_more_than_a_neuron(cuda, name, transform):
    run, _, _ = ELSEWHERE[name]
    settings = SETTINGS | {"max_iterations": 30} | TRANSFORMS[transform]
    cpu, gpu = (run(model_of().to(device), **settings) for device in ("cpu", cuda))
    torch.testing.assert_close(gpu.score, cpu.score, atol=1e-3, rtol=1e-3)


def test_an_inner_layer(cuda):
    settings = {"time_steps": 40, "max_iterations": 30, "patience": None}
    name = next(layer.name for layer in orw.list_layers(load_model("trained")) if layer.channels)
    cpu, gpu = (
        orw.optimize_layer(load_model("trained", device=device), name, [0, 1], **settings)
        for device in ("cpu", cuda)
    )
    torch.testing.assert_close(gpu.score, cpu.score, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_population_is_what_each_neuron_gives(cuda, precision):
    model = load_model("synthetic", device=cuda)
    settings = {"max_iterations": 40, "patience": None, "precision": precision}
    chosen = range(0, 84, 9)
    together = orw.optimize_population(model, chosen, chunk=4, **settings).together()
    for n, score in zip(chosen, together.score, strict=True):
        alone = orw.optimize_neurons(model, n, **settings)
        torch.testing.assert_close(alone.score[0], score, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["synthetic", "trained"])
def test_a_population_is_what_the_model_as_it_is_gives_one_at_a_time(cuda, name, monkeypatch):
    settings = {"max_iterations": 60, "patience": None}
    chosen = range(0, 84, 9)
    model = load_model(name, device=cuda)
    together = orw.optimize_population(model, chosen, **settings).together()
    assert together.settings["cuda_graph"] is True
    monkeypatch.setattr(PreparedForms, "fitting", lambda *_: None)
    for n, score in zip(chosen, together.score, strict=True):
        alone = orw.optimize_neurons(model, n, cuda_graph=False, **settings)
        torch.testing.assert_close(alone.score[0], score, **SCORES)


def test_a_population_measures_the_device_and_stays_within_a_budget(cuda):
    model = load_model("trained", device=cuda)
    orw.optimize_neurons(model, 0, max_iterations=20)  # cuBLAS and the form take their own
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(cuda)
    before = torch.cuda.memory_allocated(cuda)
    most = 0
    for step in population_steps(
        model, seed=range(40), max_iterations=2, patience=None, memory_mb=64
    ):
        most = max(most, len(step.pairs))
    assert 1 < most < 40 * model.n_neurons()
    assert torch.cuda.max_memory_allocated(cuda) - before <= 64 * 2**20


def test_what_runs_have_captured_is_given_back(cuda):
    model = load_model("trained", device=cuda)

    def held(runs: int) -> int:
        for _ in range(runs):
            orw.optimize_neurons(model, range(8), max_iterations=20, patience=None)
        gc.collect()
        return torch.cuda.memory_allocated(cuda)

    first = held(2)
    assert held(6) - first < 2**20


class Hungry(torch.nn.Module):
    """Asks the device for more than it has when the batch is above 3."""

    def __init__(self, gib: int) -> None:
        super().__init__()
        self.neurons = LinearNeurons(random_filters(8))
        self.gib = gib

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        if len(stimulus) > 3:
            torch.empty(self.gib, 2**30, dtype=torch.uint8, device=stimulus.device)
        return self.neurons(stimulus)


def test_a_population_goes_on_with_half_the_rows_when_the_device_is_full(cuda):
    gib = torch.cuda.get_device_properties(cuda).total_memory // 2**30 + 1
    settings = {"time_steps": LAG + 1, "max_iterations": 5, "patience": None}

    def of(module: torch.nn.Module) -> RetinaModel:
        return RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=2.0)

    found = orw.optimize_population(of(Hungry(gib).to(cuda)), chunk=8, **settings).together()
    expected = orw.optimize_population(of(Hungry(gib).neurons), **settings).together()
    torch.testing.assert_close(found.score, expected.score, **SCORES)


def test_two_runs_at_once_do_not_disturb_each_other(cuda):
    """Each captures graphs while the other allocates and computes."""
    model = load_model("trained", device=cuda)
    settings = {"time_steps": 40, "max_iterations": 300, "patience": None}
    alone = [orw.optimize_neurons(model, n, **settings).score for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(orw.optimize_neurons, model, n, **settings) for n in range(4)]
        for run, expected in zip(runs, alone, strict=True):
            result = run.result()
            assert result.settings["cuda_graph"] is True
            torch.testing.assert_close(result.score, expected, **SCORES)


def test_a_sweep(cuda):
    sizes = experiments.size_tuning([60.0, 240.0, 600.0])
    cpu, gpu = (
        orw.sweep(load_model("synthetic", device=device), sizes, neurons=range(0, 84, 12))
        for device in ("cpu", cuda)
    )
    np.testing.assert_allclose(gpu.responses, cpu.responses, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["gradient", "sta"])
def test_receptive_fields(cuda, method):
    settings = {"method": method, "neurons": range(0, 84, 12)}
    if method == "sta":
        settings |= {"frames": 2000}
    cpu, gpu = (
        orw.receptive_fields(load_model("synthetic", device=device), **settings)
        for device in ("cpu", cuda)
    )
    scale = np.abs(cpu.fields).max()
    np.testing.assert_allclose(gpu.fields, cpu.fields, atol=1e-3 * scale)


def test_a_response_gradient_and_a_vector_field(cuda):
    for ask, name in ((orw.response_gradient, "gradients"), (orw.vector_field, "lsta")):
        cpu, gpu = (
            getattr(ask(load_model("synthetic", device=device), neurons=[0, 9]), name)
            for device in ("cpu", cuda)
        )
        np.testing.assert_allclose(gpu, cpu, rtol=1e-3, atol=1e-3 * np.abs(cpu).max())


def test_an_endless_norm_is_refused_there_too(cuda):
    with pytest.raises(ValueError, match=r"norm: 1000\.0 is out of reach"):
        orw.optimize_neurons(model_of().to(cuda), 0, **SETTINGS, norm=1000.0)
    assert math.isfinite(float(orw.optimize_neurons(model_of().to(cuda), 0, **SETTINGS).score))
