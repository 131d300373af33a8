"""The patch of a frame that a single-cell model sees, around its receptive field."""

from __future__ import annotations

from collections.abc import Sequence

from openretina_widgets.models._parts import shown, whole


def checked_place(place: object, frame: Sequence[int], argument: str) -> tuple[int, int]:
    """Return a pixel (y, x) of a frame of this height and width, or raise ValueError."""
    if not isinstance(place, Sequence) or isinstance(place, str) or len(place) != 2:
        raise ValueError(f"{argument}: expected a pixel (y, x), got {shown(place)}")
    y, x = (whole(n, argument, low=0, high=size - 1) for n, size in zip(place, frame, strict=True))
    return (y, x)


def shifted_patch(place: int, length: int, size: int) -> slice:
    """Return a stretch of `length` around a place, moved where it would leave the frame."""
    start = max(0, place - length // 2)
    stop = min(size, start + length)
    return slice(max(0, stop - length), stop)


def cut_patch(place: int, length: int, size: int) -> slice:
    """Return a stretch of `length` around a place, cut off where it would leave the frame."""
    return slice(max(0, place - length // 2), min(size, place + length // 2 + length % 2))
