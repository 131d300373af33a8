"""The cell types of the embedded retina: their numbers, and where each comes from.

Sizes are in µm on the retina, times in ms, weights and gains without unit. A lasting full-contrast
spot on the centre alone drives a unit to 1 at most. A number without a source is a choice of this
model, made so that the phenomenon shows on 18 x 16 pixels of 50 µm at 30 Hz. That grid is coarse:
a pixel is as wide as a bipolar cell's receptive field, the frame (900 x 800 µm) cuts the far
surround, and a frame in time (33 ms) is about half of a primate parasol cell's time to peak. So
kernels are slower here than in the animal, and it is ratios and signs that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch

from openretina_widgets.models.retina_model import Neuron

FRAME_RATE = 30.0
PIXEL_UM = 50.0
HEIGHT, WIDTH = 18, 16
CHANNELS = ("green", "UV")

# A type's four cells sit on the corners of a square, moved by the seed. The farthest possible
# centre is 165 µm from the middle, so that no receptive field centre leaves the frame.
CELL_SPACING_UM = 220.0
MOSAIC_JITTER_UM, CELL_JITTER_UM = 30.0, 25.0

Circuit = Literal["linear", "on-off", "direction"]


@dataclass(frozen=True)
class CellType:
    """What the cells of one type share.

    `sign` is that of the output's answer to the circuit's signal, `channels` the weights of green
    and UV. The impulse response is set by `tau_ms` and `undershoot`: see `impulse_response`.
    `gain` and `bias` stand before the softplus. Types of one `mosaic` share their places. A
    `twin` is the type that differs in one property only. The rest is as in `GroundTruth`.
    """

    name: str
    circuit: Circuit
    polarity: str
    note: str
    sign: int = 1
    channels: tuple[float, float] = (0.5, 0.5)
    centre_um: float = 75.0
    length_um: float | None = None
    surround_um: float | None = None
    surround_weight: float = 0.0
    tau_ms: float = 100.0
    undershoot: float = 0.15
    gain: float = 6.0
    bias: float = -1.0
    delay_frames: float = 0.0
    direction_deg: float | None = None
    orientation_deg: float | None = None
    on_off_index: tuple[float, float] | None = None
    mosaic: str = ""
    twin: str = ""


@dataclass(frozen=True)
class GroundTruth:
    """What is built into one neuron, hence what an analysis of it should find.

    Attributes
    ----------
    index, cell_type
        As in `Neuron`.
    circuit
        ``"linear"`` (one filter and a softplus), ``"on-off"`` or ``"direction"``: see
        `openretina_widgets.models.synthetic`.
    polarity
        Contrast on the receptive field centre that excites the cell.
    x_um, y_um
        Centre of the receptive field from the middle of the image, x right, y up (µm).
    centre_sigma_um
        Standard deviation of the Gaussian centre (µm). Of an orientation-selective cell: across
        the bars. Of a direction-selective cell: of the weights of its subunits.
    surround_sigma_um, surround_weight
        Standard deviation of the Gaussian surround (µm) and its volume over that of the centre;
        None and 0 without one. Of an orientation-selective cell: of the flanks, across the bars.
        Where the surround is a ring of subunits (circuit ``"on-off"``): the radius of the ring
        (µm), and its weight over that of the centre.
    time_to_peak_ms
        Time to the largest lobe of the centre's impulse response, before sampling. On the grid
        of frames the newest frame stands for half a frame ago.
    preferred_direction_deg
        Counter-clockwise, 0 = right, 90 = up; None without direction selectivity.
    preferred_orientation_deg
        Direction of the preferred bars, in [0, 180); None without orientation selectivity.
    on_off_index_range
        Smallest and largest ON-OFF index to expect of a spot flashed on the centre; None where
        the index is undefined.
    twin
        Neuron at the same place that differs in one property only (a surround, or how long it
        answers); None without one.
    note
        One sentence on what the neuron does.
    """

    index: int
    cell_type: str
    circuit: Circuit
    polarity: str
    x_um: float
    y_um: float
    centre_sigma_um: float
    surround_sigma_um: float | None
    surround_weight: float
    time_to_peak_ms: float
    preferred_direction_deg: float | None
    preferred_orientation_deg: float | None
    on_off_index_range: tuple[float, float] | None
    twin: int | None
    note: str

    @property
    def neuron(self) -> Neuron:
        """What a `RetinaModel` is told of the neuron."""
        return Neuron(self.index, self.cell_type, self.x_um, self.y_um, self.note)


def impulse_response(ms: torch.Tensor, *, tau_ms: float, undershoot: float) -> torch.Tensor:
    """Return a difference of two low-pass cascades, its first lobe normalised to sum 1.

    The form is that of Chichilnisky & Kalmar (2002, their methods):
    ``p1 (t/τ1)^n exp(-n (t/τ1 - 1)) - p2 (t/τ2)^n exp(-n (t/τ2 - 1))``. Here n = 6 and
    τ2 = 1.6 τ1. `undershoot` is the area of the second cascade over that of the first: 0 gives one
    lobe, 1 a kernel that sums to 0, which gives no answer to a constant.

    Parameters
    ----------
    ms
        Times since the flash (ms), evenly spaced.
    tau_ms
        Time to peak of the first cascade (ms).
    undershoot
        In [0, 1].
    """
    fast, slow = (
        (ms / tau) ** 6 * torch.exp(-6 * (ms / tau - 1)) for tau in (tau_ms, 1.6 * tau_ms)
    )
    kernel = fast / fast.sum() - undershoot * slow / slow.sum()
    return kernel / kernel.clamp(min=0).sum()


def _cell_types() -> Iterator[CellType]:
    on, off, both = (0.8, 1.0), (-1.0, -0.8), (-0.1, 0.1)  # a step response takes 0.1 s to fall
    for polarity, sign, index in (("ON", 1, on), ("OFF", -1, off)):
        light = "brighter" if sign > 0 else "darker"
        # A surround three times as wide as the centre and somewhat weaker: difference of
        # Gaussians (Rodieck 1965; Enroth-Cugell & Robson 1966).
        sustained = CellType(
            f"{polarity} sustained",
            "linear",
            polarity,
            f"Fires for as long as its centre is {light} than grey, less when the surround is too.",
            sign=sign,
            surround_um=225.0,
            surround_weight=0.65,
            on_off_index=index,
            mosaic=polarity,
        )
        yield sustained
        yield replace(
            sustained,
            name=f"{polarity} sustained, no surround",
            note=f"Fires for as long as its centre is {light} than grey, however large the spot.",
            surround_um=None,
            surround_weight=0.0,
            twin=sustained.name,
        )
        yield replace(
            sustained,
            name=f"{polarity} transient",
            note=f"Fires briefly when its centre gets {light}, then falls silent.",
            undershoot=1.0,
            twin=sustained.name,
        )
    yield CellType(
        "ON-OFF",
        "on-off",
        "ON-OFF",
        "Fires briefly when a small spot on its centre gets brighter, and when it gets darker.",
        surround_um=200.0,
        surround_weight=0.4,
        undershoot=1.0,
        gain=10.0,
        bias=-2.0,
        on_off_index=both,
    )
    # Four directions for ON-OFF cells, three for ON cells (Oyster & Barlow 1967), which prefer
    # slower motion (Oyster 1968), here through a longer delay; a memory of 20 frames cannot hold
    # motion as slow as the animal's.
    for direction in (0.0, 90.0, 180.0, 270.0):
        yield CellType(
            f"ON-OFF DS {direction:.0f}°",
            "direction",
            "ON-OFF",
            f"Fires when a bright or a dark edge moves towards {direction:.0f}°, hardly when it "
            "moves back.",
            centre_um=90.0,
            tau_ms=90.0,
            undershoot=1.0,
            gain=24.0,
            bias=-4.0,
            delay_frames=2.5,
            direction_deg=direction,
            on_off_index=both,
            mosaic="ON-OFF DS",
        )
    for direction in (0.0, 120.0, 240.0):
        yield CellType(
            f"ON DS {direction:.0f}°",
            "direction",
            "ON",
            f"Fires when a bright edge moves towards {direction:.0f}°, hardly when it moves back, "
            "and never for a dark edge.",
            centre_um=90.0,
            tau_ms=120.0,
            undershoot=0.8,
            gain=24.0,
            bias=-4.0,
            delay_frames=4.0,
            direction_deg=direction,
            on_off_index=on,
            mosaic="ON DS",
        )
    # An elongated ON centre with OFF flanks, here of the same volume, as in the rabbit's ON cells
    # (Venkataramani & Taylor 2016); horizontal and vertical, as there (Levick 1967) and in the
    # mouse (Nath & Schwartz 2016).
    for orientation, word in ((0.0, "horizontal"), (90.0, "vertical")):
        yield CellType(
            f"OS {orientation:.0f}°",
            "linear",
            "ON",
            f"Fires for a bright {word} bar, whichever way it moves, not for one across it.",
            centre_um=55.0,
            length_um=130.0,
            surround_um=110.0,
            surround_weight=1.0,
            gain=30.0,
            bias=-4.5,
            orientation_deg=orientation,
            on_off_index=on,
            mosaic="OS",
        )
    # Firing goes below rest for both contrasts (Rodieck 1967; Tien et al. 2015; Jacoby et al.
    # 2015). The ring that lifts the suppression is a choice of this model.
    yield CellType(
        "suppressed by contrast",
        "on-off",
        "suppressed",
        "Fires steadily for uniform grey and falls silent when anything appears on its centre.",
        sign=-1,
        centre_um=60.0,
        surround_um=200.0,
        surround_weight=0.5,
        gain=14.0,
        bias=3.0,
    )
    # Green OFF, UV ON: type 28 of Höfling et al. (2024), here without its other properties.
    yield CellType(
        "colour opponent",
        "linear",
        "green OFF / UV ON",
        "Fires when its centre gets darker in green while it gets brighter in UV.",
        channels=(-0.5, 0.5),
    )
    yield CellType(
        "linear control",
        "linear",
        "ON",
        "One filter and a rectifier, so its best stimulus is its own filter: the control for every "
        "non-linear effect.",
        undershoot=0.5,
        on_off_index=on,
    )
    # Primate parasol cells (Chichilnisky & Kalmar 2002): ON receptive fields 20 % larger in
    # diameter, impulse responses 10-20 % faster, rectification weaker in ON cells.
    off_parasol = CellType(
        "OFF parasol-like",
        "linear",
        "OFF",
        "Fires when its centre gets darker: smaller and slower than its ON counterpart.",
        sign=-1,
        centre_um=75.0,
        surround_um=225.0,
        surround_weight=0.6,
        tau_ms=110.0,
        undershoot=0.8,
        bias=-2.0,
        on_off_index=off,
        mosaic="OFF parasol-like",
    )
    yield replace(
        off_parasol,
        name="ON parasol-like",
        polarity="ON",
        note="Fires when its centre gets brighter: larger and faster than its OFF counterpart.",
        sign=1,
        centre_um=1.2 * 75.0,
        surround_um=1.2 * 225.0,
        tau_ms=110.0 / 1.15,
        bias=0.0,
        on_off_index=on,
        mosaic="ON parasol-like",
    )
    yield off_parasol


CELL_TYPES: tuple[CellType, ...] = tuple(_cell_types())


def place_cells(seed: int) -> tuple[tuple[CellType, GroundTruth], ...]:
    """Return every cell of the population with its type, in the order of the neuron axis."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.tensor(list(product((-0.5, 0.5), repeat=2))) * CELL_SPACING_UM
    mosaics: dict[str, list[list[float]]] = {}
    cells: list[tuple[CellType, GroundTruth]] = []
    for cell_type in CELL_TYPES:
        mosaic = cell_type.mosaic or cell_type.name
        if mosaic not in mosaics:
            moved = (2 * torch.rand(1, 2, generator=generator) - 1) * MOSAIC_JITTER_UM
            jitter = (2 * torch.rand(4, 2, generator=generator) - 1) * CELL_JITTER_UM
            mosaics[mosaic] = (corners + moved + jitter).round().tolist()
        twins = [cell.index for _, cell in cells if cell.cell_type == cell_type.twin]
        for place, (x_um, y_um) in enumerate(mosaics[mosaic]):
            truth = GroundTruth(
                index=len(cells),
                cell_type=cell_type.name,
                circuit=cell_type.circuit,
                polarity=cell_type.polarity,
                x_um=x_um,
                y_um=y_um,
                centre_sigma_um=cell_type.centre_um,
                surround_sigma_um=cell_type.surround_um,
                surround_weight=cell_type.surround_weight,
                time_to_peak_ms=_time_to_peak_ms(cell_type),
                preferred_direction_deg=cell_type.direction_deg,
                preferred_orientation_deg=cell_type.orientation_deg,
                on_off_index_range=cell_type.on_off_index,
                twin=twins[place] if twins else None,
                note=cell_type.note,
            )
            cells.append((cell_type, truth))
    return tuple(cells)


def _time_to_peak_ms(cell_type: CellType) -> float:
    ms = torch.arange(0.5, 500.0, 0.5)
    response = impulse_response(ms, tau_ms=cell_type.tau_ms, undershoot=cell_type.undershoot)
    return float(ms[response.argmax()])
