"""Pictures and movies of one's own: resized, cropped, and brought to a model's units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Recipe,
    as_screen,
    check_at_least,
    check_contrast,
    check_finite,
    check_frames,
    check_name,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)

_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue (ITU-R BT.709)
_AXES = {"c": "channel", "t": "time", "h": "height", "w": "width"}


def natural(
    screen_or_model: Any,
    movie_or_image: Any,
    *,
    axes: str | None = None,
    fit: str = "crop",
    rms_contrast: float = 0.4,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    movie_rate_hz: float | None = None,
    duration_s: float | None = None,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a picture or a movie of one's own, as a stimulus.

    Each channel is brought to the grey of the model and to `rms_contrast`, and cut at a contrast
    of ±1. With the mean and the standard deviation of the movies that a model was trained on,
    intensities are normalised as those were, ``(x − mean) / std``, and nothing is cut. Either
    way a note tells the statistics that came out.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    movie_or_image
        Array or tensor of intensities, of any size.
    axes
        What its axes are: letters of ``"cthw"``, such as ``"hw"``, ``"hwc"``, ``"thw"``,
        ``"cthw"``. When not given, two axes are ``"hw"``; three are ``"hwc"`` where the last has 3
        or 4 values, else ``"thw"``; four are ``"cthw"`` where the first has as many values as the
        screen has channels, else ``"thwc"`` where the last has 1, 3 or 4.
    fit
        ``"crop"`` keeps the shape and cuts what stands out; ``"stretch"`` shows all of it.
    rms_contrast
        Root mean square contrast that it is brought to, in (0, 1].
    mean, std
        Of the training movies, in the units of `movie_or_image`, for all channels or for each;
        both or neither.
    movie_rate_hz
        Frames per second of the movie (Hz); the nearest earlier frame is shown. The frame rate of
        the screen when not given.
    duration_s
        Length without the lead-in (s). A picture is shown for 1 s when not given, a movie to its
        end.
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    TypeError
        If `movie_or_image` is no array of numbers.
    ValueError
        If its axes cannot be told, its channels do not fit, it holds values that are not finite or
        has no contrast, or another argument is out of range.
    """
    screen = as_screen(screen_or_model)
    check_name(fit, "fit", ("crop", "stretch"), "way to fit a picture")
    movie, notes = _channels(screen, _ordered(screen, movie_or_image, axes))
    name = "natural image" if movie.shape[1] == 1 else "natural movie"
    original = tuple(movie.shape[2:])
    movie, resized = _resized(screen, movie, fit)
    movie, moved = _timed(screen, movie, movie_rate_hz, duration_s)
    notes += resized + moved
    frames = movie.shape[1]
    if mean is None and std is None:
        contrast, described = _matched(movie, rms_contrast)
    elif mean is None or std is None:
        raise ValueError(f"mean, std: expected both or neither, got mean={mean!r} and std={std!r}")
    else:
        contrast, described = _normalised(screen, movie, mean, std)
    notes += _shift(screen, contrast)
    if described.get("cut_fraction"):
        notes.append(
            f"{described['cut_fraction']:.2%} of the values lay beyond a contrast of ±1 and were "
            "cut there"
        )
    return Recipe(
        screen,
        name,
        contrast,
        window=(0, frames),
        events=[StimulusEvent(name, 0, frames)],
        parameters={
            **described,
            "fit": fit,
            "original_px": original,
            "duration_s": screen.seconds(frames),
        },
        notes=notes,
        weights=weights_of(screen, channel_weights),
        before_s=before_s,
    ).build()


