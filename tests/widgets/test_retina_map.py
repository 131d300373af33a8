from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.drawing.colour import HIGHEST, ZERO
from openretina_widgets.widgets.retina_map import Outline, RetinaMap

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_image_and_outlines_reach_the_page() -> None:
    chart = RetinaMap(shape=(2, 3), pixel_size_um=50.0, unit="a.u.")
    chart.show([[0.0, 0.9, 0.0], [0.0, 0.0, -0.3]], outlines=[Outline(4, 10.0, -20.0, 30.0, 40.0)])
    content = chart._content
    assert content["limit"] == 1.0  # rounded up
    indices = np.frombuffer(content["frames"], np.uint8).reshape(2, 3)
    assert indices.tolist() == [[ZERO, 242, ZERO], [ZERO, ZERO, 90]]  # 128 + 0.9 * 127, - 0.3 * 127
    assert [outline["neuron"] for outline in content["outlines"]] == [4]
    chart.show([[0.0, 0.9, 0.0], [0.0, 0.0, -0.3]], limit=0.9)
    assert np.frombuffer(chart._content["frames"], np.uint8)[1] == HIGHEST
    chart.clear()
    assert (chart._content["empty"], chart._content["outlines"]) == (True, [])
    chart.close()


def test_outlines_that_are_not_determined_are_left_out() -> None:
    chart = RetinaMap(shape=(2, 3))
    chart.show(outlines=[Outline(0, np.nan, 0.0, 1.0, 1.0), Outline(1, 0.0, 0.0, 1.0, 1.0)])
    assert [outline["neuron"] for outline in chart._content["outlines"]] == [1]
    chart.close()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="shape: expected at least one pixel"):
        RetinaMap(shape=(0, 3))
    with pytest.raises(TypeError, match="color_bar"):
        RetinaMap(shape=(2, 3), color_bar=False)  # type: ignore[call-arg]
    chart = RetinaMap(shape=(2, 3))
    with pytest.raises(ValueError, match=r"image: expected the shape \(2, 3\), got \(3, 2\)"):
        chart.show(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="limit"):
        chart.show(np.zeros((2, 3)), limit=0.0)
    chart.close()
