"""Where the stimulus range comes from, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.models.checkpoint import load_checkpoint
from openretina_widgets.models.stimulus_range import (
    DOCUMENTED_DEFAULT,
    HOEFLING_NORM,
    HOEFLING_RANGE,
    recorded_norm,
    recorded_range,
)
from tests.models.checkpoint_files import DATA_INFO, content_of, model_of, save

NORMALISED = {"stim_mean": 37.2, "stim_std": 28.4}


def test_the_models_own_data_go_first():
    info = {"stimulus_range": [(-1, 1), (-0.5, 2)], **NORMALISED}
    assert recorded_range(info, 2) == (((-1.0, 1.0), (-0.5, 2.0)), "the model's own data")
    info["stimulus_range"] = np.array([[-1.0, 1.0], [-0.5, 2.0]])
    assert recorded_range(info, 2)[0] == ((-1.0, 1.0), (-0.5, 2.0))


@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_recorded_normalisation_goes_second(n_channels):
    limits, words = recorded_range(NORMALISED, n_channels)
    assert len(limits) == n_channels
    for low, high in limits:  # black and white are what they were before
        assert (low * 28.4 + 37.2, high * 28.4 + 37.2) == pytest.approx((0, 255))
    assert "mean 37.2 and standard deviation 28.4 of pixels from 0 to 255" in words


def test_pixels_from_0_to_1_are_told_by_their_mean_and_deviation():
    limits, words = recorded_range({"stim_mean": 0.4, "stim_std": 0.2}, 1)
    assert limits == ((pytest.approx(-2.0), pytest.approx(3.0)),)
    assert "pixels from 0 to 1" in words


def test_openretinas_other_spelling_of_the_normalisation_is_read():
    info = {"movie_norm_dict": {"default": {"norm_mean": 37.2, "norm_std": 28.4}}}
    assert recorded_range(info, 1) == recorded_range(NORMALISED, 1)


UNUSABLE = [
    {},
    {"stim_mean": 0.0, "stim_std": 1.0},  # what OpenRetina writes when nothing was normalised
    {"stim_mean": 37.2},
    {"stim_mean": None, "stim_std": None},
    {"stim_mean": float("nan"), "stim_std": float("nan")},
    {"stim_mean": 37.2, "stim_std": 0.0},
    {"stim_mean": 10**400, "stim_std": 10**400},
    {"stim_mean": -3.0, "stim_std": 2.0},  # no pixels are negative
    {"stim_mean": 100.0, "stim_std": 140.0},  # more than pixels can vary
    {"stim_mean": "37.2", "stim_std": True},
    {"stimulus_range": [(1, -1), (0, 1)]},
    {"stimulus_range": [(-1, 1)]},
    {"stimulus_range": [(-1, float("inf")), (0, 1)]},
    {"stimulus_range": "wide"},
    {"stimulus_range": [("a", "b"), (0, 1)]},
    {"stimulus_range": [1, 2]},
    {"movie_norm_dict": {"default": 3}},
]


@pytest.mark.parametrize("info", UNUSABLE)
def test_green_and_uv_have_a_documented_default(info):
    assert recorded_range(info, 2) == (HOEFLING_RANGE, DOCUMENTED_DEFAULT)


@pytest.mark.parametrize("info", [one for one in UNUSABLE if one != {"stimulus_range": [(-1, 1)]}])
def test_luminance_has_none(info):
    assert recorded_range(info, 1) == (None, "not known")


def test_the_norm_belongs_to_the_range():
    assert recorded_norm({}, 2) == recorded_norm(NORMALISED, 2) == HOEFLING_NORM
    assert recorded_norm({}, 1) is None
    own = {"stimulus_range": [(-1, 1)] * 2}
    assert recorded_norm(own, 2) is None  # the default is in other units
    assert recorded_norm({**own, "stimulus_norm": 15}, 2) == 15.0


@pytest.mark.parametrize(
    ("changes", "source", "low"),
    [
        ({"stimulus_range": [[-1.0, 1.0]] * 2}, "the model's own data", -1.0),
        ({"stim_mean": 14.2}, "recorded normalisation of the training stimuli: .*", -0.5),
        ({}, "documented default: .*", -0.654),
    ],
)
def test_the_card_of_a_checkpoint_says_which_it_was(tmp_path, changes, source, low):
    content = content_of(model_of())
    content["hyper_parameters"]["data_info"] = {**DATA_INFO, **changes}
    model = load_checkpoint(save(content, tmp_path / "small.ckpt"))
    assert model.stimulus_range[0][0] == pytest.approx(low)
    said = dict(model.card.rows())["Stimulus range"]
    assert said[1] == f"from: {model.stimulus_range_source}"
    assert model.stimulus_range_source.startswith(source.removesuffix(".*"))
