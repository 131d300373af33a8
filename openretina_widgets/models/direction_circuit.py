"""The circuit of the embedded retina's direction-selective neurons, and what goes on inside it.

Subunits stand in a row along the preferred direction. Each is excited by its own unit, helped by
the delayed signal of the unit before it, and vetoed by the delayed signal of the unit after it
(Barlow & Levick 1965); a threshold follows. `SyntheticRetina` answers with the functions below, and
`SyntheticRetina.row_signals` shows what they give on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch.nn import functional as F

from openretina_widgets.errors import real_number

__all__ = ["FACILITATION", "VETO", "RowSignals"]

DELAY_FRAMES = 7  # memory of a delayed signal
DELAY_SD_FRAMES = 1.2
SHARPNESS = 10.0  # of each rectification inside the circuit
ROW = 7  # units along the preferred direction; the two at the ends only serve their neighbours
ROW_SPACING_UM, ROW_SIGMA_UM, ROW_SIGMA_ACROSS_UM = 75.0, 45.0, 100.0
FACILITATION, VETO, THRESHOLD = 0.6, 2.5, 0.2


@dataclass(frozen=True, eq=False)
class RowSignals:
    """What goes on inside a row of subunits, each signal ``(batch, subunit, time)``.

    Subunits are in the order in which motion in the preferred direction meets them. Time is in
    frames of the response: frame k belongs to frame ``k + lag`` of the stimulus. Signals have no
    unit; a lasting full-contrast stimulus excites a subunit to 1 at most.

    Attributes
    ----------
    polarity
        ``"ON"`` for the row that brighter light excites, ``"OFF"`` for darker.
    positions_um
        ``(subunit,)``, along the preferred direction from the middle of the receptive field (µm).
    excitation
        Of each subunit by its own unit.
    help
        Delayed signal of the unit before it, times the facilitation.
    veto
        Delayed signal of the unit after it, times the strength of the veto.
    subunits
        ``excitation + help - veto`` less the threshold, rectified.
    weights
        ``(subunit,)``, of the subunits in the neuron's sum.
    delay_frames
        Mean of the delay (frames).
    """

    polarity: Literal["ON", "OFF"]
    positions_um: torch.Tensor
    excitation: torch.Tensor
    help: torch.Tensor
    veto: torch.Tensor
    subunits: torch.Tensor
    weights: torch.Tensor
    delay_frames: float

    @property
    def output(self) -> torch.Tensor:
        """What the row adds to the neuron's sum: ``(batch, time)``.

        The neuron's response is the softplus of its bias and the outputs of its rows.
        """
        return (self.weights[:, None] * self.subunits).sum(1)


class Row(NamedTuple):
    """The signals of all rows of one polarity, each ``(batch, row, subunit, time)``."""

    excitation: torch.Tensor
    help: torch.Tensor
    veto: torch.Tensor
    subunits: torch.Tensor


def row_of(
    units: torch.Tensor,
    *,
    delay: torch.Tensor,
    facilitation: torch.Tensor,
    veto: torch.Tensor,
) -> Row:
    """Return the signals of the rows, for the polarity in which the units are above 0.

    `units` is ``(batch, row * unit in it, time)``, `delay` a kernel for each of these units.
    """
    excited = rectified(units)
    delayed = F.conv1d(excited, delay, groups=len(delay)).unflatten(1, (-1, ROW))
    own = excited.unflatten(1, (-1, ROW))[:, :, 1:-1, DELAY_FRAMES - 1 :]
    helped, vetoed = facilitation * delayed[:, :, :-2], veto * delayed[:, :, 2:]
    return Row(own, helped, vetoed, rectified(own + helped - vetoed - THRESHOLD))


def check_strength(value: float, argument: str) -> float:
    """Return the strength of a connection, or raise TypeError or ValueError."""
    number = real_number(value, argument)
    if not math.isfinite(number):
        raise ValueError(f"{argument}: expected a finite number of at least 0, got {value!r}")
    if number < 0:
        raise ValueError(
            f"{argument}: expected at least 0, got {value!r}; the nearest is 0, which takes it out"
        )
    return number


def row_steps_um() -> torch.Tensor:
    """Return where the units of a row stand, from its middle (µm)."""
    return (torch.arange(ROW).double() - (ROW - 1) / 2) * ROW_SPACING_UM


def delay_kernels(delay_frames: list[float]) -> torch.Tensor:
    """Return kernels ``(delay, frame)`` around each delay, newest frame last."""
    return bump((_frames_ago() - torch.tensor(delay_frames)[:, None]) / DELAY_SD_FRAMES)


def mean_delay(kernel: torch.Tensor) -> float:
    """Return the mean of a delay (frames) from its kernel ``(frame,)``."""
    return float((kernel.double().cpu() * _frames_ago()).sum())


def bump(deviations: torch.Tensor) -> torch.Tensor:
    """Return Gaussian weights that sum to 1 over the last axis."""
    return torch.softmax(-(deviations**2) / 2, dim=-1)


def rectified(signal: torch.Tensor) -> torch.Tensor:
    """Return what is above 0, smoothly."""
    return F.softplus(SHARPNESS * signal) / SHARPNESS


def _frames_ago() -> torch.Tensor:
    return torch.arange(DELAY_FRAMES).double().flip(0)
