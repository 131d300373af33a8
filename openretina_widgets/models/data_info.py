"""Tells what the ``data_info`` of a checkpoint says of the stimulus and of each neuron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from openretina_widgets.models.neuron import Neuron
from openretina_widgets.models.safe_values import CheckpointError, short
from openretina_widgets.models.stimulus_range import (
    HOEFLING_NORM,
    HOEFLING_RANGE,
    finite,
    positive,
    recorded_norm,
    recorded_range,
)
from openretina_widgets.models.training_record import training_record

__all__ = ["HOEFLING_NORM", "HOEFLING_RANGE", "described", "stimulus_and_neurons"]

# Response classes of the 46 groups of Baden et al. 2016 (Nature 529:345), by their last group.
_BADEN_CLASSES = (
    (9, "OFF"),
    (14, "ON-OFF"),
    (20, "fast ON"),
    (28, "slow ON"),
    (32, "uncertain RGC"),
    (46, "displaced amacrine"),
)


def described(
    data_info: Mapping[str, Any], *, in_shape: Sequence[int], n_neurons: Mapping[str, int]
) -> dict[str, Any]:
    """Return what is recorded of stimulus and neurons, as arguments of `RetinaModel`.

    What is missing, or is not of the expected form, counts as not known.

    Parameters
    ----------
    data_info
        The ``data_info`` of a checkpoint, as plain data.
    in_shape
        ``(channel, time, height, width)`` of the stimulus that the model was built for.
    n_neurons
        Number of neurons of each session, in the order of the model.

    Raises
    ------
    CheckpointError
        If the recorded stimulus is not of the shape that the model takes.
    """
    channel, _, height, width = in_shape
    stated = data_info.get("input_shape")
    if isinstance(stated, list | tuple) and tuple(stated) != (channel, height, width):
        raise CheckpointError(
            f"data_info: input_shape {short(stated)} does not fit in_shape {in_shape}"
        )
    return {
        "input_shape": (channel, height, width),
        **stimulus_and_neurons(data_info, n_channels=channel, n_neurons=n_neurons),
    }


def stimulus_and_neurons(
    data_info: Mapping[str, Any], *, n_channels: int, n_neurons: Mapping[str, int]
) -> dict[str, Any]:
    """Return what is recorded of stimulus, neurons and training, as arguments of `RetinaModel`.

    What is missing, or is not of the expected form, counts as not known.

    Parameters
    ----------
    data_info
        The ``data_info`` of a checkpoint as plain data, or that of a live OpenRetina model.
    n_channels
        Number of channels of the stimulus.
    n_neurons
        Number of neurons of each session, in the order of the model.
    """
    recorded = data_info.get("sessions_kwargs")
    recorded = recorded if isinstance(recorded, Mapping) else {}
    limits, source = recorded_range(data_info, n_channels)
    of_mouse = n_channels == 2  # green and UV: the only two-channel data of OpenRetina
    return {
        "sessions": {
            session: _neurons(n, recorded.get(session), of_mouse=of_mouse)
            for session, n in n_neurons.items()
        },
        "frame_rate": positive(data_info.get("stimulus_rate_hz")),
        "pixel_size_um": positive(data_info.get("retina_pixel_size_um")),
        "stimulus_range": limits,
        "stimulus_range_source": source,
        "stimulus_norm": recorded_norm(data_info, n_channels),
        "training": training_record(data_info, n_neurons),
    }


def _neurons(n_neurons: int, info: object, *, of_mouse: bool) -> list[Neuron]:
    """Return what ``sessions_kwargs`` records of each neuron of a session."""
    info = info if isinstance(info, Mapping) else {}
    groups = _per_neuron(info.get("group_assignment"), n_neurons)
    rois = _per_neuron(info.get("roi_ids"), n_neurons)
    cells = _per_neuron(info.get("cell_indices"), n_neurons)
    # OpenRetina does not write these three; a checkpoint of our own does.
    types = _per_neuron(info.get("cell_types"), n_neurons)
    sentences = _per_neuron(info.get("cell_notes"), n_neurons)
    places = _per_neuron(info.get("cell_positions_um"), n_neurons)
    eye = info.get("eye")
    neurons = []
    for i in range(n_neurons):
        cell_type, notes = "", []
        if (group := positive(groups[i])) is not None:  # -1 and 0 mean: not assigned
            cell_type = f"group {group:g}"
            if of_mouse and (response_class := _baden_class(group)):
                cell_type = f"G{group:g} {response_class}"
                notes.append(f"functional group {group:g} of Baden et al. 2016")
        if isinstance(types[i], str) and types[i]:
            cell_type = types[i]
        if rois[i] is not None:
            notes.append(f"ROI {rois[i]}")
        if cells[i] is not None:
            notes.append(f"cell {cells[i]} of the recording")
        if isinstance(eye, str) and notes:
            notes.append(f"{eye} eye")
        note = ", ".join(notes) + "." if notes else ""
        note = note[:1].upper() + note[1:]
        if isinstance(sentences[i], str):
            note = f"{sentences[i]} {note}".strip()
        x_um, y_um = _place(places[i])
        neurons.append(Neuron(i, cell_type, x_um, y_um, note))
    return neurons


def _place(value: object) -> tuple[float, float] | tuple[None, None]:
    """Return x and y of a position, or None for both."""
    if isinstance(value, list | tuple) and len(value) == 2:
        x_um, y_um = map(finite, value)
        if x_um is not None and y_um is not None:
            return x_um, y_um
    return None, None


def _baden_class(group: float) -> str:
    return next((name for last, name in _BADEN_CLASSES if group <= last), "")


def _per_neuron(values: object, n_neurons: int) -> Sequence[Any]:
    if isinstance(values, np.ndarray | torch.Tensor) and values.ndim == 1:
        values = values.tolist()
    if isinstance(values, list) and len(values) == n_neurons:
        return values
    return [None] * n_neurons
