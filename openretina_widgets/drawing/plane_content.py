"""Images as points in a plane, with a gradient at each as an arrow, for the browser."""

from __future__ import annotations

from typing import Any

import numpy as np

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.curve_content import number
from openretina_widgets.drawing.ticks import round_ticks

_NO_AXIS: dict[str, Any] = {"label": "", "low": 0.0, "high": 1.0, "ticks": []}
NO_PLANE: dict[str, Any] = {
    "x": _NO_AXIS,
    "y": _NO_AXIS,
    "unit": "a.u.",
    "points": [],
    "longest": 0.0,
    "limits": None,
    "baseline": None,
    "note": "",
    "words": "",
}
_ROOM = 0.22  # beyond the outermost points, for their arrows


def plane_content(
    coordinates: np.ndarray,
    slopes: np.ndarray,
    responses: np.ndarray,
    *,
    labels: tuple[str, str],
    unit: str,
    note: str,
) -> dict[str, Any]:
    """Return what is drawn of images in a plane, from arguments as those of `VectorPlane.draw`."""
    values = np.asarray(responses, dtype=float)
    n = len(values)
    places, arrows = (np.asarray(one, dtype=float) for one in (coordinates, slopes))
    for name, one in (("coordinates", places), ("slopes", arrows)):
        if one.shape != (n, 2):
            raise ValueError(f"{name}: expected ({n}, 2) for {n} responses, got {one.shape}")
    if not all(np.isfinite(one).all() for one in (values, places, arrows)):
        raise ValueError("coordinates, slopes, responses: expected finite numbers")
    limits = colour.sequential_limits(values)
    levels = colour.quantise(values, limits)
    ends = np.vstack([places, np.zeros((1, 2))])  # grey is always there
    low, high = ends.min(axis=0), ends.max(axis=0)
    half = (0.5 + _ROOM) * (float((high - low).max()) or 1.0)
    axes = [
        {
            "label": label,
            "low": float(middle - half),
            "high": float(middle + half),
            "ticks": round_ticks(float(middle - half), float(middle + half), 9),
        }
        for label, middle in zip(labels, (low + high) / 2, strict=True)
    ]
    longest = float(np.linalg.norm(arrows, axis=1).max(initial=0.0))
    return {
        "x": axes[0],
        "y": axes[1],
        "unit": unit,
        "points": [
            {
                "x": number(x),
                "y": number(y),
                "u": number(u),
                "v": number(v),
                "value": number(value),
                "level": int(level),
            }
            for (x, y), (u, v), value, level in zip(places, arrows, values, levels, strict=True)
        ],
        "longest": longest,
        "limits": limits,
        "note": note,
        "words": _in_words(places, arrows, values, labels, unit),
    }


def _in_words(
    places: np.ndarray,
    arrows: np.ndarray,
    values: np.ndarray,
    labels: tuple[str, str],
    unit: str,
) -> str:
    """What is shown, for who does not see it."""
    up = int((arrows[:, 0] > 0).sum())
    best = int(values.argmax())
    words = (
        f"{len(values)} images, {labels[0]} to the right and {labels[1]} upwards. The gradient "
        f"points to the right at {up} of them. Highest response {values[best]:.3g} {unit} to "
        f"image {best} at {places[best, 0]:.3g}, {places[best, 1]:.3g}"
    )
    return words.replace("-", "−")
