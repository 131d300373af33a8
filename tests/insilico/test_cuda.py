"""On a CUDA device; skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.stimulus_optimization import (
    ContrastAndRange,
    GradientBlur,
    IncreaseObjective,
    NormAndRange,
    OptimizationStopper,
    TotalVariationRegularizer,
    neuron_steps,
    optimize_neurons,
    optimize_stimulus,
)
from openretina_widgets.models import RetinaModel, load_model
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    TrainedNetwork,
    assert_untouched,
    cosine,
    noise,
    random_filters,
    state_of,
)

pytestmark = pytest.mark.cuda

# Float32 sums in another order differ by some units in the last place; a run repeats that for as
# many steps as it has.
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def linear_on(device: torch.device) -> RetinaModel:
    module = LinearNeurons(0.2 * random_filters(3), nonlinearity=torch.nn.functional.softplus)
    return RetinaModel(module.to(device), input_shape=INPUT_SHAPE, stimulus_norm=2.0)


@pytest.mark.parametrize(
    "optimizer",
    [None, lambda params: torch.optim.Adam(params, lr=0.01)],
    ids=["NormalizedDescent", "Adam"],
)
def test_cpu_and_cuda_agree(cuda, optimizer):
    settings = {"time_steps": LAG + 3, "max_iterations": 25, "optimizer_init_fn": optimizer}
    cpu, gpu = (
        optimize_neurons(linear_on(device), range(3), seed=[0, 1], **settings)
        for device in (torch.device("cpu"), cuda)
    )
    assert gpu.stimulus.device.type == "cpu"
    torch.testing.assert_close(gpu.stimulus, cpu.stimulus, **TOLERANCE)
    torch.testing.assert_close(gpu.score_trace, cpu.score_trace, **TOLERANCE)
    assert gpu.model == cpu.model, "the weights' hash is the same on every device"


def test_cpu_and_cuda_agree_on_the_embedded_retina(cuda):
    cpu, gpu = (
        optimize_neurons(load_model("synthetic", device=device), [0, 9], max_iterations=20)
        for device in ("cpu", cuda)
    )
    torch.testing.assert_close(gpu.score_trace, cpu.score_trace, atol=1e-3, rtol=1e-3)


def test_best_stimulus_of_a_linear_neuron_is_its_filter(cuda):
    result = optimize_neurons(linear_on(cuda), range(3), time_steps=LAG + 1)
    for stimulus, own in zip(result.stimulus, random_filters(3), strict=True):
        assert cosine(stimulus, own) >= 0.999


def test_elements_that_end_are_found_late_yet_end_at_their_iteration(cuda):
    """The device is asked every tenth step who has ended; what is reported does not show it."""
    settings = {"time_steps": LAG + 1, "patience": 3, "min_delta": 1e-3}
    cpu, gpu = (
        optimize_neurons(linear_on(device), range(3), seed=[0, 1], **settings)
        for device in (torch.device("cpu"), cuda)
    )
    assert gpu.iterations.tolist() == cpu.iterations.tolist()
    assert gpu.stop_reasons == cpu.stop_reasons
    assert gpu.score_trace.shape == cpu.score_trace.shape
    torch.testing.assert_close(gpu.score_trace, cpu.score_trace, equal_nan=True, **TOLERANCE)


@pytest.mark.parametrize("name", ["synthetic", "trained"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer_init_fn": lambda params: torch.optim.Adam(params, lr=0.01)},
        {"precondition": GradientBlur(1.0), "regularizer": TotalVariationRegularizer()},
        {"rms": 0.1, "mean_luminance": 0.0},
    ],
    ids=["default", "Adam", "blur and penalty", "contrast"],
)
def test_a_graph_gives_what_each_iteration_gives(cuda, name, settings):
    model = load_model(name, device=cuda)
    settings = {"time_steps": 40, "max_iterations": 50, "patience": None, **settings}
    computed = optimize_neurons(model, range(4), cuda_graph=False, **settings)
    replayed = optimize_neurons(model, range(4), **settings)
    assert replayed.settings["cuda_graph"] is True
    torch.testing.assert_close(replayed.score_trace, computed.score_trace, **TOLERANCE)
    torch.testing.assert_close(replayed.stimulus, computed.stimulus, atol=1e-3, rtol=1e-3)


def test_a_graph_is_captured_anew_when_elements_have_ended(cuda):
    model = load_model("trained", device=cuda)
    settings = {"time_steps": 40, "patience": 3, "min_delta": 0.02, "max_iterations": 100}
    computed = optimize_neurons(model, range(6), cuda_graph=False, **settings)
    replayed = optimize_neurons(model, range(6), **settings)
    assert replayed.settings["cuda_graph"] is True
    torch.testing.assert_close(replayed.score, computed.score, **TOLERANCE)


def test_the_loop_does_not_wait_for_the_device(cuda):
    """Between two checks of who has ended, nothing comes over to the host."""
    model = load_model("trained", device=cuda)
    for graph in (False, True):
        settings = {"time_steps": 40, "patience": None, "cuda_graph": graph}
        steps = neuron_steps(model, range(4), **settings)
        for _ in range(12):  # warmed up, captured, and just checked
            next(steps)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(8):
                next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            steps.close()


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("name", ["synthetic", "trained"])
def test_a_lower_precision_finds_nearly_the_same(cuda, name, precision):
    model = load_model(name, device=cuda)
    settings = {"time_steps": 40, "max_iterations": 50, "patience": None}
    full = optimize_neurons(model, range(4), **settings)
    low = optimize_neurons(model, range(4), precision=precision, **settings)
    assert low.settings["precision"] == precision
    assert low.settings["relative_deviation_of_score"] < 0.05
    torch.testing.assert_close(low.score, full.score, rtol=0.05, atol=0.01)


class Watching(nn.Module):
    """Notes what precision convolutions have at each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons = LinearNeurons(random_filters(2))
        self.seen: list[bool] = []

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        self.seen.append(torch.backends.cudnn.allow_tf32)
        return self.neurons(stimulus)


