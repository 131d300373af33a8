"""A Gaussian, and a difference of Gaussians, fitted to the images of many cells at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from openretina_widgets.insilico.least_squares import least_squares_batched

MINIMUM_QUALITY = 0.5
_SMALLEST_SIGMA = 0.25  # px; a narrower Gaussian cannot be told from one pixel
_NO_SURROUND = 1e-3  # quality that a surround has to add
_RATIO = (1.05, 10.0)  # of the surround's width to the centre's
# A step of a smaller relative gain moves parameters by less than a tenth of their standard errors,
# with some hundred pixels.
_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class SpatialFit:
    """Fits of spatial receptive fields, lengths in pixels; arrays have an entry for each cell.

    What is not determined is NaN, and `reasons` says why.

    Attributes
    ----------
    column, row
        Centre of the Gaussian; pixel 0, 0 is the top left one.
    sigma_major, sigma_minor
        Standard deviations along the longer and the shorter axis.
    angle_deg
        Direction of the longer axis, counter-clockwise from the right, in [0, 180).
    amplitude
        Height of the Gaussian, negative for an OFF centre, in the unit of the image.
    quality
        1 − Var(residual)/Var(image) of the Gaussian; at most 1; NaN for an image without variance.
    area
        Area of the ellipse at 2 σ, π (2 σ_major)(2 σ_minor), in px².
    diameter
        Of the circle of that area, 2 √(area/π).
    surround_index
        Σ(image − Gaussian)/Σ|image|, times the sign of the amplitude: negative for an antagonistic
        surround.
    surround_ratio
        Width of the surround over that of the centre, above 1, in the difference of Gaussians:
        two concentric Gaussians of one shape. NaN where a surround improves nothing, or where
        the fit ends at a bound of the ratio (1.05, 10).
    surround_weight
        Volume of the surround over that of the centre in the difference of Gaussians; 0 where
        none is found, NaN where the fit ends at a bound.
    centre_sigma
        √(σ_major σ_minor) of the centre in the difference of Gaussians; of the Gaussian
        where there is no surround.
    dog_quality
        As `quality`, of the difference of Gaussians.
    converged
        Whether the Gaussian fit settled.
    reasons
        Why a fit is not determined, ``""`` where it is.
    """

    column: np.ndarray
    row: np.ndarray
    sigma_major: np.ndarray
    sigma_minor: np.ndarray
    angle_deg: np.ndarray
    amplitude: np.ndarray
    quality: np.ndarray
    area: np.ndarray
    diameter: np.ndarray
    surround_index: np.ndarray
    surround_ratio: np.ndarray
    surround_weight: np.ndarray
    centre_sigma: np.ndarray
    dog_quality: np.ndarray
    converged: np.ndarray
    reasons: tuple[str, ...]

    @property
    def determined(self) -> np.ndarray:
        """``(cell,)``: whether the Gaussian describes the image."""
        return np.array([not reason for reason in self.reasons], dtype=bool)


def fit_spatial(
    images: np.ndarray, *, minimum_quality: float = MINIMUM_QUALITY, surround: bool = True
) -> SpatialFit:
    """Fit a rotated Gaussian and a difference of Gaussians to each image.

    Parameters
    ----------
    images
        ``(cell, height, width)``: signed spatial receptive fields.
    minimum_quality
        Fits of less are not determined.
    surround
        Whether to fit the difference of Gaussians as well; `surround_ratio`, `surround_weight`,
        `centre_sigma` and `dog_quality` are NaN without.

    Raises
    ------
    ValueError
        If `images` has another number of axes.

    Examples
    --------
    >>> fit = fit_spatial(measured_fields)
    >>> fit.diameter[fit.determined]
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 3:
        raise ValueError(f"images: expected (cell, height, width), got shape {images.shape}")
    n, height, width = images.shape
    reasons = [_unfit(image) for image in images]
    usable = np.array([i for i, reason in enumerate(reasons) if not reason], dtype=int)
    found: dict[str, np.ndarray] = {
        name: np.full(n, np.nan) for name in SpatialFit.__annotations__ if name != "reasons"
    }
    found["converged"] = np.zeros(n, dtype=bool)
    if len(usable):
        scale = np.abs(images[usable]).max(axis=(1, 2))
        data = images[usable].reshape(len(usable), -1) / scale[:, None]
        grid = _Grid(height, width)
        fitted, converged = _fit_gaussian(grid, data)
        quality = _quality(grid.gaussian(fitted), data)
        for name, column in _described(grid, fitted, data, scale).items():
            found[name][usable] = column
        found["quality"][usable] = quality
        found["converged"][usable] = converged
        if surround:
            for name, column in _fit_surround(grid, data, fitted, quality).items():
                found[name][usable] = column
        for cell in usable:
            reasons[cell] = _reason({k: float(v[cell]) for k, v in found.items()}, height, width)
            if not reasons[cell] and not found["quality"][cell] >= minimum_quality:
                reasons[cell] = (
                    f"a Gaussian describes too little: quality {found['quality'][cell]:.2f} < "
                    f"{minimum_quality:g}"
                )
    lost = np.array([bool(reason) for reason in reasons], dtype=bool)
    for name, values in found.items():
        if name not in ("quality", "dog_quality", "converged"):
            values[lost] = np.nan
    return SpatialFit(**found, reasons=tuple(reasons))


