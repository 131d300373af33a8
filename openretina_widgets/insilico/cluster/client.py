"""What a client and its workers have to be, and what can be sent to them."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import pydoc
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

import openretina_widgets
from openretina_widgets.models.retina_model import RetinaModel

_NEEDED = ("torch", "openretina_widgets")
# Unlike what `client.run` is given otherwise, this is found by workers without the package.
_LOCATE = pydoc.locate


def check_client(client: Any) -> None:
    """Refuse what is no client of ``dask.distributed`` that can be used.

    Raises
    ------
    TypeError
        If it is something else, or belongs to an event loop of the user's.
    ValueError
        If it is closed.
    """
    # Whoever has a client has imported this already.
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        hint = ""
        if isinstance(client, str):
            hint = f"; Client({client!r}) connects to a scheduler by its address"
        elif hasattr(client, "scheduler_address"):
            hint = "; Client(cluster) makes one of a cluster"
        raise TypeError(
            f"client: expected a Client of dask.distributed, got {type(client).__name__}{hint}"
        )
    if client.asynchronous:
        raise TypeError(
            "client: it belongs to an event loop (asynchronous=True); make one without that"
        )
    if client.status != "running":
        raise ValueError(
            f"client: expected one that is connected, got one that is {client.status}; make a new "
            "one, such as Client(cluster)"
        )


def check_workers(client: Any, workers: Iterable[str] | None = None) -> None:
    """Refuse workers without this package in this version, or without torch.

    Parameters
    ----------
    client
        See `check_client`.
    workers
        Their addresses, all that there are for None.

    Raises
    ------
    ValueError
        If one lacks them; the message says what, and where.
    """
    asked = None if workers is None else list(workers)
    client.sync(checked_workers, client, asked)


async def checked_workers(client: Any, workers: list[str] | None) -> None:
    """Do what `check_workers` does, on the client's own loop."""
    own = openretina_widgets.__version__
    for package in _NEEDED:
        name = f"{package}.__version__"
        found = await client.run(_LOCATE, name, workers=workers, on_error="return")
        lacking = {
            worker: version
            for worker, version in found.items()
            if not isinstance(version, OSError)  # one that has gone meanwhile
            and (not isinstance(version, str) or (package != "torch" and version != own))
        }
        if not lacking:
            continue
        worker, version = next(iter(lacking.items()))
        has = f"has version {version}, not {own}"
        if version is None:
            has = f"cannot import {package}"
        elif isinstance(version, BaseException):
            has = f"cannot import {package} ({version})"
        raise ValueError(
            f"client: {len(lacking)} of {len(found)} workers lack what they need, such as "
            f"{worker}, which {has}; install openretina-widgets {own} in the environment of the "
            "workers"
        )


@dataclass(frozen=True)
class Parcel:
    """What is sent to a worker once: its bytes, and a name that tells it from all others."""

    data: bytes
    name: str

    @classmethod
    def of(cls, data: bytes) -> Parcel:
        """Return bytes with their name."""
        return cls(data, hashlib.sha256(data).hexdigest())


def parcel_of_model(model: RetinaModel) -> Parcel:
    """Return a model as it is sent, with its weights on the CPU.

    Raises
    ------
    TypeError
        If it cannot be sent; the message says why.
    """
    on_cuda = model.device.type == "cuda"
    try:
        here = copy.deepcopy(model).cpu() if on_cuda else model
    except _CANNOT as error:
        raise TypeError(_cannot_be_sent("model", error)) from error
    return Parcel.of(_bytes_of("model", (on_cuda, here)))


def parcel_of_settings(settings: Mapping[str, Any]) -> Parcel:
    """Return the settings of a run as they are sent.

    Raises
    ------
    TypeError
        If one cannot be sent; the message names it.
    """
    for name, value in settings.items():
        _bytes_of(name, value)
    return Parcel.of(_bytes_of("settings", dict(settings)))


# What pickle raises of objects that it cannot take depends on the object.
_CANNOT = (TypeError, ValueError, AttributeError, RuntimeError, RecursionError, NotImplementedError)


def _bytes_of(name: str, value: Any) -> bytes:
    import cloudpickle  # comes with distributed; it takes functions of a notebook as well

    try:
        return bytes(cloudpickle.dumps(value))
    except (pickle.PicklingError, *_CANNOT) as error:
        raise TypeError(_cannot_be_sent(name, error)) from error


def _cannot_be_sent(name: str, error: BaseException) -> str:
    return (
        f"{name}: it cannot be sent to the workers ({type(error).__name__}: {error}); what is used "
        "with client= has to be picklable, without locks, open files, hooks or generators in it"
    )


def device_of_worker(on_cuda: bool) -> torch.device:
    """Return where a worker computes: on the CUDA device that it was given, else on the CPU.

    It was given one where ``CUDA_VISIBLE_DEVICES`` says so, as dask-cuda and SLURM set it. A model
    that was on CUDA is computed there as well where the worker has it without being told.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    wanted = on_cuda if told is None else told.strip() not in ("", "-1")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")
