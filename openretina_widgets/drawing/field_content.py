"""A wall of receptive fields for the browser: checked, scaled, quantised to one byte a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_widgets.drawing import colour

Images = NDArray[np.float32]

_UNITS = {"sta": "model units"}
_GRADIENT_UNIT = "a.u. / unit"  # response for each model unit of the stimulus


def listing(
    images: Images | None,
    neurons: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    panels: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a wall says of its images, from arguments as those of `FieldWall`."""
    n, n_panels, height, width = (0, 1, 0, 0) if images is None else images.shape
    numbers = [*range(n)] if neurons is None else [int(index) for index in neurons]
    said: dict[str, list[Any]] = {
        "neurons": numbers,
        "labels": [str(i) for i in numbers] if labels is None else [str(x) for x in labels],
        "notes": [""] * n if notes is None else [str(note) for note in notes],
    }
    for name, values in said.items():
        if len(values) != n:
            raise ValueError(f"{name}: expected one for each of {n} images, got {len(values)}")
    if len(set(numbers)) < n:
        raise ValueError(f"neurons: a neuron came twice in {numbers}")
    if panels and len(panels) != n_panels:
        raise ValueError(f"panels: expected {n_panels} names, got {list(panels)}")
    return {
        **said,
        "shape": [n, n_panels, height, width],
        "panels": [{"name": name, "colour": colour.channel_colour(name)} for name in panels],
    }


def as_images(images: Any) -> Images:
    """Copy to ``(neuron, panel, height, width)`` float32, read-only."""
    if hasattr(images, "detach"):  # a torch tensor, without importing torch
        images = images.detach().cpu().float()
    array = np.asarray(images)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"images must hold real numbers, got dtype {array.dtype}")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.size == 0:
        raise ValueError(
            "images must have the shape (neuron, height, width) or (neuron, panel, height, width), "
            f"each at least 1, got {np.shape(images)}"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and drawn as undefined
        array = np.array(array, dtype=np.float32, order="C")
    array.setflags(write=False)
    return array


def encode_images(images: Images, scale: str) -> tuple[bytes, list[float]]:
    """Return the indices of all images, and the limit of each."""
    n = len(images)
    if scale == "common":
        largest = np.full(n, colour.symmetric_limits(images)[1])
    else:
        magnitude = np.where(np.isfinite(images), np.abs(images), 0.0).reshape(n, -1)
        largest = magnitude.max(axis=1).astype(np.float64)
        largest[largest == 0.0] = 1.0
    indices = colour.quantise(images / largest[:, None, None, None], (-1.0, 1.0))
    # 0 for a neuron of which nothing is known: there is no scale to tell.
    known = np.isfinite(images).any(axis=(1, 2, 3))
    return indices.tobytes(), [float(f"{limit:.4g}") for limit in largest * known]


def project(
    fields: np.ndarray, temporal: np.ndarray, spatial: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the kernel of each channel.

    Least squares: the images that, times the common kernel, come nearest to the field, and the
    kernels that do so with the common image. Of a separable field they are its factors.

    Parameters
    ----------
    fields
        ``(neuron, channel, time, height, width)``.
    temporal, spatial
        ``(neuron, time)`` and ``(neuron, height, width)``, of the split of all channels.
    """
    images = np.einsum("ncthw,nt->nchw", fields, temporal, optimize=True)
    kernels = np.einsum("ncthw,nhw->nct", fields, spatial, optimize=True)
    with np.errstate(invalid="ignore"):
        images /= np.square(temporal).sum(1)[:, None, None, None]
        kernels /= np.square(spatial).sum((1, 2))[:, None, None]
    return images, kernels


def unit_of(method: str) -> str:
    """Return the unit of a field, short enough for a colour bar."""
    return _UNITS.get(method, _GRADIENT_UNIT)
