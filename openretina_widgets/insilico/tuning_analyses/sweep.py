"""The sweep: every condition of an experiment, for all neurons, in batches."""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import OutOfMemory, check_positive, unknown_name
from openretina_widgets.insilico.tuning_analyses.batches import Room, grouped, run_batch
from openretina_widgets.insilico.tuning_analyses.controls import (
    BLANK,
    LINEAR,
    check_controls,
    shown_as,
)
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.insilico.tuning_analyses.noise import NOISE
from openretina_widgets.insilico.tuning_analyses.recording import Recording
from openretina_widgets.memory import free_memory
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Noise = Literal["poisson"] | None
SweepSteps = Generator["SweepStep", None, TuningCurves]
Place = tuple[np.ndarray, dict[str, Any]]  # columns of neurons, and where their movie is centred
Item = tuple[tuple[int, ...], dict[str, Any], np.ndarray, dict[str, Any]]  # a condition at a place

_SAME_PLACE_PX = 0.25  # centres that agree within this share a movie


@dataclass(frozen=True, eq=False)
class SweepStep:
    """A finished batch of a sweep.

    Attributes
    ----------
    done, total
        Movies finished so far, and movies of the whole sweep.
    conditions
        Index of each condition in this batch, one number an axis, in the order of `stimuli`.
    stimuli
        What was shown.
    traces
        ``(response frame, neuron)`` of each; NaN for neurons that saw their own version of a
        centred stimulus elsewhere.
    """

    done: int
    total: int
    conditions: tuple[tuple[int, ...], ...]
    stimuli: tuple[ArtificialStimulus, ...]
    traces: tuple[np.ndarray, ...]
    _recording: Recording

    @property
    def curves(self) -> TuningCurves:
        """All that is finished by now, NaN where it is not; a copy."""
        return self._recording.curves()


@dataclass(frozen=True, eq=False)
class Showing:
    """A movie to show: a condition, for some of the neurons, as it is or as a control."""

    index: tuple[int, ...]
    stimulus: ArtificialStimulus
    columns: np.ndarray  # of the neurons that look at it
    control: str


Responses = Sequence[np.ndarray] | np.ndarray  # (frame, neuron) of a session, to each movie
Recorded = Generator[tuple[int, int, list[Showing], Sequence[Responses]], None, None]


