from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import threading
from collections.abc import Callable

import pytest
import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    IncreaseObjective,
    L2Regularizer,
    MeanReducer,
    NormalizedDescent,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    ResponseObjective,
    TotalVariationRegularizer,
    optimization_steps,
    optimize_neurons,
    optimize_stimulus,
)
from openretina_widgets.insilico.stimulus_optimization.objective import evaluate
from openretina_widgets.insilico.stimulus_optimization.regularizer import project, stimulus_norm
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    LittleMemory,
    TrainedNetwork,
    assert_untouched,
    is_frozen,
    linear_model,
    noise,
    random_filters,
    state_of,
)


def adam(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=0.05)


def ascent(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.01)


def run(
    objective: object, stimulus: torch.Tensor, *, iterations: int = 5, **settings: object
) -> OptimizationResult:
    settings = {"optimizer_init_fn": ascent} | settings
    settings.setdefault("optimization_stopper", OptimizationStopper(iterations))
    return optimize_stimulus(stimulus, objective_object=objective, **settings)


def start_steps(objective: object, stimulus: torch.Tensor, *, iterations: int = 5, **settings):
    settings = {"optimizer_init_fn": ascent} | settings
    settings.setdefault("optimization_stopper", OptimizationStopper(iterations))
    return optimization_steps(stimulus, objective_object=objective, **settings)


def end_of(steps, message: str | None = None) -> OptimizationResult:
    """Resume a generator that is to end now, and return its result."""
    with pytest.raises(StopIteration) as end:
        steps.send(message)
    return end.value.value


# The loop ------------------------------------------------------------------------------------


def test_steps_is_a_generator_and_does_nothing_before_it_is_asked(network):
    before = state_of(network)
    steps = start_steps(IncreaseObjective(network, 0), noise(1, 6))
    assert inspect.isgenerator(steps)
    assert_untouched(network, before)


def test_max_iterations_is_the_number_of_updates(linear):
    objective = IncreaseObjective(linear, 0)
    stimulus = noise(2)
    steps = list(start_steps(objective, stimulus, iterations=3))
    assert [step.iteration for step in steps] == [0, 1, 2, 3]
    result = run(objective, stimulus.clone(), iterations=3)
    assert result.score_trace.shape == (4, 2)
    assert result.iterations.tolist() == [3, 3]
    assert result.stop_reasons == ("3 iterations done",) * 2
    # three updates of a linear neuron by plain ascent, by hand
    by_hand = stimulus + 3 * 0.01 * linear.module.filters.detach()[0]
    torch.testing.assert_close(result.stimulus, by_hand)


def test_step_holds_the_iteration_as_it_is(linear):
    objective = IncreaseObjective(linear, [0, 2])
    steps = start_steps(
        objective,
        noise(2, LAG + 3),
        stimulus_regularization_loss=L2Regularizer(2.0),
        stimulus_postprocessor=ClipStimulus(-0.1, 0.1),
    )
    for iteration, step in enumerate(steps):
        assert step.iteration == iteration
        assert step.elements == (0, 1)
        stimulus = step.stimulus
        assert stimulus.abs().max() <= torch.tensor(0.1), "projected, the first one included"
        torch.testing.assert_close(step.score, objective.forward(stimulus).detach())
        torch.testing.assert_close(step.penalty, 2.0 * stimulus.square().flatten(1).mean(1))
        torch.testing.assert_close(step.loss, step.penalty - step.score)
        response = linear(stimulus).detach()[:, :, [0, 2]].mean(dim=2)
        torch.testing.assert_close(step.response, response)
        assert step.score_trace.shape == (iteration + 1, 2)
        torch.testing.assert_close(step.score_trace[-1], step.score)
        tensors = (step.score, step.penalty, step.loss, stimulus, step.response, step.score_trace)
        assert not any(tensor.requires_grad for tensor in tensors)
    assert iteration == 5


