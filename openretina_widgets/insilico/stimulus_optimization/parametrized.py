"""Runs over the parameters of stimuli instead of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.stimulus_optimization.objective import (
    Evaluation,
    Window,
    evaluate,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import (
    _as_tuple,
    described,
)
from openretina_widgets.insilico.stimulus_optimization.parametrization import (
    Geometry,
    Parametrization,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    NormAndRange,
    _bounds,
    penalty_of,
    stimulus_norm,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.rows import OptimizerInit

_STEP = 0.2  # of the variables, whose start has standard deviation 1

_LEFT = 0.1  # of the first step, after all iterations


class AnnealedAdam(torch.optim.Adam):
    """Adam whose step shrinks by a factor in every iteration, so that it settles.

    Parameters
    ----------
    params
        Tensors.
    lr
        First step.
    decay
        Factor from one step to the next, in (0, 1].
    """

    def __init__(self, params: list[torch.Tensor], lr: float, decay: float) -> None:
        if not 0 < decay <= 1:
            raise ValueError(f"decay: expected a number in (0, 1], got {decay!r}")
        super().__init__(params, lr=lr)
        self.defaults["decay"] = decay

    def step(self, closure: Any = None) -> Any:
        """Move, and shrink the step."""
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] *= self.defaults["decay"]
        return loss


@dataclass(frozen=True)
class Decoder:
    """Makes stimuli within bounds from variables ``(batch, variable, 1, 1, 1)``.

    A stimulus is scaled to the norm, or to as much of it as its range leaves room for.
    """

    parametrization: Parametrization
    geometry: Geometry
    bounds: NormAndRange

    @property
    def frames(self) -> int:
        """Frames of the stimuli."""
        return self.geometry.frames

    def start(self, seed: int) -> torch.Tensor:
        """Return the variables that a seed starts from, ``(1, variable, 1, 1, 1)``."""
        count = self.parametrization.count(self.geometry)
        drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        return drawn.view(1, count, 1, 1, 1)

    def stimuli(self, x: torch.Tensor) -> torch.Tensor:
        """Return the stimuli ``(batch, channel, time, height, width)``."""
        return self.decoded(x)[0]

    def result(self, result: OptimizationResult) -> OptimizationResult:
        """Return a result over variables as one over stimuli, with their parameters."""
        with torch.no_grad():
            stimulus, amplitude = self.decoded(result.stimulus)
            named = self.parametrization.parameters(
                result.stimulus.flatten(1), self.geometry, amplitude
            )
        settings = {
            **result.settings,
            "parametrization": described(self.parametrization),
            "postprocessors": [described(self.bounds)],
        }
        return replace(
            result,
            stimulus=stimulus,
            norm=stimulus_norm(stimulus),
            parameters={name: value.contiguous() for name, (value, _) in named.items()},
            parameter_units={name: unit for name, (_, unit) in named.items()},
            settings=settings,
        )

    def decoded(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the stimuli, and the amplitude ``(batch,)`` that scaled them."""
        shape = self.parametrization.decoded(x.flatten(1), self.geometry)
        tiny = torch.finfo(x.dtype).tiny
        amplitude = shape.new_ones(len(shape))
        if self.bounds.norm is not None:
            amplitude = self.bounds.norm / stimulus_norm(shape).clamp(min=tiny)
        if self.bounds.min_max_values is not None:
            low, high = _bounds(self.bounds, self.bounds.min_max_values, shape)
            above = shape.flatten(2).amax(dim=2).clamp(min=tiny)
            below = shape.flatten(2).amin(dim=2).clamp(max=-tiny)
            room = torch.minimum(high.flatten() / above, low.flatten() / below).amin(dim=1)
            amplitude = room if self.bounds.norm is None else torch.minimum(amplitude, room)
            scaled = shape * amplitude.view(-1, 1, 1, 1, 1)
            return scaled.clamp(min=low, max=high), amplitude  # of what rounding leaves beyond
        return shape * amplitude.view(-1, 1, 1, 1, 1), amplitude


