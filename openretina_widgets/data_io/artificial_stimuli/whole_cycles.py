"""How long a grating is shown, and which whole number of its cycles is measured."""

from __future__ import annotations

import math

from openretina_widgets.data_io.artificial_stimuli.building import (
    check_at_least,
    check_count,
    check_frames,
    check_room,
)
from openretina_widgets.data_io.artificial_stimuli.screen import Screen

_LONGEST_SEARCH_S = 4.0  # how far to look for a number of cycles that fills whole frames


def grating_length(
    screen: Screen,
    frequency: float,
    cycles: int | None,
    duration_s: float | None,
    settle_s: float | None,
) -> tuple[int, int]:
    """Return the frames in which a grating settles, and all frames of it."""
    if cycles is not None and duration_s is not None:
        raise ValueError(
            f"cycles, duration_s: expected one of them, got {cycles!r} and {duration_s!r}"
        )
    settle = screen.lag
    if settle_s is not None:
        settle = screen.frames(check_at_least(settle_s, "settle_s", "s"))
        check_room(screen, settle, "settle_s")
    if duration_s is not None:
        return settle, check_frames(screen, duration_s, "duration_s")
    if frequency == 0.0:
        if cycles is not None:
            raise ValueError(
                f"cycles: a grating that stands completes none, got {cycles!r}; use duration_s"
            )
        return settle, settle + max(1, screen.frames(1.0))
    period = screen.frame_rate / frequency
    if cycles is not None:
        shown = check_count(cycles, "cycles")
    else:
        shown = max(1, math.ceil(frequency - 1e-9))
        longest = max(shown, math.floor(_LONGEST_SEARCH_S * frequency))
        whole = [n for n in range(shown, longest + 1) if _is_whole(n * period)]
        shown = whole[0] if whole else shown
    frames = settle + math.ceil(shown * period - 1e-6)
    check_room(screen, frames, "temporal_frequency" if cycles is None else "cycles")
    return settle, frames


def whole_cycles(
    screen: Screen, frequency: float, settle: int, frames: int
) -> tuple[tuple[int, int], float, list[str]]:
    """Return the window, the cycles that it holds, and notes.

    Of the numbers of cycles that fit, the largest that fills whole frames, else the largest.
    """
    everything = (0, frames)
    if frequency == 0.0:
        if settle >= frames:
            return everything, 0.0, [_unsettled(screen, settle, frames)]
        return (settle, frames), 0.0, []
    period = screen.frame_rate / frequency
    fit = math.floor((frames - settle) / period + 1e-6)
    if fit < 1:
        held = frames / period
        left = max(0, frames - settle) / period
        note = (
            f"no whole cycle of {frequency:g} Hz fits: {screen.seconds(frames):g} s hold "
            f"{held:.2f} cycles, {left:.2f} of them after {screen.seconds(settle):.3g} s to "
            "settle; the response is averaged over the whole grating"
        )
        return everything, held, [note]
    whole = [n for n in range(fit, 0, -1) if _is_whole(n * period)]
    cycles = whole[0] if whole else fit
    length = round(cycles * period)
    if whole:
        return (frames - length, frames), float(cycles), []
    note = (
        f"{cycles} of the {frequency:g} Hz cycles take {cycles * period:.2f} frames, not a "
        f"whole number: the window of {length} holds {length / period:.3f}"
    )
    return (frames - length, frames), length / period, [note]


def _unsettled(screen: Screen, settle: int, frames: int) -> str:
    return (
        f"{screen.seconds(frames):g} s are over before the {screen.seconds(settle):.3g} s to "
        "settle; the response is averaged over the whole grating"
    )


def _is_whole(frames: float) -> bool:
    return abs(frames - round(frames)) < 1e-6
