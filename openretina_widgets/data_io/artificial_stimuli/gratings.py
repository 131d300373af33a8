"""Drifting and counterphase gratings."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Point,
    Recipe,
    as_screen,
    check_contrast,
    check_finite,
    check_name,
    check_point,
    length_name,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.coverage import pixel_centres, unit_vector
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.spots import aperture
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)
from openretina_widgets.data_io.artificial_stimuli.waveform import (
    WAVEFORMS,
    check_spatial_frequency,
    check_temporal_frequency,
    waveform_of,
)
from openretina_widgets.data_io.artificial_stimuli.whole_cycles import (
    grating_length,
    whole_cycles,
)


def drifting_grating(
    screen_or_model: Any,
    *,
    spatial_frequency: float | None = None,
    temporal_frequency: float = 2.0,
    direction: float = 0.0,
    contrast: float = 1.0,
    phase_deg: float = 0.0,
    waveform: str = "sine",
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    cycles: int | None = None,
    duration_s: float | None = None,
    settle_s: float | None = None,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a grating that drifts.

    Its contrast is ``contrast * wave(f u − g t + phase)``, with the spatial frequency f, the
    temporal frequency g, the distance u from `centre` along the direction of motion, exact at the
    middle of each pixel, and the time t since its onset. The wave rises, or turns bright, at a
    phase of 0. The window is the last whole number of temporal cycles after it has settled; where
    none fits, a note says so and the window is the whole grating.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    spatial_frequency
        Cycles per mm, or per px where the pixel size is not known. 0 for flicker without bars.
        Two cycles over the shorter side of the screen when not given.
    temporal_frequency
        Cycles per second (Hz), at most half the frame rate. 0 for a grating that stands.
    direction
        Of motion, in degrees counter-clockwise: 0 to the right, 90 up the screen. The bars lie at
        ``direction - 90``, modulo 180.
    contrast
        Michelson contrast, in [0, 1].
    phase_deg
        At the centre at its onset (degrees).
    waveform
        ``"sine"`` or ``"square"``.
    diameter, centre
        Of a round window (µm, or px where the pixel size is not known), with x to the right and y
        up from the middle of the screen; no window without a diameter.
    cycles
        Temporal cycles to show after it has settled. Without it and `duration_s`: those of about
        1 s, more where that fills whole frames.
    duration_s
        Length without the lead-in (s), instead of `cycles`.
    settle_s
        Time before the window can begin (s). As much as the model consumes when not given: from
        then on it sees the grating alone.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If a frequency is above what pixels or frames can show, or another argument is out of
        range; the message says what would do.
    """
    angle = check_finite(direction, "direction")
    return _grating(
        as_screen(screen_or_model),
        "drifting grating",
        angle,
        {"direction_deg": angle, "orientation_deg": (angle - 90.0) % 180.0},
        spatial_frequency,
        temporal_frequency,
        contrast,
        phase_deg,
        waveform,
        diameter,
        centre,
        cycles,
        duration_s,
        settle_s,
        channel_weights,
        before_s,
    )


