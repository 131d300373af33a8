from __future__ import annotations

import json

import numpy as np
import pytest

from openretina_widgets.drawing.curve_content import NEURON_COLOURS
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.widgets.trace_plot import TracePlot
from openretina_widgets.widgets.tuning_plot import Curve, TuningPlot

DIRECTIONS = Axis.of("direction", np.arange(0, 360, 45.0), "°")


def tuning(preferred: float = 90.0) -> np.ndarray:
    return 1 + np.cos(np.deg2rad(DIRECTIONS.values - preferred))


def content(plot: TuningPlot | TracePlot) -> dict:
    # As it travels: JSON knows no NaN.
    return json.loads(json.dumps(plot._content, allow_nan=False))


def test_points_come_one_by_one_and_axes_stay() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS, kind="polar", names=["3 DS"])
    before = content(plot)
    assert before["curves"][0]["values"] == [None] * 8
    tops = []
    for known in range(1, 9):
        values = np.where(np.arange(8) < known, tuning(), np.nan)
        plot.draw([Curve("3 DS", values)])
        shown = content(plot)
        assert shown["x"] == before["x"]
        assert sum(value is not None for value in shown["curves"][0]["values"]) == known
        tops.append(shown["y"]["high"])
    assert tops == sorted(tops)  # it never shrinks while points come
    plot.draw([Curve("3 DS", tuning() / 100)])
    assert content(plot)["y"]["high"] == tops[-1] == 2.0
    plot.prepare(DIRECTIONS, kind="polar")
    plot.draw([Curve("3 DS", tuning() / 100)])
    assert content(plot)["y"]["high"] == 0.02
    plot.close()


def test_axis_begins_at_zero_or_at_the_lowest_value() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS)
    plot.draw([Curve("a", tuning(), errors=np.full(8, 0.5))])
    assert content(plot)["y"]["low"] == 0.0  # an error bar does not pull the axis below
    assert content(plot)["y"]["high"] >= 2.5
    plot.draw([Curve("a", tuning() - 0.8)])
    assert content(plot)["y"]["low"] <= -0.8
    plot.prepare(DIRECTIONS, kind="polar")
    plot.draw([Curve("a", tuning() - 0.8)])
    assert content(plot)["y"]["low"] == 0.0
    assert "below 0 are drawn at the centre" in content(plot)["note"]
    plot.close()


def test_a_fit_that_hardly_dips_below_zero_opens_no_axis_there() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS)
    fx = np.linspace(0, 315, 50)
    plot.draw([Curve("a", tuning(), fit=(fx, np.linspace(-0.01, 2, 50)))])
    assert content(plot)["y"]["low"] == 0.0
    plot.draw([Curve("a", tuning(), fit=(fx, np.linspace(-1, 5, 50)))])
    assert content(plot)["y"]["low"] <= -1.0
    assert content(plot)["y"]["high"] >= 5.0
    plot.close()


def test_every_polar_plot_says_which_way_is_up() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS, kind="polar")
    assert "0° = right, 90° = up" in content(plot)["note"]
    plot.prepare(Axis.of("orientation", [0, 45, 90, 135], "°"), kind="polar", period=180)
    assert "Direction of the bars" in content(plot)["note"]
    plot.close()


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([0.5, 1, 2, 4, 8], True),
        ([10, 20, 30, 40], False),
        ([0, 1, 2, 4, 8], False),
        ([1, 2], False),
    ],
)
def test_axis_is_logarithmic_where_its_values_are(values: list[float], log: bool) -> None:
    plot = TuningPlot()
    plot.prepare(Axis.of("temporal_frequency", values, "Hz"))
    axis = content(plot)["x"]
    assert axis["log"] is log
    assert axis["label"] == "temporal frequency (Hz)"
    assert axis["low"] < min(values) < max(values) < axis["high"]
    if log:
        assert axis["ticks"] == values
    plot.close()