def test_convolutions_use_plain_float32_during_a_step_and_what_was_set_after(cuda):
    model = RetinaModel(Watching().to(cuda), input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    model.module.seen.clear()
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        for _ in neuron_steps(model, [0, 1], time_steps=LAG + 1, max_iterations=3):
            assert torch.backends.cudnn.allow_tf32, "between the steps it is the caller's"
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert model.module.seen == [False] * 4


def test_the_stimulus_is_updated_in_place_on_its_device(cuda):
    model = linear_on(cuda)
    stimulus = noise(1).to(cuda).requires_grad_(True)
    result = optimize_stimulus(
        stimulus,
        lambda params: torch.optim.Adam(params, lr=0.01),
        IncreaseObjective(model, 0),
        OptimizationStopper(3),
    )
    assert stimulus.device == cuda
    assert torch.equal(stimulus.detach().cpu(), result.stimulus)


def test_a_stimulus_on_the_host_for_a_model_on_the_device_is_refused(cuda):
    with pytest.raises(ValueError, match="stimulus: it is on cpu, but the model is on cuda:0"):
        optimize_stimulus(
            noise(1),
            lambda params: torch.optim.Adam(params, lr=0.01),
            IncreaseObjective(linear_on(cuda), 0),
            OptimizationStopper(3),
        )


def test_a_model_may_move_after_the_objective_was_made(cuda):
    model = linear_on(torch.device("cpu"))
    objective = IncreaseObjective(model, [0, 2])
    expected = objective.forward(noise(2))
    model.to(cuda)
    torch.testing.assert_close(objective.forward(noise(2).to(cuda)).cpu(), expected, **TOLERANCE)


class Greedy(nn.Module):
    """Asks the device for more than it has when the batch is above 2."""

    def __init__(self, share_gib: int) -> None:
        super().__init__()
        self.neurons = LinearNeurons(random_filters(4))
        self.share_gib = share_gib

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        if len(stimulus) > 2:
            torch.empty(len(stimulus) * self.share_gib, 2**30, dtype=torch.uint8, device="cuda")
        return self.neurons(stimulus)


def test_out_of_memory_on_the_device_says_what_would_fit_and_the_model_stays_usable(cuda):
    total = torch.cuda.get_device_properties(cuda).total_memory
    module = Greedy(share_gib=total // 2**30).to(cuda)
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=2.0)
    before = state_of(module)
    with pytest.raises(OutOfMemory, match=r"cuda:0: out of memory with a batch of 4 \(.* GiB"):
        optimize_neurons(model, range(4), time_steps=LAG + 1, max_iterations=2)
    assert_untouched(module, before)
    result = optimize_neurons(model, range(2), time_steps=LAG + 1, max_iterations=2)
    assert torch.isfinite(result.score).all()


def test_a_network_in_train_mode_is_handed_back_as_it_was(cuda):
    network = TrainedNetwork().to(cuda)
    before = state_of(network)
    optimize_neurons(network, [0, 1], norm=2.0, time_steps=6, max_iterations=3)
    assert_untouched(network, before)


@pytest.mark.parametrize(
    "bounds",
    [
        ContrastAndRange(0.5, 0.1, None, [(-0.5, 1.0)] * 2),
        ContrastAndRange((0.5, 0.3), None, None, [(-0.5, 1.0)] * 2),
        NormAndRange(6.0, [(-0.5, 1.0)] * 2),
    ],
)
def test_a_projection_is_captured_and_gives_what_the_cpu_gives(cuda, bounds):
    start = 10 * noise(5)
    x = start.to(cuda)
    bounds.process(x)  # what is made once is made before
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        projected = bounds.process(x)
    x.copy_(2 * start)
    graph.replay()
    expected = bounds.process(2 * start)
    torch.testing.assert_close(projected.cpu(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", [0.5, 6.0, 30.0])
@pytest.mark.parametrize(
    "limits",
    [(-0.5, 1.0), (None, 0.3), (0.1, 0.9), (-1.3, 7.6), (None, None)],
    ids=["within", "above", "without 0", "one side far", "none"],
)
def test_the_kernel_projects_as_the_cpu_does(cuda, limits, norm):
    """On values of any spread, and on frames that fill no block."""
    bounds = NormAndRange(norm, [limits] * 2)
    start = 3 * noise(3)
    start[1] = start[1] ** 5
    start[2, :, ::2] = 0
    expected = bounds.process(start)
    torch.testing.assert_close(bounds.process(start.to(cuda)).cpu(), expected, rtol=1e-4, atol=1e-4)
