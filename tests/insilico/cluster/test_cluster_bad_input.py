"""What is no client, workers that cannot compute, and what cannot be sent."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from distributed import Client, LocalCluster

from openretina_widgets import (
    ReceptiveFieldViewer,
    RetinaModel,
    StimulusWall,
    TuningExplorer,
    experiments,
    optimize_population,
    receptive_fields,
    sweep,
)
from openretina_widgets.insilico.cluster import check_workers
from openretina_widgets.insilico.cluster.client import device_of_worker
from openretina_widgets.insilico.stimulus_optimization import population_steps
from tests.clusters import another_worker, kill_a_busy_worker, local_cluster, wait_until
from tests.insilico.modules import INPUT_SHAPE, LAG, LinearNeurons, linear_model, random_filters

pytestmark = pytest.mark.timeout(240)

SETTINGS = {"time_steps": LAG + 2, "max_iterations": 10, "norm": 6.0}
ENDLESS = {"time_steps": LAG + 2, "max_iterations": 10_000_000, "patience": None, "norm": 6.0}


@pytest.fixture(scope="module")
def one():
    with local_cluster(1) as cluster:
        yield cluster


@pytest.fixture
def client(one):
    with Client(one) as client:
        client.wait_for_workers(1, timeout=60)
        yield client


CALLS = {
    "optimize_population": lambda model, client: optimize_population(
        model, client=client, **SETTINGS
    ),
    "sweep": lambda model, client: sweep(
        model, experiments.drifting_gratings(directions=2), client=client
    ),
    "receptive_fields": lambda model, client: receptive_fields(model, client=client),
    "StimulusWall": lambda model, client: StimulusWall(model, client=client, **SETTINGS),
    "TuningExplorer": lambda model, client: TuningExplorer(model, client=client),
    "ReceptiveFieldViewer": lambda model, client: ReceptiveFieldViewer(model, client=client),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", [3, "tcp://127.0.0.1:8786", True])
def test_what_is_no_client(call, wrong):
    with pytest.raises(TypeError, match=f"client: expected a Client.* got {type(wrong).__name__}"):
        CALLS[call](linear_model(), wrong)


def test_an_address_or_a_cluster_is_answered_with_what_to_do(one):
    with pytest.raises(TypeError, match=r"Client\('tcp://there:8786'\) connects"):
        CALLS["sweep"](linear_model(), "tcp://there:8786")
    with pytest.raises(TypeError, match=r"got LocalCluster; Client\(cluster\) makes one"):
        CALLS["sweep"](linear_model(), one)


@pytest.mark.parametrize("call", CALLS)
def test_a_client_that_is_closed(one, call):
    client = Client(one)
    client.close()
    with pytest.raises(ValueError, match=r"client: expected one that is connected, got .* closed"):
        CALLS[call](linear_model(), client)


def test_a_client_that_is_closed_during_the_run(one):
    client = Client(one)
    steps = population_steps(linear_model(), client=client, **ENDLESS)
    next(step for step in steps if step.pairs)
    client.close()
    with pytest.raises(RuntimeError, match="client: it was closed while the run"):
        for _ in steps:
            pass


class Locked(LinearNeurons):
    def __init__(self) -> None:
        super().__init__(random_filters(2))
        self.lock = threading.Lock()


@pytest.mark.parametrize("call", ["optimize_population", "sweep", "receptive_fields"])
def test_a_model_that_cannot_be_pickled(client, call):
    model = RetinaModel(Locked(), input_shape=INPUT_SHAPE)
    with pytest.raises(TypeError, match=r"^model: it cannot be sent to the workers .*lock"):
        CALLS[call](model, client)


def test_a_setting_that_cannot_be_pickled_is_named(client):
    lock = threading.Lock()

    def penalty(stimulus):
        with lock:
            return stimulus.square().mean(dim=(1, 2, 3, 4))

    with pytest.raises(TypeError, match=r"^regularizer: it cannot be sent to the workers"):
        optimize_population(linear_model(), client=client, regularizer=penalty, **SETTINGS)


def test_functions_of_a_notebook_can_be_sent(client):
    settings = SETTINGS | {"optimizer_init_fn": lambda params: torch.optim.Adam(params, lr=0.1)}
    ours = optimize_population(linear_model(), client=client, **settings).together()
    theirs = optimize_population(linear_model(), **settings).together()
    torch.testing.assert_close(ours.score, theirs.score, atol=1e-5, rtol=1e-5)


class Failing(LinearNeurons):
    """Fails in any process but the one in which it was made."""

    def __init__(self, deadly: bool) -> None:
        super().__init__(random_filters(2))
        self.home, self.deadly = os.getpid(), deadly

    def forward(self, stimulus):
        if os.getpid() != self.home:
            if self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("this neuron has died")
        return super().forward(stimulus)


def test_an_error_on_a_worker_is_raised_as_it_is(client):
    model = RetinaModel(Failing(deadly=False), input_shape=INPUT_SHAPE)
    with pytest.raises(ArithmeticError, match="this neuron has died"):
        optimize_population(model, client=client, **SETTINGS)


def test_a_part_that_kills_its_workers_is_told_in_words(client, one, monkeypatch):
    monkeypatch.setattr(one.scheduler, "allowed_failures", 0)  # else it would take four workers
    model = RetinaModel(Failing(deadly=True), input_shape=INPUT_SHAPE)
    with pytest.raises(RuntimeError, match="workers died one after the other"):
        optimize_population(model, client=client, **SETTINGS)


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_the_model_is_sent_again_where_all_who_had_it_are_gone(client, how):
    settings = SETTINGS | {"max_iterations": 300, "patience": None}
    expected = optimize_population(linear_model(), **settings).together()
    steps = population_steps(linear_model(), client=client, chunk=1, **settings)
    finished = list(next(step.finished for step in steps if step.finished))
    if how == "killed":
        wait_until(lambda: bool(kill_a_busy_worker(client)))
    else:
        client.restart()
    while True:
        try:
            finished += next(steps).finished
        except StopIteration as end:
            result = end.value.together()
            break
    assert sorted(finished) == [(neuron, 0) for neuron in range(3)]
    torch.testing.assert_close(result.score, expected.score, atol=1e-5, rtol=1e-5)


def test_workers_without_the_package_and_workers_that_come_later(tmp_path):
    """They lack it as one does whose environment has it not: it cannot be imported."""
    without = tmp_path / "without.py"
    without.write_text("import sys\nsys.modules['openretina_widgets'] = None\n")
    with local_cluster(0) as cluster, Client(cluster) as client:
        steps = population_steps(linear_model(), client=client, **ENDLESS)
        for _ in range(3):  # there is nobody yet, and the run can still be ended
            assert next(steps).pairs == ()
        with another_worker(cluster.scheduler_address):
            next(step for step in steps if step.pairs)
            words = r"client: 1 of \d workers lack .* cannot import openretina_widgets.* install"
            with another_worker(cluster.scheduler_address, without):
                with pytest.raises(ValueError, match=words):
                    for _ in steps:
                        pass
                wait_until(lambda: len(client.nthreads()) == 2)
                for call in ("optimize_population", "sweep", "receptive_fields"):
                    with pytest.raises(ValueError, match=words):
                        CALLS[call](linear_model(), client)


def test_workers_with_another_version(client, monkeypatch):
    monkeypatch.setattr("openretina_widgets.__version__", "99.0")
    with pytest.raises(ValueError, match=r"has version [\d.]+, not 99\.0; install .* 99\.0"):
        check_workers(client)


def test_a_client_of_ones_own_event_loop(one: LocalCluster):
    async def ask() -> None:
        async with Client(one.scheduler_address, asynchronous=True) as client:
            with pytest.raises(TypeError, match="asynchronous=True"):
                CALLS["sweep"](linear_model(), client)

    import asyncio

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("told", "on_cuda", "there", "device"),
    [
        (None, False, True, "cpu"),  # several workers would share the one device
        (None, True, True, "cuda"),
        (None, True, False, "cpu"),
        ("2,0", False, True, "cuda"),  # as dask-cuda writes it
        ("1", False, True, "cuda"),  # as SLURM does
        ("1", True, False, "cpu"),
        ("", True, True, "cpu"),
        ("-1", True, True, "cpu"),
    ],
)
def test_where_a_worker_computes(monkeypatch, told, on_cuda, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if told is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
    assert device_of_worker(on_cuda).type == device
