"""A stimulus or a receptive field as a temporal times a spatial component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """Split a movie by singular value decomposition.

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
    u, s, vt = np.linalg.svd(
        movie.reshape(time, -1).astype(np.float64, copy=False), full_matrices=False
    )
    power = float(np.square(s).sum())
    if power == 0.0:
        return SpaceTime(np.zeros(time), np.zeros((height, width)), float("nan"))
    peak = u[np.abs(u[:, 0]).argmax(), 0]
    spatial = peak * s[0] * vt[0].reshape(height, width)
    return SpaceTime(u[:, 0] / peak, spatial, float(s[0] ** 2 / power))
