"""A table of known numbers: sorted, asked, kept and shown."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from openretina_widgets.insilico.population import Column, SelectivityTable
from openretina_widgets.insilico.population.table import as_text
from openretina_widgets.models.retina_model import ModelIdentity

COLUMNS = (
    Column("neuron", "neuron"),
    Column("cell_type", "cell type", kind="text"),
    Column("dsi", "DSI"),
    Column("preferred_size", "preferred size", "µm"),
)


@pytest.fixture
def table() -> SelectivityTable:
    return SelectivityTable(
        COLUMNS,
        {
            "neuron": [7, 3, 5, 9],
            "cell_type": ["on", "OFF", "ON <b>", ""],
            "dsi": [0.5, math.nan, 0.1, 0.5],
            "preferred_size": [100.0, 200.0, math.nan, 300.0],
        },
        {"dsi": ["", "no response above baseline", "", ""]},
        data_key="small",
        model=ModelIdentity("net", "file", "abc"),
        settings={"directions": 8},
        seed=4,
        notes=("one note",),
    )


def test_undefined_numbers_come_last_either_way(table):
    assert table.sort("dsi").neurons == (5, 7, 9, 3)
    assert table.sort("dsi", descending=True).neurons == (7, 9, 5, 3)
    assert table.sort("cell_type").neurons == (9, 3, 7, 5)
    assert table.neurons == (7, 3, 5, 9)


def test_reasons_go_with_their_neuron(table):
    ordered = table.sort("neuron")
    assert ordered.reason("dsi", 3) == "no response above baseline"
    assert ordered.reason("dsi", 7) == ""
    assert ordered.reason("preferred_size", 5) == "undefined"
    assert ordered.where("dsi.isna()").reason("dsi", 3) == "no response above baseline"


def test_a_whole_turn_is_none():
    assert as_text(359.8, 360) == as_text(360.0, 360) == "0"
    assert as_text(359.4, 360) == "359"
    assert as_text(179.7, 180) == "0"
    assert as_text(359.8) == "360"


def test_query(table):
    found = table.where("dsi > 0.4 and preferred_size < 200")
    assert found.neurons == (7,)
    assert len(table.where("dsi > 5")) == 0
    assert table.where("dsi > 5").rows() == []
    with pytest.raises(ValueError, match="nearest is 'dsi'"):
        table.where("dsy > 0")


def test_rows_and_columns(table):
    assert table.rows()[0] == {
        "neuron": 7,
        "cell_type": "on",
        "dsi": 0.5,
        "preferred_size": 100.0,
    }
    assert table.row(5)["cell_type"] == "ON <b>"
    assert table["preferred_size"][3] == 300.0
    assert table.column("preferred_size").label == "preferred size (µm)"
    with pytest.raises(ValueError, match="neuron: 4 is not in this table"):
        table.row(4)
    with pytest.raises(ValueError, match="nearest is 'dsi'"):
        table["dsl"]
    with pytest.raises(ValueError, match="read-only"):
        table["dsi"][0] = 1.0


def test_it_comes_back_from_a_file(table, tmp_path):
    again = SelectivityTable.load(table.save(tmp_path / "table"))
    assert again.columns == table.columns
    assert again.neurons == table.neurons
    for name in table.names:
        same = {"equal_nan": True} if table.column(name).kind == "number" else {}
        assert np.array_equal(again[name], table[name], **same)
    for name, why in table.reasons.items():
        assert again.reasons[name].tolist() == why.tolist()
    for name in ("data_key", "model", "settings", "seed", "notes"):
        assert getattr(again, name) == getattr(table, name)
    empty = SelectivityTable.load(table.where("dsi > 5").save(tmp_path / "empty"))
    assert len(empty) == 0


def test_other_files_are_refused(table, tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, words=np.array('{"format": 1, "kind": "something"}'))
    with pytest.raises(ValueError, match="no saved result"):
        SelectivityTable.load(path)


def test_shown_text_is_escaped(table):
    page = table._repr_html_()
    assert "ON &lt;b&gt;" in page
    assert "<b>" not in page.replace("<b>SelectivityTable", "")
    assert "4 neurons" in repr(table)


def test_a_table_of_few_columns_shows_all_of_them(table):
    page = table._repr_html_()
    for label in ("neuron", "cell type", "DSI", "preferred size (µm)"):
        assert f">{label}</th>" in page
    assert page.count("<td") == 4 * 4
    many = tuple(Column(f"x{i}", f"x{i}") for i in range(8))
    values = {**table.values, **{column.name: [0.0] * 4 for column in many}}
    page = SelectivityTable((*COLUMNS, *many), values)._repr_html_()
    assert page.count("<th") == 3  # neuron, type and DSI: those that say most
    assert "x7" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "–"), (0.12345, "0.123"), (-0.5, "−0.5"), (300.0, "300"), ("ON", "ON")],
)
def test_numbers_as_a_person_writes_them(value, text):
    assert as_text(value) == text


def test_columns_must_fit():
    with pytest.raises(ValueError, match="column 'dsi' has none"):
        SelectivityTable(COLUMNS, {"neuron": [0], "cell_type": ["x"]})
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(1,\)"):
        SelectivityTable(COLUMNS[:3], {"neuron": [0], "cell_type": ["x"], "dsi": [1.0, 2.0]})
    with pytest.raises(ValueError, match="first one to be 'neuron'"):
        SelectivityTable(COLUMNS[1:], {"neuron": [0]})


def test_xarray(table):
    data = table.to_xarray()
    assert data["dsi"].dims == ("neuron",)
    assert data["dsi"].sel(neuron=7) == 0.5
    assert data["preferred_size"].attrs["units"] == "µm"


@pytest.mark.parametrize("package", ["pandas", "xarray"])
def test_a_package_that_is_absent_is_named(table, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as Python has what cannot be imported
    with pytest.raises(ImportError, match=f"pip install {package}"):
        getattr(table, f"to_{package}")()


def test_pandas(table):
    frame = table.to_pandas()
    assert frame.loc[7, "dsi"] == 0.5
    assert list(frame.columns) == ["cell_type", "dsi", "preferred_size"]
