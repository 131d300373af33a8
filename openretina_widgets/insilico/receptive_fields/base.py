"""The stimulus at which a gradient is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel


@dataclass(frozen=True, eq=False)
class Base:
    """Pieces of a stimulus, each as long as one response needs.

    Attributes
    ----------
    movies
        ``(response frame, channel, lag + 1, height, width)``.
    words
        What it is.
    window
        Response frames of the whole stimulus.
    grey
        Whether it is uniform grey.
    movie
        The whole stimulus, ``(channel, time, height, width)``.
    """

    movies: torch.Tensor
    words: str
    window: tuple[int, int]
    grey: bool
    movie: np.ndarray


def base_of(model: RetinaModel, screen: Screen, base: Any, window: tuple[int, int] | None) -> Base:
    """Return what the gradient is taken at; None is grey, see `receptive_field_steps`.

    Raises
    ------
    TypeError, ValueError
        If `base` or `window` does not fit; the message says which.
    """
    _, height, width = model.input_shape
    length = model.lag + 1
    if base is None:
        movie = torch.tensor(screen.grey)[:, None, None, None].expand(-1, length, height, width)
        words = "uniform grey"
    else:
        movie, words = _given(model, base, getattr(base, "name", None))
    movie = movie.to(device=model.device, dtype=model.dtype)
    model.check_stimulus(movie[None])
    n = movie.shape[1] - model.lag
    first, stop = (n - 1, n) if window is None else _checked_window(window, n)
    pieces = movie.unfold(1, length, 1)[:, first:stop].permute(1, 0, 4, 2, 3).contiguous()
    whole = movie.detach().float().cpu().numpy().copy()
    return Base(pieces, words, (first, stop), base is None, whole)


def _given(model: RetinaModel, base: Any, name: str | None) -> tuple[torch.Tensor, str]:
    channel, height, width = model.input_shape
    values = getattr(base, "movie", base)
    if not isinstance(values, torch.Tensor):
        if not isinstance(values, np.ndarray | list | tuple):
            raise TypeError(f"base: expected an image or a movie, got {type(base).__name__}")
        try:
            values = torch.as_tensor(np.asarray(values, dtype=np.float32))
        except (TypeError, ValueError):
            raise TypeError("base: expected an image or a movie of numbers") from None
    values = values.detach()
    shape = tuple(values.shape)
    if values.ndim == 5 and shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        values = values.expand(channel, -1, -1)
    if values.ndim == 3:
        values, what = values[:, None].expand(-1, model.lag + 1, -1, -1), "an image"
    else:
        what = f"a movie of {values.shape[1] if values.ndim == 4 else 0} frames"
    expected = (channel, height, width)
    if values.ndim != 4 or (values.shape[0], *values.shape[2:]) != expected:
        raise ValueError(
            f"base: expected an image ({height}, {width}) or ({channel}, {height}, {width}), or a "
            f"movie ({channel}, time, {height}, {width}), got shape {shape}"
        )
    return values, name or what


def _checked_window(window: Any, n: int) -> tuple[int, int]:
    pair = isinstance(window, tuple | list) and len(window) == 2
    if not pair or not all(map(is_index, window)):
        raise TypeError(f"window: expected (first, stop) response frames, got {window!r}")
    first, stop = (int(edge) for edge in window)
    if not 0 <= first < stop <= n:
        raise ValueError(
            f"window: expected 0 <= first < stop <= {n}, the response frames of the base, got "
            f"{window!r}"
        )
    return first, stop
