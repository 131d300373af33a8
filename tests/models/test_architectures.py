"""Every architecture of OpenRetina 1.1.1, against what OpenRetina itself answered."""

import pytest
import torch

from openretina_widgets import RetinaModel, load_model
from openretina_widgets.models.checkpoint import (
    CheckpointError,
    load_checkpoint,
    read_checkpoint,
)
from openretina_widgets.models.cropping import cut_patch, shifted_patch
from openretina_widgets.models.registry import CORES, READOUTS
from tests.models.openretina_table import RECORDED, SHARED, answer, differences, paths, recording

NAMES = [path.stem for path in paths(RECORDED)]
OF_LAB = ("goldin_2022_mouse", "hoefling_2024_low_res", "klindt_low_res", "lnp_low_res")


def of_lab(name):
    if not SHARED.is_dir():
        pytest.skip(f"recorded responses of OpenRetina are not at {SHARED}")
    return recording(SHARED / f"{name}.ckpt")


# Answers -------------------------------------------------------------------------------------


def check_answers(recorded):
    model = recorded.load()
    for expected in recorded.answers.values():
        assert expected.std() > 0.02  # so agreement means something
    worst = differences(recorded, model)
    assert worst.keys() == recorded.answers.keys()
    assert max(worst.values()) <= 1e-5, worst


@pytest.mark.parametrize("name", NAMES)
def test_answers_as_openretina_does(name):
    check_answers(recording(RECORDED / f"{name}.ckpt"))


@pytest.mark.parametrize("name", OF_LAB)
def test_answers_of_larger_models(name):
    check_answers(of_lab(name))


