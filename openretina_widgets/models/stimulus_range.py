"""Says within which values the stimuli of a model lie, and how that is known.

The first of these that is there decides:

1. what the model's own data state: ``stimulus_range`` in ``data_info``;
2. the mean and the standard deviation that the stimuli of the training were normalised with, as
   OpenRetina records them: pixels reach from 0 to 255, or from 0 to 1, before that;
3. for green and UV, the range that Höfling et al. 2024 held optimised stimuli to;
4. nothing: the range is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeGuard

import numpy as np

Range = tuple[tuple[float, float], ...]

HOEFLING_RANGE: Range = ((-0.654, 6.269), (-0.913, 6.269))
"""Smallest and largest value of green and UV, z-scored, in Höfling et al. 2024 (eLife 13:e86860)"""
HOEFLING_NORM = 30.0
"""L2 norm that the stimuli optimised in Höfling et al. 2024 are held to."""
DOCUMENTED_DEFAULT = "documented default: z-scored green and UV in Höfling et al. 2024"
"""Words for `HOEFLING_RANGE`."""
_LARGEST_PIXELS = (1.0, 255.0)


def recorded_range(data_info: Mapping[str, Any], n_channels: int) -> tuple[Range | None, str]:
    """Return the smallest and largest value of each channel, and how they are known, in words.

    Parameters
    ----------
    data_info
        The ``data_info`` of a checkpoint or of a live OpenRetina model. What is not of the
        expected form counts as not known.
    n_channels
        Number of channels of the stimulus. Two are green and UV: OpenRetina has no others.

    Returns
    -------
    tuple
        ``(None, "not known")`` where nothing is recorded and there is no documented default.
    """
    if (own := stated_range(data_info, n_channels)) is not None:
        return own, "the model's own data"
    for mean, deviation in _normalisations(data_info):
        # No numbers from 0 to `largest` have a greater variance (Bhatia & Davis 2000), so that
        # mean and deviation tell which pixels they are of. Those of stimuli that were not
        # normalised, 0 and 1, are of neither.
        for largest in _LARGEST_PIXELS:
            if deviation**2 <= mean * (largest - mean):
                low, high = -mean / deviation, (largest - mean) / deviation
                words = (
                    f"recorded normalisation of the training stimuli: mean {mean:.4g} and standard "
                    f"deviation {deviation:.4g} of pixels from 0 to {largest:g}"
                )
                return ((low, high),) * n_channels, words
    if n_channels == len(HOEFLING_RANGE):
        return HOEFLING_RANGE, DOCUMENTED_DEFAULT
    return None, "not known"


def recorded_norm(data_info: Mapping[str, Any], n_channels: int) -> float | None:
    """Return the L2 norm that optimised stimuli are held to; None for no bound.

    That of Höfling et al. 2024 is for z-scored green and UV: where the data state a range of
    their own, they have to state the norm too.
    """
    if (own := positive(data_info.get("stimulus_norm"))) is not None:
        return own
    if n_channels == len(HOEFLING_RANGE) and stated_range(data_info, n_channels) is None:
        return HOEFLING_NORM
    return None


def stated_range(data_info: Mapping[str, Any], n_channels: int) -> Range | None:
    """Return the ``stimulus_range`` of the data: ``(low, high)`` of each channel, or None."""
    stated = data_info.get("stimulus_range")
    if isinstance(stated, np.ndarray):
        stated = stated.tolist()
    if not _is_list(stated) or len(stated) != n_channels:
        return None
    limits = []
    for pair in stated:
        if not _is_list(pair) or len(pair) != 2:
            return None
        low, high = finite(pair[0]), finite(pair[1])
        if low is None or high is None or not low < high:
            return None
        limits.append((low, high))
    return tuple(limits)


def _normalisations(data_info: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the recorded pairs of mean and standard deviation, one or none."""
    pairs = [(data_info.get("stim_mean"), data_info.get("stim_std"))]
    by_movie = data_info.get("movie_norm_dict")  # another spelling, which OpenRetina also reads
    if isinstance(by_movie, Mapping) and isinstance(movie := by_movie.get("default"), Mapping):
        pairs.append((movie.get("norm_mean"), movie.get("norm_std")))
    numbers = [(finite(mean), positive(deviation)) for mean, deviation in pairs]
    found = [(mean, sd) for mean, sd in numbers if mean is not None and sd is not None]
    return found[:1]


def finite(value: object) -> float | None:
    """Return a finite number, and None for anything else."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number from a file may be too large for a float
        return None
    return number if math.isfinite(number) else None


def positive(value: object) -> float | None:
    """Return a finite number above 0, and None for anything else."""
    number = finite(value)
    return number if number is not None and number > 0 else None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
