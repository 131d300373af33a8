"""The response and its gradient as two channels of a stimulus are scaled apart."""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli import ArtificialStimulus, Screen, flash
from openretina_widgets.data_io.artificial_stimuli.building import check_contrast
from openretina_widgets.errors import check_positive, unknown_name
from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.metering import KeptBytes
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.receptive_fields.centres import centres, chosen_neurons
from openretina_widgets.insilico.receptive_fields.gradient import MEMORY_MB
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.experiments import spot_diameter
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

GradientSteps = Generator["GradientStep", None, ResponseGradient]
Values = Sequence[float] | np.ndarray

CONTRASTS = tuple(np.linspace(-1.0, 1.0, 9).tolist())
FLASHES = ("full field", "local")
_FLASH_S = 0.5
_SAME_PLACE_PX = 0.25  # centres that agree within this share a flash
_STEPS = 12  # at least, so that the grid is seen to fill


@dataclass(frozen=True, eq=False)
class GradientStep:
    """A batch of points of the grid.

    The arrays are the run's own: they hold until the generator is resumed.

    Attributes
    ----------
    done, total
        Movies shown so far, and in all.
    neurons
        Those of the arrays.
    responses, gradients
        As in `ResponseGradient`; NaN where there is nothing yet.
    grey_response
        ``(neuron,)``, as in `ResponseGradient`.
    """

    done: int
    total: int
    neurons: tuple[int, ...]
    responses: np.ndarray
    gradients: np.ndarray
    grey_response: np.ndarray


