"""The embedded synthetic retina: a differentiable population whose every cell type is known.

The circuit, in the order in which a stimulus passes through it:

1. *Units* weight the image by a Gaussian and the channels by a number each, then filter in time.
2. *Rectification*, by circuit. ``"linear"``: none. ``"on-off"``: both polarities are rectified
   and summed, so that brighter and darker excite alike. ``"direction"``: each unit splits into an
   ON and an OFF signal, as at the bipolar cells.
3. *Direction selectivity*. Subunits stand in a row along the preferred direction. Each is excited
   by its own unit, helped by the delayed signal of the unit before it, and vetoed by the delayed
   signal of the unit after it (Barlow & Levick 1965); a threshold follows. Motion the wrong way
   meets the veto. The ON and the OFF row are separate; an ON cell reads only the first.
4. *Output*: a weighted sum, a bias and a softplus, so that rates are above zero and no gradient
   is dead. A surround is a unit, or a ring of rectified subunits, of the opposite weight. A cell
   suppressed by contrast is an ON-OFF cell upside down on a high bias.

At exactly uniform grey the gradients of ON-OFF cells vanish by symmetry, as they should; an
optimisation of them starts from noise, however small.

`openretina_widgets.models.synthetic_cells` holds the numbers and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.errors import unknown_name
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.models.synthetic_cells import (
    CHANNELS,
    FRAME_RATE,
    HEIGHT,
    PIXEL_UM,
    WIDTH,
    CellType,
    GroundTruth,
    impulse_response,
    place_cells,
)

__all__ = ["GroundTruth", "SyntheticRetina", "load_synthetic"]

SESSION = "synthetic"
UNIT_FRAMES = 14  # memory of a unit
DELAY_FRAMES = 7  # memory of a delayed signal
DELAY_SD_FRAMES = 1.2
SHARPNESS = 10.0  # of each rectification inside the circuit
# The surround lags the centre, by 8 ms in primate P cells (Benardete & Kaplan 1997). Here it lags
# by 20 ms when the centre takes 100 ms, so that it can be seen at 30 Hz.
SURROUND_SLOWER = 1.2
RING = 6  # subunits in the surround of an ON-OFF cell
ROW = 7  # units along the preferred direction; the two at the ends only serve their neighbours
ROW_SPACING_UM, ROW_SIGMA_UM, ROW_SIGMA_ACROSS_UM = 75.0, 45.0, 100.0
FACILITATION, VETO, THRESHOLD = 0.6, 2.5, 0.2

Part = Literal["linear", "on-off", "ON row", "OFF row"]


@dataclass(frozen=True)
class _Unit:
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


class SyntheticRetina(nn.Module):
    """A retina whose cells are known; the module's docstring describes the circuit.

    It has buffers and no parameters: there is nothing to train.

    Parameters
    ----------
    seed
        Sets where the cells sit. Nothing else in them is random.

    Attributes
    ----------
    lag : int
        Frames that it consumes before its first response.
    ground_truth : tuple of GroundTruth
        What is built into each neuron, in the order of the neuron axis.
    """

    lag = (UNIT_FRAMES - 1) + (DELAY_FRAMES - 1)
    spatial: torch.Tensor  # (unit, channel * height * width)
    temporal: torch.Tensor  # (unit, 1, frame)
    delay: torch.Tensor  # (row * unit in it, 1, frame)
    window: torch.Tensor  # (row, subunit in it, 1)
    output: torch.Tensor  # (neuron, linear units + on-off units + ON rows + OFF rows)
    bias: torch.Tensor  # (neuron, 1)

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        cells = place_cells(seed)
        self.seed = seed
        self.ground_truth: tuple[GroundTruth, ...] = tuple(cell for _, cell in cells)
        linear: list[_Unit] = []
        on_off: list[_Unit] = []
        rows: list[list[_Unit]] = []
        delays: list[float] = []
        windows: list[torch.Tensor] = []
        wires: list[tuple[int, Part, int, float]] = []  # neuron, part, index in the part, weight
        for kind, cell in cells:
            gain = kind.sign * kind.gain
            if kind.circuit == "linear":
                for unit, weight in _linear_units(kind, cell):
                    wires.append((cell.index, "linear", len(linear), gain * weight))
                    linear.append(unit)
            elif kind.circuit == "on-off":
                for unit, weight in _on_off_units(kind, cell):
                    wires.append((cell.index, "on-off", len(on_off), gain * weight))
                    on_off.append(unit)
            else:
                wires.append((cell.index, "ON row", len(rows), gain))
                if kind.polarity == "ON-OFF":
                    wires.append((cell.index, "OFF row", len(rows), gain))
                rows.append(_row_units(kind, cell))
                delays.append(kind.delay_frames)
                windows.append(_bump(_row_steps_um()[1:-1] / kind.centre_um))
        units = [*linear, *on_off, *(unit for row in rows for unit in row)]
        self._split = [len(linear), len(on_off), ROW * len(rows)]
        rectified = len(linear) + len(on_off)
        first: dict[Part, int] = {
            "linear": 0,
            "on-off": len(linear),
            "ON row": rectified,
            "OFF row": rectified + len(rows),
        }
        output = torch.zeros(len(cells), rectified + 2 * len(rows))
        for neuron, part, index, weight in wires:
            output[neuron, first[part] + index] = weight
        self._hold("spatial", torch.stack([unit.spatial() for unit in units]))
        self._hold("temporal", torch.stack([unit.temporal() for unit in units])[:, None])
        self._hold("delay", _delay_kernels(delays).repeat_interleave(ROW, dim=0)[:, None])
        self._hold("window", torch.stack(windows)[..., None])
        self._hold("output", output)
        self._hold("bias", torch.tensor([[kind.bias] for kind, _ in cells]))

    def _hold(self, name: str, tensor: torch.Tensor) -> None:
        self.register_buffer(name, tensor.float())

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        """Return the rates, in arbitrary units.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)``, Weber contrast around grey 0.
        data_key
            ``"synthetic"`` or None.

        Returns
        -------
        torch.Tensor
            ``(batch, time - lag, neuron)``, at least 0.

        Raises
        ------
        ValueError
            If `data_key` names another session.
        """
        if data_key not in (None, SESSION):
            raise ValueError(unknown_name("data_key", str(data_key), (SESSION,), "session"))
        drive = stimulus.movedim(2, 1).flatten(2) @ self.spatial.T
        signal = F.conv1d(drive.mT, self.temporal, groups=len(self.temporal))
        linear, on_off, rows = signal.split(self._split, dim=1)
        features = [linear[..., DELAY_FRAMES - 1 :], _even(on_off[..., DELAY_FRAMES - 1 :])]
        features += [self._direction(rows), self._direction(-rows)]
        return F.softplus(self.output @ torch.cat(features, dim=1) + self.bias).mT

    def _direction(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the signal of each row, ``(batch, row, time)``, for the polarity that is > 0."""
        excited = _rectified(rows)
        delayed = F.conv1d(excited, self.delay, groups=len(self.delay)).unflatten(1, (-1, ROW))
        excited = excited.unflatten(1, (-1, ROW))[..., DELAY_FRAMES - 1 :]
        subunits = (
            excited[:, :, 1:-1] + FACILITATION * delayed[:, :, :-2] - VETO * delayed[:, :, 2:]
        )
        return (self.window * _rectified(subunits - THRESHOLD)).sum(2)

    def linear_filter(self, neuron: int) -> torch.Tensor:
        """Return the filter of a neuron with a linear circuit, such as the linear control.

        It is the gradient, with respect to the stimulus, of what enters the softplus.

        Parameters
        ----------
        neuron
            Index of a neuron whose ``ground_truth[neuron].circuit`` is ``"linear"``.

        Returns
        -------
        torch.Tensor
            ``(channel, lag + 1, height, width)``, the newest frame last.

        Raises
        ------
        ValueError
            If there is no such neuron, or its circuit is not linear.
        """
        known = {cell.index: cell for cell in self.ground_truth if cell.circuit == "linear"}
        if neuron not in known:
            nearest = min(known.values(), key=lambda cell: abs(cell.index - neuron))
            raise ValueError(
                f"neuron: expected one with a linear circuit, got {neuron!r}; the nearest is "
                f"{nearest.neuron.label}"
            )
        n = self._split[0]
        kernel = torch.einsum(
            "u,ut,up->tp", self.output[neuron, :n], self.temporal[:n, 0], self.spatial[:n]
        )
        kernel = F.pad(kernel, (0, 0, DELAY_FRAMES - 1, 0))
        return kernel.unflatten(1, (len(CHANNELS), HEIGHT, WIDTH)).movedim(1, 0)

    def ground_truth_table(self) -> list[dict[str, Any]]:
        """Return the ground truth as rows for a table, one dictionary for each neuron."""
        return [asdict(cell) for cell in self.ground_truth]


