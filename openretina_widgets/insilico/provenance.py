"""What every result says of how it came about: the model, its units, the library versions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from openretina_widgets.models.retina_model import RetinaModel


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {
        "openretina_widgets": version("openretina-widgets"),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def of_model(model: RetinaModel) -> dict[str, Any]:
    """Return the fields that a result has of its model."""
    return {
        "model": model.identity,
        "lag": model.lag,
        "frame_rate": model.frame_rate,
        "pixel_size_um": model.pixel_size_um,
        "channels": model.channels,
    }
