from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.shown_stimulus import ShownStimulus, show_stimulus
from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    IncreaseObjective,
    OptimizationResult,
    OptimizationStopper,
    SliceMeanReducer,
    TemporalLowPass,
    TotalVariationRegularizer,
    optimize_stimulus,
)


@pytest.fixture(autouse=True, scope="package")
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def model() -> orw.RetinaModel:
    return orw.load_model("synthetic")


@pytest.fixture(scope="package")
def best(model) -> OptimizationResult:
    """Two neurons with two seeds each; a regularizer, a postprocessor; 50 frames."""
    return orw.optimize_neurons(
        model,
        [40, 3],
        seed=[4, 1],
        max_iterations=12,
        regularizer=TotalVariationRegularizer(0.02),
        postprocessor=TemporalLowPass(1.0),
    )


@pytest.fixture(scope="package")
def discriminative(model) -> OptimizationResult:
    """One of three groups, two seeds."""
    groups = {name: model.neurons_of(name) for name in ("ON-OFF DS 0°", "ON DS 0°", "OS 0°")}
    return orw.most_discriminative_stimuli(
        model, groups, targets="ON DS 0°", seed=[2, 5], temperature=0.2, max_iterations=4
    )


@pytest.fixture(scope="package")
def given_start(model) -> OptimizationResult:
    """The way of `optimize_stimulus`: a start of one's own, a torch optimizer, a reducer."""
    start = torch.randn(1, 2, 30, 18, 16, generator=torch.Generator().manual_seed(3))
    return optimize_stimulus(
        start,
        lambda params: torch.optim.Adam(params, lr=0.05, betas=(0.8, 0.99)),
        IncreaseObjective(model, [5], "synthetic", response_reducer=SliceMeanReducer(0, 3, 5)),
        OptimizationStopper(6),
        None,
        ClipStimulus(-1, 1),
    )


@pytest.fixture(scope="package")
def gratings(model) -> orw.TuningCurves:
    return orw.sweep(
        model,
        orw.experiments.drifting_gratings(directions=4, temporal_frequencies=[1, 2]),
        neurons=[8, 30, 2],
        repeats=3,
        noise="poisson",
        spikes_per_unit=20.0,
        seed=5,
        controls=["blank", "scrambled"],
    )


@pytest.fixture(scope="package")
def spots(model) -> orw.TuningCurves:
    """Each neuron sees its own: the centres belong to the result."""
    experiment = orw.experiments.size_tuning([100, 300, 700], duration_s=0.3)
    return orw.sweep(model, experiment, neurons=[0, 9], seed=2)


@pytest.fixture(scope="package")
def gradient(model) -> orw.ReceptiveFields:
    return orw.receptive_fields(model, neurons=[0, 30, 4])


@pytest.fixture(scope="package")
def local_gradient(model) -> orw.ReceptiveFields:
    image = np.random.default_rng(0).normal(size=(18, 16)) * 0.3
    return orw.receptive_fields(model, neurons=[0, 30], method="local gradient", base=image)


@pytest.fixture(scope="package")
def average(model) -> orw.ReceptiveFields:
    """Gaussian noise in pieces: which pieces decides which numbers are drawn."""
    return orw.receptive_fields(
        model, neurons=[0, 1], method="sta", frames=350, chunk=100, noise="gaussian", seed=7
    )


@pytest.fixture(scope="package")
def table(model) -> orw.SelectivityTable:
    """Some neurons of those that were measured together, in another order."""
    whole = orw.selectivity_table(
        model, neurons=[28, 0, 4, 32], measure=["flash", "direction", "receptive_field"]
    )
    return whole.where("dsi > -1").sort("on_off", descending=True).take(np.array([0, 3, 1]))


@pytest.fixture(scope="package")
def contrasts(model) -> orw.ResponseGradient:
    """A flash on each receptive field, with both channels at one norm."""
    return orw.response_gradient(
        model, "local", neurons=[0, 68, 30], green=[-1, 0, 1], uv=[-0.5, 0.5], equalize=True
    )


@pytest.fixture(scope="package")
def own_contrasts(model, best) -> orw.ResponseGradient:
    """Each neuron's own best stimulus: the movies belong to the result."""
    return orw.response_gradient(model, best, green=[-1, 0, 1], uv=[0, 1], align=True)


@pytest.fixture(scope="package")
def noise_field(model) -> orw.VectorField:
    return orw.vector_field(model, neurons=[24, 72], seed=3, window=(2, 9))


@pytest.fixture(scope="package")
def image_field(model) -> orw.VectorField:
    images = np.random.default_rng(1).normal(size=(5, 18, 16)) * 0.4
    return orw.vector_field(model, images, neurons=[24, 72, 0], plane="images")


@pytest.fixture(scope="package")
def population(model) -> orw.PopulationResult:
    """Some neurons, two seeds, more of them than the pool has rows."""
    return orw.optimize_population(
        model, [40, 3, 9], seed=[4, 1], chunk=4, time_steps=25, max_iterations=6
    )


@pytest.fixture(scope="package")
def bar(model) -> ShownStimulus:
    return show_stimulus(model, "moving_bar", direction=35.0, centre=(50.0, 0.0), neurons=[3, 40])


@pytest.fixture(scope="package")
def session(
    best,
    discriminative,
    given_start,
    gratings,
    spots,
    gradient,
    local_gradient,
    average,
    table,
    bar,
    contrasts,
    own_contrasts,
    noise_field,
    image_field,
):
    return {
        "best": best,
        "told apart": discriminative,
        "a start <b>given</b>": given_start,
        "gratings": gratings,
        "spots": spots,
        "gradient": gradient,
        "local gradient": local_gradient,
        "average": average,
        "table": table,
        "bar": bar,
        "contrasts": contrasts,
        "own contrasts": own_contrasts,
        "noise field": noise_field,
        "image field": image_field,
    }
