"""Measured receptive fields beside a model's."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.comparison.agreement import (
    agreement,
    check_bootstrap,
    draws_of_blocks,
)
from openretina_widgets.insilico.comparison.keeping import load_comparison, save_comparison
from openretina_widgets.models._checks import is_index

Align = Literal["centre", "none"]

_LEAST_OVERLAP = 0.5
_TOO_LITTLE = "less than half of the measured field lies within the model's image"


@dataclass(frozen=True, eq=False)
class FieldComparison:
    """Receptive fields of a model beside measured ones, every neuron with every cell.

    Attributes
    ----------
    correlation, error, scale, offset
        ``(neuron, cell)``, as in `Agreement`; NaN where a pair cannot be compared.
    correlation_interval, error_interval
        ``(neuron, cell, 2)``: percentile bootstrap over blocks of pixels.
    overlap
        ``(neuron, cell)``: share of the measured pixels that lie within the model's image.
    measured
        ``(cell, height, width)``.
    model
        ``(neuron, height, width)``, on the model's own grid.
    neurons
        Which neurons of the model.
    magnification
        Pixels of the model to a pixel of the measurement.
    align
        Whether centres were laid on each other.
    confidence, resamples, seed
        Of the intervals.
    reasons
        ``(neuron, cell)``: why a pair has no numbers, empty where it has.
    """

    correlation: np.ndarray
    error: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    correlation_interval: np.ndarray
    error_interval: np.ndarray
    overlap: np.ndarray
    measured: np.ndarray
    model: np.ndarray
    neurons: tuple[int, ...]
    magnification: float
    align: Align
    confidence: float
    resamples: int
    seed: int
    reasons: np.ndarray

    def best(self, cell: int = 0) -> int:
        """Return the neuron whose field agrees best with that of a measured cell."""
        error = self.error[:, cell]
        if not np.isfinite(error).any():
            raise ValueError(f"cell {cell}: {self.reasons[0, cell]}")
        return self.neurons[int(np.nanargmin(error))]

    def laid_on(self, neuron: int, cell: int = 0) -> np.ndarray:
        """Return the neuron's field on the grid, at the place and in the unit of a measured cell.

        ``(height, width)``, NaN outside the model's image.
        """
        row = self.neurons.index(neuron)
        values, known = _laid_on(
            self.model[row][None], self.measured[cell], self.magnification, self.align
        )
        image = self.scale[row, cell] * values[0] + self.offset[row, cell]
        return np.where(known[0], image, np.nan).reshape(self.measured[cell].shape)

    def table(self, cell: int = 0) -> list[dict[str, Any]]:
        """Return one row a neuron: how well it agrees with a cell, or why that cannot be said."""
        return [
            {
                "neuron": neuron,
                "correlation": float(self.correlation[row, cell]),
                "correlation_low": float(self.correlation_interval[row, cell, 0]),
                "correlation_high": float(self.correlation_interval[row, cell, 1]),
                "error": float(self.error[row, cell]),
                "error_low": float(self.error_interval[row, cell, 0]),
                "error_high": float(self.error_interval[row, cell, 1]),
                "overlap": float(self.overlap[row, cell]),
                "reason": str(self.reasons[row, cell]),
            }
            for row, neuron in enumerate(self.neurons)
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path.

        The file appears under its name only once it is whole.
        """
        return save_comparison(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FieldComparison:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a saved comparison of this kind.
        """
        return load_comparison(cls, path)

    def plot(self, cell: int = 0, neuron: int | None = None) -> Any:
        """Draw a measured field, that of a neuron laid on it, and what is left.

        Needs matplotlib, the ``plot`` extra.
        """
        from openretina_widgets.insilico.comparison.plotting import plot_fields

        return plot_fields(self, cell, self.best(cell) if neuron is None else neuron)

    def __repr__(self) -> str:
        neurons, cells = self.correlation.shape
        return f"FieldComparison({neurons} neurons, {cells} measured fields)"


def compare_receptive_fields(
    fields: Any,
    measured: Any,
    *,
    magnification: float | None = None,
    pixel_size: float | None = None,
    measured_pixel_size: float | None = None,
    align: Align = "centre",
    block: int = 3,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> FieldComparison:
    """Put measured receptive fields beside those of a model, every cell beside every neuron.

    A model's field is sampled, bilinearly, where the measured pixels lie; scale and offset are
    fitted, the scale at least 0, so that an OFF field does not agree with an ON field. Pixels
    outside the model's image do not count.

    Parameters
    ----------
    fields
        `ReceptiveFields`, of which the spatial components are taken, or ``(neuron, height,
        width)``.
    measured
        ``(height, width)``, ``(cell, height, width)``, or an ``.npz`` file with one such array.
    magnification
        Pixels of the model to a pixel of the measurement.
    pixel_size, measured_pixel_size
        Both in one unit, such as µm on the retina, instead of `magnification`; that of `fields` is
        taken where it is known. Without any, pixels count as equally large.
    align
        ``"centre"`` lays the centres of mass on each other, those of what hangs together with
        the peak and is at least half as strong; ``"none"`` lays the middles of the images on each
        other.
    block
        Side of the blocks of pixels that the bootstrap draws, since neighbours are not
        independent.
    resamples, confidence, seed
        Of the bootstrap.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If an argument does not fit; the message names it.
    """
    model, neurons, known_size = _model_fields(fields)
    cells = _measured_fields(measured)
    if align not in ("centre", "none"):
        raise ValueError(f"align: expected 'centre' or 'none', got {align!r}")
    check_bootstrap(resamples, confidence, seed)
    if not is_index(block) or block < 1:
        raise ValueError(f"block: expected a whole number of at least 1, got {block!r}")
    if magnification is None:
        own = known_size if pixel_size is None else check_positive(pixel_size, "pixel_size")
        if measured_pixel_size is None:
            magnification = 1.0
        elif own is None:
            raise ValueError("pixel_size: not known of these fields; expected a number")
        else:
            magnification = check_positive(measured_pixel_size, "measured_pixel_size") / own
    check_positive(magnification, "magnification")
    height, width = cells.shape[1:]
    rows, columns = np.indices((height, width))
    blocks = (rows // block * width + columns // block).ravel()
    draws = draws_of_blocks(blocks, resamples=resamples, seed=seed)
    shape = (len(model), len(cells))
    numbers = {name: np.full(shape, np.nan) for name in ("correlation", "error", "scale", "offset")}
    intervals = {
        name: np.full((*shape, 2), np.nan) for name in ("correlation_interval", "error_interval")
    }
    overlap = np.zeros(shape)
    reasons = np.full(shape, "", dtype=object)
    for column, cell in enumerate(cells):
        values, known = _laid_on(model, cell, magnification, align)
        overlap[:, column] = known.mean(axis=1)
        found = agreement(
            values,
            cell.ravel(),
            draws=draws,
            confidence=confidence,
            seed=seed,
            known=known,
        )
        reasons[:, column] = found.reasons
        little = overlap[:, column] < _LEAST_OVERLAP
        reasons[little, column] = _TOO_LITTLE
        for name, into in {**numbers, **intervals}.items():
            into[:, column] = getattr(found, name)
            into[little, column] = np.nan
    return FieldComparison(
        **numbers,
        **intervals,
        overlap=overlap,
        measured=cells,
        model=model,
        neurons=neurons,
        magnification=float(magnification),
        align=align,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        reasons=reasons.astype(str),
    )


def _laid_on(
    model: np.ndarray, cell: np.ndarray, magnification: float, align: Align
) -> tuple[np.ndarray, np.ndarray]:
    """Return the models' values at a cell's pixels and whether they are known, (neuron, point)."""
    size = np.array(model.shape[1:])
    if align == "centre":
        from_, to = _centre(cell[None]), _centre(model)
    else:
        from_, to = (np.array(cell.shape) - 1)[None] / 2, (size - 1)[None] / 2
    pixels = np.indices(cell.shape).reshape(2, -1).T  # (point, 2)
    places = to[:, None] + magnification * (pixels[None] - from_[:, None])
    # A pixel is known up to its border, half a pixel beyond its middle.
    known = ((places >= -0.5) & (places <= size - 0.5)).all(axis=2)
    places = np.clip(places, 0, size - 1)
    corner = np.minimum(places.astype(int), np.maximum(size - 2, 0))
    share = places - corner
    values = np.zeros(known.shape)
    neuron = np.arange(len(model))[:, None]
    for down in (0, 1):
        for right in (0, 1):
            row = np.minimum(corner[..., 0] + down, size[0] - 1)
            column = np.minimum(corner[..., 1] + right, size[1] - 1)
            weight = np.abs(1 - down - share[..., 0]) * np.abs(1 - right - share[..., 1])
            values += weight * model[neuron, row, column]
    return values, known & np.isfinite(values)


def _centre(images: np.ndarray) -> np.ndarray:
    """Return row and column of the centre of mass of what is around the peak.

    That is what hangs together with the pixel of largest magnitude, has its sign and at least half
    its strength.
    """
    images = np.nan_to_num(images)
    flat = images.reshape(len(images), -1)
    place = np.abs(flat).argmax(axis=1)
    peak = np.take_along_axis(flat, place[:, None], axis=1)[..., None]
    strength = images * np.sign(peak)
    half = strength >= np.maximum(np.abs(peak) / 2, np.finfo(float).tiny)
    touching = np.zeros((3, 3, 3), dtype=int)
    touching[1] = 1  # pixels of one image, corners too
    parts, _ = ndimage.label(half, structure=touching)
    own = np.take_along_axis(parts.reshape(len(images), -1), place[:, None], axis=1)[..., None]
    mass = np.where((parts == own) & half, strength, 0.0)
    mass = np.where(peak != 0, mass, 1.0)  # of an empty image, the middle
    rows, columns = np.indices(images.shape[1:])
    total = mass.sum(axis=(1, 2))
    return np.stack([(mass * axis).sum(axis=(1, 2)) / total for axis in (rows, columns)], axis=1)


def _model_fields(fields: Any) -> tuple[np.ndarray, tuple[int, ...], float | None]:
    """Return images ``(neuron, height, width)``, their neurons, and the pixel size."""
    images = np.asarray(getattr(fields, "spatial", fields), dtype=np.float64)
    if images.ndim == 2:
        images = images[None]
    if images.ndim != 3:
        raise ValueError(f"fields: expected (neuron, height, width), got shape {images.shape}")
    neurons = tuple(getattr(fields, "neurons", range(len(images))))
    return images, neurons, getattr(fields, "pixel_size_um", None)


def _measured_fields(measured: Any) -> np.ndarray:
    if isinstance(measured, str | os.PathLike):
        path = Path(measured)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        # numpy answers with TypeError to a single array (.npy), ValueError to pickled objects.
        except (zipfile.BadZipFile, EOFError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no .npz file") from error
        images = [array for array in arrays.values() if array.ndim in (2, 3)]
        if len(images) != 1:
            raise ValueError(f"{path}: expected one array of images, got {sorted(arrays)}")
        measured = images[0]
    try:
        cells = np.asarray(measured, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("measured: expected images of numbers, (cell, height, width)") from None
    if cells.ndim == 2:
        cells = cells[None]
    if cells.ndim != 3 or not cells.size:
        raise ValueError(f"measured: expected (cell, height, width), got shape {cells.shape}")
    if not np.isfinite(cells).all():
        raise ValueError("measured: expected finite numbers")
    return cells