def test_steps_and_results_are_frozen(linear):
    step = next(start_steps(IncreaseObjective(linear, 0), noise(1)))
    result = run(IncreaseObjective(linear, 0), noise(1))
    for value in (step, result):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.score = None
        assert value != copy.deepcopy(value), "comparing tensors would raise"
        assert len({value, value}) == 1


def test_the_trace_goes_on_beyond_its_first_allotment(linear):
    result = run(IncreaseObjective(linear, 0), noise(2), iterations=600)
    assert result.score_trace.shape == (601, 2)
    assert torch.isfinite(result.score_trace).all()
    gain = 0.01 * linear.module.filters.detach()[0].square().sum()
    torch.testing.assert_close(result.score_trace.diff(dim=0).mean(), gain, rtol=1e-3, atol=0)


def test_the_best_is_kept_rather_than_the_last(linear):
    """Too long a step overshoots the optimum at 0, and ever further."""
    objective = ResponseObjective(linear, lambda r: -(r[0, 0] ** 2))
    filters = linear.module.filters.detach()[0]
    length = float(2.4 / (2 * filters.square().sum()))  # each step multiplies r by 1 - 2.4
    result = run(
        objective,
        noise(3),
        iterations=6,
        optimizer_init_fn=lambda params: torch.optim.SGD(params, lr=length),
    )
    assert result.best_iteration.tolist() == [0, 0, 0]
    torch.testing.assert_close(result.stimulus, noise(3))
    torch.testing.assert_close(result.score, result.score_trace[0])
    assert (result.score_trace[-1] < result.score_trace[0]).all()


def test_the_best_is_that_of_the_lowest_loss_with_its_penalty(linear):
    objective = IncreaseObjective(linear, 0)
    result = run(
        objective,
        noise(2),
        iterations=100,
        stimulus_regularization_loss=L2Regularizer(40.0),
        optimizer_init_fn=lambda params: torch.optim.Adam(params, lr=0.3),
    )
    torch.testing.assert_close(result.score, objective.forward(result.stimulus).detach())
    torch.testing.assert_close(result.penalty, L2Regularizer(40.0).forward(result.stimulus))
    torch.testing.assert_close(
        result.score, result.score_trace[result.best_iteration, torch.arange(2)]
    )
    torch.testing.assert_close(result.norm, stimulus_norm(result.stimulus))
    # the optimum of f·x - w |x|² / n is x = n f / 2 w
    optimum = linear.module.filters.detach()[0] * 300 / 80
    torch.testing.assert_close(result.stimulus[0], optimum, atol=0.2, rtol=0)


def test_send_ends_the_run_with_the_best_so_far(linear):
    steps = start_steps(IncreaseObjective(linear, 0), noise(2), iterations=1000)
    for step in steps:
        if step.iteration == 7:
            break
    result = end_of(steps, "stopped by the user")
    assert result.stop_reasons == ("stopped by the user",) * 2
    assert result.stop_reason == "stopped by the user"
    assert result.iterations.tolist() == [7, 7]
    assert result.best_iteration.tolist() == [7, 7]
    assert result.score_trace.shape == (8, 2)


def test_send_at_the_first_step_returns_the_start(linear):
    steps = start_steps(IncreaseObjective(linear, 0), noise(1))
    next(steps)
    result = end_of(steps, "enough")
    assert torch.equal(result.stimulus, noise(1))
    assert result.score_trace.shape == (1, 1)


def test_send_does_not_rewrite_the_reason_of_those_that_had_ended(linear):
    """Element 0 stands at the corner of its range from the start on."""
    filters = linear.module.filters.detach()[0]
    start = torch.stack([filters.sign(), torch.zeros_like(filters)])
    steps = start_steps(
        IncreaseObjective(linear, 0),
        start,
        iterations=1000,
        stimulus_postprocessor=ClipStimulus(-1.0, 1.0),
        optimization_stopper=OptimizationStopper(1000, patience=3),
        optimizer_init_fn=lambda params: torch.optim.SGD(params, lr=1e-3),
    )
    for step in steps:
        if step.iteration == 10:
            break
    assert step.elements == (1,)
    result = end_of(steps, "enough")
    assert result.stop_reasons == ("no improvement in 3 iterations", "enough")
    assert result.iterations.tolist() == [3, 10]
    assert result.stop_reason == "no improvement in 3 iterations; enough"
    assert torch.isnan(result.score_trace[4:, 0]).all()
    assert torch.isfinite(result.score_trace[:, 1]).all()


