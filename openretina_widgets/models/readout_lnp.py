"""The linear-nonlinear readout: one spatial filter a neuron, on the stimulus itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from openretina_widgets.models._parts import flag, smoothness_penalty
from openretina_widgets.models.nonlinearities import function_named
from openretina_widgets.models.readout_sessions import SessionReadouts, session_readouts


class LinearNonlinearReadout(nn.Module):
    """A filter over all pixels and channels of a frame, then a function of the result.

    Parameters
    ----------
    in_shape
        ``(channel, time, height, width)`` of the feature maps, or of the stimulus where the model
        has no core; `time` has no effect.
    n_neurons
        Neurons of the session.
    nonlinearity
        ``"exp"``, or a name of ``torch.nn.functional``.
    bias
        Whether each neuron's drive is shifted by a learnt value.
    smooth_regularizer
        Class of OpenRetina's penalty on rough filters, which stores a filter of its own.

    Raises
    ------
    UnknownClassError
        If the nonlinearity or the penalty is not known here.
    ValueError
        If an argument is of the wrong kind.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        n_neurons: int,
        *,
        nonlinearity: str = "exp",
        bias: bool = False,
        smooth_regularizer: str = "LaplaceL2norm",
    ) -> None:
        super().__init__()
        channel, _, height, width = in_shape
        self.nonlinearity = function_named(nonlinearity, "nonlinearity")
        self.inner_product_kernel = nn.Conv3d(
            channel, n_neurons, (1, height, width), bias=flag(bias, "bias")
        )
        self._smooth_reg_fn = smoothness_penalty(smooth_regularizer, "smooth_regularizer")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the response ``(batch, time, neuron)``."""
        drive = self.inner_product_kernel(features)  # (batch, neuron, time, 1, 1)
        return self.nonlinearity(drive).flatten(2).transpose(1, 2)


def linear_nonlinear_readouts(
    *,
    in_shape: Sequence[int],
    n_neurons_dict: Mapping[str, int],
    nonlinearity: str = "exp",
    bias: bool = False,
    smooth_regularizer: str = "LaplaceL2norm",
    clone_readout: bool = False,
    **training: Any,
) -> SessionReadouts:
    """Build OpenRetina's ``MultipleLNPReadout``; see `LinearNonlinearReadout`.

    Further arguments belong to training; OpenRetina takes any.
    """
    return session_readouts(
        lambda n_neurons: LinearNonlinearReadout(
            in_shape,
            n_neurons,
            nonlinearity=nonlinearity,
            bias=bias,
            smooth_regularizer=smooth_regularizer,
        ),
        n_neurons_dict,
        clone_readout=clone_readout,
    )
