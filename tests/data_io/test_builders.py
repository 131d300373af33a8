"""What holds for every builder."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.data_io import artificial_stimuli as builders
from tests.data_io.screens import one_channel, screen

BUILDERS = {
    "uniform_noise": {"duration_s": 0.5},
    "binary_noise": {"duration_s": 0.5},
    "gaussian_noise": {"duration_s": 0.5},
    "pink_noise": {"duration_s": 0.5},
    "flash": {},
    "contrast_steps": {"step_s": 0.5},
    "spot": {"diameter": 3.0},
    "annulus": {"inner_diameter": 3.0, "outer_diameter": 6.0},
    "centre_surround": {"spot_diameter": 3.0},
    "drifting_grating": {},
    "counterphase_grating": {},
    "moving_bar": {},
    "chirp": {},
    "natural": {"movie_or_image": np.random.default_rng(0).random((40, 30))},
}


def built(name, shown_on, **changes):
    arguments = {**BUILDERS[name], **changes}
    unit = shown_on.pixel_size_um or 1.0
    for key in arguments:
        if key.endswith("diameter"):
            arguments[key] = arguments[key] * unit
    return getattr(builders, name)(shown_on, **arguments)


SCREENS = {
    "mouse": screen(contrast_scale=(0.654, 0.913)),
    "no pixel size, one channel, off zero": one_channel(
        pixel_size_um=None, grey=(0.5,), contrast_scale=(0.5,), lag=3, frame_rate=60.0
    ),
    "no lag, slow, wide": one_channel(lag=0, frame_rate=10.0, height=5, width=31),
    "no lag, two rows": screen(lag=0, height=2, width=7, pixel_size_um=None),
}


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shown_on", SCREENS.values(), ids=SCREENS)
def test_every_builder_suits_every_screen(name, shown_on):
    stimulus = built(name, shown_on)
    channels, frames, height, width = stimulus.movie.shape
    assert (channels, height, width) == (
        len(shown_on.channels),
        shown_on.height,
        shown_on.width,
    )
    assert stimulus.movie.dtype == torch.float32
    assert frames == len(stimulus) > stimulus.onset == shown_on.lag
    assert stimulus.screen is shown_on
    for k in range(channels):
        grey, scale = shown_on.grey[k], shown_on.contrast_scale[k]
        assert torch.allclose(stimulus.movie[k, : shown_on.lag], torch.tensor(grey))
        contrast = (stimulus.movie[k, shown_on.lag :] - grey) / scale
        assert contrast.abs().max() <= 1 + 1e-6
        assert contrast.abs().max() > 0.1
    start, stop = stimulus.window
    assert shown_on.lag <= start < stop <= frames
    assert stimulus.response_window == (start - shown_on.lag, stop - shown_on.lag)
    assert stimulus.events
    for event in stimulus.events:
        assert 0 <= event.start < event.stop <= frames
    assert len(stimulus.table()) == len(stimulus.events)
    assert stimulus.name in stimulus._repr_html_()
    for key, value in stimulus.parameters.items():
        assert value is None or isinstance(value, (int, float, str, tuple)), key


@pytest.mark.parametrize("name", BUILDERS)
def test_a_channel_can_be_silent_or_reversed(name):
    extra = {"independent_channels": False} if name.endswith("noise") else {}
    both = built(name, screen(), **extra).movie
    weighted = built(name, screen(), channel_weights=(0.0, -0.5), **extra)
    assert weighted.movie[0].count_nonzero() == 0
    assert torch.allclose(weighted.movie[1], -0.5 * both[1])
    assert weighted.parameters["channel_weights"] == (0.0, -0.5)
    assert torch.equal(both[0], both[1])


@pytest.mark.parametrize("name", BUILDERS)
def test_the_lead_in_can_be_set(name):
    assert built(name, screen(), before_s=0.0).onset == 0
    longer = built(name, screen(), before_s=1.0)
    assert longer.onset == 30
    assert torch.equal(longer.movie[:, 30:], built(name, screen()).movie[:, 19:])
    with pytest.raises(ValueError, match=r"before_s: expected at least 0 s, got -1"):
        built(name, screen(), before_s=-1)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0,), r"channel_weights: expected one for each of \('green', 'UV'\), got \(1.0,\)"),
        ((1.0, 1.5), r"channel_weights: expected a contrast in \[-1, 1\], got 1.5"),
        ((0.0, 0.0), "channel_weights: all are 0"),
        (1.0, "channel_weights: expected one for each"),
    ],
)
def test_channel_weights_that_do_not_fit(weights, words):
    with pytest.raises(ValueError, match=words):
        builders.flash(screen(), channel_weights=weights)


@pytest.mark.parametrize("bad", [1.01, -1.01, math.nan, math.inf])
@pytest.mark.parametrize("name", ["flash", "spot", "moving_bar"])
def test_contrast_out_of_range(name, bad):
    with pytest.raises(ValueError, match="contrast: expected"):
        built(name, screen(), contrast=bad)


@pytest.mark.parametrize("name", ["drifting_grating", "binary_noise", "chirp", "pink_noise"])
def test_a_modulation_depth_is_not_negative(name):
    with pytest.raises(ValueError, match=r"contrast: expected a modulation depth in \[0, 1\]"):
        built(name, screen(), contrast=-0.5)


@pytest.mark.parametrize("name", ["spot", "annulus", "drifting_grating", "binary_noise", "natural"])
def test_durations_out_of_range(name):
    with pytest.raises(ValueError, match="duration_s: expected more than 0 s, got -1"):
        built(name, screen(), duration_s=-1)
    with pytest.raises(ValueError, match=r"duration_s: 0.01 s is less than a frame at 30 Hz"):
        built(name, screen(), duration_s=0.01)


def test_a_number_is_wanted():
    with pytest.raises(TypeError, match="contrast: expected a number, got 'high'"):
        builders.flash(screen(), contrast="high")
    with pytest.raises(ValueError, match=r"centre: expected \(x, y\), got 5"):
        builders.spot(screen(), diameter=100, centre=5)


def test_a_model_will_do_and_what_is_none_is_refused():
    model = orw.load_model("synthetic")
    stimulus = builders.flash(model)
    assert stimulus.onset == model.lag
    with torch.no_grad():
        response = model(stimulus.batch)
    assert response.shape[1] == len(stimulus) - model.lag
    with pytest.raises(TypeError, match=r"screen_or_model: expected a Screen or a model .* lag"):
        builders.flash(SimpleNamespace(input_shape=(1, 4, 4)))


def test_lengths_are_named_with_their_unit():
    assert builders.spot(screen(), diameter=100.0).parameters["diameter_um"] == 100.0
    without = builders.spot(screen(pixel_size_um=None), diameter=2.0)
    assert without.parameters["diameter_px"] == 2.0
    grating = builders.drifting_grating(screen(), spatial_frequency=2.0)
    assert grating.parameters["spatial_frequency_cyc_per_mm"] == 2.0
    grating = builders.drifting_grating(screen(pixel_size_um=None), spatial_frequency=0.1)
    assert grating.parameters["spatial_frequency_cyc_per_px"] == 0.1


def test_all_names_are_public():
    for name in [*BUILDERS, "chromatic_contrast", "generate_gratings"]:
        assert name in builders.__all__
        assert f"`{name}`" in builders.__doc__
