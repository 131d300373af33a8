"""The inner layers of a model: what they are called, what they give, and how to read one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openretina_widgets.errors import unknown_name
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

_MORE_FRAMES = 4  # of the second stimulus that tells which axis is time; blocks of 2 and 4 fit

_NONE = (
    "this model has no inner layer whose channels can be told apart; the built-in model "
    "load_model('trained') has some"
)

_Call = tuple[str, int]  # name of a module, and its how-manieth call


@dataclass(frozen=True)
class Layer:
    """What a layer gives for one stimulus.

    Attributes
    ----------
    name
        As in the state dict of the module; ``"name#2"`` is the second call of a module that is
        called several times.
    kind
        Class of the module.
    axes
        Name of each axis: ``"channel"``, ``"time"``, and ``"height"`` and ``"width"`` or
        ``"axis 2"``.
    shape
        Length of each axis.
    lag
        Frames of the stimulus less frames of the layer; None when it has no time, or fewer than
        one frame for each of the stimulus.
    """

    name: str
    kind: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    lag: int | None

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.axes.index("channel")]

    @property
    def frames(self) -> int:
        """Number of frames, 1 where there is no time."""
        return self.shape[self.axes.index("time")] if "time" in self.axes else 1

    def __str__(self) -> str:
        sizes = " × ".join(f"{n} {axis}" for axis, n in zip(self.axes, self.shape, strict=True))
        return f"{self.name}  {self.kind}  {sizes}"


class Layers(tuple[Layer, ...]):
    """Layers in the order in which they are called; printed one a line."""

    __slots__ = ()

    @property
    def names(self) -> list[str]:
        """The names alone."""
        return [layer.name for layer in self]

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or f"{_NONE[0].upper()}{_NONE[1:]}"


def list_layers(
    model: RetinaModel | nn.Module, *, time_steps: int | None = None, data_key: str | None = None
) -> Layers:
    """Return the layers of a model whose channels can be told apart.

    The model is asked for its response to two stimuli of zeros. A layer is listed when it gives a
    tensor, or a tuple that begins with one, whose first axis is the batch. The axis that grows
    with the stimulus is time; the first other axis is that of the channels. Layers that are called
    once a frame, or that fold the frames into the batch, are left out.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    time_steps
        Frames of the stimulus; the shortest that gives a response for None.
    data_key
        Session, the first one for None.

    Raises
    ------
    ValueError
        If the session does not exist, or the stimulus is too short.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    shape = face.stimulus_shape(face.lag + 1 if time_steps is None else time_steps, 2)
    longer = (1, shape[1], shape[2] + _MORE_FRAMES, *shape[3:])
    kinds = {name: type(part).__name__ for name, part in face.module.named_modules()}
    given, later = _all_outputs(face, shape, session), _all_outputs(face, longer, session)
    calls, calls_later = Counter(name for name, _ in given), Counter(name for name, _ in later)
    found = []
    for (name, call), two in given.items():
        one = later.get((name, call))
        if two is not None and one is not None and calls[name] == calls_later[name]:
            called = f"{name}#{call}" if calls[name] > 1 else name
            found.append(_described(called, kinds[name], two, one, shape[2]))
    return Layers(layer for layer in found if layer is not None)


def find_layer(layers: Sequence[Layer], name: str) -> Layer:
    """Return a layer by its name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest, and all there are.
    """
    for layer in layers:
        if layer.name == name:
            return layer
    names = [layer.name for layer in layers]
    if not names:
        raise ValueError(f"layer: {_NONE}")
    said = unknown_name("layer", name, names, "layer").partition("; known: ")[0]
    raise ValueError(f"{said}; known: {', '.join(map(repr, names))}")


