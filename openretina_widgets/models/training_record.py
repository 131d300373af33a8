"""What is recorded of the training of a model: on what, how well it did, which cells it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from openretina_widgets.models.stimulus_range import finite


@dataclass(frozen=True)
class TrainingRecord:
    """What is recorded of the training of a model; empty where it is not known.

    Attributes
    ----------
    stimulus
        Class of the stimuli that it was trained on, such as ``"natural"``.
    metric
        What the performance is measured by, such as ``"test CorrelationLoss3d"``.
    performance
        By session, one value for all neurons or one for each; NaN for a neuron without one.
    notes
        By session, a few words on the recording.
    """

    stimulus: str = ""
    metric: str = ""
    performance: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def mean(self, session: str) -> float | None:
        """Return the mean performance of a session's neurons, None when it is not known."""
        return mean_of(self.performance.get(session, ()))


def mean_of(values: tuple[float, ...] | list[float]) -> float | None:
    """Return the mean of those values that are no NaN, None when there are none."""
    numbers = [value for value in values if value == value]
    return sum(numbers) / len(numbers) if numbers else None


def training_record(data_info: Mapping[str, Any], n_neurons: Mapping[str, int]) -> TrainingRecord:
    """Return what the ``data_info`` of a model records of its training.

    What is missing, or is not of the expected form, counts as not known.

    Parameters
    ----------
    data_info
        Read are ``stimulus_class``, ``pretrained_performance`` with its
        ``pretrained_performance_metric``, and of ``sessions_kwargs`` what concerns all cells.
    n_neurons
        Number of neurons by session.
    """
    recorded = data_info.get("pretrained_performance")
    recorded = recorded if isinstance(recorded, Mapping) else {}
    performance = {s: _values(recorded.get(s), n) for s, n in n_neurons.items()}
    sessions = data_info.get("sessions_kwargs")
    sessions = sessions if isinstance(sessions, Mapping) else {}
    notes = {session: _note(sessions.get(session)) for session in n_neurons}
    return TrainingRecord(
        stimulus=_text(data_info.get("stimulus_class")),
        metric=_text(data_info.get("pretrained_performance_metric")),
        performance={session: values for session, values in performance.items() if values},
        notes={session: note for session, note in notes.items() if note},
    )


def _values(recorded: object, n_neurons: int) -> tuple[float, ...]:
    if isinstance(recorded, torch.Tensor):
        recorded = recorded.detach().cpu().tolist()
    elif isinstance(recorded, np.ndarray):
        recorded = recorded.tolist()
    if (single := finite(recorded)) is not None:
        return (single,)
    if not isinstance(recorded, list | tuple) or len(recorded) != n_neurons:
        return ()
    numbers = [finite(value) for value in recorded]
    if all(number is None for number in numbers):
        return ()
    return tuple(float("nan") if number is None else number for number in numbers)


def _note(info: object) -> str:
    if not isinstance(info, Mapping):
        return ""
    words = []
    if eye := _text(info.get("eye")):
        words.append(f"{eye} eye")
    mask = info.get("roi_mask")
    if isinstance(mask, np.ndarray) and mask.ndim == 2:
        words.append(f"ROI mask of {mask.shape[0]} × {mask.shape[1]} pixels")
    for key, word in (("roi_ids", "ROI numbers"), ("cell_indices", "cell numbers")):
        if info.get(key) is not None:
            words.append(word)
    return ", ".join(words)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
