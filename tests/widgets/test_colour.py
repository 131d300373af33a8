"""Colour maps, limits and quantisation, against values that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets.drawing import colour
from openretina_widgets.drawing.colour import (
    CHANNEL_COLOURS,
    DIVERGING,
    LIGHT_MIXTURE,
    SEQUENTIAL,
    UNDEFINED,
    ZERO,
    channel_colour,
    mix_light,
    quantise,
    round_up,
    sequential_limits,
    symmetric_limits,
)


def luminance(srgb: np.ndarray) -> np.ndarray:
    """Relative luminance of WCAG 2.1, of colours (..., 3) in 0..255."""
    share = np.asarray(srgb, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_zero_is_exactly_white_and_the_signs_are_red_and_blue() -> None:
    assert DIVERGING[ZERO].tolist() == [255, 255, 255]
    red, green, blue = DIVERGING[255].astype(int)
    assert red > 2 * green
    assert red > 2 * blue
    red, green, blue = DIVERGING[1].astype(int)
    assert blue > 2 * green
    assert blue > 2 * red


def test_neither_sign_looks_stronger_and_more_is_always_darker() -> None:
    light = luminance(DIVERGING)
    assert (np.diff(light[ZERO:]) < 0).all()
    assert (np.diff(light[1 : ZERO + 1]) > 0).all()
    assert np.abs(light[ZERO + 1 :] - light[1:ZERO][::-1]).max() < 0.05


def test_sequential_starts_white_and_darkens() -> None:
    assert SEQUENTIAL[1].tolist() == [255, 255, 255]
    assert (np.diff(luminance(SEQUENTIAL[1:])) < 0).all()


def test_maps_cannot_be_changed_by_accident() -> None:
    for table in (DIVERGING, SEQUENTIAL, LIGHT_MIXTURE):
        with pytest.raises(ValueError, match="read-only"):
            table[...] = 0


def test_quantise_uses_255_levels_around_zero() -> None:
    values = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    assert quantise(values, (-1, 1)).tolist() == [1, 1, 64, 128, 192, 255, 255]
    every_level = np.linspace(-1, 1, 255)
    assert quantise(every_level, (-1, 1)).tolist() == list(range(1, 256))


@pytest.mark.parametrize("limit", [1e-6, 0.3, 0.1 + 0.2, 6.269, 1e6])
def test_zero_is_index_128_whatever_the_limit(limit: float) -> None:
    assert quantise(np.zeros(3), (-limit, limit)).tolist() == [ZERO] * 3
    assert quantise(np.float32([-limit, limit]), (-limit, limit)).tolist() == [1, 255]


def test_quantising_is_off_by_half_a_level_at_most() -> None:
    values = np.random.default_rng(1).uniform(-0.7, 0.7, 10_000).astype(np.float32)
    back = -0.7 + (quantise(values, (-0.7, 0.7)).astype(float) - 1) * 1.4 / 254
    assert np.abs(back - values).max() <= 1.4 / 508 + 1e-6


def test_unsigned_limits_start_at_index_1() -> None:
    assert quantise([0, 1, 2], (0, 2)).tolist() == [1, 128, 255]


def test_what_is_not_finite_is_undefined() -> None:
    indices = quantise([np.nan, np.inf, -np.inf, 0.0], (-1, 1))
    assert indices.tolist() == [UNDEFINED, UNDEFINED, UNDEFINED, ZERO]


def test_quantise_is_contiguous_bytes_of_the_same_shape() -> None:
    turned = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    indices = quantise(turned, (-24, 24))
    assert indices.dtype == np.uint8
    assert indices.shape == (4, 2, 3)
    assert indices.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("limits", [(1, 1), (1, -1), (0, np.inf), (np.nan, 1)])
def test_quantise_refuses_limits_without_extent(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="limits"):
        quantise([0.0], limits)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (0.43, 0.5), (1, 1), (1.01, 1.2), (6.269, 8), (9, 10), (0.0021, 0.0025), (83, 100)],
)
def test_round_up(value: float, expected: float) -> None:
    assert round_up(value) == expected
    assert round_up(expected) == expected
    assert round_up(float(np.float32(expected))) == expected


def test_limits_follow_the_finite_values() -> None:
    assert symmetric_limits([0.1, -0.43, np.nan, np.inf]) == (-0.5, 0.5)
    assert symmetric_limits(np.zeros(5)) == (-1, 1)
    assert symmetric_limits([np.nan]) == (-1, 1)
    assert symmetric_limits([]) == (-1, 1)
    assert sequential_limits([0.2, 0.43]) == (0, 0.5)
    assert sequential_limits([-0.2, 0.43]) == (-0.2, 0.5)
    assert sequential_limits([]) == (0, 1)


def test_light_mixture_is_mid_grey_at_zero_and_neutral_for_equal_drive() -> None:
    level = np.arange(1, 256, dtype=np.uint8)
    assert (mix_light(level, level) == level[:, None]).all()
    assert mix_light(np.uint8([ZERO]), np.uint8([ZERO])).tolist() == [[128, 128, 128]]


def test_green_light_is_green_and_uv_light_is_violet() -> None:
    full, none = np.uint8([255]), np.uint8([1])
    [[red, green, blue]] = mix_light(full, none).astype(int)
    assert green > 200
    assert max(red, blue) < 100
    [[red, green, blue]] = mix_light(none, full).astype(int)
    assert blue > red > 100 > green


def test_a_mixture_never_overflows_a_byte() -> None:
    brightest = LIGHT_MIXTURE.astype(int).max(axis=1).sum(axis=0)
    assert brightest.tolist() == [255, 255, 255]


def test_a_mixture_with_an_undefined_channel_is_undefined() -> None:
    grey = mix_light(np.uint8([UNDEFINED, 200]), np.uint8([200, UNDEFINED]))
    assert (grey == DIVERGING[UNDEFINED]).all()


@pytest.mark.parametrize("name", sorted(CHANNEL_COLOURS))
def test_channel_colours_are_readable_on_both_themes(name: str) -> None:
    code = CHANNEL_COLOURS[name]
    own = luminance(np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]))
    white, dark = 1.0, luminance(np.array([17, 17, 17]))  # JupyterLab's --jp-layout-color0
    assert (white + 0.05) / (own + 0.05) >= 3  # WCAG 2.1, graphical objects
    assert (own + 0.05) / (dark + 0.05) >= 3


def test_channel_colour_by_name() -> None:
    assert channel_colour("uv") == CHANNEL_COLOURS["UV"]
    assert channel_colour("ultrasound") == CHANNEL_COLOURS["luminance"]
    assert colour.CHANNEL_COLOURS["green"].startswith("#")
