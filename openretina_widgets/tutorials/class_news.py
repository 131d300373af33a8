"""What a lesson says of the class it is sent to: nothing while all is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["class_trouble", "follow_class"]


def class_trouble(classroom: Any) -> str:
    """Return why a class is not told at present and what becomes of answers, empty if it is."""
    return str(classroom.status) if getattr(classroom, "trouble", "") else ""


def follow_class(classroom: Any, callback: Callable[[], object]) -> Callable[[], None]:
    """Have a function called when something was sent or could not be; returns what ends it."""
    on_change = getattr(classroom, "on_change", None)
    if not callable(on_change):  # any object with `submit` will do for a class
        return lambda: None
    end: Callable[[], None] = on_change(callback)
    return end
