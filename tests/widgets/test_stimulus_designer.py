from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from openretina_widgets.data_io import artificial_stimuli
from openretina_widgets.data_io.artificial_stimuli import Screen
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.newest import NewestOnly
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_controls import KINDS, ParameterSliders, kinds_for
from openretina_widgets.widgets.stimulus_designer import StimulusDesigner
from openretina_widgets.widgets.transport import MainLoop
from tests.widgets.conftest import LinearNonlinear

COLOUR = Screen(("green", "UV"), 18, 16, pixel_size_um=50.0, lag=5)
GREY = Screen(("luminance",), 20, 24, lag=5)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def response_in_plain(model: RetinaModel, stimulus: Any) -> np.ndarray:
    with torch.no_grad():
        return model(stimulus.batch)[0].numpy()


# Sliders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("screen", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("name", KINDS)
def test_every_builder_can_show_where_its_sliders_begin(name: str, screen: Screen) -> None:
    if name not in kinds_for(screen):
        assert (name, len(screen.channels)) == ("chromatic_contrast", 1)
        return
    kind = KINDS[name]
    assert kind.builder is getattr(artificial_stimuli, name)
    sliders = ParameterSliders(kind.parameters(screen), on_change=lambda: None)
    stimulus = kind.stimulus(screen, sliders.values)
    assert torch.equal(stimulus.movie, kind.stimulus(screen, {}).movie)
    assert stimulus.movie.std() > 0
    logarithmic = [p for p in sliders.parameters if p.log]
    for parameter in logarithmic:  # the page moves a value to the nearest step
        slider = sliders._sliders[parameter.name]
        begin = (np.log2(parameter.value) - slider.min) / slider.step
        assert begin == pytest.approx(round(begin), abs=1e-6)
        assert parameter.low * 0.999 <= 2**slider.min < 2**slider.max <= parameter.high * 1.001
    for parameter in sliders.parameters:
        assert parameter.options or parameter.low <= parameter.value <= parameter.high
    sliders.close()


def test_sliders_arrive_at_the_builder() -> None:
    values = {"direction": 90.0, "contrast": 0.5, "diameter": 300.0, "centre_x": 50.0,
              "weight_1": -1.0}  # fmt: skip
    stimulus = KINDS["drifting_grating"].stimulus(COLOUR, values)
    assert stimulus.parameters["direction_deg"] == 90.0
    assert stimulus.parameters["contrast"] == 0.5
    assert stimulus.parameters["diameter_um"] == 300.0
    assert stimulus.parameters["centre_um"] == (50.0, 0.0)
    assert stimulus.parameters["channel_weights"] == (1.0, -1.0)
    assert torch.equal(stimulus.movie[1], -stimulus.movie[0])
    whole = KINDS["drifting_grating"].stimulus(COLOUR, {**values, "diameter": 0.0})
    assert "diameter_um" not in whole.parameters
    with pytest.raises(ValueError, match="the nearest is 'contrast'"):
        KINDS["drifting_grating"].stimulus(COLOUR, {"contrst": 1.0})


# The newest question ------------------------------------------------------------------------------


async def test_only_the_newest_question_is_answered_and_never_on_the_main_thread() -> None:
    asked, shown, threads = [], [], set()
    begun, go_on = threading.Event(), threading.Event()

    def compute(number: int) -> int:
        asked.append(number)
        threads.add(threading.get_ident())
        begun.set()
        assert go_on.wait(10)
        return -number

    newest = NewestOnly(compute, show=shown.append, fail=pytest.fail, main_loop=MainLoop())
    newest.ask(0)
    assert begun.wait(10)
    for number in range(1, 50):
        newest.ask(number)
    assert newest.busy
    go_on.set()
    await until(lambda: not newest.busy)
    assert asked == [0, 49]
    assert shown[-1] == -49
    assert threading.get_ident() not in threads
    newest.close()
    newest.ask(50)
    await asyncio.sleep(0.02)
    assert asked == [0, 49]


async def test_failure_is_told_and_the_next_question_answered() -> None:
    shown: list[float] = []
    told: list[Exception] = []

    def compute(number: float) -> float:
        if number == 0:
            raise ValueError("number: expected another than 0")
        return 1 / number

    newest = NewestOnly(compute, show=shown.append, fail=told.append, main_loop=MainLoop())
    newest.ask(0)
    await until(lambda: len(told) == 1)
    newest.ask(4)
    await until(lambda: shown == [0.25])
    newest.close()


