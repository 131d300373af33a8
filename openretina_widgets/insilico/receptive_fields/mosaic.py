"""How regularly the cells of each type tile the retina."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openretina_widgets.insilico.receptive_fields.plotting import ellipses
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields

_FEWEST = 3  # cells whose distances have a spread


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Outlines of the cells of a type, and how evenly they are spaced.

    Attributes
    ----------
    cell_type
        Its name, ``""`` for cells of no known type.
    neurons
        Those whose fit is determined.
    outlines
        ``(neuron, point, 2)``: the ellipses at 2 σ; x right, y up from the middle, in `unit`.
    nearest
        ``(neuron,)``: distance to the nearest cell of the type, in `unit`; NaN for a single cell.
    regularity
        Mean over standard deviation of `nearest` (Wässle & Riemann 1978): about 1.9 at random,
        more in a mosaic. NaN with fewer than three cells, infinite where all are alike.
    unit
        ``"µm"`` or ``"px"``.
    reason
        Why there is no regularity, ``""`` where there is.
    """

    cell_type: str
    neurons: tuple[int, ...]
    outlines: np.ndarray
    nearest: np.ndarray
    regularity: float
    unit: str
    reason: str


def mosaics(fields: ReceptiveFields) -> dict[str, Mosaic]:
    """Return the mosaic of each cell type, by its name; cells of no known type under ``""``."""
    of_type = fields.cell_types or ("",) * len(fields.neurons)
    outlines = ellipses(fields)
    found: dict[str, Mosaic] = {}
    for name in dict.fromkeys(of_type):
        cells = [
            cell
            for cell, kind in enumerate(of_type)
            if kind == name and np.isfinite(fields.centres[cell]).all()
        ]
        nearest = _nearest(fields.centres[cells])
        enough = len(cells) >= _FEWEST
        spread = float(nearest.std(ddof=1)) if enough else float("nan")
        found[name] = Mosaic(
            name,
            tuple(fields.neurons[cell] for cell in cells),
            outlines[cells],
            nearest,
            float("inf") if spread == 0.0 else float(nearest.mean()) / spread if enough else spread,
            fields.space_unit,
            "" if enough else f"{len(cells)} cells with a fit; at least {_FEWEST} are needed",
        )
    return found


def _nearest(centres: np.ndarray) -> np.ndarray:
    if len(centres) < 2:
        return np.full(len(centres), np.nan)
    distance = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)