@pytest.mark.parametrize("name", NAMES)
def test_sessions_are_told_apart(name):
    recorded = recording(RECORDED / f"{name}.ckpt")
    if name.startswith("single_cell"):
        assert recorded.answers.keys() == {None}
        return
    assert recorded.answers.keys() == {"1_a", "2_b", None}
    model = recorded.load()
    assert model.sessions == ("1_a", "2_b")
    counts = [recorded.answers[session].shape[2] for session in model.sessions]
    assert [model.n_neurons(session) for session in model.sessions] == counts
    joined = torch.cat([recorded.answers[session] for session in model.sessions], dim=-1)
    torch.testing.assert_close(joined, recorded.answers[None], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_changes_no_weight(name):
    recorded = recording(RECORDED / f"{name}.ckpt")
    model = recorded.load()
    before = model.weight_hash
    first = answer(model, recorded.stimulus, None)
    assert torch.equal(answer(model, recorded.stimulus, None), first)
    assert model.weight_hash == before
    # The weights are those of the file, not what a constraint makes of them.
    stored = read_checkpoint(recorded.path, hyper_parameters=recorded.told).state_dict
    loaded = model.module.state_dict()
    for key, tensor in stored.items():
        key = key.replace("bias_param", "bias")
        assert torch.equal(loaded.pop(key), tensor), key
    assert not loaded


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_the_stimulus(name):
    recorded = recording(RECORDED / f"{name}.ckpt")
    model = recorded.load()
    stimulus = recorded.stimulus.requires_grad_()
    answer(model, stimulus, None).sum().backward()
    assert torch.isfinite(stimulus.grad).all()
    assert stimulus.grad.abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_uniform_stimulus_is_finite(name):
    recorded = recording(RECORDED / f"{name}.ckpt")
    model = recorded.load()
    stimulus = torch.zeros_like(recorded.stimulus, requires_grad=True)
    answer(model, stimulus, None).sum().backward()
    assert torch.isfinite(stimulus.grad).all()


def test_every_known_part_is_recorded():
    # Classes that are imported elsewhere under the same name are the same classes.
    recorded = set()
    for path in paths(RECORDED):
        parameters = read_checkpoint(path).hyper_parameters
        for part in ("core", "readout"):
            config = parameters.get(part)
            recorded.add(config["_target_"] if isinstance(config, dict) else config)
    known = {path for path in (*CORES, *READOUTS) if path.startswith("openretina.modules.")}
    names = {str(path).rpartition(".")[2] for path in recorded}
    assert {path.rpartition(".")[2] for path in known} <= names


# Models of one cell --------------------------------------------------------------------------


def test_a_nonlinearity_that_is_not_recorded_is_asked_for():
    with pytest.raises(CheckpointError, match=r"nonlinearity: .* does not record it; .*'softplus'"):
        load_checkpoint(RECORDED / "single_cell_lnp.ckpt")


def test_a_patch_is_seen_where_it_is_said_to_be():
    path = RECORDED / "single_cell_lnp.ckpt"
    alone = load_model(path, hyper_parameters={"nonlinearity": "softplus"})
    assert alone.input_shape == (2, 5, 4)
    told = {"nonlinearity": "softplus", "in_shape": (2, 6, 12, 11), "rf_location": (7, 3)}
    model = load_model(path, hyper_parameters=told)
    stimulus = torch.randn(1, 2, 9, 12, 11, generator=torch.Generator().manual_seed(0))
    # OpenRetina: half of the size, rounded down, before the pixel, and the rest from it on.
    assert torch.equal(model(stimulus), alone(stimulus[..., 5:10, 1:5]))


def test_a_patch_that_leaves_the_frame_is_refused():
    told = {"nonlinearity": "softplus", "in_shape": (2, 6, 12, 11), "rf_location": (1, 3)}
    with pytest.raises(CheckpointError, match=r"a patch of 5 x 4 .* \(1, 3\) leaves the frame"):
        load_model(RECORDED / "single_cell_lnp.ckpt", hyper_parameters=told)


def test_a_patch_of_unknown_place_is_the_stimulus():
    recorded = recording(RECORDED / "single_cell_contrast_patch.ckpt")
    y, x = recorded.told["rf_location"]
    model = load_model(recorded.path)
    assert model.input_shape == (1, 5, 5)
    assert "place in the frame of 10 x 9 is not in the file" in model.description
    rows, columns = shifted_patch(y, 5, 10), shifted_patch(x, 5, 9)
    got = model(recorded.stimulus[..., rows, columns])
    torch.testing.assert_close(got, recorded.answers[None], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("place", "shifted", "cut"), [(4, (2, 7), (2, 7)), (1, (0, 5), (0, 4)), (9, (5, 10), (7, 10))]
)
def test_patches_at_the_edge(place, shifted, cut):
    assert shifted_patch(place, 5, 10) == slice(*shifted)
    assert cut_patch(place, 5, 10) == slice(*cut)


# Ensembles -----------------------------------------------------------------------------------


def test_several_checkpoints_answer_with_their_mean():
    both = [RECORDED / f"{name}.ckpt" for name in ("klindt", "klindt_abs")]
    model = load_model(both)
    parts = [recording(path) for path in both]
    assert model.sessions == ("1_a", "2_b")
    assert model.lag == load_model(both[0]).lag
    for session in model.sessions:
        mean = (parts[0].answers[session] + parts[1].answers[session]) / 2
        got = model(parts[0].stimulus, data_key=session)
        torch.testing.assert_close(got, mean, atol=1e-5, rtol=0)
        assert (mean - parts[0].answers[session]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("klindt", "point_shared"),
            r"the neurons of '2_b' of .*point_shared\.ckpt' is 3, .* is 2",
        ),
        (("klindt", "lnp"), "the lag of"),
        (("klindt", "spatial_contrast"), "the input shape of"),
        ((), "at least one member"),
    ],
)
def test_members_that_do_not_agree_are_named(names, message):
    with pytest.raises(ValueError, match=message):
        load_model([RECORDED / f"{name}.ckpt" for name in names])


class LiveEnsemble(torch.nn.Module):
    """Hands all arguments on to its members, as OpenRetina's ``EnsembleModel`` does."""

    def __init__(self, *members):
        super().__init__()
        self.members = torch.nn.ModuleList(members)

    def forward(self, x, *args, **kwargs):
        return torch.stack([member(x, *args, **kwargs) for member in self.members]).mean(dim=0)


def test_a_live_ensemble_answers_by_session():
    parts = [recording(RECORDED / f"{name}.ckpt") for name in ("klindt", "klindt_abs")]
    model = RetinaModel(LiveEnsemble(*(part.load().module for part in parts)))
    assert model.sessions == ("1_a", "2_b")
    assert (model.n_neurons("1_a"), model.n_neurons("2_b")) == (3, 2)
    assert model.input_shape == (2, 10, 9)
    mean = (parts[0].answers["2_b"] + parts[1].answers["2_b"]) / 2
    got = model(parts[0].stimulus, data_key="2_b")
    torch.testing.assert_close(got, mean, atol=1e-5, rtol=0)