def response_gradient(
    model: RetinaModel | nn.Module, stimulus: Any = "full field", **settings: Any
) -> ResponseGradient:
    """Return the responses, and their gradients, on a grid of green and UV contrasts.

    Settings, errors and result are those of
    `openretina_widgets.insilico.tuning_analyses.response_gradient_steps`: ``neurons``,
    ``data_key``, ``green``, ``uv``, ``window``, ``equalize``, ``align``, ``memory_mb`` and
    ``client``.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> gradient = response_gradient(model, neurons=model.neurons_of("colour opponent"))
    >>> gradient.gradients.shape
    (9, 9, 4, 2)
    """
    known = [*inspect.signature(response_gradient_steps).parameters][2:]
    for name in settings:
        if name not in known:
            raise TypeError(unknown_name("response_gradient", name, known, "setting"))
    steps = response_gradient_steps(model, stimulus, **settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: ResponseGradient = end.value
            return found


def response_gradient_steps(
    model: RetinaModel | nn.Module,
    stimulus: Any = "full field",
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    green: Values = CONTRASTS,
    uv: Values = CONTRASTS,
    window: tuple[int, int] | None = None,
    equalize: bool = False,
    align: bool = False,
    memory_mb: float = MEMORY_MB,
    client: Any = None,
) -> GradientSteps:
    """Check the arguments, and return the generator of the run's steps.

    At contrast (g, u) the stimulus is ``grey + (g, u) × (stimulus − grey)``, each channel with its
    own factor (Höfling et al. 2024). The gradient is exact, by automatic differentiation: of all
    points and neurons of a batch together, from two derivatives of one backward pass.

    Parameters
    ----------
    model
        A `RetinaModel` with two channels, or such a live OpenRetina model. It is held frozen in
        eval mode while the generator lives, and handed back as it was.
    stimulus
        What is scaled. ``"full field"`` or ``"local"``: a flash of 0.5 s, on the whole screen or
        as a spot on each receptive field. An `OptimizationResult`: of each neuron its own best
        stimulus, that of the highest score. A generated stimulus, or a movie
        ``(channel, time, height, width)`` in model units: the same for all neurons. Movies
        ``(neuron, channel, time, height, width)``: one for each.
    neurons
        One or several; for None all of the session, or those of an optimisation.
    data_key
        Session; for None that of an optimisation, else the first one.
    green, uv
        Contrasts in [−1, 1], as shares of the stimulus; 1 is the stimulus as it is.
    window
        Response frames that are averaged: first one, and the one after the last. For None what
        the stimulus states, the whole response of a movie.
    equalize
        Bring both channels to the same norm, that of the whole unchanged.
    align
        Turn the weaker channel over where the two are anticorrelated, as in the best stimulus of a
        colour-opponent neuron: contrasts of one sign then mean light of one polarity. The notes of
        the result tell whose was turned.
    memory_mb
        Bounds what a batch needs (MiB), measured on the first one, on a cluster on each worker.
    client
        A ``distributed.Client``: its workers compute, movies are shared out. A step may have none
        then: there are some each second, so that the run can be ended while it waits.

    Returns
    -------
    generator
        Yields `GradientStep`; returns `ResponseGradient`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. Checked before the first step.
    OutOfMemory
        From a step, if the device runs out of memory.
    """
    face = as_retina_model(model)
    if len(face.channels) != 2:
        raise ValueError(
            "model: two channels, green and UV, are scaled apart; this one has "
            f"{len(face.channels)}: {', '.join(face.channels)}"
        )
    if data_key is None and isinstance(stimulus, OptimizationResult):
        data_key = stimulus.data_key
    session = face.session(data_key)
    if neurons is None and isinstance(stimulus, OptimizationResult):
        neurons = list(dict.fromkeys(n for element in stimulus.neurons for n in element))
    chosen = chosen_neurons(face, neurons, session)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons: expected each neuron once, got {chosen}")
    grid = _checked_contrasts(green, "green"), _checked_contrasts(uv, "uv")
    check_positive(memory_mb, "memory_mb")
    screen = Screen.of(face)
    shown = _shown(face, screen, stimulus, chosen, session)
    for movie in shown.movies:
        face.check_stimulus(movie[None].to(face.dtype))
    frames = int(shown.movies.shape[2]) - face.lag
    if window is not None:
        shown = replace(shown, window=window)
    shown = replace(shown, window=_checked_window(shown.window, frames))
    if equalize or align:
        shown = _matched(shown, screen, chosen, equalize=equalize, align=align)
    asked = OnGrid(
        shown.movies,
        _points(*grid),
        tuple(chosen),
        session,
        tuple(screen.grey),
        shown.window,
        memory_mb,
    )
    if client is None:
        come = _one_after_the_other(face, asked)
    else:
        from openretina_widgets.insilico.cluster.gradients import shared_on_grid

        come = shared_on_grid(client, face, asked)
    settings = {
        "flash": shown.flash,
        "equalize": equalize,
        "align": align,
        "memory_mb": memory_mb,
        "device": str(face.device),
    }
    return _steps(face, asked, shown, grid, settings, come)


@dataclass(frozen=True, eq=False)
class _Shown:
    movies: torch.Tensor  # (movie, channel, time, height, width), contrast 1
    of_neuron: np.ndarray  # (neuron,), which movie each sees
    words: str
    window: Any
    notes: tuple[str, ...] = ()
    flash: str | None = None  # one of `FLASHES`


def _shown(
    model: RetinaModel, screen: Screen, stimulus: Any, neurons: list[int], session: str
) -> _Shown:
    if isinstance(stimulus, str):
        if stimulus not in FLASHES:
            raise ValueError(unknown_name("stimulus", stimulus, FLASHES, "flash"))
        return _flashes(model, screen, stimulus, neurons, session)
    if isinstance(stimulus, OptimizationResult):
        return _best(stimulus, neurons)
    first = np.zeros(len(neurons), dtype=np.int64)
    if isinstance(stimulus, ArtificialStimulus):
        return _Shown(stimulus.movie[None], first, stimulus.name, stimulus.response_window)
    if not isinstance(stimulus, torch.Tensor | np.ndarray):
        raise TypeError(
            f"stimulus: expected one of {FLASHES}, an OptimizationResult, a generated stimulus or "
            f"a movie, got {type(stimulus).__name__}"
        )
    movie = torch.as_tensor(stimulus).detach().cpu().float()
    if movie.ndim == 5 and len(movie) == 1:
        movie = movie[0]
    if movie.ndim == 5 and len(movie) == len(neurons):
        n = movie.shape[2]
        words = f"movies of {n} frames, one for each neuron"
        return _Shown(movie, np.arange(len(neurons)), words, (0, n - model.lag))
    if movie.ndim != 4:
        raise ValueError(
            "stimulus: expected a movie (channel, time, height, width), or one for each of "
            f"{len(neurons)} neurons, got shape {tuple(movie.shape)}"
        )
    n = movie.shape[1]
    return _Shown(movie[None], first, f"a movie of {n} frames", (0, n - model.lag))


def _flashes(
    model: RetinaModel, screen: Screen, kind: str, neurons: list[int], session: str
) -> _Shown:
    if kind == "full field":
        one = flash(screen, on_s=_FLASH_S, off_s=0.0)
        everyone = np.zeros(len(neurons), dtype=np.int64)
        words = f"full-field flash of {_FLASH_S:g} s"
        return _Shown(one.movie[None], everyone, words, one.response_window, flash=kind)
    found = centres(model, neurons=neurons, data_key=session)
    lost = ~np.isfinite(found).all(axis=1)
    places = np.where(lost[:, None], 0.0, found)
    near = np.round(places / screen.length(_SAME_PLACE_PX)).astype(np.int64)
    _, first, of_neuron = np.unique(near, axis=0, return_index=True, return_inverse=True)
    diameter = spot_diameter(screen)
    spots = [
        flash(screen, on_s=_FLASH_S, off_s=0.0, diameter=diameter, centre=tuple(places[at]))
        for at in first
    ]
    notes: tuple[str, ...] = ()
    if lost.any():
        notes = (
            f"no receptive field was found for {int(lost.sum())} of {len(lost)} neurons, such as "
            f"{neurons[int(lost.argmax())]}: they see the flash in the middle of the screen",
        )
    return _Shown(
        torch.stack([one.movie for one in spots]),
        of_neuron.reshape(-1),
        f"flash of {_FLASH_S:g} s, {diameter:.4g} {screen.space_unit} on each receptive field",
        spots[0].response_window,
        notes,
        kind,
    )


def _best(result: OptimizationResult, neurons: list[int]) -> _Shown:
    """Return the best stimulus of each neuron, of the seed with the highest score."""
    own: dict[int, int] = {}
    score = result.score.tolist()
    for element, looked_at in enumerate(result.neurons):
        if len(looked_at) == 1:
            neuron = looked_at[0]
            if neuron not in own or score[element] > score[own[neuron]]:
                own[neuron] = element
    for neuron in neurons:
        if neuron not in own:
            raise ValueError(
                f"neurons: the optimisation has no stimulus of neuron {neuron} alone; it has "
                f"those of {sorted(own)}"
            )
    movies = torch.stack([result.stimulus[own[neuron]] for neuron in neurons])
    window = result.window or (0, movies.shape[2] - (result.lag or 0))
    return _Shown(movies, np.arange(len(neurons)), "each neuron's own best stimulus", window)


def _checked_contrasts(values: Any, argument: str) -> Axis:
    axis = Axis.of(argument, values)
    for value in axis.values:
        check_contrast(float(value), argument)
    return axis


def _checked_window(window: Any, frames: int) -> tuple[int, int]:
    if not isinstance(window, tuple | list) or len(window) != 2 or not all(map(is_index, window)):
        raise TypeError(f"window: expected (first, stop) response frames, got {window!r}")
    first, stop = (int(edge) for edge in window)
    if not 0 <= first < stop <= frames:
        raise ValueError(
            f"window: expected 0 <= first < stop <= {frames}, the response frames, got {window!r}"
        )
    return first, stop


def _matched(
    shown: _Shown, screen: Screen, neurons: list[int], *, equalize: bool, align: bool
) -> _Shown:
    grey = torch.tensor(screen.grey)[:, None, None, None]
    apart = shown.movies - grey
    norm = apart.flatten(2).norm(dim=2)  # (movie, channel)
    factor = torch.ones_like(norm)
    notes = list(shown.notes)
    if equalize:
        if bool((norm == 0).any()):
            movie, channel = (int(at) for at in (norm == 0).nonzero()[0])
            raise ValueError(
                f"equalize: channel {screen.channels[channel]!r} of the stimulus of neuron "
                f"{neurons[int((shown.of_neuron == movie).argmax())]} is grey throughout"
            )
        factor = norm.square().sum(1, keepdim=True).sqrt() / (2**0.5 * norm)
        notes.append("both channels were brought to the same norm")
    if align:
        opposed = (apart[:, 0] * apart[:, 1]).sum((1, 2, 3)) < 0
        weaker = norm.argmin(dim=1)
        factor[opposed, weaker[opposed]] *= -1
        turned = [
            f"{screen.channels[int(weaker[movie])]} of neuron {neuron}"
            for neuron, movie in zip(neurons, shown.of_neuron, strict=True)
            if opposed[movie]
        ]
        if turned:
            notes.append(f"turned over, as the channels are opposed: {', '.join(turned)}")
    movies = grey + apart * factor[..., None, None, None]
    return replace(shown, movies=movies, notes=tuple(notes))


def _points(green: Axis, uv: Axis) -> np.ndarray:
    """Return ``(point, 2)``: grey, and every point of the grid."""
    points = np.stack(np.meshgrid(green.values, uv.values, indexing="ij"), axis=-1)
    return np.concatenate([np.zeros((1, 2)), points.reshape(-1, 2)])


OfPairs = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
"""Which pairs, ``(pair, neuron, 3)``: responses and their derivatives, and what is to be noted."""


@dataclass(frozen=True, eq=False)
class OnGrid:
    """What is asked: every movie at every point of a grid of contrasts, a pair of both each.

    Attributes
    ----------
    movies
        ``(movie, channel, time, height, width)``, at contrast 1.
    points
        ``(point, 2)``, contrasts.
    neurons, session
        Whose responses.
    grey
        Of each channel.
    window
        Response frames that are averaged.
    memory_mb
        Bounds what a batch needs (MiB).
    """

    movies: torch.Tensor
    points: np.ndarray
    neurons: tuple[int, ...]
    session: str
    grey: tuple[float, ...]
    window: tuple[int, int]
    memory_mb: float

    @property
    def total(self) -> int:
        """Number of pairs."""
        return len(self.points) * len(self.movies)

    def on(self, model: RetinaModel, most: int | None = None) -> Pairs:
        """Return what computes pairs by a model, at most so many at once."""
        return Pairs(self, model, most)


class Pairs:
    """Computes pairs of a point and a movie, as many at once as the memory holds."""

    def __init__(self, asked: OnGrid, model: RetinaModel, most: int | None) -> None:
        self._asked, self._model, self._most = asked, model, most
        grey = torch.tensor(asked.grey)[:, None, None, None].to(model.device, model.dtype)
        self._apart = asked.movies.to(model.device, model.dtype) - grey
        self._answer = _Answer(model, asked.session, asked.window, grey)
        self._size: int | None = None  # known after the first

    def __call__(self, which: slice) -> Generator[OfPairs, None, None]:
        """Yield what some pairs give, batch by batch; the model is held frozen meanwhile."""
        asked, model, done = self._asked, self._model, which.start
        with frozen(model), full_float32(model.device):
            while done < which.stop:
                pairs = np.arange(done, min(which.stop, done + (self._size or 1)))
                point, movie = np.divmod(pairs, len(asked.movies))
                contrasts = torch.tensor(asked.points[point]).to(self._apart)
                kept = KeptBytes()
                with (
                    kept if self._size is None else nullcontext(),
                    memory_in_words(len(pairs), model.device),
                ):
                    values = self._answer(
                        self._apart[torch.as_tensor(movie)], contrasts, list(asked.neurons)
                    )
                if self._size is None:
                    one = self._apart[0]
                    each = max(1, kept.total + 3 * one.numel() * one.element_size())
                    size = int(asked.memory_mb * 2**20 / each)
                    self._size = max(1, size if self._most is None else min(size, self._most))
                done += len(pairs)
                yield pairs, values, self._answer.notes


def _one_after_the_other(model: RetinaModel, asked: OnGrid) -> Generator[list[OfPairs], None, None]:
    with closing(asked.on(model, -(-asked.total // _STEPS))(slice(0, asked.total))) as batches:
        for one in batches:
            yield [one]


def _steps(
    model: RetinaModel,
    asked: OnGrid,
    shown: _Shown,
    grid: tuple[Axis, Axis],
    settings: dict[str, Any],
    come: Generator[list[OfPairs], None, None],
) -> GradientSteps:
    start = time.perf_counter()
    shape, n = (len(grid[0]), len(grid[1])), len(asked.neurons)
    found = np.full((len(asked.points), n, 3), np.nan)
    done, notes = 0, shown.notes
    with closing(come):
        for several in come:
            for pairs, values, noted in several:
                point, movie = np.divmod(pairs, len(asked.movies))
                row, column = np.nonzero(movie[:, None] == shown.of_neuron)
                found[point[row], column] = values[row, column]
                notes = tuple(dict.fromkeys((*notes, *noted)))
                done += len(pairs)
            yield GradientStep(
                done,
                asked.total,
                asked.neurons,
                found[1:, :, 0].reshape(*shape, n),
                found[1:, :, 1:].reshape(*shape, n, 2),
                found[0, :, 0],
            )
    known = model.neurons(asked.session)
    return ResponseGradient(
        green=grid[0].values,
        uv=grid[1].values,
        responses=found[1:, :, 0].reshape(*shape, n),
        gradients=found[1:, :, 1:].reshape(*shape, n, 2),
        grey_response=found[0, :, 0],
        grey_gradient=found[0, :, 1:],
        movies=shown.movies.numpy(),
        movie_of=shown.of_neuron,
        grey=asked.grey,
        stimulus=shown.words,
        window=asked.window,
        neurons=asked.neurons,
        cell_types=tuple(known[neuron].cell_type for neuron in asked.neurons),
        data_key=asked.session,
        notes=notes,
        settings=settings,
        duration_s=time.perf_counter() - start,
        versions=versions(),
        **of_model(model),
    )


class _Answer:
    """Mean responses of all neurons, and their derivatives with respect to both contrasts."""

    def __init__(
        self, model: RetinaModel, session: str, window: tuple[int, int], grey: torch.Tensor
    ) -> None:
        self._model, self._session, self._window, self._grey = model, session, window, grey
        self._twice = True  # whether the model can be differentiated twice
        self.notes: tuple[str, ...] = ()

    def __call__(
        self, apart: torch.Tensor, contrasts: torch.Tensor, neurons: list[int]
    ) -> np.ndarray:
        """Return ``(movie, neuron, 3)``: response, and its two derivatives."""
        with torch.enable_grad():
            contrasts = contrasts.requires_grad_(True)
            stimulus = self._grey + contrasts[:, :, None, None, None] * apart
            first, stop = self._window
            response = self._model(stimulus, self._session)[:, first:stop, neurons].mean(1)
            if not response.requires_grad:  # a constant answer
                slopes = response.new_zeros(*response.shape, 2)
            else:
                slopes = self._slopes(response, contrasts)
        return torch.cat([response.detach()[..., None], slopes], dim=2).double().cpu().numpy()

    def _slopes(self, response: torch.Tensor, contrasts: torch.Tensor) -> torch.Tensor:
        if self._twice:
            # The pull-back of weights is linear in the weights; its derivative with respect to
            # them is the push-forward of the contrasts, to all neurons at once.
            weights = torch.zeros_like(response, requires_grad=True)
            try:
                (pulled,) = torch.autograd.grad(response, contrasts, weights, create_graph=True)
                both = [
                    torch.autograd.grad(pulled[:, k].sum(), weights, retain_graph=True)[0]
                    for k in range(2)
                ]
                return torch.stack(both, dim=2)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError:  # an operation without a second derivative
                self._twice = False
                self.notes = (
                    "an operation of the model has no second derivative: each neuron took a "
                    "backward pass of its own",
                )
        each = [
            torch.autograd.grad(one.sum(), contrasts, retain_graph=True)[0]
            for one in response.unbind(1)
        ]
        return torch.stack(each, dim=1)
