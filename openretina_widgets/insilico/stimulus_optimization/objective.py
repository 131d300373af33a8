"""What is to be maximised: a score for each stimulus of a batch.

An objective gives one score a stimulus, to be maximised. A reducer turns the response over time
into that score. OpenRetina's own objectives and reducers work here as well, and so does a plain
function: whatever does not say that it is ``batched`` is asked about one stimulus at a time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import nn

from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Window = tuple[int, int]


def check_window(window: Window | None, frames: int) -> Window:
    """Return a window of response frames that lies within the response.

    Raises
    ------
    ValueError
        If `window` is empty or reaches beyond the `frames` of the response.
    """
    if window is None:
        return (0, frames)
    start, stop = _ends(window)
    if not 0 <= start < stop <= frames:
        raise ValueError(
            f"window: expected 0 <= start < stop <= {frames} response frames, got {window!r}"
        )
    return (start, stop)


def _ends(window: Window) -> Window:
    """Return a window's two ends as integers."""
    try:
        start, stop = map(operator.index, window)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"window: expected two whole numbers (start, stop), got {window!r}"
        ) from error
    return (start, stop)


@dataclass(frozen=True)
class MeanReducer:
    """Mean response of some neurons over a window of time.

    Parameters
    ----------
    neuron_dim
        Axis of the neurons in one stimulus' response ``(time, neuron)``; 1 in every model here.
    indices
        One neuron or several, whose mean is taken; None for all.
    window
        First frame and frame after the last of the response, in frames; None for all of it.
    """

    neuron_dim: int = 1
    indices: int | Sequence[int] | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.neuron_dim not in (1, -1):
            raise ValueError(
                "neuron_dim: the response of one stimulus is (time, neuron), so the neurons are "
                f"on axis 1; got {self.neuron_dim!r}"
            )
        chosen = self.indices if isinstance(self.indices, Iterable) else [self.indices]
        for neuron in chosen:
            if neuron is not None and neuron < 0:
                raise ValueError(f"indices: expected neurons, which count from 0, got {neuron}")
        if self.window is not None:
            start, stop = _ends(self.window)
            if not 0 <= start < stop:
                raise ValueError(
                    f"window: expected 0 <= start < stop in frames, got {self.window!r}"
                )

    def select(self, response: torch.Tensor) -> torch.Tensor:
        """Return the mean over the chosen neurons, ``(..., time, neuron)`` to ``(..., time)``."""
        if self.indices is None:
            return response.mean(dim=-1)
        if not isinstance(self.indices, Iterable):
            return response[..., self.indices]
        return response[..., list(self.indices)].mean(dim=-1)

    def over_time(self, response: torch.Tensor) -> torch.Tensor:
        """Return the mean over the window, ``(..., time)`` to ``(...)``."""
        start, stop = check_window(self.window, response.shape[-1])
        return response[..., start:stop].mean(dim=-1)

    def forward(self, response: torch.Tensor) -> torch.Tensor:
        """Reduce ``(time, neuron)`` to a scalar, or ``(batch, time, neuron)`` to ``(batch,)``."""
        return self.over_time(self.select(response))


@dataclass(frozen=True)
class SliceMeanReducer:
    """Mean of `length` frames from `start` on, spelt as in OpenRetina.

    Parameters
    ----------
    axis
        Axis of time in one stimulus' response ``(time,)``: 0.
    start, length
        First frame and number of frames.
    """

    axis: int = 0
    start: int = 0
    length: int = 1

    def __post_init__(self) -> None:
        if self.axis != 0:
            raise ValueError(f"axis: time is axis 0 of the response (time,), got {self.axis!r}")
        if self.start < 0 or self.length < 1:
            raise ValueError(
                "start, length: expected start >= 0 and length >= 1, got "
                f"start={self.start!r}, length={self.length!r}"
            )

    def over_time(self, response: torch.Tensor) -> torch.Tensor:
        """Return the mean over the slice, ``(..., time)`` to ``(...)``."""
        start, stop = check_window((self.start, self.start + self.length), response.shape[-1])
        return response[..., start:stop].mean(dim=-1)

    forward = over_time


