"""Spatial-contrast models (Sridhar et al. 2025): a cell answers to light, and to its contrast.

Each cell has a spatial and a temporal filter, measured beforehand. The drive is the mean of the
temporally filtered stimulus under the spatial filter, plus a learnt weight times its standard
deviation there, the *local spatial contrast*. OpenRetina stores the filters with the weights, so
that the recordings which they were made from are not needed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import checked_sizes, whole
from openretina_widgets.models.core_readout import (
    CheckpointModel,
    CoreReadout,
    checked_counts,
    checked_in_shape,
    needed,
)
from openretina_widgets.models.cropping import checked_place, shifted_patch
from openretina_widgets.models.dummy_core import DummyCore
from openretina_widgets.models.readout_sessions import SessionReadouts

SESSION = "default"
"""Name of the one session of a single-cell model, which OpenRetina gives no name."""

_SUM_FLOOR = 1e-8  # added to the sum of a spatial filter, as by OpenRetina
_VARIANCE_FLOOR = 1e-6  # of the multi-cell model, as in OpenRetina
# OpenRetina's single-cell model has no floor: the gradient of a uniform stimulus is not a number
# there. Under this one the contrast changes by less than 1e-6.
_SINGLE_VARIANCE_FLOOR = 1e-12


class SpatialContrastReadout(nn.Module):
    """The cells of one session; OpenRetina's ``SpatialContrastReadout``.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the stimulus; it has one channel.
    n_neurons
        Neurons of the session.
    filter_length
        Frames of the temporal filters.
    chunk
        Neurons worked on at once: each takes as much memory as the stimulus.
    """

    spatial_filters: torch.Tensor
    temporal_filters: torch.Tensor
    sf_sums: torch.Tensor

    def __init__(
        self, in_shape: Sequence[int], n_neurons: int, *, filter_length: int, chunk: int = 32
    ) -> None:
        super().__init__()
        _, _, height, width = in_shape
        self.chunk = chunk
        self.w, self.nl_a, self.nl_b, self.nl_c = (
            nn.Parameter(torch.zeros(n_neurons)) for _ in range(4)
        )
        # Stored by OpenRetina, and not used.
        self.bias = nn.Parameter(torch.zeros(n_neurons), requires_grad=False)
        self.register_buffer("spatial_filters", torch.zeros(n_neurons, height, width))
        self.register_buffer("temporal_filters", torch.zeros(n_neurons, filter_length))
        self.register_buffer("sf_sums", torch.zeros(n_neurons))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        batch, _, time, height, width = stimulus.shape
        pixels = stimulus[:, 0].flatten(2).transpose(1, 2).reshape(-1, 1, time)
        responses = []
        for start in range(0, len(self.w), self.chunk):
            part = slice(start, start + self.chunk)
            weights = self.spatial_filters[part].flatten(1)  # (neuron, pixel)
            sums = (self.sf_sums[part] + _SUM_FLOOR)[:, None]
            filtered = F.conv1d(pixels, self.temporal_filters[part, None])
            filtered = filtered.unflatten(0, (batch, height * width))  # batch, pixel, neuron, time
            mean, of_squares = (
                torch.einsum("bpnt,np->bnt", values, weights) / sums
                for values in (filtered, filtered.square())
            )
            contrast = (of_squares - mean.square()).clamp(min=_VARIANCE_FLOOR).sqrt()
            w, a, b, c = (
                values[part, None] for values in (self.w, self.nl_a, self.nl_b, self.nl_c)
            )
            responses.append(a * F.softplus(b * (mean + w * contrast) + c))
        return torch.cat(responses, dim=1).transpose(1, 2)


class SingleCellContrast(CheckpointModel):
    """One cell; OpenRetina's ``SingleCellSpatialContrast``.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the stimulus; it has one channel.
    patch
        Height and width of the spatial filter.
    filter_length
        Frames of the temporal filter.
    rf_location
        Pixel (y, x) that the patch is centred on, needed where it is smaller than the frame.

    Raises
    ------
    ValueError
        If the stimulus has more than one channel, or the patch does not lie in the frame.
    """

    spatial_filter: torch.Tensor
    temporal_filter: torch.Tensor
    spatial_filter_sum: torch.Tensor

    def __init__(
        self,
        in_shape: Sequence[int],
        *,
        patch: tuple[int, int],
        filter_length: int,
        rf_location: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.in_shape = _of_one_channel(in_shape)
        frame = self.in_shape[2:]
        self.n_neurons = {SESSION: 1}
        self.summary = "SingleCellSpatialContrast of OpenRetina"
        place = [n // 2 for n in frame]
        if patch != frame:
            place = list(checked_place(rf_location, frame, "rf_location"))
        self.rows, self.columns = (
            shifted_patch(at, length, size)
            for at, length, size in zip(place, patch, frame, strict=True)
        )
        if (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start) != patch:
            raise ValueError(
                f"spatial_filter: expected at most {frame[0]} x {frame[1]} pixels, those of "
                f"in_shape, got {patch[0]} x {patch[1]}"
            )
        self.register_buffer("spatial_filter", torch.zeros(*patch))
        self.register_buffer("temporal_filter", torch.zeros(filter_length))
        self.register_buffer("spatial_filter_sum", torch.zeros(()))
        self.nl_a, self.nl_b, self.nl_c, self.w = (nn.Parameter(torch.zeros(())) for _ in range(4))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, 1)`` to ``(batch, 1, time, height, width)``."""
        seen = stimulus[:, 0, :, self.rows, self.columns]
        pixels = seen.flatten(2).transpose(1, 2)  # (batch, pixel, time)
        filtered = F.conv1d(pixels.reshape(-1, 1, seen.shape[1]), self.temporal_filter[None, None])
        filtered = filtered.unflatten(0, pixels.shape[:2]).squeeze(2)  # (batch, pixel, time)
        weights = self.spatial_filter.flatten()[:, None]
        total = self.spatial_filter_sum + _SUM_FLOOR
        mean = (filtered * weights).sum(dim=1) / total
        variance = ((filtered - mean[:, None]).square() * weights).sum(dim=1) / total
        drive = mean + self.w * variance.clamp(min=_SINGLE_VARIANCE_FLOOR).sqrt()
        return (self.nl_a * F.softplus(self.nl_b * drive + self.nl_c))[..., None]


