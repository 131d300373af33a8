"""Steps of light: flashes, contrast steps, the chirp, and the grid of green and UV contrasts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Point,
    Recipe,
    as_screen,
    check_at_least,
    check_contrast,
    check_count,
    check_frames,
    check_name,
    check_room,
    phases,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.spots import aperture
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)
from openretina_widgets.data_io.artificial_stimuli.waveform import (
    WAVEFORMS,
    check_temporal_frequency,
    waveform_of,
)

CONTRAST_STEPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)

# Phases of the chirp of Baden et al. (2016): what it is, and how long (s).
_CHIRP = (
    ("OFF", 2.0),
    ("ON step", 3.0),
    ("OFF step", 3.0),
    ("grey", 2.0),
    ("frequency sweep", 8.0),
    ("grey", 2.0),
    ("contrast ramp", 8.0),
    ("grey", 2.0),
    ("OFF", 3.0),
)
_CHIRP_LEVEL = {"OFF": -1.0, "ON step": 1.0, "OFF step": -1.0, "grey": 0.0}
_CHIRP_RATE = 1.0  # Hz per second
_CHIRP_RAMP_HZ = 2.0


def flash(
    screen_or_model: Any,
    *,
    contrast: float = 1.0,
    background: float = 0.0,
    on_s: float = 1.0,
    off_s: float = 1.0,
    repeats: int = 1,
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a flash: a step to a contrast, and back.

    Its window is the first flash, without the step back. The events ``"ON step"`` and
    ``"OFF step"`` are named by what the light does: a dark flash begins with an OFF step.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    contrast
        Of the flash, in [-1, 1].
    background
        Contrast before and after it, and during the lead-in, in [-1, 1].
    on_s, off_s
        How long the flash lasts, and what comes after it (s). `off_s` can be 0.
    repeats
        How often.
    diameter, centre
        Of a spot that flashes (µm, or px where the pixel size is not known), with x to the right
        and y up from the middle of the screen; the whole screen without a diameter.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Background before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, or no pixel sees the spot; the message says what would do.
    """
    screen = as_screen(screen_or_model)
    level, ground = check_contrast(contrast), check_contrast(background, "background")
    if level == ground:
        raise ValueError(f"contrast: {level:g} is that of the background; nothing would be seen")
    check_frames(screen, on_s, "on_s")
    check_at_least(off_s, "off_s", "s")
    n = check_count(repeats, "repeats")
    check_room(screen, n * (on_s + off_s) * screen.frame_rate, "repeats")
    cycles = phases(screen, [on_s, off_s] * n)
    mask, parameters, notes = aperture(screen, diameter, centre)
    steps = ("ON step", "OFF step") if level > ground else ("OFF step", "ON step")
    time = torch.full((cycles[-1][1], 1, 1), ground, dtype=torch.float64)
    events = []
    for k, (start, stop) in enumerate(cycles):
        if k % 2 == 0:
            time[start:stop] = level
        if stop > start:
            events.append(StimulusEvent(steps[k % 2], start, stop))
    return Recipe(
        screen,
        "full-field flash" if diameter is None else "spot flash",
        ground + mask * (time - ground),
        window=cycles[0],
        events=events,
        parameters={
            "contrast": level,
            "background": ground,
            "on_s": float(on_s),
            "off_s": float(off_s),
            "repeats": int(repeats),
            **parameters,
        },
        notes=notes,
        weights=weights_of(screen, channel_weights),
        background=ground,
        before_s=before_s,
    ).build()


