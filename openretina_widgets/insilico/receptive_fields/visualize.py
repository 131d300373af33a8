"""One image for each neuron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.insilico.receptive_fields.estimation import receptive_fields
from openretina_widgets.models.retina_model import RetinaModel


def visualize_receptive_fields(
    model: RetinaModel | nn.Module,
    resolution: tuple[int, int] = (64, 64),
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
) -> list[np.ndarray]:
    """Return an image of each neuron's receptive field, to be plotted.

    The image is the spatial part of the gradient at grey: positive where brighter excites.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    resolution
        Height and width of the images; the model's pixels are interpolated smoothly.
    neurons, data_key
        As in `receptive_fields`.

    Returns
    -------
    list of numpy.ndarray
        ``(height, width)`` each; NaN where the gradient vanishes.

    Raises
    ------
    ValueError
        If `resolution` is not two whole numbers of at least 1.
    """
    size = tuple(resolution)
    if len(size) != 2 or not all(isinstance(n, int) and n >= 1 for n in size):
        raise ValueError(f"resolution: expected (height, width) of at least 1, got {resolution!r}")
    spatial = torch.from_numpy(
        receptive_fields(model, neurons=neurons, data_key=data_key).spatial
    ).float()
    larger = F.interpolate(spatial[:, None], size=size, mode="bicubic", align_corners=False)
    return [image.numpy() for image in larger[:, 0]]
