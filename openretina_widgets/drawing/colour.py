"""Colour for signed and unsigned images: maps, limits and quantisation.

A picture travels to the browser as one byte a pixel. The byte is an index into a look-up table of
256 colours, and both the index and the table are made here:

====== ==========================================================================
index  meaning
====== ==========================================================================
0      undefined: the value is NaN or infinite (drawn as a grey hatch)
1      the lower limit, and everything below it
128    the middle; with symmetric limits exactly zero, which is exactly white
255    the upper limit, and everything above it
====== ==========================================================================

255 levels are an odd number, so that zero is a level of its own and the two signs have 127 each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNDEFINED = 0
LOWEST, ZERO, HIGHEST = 1, 128, 255

Limits = tuple[float, float]

CHANNEL_COLOURS: Mapping[str, str] = MappingProxyType(
    {"green": "#2b9348", "UV": "#9a55ff", "luminance": "#808080"}
)
"""CSS colour of each channel, for titles and line plots; readable on white and on black."""

_ROUND_NUMBERS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def channel_colour(name: str) -> str:
    """CSS colour of a channel, by its name (case does not matter); grey for an unknown one.

    Of several words, such as "before, green", the last one counts.
    """
    known = {key.lower(): colour for key, colour in CHANNEL_COLOURS.items()}
    words = name.lower().split() or [""]
    return known.get(name.lower(), known.get(words[-1], CHANNEL_COLOURS["luminance"]))


def round_up(value: float) -> float:
    """The next round number: 0.43 becomes 0.5. Keeps the labels of a live colour bar still.

    Parameters
    ----------
    value
        A finite number >= 0.

    Returns
    -------
    float
        The smallest of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is not below
        `value` (one part in a million is let through, for numbers stored as float32); 0 for 0.
    """
    if value == 0:
        return 0.0
    exponent = math.floor(math.log10(value))
    mantissa = value / 10.0**exponent
    step = next((s for s in _ROUND_NUMBERS if s >= mantissa * (1 - 1e-6)), 10.0)
    return float(f"{step}e{exponent}")


def symmetric_limits(values: ArrayLike) -> Limits:
    """Limits (-a, a) for signed data: `a` is the largest magnitude, rounded up.

    Values that are not finite do not count; without any other (or with zeros alone) it is (-1, 1).
    """
    finite = _finite(values)
    largest = round_up(max(float(finite.max()), -float(finite.min()))) if finite.size else 0.0
    return (-largest, largest) if largest > 0 else (-1.0, 1.0)


def sequential_limits(values: ArrayLike) -> Limits:
    """Limits (0, max) for unsigned data, both rounded outwards; (min, max) if some are negative."""
    finite = _finite(values)
    low = -round_up(max(0.0, -float(finite.min()))) if finite.size else 0.0
    high = round_up(max(0.0, float(finite.max()))) if finite.size else 0.0
    return (low, high) if high > low else (0.0, 1.0)


def quantise(values: ArrayLike, limits: Limits) -> NDArray[np.uint8]:
    """Map values to the indices 1..255 of a look-up table; what is not finite becomes 0.

    Parameters
    ----------
    values
        Any shape, in the unit of `limits`.
    limits
        (low, high) with low < high. Values outside are clipped to the nearer limit.

    Returns
    -------
    numpy.ndarray
        uint8, C-contiguous, of the same shape; the rounding error is at most half a level,
        (high - low) / 508.

    Raises
    ------
    ValueError
        If the limits are not two finite numbers with low < high.
    """
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"limits must be finite with low < high, got ({low}, {high})")
    array = np.ascontiguousarray(values, dtype=np.float32)
    levels = array - np.float32(low)
    levels *= np.float32((HIGHEST - LOWEST) / (high - low))
    levels += LOWEST
    np.rint(np.clip(levels, LOWEST, HIGHEST, out=levels), out=levels)
    defined = np.isfinite(array)
    if not defined.all():
        levels[~defined] = UNDEFINED
    return levels.astype(np.uint8)


def _finite(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    defined = np.isfinite(array)
    return array if defined.all() else array[defined]


def _oklch_to_srgb(lightness: ArrayLike, chroma: ArrayLike, hue: ArrayLike) -> NDArray[np.uint8]:
    """Colours of OKLCh (B. Ottosson, "A perceptual color space for image processing", 2020)."""
    lightness, chroma, angle = np.broadcast_arrays(lightness, chroma, np.radians(hue))
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    to_lms = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((lab @ to_lms.T) ** 3 @ to_linear.T, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


_UNDEFINED_GREY = (150, 150, 150)


def _frozen(table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table.setflags(write=False)
    return table


def _diverging() -> NDArray[np.uint8]:
    table = np.full((256, 3), 255, dtype=np.uint8)
    table[UNDEFINED] = _UNDEFINED_GREY
    # Even steps of lightness away from white, the same for both signs: neither looks stronger.
    t = np.arange(1, HIGHEST - ZERO + 1) / (HIGHEST - ZERO)
    lightness, chroma = 1 - 0.54 * t, 0.18 * t**0.8
    table[ZERO - 1 : UNDEFINED : -1] = _oklch_to_srgb(lightness, chroma, 258.0)
    table[ZERO + 1 :] = _oklch_to_srgb(lightness, chroma, 24.0)
    return _frozen(table)


def _sequential() -> NDArray[np.uint8]:
    table = np.full((256, 3), 255, dtype=np.uint8)
    table[UNDEFINED] = _UNDEFINED_GREY
    t = np.arange(1, HIGHEST - LOWEST + 1) / (HIGHEST - LOWEST)
    chroma = 0.05 * t + 0.3 * t * (1 - t)
    table[LOWEST + 1 :] = _oklch_to_srgb(1 - 0.78 * t, chroma, 130 + 120 * t)
    return _frozen(table)


def _light_mixture() -> NDArray[np.uint8]:
    level = np.arange(256)
    # Green light is (0.3, 1, 0) and UV, drawn as violet, the rest of white: (0.7, 0, 1). Equal
    # drive of the two is grey at every level; half drive (index 128, zero) is mid grey.
    shared_red = np.rint(0.3 * level).astype(int)
    zero = np.zeros_like(level)
    green = np.stack([shared_red, level, zero], axis=-1)
    violet = np.stack([level - shared_red, zero, level], axis=-1)
    return _frozen(np.stack([green, violet]).astype(np.uint8))


DIVERGING: NDArray[np.uint8] = _diverging()
"""Blue - white - red, (256, 3): the map of every signed image. Index 128 is exactly white."""

SEQUENTIAL: NDArray[np.uint8] = _sequential()
"""White - green - dark blue, (256, 3): the map of unsigned images. Index 1 is exactly white."""

LIGHT_MIXTURE: NDArray[np.uint8] = _light_mixture()
"""Two tables (2, 256, 3), one for green and one for UV light; a mixture's colour is their sum."""


def mix_light(green: NDArray[np.uint8], uv: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour of two channels seen as light: ``LIGHT_MIXTURE[0][green] + LIGHT_MIXTURE[1][uv]``.

    Parameters
    ----------
    green, uv
        Indices made by `quantise`, of one shape.

    Returns
    -------
    numpy.ndarray
        uint8 of shape ``green.shape + (3,)``; grey where either is undefined.
    """
    colours = LIGHT_MIXTURE[0][green] + LIGHT_MIXTURE[1][uv]
    undefined = (green == UNDEFINED) | (uv == UNDEFINED)
    return np.where(undefined[..., None], np.array(_UNDEFINED_GREY, np.uint8), colours)
