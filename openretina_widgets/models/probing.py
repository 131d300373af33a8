"""Finds out how a module answers by asking it: its lag, and its number of neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from openretina_widgets.models.freezing import frozen

LONGEST_LAG = 1024
"""Longest stimulus that is tried to find the lag (frames)."""


class NoAnswerError(ValueError):
    """The module refused a stimulus; the message is its own."""


@dataclass(frozen=True)
class Probe:
    """Asks a module for responses to zeros, and leaves it as it was.

    Attributes
    ----------
    module
        The module that is asked.
    answer
        Returns its response to a stimulus, for a session.
    input_shape
        ``(channel, height, width)`` of the stimulus.
    dtype, device
        Of the stimulus.
    """

    module: nn.Module
    answer: Callable[[torch.Tensor, str], torch.Tensor]
    input_shape: tuple[int, int, int]
    dtype: torch.dtype
    device: torch.device

    def response(self, time_steps: int, session: str) -> torch.Tensor:
        """Return the response ``(1, time, neuron)`` to `time_steps` frames of zeros.

        Raises
        ------
        NoAnswerError
            If the module refuses such a stimulus.
        TypeError, ValueError
            If it answers with something else.
        """
        channel, height, width = self.input_shape
        shape = (1, channel, time_steps, height, width)
        with torch.no_grad(), frozen(self.module):
            zeros = torch.zeros(shape, dtype=self.dtype, device=self.device)
            try:
                response = self.answer(zeros, session)
            except (RuntimeError, LookupError, ValueError, AssertionError) as error:
                raise NoAnswerError(f"{type(error).__name__}: {error}") from error
        if not isinstance(response, torch.Tensor):
            raise TypeError(
                f"module: expected a response tensor, got {type(response).__name__} for a stimulus "
                f"of shape {shape}"
            )
        if response.ndim != 3 or response.shape[0] != 1:
            raise ValueError(
                "module: expected a response (batch, time, neuron), got shape "
                f"{tuple(response.shape)} for a stimulus of shape {shape}"
            )
        return response

    def lag_and_neurons(self, session: str) -> tuple[int, int]:
        """Return the lag and the number of neurons, from the shortest stimulus that works."""
        time_steps, failure = 1, None
        while time_steps <= LONGEST_LAG:
            try:
                response = self.response(time_steps, session)
            except NoAnswerError as error:  # too short for its convolutions or its own checks
                failure = error
            else:
                if (frames := response.shape[1]) > 0:
                    if self.response(time_steps + 3, session).shape[1] != frames + 3:
                        raise ValueError(
                            "module: expected each further stimulus frame to give one further "
                            f"response frame; {time_steps} frames gave {frames}, "
                            f"{time_steps + 3} did not give {frames + 3}"
                        )
                    return time_steps - frames, response.shape[2]
            time_steps *= 2
        raise ValueError(
            f"module: it answered no stimulus of 1 to {LONGEST_LAG} frames of "
            f"(channel, height, width) = {self.input_shape}; its last words: {failure}"
        ) from failure
