from __future__ import annotations

import json

import numpy as np
import pytest
import traitlets

from openretina_widgets.drawing import colour
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.tuning_map import ResponseMap, TuningMap

GREEN, UV = Axis.of("green", [-1.0, 0.0, 1.0]), Axis.of("uv", [-1.0, 1.0])
VALUES = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 0.5]])


def content(plot: TuningMap) -> dict:
    # As it travels: JSON knows no NaN.
    return json.loads(json.dumps(plot._content, allow_nan=False))


def prepared(*names: str) -> TuningMap:
    plot = TuningMap()
    plot.prepare(
        GREEN, UV, labels=("green contrast", "UV contrast"), channels=("green", "UV"), names=names
    )
    return plot


def test_each_cell_has_the_colour_of_its_value() -> None:
    plot = prepared("3")
    plot.draw([ResponseMap("3", VALUES, 1.0)])
    shown = content(plot)["maps"][0]
    assert shown["limits"] == [0.0, 4.0]
    assert shown["values"] == VALUES.ravel().tolist()
    assert shown["levels"] == colour.quantise(VALUES, (0.0, 4.0)).ravel().tolist()
    assert (shown["levels"][0], shown["levels"][1]) == (colour.LOWEST, colour.HIGHEST)
    assert np.frombuffer(plot._colours, np.uint8).reshape(256, 3)[255] == pytest.approx(
        colour.SEQUENTIAL[255]
    )
    plot.close()


def test_cells_come_one_by_one_and_the_bar_only_grows() -> None:
    plot = prepared("3")
    axes = [content(plot)[name] for name in "xy"]
    assert content(plot)["maps"][0]["limits"] is None
    highest = []
    for known in range(1, 7):
        values = np.where(np.arange(6).reshape(3, 2) < known, VALUES, np.nan)
        plot.draw([ResponseMap("3", values, 1.0)])
        shown = content(plot)
        assert [shown[name] for name in "xy"] == axes
        assert sum(level > 0 for level in shown["maps"][0]["levels"]) == known
        highest.append(shown["maps"][0]["limits"][1])
    assert highest == sorted(highest)
    plot.draw([ResponseMap("3", VALUES / 100)])
    assert content(plot)["maps"][0]["limits"][1] == 4.0
    plot.clear()
    plot.draw([ResponseMap("3", VALUES / 100)])
    assert content(plot)["maps"][0]["limits"][1] == 0.04
    plot.close()


def test_edges_of_cells_are_half_way_to_the_next_value_in_any_order() -> None:
    plot = TuningMap()
    plot.prepare(Axis.of("a", [0.0, 4.0, 1.0]), Axis.of("b", [2.0]))
    assert content(plot)["x"]["edges"] == [[-0.5, 0.5], [2.5, 5.5], [0.5, 2.5]]
    assert content(plot)["y"]["edges"] == [[1.5, 2.5]]
    assert "grey" not in content(plot)["note"]  # b is never 0
    plot.close()


def test_clicked_is_a_place_on_both_axes() -> None:
    plot = prepared("3")
    assert plot.place is None
    plot.clicked = 3
    assert plot.place == (1, 1)
    with pytest.raises(traitlets.TraitError, match="0 to 5"):
        plot.clicked = 6
    plot.close()


def test_words_for_who_does_not_see_it() -> None:
    plot = prepared("3 ON", "4")
    plot.draw([ResponseMap("3 ON", VALUES, 0.25), ResponseMap("4", np.full((3, 2), np.nan))])
    words = content(plot)["words"]
    assert "green contrast to the right and UV contrast upwards" in words
    assert "3 ON: 6 of 6 conditions, highest 4 a.u. at green contrast −1, UV contrast 1" in words
    assert "0.25 at grey" in words
    assert "4: no response yet" in words
    assert "grey (0, 0)" in content(plot)["note"]
    plot.close()


def test_wrong_use_is_refused_in_words() -> None:
    plot = TuningMap()
    with pytest.raises(RuntimeError, match="prepare"):
        plot.draw([])
    plot.prepare(GREEN, UV)
    with pytest.raises(ValueError, match=r"'3' has values of shape \(2, 3\), expected \(3, 2\)"):
        plot.draw([ResponseMap("3", VALUES.T)])
    with pytest.raises(ValueError, match="at most 4"):
        plot.draw([ResponseMap("3", VALUES)] * 5)
    with pytest.raises(TypeError, match="colour"):
        TuningMap(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="height"):
        TuningMap(height=0)
    plot.close()


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing() -> None:
    for _ in range(20):
        prepared("3").close()
