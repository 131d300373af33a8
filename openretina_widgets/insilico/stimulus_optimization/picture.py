"""What is worth showing of a run: copies on the CPU, taken between two steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        Temporal and spatial component of each channel. They are computed where the picture is
        made, in the thread of the run with its number of torch threads: in the kernel's own
        thread, torch's threads would wait for the core that the run holds.
    """

    iteration: int
    score: float
    movie: np.ndarray
    response: np.ndarray | None
    score_trace: np.ndarray
    components: tuple[SpaceTime, ...]


def picture_of_step(step: Step, row: int = 0) -> Picture:
    """Copy one running experiment out of a step."""
    return _picture(
        step.iteration,
        float(step.score[row]),
        step.stimulus[row].cpu().numpy().copy(),
        None if step.response is None else step.response[row].cpu().numpy().copy(),
        step.score_trace[:, step.elements[row]].cpu().numpy().copy(),
    )


def picture_of_result(result: OptimizationResult, element: int = 0) -> Picture:
    """Return the best stimulus of an experiment and its whole score trace."""
    return _picture(
        int(result.iterations[element]),
        float(result.score[element]),
        result.stimulus[element].numpy(),
        None if result.response is None else result.response[element].numpy(),
        result.score_trace[: int(result.iterations[element]) + 1, element].numpy(),
    )


def _picture(
    iteration: int,
    score: float,
    movie: np.ndarray,
    response: np.ndarray | None,
    score_trace: np.ndarray,
) -> Picture:
    components = tuple(space_time_split(channel) for channel in movie)
    return Picture(iteration, score, movie, response, score_trace, components)
