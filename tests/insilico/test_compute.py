from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.compute import (
    full_float32,
    live_threads,
    memory_in_words,
    torch_threads,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def two_threads():
    """Start from two torch threads, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_new_thread(work: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_live_threads_leave_one_core_to_the_browser(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert live_threads() == max(1, cores - 1)


@pytest.mark.parametrize(
    ("stated", "expected"), [("1", 1), ("4,2", 4), ("64", 15), ("many", 15), ("0", 15), ("", 15)]
)
def test_live_threads_are_no_more_than_a_server_allows(monkeypatch, stated, expected):
    monkeypatch.setattr("openretina_widgets.insilico.compute.cores", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert live_threads() == expected


def test_torch_threads_are_set_and_put_back(two_threads):
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_torch_threads_are_put_back_after_an_error(two_threads):
    with pytest.raises(KeyError), torch_threads(1):
        raise KeyError
    assert torch.get_num_threads() == 2


def test_torch_threads_none_changes_nothing(two_threads):
    with torch_threads(None):
        assert torch.get_num_threads() == 2


def test_torch_threads_of_other_threads_stay_as_they_are(two_threads):
    """Neither a thread that used torch before, nor one that first uses it during the run."""
    seen: dict[str, int] = {}
    used, running, looked, done = (threading.Event() for _ in range(4))

    def earlier() -> None:
        seen["earlier, before"] = torch.get_num_threads()
        used.set()
        running.wait(10)
        seen["earlier, during"] = torch.get_num_threads()
        looked.set()

    def run() -> None:
        used.wait(10)
        with torch_threads(1):
            seen["run"] = torch.get_num_threads()
            running.set()
            looked.wait(10)
            seen["newcomer"] = in_new_thread(torch.get_num_threads)
            done.wait(10)
        seen["run, after"] = torch.get_num_threads()

    threads = [threading.Thread(target=work) for work in (earlier, run)]
    for thread in threads:
        thread.start()
    looked.wait(10)
    seen["main, during"] = torch.get_num_threads()
    done.set()
    for thread in threads:
        thread.join(10)
    assert seen == {
        "earlier, before": 2,
        "earlier, during": 2,
        "run": 1,
        "newcomer": 2,
        "main, during": 2,
        "run, after": 2,
    }
    assert in_new_thread(torch.get_num_threads) == 2


# The settings below can be read and set without a device; on one, see test_cuda.py.


def convolutions_use_tf32() -> bool:
    return bool(torch.backends.cudnn.allow_tf32)


@pytest.fixture(params=[True, False], ids=["tf32", "plain"])
def tf32(request):
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = request.param
    yield request.param
    torch.backends.cudnn.allow_tf32 = before


def test_full_float32_holds_on_cuda_and_is_put_back(tf32):
    with full_float32(CUDA):
        assert not convolutions_use_tf32()
        if hasattr(torch.backends.cudnn, "conv"):
            assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert convolutions_use_tf32() is tf32


def test_full_float32_leaves_the_other_settings_of_cudnn_alone(tf32):
    names = ("enabled", "benchmark", "deterministic")
    before = {name: getattr(torch.backends.cudnn, name) for name in names}
    with full_float32(CUDA):
        assert {name: getattr(torch.backends.cudnn, name) for name in names} == before


def test_full_float32_changes_nothing_on_cpu(tf32):
    with full_float32(CPU):
        assert convolutions_use_tf32() is tf32


def test_full_float32_of_overlapping_runs_is_put_back_by_the_last(tf32):
    first, second = full_float32(CUDA), full_float32(CUDA)
    with first:
        leave = threading.Event()
        entered = threading.Event()

        def other() -> None:
            with second:
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
    assert not convolutions_use_tf32(), "the second run has lost its setting"
    leave.set()
    thread.join(10)
    assert convolutions_use_tf32() is tf32, "the second run has put back the first one's setting"


@pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="torch's newer setting came with torch 2.9"
)
@pytest.mark.parametrize("setting", ["ieee", "tf32"])
@pytest.mark.parametrize("of", ["all", "conv"])
def test_full_float32_works_with_the_newer_setting_of_torch(of, setting):
    cudnn = torch.backends.cudnn
    legacy = cudnn.allow_tf32
    before = (torch.backends.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)
    try:
        if of == "all":
            torch.backends.fp32_precision = setting
        else:
            cudnn.conv.fp32_precision = setting
        in_force = cudnn.conv.fp32_precision
        with full_float32(CUDA):
            assert cudnn.conv.fp32_precision == "ieee"
        assert cudnn.conv.fp32_precision == in_force
        assert torch.backends.fp32_precision == (setting if of == "all" else before[0])
    finally:
        torch.backends.fp32_precision = before[0]
        cudnn.allow_tf32 = legacy
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before[1:]


def out_of_memory() -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_memory_in_words_says_what_would_fit():
    with (
        pytest.raises(OutOfMemory, match="batch of 16; a batch of about 8 would fit") as caught,
        memory_in_words(16, CPU),
    ):
        out_of_memory()
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value.__cause__, torch.cuda.OutOfMemoryError)


def test_memory_in_words_of_a_single_stimulus_offers_another_way():
    with (
        pytest.raises(OutOfMemory, match=r"shorter stimulus, or device='cpu'"),
        memory_in_words(1, CPU),
    ):
        out_of_memory()


def test_memory_in_words_leaves_other_errors_alone():
    with pytest.raises(RuntimeError, match="something else"), memory_in_words(4, CPU):
        raise RuntimeError("something else")
