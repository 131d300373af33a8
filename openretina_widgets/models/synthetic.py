"""The embedded synthetic retina: a differentiable population whose every cell type is known.

The circuit, in the order in which a stimulus passes through it:

1. *Units* weight the image by a Gaussian and the channels by a number each, then filter in time.
2. *Rectification*, by circuit. ``"linear"``: none. ``"on-off"``: both polarities are rectified
   and summed, so that brighter and darker excite alike. ``"direction"``: each unit splits into an
   ON and an OFF signal, as at the bipolar cells.
3. *Direction selectivity*. Subunits stand in a row along the preferred direction. Each is excited
   by its own unit, helped by the delayed signal of the unit before it, and vetoed by the delayed
   signal of the unit after it (Barlow & Levick 1965); a threshold follows. Motion the wrong way
   meets the veto. The ON and the OFF row are separate; an ON cell reads only the first. Help and
   veto can be taken out, see `load_synthetic`, and what goes on in a row looked at, see
   `SyntheticRetina.row_signals`.
4. *Output*: a weighted sum, a bias and a softplus, so that rates are above zero and no gradient
   is dead. A surround is a unit, or a ring of rectified subunits, of the opposite weight. A cell
   suppressed by contrast is an ON-OFF cell upside down on a high bias.

At exactly uniform grey the gradients of ON-OFF cells vanish by symmetry, as they should; an
optimisation of them starts from noise, however small.

`openretina_widgets.models.synthetic_cells` holds the numbers and their sources,
`openretina_widgets.models.direction_circuit` the third part.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.errors import unknown_name
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.direction_circuit import (
    DELAY_FRAMES,
    FACILITATION,
    ROW,
    SHARPNESS,
    VETO,
    Row,
    RowSignals,
    bump,
    check_strength,
    delay_kernels,
    mean_delay,
    rectified,
    row_of,
    row_steps_um,
)
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.models.synthetic_cells import (
    CHANNELS,
    FRAME_RATE,
    HEIGHT,
    PIXEL_UM,
    WIDTH,
    GroundTruth,
    place_cells,
)
from openretina_widgets.models.synthetic_units import (
    UNIT_FRAMES,
    Unit,
    linear_units,
    on_off_units,
    row_units,
)

__all__ = ["GroundTruth", "RowSignals", "SyntheticRetina", "load_synthetic"]

SESSION = "synthetic"

Part = Literal["linear", "on-off", "ON row", "OFF row"]


class SyntheticRetina(nn.Module):
    """A retina whose cells are known; the module's docstring describes the circuit.

    It has buffers and no parameters: there is nothing to train.

    Parameters
    ----------
    seed
        Sets where the cells sit. Nothing else in them is random.
    veto, facilitation
        Strength of the veto and of the help in the rows of direction-selective neurons, at least
        0; 0 takes it out.

    Attributes
    ----------
    lag : int
        Frames that it consumes before its first response.
    ground_truth : tuple of GroundTruth
        What is built into each neuron, in the order of the neuron axis.
    lesion : str
        What differs from the retina as it is embedded, such as ``"veto 0"``; empty where nothing
        does.

    Raises
    ------
    TypeError, ValueError
        If a strength is no number, or is negative or not finite.
    """

    lag = (UNIT_FRAMES - 1) + (DELAY_FRAMES - 1)
    spatial: torch.Tensor  # (unit, channel * height * width)
    temporal: torch.Tensor  # (unit, 1, frame)
    delay: torch.Tensor  # (row * unit in it, 1, frame)
    window: torch.Tensor  # (row, subunit in it, 1)
    output: torch.Tensor  # (neuron, linear units + on-off units + ON rows + OFF rows)
    bias: torch.Tensor  # (neuron, 1)
    strengths: torch.Tensor  # facilitation, veto

    def __init__(
        self, *, seed: int = 0, veto: float = VETO, facilitation: float = FACILITATION
    ) -> None:
        super().__init__()
        strengths = [check_strength(facilitation, "facilitation"), check_strength(veto, "veto")]
        self.lesion = _lesion(*strengths)
        cells = place_cells(seed)
        self.seed = seed
        self.ground_truth: tuple[GroundTruth, ...] = tuple(
            _with_lesion(cell, self.lesion) for _, cell in cells
        )
        linear: list[Unit] = []
        on_off: list[Unit] = []
        rows: list[list[Unit]] = []
        delays: list[float] = []
        windows: list[torch.Tensor] = []
        self._row_of_neuron: dict[int, int] = {}
        wires: list[tuple[int, Part, int, float]] = []  # neuron, part, index in the part, weight
        for kind, cell in cells:
            gain = kind.sign * kind.gain
            if kind.circuit == "linear":
                for unit, weight in linear_units(kind, cell):
                    wires.append((cell.index, "linear", len(linear), gain * weight))
                    linear.append(unit)
            elif kind.circuit == "on-off":
                for unit, weight in on_off_units(kind, cell):
                    wires.append((cell.index, "on-off", len(on_off), gain * weight))
                    on_off.append(unit)
            else:
                wires.append((cell.index, "ON row", len(rows), gain))
                if kind.polarity == "ON-OFF":
                    wires.append((cell.index, "OFF row", len(rows), gain))
                rows.append(row_units(kind, cell))
                delays.append(kind.delay_frames)
                self._row_of_neuron[cell.index] = len(rows) - 1
                windows.append(bump(row_steps_um()[1:-1] / kind.centre_um))
        units = [*linear, *on_off, *(unit for row in rows for unit in row)]
        self._split = [len(linear), len(on_off), ROW * len(rows)]
        before = len(linear) + len(on_off)
        self._first: dict[Part, int] = {
            "linear": 0,
            "on-off": len(linear),
            "ON row": before,
            "OFF row": before + len(rows),
        }
        output = torch.zeros(len(cells), before + 2 * len(rows))
        for neuron, part, index, weight in wires:
            output[neuron, self._first[part] + index] = weight
        self._hold("spatial", torch.stack([unit.spatial() for unit in units]))
        self._hold("temporal", torch.stack([unit.temporal() for unit in units])[:, None])
        self._hold("delay", delay_kernels(delays).repeat_interleave(ROW, dim=0)[:, None])
        self._hold("window", torch.stack(windows)[..., None])
        self._hold("output", output)
        self._hold("bias", torch.tensor([[kind.bias] for kind, _ in cells]))
        # Part of the state, and so of the weights' hash, where they are not the usual ones: what
        # was measured on the retina as it is embedded keeps its hash.
        self._hold("strengths", torch.tensor(strengths), persistent=bool(self.lesion))

    def _hold(self, name: str, tensor: torch.Tensor, *, persistent: bool = True) -> None:
        self.register_buffer(name, tensor.float(), persistent=persistent)

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
        linear, on_off, rows = self._units(stimulus)
        features = [linear[..., DELAY_FRAMES - 1 :], _even(on_off[..., DELAY_FRAMES - 1 :])]
        features += [(self.window * self._row(row).subunits).sum(2) for row in (rows, -rows)]
        return F.softplus(self.output @ torch.cat(features, dim=1) + self.bias).mT

    def _units(self, stimulus: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the signals of the units of each circuit, ``(batch, unit, time)``."""
        drive = stimulus.movedim(2, 1).flatten(2) @ self.spatial.T
        signal = F.conv1d(drive.mT, self.temporal, groups=len(self.temporal))
        return signal.split(self._split, dim=1)

    def _row(self, units: torch.Tensor) -> Row:
        facilitation, veto = self.strengths
        return row_of(units, delay=self.delay, facilitation=facilitation, veto=veto)

    def row_signals(
        self, stimulus: torch.Tensor, *, neuron: int
    ) -> dict[Literal["ON", "OFF"], RowSignals]:
        """Return what goes on inside a direction-selective neuron, by the code that answers.

        Parameters
        ----------
        stimulus
            As for `forward`.
        neuron
            Index of a neuron whose ``ground_truth[neuron].circuit`` is ``"direction"``.

        Returns
        -------
        dict
            Polarity to `RowSignals`: ``"ON"``, and of an ON-OFF neuron ``"OFF"`` after it. Their
            ``output`` and ``bias[neuron]`` of this module sum to what enters the softplus.

        Raises
        ------
        ValueError
            If there is no such neuron, or it has another circuit; the message names the nearest.
            If the stimulus has another shape, or is too short.
        TypeError
            If `neuron` is no whole number, or the stimulus no tensor.
        """
        self._check_row_neuron(neuron)
        _check_movie(stimulus)
        *_, units = self._units(stimulus)
        row = self._row_of_neuron[neuron]
        n = len(self._row_of_neuron)
        found: dict[Literal["ON", "OFF"], RowSignals] = {}
        polarities: tuple[tuple[Literal["ON", "OFF"], Part, torch.Tensor], ...] = (
            ("ON", "ON row", units),
            ("OFF", "OFF row", -units),
        )
        for polarity, part, signed in polarities:
            gain = self.output[neuron, self._first[part] : self._first[part] + n][row]
            if gain == 0:  # an ON cell reads no OFF row
                continue
            own, helped, vetoed, subunits = (signal[:, row] for signal in self._row(signed))
            found[polarity] = RowSignals(
                polarity=polarity,
                positions_um=row_steps_um()[1:-1].to(own),
                excitation=own,
                help=helped,
                veto=vetoed,
                subunits=subunits,
                weights=gain * self.window[row, :, 0],
                delay_frames=mean_delay(self.delay[row * ROW, 0]),
            )
        return found

    def _check_row_neuron(self, neuron: int) -> None:
        if not is_index(neuron):
            raise TypeError(f"neuron: expected a whole number, got {neuron!r}")
        if neuron not in self._row_of_neuron:
            nearest = min(self._row_of_neuron, key=lambda index: abs(index - neuron))
            raise ValueError(
                f"neuron: expected a direction-selective one, got {neuron!r}; the nearest is "
                f"{self.ground_truth[nearest].neuron.label}"
            )

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


