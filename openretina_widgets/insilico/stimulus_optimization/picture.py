"""What is worth showing of a run: copies on the CPU, taken between two steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from openretina_widgets.insilico.space_time import SpaceTime, space_time_split
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step


@dataclass(frozen=True)
class Picture:
    """One experiment at one moment.

    Attributes
    ----------
    iteration
        Updates so far.
    score
        Score of the stimulus shown.
    movie
        ``(channel, time, height, width)``.
    response
        ``(time,)``, None when the objective does not tell.
    score_trace
        ``(iteration + 1,)``: every score so far.
    components
        Temporal and spatial component of each channel, None when they were not asked for. They
        are computed where the picture is made, in the thread of the run with its number of torch
        threads: in the kernel's own thread, torch's threads would wait for the core that the run
        holds.
    """

    iteration: int
    score: float
    movie: np.ndarray
    response: np.ndarray | None
    score_trace: np.ndarray
    components: tuple[SpaceTime, ...] | None


class PicturesOfRun:
    """Takes pictures of one running experiment, with components every so often.

    Parameters
    ----------
    components_every
        Seconds from one picture with components to the next, at least; the first one has them.
    row
        The row of the steps that the experiment has.
    """

    def __init__(self, components_every: float, row: int = 0) -> None:
        self._every, self._row = components_every, row
        self._due = -math.inf

    def __call__(self, step: Step) -> Picture:
        """Take a picture of a step."""
        now = time.monotonic()
        due = now >= self._due
        if due:
            self._due = now + self._every
        return picture_of_step(step, self._row, with_components=due)


def split_channels(movie: np.ndarray) -> tuple[SpaceTime, ...]:
    """Return temporal and spatial component of each channel of a movie."""
    return tuple(space_time_split(channel) for channel in movie)


def picture_of_step(step: Step, row: int = 0, *, with_components: bool = True) -> Picture:
    """Copy one running experiment out of a step."""
    movie = step.stimulus[row].cpu().numpy().copy()
    return Picture(
        step.iteration,
        float(step.score[row]),
        movie,
        None if step.response is None else step.response[row].cpu().numpy().copy(),
        step.score_trace[:, step.elements[row]].cpu().numpy().copy(),
        split_channels(movie) if with_components else None,
    )


def picture_of_result(result: OptimizationResult, element: int = 0) -> Picture:
    """Return the best stimulus of an experiment and its whole score trace."""
    movie = result.stimulus[element].numpy()
    return Picture(
        int(result.iterations[element]),
        float(result.score[element]),
        movie,
        None if result.response is None else result.response[element].numpy(),
        result.score_trace[: int(result.iterations[element]) + 1, element].numpy(),
        split_channels(movie),
    )


def strongest_frames(stimulus: torch.Tensor) -> np.ndarray:
    """Return of each stimulus the frame with the most power, ``(row, channel, height, width)``."""
    x = stimulus.detach()
    at = torch.linalg.vector_norm(x, dim=(1, 3, 4)).argmax(dim=1)
    return x[torch.arange(len(x), device=x.device), :, at].float().cpu().numpy()
