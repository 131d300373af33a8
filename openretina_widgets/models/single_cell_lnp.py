"""A model of one cell: a spatial and a temporal filter; ``SingleCellSeparatedLNP`` of OpenRetina.

OpenRetina's class does not record its hyper-parameters, so that its checkpoints hold weights alone.
Nearly all can be told from these: the patch of the frame, the length of the memory, the rank. What
cannot is said by whoever opens the file: the nonlinearity, unless it has weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import flag, scattered, shown, smoothness_penalty, whole
from openretina_widgets.models.core_readout import CheckpointModel, checked_in_shape
from openretina_widgets.models.cropping import checked_place, cut_patch
from openretina_widgets.models.nonlinearities import FUNCTIONS, function_named

SESSION = "default"
"""Name of the one session, which OpenRetina gives no name."""

_LEARNT = "parametrized_softplus"


class _LearntSoftplus(nn.Module):
    """A softplus with a learnt offset and height."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(()))
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w * F.softplus(x + self.b)


class _Filter(nn.Module):
    """The weight of a convolution, as it is stored."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = scattered(*shape)


class SingleCellLNP(CheckpointModel):
    """Spatial filters on a patch, temporal filters on their outputs, then a function of the sum.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the stimulus; `time` is the length of the temporal
        filters.
    patch
        Height and width of the patch.
    rank
        Pairs of a spatial and a temporal filter.
    nonlinearity
        ``"parametrized_softplus"``, or a name of ``torch.nn.functional``.
    rf_location
        Pixel (y, x) that the patch is centred on, the middle of the frame for None.
    normalize_weights
        Scale all spatial and all temporal filters together to a norm of 1. OpenRetina scales the
        stored weights at each call; here they stay what they are.
    penalties
        Classes of OpenRetina's penalties on rough spatial and temporal filters, which store
        filters of their own.

    Raises
    ------
    ValueError
        If an argument is out of bounds, or if the patch leaves the frame.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        *,
        patch: tuple[int, int],
        rank: int,
        nonlinearity: str,
        rf_location: Sequence[int] | None = None,
        normalize_weights: bool = True,
        penalties: tuple[str, str] = ("LaplaceL2norm", "Laplace1d"),
    ) -> None:
        super().__init__()
        self.in_shape = checked_in_shape(in_shape, "in_shape")
        channel, time, *frame = self.in_shape
        self.n_neurons = {SESSION: 1}
        self.summary = "SingleCellSeparatedLNP of OpenRetina"
        middle = rf_location is None
        place = checked_place(
            [n // 2 for n in frame] if middle else rf_location, frame, "rf_location"
        )
        # Where patch and frame are of one size, OpenRetina does not cut.
        self.rows, self.columns = (
            slice(0, size) if patch == tuple(frame) else cut_patch(at, length, size)
            for at, length, size in zip(place, patch, frame, strict=True)
        )
        seen = tuple(part.stop - part.start for part in (self.rows, self.columns))
        if seen != patch:
            raise ValueError(
                f"rf_location: a patch of {patch[0]} x {patch[1]} pixels around {place} leaves the "
                f"frame of {frame[0]} x {frame[1]}, which OpenRetina cannot run"
            )
        self.normalize_weights = flag(normalize_weights, "normalize_weights")
        self._smooth_reg_fn_spat = smoothness_penalty(penalties[0], "smooth_regularizer_spat")
        self._smooth_reg_fn_temp = smoothness_penalty(penalties[1], "smooth_regularizer_temp")
        self.nonlinearity: Any = (
            _LearntSoftplus()
            if nonlinearity == _LEARNT
            else function_named(nonlinearity, "nonlinearity")
        )
        self.space_conv = _Filter(rank, channel, 1, *patch)
        self.time_conv = _Filter(1, rank, time, 1, 1)

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, 1)`` to ``(batch, channel, time, height, width)``."""
        space, time = self.space_conv.weight, self.time_conv.weight
        if self.normalize_weights:
            space, time = space / space.norm(), time / time.norm()
        seen = F.conv3d(stimulus[..., self.rows, self.columns], space)
        return self.nonlinearity(F.conv3d(seen, time)).flatten(2).transpose(1, 2)


def build_single_cell_lnp(
    hyper_parameters: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
) -> SingleCellLNP:
    """Build a model with fresh weights of the shapes that a checkpoint holds.

    Parameters
    ----------
    hyper_parameters
        What is known beyond the weights: ``nonlinearity``, ``in_shape`` and ``rf_location`` of the
        whole frame, ``normalize_weights``. Without ``in_shape`` the stimulus is the patch.
    shapes
        Shape of each weight.

    Raises
    ------
    ValueError
        If the nonlinearity cannot be told, or something does not fit; the message names it.
    """
    space, time = (tuple(shapes[f"{part}_conv.weight"]) for part in ("space", "time"))
    if len(space) != 5 or len(time) != 5:
        raise ValueError(f"space_conv, time_conv: expected 5 axes, got {space} and {time}")
    rank, channel, _, height, width = (whole(n, "space_conv.weight") for n in space)
    length = whole(time[2], "time_conv.weight")
    nonlinearity = _LEARNT if "nonlinearity.w" in shapes else hyper_parameters.get("nonlinearity")
    if not isinstance(nonlinearity, str):
        raise ValueError(
            "nonlinearity: OpenRetina's SingleCellSeparatedLNP does not record it; say which, as "
            "in load_model(path, hyper_parameters={'nonlinearity': 'softplus'}); known: "
            f"{', '.join(sorted(FUNCTIONS))}; got {shown(nonlinearity)}"
        )
    return SingleCellLNP(
        hyper_parameters.get("in_shape") or (channel, length, height, width),
        patch=(height, width),
        rank=rank,
        nonlinearity=nonlinearity,
        rf_location=hyper_parameters.get("rf_location"),
        normalize_weights=hyper_parameters.get("normalize_weights", True),
        penalties=(
            _penalty("_smooth_reg_fn_spat", shapes),
            _penalty("_smooth_reg_fn_temp", shapes),
        ),
    )


def _penalty(prefix: str, shapes: Mapping[str, Sequence[int]]) -> str:
    """Return a penalty that stores what this one did; they differ in training alone."""
    if f"{prefix}.filter" in shapes:
        return "Laplace1d" if len(shapes[f"{prefix}.filter"]) == 3 else "Laplace"
    of_line = len(shapes.get(f"{prefix}.laplace.filter", ())) == 3
    return "TimeLaplaceL23dnorm" if of_line else "LaplaceL2norm"