def test_fit_ends_with_the_axis_and_undefined_is_left_out() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS)
    fx = np.linspace(0, 360, 100)
    fy = np.where(fx < 20, np.nan, 1.0)
    plot.draw([Curve("a", tuning(), fit=(fx, fy), preferred=float("nan"))])
    curve = content(plot)["curves"][0]
    assert 20 <= min(curve["fit"][0]) < max(curve["fit"][0]) <= content(plot)["x"]["high"] < 360
    assert curve["preferred"] is None
    plot.draw([Curve("a", tuning(), fit=(fx, np.full(100, np.nan)))])
    assert content(plot)["curves"][0]["fit"] is None
    plot.close()


def test_neurons_differ_in_more_than_colour() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS)
    plot.draw([Curve(str(i), tuning()) for i in range(12)])
    looks = [(c["colour"], c["dash"], c["marker"]) for c in content(plot)["curves"]]
    assert len(set(looks)) == 12
    assert len({look[0] for look in looks}) == len(NEURON_COLOURS)
    plot.close()


def test_words_for_who_does_not_see_it() -> None:
    plot = TuningPlot()
    plot.prepare(DIRECTIONS, kind="polar", unit="spikes/s")
    plot.draw([Curve("3 DS", tuning(), preferred=88.0), Curve("4", np.full(8, np.nan))])
    words = content(plot)["words"]
    assert "3 DS: 8 of 8 conditions, highest 2 spikes/s at 90 °, preferred 88 °" in words
    assert "4: no response yet" in words
    plot.close()


def test_wrong_use_is_refused_in_words() -> None:
    plot = TuningPlot()
    with pytest.raises(RuntimeError, match="prepare"):
        plot.draw([Curve("a", tuning())])
    with pytest.raises(ValueError, match="angles in °"):
        plot.prepare(Axis.of("contrast", [0.1, 1.0]), kind="polar")
    with pytest.raises(ValueError, match="positive"):
        plot.prepare(Axis.of("contrast", [0.0, 1.0]), log=True)
    with pytest.raises(ValueError, match="kind"):
        plot.prepare(DIRECTIONS, kind="pie")  # type: ignore[arg-type]
    plot.prepare(DIRECTIONS)
    with pytest.raises(ValueError, match=r"'a' has values of shape \(3,\), expected \(8,\)"):
        plot.draw([Curve("a", np.zeros(3))])
    with pytest.raises(ValueError, match="at most 12"):
        plot.draw([Curve("a", tuning())] * 13)
    with pytest.raises(TypeError, match="colour"):
        TuningPlot(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="height"):
        TuningPlot(height=-3)
    plot.close()


def test_traces_keep_their_peaks_and_axis() -> None:
    plot = TracePlot()
    seconds = np.arange(9000) / 30
    traces = np.zeros((9000, 2))
    traces[1234, 0], traces[4321, 1] = 7.0, -3.0
    plot.draw(seconds, traces, names=["a", "b"], shade=(1.0, 2.0), landmarks=[("ON", 1.0, 2.0)])
    shown = content(plot)
    first, second = (curve["values"] for curve in shown["curves"])
    assert max(first) == 7.0
    assert min(second) == -3.0
    assert len(first) == len(second) == len(shown["x"]["values"]) <= 4000
    assert shown["shade"] == [[1.0, 2.0]]
    high = shown["y"]["high"]
    plot.draw(seconds, traces / 10, names=["a", "b"])
    assert content(plot)["y"]["high"] == high  # sizes compare while a slider is dragged
    plot.draw(seconds, traces / 10, names=["a", "c"])
    assert content(plot)["y"]["high"] < high
    with pytest.raises(ValueError, match=r"expected the shape \(9000, 1\)"):
        plot.draw(seconds, traces, names=["a"])
    plot.close()


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing() -> None:
    for make in (TuningPlot, TracePlot):
        for _ in range(20):
            make().close()
