"""How code makes a result again: the call, what it needs, and numbers to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openretina_widgets.export.code import Code, call

_MOST_NUMBERS = 96  # to compare with; of more, means


@dataclass(frozen=True)
class Recipe:
    """Code that makes a result again.

    Attributes
    ----------
    code
        Ends with an expression, whose value is the result.
    before
        Statements before it.
    needs_array
        Whether `before` holds arrays as text.
    missing
        What there is no code for, and what to do about it; then `code` does not run as it is.
    words
        What a reader has to know.
    compare
        Names of what is compared, an expression for each where ``{}`` stands for the result, and
        what it gave.
    """

    code: str
    before: tuple[str, ...] = ()
    needs_array: bool = False
    missing: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    compare: tuple[tuple[str, str, np.ndarray], ...] = field(default=())


class Missing:
    """Gathers what there is no code for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, what: str, to_do: str) -> Code:
        """Note it; the code has None there."""
        self.said.append(f"{what}: {to_do}")
        return Code("None")


def means(
    name: str, expression: str, values: np.ndarray, most: int = _MOST_NUMBERS
) -> tuple[str, str, np.ndarray]:
    """Return what is compared: the values, or means over all axes but the last of many."""
    values = np.asarray(values, dtype=np.float64)
    if values.size <= most:
        return name, expression, values
    axes = tuple(range(values.ndim - 1))
    if axes and values.shape[-1] <= most:
        return f"mean of {name}", f"np.mean({expression}, axis={axes})", values.mean(axis=axes)
    count, total = np.isfinite(values).sum(), np.nansum(values)
    return (
        f"sum and number of {name}",
        f"[np.nansum({expression}), np.isfinite({expression}).sum()]",
        np.array([total, count]),
    )


def part(
    described: Mapping[str, Any], known: Mapping[str, type], what: str, missing: Missing
) -> Code:
    """Return the code of a part of a run, such as a regularizer, from its settings."""
    settings = dict(described)
    kind = settings.pop("type", "?")
    if kind not in known or not set(settings) <= set(_parameters(known[kind])):
        return missing(
            f"{what} {kind!r} is not of openretina_widgets, and its code is not known",
            "write it into the notebook in the place that says so, or use one of "
            + ", ".join(known),
        )
    return Code(call(kind, **settings))


def _parameters(kind: type) -> Sequence[str]:
    return [f.name for f in getattr(kind, "__dataclass_fields__", {}).values() if f.init]
