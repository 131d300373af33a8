"""Local gradients over images, in a plane, and measures of how they turn."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.insilico.archive import made_of_fields, read_archive, write_fields
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.tuning_analyses.measure import Measure, measure
from openretina_widgets.models.retina_model import ModelIdentity

_KIND = "vector field"
_TUPLES = ("grey", "contrast_scale", "second_axis", "neurons", "cell_types", "channels", "window")
_VANISHED = 1e-4  # of the response: what no image within contrast 1 adds to it, at first order
_FLAT = 1e-3  # second singular value over the first: less is rounding
_MOST = 6  # neurons in a figure, when none are named


@dataclass(frozen=True, eq=False)
class VectorField:
    """Each neuron's response and local gradient (LSTA) at each image, reduced to a plane.

    Attributes
    ----------
    images
        ``(image, channel, height, width)``, in model units.
    lsta
        ``(image, neuron, channel, height, width)``: gradient of the response with respect to the
        image that stands still (a.u. for each model unit).
    responses
        ``(image, neuron)``: mean over the window (a.u.).
    axes
        ``(neuron, 2, channel, height, width)``: two images of norm 1 at right angles, which span
        the plane of a neuron. Each is signed so that it is brighter rather than darker.
    coordinates
        ``(image, neuron, 2)``: each image, from grey, along the axes (model units).
    slopes
        ``(image, neuron, 2)``: each LSTA along the axes (a.u. for each model unit).
    explained
        ``(neuron, 2)``: share of the power of the LSTAs along each axis, in [0, 1].
    second_axis
        Where the second axis of each neuron comes from: ``"lsta"``, or ``"images"`` where its
        LSTAs are all alike and tell of one axis only.
    grey, contrast_scale
        Of each channel, in model units.
    plane, described, window, seed, settings
        What spans the plane; the images in words; response frames from the onset of the image
        that were averaged; seed of images of noise; what else was asked for.
    neurons, cell_types, data_key
        Which neurons, their types where they are known, and the session.
    model, lag, frame_rate, pixel_size_um, channels, unit
        Name, source and weight hash; frames that the model consumes, Hz, µm, names, and the unit
        of the responses.
    duration_s, versions
        Time spent, and versions of the libraries.
    """

    images: np.ndarray
    lsta: np.ndarray
    responses: np.ndarray
    axes: np.ndarray
    coordinates: np.ndarray
    slopes: np.ndarray
    explained: np.ndarray
    second_axis: tuple[str, ...]
    grey: tuple[float, ...]
    contrast_scale: tuple[float, ...]
    plane: str
    neurons: tuple[int, ...]
    cell_types: tuple[str, ...] = ()
    data_key: str | None = None
    described: str = ""
    window: tuple[int, int] | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    model: ModelIdentity | None = None
    lag: int = 0
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = "a.u."
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        lsta: np.ndarray,
        responses: np.ndarray,
        images: np.ndarray,
        *,
        grey: Sequence[float],
        contrast_scale: Sequence[float],
        plane: str,
        **more: Any,
    ) -> VectorField:
        """Find the planes, and reduce gradients and images to them; see the attributes."""
        total, n = responses.shape
        flat = lsta.reshape(total, n, -1).astype(np.float64)
        apart = images - np.asarray(grey, dtype=np.float64)[:, None, None]
        apart = apart.reshape(total, -1)
        of_images = np.linalg.svd(apart, full_matrices=False)[2][:2]
        power = (flat**2).sum(axis=(0, 2))
        if plane == "images":
            found = np.broadcast_to(of_images, (n, *of_images.shape)).copy()
            second = ("images",) * n
        else:
            found, second = _planes(flat, of_images)
        axes = _signed(found)
        slopes = np.einsum("inp,nap->ina", flat, axes)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = (slopes**2).sum(axis=0) / power[:, None]
        return cls(
            images=images,
            lsta=lsta,
            responses=responses,
            axes=axes.reshape(n, 2, *lsta.shape[2:]).astype(np.float32),
            coordinates=np.einsum("ip,nap->ina", apart, axes),
            slopes=slopes,
            explained=np.clip(explained, 0.0, 1.0),
            second_axis=second,
            grey=tuple(grey),
            contrast_scale=tuple(contrast_scale),
            plane=plane,
            **more,
        )

    def column(self, neuron: int) -> int:
        """Return the place of a neuron on the axis of neurons.

        Raises
        ------
        ValueError
            If the neuron is not among them.
        """
        if neuron not in self.neurons:
            raise ValueError(
                f"neuron: expected one of the {len(self.neurons)} that were asked for, got "
                f"{neuron!r}"
            )
        return self.neurons.index(neuron)

    @property
    def moved(self) -> np.ndarray:
        """``(image, neuron)``: whether there is a gradient, more than that of rounding."""
        scale = np.asarray(self.contrast_scale)[:, None, None]
        reach = (np.abs(self.lsta) * scale).sum(axis=(2, 3, 4), dtype=np.float64)
        known: np.ndarray = reach > _VANISHED * np.abs(self.responses)
        return known

    def cosines(self) -> np.ndarray:
        """Return the cosine of each LSTA to the neuron's mean LSTA, ``(image, neuron)``.

        NaN where the LSTA or the mean vanishes.
        """
        flat = self.lsta.reshape(*self.responses.shape, -1).astype(np.float64)
        mean = flat.mean(axis=0)
        size = np.linalg.norm(flat, axis=2) * np.linalg.norm(mean, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = np.einsum("inp,np->in", flat, mean) / size
        return np.where(self.moved & (size > 0), np.clip(found, -1.0, 1.0), np.nan)

    def indices(self) -> dict[str, Measure]:
        """Return how each neuron's LSTA turns from image to image; NaN where it is not defined.

        Images at which the LSTA vanishes are left out.

        ``mean_cosine``
            Mean cosine of the LSTAs to their mean, in [−1, 1]: 1 where every image finds the same
            LSTA, as in a neuron with one filter.
        ``flipped_share``
            Share of the images with the rarer sign of the LSTA along the first axis, in [0, 0.5]:
            0 where the polarity never changes, 0.5 where it does in every second image. Only of
            the plane ``"lsta"``.
        ``in_plane``
            Share of the power of the LSTAs within the plane, in [0, 1].
        """
        moved = self.moved
        n_moved = moved.sum(axis=0)
        few = {"fewer than two images move the neuron": n_moved < 2}
        up = ((self.slopes[..., 0] > 0) & moved).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = np.nansum(self.cosines(), axis=0) / n_moved
            flipped = np.minimum(up, n_moved - up) / n_moved
        of_images = {"the first axis is that of the images": self.plane == "images"}
        return {
            "mean_cosine": measure("mean cosine of the LSTA", cosine, few, limits=(-1, 1)),
            "flipped_share": measure(
                "share of flipped polarity", flipped, {**few, **of_images}, limits=(0, 0.5)
            ),
            "in_plane": measure(
                "power in the plane", self.explained.sum(axis=1).clip(0, 1), few, limits=(0, 1)
            ),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path."""
        return write_fields(path, self, kind=_KIND)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VectorField:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no saved vector field.
        """
        return read_archive(path, made_of_fields(cls, kind=_KIND, tuples=_TUPLES))

    def plot(self, neurons: Sequence[int] | int | None = None) -> Any:
        """Draw images as points in the plane, with the LSTA as arrows; return the figure.

        Needs matplotlib, the ``plot`` extra.
        """
        asked = [neurons] if isinstance(neurons, int) else neurons
        asked = list(self.neurons[:_MOST]) if asked is None else list(asked)
        if not asked:
            raise ValueError("neurons: expected at least one neuron, got none")
        columns = [self.column(neuron) for neuron in asked]
        across = min(3, len(asked))
        figure = new_figure(4.2 * across, 3.6 * -(-len(asked) // across))
        drawn = figure.subplots(-(-len(asked) // across), across, squeeze=False)
        for empty in drawn.flat[len(asked) :]:
            empty.set_visible(False)
        for axes, neuron, column in zip(drawn.flat, asked, columns, strict=False):
            x, y = self.coordinates[:, column].T
            u, v = self.slopes[:, column].T
            dots = axes.scatter(x, y, c=self.responses[:, column], cmap="viridis", zorder=2)
            axes.quiver(x, y, u, v, angles="xy", width=0.005, zorder=3)
            kind = self.cell_types[column] if self.cell_types else ""
            axes.set_title(f"{neuron} {kind}".strip(), fontsize=9)
            first, second = self.axis_labels(column)
            axes.set(xlabel=first, ylabel=second)
            axes.margins(0.2)  # for the arrows
            figure.colorbar(dots, ax=axes, label=f"response ({self.unit})")
        figure.suptitle(f"LSTA at {self.described}", fontsize=10)
        return figure

    def axis_labels(self, column: int) -> tuple[str, str]:
        """Return the words beside the two axes of a neuron's plane."""
        whose = ("lsta" if self.plane == "lsta" else "images", self.second_axis[column])
        first, second = (
            f"{'LSTA' if source == 'lsta' else 'image'} axis {k} (model units)"
            for k, source in enumerate(whose, start=1)
        )
        return first, second

    def __repr__(self) -> str:
        return f"VectorField({self._summary()})"

    def _repr_html_(self) -> str:
        return f"<b>Vector field</b><br>{html.escape(self._summary())}"

    def _summary(self) -> str:
        n = len(self.neurons)
        name = self.model.name if self.model else "no model"
        several = "" if n == 1 else "s"
        return f"{n} neuron{several} at {self.described}, {name}; {self.duration_s:.1f} s"


