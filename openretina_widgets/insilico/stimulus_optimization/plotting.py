"""A still picture of a result, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.space_time import space_time_split
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult

_COLOURS = {"green": "#2b9348", "UV": "#9a55ff"}


def plot_result(result: OptimizationResult, element: int = 0) -> Any:
    """Draw score, response, temporal trace and spatial component of one element.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    IndexError
        If there is no such element.
    """
    movie = result.stimulus[element].numpy()
    channels = result.channels or tuple(f"channel {c}" for c in range(len(movie)))
    figure = new_figure(3.2 * (3 + len(movie)), 3.2)
    axes = figure.subplots(1, 3 + len(movie))
    axes[0].plot(result.score_trace[:, element].numpy(), color="black")
    axes[0].set(xlabel="iteration", ylabel="score (a.u.)", title="Score")
    if result.response is not None:
        frames = np.arange(result.response.shape[1]) + (result.lag or 0)
        axes[1].plot(frames / result.frame_rate, result.response[element].numpy(), color="black")
        if result.window is not None:
            start, stop = (np.array(result.window) + (result.lag or 0) - 0.5) / result.frame_rate
            axes[1].axvspan(start, stop, color="0.85", zorder=0)
    axes[1].set(xlabel="time (s)", ylabel="response (a.u.)", title="Response")
    time = np.arange(movie.shape[1]) / result.frame_rate
    splits = [space_time_split(channel) for channel in movie]
    limit = max(float(np.abs(split.spatial).max()) for split in splits) or 1.0
    for axis, name, split in zip(axes[3:], channels, splits, strict=True):
        axes[2].plot(time, split.temporal, color=_COLOURS.get(name, "0.4"), label=name)
        image = axis.imshow(split.spatial, cmap="bwr", vmin=-limit, vmax=limit)
        axis.set(title=f"Spatial, {name}", xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, label=result.unit)
    axes[2].set(xlabel="time (s)", ylabel="temporal component", title="Temporal")
    axes[2].legend()
    return figure
