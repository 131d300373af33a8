"""Choosing neurons by cell type."""

from __future__ import annotations

import pytest

import openretina_widgets as orw
from openretina_widgets.models import Neuron
from tests.insilico.modules import linear_model

TYPES = ["ON sustained", "ON transient", "ON-OFF", "", "ON sustained", "ON sustained, no surround"]


@pytest.fixture(scope="module")
def model():
    return linear_model(6, sessions={"a": [Neuron(i, name) for i, name in enumerate(TYPES)]})


def test_cell_types_of_a_session(model):
    assert model.cell_types() == {
        "ON sustained": [0, 4],
        "ON transient": [1],
        "ON-OFF": [2],
        "ON sustained, no surround": [5],
    }
    assert model.cell_types("a") == model.cell_types()


@pytest.mark.parametrize(
    ("cell_type", "expected"),
    [
        ("ON sustained", [0, 4]),  # the whole name goes before a part of another
        ("on  SUSTAINED", [0, 4]),
        ("ON-OFF", [2]),
        ("ON", [0, 1, 4, 5]),
        ("sustained", [0, 4, 5]),
        ("surround on", [5]),
    ],
)
def test_neurons_of_a_type(model, cell_type, expected):
    assert model.neurons_of(cell_type) == expected
    assert model.check_neurons(model.neurons_of(cell_type, data_key="a")) == expected


@pytest.mark.parametrize(
    ("cell_type", "nearest"), [("ON sustaned", "ON sustained"), ("on-of", "ON-OFF")]
)
def test_an_unknown_type_names_the_nearest(model, cell_type, nearest):
    message = f"cell_type: there is no cell type '{cell_type}'; the nearest is '{nearest}'; known:"
    with pytest.raises(ValueError, match=message):
        model.neurons_of(cell_type)


def test_what_is_no_type_is_refused(model):
    with pytest.raises(ValueError, match="there is no cell type ''"):
        model.neurons_of("")
    with pytest.raises(TypeError, match="cell_type: expected the name of a type, got 3"):
        model.neurons_of(3)
    with pytest.raises(ValueError, match="data_key: there is no session 'b'"):
        model.neurons_of("ON", data_key="b")


def test_a_model_that_knows_no_types_says_so():
    with pytest.raises(ValueError, match="no cell type is known of these 2 neurons"):
        linear_model(2).neurons_of("ON")
    assert linear_model(2).cell_types() == {}


def test_neurons_of_the_synthetic_retina_can_be_optimised():
    model = orw.load_model("synthetic")
    chosen = model.neurons_of("ON sustained")
    assert [model.neurons()[i].cell_type for i in chosen] == ["ON sustained"] * 4
    result = orw.optimize_neurons(model, chosen, max_iterations=2, time_steps=25, seed=0)
    assert result.stimulus.shape[0] == 4
