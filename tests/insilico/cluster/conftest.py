from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster

from tests.clusters import local_cluster


@pytest.fixture(scope="module")
def four() -> Iterator[LocalCluster]:
    """Four worker processes, for the tests of a module; one that is killed is started again."""
    with local_cluster(4) as cluster:
        yield cluster


@pytest.fixture
def client(four) -> Iterator[Client]:
    with Client(four) as client:
        client.wait_for_workers(4, timeout=60)
        yield client
