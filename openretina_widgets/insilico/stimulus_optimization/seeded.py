"""Experiments that start from the noise of a seed: what such runs have in common."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, SupportsIndex

import torch

from openretina_widgets.errors import check_positive, unknown_name
from openretina_widgets.insilico.compute import Precision, check_precision
from openretina_widgets.insilico.stimulus_optimization.contrast import (
    ContrastAndRange,
    bounds_of,
    length_of,
)
from openretina_widgets.insilico.stimulus_optimization.descent import NormalizedDescent
from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter, jittered
from openretina_widgets.insilico.stimulus_optimization.objective import Window, check_window
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import (
    OptimizationStopper,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import Run, Steps, checked_run
from openretina_widgets.insilico.stimulus_optimization.parametrization import Parametrization
from openretina_widgets.insilico.stimulus_optimization.parametrized import (
    Decoder,
    decoder_of,
    over_parameters,
)
from openretina_widgets.insilico.stimulus_optimization.preconditioning import (
    GradientFilter,
    check_filter,
    preconditioned,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    Limits,
    NormAndRange,
)
from openretina_widgets.insilico.stimulus_optimization.rows import OptimizerInit
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel

_START_RMS = 0.1  # of the noise a run starts from, in model units, before it is projected
_STEP = 0.1  # as a share of the norm, or of the range where there is no norm


@dataclass(frozen=True)
class StimulusShape:
    """What a run has to know of its stimuli where there is no model.

    Attributes
    ----------
    input_shape
        ``(channel, height, width)``.
    """

    input_shape: tuple[int, int, int]
    lag: ClassVar[int] = 0
    stimulus_range: ClassVar[None] = None
    stimulus_norm: ClassVar[None] = None
    frame_rate: ClassVar[float] = 30.0
    pixel_size_um: ClassVar[None] = None
    device: ClassVar[torch.device] = torch.device("cpu")
    dtype: ClassVar[torch.dtype] = torch.float32

    def stimulus_shape(self, time_steps: int) -> tuple[int, ...]:
        """Return the shape ``(1, channel, time, height, width)``."""
        if not is_index(time_steps) or time_steps < 1:
            raise ValueError(f"time_steps: expected a whole number >= 1, got {time_steps!r}")
        channel, height, width = self.input_shape
        return (1, channel, int(time_steps), height, width)


@dataclass(frozen=True)
class Seeded:
    """Experiments that each start from every seed, checked, before any start was drawn.

    Attributes
    ----------
    model
        The model, or the shape alone where there is none.
    shape
        Of one stimulus, ``(1, channel, time, height, width)``.
    seeds
        Of each experiment: element ``e * len(seeds) + s`` is experiment e from seed s.
    total
        Number of elements.
    settings
        What `checked_run` takes besides the starts and the seeds.
    form
        What makes stimuli of the rows, where these are variables of a parametrization.
    """

    model: RetinaModel | StimulusShape
    shape: tuple[int, ...]
    seeds: tuple[int, ...]
    total: int
    settings: dict[str, Any]
    form: Decoder | None = None

    def seeds_of(self, elements: Iterable[int]) -> tuple[int, ...]:
        """Return the seed of each element."""
        return tuple(self.seeds[element % len(self.seeds)] for element in elements)

    def starts(self, elements: Sequence[int]) -> torch.Tensor:
        """Draw the starts of some elements: noise, the same on every device."""
        seeds = self.seeds_of(elements)
        place = {seed: i for i, seed in enumerate(dict.fromkeys(seeds))}
        drawn = torch.cat([self._start(seed) for seed in place])
        drawn = drawn.to(device=self.model.device, dtype=self.model.dtype)
        return drawn[torch.tensor([place[seed] for seed in seeds], device=drawn.device)]

    def _start(self, seed: int) -> torch.Tensor:
        return _noise(self.shape, seed) if self.form is None else self.form.start(seed)

    def run(self, elements: Sequence[int]) -> Run:
        """Return the run of all elements, of which some are in the first batch."""
        run = checked_run(self.starts(elements), seeds=self.seeds_of(elements), **self.settings)
        if self.form is None:
            return run
        model = self.model if isinstance(self.model, RetinaModel) else None
        return replace(run, form=self.form, model=model)

    def steps(self) -> Steps:
        """Return the steps of all elements in one batch."""
        return self.run(range(self.total)).steps()


def seeded(
    model: RetinaModel | StimulusShape,
    objective_of: Callable[[int, Window], Any],
    experiments: int,
    frames: int | None = None,
    *,
    seed: int | Sequence[int] = 0,
    time_steps: int = 50,
    window: Window | None = None,
    max_iterations: int = 200,
    patience: int | None = 30,
    min_delta: float = 0.0,
    norm: float | None = None,
    stimulus_range: Sequence[Limits] | None = None,
    rms: float | Sequence[float] | None = None,
    mean_luminance: float | Sequence[float] | None = None,
    learning_rate: float | None = None,
    optimizer_init_fn: OptimizerInit | None = None,
    precondition: GradientFilter | None = None,
    jitter: Jitter | None = None,
    parametrization: Parametrization | None = None,
    regularizer: Any = None,
    postprocessor: Any = None,
    precision: Precision = "float32",
    cuda_graph: bool = True,
) -> Seeded:
    """Check a batch of experiments, each from every seed.

    `objective_of` makes the objective of the batch from the number of seeds and the response
    frames that count: element ``e * seeds + s`` is experiment e from seed s. `frames` is how many
    there are to count, ``time_steps - lag`` for None. All else is as in `neuron_steps`.
    """
    seeds = _checked_seeds(seed)
    if optimizer_init_fn is not None and learning_rate is not None:
        raise ValueError("learning_rate: leave it out when optimizer_init_fn is given")
    shape = model.stimulus_shape(time_steps)
    bounds = bounds_of(model, norm, stimulus_range, rms, mean_luminance)
    check_precision(precision, model.device)
    length = length_of(bounds, shape)
    if length is None and bounds.min_max_values is None and regularizer is None:
        raise ValueError(
            "norm, stimulus_range, regularizer: this model has no range of its own, and without "
            "any bound the stimulus grows for ever; give at least one"
        )
    counted = time_steps - model.lag if frames is None else frames
    objective = objective_of(len(seeds), check_window(window, counted))
    if precondition is not None:
        check_filter(precondition, "precondition")
    if jitter is not None:
        objective = jittered(objective, jitter)
        jitter.check_shape(shape)
    stopper = OptimizationStopper(max_iterations, patience, min_delta)
    total = len(seeds) * experiments
    bounds.check(_noise(shape, seeds[0]))  # before what is derived from it
    if parametrization is not None:
        if precondition is not None or postprocessor is not None:
            raise ValueError(
                "parametrization: precondition and postprocessor change values, not parameters; "
                "leave them out"
            )
        decoder = decoder_of(model, parametrization, bounds, time_steps)
        over = over_parameters(
            decoder,
            objective,
            learning_rate=learning_rate,
            optimizer_init_fn=optimizer_init_fn,
            stopper=stopper,
            regularizer=regularizer,
        )
        over |= {"precision": precision, "cuda_graph": cuda_graph}
        return Seeded(model, shape, seeds, total, over, decoder)
    if optimizer_init_fn is None:
        optimizer_init_fn = _default_optimizer(bounds, length, learning_rate)
    if precondition is not None:
        optimizer_init_fn = preconditioned(optimizer_init_fn, precondition, bounds)
    before = () if postprocessor is None else postprocessor
    before = tuple(before) if isinstance(before, list | tuple) else (before,)
    return Seeded(
        model,
        shape,
        seeds,
        total,
        {
            "optimizer_init_fn": optimizer_init_fn,
            "objective_object": objective,
            "optimization_stopper": stopper,
            "stimulus_regularization_loss": regularizer,
            "stimulus_postprocessor": (*before, bounds),
            "precision": precision,
            "cuda_graph": cuda_graph,
        },
    )


def check_settings(asked: str, given: Mapping[str, Any], *takers: Callable[..., Any]) -> None:
    """Refuse a setting that none of the functions takes by name.

    Raises
    ------
    TypeError
        In the name of the function that was `asked`; the message names the nearest setting.
    """
    known = [
        name
        for taker in takers
        for name, one in inspect.signature(taker).parameters.items()
        if one.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in given:
        if name not in known:
            raise TypeError(unknown_name(asked, name, known, "setting"))


def _checked_seeds(seed: int | Sequence[int]) -> tuple[int, ...]:
    seeds = tuple(seed) if isinstance(seed, Iterable) else (seed,)
    if not seeds:
        raise ValueError("seed: expected at least one seed, got none")
    for one in seeds:
        if isinstance(one, bool) or not isinstance(one, SupportsIndex) or operator.index(one) < 0:
            raise ValueError(f"seed: expected whole numbers >= 0, got {one!r}")
    return tuple(map(operator.index, seeds))


def _noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return _START_RMS * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _default_optimizer(
    bounds: NormAndRange | ContrastAndRange, held: float | None, learning_rate: float | None
) -> OptimizerInit:
    if held is not None:
        length = check_positive(
            _STEP * held if learning_rate is None else learning_rate, "learning_rate"
        )
        return lambda params: NormalizedDescent(params, lr=length)
    limits = [abs(limit) for pair in bounds.min_max_values or () for limit in pair if limit]
    step = check_positive(
        _STEP * min(limits, default=1.0) if learning_rate is None else learning_rate,
        "learning_rate",
    )
    return lambda params: torch.optim.Adam(params, lr=step)
