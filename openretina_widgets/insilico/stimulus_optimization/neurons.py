"""The best stimulus of many neurons, from many seeds, in one batch."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsIndex

import torch
from torch import nn

from openretina_widgets.errors import check_positive, unknown_name
from openretina_widgets.insilico.stimulus_optimization.descent import NormalizedDescent
from openretina_widgets.insilico.stimulus_optimization.objective import (
    NeuronsObjective,
    Window,
    check_window,
)
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import (
    OptimizationStopper,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import (
    OptimizerInit,
    Steps,
    drain,
    optimization_steps,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    Limits,
    NormAndRange,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Direction = Literal["increase", "decrease"]

_START_RMS = 0.1  # of the noise a run starts from, in model units, before it is projected
_STEP = 0.1  # as a share of the norm, or of the range where there is no norm


def optimize_neurons(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int, **settings: Any
) -> OptimizationResult:
    """Find the best stimulus of each neuron, all at once.

    Settings, errors and result are those of `neuron_steps`: ``data_key``, ``seed``,
    ``direction``, ``time_steps``, ``window``, ``max_iterations``, ``patience``, ``min_delta``,
    ``norm``, ``stimulus_range``, ``learning_rate``, ``optimizer_init_fn``, ``regularizer`` and
    ``postprocessor``. The elements of the result are the first neuron's seeds, then the second's.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> result = optimize_neurons(model, [3, 7, 9], seed=0)
    >>> result.stimulus.shape
    torch.Size([3, 2, 50, 18, 16])
    """
    known = [*inspect.signature(neuron_steps).parameters][2:]
    for name in settings:
        if name not in known:
            raise TypeError(unknown_name("optimize_neurons", name, known, "setting"))
    return drain(neuron_steps(model, neurons, **settings))


def neuron_steps(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int,
    *,
    data_key: str | None = None,
    seed: int | Sequence[int] = 0,
    direction: Direction = "increase",
    time_steps: int = 50,
    window: Window | None = None,
    max_iterations: int = 200,
    patience: int | None = 30,
    min_delta: float = 0.0,
    norm: float | None = None,
    stimulus_range: Sequence[Limits] | None = None,
    learning_rate: float | None = None,
    optimizer_init_fn: OptimizerInit | None = None,
    regularizer: Any = None,
    postprocessor: Any = None,
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Every pair of neuron and seed is an experiment of its own: neurons first, their seeds within.
    Pairs with the same seed start from the same noise. The same seed gives the same start on every
    device.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One neuron or several of the session.
    data_key
        Session, the first one for None.
    seed
        One seed or several for each neuron.
    direction
        ``"increase"`` for the most exciting stimulus, ``"decrease"`` for the most depressing.
    time_steps
        Frames of the stimulus.
    window
        First response frame whose mean counts, and the frame after the last; None for all
        ``time_steps - lag``.
    max_iterations, patience, min_delta
        See `OptimizationStopper`.
    norm, stimulus_range
        L2 norm that each stimulus is held to and limits of each channel; None for those of the
        model, where it has some. ``math.inf`` for no norm.
    learning_rate
        Step in model units: the L2 length of a step of `NormalizedDescent` where there is a norm,
        else Adam's. None for a tenth of the norm, or of the smallest limit of the range.
    optimizer_init_fn
        Another optimizer instead.
    regularizer, postprocessor
        One or several; the norm and the range are held after the postprocessors.

    Returns
    -------
    generator
        See `optimization_steps`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    """
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = face.check_neurons(neurons, session)
    seeds = _checked_seeds(seed)
    if direction not in ("increase", "decrease"):
        raise ValueError(f"direction: expected 'increase' or 'decrease', got {direction!r}")
    if optimizer_init_fn is not None and learning_rate is not None:
        raise ValueError("learning_rate: leave it out when optimizer_init_fn is given")
    shape = face.stimulus_shape(time_steps)
    bounds = NormAndRange(
        norm=face.stimulus_norm if norm is None else None if norm == math.inf else norm,
        min_max_values=face.stimulus_range if stimulus_range is None else tuple(stimulus_range),
    )
    if bounds.norm is None and bounds.min_max_values is None and regularizer is None:
        raise ValueError(
            "norm, stimulus_range, regularizer: this model has no range of its own, and without "
            "any bound the stimulus grows for ever; give at least one"
        )
    start = torch.cat([_noise(shape, one) for one in seeds]).repeat(len(chosen), 1, 1, 1, 1)
    objective = NeuronsObjective(
        face,
        tuple(neuron for neuron in chosen for _ in seeds),
        session,
        check_window(window, time_steps - face.lag),
        1.0 if direction == "increase" else -1.0,
    )
    if optimizer_init_fn is None:
        optimizer_init_fn = _default_optimizer(bounds, learning_rate)
    before = () if postprocessor is None else postprocessor
    before = tuple(before) if isinstance(before, list | tuple) else (before,)
    return optimization_steps(
        start.to(device=face.device, dtype=face.dtype),
        optimizer_init_fn=optimizer_init_fn,
        objective_object=objective,
        optimization_stopper=OptimizationStopper(max_iterations, patience, min_delta),
        stimulus_regularization_loss=regularizer,
        stimulus_postprocessor=(*before, bounds),
        seeds=seeds * len(chosen),
    )


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


def _default_optimizer(bounds: NormAndRange, learning_rate: float | None) -> OptimizerInit:
    if bounds.norm is not None:
        length = check_positive(
            _STEP * bounds.norm if learning_rate is None else learning_rate, "learning_rate"
        )
        return lambda params: NormalizedDescent(params, lr=length)
    limits = [abs(limit) for pair in bounds.min_max_values or () for limit in pair if limit]
    step = check_positive(
        _STEP * min(limits, default=1.0) if learning_rate is None else learning_rate,
        "learning_rate",
    )
    return lambda params: torch.optim.Adam(params, lr=step)
