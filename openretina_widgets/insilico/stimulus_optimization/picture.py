"""What is worth showing of a run: copies on the CPU, taken between two steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from openretina_widgets.insilico.space_time import SpaceTime, space_time_split
from openretina_widgets.insilico.stimulus_optimization.history import RunHistory
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
    traces
        ``(iteration + 1, batch)``: the scores of all experiments, with the components; None for
        one experiment alone.
    """

    iteration: int
    score: float
    movie: np.ndarray
    response: np.ndarray | None
    score_trace: np.ndarray
    components: tuple[SpaceTime, ...] | None
    traces: np.ndarray | None = None


class PicturesOfRun:
    """Takes pictures of one experiment of a run, with components every so often.

    Parameters
    ----------
    components_every
        Seconds from one picture with components to the next, at least; the first one has them.
    element
        Position in the batch of the experiment; may be changed while the run goes on.
    history
        What has been kept of the run: the picture of an experiment that has ended comes from there.
    """

    def __init__(
        self, components_every: float, element: int = 0, history: RunHistory | None = None
    ) -> None:
        self._every, self.element, self._history = components_every, element, history
        self._due = -math.inf

    def __call__(self, step: Step) -> Picture:
        """Take a picture of a step."""
        now = time.monotonic()
        due = now >= self._due
        if due:
            self._due = now + self._every
        element = self.element
        traces = step.score_trace.cpu().numpy().copy() if due else None
        if element not in step.elements and self._history is not None:
            earlier = picture_of_history(
                self._history, element, step.iteration, traces, with_components=due
            )
            if earlier is not None:
                return earlier
        row = step.elements.index(element) if element in step.elements else 0
        picture = picture_of_step(step, row, with_components=due)
        several = traces is not None and traces.shape[1] > 1
        return replace(picture, traces=traces) if several else picture


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


def picture_of_history(
    history: RunHistory,
    element: int,
    iteration: int,
    traces: np.ndarray | None = None,
    *,
    with_components: bool = True,
) -> Picture | None:
    """Return what was kept of an experiment up to an iteration; None where nothing was.

    Its score trace is that of `traces`, ``(iteration, batch)``, and empty without them.
    """
    kept = history.at(iteration, element)
    if kept is None:
        return None
    movie = kept.movie(element)
    score, response = kept.of(element)
    trace = np.empty(0) if traces is None else traces[:, element]
    return Picture(
        kept.iteration,
        score,
        movie,
        response,
        trace,
        split_channels(movie) if with_components else None,
        traces,
    )
