"""Receptive field and tuning beside the wall: computed once, behind a run, never another's."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch

from openretina_widgets import RetinaModel, StimulusWall, receptive_fields, sweep
from openretina_widgets.drawing.field_content import project
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.widgets.neuron_detail import NeuronDetail, experiments_for
from openretina_widgets.widgets.selection import Selection
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")

FEW = {"time_steps": 9, "max_iterations": 8}


def drawn(detail: NeuronDetail) -> list[np.ndarray]:
    """What the maps show: signs of the pixels, coded around the middle of one byte."""
    return [np.frombuffer(one._content["frames"], np.uint8) for one in detail.maps]


def curve(detail: NeuronDetail) -> np.ndarray:
    (only,) = detail.plot._content["curves"]
    return np.array(only["values"], dtype=float)


@pytest.fixture
def detail(small_model):
    detail = NeuronDetail(Selection(small_model), data_key="small")
    yield detail
    detail.close()


def test_nothing_is_computed_before_it_is_asked_for(detail) -> None:
    detail._selection.choose(1)
    assert detail.job is None
    assert [len(one) for one in drawn(detail)] == [0, 0]
    assert "Click" in detail.maps[0].placeholder


def test_field_and_tuning_are_those_of_the_engine(detail, small_model) -> None:
    detail._selection.choose(2)
    detail.show()
    assert "computing" in detail._heading.value
    assert detail.maps[0].placeholder.startswith("Computing")
    detail.wait(60)
    alone = receptive_fields(small_model, neurons=[2])
    np.testing.assert_allclose(detail.field.fields, alone.fields, rtol=1e-5, atol=1e-6)
    images, _ = project(alone.fields, alone.temporal, alone.spatial)
    limit = np.abs(images).max()
    for shown, image in zip(drawn(detail), images[0], strict=True):
        clear = np.abs(image.ravel()) > 0.05 * limit
        middle = np.median([0, 255])
        assert np.array_equal(np.sign(shown[clear] - middle), np.sign(image.ravel()[clear]))
    curves = sweep(small_model, experiments.standard("direction", small_model))
    np.testing.assert_allclose(detail.tuning.responses, curves.responses, rtol=1e-5)
    np.testing.assert_allclose(curve(detail), curves.responses[:, 2], rtol=1e-4)
    # No stimulus is shown here, and none is promised.
    assert "tell its response" in detail.plot._content["hint"]


def test_each_is_computed_once(detail) -> None:
    for neuron in (0, 1, 0, 1, 2, 0):
        detail._selection.choose(neuron)
        detail.show()
        detail.wait(60)
        assert detail.field.neurons == (neuron,)
    assert detail.computed == 3 + 1  # the tuning of all neurons is one experiment
    detail._choice.value = "orientation"
    assert detail.tuning is None
    detail.wait(60)
    detail._choice.value = "direction"
    detail.wait(60)
    assert detail.computed == 5
    assert "direction" in detail.tuning.title


def test_who_clicks_fast_sees_the_last_and_never_another(detail) -> None:
    async def click() -> None:
        for neuron in (0, 1, 2):
            detail._selection.choose(neuron)
            detail.show()
            assert detail.field is None
            assert all(len(one) == 0 for one in drawn(detail))
        while detail._computing is not None:
            await asyncio.sleep(0.005)

    asyncio.run(click())
    assert detail.field.neurons == (2,)
    # The field of 0 had begun; that of 1 nobody looked at any more.
    assert ("field", 1) not in detail._known


class TwoSessions(LinearNonlinear):
    """The same readout in both sessions."""

    def forward(self, stimulus: torch.Tensor, data_key: str = "a") -> torch.Tensor:
        return super().forward(stimulus)


def test_another_session_is_not_shown() -> None:
    model = RetinaModel(
        TwoSessions(), input_shape=(2, 6, 5), sessions={"a": 3, "b": 3}, stimulus_norm=3.0
    )
    selection = Selection(model)
    detail = NeuronDetail(selection, data_key="a")
    detail.show()
    detail.wait(60)
    assert detail.field is not None
    selection.choose(1, data_key="b")
    detail.show()
    detail.wait(60)
    assert detail.field is None
    assert all(len(one) == 0 for one in drawn(detail))
    detail.close()


def test_a_failure_is_said_and_not_tried_again() -> None:
    class Fails(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fails = False

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            if self.fails:
                raise RuntimeError("the readout <broke>")
            return stimulus.mean(dim=(1, 3, 4))[..., None]

    module = Fails()
    model = RetinaModel(module, input_shape=(1, 6, 5))
    detail = NeuronDetail(Selection(model), data_key=model.sessions[0])
    module.fails = True
    detail.show()
    detail.wait(60)
    assert "the readout &lt;broke&gt;" in detail._figures.value
    assert "the readout <broke>" in detail.plot.placeholder
    job = detail.job
    detail.show()
    assert detail.job is job
    detail.close()


def test_experiments_are_those_that_show_all_neurons_the_same(small_model) -> None:
    known = experiments_for(small_model)
    assert "direction" in known
    assert not any(experiments.standard(name, small_model).centred for name in known)


def test_a_click_on_the_wall_brings_it_while_the_run_goes_on(synthetic) -> None:
    wall = StimulusWall(synthetic, neurons=range(40), max_iterations=400, patience=None, chunk=8)

    async def click() -> None:
        job = wall.start()
        await asyncio.sleep(0.05)
        wall.wall.selected = (33,)
        while wall.detail._wanted() or wall.detail._computing is not None:
            await asyncio.sleep(0.005)
        assert not job.done()
        before = job.iteration
        while job.iteration == before:
            await asyncio.sleep(0.005)
        wall.stop()
        await job

    asyncio.run(click())
    assert wall.detail.field.neurons == (33,)
    np.testing.assert_allclose(
        wall.detail.field.fields, receptive_fields(synthetic, neurons=[33]).fields, atol=1e-6
    )
    assert wall.detail.tuning.neurons == tuple(range(84))
    wall.close()


def test_a_neuron_that_has_not_begun_shows_no_other_one(small_model) -> None:
    wall = StimulusWall(small_model, neurons=[0, 1], **FEW)
    wall.start().result(timeout=60)
    assert wall.player.stimulus is not None
    wall.selection.choose(2)
    assert wall.player.stimulus is None
    wall.close()
