"""The best stimulus of many neurons, from many seeds, in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from openretina_widgets.insilico.compute import Precision
from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter
from openretina_widgets.insilico.stimulus_optimization.objective import NeuronsObjective, Window
from openretina_widgets.insilico.stimulus_optimization.optimizer import Steps, drain
from openretina_widgets.insilico.stimulus_optimization.parametrization import Parametrization
from openretina_widgets.insilico.stimulus_optimization.preconditioning import GradientFilter
from openretina_widgets.insilico.stimulus_optimization.regularizer import Limits
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.rows import OptimizerInit
from openretina_widgets.insilico.stimulus_optimization.seeded import (
    Seeded,
    check_settings,
    seeded,
)
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

Direction = Literal["increase", "decrease"]


def check_direction(direction: Any) -> None:
    """Refuse what is neither ``"increase"`` nor ``"decrease"``."""
    if direction not in ("increase", "decrease"):
        raise ValueError(f"direction: expected 'increase' or 'decrease', got {direction!r}")


def optimize_neurons(
    model: RetinaModel | nn.Module, neurons: Sequence[int] | int, **settings: Any
) -> OptimizationResult:
    """Find the best stimulus of each neuron, all at once.

    Every pair of neuron and seed is an experiment of its own: the elements of the result are the
    first neuron's seeds, then the second's. `openretina_widgets.optimize_groups`,
    `optimize_layer`, `optimize_function`, `most_discriminative_stimuli`, `diverse_stimuli`,
    `sparse_stimuli` and `optimize_population` take the same settings, from ``time_steps`` on.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        One neuron or several of the session.
    data_key
        Session, the first one for None.
    direction
        ``"increase"`` for the most exciting stimulus, ``"decrease"`` for the most depressing.
    seed
        One seed or several for each neuron.
    time_steps
        Frames of the stimulus.
    window
        First response frame whose mean counts, and the frame after the last; None for all
        ``time_steps - lag``.
    max_iterations, patience, min_delta
        Most iterations, and the end of an experiment whose loss has not fallen by more than
        ``min_delta`` for ``patience`` iterations; None for no such end.
    norm, stimulus_range
        L2 norm that each stimulus is held to and limits of each channel; None for those of the
        model, where it has some. ``math.inf`` for no norm.
    rms, mean_luminance
        RMS contrast and mean luminance that each stimulus is held to. One RMS contrast is that of
        all channels together, the root of their mean variance, and several are those of each
        channel; one mean luminance is that of every channel. The RMS contrast takes the place of
        the norm.
    learning_rate
        Step in model units: the L2 length of a step of `NormalizedDescent` where there is a norm
        or an RMS contrast, else Adam's. None for a tenth of the norm (about the mean luminance
        where that is held), or of the smallest limit of the range.
    optimizer_init_fn
        Another optimizer instead.
    precondition
        `openretina_widgets.GradientBlur` or `GradientSpectrum`: filters the gradient before each
        step. The way changes, not the optimum.
    jitter
        `openretina_widgets.Jitter`: shifts what the model sees in each iteration.
    parametrization
        `openretina_widgets.Separable`, `GaborSinusoid`, `DifferenceOfGaussians` or
        `LowFrequencies`: the best stimulus of that form, with ``parameters`` in the result. It is
        scaled to the norm, or to as much of it as its range leaves room for.
    regularizer, postprocessor
        One or several; the norm and the range are held after the postprocessors.
    precision, cuda_graph
        How the model is computed; see
        `openretina_widgets.insilico.stimulus_optimization.optimization_steps`.

    Returns
    -------
    OptimizationResult
        The best stimulus of each experiment, its score, response and parameters, why it ended, and
        the settings.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> result = optimize_neurons(model, [3, 7, 9], seed=0)
    >>> result.stimulus.shape
    torch.Size([3, 2, 50, 18, 16])
    """
    check_settings("optimize_neurons", settings, neuron_steps)
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
) -> Steps:
    """Check the arguments, and return the generator of the run's steps.

    Every pair of neuron and seed is an experiment of its own: neurons first, their seeds within.
    Pairs with the same seed start from the same noise. The same seed gives the same start on every
    device.

    Parameters, and what is raised, are those of `openretina_widgets.optimize_neurons`.

    Returns
    -------
    generator
        See `optimization_steps`.
    """
    return seeded_neurons(
        model,
        neurons,
        data_key=data_key,
        direction=direction,
        seed=seed,
        time_steps=time_steps,
        window=window,
        max_iterations=max_iterations,
        patience=patience,
        min_delta=min_delta,
        norm=norm,
        stimulus_range=stimulus_range,
        rms=rms,
        mean_luminance=mean_luminance,
        learning_rate=learning_rate,
        optimizer_init_fn=optimizer_init_fn,
        precondition=precondition,
        jitter=jitter,
        parametrization=parametrization,
        regularizer=regularizer,
        postprocessor=postprocessor,
        precision=precision,
        cuda_graph=cuda_graph,
    ).steps()


def seeded_neurons(
    model: RetinaModel | nn.Module,
    neurons: Sequence[int] | int,
    *,
    data_key: str | None = None,
    direction: Direction = "increase",
    **settings: Any,
) -> Seeded:
    """Check the arguments, which are those of `neuron_steps`, and return the experiments."""
    face = as_retina_model(model)
    session = face.session(data_key)
    chosen = face.check_neurons(neurons, session)
    check_direction(direction)

    def objective_of(seeds: int, frames: Window) -> NeuronsObjective:
        each = tuple(neuron for neuron in chosen for _ in range(seeds))
        return NeuronsObjective(
            face, each, session, frames, 1.0 if direction == "increase" else -1.0
        )

    return seeded(face, objective_of, len(chosen), **settings)
