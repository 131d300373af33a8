"""The point readout: each neuron reads the feature maps at one place between the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import flag, scattered, shown
from openretina_widgets.models.nonlinearities import Function, function_configured
from openretina_widgets.models.readout_sessions import SessionReadouts, session_readouts

# Shape of what is stored of each neuron's spread, by OpenRetina's gauss_type.
_SPREADS = {"full": (2, 2), "uncorrelated": (1, 2), "isotropic": (1, 1)}


class PointReadout(nn.Module):
    """The feature maps at one place, weighted and summed (Lurz et al. 2021), then a function.

    OpenRetina's ``PointGaussianReadout``: while it is trained, the place is drawn from a Gaussian
    around the learnt one. In eval mode it is the learnt one, so that answers are deterministic;
    here it always is, and the spread is only stored.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the feature maps; `time` has no effect.
    n_neurons
        Neurons of the session.
    bias
        Whether each neuron's drive is shifted by a learnt value.
    gauss_type
        ``"full"``, ``"uncorrelated"`` or ``"isotropic"``: how the spread is stored.
    align_corners
        Whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
    shared_features, shared_grid
        ``{"match_ids": [...]}``: neurons of the same number share their feature weights up to a
        scale, or their place.
    nonlinearity
        Function of the drive.

    Raises
    ------
    ValueError
        If an argument is out of bounds.
    """

    feature_sharing_index: torch.Tensor
    grid_sharing_index: torch.Tensor

    def __init__(
        self,
        in_shape: Sequence[int],
        n_neurons: int,
        *,
        bias: bool,
        gauss_type: str = "full",
        align_corners: bool = True,
        shared_features: Mapping[str, Any] | None = None,
        shared_grid: Mapping[str, Any] | None = None,
        nonlinearity: Function = F.softplus,
    ) -> None:
        super().__init__()
        channel, _, height, width = in_shape
        if not isinstance(gauss_type, str) or gauss_type not in _SPREADS:
            raise ValueError(
                f"gauss_type: expected {', '.join(map(repr, _SPREADS))}, got {shown(gauss_type)}"
            )
        self.size = (height, width)
        self.align_corners = flag(align_corners, "align_corners")
        self.nonlinearity = nonlinearity
        places = _match_ids(shared_grid, n_neurons, "shared_grid")
        features = _match_ids(shared_features, n_neurons, "shared_features")
        n_places = n_neurons if places is None else len(set(places))
        n_features = n_neurons if features is None else len(set(features))
        # In the order in which OpenRetina stores them.
        self._mu = nn.Parameter(torch.empty(1, n_places, 1, 2).uniform_(-0.1, 0.1))
        self.sigma = nn.Parameter(torch.ones(1, n_neurons, *_SPREADS[gauss_type]))
        self._features = scattered(1, channel, 1, n_features, around=1 / channel)
        self.scales = None if features is None else nn.Parameter(torch.ones(1, 1, 1, n_neurons))
        self.bias = nn.Parameter(torch.zeros(n_neurons)) if flag(bias, "bias") else None
        if places is not None:
            self.register_buffer("grid_sharing_index", _ranks(places))
        if features is not None:
            self.register_buffer("feature_sharing_index", _ranks(features))
        self.shares_place = places is not None

    def places(self) -> torch.Tensor:
        """Return (x, y) of each neuron, -1 to 1 across the feature maps: ``(neuron, 2)``."""
        mu = self._mu[:, self.grid_sharing_index] if self.shares_place else self._mu
        return mu[0, :, 0].clamp(-1, 1)

    def weights(self) -> torch.Tensor:
        """Return the feature weights that are used: ``(channel, neuron)``."""
        if self.scales is None:
            return self._features[0, :, 0]
        return (self.scales * self._features[..., self.feature_sharing_index])[0, :, 0]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        batch, channel, time = features.shape[:3]
        places = self.places()[None, :, None].expand(batch, -1, -1, -1)
        # The place is the same in each frame: channel and time are sampled as one axis.
        seen = F.grid_sample(features.flatten(1, 2), places, align_corners=self.align_corners)
        drive = (seen.view(batch, channel, time, -1) * self.weights()[:, None]).sum(dim=1)
        return self.nonlinearity(drive if self.bias is None else drive + self.bias)


def point_readouts(
    *,
    in_shape: Sequence[int],
    n_neurons_dict: Mapping[str, int],
    bias: bool,
    init_mu_range: float = 0.1,
    init_sigma_range: float = 0.15,
    batch_sample: bool = True,
    align_corners: bool = True,
    gauss_type: str = "full",
    grid_mean_predictor: Any = None,
    shared_features: Mapping[str, Any] | None = None,
    shared_grid: Mapping[str, Any] | None = None,
    init_grid: Any = None,
    gamma: float = 1.0,
    reg_avg: bool = False,
    nonlinearity_function: Mapping[str, Any] | None = None,
) -> SessionReadouts:
    """Build OpenRetina's ``MultiSampledGaussianReadout``; see `PointReadout`.

    `init_mu_range`, `init_sigma_range`, `init_grid`, `batch_sample`, `gamma` and `reg_avg` belong
    to training and to fresh weights.

    Raises
    ------
    ValueError
        If `grid_mean_predictor` is given: OpenRetina 1.1.1 itself cannot build that, since nothing
        hands the recorded places on to it.
    """
    if grid_mean_predictor is not None:
        raise ValueError(
            "grid_mean_predictor: OpenRetina 1.1.1 cannot build this readout with one; expected "
            f"none, got {shown(grid_mean_predictor)}"
        )
    nonlinearity: Function = F.softplus
    if nonlinearity_function is not None:
        nonlinearity = function_configured(nonlinearity_function, "nonlinearity_function")
    return session_readouts(
        lambda n_neurons: PointReadout(
            in_shape,
            n_neurons,
            bias=bias,
            gauss_type=gauss_type,
            align_corners=align_corners,
            shared_features=shared_features,
            shared_grid=shared_grid,
            nonlinearity=nonlinearity,
        ),
        n_neurons_dict,
    )


def _match_ids(shared: object, n_neurons: int, argument: str) -> list[int] | None:
    """Return the number that each neuron shares with others; None where nothing is shared."""
    if shared is None or shared == {}:
        return None
    ids = shared.get("match_ids") if isinstance(shared, Mapping) else None
    if isinstance(ids, np.ndarray):
        ids = ids.tolist()
    if (
        not isinstance(ids, list | tuple)
        or len(ids) != n_neurons
        or not all(isinstance(i, int) and abs(i) < 2**31 for i in ids)
    ):
        raise ValueError(
            f"{argument}: expected 'match_ids' with a whole number for each of {n_neurons} "
            f"neurons, got {shown(shared)}"
        )
    return list(ids)


def _ranks(ids: Sequence[int]) -> torch.Tensor:
    order = {number: rank for rank, number in enumerate(sorted(set(ids)))}
    return torch.tensor([order[number] for number in ids])
