"""What the model is computed in, and what is said of it."""

from __future__ import annotations

import threading

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico import compute
from openretina_widgets.insilico.compute import check_precision, computing_in
from openretina_widgets.insilico.stimulus_optimization import neuron_steps
from openretina_widgets.models.lower_precision import bfloat16_is_asked_for, lowered
from openretina_widgets.models.prepared import prepare

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHORT = {"time_steps": 32, "max_iterations": 8, "patience": None}

needs_bfloat16 = pytest.mark.skipif(
    not compute._has_bfloat16(CPU), reason="this processor has no instructions for bfloat16"
)


@pytest.fixture(params=["synthetic", "trained"])
def model(request):
    """One that runs as it is, and one that has a faster form."""
    return orw.load_model(request.param)


@needs_bfloat16
def test_bfloat16_finds_nearly_the_same_and_says_how_far_it_was_off(model):
    full = orw.optimize_neurons(model, [0, 3], **SHORT)
    low = orw.optimize_neurons(model, [0, 3], precision="bfloat16", **SHORT)
    assert not torch.equal(low.stimulus, full.stimulus), "it was computed in something else"
    torch.testing.assert_close(low.score, full.score, rtol=0.05, atol=0.01)
    settings = low.settings
    assert settings["precision"] == "bfloat16"
    assert 0 < settings["relative_deviation_of_score"] < 0.05
    with torch.no_grad():
        seen = model(low.stimulus)
    own = torch.stack([seen[row, :, neuron] for row, neuron in enumerate((0, 3))])
    torch.testing.assert_close(low.response, own, msg="the response is that in float32")
    last = low.score_trace[low.best_iteration, torch.arange(2)]
    off = float((last - low.score).abs().max())
    assert off == pytest.approx(settings["deviation_of_score"], rel=1e-3)


@needs_bfloat16
def test_of_results_that_are_joined_the_largest_deviation_is_told():
    model = orw.load_model("trained")
    each = [orw.optimize_neurons(model, n, precision="bfloat16", **SHORT) for n in (0, 3)]
    told = [one.settings["deviation_of_score"] for one in each]
    for order in (each, each[::-1]):
        joined = orw.OptimizationResult.join(order)
        assert joined.settings["deviation_of_score"] == max(told)


def test_float32_is_what_is_meant_where_nothing_is_said(model):
    result = orw.optimize_neurons(model, 0, **SHORT)
    assert result.settings["precision"] == "float32"
    assert "deviation_of_score" not in result.settings
    assert result.score_trace.dtype == torch.float32


@needs_bfloat16
def test_the_model_is_left_as_it_was_and_so_is_what_others_compute(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    steps = neuron_steps(model, 0, precision="bfloat16", **SHORT)
    next(steps)
    assert not bfloat16_is_asked_for(), "not between the steps"
    movie = torch.randn(model.stimulus_shape(32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        meanwhile = model(movie)
    steps.close()
    with torch.no_grad():
        torch.testing.assert_close(meanwhile, model(movie), rtol=1e-5, atol=1e-6)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@needs_bfloat16
def test_another_thread_goes_on_in_float32():
    seen = []
    with computing_in("bfloat16", CPU):
        assert bfloat16_is_asked_for()
        thread = threading.Thread(target=lambda: seen.append(bfloat16_is_asked_for()))
        thread.start()
        thread.join()
        with computing_in("float32", CPU):
            assert not bfloat16_is_asked_for()
        assert bfloat16_is_asked_for()
    assert seen == [False]


def test_a_form_in_bfloat16_is_made_once_and_its_readout_stays():
    model = orw.load_model("trained")
    form = prepare(model.module, 40, model.sessions[0])
    low = form.in_bfloat16()
    assert form.in_bfloat16() is low
    movie = torch.randn(model.stimulus_shape(40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = form.responses(movie), low.responses(movie)
    assert b.dtype == torch.float32
    assert 0 < float((a - b).abs().max()) < 0.05 * float(a.abs().max())


def test_lowered_goes_through_lists_and_leaves_whole_numbers():
    whole, real = torch.arange(3), torch.ones(2)
    a, (b, c) = lowered([whole, (real, "text")], torch.bfloat16)
    assert a is whole
    assert b.dtype == torch.bfloat16
    assert c == "text"
    assert real.dtype == torch.float32


@pytest.mark.parametrize("wrong", ["float16", "half", None, 32])
def test_a_precision_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="precision: expected one of float32, tf32, bfloat16, got"):
        orw.optimize_neurons(orw.load_model("synthetic"), 0, precision=wrong)


def test_tf32_on_a_cpu_is_refused_before_the_run():
    with pytest.raises(ValueError, match=r"precision: 'tf32' is for NVIDIA GPUs .* is on cpu"):
        neuron_steps(orw.load_model("synthetic"), 0, precision="tf32")
    with pytest.raises(ValueError, match="precision: 'tf32' is for NVIDIA GPUs"):
        orw.optimize_population(orw.load_model("synthetic"), 0, precision="tf32")


def test_bfloat16_on_a_cpu_without_it_is_refused_before_the_run(monkeypatch):
    monkeypatch.setattr(compute, "_has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match="precision: this processor has no instructions for 'bfl"):
        neuron_steps(orw.load_model("synthetic"), 0, precision="bfloat16")


def test_results_in_another_precision_are_not_mixed_in_a_folder(tmp_path):
    if not compute._has_bfloat16(CPU):
        pytest.skip("this processor has no instructions for bfloat16")
    model = orw.load_model("trained")
    orw.optimize_population(model, [0], folder=tmp_path / "a", **SHORT)
    with pytest.raises(ValueError, match="precision"):
        orw.optimize_population(model, [0, 1], folder=tmp_path / "a", precision="bfloat16", **SHORT)


# The settings below can be read and set without a device; on one, see test_cuda.py.


def matmul() -> str:
    return torch.backends.cuda.matmul.fp32_precision


needs_newer = pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="torch's newer setting came with torch 2.9"
)


@needs_newer
def test_tf32_is_for_matrix_products_and_never_for_convolutions():
    before = matmul()
    with computing_in("tf32", CUDA):
        assert matmul() == "tf32"
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        with computing_in("float32", CUDA):
            assert matmul() == "ieee", "who needs it exact has it so"
            assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert matmul() == "tf32"
    assert matmul() == before


@needs_newer
def test_float32_is_not_tf32_for_who_has_set_it_for_all():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        set_to = matmul()
        with computing_in("float32", CUDA):
            assert matmul() == "ieee"
        assert matmul() == set_to
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_no_such_precision_is_told_apart_from_one_that_the_device_lacks():
    assert check_precision("float32", CPU) == "float32"
    with pytest.raises(ValueError, match="expected one of"):
        check_precision("fp8", CPU)
