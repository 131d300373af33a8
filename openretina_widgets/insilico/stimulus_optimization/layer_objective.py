"""What a channel of an inner layer likes best."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    check_window,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
from openretina_widgets.models.layers import Layer, check_channels, find_layer, layer_output
from openretina_widgets.models.layers import list_layers as list_layers_of
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Place = Literal["mean", "middle"]
_PLACES = ("mean", "middle")


@dataclass(frozen=True)
class LayerObjective:
    """Maximise a channel of an inner layer; of several channels, one an element of the batch.

    The model runs with a hook on the layer, which is removed after each evaluation. The layer has
    to be there, so a form of the model that computes the same response in another way will not do.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    layer
        Name of a layer, see `list_layers`.
    channel
        The channel, or that of each element of the batch.
    data_key
        Session for which the model runs, the first one for None.
    place
        ``"mean"`` for the mean over the layer's whole frame, ``"middle"`` for its middle place.
    frames
        First frame of the layer that counts and the frame after the last; None for all.
    sign
        1 to increase the channel, -1 to decrease it.

    Raises
    ------
    TypeError, ValueError
        If a layer, a channel or a session does not exist; the message names the nearest.
    """

    model: RetinaModel
    layer: str
    channel: int | Sequence[int]
    data_key: str | None = None
    place: Place = "mean"
    frames: Window | None = None
    sign: float = 1.0
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = True
    as_it_is: ClassVar[bool] = True  # the layer is not in a faster form
    _shape: Layer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "model", as_retina_model(self.model))
        put(self, "data_key", self.model.session(self.data_key))
        if self.place not in _PLACES:
            raise ValueError(unknown_name("place", self.place, _PLACES, "place"))
        put(self, "_shape", self._layer(None))
        checked = check_channels(self._shape, self.channel)
        put(self, "channel", checked if not isinstance(self.channel, int) else checked[0])

    def _layer(self, time_steps: int | None) -> Layer:
        layers = list_layers_of(self.model, time_steps=time_steps, data_key=self.data_key)
        return find_layer(layers, self.layer)

    @property
    def lag(self) -> int | None:
        """Frames of the stimulus less frames of the layer."""
        return self._shape.lag

    @cached_property
    @torch.inference_mode(False)  # kept for calls that take gradients
    def _channels(self) -> torch.Tensor:
        return torch.tensor(self.channel, device=self.model.device)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        given = layer_output(self.model, self.layer, stimulus, str(self.data_key))
        axes = self._shape.axes
        given = given.movedim(1 + axes.index("channel"), 1)
        if self._channels.ndim and len(self._channels) != len(given):
            raise ValueError(
                f"channel: {len(self._channels)} channels were given for a batch of {len(given)}"
            )
        index = self._channels.view(-1, 1, *[1] * (given.ndim - 2))
        own = given.gather(1, index.expand(len(given), 1, *given.shape[2:])).squeeze(1)
        timed = "time" in axes
        if timed:
            own = own.movedim([a for a in axes if a != "channel"].index("time") + 1, 1)
        else:
            own = own.unsqueeze(1)
        if self.place == "middle":
            for size in own.shape[:1:-1]:
                own = own[..., size // 2]
        else:
            own = own.flatten(2).mean(dim=2) if own.ndim > 2 else own
        start, stop = check_window(self.frames, own.shape[1])
        score = self.sign * own[:, start:stop].mean(dim=1)
        return Evaluation(score, own.detach() if timed else None)

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def keep(self, elements: Sequence[int]) -> LayerObjective:
        """Return the same objective for some elements of the batch."""
        if isinstance(self.channel, int):
            return self
        kept = copy.copy(self)
        kept.__dict__.pop("_channels", None)
        object.__setattr__(kept, "channel", tuple(self.channel[element] for element in elements))
        return kept

    def window(self, time_steps: int) -> Window:
        """Return the frames of the layer that count."""
        return check_window(self.frames, self._layer(time_steps).frames)


def optimize_layer(
    model: RetinaModel | nn.Module,
    layer: str,
    channels: Sequence[int] | int | None = None,
    **settings: Any,
) -> OptimizationResult:
    """Find the best stimulus of each channel of an inner layer, all at once.

    Settings, errors and result are those of
    `openretina_widgets.insilico.stimulus_optimization.layer_steps`: ``data_key``, ``direction``,
    ``place``, and what `openretina_widgets.optimize_neurons` lists, from ``seed`` on. The elements
    of the result are the first channel's seeds, then the second's.

    Examples
    --------
    >>> model = load_model("trained")
    >>> list_layers(model)
    >>> result = optimize_layer(model, "core.features.layer0", [0, 1], seed=0)
    """
    check_settings("optimize_layer", settings, layer_steps, seeded)
    return drain(layer_steps(model, layer, channels, **settings))


def layer_steps(
    model: RetinaModel | nn.Module,
    layer: str,
    channels: Sequence[int] | int | None = None,
    *,
    data_key: str | None = None,
    direction: Literal["increase", "decrease"] = "increase",
    place: Place = "mean",
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    layer
        Name of a layer, see `list_layers`.
    channels
        One channel or several; None for all of the layer.
    data_key
        Session for which the model runs, the first one for None; a core is the same for all.
    direction
        ``"increase"`` or ``"decrease"``.
    place
        ``"mean"`` for the mean over the layer's whole frame, ``"middle"`` for its middle place.
    **settings
        ``seed``, ``time_steps``, ``window`` (in frames of the layer), and what else `neuron_steps`
        takes.

    Returns
    -------
    generator
        See `optimization_steps`. In the result, ``settings["objective"]`` names layer and
        channels, ``response`` is that of the layer, and ``lag`` its lag.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("layer_steps", settings, layer_steps, seeded)
    if direction not in ("increase", "decrease"):
        raise ValueError(f"direction: expected 'increase' or 'decrease', got {direction!r}")
    face = as_retina_model(model)
    session = face.session(data_key)
    time_steps = settings.get("time_steps", 50)
    found = find_layer(list_layers_of(face, time_steps=time_steps, data_key=session), layer)
    chosen = check_channels(found, channels)

    def objective_of(seeds: int, frames: Window) -> LayerObjective:
        each = tuple(channel for channel in chosen for _ in range(seeds))
        sign = 1.0 if direction == "increase" else -1.0
        return LayerObjective(face, layer, each, session, place, frames, sign)

    return seeded(face, objective_of, len(chosen), found.frames, **settings).steps()
