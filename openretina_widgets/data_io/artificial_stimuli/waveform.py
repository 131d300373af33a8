"""Waves over time and space, and the frequencies that frames can show."""

from __future__ import annotations

import math

import torch

from openretina_widgets.data_io.artificial_stimuli.building import check_at_least
from openretina_widgets.data_io.artificial_stimuli.coverage import unit_vector
from openretina_widgets.data_io.artificial_stimuli.screen import Screen

WAVEFORMS = ("sine", "square")


def check_temporal_frequency(frame_rate: float, frequency: float, waveform: str) -> list[str]:
    """Check a temporal frequency (Hz) against the frame rate; return what a reader has to know."""
    check_at_least(frequency, "temporal_frequency", "Hz")
    nyquist = frame_rate / 2
    if frequency > nyquist * (1 + 1e-9):
        raise ValueError(
            f"temporal_frequency: {frequency:g} Hz is above half the frame rate of "
            f"{frame_rate:g} Hz; at most {nyquist:g} Hz can be shown"
        )
    if frequency > nyquist * (1 - 1e-9):
        return [
            f"{frequency:g} Hz is half the frame rate: frames alternate, the phase decides how "
            "strongly, and motion either way looks the same"
        ]
    if waveform == "square":
        half_period = frame_rate / frequency / 2 if frequency else 1.0
        if abs(half_period - round(half_period)) > 1e-6:
            return [
                f"half a period of {frequency:g} Hz takes {half_period:.3g} frames: the square "
                "wave is uneven from one period to the next"
            ]
    return []


def check_spatial_frequency(
    screen: Screen, frequency: float, angle_deg: float, waveform: str
) -> list[str]:
    """Check a spatial frequency against the pixels; return what a reader has to know.

    Pixels show at most half a cycle per px along either side, so more along a diagonal.
    """
    unit = f"cyc/{screen.space_unit_long}"
    check_at_least(frequency, "spatial_frequency", unit)
    steepest = max(map(abs, unit_vector(angle_deg)))
    along = screen.cycles_per_pixel(frequency) * steepest
    most = screen.spatial_frequency(0.5 / steepest)
    if along > 0.5 * (1 + 1e-9):
        raise ValueError(
            f"spatial_frequency: {frequency:g} {unit} at {angle_deg % 360:g}° is {along:.3g} "
            f"cycles per pixel along one side, above the 0.5 that pixels can show; at most "
            f"{most:.4g} {unit} in this direction"
        )
    if along > 0.5 * (1 - 1e-9):
        return [
            f"{frequency:g} {unit} is half a cycle per pixel: neighbours alternate, and the phase "
            "decides how strongly"
        ]
    if waveform == "square" and 3 * along > 0.5:
        return [
            f"the third harmonic of {frequency:g} {unit} is finer than the pixels: the bars of "
            "the square wave are uneven"
        ]
    return []


def waveform_of(cycles: torch.Tensor, waveform: str) -> torch.Tensor:
    """Return a wave in [-1, 1] of its phase in cycles; it rises, or is bright, from 0."""
    if waveform == "sine":
        return torch.sin(2 * math.pi * cycles)
    # Rounded, so that an edge that falls on a pixel or a frame falls the same way each time.
    return torch.where(torch.round(cycles, decimals=9) % 1.0 < 0.5, 1.0, -1.0).to(cycles.dtype)
