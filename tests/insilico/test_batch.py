"""A batch is independent experiments: element b comes out as it would alone."""

from __future__ import annotations

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    IncreaseObjective,
    NormalizedDescent,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    RangeRegularizer,
    TotalVariationRegularizer,
    optimize_stimulus,
)
from openretina_widgets.insilico.stimulus_optimization.objective import NeuronsObjective
from openretina_widgets.insilico.stimulus_optimization.optimizer import (
    _CHECK_EVERY,
    drain,
    optimization_steps,
)
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    TrainedNetwork,
    noise,
    random_filters,
)

BATCH = 4
OPTIMIZERS = {
    "SGD with momentum": lambda params: torch.optim.SGD(params, lr=0.02, momentum=0.9),
    "Adam": lambda params: torch.optim.Adam(params, lr=0.1),
    "NormalizedDescent": lambda params: NormalizedDescent(params, lr=0.3, momentum=0.5),
}


class Decaying(torch.optim.SGD):
    """Its steps get shorter, as with a schedule."""

    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] *= 0.9
        return loss


OPTIMIZERS["a schedule"] = lambda params: Decaying(params, lr=0.3)


@pytest.fixture(params=list(OPTIMIZERS))
def optimizer(request):
    return OPTIMIZERS[request.param]


@pytest.fixture
def model():
    """Neurons that saturate, of different gains: they reach a plateau at different times."""
    gains = torch.tensor([0.2, 0.5, 1.0, 1.6]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(0.2 * gains * random_filters(BATCH), nonlinearity=torch.tanh)
    return RetinaModel(module, input_shape=INPUT_SHAPE)


def run(model: RetinaModel, elements: tuple[int, ...], optimizer, **settings) -> OptimizationResult:
    start = noise(BATCH, LAG + 2)[list(elements)]
    return drain(
        optimization_steps(
            start,
            optimizer_init_fn=optimizer,
            objective_object=NeuronsObjective(model, elements, "default", (0, 2)),
            optimization_stopper=OptimizationStopper(30, patience=4, min_delta=1e-3),
            **settings,
        )
    )


def assert_same(together: OptimizationResult, alone: list[OptimizationResult]) -> None:
    for b, one in enumerate(alone):
        assert together.stop_reasons[b] == one.stop_reasons[0]
        assert together.iterations[b] == one.iterations[0]
        assert together.best_iteration[b] == one.best_iteration[0]
        assert together.neurons[b : b + 1] == one.neurons
        for name in ("stimulus", "score", "penalty", "norm", "response"):
            if getattr(together, name) is None:
                continue
            torch.testing.assert_close(
                getattr(together, name)[b], getattr(one, name)[0], atol=1e-5, rtol=1e-5
            )
        length = int(one.iterations[0]) + 1
        torch.testing.assert_close(
            together.score_trace[:length, b],
            one.score_trace[:, 0],
            atol=1e-5,
            rtol=1e-5,
            equal_nan=True,
        )
        assert torch.isnan(together.score_trace[length:, b]).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"stimulus_postprocessor": ClipStimulus(-1.0, 1.0)},
        {"stimulus_postprocessor": NormAndRange(6.0, [(-1.0, 1.0), (-0.5, 1.5)])},
        {
            "stimulus_regularization_loss": [
                TotalVariationRegularizer(0.1),
                RangeRegularizer([(-1.0, 1.0)] * 2, max_norm=4.0, factor=0.1),
            ]
        },
    ],
    ids=["clip", "norm and range", "penalties"],
)
def test_a_batch_is_as_many_single_runs(model, optimizer, settings):
    together = run(model, tuple(range(BATCH)), optimizer, **settings)
    alone = [run(model, (b,), optimizer, **settings) for b in range(BATCH)]
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, alone)


def test_a_batch_of_starts_for_one_neuron_is_as_many_single_runs(model, optimizer):
    def run_from(stimulus: torch.Tensor) -> OptimizationResult:
        return optimize_stimulus(
            stimulus,
            optimizer,
            IncreaseObjective(model, [1, 3]),
            OptimizationStopper(80, patience=4, min_delta=1e-2),
            stimulus_postprocessor=ClipStimulus(-1.0, 1.0),
        )

    scale = torch.tensor([0.1, 1.0, 3.0, 10.0]).view(-1, 1, 1, 1, 1)
    start = scale * noise(4, LAG + 2)
    together = run_from(start.clone())
    assert len(set(together.iterations.tolist())) > 1
    assert_same(together, [run_from(x.clone()) for x in start.split(1)])


