"""Noise: uniform, binary, Gaussian and 1/f, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Recipe,
    as_screen,
    check_at_least,
    check_contrast,
    check_frames,
    check_seed,
    length_name,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)


def uniform_noise(
    screen_or_model: Any,
    *,
    seed: int = 0,
    contrast: float = 1.0,
    check_size: float | None = None,
    update_rate_hz: float | None = None,
    duration_s: float = 10.0,
    independent_channels: bool = True,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return noise whose values are uniform in [-contrast, contrast].

    Each check takes a new value at each update. It is seen by the pixels whose centres it holds.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    seed
        Of the random numbers.
    contrast
        Largest contrast, in [0, 1]; the root mean square is 1/√3 of it.
    check_size
        Side of a check (µm, or px where the pixel size is not known), at least a pixel. A pixel
        when not given.
    update_rate_hz
        New images per second (Hz), at most the frame rate. The frame rate when not given.
    duration_s
        Length without the lead-in (s).
    independent_channels
        Whether each channel has a noise of its own, or all have the same.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Returns
    -------
    ArtificialStimulus
        Its ``parameters["rms_contrast"]`` is the root mean square contrast that came out.

    Raises
    ------
    ValueError
        If an argument is out of range; the message says what would do.
    """
    draw = _Draw(screen_or_model, seed, check_size, update_rate_hz, duration_s)
    limit = check_contrast(contrast, low=0.0)
    values = draw.uniform(independent_channels) * 2 * limit - limit
    return draw.stimulus("uniform noise", values, limit, channel_weights, before_s)


