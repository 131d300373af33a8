"""The widgets that take a client, on a real cluster, with an event loop that goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from distributed import Client

from openretina_widgets import (
    ReceptiveFieldViewer,
    StimulusWall,
    TuningExplorer,
    experiments,
    optimize_population,
    receptive_fields,
    sweep,
)
from tests.clusters import busy, local_cluster, wait_until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with local_cluster(2) as cluster, Client(cluster) as client:
        yield client


class Ticks:
    """Counts how often the event loop comes round, and how long it has stood still at most."""

    async def __aenter__(self) -> Ticks:
        self.longest, self._task = 0.0, asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, loop.time() - since)


async def test_the_wall_shows_what_the_workers_compute(client, synthetic):
    settings = {"time_steps": 40, "max_iterations": 60, "patience": None}
    wall = StimulusWall(synthetic, neurons=range(4), client=client, **settings)
    wall.wall._window.hear({"event": "open", "view": "a", "version": 0})
    shown = []
    async with Ticks() as ticks:
        job = wall.start()
        async for live in job:
            if np.isfinite(live.scores).sum() > live.done:
                shown.append(live)
        result = await job
    assert shown, "stimuli are seen while they are computed"
    seen = np.isfinite(shown[-1].images).all(axis=(1, 2, 3))
    assert seen.tolist() == np.isfinite(shown[-1].scores).tolist()
    assert 0 < shown[-1].progress < 1
    assert shown[-1].updates > 0
    assert ticks.longest < 2.0, "the loop goes on while the run waits for the workers"
    expected = optimize_population(synthetic, range(4), **settings).together()
    np.testing.assert_allclose(result.together().score, expected.score, atol=1e-5)
    assert wall._status.kind == "finished"
    assert "4 of 4 neurons" in wall._status.message
    wall.close()


async def test_stop_on_the_wall_reaches_the_workers(client, synthetic):
    endless = {"max_iterations": 10_000_000, "patience": None}
    wall = StimulusWall(synthetic, neurons=range(4), client=client, **endless)
    wall.wall._window.hear({"event": "open", "view": "a", "version": 0})
    job = wall.start()
    async for live in job:
        if np.isfinite(live.scores).any():
            break
    assert any(busy(client).values())
    wall.stop()
    assert len(await job) == 0
    wait_until(lambda: not any(busy(client).values()))
    assert "0 of 4 neurons" in wall._status.message
    job = wall.start()
    async for live in job:
        if np.isfinite(live.scores).any():
            break
    wall.close()
    wait_until(lambda: not any(busy(client).values()))


async def test_the_explorer(client, synthetic):
    explorer = TuningExplorer(synthetic, experiment="direction", client=client)
    curves = await explorer.start()
    expected = sweep(synthetic, experiments.standard("direction", synthetic))
    np.testing.assert_allclose(curves.responses, expected.responses, atol=1e-5)
    assert explorer.result is curves
    explorer.close()


@pytest.mark.parametrize("method", ["gradient", "sta"])
async def test_the_viewer(client, synthetic, method):
    viewer = ReceptiveFieldViewer(synthetic, method=method, frames=1500, client=client)
    fields = await viewer.start()
    expected = receptive_fields(
        synthetic, method=method, **({"frames": 1500} if method == "sta" else {})
    )
    np.testing.assert_allclose(fields.fields, expected.fields, atol=1e-5)
    assert viewer.result is fields
    viewer.close()


async def test_a_client_that_is_closed_meanwhile_is_told_in_the_widget(synthetic):
    with local_cluster(0) as cluster:
        client = Client(cluster)
        wall = StimulusWall(synthetic, neurons=range(2), client=client, max_iterations=5)
        job = wall.start()
        await asyncio.to_thread(wait_until, lambda: job.iteration > 2)
        await asyncio.to_thread(client.close)
        with pytest.raises(RuntimeError, match="closed while the run"):
            await job
        assert wall._status.kind == "failed"
        assert "client: it was closed" in wall._status.message
        wall.close()
