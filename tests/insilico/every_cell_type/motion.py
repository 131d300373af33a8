"""What the cells do when something moves."""

from __future__ import annotations

from functools import cached_property

import numpy as np

import openretina_widgets as orw
from openretina_widgets.insilico.tuning_analyses.selectivity import (
    direction_selectivity,
    orientation_selectivity,
)
from tests.insilico.every_cell_type.cells import Cells, around

# Wider than the screen, a bar has no sides.
BAR = {"width": 2000.0, "length": 300.0}
# One edge has to leave a row of subunits (540 µm) and its memory (0.4 s) before the other comes.
LONG_BAR = {"width": 2000.0, "length": 1000.0, "speed": 900.0}
BRIGHT, DARK = 0, 1
NULL_SHARE = 0.1  # of the preferred response: less belongs to the null side


class Motion(Cells):
    """Direction and orientation, and the two edges of a bar."""

    @cached_property
    def gratings(self) -> orw.TuningCurves:
        return orw.sweep(self.model, orw.experiments.drifting_gratings(directions=12))

    @cached_property
    def bars(self) -> orw.TuningCurves:
        bars = orw.experiments.moving_bar(directions=12, contrasts=(1.0, -1.0), **BAR)
        return orw.sweep(self.model, bars)

    def curve(self, what: str) -> np.ndarray:
        """Return ``(direction, neuron)`` of gratings, bright bars or dark bars."""
        if what == "gratings":
            return self.gratings.responses
        return self.bars.responses[:, BRIGHT if what == "bright bars" else DARK]

    def _above_rest(self, what: str) -> np.ndarray:
        return self.curve(what) - (self.gratings if what == "gratings" else self.bars).baseline

    def dsi(self, what: str) -> np.ndarray:
        return direction_selectivity(self.curve(what), self._directions).vector_index.values

    @cached_property
    def dsi_of_f1(self) -> np.ndarray:
        return direction_selectivity(self.gratings.f1, self._directions).vector_index.values

    def direction_error(self, what: str) -> np.ndarray:
        found = direction_selectivity(self.curve(what), self._directions).preferred_deg.values
        return np.abs(around(found - self.told("preferred_direction_deg"), 360.0))

    def osi(self, what: str) -> np.ndarray:
        angles = self._directions - 90.0
        return orientation_selectivity(self.curve(what), angles).vector_index.values

    def orientation_error(self, what: str) -> np.ndarray:
        angles = self._directions - 90.0
        found = orientation_selectivity(self.curve(what), angles).preferred_deg.values
        return np.abs(around(found - self.told("preferred_orientation_deg"), 180.0))

    def null_error(self, what: str) -> np.ndarray:
        """Return how far the middle of the directions that do nothing is from the opposite."""
        curve, turns = self._above_rest(what), np.exp(1j * np.radians(self._directions))
        nothing = curve < NULL_SHARE * curve.max(axis=0)
        towards = (nothing * turns[:, None]).sum(axis=0)
        middle = np.where(np.abs(towards) > 1, np.degrees(np.angle(towards)), np.nan)
        return np.abs(around(middle - self.told("preferred_direction_deg") - 180.0, 360.0))

    def null_share(self, what: str) -> np.ndarray:
        """Return the response opposite to the direction built in, over that along it."""
        above = self._above_rest(what)
        return self._along(above, 180.0) / self._along(above, 0.0)

    @property
    def _directions(self) -> np.ndarray:
        return self.gratings.axis("direction").values

    def _along(self, curve: np.ndarray, turned: float) -> np.ndarray:
        """Return ``(direction, ...)``, a neuron last, at the direction built in, plus a turn."""
        found = np.full(np.shape(curve)[1:], np.nan)
        for neuron, angle in enumerate(self.told("preferred_direction_deg")):
            if np.isfinite(angle):
                at = int(np.abs(around(self._directions - angle - turned, 360.0)).argmin())
                found[..., neuron] = curve[at, ..., neuron]
        return found

    @cached_property
    def _edges(self) -> np.ndarray:
        """Peak above rest and its time after the edge, ``(2, contrast, edge, neuron)``.

        The edge that leads has until the middle of the bar is on the receptive field; the one
        that trails has the rest.
        """
        bars = orw.sweep(
            self.model,
            orw.experiments.moving_bar(directions=12, contrasts=(1.0, -1.0), **LONG_BAR),
        )
        traces = self._along(bars.traces, 0.0)
        reached = {what: start for what, start, _ in bars.settings["events"]}
        lead, trail = (
            reached[f"{edge} edge reaches the centre"] for edge in ("leading", "trailing")
        )
        found = np.full((2, 2, 2, self.n), np.nan)
        per_frame = LONG_BAR["speed"] / bars.frame_rate
        for neuron, angle in enumerate(np.radians(self.told("preferred_direction_deg"))):
            if not np.isfinite(angle):
                continue
            x_um, y_um = self.column("rf_x")[neuron], self.column("rf_y")[neuron]
            later = (x_um * np.cos(angle) + y_um * np.sin(angle)) / per_frame
            middle = round((lead + trail) / 2 + later)
            for contrast in (BRIGHT, DARK):
                above = traces[contrast, :, neuron] - bars.baseline[neuron]
                for edge, (start, stop, at) in enumerate(
                    ((0, middle, lead), (middle, len(above), trail))
                ):
                    peak = int(above[start:stop].argmax())
                    found[0, contrast, edge, neuron] = above[start + peak]
                    found[1, contrast, edge, neuron] = start + peak - at - later
        found[1] *= 1000.0 / bars.frame_rate
        return found

    def leading(self, contrast: int) -> np.ndarray:
        return self._edges[0, contrast, 0]

    def trailing(self, contrast: int) -> np.ndarray:
        return self._edges[0, contrast, 1]

    def edge_delay_ms(self, contrast: int, edge: int) -> np.ndarray:
        return self._edges[1, contrast, edge]
