"""An image and ellipses on the retina for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openretina_widgets.drawing import colour
from openretina_widgets.errors import check_positive


def retina_content(
    image: Any,
    shape: tuple[int, int],
    *,
    limit: float | None = None,
    outlines: Sequence[dict[str, Any]] = (),
    note: str = "",
) -> dict[str, Any]:
    """Return what a map draws, from arguments as those of `RetinaMap.show`."""
    frames, limits = b"", (-1.0, 1.0)
    if image is not None:
        array = np.asarray(image, dtype=np.float32)
        if array.shape != tuple(shape):
            raise ValueError(f"image: expected the shape {tuple(shape)}, got {array.shape}")
        largest = colour.symmetric_limits(array)[1] if limit is None else limit
        limits = (-check_positive(largest, "limit"), largest)
        frames = colour.quantise(array, limits).tobytes()
    return {
        "shape": list(shape),
        "frames": frames,
        "limit": limits[1],
        "outlines": list(outlines),
        "note": note,
        "empty": image is None and not outlines,
    }
