"""An exact, faster form of a core-readout model for stimuli of one length.

A separable layer weights the image of each pair of channels by a spatial kernel and then filters
it in time. OpenRetina multiplies both into one kernel over time, height and width and convolves
with that. The same function, for a known size and number of frames, is two matrix products: a
spatial operator (pixels in, pixels out) and a temporal one (frames in, frames out). What follows a
convolution and is linear, batch norm and bias, is folded into the temporal operator. For frames
too large for a dense spatial operator a 2-D convolution takes its place. A readout is one matrix
product, or a product for the one neuron that is asked for.

`prepare` builds these operators from the weights as they are, and changes nothing in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models.convolutions import SpaceTimeSeparableConv3d
from openretina_widgets.models.core import Bias, Core, SimpleCore, size_after
from openretina_widgets.models.core_readout import CoreReadout
from openretina_widgets.models.dummy_core import DummyCore
from openretina_widgets.models.prepared_products import ByChannels, ByRows, linear
from openretina_widgets.models.readout_factorized import FactorizedReadout
from openretina_widgets.models.readout_gaussian_mask import GaussianMaskReadout
from openretina_widgets.models.readout_lnp import LinearNonlinearReadout
from openretina_widgets.models.readout_point import PointReadout
from openretina_widgets.models.readout_sessions import ClonedReadout
from openretina_widgets.models.two_step_convolution import bands

__all__ = ["AS_IT_IS", "WAYS", "Prepared", "Way", "prepare", "undisturbed", "words_of"]

AS_IT_IS = "the model as it is"

LARGEST = 16 * 2**20
"""Most numbers in one operator (64 MiB in float32); beyond that a convolution takes its place."""

# What a multiplication of a convolution takes, and what a number takes that is moved to another
# order, in multiplications of a large matrix product; forward and backward together. Measured on a
# CPU by `python -m benchmarks.prepared --ways`: 1.8 – 3.4, 0.9 – 3.5 and 80 – 126.
_CONVOLUTION_2D, _CONVOLUTION_3D, _MOVED = 2.5, 1.5, 100.0
_BY_CHANNELS, _BY_ROWS = 1.0, 1.2

_FEW = 1  # stimuli for which a few large products are faster than many small ones


@dataclass(frozen=True)
class _Size:
    """Axes of feature maps, without those of the batch."""

    channels: int
    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


class _Stage(Protocol):
    """Feature maps ``(channel, frame, batch, pixel)`` in, others out."""

    words: str

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class _Reads(Protocol):
    """Feature maps in, responses out."""

    words: str

    def of_all(self, x: torch.Tensor) -> torch.Tensor: ...

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor: ...


class Prepared:
    """A core-readout model for stimuli of one length; made by `prepare`.

    Attributes
    ----------
    words : str
        What is computed how, in words, for a card or a result.
    numbers : int
        Numbers that its operators hold.
    """

    def __init__(
        self, frames: int, stages: Sequence[_Stage], readout: _Reads, numbers: int
    ) -> None:
        self.frames, self.numbers = frames, numbers
        self._stages, self._readout = tuple(stages), readout
        self.words = "; ".join([*(stage.words for stage in stages), readout.words])

    def features(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the feature maps ``(channel, frame, batch, pixel)``."""
        x = stimulus.permute(1, 2, 0, 3, 4).flatten(3)
        for stage in self._stages:
            x = stage(x)
        return x

    def responses(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time, neuron)`` to ``(batch, channel, time, height, width)``."""
        return self._readout.of_all(self.features(stimulus))

    def own_responses(self, stimulus: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time)``: of each stimulus the response of its own neuron."""
        return self._readout.of_own(self.features(stimulus), neurons)


def prepare(
    module: nn.Module, frames: int, session: str, *, ways: Sequence[Way] | None = None
) -> Prepared | None:
    """Return the faster form of a model for stimuli of so many frames, None where there is none.

    Parameters
    ----------
    module
        Its weights are read, in eval mode, as they are now.
    frames
        Frames of the stimulus.
    session
        Whose neurons answer.
    ways
        Compute every separable layer in the fastest of these. None: of all `WAYS`, or as it is.

    Returns
    -------
    Prepared or None
        None for what is not known here, for a module in train mode, and for one that somebody
        listens to, since its hooks would not be called.
    """
    if type(module) is not CoreReadout:
        return None
    if not undisturbed(module.modules()):
        return None
    channels, _, height, width = module.in_shape
    with torch.no_grad():
        stages, size = _stages(module.core, _Size(channels, frames, height, width), ways)
        linear = _readout(module.readout[session], size)
    if linear is None:
        return None
    numbers = sum(t.numel() for part in (*stages, linear) for t in _tensors(part))
    return Prepared(frames, stages, linear, numbers)


