"""Fresh weights of a core-readout that are local in space and time, as inputs to a retina are.

From white noise the fit soon finds every cell that weighs its centre, but hardly the cells that
compare one place with its neighbour a moment ago: those need kernels that are local to begin with.
Each kernel of the first layer starts as a blob with the course of a bipolar cell's response, each
of the second as a brief, small, shifted and delayed copy of its input, of either sign. The draws
know nothing of the cells that the model is fitted to.
"""

from __future__ import annotations

import torch

from openretina_widgets.models.convolutions import SpaceTimeSeparableConv3d
from openretina_widgets.models.core_readout import CoreReadout
from openretina_widgets.models.synthetic_cells import FRAME_RATE, impulse_response

BLOB_PX = (0.8, 1.6)  # standard deviations of the blobs of the first layer
TIME_TO_PEAK_MS = (60.0, 140.0)
COPY_PX, COPY_FRAMES = 0.7, 1.0  # standard deviations of the second layer's copies
FARTHEST_PX, LATEST_FRAMES = 2.0, 6.0  # their shifts and delays
# Biases of the second layer. What answers seldom tells more; but some channels have to be active at
# rest, for cells that are suppressed.
SELDOM, AT_REST = -1.0, 1.0
AT_REST_SHARE = 0.25
MASK_VARIANCE = 0.25  # of the readouts' masks, where half of the longer side is 1


def begin_local(model: CoreReadout, generator: torch.Generator) -> None:
    """Overwrite the kernels of a model of two layers, and the width of its masks."""
    first, second = (layer.conv for layer in model.core.features)
    with torch.no_grad():
        _blobs(first, generator)
        _copies(second, generator)
        biases = model.core.features[1].bias.bias
        biases.fill_(SELDOM)
        biases[:, : int(AT_REST_SHARE * biases.shape[1])] = AT_REST
        for readout in model.readout.values():
            scale = readout.gaussian_var_scale
            readout.mask_log_var.fill_(float(torch.tensor(MASK_VARIANCE).log()) / scale)


def _blobs(convolution: SpaceTimeSeparableConv3d, generator: torch.Generator) -> None:
    shape = convolution.weight_spatial.shape[:2]
    low, high = BLOB_PX
    width = low + (high - low) * torch.rand(shape[0], 1, generator=generator)
    centre = torch.randn(2, shape[0], 1, generator=generator)
    # The channels of the stimulus share place and sign more or less; their weights differ.
    weight = 0.5 + torch.rand(*shape, generator=generator)
    sign = torch.ones(shape[0], 1)
    sign[::2] = -1
    spatial = _bumps(convolution, centre.expand(2, *shape), width.expand(*shape))
    convolution.weight_spatial.copy_(spatial * (sign * weight)[..., None, None, None])
    low, high = TIME_TO_PEAK_MS
    ms = (torch.arange(convolution.temporal_kernel_size).double() + 0.5) * 1000 / FRAME_RATE
    courses = [
        impulse_response(ms, tau_ms=low + (high - low) * tau, undershoot=undershoot).flip(0)
        for tau, undershoot in torch.rand(shape[0], 2, generator=generator).tolist()
    ]
    _set_temporal(convolution, torch.stack(courses)[:, None].expand(*shape, -1))


def _copies(convolution: SpaceTimeSeparableConv3d, generator: torch.Generator) -> None:
    shape = convolution.weight_spatial.shape[:2]
    shift = FARTHEST_PX * (2 * torch.rand(2, *shape, generator=generator) - 1)
    weight = torch.randn(*shape, generator=generator)
    spatial = _bumps(convolution, shift, torch.full(shape, COPY_PX))
    convolution.weight_spatial.copy_(spatial * weight[..., None, None, None])
    ago = torch.arange(convolution.temporal_kernel_size).flip(0)
    delay = LATEST_FRAMES * torch.rand(*shape, 1, generator=generator)
    _set_temporal(convolution, torch.exp(-(((ago - delay) / COPY_FRAMES) ** 2) / 2))


def _bumps(
    convolution: SpaceTimeSeparableConv3d, centre: torch.Tensor, width: torch.Tensor
) -> torch.Tensor:
    """Return Gaussians ``(out, in, 1, height, width)``, centred ``(2, out, in)`` off the middle."""
    size = convolution.size[1]
    place = torch.arange(size) - (size - 1) / 2
    down, across = (
        torch.exp(-(((place - c[..., None]) / width[..., None]) ** 2) / 2) for c in centre
    )
    return (down[..., :, None] * across[..., None, :])[:, :, None]


def _set_temporal(convolution: SpaceTimeSeparableConv3d, kernels: torch.Tensor) -> None:
    """Set the weights of the sines and cosines nearest to kernels ``(out, in, frame)``."""
    basis = convolution.temporal_basis()
    weights = kernels.to(basis.dtype) @ torch.linalg.pinv(basis)
    sines, cosines = weights.chunk(2, dim=-1)
    convolution.sin_weights.copy_(sines)
    convolution.cos_weights.copy_(cosines)
