"""Runs on a cluster of real processes, one of which is killed in the midst."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import Client

from openretina_widgets import (
    RetinaModel,
    experiments,
    load_model,
    optimize_population,
    receptive_fields,
    sweep,
)
from openretina_widgets.insilico.cluster import on_worker
from openretina_widgets.insilico.cluster.optimising import shares_of
from openretina_widgets.insilico.receptive_fields import receptive_field_steps
from openretina_widgets.insilico.stimulus_optimization import PopulationResult, population_steps
from openretina_widgets.insilico.tuning_analyses import sweep_steps
from tests.clusters import busy, kill_a_busy_worker, wait_until
from tests.insilico.modules import INPUT_SHAPE, LAG, LinearNeurons, random_filters

pytestmark = pytest.mark.timeout(240)

NEURONS = range(24)
SETTINGS = {"time_steps": 40, "max_iterations": 12, "patience": None}
SMALL = {"time_steps": LAG + 2, "max_iterations": 10, "norm": 6.0}
ENDLESS = {"max_iterations": 10_000_000, "patience": None}


@pytest.fixture(scope="module")
def model() -> RetinaModel:
    return load_model("synthetic")


def small_model(seed: int = 0, neurons: int = 7) -> RetinaModel:
    module = LinearNeurons(0.2 * random_filters(neurons, seed=seed), nonlinearity=torch.tanh)
    return RetinaModel(module, input_shape=INPUT_SHAPE)


def assert_same(found: PopulationResult, expected: PopulationResult) -> None:
    assert len(found) == len(expected)
    ours, theirs = found.together(), expected.together()
    assert ours.neurons == theirs.neurons
    assert ours.seeds == theirs.seeds
    assert ours.stop_reasons == theirs.stop_reasons
    for name in ("score", "iterations", "best_iteration", "stimulus", "score_trace", "response"):
        torch.testing.assert_close(
            getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-5, equal_nan=True
        )
    assert ours.model == theirs.model
    assert ours.settings == theirs.settings


# A worker that is killed -------------------------------------------------------------------


def test_a_killed_workers_neurons_are_optimised_again_and_none_twice(client, model):
    expected = optimize_population(model, NEURONS, **SETTINGS)
    steps = population_steps(model, NEURONS, client=client, **SETTINGS)
    finished, lost, live = [], [], set()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result = end.value
            break
        finished += step.finished
        assert step.done == len(finished)
        assert [n for one in step.ended for (n,) in one.neurons] == [n for n, _ in step.finished]
        live |= set(step.pairs)
        rows = len(step.pairs)
        assert step.step.stimulus.shape == (rows, *step.step.stimulus.shape[1:])
        assert step.step.score.shape == (rows,)
        if finished and not lost:
            lost = kill_a_busy_worker(client)
    assert lost, "a worker was killed while it had something to do"
    assert sorted(finished) == [(neuron, 0) for neuron in NEURONS], "each once"
    assert_same(result, expected)


def test_a_killed_workers_conditions_are_shown_again(client, model):
    experiment = experiments.drifting_gratings(directions=8)
    settings = {"neurons": range(6), "controls": ("scrambled", "blank"), "repeats": 3}
    settings |= {"noise": "poisson"}
    expected = sweep(model, experiment, **settings)
    steps = sweep_steps(model, experiment, client=client, batch=1, **settings)
    conditions, lost = [], []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            curves = end.value
            break
        conditions += step.conditions
        if not lost:
            lost = kill_a_busy_worker(client)
    assert lost
    assert sorted(conditions) == [(index,) for index in range(8)]
    for name in ("responses", "traces", "baseline", "f1", "repeats"):
        ours, theirs = getattr(curves, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for name, control in expected.controls.items():
        np.testing.assert_allclose(curves.controls[name], control, atol=1e-5)
    assert curves.settings == expected.settings
    assert curves.notes == expected.notes


@pytest.mark.parametrize("method", ["gradient", "sta"])
def test_a_killed_workers_fields_are_computed_again(client, model, method):
    settings = {"neurons": range(32), "method": method}
    settings |= {"frames": 4000, "chunk": 250} if method == "sta" else {}
    expected = receptive_fields(model, **settings)
    steps = receptive_field_steps(model, client=client, **settings)
    done, lost = [], []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            fields = end.value
            break
        done.append(step.done)
        if not lost:
            lost = kill_a_busy_worker(client)
    assert lost
    assert done == sorted(done)
    assert done[-1] == (4000 if method == "sta" else 32)
    np.testing.assert_allclose(fields.fields, expected.fields, atol=1e-5)
    np.testing.assert_allclose(fields.responses, expected.responses, rtol=1e-5)
    assert fields.reasons == expected.reasons


class Late(LinearNeurons):
    """Notes each of its answers; the first waits until it is told to go on."""

    folder: Path | None = None

    def forward(self, stimulus):
        if self.folder is not None:
            name = self.folder / uuid.uuid4().hex
            try:
                (self.folder / "first").touch(exist_ok=False)
            except FileExistsError:
                name.touch()
            else:
                wait_until((self.folder / "go on").exists, timeout=60)
        return super().forward(stimulus)


def test_workers_do_not_run_far_ahead_of_a_piece_that_is_late(client, tmp_path):
    module = Late(random_filters(3))
    model = RetinaModel(module, input_shape=INPUT_SHAPE)
    settings = {"method": "sta", "frames": 100 * 20, "chunk": 20}
    expected = receptive_fields(model, **settings)
    module.folder = tmp_path
    steps = receptive_field_steps(model, client=client, **settings)
    since, answered = time.monotonic(), []
    while time.monotonic() - since < 3:  # seconds without another answer
        step = next(steps)
        assert step.done < step.total
        if (now := sorted(tmp_path.iterdir())) != answered:
            since, answered = time.monotonic(), now
    assert 4 < len(answered) <= 2 * 2 * 4 + 4, "parts a thread, times apart, times threads"
    (tmp_path / "go on").touch()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            fields = end.value
            break
    np.testing.assert_allclose(fields.fields, expected.fields, atol=1e-5)


# Cancel ------------------------------------------------------------------------------------


def assert_idle(client: Client) -> None:
    wait_until(lambda: not any(busy(client).values()))
    before = client.run(time.process_time)
    time.sleep(1.0)
    after = client.run(time.process_time)
    assert all(after[worker] - before[worker] < 0.5 for worker in before)


@pytest.mark.parametrize("how", ["a text", "close"])
def test_cancel_reaches_the_workers(client, model, how):
    steps = population_steps(model, NEURONS, client=client, time_steps=40, **ENDLESS)
    next(step for step in steps if len(step.pairs) >= 4)
    assert sum(busy(client).values()) == 4
    if how == "close":
        steps.close()
    else:
        with pytest.raises(StopIteration) as end:
            steps.send("enough")
        assert len(end.value.value) == 0
    assert_idle(client)


def test_a_sweep_that_is_closed_ends_on_the_workers(client, model):
    experiment = experiments.drifting_gratings(directions=90)
    steps = sweep_steps(model, experiment, client=client)
    next(step for step in steps if any(busy(client).values()))
    steps.close()
    assert_idle(client)


OF_ANOTHER_PROCESS = """
import sys
from distributed import Client
from openretina_widgets import load_model
from openretina_widgets.insilico.stimulus_optimization import population_steps
with Client(sys.argv[1]) as client:
    steps = population_steps(
        load_model("synthetic"), range(8), client=client, max_iterations=10**7, patience=None
    )
    next(step for step in steps if step.pairs)
    print("computing", flush=True)
    for step in steps:
        pass
