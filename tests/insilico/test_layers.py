"""Channels of inner layers: their list, their best stimuli, and a model left as it was."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from openretina_widgets import list_layers, load_model, optimize_layer
from openretina_widgets.insilico.stimulus_optimization import (
    LayerObjective,
    OptimizationResult,
    layer_steps,
)
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.layers import _outputs
from tests.insilico.modules import (
    HEIGHT,
    INPUT_SHAPE,
    WIDTH,
    TrainedNetwork,
    assert_untouched,
    cosine,
    noise,
    state_of,
)
from tests.insilico.test_batch import assert_same
from tests.models.openretina_table import RECORDED, paths, recording

FRAMES = 7


def hooks_of(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


class Recurrent(nn.Module):
    """Convolutions, one module called twice, one a frame, and a recurrent layer with a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 3, (2, 3, 3))
        self.act = nn.ReLU()
        self.frame = nn.Linear(3, 3)
        self.gru = nn.GRU(3, 5, batch_first=True)
        self.readout = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.act(self.conv(self.act(x))).mean(dim=(3, 4)).transpose(1, 2)
        maps = torch.stack([self.frame(one) for one in maps.unbind(1)], dim=1)
        return self.readout(self.gru(maps)[0])


# The list ------------------------------------------------------------------------------------


def test_layers_are_listed_in_the_order_of_the_calls_with_their_shapes(trained):
    layers = list_layers(trained, time_steps=FRAMES)
    maps = (4, FRAMES - 2, HEIGHT - 2, WIDTH - 2)
    names = [f"core.{i}" for i in range(4)]
    assert layers.names == [*names, "core", "readout.a"]
    for layer in layers[:5]:
        assert layer.axes == ("channel", "time", "height", "width")
        assert layer.shape == maps
        assert (layer.channels, layer.frames, layer.lag) == (4, FRAMES - 2, 2)
    readout = layers[-1]
    assert (readout.axes, readout.shape) == (("time", "channel"), (FRAMES - 2, 3))
    assert "4 channel × 5 time × 4 height × 3 width" in repr(layers)
    assert list_layers(trained, time_steps=FRAMES, data_key="b").names[-1] == "readout.b"


def test_a_list_without_a_layer_says_so_and_names_a_model_that_has_some():
    none = list_layers(load_model("synthetic"))
    assert none.names == []
    assert "no inner layer" in repr(none)
    assert "load_model('trained') has some" in repr(none)
    assert list_layers(load_model("trained")).names


def test_a_module_called_twice_is_two_layers_and_one_called_a_frame_is_none():
    model = RetinaModel(Recurrent(), input_shape=INPUT_SHAPE)
    layers = {layer.name: layer for layer in list_layers(model, time_steps=FRAMES)}
    assert list(layers) == ["act#1", "conv", "act#2", "gru", "readout"]
    assert layers["act#1"].shape == (2, FRAMES, HEIGHT, WIDTH)
    assert layers["act#2"].shape == (3, FRAMES - 1, HEIGHT - 2, WIDTH - 2)
    assert (layers["gru"].axes, layers["gru"].channels) == (("time", "channel"), 5)


NAMES = [path.stem for path in paths(RECORDED)]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("single_cell")])
def test_the_filters_of_the_models_of_one_cell_are_no_layers(name):
    layers = list_layers(recording(RECORDED / f"{name}.ckpt").load())
    assert layers.names == (["nonlinearity"] if name == "single_cell_lnp_parametrized" else [])


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("single_cell")])
def test_every_core_of_openretina_has_layers_and_a_stimulus_for_their_channels(name):
    model = recording(RECORDED / f"{name}.ckpt").load()
    layers = list_layers(model)
    first = next(layer for layer in layers if "time" in layer.axes)
    before = state_of(model.module)
    steps = model.lag + 3
    result = optimize_layer(
        model, first.name, [0, first.channels - 1], time_steps=steps, max_iterations=4, norm=3.0
    )
    assert_untouched(model.module, before)
    assert hooks_of(model) == 0
    assert (result.score >= result.score_trace[0]).all()
    assert result.score.isfinite().all()


def test_a_live_model_of_openretinas_shape_is_asked_directly(network):
    result = optimize_layer(network, "core.0", 2, time_steps=FRAMES, max_iterations=2, norm=3.0)
    assert result.settings["objective"]["channel"] == [2]


def test_a_model_without_inner_layers_says_so():
    model = load_model("synthetic")
    assert list_layers(model) == ()
    with pytest.raises(ValueError, match="layer: this model has no inner layer"):
        optimize_layer(model, "core")


# The right answer ----------------------------------------------------------------------------


def filters_of(model: RetinaModel) -> torch.Tensor:
    return model.module.core[0].weight.detach()


@pytest.mark.parametrize(("direction", "sign"), [("increase", 1), ("decrease", -1)])
def test_best_stimulus_of_a_channel_in_the_middle_is_its_kernel_there(trained, direction, sign):
    result = optimize_layer(
        trained,
        "core.0",
        direction=direction,
        place="middle",
        time_steps=3,
        stimulus_range=[(None, None)] * 2,
    )
    for stimulus, kernel in zip(result.stimulus, filters_of(trained), strict=True):
        expected = torch.zeros_like(stimulus)
        expected[:, :, 2:5, 1:4] = sign * kernel  # the layer is 4 x 3 places: the middle is (2, 1)
        assert cosine(stimulus, expected) >= 0.999


