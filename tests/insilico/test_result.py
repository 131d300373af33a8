from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    IncreaseObjective,
    OptimizationResult,
    OptimizationStopper,
    optimize_neurons,
    optimize_stimulus,
)
from openretina_widgets.models.retina_model import ModelIdentity
from tests.insilico.modules import LAG, linear_model, noise


@pytest.fixture
def result():
    """Elements that end at different times, so that the trace holds NaN."""
    model = linear_model(3, stimulus_norm=2.0, stimulus_range=[(-1.0, 1.0)] * 2, name="three")
    return optimize_neurons(
        model,
        [0, 2],
        seed=[1, 8],
        time_steps=LAG + 2,
        window=(0, 1),
        max_iterations=40,
        patience=2,
        min_delta=0.02,
    )


def assert_equal(a: OptimizationResult, b: OptimizationResult) -> None:
    for field in dataclasses.fields(OptimizationResult):
        one, other = getattr(a, field.name), getattr(b, field.name)
        assert type(one) is type(other), field.name
        if isinstance(one, torch.Tensor):
            assert one.dtype == other.dtype, field.name
            torch.testing.assert_close(one, other, atol=0, rtol=0, equal_nan=True)
        else:
            assert one == other, field.name


def test_a_saved_result_comes_back_as_it_was(result, tmp_path):
    assert torch.isnan(result.score_trace).any()
    path = result.save(tmp_path / "best.npz")
    assert path == tmp_path / "best.npz"
    assert_equal(OptimizationResult.load(path), result)
    assert [file.name for file in tmp_path.iterdir()] == ["best.npz"]


def test_a_saved_result_of_a_plain_function_comes_back_as_it_was(tmp_path):
    result = optimize_stimulus(
        noise(2),
        lambda params: torch.optim.Adam(params, lr=0.1),
        lambda x: x.sum(),
        OptimizationStopper(2),
    )
    assert result.model is result.response is None
    assert_equal(OptimizationResult.load(result.save(tmp_path / "plain")), result)


def test_save_adds_the_suffix_and_takes_text(result, tmp_path):
    assert result.save(str(tmp_path / "best.v2")) == tmp_path / "best.v2.npz"


def test_save_replaces_what_was_there(result, tmp_path):
    path = tmp_path / "best.npz"
    path.write_text("something else")
    result.save(path)
    assert_equal(OptimizationResult.load(path), result)


def test_a_saved_result_needs_no_pickle(result, tmp_path):
    with np.load(result.save(tmp_path / "best"), allow_pickle=False) as archive:
        words = json.loads(str(archive["words"]))
        assert archive["stimulus"].shape == tuple(result.stimulus.shape)
    assert words["model"]["name"] == "three"
    assert words["stop_reasons"] == list(result.stop_reasons)


