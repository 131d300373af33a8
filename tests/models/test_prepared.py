"""The faster form of a model is the same function, and nothing in the model is changed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.compute import full_float32
from openretina_widgets.insilico.shown_stimulus import show_stimulus
from openretina_widgets.models import RetinaModel, load_model
from openretina_widgets.models.core_readout import build_core_readout
from openretina_widgets.models.ensemble import ensemble_of
from openretina_widgets.models.prepared import AS_IT_IS, WAYS, prepare
from openretina_widgets.models.prepared_products import _Moved
from tests.insilico.modules import assert_untouched, linear_model, state_of
from tests.models.checkpoint_files import CORE, READOUT
from tests.models.openretina_table import RECORDED, SHARED, paths, recording

OF_LAB = ("goldin_2022_mouse", "hoefling_2024_low_res", "klindt_low_res", "lnp_low_res")
NOT_KNOWN = ("single_cell_contrast", "spatial_contrast")


def made(
    *,
    in_shape=(2, 40, 14, 12),
    hidden=(4, 6, 3),
    temporal=(9, 5, 5),
    spatial=(5, 3, 3),
    n_neurons=7,
    **core,
):
    """A core-readout with weights that answer, of the kind of Höfling et al."""
    torch.manual_seed(3)
    module = build_core_readout(
        {
            "in_shape": in_shape,
            "hidden_channels": hidden,
            "n_neurons_dict": {"a": n_neurons, "b": 3},
            "core": {
                "_target_": CORE,
                "temporal_kernel_sizes": temporal,
                "spatial_kernel_sizes": spatial,
                "cut_first_n_frames": 0,
                "input_padding": False,
                "hidden_padding": True,
            }
            | core,
            "readout": {
                "_target_": READOUT,
                "scale": True,
                "bias": True,
                "gaussian_mean_scale": 6.0,
                "gaussian_var_scale": 4.0,
                "positive": False,
            },
        }
    )
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and "grid" not in name:
                noise = 0.3 * torch.randn_like(tensor)
                tensor.add_(noise.abs() if "running_var" in name else noise)
    model = RetinaModel(module, stimulus_norm=5.0).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


VARIANTS = {
    "plain": {},
    "padded": {"input_padding": True},
    "cut": {"cut_first_n_frames": 6},
    "pooled": {"maxpool_every_n_layers": 2, "input_padding": True, "cut_first_n_frames": 3},
    "numbers": {"input_padding": [0, 2, 1], "hidden_padding": [1, 1, 1]},
    "even kernels": {"spatial": (4, 2, 2), "temporal": (8, 4, 4), "input_padding": True},
    "dropout": {"dropout_rate": 0.4},
}


def movies(model, batch=3, frames=None, seed=0):
    shape = model.stimulus_shape(frames or model.lag + 9, batch)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def check_same(model, form, stimulus, session):
    """Responses, those of chosen neurons, and gradients agree to 1e-5 of the largest."""
    x, y, z = (stimulus.clone().requires_grad_(True) for _ in range(3))
    expected = model(x, session)
    neurons = torch.arange(len(stimulus)) % expected.shape[2]
    own = expected[torch.arange(len(stimulus)), :, neurons]
    size = float(expected.detach().abs().max())
    torch.testing.assert_close(form.responses(y), expected, rtol=0, atol=1e-5 * size)
    torch.testing.assert_close(form.own_responses(z, neurons), own, rtol=0, atol=1e-5 * size)
    weights = torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((own * weights).sum(), x)
    (found,) = torch.autograd.grad((form.own_responses(z, neurons) * weights).sum(), z)
    size = float(gradient.abs().max())
    assert size > 0
    torch.testing.assert_close(found, gradient, rtol=0, atol=2e-5 * size)


# The same function ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.words)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_way_is_the_same_function(variant, way):
    model = made(**VARIANTS[variant])
    stimulus = movies(model)
    form = prepare(model.module, stimulus.shape[2], "a", ways=[way])
    assert form.words.count(way.words) == 3
    check_same(model, form, stimulus, "a")


@pytest.mark.parametrize("name", [path.stem for path in paths(RECORDED)])
@pytest.mark.parametrize("ways", [None, WAYS], ids=["chosen", "forced"])
def test_every_architecture(monkeypatch, name, ways):
    if ways is not None:
        monkeypatch.setattr("openretina_widgets.models.prepared_layers._BY_TAPS", 0.0)
    model = recording(RECORDED / f"{name}.ckpt").load().eval()
    model.requires_grad_(False)
    for session in model.sessions:
        form = prepare(model.module, model.lag + 9, session, ways=ways)
        if name.startswith(NOT_KNOWN):
            assert form is None
        else:
            check_same(model, form, movies(model), session)


@pytest.mark.parametrize("name", OF_LAB)
def test_larger_models(name):
    if not SHARED.is_dir():
        pytest.skip(f"checkpoints of OpenRetina are not at {SHARED}")
    model = load_model(SHARED / f"{name}.ckpt").eval()
    model.requires_grad_(False)
    frames = model.lag + 20
    form = prepare(model.module, frames, model.sessions[0])
    check_same(model, form, movies(model, frames=frames), model.sessions[0])


def test_float64():
    model = made().double()
    stimulus = movies(model).double()
    form = prepare(model.module, stimulus.shape[2], "a")
    torch.testing.assert_close(form.responses(stimulus), model(stimulus, "a"), rtol=0, atol=1e-12)


def test_a_batch_of_more_than_one_piece():
    model = made()
    stimulus = movies(model, batch=37)
    check_same(model, prepare(model.module, stimulus.shape[2], "a"), stimulus, "a")


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("variant", ["plain", "padded", "cut", "even kernels"])
def test_whole_kernels(monkeypatch, variant, batch):
    monkeypatch.setattr("openretina_widgets.models.prepared_layers._BY_TAPS", 0.0)  # not to choose
    model = made(**VARIANTS[variant], convolution_type="full")
    stimulus = movies(model, batch=batch)
    form = prepare(model.module, stimulus.shape[2], "a")
    assert form.words.count("sums of matrices") == 3
    check_same(model, form, stimulus, "a")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("variant", ["plain", "padded", "cut", "even kernels"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.words)
def test_a_long_movie_is_taken_in_blocks_of_frames(monkeypatch, way, variant, batch):
    monkeypatch.setattr("openretina_widgets.models.prepared_layers._MOVED", 0.0)  # not to choose
    model = made(**VARIANTS[variant])
    stimulus = movies(model, batch=batch, frames=151)
    form = prepare(model.module, 151, "a", ways=[way])
    assert "in blocks of" in form.words
    check_same(model, form, stimulus, "a")


def test_only_what_is_not_known_of_a_core_is_run_as_it_is():
    recorded = {"simple_colour": "stimulus as it is", "gru_on": "recurrent unit as it is"}
    for name, words in recorded.items():
        model = recording(RECORDED / f"{name}.ckpt").load().eval()
        form = prepare(model.module, model.lag + 9, model.sessions[0], ways=WAYS)
        layers = sum("conv" in dict(layer.named_children()) for layer in model.module.core.features)
        assert form.words.count(words) == 1
        assert form.words.count("as it is") == 1
        assert form.words.count("matrices") == layers


@pytest.mark.parametrize("batch", [1, 3])
def test_gradients_of_many_neurons_at_once_and_of_a_gradient(batch):
    model = made()
    x, y = (movies(model, batch=batch, frames=30).requires_grad_(True) for _ in range(2))
    form = prepare(model.module, 30, "a")
    found = []
    for stimulus, response in ((x, model(x, "a")), (y, form.responses(y))):
        last = response[:, -1].sum(0)
        each = torch.vmap(
            lambda one, y=last, x=stimulus: torch.autograd.grad(y, x, one, retain_graph=True)[0]
        )(torch.eye(7))
        (once,) = torch.autograd.grad(last.square().sum(), stimulus, create_graph=True)
        (twice,) = torch.autograd.grad(once.square().sum(), stimulus)
        found.append((each, once.detach(), twice))
    for expected, got in zip(*found, strict=True):
        size = float(expected.abs().max())
        assert size > 0
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-5 * size)


def test_the_shortest_stimulus():
    model = made()
    stimulus = movies(model, frames=model.lag + 1)
    check_same(model, prepare(model.module, model.lag + 1, "b"), stimulus, "b")


def test_too_many_weights_of_a_readout_stay_masks(monkeypatch):
    model = made()
    stimulus = movies(model)
    monkeypatch.setattr("openretina_widgets.models.prepared_layers.LARGEST", 1000)
    form = prepare(model.module, stimulus.shape[2], "a", ways=WAYS)
    assert form.words.endswith("readout by masks")
    assert "2-D convolution" in form.words
    check_same(model, form, stimulus, "a")


def test_the_embedded_trained_model():
    model = load_model("trained")
    model.requires_grad_(False)
    form = prepare(model.module, 50, "synthetic")
    assert "matrices" in form.words
    check_same(model, form, 0.3 * movies(model, frames=50), "synthetic")


# What is not known, or listened to, is run as it is ------------------------------------------


def test_unknown_models_are_run_as_they_are():
    assert prepare(load_model("synthetic").module, 50, "synthetic") is None
    assert prepare(linear_model().module, 9, "default") is None
    model = linear_model(3, stimulus_norm=2.0)
    with model.prepared(9) as form:
        assert form is None
        assert model(movies(model, frames=9)).shape == (3, 5, 3)
    assert orw.optimize_neurons(model, 0, max_iterations=2, time_steps=9).settings["computed"] == (
        AS_IT_IS
    )


def test_a_module_that_somebody_listens_to_is_run_as_it_is():
    model = made()
    heard = []
    hook = model.module.core.features.layer1.register_forward_hook(
        lambda *_: heard.append("layer1")
    )
    with model.prepared(30, "a") as form:
        assert form is None
        model(movies(model, frames=30), "a")
    assert heard == ["layer1"]
    hook.remove()
    with model.prepared(30, "a") as form:
        assert form is not None


def test_a_hook_that_comes_later_is_heard():
    model = made()
    heard = []
    with model.prepared(30, "a"):
        model.module.readout["a"].register_forward_hook(lambda *_: heard.append(1))
        model(movies(model, frames=30), "a")
    assert heard == [1]


def test_train_mode_is_run_as_it_is():
    model = made(dropout_rate=0.5)
    model.module.train()
    with model.prepared(30, "a") as form:
        assert form is None
    model.module.eval()
    with model.prepared(30, "a") as form:
        assert form is not None
        model.module.core.features.layer0.train()
        torch.manual_seed(0)
        one = model(movies(model, frames=30), "a")
        other = model(movies(model, frames=30), "a")
    assert not torch.equal(one, other)  # batch statistics or dropout: the model as it is


# The model face ------------------------------------------------------------------------------


class Counted:
    """Counts how often the core's own convolutions are called."""

    def __init__(self, model, monkeypatch):
        self.calls = 0
        layer = type(model.module.core)
        forward = layer.forward

        def counted(core, x):
            self.calls += 1
            return forward(core, x)

        monkeypatch.setattr(layer, "forward", counted)