def _planes(flat: np.ndarray, of_images: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return two axes a neuron, ``(neuron, 2, pixel)``, and where the second ones come from."""
    # The axes of a thin matrix, from the small product of its rows.
    gram = np.einsum("inp,jnp->nij", flat, flat)
    values, vectors = np.linalg.eigh(gram)  # ascending
    values, vectors = values[:, ::-1][:, :2], vectors[:, :, ::-1][:, :, :2]
    axes = np.einsum("nia,inp->nap", vectors, flat)
    size = np.linalg.norm(axes, axis=2, keepdims=True)
    axes = np.divide(axes, size, out=np.zeros_like(axes), where=size > 0)
    silent = values[:, 0] <= 0
    axes[silent, 0] = of_images[0]
    flat_ones = values[:, 1] <= _FLAT**2 * values[:, 0]
    axes[flat_ones, 1] = _at_right_angles(axes[flat_ones, 0], of_images)
    return axes, tuple("images" if one else "lsta" for one in flat_ones)


def _at_right_angles(first: np.ndarray, of_images: np.ndarray) -> np.ndarray:
    """Return the component of the images that a first axis leaves most of, at right angles."""
    along = np.einsum("np,kp->nk", first, of_images)
    left = of_images[None] - along[..., None] * first[:, None]
    size = np.linalg.norm(left, axis=2)
    best = size.argmax(axis=1)
    rows = np.arange(len(first))
    chosen: np.ndarray = left[rows, best] / size[rows, best, None]
    return chosen


def _signed(axes: np.ndarray) -> np.ndarray:
    """Return axes that are brighter rather than darker; their largest pixel decides a draw."""
    total, size = axes.sum(axis=2), np.abs(axes).sum(axis=2)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=2)[..., None], axis=2)[..., 0]
    decides = np.where(np.abs(total) > 0.05 * size, total, largest)
    signed: np.ndarray = np.where(decides < 0, -1.0, 1.0)[..., None] * axes
    return signed