@dataclass(frozen=True)
class Evaluation:
    """Scores ``(batch,)`` and, where known, the reduced neurons' response ``(batch, time)``."""

    score: torch.Tensor
    response: torch.Tensor | None = None


class IncreaseObjective:
    """Maximise the response of one neuron, or the mean of several.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neuron_indices
        Neurons whose mean response is to rise. Left out when `reducer` names them.
    data_key
        Session, the first one for None.
    response_reducer
        Turns the response over time into a score: `SliceMeanReducer`, `MeanReducer`, an OpenRetina
        reducer, or any function of ``(time,)``. The mean over all frames for None.
    reducer
        A `MeanReducer` that names neurons and window at once, instead of the two above.

    Raises
    ------
    ValueError
        If a session, a neuron or the window does not exist, or neurons are named twice or never.
    """

    batched = True
    sign = 1.0

    def __init__(
        self,
        model: RetinaModel | nn.Module,
        neuron_indices: int | Sequence[int] | None = None,
        data_key: str | None = None,
        response_reducer: Any = None,
        *,
        reducer: MeanReducer | None = None,
    ) -> None:
        self.model = as_retina_model(model)
        self.data_key = self.model.session(data_key)
        if reducer is not None:
            if neuron_indices is not None or response_reducer is not None:
                raise ValueError(
                    "reducer: it names neurons and window already; leave out neuron_indices and "
                    "response_reducer"
                )
            if not isinstance(reducer, MeanReducer):
                raise TypeError(
                    f"reducer: expected a MeanReducer, got {type(reducer).__name__}; give other "
                    "reducers as response_reducer, with neuron_indices"
                )
            neuron_indices, response_reducer = reducer.indices, reducer
        if neuron_indices is None:
            if reducer is None:
                raise ValueError("neuron_indices: expected a neuron or several, got None")
            neuron_indices = range(self.model.n_neurons(self.data_key))
        self.neurons = self.model.check_neurons(neuron_indices, self.data_key)
        self.response_reducer = response_reducer if response_reducer is not None else MeanReducer()
        self._index = _index_tensor(self.neurons, self.model.device)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        response = self.model(stimulus, data_key=self.data_key)
        if self._index.device != response.device:  # the model has moved since
            self._index = self._index.to(response.device)
        chosen = response.index_select(2, self._index).mean(dim=2)
        return Evaluation(self.sign * self._reduce(chosen), chosen.detach())

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def window(self, time_steps: int) -> Window | None:
        """Return the response frames that count, where the reducer says so."""
        frames = time_steps - self.model.lag
        if isinstance(self.response_reducer, MeanReducer):
            return check_window(self.response_reducer.window, frames)
        if isinstance(self.response_reducer, SliceMeanReducer):
            start, length = self.response_reducer.start, self.response_reducer.length
            return check_window((start, start + length), frames)
        return None

    @property
    def replayable(self) -> bool:
        """Whether it does the same in each iteration: a reducer that is not ours may not."""
        return type(self.response_reducer) in (MeanReducer, SliceMeanReducer)

    def _reduce(self, chosen: torch.Tensor) -> torch.Tensor:
        if isinstance(self.response_reducer, MeanReducer | SliceMeanReducer):
            return self.response_reducer.over_time(chosen)
        reduce = getattr(self.response_reducer, "forward", self.response_reducer)
        return torch.stack([_one_score(reduce(row), "response_reducer") for row in chosen])


class DecreaseObjective(IncreaseObjective):
    """Minimise the response: the most depressing stimulus. Arguments of `IncreaseObjective`."""

    sign = -1.0


