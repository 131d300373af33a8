"""A stimulus or a receptive field as a temporal times a spatial component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class SpaceTime:
    """The best separable description of a movie of one channel.

    Attributes
    ----------
    temporal
        ``(time,)``, without unit: its largest magnitude is 1.
    spatial
        ``(height, width)`` in the unit of the movie: the frame at which `temporal` is 1.
        ``outer(temporal, spatial)`` is the nearest separable movie.
    separability
        Share of the movie's power that the separable movie holds, in (0, 1]; NaN for a movie that
        is zero everywhere.
    """

    temporal: np.ndarray
    spatial: np.ndarray
    separability: float


def space_time_split(movie: np.ndarray) -> SpaceTime:
    """Split a movie as its singular value decomposition does.

    Signs and scale are fixed jointly: the temporal component is +1 where its magnitude is largest,
    so the spatial component has the sign that the movie has then. An ON centre is positive.

    Parameters
    ----------
    movie
        ``(time, height, width)``.

    Raises
    ------
    ValueError
        If `movie` has another number of axes.
    """
    if movie.ndim != 3:
        raise ValueError(f"movie: expected (time, height, width), got shape {movie.shape}")
    time, height, width = movie.shape
    # The smaller of the two products has the singular vectors of the matrix, in a fraction of the
    # time of its SVD. With torch and not numpy: the threads of numpy's OpenBLAS go on spinning
    # after a product, on the cores that a run needs.
    matrix = torch.from_numpy(np.ascontiguousarray(movie)).reshape(time, -1).double()
    tall = time > height * width
    if tall:
        matrix = matrix.T
    powers, vectors = torch.linalg.eigh(matrix @ matrix.T)
    power = float(powers.clamp(min=0).sum())
    if power == 0.0:
        return SpaceTime(np.zeros(time), np.zeros((height, width)), float("nan"))
    first = vectors[:, -1]
    temporal, spatial = (first @ matrix, first) if tall else (first, first @ matrix)
    peak = temporal[temporal.abs().argmax()]
    spatial = (spatial * peak).reshape(height, width)
    share = float(powers[-1]) / power
    return SpaceTime((temporal / peak).numpy(), spatial.numpy(), share)
