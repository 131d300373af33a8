"""Still pictures of comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from openretina_widgets.insilico.figure import new_figure

if TYPE_CHECKING:
    from openretina_widgets.insilico.comparison.fields import FieldComparison
    from openretina_widgets.insilico.comparison.tuning import TuningComparison


def plot_tuning(comparison: TuningComparison, neuron: int) -> Any:
    """Draw measured points and the fitted curve of a neuron."""
    row = comparison.neurons.index(neuron)
    found = comparison.agreement
    figure = new_figure(4.6, 3.6)
    axis = figure.subplots()
    axis.plot(comparison.x, comparison.fitted[row], color="black", label=f"neuron {neuron}")
    axis.plot(comparison.x, comparison.measured, "o", color="#d1495b", label="measured")
    if comparison.log_x:
        axis.set_xscale("log")
    low, high = found.correlation_interval[row]
    axis.set(
        xlabel=comparison.label,
        ylabel="response (unit of the measurement)",
        title=found.reasons[row]
        or f"r = {found.correlation[row]:.2f} [{low:.2f}, {high:.2f}], "
        f"error {found.error[row]:.2f}",
    )
    axis.legend()
    return figure


def plot_fields(comparison: FieldComparison, cell: int, neuron: int) -> Any:
    """Draw a measured field, that of a neuron laid on it, and what is left."""
    row = comparison.neurons.index(neuron)
    measured = comparison.measured[cell]
    model = comparison.laid_on(neuron, cell)
    figure = new_figure(10.2, 3.4)
    axes = figure.subplots(1, 3)
    limit = float(np.abs(measured).max()) or 1.0
    r, error = comparison.correlation[row, cell], comparison.error[row, cell]
    images = {
        f"Measured, cell {cell}": measured,
        f"Neuron {neuron}, r = {r:.2f}": model,
        f"What is left, error {error:.2f}": measured - model,
    }
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        shown = axis.imshow(image, cmap="bwr", vmin=-limit, vmax=limit)
        axis.set(title=title, xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, label="unit of the measurement")
    return figure
