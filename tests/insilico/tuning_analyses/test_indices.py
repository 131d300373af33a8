"""Which indices a sweep allows, and on which of its conditions."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.insilico.tuning_analyses.indices import (
    indices_of,
    measures_of,
    tuning_along,
)
from tests.insilico.tuning_analyses.curves_by_hand import curves

FOUR = [0, 90, 180, 270]


def test_direction_tuning_is_taken_at_the_best_frequency_of_each_neuron():
    """Neuron 0 answers 1 Hz to the right, neuron 1 answers 4 Hz upwards; the rest is untuned."""
    rates = np.full((4, 2, 2), 0.5)
    rates[:, 0, 0] = [2, 0, 0, 0]
    rates[:, 1, 1] = [1, 3, 1, 1]
    found = indices_of(curves(rates, {"direction": FOUR, "temporal_frequency": [1, 4]}))
    assert found["dsi"] == pytest.approx([1, 2 / 6])
    assert found["preferred_direction"] == pytest.approx([0, 90])
    assert found["preferred_orientation"] == pytest.approx([90, 0])
    assert found["best_temporal_frequency"].tolist() == [1, 4]


def test_the_order_of_the_axes_does_not_matter():
    rates = np.random.default_rng(0).random((4, 3, 5))
    one = indices_of(curves(rates, {"direction": FOUR, "temporal_frequency": [1, 2, 4]}))
    other = indices_of(
        curves(rates.swapaxes(0, 1), {"temporal_frequency": [1, 2, 4], "direction": FOUR})
    )
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], err_msg=name)


def test_traces_are_those_of_the_best_condition():
    rng = np.random.default_rng(0)
    traces = rng.random((4, 3, 2, 7, 5))
    along = tuning_along(
        curves(
            traces.mean(axis=-2),
            {"direction": FOUR, "temporal_frequency": [1, 2, 4], "contrast": [0.5, 1]},
        ),
        "temporal_frequency",
    )
    taken = along.take(traces)
    assert taken.shape == (3, 7, 5)
    for cell in range(5):
        direction, _, contrast = np.unravel_index(
            traces.mean(axis=-2)[..., cell].argmax(), (4, 3, 2)
        )
        np.testing.assert_array_equal(taken[..., cell], traces[direction, :, contrast, :, cell])
        np.testing.assert_allclose(along.responses[:, cell], taken[:, :, cell].mean(axis=1))


def test_baden_index_needs_the_frames_from_the_onset_on():
    traces = np.zeros((4, 5, 1))
    traces[:, :2] = 50  # before the stimulus
    traces[0, 2:] = 1
    found = indices_of(curves(traces.mean(axis=1), {"direction": FOUR}, traces=traces, onset=2))
    arc = np.pi / 4 / np.sin(np.pi / 4)
    assert found["dsi_baden"] == pytest.approx([arc])


def test_response_quality_comes_with_repeats():
    axes, tuned = {"contrast": [0.2, 0.4, 0.8]}, np.array([[1.0], [2.0], [3.0]])
    same = indices_of(curves(tuned, axes, repeats=np.stack([tuned, tuned])))
    assert same["response_quality"] == pytest.approx([1.0])
    other = np.stack([tuned, tuned[::-1]])  # their mean is flat
    flat = indices_of(curves(tuned, axes, repeats=other))
    assert flat["response_quality"] == pytest.approx([0.0])
    assert "response_quality" not in indices_of(curves(tuned, axes))


def test_p_comes_with_repeats():
    rng = np.random.default_rng(0)
    tuned = np.array([9.0, 1, 0, 1])[:, None] + [[0.0, 0.0]]
    tuned[:, 1] = 3
    repeats = tuned + rng.normal(0, 0.3, size=(6, 4, 2))
    axes = {"direction": FOUR}
    assert "dsi_p" not in indices_of(curves(tuned, axes))
    found = indices_of(curves(repeats.mean(axis=0), axes, repeats=repeats))
    assert found["dsi_p"][0] < 0.01 < found["dsi_p"][1]


def test_orientation_alone():
    found = indices_of(curves([[5], [2], [1], [2]], {"orientation": [0, 45, 90, 135]}))
    assert found["osi"] == pytest.approx([0.4])
    assert "dsi" not in found


def test_size_is_above_baseline():
    found = measures_of(curves([[3], [11], [5]], {"diameter": [50, 200, 800]}, baseline=[1.0]))
    assert found["suppression"].values == pytest.approx([0.6])
    assert found["preferred_diameter"].values.tolist() == [200]


# Ten frames of ON and ten of OFF, after two of grey; baseline 1.
ON = [1 + 8, 1 + 4, 1 + 2, 1 + 1, 1, 1, 1, 1, 1, 1]
OFF = [1, 1, 1, 1 + 5, 1, 1, 1, 1, 1, 1]


def flash(on: list[float], off: list[float], **more):
    trace = np.array([1, 1, *on, *off], dtype=float)[None, :, None]
    events = [("grey", 0, 2), ("ON step", 2, 12), ("OFF step", 12, 22)]
    return curves(
        trace.mean(axis=1),
        {"diameter": [500]},
        traces=trace,
        baseline=[1.0],
        settings={"events": events},
        **more,
    )


def test_steps_of_a_flash_are_found_among_the_events():
    """Above baseline: ON 15 / 10, OFF 5 / 10; 4 frames after the peak nothing is left."""
    found = indices_of(flash(ON, OFF))
    assert found["on_off"] == pytest.approx([(15 - 5) / (15 + 5)])
    assert found["transience"] == pytest.approx([1 - 1 / 3 / 8])
    assert found["sustained"] == pytest.approx([15 / 10 / 8])


def test_transience_is_that_of_the_step_that_the_neuron_answers_more():
    found = indices_of(flash(OFF, ON))
    assert found["on_off"] == pytest.approx([-0.5])
    assert found["transience"] == pytest.approx([1 - 1 / 3 / 8])


def test_steps_as_the_conditions_of_a_polarity_axis():
    traces = np.array([[1, 1, *OFF], [1, 1, *ON]], dtype=float)[..., None]
    windows = np.array([[2, 12], [2, 12]])
    found = indices_of(
        curves(
            traces[:, 2:].mean(axis=1),
            {"polarity": [-1, 1]},
            traces=traces,
            windows=windows,
            baseline=[1.0],
        )
    )
    assert found["on_off"] == pytest.approx([0.5])
    assert found["transience"] == pytest.approx([1 - 1 / 3 / 8])


def test_without_both_steps_there_is_no_on_off_index():
    assert "on_off" not in indices_of(curves([[1], [2]], {"polarity": [0.5, 1]}))
    assert "on_off" not in indices_of(curves([[1], [2]], {"contrast": [0.5, 1]}))


def test_f1_over_f0_at_the_best_condition():
    found = measures_of(
        curves([[1, 0], [3, 0]], {"contrast": [0.5, 1]}, f1=[[5, 5], [6, 5]], f0=[[1, 0], [3, 0]])
    )
    assert found["f1_f0"].values[0] == 2
    assert found["f1_f0"].reasons == ("", "F0 is 0")


def test_colour_opponency_on_the_grid():
    """Neuron 0 answers UV up with green down; neuron 1 the sum of both."""
    levels = np.array([-1, 0, 1.0])
    green, uv = np.meshgrid(levels, levels, indexing="ij")
    rates = np.clip(np.stack([uv - green, uv + green], axis=-1), 0, None)
    found = indices_of(curves(rates.swapaxes(0, 1), {"uv": levels, "green": levels}))
    assert found["colour_opponency"].tolist() == [1, -1]


def test_a_sweep_that_is_not_finished_says_so():
    rates = np.ones((4, 2, 1))
    rates[2:] = np.nan
    found = measures_of(curves(rates, {"direction": FOUR, "temporal_frequency": [1, 4]}))
    assert found["dsi"].reasons == ("a response is missing (NaN)",)


def test_a_neuron_that_answers_every_frequency_alike_prefers_none():
    found = measures_of(curves([[1, 1], [1, 2]], {"spatial_frequency": [1, 2]}))
    assert found["best_spatial_frequency"].values[1] == 2
    assert found["best_spatial_frequency"].reasons[0] == (
        "the same response to every spatial frequency"
    )


def test_an_axis_that_is_not_there():
    with pytest.raises(ValueError, match=r"axis_name: expected one of \['contrast'\], got 'size'"):
        tuning_along(curves([[1]], {"contrast": [1]}), "size")


def test_a_flash_of_both_contrasts_is_its_own_pair_of_steps():
    """Bright and dark flashes from grey, not the events of one of them."""
    traces = np.array([[1, 1, *OFF], [1, 1, *ON]], dtype=float)[..., None]
    found = indices_of(
        curves(
            traces[:, 2:].mean(axis=1),
            {"contrast": [-0.5, 0.5]},
            experiment="flash",
            traces=traces,
            windows=np.array([[2, 12], [2, 12]]),
            baseline=[1.0],
            settings={"events": [["OFF step", 2, 12]], "events_of_conditions": [[], []]},
        )
    )
    assert found["on_off"] == pytest.approx([0.5])


def test_steps_at_another_time_in_each_condition_are_not_guessed():
    swept = flash(ON, OFF)
    swept.settings["events_of_conditions"] = [[["ON step", 2, 12]], [["ON step", 4, 14]]]
    assert "on_off" not in indices_of(swept)


def test_dark_before_the_on_step_is_not_the_off_step():
    """As the chirp begins: 8 to grey turning dark, 3 to ON, 1 to OFF."""
    trace = np.repeat([8.0, 3.0, 1.0], 5)
    swept = curves(
        [[trace.mean()]],
        {"repeat": [0]},
        experiment="chirp",
        traces=trace[None, :, None],
        settings={"events": [["OFF", 0, 5], ["ON step", 5, 10], ["OFF step", 10, 15]]},
    )
    np.testing.assert_allclose(indices_of(swept)["on_off"], (3 - 1) / (3 + 1))
