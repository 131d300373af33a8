"""What the builders share: checks of their arguments, and the way from contrast to a movie."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, SupportsIndex

import torch

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)
from openretina_widgets.errors import OutOfMemory, real_number, unknown_name
from openretina_widgets.memory import free_memory

Point = tuple[float, float]

# A movie of float32, and the float64 that it is made of.
_BYTES_PER_VALUE = 4 + 2 * 8

_ASKED_OF_A_MODEL = (
    "input_shape",
    "channels",
    "frame_rate",
    "pixel_size_um",
    "lag",
    "stimulus_range",
)


def as_screen(screen_or_model: Any) -> Screen:
    """Return a screen as it is, and that of a model.

    Raises
    ------
    TypeError
        If it is neither; the message names what is missing.
    """
    if isinstance(screen_or_model, Screen):
        return screen_or_model
    missing = [name for name in _ASKED_OF_A_MODEL if not hasattr(screen_or_model, name)]
    if missing:
        raise TypeError(
            "screen_or_model: expected a Screen or a model that tells its "
            f"{', '.join(_ASKED_OF_A_MODEL)}, got a {type(screen_or_model).__name__} without "
            f"{', '.join(missing)}; RetinaModel(...) wraps any torch module"
        )
    return Screen.of(screen_or_model)


def check_contrast(value: float, argument: str = "contrast", *, low: float = -1.0) -> float:
    """Return a contrast within [low, 1]."""
    number = check_finite(value, argument)
    if not low <= number <= 1.0:
        what = "modulation depth" if low == 0.0 else "contrast"
        raise ValueError(f"{argument}: expected a {what} in [{low:g}, 1], got {value!r}")
    return number


def check_finite(value: float, argument: str) -> float:
    """Return a finite number."""
    number = real_number(value, argument)
    if not math.isfinite(number):
        raise ValueError(f"{argument}: expected a finite number, got {value!r}")
    return number


def check_at_least(
    value: float, argument: str, unit: str = "", *, low: float = 0.0, above: bool = False
) -> float:
    """Return a finite number of at least `low`, or above it."""
    number = check_finite(value, argument)
    if number < low or (above and number == low):
        words = f"more than {low:g}" if above else f"at least {low:g}"
        raise ValueError(f"{argument}: expected {words} {unit}".rstrip() + f", got {value!r}")
    return number


def check_count(value: int, argument: str) -> int:
    """Return a whole number of at least 1."""
    number = check_finite(value, argument)
    if number != round(number) or number < 1:
        raise ValueError(f"{argument}: expected a whole number of at least 1, got {value!r}")
    return round(number)


def check_name(value: str, argument: str, known: Sequence[str], what: str) -> str:
    """Return one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(unknown_name(argument, str(value), known, what))
    return value


def check_point(value: Sequence[float], argument: str = "centre") -> Point:
    """Return ``(x, y)``."""
    try:
        x, y = value
    except (TypeError, ValueError):
        raise ValueError(f"{argument}: expected (x, y), got {value!r}") from None
    if isinstance(value, str):
        raise ValueError(f"{argument}: expected (x, y), got {value!r}")
    return check_finite(x, argument), check_finite(y, argument)


def check_seed(seed: int) -> int:
    """Return a seed of random numbers."""
    is_number = isinstance(seed, SupportsIndex) and not isinstance(seed, Sized)
    if isinstance(seed, bool) or not is_number:
        raise TypeError(f"seed: expected a whole number, got {seed!r}")
    number = operator.index(seed)
    if not 0 <= number < 2**63:
        raise ValueError(f"seed: expected a whole number from 0 to 2^63 - 1, got {seed!r}")
    return number


def check_room(screen: Screen, frames: float, argument: str) -> None:
    """Refuse a stimulus that the memory does not hold, before any of it is made."""
    pixels = len(screen.channels) * screen.height * screen.width
    needed, free = _BYTES_PER_VALUE * pixels * frames, free_memory()
    if needed > free:
        longest = free / (_BYTES_PER_VALUE * pixels * screen.frame_rate)
        raise OutOfMemory(
            f"{argument}: a stimulus of {frames / screen.frame_rate:.3g} s takes about "
            f"{needed / 2**30:.3g} GB to make, more than the {free / 2**30:.3g} GB that are free; "
            f"at most about {longest:.3g} s fit"
        )


