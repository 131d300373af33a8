from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from openretina_widgets.models import Neuron, RetinaModel, as_retina_model
from openretina_widgets.models.retina_model import frozen
from tests.insilico.modules import (
    CHANNELS,
    HEIGHT,
    INPUT_SHAPE,
    LAG,
    WIDTH,
    LinearNeurons,
    TrainedNetwork,
    assert_untouched,
    is_frozen,
    linear_model,
    noise,
    random_filters,
    state_of,
)


class Delay(nn.Module):
    """Answers with the mean of the frame `lag` ago, for one neuron; no parameters at all."""

    def __init__(self, lag: int, *, refuse: type[Exception] | None = None) -> None:
        super().__init__()
        self.lag = lag
        self.refuse = refuse

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        time = stimulus.shape[2]
        if time <= self.lag and self.refuse is not None:
            raise self.refuse(f"{time} frames will not do")
        return stimulus.mean(dim=(1, 3, 4))[:, : max(0, time - self.lag), None]


class Answers(nn.Module):
    """Answers with whatever a function makes of the stimulus."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, stimulus: torch.Tensor):
        return self.function(stimulus)


@pytest.fixture
def network():
    return TrainedNetwork()


# What is measured ----------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 1, 4, 7, 8, 20, 31, 32, 100])
def test_lag_is_measured(lag):
    model = RetinaModel(Delay(lag), input_shape=(1, 3, 3))
    assert model.lag == lag
    assert model(torch.zeros(model.stimulus_shape(lag + 5))).shape == (1, 5, 1)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, IndexError, AssertionError, KeyError])
def test_lag_is_measured_of_a_module_that_checks_its_input(error):
    assert RetinaModel(Delay(6, refuse=error), input_shape=(1, 3, 3)).lag == 6


def test_lag_of_a_convolution_in_time():
    assert linear_model(3).lag == LAG
    assert linear_model(3, frame_rate=20.0).lag_ms == pytest.approx(200.0)


def test_neurons_are_counted():
    model = linear_model(3)
    assert model.sessions == ("default",)
    assert model.n_neurons() == 3
    assert model.neurons() == (Neuron(0), Neuron(1), Neuron(2))


def test_sessions_shape_and_neurons_are_asked_of_a_live_model(network):
    model = RetinaModel(network)
    assert model.input_shape == INPUT_SHAPE
    assert model.sessions == ("a", "b")
    assert (model.n_neurons("a"), model.n_neurons("b"), model.n_neurons()) == (3, 2, 3)
    assert model.lag == TrainedNetwork.LAG


def test_measuring_leaves_the_module_as_it_was(network):
    network.core[0].weight.requires_grad_(False)
    before = state_of(network)
    RetinaModel(network)
    assert_untouched(network, before)
    with pytest.raises(ValueError, match="sessions: 'a' was said to hold 9 neurons"):
        RetinaModel(network, sessions={"a": 9})
    assert_untouched(network, before)


def test_a_model_can_be_wrapped_again():
    model = RetinaModel(linear_model(3), input_shape=INPUT_SHAPE)
    assert (model.lag, model.n_neurons()) == (LAG, 3)


# What is stated ------------------------------------------------------------------------------


def test_what_is_stated_is_kept():
    neurons = [Neuron(0, "ON", 10.0, -5.0, "Likes light."), Neuron(1), Neuron(2, "OFF")]
    model = linear_model(
        3,
        sessions={"retina 1": neurons},
        name="three",
        source="made up",
        description="Three filters.",
        frame_rate=60,
        pixel_size_um=50,
        channels=["red", "blue"],
        stimulus_range=[(-1, 2), (-3, 4)],
        stimulus_norm=5,
    )
    assert model.sessions == ("retina 1",)
    assert model.neurons("retina 1") == tuple(neurons)
    assert (model.name, model.source, model.description) == ("three", "made up", "Three filters.")
    assert (model.frame_rate, model.pixel_size_um, model.stimulus_norm) == (60.0, 50.0, 5.0)
    assert model.channels == ("red", "blue")
    assert model.stimulus_range == ((-1.0, 2.0), (-3.0, 4.0))


def test_what_is_not_stated_is_not_guessed():
    model = linear_model()
    assert model.pixel_size_um is model.stimulus_range is model.stimulus_norm is None
    assert model.name == "LinearNeurons"
    assert model.source == "live tests.insilico.modules.LinearNeurons"
    assert (model.frame_rate, model.description) == (30.0, "")


@pytest.mark.parametrize(
    ("n", "names"),
    [(1, ("luminance",)), (2, ("green", "UV")), (3, ("channel 0", "channel 1", "channel 2"))],
)
def test_channels_are_named_by_their_number(n, names):
    assert RetinaModel(Delay(1), input_shape=(n, 3, 3)).channels == names


def test_neuron_labels():
    assert Neuron(12, "ON transient").label == "12 · ON transient"
    assert Neuron(3).label == "3"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Neuron(3).index = 4


def test_extra_repr_says_the_shape_and_the_lag():
    assert "'LinearNeurons', 2 x 6 x 5, lag=4, sessions=1" in repr(linear_model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"input_shape": (2, 6)},
            r"input_shape: expected \(channel, height, width\), got \(2, 6\)",
        ),
        ({"input_shape": (2, 0, 5)}, "input_shape: "),
        ({"input_shape": None}, r"input_shape: .* LinearNeurons has no stimulus_shape\(\) to ask"),
        ({"input_shape": (3, 6, 5)}, "module: it answered no stimulus of 1 to 1024 frames"),
        ({"frame_rate": 0}, "frame_rate: expected a positive number, got 0"),
        ({"pixel_size_um": -1}, "pixel_size_um: expected a positive number, got -1"),
        ({"stimulus_norm": float("nan")}, "stimulus_norm: expected a positive number, got nan"),
        ({"channels": ["one"]}, r"channels: expected 2 names, got \['one'\]"),
        ({"channels": "gu"}, "channels: expected 2 names, got 'gu'"),
        ({"stimulus_range": [(0, 1)]}, r"stimulus_range: .*\('green', 'UV'\), got \[\(0, 1\)\]"),
        ({"stimulus_range": [(0, 1), (1, 1)]}, "stimulus_range: expected .* low < high"),
        ({"stimulus_range": [(0, 1), (float("nan"), 1)]}, "stimulus_range: expected .* low < high"),
        ({"stimulus_range": ["ab", "cd"]}, "stimulus_range: expected .* low < high for each"),
        ({"stimulus_range": [(0, 1, 2), (0, 1)]}, "stimulus_range: expected .* low < high"),
        ({"sessions": {}}, "sessions: expected at least one session, got none"),
        ({"sessions": {"a": 3, "b": 3}}, "sessions: 2 sessions .* no data_key to tell them apart"),
        ({"sessions": {"a": 2}}, "sessions: 'a' was said to hold 2 neurons, but .* with 3"),
        ({"sessions": {"a": [Neuron(0)]}}, "sessions: 'a' was said to hold 1 neurons, but"),
    ],
)
def test_arguments_are_checked(settings, message):
    arguments = {"input_shape": INPUT_SHAPE} | settings
    with pytest.raises(ValueError, match=message):
        RetinaModel(LinearNeurons(random_filters(3)), **arguments)


def test_one_range_for_all_channels_is_refused_in_words():
    with pytest.raises(
        TypeError, match=r"stimulus_range: expected \(low, high\) with .* \(-1, 1\)"
    ):
        RetinaModel(
            LinearNeurons(random_filters(3)), input_shape=INPUT_SHAPE, stimulus_range=(-1, 1)
        )


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            lambda x: x[:, 0, :, 0, 0],
            ValueError,
            r"expected a response \(batch, time, neuron\), got",
        ),
        (lambda x: (x,), TypeError, "module: expected a response tensor, got tuple"),
        (lambda x: x[:, 0, ::2, 0], ValueError, "each further stimulus frame to give one further"),
        (
            lambda x: x[:, 0, :0, 0],
            ValueError,
            "module: it answered no stimulus of 1 to 1024 frames",
        ),
    ],
    ids=["two axes", "tuple", "every second frame", "nothing"],
)
def test_a_module_that_answers_otherwise_is_refused(answer, error, message):
    with pytest.raises(error, match=message):
        RetinaModel(Answers(answer), input_shape=(1, 3, 3))


def test_the_last_words_of_a_module_that_never_answers_are_told():
    def fail(_):
        raise RuntimeError("weights are missing")

    with pytest.raises(ValueError, match="its last words: RuntimeError: weights are missing"):
        RetinaModel(Answers(fail), input_shape=(1, 3, 3))


def test_an_error_of_another_kind_is_not_hidden():
    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RetinaModel(Answers(fail), input_shape=(1, 3, 3))


@pytest.mark.parametrize("module", [None, "synthetic", LinearNeurons, lambda x: x])
def test_what_is_no_module_is_refused(module):
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module, got"):
        RetinaModel(module, input_shape=INPUT_SHAPE)
    with pytest.raises(TypeError, match=r"model: expected a RetinaModel or a torch\.nn\.Module"):
        as_retina_model(module)


# Sessions and neurons ------------------------------------------------------------------------


def test_each_session_answers_with_its_own_readout(network):
    model = RetinaModel(network).eval()
    stimulus = noise(2, 5)
    torch.testing.assert_close(model(stimulus), network(stimulus, data_key="a"))
    torch.testing.assert_close(model(stimulus, data_key="b"), network(stimulus, data_key="b"))


def test_a_session_that_is_really_called_default_is_asked_by_name():
    network = TrainedNetwork({"a": 3, "default": 2})
    model = RetinaModel(network).eval()
    stimulus = noise(1, 5)
    assert model(stimulus, data_key="default").shape[2] == 2
    torch.testing.assert_close(
        model(stimulus, data_key="default"), network(stimulus, data_key="default")
    )


def test_a_module_without_named_sessions_is_not_told_our_name():
    class Single(LinearNeurons):
        def forward(self, stimulus, data_key=None):
            assert data_key is None
            return super().forward(stimulus)

    assert RetinaModel(Single(random_filters(2)), input_shape=INPUT_SHAPE).n_neurons() == 2


def test_an_unknown_session_is_refused_and_the_nearest_named(network):
    model = RetinaModel(TrainedNetwork({"1_mouse_left": 3, "2_mouse_right": 2}))
    message = "data_key: there is no session '2_mouse_rigth'; the nearest is '2_mouse_right'"
    for ask in (model.n_neurons, model.neurons, model.session):
        with pytest.raises(ValueError, match=message):
            ask("2_mouse_rigth")
    with pytest.raises(ValueError, match="known: '1_mouse_left', '2_mouse_right'"):
        model(noise(1, 5), data_key="monkey")
    with pytest.raises(ValueError, match="answered no stimulus"):
        RetinaModel(network, sessions={"monkey": 3})


def test_check_neurons_gives_indices_from_zero():
    model = linear_model(3)
    assert model.check_neurons(2) == [2]
    assert model.check_neurons([2, 0, 0]) == [2, 0, 0]
    assert model.check_neurons(range(3)) == [0, 1, 2]
    assert model.check_neurons(torch.tensor([1, 2]).numpy()) == [1, 2]


@pytest.mark.parametrize(
    ("neurons", "error", "message"),
    [
        (3, ValueError, "session 'default' has no neuron 3; .*0 to 2, the nearest is 2"),
        ([0, -4], ValueError, "has no neuron -4; .* the nearest is 0"),
        (-1, ValueError, "has no neuron -1; it has neurons 0 to 2, the nearest is 0"),
        ([], ValueError, "neurons: expected at least one neuron, got none"),
        ([0.5], TypeError, r"neurons: expected whole numbers, got 0\.5"),
        (0.5, TypeError, r"neurons: expected whole numbers, got 0\.5"),
        (None, TypeError, "neurons: expected whole numbers, got None"),
        ("12", TypeError, "neurons: expected whole numbers, got '12'"),
        ([True], TypeError, "neurons: expected whole numbers, got True"),
    ],
)
def test_unknown_neurons_are_refused(neurons, error, message):
    with pytest.raises(error, match=message):
        linear_model(3).check_neurons(neurons)


# Shapes --------------------------------------------------------------------------------------


def test_stimulus_shape_in_openretinas_spelling():
    model = linear_model()
    assert model.stimulus_shape() == (1, CHANNELS, 50, HEIGHT, WIDTH)
    assert model.stimulus_shape(time_steps=30, num_batches=4) == (4, CHANNELS, 30, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_steps": LAG}, "time_steps: 4 frames are too short.* consumes 4 .*that works is 5"),
        ({"num_batches": 0}, "num_batches: expected at least 1, got 0"),
    ],
)
def test_stimulus_shape_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        linear_model().stimulus_shape(**settings)


@pytest.mark.parametrize(
    ("stimulus", "error", "message"),
    [
        (
            noise(1, LAG),
            ValueError,
            "stimulus: 4 frames are too short, since .* consumes 4 .*is 5$",
        ),
        (noise(1)[:0], ValueError, "stimulus: a batch of size 0"),
        (
            noise(1)[0],
            ValueError,
            r"stimulus: expected \(batch, 2, time, 6, 5\), got \(2, 5, 6, 5\)",
        ),
        (noise(1).transpose(3, 4), ValueError, r"stimulus: expected .*got \(1, 2, 5, 5, 6\)"),
        (noise(1).long(), TypeError, r"stimulus: expected floating-point values, got torch\.int64"),
        (noise(1).numpy(), TypeError, "stimulus: expected a torch tensor, got ndarray"),
    ],
    ids=["short", "empty", "unbatched", "width first", "integers", "numpy"],
)
def test_a_stimulus_of_another_shape_is_refused(stimulus, error, message):
    with pytest.raises(error, match=message):
        linear_model()(stimulus)


def test_a_stimulus_with_nan_is_refused_where_it_is_checked():
    stimulus = noise(1)
    stimulus[0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="stimulus: 1 of 300 values are NaN or infinite"):
        linear_model().check_stimulus(stimulus)


def test_the_last_response_belongs_to_the_last_frame():
    model = linear_model(2)
    stimulus = noise(1, 9)
    torch.testing.assert_close(model(stimulus)[:, -1], model(stimulus[:, :, -(LAG + 1) :])[:, 0])


# Identity and device -------------------------------------------------------------------------


def test_weight_hash_tells_weights_apart():
    model, same, other = linear_model(seed=0), linear_model(seed=0), linear_model(seed=1)
    assert model.weight_hash == same.weight_hash == copy.deepcopy(model).weight_hash
    assert model.weight_hash != other.weight_hash
    with torch.no_grad():
        same.module.filters[0, 0, 0, 0, 0].add_(1e-6)
    assert same.weight_hash != model.weight_hash
    assert len(model.weight_hash) == 16
    assert model.identity.weight_hash == model.weight_hash


def test_weight_hash_counts_buffers_scalars_and_what_is_empty():
    module = Delay(1)
    model = RetinaModel(module, input_shape=(1, 3, 3))
    hashes = [model.weight_hash]
    for name, value in (("a", torch.tensor(1)), ("b", torch.zeros(0)), ("c", torch.ones(3).bool())):
        module.register_buffer(name, value)
        hashes.append(model.weight_hash)
    assert len(set(hashes)) == 4


def test_device_and_type_are_those_of_the_weights():
    assert RetinaModel(Delay(1), input_shape=(1, 3, 3)).device == torch.device("cpu")
    assert linear_model().double().dtype == torch.float64
    assert linear_model().to("meta").device.type == "meta"


@pytest.mark.cuda
def test_a_model_moves_to_the_device_and_back():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    model = linear_model()
    expected = model(noise(2, 7))
    before = model.weight_hash
    model.to("cuda")
    assert model.device.type == "cuda"
    assert model.weight_hash == before
    torch.testing.assert_close(model(noise(2, 7).cuda()).cpu(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.cpu()(noise(2, 7)), expected)


# Frozen for a run ----------------------------------------------------------------------------


def test_frozen_holds_and_hands_back(network):
    network.core[1].eval()
    network.core[0].bias.requires_grad_(False)
    before = state_of(network)
    with frozen(network):
        assert is_frozen(network)
    assert_untouched(network, before)


def test_frozen_hands_back_after_an_error(network):
    before = state_of(network)
    with pytest.raises(KeyError), frozen(network):
        raise KeyError
    assert_untouched(network, before)


@pytest.mark.parametrize("first_out", ["whole", "wrapper", "part"])
def test_frozen_runs_that_overlap_hand_back_once(network, first_out):
    """The module, a wrapper of it and a part of it: whoever is last out hands each part back."""
    before = state_of(network)
    wrapper = RetinaModel(network)
    holds = {"whole": frozen(network), "wrapper": frozen(wrapper), "part": frozen(network.core)}
    for hold in holds.values():
        hold.__enter__()
    holds.pop(first_out).__exit__(None, None, None)
    assert is_frozen(network)
    for hold in holds.values():
        hold.__exit__(None, None, None)
    assert_untouched(network, before)
    assert wrapper.training


def test_frozen_within_frozen(network):
    before = state_of(network)
    with frozen(network):
        with frozen(network):
            pass
        assert is_frozen(network)
    assert_untouched(network, before)
