"""Where on the retina each neuron looks, for neurons of every kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.insilico.receptive_fields.fits import fit_spatial
from openretina_widgets.insilico.receptive_fields.gradient import MEMORY_MB, neuron_gradients
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

_FLICKER, _NOISE = 6, 6  # movies: enough that every rectified subunit is awake in some
_CONTRAST = 0.5
_ASLEEP = 1e-10  # of a neuron's power in its best movie: less may be rounding
_EARLY = 0.1  # of the sensitivity in time
_FLOOR = 0.1  # of the peak: what is weaker is left out of the centroid


def centres(
    model: RetinaModel | nn.Module,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    seed: int = 0,
    memory_mb: float = MEMORY_MB,
) -> np.ndarray:
    """Return the middle of each neuron's receptive field.

    The sensitivity of a pixel is its share of the squared gradient over channels and time,
    averaged over several movies as the base. They are full-field flicker, the same at every
    pixel: subunits that rectify are then all in the same state, and no place is preferred by
    chance. Neurons that flicker leaves silent are asked with dense noise. Only the first tenth of
    the sensitivity in time counts, from the newest frame back: there the direct input acts, and
    what is delayed not yet, such as the inhibition from ahead that makes a cell direction
    selective and would draw its centre towards the preferred side. Squares do not cancel, so that
    cells which answer to both polarities have a sensitivity too, while their field at grey and
    their spike-triggered average vanish.

    The middle is the centroid of what stands out. Where the frame cuts that, it is the middle
    of a Gaussian fitted to the sensitivity (`fit_spatial`), if one is determined.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One or several, all of the session for None.
    data_key
        Session, the first one for None.
    seed
        Of the movies.
    memory_mb
        Bounds what is computed at once (MiB).

    Returns
    -------
    numpy.ndarray
        ``(neuron, 2)``: x to the right and y up from the middle of the image, in µm where the
        model knows its pixel size, else in pixels. NaN for a neuron that no pixel moves.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = chosen_neurons(face, neurons, session)
    screen = Screen.of(face)
    sensitivity = _sensitivity(face, screen, chosen, session, seed, memory_mb)
    column, row = _middles(sensitivity).T
    middle_row, middle_column = screen.middle
    return np.stack(
        [screen.length(1.0) * (column - middle_column), screen.length(1.0) * (middle_row - row)],
        axis=1,
    )


def chosen_neurons(
    model: RetinaModel, neurons: Sequence[int] | int | None, data_key: str
) -> list[int]:
    """Return checked neurons of a session, all of them for None."""
    if neurons is None:
        return list(range(model.n_neurons(data_key)))
    return model.check_neurons(neurons, data_key)


def _sensitivity(
    model: RetinaModel,
    screen: Screen,
    neurons: Sequence[int],
    session: str,
    seed: int,
    memory_mb: float,
) -> np.ndarray:
    """Return the sensitivity of each pixel, ``(neuron, height, width)``."""
    generator = torch.Generator().manual_seed(seed)
    whole = model.stimulus_shape(model.lag + 1, _FLICKER)
    flicker = torch.randint(0, 2, (*whole[:3], 1, 1), generator=generator).expand(whole)
    shape = model.stimulus_shape(model.lag + 1, _NOISE)
    noise = torch.randint(0, 2, shape, generator=generator)
    sign = 2.0 * torch.cat([flicker, noise]) - 1.0
    scale = torch.tensor(screen.contrast_scale)[:, None, None, None]
    grey = torch.tensor(screen.grey)[:, None, None, None]
    bases = (grey + _CONTRAST * scale * sign).to(device=model.device, dtype=model.dtype)
    found = [
        # Contrast 1 weighs the same in every channel.
        _early_share((gradient * scale.to(gradient)).square().sum(2))
        for _, _, gradient in neuron_gradients(
            model, bases, neurons, data_key=session, memory_mb=memory_mb
        )
    ]
    return torch.cat(found).double().numpy()


def _early_share(power: torch.Tensor) -> torch.Tensor:
    """Return each pixel's share of what acts first, ``(neuron, height, width)``.

    Every movie that moves the neuron counts alike, noise only where no flicker does. Of the frames
    the newest ones are kept, up to the one that completes the first part of all power.
    """
    total = power.sum((2, 3, 4))
    least = (_ASLEEP * total.amax(1, keepdim=True)).clamp(min=torch.finfo(power.dtype).tiny)
    counts = total >= least
    counts[:, _FLICKER:] &= ~counts[:, :_FLICKER].any(1, keepdim=True)
    weight = torch.where(counts, 1 / total, 0.0) / counts.sum(1, keepdim=True).clamp(min=1)
    share = torch.einsum("nb,nbthw->nthw", weight, power)
    newer = share.sum((2, 3)).flip(1).cumsum(1).flip(1).roll(-1, 1)
    newer[:, -1] = 0.0
    return (share * (newer < _EARLY)[..., None, None]).sum(1).cpu()


def _middles(sensitivity: np.ndarray) -> np.ndarray:
    """Return column and row of the middle of each image, also where the frame cuts it."""
    middles = _centroids(sensitivity)
    edge = np.concatenate(
        [sensitivity[:, [0, -1]].max(axis=1), sensitivity[:, :, [0, -1]].max(axis=2)], axis=1
    ).max(axis=1)
    cut = edge > _FLOOR * sensitivity.max(axis=(1, 2))
    if cut.any():
        fit = fit_spatial(sensitivity[cut], surround=False)
        fitted = np.stack([fit.column, fit.row], axis=1)
        middles[cut] = np.where(fit.determined[:, None], fitted, middles[cut])
    return middles


def _centroids(weights: np.ndarray) -> np.ndarray:
    """Return column and row of the middle of what stands out, ``(image, 2)``."""
    _, height, width = weights.shape
    peak = weights.max(axis=(1, 2), keepdims=True)
    rest = np.maximum(weights - _FLOOR * peak, 0.0)
    total = rest.sum(axis=(1, 2))
    total = np.where(total > 0, total, np.nan)
    column = (rest.sum(axis=1) * np.arange(width)).sum(axis=1) / total
    row = (rest.sum(axis=2) * np.arange(height)).sum(axis=1) / total
    return np.stack([column, row], axis=1)