def test_without_an_end_it_goes_on(linear):
    stopper = OptimizationStopper(max_iterations=None)
    steps = start_steps(IncreaseObjective(linear, 0), noise(1), optimization_stopper=stopper)
    assert [step.iteration for step, _ in zip(steps, range(400), strict=False)][-1] == 399
    steps.close()


# In place ------------------------------------------------------------------------------------


@pytest.mark.parametrize("requires_grad", [True, False])
def test_stimulus_holds_the_best_afterwards(linear, requires_grad):
    stimulus = noise(2).requires_grad_(requires_grad)
    alias = stimulus.detach()
    result = run(IncreaseObjective(linear, 0), stimulus)
    assert torch.equal(stimulus, result.stimulus)
    assert torch.equal(alias, result.stimulus), "in place, not rebound"
    assert stimulus.requires_grad is requires_grad
    assert stimulus.is_leaf
    assert stimulus.grad is None


def test_result_does_not_share_memory_with_the_stimulus(linear):
    stimulus = noise(1)
    result = run(IncreaseObjective(linear, 0), stimulus)
    kept = result.stimulus.clone()
    stimulus.zero_()
    assert torch.equal(result.stimulus, kept)


def test_steps_leave_the_stimulus_that_they_start_from_as_it_was(linear):
    stimulus = noise(1)
    list(start_steps(IncreaseObjective(linear, 0), stimulus))
    assert torch.equal(stimulus, noise(1))


def test_a_stimulus_that_is_laid_out_otherwise_works(linear):
    stimulus = noise(1).transpose(3, 4).contiguous().transpose(3, 4)
    assert not stimulus.is_contiguous()
    result = run(IncreaseObjective(linear, 0), stimulus)
    torch.testing.assert_close(
        result.stimulus, run(IncreaseObjective(linear, 0), noise(1)).stimulus
    )
    assert torch.equal(stimulus, result.stimulus)


def test_an_expanded_stimulus_is_refused_before_the_run(linear):
    stimulus = noise(1).expand(4, -1, -1, -1, -1)
    with pytest.raises(ValueError, match=r"stimulus: expand\(\).*\.clone\(\)"):
        run(IncreaseObjective(linear, 0), stimulus)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_whatever_the_callers_grad_mode(linear, mode):
    expected = run(IncreaseObjective(linear, 0), noise(2)).stimulus
    with mode():
        result = run(IncreaseObjective(linear, 0), noise(2))
        steps = start_steps(IncreaseObjective(linear, 0), noise(2))
        next(steps)
        assert not torch.is_grad_enabled(), "the caller's mode is its own between the steps"
    assert torch.equal(result.stimulus, expected)
    result.stimulus.add_(1.0).requires_grad_(True).sum().backward()


def test_a_mode_set_between_the_steps_does_not_matter(linear):
    expected = run(IncreaseObjective(linear, 0), noise(2)).stimulus
    steps = start_steps(IncreaseObjective(linear, 0), noise(2))
    with torch.no_grad():
        next(steps)
    with torch.inference_mode():
        for _ in range(5):
            next(steps)
    assert torch.equal(end_of(steps).stimulus, expected)


# The model -----------------------------------------------------------------------------------


def freeze_part(network: TrainedNetwork) -> None:
    """Give the flags and gradients a pattern of their own, to be handed back."""
    network.core[0].weight.requires_grad_(False)
    network.core[1].eval()
    network.readout["a"].weight.grad = torch.ones_like(network.readout["a"].weight)


