"""Direction and orientation selectivity, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.selectivity import (
    direction_selectivity,
    motion_orientation,
    orientation_selectivity,
)

EIGHT = np.arange(0.0, 360.0, 45.0)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def one_hot(index: int, n: int = 8) -> np.ndarray:
    return np.eye(n)[:, [index]]


def test_vector_sum_counted_by_hand():
    """Σ r exp(iθ) = (3 − 1) + i (2 − 2) over a sum of 8."""
    found = direction_selectivity(column(3, 2, 1, 2), [0, 90, 180, 270])
    assert found.vector_index.values == pytest.approx([2 / 8])
    assert found.preferred_deg.values == pytest.approx([0.0])
    assert found.pref_null_index.values == pytest.approx([(3 - 1) / (3 + 1)])
    assert not found.rectified.any()
    assert found.reasons == ("",)


def test_orientation_vector_sum_counted_by_hand():
    """Horizontal 5, vertical 1, obliques 2: (5 − 1) / 10."""
    found = orientation_selectivity(column(5, 2, 1, 2), [0, 45, 90, 135])
    assert found.vector_index.values == pytest.approx([4 / 10])
    assert found.preferred_deg.values == pytest.approx([0.0])
    assert found.pref_null_index.values == pytest.approx([(5 - 1) / (5 + 1)])


@pytest.mark.parametrize("index", range(8))
def test_one_direction_alone(index):
    found = direction_selectivity(one_hot(index), EIGHT, traces=one_hot(index)[:, None])
    assert found.vector_index.values == pytest.approx([1.0])
    assert found.preferred_deg.values == pytest.approx([45.0 * index], abs=1e-9)
    assert found.pref_null_index.values == pytest.approx([1.0])
    arc = np.radians(45) / (2 * np.sin(np.radians(22.5)))
    assert arc == pytest.approx(1.026, abs=5e-4)
    assert found.baden_index.values == pytest.approx([arc])
    assert found.baden_raw_index.values == pytest.approx([arc])


def test_all_neurons_are_those_one_by_one():
    rates = np.random.default_rng(0).random((8, 30))
    traces = np.random.default_rng(1).random((8, 12, 30))
    together = direction_selectivity(rates, EIGHT, traces=traces)
    for cell in range(30):
        alone = direction_selectivity(rates[:, [cell]], EIGHT, traces=traces[..., [cell]])
        for name in ("vector_index", "preferred_deg", "baden_index", "baden_raw_index"):
            assert getattr(together, name).values[cell] == pytest.approx(
                getattr(alone, name).values[0]
            )


def test_an_index_of_positive_rates_is_between_0_and_1():
    rates = np.random.default_rng(0).exponential(size=(8, 500))
    for found in (direction_selectivity(rates, EIGHT), orientation_selectivity(rates, EIGHT / 2)):
        for index in (found.vector_index, found.pref_null_index):
            assert ((index.values >= 0) & (index.values <= 1)).all()
        assert (found.preferred_deg.values >= 0).all()
        assert (found.preferred_deg.values < found.period_deg).all()


def test_bars_move_across_their_orientation():
    assert motion_orientation([0, 90, 180, 270]).tolist() == [90, 0, 90, 0]


def test_both_directions_of_an_orientation_count_alike():
    """Motion to the right and to the left is of vertical bars: OSI 1, DSI 0."""
    curve = one_hot(0) + one_hot(4)
    found = orientation_selectivity(curve, motion_orientation(EIGHT))
    assert found.vector_index.values == pytest.approx([1.0])
    assert found.preferred_deg.values == pytest.approx([90.0])
    direction = direction_selectivity(curve, EIGHT)
    assert direction.vector_index.values == pytest.approx([0.0], abs=1e-12)
    assert direction.preferred_deg.reasons == ("no direction is preferred: the vector sum is 0",)


def test_directions_in_any_order():
    rates = np.random.default_rng(0).random((8, 5))
    order = np.random.default_rng(1).permutation(8)
    straight = direction_selectivity(rates, EIGHT)
    mixed = direction_selectivity(rates[order], EIGHT[order] - 360)
    np.testing.assert_allclose(mixed.vector_index.values, straight.vector_index.values)
    np.testing.assert_allclose(mixed.preferred_deg.values, straight.preferred_deg.values)


def test_negative_responses_are_rectified_and_said():
    found = direction_selectivity(np.array([[2, 2], [0, 0], [-5, 0], [0, 0.0]]), EIGHT[::2])
    assert found.vector_index.values.tolist() == [1, 1]
    assert found.rectified.tolist() == [True, False]


@pytest.mark.parametrize(
    ("curve", "angles", "reason"),
    [
        ([0, 0, 0, 0], [0, 90, 180, 270], "silent: no response above zero"),
        ([1, np.nan, 1, 1], [0, 90, 180, 270], "a response is missing (NaN)"),
        ([1], [0], "one direction only"),
        ([1, 2], [90, 90 + 360], "one direction only"),
        ([1, 2, 1, 0], [0, 45, 90, 135], "the directions are not evenly spaced over 360°"),
        ([1, 2, 1], [0, 90, 200], "the directions are not evenly spaced over 360°"),
    ],
)
def test_not_defined(curve, angles, reason):
    traces = column(*curve)[:, None]
    found = direction_selectivity(column(*curve), angles, traces=traces)
    for one in (found.vector_index, found.preferred_deg, found.baden_index, found.baden_raw_index):
        assert np.isnan(one.values).all()
        assert one.reasons == (reason,)


def test_a_response_that_is_never_above_zero():
    assert direction_selectivity(-np.ones((4, 1)), EIGHT[::2]).reasons == (
        "silent: no response above zero",
    )


def test_one_neuron_without_an_index_leaves_the_others():
    found = direction_selectivity([[0, 1], [0, 0], [0, 0], [0, 0.0]], EIGHT[::2])
    assert found.reasons == ("silent: no response above zero", "")
    assert found.vector_index.values[1] == 1


def test_a_constant_neuron_is_untuned():
    flat = np.ones((8, 1))
    found = direction_selectivity(flat, EIGHT, traces=flat[:, None])
    assert found.vector_index.values == pytest.approx([0], abs=1e-12)
    assert np.isnan(found.preferred_deg.values).all()
    assert found.pref_null_index.values.tolist() == [0]
    assert found.baden_raw_index.values == pytest.approx([0], abs=1e-9)
    assert found.baden_index.reasons == (
        "the same response to every direction: it cannot be rescaled",
    )


def test_an_opposite_that_was_not_shown():
    found = direction_selectivity(column(1, 2, 1), [0, 120, 240])
    assert found.vector_index.values == pytest.approx([1 / 4])
    assert found.pref_null_index.reasons == (
        "the opposite direction of the preferred one was not shown",
    )


def test_half_the_directions_are_enough_for_orientation():
    found = orientation_selectivity(column(1, 2, 1, 0), motion_orientation([0, 45, 90, 135]))
    assert found.vector_index.values == pytest.approx([2 / 4])
    assert found.preferred_deg.values == pytest.approx([135.0])


def test_the_time_by_direction_matrix_of_one_time_course():
    """Traces that are one time course times a tuning curve give that curve back."""
    curve = np.array([4, 3, 2, 1, 1, 1, 2, 3.0])
    traces = (curve[:, None] * np.array([0, 1, 3, 2.0]))[..., None]
    found = direction_selectivity(curve[:, None], EIGHT, traces=traces)
    arc = np.pi / 8 / np.sin(np.pi / 8)
    vector = abs((np.exp(1j * np.radians(EIGHT)) * curve).sum())
    assert found.baden_raw_index.values == pytest.approx([arc * vector / curve.sum()])
    assert found.baden_index.values == pytest.approx([arc * vector / (curve - 1).sum()])


def test_a_response_that_falls_is_a_negative_time_course():
    """The sign goes to the time component, so the curve is that of a rising response."""
    curve = np.array([4, 3, 2, 1, 1, 1, 2, 3.0])
    traces = (curve[:, None] * np.array([0, 1, 3, 2.0]))[..., None]
    up = direction_selectivity(curve[:, None], EIGHT, traces=traces)
    down = direction_selectivity(curve[:, None], EIGHT, traces=-traces)
    assert down.baden_index.values == pytest.approx(up.baden_index.values)


def test_a_direction_component_that_sums_to_nothing_has_no_sign():
    traces = (np.cos(np.radians(EIGHT))[:, None] * np.array([0, 1, 2.0]))[..., None]
    found = direction_selectivity(np.ones((8, 1)), EIGHT, traces=traces)
    assert found.baden_index.reasons == ("the sign of the component is not defined: it sums to 0",)


def test_frames_that_pad_a_trace_are_left_out():
    traces = np.random.default_rng(0).random((8, 6, 2))
    padded = np.concatenate([traces, np.full((8, 2, 2), np.nan)], axis=1)
    padded[0, 6] = 100.0
    rates = traces.mean(axis=1)
    np.testing.assert_allclose(
        direction_selectivity(rates, EIGHT, traces=padded).baden_index.values,
        direction_selectivity(rates, EIGHT, traces=traces).baden_index.values,
    )


def test_without_traces_there_is_no_index_of_theirs():
    found = direction_selectivity(np.ones((8, 1)), EIGHT)
    assert found.baden_index.reasons == ("no response traces were given",)


@pytest.mark.parametrize(
    ("responses", "angles", "message"),
    [
        (np.ones(8), EIGHT, r"responses: expected \(direction, neuron\), got shape \(8,\)"),
        (np.ones((7, 1)), EIGHT, "directions_deg: expected 7 on the axis 'direction'"),
        (np.ones((1, 1)), [np.nan], "directions_deg: expected finite angles"),
        (np.ones((0, 3)), [], "responses: there is nothing in it"),
    ],
)
def test_bad_input(responses, angles, message):
    with pytest.raises(ValueError, match=message):
        direction_selectivity(responses, angles)


def test_words_are_no_responses():
    with pytest.raises(TypeError, match="responses: expected real numbers"):
        direction_selectivity(np.full((8, 1), "a"), EIGHT)


def test_a_measure_is_an_array_and_says_its_range():
    found = direction_selectivity(column(3, 2, 1, 2), [0, 90, 180, 270]).vector_index
    assert np.asarray(found) == pytest.approx([0.25])
    assert (np.asarray(found) > 0.2).all()
    assert repr(found) == (
        "Measure('direction selectivity (vector sum)', 1 of 1 neurons, in [0, 1])"
    )