def words_of(form: Prepared | None) -> str:
    """Return what is computed how, in words, for a form or for the model as it is."""
    return AS_IT_IS if form is None else form.words


def undisturbed(parts: Iterable[nn.Module]) -> bool:
    """Tell whether modules are in eval mode, and nobody listens to them or has replaced a part."""
    return not any(part.training or _listened_to(part) for part in parts)


def _listened_to(part: nn.Module) -> bool:
    return bool(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        or "forward" in vars(part)
    )


def _tensors(part: object) -> list[torch.Tensor]:
    if isinstance(part, _Separable):
        return part.tensors
    return [value for value in vars(part).values() if isinstance(value, torch.Tensor)]


# The core ----------------------------------------------------------------------------------------


def _stages(core: Core, size: _Size, ways: Sequence[Way] | None) -> tuple[list[_Stage], _Size]:
    if type(core) is DummyCore:
        cut = core.cut_first_n_frames
        left = _Size(size.channels, size.frames - cut, size.height, size.width)
        return ([_Cut(cut)] if cut else []), left
    plain = type(core) is SimpleCore
    if not plain or core.color_squashing_layer is not None or core.downsampling is not None:
        made = core.feature_shape((size.channels, size.frames, size.height, size.width))
        return [_AsItIs(core, size, "core")], _Size(*made)
    stages: list[_Stage] = []
    layers = list(core.features.children())
    for i, layer in enumerate(layers):
        cut = core.cut_first_n_frames if i == len(layers) - 1 else 0
        of_layer, size = _layer(layer, core.channels[i + 1], size, cut, ways)
        stages += of_layer
    return stages, size