def test_the_model_is_handed_back_bit_for_bit(network):
    freeze_part(network)
    before = state_of(network)
    run(IncreaseObjective(network, 0), noise(4, 6))
    assert_untouched(network, before)


def test_the_model_is_frozen_in_eval_mode_during_the_run(network):
    for step in start_steps(IncreaseObjective(network, 0), noise(2, 6)):
        assert is_frozen(network), step.iteration


def test_dropout_does_not_make_a_run_random(network):
    """In train mode two runs from one start would differ."""
    first, second = (run(IncreaseObjective(network, 0), noise(2, 6)) for _ in range(2))
    assert torch.equal(first.stimulus, second.stimulus)


def test_the_model_is_handed_back_when_the_generator_is_closed(network):
    freeze_part(network)
    before = state_of(network)
    steps = start_steps(IncreaseObjective(network, 0), noise(2, 6))
    next(steps)
    next(steps)
    steps.close()
    assert_untouched(network, before)


def test_the_model_is_handed_back_when_the_generator_is_forgotten(network):
    before = state_of(network)
    steps = start_steps(IncreaseObjective(network, 0), noise(2, 6))
    next(steps)
    del steps
    gc.collect()
    assert_untouched(network, before)


@pytest.mark.parametrize("where", ["objective", "regularizer", "postprocessor", "optimizer"])
def test_the_model_is_handed_back_when_something_raises(network, where):
    calls = 0

    def fail_late(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise KeyError(where)
        return x

    class FailingLate(torch.optim.SGD):
        def step(self, closure=None):
            fail_late(torch.zeros(0))
            return super().step(closure)

    before = state_of(network)
    settings: dict[str, object] = {
        "objective": {},
        "regularizer": {"stimulus_regularization_loss": lambda x: fail_late(x).sum()},
        "postprocessor": {"stimulus_postprocessor": fail_late},
        "optimizer": {"optimizer_init_fn": lambda params: FailingLate(params, lr=0.1)},
    }[where]
    reduce = (lambda r: fail_late(r).mean()) if where == "objective" else torch.mean
    stimulus = noise(1, 6)
    with pytest.raises(KeyError, match=where):
        run(ResponseObjective(network, reduce), stimulus, iterations=10, **settings)
    assert_untouched(network, before)
    assert torch.equal(stimulus, noise(1, 6)), "a run that failed leaves the stimulus alone"


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_overlapping_runs_hand_the_model_back_when_the_last_ends(network, first_to_end):
    """Each objective wraps the module anew, and one is in the middle when the other ends."""
    freeze_part(network)
    before = state_of(network)
    runs = [start_steps(IncreaseObjective(network, i), noise(1, 6)) for i in range(2)]
    for steps in runs:
        next(steps)
    runs[first_to_end].close()
    assert is_frozen(network), "the other run has lost its hold"
    next(runs[1 - first_to_end])
    runs[1 - first_to_end].close()
    assert_untouched(network, before)


def test_a_model_can_be_wrapped_during_a_run(network):
    """Measuring the lag holds the module frozen as well, within the run's own hold."""
    before = state_of(network)
    steps = start_steps(IncreaseObjective(network, 0), noise(1, 6))
    next(steps)
    RetinaModel(network)
    assert is_frozen(network)
    steps.close()
    assert_untouched(network, before)


def test_runs_in_threads_on_one_model_do_not_disturb_each_other(network):
    freeze_part(network)
    before = state_of(network)
    model = RetinaModel(network, stimulus_range=[(-1, 1)] * 2, stimulus_norm=4.0)
    settings = {"time_steps": 6, "max_iterations": 15}
    expected = [optimize_neurons(model, [0, 1, 2], seed=seed, **settings) for seed in range(4)]
    results: dict[int, OptimizationResult] = {}
    barrier = threading.Barrier(4)

    def work(seed: int, on: torch.nn.Module) -> None:
        barrier.wait(10)
        results[seed] = optimize_neurons(on, [0, 1, 2], seed=seed, **settings)

    other = RetinaModel(network, stimulus_range=[(-1, 1)] * 2, stimulus_norm=4.0)
    models = [model, model, other, other]
    threads = [threading.Thread(target=work, args=(seed, on)) for seed, on in enumerate(models)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert_untouched(network, before)
    for seed, alone in enumerate(expected):
        torch.testing.assert_close(results[seed].stimulus, alone.stimulus)


def test_an_objective_that_is_itself_a_module_is_held_frozen():
    class Score(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = TrainedNetwork()

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return self.network(stimulus)[..., 0].mean()

    score = Score()
    before = state_of(score)
    run(score, noise(1, 6))
    assert_untouched(score, before)


# Not finite ----------------------------------------------------------------------------------


def nan_beyond(limit: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """A score that is the sum of the stimulus, and NaN once that is beyond a limit."""
    return lambda x: x.sum() + 0 * (limit - x.sum()).sqrt().detach()


def test_a_score_that_turns_nan_midway_ends_its_element_and_keeps_the_best():
    start = torch.stack([torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), -10.0)])
    result = run(
        nan_beyond(4.05),
        start,
        iterations=12,
        optimizer_init_fn=lambda params: torch.optim.SGD(params, lr=0.1),
    )  # each step adds 0.1 to 8 values
    reason = "the score was not finite at iteration 6; the best before it is kept"
    assert result.stop_reasons == (reason, "12 iterations done")
    assert result.iterations.tolist() == [6, 12]
    assert result.best_iteration.tolist() == [5, 12]
    torch.testing.assert_close(result.score, torch.tensor([4.0, -80 + 9.6]))
    torch.testing.assert_close(result.stimulus[0], torch.full((2, 1, 2, 2), 0.5))
    assert torch.isnan(result.score_trace[6:, 0]).all()
    assert torch.isfinite(result.score_trace[:, 1]).all()


def test_a_score_that_is_nan_at_once_returns_the_start_and_says_so():
    result = run(nan_beyond(-100.0), torch.ones(1, 2, 1, 2, 2))
    assert result.stop_reason == (
        "the score was not finite at iteration 0, the start, which is returned"
    )
    assert torch.equal(result.stimulus, torch.ones(1, 2, 1, 2, 2))
    assert torch.isnan(result.score).all()
    assert result.score_trace.shape == (1, 1)


def test_a_gradient_that_is_not_finite_ends_its_element_and_keeps_the_best():
    """The square root has none at 0, where the score itself is finite."""
    start = torch.tensor([0.35, 4.0]).view(2, 1, 1, 1, 1).expand(2, 1, 1, 1, 2).clone()
    result = run(
        lambda x: -x.sqrt().sum(),
        start,
        iterations=6,
        stimulus_postprocessor=ClipStimulus(0.0, None),
        optimizer_init_fn=lambda params: NormalizedDescent(params, lr=0.1 * 2**0.5),
    )
    reason = "the gradient was not finite at iteration 4; the best before it is kept"
    assert result.stop_reasons == (reason, "6 iterations done")
    assert result.iterations.tolist() == [4, 6]
    assert result.score[0] == 0.0
    assert not result.stimulus[0].any()
    assert torch.isfinite(result.stimulus).all()
    assert torch.isfinite(result.score_trace[:5]).all()


@pytest.mark.parametrize("optimizer", [adam, ascent])
def test_an_element_that_turns_nan_does_not_touch_the_others(optimizer):
    start = torch.stack([torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), -10.0)])
    result = run(nan_beyond(1.0), start, iterations=40, optimizer_init_fn=optimizer)
    alone = run(
        nan_beyond(1.0),
        torch.full((1, 2, 1, 2, 2), -10.0),
        iterations=40,
        optimizer_init_fn=optimizer,
    )
    assert torch.equal(result.stimulus[1:], alone.stimulus)