def _ordered(screen: Screen, given: Any, axes: str | None) -> torch.Tensor:
    """Return ``(channel, time, height, width)``, float64."""
    if isinstance(given, torch.Tensor):
        array = given.detach().cpu().to(torch.float64)
    else:
        values = np.asarray(given)
        if values.dtype.kind not in "buif":
            raise TypeError(
                f"movie_or_image: expected an array of numbers, got {type(given).__name__} of "
                f"{values.dtype}"
            )
        array = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    if 0 in array.shape:
        raise ValueError(f"movie_or_image: it is empty, of shape {tuple(array.shape)}")
    if not bool(torch.isfinite(array).all()):
        raise ValueError("movie_or_image: it holds values that are not finite")
    if axes is not None and not isinstance(axes, str):
        raise TypeError(f"axes: expected letters of 'cthw', got {axes!r}")
    letters = axes or _guess(screen, tuple(array.shape))
    if (
        len(letters) != array.ndim
        or len(set(letters)) < len(letters)
        or not set("hw") <= set(letters) <= set(_AXES)
    ):
        raise ValueError(
            f"axes: expected {array.ndim} different letters of 'cthw' with h and w, for an array "
            f"of shape {tuple(array.shape)}, got {axes!r}"
        )
    present = [letter for letter in "cthw" if letter in letters]
    array = array.permute([letters.index(letter) for letter in present])
    for place, letter in enumerate("cthw"):
        if letter not in letters:
            array = array.unsqueeze(place)
    return array