def _linear_units(kind: CellType, cell: GroundTruth) -> Iterator[tuple[_Unit, float]]:
    """Yield the centre and the surround; of an orientation-selective cell, line and flanks."""
    along, angle = kind.length_um, kind.orientation_deg or 0.0
    centre = _Unit(
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


def _on_off_units(kind: CellType, cell: GroundTruth) -> Iterator[tuple[_Unit, float]]:
    centre = _Unit(kind, cell.x_um, cell.y_um, kind.centre_um, kind.centre_um)
    yield centre, 1.0
    if kind.surround_um is not None:
        for angle in (2 * math.pi * i / RING for i in range(RING)):
            x_um = cell.x_um + kind.surround_um * math.cos(angle)
            y_um = cell.y_um + kind.surround_um * math.sin(angle)
            yield replace(centre, x_um=x_um, y_um=y_um), -kind.surround_weight / RING


def _row_units(kind: CellType, cell: GroundTruth) -> list[_Unit]:
    """Return the units along the preferred direction, in the order in which motion meets them."""
    direction = kind.direction_deg or 0.0
    cos, sin = math.cos(math.radians(direction)), math.sin(math.radians(direction))
    return [
        _Unit(
            kind,
            cell.x_um + step * cos,
            cell.y_um + step * sin,
            ROW_SIGMA_UM,
            ROW_SIGMA_ACROSS_UM,
            angle_deg=direction,
        )
        for step in _row_steps_um().tolist()
    ]


def _row_steps_um() -> torch.Tensor:
    return (torch.arange(ROW).double() - (ROW - 1) / 2) * ROW_SPACING_UM


def _delay_kernels(delay_frames: list[float]) -> torch.Tensor:
    """Return kernels ``(delay, frame)`` around each delay, newest frame last."""
    ago = torch.arange(DELAY_FRAMES).double().flip(0)
    return _bump((ago - torch.tensor(delay_frames)[:, None]) / DELAY_SD_FRAMES)


def _bump(deviations: torch.Tensor) -> torch.Tensor:
    """Return Gaussian weights that sum to 1 over the last axis."""
    return torch.softmax(-(deviations**2) / 2, dim=-1)


def _rectified(signal: torch.Tensor) -> torch.Tensor:
    return F.softplus(SHARPNESS * signal) / SHARPNESS


def _even(signal: torch.Tensor) -> torch.Tensor:
    """Return both polarities rectified and summed, less what is there at rest."""
    return _rectified(signal) + _rectified(-signal) - 2 * math.log(2) / SHARPNESS


def load_synthetic(*, seed: int = 0, device: str | torch.device = "cpu") -> RetinaModel:
    """Return the embedded retina as a model, with the session ``"synthetic"``.

    Stimuli are Weber contrasts around grey 0, within [-1, 1]. Under the norm of 15 a stimulus of
    about 50 frames can reach full contrast on one receptive field, and not much beyond it. The
    shortest stimulus, ``lag + 1`` frames, takes a norm of 5 before the range cuts its peak.

    Parameters
    ----------
    seed
        Sets where the cells sit.
    device
        Where it runs.
    """
    retina = SyntheticRetina(seed=seed).to(device)
    return RetinaModel(
        retina,
        input_shape=(len(CHANNELS), HEIGHT, WIDTH),
        sessions={SESSION: [cell.neuron for cell in retina.ground_truth]},
        name=SESSION,
        source=f"embedded, seed {seed}",
        description="A retina made of known cell types; it has learned from no recording.",
        frame_rate=FRAME_RATE,
        pixel_size_um=PIXEL_UM,
        channels=CHANNELS,
        stimulus_range=[(-1.0, 1.0)] * len(CHANNELS),
        stimulus_range_source="the definition of this retina: Weber contrast around grey 0",
        stimulus_norm=15.0,
    ).eval()
