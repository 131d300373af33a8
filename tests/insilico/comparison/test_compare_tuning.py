"""Measured tuning points beside a model's curve."""

from types import SimpleNamespace

import numpy as np
import pytest

from openretina_widgets.insilico.comparison import compare_tuning, read_points
from openretina_widgets.insilico.comparison.fields import FieldComparison
from openretina_widgets.insilico.comparison.tuning import TuningComparison
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from tests.shared_data import shared_data

X = np.array([1.0, 2.0, 3.0, 4.0])
Y = np.array([0.0, 1.0, 2.0, 1.0])


def test_a_model_that_differs_by_scale_and_offset_alone_agrees_wholly():
    found = compare_tuning((X, Y), (X, 3 * Y + 5), log_x=False).agreement
    assert found.scale == pytest.approx([3.0])
    assert found.offset == pytest.approx([5.0])
    assert found.correlation == pytest.approx([1.0])
    assert found.error == pytest.approx([0.0], abs=1e-7)
    assert found.points.tolist() == [4]
    assert found.reasons == ("",)


def test_numbers_counted_by_hand():
    # x = -1, 0, 1 and y = -1, 2, -1 about their means (0, 0): covariance 0 of three points; with
    # y = 0, 0, 3, about the mean -1, -1, 2: covariance (1 + 0 + 2) / 3, variances 2/3 and 6/3.
    found = compare_tuning(([0, 1, 2], [0, 1, 2]), ([0, 1, 2], [0, 0, 3]), log_x=False).agreement
    assert found.scale == pytest.approx([1.5])
    assert found.offset == pytest.approx([-0.5])
    assert found.correlation == pytest.approx([np.sqrt(3) / 2])
    assert found.error == pytest.approx([0.5])


def test_a_model_that_falls_where_the_measurement_rises_does_not_agree():
    found = compare_tuning((X, -Y), (X, Y), log_x=False).agreement
    assert found.correlation == pytest.approx([-1.0])
    assert found.scale.tolist() == [0.0]
    assert found.offset == pytest.approx([1.0])
    assert found.error.tolist() == [1.0]


def test_the_curve_is_interpolated_and_points_beyond_its_ends_are_left_out():
    comparison = compare_tuning((X, Y), ([0.5, 1.5, 2.5, 3.5, 9.0], range(5)), log_x=False)
    assert comparison.model.tolist() == [[0.5, 1.5, 1.5]]
    assert comparison.left_out == 2
    assert comparison.agreement.points.tolist() == [3]


def test_over_a_logarithm_the_middle_of_1_and_4_is_2():
    comparison = compare_tuning(([1, 4, 16], [0, 1, 3]), ([1, 2, 8], [0, 1, 2]))
    assert comparison.log_x
    assert comparison.model[0] == pytest.approx([0, 0.5, 2])


def test_many_neurons_at_once_and_the_best_of_them():
    noisy = Y + np.array([0.3, -0.2, 0.1, -0.1])
    comparison = compare_tuning((X, np.stack([-Y, noisy, np.ones(4), Y], axis=1)), (X, Y))
    assert comparison.best == 3
    assert comparison.agreement.reasons[2] == "the model's values are all the same"
    assert np.isnan(comparison.agreement.correlation[2])
    assert np.isnan(comparison.agreement.error_interval[2]).all()
    assert [row["neuron"] for row in comparison.table()] == [0, 1, 2, 3]
    only = compare_tuning((X, np.stack([Y, noisy], axis=1)), (X, Y), neurons=1)
    assert only.neurons == (1,)
    assert only.agreement.correlation[0] == pytest.approx(comparison.agreement.correlation[1])


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    x = np.linspace(0, 1, 40)
    truth = 1 / np.sqrt(1 + 0.25 / x.var())  # correlation of x with x + noise of variance 0.25
    held = 0
    for repeat in range(100):
        measured = x + 0.5 * generator.standard_normal(len(x))
        low, high = compare_tuning(
            (x, x), (x, measured), resamples=300, seed=repeat, log_x=False
        ).agreement.correlation_interval[0]
        held += low <= truth <= high
    assert 85 <= held <= 100