def test_best_stimulus_of_the_mean_is_the_kernel_summed_over_all_places(trained):
    result = optimize_layer(
        trained, "core.0", time_steps=5, window=(1, 3), stimulus_range=[(None, None)] * 2
    )
    for stimulus, kernel in zip(result.stimulus, filters_of(trained), strict=True):
        expected = torch.zeros_like(stimulus)
        for t in (1, 2):
            for y in range(HEIGHT - 2):
                for x in range(WIDTH - 2):
                    expected[:, t : t + 3, y : y + 3, x : x + 3] += kernel
        assert cosine(stimulus, expected) >= 0.999
    assert result.window == (1, 3)


def test_the_score_and_the_response_are_those_of_the_layer(trained):
    result = optimize_layer(trained, "core.3", [1], time_steps=FRAMES, max_iterations=3)
    given: list[torch.Tensor] = []
    trained.eval()
    handle = trained.module.core[3].register_forward_hook(lambda m, i, o: given.append(o))
    with torch.no_grad():
        trained(result.stimulus)
    handle.remove()
    trace = given[0][0, 1].mean(dim=(1, 2))
    torch.testing.assert_close(result.response[0], trace)
    torch.testing.assert_close(result.score[0], trace.mean())
    assert result.lag == 2
    assert result.neurons == ()


def test_the_lag_is_that_of_the_layer():
    model = RetinaModel(Recurrent(), input_shape=INPUT_SHAPE)
    result = optimize_layer(model, "act#1", 0, time_steps=FRAMES, max_iterations=2, norm=1.0)
    assert (result.lag, result.response.shape) == (0, (1, FRAMES))
    result = optimize_layer(model, "gru", [4], time_steps=FRAMES, max_iterations=2, norm=1.0)
    assert (result.lag, result.response.shape) == (1, (1, FRAMES - 1))


def test_channels_together_are_as_many_single_runs(trained):
    def run(channels: list[int]) -> OptimizationResult:
        return optimize_layer(
            trained,
            "core.3",
            channels,
            seed=4,
            place="middle",
            time_steps=FRAMES,
            max_iterations=60,
            patience=3,
            min_delta=2e-2,
        )

    together = run([0, 1, 2, 3])
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [run([channel]) for channel in range(4)])


def test_a_result_is_saved_and_loaded(trained, tmp_path):
    result = optimize_layer(trained, "core", [1], time_steps=FRAMES, max_iterations=1)
    loaded = OptimizationResult.load(result.save(tmp_path / "layer"))
    assert loaded.settings["objective"] == result.settings["objective"]
    assert loaded.settings["objective"]["layer"] == "core"


# The model is left as it was -----------------------------------------------------------------


def test_nothing_is_left_on_the_model_while_a_run_waits_nor_after_it(network):
    before = state_of(network)
    steps = layer_steps(network, "core.1", time_steps=FRAMES, norm=3.0)
    next(steps)
    next(steps)
    assert hooks_of(network) == 0
    steps.close()
    assert hooks_of(network) == 0
    assert_untouched(network, before)


class Failing(TrainedNetwork):
    fails = False

    def forward(self, x, data_key=None):
        response = super().forward(x, data_key)
        if self.fails:
            raise RuntimeError("out of order")
        return response


def test_nothing_is_left_on_the_model_after_an_error():
    network = Failing()
    objective = LayerObjective(network, "core.0", 1)
    network.fails = True
    with pytest.raises(RuntimeError, match="out of order"):
        objective.forward(noise(1, FRAMES))
    assert hooks_of(network) == 0


def test_what_another_thread_computes_with_the_module_is_not_taken(network):
    network.eval()
    with _outputs({"core.0": network.core[0]}) as outputs:
        other = threading.Thread(target=network, args=(noise(1, FRAMES),))
        other.start()
        other.join()
        assert outputs == {}
        network(noise(2, FRAMES))
    assert [len(one) for one in outputs.values()] == [2]


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "settings", "message"),
    [
        ("core.9", {}, r"layer: there is no layer 'core.9'; the nearest is 'core.\d'; known: "),
        (3, {}, "layer: there is no layer '3'"),
        ("core.0", {"channels": [4]}, "layer 'core.0' has no channel 4; .* the nearest is 3"),
        ("core.0", {"channels": -1}, "no channel -1; it has channels 0 to 3, the nearest is 0"),
        ("core.0", {"channels": -9}, "no channel -9; it has channels 0 to 3, the nearest is 0"),
        ("core.0", {"channels": []}, "channels: expected at least one channel"),
        ("core.0", {"place": "middel"}, "place: .* the nearest is 'middle'"),
        ("core.0", {"direction": "up"}, "direction: expected 'increase' or 'decrease'"),
        ("core.0", {"window": (0, 9)}, "window: expected 0 <= start < stop <= 5"),
        ("core.0", {"data_key": "c"}, "data_key: there is no session 'c'"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest(trained, layer, settings, message):
    with pytest.raises(ValueError, match=message):
        optimize_layer(trained, layer, **{"time_steps": FRAMES, **settings})
    assert hooks_of(trained) == 0


def test_the_refusal_of_a_layer_names_them_all(trained):
    with pytest.raises(ValueError, match=r"known: 'core.0', ") as refusal:
        optimize_layer(trained, "core.9")
    assert all(repr(name) in str(refusal.value) for name in list_layers(trained).names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [1.5]}, "channels: expected whole numbers, got 1.5"),
        ({"channels": "all"}, "channels: expected whole numbers, got 'all'"),
        ({"steps": 3}, "optimize_layer: there is no setting 'steps'"),
    ],
)
def test_a_wrong_kind_is_refused(trained, settings, message):
    with pytest.raises(TypeError, match=message):
        optimize_layer(trained, "core.0", **settings)


def test_as_many_channels_as_elements_are_needed(trained):
    with pytest.raises(ValueError, match="channel: 2 channels were given for a batch of 3"):
        LayerObjective(trained, "core.0", [0, 1]).forward(noise(3, FRAMES))
