"""The sweep of several sessions of a model, which share its core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.insilico.tuning_analyses.sweep import Noise, prepared, recorded
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

__all__ = ["sweep_sessions"]


def sweep_sessions(
    model: RetinaModel | nn.Module,
    experiment: Experiment,
    *,
    data_keys: Sequence[str] | None = None,
    neurons: Mapping[str, Sequence[int] | int] | None = None,
    repeats: int = 1,
    noise: Noise = None,
    spikes_per_unit: float = 10.0,
    seed: int = 0,
    controls: Sequence[str] | str = (),
    memory_mb: float | None = None,
    batch: int | None = None,
    client: Any = None,
) -> dict[str, TuningCurves]:
    """Show every condition of an experiment to several sessions; the curves are those of `sweep`.

    Each movie is made once, and goes through the core of a core-readout model once for all
    sessions. A centred experiment, in which every neuron has stimuli of its own, takes as long as
    one sweep a session.

    Parameters
    ----------
    model, experiment
        As in `sweep`.
    data_keys
        Sessions, all of the model for None.
    neurons
        Neurons by session; all of a session that is not named.
    repeats, noise, spikes_per_unit, seed, controls, memory_mb, batch, client
        As in `sweep_steps`.

    Returns
    -------
    dict
        `TuningCurves` by session, in the order of `data_keys`. `duration_s` is the time of all
        that were shown together.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    OutOfMemory
        If one condition alone does not fit.

    Examples
    --------
    >>> curves = sweep_sessions(model, experiments.drifting_gratings(directions=8))
    >>> {session: of_one.indices()["dsi"] for session, of_one in curves.items()}
    """
    face = as_retina_model(model)
    if isinstance(data_keys, str):
        raise TypeError(f"data_keys: expected several sessions, such as [{data_keys!r}]")
    sessions = face.sessions if data_keys is None else [face.session(key) for key in data_keys]
    if not sessions:
        raise ValueError("data_keys: expected at least one session, got none")
    chosen = dict(neurons or {})
    for session in chosen:
        if session not in sessions:
            raise ValueError(unknown_name("neurons", str(session), sessions, "session"))
    settings: dict[str, Any] = {
        "repeats": repeats,
        "noise": noise,
        "spikes_per_unit": spikes_per_unit,
        "seed": seed,
        "controls": controls,
        "memory_mb": memory_mb,
        "batch": batch,
    }
    recordings = {}
    for session in sessions:
        recordings[session], room = prepared(
            face, experiment, neurons=chosen.get(session), data_key=session, **settings
        )
    run = partial(recorded, room=room)
    if client is not None:
        from openretina_widgets.insilico.cluster.sweeping import shared_out

        run = partial(shared_out, client, memory_mb=memory_mb, batch=batch)
    each = list(recordings.values())
    for together in [[one] for one in each] if experiment.centred else [each]:
        for _ in run(together):
            pass
    return {session: recording.curves() for session, recording in recordings.items()}
