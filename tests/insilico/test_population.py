"""Whole populations: a pool that stays full, folders that grow, and runs that go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from openretina_widgets import load_model, optimize_neurons, optimize_population
from openretina_widgets.errors import OtherResults, OutOfMemory
from openretina_widgets.insilico.population.table import as_text
from openretina_widgets.insilico.stimulus_optimization import (
    GaborSinusoid,
    Jitter,
    L2Regularizer,
    LowFrequencies,
    OptimizationResult,
    PopulationResult,
    Separable,
    population_steps,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import _CHECK_EVERY
from openretina_widgets.insilico.stimulus_optimization.rows import Rows
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.prepared import AS_IT_IS
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    LittleMemory,
    noise,
    random_filters,
)
from tests.insilico.test_batch import OPTIMIZERS
from tests.shared_data import shared_data

NEURONS = 7
SETTINGS = {
    "time_steps": LAG + 2,
    "max_iterations": 30,
    "patience": 4,
    "min_delta": 1e-3,
    "norm": 6.0,
}


@pytest.fixture
def model():
    """Neurons that saturate, of different gains: they reach a plateau at different times."""
    return saturating()


def saturating() -> RetinaModel:
    gains = torch.linspace(0.2, 1.6, NEURONS).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(0.2 * gains * random_filters(NEURONS), nonlinearity=torch.tanh)
    return RetinaModel(module, input_shape=INPUT_SHAPE)


def assert_as_alone(result: PopulationResult, model, seeds=(0,), atol=1e-5, **settings) -> None:
    """What each neuron and seed alone gives, iteration by iteration."""
    for neuron, together in result:
        assert together.seeds == tuple(seeds)
        assert together.neurons == ((neuron,),) * len(seeds)
        for row, seed in enumerate(seeds):
            alone = optimize_neurons(model, neuron, seed=seed, **settings)
            assert together.stop_reasons[row] == alone.stop_reasons[0]
            assert together.iterations[row] == alone.iterations[0]
            one = together.take([row])
            for name in ("score", "stimulus", "score_trace", "response", "norm"):
                torch.testing.assert_close(
                    getattr(one, name), getattr(alone, name), atol=atol, rtol=1e-5, equal_nan=True
                )


# The pool ----------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_each_comes_out_as_it_would_alone(model, name, every, monkeypatch):
    """Also where the optimizer counts its steps, and where a GPU asks now and then who ended."""
    monkeypatch.setitem(_CHECK_EVERY, "cpu", every)
    settings = SETTINGS | {"optimizer_init_fn": OPTIMIZERS[name]}
    result = optimize_population(model, seed=[0, 3], chunk=3, **settings)
    assert result.neurons == tuple(range(NEURONS))
    assert len(set(result.summary["iterations"])) > 1, "they are to end at different times"
    assert_as_alone(result, model, (0, 3), **settings)


@pytest.mark.parametrize("chunk", [1, 2, 100, None])
def test_the_chunk_changes_nothing(model, chunk):
    result = optimize_population(model, chunk=chunk, **SETTINGS)
    assert_as_alone(result, model, **SETTINGS)


def test_the_pool_stays_full_while_anybody_waits(model):
    sizes, ages, finished = [], [], []
    steps = population_steps(model, chunk=3, **SETTINGS)
    for step in steps:
        sizes.append(len(step.pairs))
        ages.append(step.step.iterations)
        finished += step.finished
        assert len(step.step.stimulus) == len(step.step.score) == len(step.pairs)
        assert step.done == len(finished)
        for row, (neuron, _) in enumerate(step.pairs):
            response = model(step.step.stimulus[row, None])[0, :, neuron].detach()
            torch.testing.assert_close(step.step.response[row], response, atol=1e-6, rtol=1e-5)
    first_short = next(i for i, size in enumerate(sizes) if size < 3)
    assert first_short > 0
    assert max(sizes) == 3
    assert all(size == 3 for size in sizes[:first_short])
    assert sizes[first_short:] == sorted(sizes[first_short:], reverse=True)
    assert any(min(age) == 0 < max(age) for age in ages), "rows enter beside older ones"
    assert len(finished) == len(set(finished)) >= NEURONS - 3


def test_rows_at_the_same_count_share_an_optimizer():
    adam, plain = (
        Rows(make, noise(2))
        for make in (OPTIMIZERS["Adam"], lambda params: torch.optim.SGD(params, lr=0.1))
    )
    for rows in (adam, plain):
        for _ in range(4):
            rows.move(torch.ones_like(rows.x), lambda x: x)
            rows.enter(noise(1))
    assert len(adam) == len(plain) == 6
    assert adam.optimizers == 5, "Adam's steps are counted for all of its rows"
    assert plain.optimizers == 2, "only who has just entered is apart"


@pytest.mark.parametrize("name", ["synthetic", "hoefling_2024_low_res.ckpt"])
def test_real_models_give_the_same_scores_as_one_at_a_time(name):
    model = load_model(
        name if name == "synthetic" else shared_data("openretina_checkpoints") / name
    )
    neurons = [5, 40, 61, 80] if name == "synthetic" else [0, 2, 3, 6]
    settings = {"max_iterations": 12, "patience": 2, "min_delta": 0.2}
    result = optimize_population(model, neurons, seed=[0, 1], chunk=3, **settings)
    for neuron in neurons:
        for row, seed in enumerate((0, 1)):
            alone = optimize_neurons(model, neuron, seed=seed, **settings)
            assert float(result.of(neuron).score[row]) == pytest.approx(
                float(alone.score[0]), abs=1e-4
            )


# Jitter and forms ---------------------------------------------------------------------------

OF_FORMS = {
    "jitter": {"jitter": Jitter(1, 1, seed=2)},
    "separable": {"parametrization": Separable()},
    "low frequencies": {"parametrization": LowFrequencies(0.2, 5.0)},
    "a jittered form": {"parametrization": Separable(), "jitter": Jitter(2)},
    "a jittered form with a penalty and momentum": {
        "parametrization": GaborSinusoid(),
        "jitter": Jitter(1),
        "regularizer": L2Regularizer(0.1),
        "optimizer_init_fn": OPTIMIZERS["SGD with momentum"],
    },
}


@pytest.mark.parametrize("name", OF_FORMS)
def test_rows_at_different_iterations_have_their_own_shifts_and_variables(model, name):
    settings = SETTINGS | OF_FORMS[name]
    ages = []
    for step in population_steps(model, seed=[0, 3], chunk=3, **settings):
        ages.append(step.step.iterations)
        assert step.step.stimulus.shape[1:] == model.stimulus_shape(LAG + 2)[1:]
    assert any(min(age) > 0 and len(set(age)) > 1 for age in ages)
    result = optimize_population(model, seed=[0, 3], chunk=3, **settings)
    assert_as_alone(result, model, (0, 3), **settings)
    for neuron, together in result:
        alone = optimize_neurons(model, neuron, seed=[0, 3], **settings)
        assert together.parameters.keys() == alone.parameters.keys()
        assert together.parameter_units == alone.parameter_units
        for key, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[key], value, atol=1e-4, rtol=1e-4)
        assert together.window == alone.window == (0, 2)
        for part in ("objective", "postprocessors", "regularizers", "parametrization"):
            assert together.settings.get(part) == alone.settings.get(part)


def test_jittered_rows_are_halved_with_their_iterations():
    filters = 0.1 * random_filters(NEURONS)
    little = RetinaModel(LittleMemory(filters, fits=2), input_shape=INPUT_SHAPE)
    settings = SETTINGS | OF_FORMS["a jittered form"]
    result = optimize_population(little, chunk=6, **settings)
    enough = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE)
    assert_as_alone(result, enough, **settings)


def test_forms_go_on_in_a_folder_and_others_are_refused(model, tmp_path):
    settings = SETTINGS | {"parametrization": Separable()}
    optimize_population(model, [0, 1], folder=tmp_path, **settings)
    result = optimize_population(model, [0, 1, 2], folder=tmp_path, **settings)
    assert result.of(1).parameters["time"].shape == (1, 2, LAG + 2)
    assert result.together().parameters["space"].shape == (3, 2, *INPUT_SHAPE[1:])
    assert_as_alone(result, model, **settings)
    for other, words in (
        ({"parametrization": GaborSinusoid()}, r"settings\.parametrization\.type 'Separable'"),
        ({"norm": 5.0}, r"settings\.postprocessors\[0\]\.norm 6\.0, not 5\.0"),
        ({"jitter": Jitter(1)}, r"settings\.objective\.jitter None"),
    ):
        with pytest.raises(ValueError, match=words):
            optimize_population(model, [3], folder=tmp_path, **(settings | other))


def test_a_form_is_computed_as_fast_as_pixels_are():
    model = load_model("trained")
    settings = {"max_iterations": 2, "time_steps": 40}
    pixels = optimize_neurons(model, 0, **settings)
    form = optimize_neurons(model, 0, parametrization=Separable(), **settings)
    assert form.settings["computed"] == pixels.settings["computed"]
    assert form.settings["computed"] != AS_IT_IS


@pytest.mark.parametrize("settings", [{"parametrization": Separable()}, {"jitter": Jitter(1, 2)}])
def test_a_prepared_model_gives_forms_and_jitter_as_one_at_a_time(settings):
    model = load_model("trained")
    settings = {"max_iterations": 20, "patience": 2, "min_delta": 5e-3} | settings
    result = optimize_population(model, [0, 33, 61, 70], seed=[0, 1], chunk=3, **settings)
    assert len(set(result.together().iterations.tolist())) > 1, "they end at different times"
    for neuron in (0, 33, 61, 70):
        alone = optimize_neurons(model, neuron, seed=[0, 1], **settings)
        torch.testing.assert_close(result.of(neuron).score, alone.score, atol=1e-4, rtol=1e-4)


# Memory ------------------------------------------------------------------------------------


def test_out_of_memory_halves_the_rows_and_loses_nothing():
    filters = 0.1 * random_filters(NEURONS)
    little = RetinaModel(LittleMemory(filters, fits=2), input_shape=INPUT_SHAPE)
    chunks = [step.chunk for step in population_steps(little, chunk=6, **SETTINGS)]
    assert chunks[0] == 1, "6, then 3, then 1"
    result = optimize_population(little, chunk=6, **SETTINGS)
    enough = RetinaModel(LinearNeurons(filters), input_shape=INPUT_SHAPE)
    assert_as_alone(result, enough, **SETTINGS)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["cuda", "cpu"],
)
def test_memory_that_gets_short_in_the_middle(model, error):
    """In the backward pass of the fifth iteration, as when another process takes its share."""
    passes = []

    def take_memory(gradient):
        passes.append(len(gradient))
        if len(passes) >= 5 and len(gradient) > 2:
            raise error
        return gradient

    class Short(torch.nn.Module):
        def forward(self, stimulus):
            if stimulus.requires_grad:
                stimulus = stimulus * 1.0
                stimulus.register_hook(take_memory)
            return model.module(stimulus)

    short = RetinaModel(Short(), input_shape=INPUT_SHAPE)
    result = optimize_population(short, chunk=5, **SETTINGS)
    assert max(passes[:5]) == 5
    assert max(passes[6:]) <= 2
    assert_as_alone(result, model, **SETTINGS)


def test_not_even_one_row_fits():
    little = RetinaModel(LittleMemory(random_filters(2), fits=9), input_shape=INPUT_SHAPE)
    little.module.fits = 0
    with pytest.raises(OutOfMemory, match="batch of 1"):
        optimize_population(little, chunk=2, **SETTINGS)


def test_a_budget_bounds_the_pool():
    model = load_model("synthetic")
    sizes = {
        budget: next(population_steps(model, memory_mb=budget, max_iterations=1)).chunk
        for budget in (5, 20, 4000)
    }
    assert 1 <= sizes[5] < sizes[20] < sizes[4000] == 64


def test_results_that_the_memory_cannot_hold_want_a_folder(model, monkeypatch):
    monkeypatch.setattr(
        "openretina_widgets.insilico.stimulus_optimization.population.free_memory", lambda: 5000.0
    )
    with pytest.raises(OutOfMemory, match="folder: the results take"):
        population_steps(model, **SETTINGS)


# Folders -----------------------------------------------------------------------------------


def test_results_in_a_folder_are_those_in_memory(model, tmp_path):
    folder = tmp_path / "new" / "results"
    written = optimize_population(model, seed=[0, 1], folder=folder, chunk=3, **SETTINGS)
    held = optimize_population(model, seed=[0, 1], chunk=3, **SETTINGS)
    loaded = PopulationResult.load(folder)
    for result in (written, loaded):
        assert len(result) == len(held) == 2 * NEURONS
        assert torch.equal(result.together().stimulus, held.together().stimulus)
        assert result.summary.rows() == held.summary.rows()
    card = json.loads((folder / "population.json").read_text())
    assert card["model"]["weight_hash"] == model.identity.weight_hash
    assert card["settings"]["stopper"]["max_iterations"] == 30
    block = OptimizationResult.load(next(folder.glob("block-*.npz")))
    assert block.stimulus.dtype == torch.float32


def test_the_summary_takes_the_best_seed(model):
    result = optimize_population(model, [2, 4], seed=[0, 1, 2], **SETTINGS)
    assert result.summary.model == model.identity
    for row in result.summary.rows():
        scores = result.of(row["neuron"]).score
        assert row["score"] == pytest.approx(float(scores.max()))
        assert row["seed"] == int(scores.argmax())
        assert row["spread"] == pytest.approx(float(scores.std(correction=0)), abs=1e-6)


def test_the_summary_is_shown_whole(model):
    result = optimize_population(model, [2, 4], seed=[0, 1], **SETTINGS)
    page = result.summary._repr_html_()
    for label in ("neuron", "score", "spread", "seed", "iterations", "best iteration", "ended"):
        assert f">{label}</th>" in page
    for row in result.summary.rows():
        assert f">{row['iterations']:.0f}</td>" in page
        assert f">{row['stop_reason']}</td>" in page
        assert f">{as_text(row['score'])}</td>" in page


def test_a_result_shows_its_neurons_in_a_notebook(model, tmp_path):
    folder = tmp_path / "<b>"
    result = optimize_population(model, seed=[0, 1], folder=folder, **SETTINGS)
    page = result._repr_html_()
    assert f"{2 * NEURONS} results of {NEURONS} neurons of LinearNeurons" in page
    assert "&lt;b&gt;" in page
    assert f"in {folder}" not in page
    best = result.summary.sort("score", descending=True).rows()
    places = [page.index(f'<tr><td style="text-align:right">{row["neuron"]}</td>') for row in best]
    assert places == sorted(places)
    assert best[0]["stop_reason"] in page


def test_what_is_stopped_goes_on(model, tmp_path):
    steps = population_steps(model, chunk=2, folder=tmp_path, **SETTINGS)
    while next(steps).done < 3:
        pass
    with pytest.raises(StopIteration) as end:
        steps.send("stopped by the user")
    stopped = end.value.value
    assert 3 <= len(stopped) < NEURONS
    assert len(PopulationResult.load(tmp_path)) == len(stopped)
    again = population_steps(model, chunk=2, folder=tmp_path, **SETTINGS)
    first = next(again)
    assert first.done == len(stopped)
    assert not {neuron for neuron, _ in first.pairs} & set(stopped.neurons)
    again.close()
    result = optimize_population(model, folder=tmp_path, **SETTINGS)
    assert_as_alone(result, model, **SETTINGS)
    assert optimize_population(model, folder=tmp_path, **SETTINGS).neurons == result.neurons


KILLED = """
import sys, time
from tests.insilico.test_population import SETTINGS, saturating
from openretina_widgets.insilico.stimulus_optimization import population, population_steps