def _layer(
    layer: nn.Module, channels: int, size: _Size, cut: int, ways: Sequence[Way] | None
) -> tuple[list[_Stage], _Size]:
    """Return the stages of a layer, and the size of what it gives, without its first frames."""
    parts = dict(layer.named_children())
    convolution, norm, bias, elu = (parts.get(name) for name in ("conv", "norm", "bias", "nonlin"))
    pool = parts.get("pool")
    stage: _Stage | None = None
    if (
        type(convolution) is SpaceTimeSeparableConv3d
        and type(norm) is nn.BatchNorm3d
        and type(bias) is Bias
        and type(elu) is nn.ELU
    ):
        scale, shift = _affine(norm, bias)
        stage, out = _separable(convolution, size, scale, shift, elu.alpha, cut, ways)
    if stage is None:
        frames, height, width = size_after(
            nn.Sequential(layer), [size.frames, size.height, size.width]
        )
        out = _Size(channels, frames - cut, height, width)
        return [_AsItIs(layer, size, "layer"), *([_Cut(cut)] if cut else [])], out
    if pool is None:
        return [stage], out
    return [stage, _Pool(out)], _Size(out.channels, out.frames, out.height // 2, out.width // 2)


def _affine(norm: nn.BatchNorm3d, bias: Bias) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factor and the shift of each channel of a batch norm and a bias after it."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("norm: a batch norm without running statistics has no fixed factor")
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale + bias.bias.flatten()


@dataclass(frozen=True)
class Way:
    """In which order, and how, a separable convolution is computed.

    Attributes
    ----------
    time_first
        Whether the temporal step comes before the spatial one.
    space
        ``"matrices"``: the spatial step is a matrix product; ``"convolution"``: a 2-D convolution;
        ``"pieces"``: both steps are many small matrix products, see `prepared_products`.
    """

    time_first: bool
    space: str

    @property
    def words(self) -> str:
        """What is done, in words."""
        order = "time then space" if self.time_first else "space then time"
        return f"{order}, {_HOW[self.space]}"


_HOW = {
    "matrices": "matrices",
    "convolution": "matrix and 2-D convolution",
    "pieces": "matrices in pieces",
}

WAYS = (
    Way(time_first=True, space="matrices"),
    Way(time_first=False, space="matrices"),
    Way(time_first=False, space="convolution"),
    Way(time_first=True, space="pieces"),
    Way(time_first=False, space="pieces"),
)
"""Not the temporal step and a 2-D convolution after it: it has many groups of few channels, and is
never much faster."""


def _costs(way: Way, size: _Size, out: _Size, kernel: Sequence[int]) -> tuple[float, int]:
    """Return what a way costs a stimulus, in multiplications, and the numbers it holds."""
    pairs = size.channels * out.channels
    frames = out.frames if way.time_first else size.frames  # that are seen by the spatial step
    pixels = size.pixels if way.time_first else out.pixels  # that are seen by the temporal one
    steps: float = pairs * out.frames * size.frames * pixels
    if way.space == "pieces":
        window = size.pixels if way.time_first else kernel[0] * size.width
        spatial: float = pairs * frames * window * out.pixels
        columns = out.pixels if way.time_first else out.width
        share = _BY_CHANNELS if way.time_first else _BY_ROWS
        return share * (steps + spatial), pairs * window * columns
    steps += _MOVED * pairs * frames * pixels
    if way.space == "matrices":
        numbers = pairs * size.pixels * out.pixels
        return steps + frames * numbers, numbers
    spatial = _CONVOLUTION_2D * pairs * frames * kernel[0] * kernel[1] * out.pixels
    return steps + spatial + _MOVED * pairs * frames * pixels, pairs * kernel[0] * kernel[1]


def _separable(
    convolution: SpaceTimeSeparableConv3d,
    size: _Size,
    scale: torch.Tensor,
    shift: torch.Tensor,
    alpha: float,
    cut: int,
    ways: Sequence[Way] | None,
) -> tuple[_Separable | None, _Size]:
    """Return the fastest way to compute a layer, None where the layer as it is would be faster."""
    frames, height, width = convolution.output_size([size.frames, size.height, size.width])
    out = _Size(len(scale), frames - cut, height, width)
    kernel = convolution.size[1:]
    if ways is None:  # many small products suit a CPU, and a few large ones a GPU
        cpu = scale.device.type == "cpu"
        ways_here = [way for way in WAYS if cpu or way.space != "pieces"]
    else:
        ways_here = list(ways)
    costs = {way: _costs(way, size, out, kernel) for way in ways_here}
    fitting = {way: cost for way, (cost, numbers) in costs.items() if numbers <= LARGEST}
    if not fitting or out.frames < 1:
        return None, out
    way = min(fitting, key=lambda one: fitting[one])
    large = [one for one in fitting if one.space != "pieces"]
    pairs = size.channels * out.channels
    taps = convolution.size[0] * kernel[0] * kernel[1]
    as_it_is = _CONVOLUTION_3D * pairs * frames * taps * out.pixels
    if ways is None and fitting[way] > as_it_is:
        return None, out

    def made(way: Way) -> _Separable:
        return _Separable(convolution, way, size, out, scale, shift, alpha, cut)

    stage = made(way)
    if ways is None and large and way not in large:
        stage.few = made(min(large, key=lambda one: fitting[one]))
    return stage, out


class _Separable:
    """A separable convolution, what is linear after it, and its ELU."""

    def __init__(
        self,
        convolution: SpaceTimeSeparableConv3d,
        way: Way,
        size: _Size,
        out: _Size,
        scale: torch.Tensor,
        shift: torch.Tensor,
        alpha: float,
        cut: int,
    ) -> None:
        self.way, self.size, self.out, self.alpha = way, size, out, alpha
        self.words = way.words
        (before, after), *self.padding = convolution.padding
        padded = size.frames + before + after
        temporal = bands(convolution.temporal_kernel() * scale[:, None, None], padded)
        temporal = temporal.unflatten(2, (size.channels, padded))[:, cut:]
        temporal = temporal[..., before : before + size.frames]  # (out, frame out, in, frame in)
        spatial = convolution.weight_spatial[:, :, 0]  # (out, in, height, width)
        self.shift = shift[:, None, None].contiguous()
        self.pieces: ByChannels | ByRows | None = None
        self.few: _Separable | None = None  # takes its place for few stimuli
        if way.space == "pieces":
            self.pieces = self._in_pieces(temporal, spatial)
            return
        if way.time_first:
            temporal = temporal.permute(2, 0, 1, 3)
            self.temporal = temporal.reshape(size.channels, -1, size.frames).contiguous()
        else:
            self.temporal = temporal.flatten(2).contiguous()
        if way.space == "convolution":
            self.spatial = spatial.transpose(0, 1).flatten(0, 1)[:, None].contiguous()
            return
        matrices = _spatial_matrices(spatial, size, self.padding)
        if way.time_first:  # (out, in * pixel in, pixel out)
            self.spatial = matrices.flatten(1, 2).contiguous()
        else:  # (in, pixel in, out * pixel out)
            self.spatial = matrices.permute(1, 2, 0, 3).flatten(2).contiguous()

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The operators that it holds."""
        if self.pieces is not None:
            few = [] if self.few is None else self.few.tensors
            return [self.shift, self.pieces.temporal, self.pieces.spatial, *few]
        return [self.shift, self.temporal, self.spatial]

    def _in_pieces(self, temporal: torch.Tensor, spatial: torch.Tensor) -> ByChannels | ByRows:
        if self.way.time_first:
            matrices = _spatial_matrices(spatial, self.size, self.padding)
            return ByChannels(temporal.permute(2, 0, 1, 3), matrices.transpose(0, 1))
        height, (left, right) = spatial.shape[2], self.padding[1]
        # What a kernel takes from its rows of the image to one row of pixels.
        row = _Size(self.size.channels, 1, height, self.size.width)
        matrices = _spatial_matrices(spatial, row, ((0, 0), (left, right)))
        matrices = matrices.permute(1, 0, 3, 2).unflatten(3, (height, self.size.width))
        return ByRows(temporal.permute(2, 0, 3, 1), matrices, self.size.height, self.padding[0])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.few is not None and x.shape[2] <= _FEW:
            return self.few(x)
        if self.pieces is not None:
            made = linear(self.pieces, x).add_(self.shift[..., None])
        elif self.way.time_first:
            made = self._time_first(x)
        else:
            made = self._space_first(x)
        return F.elu(made, self.alpha, inplace=True)

    def _space_first(self, x: torch.Tensor) -> torch.Tensor:
        size, out, batch = self.size, self.out, x.shape[2]
        if self.way.space == "matrices":
            y = torch.bmm(x.reshape(size.channels, -1, size.pixels), self.spatial)
            y = y.view(size.channels, size.frames, batch, out.channels, out.pixels)
            y = y.permute(3, 0, 1, 2, 4)
        else:
            y = self._convolve(x)
            y = y.view(size.frames, batch, size.channels, out.channels, out.pixels)
            y = y.permute(3, 2, 0, 1, 4)
        y = y.reshape(out.channels, size.channels * size.frames, batch * out.pixels)
        made = torch.baddbmm(self.shift, self.temporal, y)
        return made.view(out.channels, out.frames, batch, out.pixels)

    def _time_first(self, x: torch.Tensor) -> torch.Tensor:
        size, out, batch = self.size, self.out, x.shape[2]
        y = torch.bmm(self.temporal, x.reshape(size.channels, size.frames, -1))
        y = y.view(size.channels, out.channels, out.frames * batch, size.pixels)
        y = y.permute(1, 2, 0, 3).reshape(out.channels, out.frames * batch, -1)
        made = torch.baddbmm(self.shift, y, self.spatial)
        return made.view(out.channels, out.frames, batch, out.pixels)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Return each frame convolved in space: ``(frame * batch, in * out, height, width)``."""
        size = self.size
        (top, bottom), (left, right) = self.padding
        frames = x.permute(1, 2, 0, 3).reshape(-1, size.channels, size.height, size.width)
        if any((top, bottom, left, right)):
            frames = F.pad(frames, (left, right, top, bottom))
        return F.conv2d(frames, self.spatial, groups=size.channels)


def _spatial_matrices(
    spatial: torch.Tensor, size: _Size, padding: Sequence[tuple[int, int]]
) -> torch.Tensor:
    """Return the kernels ``(out, in, height, width)`` as matrices ``(out, in, pixel, pixel)``.

    What each pixel alone gives is a row.
    """
    (top, bottom), (left, right) = padding
    single = torch.eye(size.pixels, dtype=spatial.dtype, device=spatial.device)
    single = single.view(size.pixels, 1, size.height, size.width)
    rows = F.conv2d(F.pad(single, (left, right, top, bottom)), spatial.flatten(0, 1)[:, None])
    return rows.flatten(2).view(size.pixels, *spatial.shape[:2], -1).permute(1, 2, 0, 3)


class _AsItIs:
    """A part of the model that is run as it is."""

    def __init__(self, part: nn.Module, size: _Size, what: str) -> None:
        self.part, self.size, self.words = part, size, f"{what} as it is"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        size = (self.size.height, self.size.width)
        made = self.part(x.permute(2, 0, 1, 3).unflatten(3, size))
        return made.flatten(3).permute(1, 2, 0, 3)


class _Pool:
    """Largest of each two by two pixels."""

    words = "pool"

    def __init__(self, size: _Size) -> None:
        self.size = size

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        channels, frames, batch, _ = x.shape
        images = x.reshape(channels, frames * batch, self.size.height, self.size.width)
        return F.max_pool2d(images, 2).view(channels, frames, batch, -1)


class _Cut:
    """Without the first frames."""

    words = "cut"

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.frames :]


