"""Stimuli of a few parameters with names and units, so that an optimum can be read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from openretina_widgets.errors import check_positive

Parameters = dict[str, tuple[torch.Tensor, str]]
"""By name: a value for each element, ``(batch, ...)``, and its unit."""


class Geometry(NamedTuple):
    """What parameters are measured in: the stimulus' size, rate (Hz) and pixel (µm)."""

    channels: int
    frames: int
    height: int
    width: int
    frame_rate: float = 30.0
    pixel_size_um: float | None = None

    def length(self, pixels: torch.Tensor) -> tuple[torch.Tensor, str]:
        """Return a length in µm, or in pixels where their size is not known."""
        if self.pixel_size_um is None:
            return pixels, "px"
        return pixels * self.pixel_size_um, "µm"

    def spatial_frequency(self, per_pixel: torch.Tensor) -> tuple[torch.Tensor, str]:
        """Return a spatial frequency in cycles/mm, or in cycles/px."""
        if self.pixel_size_um is None:
            return per_pixel, "cycles/px"
        return per_pixel * (1000 / self.pixel_size_um), "cycles/mm"


class Parametrization(Protocol):
    """Makes stimuli of any amplitude from free variables, whose start is standard normal."""

    def count(self, geometry: Geometry) -> int:
        """Return the number of variables of a stimulus."""
        ...

    def decoded(self, raw: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return stimuli from variables ``(batch, variable)``, differentiably."""
        ...

    def parameters(
        self, raw: torch.Tensor, geometry: Geometry, amplitude: torch.Tensor
    ) -> Parameters:
        """Return what the variables stand for; `amplitude` scales what `decoded` gave."""
        ...


@dataclass(frozen=True)
class Separable:
    """In each channel a spatial pattern times a course in time (a matrix of rank 1).

    The parameters are ``space`` ``(batch, channel, height, width)`` of length 1, and ``time``
    ``(batch, channel, time)`` in model units, whose largest value is positive. Their product is
    the stimulus.
    """

    def count(self, geometry: Geometry) -> int:
        """Return the number of variables of a stimulus."""
        return geometry.channels * (geometry.frames + geometry.height * geometry.width)

    def _parts(self, raw: torch.Tensor, g: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
        time, space = raw.split([g.channels * g.frames, g.channels * g.height * g.width], dim=1)
        return (
            time.view(-1, g.channels, g.frames, 1, 1),
            space.view(-1, g.channels, 1, g.height, g.width),
        )

    def decoded(self, raw: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return stimuli from variables ``(batch, variable)``, differentiably."""
        time, space = self._parts(raw, geometry)
        return time * space

    def parameters(
        self, raw: torch.Tensor, geometry: Geometry, amplitude: torch.Tensor
    ) -> Parameters:
        """Return space and time; see the class."""
        time, space = self._parts(raw, geometry)
        length = space.square().sum(dim=(3, 4), keepdim=True).sqrt().clamp(min=1e-30)
        time, space = time * length * amplitude.view(-1, 1, 1, 1, 1), space / length
        largest = time.gather(2, time.abs().argmax(dim=2, keepdim=True))
        sign = torch.where(largest < 0, -1.0, 1.0)
        return {
            "space": ((space * sign)[:, :, 0], "1"),
            "time": ((time * sign)[..., 0, 0], "model units"),
        }


@dataclass(frozen=True)
class GaborSinusoid:
    """A Gabor patch times a sinusoid in time, the same in each channel but for its contrast.

    With x to the right and y up from the patch's own centre, x' = x cos θ + y sin θ and t = 0 in
    the first frame, it is ``contrast · exp(-(x² + y²) / 2 σ²) · cos(2π f x' + φ) ·
    sin(2π g t + ψ)``, where x' runs across the bars: θ = orientation + 90°. ``drifting`` makes it
    ``contrast · exp(…) · cos(2π f x' - 2π g t + φ)``, which moves along θ = direction.

    The parameters are ``centre_x`` and ``centre_y`` from the frame's middle, to the right and up,
    ``sigma``, ``orientation`` (°, that of the bars, in [0, 180), 0° horizontal and 90° vertical),
    ``direction`` (°, of motion, in [0, 360), 0° to the right and 90° up; none where it stands),
    ``spatial_frequency`` f, ``spatial_phase`` φ (°), ``temporal_frequency`` g (Hz),
    ``temporal_phase`` ψ (°, none where it drifts) and ``contrast`` ``(batch, channel)`` (model
    units). Several different sets of them may be optima: start from several seeds.

    Parameters
    ----------
    drifting
        Whether it drifts, or stands and changes its sign.
    """

    drifting: bool = False

    def count(self, geometry: Geometry) -> int:
        """Return the number of variables of a stimulus."""
        return 8 + geometry.channels

    def _parts(self, raw: torch.Tensor, g: Geometry) -> Iterator[torch.Tensor]:
        x, y, sigma, angle, frequency, phase, rate, start = raw[:, :8].unbind(1)
        size = max(g.height, g.width)
        yield (g.width / 2) * torch.tanh(x / 2)
        yield (g.height / 2) * torch.tanh(y / 2)
        yield _between(sigma, 0.5, size)
        yield angle * (math.pi / 2)
        yield _between(frequency, 0.25 / size, 0.5)
        yield phase * math.pi
        yield _between(rate, 0.25 / g.frames, 0.5)  # cycles a frame
        yield start * math.pi

    def decoded(self, raw: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return stimuli from variables ``(batch, variable)``, differentiably."""
        x0, y0, sigma, angle, frequency, phase, rate, start = (
            part.view(-1, 1, 1, 1, 1) for part in self._parts(raw, geometry)
        )
        x, y = _pixels(geometry, raw)
        x, y = x - x0, y - y0
        envelope = torch.exp(-(x.square() + y.square()) / (2 * sigma.square()))
        along = 2 * math.pi * frequency * (x * angle.cos() + y * angle.sin()) + phase
        time = torch.arange(geometry.frames, dtype=raw.dtype, device=raw.device)
        turned = 2 * math.pi * rate * time.view(1, 1, -1, 1, 1)
        wave = (
            torch.cos(along - turned)
            if self.drifting
            else torch.cos(along) * torch.sin(turned + start)
        )
        return raw[:, 8:].view(-1, geometry.channels, 1, 1, 1) * envelope * wave

    def parameters(
        self, raw: torch.Tensor, geometry: Geometry, amplitude: torch.Tensor
    ) -> Parameters:
        """Return the parameters; see the class."""
        x, y, sigma, angle, frequency, phase, rate, start = self._parts(raw, geometry)
        angles = _angles(torch.rad2deg(angle), torch.rad2deg(phase), self.drifting)
        named: Parameters = {
            "centre_x": geometry.length(x),
            "centre_y": geometry.length(-y),
            "sigma": geometry.length(sigma),
            **{name: (degrees, "°") for name, degrees in angles.items()},
            "spatial_frequency": geometry.spatial_frequency(frequency),
            "temporal_frequency": (rate * geometry.frame_rate, "Hz"),
            "contrast": (raw[:, 8:] * amplitude[:, None], "model units"),
        }
        if not self.drifting:
            named["temporal_phase"] = (torch.rad2deg(start) % 360, "°")
        return named


@dataclass(frozen=True)
class DifferenceOfGaussians:
    """A centre and a wider surround of the other sign, times a course in time for each channel.

    It is ``(exp(-d² / 2 σ²) - surround · exp(-d² / 2 (ratio σ)²)) · time``, with d from its
    centre. The parameters are ``centre_x`` and ``centre_y`` from the frame's middle, to the right
    and up, ``sigma``, ``ratio`` (from 1.1 to 6), ``surround`` (from 0 to 1), and ``time``
    ``(batch, channel, time)`` in model units.
    """

    def count(self, geometry: Geometry) -> int:
        """Return the number of variables of a stimulus."""
        return 5 + geometry.channels * geometry.frames

    def _parts(self, raw: torch.Tensor, g: Geometry) -> Iterator[torch.Tensor]:
        x, y, sigma, ratio, surround = raw[:, :5].unbind(1)
        yield (g.width / 2) * torch.tanh(x / 2)
        yield (g.height / 2) * torch.tanh(y / 2)
        yield _between(sigma, 0.5, max(g.height, g.width))
        yield _between(ratio, 1.1, 6.0)
        yield torch.sigmoid(surround)

    def decoded(self, raw: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return stimuli from variables ``(batch, variable)``, differentiably."""
        x0, y0, sigma, ratio, surround = (
            part.view(-1, 1, 1, 1, 1) for part in self._parts(raw, geometry)
        )
        x, y = _pixels(geometry, raw)
        square = ((x - x0).square() + (y - y0).square()) / (2 * sigma.square())
        space = torch.exp(-square) - surround * torch.exp(-square / ratio.square())
        return raw[:, 5:].view(-1, geometry.channels, geometry.frames, 1, 1) * space

    def parameters(
        self, raw: torch.Tensor, geometry: Geometry, amplitude: torch.Tensor
    ) -> Parameters:
        """Return the parameters; see the class."""
        x, y, sigma, ratio, surround = self._parts(raw, geometry)
        time = raw[:, 5:].view(-1, geometry.channels, geometry.frames)
        return {
            "centre_x": geometry.length(x),
            "centre_y": geometry.length(-y),
            "sigma": geometry.length(sigma),
            "ratio": (ratio, "1"),
            "surround": (surround, "1"),
            "time": (time * amplitude.view(-1, 1, 1), "model units"),
        }


@dataclass(frozen=True)
class LowFrequencies:
    """The cosine transform up to a highest frequency in space and in time.

    The parameters are ``coefficients`` ``(batch, channel, time, height, width)`` of the orthonormal
    cosine transform (DCT-II), so that their length is that of the stimulus; the k-th of an axis
    of n has k / 2n cycles a pixel or frame.

    Parameters
    ----------
    cycles_per_pixel, hz
        Highest frequencies that are left, in height and width and in time; None for all.
    """

    cycles_per_pixel: float | None = 0.125
    hz: float | None = None

    def __post_init__(self) -> None:
        for name in ("cycles_per_pixel", "hz"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_positive(value, name))

    def _sizes(self, g: Geometry) -> tuple[int, int, int]:
        per_frame = None if self.hz is None else self.hz / g.frame_rate
        time, height, width = (
            n if most is None else min(n, math.floor(2 * n * most + 1e-9) + 1)
            for n, most in (
                (g.frames, per_frame),
                (g.height, self.cycles_per_pixel),
                (g.width, self.cycles_per_pixel),
            )
        )
        return time, height, width

    def count(self, geometry: Geometry) -> int:
        """Return the number of variables of a stimulus."""
        return geometry.channels * math.prod(self._sizes(geometry))

    def decoded(self, raw: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """Return stimuli from variables ``(batch, variable)``, differentiably."""
        sizes = self._sizes(geometry)
        waves = [
            cosines(n, raw.dtype, raw.device)[:kept]
            for n, kept in zip(geometry[1:4], sizes, strict=True)
        ]
        coefficients = raw.view(-1, geometry.channels, *sizes)
        return torch.einsum("bckij,kt,ih,jw->bcthw", coefficients, *waves)

    def parameters(
        self, raw: torch.Tensor, geometry: Geometry, amplitude: torch.Tensor
    ) -> Parameters:
        """Return the coefficients; see the class."""
        values = raw.view(-1, geometry.channels, *self._sizes(geometry))
        return {"coefficients": (values * amplitude.view(-1, 1, 1, 1, 1), "model units")}


def _angles(across: torch.Tensor, phase: torch.Tensor, drifting: bool) -> dict[str, torch.Tensor]:
    """Return angles by name (°) from that of the wave, clockwise with y down, and its phase."""
    across = -across % 360  # counter-clockwise, with y up
    if drifting:
        return {
            "orientation": (across - 90) % 180,
            "direction": across,
            "spatial_phase": phase % 360,
        }
    # A standing wave is the same one half a turn further, with its phase the other way round.
    turned = (across < 90) | (across >= 270)
    return {
        "orientation": (across - 90) % 180,
        "spatial_phase": torch.where(turned, -phase, phase) % 360,
    }


def with_y_up(
    form: dict[str, Any], parameters: dict[str, torch.Tensor], units: dict[str, str]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return parameters of older files, with y down and the wave's angle as orientation, as now.

    Parameters
    ----------
    form
        The parametrization as the settings of a result describe it.
    parameters, units
        As they were saved.
    """
    parameters, units = dict(parameters), dict(units)
    if form.get("type") not in ("GaborSinusoid", "DifferenceOfGaussians"):
        return parameters, units
    if "centre_y" in parameters:
        parameters["centre_y"] = -parameters["centre_y"]
    if "orientation" in parameters:
        phase = parameters["spatial_phase"]
        angles = _angles(parameters["orientation"], phase, bool(form.get("drifting")))
        parameters |= angles
        units |= dict.fromkeys(angles, "°")
    return parameters, units


def cosines(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the orthonormal cosine transform (DCT-II), a row for each of 0, 1/2, 1 … cycles."""
    k, place = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    rows = torch.cos(math.pi * k * (place + 0.5) / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows.to(dtype=dtype, device=device)


def _between(raw: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return a positive number between two limits, even in its logarithm."""
    return low * (high / low) ** torch.sigmoid(raw)


def _pixels(g: Geometry, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x to the right and y down of each pixel from the frame's middle, in pixels."""
    x = torch.arange(g.width, dtype=like.dtype, device=like.device) - (g.width - 1) / 2
    y = torch.arange(g.height, dtype=like.dtype, device=like.device) - (g.height - 1) / 2
    return x.view(1, 1, 1, 1, -1), y.view(1, 1, 1, -1, 1)
