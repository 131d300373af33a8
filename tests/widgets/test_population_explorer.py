"""The population explorer and the linked laboratory, without a browser."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.selection import Selection
from tests.widgets.conftest import LinearNonlinear
from tests.widgets.population import HOSTILE, small_table

pytestmark = pytest.mark.usefixtures("nothing_left")


async def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    for _ in itertools.count():
        if condition():
            return
        seconds -= 0.02
        assert seconds > 0, "waited in vain"
        await asyncio.sleep(0.02)


def test_compute_fills_table_and_scatter(small_model: RetinaModel):
    explorer = orw.PopulationExplorer(small_model)
    assert explorer.table is None
    assert "press Compute table" in explorer.rows.placeholder
    table = explorer.start().result(timeout=60)
    assert explorer.table is table is explorer.rows.table is explorer.scatter.table
    assert table.neurons == explorer.matching == (0, 1, 2)
    assert explorer._status.kind == "finished"
    assert explorer._status.progress == 1.0
    assert "Suggested type" in explorer._card.value or "no type" in explorer._card.value
    explorer.close()


def test_query(small_model: RetinaModel):
    explorer = orw.PopulationExplorer(small_model, table=small_table(), query="dsi > 0.5")
    assert explorer.matching == explorer.rows.shown == explorer.scatter.shown == (2,)
    assert "1 of 3 neurons match." in explorer._found.value
    explorer._field.value = "on_off.abs() > 0.5"  # as a user types
    assert explorer.query == "on_off.abs() > 0.5"
    assert explorer.matching == (0, 1)
    explorer._take.click()
    assert explorer.selection.neurons == (0, 1)
    explorer.query = "dsy > 0.5"
    assert "nearest is &#x27;dsi&#x27;" in explorer._found.value
    assert 'role="alert"' in explorer._found.value
    assert explorer.rows.shown is None
    assert explorer.matching == (0, 1, 2)
    assert explorer._take.disabled
    explorer.query = "dsi > 7"
    assert explorer.rows.shown == ()
    assert explorer._take.disabled
    explorer.query = ""
    assert explorer.rows.shown is None
    explorer.close()


def test_the_chosen_neuron_is_told_with_its_rule(small_model: RetinaModel):
    explorer = orw.PopulationExplorer(small_model, table=small_table())
    explorer.selection.choose(1)
    assert "it &lt;i&gt;stops&lt;/i&gt;" in explorer._card.value
    assert "no &lt;b&gt;response&lt;/b&gt;" in explorer._card.value
    explorer.rows.selected = [2]  # as a click does
    assert explorer.scatter.selected == [2]
    assert HOSTILE not in explorer._card.value
    assert "&lt;img" in explorer._card.value
    explorer.close()


async def test_stopping_keeps_what_is_measured(synthetic: RetinaModel):
    explorer = orw.PopulationExplorer(synthetic)
    job = explorer.start()
    assert explorer._compute.disabled
    await _until(lambda: job.iteration > 1)
    explorer._stop.click()
    table = await job
    assert table.notes == ("ended early: stopped by the user",)
    assert "stopped by the user" in explorer._status.message
    assert explorer._stop.disabled
    assert not explorer._compute.disabled
    explorer.close()


async def test_a_failure_is_said_in_words():
    class Fails(LinearNonlinear):
        broken = False

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            if self.broken:
                raise RuntimeError("the amplifier is <b>off</b>")
            return super().forward(stimulus)

    net = Fails()
    model = RetinaModel(net, input_shape=(2, 6, 5))
    net.broken = True
    explorer = orw.PopulationExplorer(model)
    with pytest.raises(RuntimeError, match="amplifier"):
        await explorer.start()
    assert explorer._status.kind == "failed"
    assert "the amplifier is <b>off</b>" in explorer._status.message  # shown as text
    assert not explorer._compute.disabled
    explorer.close()


def test_another_model_clears_it(small_model: RetinaModel):
    selection = Selection(small_model)
    explorer = orw.PopulationExplorer(small_model, selection=selection, table=small_table())
    other = RetinaModel(LinearNonlinear(5), input_shape=(2, 6, 5))
    selection.show_model(other)
    assert explorer.table is None
    assert explorer.model is other
    assert explorer._status.kind == "idle"
    explorer.close()
    selection.show_model(small_model)  # nobody listens any more


def test_arguments_are_checked(small_model: RetinaModel):
    selection = Selection(small_model)
    with pytest.raises(ValueError, match="data_key: the selection has one"):
        orw.PopulationExplorer(small_model, selection=selection, data_key="small")
    with pytest.raises(ValueError, match="selection: expected one of the same model"):
        orw.PopulationExplorer(
            RetinaModel(LinearNonlinear(), input_shape=(2, 6, 5)), selection=selection
        )
    with pytest.raises(TypeError):
        orw.PopulationExplorer(small_model, colour="red")


def test_optimiser_and_population_follow_each_other(small_model: RetinaModel):
    lab = orw.RetinaLab(small_model, neuron=1)
    assert lab.selection.neurons == (1,)
    population = lab.population
    assert population.selection is lab.optimizer.selection is lab.selection
    population.table = small_table()
    population.rows.selected = [2, 0]
    assert lab.optimizer.picker.neuron == 2
    assert lab.selection.neurons == (2, 0)
    lab.optimizer.picker.neuron = 0
    assert lab.selection.neurons == (0,)
    assert population.scatter.selected == [0]
    lab.close()


def test_a_tab_is_built_when_it_is_opened(small_model: RetinaModel):
    lab = orw.RetinaLab(small_model)
    assert list(lab._built) == ["optimizer"]
    lab._tabs.selected_index = list(lab._tabs.titles).index("Population")
    assert "population" in lab._built
    assert lab.show_tab("optimizer") is lab.optimizer
    assert lab._tabs.selected_index == 0
    with pytest.raises(ValueError, match="expected one of"):
        lab.show_tab("kitchen")
    lab.close()


def test_every_tab_follows_the_selection(synthetic: RetinaModel):
    lab = orw.RetinaLab(synthetic)
    for name in ("optimizer", "tuning", "fields", "population", "designer"):
        widget = lab.show_tab(name)
        assert widget is getattr(lab, name)
        assert widget.selection is lab.selection
        assert lab._pages[lab._tabs.selected_index].children == (widget,)
    lab.selection.choose([9, 2])
    assert lab.optimizer.picker.neuron == 9
    lab.optimizer.picker.neuron = 30
    assert lab.selection.neurons == (30,)
    lab.close()


def test_hidden_tabs_leave_the_page_with_another_model(
    synthetic: RetinaModel, small_model: RetinaModel
):
    lab = orw.RetinaLab(synthetic)
    fields = lab.show_tab("fields")
    lab.show_tab("tuning")
    lab.loader.model = small_model  # what is made anew while hidden would have no size
    assert [bool(page.children) for page in lab._pages] == [False, True, False, False, False]
    assert lab.show_tab("fields") is fields
    assert lab._pages[2].children == (fields,)
    assert fields.model is small_model
    lab.close()


async def test_another_model_stops_every_run_first(small_model: RetinaModel):
    lab = orw.RetinaLab("synthetic")
    running = lab.population.start()
    best = lab.optimizer.start()
    await _until(lambda: running.iteration > 0 and best.iteration > 0)
    opened = await lab.loader.load("trained")
    assert running.done()
    assert best.done()
    await _until(lambda: lab.model is opened)
    assert lab.optimizer.model is lab.population.model is opened
    assert lab.population.table is None
    lab.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dsi >", "cannot be read"),
        ("onoff > 0", "there is no column"),
        ("__import__('os').system('true') == 0", "is not possible in a query"),
    ],
)
def test_query_that_cannot_be_answered_is_told(small_model: RetinaModel, query: str, words: str):
    explorer = orw.PopulationExplorer(small_model, table=small_table())
    explorer._field.value = query  # as typing does
    assert words in explorer._found.value
    assert 'role="alert"' in explorer._found.value
    assert explorer._take.disabled
    explorer.close()


def test_seed_is_checked(small_model: RetinaModel):
    with pytest.raises(ValueError, match="seed: expected a whole number from 0"):
        orw.PopulationExplorer(small_model, seed=-1)
