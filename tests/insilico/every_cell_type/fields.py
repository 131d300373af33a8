"""Receptive fields of the cells, and what they say of them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

import openretina_widgets as orw
from openretina_widgets.data_io import artificial_stimuli as stimuli
from tests.insilico.every_cell_type.cells import Cells, cosine, flat


class Fields(Cells):
    """Gradients and spike-triggered averages."""

    @cached_property
    def at_grey(self) -> orw.ReceptiveFields:
        return orw.receptive_fields(self.model)

    @cached_property
    def polarity_agrees(self) -> np.ndarray:
        return np.array([self.at_grey.polarity[cell.index] == cell.polarity for cell in self.truth])

    @cached_property
    def centre_sigma_um(self) -> np.ndarray:
        return self.at_grey.fit.centre_sigma * self.model.pixel_size_um

    @cached_property
    def _average(self) -> orw.ReceptiveFields:
        neurons = self.of("ON-OFF", "linear control")
        return orw.receptive_fields(self.model, neurons=neurons, method="sta", frames=20_000)

    @cached_property
    def average_along_gradient(self) -> np.ndarray:
        """The spike-triggered average along the (local) gradient, over that of the control."""
        average, both = self._average, self.of("ON-OFF")
        slope = np.where(
            np.isin(average.neurons, both)[:, None],
            flat(self._local_gradients("ON"))[list(average.neurons)],
            flat(self.at_grey.fields)[list(average.neurons)],
        )
        along = (flat(average.fields) * slope).sum(axis=1) / np.linalg.norm(slope, axis=1)
        found = self._spread(average.neurons, along)
        return np.abs(self.over_mean_of(found, "linear control"))

    @cached_property
    def average_has_no_field(self) -> np.ndarray:
        return self._spread(
            self._average.neurons, np.array([not words for words in self._average.polarity])
        )

    @cached_property
    def _locally(self) -> dict[str, list[orw.ReceptiveFields]]:
        """Of each ON-OFF cell, 100 ms after a bright and a dark spot came on its centre."""
        found: dict[str, list[orw.ReceptiveFields]] = {"ON": [], "OFF": []}
        for contrast, polarity in ((0.5, "ON"), (-0.5, "OFF")):
            for neuron in self.of("ON-OFF"):
                centre = (self.column("rf_x")[neuron], self.column("rf_y")[neuron])
                spot = stimuli.spot(
                    self.model, diameter=300, centre=centre, contrast=contrast, duration_s=0.1
                )
                found[polarity].append(
                    orw.receptive_fields(
                        self.model, neurons=neuron, method="local gradient", base=spot
                    )
                )
        return found

    def _local_gradients(self, polarity: str) -> np.ndarray:
        fields = np.stack([one.fields[0] for one in self._locally[polarity]])
        return self._spread(self.of("ON-OFF"), fields)

    @cached_property
    def local_polarity_agrees(self) -> np.ndarray:
        agrees = [
            [one.polarity == (polarity,) for one in found]
            for polarity, found in self._locally.items()
        ]
        return self._spread(self.of("ON-OFF"), np.all(agrees, axis=0))

    @cached_property
    def gradient_after_bright_and_dark(self) -> np.ndarray:
        return cosine(self._local_gradients("ON"), self._local_gradients("OFF"))