# Memory --------------------------------------------------------------------------------------


def test_out_of_memory_says_what_would_fit_and_the_model_stays_usable():
    module = LittleMemory(random_filters(8), fits=4)
    module.train()
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=3.0)
    before = state_of(module)
    with pytest.raises(OutOfMemory, match=r"batch of 8; a batch of about 4 would fit.*as it was"):
        optimize_neurons(model, range(8), time_steps=LAG + 1, max_iterations=3)
    assert_untouched(module, before)
    result = optimize_neurons(model, range(4), time_steps=LAG + 1, max_iterations=3)
    assert torch.isfinite(result.score).all()


def test_out_of_memory_midway_leaves_the_stimulus_and_the_model_as_they_were(network):
    calls = 0

    def grow(response: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return response.mean()

    before = state_of(network)
    stimulus = noise(1, 6)
    with pytest.raises(OutOfMemory, match="batch of 1; use a shorter stimulus"):
        run(ResponseObjective(network, grow), stimulus)
    assert_untouched(network, before)
    assert torch.equal(stimulus, noise(1, 6))


@pytest.mark.parametrize("where", ["postprocessor", "optimizer"])
def test_out_of_memory_is_said_in_words_wherever_it_happens(linear, where):
    def out_of_memory(*_: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    class TooBig(torch.optim.SGD):
        step = out_of_memory

    settings: dict[str, object] = {
        "postprocessor": {"stimulus_postprocessor": out_of_memory},
        "optimizer": {"optimizer_init_fn": lambda params: TooBig(params, lr=0.1)},
    }[where]
    with pytest.raises(OutOfMemory, match="batch of 6; a batch of about 3 would fit"):
        run(IncreaseObjective(linear, 0), noise(6), **settings)


# Bad input -----------------------------------------------------------------------------------


def with_nan() -> torch.Tensor:
    stimulus = noise(1)
    stimulus[0, 0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    return stimulus


@pytest.mark.parametrize(
    ("stimulus", "error", "message"),
    [
        (noise(1, LAG), ValueError, r"^stimulus: 4 frames are too short.* 4 before.*works is 5$"),
        (with_nan(), ValueError, r"^stimulus: 2 of 300 values are NaN or infinite"),
        (noise(1)[:0], ValueError, r"^stimulus: a batch of size 0.*\(0, 2, 5, 6, 5\)"),
        (noise(1)[0], ValueError, r"^stimulus: expected \(batch, 2, time, 6, 5\).*\(2, 5, 6, 5\)"),
        (noise(1)[:, :1], ValueError, r"^stimulus: expected \(batch, 2, time, 6, 5\), got"),
        (noise(1).int(), TypeError, r"^stimulus: expected floating-point values, got torch\.int32"),
        (noise(1).numpy(), TypeError, r"^stimulus: expected a torch tensor, got ndarray"),
        (noise(1).double(), ValueError, r"^stimulus: it is torch\.float64, but .* torch\.float32"),
    ],
    ids=["short", "nan", "empty", "unbatched", "channels", "integers", "numpy", "double"],
)
def test_a_stimulus_that_the_model_cannot_take_is_refused_before_the_run(
    linear, stimulus, error, message
):
    with pytest.raises(error, match=message):
        start_steps(IncreaseObjective(linear, 0), stimulus)


@pytest.mark.parametrize(
    ("stimulus", "error", "message"),
    [
        (with_nan(), ValueError, "stimulus: it holds NaN or infinite values"),
        (noise(1)[:0], ValueError, "stimulus: expected .* none of them 0"),
        (noise(1)[0], ValueError, r"stimulus: expected \(batch, channel, time, height, width\)"),
        (noise(1).int(), TypeError, "stimulus: expected a floating-point torch tensor"),
        ("noise", TypeError, "stimulus: "),
    ],
)
def test_a_stimulus_for_a_plain_function_is_checked_as_well(stimulus, error, message):
    with pytest.raises(error, match=message):
        start_steps(lambda x: x.sum(), stimulus)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"optimizer_init_fn": 0.1},
            TypeError,
            r"optimizer_init_fn: expected a function, got 0\.1",
        ),
        ({"objective_object": 3}, TypeError, r"objective_object: expected an objective.*got 3"),
        ({"optimization_stopper": 200}, TypeError, r"optimization_stopper: expected .*got 200"),
        ({"stimulus_regularization_loss": 0.1}, TypeError, r"stimulus_regularization_loss: .*0\.1"),
        ({"stimulus_regularization_loss": [L2Regularizer(), 1]}, TypeError, "_loss: .*got 1"),
        ({"stimulus_postprocessor": (0.0, 1.0)}, TypeError, r"stimulus_postprocessor: .*got 0\.0"),
        ({"seeds": (1, 2, 3)}, ValueError, "seeds: expected one for each of 1 stimuli, got 3"),
    ],
)
def test_arguments_are_checked_before_the_run(linear, settings, error, message):
    arguments = {
        "optimizer_init_fn": adam,
        "objective_object": IncreaseObjective(linear, 0),
        "optimization_stopper": OptimizationStopper(3),
    }
    with pytest.raises(error, match=message):
        optimization_steps(noise(1), **(arguments | settings))


