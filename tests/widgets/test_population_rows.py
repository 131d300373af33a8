"""Table and scatter of neurons in plain Python: what they send, and whom they follow."""

from __future__ import annotations

import numpy as np
import pytest
import traitlets

from openretina_widgets.drawing.row_content import HUES, encode
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.population_rows import PopulationView
from openretina_widgets.widgets.population_scatter import PopulationScatter
from openretina_widgets.widgets.population_table import PopulationTable
from openretina_widgets.widgets.selection import Selection
from tests.widgets.population import large_table, small_table

pytestmark = pytest.mark.usefixtures("nothing_left")
VIEWS = pytest.mark.parametrize("make", [PopulationTable, PopulationScatter])


def test_rows_for_the_page():
    content = encode(small_table())
    columns = {column["name"]: column for column in content["columns"]}
    assert "rule" not in columns
    assert np.frombuffer(content["neurons"], np.int32).tolist() == [0, 1, 2]
    numbers = np.frombuffer(content["numbers"], np.float32).reshape(3, 3)
    assert np.array_equal(
        numbers[columns["dsi"]["at"]], np.float32([0.1, np.nan, 0.8]), equal_nan=True
    )
    why = np.frombuffer(content["why"], np.uint16).reshape(3, 3)[columns["dsi"]["at"]]
    assert [content["reasons"][k] for k in why] == ["", "no <b>response</b>", ""]
    codes = np.frombuffer(content["codes"], np.uint16).reshape(2, 3)[columns["cell_type"]["at"]]
    assert [columns["cell_type"]["names"][k] for k in codes] == small_table()["cell_type"].tolist()


def test_a_type_looks_the_same_in_both_columns():
    columns = {column["name"]: column for column in encode(small_table())["columns"]}
    known, suggested = columns["cell_type"], columns["suggested_type"]
    style = dict(zip(known["names"], known["styles"], strict=True))
    assert style["ON sustained"] == suggested["styles"][0] == (HUES[0], "circle")
    assert style[""][0] not in HUES  # not known


def test_forty_types_look_different_as_long_as_possible():
    (types,) = (c for c in encode(large_table(40))["columns"] if c["name"] == "cell_type")
    assert len(set(types["styles"])) == 32


@VIEWS
def test_it_follows_the_selection_and_leads_it(make, small_model: RetinaModel):
    selection = Selection(small_model, neurons=[2])
    view: PopulationView = make(small_table(), selection=selection)
    assert (view.selection, view.selected) == (selection, [2])
    selection.choose([1, 0])
    assert view.selected == [1, 0]
    view.selected = [0, 2]  # as a click does
    assert selection.neurons == (0, 2)
    view.selected = []
    assert selection.neurons == (0, 2)
    view.close()
    selection.choose(1)
    assert view.selected == []


@VIEWS
def test_a_table_of_another_session_selects_that_session(make):
    model = _two_sessions()
    selection = Selection(model, data_key="large", neurons=[2])
    view = make(small_table(data_key="tiny"), selection=selection)
    assert view.selected == []
    view.selected = [1]
    assert (selection.data_key, selection.neurons) == ("tiny", (1,))
    selection.choose(0, data_key="large")
    assert view.selected == []
    view.close()


@VIEWS
def test_another_table_keeps_the_selection(make, small_model: RetinaModel):
    selection = Selection(small_model, neurons=[1, 2])
    view = make(selection=selection)
    assert view.table is None
    view.table = small_table()
    assert view.selected == [1, 2]
    view.shown = (2, 0)
    assert view.shown == (2, 0)
    view.shown = None
    assert view.shown is None
    view.close()


@VIEWS
def test_arguments_are_checked(make):
    with pytest.raises(ValueError, match="at least 160"):
        make(height=10)
    with pytest.raises(TypeError):
        make(small_table(), colours="many")


def test_columns_are_checked():
    with pytest.raises(traitlets.TraitError, match=r"x: .*nearest is 'dsi'"):
        PopulationScatter(small_table(), x="dsj")
    scatter = PopulationScatter(small_table())
    with pytest.raises(traitlets.TraitError, match="expected a column of kind 'number'"):
        scatter.y = "cell_type"
    with pytest.raises(traitlets.TraitError, match="expected a column of kind 'text'"):
        scatter.colour = "dsi"
    scatter.x, scatter.colour = "preferred_size", "suggested_type"
    scatter.close()
    table = PopulationTable(small_table())
    with pytest.raises(traitlets.TraitError, match="nearest is 'dsi'"):
        table.sort_by = "dsj"
    table.close()


def _two_sessions() -> RetinaModel:
    import torch

    class Two(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor, data_key: str = "large") -> torch.Tensor:
            mean = stimulus.mean(dim=(1, 3, 4))[..., None]
            return mean.expand(-1, -1, {"large": 3, "tiny": 3}[data_key])

    return RetinaModel(Two(), input_shape=(2, 6, 5), sessions={"large": 3, "tiny": 3})
