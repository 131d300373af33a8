"""Movies of stimuli as GIF and MP4 files (the ``movie`` extra)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_widgets.drawing import colour, movie
from openretina_widgets.errors import check_positive
from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.results import kind_of, session_of
from openretina_widgets.insilico.shown_stimulus import ShownStimulus
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult

Frames = NDArray[np.uint8]

_GAP = 2  # pixels of the stimulus between two panels
_WANTED = 320  # pixels of a panel's longer side, about
_BACKGROUND = 128
_TICK_S = 0.01  # a GIF tells times in hundredths of a second
_NEEDED = "needs the movie extra: pip install 'openretina-widgets[movie]'"


def to_movie(
    results: Any,
    path: str | os.PathLike[str],
    *,
    element: int = 0,
    frame_rate: float | None = None,
    limits: float | Sequence[Any] | None = None,
    scale: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a stimulus as a movie: one panel a channel, and the mixture of two.

    Colours and limits are those of `StimulusPlayer`: blue - white - red, zero is white.

    Parameters
    ----------
    results
        An `OptimizationResult`, a `ShownStimulus`, or a stimulus ``(channel, time,
        height, width)``.
    path
        Ends in ``.gif`` or ``.mp4``. The times of a GIF are whole hundredths of a second: frames
        are shown a hundredth longer or shorter, so that the movie as a whole keeps its speed.
    element
        Which optimised stimulus of a batch.
    frame_rate
        Frames per second (Hz); that of the result, or 30, for None.
    limits
        Ends of the colour scale, as `StimulusPlayer` takes them; from the data for None.
    scale
        Pixels of the movie a pixel of the stimulus; for None such that a panel has about 320.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If the ``movie`` extra is not installed.
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    target = check_path(path, (".gif", ".mp4"), overwrite=overwrite)
    stimulus, rate = _chosen(results, element)
    speed = check_positive(rate if frame_rate is None else frame_rate, "frame_rate")
    frames = movie_frames(stimulus, limits=limits, scale=scale)
    with written_whole(target) as partial:
        if target.suffix.lower() == ".gif":
            _write_gif(partial, frames, speed)
        else:
            _write_mp4(partial, frames, speed)
    return target


def movie_frames(
    stimulus: Any, *, limits: float | Sequence[Any] | None = None, scale: int | None = None
) -> Frames:
    """Return the frames of a movie, ``(time, height, width, RGB)``.

    Parameters
    ----------
    stimulus
        ``(channel, time, height, width)``.
    limits, scale
        See `to_movie`.
    """
    values = movie.as_movie(stimulus)
    n_channels, _, height, width = values.shape
    if scale is None:
        scale = max(1, math.floor(_WANTED / max(height, width)))
    if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale: expected a whole number of at least 1, got {scale!r}")
    ends = movie.checked_limits(limits, symmetric=True) or (colour.symmetric_limits(values),)
    movie.check_channel_counts(n_channels, channels=(), limits=ends)
    each = list(ends) * n_channels if len(ends) == 1 else list(ends)
    indices = [colour.quantise(one, pair) for one, pair in zip(values, each, strict=True)]
    panels = [colour.DIVERGING[one] for one in indices]
    if n_channels == 2:
        panels.append(colour.mix_light(*indices))
    gap = np.full((*panels[0].shape[:2], _GAP, 3), _BACKGROUND, dtype=np.uint8)
    parts: list[Frames] = []
    for k, panel in enumerate(panels):
        parts += [gap, panel] if k else [panel]
    frames = np.concatenate(parts, axis=2).repeat(scale, axis=1).repeat(scale, axis=2)
    # Colours are kept for every second pixel of an MP4: both sides have to be even.
    odd = [(0, side % 2) for side in frames.shape[1:3]]
    return np.pad(frames, [(0, 0), *odd, (0, 0)], mode="edge")


def _chosen(results: Any, element: int) -> tuple[Any, float]:
    if hasattr(results, "shape"):
        return results, 30.0
    named = session_of(results)
    movies = [one for one in named.values() if isinstance(one, OptimizationResult | ShownStimulus)]
    if len(named) > 1 or not movies:
        kinds = ", ".join(f"{name} ({kind_of(one)})" for name, one in named.items())
        raise ValueError(
            f"results: a movie shows one stimulus, and these are {kinds}; export the "
            "others as .html, .png or .svg"
        )
    result = movies[0]
    if isinstance(result, ShownStimulus):
        return result.stimulus, result.frame_rate
    batch = len(result.stimulus)
    if isinstance(element, bool) or not isinstance(element, int) or not -batch <= element < batch:
        raise ValueError(f"element: expected 0 to {batch - 1}, got {element!r}")
    return result.stimulus[element], result.frame_rate


def _write_gif(path: Path, frames: Frames, rate: float) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"a .gif {_NEEDED}") from error
    # One palette for all frames: else each has its own, and still pixels flicker.
    some = frames[:: max(1, len(frames) // 16)]
    sample = Image.fromarray(np.ascontiguousarray(some.reshape(-1, some.shape[2], 3)))
    palette = sample.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    edges = np.round(np.arange(len(frames) + 1) / rate / _TICK_S)
    ticks = np.maximum(np.diff(edges), 2)  # browsers show shorter ones for a tenth of a second
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[int(10 * tick) for tick in ticks],
        loop=0,
        optimize=False,
    )


def _write_mp4(path: Path, frames: Frames, rate: float) -> None:
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401  (imageio asks for it late, and in other words)
    except ImportError as error:
        raise ImportError(f"an .mp4 {_NEEDED}") from error
    with imageio.get_writer(
        path,
        format="FFMPEG",
        mode="I",
        fps=rate,
        codec="libx264",
        pixelformat="yuv420p",
        macro_block_size=2,
        quality=None,
        ffmpeg_log_level="error",
        output_params=["-crf", "16", "-movflags", "+faststart"],
    ) as opened:
        writer: Any = opened  # imageio does not type what its plug-ins return
        for frame in frames:
            writer.append_data(frame)
