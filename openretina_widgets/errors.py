"""Words for mistakes: what came, what was expected, and the nearest thing that works."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

__all__ = [
    "NotFetched",
    "NotReproducible",
    "ObjectiveFailed",
    "OtherResults",
    "OutOfMemory",
    "TutorialError",
    "Unreachable",
    "check_not_negative",
    "check_positive",
    "real_number",
    "unknown_name",
]


class OutOfMemory(MemoryError):
    """The device ran out of memory; the message says what would fit. The model stays usable."""


class NotFetched(OSError):
    """A published model did not arrive; the message says why, and what to do."""


class NotReproducible(ValueError):
    """Code cannot make a result again; the message says what is missing, and what to do."""


class ObjectiveFailed(ValueError):
    """A function to be maximised raised an error; the message says which, and in which line."""


class OtherResults(ValueError):
    """A folder holds something else than the results that were to go on; the message says what."""


class TutorialError(ValueError):
    """A notebook is no tutorial; the message gives the number of the cell and the reason."""


class Unreachable(NotFetched):
    """There is no way to a published model from here; it can be placed by hand."""


def unknown_name(argument: str, got: object, known: Sequence[str], what: str) -> str:
    """Return a message that names the nearest known name."""
    got = got if isinstance(got, str) else repr(got)
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.0)
    shown = ", ".join(map(repr, known[:8])) + (" …" if len(known) > 8 else "")
    hint = f"; the nearest is {near[0]!r}" if near else ""
    return f"{argument}: there is no {what} {got!r}{hint}; known: {shown}"


def real_number(value: Any, argument: str) -> float:
    """Return one real number, or raise TypeError; a text or a truth value is none."""
    one = not isinstance(value, str | bytes) and getattr(value, "ndim", 0) == 0
    is_truth = isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")
    if is_truth or not one or not hasattr(value, "__float__"):
        raise TypeError(f"{argument}: expected a number, got {value!r}")
    return float(value)


def check_not_negative(value: float, argument: str) -> float:
    """Return a finite number of at least zero, or raise TypeError or ValueError."""
    number = real_number(value, argument)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{argument}: expected a number >= 0, got {value!r}")
    return number


def check_positive(value: float, argument: str) -> float:
    """Return a finite number above zero, or raise TypeError or ValueError."""
    number = real_number(value, argument)
    if not 0 < number < float("inf"):
        raise ValueError(f"{argument}: expected a positive number, got {value!r}")
    return number
