"""Receptive fields on a cluster: neurons are shared out, of an average the frames of noise."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch

from openretina_widgets.insilico.cluster.on_worker import Part
from openretina_widgets.insilico.cluster.shards import Sharded
from openretina_widgets.insilico.receptive_fields.noise import WhiteNoise
from openretina_widgets.insilico.receptive_fields.pieces import (
    Answer,
    Gradients,
    answer,
    mean_gradients,
    pieces,
)
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel

_MOST = 64  # neurons in a part


def shared_gradients(
    client: Any,
    model: RetinaModel,
    movies: torch.Tensor,
    neurons: Sequence[int],
    *,
    data_key: str,
    memory_mb: float,
) -> Generator[list[Gradients], None, None]:
    """Check the client, and return a generator of what `mean_gradients` yields, as it comes."""
    settings = {"movies": movies.cpu(), "data_key": data_key, "memory_mb": memory_mb}
    sharded = Sharded(client, gradients, model, settings)
    most = sharded.share(len(neurons), _MOST)
    shares = (neurons[first : first + most] for first in range(0, len(neurons), most))

    def come() -> Generator[list[Gradients], None, None]:
        with closing(sharded.news(shares, watched=False)) as news:
            for one in news:
                yield [group for _, _, groups in one.results for group in groups]

    return come()


def gradients(part: Part) -> list[Gradients]:
    """Return the gradients of a share of the neurons; on a worker."""
    movies = part.settings["movies"].to(part.model.device)
    found = []
    for group in mean_gradients(
        part.model,
        movies,
        part.share,
        data_key=part.settings["data_key"],
        memory_mb=part.settings["memory_mb"],
    ):
        part.go_on()
        found.append(group)
    return found


def shared_answers(
    client: Any,
    model: RetinaModel,
    noise: WhiteNoise,
    *,
    session: str,
    neurons: list[int],
    frames: int,
    chunk: int,
) -> Generator[list[Answer], None, None]:
    """Check the client, and return a generator of the responses to the noise, piece by piece.

    They come in the order of the pieces, whichever worker is first: the average goes by it. What
    comes early is kept until then, and the workers wait for a piece that is late by too many.
    """
    settings = {"noise": noise, "session": session, "neurons": neurons}
    sharded = Sharded(client, answers, model, settings)
    movies: dict[int, torch.Tensor] = {}

    def shares() -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
        for number, (state, past, movie) in enumerate(pieces(noise, model.lag, frames, chunk)):
            movies[number] = movie
            # A worker draws the noise again, which is faster than to send it.
            yield state, past, movie.shape[1] - model.lag

    def come() -> Generator[list[Answer], None, None]:
        early: dict[int, np.ndarray] = {}
        following = 0
        with closing(sharded.news(shares(), watched=False, in_order=True)) as news:
            for one in news:
                early |= {number: responses for number, _, responses in one.results}
                now = []
                while following in early:
                    responses = torch.from_numpy(early.pop(following)).to(model.device)
                    now.append((movies.pop(following), responses))
                    following += 1
                yield now

    return come()


def answers(part: Part) -> np.ndarray:
    """Return the responses to a piece of the noise; on a worker."""
    state, past, frames = part.share
    noise: WhiteNoise = part.settings["noise"]
    generator = torch.Generator()
    generator.set_state(state)
    movie = torch.cat([past, noise.draw(frames, generator)], dim=1)
    with frozen(part.model):
        responses = answer(
            part.model, noise, movie, part.settings["session"], part.settings["neurons"]
        )
    return responses.cpu().numpy()
