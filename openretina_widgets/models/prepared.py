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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models.core import Core, SimpleCore
from openretina_widgets.models.core_readout import CoreReadout
from openretina_widgets.models.dummy_core import DummyCore
from openretina_widgets.models.gru import ConvGRU
from openretina_widgets.models.gru_core import ConvGRUCore
from openretina_widgets.models.lower_precision import lowered
from openretina_widgets.models.prepared_layers import (
    WAYS,
    AsItIs,
    Cut,
    Size,
    Stage,
    Way,
    prepared_layer,
)
from openretina_widgets.models.prepared_products import moved
from openretina_widgets.models.prepared_readouts import Reads, SingleCell, prepared_readout
from openretina_widgets.models.single_cell_lnp import SingleCellLNP

__all__ = ["AS_IT_IS", "WAYS", "Members", "Prepared", "Way", "prepare", "undisturbed", "words_of"]

AS_IT_IS = "the model as it is"


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
        self, frames: int, stages: Sequence[Stage], readouts: Mapping[str, Reads], numbers: int
    ) -> None:
        self.frames, self.numbers = frames, numbers
        self._stages, self._readouts = tuple(stages), dict(readouts)
        self._dtype: torch.dtype | None = None  # of the stages, where it is not the stimulus'
        self._in_bfloat16: Prepared | None = None
        of_readouts = dict.fromkeys(readout.words for readout in self._readouts.values())
        self.words = "; ".join([*(stage.words for stage in stages), *of_readouts])

    @property
    def sessions(self) -> tuple[str, ...]:
        """Sessions that it answers for."""
        return tuple(self._readouts)

    def features(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the feature maps ``(channel, frame, batch, pixel)``."""
        x = stimulus.flatten(3)
        # On a CPU the products in pieces read the stimulus as it lies.
        x = moved(x, (1, 2, 0, 3)) if x.is_cuda else x.permute(1, 2, 0, 3)
        if self._dtype is not None:
            x = x.to(self._dtype)
        for stage in self._stages:
            x = stage(x)
        return x.to(stimulus.dtype)

    def in_bfloat16(self) -> Prepared:
        """Return the form with all but its readouts in bfloat16; made once."""
        if self._in_bfloat16 is None:
            with torch.no_grad(), torch.inference_mode(False):
                other = lowered(self, torch.bfloat16)
            other._readouts, other._dtype = self._readouts, torch.bfloat16
            self._in_bfloat16 = other
        return self._in_bfloat16

    def responses(self, stimulus: torch.Tensor, session: str | None = None) -> torch.Tensor:
        """Return ``(batch, time, neuron)`` to ``(batch, channel, time, height, width)``.

        `session` is the first one for None.
        """
        return self._of(session).of_all(self.features(stimulus))

    def of_sessions(
        self, stimulus: torch.Tensor, sessions: Sequence[str]
    ) -> tuple[torch.Tensor, ...]:
        """Return the responses of several sessions, from feature maps that are made once."""
        features = self.features(stimulus)
        return tuple(self._of(session).of_all(features) for session in sessions)

    def own_responses(
        self, stimulus: torch.Tensor, neurons: torch.Tensor, session: str | None = None
    ) -> torch.Tensor:
        """Return ``(batch, time)``: of each stimulus the response of its own neuron."""
        return self._of(session).of_own(self.features(stimulus), neurons)

    def _of(self, session: str | None) -> Reads:
        return self._readouts[self.sessions[0] if session is None else session]


def prepare(
    module: nn.Module,
    frames: int,
    sessions: str | Sequence[str],
    *,
    ways: Sequence[Way] | None = None,
) -> Prepared | None:
    """Return the faster form of a model for stimuli of so many frames, None where there is none.

    Parameters
    ----------
    module
        Its weights are read, in eval mode, as they are now.
    frames
        Frames of the stimulus.
    sessions
        Whose neurons answer.
    ways
        Compute every separable layer in the fastest of these. None: of all `WAYS`, or as it is.

    Returns
    -------
    Prepared or None
        None for what is not known here, for a module in train mode, and for one that somebody
        listens to, since its hooks would not be called.
    """
    if not undisturbed(module.modules()):
        return None
    names = [sessions] if isinstance(sessions, str) else list(sessions)
    if type(module) is SingleCellLNP:
        with torch.inference_mode(False), torch.no_grad():
            cell = SingleCell(module)
        numbers = cell.weights.numel() + cell.kernel.numel()
        return Prepared(frames, [], dict.fromkeys(names, cell), numbers)
    if type(module) is not CoreReadout:
        return None
    channels, _, height, width = module.in_shape
    with torch.inference_mode(False), torch.no_grad():  # so that gradients may pass later
        stages, size = _stages(module.core, Size(channels, frames, height, width), ways)
        readouts = {name: prepared_readout(module.readout[name], size) for name in names}
    known = {name: readout for name, readout in readouts.items() if readout is not None}
    if len(known) < len(readouts):
        return None
    operators = [tensor for stage in stages for tensor in stage.tensors]
    operators += [tensor for readout in known.values() for tensor in _tensors(readout)]
    return Prepared(frames, stages, known, sum(tensor.numel() for tensor in operators))


@dataclass(frozen=True)
class Members:
    """How the members of a model are computed that asks others.

    Attributes
    ----------
    of_each
        What is said of each.
    """

    of_each: tuple[str, ...]

    @property
    def words(self) -> str:
        """What is said of all, each thing once."""
        return " | ".join(dict.fromkeys(self.of_each))


def words_of(form: Prepared | Members | None) -> str:
    """Return what is computed how, in words, for a form or for the model as it is."""
    return AS_IT_IS if form is None else form.words


def undisturbed(parts: Iterable[nn.Module]) -> bool:
    """Tell whether modules are in eval mode, and nobody listens to them or has replaced a part."""
    return not any([part.training or _listened_to(part) for part in parts])  # noqa: C419


def _listened_to(part: nn.Module) -> bool:
    own = part.__dict__  # asked in each iteration, where the module's own way takes its time
    return bool(
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or "forward" in own
    )


def _tensors(readout: Reads) -> list[torch.Tensor]:
    return [value for value in vars(readout).values() if isinstance(value, torch.Tensor)]


def _stages(core: Core, size: Size, ways: Sequence[Way] | None) -> tuple[list[Stage], Size]:
    """Return the stages of a core, and the size of its feature maps."""
    if type(core) is DummyCore:
        cut = core.cut_first_n_frames
        left = Size(size.channels, size.frames - cut, size.height, size.width)
        return ([Cut(cut)] if cut else []), left
    if type(core) is SimpleCore:
        stages, size = _before(core, size)
        last_cut = core.cut_first_n_frames
    elif type(core) is ConvGRUCore:
        stages, last_cut = [], 0
    else:
        made = core.feature_shape((size.channels, size.frames, size.height, size.width))
        return [AsItIs(core, size, "core")], Size(*made)
    channels = list(core.channels[1:])
    layers = list(core.features.named_children())
    for i, (name, layer) in enumerate(layers):
        if isinstance(layer, ConvGRU):
            shape = layer.output_size([size.frames, size.height, size.width])
            stages.append(AsItIs(layer, size, "recurrent unit"))
            size = Size(layer.channels, *shape)
            continue
        wide = size.channels if name == "projection" else channels.pop(0)
        cut = last_cut if i == len(layers) - 1 else 0
        of_layer, size = prepared_layer(layer, wide, size, cut, ways)
        stages += of_layer
    return stages, size


def _before(core: SimpleCore, size: Size) -> tuple[list[Stage], Size]:
    """Return what a core does to the stimulus before its first layer."""
    if core.color_squashing_layer is None and core.downsampling is None:
        return [], size
    blocks = core.downsampling or [1, 1, 1]
    frames, height, width = (
        n // block for n, block in zip((size.frames, size.height, size.width), blocks, strict=True)
    )
    channels = size.channels if core.color_squashing_layer is None else 1
    return [AsItIs(_Before(core), size, "stimulus")], Size(channels, frames, height, width)


class _Before(nn.Module):
    """A weighted sum of the channels, and an average over blocks."""

    def __init__(self, core: SimpleCore) -> None:
        super().__init__()
        self.squash, self.blocks = core.color_squashing_layer, core.downsampling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.squash is None else self.squash(x)
        return x if self.blocks is None else F.avg_pool3d(x, kernel_size=self.blocks)