def test_a_window_beyond_the_response_is_refused_before_the_run(linear):
    objective = IncreaseObjective(linear, reducer=MeanReducer(indices=0, window=(0, 9)))
    with pytest.raises(ValueError, match=r"window: .* <= 1 response frames, got \(0, 9\)"):
        start_steps(objective, noise(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda params: "adam", "optimizer_init_fn: expected it to make a torch optimizer"),
        (lambda params: torch.optim.LBFGS(params), "optimizer_init_fn: LBFGS mixes the elements"),
    ],
)
def test_an_optimizer_that_cannot_be_used_is_refused(linear, make, message):
    with pytest.raises(TypeError, match=message):
        run(IncreaseObjective(linear, 0), noise(1), optimizer_init_fn=make)


def test_an_objective_that_returns_a_vector_is_refused_and_the_model_handed_back(network):
    before = state_of(network)
    with pytest.raises(
        ValueError, match=r"function: expected one number for one stimulus, got sha"
    ):
        run(ResponseObjective(network, lambda r: r.mean(dim=0)), noise(2, 6))
    assert_untouched(network, before)


@pytest.mark.parametrize(
    "objective",
    [
        lambda x: x.detach().sum(),
        lambda x: torch.tensor(1.0),
        lambda x: torch.zeros(1, requires_grad=True).sum(),
    ],
    ids=["detached", "constant", "elsewhere"],
)
def test_a_score_without_a_gradient_is_refused_in_words(objective):
    with pytest.raises(ValueError, match="objective_object: torch sees no way from the stimulus"):
        run(objective, noise(1))