def test_the_same_seed_gives_the_same_interval():
    x = np.linspace(0, 1, 30)
    measured = (x, x + np.random.default_rng(0).standard_normal(30))
    first, again, other = (
        compare_tuning((x, x), measured, seed=seed, log_x=False).agreement.error_interval
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_curves_over_two_axes_are_compared_at_the_best_other_condition():
    responses = np.zeros((2, 3, 1))
    responses[1, :, 0] = [1, 3, 2]
    curves = SimpleNamespace(
        axes=(Axis("direction", np.array([0.0, 90.0]), "°"), Axis("speed", X[:3], "mm/s")),
        responses=responses,
        neurons=(7,),
    )
    comparison = compare_tuning(curves, (X[:3], [1, 3, 2]), axis="speed")
    assert comparison.neurons == (7,)
    assert comparison.label == "speed (mm/s)"
    assert comparison.agreement.correlation == pytest.approx([1.0])
    with pytest.raises(ValueError, match=r"axis: expected one of \['direction', 'speed'\], got"):
        compare_tuning(curves, (X, Y))


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (([1, 2], [0, 1]), "fewer than 3 points are common to both"),
        ((X, np.ones(4)), "the measured values are all the same"),
    ],
)
def test_what_cannot_be_compared_is_nan_and_says_why(measured, reason):
    comparison = compare_tuning((X, Y), measured)
    assert comparison.agreement.reasons == (reason,)
    assert np.isnan(comparison.agreement.correlation).all()
    with pytest.raises(ValueError, match=f"no neuron can be compared: {reason}"):
        _ = comparison.best


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"measured": ([9, 10], [1, 2])}, "no point lies within the model's curve, 1 to 4"),
        ({"measured": (X, Y[:2])}, "expected as many responses as values, got 2 and 4"),
        ({"measured": "points.txt"}, "expected a .npz or .csv file, got 'points.txt'"),
        ({"measured": np.ones((3, 3))}, r"expected an array \(point, 2\), got shape"),
        ({"measured": (X, list("abcd"))}, "measured: expected numbers"),
        ({"neurons": 3}, "neurons: the curves hold neurons 0, not 3"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1, got 95"),
        ({"resamples": 0}, "resamples: expected a whole number of at least 1, got 0"),
        ({"log_x": True, "measured": ([-1, 2, 3], Y[:3])}, "log_x: expected positive values"),
        ({"curves": (X, Y[:2])}, "curves: expected x"),
    ],
)
def test_bad_input_is_answered_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare_tuning(**{"curves": (X, Y), "measured": (X, Y), **arguments})


def test_points_come_from_arrays_and_files(tmp_path):
    np.savez(tmp_path / "a.npz", Xdata=[2, 1], Ydata=[20, 10], calib_x=[1, 2, 3])
    (tmp_path / "b.csv").write_text("frequency,response\n1,10\n2,20\n", encoding="utf-8")
    (tmp_path / "c.csv").write_text("1,10\n\n2,20\n", encoding="utf-8")
    table = [[1, 10], [2, 20], [3, 30], [np.nan, 5]]
    for source in (
        tmp_path / "a.npz",
        str(tmp_path / "b.csv"),
        tmp_path / "c.csv",
        ([2, 1], [20, 10]),
    ):
        x, y = read_points(source)
        assert (x.tolist(), y.tolist()) == ([1, 2], [10, 20])
    assert read_points(table)[0].tolist() == [1, 2, 3]
    (tmp_path / "d.csv").write_text("x,y\n1,10\n2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"d.csv, line 3: expected 2 columns, got 1"):
        read_points(tmp_path / "d.csv")
    (tmp_path / "e.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ValueError, match=r"e.npz: is no .npz file"):
        read_points(tmp_path / "e.npz")
    with pytest.raises(FileNotFoundError):
        read_points(tmp_path / "none.csv")


def test_every_digitised_macaque_curve_is_read():
    folder = shared_data("macaque_tuning") / "validation_data"
    files = sorted(folder.glob("*.npz"))
    assert files
    for path in files:
        x, y = read_points(path)
        assert len(x) == len(y) >= 5
        assert (np.diff(x) >= 0).all()


def test_a_plot_names_what_it_shows():
    pytest.importorskip("matplotlib")
    figure = compare_tuning((X, Y), (X, Y)).plot()
    assert "r = 1.00" in figure.axes[0].get_title()


def test_a_comparison_comes_back_from_a_file(tmp_path):
    noisy = np.array([0.0, 2.0, 1.0, 3.0])
    kept = compare_tuning(
        (X, np.stack([Y, noisy, np.ones(4)], axis=1)), (X, Y), resamples=20, seed=3
    )
    again = TuningComparison.load(kept.save(tmp_path / "kept.npz"))
    np.testing.assert_equal(again.table(), kept.table())
    np.testing.assert_array_equal(again.fitted, kept.fitted)
    assert (again.neurons, again.label, again.left_out, again.log_x) == (
        kept.neurons,
        kept.label,
        kept.left_out,
        kept.log_x,
    )
    assert again.agreement.reasons == kept.agreement.reasons
    with pytest.raises(ValueError, match="is no saved result"):
        FieldComparison.load(tmp_path / "kept.npz")