def _unfit(image: np.ndarray) -> str:
    if not np.isfinite(image).all():
        return "the field is not known"
    if image.size < 9 or min(image.shape) < 2:
        return f"{image.shape[0]} x {image.shape[1]} pixels are too few for a Gaussian"
    if np.ptp(image) <= 1e-12 * np.abs(image).max():
        return "the field is the same everywhere"
    return ""


def _reason(cell: dict[str, float], height: int, width: int) -> str:
    row, column = cell["row"], cell["column"]
    if not (-0.49 < row < height - 0.51 and -0.49 < column < width - 0.51):
        return "the Gaussian's centre lies off the image"
    if cell["sigma_major"] > 0.99 * max(height, width):
        return "the Gaussian is wider than the image"
    if cell["sigma_minor"] < 1.01 * _SMALLEST_SIGMA:
        return "the Gaussian is narrower than a pixel can show"
    return ""


class _Grid:
    """Gaussians on the pixels of an image.

    A Gaussian's parameters are its amplitude, column, row, and the entries l1, q, l2 of the
    triangle ((e^l1, q), (0, e^l2)) that whitens distances: smooth, also where it is round.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        rows, columns = np.mgrid[:height, :width].astype(np.float64)
        self._rows, self._columns = rows.reshape(-1), columns.reshape(-1)

    def _whitened(self, p: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return distances from the centres in pixels, and whitened, each ``(set, pixel)``."""
        x, y = self._columns - p[:, 1:2], self._rows - p[:, 2:3]
        return x, y, np.exp(p[:, 3:4]) * x + p[:, 4:5] * y, np.exp(p[:, 5:6]) * y

    def gaussian(self, p: np.ndarray) -> np.ndarray:
        _, _, u, v = self._whitened(p)
        return p[:, :1] * np.exp(-0.5 * (u**2 + v**2))

    def gaussian_slope(self, p: np.ndarray) -> np.ndarray:
        x, y, u, v = self._whitened(p)
        bell = np.exp(-0.5 * (u**2 + v**2))
        slope = np.empty((*bell.shape, 6))
        slope[..., 0] = bell
        self._shape_slope(slope, p[:, :1] * bell, p, x, y, u, v)
        return slope

    def difference(self, p: np.ndarray) -> np.ndarray:
        """Return the centre less its surround; parameters 6, 7 are ln(ratio) and height."""
        _, _, u, v = self._whitened(p)
        squared = u**2 + v**2
        surround = np.exp(-0.5 * squared * np.exp(-2 * p[:, 6:7]))
        return p[:, :1] * (np.exp(-0.5 * squared) - p[:, 7:8] * surround)

    def difference_slope(self, p: np.ndarray) -> np.ndarray:
        x, y, u, v = self._whitened(p)
        squared, narrower = u**2 + v**2, np.exp(-2 * p[:, 6:7])
        centre, surround = np.exp(-0.5 * squared), np.exp(-0.5 * squared * narrower)
        height = p[:, :1]
        slope = np.empty((*centre.shape, 8))
        slope[..., 0] = centre - p[:, 7:8] * surround
        weight = height * (centre - p[:, 7:8] * narrower * surround)
        self._shape_slope(slope, weight, p, x, y, u, v)
        slope[..., 6] = -height * p[:, 7:8] * surround * squared * narrower
        slope[..., 7] = -height * surround
        return slope

    @staticmethod
    def _shape_slope(
        slope: np.ndarray,
        weight: np.ndarray,
        p: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
    ) -> None:
        """Write −½ of the slope of the squared distance, times a weight, for parameters 1 to 5."""
        first, second = np.exp(p[:, 3:4]), np.exp(p[:, 5:6])
        across = weight * u
        slope[..., 1] = across * first
        slope[..., 2] = across * p[:, 4:5] + weight * v * second
        slope[..., 3] = -slope[..., 1] * x
        slope[..., 4] = -across * y
        slope[..., 5] = -weight * v**2

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return limits of a Gaussian's parameters; ``e^l`` is 1 / σ."""
        widest = math.log(1.0 / max(self.height, self.width))
        finest = math.log(1.0 / _SMALLEST_SIGMA)
        low = [-10.0, -0.5, -0.5, widest, -1.0 / _SMALLEST_SIGMA, widest]
        high = [10.0, self.width - 0.5, self.height - 0.5, finest, 1.0 / _SMALLEST_SIGMA, finest]
        return np.array(low), np.array(high)


