"""The parts of which receptive fields are put together, wherever they are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.receptive_fields.gradient import neuron_gradients
from openretina_widgets.insilico.receptive_fields.noise import WhiteNoise
from openretina_widgets.models.retina_model import RetinaModel

Gradients = tuple[list[int], np.ndarray, np.ndarray]
"""Neurons, their summed responses and their mean gradients."""


def mean_gradients(
    model: RetinaModel,
    movies: torch.Tensor,
    neurons: Sequence[int],
    *,
    data_key: str,
    memory_mb: float,
) -> Iterator[Gradients]:
    """Yield the gradient of each neuron, the mean over the movies, group by group."""
    for group, response, gradient in neuron_gradients(
        model, movies, neurons, data_key=data_key, memory_mb=memory_mb
    ):
        yield (
            group,
            response.double().sum(1).cpu().numpy(),
            gradient.mean(1).float().cpu().numpy(),
        )


Answer = tuple[torch.Tensor, torch.Tensor]
"""Noise ``(channel, lag + time, height, width)`` around grey 0, and ``(time, neuron)``."""


def pieces(noise: WhiteNoise, lag: int, frames: int, chunk: int) -> Iterator[tuple[Any, ...]]:
    """Yield of each piece of the noise the generator's state, the frames before it, and itself."""
    generator = noise.start()
    past = noise.draw(lag, generator)
    for first in range(0, frames, chunk):
        state = generator.get_state()
        movie = torch.cat([past, noise.draw(min(chunk, frames - first), generator)], dim=1)
        yield state, past, movie
        past = movie[:, movie.shape[1] - lag :]


def answer(
    model: RetinaModel, noise: WhiteNoise, movie: torch.Tensor, session: str, neurons: list[int]
) -> torch.Tensor:
    """Return the responses ``(time, neuron)`` to a piece of the noise."""
    grey = torch.tensor(noise.screen.grey)[:, None, None, None]
    shown = (movie + grey)[None].to(device=model.device, dtype=model.dtype)
    with (
        torch.no_grad(),
        full_float32(model.device),
        memory_in_words(1, model.device),
        model.prepared(shown.shape[2], session),
    ):
        return model(shown, session)[0][:, neurons].float()
