from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.drawing.ticks import round_ticks, thin
from openretina_widgets.widgets.curves import Chart, tick_format


def test_thinning_keeps_ends_and_every_peak() -> None:
    y = np.zeros(100_000)
    peaks = [137, 52_001, 99_500]
    y[peaks] = [5.0, -7.0, 9.0]
    x, thinned = thin(np.arange(len(y)), y, most=500)
    assert len(x) <= 500
    assert (x[0], x[-1]) == (0, len(y) - 1)
    assert set(peaks) <= set(x.tolist())
    assert (np.diff(x) > 0).all()
    assert sorted(thinned[thinned != 0]) == [-7.0, 5.0, 9.0]


def test_short_curves_are_not_thinned() -> None:
    x = np.arange(10.0)
    assert thin(x, x, most=10)[0] is x


def test_thinning_survives_nan() -> None:
    y = np.full(5000, np.nan)
    y[1234] = 1.0
    x, thinned = thin(np.arange(5000), y)
    assert thinned[x == 1234] == [1.0]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.32, 1.17), (-0.011, 0.2), (1e-9, 3e-9), (120, 98_765), (-5, 5)]
)
def test_ticks_are_round_and_span_the_data(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12
    assert 3 <= len(ticks) <= 6
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])
    step = (ticks[1] - ticks[0]) / 10 ** np.floor(np.log10(ticks[1] - ticks[0]) + 1e-9)
    assert round(step, 6) in (1, 2, 5)


@pytest.mark.parametrize(
    ("ticks", "format_"),
    [
        ([0.0, 0.5, 1.0], ".1f"),
        ([0.9194, 0.9195, 0.9196], ".4f"),
        ([0.0, 20.0, 40.0], ".0f"),
        ([1e-9, 1.5e-9, 2e-9], ".1e"),
        ([1.00e6, 1.01e6, 1.02e6], ".2e"),
    ],
)
def test_tick_labels_differ(ticks: list[float], format_: str) -> None:
    assert tick_format(ticks) == format_
    assert len({f"{tick:{format_}}" for tick in ticks}) == len(ticks)


@pytest.mark.parametrize("value", [0.0, 3.0, -2.5])
def test_ticks_of_a_constant_have_room_around_it(value: float) -> None:
    ticks = round_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


@pytest.mark.usefixtures("nothing_left")
def test_axis_moves_only_when_the_data_outgrow_it() -> None:
    chart = Chart("score", x_label="iteration", y_label="score (a.u.)")
    moves: list[object] = []
    chart.y_scale.observe(moves.append, "max")
    for top in np.linspace(1.01, 1.19, 10):
        chart.draw(np.arange(3.0), np.array([0.2, 0.5, top]))
    assert chart.y_scale.max == pytest.approx(1.2)
    assert len(moves) == 1
    chart.clear()
    assert len(chart._lines[0].x) == 0
    chart.close()


def test_the_format_of_ticks_is_sent_before_the_ticks() -> None:
    """bqplot writes new ticks a moment later, in the format that it has when they come."""
    chart = Chart("Score", x_label="iteration", y_label="score (a.u.)")
    heard: list[str] = []
    for axis in (chart._x_axis, chart._y_axis):
        axis.observe(lambda change: heard.append(change["name"]), ["tick_format", "tick_values"])
    chart.draw(np.arange(2.0), np.array([0.9195, 0.9197]))
    chart.limits(0, 3000)
    assert heard == ["tick_format", "tick_values"] * 2
    assert chart._x_axis.tick_values.tolist() == [0, 1000, 2000, 3000]
    chart.limits(0, 1.6333)
    assert chart._x_axis.tick_values.tolist() == [0, 0.5, 1.0, 1.5]
    chart.close()
