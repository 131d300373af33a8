"""Models that are computed in bfloat16, for those who ask for it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ["bfloat16_is_asked_for", "in_bfloat16", "in_full", "lowered"]

Kind = TypeVar("Kind")

_OURS = __name__.rpartition(".")[0]  # the models

_asked = threading.local()


@contextmanager
def in_bfloat16() -> Iterator[None]:
    """Have models computed in bfloat16 by this thread; what they answer stays float32."""
    with _asking(True):
        yield


@contextmanager
def in_full() -> Iterator[None]:
    """Have models computed in their own precision by this thread, within `in_bfloat16`."""
    with _asking(False):
        yield


@contextmanager
def _asking(now: bool) -> Iterator[None]:
    before = bfloat16_is_asked_for()
    _asked.now = now
    try:
        yield
    finally:
        _asked.now = before


def bfloat16_is_asked_for() -> bool:
    """Tell whether this thread has models computed in bfloat16."""
    return bool(getattr(_asked, "now", False))


def lowered(part: Kind, dtype: torch.dtype) -> Kind:
    """Return a copy of a part of a computation with all its numbers in another type.

    It goes through tensors, modules, lists and tuples, and the attributes of objects of our own;
    all else stays as it is.
    """
    return _lowered(part, dtype)


def _lowered(part: Any, dtype: torch.dtype) -> Any:
    if isinstance(part, nn.Module):
        return copy.deepcopy(part).to(dtype)
    if isinstance(part, torch.Tensor):
        return part.to(dtype) if part.is_floating_point() else part
    if type(part) in (list, tuple):
        return type(part)(_lowered(one, dtype) for one in part)
    if type(part).__module__.startswith(_OURS):
        other = copy.copy(part)
        vars(other).update({name: _lowered(value, dtype) for name, value in vars(part).items()})
        return other
    return part