def counterphase_grating(
    screen_or_model: Any,
    *,
    spatial_frequency: float | None = None,
    temporal_frequency: float = 2.0,
    orientation: float = 0.0,
    contrast: float = 1.0,
    phase_deg: float = 0.0,
    waveform: str = "sine",
    diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    cycles: int | None = None,
    duration_s: float | None = None,
    settle_s: float | None = None,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a grating that stands and reverses its contrast.

    Its contrast is ``contrast * wave(f u + phase) * wave(g t)``; the parameters that are not listed
    here, the window, and what is raised are those of `drifting_grating`.

    Parameters
    ----------
    orientation
        Direction of the bars, in degrees counter-clockwise: 0 horizontal, 90 vertical.
    temporal_frequency
        Full cycles of reversal per second (Hz): contrast changes sign twice in each.
    phase_deg
        Of the bars at the centre (degrees).
    """
    angle = check_finite(orientation, "orientation")
    return _grating(
        as_screen(screen_or_model),
        "counterphase grating",
        angle + 90.0,
        {"orientation_deg": angle % 180.0},
        spatial_frequency,
        temporal_frequency,
        contrast,
        phase_deg,
        waveform,
        diameter,
        centre,
        cycles,
        duration_s,
        settle_s,
        channel_weights,
        before_s,
    )


def generate_gratings(
    shape: Sequence[int],
    *,
    temporal_frequency: float = 1.0,
    spatial_frequency: float = 0.1,
    direction: float = 0.0,
    contrast: float = 1.0,
    phase_deg: float = 0.0,
    waveform: str = "sine",
    frame_rate: float = 30.0,
    channel_weights: Sequence[float] | None = None,
) -> torch.Tensor:
    """Return a drifting grating of a shape, from the first frame to the last.

    `drifting_grating` is the same with the units of a model, grey before it, and a window of whole
    cycles; this one knows no model. A grating slower than ``frame_rate / time`` does not complete a
    cycle.

    Parameters
    ----------
    shape
        ``(batch, channel, time, height, width)``, such as ``model.stimulus_shape(time_steps=30)``.
    temporal_frequency
        Cycles per second (Hz), at most half the frame rate.
    spatial_frequency
        Cycles per px, at most 0.5 along either side.
    direction
        Of motion, in degrees counter-clockwise: 0 to the right, 90 up the screen.
    contrast
        Largest value, around 0, in [0, 1].
    phase_deg
        In the middle of the image in the first frame (degrees).
    waveform
        ``"sine"`` or ``"square"``.
    frame_rate
        Frames per second (Hz).
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.

    Returns
    -------
    torch.Tensor
        Of that shape, float32; all elements of the batch are the same.

    Raises
    ------
    ValueError
        If the shape has not five positive lengths, or another argument is out of range.
    """
    expected = "expected five positive lengths (batch, channel, time, height, width)"
    try:
        lengths = tuple(operator.index(length) for length in shape)
    except TypeError:
        raise TypeError(f"shape: {expected}, got {shape!r}") from None
    if len(lengths) != 5 or min(lengths) < 1:
        raise ValueError(f"shape: {expected}, got {tuple(shape)}")
    batch, channels, frames, height, width = lengths
    screen = Screen(
        tuple(f"channel {k}" for k in range(channels)), height, width, frame_rate=frame_rate
    )
    stimulus = drifting_grating(
        screen,
        spatial_frequency=spatial_frequency,
        temporal_frequency=temporal_frequency,
        direction=direction,
        contrast=contrast,
        phase_deg=phase_deg,
        waveform=waveform,
        duration_s=frames / frame_rate,
        channel_weights=channel_weights,
    )
    return stimulus.batch.repeat(batch, 1, 1, 1, 1)


def _grating(
    screen: Screen,
    name: str,
    angle: float,
    angles: dict[str, float],
    spatial_frequency: float | None,
    temporal_frequency: float,
    contrast: float,
    phase_deg: float,
    waveform: str,
    diameter: float | None,
    centre: Point,
    cycles: int | None,
    duration_s: float | None,
    settle_s: float | None,
    channel_weights: Sequence[float] | None,
    before_s: float | None,
) -> ArtificialStimulus:
    check_name(waveform, "waveform", WAVEFORMS, "waveform")
    if spatial_frequency is None:
        spatial_frequency = screen.spatial_frequency(2 / max(4, min(screen.height, screen.width)))
    depth = check_contrast(contrast, low=0.0)
    phase = check_finite(phase_deg, "phase_deg") / 360.0
    notes = check_spatial_frequency(screen, spatial_frequency, angle, waveform)
    notes += check_temporal_frequency(screen.frame_rate, temporal_frequency, waveform)
    mask, parameters, seen = aperture(screen, diameter, centre)
    settle, frames = grating_length(screen, temporal_frequency, cycles, duration_s, settle_s)
    window, held, about_window = whole_cycles(screen, temporal_frequency, settle, frames)

    x, y = pixel_centres(screen, check_point(centre))
    cos, sin = unit_vector(angle)
    in_space = screen.cycles_per_pixel(spatial_frequency) * (x * cos + y * sin) + phase
    in_time = temporal_frequency * torch.arange(frames, dtype=torch.float64) / screen.frame_rate
    in_time = in_time[:, None, None]
    if name == "drifting grating":
        wave = waveform_of(in_space - in_time, waveform)
    else:
        wave = waveform_of(in_space, waveform) * waveform_of(in_time, waveform)
    if float(wave.abs().max()) < 1e-6:
        seen.append("every pixel lies where the grating is grey: another phase_deg shows it")
    per = f"cyc_per_{screen.space_unit_long}"
    if diameter is None and tuple(centre) != (0.0, 0.0):
        parameters = {length_name(screen, "centre"): check_point(centre)}
    return Recipe(
        screen,
        f"{'square-wave ' if waveform == 'square' else ''}{name}",
        mask * depth * wave,
        window=window,
        events=[StimulusEvent(name, 0, frames)],
        parameters={
            f"spatial_frequency_{per}": float(spatial_frequency),
            "temporal_frequency_hz": float(temporal_frequency),
            **angles,
            "contrast": depth,
            "phase_deg": float(phase_deg),
            "waveform": waveform,
            **parameters,
            "duration_s": screen.seconds(frames),
            "settle_s": screen.seconds(settle),
            "window_cycles": held,
        },
        notes=[*notes, *seen, *about_window],
        weights=weights_of(screen, channel_weights),
        before_s=before_s,
    ).build()
