"""What a pickle may say, as values that are checked before they become plain data.

A *claim* is what the pickle says of a tensor or an array: a type, a shape, a place. Nothing is
believed of it until the numbers are there that it claims to show.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

MOST_VALUES = 500_000
"""Most values in the hyper-parameters, counted as often as they are referred to."""
DEEPEST_NESTING = 64
"""Most levels of lists and dictionaries inside each other in the hyper-parameters."""

CONTAINERS = {"omegaconf.dictconfig.DictConfig": dict, "omegaconf.listconfig.ListConfig": list}
"""OmegaConf's containers, and the plain one that each becomes."""
VALUES = {
    f"omegaconf.nodes.{kind}Node"
    for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "InterpolationResult")
}
"""OmegaConf's nodes that hold a single value."""
NODES = {*CONTAINERS, *VALUES, "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"}
"""OmegaConf's classes that a pickle may make; its metadata are let be, and left out."""


class CheckpointError(ValueError):
    """A file cannot be used as a checkpoint; the message says which file and why."""


class UnsafeCheckpointError(CheckpointError):
    """A file asks for something that is no data, such as a function to call; it was not called."""


# What a pickle may say ------------------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names; it is never looked up."""

    path: str


@dataclass(eq=False, repr=False)
class Node:
    """An OmegaConf node: a value with its metadata."""

    path: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class Module:
    """A torch module that the pickle describes; only the name of its class is kept."""

    path: str


@dataclass(frozen=True)
class TensorClaim:
    """A tensor that the pickle describes; its numbers are read when it is used."""

    key: str
    dtype: torch.dtype
    n_stored: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class StorageClaim:
    """An entry of the archive that the pickle names, with the type and count of its numbers."""

    key: str
    dtype: torch.dtype
    n_stored: int


