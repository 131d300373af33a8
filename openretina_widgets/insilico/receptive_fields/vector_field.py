"""The local gradient of every neuron at many images, and how it turns from image to image."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli import ArtificialStimulus, Screen, pink_noise
from openretina_widgets.data_io.artificial_stimuli.building import check_frames, check_seed
from openretina_widgets.errors import OutOfMemory, check_positive, unknown_name
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.receptive_fields.centres import chosen_neurons
from openretina_widgets.insilico.receptive_fields.gradient import MEMORY_MB, neuron_gradients
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.memory import free_memory
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

VectorFieldSteps = Generator["VectorFieldStep", None, VectorField]
Plane = Literal["lsta", "images"]

PLANES = ("lsta", "images")
_OURS = 24  # images, when none are given
_STEPS = 10


@dataclass(frozen=True, eq=False)
class VectorFieldStep:
    """Images whose gradients are known by now.

    The arrays are the run's own: they hold until the generator is resumed.

    Attributes
    ----------
    done, total
        Images so far, and in all.
    lsta, responses
        As in `VectorField`; NaN where there is nothing yet.
    """

    done: int
    total: int
    lsta: np.ndarray
    responses: np.ndarray


def vector_field(
    model: RetinaModel | nn.Module, images: Any = None, **settings: Any
) -> VectorField:
    """Return each neuron's response and local gradient at each image, in a plane.

    Settings, errors and result are those of
    `openretina_widgets.insilico.receptive_fields.vector_field_steps`: ``neurons``, ``data_key``,
    ``plane``, ``duration_s``, ``window``, ``seed``, ``memory_mb`` and ``client``.

    Examples
    --------
    >>> field = vector_field(load_model("synthetic"), neurons=[24, 72])
    >>> field.lsta.shape
    (24, 2, 2, 18, 16)
    """
    known = [*inspect.signature(vector_field_steps).parameters][2:]
    for name in settings:
        if name not in known:
            raise TypeError(unknown_name("vector_field", name, known, "setting"))
    steps = vector_field_steps(model, images, **settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: VectorField = end.value
            return found


def vector_field_steps(
    model: RetinaModel | nn.Module,
    images: Any = None,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    plane: Plane = "lsta",
    duration_s: float = 0.5,
    window: tuple[int, int] | None = None,
    seed: int = 0,
    memory_mb: float = MEMORY_MB,
    client: Any = None,
) -> VectorFieldSteps:
    """Check the arguments, and return the generator of the run's steps.

    Each image follows grey, as after a saccade, and stands still. The gradient of the response
    with respect to the image is the local spike-triggered average (LSTA, Goldin et al. 2022).

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model. It is held frozen in eval mode while it runs,
        and handed back as it was.
    images
        At least two: an array ``(image, height, width)`` or ``(image, channel, height, width)`` in
        model units, or a list of generated stimuli, such as those of `natural` for pictures of
        one's own; the last frame of each counts. None for 24 images of 1/f noise.
    neurons
        One or several, all of the session for None.
    data_key
        Session, the first one for None.
    plane
        ``"lsta"``: for each neuron the plane that holds most of the power of its LSTAs.
        ``"images"``: for all neurons the plane of the first two components of the images.
    duration_s
        How long an image is shown (s).
    window
        Response frames from the onset of the image that are averaged: first one, and the one
        after the last. All of them for None.
    seed
        Of the images of noise.
    memory_mb
        Bounds what a group of neurons needs for its gradients (MiB), on a cluster on each worker.
    client
        A ``distributed.Client``: its workers compute, images are shared out. A step may have no
        image then: there are some each second, so that the run can be ended while it waits.

    Returns
    -------
    generator
        Yields `VectorFieldStep`; returns `VectorField`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. Checked before the first step.
    OutOfMemory
        If the gradients would not fit into memory, or from a step.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = chosen_neurons(face, neurons, session)
    if plane not in PLANES:
        raise ValueError(unknown_name("plane", str(plane), PLANES, "plane"))
    screen = Screen.of(face)
    frames = check_frames(screen, duration_s, "duration_s")
    part = (0, frames) if window is None else _checked_window(window, frames)
    check_positive(memory_mb, "memory_mb")
    shown, words = _images(face, screen, images, check_seed(seed))
    needed = 4 * shown.numel() * len(chosen)
    if 2 * needed > (free := free_memory()):
        raise OutOfMemory(
            f"images: the gradients of {len(chosen)} neurons at {len(shown)} images take "
            f"{needed / 2**30:.3g} GB, and {free / 2**30:.3g} GB are free; take fewer of either"
        )
    settings = {
        "duration_s": duration_s,
        "plane": plane,
        "noise": images is None,
        "memory_mb": memory_mb,
        "device": str(face.device),
    }
    asked = AtImages(tuple(chosen), session, screen.grey, frames, part, memory_mb)
    if client is None:
        come = _one_after_the_other(face, asked, shown)
    else:
        from openretina_widgets.insilico.cluster.gradients import shared_at_images

        come = shared_at_images(client, face, asked, shown)
    return _steps(face, asked, screen, shown, words, seed, settings, come)