def _even(signal: torch.Tensor) -> torch.Tensor:
    """Return both polarities rectified and summed, less what is there at rest."""
    return rectified(signal) + rectified(-signal) - 2 * math.log(2) / SHARPNESS


def _lesion(facilitation: float, veto: float) -> str:
    """Return what differs from the usual strengths, to the last digit."""
    changed = (("veto", veto, VETO), ("facilitation", facilitation, FACILITATION))
    return ", ".join(f"{name} {_digits(now)}" for name, now, usual in changed if now != usual)


def _digits(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _with_lesion(cell: GroundTruth, lesion: str) -> GroundTruth:
    """Return the truth of a neuron in a retina that is not as it is embedded."""
    if not lesion or cell.circuit != "direction":
        return cell
    return replace(cell, note=f"Wired as {cell.cell_type}, but with {lesion}.")


def _check_movie(stimulus: torch.Tensor) -> None:
    if not isinstance(stimulus, torch.Tensor):
        raise TypeError(f"stimulus: expected a torch tensor, got {type(stimulus).__name__}")
    got = tuple(stimulus.shape)
    image = (HEIGHT, WIDTH)
    if len(got) != 5 or got[1] != len(CHANNELS) or got[3:] != image:
        raise ValueError(
            f"stimulus: expected (batch, {len(CHANNELS)}, time, {HEIGHT}, {WIDTH}), got {got}"
        )
    if got[2] <= SyntheticRetina.lag:
        raise ValueError(
            f"stimulus: {got[2]} frames are too short; the shortest that works is "
            f"{SyntheticRetina.lag + 1}"
        )


def load_synthetic(
    *,
    seed: int = 0,
    veto: float = VETO,
    facilitation: float = FACILITATION,
    device: str | torch.device = "cpu",
) -> RetinaModel:
    """Return the embedded retina as a model, with the session ``"synthetic"``.

    Stimuli are Weber contrasts around grey 0, within [-1, 1]. Under the norm of 15 a stimulus of
    about 50 frames can reach full contrast on one receptive field, and not much beyond it. The
    shortest stimulus, ``lag + 1`` frames, takes a norm of 5 before the range cuts its peak.

    Parameters
    ----------
    seed
        Sets where the cells sit.
    veto, facilitation
        Strength of the veto and of the help in the rows of direction-selective neurons, at least
        0; 0 takes it out. Another strength than the usual one makes another model: its name, its
        source and the hash of its weights say so. Nothing else in it changes.
    device
        Where it runs.

    Raises
    ------
    TypeError, ValueError
        If a strength is no number, or is negative or not finite.
    """
    retina = SyntheticRetina(seed=seed, veto=veto, facilitation=facilitation).to(device)
    lesion = f", {retina.lesion}" if retina.lesion else ""
    return RetinaModel(
        retina,
        input_shape=(len(CHANNELS), HEIGHT, WIDTH),
        sessions={SESSION: [cell.neuron for cell in retina.ground_truth]},
        name=f"{SESSION}{lesion}",
        source=f"embedded, seed {seed}{lesion}",
        description="A retina made of known cell types; it has learned from no recording.",
        frame_rate=FRAME_RATE,
        pixel_size_um=PIXEL_UM,
        channels=CHANNELS,
        stimulus_range=[(-1.0, 1.0)] * len(CHANNELS),
        stimulus_range_source="the definition of this retina: Weber contrast around grey 0",
        stimulus_norm=15.0,
    ).eval()
