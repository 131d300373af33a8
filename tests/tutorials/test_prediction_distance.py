"""Distances of predictions, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openretina_widgets.tutorials.percent import in_percent
from openretina_widgets.tutorials.prediction_distance import (
    angle_between,
    as_rows,
    curve_distance,
    dial_distance,
    preferred_angle,
)

DIRECTIONS = np.arange(8) * 45.0
TO_THE_RIGHT = np.array([10.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0])


def test_the_same_curve_has_no_distance_whatever_its_height() -> None:
    found = curve_distance(TO_THE_RIGHT * 7, TO_THE_RIGHT, angles_deg=DIRECTIONS)
    assert found.values["correlation"] == pytest.approx(1.0)
    assert found.values["rms"] == 0.0
    assert found.values["angle_deg"] == pytest.approx(0.0, abs=1e-9)
    assert found.reasons == {}
    assert "nearly the same shape" in found.words
    assert "no difference" in found.words


def test_the_opposite_direction_is_half_a_turn_away() -> None:
    found = curve_distance(np.roll(TO_THE_RIGHT, 4), TO_THE_RIGHT, angles_deg=DIRECTIONS)
    assert found.values["angle_deg"] == pytest.approx(180.0)
    # Mean 25 % each: 100, 50, 50 and five zeros; the sum of products is 0.
    # cov = -8 * 25^2, var = 15000 - 8 * 25^2.
    assert found.values["correlation"] == pytest.approx(-5000 / 10000)
    # Differences 100, 50, 50 twice: sqrt(30000 / 8) / 100.
    assert found.values["rms"] == pytest.approx(math.sqrt(30000 / 8) / 100)
    assert "the opposite direction" in found.words


def test_worst_case_is_one_and_goes_the_other_way() -> None:
    found = curve_distance([0, 100, 0, 100], [1, 0, 1, 0])
    assert found.values == {"correlation": pytest.approx(-1.0), "rms": 1.0}
    assert "the other way" in found.words


def test_orientations_wrap_at_half_a_turn() -> None:
    assert angle_between(10, 170, 180) == pytest.approx(20)
    assert angle_between(350, 10) == pytest.approx(20)
    angles = np.array([0.0, 45.0, 90.0, 135.0])
    found = curve_distance([100, 0, 0, 0], [0, 0, 100, 0], angles_deg=angles, period=180.0)
    assert found.values["angle_deg"] == pytest.approx(90.0)
    assert "the orthogonal orientation" in found.words


def test_dial() -> None:
    found = dial_distance(90.0, TO_THE_RIGHT, DIRECTIONS)
    assert found.values == {"angle_deg": pytest.approx(90.0)}
    assert "90° away" in found.words
    assert "the right direction" in dial_distance(350.0, TO_THE_RIGHT, DIRECTIONS).words
    silent = dial_distance(90.0, np.zeros(8), DIRECTIONS)
    assert math.isnan(silent.values["angle_deg"])
    assert "does not respond" in silent.reasons["angle_deg"]


def test_a_silent_neuron_has_no_distance() -> None:
    found = curve_distance(TO_THE_RIGHT, np.zeros(8), angles_deg=DIRECTIONS)
    assert [*found.values] == ["correlation", "rms", "angle_deg"]
    assert all(math.isnan(value) for value in found.values.values())
    assert found.words.startswith("Not determined: the neuron does not respond")
    silence = curve_distance(np.zeros(8), np.zeros(8))
    assert silence.words.startswith("You expected no response at all, and there is none.")
    assert all(label == "not determined" for _, label, _ in as_rows(silence))


@pytest.mark.parametrize(
    ("predicted", "measured", "whose"),
    [([50, 50, 50], [1, 2, 3], "your prediction"), ([1, 2, 3], [4, 4, 4], "what was measured")],
)
def test_flat_curves_have_no_shape(predicted: list, measured: list, whose: str) -> None:
    found = curve_distance(predicted, measured)
    assert math.isnan(found.values["correlation"])
    assert found.reasons["correlation"] == f"{whose} is flat, and has no shape"
    assert np.isfinite(found.values["rms"])


def test_two_conditions_have_no_shape() -> None:
    found = curve_distance([0, 1], [0, 3])
    assert math.isnan(found.values["correlation"])
    assert found.values["rms"] == 0.0


def test_an_angle_that_is_hardly_preferred_is_not_compared() -> None:
    weak = np.array([1.1, 1, 1, 1, 1, 1, 1, 1.0])
    value, why = preferred_angle(weak, DIRECTIONS)
    assert math.isnan(value)
    assert "DSI 0.012 < 0.1" in why
    found = curve_distance(weak, TO_THE_RIGHT, angles_deg=DIRECTIONS)
    assert found.reasons["angle_deg"].startswith("in your prediction no direction is preferred")
    uneven = np.array([0.0, 10.0, 90.0])
    assert math.isnan(preferred_angle([1, 2, 3], uneven)[0])


def test_below_zero_counts_as_zero() -> None:
    assert in_percent([-1.0, 2.0, 4.0]).tolist() == [0.0, 50.0, 100.0]
    assert curve_distance([0, 50, 100], [-3, 2, 4]).values["rms"] == 0.0


def test_bad_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 values as were measured, got 2"):
        curve_distance([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="predicted: expected finite numbers"):
        curve_distance([1, math.nan], [1, 2])