def test_a_batch_on_a_network_is_as_many_single_runs(optimizer):
    """Batch norm in train mode would couple the elements."""
    network = TrainedNetwork()

    def run_from(stimulus: torch.Tensor) -> OptimizationResult:
        return optimize_stimulus(
            stimulus,
            optimizer,
            IncreaseObjective(network, 1),
            OptimizationStopper(25),
            stimulus_postprocessor=NormAndRange(4.0, [(-1.0, 1.0)] * 2),
        )

    start = noise(4, 7)
    assert_same(run_from(start.clone()), [run_from(x.clone()) for x in start.split(1)])


def test_elements_that_have_ended_leave_the_batch(model):
    seen: list[int] = []
    model.module.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    result = run(
        model,
        tuple(range(BATCH)),
        OPTIMIZERS["NormalizedDescent"],
        stimulus_postprocessor=NormAndRange(6.0),
    )
    running = [
        int((result.iterations >= iteration).sum()) for iteration in range(len(result.score_trace))
    ]
    assert seen == running
    assert running[0] == BATCH > running[-1]


def test_steps_say_which_elements_go_on(model):
    steps = optimization_steps(
        noise(BATCH, LAG + 2),
        optimizer_init_fn=OPTIMIZERS["NormalizedDescent"],
        objective_object=NeuronsObjective(model, tuple(range(BATCH)), "default", (0, 2)),
        optimization_stopper=OptimizationStopper(30, patience=4, min_delta=1e-3),
        stimulus_postprocessor=NormAndRange(6.0),
    )
    sizes = set()
    for step in steps:
        rows = len(step.elements)
        sizes.add(rows)
        assert len(step.score) == len(step.stimulus) == len(step.response) == rows
        going = torch.isfinite(step.score_trace[-1]).nonzero().flatten()
        assert tuple(going.tolist()) == step.elements
        own = [model(x[None])[0, :, n] for x, n in zip(step.stimulus, step.elements, strict=True)]
        torch.testing.assert_close(step.response, torch.stack(own).detach(), atol=1e-6, rtol=1e-5)
    assert len(sizes) > 1


def test_asking_only_now_and_then_who_has_ended_gives_the_same(model, optimizer, monkeypatch):
    """As on a GPU: what has ended stays in the batch for a while, and none of it is reported."""
    settings = {"stimulus_postprocessor": NormAndRange(6.0, [(-1.0, 1.0)] * 2)}
    elements = tuple(range(BATCH))
    every_step = run(model, elements, optimizer, **settings)
    monkeypatch.setitem(_CHECK_EVERY, "cpu", 7)
    now_and_then = run(model, elements, optimizer, **settings)
    assert len(set(every_step.iterations.tolist())) > 1
    assert now_and_then.stop_reasons == every_step.stop_reasons
    for name in ("iterations", "best_iteration", "stimulus", "score", "norm", "score_trace"):
        torch.testing.assert_close(
            getattr(now_and_then, name),
            getattr(every_step, name),
            atol=1e-5,
            rtol=1e-5,
            equal_nan=True,
        )


@pytest.mark.parametrize("every", [1, 7])
def test_elements_that_turn_nan_harm_no_other_while_they_are_still_there(
    optimizer, monkeypatch, every
):
    def nan_beyond_one(x: torch.Tensor) -> torch.Tensor:
        return x.tanh().sum() + 0 * (1.0 - x.mean()).sqrt()  # its gradient turns NaN as well

    monkeypatch.setitem(_CHECK_EVERY, "cpu", every)
    starts = torch.tensor([0.9, -2.0, 0.5]).view(3, 1, 1, 1, 1).expand(3, 2, 1, 2, 2)

    def run_from(stimulus: torch.Tensor) -> OptimizationResult:
        return optimize_stimulus(stimulus, optimizer, nan_beyond_one, OptimizationStopper(20))

    together = run_from(starts.clone())
    assert_same(together, [run_from(x.clone()) for x in starts.split(1)])
    assert torch.isfinite(together.stimulus).all()
    assert "not finite at iteration" in together.stop_reasons[0]
