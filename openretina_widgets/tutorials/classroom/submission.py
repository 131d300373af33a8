"""What a student sends: one answer, one prediction, or the step that was reached."""

from __future__ import annotations

import json
import math
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

Kind = Literal["answer", "prediction", "step"]
KINDS: tuple[str, ...] = get_args(Kind)
LONGEST_VALUE = 65_536  # bytes of JSON: a free text of ten pages, or a curve of 3,000 points
LONGEST_ID = 200


@dataclass(frozen=True)
class Submission:
    """One thing that a student sent.

    Attributes
    ----------
    kind
        ``"answer"``, ``"prediction"`` or ``"step"``.
    item
        Which question, prediction or tutorial.
    text
        The value as JSON.
    uuid
        Made where it was sent, so that sending it twice keeps it once.
    made_at
        Seconds since 1970, by the clock of the student's machine.
    """

    kind: str
    item: str
    text: str
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    made_at: float = field(default_factory=time.time)

    @property
    def value(self) -> Any:
        """The value that was sent."""
        return json.loads(self.text)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)


def make_submission(kind: str, item: str, value: Any) -> Submission:
    """Check and encode what a student sends.

    Parameters
    ----------
    kind
        One of `KINDS`.
    item
        Name of the question, prediction or tutorial, 1 to 200 characters.
    value
        What JSON can carry: None, bool, number, text, lists and dicts of them; numpy's numbers and
        arrays too. What is not finite becomes None. At most 65,536 bytes of JSON.

    Raises
    ------
    ValueError
        If the kind is unknown, the name is not printable, or the value is too long; the message
        says how long it may be. Nothing is sent then, and nothing is changed.
    TypeError
        If JSON cannot carry the value.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if not isinstance(item, str):
        raise TypeError(f"id: expected text, got {type(item).__name__}")
    if not 0 < len(item) <= LONGEST_ID or not item.isprintable():
        raise ValueError(
            f"id: expected 1 to {LONGEST_ID} characters that can be printed, "
            f"got {len(item)}: {item[:40]!r}"
        )
    text = json.dumps(as_json_value(value), allow_nan=False, separators=(",", ":"))
    if len(text) > LONGEST_VALUE:
        what = "text" if isinstance(value, str) else "value"
        raise ValueError(
            f"this {kind} is too long: its {what} takes {len(text):,} bytes, and at most "
            f"{LONGEST_VALUE:,} can be sent. Nothing was sent; shorten it and send it again."
        )
    return Submission(kind, item, text)


def as_json_value(value: Any) -> Any:
    """Return a value as JSON holds it; TypeError if it cannot."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        return as_json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [as_json_value(part) for part in value]
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            raise TypeError(f"value: the keys of a dict have to be text, got {wrong!r}")
        return {key: as_json_value(part) for key, part in value.items()}
    raise TypeError(
        f"value: expected None, bool, number, text, or lists and dicts of them, "
        f"got {type(value).__name__}"
    )
