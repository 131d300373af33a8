"""Answers of a class to one question, counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

MOST_BARS = 12
_FEW_NUMBERS = 8  # as many different numbers each have a bar of their own
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Bar:
    """Answers that are the same, or fall into the same range.

    Attributes
    ----------
    label
        The answer, or the range.
    count
        How many students gave it.
    correct
        Whether it is right; None where that was not judged, or not the same for all of them.
    """

    label: str
    count: int
    correct: bool | None


def answer_of(value: Any) -> tuple[Any, bool | None]:
    """Return the answer in a value that was sent, and whether it is right if that is known."""
    key = next((key for key in ("answer", "value") if isinstance(value, dict) and key in value), "")
    if not key:
        return value, None
    correct = value.get("correct")
    return value[key], correct if isinstance(correct, bool) else None


def histogram(values: Sequence[Any]) -> list[Bar]:
    """Count answers.

    Parameters
    ----------
    values
        As they were sent, the newest of each student. Several choices in one answer count each.

    Returns
    -------
    list of Bar
        Different numbers, in order, or ranges of them from 9 on; else the answers in the order in
        which they first came, so that no bar changes its place, and the rarest together at the end
        from 13 on. Texts that differ in case and spaces alone are the same.
    """
    answers = [answer_of(value) for value in values]
    known = [(answer, right) for answer, right in answers if answer is not None]
    if known and all(_is_number(answer) for answer, _ in known):
        bars = _of_numbers([(float(answer), right) for answer, right in known])
    else:
        parts = [
            (part, right)
            for answer, right in known
            for part in (answer if isinstance(answer, list) else [answer])
        ]
        bars = _of_words([(_words(part), right) for part, right in parts])
    missing = len(answers) - len(known)
    return [*bars, Bar("no answer", missing, None)] if missing else bars


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _agreed(judged: Iterable[bool | None]) -> bool | None:
    found = set(judged)
    return found.pop() if len(found) == 1 else None


def _of_numbers(answers: list[tuple[float, bool | None]]) -> list[Bar]:
    values = np.array([value for value, _ in answers])
    different = np.unique(values)
    if len(different) <= _FEW_NUMBERS:
        groups = [(f"{one:.6g}", values == one) for one in different]
    else:
        edges = _round_edges(different[0], different[-1])
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        groups = [
            (f"{low:.6g} to {high:.6g}", place == i)
            for i, (low, high) in enumerate(pairwise(edges))
        ]
    return [
        Bar(
            label.replace("-", "−"),
            int(inside.sum()),
            _agreed(right for (_, right), is_in in zip(answers, inside, strict=True) if is_in),
        )
        for label, inside in groups
    ]


def _round_edges(low: float, high: float) -> np.ndarray:
    """At most ten ranges with round ends."""
    span = (high - low) / 8
    power = 10.0 ** math.floor(math.log10(span))
    step = next(k * power for k in (1.0, 2.0, 5.0, 10.0) if k * power >= span * (1 - 1e-9))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return np.arange(first, last + 1) * step


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _of_words(answers: list[tuple[str, bool | None]]) -> list[Bar]:
    counts = Counter(words.casefold() for words, _ in answers)
    first: dict[str, str] = {}
    judged: dict[str, set[bool | None]] = {}
    for words, right in answers:
        first.setdefault(words.casefold(), words)
        judged.setdefault(words.casefold(), set()).add(right)
    own = set(first)
    if len(first) > MOST_BARS:
        own = {key for key, _ in counts.most_common(MOST_BARS - 1)}
    bars = [Bar(first[key], counts[key], _agreed(judged[key])) for key in first if key in own]
    others = sum(counts[key] for key in first if key not in own)
    return [*bars, Bar("other answers", others, None)] if others else bars
