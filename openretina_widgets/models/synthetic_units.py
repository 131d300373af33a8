"""The units of the embedded retina: where and how each looks, in space and in time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from openretina_widgets.models.direction_circuit import (
    ROW_SIGMA_ACROSS_UM,
    ROW_SIGMA_UM,
    row_steps_um,
)
from openretina_widgets.models.synthetic_cells import (
    FRAME_RATE,
    HEIGHT,
    PIXEL_UM,
    WIDTH,
    CellType,
    GroundTruth,
    impulse_response,
)

UNIT_FRAMES = 14  # memory of a unit
# The surround lags the centre, by 8 ms in primate P cells (Benardete & Kaplan 1997). Here it lags
# by 20 ms when the centre takes 100 ms, so that it can be seen at 30 Hz.
SURROUND_SLOWER = 1.2
RING = 6  # subunits in the surround of an ON-OFF cell


@dataclass(frozen=True)
class Unit:
    """Where and how a unit looks; `along_um` and `across_um` are the widths of its Gaussian."""

    kind: CellType
    x_um: float
    y_um: float
    along_um: float
    across_um: float
    angle_deg: float = 0.0
    slower: float = 1.0

    def spatial(self) -> torch.Tensor:
        """Return the weights of all channels and pixels, flat.

        They sum to the weight of their channel, also where the frame cuts the Gaussian, so that
        a cell near the edge answers as strongly as others.
        """
        x = (torch.arange(WIDTH) - (WIDTH - 1) / 2).double() * PIXEL_UM - self.x_um
        y = ((HEIGHT - 1) / 2 - torch.arange(HEIGHT)).double()[:, None] * PIXEL_UM - self.y_um
        cos, sin = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        along, across = (x * cos + y * sin) / self.along_um, (y * cos - x * sin) / self.across_um
        image = torch.exp(-(along**2 + across**2) / 2)
        weights = torch.tensor(self.kind.channels).double()
        return (weights[:, None, None] * image / image.sum()).flatten()

    def temporal(self) -> torch.Tensor:
        """Return the kernel, newest frame last."""
        ms = (torch.arange(UNIT_FRAMES).double() + 0.5) * 1000 / FRAME_RATE
        tau_ms = self.kind.tau_ms * self.slower
        return impulse_response(ms, tau_ms=tau_ms, undershoot=self.kind.undershoot).flip(0)


def linear_units(kind: CellType, cell: GroundTruth) -> Iterator[tuple[Unit, float]]:
    """Yield the centre and the surround; of an orientation-selective cell, line and flanks."""
    along, angle = kind.length_um, kind.orientation_deg or 0.0
    centre = Unit(
        kind, cell.x_um, cell.y_um, along or kind.centre_um, kind.centre_um, angle_deg=angle
    )
    yield centre, 1.0
    if kind.surround_um is not None:
        yield (
            replace(
                centre,
                along_um=along or kind.surround_um,
                across_um=kind.surround_um,
                slower=SURROUND_SLOWER if along is None else 1.0,
            ),
            -kind.surround_weight,
        )


def on_off_units(kind: CellType, cell: GroundTruth) -> Iterator[tuple[Unit, float]]:
    """Yield the centre, and the ring of the surround."""
    centre = Unit(kind, cell.x_um, cell.y_um, kind.centre_um, kind.centre_um)
    yield centre, 1.0
    if kind.surround_um is not None:
        for angle in (2 * math.pi * i / RING for i in range(RING)):
            x_um = cell.x_um + kind.surround_um * math.cos(angle)
            y_um = cell.y_um + kind.surround_um * math.sin(angle)
            yield replace(centre, x_um=x_um, y_um=y_um), -kind.surround_weight / RING


def row_units(kind: CellType, cell: GroundTruth) -> list[Unit]:
    """Return the units along the preferred direction, in the order in which motion meets them."""
    direction = kind.direction_deg or 0.0
    cos, sin = math.cos(math.radians(direction)), math.sin(math.radians(direction))
    return [
        Unit(
            kind,
            cell.x_um + step * cos,
            cell.y_um + step * sin,
            ROW_SIGMA_UM,
            ROW_SIGMA_ACROSS_UM,
            angle_deg=direction,
        )
        for step in row_steps_um().tolist()
    ]