@dataclass(frozen=True)
class ParametrizedObjective:
    """Another objective, of the stimulus that variables stand for."""

    objective: Any
    decoder: Decoder
    batched: bool = field(default=True, init=False)
    replayable: ClassVar[bool] = False  # a parametrization of one's own may do as it likes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "objective":
            raise AttributeError(name)
        return getattr(self.objective, name)  # its neurons, session and lag

    @property
    def model(self) -> None:
        """None: a model would ask for stimuli, and the rows are none."""

    _model = model

    def window(self, frames: int) -> Window | None:
        """Return the response frames that count, of the stimulus that is decoded."""
        window = getattr(self.objective, "window", None)
        return None if window is None else window(self.decoder.frames)

    def described(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the settings of the other objective."""
        return describe(self.objective)

    def at(self, iterations: Sequence[int]) -> ParametrizedObjective:
        """Return the objective of rows that are at these iterations."""
        at = getattr(self.objective, "at", None)
        return self if at is None else replace(self, objective=at(iterations))

    def unshifted(self) -> ParametrizedObjective | None:
        """Return the objective of stimuli as they are, None where it is this one."""
        unshifted = getattr(self.objective, "unshifted", None)
        return None if unshifted is None else replace(self, objective=unshifted())

    def evaluate(self, x: torch.Tensor) -> Evaluation:
        """Score a batch of variables."""
        return evaluate(self.objective, self.decoder.stimuli(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(batch,)``, to be maximised."""
        return self.evaluate(x).score

    def keep(self, elements: Sequence[int]) -> ParametrizedObjective:
        """Return the same objective for some elements of the batch."""
        keep = getattr(self.objective, "keep", None)
        return self if keep is None else replace(self, objective=keep(elements))


@dataclass(frozen=True)
class _OnStimuli:
    """The penalty of the stimuli that variables stand for."""

    regularizer: Any
    decoder: Decoder
    batched: bool = field(default=True, init=False)

    def described(self, describe: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the settings of the regularizer."""
        return describe(self.regularizer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return penalty_of([self.regularizer], self.decoder.stimuli(x))


def decoder_of(
    model: Any, parametrization: Parametrization, bounds: Any, time_steps: int
) -> Decoder:
    """Check a parametrization and what it is scaled to, and return what decodes it.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    wanted = ("count", "decoded", "parameters")
    if isinstance(parametrization, type) or not all(
        callable(getattr(parametrization, name, None)) for name in wanted
    ):
        raise TypeError(
            "parametrization: expected openretina_widgets.Separable(), GaborSinusoid(), "
            "DifferenceOfGaussians() or LowFrequencies(), or an object with count, decoded and "
            f"parameters, got {parametrization!r}"
        )
    if not isinstance(bounds, NormAndRange):
        raise ValueError(
            "parametrization: it is scaled to a norm and a range; rms and mean_luminance cannot "
            "be held with it"
        )
    for channel, (low, high) in enumerate(bounds.min_max_values or ()):
        if (low is not None and low >= 0) or (high is not None and high <= 0):
            raise ValueError(
                "parametrization: it is scaled to its range, which has to hold 0 within; that of "
                f"channel {channel} is ({low}, {high})"
            )
    if bounds.norm is None and not any(None not in one for one in bounds.min_max_values or ()):
        raise ValueError("norm, stimulus_range: a parametrization needs one to be scaled to")
    channels, height, width = model.input_shape
    geometry = Geometry(channels, time_steps, height, width, model.frame_rate, model.pixel_size_um)
    return Decoder(parametrization, geometry, bounds)


def over_parameters(
    decoder: Decoder,
    objective: Any,
    *,
    learning_rate: float | None,
    optimizer_init_fn: OptimizerInit | None,
    stopper: Any,
    regularizer: Any,
) -> dict[str, Any]:
    """Return the settings of a run over variables, as `checked_run` takes them.

    A ``learning_rate`` is that of the variables, whose start has standard deviation 1.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    given = _as_tuple(regularizer, "forward", "stimulus_regularization_loss")
    if optimizer_init_fn is None:
        first = check_positive(_STEP if learning_rate is None else learning_rate, "learning_rate")
        decay = _LEFT ** (1 / (stopper.max_iterations or 200))
        optimizer_init_fn = _annealed(first, decay)
    return {
        "optimizer_init_fn": optimizer_init_fn,
        "objective_object": ParametrizedObjective(objective, decoder),
        "optimization_stopper": stopper,
        "stimulus_regularization_loss": tuple(_OnStimuli(one, decoder) for one in given),
    }


def _annealed(lr: float, decay: float) -> OptimizerInit:
    return lambda params: AnnealedAdam(params, lr=lr, decay=decay)
