"""What is saved comes back as it was, everything of it."""

from __future__ import annotations

import dataclasses
import zipfile

import numpy as np
import pytest
import torch

from openretina_widgets import export

ALL = ("best", "a start <b>given</b>", "gratings", "spots", "gradient", "local gradient",
       "average", "table", "bar", "contrasts", "own contrasts", "noise field",
       "image field")  # fmt: skip


def assert_same(one, other, where=""):
    """Same types, same values, to the last bit; NaN is NaN."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert_same(one.numpy(), other.numpy(), where)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            name = field.name
            assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for k, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{k}]")
    else:
        assert one == other or (one != one and other != other), where


@pytest.mark.parametrize("name", ALL)
def test_every_result_comes_back_whole(name, session, tmp_path):
    result = session[name]
    path = export.to_archive(result, tmp_path / "result.npz")
    assert_same(type(result).load(path), result, name)
    assert_same(export.from_archive(path), result, name)
    assert [file.name for file in tmp_path.iterdir()] == ["result.npz"]


@pytest.mark.parametrize("name", ALL)
def test_a_result_from_a_file_is_exported_as_it_was(name, session, tmp_path):
    again = export.from_archive(export.to_archive(session[name], tmp_path / "result.npz"))
    for suffix in (".ipynb", ".html"):
        one = export.save({"x": session[name]}, tmp_path / f"one{suffix}")
        other = export.save({"x": again}, tmp_path / f"other{suffix}")
        assert one.read_bytes() == other.read_bytes()


def test_a_session_comes_back_whole_from_one_file(session, tmp_path):
    path = export.to_archive(session, tmp_path / "session.ZIP")
    assert_same(export.from_archive(path), session)
    assert path.name == "session.ZIP"
    assert [file.name for file in tmp_path.iterdir()] == ["session.ZIP"]


def test_results_without_names_are_numbered_by_kind(best, gradient, tmp_path):
    path = export.to_archive([best, gradient, best], tmp_path / "three.zip")
    assert list(export.from_archive(path)) == [
        "best_stimulus", "receptive_fields", "best_stimulus_2"
    ]  # fmt: skip


def test_an_npz_file_holds_one_result(best, gradient, tmp_path):
    with pytest.raises(ValueError, match=r"holds one result, and there are 2; end it in .zip"):
        export.to_archive([best, gradient], tmp_path / "two.npz")
    assert not list(tmp_path.iterdir())


def test_a_suffix_in_capitals_is_kept(gradient, tmp_path):
    export.to_archive(gradient, tmp_path / "FIELDS.NPZ")
    assert [file.name for file in tmp_path.iterdir()] == ["FIELDS.NPZ"]
    assert export.from_archive(tmp_path / "FIELDS.NPZ").neurons == gradient.neurons


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"session.json": "[]"},
        {"session.json": "{"},
        {"session.json": '{"format": 1, "results": [{"name": "a", "kind": "x", "file": "y"}]}'},
        {"session.json": '{"format": 1, "results": [{"name": "a", "kind": "tuning_curves", '
         '"file": "y.npz"}]}', "y.npz": "no"},
    ],
)  # fmt: skip
def test_another_file_is_refused(content, tmp_path):
    path = tmp_path / "session.zip"
    if content is None:
        path.write_bytes(b"no archive")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(ValueError, match=r"path: .* is no saved"):
        export.from_archive(path)


def test_a_later_format_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "session.zip", "w") as archive:
        archive.writestr("session.json", '{"format": 2, "results": []}')
    with pytest.raises(ValueError, match="expected format 1 of a saved session, got 2"):
        export.from_archive(tmp_path / "session.zip")


def test_a_missing_file_is_said(tmp_path):
    for name in ("a.npz", "a.zip"):
        with pytest.raises(FileNotFoundError):
            export.from_archive(tmp_path / name)


def test_a_population_is_written_as_one_batch(population, tmp_path):
    path = export.to_archive(population, tmp_path / "all.npz")
    assert_same(export.from_archive(path), population.together())
    whole = export.from_archive(export.to_archive({"all": population}, tmp_path / "all.zip"))
    assert whole["all"].neurons == tuple((n,) for n in (3, 3, 9, 9, 40, 40))
