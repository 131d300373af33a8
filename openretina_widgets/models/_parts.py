"""What the parts of a model share: checks of their arguments, and fresh weights.

The arguments may come from a file: each is checked before anything of its size is made.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

# Far above any model of a retina: a file that claims more is not worth building.
_LARGEST_SIZE = 2**16  # of channels, kernels, padding, frames cut
_MOST_LAYERS = 64
_short = reprlib.Repr()
_short.maxstring, _short.maxother = 200, 120


class UnknownClassError(ValueError):
    """A part of a model is of a class that is not known here.

    Attributes
    ----------
    class_path
        Full name of the class, such as ``"openretina.modules.core.gru_core.ConvGRUCore"``.
    """

    def __init__(self, message: str, class_path: str) -> None:
        super().__init__(message)
        self.class_path = class_path


def unknown_class(argument: str, got: object, known: Mapping[str, object]) -> UnknownClassError:
    """Return the error that says which classes are known."""
    names = ", ".join(sorted(known))
    message = f"{argument}: {shown(got)} is not known; known: {names}"
    return UnknownClassError(message, str(got))


def checked_sizes(sizes: object, argument: str) -> tuple[int, ...]:
    """Return one size for each layer, or raise ValueError."""
    if (
        not isinstance(sizes, Sequence)
        or isinstance(sizes, str)
        or not 1 <= len(sizes) <= _MOST_LAYERS
    ):
        raise ValueError(
            f"{argument}: expected 1 to {_MOST_LAYERS} whole numbers, got {shown(sizes)}"
        )
    return tuple(whole(size, argument) for size in sizes)


def whole(value: object, argument: str, *, low: int = 1, high: int = _LARGEST_SIZE) -> int:
    """Return a whole number within bounds, or raise ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(
            f"{argument}: expected a whole number from {low} to {high}, got {shown(value)}"
        )
    return value


def number(value: object, argument: str) -> float:
    """Return a finite number, or raise ValueError."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{argument}: expected a number, got {shown(value)}")
    return float(value)


def checked_share(value: object, argument: str) -> float:
    """Return a number from 0 up to 1, or raise ValueError."""
    share = number(value, argument)
    if not 0 <= share < 1:
        raise ValueError(f"{argument}: expected a number from 0 up to 1, got {share}")
    return share


def flag(value: object, argument: str) -> bool:
    """Return a truth value, or raise ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"{argument}: expected true or false, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """Return a value in a short line, however long it is."""
    return _short.repr(value)


def scattered(*shape: int, around: float = 0.0) -> nn.Parameter:
    """Return fresh weights with a standard deviation of 0.01."""
    # Uniform, since normal_() on the meta device takes seconds: it imports torch's compiler.
    reach = 0.01 * math.sqrt(3)
    return nn.Parameter(torch.empty(shape).uniform_(around - reach, around + reach))


class _StoredFilter(nn.Module):
    """A filter that OpenRetina stores with the weights; it has no part in the response."""

    def __init__(self, values: Sequence[object]) -> None:
        super().__init__()
        self.register_buffer("filter", torch.tensor(values)[None, None])


def smoothness_penalty(kind: object, argument: str) -> nn.Module:
    """Return what OpenRetina stores of a penalty on rough kernels, by the name of its class.

    Without it the weights of a checkpoint would not load strictly.
    """
    known = {
        "Laplace1d": (1, False),
        "TimeLaplaceL23dnorm": (1, True),
        "Laplace": (2, False),
        "LaplaceL2norm": (2, True),
        "FlatLaplaceL23dnorm": (2, True),
        "GaussianLaplaceL2": (2, True),
    }
    if not isinstance(kind, str) or kind not in known:
        raise unknown_class(argument, kind, known)
    dimensions, nested = known[kind]
    line = [-1.0, 2.0, -1.0]
    cross = [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
    stored = _StoredFilter(line if dimensions == 1 else cross)
    if not nested:
        return stored
    holder = nn.Module()
    holder.laplace = stored
    return holder
