"""The factorised readout: for each neuron a mask in space, and a weight for each feature map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import (
    checked_sizes,
    flag,
    scattered,
    shown,
    smoothness_penalty,
    whole,
)
from openretina_widgets.models.readout_sessions import SessionReadouts, session_readouts

_NORM_FLOOR = 1e-5  # added to the squared norm, as by OpenRetina


class FactorizedReadout(nn.Module):
    """A free mask in space times a weight for each feature map (Klindt et al. 2017), softplus.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the feature maps; `time` has no effect.
    n_neurons
        Neurons of the session.
    mask_size
        Height and width of the mask, which are those of the feature maps, or one number for both.
    readout_bias
        Whether each neuron's drive is shifted by a learnt value.
    weights_constraint
        ``"abs"``: feature weights without their signs; ``"norm"``: of length 1 for each neuron;
        ``"absnorm"``: both; None: as they are.
    mask_constraint
        ``"abs"``: masks without their signs; None: as they are.

    Notes
    -----
    OpenRetina applies the constraints to the stored weights at each call. Here they are applied
    to a copy, and the weights stay what they are. What is given here is therefore OpenRetina's
    answer to the first call after loading: a length of 1 is not quite kept by ``"norm"``, which
    shortens the weights by up to 5e-6 at each further call.

    Raises
    ------
    ValueError
        If an argument is out of bounds or does not fit another.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        n_neurons: int,
        *,
        mask_size: int | Sequence[int] | None = None,
        readout_bias: bool = False,
        weights_constraint: str | None = None,
        mask_constraint: str | None = None,
    ) -> None:
        super().__init__()
        channel, _, height, width = in_shape
        _check_mask_size(mask_size, (height, width))
        if weights_constraint not in ("abs", "norm", "absnorm", None):
            raise ValueError(
                "weights_constraint: expected 'abs', 'norm', 'absnorm' or none, got "
                f"{shown(weights_constraint)}"
            )
        if mask_constraint not in ("abs", None):
            raise ValueError(
                f"mask_constraint: expected 'abs' or none, got {shown(mask_constraint)}"
            )
        self.weights_constraint = weights_constraint
        self.mask_constraint = mask_constraint
        self.mask_weights = scattered(height * width, n_neurons)
        self.feature_weights = scattered(channel, n_neurons)
        self.readout_bias = flag(readout_bias, "readout_bias")
        if self.readout_bias:
            self.bias = nn.Parameter(torch.zeros(n_neurons))
        else:
            self.register_buffer("bias", torch.zeros(n_neurons))
        self._input_weights_regularizer_spatial = smoothness_penalty(
            "FlatLaplaceL23dnorm", "regularizer"
        )

    def masks(self) -> torch.Tensor:
        """Return the masks that are used: ``(height * width, neuron)``."""
        return self.mask_weights.abs() if self.mask_constraint == "abs" else self.mask_weights

    def weights(self) -> torch.Tensor:
        """Return the feature weights that are used: ``(channel, neuron)``."""
        weights: torch.Tensor = self.feature_weights
        constraint = self.weights_constraint
        if constraint in ("abs", "absnorm"):
            weights = weights.abs()
        if constraint in ("norm", "absnorm"):
            weights = weights / (weights.square().sum(dim=0, keepdim=True) + _NORM_FLOOR).sqrt()
        return weights

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        seen = features.flatten(3) @ self.masks()  # (batch, channel, time, neuron)
        drive = (seen * self.weights()[:, None]).sum(dim=1)
        # Without readout_bias, OpenRetina stores a bias that it does not use.
        return F.softplus(drive + self.bias if self.readout_bias else drive)


def factorized_readouts(
    *,
    in_shape: Sequence[int],
    n_neurons_dict: Mapping[str, int],
    mask_size: int | Sequence[int] | None = None,
    readout_bias: bool = False,
    weights_constraint: str | None = None,
    mask_constraint: str | None = None,
    clone_readout: bool = False,
    mask_l1_reg: float = 0.0,
    weights_l1_reg: float = 0.0,
    laplace_mask_reg: float = 0.0,
    init_mask: Any = None,
    init_weights: Any = None,
    init_scales: Any = None,
    readout_reg_avg: bool = False,
) -> SessionReadouts:
    """Build OpenRetina's ``MultiFactorizedReadout``; see `FactorizedReadout`.

    The arguments after `clone_readout` belong to training and to fresh weights.
    """
    return session_readouts(
        lambda n_neurons: FactorizedReadout(
            in_shape,
            n_neurons,
            mask_size=mask_size,
            readout_bias=readout_bias,
            weights_constraint=weights_constraint,
            mask_constraint=mask_constraint,
        ),
        n_neurons_dict,
        clone_readout=clone_readout,
    )


def _check_mask_size(mask_size: object, expected: tuple[int, int]) -> None:
    if mask_size is None:
        return
    if isinstance(mask_size, int):
        got: tuple[int, ...] = (whole(mask_size, "mask_size"),) * 2
    else:
        got = checked_sizes(mask_size, "mask_size")
    if got != expected:
        raise ValueError(
            f"mask_size: expected {expected}, the height and width of the feature maps, got {got}"
        )