class ResponseObjective:
    """Maximise any function of the response.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    function
        Maps the response ``(time, neuron)`` of one stimulus to one number.
    data_key
        Session, the first one for None.
    """

    batched = True

    def __init__(
        self,
        model: RetinaModel | nn.Module,
        function: Callable[[torch.Tensor], torch.Tensor],
        data_key: str | None = None,
    ) -> None:
        self.model = as_retina_model(model)
        self.data_key = self.model.session(data_key)
        self.function = function

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        response = self.model(stimulus, data_key=self.data_key)
        return torch.stack([_one_score(self.function(r), "function") for r in response])


class OverWindow:
    """What objectives have in common that look at some frames of the response."""

    model: RetinaModel
    data_key: str
    frames: Window

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        raise NotImplementedError

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def window(self, time_steps: int) -> Window:
        """Return the response frames that count."""
        return check_window(self.frames, time_steps - self.model.lag)


class OneNeuronEach(OverWindow):
    """What objectives have in common of which each element looks at one neuron of its own."""

    neurons: tuple[int, ...]

    @property
    def neurons_of_elements(self) -> tuple[tuple[int, ...], ...]:
        """The neuron that each element looks at."""
        return tuple((neuron,) for neuron in self.neurons)

    @cached_property
    def _index(self) -> torch.Tensor:
        return _index_tensor(self.neurons, self.model.device)

    def _own(self, response: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time)`` of the neurons, of that of all."""
        index = self._index[:, None, None].expand(-1, response.shape[1], 1)
        return response.gather(2, index)[..., 0]


@dataclass(frozen=True)
class NeuronsObjective(OneNeuronEach):
    """One neuron an element: element b maximises the response of its own neuron.

    Attributes
    ----------
    neurons
        Neuron of each element of the batch.
    frames
        First response frame that counts and the frame after the last.
    sign
        1 to increase the response, -1 to decrease it.
    """

    model: RetinaModel
    neurons: tuple[int, ...]
    data_key: str
    frames: Window
    sign: float = 1.0
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = True

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        own = self.model.own_responses(stimulus, self._index, self.data_key)
        start, stop = self.frames
        score = (own if (start, stop) == (0, own.shape[1]) else own[:, start:stop]).mean(dim=1)
        return Evaluation(score if self.sign == 1 else self.sign * score, own.detach())

    def keep(self, elements: Sequence[int]) -> NeuronsObjective:
        """Return the same objective for some elements of the batch."""
        kept = tuple(self.neurons[element] for element in elements)
        return NeuronsObjective(self.model, kept, self.data_key, self.frames, self.sign)


@torch.inference_mode(False)  # kept for calls that take gradients
def _index_tensor(neurons: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(neurons, device=device)


def _one_score(value: Any, argument: str) -> torch.Tensor:
    """Return a scalar tensor, or say what came instead."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{argument}: expected a torch tensor, got {type(value).__name__}")
    if value.numel() != 1:
        raise ValueError(
            f"{argument}: expected one number for one stimulus, got shape {tuple(value.shape)}; "
            "reduce it, for instance with .mean()"
        )
    return value.reshape(())


def evaluate(objective: Any, stimulus: torch.Tensor) -> Evaluation:
    """Score a batch with any objective: ours, an OpenRetina object or a plain function.

    Raises
    ------
    TypeError, ValueError
        If the objective answers with something else than one number a stimulus.
    """
    if hasattr(objective, "evaluate"):
        return objective.evaluate(stimulus)
    forward = getattr(objective, "forward", objective)
    if getattr(objective, "batched", False):
        score = forward(stimulus)
        if score.shape != stimulus.shape[:1]:
            raise ValueError(
                f"objective_object: expected {stimulus.shape[0]} scores for a batch of "
                f"{stimulus.shape[0]}, got shape {tuple(score.shape)}"
            )
        return Evaluation(score)
    rows = stimulus.split(1)
    return Evaluation(torch.stack([_one_score(forward(x), "objective_object") for x in rows]))


def model_of(objective: Any) -> nn.Module | None:
    """Return the model behind an objective, where it can be told."""
    for name in ("model", "_model"):
        if isinstance(model := getattr(objective, name, None), nn.Module):
            return model
    return objective if isinstance(objective, nn.Module) else None
