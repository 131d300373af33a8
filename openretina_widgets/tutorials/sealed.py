"""Answers of a student's notebook, packed so that they do not lie open in its metadata.

The student's own kernel checks the answers, so this is no secret: it keeps an answer from being
read by accident, in the file or in the property inspector of JupyterLab, and no more.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["opened", "sealed"]

_OPEN = ("id", "kind")  # what stays readable


def sealed(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a question with all but its id and kind packed; the same each time."""
    if "sealed" in question:
        return dict(question)
    shown = {key: question[key] for key in _OPEN if key in question}
    rest = {key: value for key, value in question.items() if key not in _OPEN}
    text = json.dumps(rest, sort_keys=True)
    return {**shown, "sealed": base64.b64encode(text.encode()).decode()}


def opened(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a question as they were before they were packed.

    Raises
    ------
    ValueError
        If what is packed cannot be understood.
    """
    if "sealed" not in question:
        return dict(question)
    problem = "question.sealed: cannot be opened; copy the lesson again"
    if set(question) - {*_OPEN, "sealed"} or not isinstance(question["sealed"], str):
        raise ValueError(problem)
    try:
        rest = json.loads(base64.b64decode(question["sealed"], validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(problem) from None
    if not isinstance(rest, dict) or {*_OPEN, "sealed"} & set(rest):
        raise ValueError(problem)
    return {**{key: question[key] for key in _OPEN if key in question}, **rest}
