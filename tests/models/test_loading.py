from __future__ import annotations

from pathlib import Path

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.models.loading import check_device, load_core_readout_from_remote

CHECKPOINTS = Path(__file__).resolve().parents[2].parent / "shared/data/openretina_checkpoints"
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")


def test_the_embedded_retina_is_the_default():
    model = orw.load_model()
    assert isinstance(model, orw.RetinaModel)
    assert model.name == "synthetic"
    assert model.weight_hash == orw.load_model("synthetic", device="cpu").weight_hash
    assert not model.training


def test_a_checkpoint_is_opened_by_its_path():
    path = CHECKPOINTS / "hoefling_2024_low_res.ckpt"
    if not path.exists():
        pytest.skip("the checkpoints that OpenRetina wrote are not beside the repository")
    model = orw.load_model(path)
    assert model.sessions == ("1_session_a", "2_session_b")
    assert orw.load_model(str(path)).weight_hash == model.weight_hash


@pytest.mark.parametrize("source", ["missing.ckpt", "folder/missing", Path("missing.ckpt")])
def test_a_missing_file_is_missing(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        orw.load_model(source)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match="source: there is no model 'syntetic'; the nearest is 'syn"
    ):
        orw.load_model("syntetic")
    with pytest.raises(ValueError, match=r"the nearest is 'hoefling_2024_low_res'.*by its path"):
        load_core_readout_from_remote("hoefling_2024_lowres")


@pytest.mark.parametrize("source", ["", 3, None, b"synthetic"])
def test_what_is_neither_a_name_nor_a_path_is_refused(source):
    with pytest.raises((ValueError, TypeError), match=r"^source: .*(is no model|expected a name)"):
        orw.load_model(source)


def test_the_embedded_retina_answers_to_the_name_that_openretina_loads_by():
    assert load_core_readout_from_remote("synthetic", "cpu").name == "synthetic"


# Devices -------------------------------------------------------------------------------------


def test_a_device_that_is_there():
    assert check_device("cpu") == torch.device("cpu")
    assert check_device(torch.device("cpu")) == torch.device("cpu")


@no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_cuda_asked_for_and_absent_is_said_before_anything_is_read(device):
    message = r"device: 'cuda.*' was asked for, but torch .* sees no CUDA device here; use .*'cpu'"
    with pytest.raises(ValueError, match=message):
        orw.load_model("synthetic", device=device)
    with pytest.raises(ValueError, match=message):
        orw.load_model("missing.ckpt", device=device)
    with pytest.raises(ValueError, match=message):
        load_core_readout_from_remote("synthetic", device)


@pytest.mark.cuda
def test_a_cuda_device_that_is_one_too_many():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    n = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"device: 'cuda:{n}' .* there are only {n} CUDA devices"):
        check_device(f"cuda:{n}")


@pytest.mark.cuda
def test_the_embedded_retina_opens_on_the_device():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    assert orw.load_model(device="cuda").device.type == "cuda"


@pytest.mark.parametrize("device", ["gpu", "cpu:zero", ""])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(ValueError, match=f"device: expected 'cpu' or 'cuda', got '{device}'"):
        check_device(device)


@pytest.mark.parametrize("device", ["mps", "meta"])
def test_a_device_that_is_not_supported_is_refused_in_words(device) -> None:
    with pytest.raises(ValueError, match="device: expected 'cpu' or 'cuda', got"):
        orw.load_model(device=device)


def test_mistaken_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="got ''; names: 'synthetic', 'trained'"):
        orw.load_model("")
    with pytest.raises(TypeError, match="source: expected a name, a path, a torch module"):
        orw.load_model(3)
    with pytest.raises(ValueError, match=r"Linear has no stimulus_shape\(\) to ask; RetinaModel"):
        orw.load_model(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match="hyper_parameters: expected a dictionary, got int"):
        orw.load_model(hyper_parameters=3)


def test_a_live_module_gets_its_face_and_stays_what_it_is() -> None:
    live = orw.load_model("trained").module
    face = orw.load_model(live)
    assert face.module is live
    assert face.n_neurons() == 84
    assert orw.load_model(face) is face
    assert orw.load_model([face, "trained"]).n_neurons() == 84