def _images(model: RetinaModel, screen: Screen, images: Any, seed: int) -> tuple[torch.Tensor, str]:
    channel, height, width = model.input_shape
    if images is None:
        noise = pink_noise(
            screen,
            seed=seed,
            duration_s=_OURS / screen.frame_rate,
            independent_channels=False,
            before_s=0.0,
        )
        return noise.movie.movedim(1, 0).contiguous(), f"{_OURS} images of 1/f noise, seed {seed}"
    if isinstance(images, list | tuple) and images and isinstance(images[0], ArtificialStimulus):
        for one in images:
            if not isinstance(one, ArtificialStimulus):
                raise TypeError(
                    f"images: expected generated stimuli only, got {type(one).__name__} among them"
                )
            model.check_stimulus(one.batch)
        found = torch.stack([one.movie[:, -1] for one in images])
        words = f"{len(images)} of {images[0].name!r}"
    else:
        if isinstance(images, torch.Tensor):
            found = images.detach().cpu().float()
        else:
            try:
                found = torch.from_numpy(np.array(images, dtype=np.float32))
            except (TypeError, ValueError):
                raise TypeError(
                    f"images: expected an array of images, got {type(images).__name__}"
                ) from None
        if found.ndim == 3:
            found = found[:, None].expand(-1, channel, -1, -1)
        words = f"{len(found) if found.ndim else 0} images given"
    if found.ndim != 4 or tuple(found.shape[1:]) != (channel, height, width):
        raise ValueError(
            f"images: expected (image, {height}, {width}) or (image, {channel}, {height}, "
            f"{width}), got shape {tuple(found.shape)}"
        )
    if len(found) < 2:
        raise ValueError(f"images: expected at least two to compare, got {len(found)}")
    if not bool(torch.isfinite(found).all()):
        raise ValueError("images: they hold values that are not finite")
    return found.contiguous(), words


def _checked_window(window: Any, frames: int) -> tuple[int, int]:
    if not isinstance(window, tuple | list) or len(window) != 2 or not all(map(is_index, window)):
        raise TypeError(f"window: expected (first, stop) response frames, got {window!r}")
    first, stop = (int(edge) for edge in window)
    if not 0 <= first < stop <= frames:
        raise ValueError(
            f"window: expected 0 <= first < stop <= {frames}, the frames of an image, got "
            f"{window!r}"
        )
    return first, stop


OfImages = tuple[slice, np.ndarray, np.ndarray]
"""Which images, their gradients ``(image, neuron, channel, height, width)``, and responses."""


@dataclass(frozen=True)
class AtImages:
    """What is asked at each image; an image follows grey and stands still.

    Attributes
    ----------
    neurons, session
        Whose gradients.
    grey
        Of each channel.
    frames, window
        How long an image is shown, and which response frames from its onset are averaged.
    memory_mb
        Bounds what a group of neurons needs (MiB).
    """

    neurons: tuple[int, ...]
    session: str
    grey: tuple[float, ...]
    frames: int
    window: tuple[int, int]
    memory_mb: float

    def gradients(
        self,
        model: RetinaModel,
        images: torch.Tensor,
        which: slice,
        go_on: Callable[[], None] | None = None,
    ) -> OfImages:
        """Return the gradients at some images; `go_on` is called between two groups of neurons."""
        shown = images[which].to(model.device, model.dtype)
        grey = torch.tensor(self.grey)[None, :, None, None, None].to(shown)
        first, stop = self.window

        def answer(shown: torch.Tensor) -> torch.Tensor:
            before = grey.expand(len(shown), -1, model.lag, *shown.shape[2:])
            during = shown[:, :, None].expand(-1, -1, self.frames, -1, -1)
            movie = torch.cat([before, during], dim=2)
            return model(movie, self.session)[:, first:stop].mean(1)

        lsta, responses = [], []
        for _, response, gradient in neuron_gradients(
            model,
            shown,
            self.neurons,
            data_key=self.session,
            memory_mb=self.memory_mb,
            answer=answer,
        ):
            if go_on is not None:
                go_on()
            lsta.append(gradient.transpose(0, 1).float().cpu().numpy())
            responses.append(response.T.double().cpu().numpy())
        return which, np.concatenate(lsta, axis=1), np.concatenate(responses, axis=1)


def _one_after_the_other(
    model: RetinaModel, asked: AtImages, images: torch.Tensor
) -> Generator[list[OfImages], None, None]:
    size = -(-len(images) // _STEPS)
    for first in range(0, len(images), size):
        yield [asked.gradients(model, images, slice(first, min(len(images), first + size)))]


def _steps(
    model: RetinaModel,
    asked: AtImages,
    screen: Screen,
    images: torch.Tensor,
    words: str,
    seed: int,
    settings: dict[str, Any],
    come: Generator[list[OfImages], None, None],
) -> VectorFieldSteps:
    start = time.perf_counter()
    total, done = len(images), 0
    lsta = np.full((total, len(asked.neurons), *images.shape[1:]), np.nan, np.float32)
    responses = np.full((total, len(asked.neurons)), np.nan)
    with closing(come):
        for found in come:
            for rows, gradients, answers in found:
                lsta[rows], responses[rows] = gradients, answers
                done += len(answers)
            yield VectorFieldStep(done, total, lsta, responses)
    known = model.neurons(asked.session)
    return VectorField.of(
        lsta,
        responses,
        images.numpy(),
        grey=screen.grey,
        contrast_scale=screen.contrast_scale,
        plane=settings["plane"],
        neurons=asked.neurons,
        cell_types=tuple(known[neuron].cell_type for neuron in asked.neurons),
        data_key=asked.session,
        described=words,
        window=asked.window,
        seed=seed,
        settings=settings,
        duration_s=time.perf_counter() - start,
        versions=versions(),
        **of_model(model),
    )
