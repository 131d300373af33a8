"""Natural-like movies: moving textures, flicker and noise, for fitting and testing models.

A movie is a row of *scenes* with a cut between them. In a scene a texture with the 1/f amplitude
spectrum of natural images (Field 1987) moves and turns, under flicker, or changes as noise does.
Each scene draws its own kind, speed, direction, contrast, grain and colour.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

TEXTURE = 64  # pixels of a periodic texture; frames are cut out of it
SPEEDS = (0.2, 1.5)  # pixels a frame; with 50 µm and 30 Hz: 300 to 2250 µm/s
TURN_DEG = 4.0  # largest turn a frame
STRETCH = 6.0  # longest grain over its width: half of the scenes have stalks rather than leaves
MOVING, STILL = 0.9, 0.04  # shares of scenes; what is left is noise
# Flashes drive direction-selective cells whatever their direction. Where noise and flicker are
# strong and frequent, cells of opposite directions answer alike, and none can be told apart.
NOISE_CONTRAST = 0.5  # over that of the textures
FLICKERING, FLICKER_CONTRAST = 0.1, 0.4  # share of scenes, and the strongest
SHARP = 0.5  # share of textures with hard edges
GREY = 0.3  # share of scenes in which both channels show the same


def movies(
    generator: torch.Generator,
    *,
    n: int,
    scenes: int,
    scene_frames: int,
    height: int,
    width: int,
) -> torch.Tensor:
    """Return movies of a number of scenes each, in Weber contrast around grey 0.

    Parameters
    ----------
    generator
        Source of every random draw.
    n
        Number of movies.
    scenes, scene_frames
        Scenes of each movie, and frames of each scene.
    height, width
        Size of a frame (pixels), at most 40.

    Returns
    -------
    torch.Tensor
        ``(n, 2, scenes * scene_frames, height, width)``, within [-1, 1].
    """
    total = n * scenes
    frames = scene_frames

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    textures = _textures(generator, total)
    kind = uniform(total)
    moving = kind < MOVING
    noisy = kind > MOVING + STILL
    places = _places(generator, moving, frames=frames, height=height, width=width)
    # Circular padding by one pixel lets positions wrap around the periodic texture.
    padded = F.pad(textures, (0, 1, 0, 1), mode="circular")
    seen = F.grid_sample(
        padded,
        places.remainder(TEXTURE).flatten(1, 2) * (2 / TEXTURE) - 1,
        mode="bilinear",
        align_corners=True,
    ).unflatten(2, (frames, height))
    noise = _noise(generator, total, frames=frames, height=height, width=width)
    pattern = torch.where(noisy[:, None, None, None, None], NOISE_CONTRAST * noise, seen)
    # Many scenes are faint: a retina is not always saturated.
    contrast = uniform(total, 1, 1, 1, 1, low=0.2, high=1.0)
    flickering = uniform(total, 1, 1) < FLICKERING
    strength = uniform(total, 1, 1, high=FLICKER_CONTRAST) * flickering
    flicker = strength * _flicker(generator, total, frames)
    mean = uniform(total, 2, 1, low=-0.2, high=0.2)
    made = contrast * pattern + (mean + flicker)[..., None, None]
    joined = made.clamp(-1, 1).unflatten(0, (n, scenes)).transpose(1, 2)
    return joined.flatten(2, 3).contiguous()


def _textures(generator: torch.Generator, n: int) -> torch.Tensor:
    """Return periodic textures ``(n, 2, height, width)`` of mean 0 and standard deviation 1."""
    frequency = torch.fft.fftfreq(TEXTURE) * TEXTURE
    radius = torch.hypot(frequency[:, None], frequency[None, : TEXTURE // 2 + 1]).clamp(min=1.0)
    steepness = 0.4 + 1.2 * torch.rand(n, 1, 1, 1, generator=generator)
    spectrum = torch.fft.rfft2(torch.randn(n, 2, TEXTURE, TEXTURE, generator=generator))
    fields = torch.fft.irfft2(spectrum * radius**-steepness, s=(TEXTURE, TEXTURE))
    fields = _standard(_coloured(generator, fields))
    sharp = torch.rand(n, 1, 1, 1, generator=generator) < SHARP
    return torch.where(sharp, torch.tanh(6 * fields), fields)


def _places(
    generator: torch.Generator, moving: torch.Tensor, *, frames: int, height: int, width: int
) -> torch.Tensor:
    """Return where in the texture each pixel looks: ``(n, frames, height, width, 2)``, (x, y)."""
    n = len(moving)

    def draw() -> torch.Tensor:
        return torch.rand(n, 1, generator=generator)

    slowest, fastest = map(math.log, SPEEDS)
    speed = torch.exp(slowest + (fastest - slowest) * draw()) * moving[:, None]
    direction = 2 * math.pi * draw()
    time = torch.arange(frames)
    # Half of the motions begin or end within the scene.
    begin, end = frames * (draw() - 0.5), frames * (draw() + 0.5)
    on = ((time >= begin) & (time < end)).float()
    path = torch.cumsum(speed * on, dim=1)
    turning = (draw() < 0.3) & moving[:, None]
    turn = math.radians(TURN_DEG) * (2 * draw() - 1) * turning
    angle = (2 * math.pi * draw() + torch.cumsum(turn * on, dim=1))[..., None, None]
    x = torch.arange(width) - (width - 1) / 2
    y = (torch.arange(height) - (height - 1) / 2)[:, None]
    start = TEXTURE * torch.rand(n, 2, 1, 1, 1, generator=generator)
    path = path[..., None, None]
    direction = direction[..., None, None]
    across = x * angle.cos() - y * angle.sin() + path * direction.cos()
    down = x * angle.sin() + y * angle.cos() + path * direction.sin()
    stretched = draw() < 0.5
    stretch = torch.where(stretched, 1 + (STRETCH - 1) * draw(), torch.ones(()))
    down = down / stretch[..., None, None]
    return torch.stack([across + start[:, 0], down + start[:, 1]], dim=-1)


def _noise(
    generator: torch.Generator, n: int, *, frames: int, height: int, width: int
) -> torch.Tensor:
    """Return binary noise whose checks and updates are 1 or 2 pixels and frames."""
    sizes = 2 ** torch.randint(0, 2, (2, n), generator=generator)
    signs = torch.randn(n, 2, frames, height, width, generator=generator)
    signs = _coloured(generator, signs).sign()
    element = torch.arange(n)[:, None, None, None]
    update = torch.arange(frames)[:, None, None] // sizes[0].view(-1, 1, 1, 1)
    check = sizes[1].view(-1, 1, 1, 1)
    row = torch.arange(height)[:, None] // check
    column = torch.arange(width) // check
    return signs.movedim(1, -1)[element, update, row, column].movedim(-1, 1)


def _flicker(generator: torch.Generator, n: int, frames: int) -> torch.Tensor:
    """Return the course of full-field flicker ``(n, 2, frames)``: steps, or smooth waves."""
    course = torch.randn(n, 2, frames, generator=generator)
    course = _coloured(generator, course[..., None])[..., 0]
    smooth = torch.rand(n, 1, 1, generator=generator) < 0.5
    width = 5
    waves = F.avg_pool1d(course, width, stride=1, padding=width // 2, count_include_pad=False)
    held = torch.arange(frames) // 12 * 12
    return torch.where(smooth, waves * math.sqrt(width), course[..., held])


def _coloured(generator: torch.Generator, independent: torch.Tensor) -> torch.Tensor:
    """Mix the two channels: alike in some scenes, with a correlation drawn for each of others."""
    n = len(independent)
    correlation = 2 * torch.rand(n, generator=generator) - 1
    grey = torch.rand(n, generator=generator) < GREY
    correlation = torch.where(grey, torch.ones(()), correlation)
    correlation = correlation.view(-1, *[1] * (independent.dim() - 2))
    first, second = independent.unbind(1)
    mixed = correlation * first + (1 - correlation**2).sqrt() * second
    return torch.stack([first, mixed], dim=1)


def _standard(fields: torch.Tensor) -> torch.Tensor:
    """Bring each field to mean 0 and standard deviation 1."""
    fields = fields - fields.mean(dim=(-2, -1), keepdim=True)
    return fields / fields.std(dim=(-2, -1), keepdim=True)
