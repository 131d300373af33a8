"""A bar that moves across the screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Point,
    Recipe,
    as_screen,
    check_at_least,
    check_contrast,
    check_finite,
    check_point,
    check_room,
    length_name,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.coverage import (
    below,
    extent,
    farthest_corner,
    pixel_centres,
    unit_vector,
)
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)

# Baden et al. 2016, in µm and µm/s.
WIDTH_UM, LENGTH_UM, SPEED_UM_PER_S = 300.0, 1000.0, 1000.0
_LEAST = 1e-6  # part of a pixel that counts as seen


def moving_bar(
    screen_or_model: Any,
    *,
    direction: float = 0.0,
    width: float | None = None,
    length: float | None = None,
    speed: float | None = None,
    contrast: float = 1.0,
    background: float = 0.0,
    centre: Point = (0.0, 0.0),
    after_s: float | None = None,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a bar that crosses the whole screen, along its length.

    It starts and ends off the screen, as far from the centre as the farthest corner, so that a
    sweep takes equally long in every direction and mean responses can be compared; how long
    follows from its speed. The window is the whole sweep and what comes after it. Events tell at
    which frame the leading and the trailing edge reach the centre. A pixel is as bright as the
    part of it that is covered, exact but where a slanted bar has a corner.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    direction
        Of motion, in degrees counter-clockwise: 0 to the right, 90 up the screen.
    width, length
        Across and along the direction of motion (µm, or px where the pixel size is not known).
        300 and 1000 µm when not given, as in Baden et al. (2016); a third of the shorter side of
        the screen, and all of it, where the pixel size is not known.
    speed
        In µm/s, or px/s. 1000 µm/s, or the shorter side of the screen in a second, when not given.
    contrast
        Of the bar, in [-1, 1].
    background
        Contrast around it, before and after, in [-1, 1]; 0 for grey, -1 for dark.
    centre
        ``(x, y)`` that its middle moves through, x to the right and y up from the middle of the
        screen.
    after_s
        Background after the sweep (s), for the responses that come late; as much as the model
        consumes when not given.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Background before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, the bar misses the screen, or it is so fast that no frame
        shows it; the message says what would do.
    """
    screen = as_screen(screen_or_model)
    angle = check_finite(direction, "direction")
    level, ground = check_contrast(contrast), check_contrast(background, "background")
    if level == ground:
        raise ValueError(f"contrast: {level:g} is that of the background; nothing would be seen")
    side = min(screen.height, screen.width)
    known = screen.pixel_size_um is not None
    width = (WIDTH_UM if known else side / 3) if width is None else width
    length = (LENGTH_UM if known else float(side)) if length is None else length
    speed = (SPEED_UM_PER_S if known else float(side)) if speed is None else speed
    unit = screen.space_unit
    check_at_least(width, "width", unit, above=True)
    check_at_least(length, "length", unit, above=True)
    check_at_least(speed, "speed", f"{unit}/s", above=True)
    point = check_point(centre)
    after = screen.lag
    if after_s is not None:
        after = screen.frames(check_at_least(after_s, "after_s", "s"))

    far = farthest_corner(screen, point)
    near = -far
    per_frame = screen.pixels(speed) / screen.frame_rate
    long = screen.pixels(length)
    frames = math.ceil((far - near + long) / per_frame - 1e-9) + 1
    check_room(screen, frames, "speed")
    check_room(screen, after, "after_s")
    leading = near + per_frame * torch.arange(frames, dtype=torch.float64)
    covered = _bar(screen, angle, point, leading, long, screen.pixels(width))
    if float(covered.max()) < _LEAST:
        raise ValueError(_unseen(screen, angle, point, width, length, speed))
    notes = _notes(screen, angle, point, width, length, per_frame)
    movie = torch.full((frames + after, screen.height, screen.width), ground, dtype=torch.float64)
    movie[:frames] += covered * (level - ground)

    what = "bright bar" if level > ground else "dark bar"
    events = [StimulusEvent(f"{what} crosses the screen", 0, frames)]
    for edge, behind in (("leading", 0.0), ("trailing", long)):
        reached = math.ceil((behind - near) / per_frame - 1e-9)
        if 0 <= reached < frames:
            event = StimulusEvent(f"{edge} edge reaches the centre", reached, reached + 1)
            events.append(event)
    return Recipe(
        screen,
        "moving bar",
        movie,
        window=(0, frames + after),
        events=events,
        parameters={
            "direction_deg": angle,
            length_name(screen, "width"): float(width),
            length_name(screen, "length"): float(length),
            f"{length_name(screen, 'speed')}_per_s": float(speed),
            "contrast": level,
            "background": ground,
            length_name(screen, "centre"): point,
            "duration_s": screen.seconds(frames),
            "after_s": screen.seconds(after),
        },
        notes=notes,
        weights=weights_of(screen, channel_weights),
        background=ground,
        before_s=before_s,
    ).build()


def _bar(
    screen: Screen, angle: float, centre: Point, leading: torch.Tensor, long: float, wide: float
) -> torch.Tensor:
    """Return what a bar covers of each pixel, for each place of its leading edge (px)."""
    x, y = pixel_centres(screen, centre)
    cos, sin = unit_vector(angle)
    along, across = x * cos + y * sin, y * cos - x * sin
    ahead = leading[:, None, None] - along
    strip = below(ahead, angle) - below(ahead - long, angle)
    sides = below(wide / 2 - across, angle + 90) - below(-wide / 2 - across, angle + 90)
    return (strip * sides).clamp(0.0, 1.0)


def _notes(
    screen: Screen, angle: float, centre: Point, width: float, length: float, per_frame: float
) -> list[str]:
    unit, notes = screen.space_unit, []
    low, high = extent(screen, angle + 90, centre)
    half = screen.pixels(width) / 2
    if half >= max(-low, high):
        notes.append(
            f"the bar is {width:g} {unit} wide, wider than the screen "
            f"({screen.length(high - low):.4g} {unit} across this direction): its sides are not "
            "seen, only its leading and trailing edges"
        )
    near, far = extent(screen, angle, centre)
    if screen.pixels(length) > far - near:
        notes.append(
            f"the bar is {length:g} {unit} long, longer than the screen "
            f"({screen.length(far - near):.4g} {unit} along this direction): its leading edge "
            "leaves before its trailing edge enters"
        )
    if per_frame > screen.pixels(length) / 2:
        notes.append(
            f"the bar moves {screen.length(per_frame):.4g} {unit} a frame, more than half its "
            "length: it jumps"
        )
    return notes


def _unseen(
    screen: Screen, angle: float, centre: Point, width: float, length: float, speed: float
) -> str:
    unit = screen.space_unit
    low, high = extent(screen, angle + 90, centre)
    if screen.pixels(width) / 2 <= max(low, -high):
        size = f"{screen.length(screen.width):g} × {screen.length(screen.height):g} {unit}"
        return (
            f"centre: a bar of {width:g} {unit} that moves at {angle:g}° through {centre} {unit} "
            f"misses the screen of {size} around (0, 0)"
        )
    return (
        f"speed: at {speed:g} {unit}/s a bar of {length:g} {unit} crosses the screen between two "
        f"frames; at {screen.frame_rate:g} Hz try {length * screen.frame_rate / 2:g} {unit}/s"
    )
