"""Chromatic contrast and opponency, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.chromatic import (
    chromatic_contrast,
    colour_opponency,
)


def contrast(*kernel: float) -> float:
    found = chromatic_contrast(np.array(kernel, dtype=float)[None, :, None])
    return float(found.contrast[0].values[0])


def test_last_minus_second_last_peak():
    assert contrast(0, -0.3, -0.1, 0.4, 1.0, 0.2, 0) == pytest.approx(1.3)
    assert contrast(0, 0.3, 0.1, -0.4, -1.0, -0.2, 0) == pytest.approx(-1.3)
    assert contrast(0.5, -0.3, 1.0) == pytest.approx(1.3)  # it ends on its peak


def test_one_peak_starts_from_grey():
    assert contrast(0, 0, 0.5, 1, 0.5, 0) == 1
    assert contrast(0, 0, -0.5, -1, -0.5, 0) == -1


def test_ripple_is_not_a_peak():
    assert contrast(0, -0.3, 1.0, 0.02, 0.04, 0.01, 0.0) == pytest.approx(1.3)


def test_opponent_where_the_signs_differ():
    on, off, none = [0, 0.2, 1, 0], [0, -0.2, -1, 0], [0, 0, 0, 0]
    temporal = np.array([[on, on, off, on], [off, on, off, none]]).transpose(0, 2, 1)
    found = chromatic_contrast(temporal)
    assert found.opponent.values[:3].tolist() == [1, 0, 0]
    assert found.reasons[3] == "a channel has no effect"
    assert chromatic_contrast(temporal[:1]).reasons[0] == "one channel only"


def test_a_grid_without_both_quadrants():
    assert colour_opponency(np.ones((2, 2, 1)), [0, 1], [0, 1]).reasons == (
        "the grid needs contrasts of equal and of opposite sign",
    )
    assert colour_opponency(np.zeros((2, 2, 1)), [-1, 1], [-1, 1]).reasons == (
        "no response above baseline",
    )


def test_opponency_counted_by_hand():
    """Best of opposite signs 3, of equal signs 1, above a baseline of 1."""
    grid = np.array([[2, 4], [3, 0.0]])[..., None]
    assert colour_opponency(grid, [-1, 1], [-1, 1], baseline=1).values == pytest.approx([0.5])


def test_least_is_a_share():
    with pytest.raises(ValueError, match="least: expected a share"):
        chromatic_contrast(np.ones((1, 4, 1)), least=1.5)