def check_channels(layer: Layer, channels: Sequence[int] | int | None) -> tuple[int, ...]:
    """Return channels as whole numbers that count from 0, all of the layer for None.

    Raises
    ------
    TypeError
        If one is no whole number.
    ValueError
        If the layer has no such channel; the message names the nearest.
    """
    n = layer.channels
    if channels is None:
        return tuple(range(n))
    asked: list[Any] = [channels] if is_index(channels) or isinstance(channels, str) else []
    asked = asked or list(channels)  # type: ignore[arg-type]
    if not asked:
        raise ValueError("channels: expected at least one channel, got none")
    for one in asked:
        if not is_index(one):
            raise TypeError(f"channels: expected whole numbers, got {one!r}")
        if not 0 <= one < n:
            raise ValueError(
                f"channels: layer {layer.name!r} has no channel {one}; it has channels 0 to "
                f"{n - 1}, the nearest is {0 if one < 0 else n - 1}"
            )
    return tuple(int(one) for one in asked)


def layer_output(
    model: RetinaModel, name: str, stimulus: torch.Tensor, data_key: str
) -> torch.Tensor:
    """Run a model and return what one of its layers gave, ``(batch, ...)``.

    The layer carries a hook while the model runs, and none afterwards, also after an error.

    Raises
    ------
    ValueError
        If the layer is not called.
    """
    part, _, call = name.partition("#")
    with _outputs({part: model.module.get_submodule(part)}) as outputs:
        model(stimulus, data_key=data_key)
    if (tensor := outputs.get((part, int(call or 1)))) is None:
        raise ValueError(f"layer: {name!r} gave no tensor for this stimulus")
    return tensor


def _all_outputs(
    face: RetinaModel, shape: tuple[int, ...], session: str
) -> dict[_Call, tuple[int, ...] | None]:
    """Return the shape that each call of a module gave, in the order of the calls."""
    zeros = torch.zeros(shape, dtype=face.dtype, device=face.device)
    parts = {name: part for name, part in face.module.named_modules() if name}
    with torch.no_grad(), frozen(face), _outputs(parts) as outputs:
        face(zeros, data_key=session)
    return {call: None if one is None else tuple(one.shape) for call, one in outputs.items()}


@contextmanager
def _outputs(parts: dict[str, nn.Module]) -> Iterator[dict[_Call, torch.Tensor | None]]:
    """Gather what modules give to this thread, call by call; None for what is no tensor."""
    thread = threading.get_ident()  # another run may use the same module at the same time
    outputs: dict[_Call, torch.Tensor | None] = {}
    calls: Counter[str] = Counter()
    handles = []

    def gather(name: str, output: Any) -> None:
        if threading.get_ident() == thread:
            calls[name] += 1
            first = output[0] if isinstance(output, tuple | list) and output else output
            outputs[name, calls[name]] = first if isinstance(first, torch.Tensor) else None

    def hook_of(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: gather(name, output)

    try:
        for name, part in parts.items():
            handles.append(part.register_forward_hook(hook_of(name)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _described(
    name: str, kind: str, two: tuple[int, ...], one: tuple[int, ...], time_steps: int
) -> Layer | None:
    """Return a layer from its shapes for two short stimuli and for one that is longer."""
    if len(two) != len(one) or len(two) < 2 or (two[0], one[0]) != (2, 1):
        return None
    grown = [axis for axis in range(1, len(two)) if two[axis] != one[axis]]
    rest = [axis for axis in range(1, len(two)) if axis not in grown]
    if len(grown) > 1 or not rest or 0 in two:
        return None
    channel, *places = rest
    named = {channel: "channel"} | dict.fromkeys(grown, "time")
    spatial = ("height", "width") if len(places) == 2 else [f"axis {axis}" for axis in places]
    named |= dict(zip(places, spatial, strict=True))
    axes = tuple(named[axis] for axis in range(1, len(two)))
    every_frame = grown and one[grown[0]] - two[grown[0]] == _MORE_FRAMES
    return Layer(name, kind, axes, two[1:], time_steps - two[grown[0]] if every_frame else None)