def test_within_the_context_the_form_answers_and_outside_the_model(monkeypatch):
    model = made()
    core = Counted(model, monkeypatch)
    stimulus = movies(model, frames=30)
    plain = model(stimulus, "a")
    assert core.calls == 1
    with model.prepared(30, "a") as form:
        faster = model(stimulus, "a")
        own = model.own_responses(stimulus, torch.tensor([2, 0, 1]), "a")
        assert core.calls == 1
        model(stimulus, "b")  # another session
        model(movies(model, frames=31), "a")  # another length
        model.double()
        model(stimulus.double(), "a")  # other weights
        assert core.calls == 4
        model.float()
    model(stimulus, "a")
    assert core.calls == 5
    torch.testing.assert_close(faster, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(own[1], plain[1, :, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        model.own_responses(stimulus, torch.tensor([2, 0, 1]), "a"), own, rtol=0, atol=1e-5
    )
    assert "readout as one matrix" in form.words


def test_several_sessions_are_answered_from_one_pass(monkeypatch):
    model = made()
    stimulus = movies(model, frames=30)
    plain = model.responses(stimulus, ["b", "a"])
    core = Counted(model, monkeypatch)
    with model.prepared(30, ["a", "b", "a"]) as form:
        assert form.sessions == ("a", "b")
        faster = model.responses(stimulus, ["b", "a"])
        alone = model(stimulus, "b")
        own = model.own_responses(stimulus, torch.tensor([2, 0, 1]), "b")
    assert core.calls == 0
    for one, other in zip(faster, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, faster[0])
    torch.testing.assert_close(own[0], alone[0, :, 2])
    with model.prepared(30, "a"):
        model.responses(stimulus, ["a", "b"])  # one of which the form does not know
    assert core.calls == 1
    with pytest.raises(ValueError, match="data_key: expected at least one session"):
        model.prepared(30, [])
    with pytest.raises(ValueError, match="no session 'c'"):
        model.prepared(30, ["a", "c"])


def test_it_is_built_once_and_again_when_the_weights_have_changed():
    model = made()
    with model.prepared(30, "a") as first:
        pass
    with model.prepared(30, "a") as second, model.prepared(31, "a") as other:
        assert second is first
        assert other is not first
    stimulus = movies(model, frames=30)
    for change in (
        lambda weight: weight.mul_(1.5),
        lambda weight: weight.data.mul_(1.5),  # which torch does not count
    ):
        before = model(stimulus, "a")
        with torch.no_grad():
            change(model.module.core.features.layer0.conv.weight_spatial)
        with model.prepared(30, "a") as third:
            assert third is not first
            faster = model(stimulus, "a")
        assert float((faster - before).abs().max()) > 1e-3
        torch.testing.assert_close(faster, model(stimulus, "a"), rtol=0, atol=1e-5)
        first = third


def test_weights_that_change_meanwhile_count_at_once():
    model = made()
    stimulus = movies(model, frames=30)
    with model.prepared(30, "a"):
        before = model(stimulus, "a")
        with torch.no_grad():
            model.module.readout["a"].bias += 2.0
        after = model(stimulus, "a")
    torch.testing.assert_close(after, model(stimulus, "a"), rtol=0, atol=1e-6)
    assert float((after - before).abs().max()) > 0.1


def test_a_gradient_of_the_weights_is_that_of_the_model():
    model = made()
    model.requires_grad_(True)
    with model.prepared(30, "a"):
        model(movies(model, frames=30), "a").sum().backward()
    assert model.module.core.features.layer0.conv.weight_spatial.grad is not None


def test_nothing_in_the_model_is_changed():
    model = made()
    before = state_of(model.module)
    with model.prepared(30, "a"):
        model(movies(model, frames=30), "a")
    assert_untouched(model.module, before)
    assert model.state_dict().keys() == {f"module.{name}" for name in model.module.state_dict()}


def test_copies_begin_without_forms():
    model = made()
    stimulus = movies(model, frames=30)
    with model.prepared(30, "a"):
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            torch.testing.assert_close(other(stimulus, "a"), model(stimulus, "a"))
            with torch.no_grad():
                other.module.readout["a"].bias += 1.0
            with other.prepared(30, "a"):
                assert float((other(stimulus, "a") - model(stimulus, "a")).abs().max()) > 0.1


# Runs ----------------------------------------------------------------------------------------


def as_it_is(monkeypatch):
    monkeypatch.setattr("openretina_widgets.models.prepared_forms.prepare", lambda *_: None)


def test_an_optimisation_gives_the_same_and_says_how_it_was_computed(monkeypatch):
    model = made(n_neurons=5)
    settings = {"time_steps": 30, "max_iterations": 40, "seed": [0, 1]}
    faster = orw.optimize_neurons(model, range(5), **settings)
    alone = orw.optimize_neurons(model, 3, **(settings | {"seed": 1}))
    as_it_is(monkeypatch)
    plain = orw.optimize_neurons(copy.deepcopy(model), range(5), **settings)
    assert "readout as one matrix" in faster.settings["computed"]
    assert plain.settings["computed"] == AS_IT_IS
    torch.testing.assert_close(faster.score, plain.score, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(faster.score[7], alone.score[0], rtol=1e-4, atol=1e-4)


def test_sweeps_and_fields_give_the_same(monkeypatch):
    model = load_model("trained")
    experiment = orw.experiments.drifting_gratings(directions=4)
    faster = orw.sweep(model, experiment), orw.receptive_fields(model, neurons=[0, 40])
    as_it_is(monkeypatch)
    model = load_model("trained")
    plain = orw.sweep(model, experiment), orw.receptive_fields(model, neurons=[0, 40])
    assert "readout as one matrix" in faster[0].settings["computed"]
    assert plain[0].settings["computed"] == AS_IT_IS
    torch.testing.assert_close(
        torch.tensor(faster[0].responses), torch.tensor(plain[0].responses), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        torch.tensor(faster[1].fields), torch.tensor(plain[1].fields), rtol=0, atol=1e-5
    )


def test_averages_and_shown_stimuli_give_the_same(monkeypatch):
    results = []
    for plain in (False, True):
        if plain:
            as_it_is(monkeypatch)
        model = load_model("trained")
        core = Counted(model, monkeypatch)
        shown = show_stimulus(model, "moving_bar", direction=90.0, neurons=[40])
        field = orw.receptive_fields(model, neurons=[0, 40], method="sta", frames=400)
        assert (core.calls > 0) is plain
        results.append((torch.tensor(shown.response), torch.tensor(field.fields)))
    for faster, other in zip(*results, strict=True):
        torch.testing.assert_close(faster, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def test_the_members_of_an_ensemble_have_forms_of_their_own(monkeypatch):
    members = [made(), made()]
    with torch.no_grad():
        members[1].module.readout["a"].bias += 1.0
    model = ensemble_of(members)
    stimulus = movies(model, frames=30)
    plain = model(stimulus, "a")
    core = Counted(members[0], monkeypatch)
    with model.prepared(30, "a") as form:
        faster = model(stimulus, "a")
    assert core.calls == 0
    torch.testing.assert_close(faster, plain, rtol=0, atol=1e-5)
    assert "readout as one matrix" in form.words
    result = orw.optimize_neurons(model, 0, data_key="a", max_iterations=2, time_steps=30)
    assert result.settings["computed"] == form.words


def test_the_card_says_what_ran():
    model = made()
    assert "Computed" not in dict(model.card.rows())
    with model.prepared(30, "a") as form:
        pass
    assert dict(model.card.rows())["Computed"] == [f"30 frames: {form.words}"]
    assert form.words in " ".join(str(model.card).split())


def test_the_card_of_an_ensemble_says_what_each_member_runs():
    members = [made(), made(), made()]
    model = ensemble_of(members)
    assert "Computed" not in dict(model.card.rows())
    with members[0].prepared(30, "a") as form, model.prepared(30, "a"):
        pass
    assert dict(model.card.rows())["Computed"] == [f"each member, 30 frames: {form.words}"]
    heard = members[1].module.core.register_forward_hook(lambda *_: None)
    with model.prepared(31, "a"):
        pass
    heard.remove()
    of_30, of_31, as_it_is = dict(model.card.rows())["Computed"]
    assert of_30 == f"each member, 30 frames: {form.words}"
    assert of_31.startswith("members 1 and 3, 31 frames: ")
    assert as_it_is == f"member 2, 31 frames: {AS_IT_IS}"
    assert RetinaModel(model, input_shape=model.input_shape).computed == model.computed


def test_a_form_that_is_built_in_inference_mode_lets_gradients_pass():
    model = made()
    with torch.inference_mode(), model.prepared(30, "a"):
        model(movies(model, frames=30), "a")
    stimulus = movies(model, frames=30).requires_grad_(True)
    with model.prepared(30, "a"):
        model(stimulus, "a").sum().backward()
    assert float(stimulus.grad.abs().max()) > 0


@pytest.mark.cuda
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.words)
def test_cuda(way):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = made().to("cuda")
    stimulus = movies(model).to("cuda")
    form = prepare(model.module, stimulus.shape[2], "a", ways=[way])
    with full_float32(stimulus.device):  # torch lets convolutions round to TF32
        answers = []
        for answer in (form.responses, lambda x: model(x, "a")):
            x = stimulus.clone().requires_grad_(True)
            response = answer(x)
            answers.append((response, *torch.autograd.grad(response.square().sum(), x)))
    for own, expected in zip(*answers, strict=True):
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-5 * max(1.0, scale))


def test_moved_axes_are_a_permutation_with_its_gradient_one_more_batch_included():
    generator = torch.Generator().manual_seed(0)
    for last in (3, 2, 4):  # numbers that are moved one, two and four at a time
        x = torch.randn(2, 3, 5, last, generator=generator)
        weights = torch.randn(5, 2, 3, last, generator=generator)

        def answer(x, weights=weights):
            return (_Moved.apply(x, (2, 0, 1, 3)).square() * weights).sum()

        def expected(x, weights=weights):
            return (x.permute(2, 0, 1, 3).square() * weights).sum()

        assert torch.equal(_Moved.apply(x, (2, 0, 1, 3)), x.permute(2, 0, 1, 3))
        shifted = torch.cat([torch.zeros(1), x.flatten()])[1:].view(x.shape)  # not at a whole one
        assert torch.equal(_Moved.apply(shifted, (2, 0, 1, 3)), x.permute(2, 0, 1, 3))
        grads = [torch.autograd.functional.jacobian(f, x) for f in (answer, expected)]
        assert torch.equal(*grads)
        several = torch.randn(4, 2, 3, 5, last, generator=generator)
        found = torch.func.vmap(torch.func.grad(answer))(several)
        assert torch.equal(found, torch.func.vmap(torch.func.grad(expected))(several))
        twice = [torch.autograd.functional.hessian(f, x) for f in (answer, expected)]
        torch.testing.assert_close(*twice)
