"""Fits of images whose parameters are known, and of measured receptive fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openretina_widgets import ReceptiveFields
from openretina_widgets.insilico.receptive_fields import fit_spatial
from openretina_widgets.insilico.receptive_fields.fits import _Grid

MEASURED = (
    Path(__file__).resolve().parents[3].parent / "shared/data/dlgn_receptive_fields/dlgn_rf.npz"
)


def gaussian(column, row, along, across, angle_deg=0.0, shape=(18, 16)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    x, y = x - column, row - y  # up
    u, v = (x * cos + y * sin) / along, (y * cos - x * sin) / across
    return np.exp(-(u**2 + v**2) / 2)


def test_a_gaussian_is_found_as_it_was_made():
    fit = fit_spatial(
        np.stack([2 * gaussian(5.2, 7.7, 3, 1.5, 30), -3 * gaussian(9.1, 4.4, 2, 1.2, 120)])
    )
    np.testing.assert_allclose(fit.column, [5.2, 9.1], atol=1e-4)
    np.testing.assert_allclose(fit.row, [7.7, 4.4], atol=1e-4)
    np.testing.assert_allclose(fit.sigma_major, [3, 2], atol=1e-4)
    np.testing.assert_allclose(fit.sigma_minor, [1.5, 1.2], atol=1e-4)
    np.testing.assert_allclose(fit.angle_deg, [30, 120], atol=0.01)
    np.testing.assert_allclose(fit.amplitude, [2, -3], atol=1e-4)
    np.testing.assert_allclose(fit.quality, 1, atol=1e-6)
    np.testing.assert_allclose(fit.area, np.pi * 4 * np.array([4.5, 2.4]), rtol=1e-3)
    np.testing.assert_allclose(fit.diameter, 4 * np.sqrt([4.5, 2.4]), rtol=1e-3)
    np.testing.assert_allclose(fit.surround_index, 0, atol=1e-4)
    assert fit.reasons == ("", "")
    assert fit.converged.all()


@pytest.mark.parametrize(
    ("curve", "slope"), [("gaussian", "gaussian_slope"), ("difference", "difference_slope")]
)
def test_slopes_are_those_of_the_curves(curve, slope):
    grid = _Grid(7, 5)
    p = np.array(
        [[1.2, 2.1, 3.3, -0.4, 0.3, -0.9, 0.8, 0.3], [-0.7, 1, 4, 0.2, -0.5, 0.1, 0.4, 0.6]]
    )
    p = p[:, : 6 if curve == "gaussian" else 8]
    found = getattr(grid, slope)(p)
    for k, step in enumerate(1e-6 * np.eye(p.shape[1])):
        change = getattr(grid, curve)(p + step) - getattr(grid, curve)(p - step)
        np.testing.assert_allclose(found[..., k], change / 2e-6, atol=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_surround_is_found_as_it_was_made_and_is_negative_for_either_polarity(sign):
    image = gaussian(8, 8, 1.5, 1.5) - 0.6 / 9 * gaussian(8, 8, 4.5, 4.5)
    fit = fit_spatial(sign * image[None])
    assert fit.surround_ratio[0] == pytest.approx(3.0, rel=1e-2)
    assert fit.surround_weight[0] == pytest.approx(0.6, rel=1e-2)
    assert fit.centre_sigma[0] == pytest.approx(1.5, rel=1e-2)
    assert fit.dog_quality[0] > fit.quality[0]
    assert -1 <= fit.surround_index[0] < -0.2


def test_without_the_surround_the_gaussian_is_the_same():
    image = (gaussian(8, 8, 1.5, 1.5) - 0.6 / 9 * gaussian(8, 8, 4.5, 4.5))[None]
    whole, part = fit_spatial(image), fit_spatial(image, surround=False)
    assert (part.column, part.row, part.quality) == (whole.column, whole.row, whole.quality)
    assert part.reasons == ("",)
    for name in ("surround_ratio", "surround_weight", "centre_sigma", "dog_quality"):
        assert np.isnan(getattr(part, name)).all()


def test_what_no_gaussian_describes_is_not_determined_and_says_why():
    noise = np.random.default_rng(0).standard_normal((18, 16))
    images = np.stack(
        [noise, np.zeros((18, 16)), np.full((18, 16), 2.0), np.full((18, 16), np.nan)]
    )
    fit = fit_spatial(images)
    assert not fit.determined.any()
    assert fit.reasons[1:] == (
        "the field is the same everywhere",
        "the field is the same everywhere",
        "the field is not known",
    )
    assert fit.reasons[0]
    for name in ("column", "row", "sigma_major", "area", "surround_index", "surround_weight"):
        assert np.isnan(getattr(fit, name)).all()
    assert "2 x 2 pixels are too few" in fit_spatial(np.ones((1, 2, 2))).reasons[0]
    with pytest.raises(ValueError, match=r"images: expected \(cell, height, width\)"):
        fit_spatial(noise)


def test_every_measured_field_that_is_reliable_converges():
    """Unreliable or not, a field is determined or says why; warnings are errors here."""
    if not MEASURED.exists():
        pytest.skip("the measured fields lie beside the repository, and are not there")
    with np.load(MEASURED, allow_pickle=False) as data:
        images, kernels = data["pop_srf"], data["pop_trf"]
        reliability = data["pop_reliability"]
    fields = ReceptiveFields.of(
        kernels[:, None, :, None, None] * images[:, None, None], frame_rate=60.0
    )
    fit = fields.fit
    assert len(images) == 122
    assert fit.converged[reliability >= 0.3].all()
    assert (fit.quality[fit.determined] >= 0.5).all()
    for cell in np.flatnonzero(~fit.determined & (fit.quality >= 0.5)):
        assert fit.reasons[cell] in (
            "the Gaussian's centre lies off the image",
            "the Gaussian is narrower than a pixel can show",
        )
    good = reliability >= 0.5
    assert fit.determined[good].mean() > 0.65
    assert fit.determined[good].mean() > fit.determined[~good].mean()
    np.testing.assert_allclose(fields.separability, 1.0, atol=1e-5)
    for cell in np.flatnonzero(fit.determined):
        assert np.isfinite([fit.column[cell], fit.row[cell], fit.area[cell]]).all()
        assert 0.25 <= fit.sigma_minor[cell] <= fit.sigma_major[cell] <= 21