def check_frames(screen: Screen, seconds: float, argument: str) -> int:
    """Return a duration in frames, at least one."""
    check_at_least(seconds, argument, "s", above=True)
    frames = screen.frames(seconds)
    if frames < 1:
        raise ValueError(
            f"{argument}: {seconds:g} s is less than a frame at {screen.frame_rate:g} Hz; "
            f"the shortest is {1 / screen.frame_rate:.3g} s"
        )
    check_room(screen, frames, argument)
    return frames


def weights_of(screen: Screen, channel_weights: Sequence[float] | None) -> tuple[float, ...]:
    """Return a weight in [−1, 1] for each channel; 1 for all without any given."""
    if channel_weights is None:
        return (1.0,) * len(screen.channels)
    is_list = isinstance(channel_weights, Sized) and not isinstance(channel_weights, str)
    if not is_list or len(channel_weights) != len(screen.channels):
        raise ValueError(
            f"channel_weights: expected one for each of {screen.channels}, got {channel_weights!r}"
        )
    weights = tuple(check_contrast(weight, "channel_weights") for weight in channel_weights)
    if not any(weights):
        raise ValueError("channel_weights: all are 0, so that nothing would be seen")
    return weights


def length_name(screen: Screen, name: str) -> str:
    """Return the name of a length with its unit: ``diameter_um`` or ``diameter_px``."""
    return f"{name}_{'px' if screen.pixel_size_um is None else 'um'}"


@dataclass
class Recipe:
    """A stimulus in the making: contrast over frames, without the lead-in.

    `contrast` is ``(time, height, width)`` or ``(channel, time, height, width)``, of which height
    and width may be 1, float64, in [-1, 1]. `background` is the contrast of each channel before
    it. Events and window count from the first frame of `contrast`.
    """

    screen: Screen
    name: str
    contrast: torch.Tensor
    window: tuple[int, int]
    events: list[StimulusEvent] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    weights: tuple[float, ...] | None = None
    background: float = 0.0
    before_s: float | None = None

    def build(self) -> ArtificialStimulus:
        """Return the stimulus, in model units, with its lead-in."""
        screen = self.screen
        weights = self.weights or weights_of(screen, None)
        lead = lead_in(screen, self.before_s)
        contrast = self.contrast if self.contrast.ndim == 4 else self.contrast[None]
        frames = contrast.shape[1]
        shape = (len(screen.channels), lead + frames, screen.height, screen.width)
        movie = torch.empty(shape, dtype=torch.float32)
        grey = torch.tensor(screen.grey, dtype=torch.float64)[:, None, None, None]
        scale = torch.tensor(screen.contrast_scale, dtype=torch.float64) * torch.tensor(
            weights, dtype=torch.float64
        )
        scale = scale[:, None, None, None]
        movie[:, :lead] = grey + scale * self.background
        movie[:, lead:] = grey + scale * contrast
        before = "grey" if self.background == 0.0 else f"background of contrast {self.background:g}"
        events = [StimulusEvent(before, 0, lead)] if lead else []
        events += [StimulusEvent(e.what, e.start + lead, e.stop + lead) for e in self.events]
        parameters: Mapping[str, Any] = {
            **self.parameters,
            "before_s": screen.seconds(lead),
            "channel_weights": weights,
        }
        return ArtificialStimulus(
            name=self.name,
            movie=movie,
            screen=screen,
            events=tuple(events),
            window=(self.window[0] + lead, self.window[1] + lead),
            parameters=parameters,
            notes=tuple(self.notes),
            onset=lead,
        )


def lead_in(screen: Screen, before_s: float | None) -> int:
    """Return the frames of the lead-in: as many as the model consumes, or as were asked for."""
    if before_s is None:
        return screen.lag
    frames = screen.frames(check_at_least(before_s, "before_s", "s"))
    check_room(screen, frames, "before_s")
    return frames


def phases(screen: Screen, durations_s: Sequence[float]) -> list[tuple[int, int]]:
    """Return first and last frame + 1 of phases that follow each other, without drift."""
    ends, total = [0], 0.0
    for duration in durations_s:
        total += duration
        check_room(screen, total * screen.frame_rate, "durations")
        ends.append(screen.frames(total))
    return list(pairwise(ends))
