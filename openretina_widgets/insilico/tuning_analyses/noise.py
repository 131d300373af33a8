"""A declared noise model: repeats of a response that the model itself gives without noise."""

from __future__ import annotations

import numpy as np

NOISE = ("poisson",)


def poisson_repeats(
    responses: np.ndarray,
    *,
    window_s: float,
    repeats: int,
    spikes_per_unit: float,
    seed: int | tuple[int, ...],
) -> np.ndarray:
    """Return repeats of windowed mean responses whose spike counts are Poisson.

    A response of 1 in the model's arbitrary units stands for `spikes_per_unit` spikes/s, so that
    the expected count in the window is ``response * spikes_per_unit * window_s``. Negative
    responses count as 0.

    Parameters
    ----------
    responses
        ``(neuron,)``, mean over the window (a.u.).
    window_s
        Length of the window (s).
    repeats
        How many to draw.
    spikes_per_unit
        Spikes/s of a response of 1.
    seed
        Of the draw.

    Returns
    -------
    np.ndarray
        ``(repeat, neuron)``: counts divided by ``spikes_per_unit * window_s``, in the units of
        `responses`. NaN where the response is.
    """
    scale = spikes_per_unit * window_s
    expected = np.asarray(responses, dtype=np.float64) * scale
    finite = np.isfinite(expected)
    counts = np.random.default_rng(seed).poisson(
        np.where(finite, np.maximum(expected, 0.0), 0.0), size=(repeats, *expected.shape)
    )
    return np.where(finite, counts / scale, np.nan)
