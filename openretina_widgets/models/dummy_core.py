"""The core of models without one: the stimulus itself goes to the readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from openretina_widgets.models._parts import whole
from openretina_widgets.models.core import Core


class DummyCore(Core):
    """Hands the stimulus on, less its first frames; OpenRetina's ``DummyCore``.

    Parameters
    ----------
    cut_first_n_frames
        Frames cut off the start; None for none.
    ignored
        OpenRetina takes any further argument, and uses none.

    Raises
    ------
    ValueError
        If `cut_first_n_frames` is out of bounds.
    """

    def __init__(self, *, cut_first_n_frames: int | None = None, **ignored: Any) -> None:
        super().__init__()
        cut = 0 if cut_first_n_frames is None else cut_first_n_frames
        self.cut_first_n_frames = whole(cut, "cut_first_n_frames", low=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the stimulus ``(batch, channel, time, height, width)``, cut."""
        return x[:, :, self.cut_first_n_frames :]

    def feature_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """Return ``(channel, time, height, width)`` of what is handed on; see `Core`."""
        channel, time, height, width = in_shape
        return (channel, time - self.cut_first_n_frames, height, width)