def _fit_gaussian(grid: _Grid, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the better fit of two starts at the peak, one narrow and one as wide as it looks."""
    smooth = _smoothed(data.reshape(-1, grid.height, grid.width)).reshape(data.shape)
    at = np.abs(smooth).argmax(axis=1)
    sign = np.sign(smooth[np.arange(len(data)), at])
    upright = sign[:, None] * smooth
    above = (upright > 0.5 * upright.max(axis=1, keepdims=True)).sum(axis=1)
    wide = np.sqrt(above / (2 * math.pi * math.log(2)))  # area within half of the peak
    row, column = np.divmod(at, grid.width)
    starts = [
        np.stack([sign, column, row, -np.log(sigma), 0 * sigma, -np.log(sigma)], axis=1)
        for sigma in (np.ones_like(wide), wide)
    ]
    low, high = grid.bounds()
    found = least_squares_batched(
        grid.gaussian,
        data,
        np.stack(starts),
        lower=low,
        upper=high,
        jacobian=grid.gaussian_slope,
        tolerance=_TOLERANCE,
    )
    return found.parameters, found.converged


def _smoothed(images: np.ndarray) -> np.ndarray:
    """Return the mean over 3 x 3 pixels, of those that lie on the image."""
    size = (0, 3, 3)
    inside = uniform_filter(np.ones_like(images[:1]), size, mode="constant")
    return uniform_filter(images, size, mode="constant") / inside


def _fit_surround(
    grid: _Grid, data: np.ndarray, centre: np.ndarray, quality: np.ndarray
) -> dict[str, np.ndarray]:
    """Fit differences of Gaussians from the Gaussian fits."""
    low, high = grid.bounds()
    low, high = (
        np.append(low, [math.log(_RATIO[0]), 0.0]),
        np.append(high, [math.log(_RATIO[1]), 1]),
    )
    starts = [
        np.concatenate([centre, np.tile([math.log(ratio), height], (len(centre), 1))], axis=1)
        for ratio, height in ((2.0, 0.1), (4.0, 0.02))
    ]
    best = least_squares_batched(
        grid.difference,
        data,
        np.stack(starts),
        lower=low,
        upper=high,
        jacobian=grid.difference_slope,
        tolerance=_TOLERANCE,
    ).parameters
    found = _quality(grid.difference(best), data)
    none = found - quality < _NO_SURROUND
    at_a_bound = (best[:, 6] <= low[6]) | (best[:, 6] >= high[6]) | (best[:, 7] >= 1.0)
    ratio_squared = np.exp(2 * best[:, 6])
    without = none | at_a_bound
    narrow = np.where(without[:, None], centre, best[:, :6])
    weight = np.where(at_a_bound, np.nan, best[:, 7] * ratio_squared)
    return {
        "surround_ratio": np.where(without, np.nan, np.sqrt(ratio_squared)),
        "surround_weight": np.where(none, 0.0, weight),
        "centre_sigma": np.exp(-0.5 * (narrow[:, 3] + narrow[:, 5])),
        "dog_quality": np.where(none, quality, found),
    }


def _described(
    grid: _Grid, p: np.ndarray, data: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """Return a Gaussian's parameters in the words of `SpatialFit`."""
    whitener = np.zeros((len(p), 2, 2))
    whitener[:, 0, 0], whitener[:, 0, 1], whitener[:, 1, 1] = (
        np.exp(p[:, 3]),
        p[:, 4],
        np.exp(p[:, 5]),
    )
    # The longer axis comes first.
    inverse_variance, axes = np.linalg.eigh(whitener.transpose(0, 2, 1) @ whitener)
    sigma = 1 / np.sqrt(inverse_variance)
    angle = np.degrees(np.arctan2(-axes[:, 1, 0], axes[:, 0, 0]))  # rows go down
    area = 4 * math.pi * sigma[:, 0] * sigma[:, 1]
    left = (data - grid.gaussian(p)).sum(axis=1) / np.abs(data).sum(axis=1)
    return {
        "amplitude": p[:, 0] * scale,
        "column": p[:, 1],
        "row": p[:, 2],
        "sigma_major": sigma[:, 0],
        "sigma_minor": sigma[:, 1],
        "angle_deg": np.mod(angle, 180.0),
        "area": area,
        "diameter": 2 * np.sqrt(area / math.pi),
        "surround_index": np.sign(p[:, 0]) * left,
    }


def _quality(predicted: np.ndarray, data: np.ndarray) -> np.ndarray:
    return 1 - (data - predicted).var(axis=1) / data.var(axis=1)


def parameters_of(fit: SpatialFit) -> dict[str, Any]:
    """Return the arrays of a fit by name."""
    return {name: getattr(fit, name) for name in SpatialFit.__annotations__}