def sweep(model: RetinaModel | nn.Module, experiment: Experiment, **settings: Any) -> TuningCurves:
    """Show every condition of an experiment, and return the responses of all neurons.

    Settings, errors and result are those of
    `openretina_widgets.insilico.tuning_analyses.sweep_steps`: ``neurons``, ``data_key``,
    ``centres``, ``repeats``, ``noise``, ``spikes_per_unit``, ``seed``, ``controls``, ``memory_mb``,
    ``batch`` and ``client``.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> curves = sweep(model, experiments.drifting_gratings(directions=8))
    >>> curves.responses.shape
    (8, 84)
    """
    known = [*inspect.signature(sweep_steps).parameters][2:]
    for name in settings:
        if name not in known:
            raise TypeError(unknown_name("sweep", name, known, "setting"))
    steps = sweep_steps(model, experiment, **settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            curves: TuningCurves = end.value
            return curves


def sweep_steps(
    model: RetinaModel | nn.Module,
    experiment: Experiment,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    centres: np.ndarray | Sequence[Sequence[float]] | None = None,
    repeats: int = 1,
    noise: Noise = None,
    spikes_per_unit: float = 10.0,
    seed: int = 0,
    controls: Sequence[str] | str = (),
    memory_mb: float | None = None,
    batch: int | None = None,
    client: Any = None,
) -> SweepSteps:
    """Check the arguments, and return the generator of the sweep's steps.

    The responses are those of the model, without noise. They are averaged over the window that
    each stimulus states, for gratings the last whole number of temporal cycles. Movies are made
    when their batch comes; those of equal length share one, and nothing is padded.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    experiment
        See `experiments`.
    neurons
        One neuron or several of the session, all for None.
    data_key
        Session, the first one for None.
    centres
        ``(neuron, 2)``: x to the right and y up from the middle of the image (µm, or px where the
        pixel size is not known), on which a centred experiment shows its stimuli. Measured where
        they are not given. Neurons whose centres agree within a quarter of a pixel share a movie.
    repeats, noise, spikes_per_unit
        With ``noise="poisson"``, `repeats` windowed means are drawn whose spike counts are
        Poisson, where a response of 1 stands for `spikes_per_unit` spikes/s: see
        `poisson_repeats`. Without a noise model repeats would be identical, and are refused.
    seed
        Of the noise and of the scrambled control.
    controls
        Any of ``"blank"``, ``"scrambled"``, ``"phase-shifted"`` and ``"linear control"``: see
        `openretina_widgets.insilico.tuning_analyses.controls.CONTROLS`.
    memory_mb
        Memory that a batch may take (2^20 bytes), which is measured on the first one. Without it
        a share of what is free.
    batch
        Most movies in a batch; 1 to see the curve grow condition by condition.
    client
        A ``distributed.Client``: its workers compute, conditions are shared out. `memory_mb` and
        `batch` are those of each worker. A step may have no condition then: there are some each
        second, so that the sweep can be ended while it waits.

    Returns
    -------
    generator
        Yields a `SweepStep` a batch; returns `TuningCurves`. The model is held frozen in eval
        mode while the generator lives, and handed back as it was.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. Checked before the first step.
    OutOfMemory
        From a step, if one condition alone does not fit.
    """
    recording, room = prepared(
        as_retina_model(model),
        experiment,
        neurons=neurons,
        data_key=data_key,
        centres=centres,
        repeats=repeats,
        noise=noise,
        spikes_per_unit=spikes_per_unit,
        seed=seed,
        controls=controls,
        memory_mb=memory_mb,
        batch=batch,
    )
    if client is not None:
        from openretina_widgets.insilico.cluster.sweeping import shared_out

        return _steps(recording, shared_out(client, [recording], memory_mb=memory_mb, batch=batch))
    return _steps(recording, recorded([recording], room))


def prepared(
    face: RetinaModel,
    experiment: Experiment,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    centres: np.ndarray | Sequence[Sequence[float]] | None = None,
    repeats: int = 1,
    noise: Noise = None,
    spikes_per_unit: float = 10.0,
    seed: int = 0,
    controls: Sequence[str] | str = (),
    memory_mb: float | None = None,
    batch: int | None = None,
) -> tuple[Recording, Room]:
    """Check the arguments of `sweep_steps`, and return what the responses are gathered in."""
    if not isinstance(experiment, Experiment):
        raise TypeError(
            f"experiment: expected an Experiment, such as experiments.drifting_gratings(), got "
            f"{experiment!r}"
        )
    session = face.session(data_key)
    every = range(face.n_neurons(session)) if neurons is None else neurons
    chosen = face.check_neurons(every, session)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons: expected each neuron once, got {chosen}")
    asked = check_controls(controls, face, session)
    if noise is not None and noise not in NOISE:
        raise ValueError(unknown_name("noise", str(noise), NOISE, "noise model"))
    if not is_index(repeats) or repeats < 1:
        raise ValueError(f"repeats: expected a whole number of at least 1, got {repeats!r}")
    if repeats > 1 and noise is None:
        raise ValueError(
            f"repeats: the model has no noise, so {repeats} repeats would be identical and show no "
            "variability; declare a noise model with noise='poisson'"
        )
    if not is_index(seed) or seed < 0:
        raise ValueError(f"seed: expected a whole number >= 0, got {seed!r}")
    check_positive(spikes_per_unit, "spikes_per_unit")
    if memory_mb is not None:
        check_positive(memory_mb, "memory_mb")
    if batch is not None and (not is_index(batch) or batch < 1):
        raise ValueError(f"batch: expected a whole number of at least 1, got {batch!r}")
    screen = Screen.of(face)
    suited = experiment.on(screen)
    # Built once here, so that what the screen cannot show is refused before the first step.
    example = suited.stimulus(screen)
    face.check_stimulus(example.batch)
    _check_room(suited, len(chosen), len(example) - face.lag, int(repeats))
    places, about_places = _places(face, session, chosen, screen, suited, centres, seed)
    linear = face.cell_types(session).get(LINEAR, []) if LINEAR in asked else []
    recording = Recording(
        model=face,
        session=session,
        neurons=tuple(chosen),
        linear=tuple(linear),
        experiment=suited,
        screen=screen,
        centres=places,
        controls=tuple(asked),
        noise=noise,
        repeats=int(repeats),
        spikes_per_unit=float(spikes_per_unit),
        seed=int(seed),
        notes=about_places,
    )
    return recording, Room.of(face.device, memory_mb, batch)


def _check_room(experiment: Experiment, neurons: int, frames: int, repeats: int) -> None:
    """Refuse more conditions than the memory holds the responses of."""
    needed = len(experiment) * neurons * (4 * frames + 8 * (4 + repeats))
    if needed > (free := free_memory()):
        raise OutOfMemory(
            f"experiment: the responses of {neurons} neurons in {len(experiment)} conditions take "
            f"about {needed / 2**30:.3g} GB, more than the {free / 2**30:.3g} GB that are free; "
            f"take at most {int(free // (needed / len(experiment)))} conditions, or fewer neurons "
            "or repeats"
        )


def _steps(recording: Recording, batches: Recorded) -> SweepSteps:
    with closing(batches):
        for done, total, batch, (responses,) in batches:
            yield _step(recording, done, total, batch, responses)
    return recording.curves()


def _step(
    recording: Recording,
    done: int,
    total: int,
    batch: Sequence[Showing],
    responses: Responses,
) -> SweepStep:
    plainly = [k for k, one in enumerate(batch) if not one.control]
    return SweepStep(
        done,
        total,
        tuple(batch[k].index for k in plainly),
        tuple(batch[k].stimulus for k in plainly),
        tuple(_seen(responses[k], batch[k], recording) for k in plainly),
        recording,
    )


def record(recording: Recording, showing: Showing, response: np.ndarray) -> None:
    """Take the response ``(frame, neuron)`` to what was shown."""
    every = np.arange(len(recording.neurons))
    columns = every if recording.centres is None else showing.columns
    recording.take(showing.index, showing.stimulus, columns, showing.control, response)


def recorded(recordings: Sequence[Recording], room: Room) -> Recorded:
    """Show an experiment, and yield how far it is, a finished batch and each one's responses.

    The recordings are of sessions of one model that see the same movies.
    """
    first = recordings[0]
    model = first.model
    wanted = [
        (one.session, torch.tensor([*one.neurons, *one.linear], device=model.device))
        for one in recordings
    ]
    items = items_of(first.experiment, places_of(first))
    total = len(items) * (1 + len(shown_controls(first.controls)))
    done, duration = 0, 0.0
    shown = showings(model, first.experiment, first.screen, items, first.controls, first.seed)
    with frozen(model):
        batches = grouped(((len(one.stimulus), one) for one in shown), room)
        while True:
            since = time.perf_counter()
            if (next_batch := next(batches, None)) is None:
                break
            frames, batch = next_batch
            movies = [one.stimulus.movie for one in batch]
            needs_grey = not first.has_grey(frames)
            if needs_grey:
                movies.insert(0, first.grey(frames))
            answers = run_batch(model, movies, wanted, room)
            if needs_grey:
                for recording, responses in zip(recordings, answers, strict=True):
                    recording.take_grey(frames, responses[0])
                answers = [responses[1:] for responses in answers]
            for recording, responses in zip(recordings, answers, strict=True):
                for one, response in zip(batch, responses, strict=True):
                    record(recording, one, response)
            done += len(batch)
            duration += time.perf_counter() - since
            for recording in recordings:
                recording.duration_s = duration
                recording.computed = tuple(room.computed)
            yield done, total, batch, answers


def shown_controls(controls: Sequence[str]) -> list[str]:
    """Return the controls that are movies of their own."""
    return [control for control in controls if control not in (BLANK, LINEAR)]


def items_of(experiment: Experiment, places: Sequence[Place]) -> list[Item]:
    """Return every condition at every place."""
    indices = np.ndindex(*experiment.shape)
    return [
        (index, condition, columns, where)
        for index, condition in zip(indices, experiment.conditions(), strict=True)
        for columns, where in places
    ]


def showings(
    model: RetinaModel,
    experiment: Experiment,
    screen: Screen,
    items: Sequence[Item],
    controls: Sequence[str],
    seed: int,
) -> Iterator[Showing]:
    """Make the movies of some items, each with its controls."""
    for index, condition, columns, where in items:
        stimulus = experiment.stimulus(screen, **condition, **where)
        model.check_stimulus(stimulus.batch)
        yield Showing(index, stimulus, columns, "")
        for control in shown_controls(controls):
            yield Showing(index, shown_as(stimulus, control, seed), columns, control)


def _seen(response: np.ndarray, showing: Showing, recording: Recording) -> np.ndarray:
    trace = np.full((len(response), len(recording.neurons)), np.nan, dtype=np.float32)
    trace[:, showing.columns] = response[:, showing.columns]
    return trace


def places_of(recording: Recording) -> list[Place]:
    """Return the neurons that share a movie, and where it is centred."""
    everyone = np.arange(len(recording.neurons))
    if recording.centres is None:
        return [(everyone, {})]
    near = np.round(recording.centres / recording.screen.length(_SAME_PLACE_PX)).astype(np.int64)
    _, member, counts = np.unique(near, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    sums = np.zeros((len(counts), 2))
    np.add.at(sums, member, recording.centres)
    order = np.argsort(member, kind="stable")
    columns = np.split(everyone[order], np.cumsum(counts)[:-1])
    return [
        (mine, {"centre": (float(x), float(y))})
        for mine, (x, y) in zip(columns, sums / counts[:, None], strict=True)
    ]


def _places(
    model: RetinaModel,
    session: str,
    neurons: list[int],
    screen: Screen,
    experiment: Experiment,
    centres: Any,
    seed: int,
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if not experiment.centred:
        if centres is not None:
            raise ValueError(
                f"centres: the experiment {experiment.name!r} shows all neurons the same; leave "
                "them out"
            )
        return None, ()
    if centres is None:
        from openretina_widgets.insilico.receptive_fields.centres import centres as measured

        found = measured(model, neurons=neurons, data_key=session, seed=seed)
        lost = ~np.isfinite(found).all(axis=1)
        if not lost.any():
            return found, ()
        note = (
            f"no receptive field was found for {int(lost.sum())} of {len(lost)} neurons, such as "
            f"{neurons[int(lost.argmax())]}: they see the stimuli in the middle of the screen"
        )
        return np.where(lost[:, None], 0.0, found), (note,)
    try:
        places = np.asarray(centres, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"centres: expected (x, y) for each of {len(neurons)} neurons, got {centres!r}"
        ) from None
    if places.shape != (len(neurons), 2):
        raise ValueError(
            f"centres: expected (x, y) for each of {len(neurons)} neurons, got shape {places.shape}"
        )
    if not np.isfinite(places).all():
        raise ValueError("centres: expected finite numbers")
    return places, ()