# The readouts ------------------------------------------------------------------------------------


class _Readout:
    """A weight for each pixel and channel, a factor and a shift, then a function.

    Either `weights` ``(neuron, channel * pixel)``, or where these are too many `masks`
    ``(neuron, pixel)`` times `features` ``(neuron, channel)``.
    """

    def __init__(
        self,
        *,
        masks: torch.Tensor | None,
        features: torch.Tensor,
        gain: torch.Tensor | None,
        shift: torch.Tensor | None,
        function: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        if masks is None:
            self.weights: torch.Tensor | None = features
            self.masks = features[:0]
            n = len(features)
        else:
            n = len(masks)
            fits = n * masks.shape[1] * features.shape[1] <= LARGEST
            weights = (features[:, :, None] * masks[:, None]).flatten(1) if fits else None
            self.weights = weights if gain is None or weights is None else weights * gain[:, None]
            self.masks = masks.contiguous()
        self.features = features if gain is None else features * gain[:, None]
        self.shift = features.new_zeros(n) if shift is None else shift
        self.function = function
        self.words = "readout as one matrix" if self.weights is not None else "readout by masks"

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time, neuron)`` of feature maps ``(channel, frame, batch, pixel)``."""
        if self.weights is not None:
            seen = x.permute(2, 1, 0, 3).flatten(2)
            return self.function(seen @ self.weights.T + self.shift)
        seen = x.permute(2, 1, 0, 3) @ self.masks.T  # (batch, frame, channel, neuron)
        return self.function((seen * self.features.T).sum(dim=2) + self.shift)

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, time)``: of each stimulus the response of its own neuron."""
        shift = self.shift[neurons, None]
        if self.weights is not None:
            seen = x.permute(2, 1, 0, 3).flatten(2)  # (batch, frame, channel * pixel)
            drive = torch.bmm(seen, self.weights[neurons, :, None])[..., 0]
            return self.function(drive + shift)
        frames = x.permute(2, 1, 0, 3)
        seen = torch.bmm(frames.flatten(1, 2), self.masks[neurons, :, None])
        seen = seen.view(frames.shape[:3])
        return self.function((seen * self.features[neurons, None]).sum(dim=2) + shift)