def test_a_failed_save_leaves_neither_a_part_nor_a_broken_file(result, tmp_path):
    """The file system refuses at 4 kB, in a process of its own, where that can be asked for."""
    pytest.importorskip("resource", reason="limits on file size are there on POSIX alone")
    source = result.save(tmp_path / "best.npz")
    assert source.stat().st_size > 4096
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "copy.npz").write_text("what was there before")
    code = f"""
import resource
from openretina_widgets import OptimizationResult
result = OptimizationResult.load({str(source)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    result.save({str(folder / "copy.npz")!r})
except OSError:
    raise SystemExit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert [file.name for file in folder.iterdir()] == ["copy.npz"]
    assert (folder / "copy.npz").read_text() == "what was there before"


def test_a_result_that_cannot_be_written_leaves_nothing(result, tmp_path):
    odd = dataclasses.replace(result, settings={"objective": object()})
    with pytest.raises(TypeError):
        odd.save(tmp_path / "odd")
    with pytest.raises(FileNotFoundError):
        result.save(tmp_path / "missing" / "best")
    assert not list(tmp_path.iterdir())


def write_garbage(path: Path) -> None:
    path.write_bytes(b"no archive, only words" * 20)


def write_nothing(path: Path) -> None:
    path.touch()


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def write_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def write_npz_of_another_kind(path: Path) -> None:
    np.savez(path, a=np.zeros(3))


def write_npz_with_an_object(path: Path) -> None:
    np.savez(path, words=np.array([{"format": 1}], dtype=object), allow_pickle=True)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("words.npy", "hello")


def write_words_that_are_a_list(path: Path) -> None:
    np.savez(path, words=np.array("[1, 2]"))


def write_words_that_lack_some(path: Path) -> None:
    np.savez(path, words=np.array('{"format": 1, "seeds": []}'))


def write_words_that_are_too_many(path: Path) -> None:
    words = {"format": 1, "stop_reasons": [], "seeds": [], "channels": [], "neurons": []}
    np.savez(path, words=np.array(json.dumps(words | {"window": None, "model": None, "more": 1})))


@pytest.mark.parametrize(
    "write",
    [
        write_garbage,
        write_nothing,
        write_npy,
        write_pickle,
        write_npz_of_another_kind,
        write_npz_with_an_object,
        write_zip,
        write_words_that_are_a_list,
        write_words_that_lack_some,
        write_words_that_are_too_many,
    ],
)
def test_what_is_no_saved_result_is_refused_by_name(tmp_path, write):
    path = tmp_path / "other.npz"
    write(path)
    with pytest.raises(ValueError, match=r"path: '.*other\.npz' is no saved result"):
        OptimizationResult.load(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.999])
def test_a_truncated_result_is_refused_by_name(result, tmp_path, share):
    path = result.save(tmp_path / "best.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"best\.npz' is no saved result"):
        OptimizationResult.load(path)


def test_a_damaged_result_is_refused_by_name(result, tmp_path):
    path = result.save(tmp_path / "best.npz")
    whole = bytearray(path.read_bytes())
    for place in range(len(whole) // 4, len(whole) // 2, 50):
        whole[place] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"best\.npz' is no saved result"):
        OptimizationResult.load(path)


def test_a_result_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "later.npz"
    np.savez(path, words=np.array('{"format": 2}'))
    with pytest.raises(ValueError, match="path: expected format 1 of a saved result, got 2"):
        OptimizationResult.load(path)


def test_a_missing_result_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        OptimizationResult.load(tmp_path / "none.npz")


def test_html_is_short_and_escaped(result):
    evil = "<script>alert(1)</script>"
    odd = dataclasses.replace(
        result,
        model=ModelIdentity(evil, "", ""),
        stop_reasons=(f"{evil} & others",) * 4,
    )
    page = odd._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; others" in page
    assert len(result._repr_html_()) < 400


def test_repr_says_what_it_is(result):
    text = repr(result)
    assert text.startswith("OptimizationResult(4 stimuli (2, 6, 6, 5), three, score ")
    assert result.stop_reason in text


def test_stop_reason_says_each_reason_once(result):
    reasons = dataclasses.replace(result, stop_reasons=("a", "b", "a", "b")).stop_reason
    assert reasons == "a; b"


def test_parts_put_together_are_the_whole(result):
    parts = [result.take([0]), result.take([1, 2]), result.take([3])]
    assert [len(part.score_trace) - 1 for part in parts] == [
        int(part.iterations.max()) for part in parts
    ]
    assert parts[1].neurons == ((0,), (2,))
    assert parts[1].settings["objective"]["neurons"] == [0, 2]
    together = OptimizationResult.join(parts)
    assert_equal(dataclasses.replace(together, duration_s=result.duration_s), result)


def test_elements_in_another_order(result):
    turned = result.take([3, 0])
    assert turned.seeds == (8, 1)
    assert turned.neurons == ((2,), (0,))
    assert torch.equal(turned.stimulus, result.stimulus[[3, 0]])


def test_neurons_that_one_objective_looks_at_are_no_elements():
    """Two neurons whose mean counts, and two starts."""
    model = linear_model(3)
    stopper = OptimizationStopper(2)
    whole = optimize_stimulus(
        noise(2, LAG + 2),
        lambda params: torch.optim.SGD(params, lr=0.1),
        IncreaseObjective(model, [0, 2]),
        stopper,
    )
    one = whole.take([1])
    assert one.settings["objective"]["neurons"] == [0, 2]
    assert one.neurons == ((0, 2),)
    assert torch.equal(one.start, whole.start[1:])
