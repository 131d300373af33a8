"""The cells of the embedded retina, what is built into them, and their selectivity table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

import openretina_widgets as orw
from openretina_widgets.models.retina_model import RetinaModel


class Cells:
    """What is told and measured of every cell, each when it is first asked for.

    Arrays have an entry for each of the neurons; NaN where a question makes no sense for a cell.
    """

    def __init__(self, model: RetinaModel) -> None:
        self.model = model
        self.truth = model.module.ground_truth
        self.n = len(self.truth)

    def of(self, *types: str) -> list[int]:
        """Return the neurons of some types."""
        return [cell.index for cell in self.truth if cell.cell_type in types]

    def told(self, attribute: str) -> np.ndarray:
        """Return a number of the ground truth, NaN for None."""
        return np.array([getattr(cell, attribute) for cell in self.truth], dtype=float)

    def column(self, name: str) -> np.ndarray:
        """Return a column of the selectivity table."""
        return self.table[name]

    def above_twin(self, values: np.ndarray) -> np.ndarray:
        """Return how far each cell lies above the one that differs in one property only."""
        twin = self.told("twin")
        known = np.isfinite(twin)
        return np.where(known, values - values[np.where(known, twin, 0).astype(int)], np.nan)

    def over_mean_of(self, values: np.ndarray, name: str) -> np.ndarray:
        """Return each value over the mean of a type."""
        return values / values[self.of(name)].mean()

    def _spread(self, neurons: Sequence[int], values: np.ndarray) -> np.ndarray:
        """Give what was measured of some neurons, the first axis, a place among all."""
        found = np.full((self.n, *np.shape(values)[1:]), np.nan)
        found[list(neurons)] = values
        return found

    def _sweep(
        self, experiment: orw.experiments.Experiment, *types: str
    ) -> tuple[orw.TuningCurves, Callable[[np.ndarray], np.ndarray]]:
        """Sweep the neurons of some types; the second gives ``(..., neuron)`` a place among all."""
        curves = orw.sweep(self.model, experiment, neurons=self.of(*types))

        def among_all(values: np.ndarray) -> np.ndarray:
            return np.moveaxis(self._spread(curves.neurons, np.moveaxis(values, -1, 0)), 0, -1)

        return curves, among_all

    @cached_property
    def table(self) -> orw.SelectivityTable:
        return orw.selectivity_table(self.model)

    @cached_property
    def suggestion_is_right(self) -> np.ndarray:
        return self.table["suggested_type"] == [cell.cell_type for cell in self.truth]

    @cached_property
    def centre_off_px(self) -> np.ndarray:
        found = np.stack([self.column("rf_x"), self.column("rf_y")])
        apart = found - np.stack([self.told("x_um"), self.told("y_um")])
        return np.hypot(*apart) / self.model.pixel_size_um


def flat(fields: np.ndarray) -> np.ndarray:
    return np.reshape(fields, (len(fields), -1)).astype(float)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = flat(a), flat(b)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def around(angle: np.ndarray, period: float) -> np.ndarray:
    return (angle + period / 2) % period - period / 2
