"""A still picture of receptive fields, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from openretina_widgets.insilico.figure import new_figure

if TYPE_CHECKING:
    from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields

_MOST = 24  # neurons in a figure, when none are named
_COLUMNS = 6


def plot_fields(fields: ReceptiveFields, neurons: Sequence[int] | int | None = None) -> Any:
    """Draw image with the 2 σ ellipse, and kernel in time, of each neuron.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a neuron is not among those of the fields.
    """
    asked = [neurons] if isinstance(neurons, int) else neurons
    asked = list(fields.neurons[:_MOST]) if asked is None else list(asked)
    for neuron in asked:
        if neuron not in fields.neurons:
            raise ValueError(f"neurons: {neuron} is not among those of these fields")
    columns = min(_COLUMNS, len(asked))
    rows = -(-len(asked) // columns)
    figure = new_figure(2.2 * columns, 3.6 * rows)
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in axes.flat[:]:
        axis.set_visible(False)
    ends = fields.pixel * np.array(fields.spatial.shape[2:0:-1]) / 2
    for place, neuron in enumerate(asked):
        cell = fields.neurons.index(neuron)
        row, column = divmod(place, columns)
        image, kernel = axes[2 * row, column], axes[2 * row + 1, column]
        limit = float(np.nanmax(np.abs(fields.spatial[cell]), initial=0.0)) or 1.0
        image.imshow(
            fields.spatial[cell],
            cmap="bwr",
            vmin=-limit,
            vmax=limit,
            extent=(-ends[0], ends[0], -ends[1], ends[1]),
        )
        outline = ellipses(fields, cells=[cell])[0]
        image.plot(outline[:, 0], outline[:, 1], color="black", linewidth=1)
        kind = fields.cell_types[cell] if fields.cell_types else ""
        image.set(title=f"{neuron} {kind}\n{fields.polarity[cell] or 'not determined'}")
        image.set(xlabel=f"x ({fields.space_unit})", ylabel=f"y ({fields.space_unit})")
        kernel.axhline(0.0, color="0.8")
        kernel.plot(fields.time_ms, fields.temporal[cell], color="black")
        kernel.set(xlabel="time (ms)", ylabel="kernel")
        for axis in (image, kernel):
            axis.set_visible(True)
            axis.title.set_fontsize(8)
    return figure


def ellipses(
    fields: ReceptiveFields, *, cells: Sequence[int] | None = None, points: int = 60
) -> np.ndarray:
    """Return the outline at 2 σ of each fitted centre.

    Parameters
    ----------
    fields
        With their fits.
    cells
        Positions among ``fields.neurons``, all for None.
    points
        Of an outline; the last one is the first one.

    Returns
    -------
    numpy.ndarray
        ``(cell, point, 2)``: x right and y up from the middle of the image, in
        ``fields.space_unit``; NaN where the fit is not determined.
    """
    at = np.arange(len(fields.neurons)) if cells is None else np.asarray(cells, dtype=int)
    turn = np.linspace(0.0, 2 * np.pi, points)
    along = 2 * fields.pixel * fields.fit.sigma_major[at, None] * np.cos(turn)
    across = 2 * fields.pixel * fields.fit.sigma_minor[at, None] * np.sin(turn)
    angle = np.radians(fields.fit.angle_deg[at, None])
    x, y = fields.centres[at].T
    return np.stack(
        [
            x[:, None] + along * np.cos(angle) - across * np.sin(angle),
            y[:, None] + along * np.sin(angle) + across * np.cos(angle),
        ],
        axis=2,
    )