"""


def test_workers_end_when_the_kernel_that_asked_is_killed(client, four):
    command = [sys.executable, "-c", OF_ANOTHER_PROCESS, four.scheduler_address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as kernel:
        assert kernel.stdout.readline() == b"computing\n"
        assert any(busy(client).values())
        kernel.kill()
    assert_idle(client)


# What is sent, and when --------------------------------------------------------------------


def received(client: Client) -> list[int]:
    each = client.run(on_worker.received)
    return [sum(counts.values()) for counts in each.values()]


def test_a_model_is_sent_once_and_never_confused_with_another(client):
    model = small_model(seed=1)
    before = sum(received(client))
    first = optimize_population(model, client=client, chunk=1, **SMALL)
    again = optimize_population(model, client=client, chunk=1, seed=1, **SMALL)
    assert sum(received(client)) - before <= 4, "once for each worker, for both runs"
    assert_same(first, optimize_population(model, **SMALL))
    assert_same(again, optimize_population(model, seed=1, **SMALL))
    with torch.no_grad():
        model.module.filters.mul_(-0.5)
    changed = optimize_population(model, client=client, chunk=1, **SMALL)
    assert_same(changed, optimize_population(model, **SMALL))
    assert float((changed.together().stimulus - first.together().stimulus).abs().max()) > 1


def test_workers_compute_with_one_torch_thread_for_each_of_their_threads(client):
    counted = RetinaModel(Counted(random_filters(1)), input_shape=INPUT_SHAPE)
    result = optimize_population(counted, client=client, **SMALL | {"max_iterations": 1})
    assert float(result.together().score[0]) == 1.0


class Counted(LinearNeurons):
    """Answers with the number of torch threads."""

    def forward(self, stimulus):
        return 0 * super().forward(stimulus) + torch.get_num_threads()


def test_a_folder_goes_on_with_what_is_missing(client, tmp_path):
    model = small_model()
    optimize_population(model, [1, 3], seed=[0, 2], folder=tmp_path / "some", **SMALL)
    steps = population_steps(
        model, seed=[0, 1, 2], folder=tmp_path / "some", client=client, chunk=2, **SMALL
    )
    finished = [pair for step in steps for pair in step.finished]
    there = {(neuron, seed) for neuron in (1, 3) for seed in (0, 2)}
    everyone = {(neuron, seed) for neuron in range(7) for seed in (0, 1, 2)}
    assert len(finished) == len(set(finished))
    assert set(finished) == everyone - there
    loaded = PopulationResult.load(tmp_path / "some")
    assert_same(loaded, optimize_population(model, seed=[0, 1, 2], **SMALL))


@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_shares_hold_every_pair_once(most):
    missing = [(n, s) for n in range(6) for s in range(4) if (n, s) not in [(0, 1), (3, 3)]]
    shares = list(shares_of(missing, most))
    pairs = [(n, s) for neurons, seeds in shares for n in neurons for s in seeds]
    assert sorted(pairs) == missing
    assert all(len(neurons) * len(seeds) <= most for neurons, seeds in shares)
