"""The Gaussian-mask readout: for each neuron a Gaussian in space, and a weight for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models._parts import flag, number, scattered
from openretina_widgets.models.readout_sessions import SessionReadouts, session_readouts


class GaussianMaskReadout(nn.Module):
    """A Gaussian mask in space and a weight for each feature map, then a softplus.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the feature maps; `time` has no effect.
    n_neurons
        Neurons of the session.
    scale, bias
        Whether each neuron's drive is scaled and shifted by learnt values.
    gaussian_mean_scale, gaussian_var_scale
        Factors on the learnt centre, and on the learnt logarithm of the variance, of the masks.
    positive
        Use feature weights below zero as zero.
    """

    grid: torch.Tensor

    def __init__(
        self,
        in_shape: Sequence[int],
        n_neurons: int,
        *,
        scale: bool = False,
        bias: bool = True,
        gaussian_mean_scale: float = 1.0,
        gaussian_var_scale: float = 1.0,
        positive: bool = False,
    ) -> None:
        super().__init__()
        channel, _, height, width = in_shape
        self.gaussian_mean_scale = number(gaussian_mean_scale, "gaussian_mean_scale")
        self.gaussian_var_scale = number(gaussian_var_scale, "gaussian_var_scale")
        self.positive = flag(positive, "positive")
        self.mask_mean = nn.Parameter(torch.zeros(n_neurons, 2))
        self.mask_log_var = nn.Parameter(torch.zeros(n_neurons))
        self.register_buffer("grid", torch.empty(n_neurons, height, width, 2))
        if not self.grid.is_meta:
            self.grid.copy_(_mask_grid(height, width))
        self.features = scattered(1, channel, 1, n_neurons, around=1 / channel)
        if flag(scale, "scale"):
            self.scale_param = scattered(n_neurons, around=1.0)
        else:
            self.register_buffer("scale_param", torch.ones(n_neurons))
        if flag(bias, "bias"):
            self.bias = nn.Parameter(torch.zeros(n_neurons))
        else:
            self.register_buffer("bias", torch.zeros(n_neurons))

    def masks(self) -> torch.Tensor:
        """Return the masks ``(neuron, height, width)``; each sums to 1."""
        variance = (self.mask_log_var * self.gaussian_var_scale).clamp(-20, 20).exp() + 1e-8
        offset = self.grid - self.mask_mean[:, None, None] * self.gaussian_mean_scale
        distance = offset.square().sum(dim=-1) / variance[:, None, None]
        # The floor of exp(-10) keeps a mask outside the image from being 0 / 0.
        mask = torch.exp(-0.5 * distance.clamp(max=20))
        return torch.nan_to_num(mask / mask.sum(dim=(1, 2), keepdim=True))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        seen = features.flatten(3) @ self.masks().flatten(1).T  # (batch, channel, time, neuron)
        weights = self.features.clamp(min=0) if self.positive else self.features
        drive = (seen * weights).sum(dim=1)
        return F.softplus(drive * self.scale_param + self.bias)


def _mask_grid(height: int, width: int) -> torch.Tensor:
    """Return (y, x) of each position, -1 to 1 along the longer side: ``(height, width, 2)``."""
    longer = max(height, width)
    y, x = (torch.linspace(-n / longer, n / longer, n) for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)


def gaussian_mask_readouts(
    *,
    in_shape: Sequence[int],
    n_neurons_dict: Mapping[str, int],
    scale: bool,
    bias: bool,
    gaussian_mean_scale: float,
    gaussian_var_scale: float,
    positive: bool,
    mask_l1_reg: float = 1.0,
    feature_weights_l1_reg: float = 1.0,
    readout_reg_avg: bool = False,
    clone_readout: bool = False,
) -> SessionReadouts:
    """Build OpenRetina's ``MultiGaussianMaskReadout``; see `GaussianMaskReadout`.

    `mask_l1_reg`, `feature_weights_l1_reg` and `readout_reg_avg` belong to training.
    """
    return session_readouts(
        lambda n_neurons: GaussianMaskReadout(
            in_shape,
            n_neurons,
            scale=scale,
            bias=bias,
            gaussian_mean_scale=gaussian_mean_scale,
            gaussian_var_scale=gaussian_var_scale,
            positive=positive,
        ),
        n_neurons_dict,
        clone_readout=clone_readout,
    )
