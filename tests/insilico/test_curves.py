"""What a sweep hands out: curves, tables, files, pictures."""

from __future__ import annotations

import json
import sys
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from openretina_widgets import load_model
from openretina_widgets.insilico.tuning_analyses import Axis, TuningCurves, experiments, sweep

NEURONS = (30, 2, 50)


@pytest.fixture(scope="module")
def curves() -> TuningCurves:
    return sweep(
        load_model("synthetic"),
        experiments.drifting_gratings(temporal_frequencies=[1.0, 3.0]),
        neurons=list(NEURONS),
        controls=("blank", "linear control"),
        noise="poisson",
        repeats=3,
        seed=5,
    )


@pytest.fixture
def small() -> TuningCurves:
    """Two neurons, 2 x 3 conditions, counted by hand."""
    responses = np.array(
        [[[1.0, 9.0], [5.0, 2.0], [3.0, 1.0]], [[2.0, 8.0], [4.0, 1.0], [0.0, 0.0]]]
    )
    return TuningCurves(
        experiment="x",
        title="X",
        axes=(Axis.of("a", [0, 1]), Axis.of("b", [10, 20, 30], "Hz")),
        neurons=(7, 4),
        data_key="s",
        cell_types=("ON", ""),
        responses=responses,
        traces=np.repeat(responses[:, :, None], 5, axis=2),
        windows=np.tile([1, 4], (2, 3, 1)),
        onset=0,
        baseline=np.array([0.5, 0.0]),
    )


def test_a_curve_is_taken_at_the_best_of_the_other_axes(small):
    values, responses = small.curve("b")
    assert values.tolist() == [10, 20, 30]
    # Neuron 7 has its largest response, 5, at a = 0; neuron 4 its 9 too.
    assert responses.T.tolist() == [[1, 5, 3], [9, 2, 1]]
    assert small.curve("a", 7)[1].tolist() == [5, 4]
    assert small.curve("a", 4)[1].tolist() == [9, 8]


def test_a_curve_can_be_held_at_a_value(small):
    assert small.curve("b", 7, a=1)[1].tolist() == [2, 4, 0]
    assert small.curve("a", 4, b=29)[1].tolist() == [1, 0]  # the nearest is 30


def test_what_is_not_there_is_named(small):
    with pytest.raises(ValueError, match=r"no axis 'c'"):
        small.curve("c")
    with pytest.raises(ValueError, match=r"expected one of the 2 recorded, 7, 4, got 5"):
        small.curve("a", 5)
    with pytest.raises(ValueError, match="it is the axis of the curve"):
        small.curve("a", a=1)
    with pytest.raises(FrozenInstanceError):
        small.title = "Y"


def test_the_table_has_a_row_for_each_condition_and_neuron(small):
    table = small.table()
    assert len(table) == 2 * 3 * 2
    assert table[3] == {
        "a": 0.0,
        "b": 20.0,
        "neuron": 4,
        "cell_type": "",
        "response": 2.0,
        "baseline": 0.0,
    }
    assert json.loads(json.dumps(table)) == table


@pytest.mark.parametrize("package", ["pandas", "xarray"])
def test_a_package_that_is_absent_is_named(curves, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as Python has what cannot be imported
    with pytest.raises(ImportError, match=f"pip install {package}"):
        getattr(curves, f"to_{package}")()


def test_pandas(curves):
    frame = curves.to_pandas()
    assert len(frame) == 8 * 2 * 3
    assert frame.attrs["direction"] == "°"
    mean = frame.groupby("neuron")["response"].mean()
    np.testing.assert_allclose(mean.loc[list(NEURONS)], curves.responses.mean(axis=(0, 1)))


def test_xarray(curves):
    data = curves.to_xarray()
    assert data["response"].dims == ("direction", "temporal_frequency", "neuron")
    assert data["direction"].attrs["units"] == "°"
    one = data["response"].sel(direction=90, temporal_frequency=3, neuron=2)
    assert float(one) == curves.responses[2, 1, 1]


def test_it_comes_back_from_a_file_as_it_was(curves, tmp_path):
    path = curves.save(tmp_path / "curves")
    assert path.name == "curves.npz"
    again = TuningCurves.load(path)
    for name in (f.name for f in fields(TuningCurves)):
        before, after = getattr(curves, name), getattr(again, name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
        elif name == "axes":
            for a, b in zip(before, after, strict=True):
                assert (a.name, a.unit) == (b.name, b.unit)
                np.testing.assert_array_equal(a.values, b.values)
        elif name == "controls":
            assert before.keys() == after.keys()
            for key, values in before.items():
                np.testing.assert_array_equal(values, after[key])
        else:
            assert before == after, name
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_another_file_is_refused_in_words(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, words=np.array(json.dumps({"format": 1, "kind": "something"})))
    with pytest.raises(ValueError, match="is no saved result"):
        TuningCurves.load(path)
    with pytest.raises(FileNotFoundError):
        TuningCurves.load(tmp_path / "missing.npz")


def test_it_says_how_it_came_about(curves):
    assert curves.model.name == "synthetic"
    assert len(curves.model.weight_hash) == 16
    assert curves.pixel_size_um == 50.0
    assert curves.seed == 5
    assert curves.settings["stimulus"]["spatial_frequency_cyc_per_mm"] == 2.5
    assert curves.settings["spikes_per_unit"] == 10.0
    assert set(curves.versions) == {"openretina_widgets", "torch", "numpy"}
    assert curves.duration_s > 0
    assert "8 direction × 2 temporal_frequency, 3 neurons, synthetic" in repr(curves)


def test_its_html_is_escaped(small):
    page = replace(small, title="<b>x</b>", notes=("<script>",))._repr_html_()
    assert "&lt;b&gt;x" in page
    assert "<script>" not in page


def test_indices_and_fits_are_of_every_neuron(curves):
    indices, fits = curves.indices(), curves.fits()
    assert indices["dsi"].shape == indices["dsi_p"].shape == (3,)
    assert fits["direction"].values.shape[0] == 3
    assert indices["dsi"][0] > 0.5  # neuron 30 is an ON-OFF DS cell


def test_the_picture_has_a_row_for_each_neuron(curves):
    pytest.importorskip("matplotlib")
    figure = curves.plot([30, 2])
    assert len(figure.axes) == 4
    assert figure.axes[0].name == "polar"
    assert "counter" not in figure.axes[0].get_xlabel()
    assert "0° right, 90° up" in figure.axes[0].get_xlabel()
    assert figure.axes[1].get_xlabel() == "time from onset (s)"
    shown = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(shown[:-1], curves.curve("direction", 30)[1])
    assert len(curves.plot().axes) == 6
    with pytest.raises(ValueError, match="at least one neuron"):
        curves.plot([])


def test_interval_of_a_statistic_over_repeats():
    model = load_model("synthetic")
    flashes = experiments.flash()
    curves = sweep(model, flashes, noise="poisson", repeats=10, seed=0)
    low, high = curves.interval(lambda mean: mean[0] - mean[1], n=200)
    true = curves.responses[0] - curves.responses[1]
    assert ((low.values <= true) & (true <= high.values)).mean() > 0.9
    with pytest.raises(ValueError, match="repeats: the sweep had none"):
        sweep(model, flashes).interval(lambda mean: mean[0])
