"""Iterations that are captured and replayed.

The recorder here does on a CPU what a CUDA graph does: it replays the very operations on the very
memory, without Python, and breaks where the host would wait. That the graph itself works is seen in
test_cuda.py alone.
"""

from __future__ import annotations

import gc
import pickle

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico import compute
from openretina_widgets.insilico.stimulus_optimization import (
    ContrastAndRange,
    GradientBlur,
    GradientSpectrum,
    Jitter,
    L2Regularizer,
    NormalizedDescent,
    NormAndRange,
    Separable,
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
    ascent,
    contrast,
    kept,
    neuron_steps,
    optimize_neurons,
    optimizer,
    regularizer,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import RangeRegularizer
from tests.insilico.tape import Reads, tape

SHORT = {"time_steps": 31, "max_iterations": 14, "patience": None}
NO_RANGE = {"stimulus_range": [(None, None)] * 2}


@pytest.fixture(scope="module", params=["synthetic", "trained"])
def model(request):
    """One that runs as it is, and one that has a faster form."""
    return orw.load_model(request.param)


@pytest.fixture
def replaying(monkeypatch):
    """Capture on the CPU, where the host asks no more often than it does of a GPU."""
    monkeypatch.setitem(ascent.RECORDERS, "cpu", lambda: tape)
    monkeypatch.setattr(optimizer, "_CHECK_EVERY", {})
    for module in (regularizer, contrast):
        monkeypatch.setattr(module, "_answers_at_once", lambda device: False)


@pytest.fixture
def counted(monkeypatch):
    """Count what was replayed, and what was computed."""
    counts = {"replayed": 0, "advanced": 0}
    advance = ascent.Replay.advance

    def counting(self):
        counts["advanced"] += 1
        replayed = advance(self)
        counts["replayed"] += replayed
        return replayed

    monkeypatch.setattr(ascent.Replay, "advance", counting)
    return counts


def same(a, b):
    assert torch.equal(a.stimulus, b.stimulus)
    assert torch.equal(a.score, b.score)
    assert a.stop_reasons == b.stop_reasons
    torch.testing.assert_close(a.score_trace, b.score_trace, rtol=0, atol=0, equal_nan=True)


def own_descent(params):
    return NormalizedDescent(params, lr=1.0)


CASES = {
    "norm and range": {},
    "norm": NO_RANGE,
    "range": {"norm": float("inf"), "optimizer_init_fn": lambda p: NormalizedDescent(p, lr=1.0)},
    "contrast": {"rms": 0.1, "mean_luminance": 0.0},
    "decrease": {**NO_RANGE, "direction": "decrease"},
    "momentum": {
        **NO_RANGE,
        "optimizer_init_fn": lambda p: NormalizedDescent(p, lr=0.5, momentum=0.9),
    },
    "SGD": {**NO_RANGE, "optimizer_init_fn": lambda p: torch.optim.SGD(p, lr=50.0, momentum=0.5)},
    "blur": {**NO_RANGE, "precondition": GradientBlur(1.0)},
    "1/f": {**NO_RANGE, "precondition": GradientSpectrum()},
    "penalties": {
        **NO_RANGE,
        "regularizer": [
            TotalVariationRegularizer(),
            L2Regularizer(),
            RangeRegularizer([(-1.0, 1.0)] * 2, max_norm=3.0),
        ],
        "postprocessor": [SpatialBlur(0.5), TemporalLowPass(0.5)],
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_replay_gives_what_each_iteration_gives(replaying, counted, model, case):
    settings = {**SHORT, **CASES[case]}
    computed = optimize_neurons(model, [0, 3], seed=[0, 1], cuda_graph=False, **settings)
    assert counted["replayed"] == 0
    replayed = optimize_neurons(model, [0, 3], seed=[0, 1], **settings)
    assert counted["replayed"] == 14 - 3 - 1, "all but those that warm up and the last"
    assert replayed.settings["cuda_graph"] is True
    assert computed.settings["cuda_graph"] == "it was not wanted"
    same(replayed, computed)


@pytest.mark.skipif(not compute._has_bfloat16(torch.device("cpu")), reason="no bfloat16 here")
def test_a_lower_precision_is_captured_once(replaying, counted):
    model = orw.load_model("trained")
    settings = {**NO_RANGE, **SHORT, "precision": "bfloat16"}
    computed = optimize_neurons(model, [0, 3], cuda_graph=False, **settings)
    replayed = optimize_neurons(model, [0, 3], **settings)
    assert counted["replayed"] == 14 - 3 - 1
    same(replayed, computed)


OTHERS = range(40)


def others_at_work(stimulus):
    """Use bounds, blurs and filters with other settings, many at once."""
    kept = []
    for n in OTHERS:
        limits = [(-5.0 - n, 5.0 + n)] * stimulus.shape[1]
        kept += [
            part.process(stimulus)
            for part in (
                NormAndRange(9.0 + n, limits),
                ContrastAndRange(rms=0.2 + n / 100, min_max_values=limits),
                SpatialBlur(1.0 + n / 10),
                TemporalLowPass(1.0 + n / 10),
            )
        ]
        for part in (GradientBlur(2.0 + n), GradientSpectrum(0.5 + n)):
            kept.append(part.filtered(stimulus))
    return kept


@pytest.mark.parametrize("case", CASES)
def test_what_was_captured_stays_where_it_is_while_others_are_at_work(
    replaying, monkeypatch, model, case
):
    reads = Reads()
    monkeypatch.setitem(ascent.RECORDERS, "cpu", lambda: reads)
    steps = neuron_steps(model, [0, 3], **{**SHORT, **CASES[case]})
    for _ in range(6):
        step = next(steps)
    assert len(reads.read) > 10, "an iteration was captured"
    assert reads.of_the_host == []
    others = others_at_work(step.stimulus.clone())
    del step
    gc.collect()
    assert others
    assert reads.freed() == 0
    steps.close()


def test_the_constants_of_a_part_go_with_it_and_not_into_a_copy(model):
    stimulus = torch.randn(2, *model.stimulus_shape(31)[1:])
    part = NormAndRange(5.0, [(-1.0, 1.0)] * 2)
    reads = Reads()
    with reads:
        projected = part.process(stimulus)
    plain = pickle.dumps(NormAndRange(5.0, [(-1.0, 1.0)] * 2))
    assert pickle.dumps(part) == plain, "the tensors are not sent to a worker"
    assert torch.equal(pickle.loads(plain).process(stimulus), projected)
    assert reads.freed() == 0
    del part
    assert reads.freed() == 2, "the two limits"


def test_elements_that_end_at_their_own_time_are_captured_anew(replaying, counted, model):
    settings = {**NO_RANGE, "time_steps": 32, "max_iterations": 60, "patience": 3}
    settings["min_delta"] = 0.02
    computed = optimize_neurons(model, range(6), cuda_graph=False, **settings)
    assert len(set(computed.iterations.tolist())) > 1, "else this shows nothing"
    replayed = optimize_neurons(model, range(6), **settings)
    assert counted["replayed"] > 10
    same(replayed, computed)


def test_a_pool_is_replayed_between_its_changes(replaying, counted, model, tmp_path):
    settings = {**NO_RANGE, "time_steps": 32, "max_iterations": 25, "patience": 6, "chunk": 4}
    computed = orw.optimize_population(model, range(9), cuda_graph=False, **settings)
    replayed = orw.optimize_population(model, range(9), **settings)
    assert counted["replayed"] > 20
    for neuron in range(9):
        assert torch.equal(replayed.of(neuron).stimulus, computed.of(neuron).stimulus)


def test_longer_runs_than_the_first_trace(replaying, counted, monkeypatch):
    monkeypatch.setattr(kept, "_AT_ONCE", 0)
    model = orw.load_model("trained")
    settings = {**NO_RANGE, "time_steps": 31, "max_iterations": 270, "patience": None}
    computed = optimize_neurons(model, 0, cuda_graph=False, **settings)
    replayed = optimize_neurons(model, 0, **settings)
    assert counted["replayed"] > 250
    same(replayed, computed)


def test_a_run_of_known_length_is_captured_once(replaying, counted):
    model = orw.load_model("trained")
    settings = {**NO_RANGE, "time_steps": 31, "max_iterations": 270, "patience": None}
    optimize_neurons(model, 0, **settings)
    assert counted["replayed"] == 270 - 3 - 1


def test_steps_do_not_change_once_they_are_handed_out(replaying, model):
    steps, scores, seen = neuron_steps(model, [0, 3], **SHORT, **NO_RANGE), [], []
    for step in steps:
        scores.append(step.score)
        seen.append(step.score.clone())
    assert len(scores) == 15
    assert all(torch.equal(a, b) for a, b in zip(scores, seen, strict=True))
    assert not torch.equal(scores[8], scores[12])


def test_a_function_that_may_change_is_not_captured(replaying, counted, model):
    calls = []

    def blur(stimulus):
        calls.append(1)
        return stimulus * 0.99 ** min(len(calls), 10)

    result = optimize_neurons(model, 0, postprocessor=blur, **SHORT, **NO_RANGE)
    assert counted["replayed"] == 0
    said = result.settings["cuda_graph"]
    assert said == "stimulus_postprocessor: function may do something else in each iteration"
    assert len(calls) == 15, "the start, and once in each iteration"


class Hurried(NormalizedDescent):
    """Shrinks its step by what Python counts."""

    replayable = False


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer_init_fn": lambda p: Hurried(p, lr=1.0)}, "optimizer_init_fn: Hurried may not"),
        ({"optimizer_init_fn": lambda p: torch.optim.Rprop(p)}, "optimizer_init_fn: Rprop may not"),
        ({"jitter": Jitter(1)}, "objective_object: JitteredObjective may do something else"),
        (
            {
                "parametrization": Separable(),
                "optimizer_init_fn": lambda p: NormalizedDescent(p, 1.0),
            },
            "objective_object: ParametrizedObjective may do something else",
        ),
        ({"max_iterations": 3}, "no iteration was like the one before for long enough"),
    ],
)
def test_why_nothing_was_captured_is_said(replaying, counted, model, settings, said):
    result = optimize_neurons(model, 0, **{**SHORT, **NO_RANGE, **settings})
    assert counted["replayed"] == 0
    assert said in result.settings["cuda_graph"]


def test_what_waits_for_the_device_is_computed_each_time(replaying, counted, model):
    class Asking(L2Regularizer):
        """Says that it can be replayed, and asks the device nevertheless."""

        def forward(self, stimulus):
            float(stimulus.detach().sum())
            return super().forward(stimulus)

    settings = {**SHORT, **NO_RANGE, "regularizer": Asking()}
    result = optimize_neurons(model, [0, 3], **settings)
    assert counted["replayed"] == 0
    assert "it could not be captured: aten::_local_scalar_dense" in result.settings["cuda_graph"]
    same(result, optimize_neurons(model, [0, 3], cuda_graph=False, **settings))


def test_weights_that_change_meanwhile_end_a_replay(replaying, counted):
    model = orw.load_model("trained")
    steps = neuron_steps(model, 0, **SHORT, **NO_RANGE)
    for _ in range(10):
        next(steps)
    before = counted["replayed"]
    assert before
    with torch.no_grad():
        for parameter in model.module.readout.parameters():
            parameter.mul_(0.5)
    step = next(steps)
    assert counted["replayed"] == before
    with torch.no_grad():
        expected = model(step.stimulus)[..., 0].mean(dim=1)
    torch.testing.assert_close(step.score, expected)
    steps.close()


def test_a_lack_of_memory_in_a_capture_ends_the_capture_alone(
    replaying, counted, model, monkeypatch
):
    def short(compute, device):
        def once():
            compute()
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

        return tape(once, device)

    monkeypatch.setitem(ascent.RECORDERS, "cpu", lambda: short)
    settings = {**SHORT, **NO_RANGE, "chunk": 2}
    found = orw.optimize_population(model, [0, 3], **settings)
    assert counted["replayed"] == 0
    alone = optimize_neurons(model, 3, cuda_graph=False, **SHORT, **NO_RANGE)
    torch.testing.assert_close(found.of(3).stimulus, alone.stimulus, atol=1e-4, rtol=1e-4)


def test_a_model_that_somebody_listens_to_is_not_captured(replaying, counted):
    model = orw.load_model("trained")
    heard = []
    handle = model.module.core.register_forward_hook(lambda *_: heard.append(1))
    result = optimize_neurons(model, 0, **SHORT, **NO_RANGE)
    handle.remove()
    assert "somebody listens" in result.settings["cuda_graph"]
    assert len(heard) == 15
