"""Real Dask clusters of processes on this machine, for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster


@contextlib.contextmanager
def local_cluster(n_workers: int, **settings: Any) -> Iterator[LocalCluster]:
    """Processes with one thread each, gone at the end."""
    with LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # whichever port is free: other clusters may be running
        **settings,
    ) as cluster:
        yield cluster


@contextlib.contextmanager
def another_worker(address: str, preload: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that comes by itself, as one of a queue does; `preload` is run in it first."""
    command = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1"]
    command += ["--no-nanny", "--no-dashboard"]
    command += [] if preload is None else ["--preload", str(preload)]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(20)


def busy(client: Client) -> dict[str, int]:
    """Return how many tasks each worker computes at this moment."""
    return client.run(_computing)


def _computing(dask_worker: Any) -> int:
    return len(dask_worker.active_threads)


def kill_a_busy_worker(client: Client) -> list[str]:
    """Kill the process of a worker that computes; return what it had been given, [] for none."""
    for worker, (process, computing) in client.run(_process).items():
        given = list(client.processing()[worker])
        if computing and given:
            os.kill(process, signal.SIGKILL)
            return given
    return []


def _process(dask_worker: Any) -> tuple[int, int]:
    return os.getpid(), _computing(dask_worker)


def wait_until(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
