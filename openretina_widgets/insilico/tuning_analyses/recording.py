"""Gathers the responses of a sweep as its batches come."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.insilico.provenance import of_model, versions
from openretina_widgets.insilico.tuning_analyses.controls import BLANK, LINEAR
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment, plain
from openretina_widgets.insilico.tuning_analyses.noise import poisson_repeats
from openretina_widgets.models.retina_model import RetinaModel

_FREQUENCY = "temporal_frequency_hz"
_AROUND = re.compile(r"around \([^)]*\) \w+")  # a note for each neuron's place would be many


@dataclass
class Recording:
    """The checked arguments of a sweep, and all that has been recorded of it so far."""

    model: RetinaModel
    session: str
    neurons: tuple[int, ...]
    linear: tuple[int, ...]
    experiment: Experiment
    screen: Screen
    centres: np.ndarray | None
    controls: tuple[str, ...]
    noise: str | None
    repeats: int
    spikes_per_unit: float
    seed: int
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0
    computed: tuple[str, ...] = ()
    _grey: dict[int, np.ndarray] = field(default_factory=dict)
    _said: dict[str, set[tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape, n = self.experiment.shape, len(self.neurons)
        self.responses = np.full((*shape, n), np.nan)
        self.traces = np.full((*shape, 0, n), np.nan, dtype=np.float32)
        self.windows = np.zeros((*shape, 2), dtype=np.int64)
        self.f0 = np.full((*shape, n), np.nan)
        self.f1 = self.f0.copy()
        self.repeated = np.full((self.repeats, *shape, n), np.nan) if self.noise else None
        self.onset = 0
        self.shown: dict[str, Any] = {}
        self.events: dict[tuple[int, ...], list[list[Any]]] = {}
        self.of_controls = {
            name: np.full((*shape, len(self.linear) if name == LINEAR else n), np.nan)
            for name in self.controls
        }
        self._blank = np.full((*shape, n), np.nan)

    def has_grey(self, frames: int) -> bool:
        """Return whether the response to grey of this length is known."""
        return frames in self._grey

    def grey(self, frames: int) -> torch.Tensor:
        """Return grey of a length, as a movie."""
        shape = (len(self.screen.channels), frames, self.screen.height, self.screen.width)
        grey = torch.tensor(self.screen.grey, dtype=torch.float32)[:, None, None, None]
        return grey.expand(shape).contiguous()

    def take_grey(self, frames: int, response: np.ndarray) -> None:
        """Take the response ``(frame, neuron)`` to grey."""
        self._grey[frames] = response.astype(np.float64)

    def take(
        self,
        index: tuple[int, ...],
        stimulus: ArtificialStimulus,
        columns: np.ndarray,
        control: str,
        response: np.ndarray,
    ) -> None:
        """Take the response ``(frame, neuron)`` to a condition; the linear controls come last.

        Raises
        ------
        ValueError
            If the stimulus states a window in which the model gives no response.
        """
        start, stop = stimulus.response_window
        if not 0 <= start < stop <= len(response):
            raise ValueError(
                f"experiment: the window of {stimulus.name!r}, response frames {start} to {stop}, "
                f"is not within the {len(response)} response frames"
            )
        within = response[start:stop].astype(np.float64)
        mean = within.mean(axis=0)
        where: tuple[Any, ...] = (*index, columns)
        if control:
            self.of_controls[control][where] = mean[columns]
            return
        self.responses[where] = mean[columns]
        self._blank[where] = self._grey[len(stimulus)][start:stop].mean(axis=0)[columns]
        if LINEAR in self.of_controls:
            self.of_controls[LINEAR][index] = mean[len(self.neurons) :]
        if self.repeated is not None:
            flat = int(np.ravel_multi_index(index, self.experiment.shape))
            every = poisson_repeats(
                mean[: len(self.neurons)],
                window_s=(stop - start) / self.screen.frame_rate,
                repeats=self.repeats,
                spikes_per_unit=self.spikes_per_unit,
                seed=(self.seed, flat),
            )
            self.repeated[:, *where] = every[:, columns]
        self._take_trace(index, columns, response)
        self._take_cycles(where, stimulus, within[:, columns])
        self.windows[index] = start, stop
        lag = self.screen.lag
        self.onset = max(0, stimulus.onset - lag)
        self.shown = self.shown or plain(stimulus.parameters)
        self.events[index] = [
            [event.what, max(0, event.start - lag), event.stop - lag]
            for event in stimulus.events
            if event.stop > lag
        ]
        for said in stimulus.notes:
            note = said if self.centres is None else _AROUND.sub("around a receptive field", said)
            self._said.setdefault(note, set()).add(index)

    def _take_trace(
        self, index: tuple[int, ...], columns: np.ndarray, response: np.ndarray
    ) -> None:
        *shape, frames, n = self.traces.shape
        if len(response) > frames:
            longer = np.full((*shape, len(response), n), np.nan, dtype=np.float32)
            longer[..., :frames, :] = self.traces
            self.traces = longer
        self.traces[index][: len(response), columns] = response[:, columns]

    def _take_cycles(
        self, where: tuple[Any, ...], stimulus: ArtificialStimulus, within: np.ndarray
    ) -> None:
        frequency = float(stimulus.parameters.get(_FREQUENCY, 0.0))
        cycles = len(within) * frequency / self.screen.frame_rate
        # Above half the frame rate there is nothing to find; below a cycle there is no mean.
        if frequency <= 0 or cycles < 1 - 1e-6 or frequency > self.screen.frame_rate / 2:
            return
        mean = within.mean(axis=0)
        turn = -2j * np.pi * frequency / self.screen.frame_rate
        wave = np.exp(turn * np.arange(len(within)))
        # Half the frame rate has no phase: the one coefficient there is carries all of it.
        factor = 1.0 if np.isclose(frequency, self.screen.frame_rate / 2) else 2.0
        self.f0[where] = mean
        self.f1[where] = factor * np.abs(wave @ (within - mean)) / len(within)

    def curves(self) -> TuningCurves:
        """Return all that is recorded so far, as a copy."""
        experiment = self.experiment
        in_order = [self.events[index] for index in sorted(self.events)]
        same = all(events == in_order[0] for events in in_order)
        grating = bool(np.isfinite(self.f0).any())
        seen = np.isfinite(self._blank)
        count = seen.sum(axis=tuple(range(len(experiment.shape))))
        total = np.where(seen, self._blank, 0.0).sum(axis=tuple(range(len(experiment.shape))))
        baseline = np.divide(total, count, out=np.full(len(self.neurons), np.nan), where=count > 0)
        controls = {name: values.copy() for name, values in self.of_controls.items()}
        if BLANK in controls:
            controls[BLANK] = self._blank.copy()
        types = [neuron.cell_type for neuron in self.model.neurons(self.session)]
        settings = plain(experiment.settings) | {
            "events": in_order[0] if in_order else [],
            "stimulus": self.shown,
            "contrast_source": self.screen.contrast_source,
            "device": str(self.model.device),
            "computed": " | ".join(self.computed),
        }
        if not same:
            settings["events_of_conditions"] = in_order
        if self.noise:
            settings["spikes_per_unit"] = self.spikes_per_unit
        if self.linear:
            settings["linear_control_neurons"] = list(self.linear)
        return TuningCurves(
            experiment=experiment.name,
            title=experiment.title,
            axes=experiment.axes,
            polar=experiment.polar,
            neurons=self.neurons,
            data_key=self.session,
            cell_types=tuple(types[neuron] for neuron in self.neurons),
            responses=self.responses.copy(),
            traces=self.traces.copy(),
            windows=self.windows.copy(),
            onset=self.onset,
            baseline=baseline,
            f0=self.f0.copy() if grating else None,
            f1=self.f1.copy() if grating else None,
            repeats=None if self.repeated is None else self.repeated.copy(),
            controls=controls,
            centres=None if self.centres is None else self.centres.copy(),
            noise=self.noise,
            seed=self.seed,
            notes=self._notes(),
            settings=settings,
            duration_s=self.duration_s,
            versions=versions(),
            **of_model(self.model),
        )

    def _notes(self) -> tuple[str, ...]:
        notes = list(self.notes)
        if self.model.lag == 0:
            notes.append(
                "the model has no lag: where it keeps no memory of earlier frames, as one of "
                "static images, it can tell neither directions of motion nor temporal frequencies"
            )
        if self.noise:
            notes.append(
                f"repeats are drawn from a noise model, {self.noise}, {self.spikes_per_unit:g} "
                f"spikes/s for a response of 1, seed {self.seed}; responses are without noise"
            )
        every = len(self.experiment)
        for note, indices in self._said.items():
            if len(indices) == every:
                notes.append(note)
            else:
                notes.append(f"{note} ({len(indices)} of {every} conditions)")
        return tuple(notes)