@dataclass(eq=False)
class DTypeClaim:
    """A numpy type that the pickle describes: its code, and its byte order."""

    code: str
    order: str = "|"

    def build(self, state: object) -> None:
        """Take the byte order; structured types are refused."""
        _, order, *structure, _, _, _ = as_tuple(state)
        if order not in ("<", ">", "|") or any(part is not None for part in structure):
            raise CheckpointError("refused: a numpy type that is no plain number or text")
        self.order = order

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type itself."""
        return np.dtype((">" if self.order == ">" else "<") + self.code)


@dataclass(eq=False, repr=False)
class ArrayClaim:
    """A numpy array that the pickle describes, with its bytes or its objects."""

    shape: tuple[int, ...] = (0,)
    dtype: DTypeClaim = field(default_factory=lambda: DTypeClaim("b1"))
    fortran: bool = False
    data: bytes | list[Any] = b""

    def build(self, state: object) -> None:
        """Take shape, type and data."""
        _, shape, dtype, fortran, data = as_tuple(state)
        if not isinstance(dtype, DTypeClaim) or not isinstance(data, bytes | list):
            raise CheckpointError("damaged: a numpy array without type or data")
        self.shape, self.dtype = as_sizes(shape), dtype
        self.fortran, self.data = bool(fortran), data


# Plain data ----------------------------------------------------------------------------------


class PlainData:
    """Turns what the pickle describes into plain data, within bounds.

    Parameters
    ----------
    tensor
        Returns the tensor that a claim describes, or refuses it.
    """

    def __init__(self, tensor: Callable[[TensorClaim], torch.Tensor]) -> None:
        self._tensor = tensor
        self._values_left = MOST_VALUES

    def __call__(self, value: Any, depth: int = 0) -> Any:
        """Return a value as plain data."""
        # Counted at each reference: ten lists that each name the next ten times are 10^10 values.
        self._values_left -= 1
        if self._values_left < 0:
            raise CheckpointError(f"refused: more than {MOST_VALUES} values")
        if depth > DEEPEST_NESTING:
            raise CheckpointError(f"refused: nested more than {DEEPEST_NESTING} deep")
        if isinstance(value, dict):
            return {key: self(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self(item, depth + 1) for item in value)
        if isinstance(value, Node):
            return self._node(value, depth)
        if isinstance(value, TensorClaim):
            return self._tensor(value)
        if isinstance(value, ArrayClaim):
            return self._array(value, depth)
        if isinstance(value, Name | Module):
            return value.path
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        raise CheckpointError(f"damaged: {kind_of(value)} where a value is expected")

    def _node(self, node: Node, depth: int) -> Any:
        if node.path in CONTAINERS:
            content = node.state.get("_content")
            # A string stands for a container that is missing or refers to another.
            if content is not None and not isinstance(content, str):
                content = as_dict(content) if CONTAINERS[node.path] is dict else as_list(content)
            return self(content, depth + 1)
        if node.path in VALUES:
            return self(node.state.get("_val"), depth + 1)
        raise CheckpointError(f"damaged: a {node.path} where a value is expected")

    def _array(self, array: ArrayClaim, depth: int) -> Any:
        if array.dtype.code != "O":
            return numpy_array(array)
        items = self(as_list(array.data), depth + 1)
        if len(items) != math.prod(array.shape):
            raise CheckpointError(f"damaged: {len(items)} objects in a {short(array.shape)} array")
        for n in reversed(array.shape[1:] if items else ()):
            items = [items[i : i + n] for i in range(0, len(items), n)]
        return items


def numpy_array(array: ArrayClaim) -> np.ndarray[Any, Any]:
    """Return a numpy array, a read-only view of the bytes."""
    dtype = array.dtype.numpy
    n_bytes = math.prod(array.shape) * dtype.itemsize
    if not isinstance(array.data, bytes) or len(array.data) != n_bytes:
        raise CheckpointError(f"damaged: a numpy array of shape {short(array.shape)}, cut short")
    numbers = np.ndarray(
        array.shape, dtype, array.data or None, order="F" if array.fortran else "C"
    )
    numbers.flags.writeable = False
    return numbers


# Checks --------------------------------------------------------------------------------------


def as_tuple(value: object) -> tuple[Any, ...]:
    """Return a tuple as it is, or raise TypeError."""
    if not isinstance(value, tuple):
        raise TypeError(f"{kind_of(value)} where a tuple is expected")
    return value


def as_text(value: object) -> str:
    """Return a string as it is, or raise TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{kind_of(value)} where a string is expected")
    return value


def as_list(value: object) -> list[Any]:
    """Return a list as it is, or raise TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"{kind_of(value)} where a list is expected")
    return value


def as_dict(value: object) -> dict[Any, Any]:
    """Return a dictionary as it is, or raise TypeError."""
    if not isinstance(value, dict):
        raise TypeError(f"{kind_of(value)} where a dictionary is expected")
    return value


def as_key(value: object) -> Any:
    """Return a key of a dictionary: no tuple, whose hash could nest without end."""
    if value is not None and not isinstance(value, bool | int | float | str | bytes):
        raise TypeError(f"{kind_of(value)} as a key")
    return value


def as_sizes(value: object) -> tuple[int, ...]:
    """Return a tuple of sizes, places or strides as it is, or raise TypeError."""
    sizes = as_tuple(value)
    for n in sizes:
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 2**48:
            raise TypeError(f"{short(n)} where a size is expected")
    if len(sizes) > 16:
        raise TypeError(f"{len(sizes)} dimensions")
    return sizes


# Words ---------------------------------------------------------------------------------------

_repr = reprlib.Repr()
_repr.maxstring, _repr.maxother = 120, 120


def short(value: object) -> str:
    """Return a value from a file in a short line."""
    return value.path if isinstance(value, Name) else _repr.repr(value)


def kind_of(value: object) -> str:
    """Return what a value from a file is, in words."""
    if isinstance(value, dict):
        return f"a dictionary of {some_of(map(short, value))}" if value else "an empty dictionary"
    if isinstance(value, Name | Node | Module):
        return value.path
    if value is None:
        return "nothing"
    return f"a {type(value).__name__.removesuffix('Claim').lower()}"


def some_of(names: Iterable[str], most: int = 4) -> str:
    """Return the first names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