def test_a_score_without_a_gradient_is_refused_although_a_penalty_has_one():
    with pytest.raises(ValueError, match="objective_object: torch sees no way from the stimulus"):
        run(lambda x: x.detach().sum(), noise(1), stimulus_regularization_loss=L2Regularizer())


def test_a_stimulus_elsewhere_than_the_model_is_refused(linear):
    objective = IncreaseObjective(linear, 0)
    linear.to("meta")
    with pytest.raises(ValueError, match="stimulus: it is on cpu, but the model is on meta"):
        start_steps(objective, noise(1))


# What is recorded ----------------------------------------------------------------------------


def test_result_carries_what_is_needed_to_do_it_again(linear):
    result = run(
        IncreaseObjective(linear, reducer=MeanReducer(indices=[0, 2], window=(0, 2))),
        noise(2, LAG + 3),
        optimizer_init_fn=adam,
        stimulus_regularization_loss=[TotalVariationRegularizer(0.25), lambda x: x.sum()],
        stimulus_postprocessor=NormAndRange(3.0, [(-1.0, 1.0)] * 2),
        optimization_stopper=OptimizationStopper(3, patience=2, min_delta=0.5),
    )
    settings = result.settings
    assert settings["objective"]["type"] == "IncreaseObjective"
    assert settings["objective"]["neurons"] == [0, 2]
    assert settings["objective"]["response_reducer"]["window"] == [0, 2]
    assert settings["optimizer"]["type"] == "Adam"
    assert settings["optimizer"]["lr"] == 0.05
    assert settings["regularizers"][0] == {
        "type": "TotalVariationRegularizer",
        "weight": 0.25,
        "axes": ["time", "height", "width"],
    }
    assert settings["regularizers"][1]["type"] == "function"
    assert settings["postprocessors"] == [
        {
            "type": "NormAndRange",
            "norm": 3.0,
            "min_max_values": [[-1.0, 1.0], [-1.0, 1.0]],
            "exact": True,
        }
    ]
    assert settings["stopper"] == {
        "type": "OptimizationStopper",
        "max_iterations": 3,
        "patience": 2,
        "min_delta": 0.5,
    }
    assert settings["device"] == "cpu"
    assert result.neurons == ((0, 2), (0, 2))
    assert result.window == (0, 2)
    assert result.data_key == "default"
    assert result.model == linear.identity
    assert (result.lag, result.frame_rate, result.channels) == (LAG, 30.0, ("green", "UV"))
    assert set(result.versions) == {"openretina_widgets", "torch", "numpy"}
    assert 0 < result.duration_s < 60


