"""Holds a model still while a run goes on, and hands it back as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn


@dataclass
class _Hold:
    """A part of a module, its flag before the first of its current runs, and how many these are."""

    part: nn.Module | nn.Parameter
    before: bool
    runs: int = 0


# By part, not by model: two wrappers of one module share its parts. A dictionary of weak references
# would compare parameters value by value, hence the identities.
_holds: dict[int, _Hold] = {}
_holds_lock = threading.RLock()  # a generator collected as garbage may leave while another enters


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Hold a module in eval mode without parameter gradients, and hand it back as it was.

    Runs may overlap, also in several threads and on several wrappers of one module: the last one
    to leave restores each part.
    """
    parts: list[nn.Module | nn.Parameter] = [*module.modules(), *module.parameters()]
    with _holds_lock:
        for part in parts:
            if id(part) not in _holds:
                _holds[id(part)] = _Hold(part, _set_flag(part, False))
            _holds[id(part)].runs += 1
    try:
        yield
    finally:
        with _holds_lock:
            for part in parts:
                hold = _holds[id(part)]
                hold.runs -= 1
                if hold.runs == 0:
                    del _holds[id(part)]
                    _set_flag(part, hold.before)


def _set_flag(part: nn.Module | nn.Parameter, flag: bool) -> bool:
    """Set a module's `training` or a parameter's `requires_grad`; return what it was before."""
    if isinstance(part, nn.Module):
        before, part.training = part.training, flag
        return before
    before = part.requires_grad
    part.requires_grad_(flag)
    return before
