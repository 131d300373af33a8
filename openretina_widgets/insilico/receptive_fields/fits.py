"""A Gaussian, and a difference of Gaussians, fitted to the images of many cells at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from openretina_widgets.insilico.receptive_fields.least_squares import least_squares

MINIMUM_QUALITY = 0.5
_SMALLEST_SIGMA = 0.25  # px; a narrower Gaussian cannot be told from one pixel
_NO_SURROUND = 1e-3  # quality that a surround has to add
_RATIO = (1.05, 10.0)  # of the surround's width to the centre's


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
        given = torch.from_numpy(images[usable])
        scale = given.abs().amax((1, 2))
        data = (given / scale[:, None, None]).flatten(1)
        grid = _Grid(height, width)
        fitted, converged = _fit_gaussian(grid, data)
        quality = _quality(grid.gaussian(fitted), data)
        for name, column in _described(grid, fitted, data, scale).items():
            found[name][usable] = column.numpy()
        found["quality"][usable] = quality.numpy()
        found["converged"][usable] = converged.numpy()
        if surround:
            for name, column in _fit_surround(grid, data, fitted, quality).items():
                found[name][usable] = column.numpy()
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
        rows, columns = torch.meshgrid(
            torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
        )
        self._rows, self._columns = rows.flatten(), columns.flatten()

    def squared_distance(self, p: torch.Tensor) -> torch.Tensor:
        """Return squared distances from the centres in standard deviations, ``(set, pixel)``."""
        x, y = self._columns - p[:, 1:2], self._rows - p[:, 2:3]
        return (p[:, 3:4].exp() * x + p[:, 4:5] * y).square() + (p[:, 5:6].exp() * y).square()

    def gaussian(self, p: torch.Tensor) -> torch.Tensor:
        return p[:, :1] * torch.exp(-0.5 * self.squared_distance(p))

    def difference(self, p: torch.Tensor) -> torch.Tensor:
        """Return the centre less its surround; parameters 6, 7 are ln(ratio) and height."""
        squared = self.squared_distance(p)
        surround = torch.exp(-0.5 * squared * torch.exp(-2 * p[:, 6:7]))
        return p[:, :1] * (torch.exp(-0.5 * squared) - p[:, 7:8] * surround)

    def bounds(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return limits of a Gaussian's parameters; ``e^l`` is 1 / σ."""
        widest = math.log(1.0 / max(self.height, self.width))
        finest = math.log(1.0 / _SMALLEST_SIGMA)
        low = [-10.0, -0.5, -0.5, widest, -1.0 / _SMALLEST_SIGMA, widest]
        high = [10.0, self.width - 0.5, self.height - 0.5, finest, 1.0 / _SMALLEST_SIGMA, finest]
        return torch.tensor([low] * n).double(), torch.tensor([high] * n).double()


def _fit_gaussian(grid: _Grid, data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the better fit of two starts at the peak, one narrow and one as wide as it looks."""
    n = len(data)
    smooth = F.avg_pool2d(
        data.unflatten(1, (1, grid.height, grid.width)), 3, 1, 1, count_include_pad=False
    ).flatten(1)
    at = smooth.abs().argmax(1, keepdim=True)
    sign = smooth.gather(1, at).sign()
    above = (sign * smooth > 0.5 * (sign * smooth).amax(1, keepdim=True)).sum(1, keepdim=True)
    wide = (above / (2 * math.pi * math.log(2))).sqrt()  # area within half of the peak
    low, high = grid.bounds(n)
    fits = []
    for sigma in (torch.ones_like(wide), wide):
        inverse = -sigma.log()
        place = [(at % grid.width).double(), (at // grid.width).double()]
        start = torch.cat([sign, *place, inverse, torch.zeros_like(inverse), inverse], dim=1)
        fits.append(least_squares(grid.gaussian, data, start, low, high))
    first_wins = fits[0][1] <= fits[1][1]
    best = torch.where(first_wins[:, None], fits[0][0], fits[1][0])
    return best, torch.where(first_wins, fits[0][2], fits[1][2])


def _fit_surround(
    grid: _Grid, data: torch.Tensor, centre: torch.Tensor, quality: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Fit differences of Gaussians from the Gaussian fits."""
    n = len(data)
    low, high = grid.bounds(n)
    more = torch.tensor([[math.log(_RATIO[0]), 0.0]] * n).double()
    low = torch.cat([low, more], dim=1)
    high = torch.cat([high, torch.tensor([[math.log(_RATIO[1]), 1.0]] * n).double()], dim=1)
    best, cost = torch.cat([centre, more], dim=1), torch.full((n,), math.inf).double()
    for ratio, height in ((2.0, 0.1), (4.0, 0.02)):
        begin = torch.tensor([[math.log(ratio), height]] * n).double()
        start = torch.cat([centre, begin], dim=1)
        fitted, new, _ = least_squares(grid.difference, data, start, low, high)
        best = torch.where((new < cost)[:, None], fitted, best)
        cost = torch.minimum(cost, new)
    found = _quality(grid.difference(best), data)
    none = found - quality < _NO_SURROUND
    at_a_bound = (best[:, 6] <= low[:, 6]) | (best[:, 6] >= high[:, 6]) | (best[:, 7] >= 1.0)
    ratio_squared = (2 * best[:, 6]).exp()
    nan = torch.full_like(found, math.nan)
    weight = torch.where(at_a_bound, nan, best[:, 7] * ratio_squared)
    without = none | at_a_bound
    return {
        "surround_ratio": torch.where(without, nan, ratio_squared.sqrt()),
        "surround_weight": torch.where(none, 0.0, weight),
        "centre_sigma": (-0.5 * (torch.where(without[:, None], centre, best[:, :6])[:, 3:6:2]))
        .sum(1)
        .exp(),
        "dog_quality": torch.where(none, quality, found),
    }


def _described(
    grid: _Grid, p: torch.Tensor, data: torch.Tensor, scale: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return a Gaussian's parameters in the words of `SpatialFit`."""
    whitener = torch.zeros(len(p), 2, 2).double()
    whitener[:, 0, 0], whitener[:, 0, 1], whitener[:, 1, 1] = p[:, 3].exp(), p[:, 4], p[:, 5].exp()
    inverse_variance, axes = torch.linalg.eigh(whitener.mT @ whitener)  # the longer axis first
    sigma = inverse_variance.rsqrt()
    angle = torch.rad2deg(torch.atan2(-axes[:, 1, 0], axes[:, 0, 0]))  # rows go down
    area = 4 * math.pi * sigma[:, 0] * sigma[:, 1]
    left = (data - grid.gaussian(p)).sum(1) / data.abs().sum(1)
    return {
        "amplitude": p[:, 0] * scale,
        "column": p[:, 1],
        "row": p[:, 2],
        "sigma_major": sigma[:, 0],
        "sigma_minor": sigma[:, 1],
        "angle_deg": angle % 180.0,
        "area": area,
        "diameter": 2 * (area / math.pi).sqrt(),
        "surround_index": p[:, 0].sign() * left,
    }


def _quality(predicted: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    return 1 - (data - predicted).var(1) / data.var(1)


def parameters_of(fit: SpatialFit) -> dict[str, Any]:
    """Return the arrays of a fit by name."""
    return {name: getattr(fit, name) for name in SpatialFit.__annotations__}