population._WRITE_EVERY_S = 0.0
for step in population_steps(saturating(), chunk=2, folder=sys.argv[1], **SETTINGS):
    print(step.done, flush=True)
    time.sleep(0.05)
"""


def test_a_killed_run_goes_on_where_it_stopped(model, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 2:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.stdout.close()
    there = PopulationResult.load(tmp_path / "run")
    assert 2 <= len(there) < NEURONS
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("block-*")}
    result = optimize_population(model, folder=tmp_path / "run", **SETTINGS)
    assert files == {path: path.stat().st_mtime_ns for path in files}, "none is written again"
    blocks = [OptimizationResult.load(p) for p in (tmp_path / "run").glob("block-*.npz")]
    each = [neurons for block in blocks for neurons in block.neurons]
    assert sorted(each) == [(neuron,) for neuron in range(NEURONS)], "all, and none twice"
    in_one_go = optimize_population(model, **SETTINGS)
    torch.testing.assert_close(result.together().score, in_one_go.together().score)
    assert_as_alone(result, model, **SETTINGS)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_iterations": 31}, r"settings\.stopper\.max_iterations 30, not 31"),
        ({"norm": 5.0}, r"settings\.postprocessors\[0\]\.norm 6\.0, not 5\.0"),
        ({"window": (0, 1)}, r"settings\.objective\.frames"),
        ({"direction": "decrease"}, r"settings\.objective\.sign 1\.0, not -1\.0"),
        ({"optimizer_init_fn": OPTIMIZERS["Adam"]}, r"settings\.optimizer\.type"),
    ],
)
def test_a_folder_of_other_settings_is_refused(model, tmp_path, changed, words):
    optimize_population(model, [0], folder=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match=words):
        optimize_population(model, [1], folder=tmp_path, **(SETTINGS | changed))


def test_a_folder_of_another_model_is_refused(model, tmp_path):
    optimize_population(model, [0], folder=tmp_path, **SETTINGS)
    module = LinearNeurons(random_filters(NEURONS, seed=1))
    other = RetinaModel(module, input_shape=INPUT_SHAPE, name="trained")
    with pytest.raises(OtherResults, match=r"of the model 'LinearNeurons', not 'trained'; give"):
        optimize_population(other, [1], folder=tmp_path, **SETTINGS)
    settings = SETTINGS | {"norm": 5.0}
    with pytest.raises(OtherResults, match=r"not 'trained', and with settings\.optimizer"):
        optimize_population(other, [1], folder=tmp_path, **settings)
    same_name = RetinaModel(module, input_shape=INPUT_SHAPE)
    hashes = model.identity.weight_hash, same_name.identity.weight_hash
    words = r"'LinearNeurons' with other weights \({}, not {}\)".format(*hashes)
    with pytest.raises(OtherResults, match=words):
        optimize_population(same_name, [1], folder=tmp_path, **SETTINGS)


def test_further_neurons_and_seeds_come_into_the_same_folder(model, tmp_path):
    optimize_population(model, [0, 1], folder=tmp_path, **SETTINGS)
    result = optimize_population(model, [1, 2], seed=[0, 5], folder=tmp_path, **SETTINGS)
    assert len(result) == 5
    assert result.of(1).seeds == (0, 5)
    assert result.of(0).seeds == (0,)


def test_one_run_at_a_time_writes_to_a_folder(model, tmp_path):
    first = population_steps(model, chunk=1, folder=tmp_path, **SETTINGS)
    next(first)
    second = population_steps(model, chunk=1, folder=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match="another run is writing"):
        next(second)
    first.close()
    next(population_steps(model, chunk=1, folder=tmp_path, **SETTINGS))


def test_a_run_that_was_killed_at_once_is_no_hindrance(model, tmp_path):
    """It has left its lock, and half of a card."""
    (tmp_path / "in_use").touch()
    (tmp_path / "population.json.0123.part").write_text('{"kind')
    result = optimize_population(model, [0], folder=tmp_path, **SETTINGS)
    assert result.neurons == (0,)
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_with_other_files_is_refused(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        optimize_population(model, folder=tmp_path, **SETTINGS)
    with pytest.raises(ValueError, match="no results of a population"):
        PopulationResult.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        PopulationResult.load(tmp_path / "nowhere")


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_leaves_what_was_written(small_disk, monkeypatch):
    monkeypatch.setattr(
        "openretina_widgets.insilico.stimulus_optimization.population._WRITE_EVERY_S", 0.0
    )
    module = LinearNeurons(random_filters(60))
    model = RetinaModel(module, input_shape=INPUT_SHAPE)
    folder = small_disk / "results"
    settings = SETTINGS | {"max_iterations": 2, "time_steps": 30}
    with pytest.raises(OSError, match=r"No space left.* results are written and whole") as caught:
        optimize_population(model, chunk=2, folder=folder, **settings)
    there = PopulationResult.load(folder)
    assert 0 < len(there) < 60
    assert f"{len(there)} results" in str(caught.value)
    for neuron, one in there:
        alone = optimize_neurons(model, neuron, **settings)
        torch.testing.assert_close(one.score, alone.score)
    assert not list(folder.glob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert len(optimize_population(model, folder=folder, **settings)) == 60


# Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"chunk": 0}, ValueError, "chunk: expected a whole number >= 1"),
        ({"chunk": 2.5}, ValueError, "chunk"),
        ({"memory_mb": -1}, ValueError, "memory_mb"),
        ({"neurons": [1, 1]}, ValueError, "neurons: expected each one once"),
        ({"seed": [3, 3]}, ValueError, "seed: expected each one once"),
        ({"neurons": [99]}, ValueError, "has no neuron 99"),
        ({"iterations": 3}, TypeError, "max_iterations"),
    ],
)
def test_bad_input_is_told(model, given, error, words):
    with pytest.raises(error, match=words):
        optimize_population(model, **({**SETTINGS, **given}))
