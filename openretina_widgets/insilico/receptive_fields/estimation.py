"""Receptive fields of a model's neurons: gradients and spike-triggered averages."""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.receptive_fields.base import Base, base_of
from openretina_widgets.insilico.receptive_fields.centres import chosen_neurons
from openretina_widgets.insilico.receptive_fields.gradient import MEMORY_MB
from openretina_widgets.insilico.receptive_fields.noise import NoiseKind, WhiteNoise
from openretina_widgets.insilico.receptive_fields.pieces import (
    Answer,
    Gradients,
    answer,
    mean_gradients,
    pieces,
)
from openretina_widgets.insilico.receptive_fields.result import FieldsStep, ReceptiveFields
from openretina_widgets.insilico.receptive_fields.sta import RunningAverage
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Method = Literal["gradient", "local gradient", "sta"]
FieldSteps = Generator[FieldsStep, str | None, ReceptiveFields]

METHODS = ("gradient", "local gradient", "sta")
_VANISHED = 1e-4  # of the response: what no stimulus within contrast 1 adds to it, at first order


def receptive_fields(model: RetinaModel | nn.Module, **settings: Any) -> ReceptiveFields:
    """Return the receptive field of each neuron, split in space and time, and fitted.

    Settings, errors and result are those of
    `openretina_widgets.insilico.receptive_fields.receptive_field_steps`: ``neurons``, ``data_key``,
    ``method``, ``base``, ``window``, ``noise``, ``contrast``, ``check_pixels``, ``frames``,
    ``chunk``, ``seed``, ``memory_mb`` and ``client``.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> fields = receptive_fields(model, neurons=[0, 4])
    >>> fields.polarity
    ('ON', 'ON')
    """
    known = [*inspect.signature(receptive_field_steps).parameters][1:]
    for name in settings:
        if name not in known:
            raise TypeError(unknown_name("receptive_fields", name, known, "setting"))
    steps = receptive_field_steps(model, **settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def receptive_field_steps(
    model: RetinaModel | nn.Module,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    method: Method = "gradient",
    base: Any = None,
    window: tuple[int, int] | None = None,
    noise: NoiseKind = "binary",
    contrast: float = 1.0,
    check_pixels: int = 1,
    frames: int = 20_000,
    chunk: int = 500,
    seed: int = 0,
    memory_mb: float = MEMORY_MB,
    client: Any = None,
) -> FieldSteps:
    """Check the arguments, and return the generator of the run's steps.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model. It is held frozen in eval mode while the
        generator lives, and handed back as it was.
    neurons
        One or several, all of the session for None.
    data_key
        Session, the first one for None.
    method
        ``"gradient"``: ∂ response / ∂ stimulus at uniform grey. ``"local gradient"``: at `base`
        (the local spike-triggered average, LSTA, when that is an image). ``"sta"``: the
        spike-triggered average of white noise.
    base
        Image ``(height, width)`` or ``(channel, height, width)``, held still, or movie
        ``(channel, time, height, width)``, or a generated stimulus, in model units.
    window
        Response frames of `base` that the gradient is averaged over, each of them with respect to
        the frames before it: first one, and the one after the last. None for the last one alone.
    noise, contrast, check_pixels, seed
        See `WhiteNoise`.
    frames, chunk
        Response frames that the average is taken over, and those of a step.
    memory_mb
        Bounds what a group of neurons needs for its gradients (MiB).
    client
        A ``distributed.Client``: its workers compute. Neurons are shared out, of an average the
        frames of noise. A step may improve no neuron then: there are some each second, so that
        the run can be ended while it waits.

    Returns
    -------
    generator
        Yields `FieldsStep`: of a gradient after each group of neurons, of an average after each
        chunk, with the estimate so far. Returns `ReceptiveFields`. An average that is sent a
        string ends, and returns what it has.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. Checked before the first step.
    OutOfMemory
        From a step, if the device runs out of memory.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = chosen_neurons(face, neurons, session)
    if method not in METHODS:
        raise ValueError(unknown_name("method", str(method), METHODS, "method"))
    screen = Screen.of(face)
    if method == "sta":
        for name, value in (("base", base), ("window", window)):
            if value is not None:
                raise ValueError(f"{name}: leave it out with method 'sta', which takes noise")
        for name, number in (("frames", frames), ("chunk", chunk)):
            # A covariance takes two frames.
            if isinstance(number, bool) or not isinstance(number, int) or number < 2:
                raise ValueError(f"{name}: expected a whole number of at least 2, got {number!r}")
        white = WhiteNoise(screen, noise, contrast, check_pixels, seed)
        if client is None:
            answers = _answers(face, session, chosen, white, frames, chunk)
        else:
            from openretina_widgets.insilico.cluster.fields import shared_answers

            answers = shared_answers(
                client, face, white, session=session, neurons=chosen, frames=frames, chunk=chunk
            )
        return _average_steps(face, session, chosen, white, frames, chunk, answers)
    if method == "local gradient" and base is None:
        raise ValueError("base: method 'local gradient' needs an image or a movie, got None")
    at = base_of(face, screen, base, window)
    if client is None:
        groups = _gradients(face, session, chosen, at, memory_mb)
    else:
        from openretina_widgets.insilico.cluster.fields import shared_gradients

        groups = shared_gradients(
            client, face, at.movies, chosen, data_key=session, memory_mb=memory_mb
        )
    return _gradient_steps(face, session, chosen, at, screen, memory_mb, groups)


def _gradients(
    model: RetinaModel, session: str, neurons: list[int], base: Base, memory_mb: float
) -> Generator[list[Gradients], None, None]:
    for group in mean_gradients(model, base.movies, neurons, data_key=session, memory_mb=memory_mb):
        yield [group]


def _answers(
    model: RetinaModel,
    session: str,
    neurons: list[int],
    noise: WhiteNoise,
    frames: int,
    chunk: int,
) -> Generator[list[Answer], None, None]:
    with frozen(model):
        for _, _, movie in pieces(noise, model.lag, frames, chunk):
            yield [(movie, answer(model, noise, movie, session, neurons))]


def _gradient_steps(
    model: RetinaModel,
    session: str,
    neurons: list[int],
    base: Base,
    screen: Screen,
    memory_mb: float,
    groups: Generator[list[Gradients], None, None],
) -> FieldSteps:
    start = time.perf_counter()
    channel, height, width = model.input_shape
    found = np.full((len(neurons), channel, model.lag + 1, height, width), np.nan, np.float32)
    responses = np.full(len(neurons), np.nan)
    place = {neuron: row for row, neuron in enumerate(neurons)}
    done = 0
    with closing(groups):
        for come in groups:
            new: list[int] = []
            for group, response, gradient in come:
                rows = [place[neuron] for neuron in group]
                found[rows], responses[rows] = gradient, response
                new += group
            done += len(new)
            yield FieldsStep(tuple(new), found, done, len(neurons), "neurons")
    reach = np.abs(found) * np.array(screen.contrast_scale)[:, None, None, None]
    reach = reach.sum(axis=(1, 2, 3, 4), dtype=np.float64)
    vanished = reach <= _VANISHED * np.abs(responses) / len(base.movies)
    reasons = [
        f"the gradient vanishes at {base.words}: a response that both polarities move alike, or "
        "that nothing moves there"
        if gone
        else ""
        for gone in vanished
    ]
    return _finished(
        model,
        session,
        neurons,
        found,
        reasons,
        method="gradient" if base.grey else "local gradient",
        base=base.words,
        base_movie=None if base.grey else base.movie,
        window=base.window,
        frames_used=len(base.movies),
        responses=responses,
        settings={"memory_mb": memory_mb, "device": str(model.device)},
        unit="response (a.u.) for each model unit of the stimulus",
        duration_s=time.perf_counter() - start,
    )


def _average_steps(
    model: RetinaModel,
    session: str,
    neurons: list[int],
    noise: WhiteNoise,
    frames: int,
    chunk: int,
    answers: Generator[list[Answer], None, None],
) -> FieldSteps:
    start = time.perf_counter()
    screen, device = noise.screen, model.device
    pixels = screen.height * screen.width
    white = noise.variance.repeat_interleave(pixels).to(device) if noise.check == 1 else None
    average = RunningAverage(white)
    channel, height, width = model.input_shape
    nothing = np.full((len(neurons), channel, model.lag + 1, height, width), np.nan, np.float32)
    with closing(answers):
        for come in answers:
            with torch.no_grad(), full_float32(device), memory_in_words(1, device):
                for movie, responses in come:
                    average.add(movie.to(device), responses)
            estimate = average.estimate() if average.frames else nothing
            new = tuple(neurons) if come else ()
            step = FieldsStep(new, estimate, average.frames, frames, "frames")
            if (
                yield step
            ) is not None and average.frames:  # asked to end: the average so far is the result
                break
    return _finished(
        model,
        session,
        neurons,
        average.estimate(),
        average.reasons,
        method="sta",
        base=noise.describe(),
        frames_used=average.frames,
        responses=average.responses,
        seed=noise.seed,
        settings={
            "noise": noise.kind,
            "contrast": noise.contrast,
            "check_pixels": noise.check,
            "chunk": chunk,
            "contrast_scale": list(screen.contrast_scale),
            "device": str(device),
        },
        notes=("What a linear filter predicts was averaged exactly (control variate).",)
        if white is not None
        else (),
        unit="model units",
        duration_s=time.perf_counter() - start,
    )


def _finished(
    model: RetinaModel,
    session: str,
    neurons: list[int],
    found: np.ndarray,
    reasons: Sequence[str],
    **more: Any,
) -> ReceptiveFields:
    known = model.neurons(session)
    notes = more.pop("notes", ())
    if model.lag == 0:
        notes = (*notes, "The model sees one frame: there is no kernel in time.")
    return ReceptiveFields.of(
        found,
        reasons=reasons,
        neurons=neurons,
        cell_types=tuple(known[neuron].cell_type for neuron in neurons),
        data_key=session,
        notes=notes,
        versions=versions(),
        **of_model(model),
        **more,
    )
