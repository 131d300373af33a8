"""Tuning curves written down by hand, with the attributes that the indices read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from openretina_widgets.insilico.tuning_analyses.axis import Axis


def curves(responses: Any, axes: dict[str, Any], **more: Any) -> SimpleNamespace:
    """Return curves over the named axes; `responses` is ``(*axes, neuron)``."""
    responses = np.asarray(responses, dtype=float)
    return SimpleNamespace(
        axes=tuple(Axis.of(name, values) for name, values in axes.items()),
        responses=responses,
        **{
            "experiment": next(iter(axes)),
            "traces": None,
            "windows": None,
            "onset": 0,
            "baseline": np.zeros(responses.shape[-1]),
            "f0": None,
            "f1": None,
            "repeats": None,
            "settings": {},
            "seed": 0,
            "frame_rate": 10.0,
            **more,
        },
    )