def contrast_steps(
    screen_or_model: Any,
    *,
    contrasts: Sequence[float] = CONTRAST_STEPS,
    temporal_frequency: float = 2.0,
    step_s: float = 2.0,
    pause_s: float = 0.0,
    waveform: str = "sine",
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return flicker around grey whose contrast rises in steps: 10, 20, 40, 60, 80, 100 %.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    contrasts
        Of the steps, in their order, each in [0, 1].
    temporal_frequency
        Of the flicker (Hz), at most half the frame rate.
    step_s, pause_s
        How long each step lasts, and the grey after it (s).
    waveform
        ``"sine"`` or ``"square"``.
    diameter, centre
        Of a spot that flickers (µm, or px where the pixel size is not known), such as 100 µm, with
        x to the right and y up from the middle of the screen; the whole screen without a diameter.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, or no pixel sees the spot; the message says what would do.
    """
    screen = as_screen(screen_or_model)
    if not isinstance(contrasts, Iterable) or isinstance(contrasts, str):
        raise TypeError(f"contrasts: expected several numbers, got {contrasts!r}")
    levels = [check_contrast(level, "contrasts", low=0.0) for level in contrasts]
    if not levels:
        raise ValueError("contrasts: expected at least one, got none")
    check_name(waveform, "waveform", WAVEFORMS, "waveform")
    notes = check_temporal_frequency(screen.frame_rate, temporal_frequency, waveform)
    check_frames(screen, step_s, "step_s")
    check_at_least(pause_s, "pause_s", "s")
    mask, parameters, seen = aperture(screen, diameter, centre)
    steps = phases(screen, [step_s, pause_s] * len(levels))
    time = torch.zeros((steps[-1][1], 1, 1), dtype=torch.float64)
    events = []
    for level, (start, stop) in zip(levels, steps[::2], strict=True):
        seconds = torch.arange(stop - start, dtype=torch.float64) / screen.frame_rate
        wave = waveform_of(temporal_frequency * seconds, waveform)
        time[start:stop, 0, 0] = level * wave
        events.append(StimulusEvent(f"{100 * level:g} % contrast", start, stop))
    cycles = step_s * temporal_frequency
    if abs(cycles - round(cycles)) > 1e-6:
        notes.append(f"a step of {step_s:g} s holds {cycles:.3g} cycles, not a whole number")
    return Recipe(
        screen,
        "contrast steps",
        mask * time,
        window=(0, len(time)),
        events=events,
        parameters={
            "contrasts": tuple(levels),
            "temporal_frequency_hz": float(temporal_frequency),
            "step_s": float(step_s),
            "pause_s": float(pause_s),
            "waveform": waveform,
            **parameters,
        },
        notes=[*notes, *seen],
        weights=weights_of(screen, channel_weights),
        before_s=before_s,
    ).build()


def chirp(
    screen_or_model: Any,
    *,
    contrast: float = 1.0,
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return the chirp of Baden et al. (2016), 33 s.

    Dark for 2 s, bright for 3 s, dark for 3 s, grey for 2 s, a sweep of frequency
    ``sin(π K t²)`` from 0 to 8 Hz with K = 1 Hz/s for 8 s, grey for 2 s, a ramp of contrast from
    0 to 100 % at 2 Hz for 8 s, grey for 2 s, dark for 3 s. Counted from its onset, the ON step is
    at 2 s, the OFF step at 5 s, the frequency sweep from 10 to 18 s, the contrast ramp from 20 to
    28 s.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    contrast
        Factor on all contrasts, in (0, 1].
    diameter, centre
        Of a spot that shows it, the local chirp (µm, or px where the pixel size is not known),
        with x to the right and y up from the middle of the screen; the whole screen without a
        diameter.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, or no pixel sees the spot; the message says what would do.
    """
    screen = as_screen(screen_or_model)
    depth = check_contrast(contrast, low=0.0)
    check_at_least(depth, "contrast", above=True)
    mask, parameters, notes = aperture(screen, diameter, centre)
    parts = phases(screen, [seconds for _, seconds in _CHIRP])
    time = torch.empty((parts[-1][1], 1, 1), dtype=torch.float64)
    for (what, seconds), (start, stop) in zip(_CHIRP, parts, strict=True):
        at = torch.arange(stop - start, dtype=torch.float64) / screen.frame_rate
        if what == "frequency sweep":
            part = torch.sin(math.pi * _CHIRP_RATE * at**2)
        elif what == "contrast ramp":
            part = at / seconds * torch.sin(2 * math.pi * _CHIRP_RAMP_HZ * at)
        else:
            part = torch.full_like(at, _CHIRP_LEVEL[what])
        time[start:stop, 0, 0] = depth * part
    fastest = _CHIRP_RATE * 8.0
    if screen.frame_rate / 2 < fastest:
        reached = screen.frame_rate / 2
        notes.append(
            f"at {screen.frame_rate:g} Hz frequencies above {reached:g} Hz cannot be shown: the "
            f"sweep to {fastest:g} Hz turns back after {reached / _CHIRP_RATE:g} s of it"
        )
    if screen.frame_rate / 2 < _CHIRP_RAMP_HZ:
        notes.append(f"at {screen.frame_rate:g} Hz the {_CHIRP_RAMP_HZ:g} Hz ramp is not shown")
    return Recipe(
        screen,
        "chirp" if diameter is None else "local chirp",
        mask * time,
        window=(0, len(time)),
        events=[
            StimulusEvent(what, start, stop)
            for (what, _), (start, stop) in zip(_CHIRP, parts, strict=True)
            if stop > start
        ],
        parameters={
            "contrast": depth,
            "frequency_rate_hz_per_s": _CHIRP_RATE,
            "ramp_frequency_hz": _CHIRP_RAMP_HZ,
            **parameters,
        },
        notes=notes,
        weights=weights_of(screen, channel_weights),
        before_s=before_s,
    ).build()


def chromatic_contrast(
    screen_or_model: Any,
    *,
    green: float,
    uv: float,
    duration_s: float = 1.0,
    after_s: float = 0.0,
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a step of green and of UV contrast: a cell of the chromatic grid.

    Parameters
    ----------
    screen_or_model
        Where it is shown; it needs two channels, green and UV in this order.
    green, uv
        Contrast of each channel, in [-1, 1].
    duration_s, after_s
        How long the step lasts, and the grey after it (s).
    diameter, centre
        Of a spot (µm, or px where the pixel size is not known), with x to the right and y up from
        the middle of the screen; the whole screen without a diameter.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If the screen does not have two channels, an argument is out of range, or no pixel sees
        the spot.
    """
    screen = as_screen(screen_or_model)
    if len(screen.channels) != 2:
        raise ValueError(
            "screen_or_model: chromatic contrast needs two channels, green and UV; this one shows "
            f"{len(screen.channels)}: {', '.join(screen.channels)}"
        )
    contrasts = [check_contrast(green, "green"), check_contrast(uv, "uv")]
    frames = check_frames(screen, duration_s, "duration_s")
    after = screen.frames(check_at_least(after_s, "after_s", "s"))
    mask, parameters, notes = aperture(screen, diameter, centre)
    movie = torch.zeros((2, frames + after, *mask.shape), dtype=torch.float64)
    movie[:, :frames] = torch.tensor(contrasts, dtype=torch.float64)[:, None, None, None] * mask
    if tuple(name.lower() for name in screen.channels) != ("green", "uv"):
        notes.append(f"the channels are {screen.channels}: the first is green here, the second UV")
    first, second = screen.channels
    step = f"{first} {contrasts[0]:+g}, {second} {contrasts[1]:+g}"
    return Recipe(
        screen,
        "chromatic contrast",
        movie,
        window=(0, frames),
        events=[StimulusEvent(step, 0, frames)]
        + ([StimulusEvent("grey", frames, frames + after)] if after else []),
        parameters={
            "green": contrasts[0],
            "uv": contrasts[1],
            "duration_s": screen.seconds(frames),
            "after_s": screen.seconds(after),
            **parameters,
        },
        notes=notes,
        before_s=before_s,
    ).build()
