"""Reading checkpoints: what is in them, what is refused, and that nothing in them is executed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.models import checkpoint as reader
from openretina_widgets.models.checkpoint import (
    CheckpointError,
    UnknownArchitectureError,
    load_checkpoint,
    read_checkpoint,
)
from openretina_widgets.models.core_readout import CoreReadout
from tests.models.checkpoint_files import (
    DATA_INFO,
    HYPER_PARAMETERS,
    claiming,
    content_of,
    model_of,
    save,
)

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "openretina_checkpoints"


def recorded(name):
    if not RECORDED.is_dir():
        pytest.skip(f"checkpoints of OpenRetina are not at {RECORDED}")
    return RECORDED / name


@pytest.fixture
def model():
    return model_of()


@pytest.fixture
def path(tmp_path, model):
    return save(content_of(model), tmp_path / "small.ckpt")


# What is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_data_come_out(tmp_path, model, protocol):
    path = save(content_of(model), tmp_path / "small.ckpt", pickle_protocol=protocol)
    checkpoint = read_checkpoint(path)
    assert checkpoint.path == path
    assert checkpoint.class_path == "openretina.models.core_readout.UnifiedCoreReadout"
    assert checkpoint.hyper_parameters == HYPER_PARAMETERS
    assert checkpoint.versions == {"lightning": "2.6.6", "archive": "3"}
    assert checkpoint.state_dict.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(checkpoint.state_dict[key], tensor), key


def test_data_info_comes_out(path):
    info = read_checkpoint(path).data_info
    assert info["stim_std"] == 28.4
    assert type(info["stim_std"]) is float
    assert torch.equal(info["mean_activity_dict"]["1_a"], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    recorded_info, got = DATA_INFO["sessions_kwargs"]["1_a"], info["sessions_kwargs"]["1_a"]
    for key in ("group_assignment", "roi_ids", "roi_mask", "codes", "none"):
        np.testing.assert_array_equal(got[key], recorded_info[key])
        assert got[key].shape == recorded_info[key].shape
        assert not got[key].flags.writeable
    assert got["names"] == ["a", "bé"]
    assert got["eye"] == "left"


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float64, torch.int8])
def test_tensors_of_every_type_and_layout_come_out(tmp_path, dtype):
    base = (torch.arange(24).reshape(4, 6) % 2).to(dtype)
    tensors = {"all": base, "view": base[1:3, ::2].T, "none": base[:0], "one": base[2, 3]}
    content = {"state_dict": tensors, "hyper_parameters": {}}
    got = read_checkpoint(save(content, tmp_path / "tensors.ckpt")).state_dict
    for name, tensor in tensors.items():
        assert got[name].dtype == dtype
        assert torch.equal(got[name], tensor), name


def test_the_model_answers_as_the_saved_one(path, model):
    loaded = load_checkpoint(path)
    stimulus = torch.randn(3, 2, 12, 6, 5, generator=torch.Generator().manual_seed(1))
    assert not loaded.training
    for session in ("1_a", "2_b"):
        expected = model(stimulus, data_key=session)
        assert expected.std() > 0.01
        assert torch.equal(loaded(stimulus, data_key=session), expected)


def test_the_model_knows_what_the_file_says(path):
    loaded = load_checkpoint(path)
    assert (loaded.name, loaded.source) == ("small", str(path))
    assert loaded.sessions == ("1_a", "2_b")
    assert (loaded.n_neurons("1_a"), loaded.n_neurons("2_b")) == (4, 2)
    assert (loaded.input_shape, loaded.lag) == ((2, 6, 5), 4)
    assert (loaded.frame_rate, loaded.pixel_size_um) == (25.0, 37.5)
    assert loaded.channels == ("green", "UV")
    assert loaded.stimulus_range == ((-0.654, 6.269), (-0.913, 6.269))
    assert loaded.stimulus_norm == 30.0
    assert loaded.description == "SimpleCoreWrapper and MultiGaussianMaskReadout of OpenRetina"
    types_ = [neuron.cell_type for neuron in loaded.neurons("1_a")]
    assert types_ == ["G5 OFF", "G12 ON-OFF", "", "G33 displaced amacrine"]
    notes = [neuron.note for neuron in loaded.neurons("1_a")]
    assert notes[0] == "Functional group 5 of Baden et al. 2016, ROI 7, left eye."
    assert notes[2] == "ROI 9, left eye."
    assert loaded.neurons("2_b")[1].note == "Cell 14 of the recording."


def test_a_model_of_luminance_has_no_range_of_the_mouse(tmp_path):
    changed = {**HYPER_PARAMETERS, "in_shape": (1, 12, 6, 5)}
    content = content_of(model_of(changed), hyper_parameters=changed)
    groups = {"1_a": {"group_assignment": np.array([5, 12, 0, 33])}}
    content["hyper_parameters"]["data_info"] = {"sessions_kwargs": groups}
    loaded = load_checkpoint(save(content, tmp_path / "grey.ckpt"))
    assert loaded.channels == ("luminance",)
    assert (loaded.stimulus_range, loaded.stimulus_norm) == (None, None)
    assert (loaded.frame_rate, loaded.pixel_size_um) == (30.0, None)
    types_ = [neuron.cell_type for neuron in loaded.neurons("1_a")]
    assert types_ == ["group 5", "group 12", "", "group 33"]


def test_the_model_owns_its_weights(path):
    # In the file, sessions may share memory with each other and with data_info.
    checkpoint = read_checkpoint(path)
    loaded = reader._model_of(checkpoint)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.fill_(7.0)
    assert all(not bool((tensor == 7.0).all()) for tensor in checkpoint.state_dict.values())


def test_half_precision_weights_become_float32(tmp_path, model):
    content = content_of(model)
    content["state_dict"] = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in model.state_dict().items()
    }
    loaded = load_checkpoint(save(content, tmp_path / "half.ckpt"))
    assert loaded.dtype == torch.float32


def test_recorded_checkpoint_answers_as_openretina_does():
    loaded = load_checkpoint(recorded("hoefling_2024_low_res.ckpt"))
    with np.load(recorded("hoefling_2024_low_res.npz")) as answers:
        stimulus = torch.from_numpy(answers["stimulus"])
        expected = {"1_session_a": answers["response_a"], "2_session_b": answers["response_b"]}
    assert (loaded.lag, loaded.frame_rate, loaded.pixel_size_um) == (30, 30.0, 50.0)
    with torch.no_grad():
        for session, response in expected.items():
            got = loaded(stimulus, data_key=session)
            assert (got - torch.from_numpy(response)).abs().max() <= 1e-5
    assert loaded.neurons("2_session_b")[0].cell_type == "G1 OFF"


# Nothing is imported, nothing is written -----------------------------------------------------


def test_omegaconf_is_not_imported_even_where_it_is_installed(path, tmp_path, monkeypatch):
    package = tmp_path / "installed" / "omegaconf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemError('imported')")
    monkeypatch.syspath_prepend(package.parent)
    load_checkpoint(path)
    assert not any(name.startswith("omegaconf") for name in sys.modules)


def test_a_fresh_interpreter_imports_no_more_than_it_needs(path):
    # torch's compiler alone would take seconds.
    code = (
        "import sys; from openretina_widgets.models.checkpoint import load_checkpoint; "
        "before = set(sys.modules); load_checkpoint(sys.argv[1]); "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.split()) < 20, done.stdout


# Paths ---------------------------------------------------------------------------------------


def test_a_missing_file_names_the_nearest(path):
    with pytest.raises(FileNotFoundError, match=r"smal\.ckpt: .* nearest .* 'small\.ckpt'"):
        load_checkpoint(path.with_name("smal.ckpt"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_checkpoint(path.parent / "nowhere" / "small.ckpt")


def test_a_folder_names_what_it_holds(path):
    with pytest.raises(CheckpointError, match=r"a folder, .* it holds 'small\.ckpt'"):
        load_checkpoint(path.parent)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(CheckpointError, match="no regular file"):
        load_checkpoint(tmp_path / "pipe.ckpt")


def test_a_path_of_the_wrong_type_is_named():
    with pytest.raises(TypeError, match="path: expected the path of a checkpoint, got int"):
        load_checkpoint(3)


# Checkpoints of something else ---------------------------------------------------------------


def test_weights_alone_are_not_enough(tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"no Lightning checkpoint: .* a dictionary of 'core"):
        load_checkpoint(tmp_path / "weights.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"no Lightning checkpoint: .* got a list"):
        load_checkpoint(tmp_path / "list.pt")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="holds weights, but no 'hyper_parameters'"):
        load_checkpoint(tmp_path / "bare.pt")


def test_an_unknown_model_is_named_with_a_way_out(tmp_path, model):
    content = {**content_of(model), "hyper_parameters": {"n_layers": 3}}
    path = save(content, tmp_path / "unknown.ckpt")
    message = r"a model with the hyper-parameters 'n_layers' is not known; .*RetinaModel\(model\)"
    with pytest.raises(UnknownArchitectureError, match=message):
        load_checkpoint(path)


def test_an_unknown_core_is_named_with_a_way_out(tmp_path, model):
    other = {**HYPER_PARAMETERS["core"], "_target_": "lab.cores.TransformerCore"}
    path = save(claiming(model, core=other), tmp_path / "other.ckpt")
    message = r"core: 'lab\.cores\.TransformerCore' is not known.*RetinaModel\(model\)"
    with pytest.raises(UnknownArchitectureError, match=message) as caught:
        load_checkpoint(path)
    assert f"load_core_readout_model({str(path)!r}, 'cpu')" in str(caught.value)


def test_the_way_out_says_whether_openretina_is_installed(tmp_path, model, monkeypatch):
    path = save(claiming(model, core={"_target_": "lab.Core"}), tmp_path / "other.ckpt")
    package = tmp_path / "installed" / "openretina"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemError('imported')")
    monkeypatch.syspath_prepend(package.parent)
    with pytest.raises(UnknownArchitectureError, match="OpenRetina is installed here"):
        load_checkpoint(path)


def test_what_the_file_does_not_say_may_be_told(tmp_path, model):
    content = content_of(model)
    del content["hyper_parameters"]
    path = save(content, tmp_path / "told.ckpt")
    loaded = load_checkpoint(path, hyper_parameters=HYPER_PARAMETERS)
    stimulus = torch.randn(1, 2, 12, 6, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded(stimulus, data_key="1_a"), model(stimulus, data_key="1_a"))


def test_weights_that_do_not_fit_are_named(tmp_path, model):
    content = content_of(model)
    state_dict = dict(model.state_dict())
    del state_dict["readout.1_a.bias"]
    state_dict["core.extra"] = torch.zeros(1)
    state_dict["readout.2_b.bias"] = torch.zeros(3)
    state_dict["readout.2_b.scale_param"] = torch.zeros(2, dtype=torch.int64)
    path = save({**content, "state_dict": state_dict}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    for complaint in (
        "missing: 'readout.1_a.bias'",
        "unexpected: 'core.extra'",
        "wrong shape: 'readout.2_b.bias' (expected (2,), got (3,))",
        "wrong type: 'readout.2_b.scale_param' (expected torch.float32, got torch.int64)",
    ):
        assert complaint in str(caught.value)


def test_hyper_parameters_that_make_no_sense_are_named(tmp_path, model):
    path = save(claiming(model, in_shape="???"), tmp_path / "missing.ckpt")
    with pytest.raises(CheckpointError, match=r"hyper_parameters: in_shape: expected .* got '\?\?"):
        load_checkpoint(path)


def test_data_of_another_shape_are_named(tmp_path, model):
    content = content_of(model)
    content["hyper_parameters"]["data_info"] = {"input_shape": (2, 6, 6)}
    with pytest.raises(CheckpointError, match=r"input_shape \(2, 6, 6\) does not fit in_shape"):
        load_checkpoint(save(content, tmp_path / "shape.ckpt"))


# Devices -------------------------------------------------------------------------------------


def test_the_device_is_checked_before_the_file():
    with pytest.raises(ValueError, match="device"):
        load_checkpoint("nowhere.ckpt", device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_is_named_with_what_is_there(path):
    with pytest.raises(ValueError, match=r"device: 'cuda' .* use device='cpu'"):
        load_checkpoint(path, device="cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_cuda_answers_as_on_the_cpu(path):
    stimulus = torch.randn(2, 2, 12, 6, 5, generator=torch.Generator().manual_seed(1))
    on_cpu, on_cuda = load_checkpoint(path), load_checkpoint(path, device="cuda")
    assert on_cuda.device.type == "cuda"
    torch.testing.assert_close(on_cuda(stimulus.cuda()).cpu(), on_cpu(stimulus), atol=1e-3, rtol=0)


def test_a_device_without_room_is_said_in_megabytes(path, model, monkeypatch):
    def full(_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CoreReadout, "to", lambda self, device: full(device))
    with pytest.raises(OutOfMemory, match=r"small\.ckpt: its weights need 0\.0 MB"):
        load_checkpoint(path)
