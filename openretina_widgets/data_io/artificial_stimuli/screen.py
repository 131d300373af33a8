"""Where a stimulus is shown: grid, rate, units, and what contrast 1 is in a model's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openretina_widgets.errors import check_positive


@dataclass(frozen=True)
class Screen:
    """What a stimulus builder has to know of the model that will see it.

    Attributes
    ----------
    channels
        Names of the channels: ``("green", "UV")`` or ``("luminance",)`` in OpenRetina's data.
    height, width
        Pixels.
    frame_rate
        Frames per second (Hz).
    pixel_size_um
        Size of a pixel on the retina (µm); None where it is not known.
    lag
        Frames that the model consumes before its first response.
    grey
        Mean grey of each channel, contrast 0, in model units.
    contrast_scale
        Contrast 1 of each channel, in model units above grey.
    contrast_source
        How the scale was chosen, in words.
    """

    channels: tuple[str, ...]
    height: int
    width: int
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    lag: int = 0
    grey: tuple[float, ...] = ()
    contrast_scale: tuple[float, ...] = ()
    contrast_source: str = "contrast 1 is 1 in model units"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1 pixel, got {getattr(self, name)}")
        check_positive(self.frame_rate, "frame_rate")
        n = len(self.channels)
        for name, default in (("grey", 0.0), ("contrast_scale", 1.0)):
            if not getattr(self, name):
                object.__setattr__(self, name, (default,) * n)
            elif len(getattr(self, name)) != n:
                raise ValueError(
                    f"{name}: expected a number for each of {n} channels, got {getattr(self, name)}"
                )

    @classmethod
    def of(cls, model: Any, *, contrast_scale: float | Sequence[float] | None = None) -> Screen:
        """Return the screen of a model.

        Parameters
        ----------
        model
            A `RetinaModel`, or whatever has ``input_shape``, ``channels``, ``frame_rate``,
            ``pixel_size_um``, ``lag`` and ``stimulus_range``.
        contrast_scale
            Model units of contrast 1, for all channels or for each. Without it: the largest that
            keeps contrasts of −1 and 1 within the model's stimulus range, which lies around a
            grey of 0, or, for a range that does not hold 0 inside, around its middle; 1 where no
            range is known, one standard deviation of a z-scored movie.

        Raises
        ------
        ValueError
            If `contrast_scale` is not positive, or of another length than there are channels.
        """
        n_channels, height, width = model.input_shape
        limits = model.stimulus_range
        if limits is None:
            grey, scale = (0.0,) * n_channels, (1.0,) * n_channels
            source = "one standard deviation of the training movie: no stimulus range is known"
        else:
            around_zero = all(low < 0 < high for low, high in limits)
            grey = tuple(0.0 if around_zero else (low + high) / 2 for low, high in limits)
            scale = tuple(
                min(mid - low, high - mid) for mid, (low, high) in zip(grey, limits, strict=True)
            )
            source = "the largest symmetric contrast within the model's stimulus range"
        if contrast_scale is not None:
            given = (
                tuple(contrast_scale)
                if isinstance(contrast_scale, Sequence)
                else (contrast_scale,) * n_channels
            )
            scale = tuple(check_positive(value, "contrast_scale") for value in given)
            source = "given"
        return cls(
            channels=tuple(model.channels),
            height=height,
            width=width,
            frame_rate=float(model.frame_rate),
            pixel_size_um=model.pixel_size_um,
            lag=model.lag,
            grey=grey,
            contrast_scale=scale,
            contrast_source=source,
        )

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the middle of the image (px); between two pixels when even."""
        return (self.height - 1) / 2, (self.width - 1) / 2

    @property
    def space_unit(self) -> str:
        """``"µm"`` where the pixel size is known, else ``"px"``."""
        return "px" if self.pixel_size_um is None else "µm"

    @property
    def space_unit_long(self) -> str:
        """Unit of the period of a grating: ``"mm"`` where the pixel size is known, else ``"px"``.

        Spatial frequencies are in cycles per this unit.
        """
        return "px" if self.pixel_size_um is None else "mm"

    def cycles_per_pixel(self, frequency: float) -> float:
        """Return a spatial frequency, given in cycles per `space_unit_long`, in cycles per px."""
        return frequency if self.pixel_size_um is None else frequency * self.pixel_size_um / 1000

    def spatial_frequency(self, cycles_per_pixel: float) -> float:
        """Return cycles per pixel as cycles per `space_unit_long`."""
        if self.pixel_size_um is None:
            return cycles_per_pixel
        return cycles_per_pixel * 1000 / self.pixel_size_um

    def pixels(self, length: float) -> float:
        """Return a length, given in `space_unit`, in pixels."""
        return length if self.pixel_size_um is None else length / self.pixel_size_um

    def length(self, pixels: float) -> float:
        """Return a number of pixels as a length in `space_unit`."""
        return pixels if self.pixel_size_um is None else pixels * self.pixel_size_um

    def frames(self, seconds: float) -> int:
        """Return the nearest whole number of frames."""
        return round(seconds * self.frame_rate)

    def seconds(self, frames: float) -> float:
        """Return a number of frames as seconds."""
        return frames / self.frame_rate