# The designer -------------------------------------------------------------------------------------


def test_shown_is_what_the_model_answers(small_model: RetinaModel) -> None:
    designer = StimulusDesigner(small_model, kind="flash")
    designer.selection.choose([2, 0])
    designer.set(contrast=-0.5, on_s=0.5)
    assert designer.stimulus.parameters["contrast"] == -0.5
    expected = response_in_plain(small_model, designer.stimulus)
    np.testing.assert_allclose(designer.response, expected, rtol=1e-6)
    curves = designer.traces._content["curves"]
    assert [curve["name"] for curve in curves] == [n.label for n in
        (small_model.neurons()[2], small_model.neurons()[0])]  # fmt: skip
    assert curves[0]["values"] == pytest.approx(expected[:, 2], rel=1e-4)
    # Time counts from the first frame of the movie: the response begins after the lag.
    times = designer.traces._content["x"]["values"]
    assert times[0] == pytest.approx(small_model.lag / 30, abs=1e-4)
    start, stop = designer.stimulus.window
    assert designer.traces._content["shade"][0] == pytest.approx([start / 30, stop / 30])
    np.testing.assert_array_equal(designer.player.stimulus, designer.stimulus.movie.numpy())
    designer.close()


def test_refused_stimulus_is_explained_and_the_last_good_one_stays(
    small_model: RetinaModel,
) -> None:
    designer = StimulusDesigner(small_model, kind="drifting_grating")
    good, picture = designer.stimulus, designer.player.stimulus
    designer.set(spatial_frequency=0.65)  # along rows, the finest is 0.5 cycles per pixel
    assert designer.error is not None
    assert str(designer.error) in designer._status.value.replace("&#x27;", "'")
    assert 'role="alert"' in designer._status.value
    assert designer.stimulus is good
    assert designer.player.stimulus is picture
    designer.set(spatial_frequency=0.25)
    assert designer.error is None
    assert 'role="alert"' not in designer._status.value
    assert designer.stimulus is not good
    designer.close()


def test_another_builder_keeps_what_both_have(small_model: RetinaModel) -> None:
    designer = StimulusDesigner(small_model, kind="spot", values={"contrast": -0.4})
    designer.set(duration_s=2.0)
    designer.kind = "annulus"
    assert designer.parameters["contrast"] == -0.4
    assert designer.stimulus.parameters["duration_s"] == 2.0
    assert designer.stimulus.name == "annulus"
    with pytest.raises(ValueError, match="the nearest is 'moving_bar'"):
        designer.kind = "moving_bars"
    with pytest.raises(ValueError, match="the nearest is 'contrast'"):
        designer.set(contrasts=1.0)
    designer.close()


def test_shared_selection_leads_and_follows(
    small_model: RetinaModel, synthetic: RetinaModel
) -> None:
    selection = Selection(small_model)
    first, second = StimulusDesigner(selection=selection), StimulusDesigner(selection=selection)
    first.picker._list.value = (0, 2)
    assert selection.neurons == (0, 2)
    assert second.picker._list.value == (0, 2)
    assert len(second.traces._content["curves"]) == 2
    first.close()
    selection.show_model(synthetic)
    assert second.response.shape[1] == synthetic.n_neurons()
    assert second._screen.pixel_size_um == 50.0
    assert len(second.traces._content["curves"]) == 1
    second.close()
    with pytest.raises(ValueError, match="not the model of the selection"):
        StimulusDesigner(small_model, selection=selection)
    with pytest.raises(ValueError, match="expected a model"):
        StimulusDesigner()


def test_ground_truth_is_seen_live(synthetic: RetinaModel) -> None:
    cell = next(
        truth
        for truth in synthetic.module.ground_truth
        if truth.preferred_direction_deg is not None and "ON-OFF" in truth.cell_type
    )
    preferred = cell.preferred_direction_deg
    assert preferred is not None
    designer = StimulusDesigner(synthetic, kind="moving_bar")

    def peak(direction: float) -> float:
        designer.set(direction=direction)
        return float(designer.response[:, cell.index].max())

    assert peak(preferred) > 1.5 * peak((preferred + 180) % 360)
    designer.close()


