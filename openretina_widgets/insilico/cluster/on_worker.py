"""What runs on a worker: the models that it holds, a part of a run, and what is seen of it."""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from openretina_widgets.insilico.cluster.client import device_of_worker
from openretina_widgets.insilico.compute import torch_threads
from openretina_widgets.models.retina_model import RetinaModel

_MODELS_KEPT, _RUNS_KEPT = 2, 8
_LOOKED_FOR = 2.0  # seconds without a look after which no more pictures are made
_PICTURE_EVERY = 0.25  # seconds

_lock = threading.Lock()
_cuda_lock = threading.Lock()  # parts do not share a device, whose memory each of them fills
_models: OrderedDict[str, RetinaModel | bytes] = OrderedDict()  # bytes until the first part
_runs: OrderedDict[str, RunOnWorker | bytes] = OrderedDict()
_received: dict[str, int] = {}


@dataclass(frozen=True)
class Lacking:
    """What a worker answers that has not been sent what it needs; its address."""

    worker: str


@dataclass
class RunOnWorker:
    """What the parts of a run on this worker have in common.

    Attributes
    ----------
    settings
        As they were sent.
    kept
        Whatever a part leaves for the next one.
    pictures
        The newest of each part that is being computed, by its number.
    """

    settings: dict[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)
    pictures: dict[int, Any] = field(default_factory=dict)
    looked_at: float = -1e9


@dataclass
class Part:
    """A part of a run while it is computed.

    Attributes
    ----------
    model
        On the device of the worker.
    share
        Which part it is: neurons, conditions or frames.
    """

    model: RetinaModel
    share: Any
    run: RunOnWorker
    _number: int
    _gone: Callable[[], bool]
    _pictured_at: float = -1e9

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the run."""
        return self.run.settings

    def go_on(self) -> None:
        """Raise `Gone` if nobody wants the result any more."""
        if self._gone():
            raise Gone

    def show(self, picture: Callable[[], Any]) -> None:
        """Make a picture where somebody looks, and the last one is old."""
        now = time.monotonic()
        if now - self._pictured_at < _PICTURE_EVERY or now - self.run.looked_at > _LOOKED_FOR:
            return
        self.run.pictures[self._number] = picture()
        self._pictured_at = now


class Gone(Exception):
    """Nobody wants the result of this part any more."""


def compute(task: Callable[[Part], Any], number: int, share: Any, run: str, model: str) -> Any:
    """Compute a part of a run; called by Dask in a thread of the worker.

    What nobody wants any more, since the run was cancelled or its client has gone, ends soon with
    None.
    """
    address, gone = _watch()
    with _lock:
        if run not in _runs or model not in _models:
            return Lacking(address)
        held, face = _opened_run(run), _opened_model(model)
    part = Part(face, share, held, number, gone)
    try:
        # A worker has as many threads as it may use cores, and each of them computes a part.
        with torch_threads(1), _alone_on(face.device, gone):
            return task(part)
    except Gone:  # Dask would write a warning into the worker's log
        return None
    finally:
        held.pictures.pop(number, None)


def has_model(name: str) -> bool:
    """Return whether this process has a model, by its name."""
    return name in _models


def receive_model(name: str, data: bytes) -> None:
    """Take a model in, to be opened by the first part that needs it."""
    with _lock:
        _models[name] = data
        _received[name] = _received.get(name, 0) + 1
        while len(_models) > _MODELS_KEPT:
            _models.popitem(last=False)


def receive_run(name: str, settings: bytes) -> None:
    """Take in what the parts of a run have in common."""
    with _lock:
        _runs.setdefault(name, settings)
        while len(_runs) > _RUNS_KEPT:
            _runs.popitem(last=False)


def received() -> dict[str, int]:
    """Return how often each model, by its name, was sent to this process."""
    return dict(_received)


def look(run: str) -> dict[int, Any]:
    """Return the newest picture of each part that is being computed here."""
    held = _runs.get(run)
    if not isinstance(held, RunOnWorker):
        return {}
    held.looked_at = time.monotonic()
    return dict(held.pictures)


def _watch() -> tuple[str, Callable[[], bool]]:
    """Return the worker's address, and what tells whether nobody wants this task any more.

    Dask cannot interrupt a thread. It tells the worker that a task was cancelled, or that its
    client has gone, and the worker notes it at the task.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def gone() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return worker.address, gone


def _opened_run(name: str) -> RunOnWorker:
    run = _runs[name]
    if not isinstance(run, RunOnWorker):
        run = _runs[name] = RunOnWorker(pickle.loads(run))
    return run


def _opened_model(name: str) -> RetinaModel:
    """Return the model, opened once in this process for all parts and runs that want it."""
    face = _models[name]
    if not isinstance(face, RetinaModel):
        on_cuda, face = pickle.loads(face)
        face = _models[name] = face.to(device_of_worker(on_cuda))
    _models.move_to_end(name)
    return face


@contextmanager
def _alone_on(device: torch.device, gone: Callable[[], bool]) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    while not _cuda_lock.acquire(timeout=0.2):
        if gone():
            raise Gone
    try:
        yield
    finally:
        _cuda_lock.release()