class _Clone:
    """The responses of another readout, scaled and shifted."""

    def __init__(self, source: _Reads, factor: torch.Tensor, shift: torch.Tensor) -> None:
        self.source, self.factor, self.shift = source, factor.clone(), shift.clone()
        self.words = f"{source.words}, cloned"

    def of_all(self, x: torch.Tensor) -> torch.Tensor:
        return self.source.of_all(x) * self.factor + self.shift

    def of_own(self, x: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        own = self.source.of_own(x, neurons)
        return own * self.factor[neurons, None] + self.shift[neurons, None]


def _readout(readout: nn.Module, size: _Size) -> _Reads | None:
    if type(readout) is ClonedReadout:
        source = _readout(readout._source, size)
        return None if source is None else _Clone(source, readout.alpha, readout.beta)
    if type(readout) is GaussianMaskReadout:
        features = readout.features[0, :, 0].T
        return _Readout(
            masks=readout.masks().flatten(1),
            features=features.clamp(min=0) if readout.positive else features,
            gain=readout.scale_param,
            shift=readout.bias,
            function=F.softplus,
        )
    if type(readout) is FactorizedReadout:
        return _Readout(
            masks=readout.masks().T,
            features=readout.weights().T,
            gain=None,
            shift=readout.bias if readout.readout_bias else None,
            function=F.softplus,
        )
    if type(readout) is PointReadout:
        return _Readout(
            masks=_masks_of_points(readout, size),
            features=readout.weights().T,
            gain=None,
            shift=readout.bias,
            function=readout.nonlinearity,
        )
    if type(readout) is LinearNonlinearReadout:
        kernel = readout.inner_product_kernel
        return _Readout(
            masks=None,
            features=kernel.weight.flatten(1),
            gain=None,
            shift=kernel.bias,
            function=readout.nonlinearity,
        )
    return None


def _masks_of_points(readout: PointReadout, size: _Size) -> torch.Tensor:
    """Return the weight of each pixel at the places between them, ``(neuron, pixel)``."""
    places = readout.places()
    single = torch.eye(size.pixels, dtype=places.dtype, device=places.device)
    images = single.view(1, size.pixels, size.height, size.width)
    seen = F.grid_sample(images, places[None, None], align_corners=readout.align_corners)
    return seen[0, :, 0].T