def _guess(screen: Screen, shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "hw"
    if len(shape) == 3:
        return "hwc" if shape[-1] in (3, 4) else "thw"
    if len(shape) == 4 and shape[0] == len(screen.channels):
        return "cthw"
    if len(shape) == 4 and shape[-1] in (1, 3, 4):
        return "thwc"
    raise ValueError(
        f"axes: an array of shape {shape} could mean several things; say which axis is which with "
        "letters of 'cthw', such as axes='thwc'"
    )


def _channels(screen: Screen, movie: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """Return a movie with one channel, or with those of the screen."""
    wanted, got = len(screen.channels), movie.shape[0]
    if got in (1, wanted):
        same = got == 1 and wanted > 1
        return movie, [f"one channel was given: {', '.join(screen.channels)} show the same"] * same
    if got in (3, 4):
        weights = torch.tensor(_LUMINANCE, dtype=movie.dtype)
        luminance = torch.einsum("c,cthw->thw", weights, movie[:3])[None]
        names = " and ".join(screen.channels)
        return luminance, [f"red, green and blue were turned into luminance, shown in {names}"]
    raise ValueError(
        f"movie_or_image: expected 1 channel, {wanted} ({', '.join(screen.channels)}) or red, "
        f"green and blue, got {got}"
    )


def _timed(
    screen: Screen, movie: torch.Tensor, movie_rate_hz: float | None, duration_s: float | None
) -> tuple[torch.Tensor, list[str]]:
    """Return the movie at the frame rate of the screen."""
    given = movie.shape[1]
    rate = screen.frame_rate
    if movie_rate_hz is not None:
        rate = check_at_least(movie_rate_hz, "movie_rate_hz", "Hz", above=True)
    if given == 1:
        seconds = 1.0 if duration_s is None else duration_s
        return movie.expand(-1, check_frames(screen, seconds, "duration_s"), -1, -1), []
    available = math.floor(given * screen.frame_rate / rate + 1e-9)
    frames = available if duration_s is None else check_frames(screen, duration_s, "duration_s")
    if frames > available or frames < 1:
        raise ValueError(
            f"duration_s: the movie lasts {given / rate:.4g} s at {rate:g} Hz, "
            f"{available} frames of the screen; {frames} were asked for"
        )
    at = torch.arange(frames, dtype=torch.float64) / screen.frame_rate
    source = torch.floor(at * rate + 1e-6).long().clamp_max(given - 1)
    notes = []
    if abs(rate - screen.frame_rate) > 1e-9:
        notes.append(f"shown at {screen.frame_rate:g} Hz; the movie has {rate:g} frames a second")
    return movie[:, source], notes


def _resized(screen: Screen, movie: torch.Tensor, fit: str) -> tuple[torch.Tensor, list[str]]:
    """Return the movie on the screen's pixels, each the mean of the area that it covers."""
    height, width = movie.shape[2:]
    rows, columns = (0.0, float(height)), (0.0, float(width))
    notes = []
    if fit == "crop":
        scale = min(height / screen.height, width / screen.width)
        rows, columns = (
            ((given - scale * wanted) / 2, (given + scale * wanted) / 2)
            for given, wanted in ((height, screen.height), (width, screen.width))
        )
        lost = 1 - scale**2 * screen.height * screen.width / (height * width)
        if lost > 1e-6:
            notes.append(f"{lost:.0%} of the picture stood out beyond the screen and was cut")
    elif abs(height / screen.height - width / screen.width) > 1e-9:
        notes.append("the picture was stretched to the shape of the screen")
    if (height, width) != (screen.height, screen.width):
        notes.append(
            f"resized from {height} × {width} px to {screen.height} × {screen.width} px, each the "
            "mean of its area"
        )
    down = _area_weights(height, screen.height, rows)
    across = _area_weights(width, screen.width, columns)
    return torch.einsum("rh,cthw,kw->ctrk", down, movie, across), notes


def _area_weights(given: int, wanted: int, span: tuple[float, float]) -> torch.Tensor:
    """Return the share of each given pixel in each wanted one: ``(wanted, given)``."""
    edges = torch.linspace(span[0], span[1], wanted + 1, dtype=torch.float64)
    pixels = torch.arange(given, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    weights = overlap.clamp_min(0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def _matched(movie: torch.Tensor, rms_contrast: float) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return contrast with a mean of 0 and the given root mean square in each channel."""
    wanted = check_contrast(rms_contrast, "rms_contrast", low=0.0)
    check_at_least(wanted, "rms_contrast", above=True)
    mean = movie.mean(dim=(1, 2, 3), keepdim=True)
    spread = movie.std(dim=(1, 2, 3), keepdim=True, correction=0)
    if bool((spread <= 1e-9 * mean.abs().clamp_min(1e-300)).any()):
        raise ValueError(
            "movie_or_image: a channel is the same everywhere, so that it has no contrast to bring "
            "to rms_contrast; give mean and std to show it as it is"
        )
    contrast = (movie - mean) / spread * wanted
    cut = float((contrast.abs() > 1.0).double().mean())
    return contrast.clamp(-1.0, 1.0), {"rms_contrast": wanted, "cut_fraction": cut}


def _normalised(
    screen: Screen, movie: torch.Tensor, mean: Any, std: Any
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the contrast that gives ``(x − mean) / std`` in model units."""
    means = _of_channels(screen, mean, "mean")
    stds = _of_channels(screen, std, "std")
    for value in stds:
        check_at_least(value, "std", above=True)
    grey, scale = (
        torch.tensor(values, dtype=torch.float64)[:, None, None, None]
        for values in (screen.grey, screen.contrast_scale)
    )
    centre, spread = (
        torch.tensor(values, dtype=torch.float64)[:, None, None, None] for values in (means, stds)
    )
    return ((movie - centre) / spread - grey) / scale, {"mean": means, "std": stds}


def _of_channels(screen: Screen, value: Any, argument: str) -> tuple[float, ...]:
    channels = len(screen.channels)
    values = [value] * channels if np.ndim(value) == 0 else list(value)
    if len(values) != channels:
        raise ValueError(f"{argument}: expected one for each of {screen.channels}, got {value!r}")
    return tuple(check_finite(each, argument) for each in values)


def _shift(screen: Screen, contrast: torch.Tensor) -> list[str]:
    """Say by how much the statistics differ from those of the training movie."""
    parts = []
    for k, name in enumerate(screen.channels):
        channel = contrast[k if contrast.shape[0] > 1 else 0]
        mean = screen.grey[k] + screen.contrast_scale[k] * float(channel.mean())
        spread = screen.contrast_scale[k] * float(channel.std(correction=0))
        parts.append(f"{name} {mean:.3g} ± {spread:.3g}")
    notes = [
        f"mean ± SD in model units: {', '.join(parts)}. A model is only known to answer well to "
        "the statistics that it was trained on"
    ]
    beyond = float((contrast.abs() > 1.0 + 1e-9).double().mean())
    if beyond:
        notes.append(f"{beyond:.1%} of the values lie beyond a contrast of ±1")
    return notes