async def test_sliders_that_move_fast_end_at_the_newest(small_model: RetinaModel) -> None:
    designer = StimulusDesigner(small_model, kind="flash")
    shown: list[float] = []
    designer.observe(lambda change: shown.append(change["new"].parameters["contrast"]), "stimulus")
    slider = designer._sliders._sliders["contrast"]
    for contrast in np.linspace(-1, -0.05, 20):
        slider.value = contrast
    assert shown == []  # nothing was computed on the main thread
    await until(lambda: not designer.busy)
    assert shown[-1] == pytest.approx(-0.05)
    assert len(shown) < 20
    designer.close()


def test_picker_keeps_one_neuron_and_the_order_of_choice(small_model: RetinaModel) -> None:
    selection = Selection(small_model, neurons=[2])
    picker = NeuronsPicker(selection)
    picker._list.value = (0, 2)
    assert selection.neurons == (2, 0)  # the one that was chosen before leads
    picker._list.value = ()
    assert selection.neurons == (2, 0)
    picker._find.value = "off"
    assert [index for _, index in picker._list.options] == [1]
    assert "<b>transient" not in picker._note.value
    picker.close()
    selection.choose(1)


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(small_model: RetinaModel) -> None:
    selection = Selection(small_model)
    for _ in range(5):
        designer = StimulusDesigner(selection=selection)
        designer.kind = "spot"
        designer.close()
    selection.choose([0, 1])


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"contrast": 5.0}, ValueError, "contrast: expected Contrast, 0 to 1, got 5.0"),
        ({"contrast": float("nan")}, ValueError, "contrast: expected Contrast, 0 to 1, got nan"),
        ({"contrast": "full"}, TypeError, "contrast: expected a number, got 'full'"),
        ({"direction": [0.0]}, TypeError, "direction: expected a number, got"),
        ({"temporal_frequency": 20.0}, ValueError, "temporal_frequency: expected Temporal .Hz., "),
        ({"waveform": "saw"}, ValueError, "waveform: there is no choice 'saw'; the nearest is"),
        ({"contrasts": 1.0}, ValueError, "the nearest is 'contrast'"),
    ],
)
def test_values_that_a_slider_would_change_without_a_word_are_refused(
    small_model: RetinaModel, values: dict[str, object], error: type[Exception], words: str
) -> None:
    designer = StimulusDesigner(small_model, kind="drifting_grating")
    before = designer.parameters
    with pytest.raises(error, match=words):
        designer.set(**values)
    assert designer.parameters == before
    designer.close()
    with pytest.raises(error, match=words):
        StimulusDesigner(small_model, kind="drifting_grating", values=values)


def test_spot_at_the_end_of_its_sliders_is_cut_and_says_so(synthetic: RetinaModel) -> None:
    designer = StimulusDesigner(synthetic, kind="spot", values={"diameter": 50.0})
    assert "cut" not in designer._status.value
    width, height = (designer._screen.length(n) for n in (16, 18))
    designer.set(centre_x=width / 2, centre_y=height / 2)
    assert "its edge is cut" in designer._status.value
    designer.close()


def test_wide_bar_is_explained(synthetic: RetinaModel) -> None:
    designer = StimulusDesigner(synthetic, kind="moving_bar", values={"width": 1200.0})
    assert "the bar is 1200 µm wide, wider than the screen" in designer._status.value
    designer.close()


def test_one_channel_says_why_it_has_no_chromatic_contrast() -> None:
    class OneChannel(LinearNonlinear):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return super().forward(stimulus.expand(-1, 2, -1, -1, -1))

    model = RetinaModel(OneChannel(), input_shape=(1, 6, 5))
    with pytest.raises(ValueError, match="'chromatic_contrast' needs 2 channels; this model has 1"):
        StimulusDesigner(model, kind="chromatic_contrast")


def test_model_that_raises_anything_is_told_and_asked_again() -> None:
    class Fails(LinearNonlinear):
        broken = False

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            if self.broken:
                raise KeyError("amplifier")
            return super().forward(stimulus)

    net = Fails()
    designer = StimulusDesigner(RetinaModel(net, input_shape=(2, 6, 5)), kind="flash")
    net.broken = True
    designer.set(contrast=0.5)
    assert "amplifier" in designer._status.value
    assert 'role="alert"' in designer._status.value
    net.broken = False
    designer.set(contrast=0.25)
    assert designer.error is None
    assert not designer.busy
    designer.close()