def build_spatial_contrast(
    hyper_parameters: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
) -> CoreReadout:
    """Build a model with fresh weights from a checkpoint of a ``SpatialContrastCoreReadout``.

    Parameters
    ----------
    hyper_parameters
        ``in_shape``, ``n_neurons_dict``, and ``cut_first_n_frames`` and ``neuron_chunk_size`` where
        they are not the defaults. Those that say how the filters were measured are not needed.
    shapes
        Shape of each weight, which tells the length of the temporal filters.

    Raises
    ------
    ValueError
        If something is missing or out of bounds; the message names it.
    """
    in_shape = _of_one_channel(needed(hyper_parameters, "in_shape"))
    counts = checked_counts(needed(hyper_parameters, "n_neurons_dict"))
    core = DummyCore(cut_first_n_frames=hyper_parameters.get("cut_first_n_frames", 0))
    chunk = whole(hyper_parameters.get("neuron_chunk_size", 32), "neuron_chunk_size")
    readouts: dict[str, nn.Module] = {
        session: SpatialContrastReadout(
            core.feature_shape(in_shape),
            n_neurons,
            filter_length=_length(shapes, f"readout.{session}.temporal_filters"),
            chunk=chunk,
        )
        for session, n_neurons in counts.items()
    }
    return CoreReadout(
        core,
        SessionReadouts(readouts),
        in_shape=in_shape,
        n_neurons=counts,
        summary="SpatialContrastCoreReadout of OpenRetina",
    )


def build_single_cell_contrast(
    hyper_parameters: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
) -> SingleCellContrast:
    """Build a model with fresh weights from a checkpoint of a ``SingleCellSpatialContrast``.

    OpenRetina finds the place of a patch (``spat_crop_size``) from the recording that the filters
    were made from, and does not store it. Where it is not said as ``rf_location``, the stimulus is
    the patch.

    Parameters
    ----------
    hyper_parameters
        ``in_shape``, and ``rf_location`` of the patch where it is known.
    shapes
        Shape of each weight, which tells the sizes of the filters.

    Raises
    ------
    ValueError
        If something is missing or out of bounds; the message names it.
    """
    channel, time, *frame = _of_one_channel(needed(hyper_parameters, "in_shape"))
    sizes = checked_sizes(list(shapes.get("spatial_filter", ())), "spatial_filter")
    if len(sizes) != 2:
        raise ValueError(f"spatial_filter: expected (height, width), got shape {sizes}")
    patch = (sizes[0], sizes[1])
    place = hyper_parameters.get("rf_location")
    alone = place is None and patch != tuple(frame)
    model = SingleCellContrast(
        (channel, time, *(patch if alone else frame)),
        patch=patch,
        filter_length=_length(shapes, "temporal_filter"),
        rf_location=place,
    )
    if alone:
        model.summary += (
            f"; it sees a patch of {patch[0]} x {patch[1]} pixels, whose place in the frame of "
            f"{frame[0]} x {frame[1]} is not in the file"
        )
    return model


def _of_one_channel(in_shape: object) -> tuple[int, ...]:
    shape = checked_in_shape(in_shape, "in_shape")
    if shape[0] != 1:
        raise ValueError(f"in_shape: a spatial-contrast model sees one channel, got {shape[0]}")
    return shape


def _length(shapes: Mapping[str, Sequence[int]], name: str) -> int:
    """Return the length of the last axis of a filter in the file."""
    if not (shape := tuple(shapes.get(name, ()))):
        raise ValueError(f"{name}: missing from the weights")
    return whole(shape[-1], name)