def test_duration_is_that_of_the_steps_without_what_happens_between_them():
    pause = threading.Event()

    def slow(x: torch.Tensor) -> torch.Tensor:
        pause.wait(0.1)
        return x.sum()

    steps = start_steps(slow, noise(1), iterations=2)
    for step in steps:
        if step.iteration == 1:
            pause.wait(1.0)
        if step.iteration == 2:
            break
    assert 0.3 <= end_of(steps).duration_s < 1.0


def test_a_plain_function_tells_nothing_of_model_and_neurons():
    result = run(lambda x: x.sum(), noise(2))
    assert result.model is result.lag is result.response is result.window is result.data_key is None
    assert result.neurons == result.seeds == result.channels == ()


def test_scores_of_another_precision_are_taken():
    result = run(lambda x: x.double().sum(), noise(2))
    assert result.score.dtype == torch.float32
    assert torch.isfinite(result.score_trace).all()


def test_several_projections_are_applied_at_every_step(linear):
    halve = [lambda x: x / 2, ClipStimulus(-0.01, 0.01)]
    steps = start_steps(IncreaseObjective(linear, 0), noise(1), stimulus_postprocessor=halve)
    step = next(steps)
    torch.testing.assert_close(step.stimulus, project(halve, noise(1)))
    before = step.stimulus.clone()
    expected = project(halve, before + 0.01 * linear.module.filters.detach()[0])
    torch.testing.assert_close(next(steps).stimulus, expected)
    steps.close()


def test_the_score_of_the_result_is_that_of_its_stimulus_with_any_objective():
    model = linear_model(2)
    objective = ResponseObjective(model, lambda r: r[:, 0].mean() - r[:, 1].square().mean())
    result = run(objective, noise(3, LAG + 4), iterations=20, optimizer_init_fn=adam)
    torch.testing.assert_close(result.score, evaluate(objective, result.stimulus).score.detach())
    assert (result.score > result.score_trace[0]).all()


def test_nonlinear_neurons_can_be_wrapped_without_a_class_of_ours():
    module = LinearNeurons(random_filters(2), nonlinearity=torch.nn.functional.softplus)
    model = RetinaModel(module, input_shape=INPUT_SHAPE)
    result = run(
        lambda x: model(x)[0, :, 1].mean(), noise(2), iterations=20, optimizer_init_fn=adam
    )
    assert (result.score > result.score_trace[0]).all()
    assert all(parameter.grad is None for parameter in module.parameters())
