"""Indices of one response, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.modulation import f1_f0, whole_cycles
from openretina_widgets.insilico.tuning_analyses.response_indices import (
    on_off_index,
    size_suppression,
    sparseness,
    sustained_index,
    transience,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def test_on_off_index_counted_by_hand():
    """Above a baseline of 1: 3 and 1; only ON; only OFF; the ON step below baseline is 0."""
    found = on_off_index([4, 2, 1, 0], [2, 1, 2, 2], baseline=1)
    assert found.values.tolist() == [0.5, 1, -1, -1]
    assert found.limits == (-1, 1)


@pytest.mark.parametrize(
    ("on", "off", "baseline", "reason"),
    [
        (1, 1, 1, "no response above baseline to either step"),
        (0.2, 0.5, 1, "no response above baseline to either step"),
        (1 + 1e-7, 1, 1, "no response above baseline to either step"),
        (0, 0, 0, "no response above baseline to either step"),
        (np.nan, 1, 0, "a response is missing (NaN)"),
        (1, 1, np.nan, "a response is missing (NaN)"),
    ],
)
def test_on_off_index_not_defined(on, off, baseline, reason):
    found = on_off_index([on], [off], baseline=baseline)
    assert np.isnan(found.values[0])
    assert found.reasons == (reason,)


def test_transience_counted_by_hand():
    """At 10 Hz: 4 frames after the peak of 8 at frame 1, the mean over frames 4 to 6 is 2."""
    step = column(0, 8, 6, 4, 3, 2, 1, 9 * 0, 0)
    found = transience(step, frame_rate=10)
    assert found.values == pytest.approx([1 - 2 / 8])


def test_transience_above_baseline():
    step = column(0, 8, 6, 4, 3, 2, 1, 0, 0)
    found = transience(step + 5, frame_rate=10, baseline=5)
    assert found.values == pytest.approx([1 - 2 / 8])


def test_transience_is_between_0_and_1():
    steps = np.stack([np.ones(9), np.eye(9)[0], 2 * np.eye(9)[0] - 1], axis=1)
    assert transience(steps, frame_rate=10).values.tolist() == [0, 1, 1]
    noise = np.random.default_rng(0).normal(size=(30, 200))
    found = transience(noise, frame_rate=10).values
    found = found[np.isfinite(found)]
    assert len(found) > 50
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0], "no peak above baseline"),
        ([-1, -2, -1, -1, -1, -1, -1, -1, -1], "no peak above baseline"),
        ([0, 0, 0, 1, 2, 3, 2, 2, 2], "the step ends before 0.55 s after the peak"),
        ([1, np.nan, 1, 1, 1, 1, 1, 1, 1], "a response is missing (NaN)"),
        ([np.nan] * 9, "a response is missing (NaN)"),
    ],
)
def test_transience_not_defined(step, reason):
    found = transience(column(*step), frame_rate=10)
    assert np.isnan(found.values[0])
    assert found.reasons == (reason,)


def test_a_step_that_is_padded_ends_earlier():
    step = column(0, 8, 6, 4, 3, 2, np.nan, np.nan, np.nan)
    assert transience(step, frame_rate=10).reasons == (
        "the step ends before 0.55 s after the peak",
    )
    assert sustained_index(step).values == pytest.approx([23 / 6 / 8])


def test_transience_with_windows_that_overlap_the_peak():
    with pytest.raises(ValueError, match="half_width_s: expected 0 <= half_width_s < delay_s"):
        transience(np.ones((9, 1)), frame_rate=10, delay_s=0.1)


def test_sustained_index_counted_by_hand():
    steps = np.stack([[1, 1, 1, 1], [4, 2, 1, 1], [4, 0, -2, 0], [0, 0, 0, 0.0]], axis=1)
    found = sustained_index(steps)
    assert found.values[:3].tolist() == [1, 0.5, 0.25]
    assert found.reasons[3] == "no peak above baseline"


def test_suppression_counted_by_hand():
    """Peak 10, largest 4: (10 − 4) / 10; 9.6 is the first at 95 % of the peak."""
    found = size_suppression(
        column(2, 9.6, 10, 5, 4.2, 4), [50, 100, 200, 400, 600, 800], unit="µm"
    )
    assert found.suppression.values == pytest.approx([0.6])
    assert found.preferred_diameter.values.tolist() == [100]
    assert found.surround_diameter.values.tolist() == [600]
    assert found.preferred_diameter.unit == "µm"


def test_suppression_is_above_baseline_and_in_any_order():
    found = size_suppression(column(5, 3, 11), [800, 50, 200], baseline=1)
    assert found.suppression.values == pytest.approx([0.6])
    assert found.preferred_diameter.values.tolist() == [200]


def test_a_cell_without_surround_has_no_diameters():
    found = size_suppression(column(2, 6, 9, 10, 10), [50, 100, 200, 400, 800])
    assert found.suppression.values.tolist() == [0]
    assert np.isnan(found.preferred_diameter.values[0])
    assert found.preferred_diameter.reasons == ("suppression is at most 0.1",)
    assert found.surround_diameter.reasons == ("suppression is at most 0.1",)


def test_suppression_below_baseline_is_1():
    assert size_suppression(column(2, 10, -3), [1, 2, 3]).suppression.values.tolist() == [1]


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        ([0, 0, 0], "no response above baseline to any size"),
        ([-1, -1, -2], "no response above baseline to any size"),
        ([np.nan, 1, 2], "a response is missing (NaN)"),
    ],
)
def test_suppression_not_defined(curve, reason):
    assert size_suppression(column(*curve), [1, 2, 3]).reasons == (reason,)


def test_one_diameter_only():
    assert size_suppression(column(1), [100]).reasons == ("one diameter only",)


def test_a_spot_has_a_diameter():
    with pytest.raises(ValueError, match="diameters: expected positive lengths"):
        size_suppression(column(1, 2), [0, 100])


def test_f1_f0_of_a_sine_on_a_mean():
    """3 + 2 sin at 2 Hz: F1 = 2, F0 = 3, whatever the phase."""
    t = np.arange(60) / 30
    trace = 3 + 2 * np.sin(2 * np.pi * 2 * t[:, None] + np.array([0, 1.0, 2.5]))
    found = f1_f0(trace, frequency_hz=2, frame_rate=30)
    np.testing.assert_allclose(found.f1.values, 2)
    np.testing.assert_allclose(found.f0.values, 3)
    np.testing.assert_allclose(found.ratio.values, 2 / 3)


def test_f1_f0_of_a_rectified_sine_is_half_pi():
    t = np.arange(3000) / 1000
    trace = np.clip(np.sin(2 * np.pi * t), 0, None)[:, None]
    found = f1_f0(trace, frequency_hz=1, frame_rate=1000)
    assert found.ratio.values == pytest.approx([np.pi / 2], rel=1e-5)


def test_f1_f0_of_one_frame_a_cycle_is_2():
    assert f1_f0(np.eye(10)[:, [3]], frequency_hz=3, frame_rate=30).ratio.values == (
        pytest.approx([2])
    )


def test_only_whole_cycles_count():
    """2.4 cycles of 3 Hz at 30 Hz: the last 20 of 24 frames."""
    trace = 1 + np.sin(2 * np.pi * 3 * np.arange(24) / 30)[:, None]
    trace[:4] = 100.0
    found = f1_f0(trace, frequency_hz=3, frame_rate=30)
    assert found.frames == (4, 24)
    assert found.ratio.values == pytest.approx([1])


def test_the_number_of_cycles_that_fits_the_frames():
    assert whole_cycles(60, frequency_hz=4, frame_rate=30) == 60  # 8 cycles of 7.5 frames
    assert whole_cycles(50, frequency_hz=4, frame_rate=30) == 45  # 6 of them
    assert whole_cycles(29, frequency_hz=1, frame_rate=30) == 0


@pytest.mark.parametrize(
    ("trace", "baseline", "reason"),
    [
        ([0] * 30, 0, "F0 is 0"),
        ([1] * 30, 1, "F0 is 0"),
        ([0.5] * 30, 1, "F0 is below baseline"),
        ([1] * 14, 0, "the response does not hold a whole cycle of 2 Hz"),
        ([np.nan] * 30, 0, "a response is missing (NaN)"),
    ],
)
def test_f1_f0_not_defined(trace, baseline, reason):
    found = f1_f0(column(*trace), frequency_hz=2, frame_rate=30, baseline=baseline)
    assert np.isnan(found.ratio.values[0])
    assert found.reasons == (reason,)


@pytest.mark.parametrize("frequency", [0, 15, 20, -1, np.nan])
def test_a_frequency_that_the_frames_cannot_show(frequency):
    with pytest.raises(ValueError, match="frequency_hz: expected a frequency above 0"):
        f1_f0(np.ones((30, 1)), frequency_hz=frequency, frame_rate=30)


def test_sparseness_counted_by_hand():
    """All equal 0, one alone 1; (1, 3): [1 − 4/5] / (1/2) = 0.4."""
    found = sparseness(np.array([[1, 0, 1], [1, 2, 3.0]]))
    assert found.values == pytest.approx([0, 1, 0.4])
    over = sparseness(np.array([[1, 0], [1, 0], [3, 3], [0, 0.0]]), over="neurons")
    assert over.values[:3] == pytest.approx([1, 1, 0])
    assert over.reasons[3] == "silent: no response above zero"


def test_sparseness_is_between_0_and_1():
    found = sparseness(np.random.default_rng(0).exponential(size=(9, 300))).values
    assert ((found >= 0) & (found <= 1)).all()


def test_sparseness_of_one_stimulus():
    assert sparseness(np.ones((1, 2))).reasons == ("one of the stimuli only",) * 2
    with pytest.raises(ValueError, match="over: expected 'stimuli' or 'neurons'"):
        sparseness(np.ones((2, 2)), over="frames")
