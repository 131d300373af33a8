"""Responses and their gradients on a grid of green and UV contrasts, with what they say."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.insilico.archive import made_of_fields, read_archive, write_fields
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.tuning_analyses.measure import Measure, measure
from openretina_widgets.models.retina_model import ModelIdentity

_KIND = "response gradient"
_TUPLES = ("grey", "neurons", "cell_types", "notes", "channels", "window")
# A slope that moves the response by less than this share of it, over a unit of contrast, is that
# of rounding, or of a response that both polarities move alike.
_VANISHED = 1e-4
_MOST = 6  # neurons in a figure, when none are named


@dataclass(frozen=True, eq=False)
class ResponseGradient:
    """Responses and gradients of neurons as green and UV of a stimulus are scaled apart.

    At contrast (g, u) the stimulus is ``grey + (g, u) × (movie − grey)``.

    Attributes
    ----------
    green, uv
        Contrasts, shares of the stimulus in [−1, 1]; the first channel and the second.
    responses
        ``(green, uv, neuron)``: mean over the window (a.u.).
    gradients
        ``(green, uv, neuron, 2)``: derivative with respect to the contrast of green and of UV
        (a.u. for each unit of contrast).
    grey_response, grey_gradient
        ``(neuron,)`` and ``(neuron, 2)``: the same at grey, whether the grid holds it or not.
    movies, movie_of
        ``(movie, channel, time, height, width)`` at contrast (1, 1), in model units, and
        ``(neuron,)``: which of them each neuron was shown.
    grey
        Mean grey of each channel, in model units.
    stimulus
        In words.
    window
        Response frames that were averaged: first one, and the one after the last.
    neurons, cell_types, data_key
        Which neurons, their types where they are known, and the session.
    notes, settings
        What a reader has to know; what else was asked for.
    model, lag, frame_rate, pixel_size_um, channels, unit
        Name, source and weight hash; frames that the model consumes, Hz, µm, names, and the unit
        of the responses.
    duration_s, versions
        Time spent, and versions of the libraries.
    """

    green: np.ndarray
    uv: np.ndarray
    responses: np.ndarray
    gradients: np.ndarray
    grey_response: np.ndarray
    grey_gradient: np.ndarray
    movies: np.ndarray
    movie_of: np.ndarray
    grey: tuple[float, ...]
    stimulus: str
    window: tuple[int, int]
    neurons: tuple[int, ...]
    cell_types: tuple[str, ...] = ()
    data_key: str | None = None
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    model: ModelIdentity | None = None
    lag: int = 0
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ("green", "UV")
    unit: str = "a.u."
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    def column(self, neuron: int) -> int:
        """Return the place of a neuron on the axis of neurons.

        Raises
        ------
        ValueError
            If the neuron is not among them.
        """
        if neuron not in self.neurons:
            raise ValueError(
                f"neuron: expected one of the {len(self.neurons)} that were asked for, got "
                f"{neuron!r}"
            )
        return self.neurons.index(neuron)

    def movie(self, neuron: int, green: float, uv: float) -> np.ndarray:
        """Return what a neuron was shown at a contrast: ``(channel, time, height, width)``.

        Raises
        ------
        ValueError
            If the neuron is not among them.
        """
        return scaled(self.movies[self.movie_of[self.column(neuron)]], self.grey, (green, uv))

    def indices(self) -> dict[str, Measure]:
        """Return what the gradients say of each neuron; NaN where that is not defined.

        ``contrast_direction``
            Of the gradient at grey: degrees counter-clockwise, 0° = more green, 90° = more UV.
        ``strength``
            Its length (a.u. for each unit of contrast).
        ``opponency``
            ``−2 Σ g u / Σ (g² + u²)`` over the points of the grid, with g and u the derivatives
            with respect to green and UV. In [−1, 1]: 1 where they are of opposite sign and equal
            size everywhere, −1 where they are equal, 0 for one channel alone.
        ``opposed_share``
            Share of the points at which the two derivatives have opposite signs, in [0, 1].
        ``coherence``
            ``|Σ ∇r| / Σ |∇r|``, in [0, 1]: 1 where the gradient has one direction everywhere, as in
            a neuron with one filter; 0 where its directions cancel.
        """
        g, u = np.moveaxis(self.gradients, -1, 0)
        flat = self.gradients.reshape(-1, len(self.neurons), 2)
        size = np.linalg.norm(flat, axis=2)
        least = _VANISHED * np.abs(self.responses).max(axis=(0, 1))
        missing = ~np.isfinite(flat).all(axis=(0, 2))
        at_grey = np.linalg.norm(self.grey_gradient, axis=1)
        still = at_grey <= least
        silent = size.max(axis=0) <= least
        everywhere = {
            "a response is missing (NaN)": missing,
            "the gradient vanishes at every point: nothing moves the neuron": silent,
        }
        moves = size > least
        angle = np.degrees(np.arctan2(self.grey_gradient[:, 1], self.grey_gradient[:, 0])) % 360
        with np.errstate(invalid="ignore", divide="ignore"):
            opposed = -2 * (g * u).sum(axis=(0, 1)) / (size**2).sum(axis=0)
            share = ((flat[..., 0] * flat[..., 1] < 0) & moves).sum(axis=0) / moves.sum(axis=0)
            coherence = np.linalg.norm(flat.sum(axis=0), axis=1) / size.sum(axis=0)
        return {
            "contrast_direction": measure(
                "direction of the gradient at grey",
                angle,
                {
                    "a response is missing (NaN)": ~np.isfinite(at_grey),
                    "the gradient vanishes at grey: both polarities move the response alike, or "
                    "nothing does": still,
                },
                limits=(0, 360),
                unit="°",
            ),
            "strength": measure(
                "gradient at grey", at_grey, {}, limits=(0, np.inf), unit=f"{self.unit} / contrast"
            ),
            "opponency": measure(
                "opponency of the gradient",
                np.clip(opposed, -1, 1),
                everywhere,
                limits=(-1, 1),
            ),
            "opposed_share": measure("share of opposed signs", share, everywhere, limits=(0, 1)),
            "coherence": measure(
                "coherence of the gradient", np.clip(coherence, 0, 1), everywhere, limits=(0, 1)
            ),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path."""
        return write_fields(path, self, kind=_KIND)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ResponseGradient:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no saved response gradient.
        """
        return read_archive(path, made_of_fields(cls, kind=_KIND, tuples=_TUPLES))

    def plot(self, neurons: Sequence[int] | int | None = None) -> Any:
        """Draw the responses as colours and the gradients as arrows; return the figure.

        Needs matplotlib, the ``plot`` extra.
        """
        asked = [neurons] if isinstance(neurons, int) else neurons
        asked = list(self.neurons[:_MOST]) if asked is None else list(asked)
        if not asked:
            raise ValueError("neurons: expected at least one neuron, got none")
        columns = [self.column(neuron) for neuron in asked]
        across = min(3, len(asked))
        rows = -(-len(asked) // across)
        figure = new_figure(4.2 * across, 3.6 * rows)
        axes = figure.subplots(rows, across, squeeze=False)
        for empty in axes.flat[len(asked) :]:
            empty.set_visible(False)
        first, second = self.channels
        for drawn, neuron, column in zip(axes.flat, asked, columns, strict=False):
            image = drawn.pcolormesh(
                self.green,
                self.uv,
                self.responses[..., column].T,
                cmap="viridis",
                shading="nearest",
            )
            g, u = np.moveaxis(self.gradients[..., column, :], -1, 0)
            drawn.quiver(
                self.green, self.uv, g.T, u.T, angles="xy", pivot="mid", color="white", width=0.006
            )
            drawn.plot(0.0, 0.0, "o", color="white", fillstyle="none")
            kind = self.cell_types[column] if self.cell_types else ""
            drawn.set_title(f"{neuron} {kind}".strip(), fontsize=9)
            drawn.set(xlabel=f"{first} contrast", ylabel=f"{second} contrast", aspect="equal")
            figure.colorbar(image, ax=drawn, label=f"response ({self.unit})")
        figure.suptitle(f"Gradient of the response: {self.stimulus}", fontsize=10)
        return figure

    def __repr__(self) -> str:
        return f"ResponseGradient({self._summary()})"

    def _repr_html_(self) -> str:
        return f"<b>Response gradient</b><br>{html.escape(self._summary())}"

    def _summary(self) -> str:
        n = len(self.neurons)
        name = self.model.name if self.model else "no model"
        return (
            f"{n} neuron{'' if n == 1 else 's'}, {len(self.green)} × {len(self.uv)} contrasts of "
            f"{' and '.join(self.channels)}, {name}, {self.stimulus}; {self.duration_s:.1f} s"
        )


def scaled(movie: np.ndarray, grey: Sequence[float], contrasts: Sequence[float]) -> np.ndarray:
    """Return a movie with each channel at its share of the contrast around grey."""
    middle = np.asarray(grey, np.float32)[:, None, None, None]
    share = np.asarray(contrasts, np.float32)[:, None, None, None]
    found: np.ndarray = middle + share * (movie - middle)
    return found