def binary_noise(
    screen_or_model: Any,
    *,
    seed: int = 0,
    contrast: float = 1.0,
    check_size: float | None = None,
    update_rate_hz: float | None = None,
    duration_s: float = 10.0,
    independent_channels: bool = True,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return dense binary noise: each check is as often bright as dark.

    The other parameters, and what is returned and raised, are those of `uniform_noise`.

    Parameters
    ----------
    contrast
        Of each check, in [0, 1]; also the root mean square.
    """
    draw = _Draw(screen_or_model, seed, check_size, update_rate_hz, duration_s)
    limit = check_contrast(contrast, low=0.0)
    bright = draw.uniform(independent_channels) < 0.5
    values = torch.where(bright, limit, -limit)
    return draw.stimulus("dense binary noise", values, limit, channel_weights, before_s)


def gaussian_noise(
    screen_or_model: Any,
    *,
    seed: int = 0,
    contrast: float = 0.3,
    check_size: float | None = None,
    update_rate_hz: float | None = None,
    duration_s: float = 10.0,
    independent_channels: bool = True,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return Gaussian noise.

    The other parameters, and what is returned and raised, are those of `uniform_noise`.

    Parameters
    ----------
    contrast
        Root mean square, in [0, 1]. Values beyond ±1 are cut there; a note says how many.
    """
    draw = _Draw(screen_or_model, seed, check_size, update_rate_hz, duration_s)
    limit = check_contrast(contrast, low=0.0)
    values = draw.normal(independent_channels, draw.checks) * limit
    return draw.stimulus("Gaussian noise", values, limit, channel_weights, before_s)


def pink_noise(
    screen_or_model: Any,
    *,
    seed: int = 0,
    contrast: float = 0.3,
    check_size: float | None = None,
    update_rate_hz: float | None = None,
    duration_s: float = 10.0,
    independent_channels: bool = True,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return noise whose amplitude falls with spatial frequency as 1/f, white over time.

    The other parameters, and what is returned and raised, are those of `uniform_noise`.

    Parameters
    ----------
    contrast
        Root mean square, in [0, 1], on average over seeds. Values beyond ±1 are cut there; a note
        says how many.
    """
    draw = _Draw(screen_or_model, seed, check_size, update_rate_hz, duration_s)
    limit = check_contrast(contrast, low=0.0)
    # Cut out of images twice as large: the transform's images join at their opposite edges.
    rows, columns = (2 * n for n in draw.checks)
    amplitude = _one_over_f(rows, columns)
    white = draw.normal(independent_channels, (rows, columns))
    values = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(rows, columns))
    values = values[..., : draw.checks[0], : draw.checks[1]] * limit
    return draw.stimulus("1/f noise", values, limit, channel_weights, before_s)


def _one_over_f(rows: int, columns: int) -> torch.Tensor:
    """Return amplitudes ∝ 1/f, none at f = 0, that leave the variance of white noise at 1."""
    down = torch.fft.fftfreq(rows, dtype=torch.float64)[:, None]
    across = torch.fft.fftfreq(columns, dtype=torch.float64)[None, :]
    frequency = torch.sqrt(down**2 + across**2)
    amplitude = torch.where(frequency > 0, 1 / frequency.clamp_min(1e-12), 0.0)
    amplitude = amplitude / amplitude.square().mean().sqrt()
    return amplitude[:, : columns // 2 + 1]


class _Draw:
    """The random numbers of a noise, and the checks and updates that they are for."""

    def __init__(
        self,
        screen_or_model: Any,
        seed: int,
        check_size: float | None,
        update_rate_hz: float | None,
        duration_s: float,
    ) -> None:
        self.screen: Screen = as_screen(screen_or_model)
        self.seed = check_seed(seed)
        self.generator = torch.Generator().manual_seed(self.seed)
        size = self.screen.length(1.0) if check_size is None else check_size
        check_at_least(size, "check_size", self.screen.space_unit, above=True)
        self.check_px = self.screen.pixels(size)
        self.check_size = self.screen.length(self.check_px)
        if self.check_px < 1.0 - 1e-9:
            raise ValueError(
                f"check_size: {self.check_size:g} {self.screen.space_unit} is finer than a pixel; "
                f"the smallest is {self.screen.length(1):g} {self.screen.space_unit}"
            )
        self.frames = check_frames(self.screen, duration_s, "duration_s")
        rate = self.screen.frame_rate
        self.update_rate_hz = rate if update_rate_hz is None else update_rate_hz
        check_at_least(self.update_rate_hz, "update_rate_hz", "Hz", above=True)
        if self.update_rate_hz > rate * (1 + 1e-9):
            raise ValueError(
                f"update_rate_hz: {self.update_rate_hz:g} Hz is above the frame rate, {rate:g} Hz"
            )
        seconds = torch.arange(self.frames, dtype=torch.float64) / rate
        self.update_of_frame = torch.floor(seconds * self.update_rate_hz + 1e-6).long()
        self.check_of = [
            torch.floor((torch.arange(pixels) + 0.5) / self.check_px + 1e-9).long()
            for pixels in (self.screen.height, self.screen.width)
        ]
        self.checks = (int(self.check_of[0][-1]) + 1, int(self.check_of[1][-1]) + 1)

    def _shape(self, independent: bool, checks: tuple[int, int]) -> tuple[int, int, int, int]:
        channels = len(self.screen.channels) if independent else 1
        return (channels, int(self.update_of_frame[-1]) + 1, *checks)

    def uniform(self, independent: bool) -> torch.Tensor:
        """Return numbers in [0, 1): ``(channel, update, row, column)``."""
        shape = self._shape(independent, self.checks)
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def normal(self, independent: bool, checks: tuple[int, int]) -> torch.Tensor:
        """Return standard normal numbers: ``(channel, update, row, column)``."""
        shape = self._shape(independent, checks)
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def stimulus(
        self,
        name: str,
        values: torch.Tensor,
        contrast: float,
        channel_weights: Sequence[float] | None,
        before_s: float | None,
    ) -> ArtificialStimulus:
        """Show the value of each check to its pixels, and for as long as it lasts."""
        notes = []
        cut = float((values.abs() > 1.0).double().mean())
        if cut:
            values = values.clamp(-1.0, 1.0)
            notes.append(f"{cut:.2%} of the values lay beyond a contrast of ±1 and were cut there")
        rows, columns = self.check_of
        movie = values[:, :, rows][..., columns][:, self.update_of_frame]
        frames_each = self.screen.frame_rate / self.update_rate_hz
        if abs(frames_each - round(frames_each)) > 1e-6:
            notes.append(
                f"an update takes {frames_each:.3g} frames, so that not all last equally long"
            )
        if any(abs(n / self.check_px - round(n / self.check_px)) > 1e-6 for n in self._size()):
            notes.append(
                f"checks of {self.check_px:g} px do not fill the screen of "
                f"{self._size()[0]} × {self._size()[1]} px evenly: some are cut"
            )
        recipe = Recipe(
            self.screen,
            name,
            movie,
            window=(0, self.frames),
            events=[StimulusEvent(name, 0, self.frames)],
            parameters={
                "seed": self.seed,
                "contrast": contrast,
                "rms_contrast": math.sqrt(float(movie.square().mean())),
                length_name(self.screen, "check_size"): self.check_size,
                "update_rate_hz": float(self.update_rate_hz),
                "duration_s": self.screen.seconds(self.frames),
            },
            notes=notes,
            weights=weights_of(self.screen, channel_weights),
            before_s=before_s,
        )
        return recipe.build()

    def _size(self) -> tuple[int, int]:
        return self.screen.height, self.screen.width
