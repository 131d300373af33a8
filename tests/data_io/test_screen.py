"""The screen that stimuli are made for: units, and what contrast 1 is."""

from types import SimpleNamespace

import pytest

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import Screen


def model(**changes):
    known = {
        "input_shape": (2, 18, 16),
        "channels": ("green", "UV"),
        "frame_rate": 30.0,
        "pixel_size_um": 50.0,
        "lag": 19,
        "stimulus_range": ((-0.654, 6.269), (-0.913, 6.269)),
    }
    return SimpleNamespace(**{**known, **changes})


def test_contrast_1_stays_within_the_range_around_grey_0():
    screen = Screen.of(model())
    assert screen.grey == (0.0, 0.0)
    assert screen.contrast_scale == (0.654, 0.913)
    assert "range" in screen.contrast_source


def test_a_luminance_has_its_grey_in_the_middle():
    screen = Screen.of(
        model(input_shape=(1, 4, 4), channels=("luminance",), stimulus_range=((0.0, 1.0),))
    )
    assert screen.grey == (0.5,)
    assert screen.contrast_scale == (0.5,)


def test_without_a_range_contrast_1_is_a_standard_deviation():
    screen = Screen.of(model(stimulus_range=None))
    assert screen.contrast_scale == (1.0, 1.0)
    assert "no stimulus range" in screen.contrast_source


def test_a_scale_can_be_given():
    assert Screen.of(model(), contrast_scale=2).contrast_scale == (2.0, 2.0)
    assert Screen.of(model(), contrast_scale=(1, 2)).contrast_scale == (1.0, 2.0)
    with pytest.raises(ValueError, match=r"contrast_scale: expected a positive number, got 0"):
        Screen.of(model(), contrast_scale=0)
    with pytest.raises(ValueError, match=r"contrast_scale: expected a number for each of 2"):
        Screen.of(model(), contrast_scale=(1, 2, 3))


def test_lengths_are_in_um_where_the_pixel_size_is_known_and_in_px_where_not():
    known, unknown = Screen.of(model()), Screen.of(model(pixel_size_um=None))
    assert (known.space_unit, known.pixels(100.0), known.length(2.0)) == ("µm", 2.0, 100.0)
    assert (unknown.space_unit, unknown.pixels(100.0), unknown.length(2.0)) == ("px", 100.0, 2.0)
    assert known.middle == (8.5, 7.5)


def test_it_is_made_of_a_model_of_ours():
    synthetic = orw.load_model("synthetic")
    screen = Screen.of(synthetic)
    assert (screen.height, screen.width) == synthetic.input_shape[1:]
    assert (screen.lag, screen.contrast_scale) == (synthetic.lag, (1.0, 1.0))
