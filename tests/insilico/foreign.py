"""Objects of the shape of OpenRetina 1.1.1's, none of whose classes is known to the library."""

from __future__ import annotations

import sys

import torch
from torch import nn


class ForeignSliceReducer:
    def __init__(self, axis: int, start: int, length: int) -> None:
        self._axis = axis
        self.start = start
        self.length = length

    def forward(self, responses: torch.Tensor) -> torch.Tensor:
        return responses.narrow(self._axis, self.start, self.length).mean(dim=self._axis)


class ForeignIncrease:
    """Squeezes the batch away, and so is wrong when it is shown more than one stimulus."""

    def __init__(
        self,
        model: nn.Module,
        neuron_indices: list[int] | int,
        data_key: str | None,
        response_reducer: ForeignSliceReducer,
    ) -> None:
        self._model = model
        self._data_key = data_key
        self._neuron_indices = (
            [neuron_indices] if isinstance(neuron_indices, int) else neuron_indices
        )
        self._response_reducer = response_reducer

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        if self._data_key is not None:
            responses = self._model(stimulus, data_key=self._data_key)
        else:
            responses = self._model(stimulus)
        chosen = responses.squeeze(0)[:, self._neuron_indices]
        return self._response_reducer.forward(chosen.mean(dim=-1))


class ForeignRangeLoss:
    """Sums over whatever it is shown, so over a batch unless it is shown one stimulus a time."""

    def __init__(
        self, min_max_values: list[tuple[float, float]], max_norm: float, factor: float = 1.0
    ) -> None:
        self._min_max_values = min_max_values
        self._max_norm = max_norm
        self._factor = factor

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        loss = torch.relu(torch.norm(stimulus) - self._max_norm)
        for channel, (low, high) in enumerate(self._min_max_values):
            values = stimulus[:, channel]
            loss = loss + torch.relu(low - values).sum() + torch.relu(values - high).sum()
        return self._factor * loss


class ForeignNoLoss:
    """OpenRetina's base class answers with a plain number."""

    def forward(self, stimulus: torch.Tensor) -> float:
        return 0.0


class ForeignNormThenClip:
    def __init__(self, min_max_values: list[tuple[float, float]], norm: float) -> None:
        self._norm = norm
        self._min_max_values = min_max_values

    def process(self, x: torch.Tensor) -> torch.Tensor:
        scaled = x * (self._norm / torch.linalg.vector_norm(x))
        limits = enumerate(self._min_max_values)
        clipped = [scaled[:, channel].clamp(low, high) for channel, (low, high) in limits]
        return torch.stack(clipped, dim=1)


class ForeignStopper:
    def __init__(self, max_iterations: int | None) -> None:
        self.max_iterations = sys.maxsize if max_iterations is None else max_iterations

    def early_stop(self, loss: float) -> bool:
        return False


class ForeignEarlyStopper(ForeignStopper):
    """Keeps count within itself, so that sharing one among elements would mix them up."""

    def __init__(
        self, max_iterations: int | None = None, patience: int = 1, min_delta: float = 0.0
    ) -> None:
        super().__init__(max_iterations)
        self._patience = patience
        self._min_delta = min_delta
        self._counter = 0
        self._min_loss = float("inf")

    def early_stop(self, loss: float) -> bool:
        if loss < self._min_loss - self._min_delta:
            self._min_loss, self._counter = loss, 0
        else:
            self._counter += 1
        return self._counter >= self._patience
