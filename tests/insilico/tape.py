"""Recorders of torch operations: one replays them on the same memory, as a CUDA graph does, and
one knows, as a CUDA graph does not, whether the memory that they read is still there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OF_THE_HOST = ("arange", "lift_fresh", "linspace")  # made of Python's numbers
_WAIT = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "item", "masked_select", "unique")


class _Tape(TorchDispatchMode):
    """Notes each operation and its tensors; what waits for the device breaks it, as a capture."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self._made: dict[int, torch.Tensor] = {}
        self._before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.name.removeprefix("aten::") in _WAIT:
            raise RuntimeError(f"{func._schema.name}: not permitted when the stream is capturing")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._save(value)
        for argument in func._schema.arguments:
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and argument.name in kwargs:
                self._save(kwargs[argument.name])
        out = func(*args, **kwargs)
        given = {_place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        new = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        new = [t for t in new if _place(t) not in given]
        self._made |= {_place(t): t for t in new}
        self.operations.append((func, args, kwargs, out if isinstance(out, tuple) else (out,)))
        return out

    def _save(self, written: Any) -> None:
        for tensor in tree_leaves(written):
            place = _place(tensor)
            if place not in self._made and place not in self._before:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self._before[place] = (whole, whole.clone())

    def undo(self) -> None:
        """Put back what was written to what others hold: a capture does nothing yet."""
        for whole, before in self._before.values():
            whole.copy_(before)

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, noted in self.operations:
                given = {
                    _place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
                }
                out = func(*args, **kwargs)
                out = out if isinstance(out, tuple) else (out,)
                for one, there in zip(tree_leaves(out), tree_leaves(noted), strict=True):
                    if isinstance(there, torch.Tensor) and _place(there) not in given:
                        there.copy_(one)


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def tape(compute: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record what a function does, undo it, and return its replay."""
    noted = _Tape()
    try:
        with noted:
            compute()
    finally:
        with torch.no_grad():
            noted.undo()
    return noted.replay


class Reads(TorchDispatchMode):
    """Notes what memory a function reads that it has not made, without keeping it from being freed.

    To be used as a recorder. What it returns replays nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: dict[int, StorageWeakRef] = {}
        self.of_the_host: list[str] = []  # operations that would copy something to a GPU
        self._made: set[int] = set()

    def __call__(self, compute: Callable[[], None], device: torch.device) -> Callable[[], None]:
        with self:
            compute()
        return lambda: None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        for tensor in given:
            if _place(tensor) not in self._made:
                self.read.setdefault(_place(tensor), StorageWeakRef(tensor.untyped_storage()))
        name = func._schema.name.removeprefix("aten::")
        if name in _OF_THE_HOST:
            self.of_the_host.append(name)
        out = func(*args, **kwargs)
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self._made |= {_place(t) for t in made} - {_place(t) for t in given}
        return out

    def freed(self) -> int:
        """Return how many of the tensors that were read are no more."""
        return sum(one.expired() for one in self.read.values())
