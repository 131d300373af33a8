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

_KEPT = 2  # models, and the settings of runs
_LOOKED_FOR = 2.0  # seconds without a look after which no more pictures are made
_PICTURE_EVERY = 0.25  # seconds

_lock = threading.Lock()
_cuda_lock = threading.Lock()  # parts do not share a device, whose memory each of them fills
_models: OrderedDict[str, RetinaModel] = OrderedDict()
_runs: OrderedDict[str, Run] = OrderedDict()
_opened: dict[str, int] = {}


@dataclass
class Run:
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
    run: Run
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


def compute(
    task: Callable[[Part], Any],
    number: int,
    share: Any,
    run: str,
    model: tuple[str, bytes],
    settings: bytes,
) -> Any:
    """Compute a part of a run; called by Dask in a thread of the worker.

    What nobody wants any more, since the run was cancelled or its client has gone, ends soon with
    None.
    """
    gone = _watch()
    held = _run(run, settings)
    face = _model(*model)
    part = Part(face, share, held, number, gone)
    try:
        # A worker has as many threads as it may use cores, and each of them computes a part.
        with torch_threads(1), _alone_on(face.device, gone):
            return task(part)
    except Gone:  # Dask would write a warning into the worker's log
        return None
    finally:
        held.pictures.pop(number, None)


def look(run: str) -> dict[int, Any]:
    """Return the newest picture of each part that is being computed here."""
    held = _runs.get(run)
    if held is None:
        return {}
    held.looked_at = time.monotonic()
    return dict(held.pictures)


def opened() -> dict[str, int]:
    """Return how often each model, by its name, was opened in this process."""
    return dict(_opened)


def _watch() -> Callable[[], bool]:
    """Return what tells whether the task that runs in this thread is wanted no more.

    Dask cannot interrupt a thread. It tells the worker that a task was cancelled, or that its
    client has gone, and the worker notes it at the task.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def gone() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return gone


def _run(name: str, settings: bytes) -> Run:
    with _lock:
        if name not in _runs:
            _runs[name] = Run(pickle.loads(settings))
            while len(_runs) > _KEPT:
                _runs.popitem(last=False)
        return _runs[name]


def _model(name: str, data: bytes) -> RetinaModel:
    """Return the model, opened once in this process for all parts and runs that want it."""
    with _lock:
        if name not in _models:
            on_cuda, face = pickle.loads(data)
            _models[name] = face.to(device_of_worker(on_cuda))
            _opened[name] = _opened.get(name, 0) + 1
            while len(_models) > _KEPT:
                _models.popitem(last=False)
        _models.move_to_end(name)
        return _models[name]


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
