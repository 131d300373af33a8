"""Tells what the ``data_info`` of a checkpoint says of the stimulus and of each neuron."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openretina_widgets.models.retina_model import Neuron
from openretina_widgets.models.safe_values import CheckpointError, short

HOEFLING_RANGE = ((-0.654, 6.269), (-0.913, 6.269))
"""Smallest and largest value of green and UV, z-scored, in Höfling et al. 2024 (eLife 13:e86860)"""
HOEFLING_NORM = 30.0
"""L2 norm that the stimuli optimised in Höfling et al. 2024 are held to."""
FRAME_RATE = 30.0
"""Frames per second of a model whose checkpoint does not say (Hz)."""

_LARGEST = sys.float_info.max  # a whole number from a file may be too large for a float

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
    of_mouse = channel == 2  # green and UV: the only two-channel data of OpenRetina
    # OpenRetina writes neither of these two; a checkpoint of our own does.
    stimulus_range = _range(data_info.get("stimulus_range"), channel)
    norm = _positive(data_info.get("stimulus_norm"))
    recorded = data_info.get("sessions_kwargs")
    recorded = recorded if isinstance(recorded, dict) else {}
    return {
        "input_shape": (channel, height, width),
        "sessions": {
            session: _neurons(n, recorded.get(session), of_mouse=of_mouse)
            for session, n in n_neurons.items()
        },
        "frame_rate": _positive(data_info.get("stimulus_rate_hz")) or FRAME_RATE,
        "pixel_size_um": _positive(data_info.get("retina_pixel_size_um")),
        "stimulus_range": stimulus_range or (HOEFLING_RANGE if of_mouse else None),
        "stimulus_norm": norm or (HOEFLING_NORM if of_mouse and not stimulus_range else None),
    }


def _neurons(n_neurons: int, info: object, *, of_mouse: bool) -> list[Neuron]:
    """Return what ``sessions_kwargs`` records of each neuron of a session."""
    info = info if isinstance(info, dict) else {}
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
        if isinstance(groups[i], int) and groups[i] > 0:  # -1 and 0 mean: not assigned
            cell_type = f"group {groups[i]}"
            if of_mouse and (response_class := _baden_class(groups[i])):
                cell_type = f"G{groups[i]} {response_class}"
                notes.append(f"functional group {groups[i]} of Baden et al. 2016")
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
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_finite, value)):
        return (float(value[0]), float(value[1]))
    return (None, None)


def _range(value: object, channels: int) -> tuple[tuple[float, float], ...] | None:
    """Return the smallest and the largest value of each channel, or None."""
    if not isinstance(value, list | tuple) or len(value) != channels:
        return None
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(_is_finite, pair)):
            return None
    limits = tuple((float(low), float(high)) for low, high in value)
    return limits if all(low < high for low, high in limits) else None


def _baden_class(group: int) -> str:
    return next((name for last, name in _BADEN_CLASSES if group <= last), "")


def _per_neuron(values: object, n_neurons: int) -> Sequence[Any]:
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if isinstance(values, list) and len(values) == n_neurons:
        return values
    return [None] * n_neurons


def _positive(value: object) -> float | None:
    if isinstance(value, int | float) and 0 < value <= _LARGEST:
        return float(value)
    return None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _LARGEST
