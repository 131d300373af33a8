"""All that is measured of the cells, as a user measures it, and once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

import openretina_widgets as orw
from openretina_widgets.data_io import artificial_stimuli as stimuli
from tests.insilico.every_cell_type.cells import cosine, flat
from tests.insilico.every_cell_type.fields import Fields
from tests.insilico.every_cell_type.motion import Motion

CONTRASTS = (0.05, 0.2, 0.6, 1.0)
SIGNS = (-1, 1)


class Measured(Fields, Motion):
    """Fields and motion; spots, contrast, colour, and best stimuli besides."""

    # Spots ---------------------------------------------------------------------------------------

    @cached_property
    def flashes(self) -> dict[float, orw.TuningCurves]:
        """Dark and bright spots of four contrasts on each receptive field."""
        return {
            contrast: orw.sweep(
                self.model,
                orw.experiments.flash(polarities=SIGNS, contrast=contrast, diameter=300),
            )
            for contrast in CONTRASTS
        }

    def flash_peak_over_rest(self, contrast: float) -> np.ndarray:
        curves, k = self.flashes[abs(contrast)], SIGNS.index(int(np.sign(contrast)))
        start, stop = curves.windows[k]
        peak = curves.traces[k, start:stop].max(axis=0)
        return (peak - curves.baseline) / curves.baseline

    @cached_property
    def largest_change_by_a_spot(self) -> np.ndarray:
        """The highest of the mean responses to the eight spots, over rest."""
        return np.max([c.responses.max(axis=0) / c.baseline for c in self.flashes.values()], axis=0)

    @cached_property
    def rises_then_falls(self) -> np.ndarray:
        """Whether the response grows with every diameter up to one, and falls with each beyond."""
        sizes = orw.experiments.standard("size", self.model)
        curves, among_all = self._sweep(sizes, "ON sustained", "OFF sustained")
        steps = np.sign(np.diff(curves.curve("diameter")[1], axis=0))
        turns_once = (np.diff(steps, axis=0) <= 0).all(axis=0)
        return among_all(turns_once & (steps[0] > 0) & (steps[-1] < 0))

    # Contrast and colour -------------------------------------------------------------------------

    @cached_property
    def contrast_curves(self) -> np.ndarray:
        """Response to gratings ``(contrast, direction, neuron)`` over rest."""
        curves = orw.sweep(self.model, orw.experiments.standard("contrast", self.model))
        return curves.responses / curves.baseline

    @cached_property
    def falls_with_contrast(self) -> np.ndarray:
        return (np.diff(self.contrast_curves, axis=0) < 0).all(axis=(0, 1))

    @cached_property
    def remembers_contrast(self) -> np.ndarray:
        """Largest difference in the response to flicker of 20 %, after one of 100 % and of 20 %.

        Over the peak of that response, from when the first flicker has left the model's memory.
        """
        step_s = 2.0
        responses = []
        for first in (1.0, 0.2):
            flicker = stimuli.contrast_steps(self.model, contrasts=(first, 0.2), step_s=step_s)
            with torch.no_grad():
                responses.append(self.model(flicker.batch)[0].numpy())
        later = round(step_s * self.model.frame_rate) + self.model.lag
        high, low = (response[later:] for response in responses)
        return np.abs(high - low).max(axis=0) / low.max(axis=0)

    @cached_property
    def chromatic(self) -> np.ndarray:
        """Change of the response by spots of ``(green, uv)``, from −1 to 1, ``(5, 5, neuron)``."""
        spots = orw.experiments.chromatic(diameter=300)
        curves, among_all = self._sweep(spots, "colour opponent")
        return among_all(curves.responses - curves.baseline)

    # Best stimuli --------------------------------------------------------------------------------

    @cached_property
    def _best_and_depressing(self) -> dict[str, orw.OptimizationResult]:
        neurons = self.of("suppressed by contrast")
        return {
            "best": orw.optimize_neurons(self.model, neurons, seed=0),
            "best again": orw.optimize_neurons(self.model, neurons, seed=1),
            "depressing": orw.optimize_neurons(self.model, neurons, seed=0, direction="decrease"),
        }

    def driven_over_rest(self, what: str) -> np.ndarray:
        """Return the mean response to the best or the most depressing stimulus, over rest."""
        found = self._best_and_depressing[what]
        neurons = self.of("suppressed by contrast")
        mean = found.response.mean(dim=1).numpy()
        return self._spread(neurons, mean) / self.column("baseline")

    def share_on_centre(self, what: str) -> np.ndarray:
        """Return the share of a stimulus' power within 125 µm of the receptive field's centre."""
        neurons = self.of("suppressed by contrast")
        power = self._best_and_depressing[what].stimulus.numpy().astype(float) ** 2
        _, height, width = self.model.input_shape
        pixel = self.model.pixel_size_um
        x = (np.arange(width) - (width - 1) / 2) * pixel
        y = ((height - 1) / 2 - np.arange(height))[:, None] * pixel
        shares = []
        for one, neuron in zip(power, neurons, strict=True):
            near = np.hypot(x - self.column("rf_x")[neuron], y - self.column("rf_y")[neuron]) < 125
            shares.append(one[..., near].sum() / one.sum())
        return self._spread(neurons, np.array(shares))

    def magnitudes_correlate(self, what: str) -> np.ndarray:
        """Return how the magnitudes of a stimulus correlate with those of the best one.

        Signs tell nothing: both polarities of either stimulus do the same.
        """
        pair = (flat(self._best_and_depressing[k].stimulus.numpy()) for k in ("best", what))
        found = [np.corrcoef(np.abs(a), np.abs(b))[0, 1] for a, b in zip(*pair, strict=True)]
        return self._spread(self.of("suppressed by contrast"), np.array(found))

    # The linear control --------------------------------------------------------------------------

    @cached_property
    def _filters(self) -> np.ndarray:
        neurons = self.of("linear control")
        return np.stack([self.model.module.linear_filter(neuron).numpy() for neuron in neurons])

    @cached_property
    def best_is_the_filter(self) -> np.ndarray:
        """Cosine of the best stimulus under a norm, as long as the filter, with the filter."""
        neurons = self.of("linear control")
        found = orw.optimize_neurons(
            self.model, neurons, time_steps=self.model.lag + 1, norm=5.0, seed=0
        )
        return self._spread(neurons, cosine(found.stimulus.numpy(), self._filters))

    @cached_property
    def gradient_is_the_filter(self) -> np.ndarray:
        """Smallest cosine of gradient and filter over grey, white, dark, and four pictures."""
        neurons = self.of("linear control")
        shape = self.model.input_shape
        random = np.random.default_rng(0)
        bases = [np.ones(shape), -np.ones(shape), *random.uniform(-1, 1, (2, *shape))]
        bases += [
            stimuli.pink_noise(self.model, seed=seed, duration_s=1.0).movie for seed in (0, 1)
        ]
        found = [cosine(self.at_grey.fields[neurons], self._filters)]
        for base in bases:
            at = orw.receptive_fields(
                self.model, neurons=neurons, method="local gradient", base=base
            )
            found.append(cosine(at.fields, self._filters))
        return self._spread(neurons, np.min(found, axis=0))
