"""One stimulus for several neurons: the mean of their responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    check_window,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings, seeded
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model


@dataclass(frozen=True)
class TogetherObjective:
    """The mean response of the same neurons in every element.

    Attributes
    ----------
    neurons
        Neurons whose mean response counts.
    frames
        First response frame that counts and the frame after the last.
    sign
        1 to increase the response, -1 to decrease it.
    """

    model: RetinaModel
    neurons: tuple[int, ...]
    data_key: str
    frames: Window
    sign: float = 1.0
    batched: bool = field(default=True, init=False)

    @cached_property
    @torch.inference_mode(False)  # kept for calls that take gradients
    def _index(self) -> torch.Tensor:
        return torch.tensor(self.neurons, device=self.model.device)

    def evaluate(self, stimulus: torch.Tensor) -> Evaluation:
        """Score a batch ``(batch, channel, time, height, width)``."""
        response = self.model(stimulus, data_key=self.data_key)
        mean = response.index_select(2, self._index).mean(dim=2)
        start, stop = self.frames
        return Evaluation(self.sign * mean[:, start:stop].mean(dim=1), mean.detach())

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(stimulus).score

    def keep(self, elements: Sequence[int]) -> TogetherObjective:
        """Return the objective for some elements of the batch: it is the same for all."""
        return self

    def window(self, time_steps: int) -> Window:
        """Return the response frames that count."""
        return check_window(self.frames, time_steps - self.model.lag)


def optimize_together(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int, **settings: Any
) -> OptimizationResult:
    """Find the stimulus that drives several neurons best, by the mean of their responses.

    Settings, errors and result are those of `together_steps`. The elements of the result are the
    seeds.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> result = optimize_together(model, model.neurons_of("ON sustained"), seed=0)
    """
    check_settings("optimize_together", settings, together_steps, seeded)
    return drain(together_steps(model, neurons, **settings))


def together_steps(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int,
    *,
    data_key: str | None = None,
    direction: Literal["increase", "decrease"] = "increase",
    **settings: Any,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        Neurons of the session, such as ``model.neurons_of("ON sustained")``.
    data_key
        Session, the first one for None.
    direction
        ``"increase"`` or ``"decrease"``.
    **settings
        ``seed``, ``time_steps``, ``window``, and what else `neuron_steps` takes.

    Returns
    -------
    generator
        See `optimization_steps`. In the result, ``response`` is the mean of the neurons.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    check_settings("together_steps", settings, together_steps, seeded)
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = tuple(face.check_neurons(neurons, session))
    if not chosen:
        raise ValueError("neurons: expected a neuron at least, got none")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons: expected each neuron once, got {list(chosen)}")
    if direction not in ("increase", "decrease"):
        raise ValueError(f"direction: expected 'increase' or 'decrease', got {direction!r}")

    def objective_of(seeds: int, frames: Window) -> TogetherObjective:
        sign = 1.0 if direction == "increase" else -1.0
        return TogetherObjective(face, chosen, session, frames, sign)

    return seeded(face, objective_of, 1, **settings).steps()
