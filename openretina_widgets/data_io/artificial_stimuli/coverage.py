"""Which part of each pixel a shape covers: exact areas, so that coarse pixels have no jagged edge.

Coordinates are in pixels, from the middle of the image: x to the right, y up.
"""

from __future__ import annotations

import math

import torch

from openretina_widgets.data_io.artificial_stimuli.building import Point
from openretina_widgets.data_io.artificial_stimuli.screen import Screen


def pixel_centres(screen: Screen, centre: Point = (0.0, 0.0)) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x ``(1, width)`` and y ``(height, 1)`` of the pixels (px), relative to a centre.

    `centre` is in the screen's unit of length.
    """
    middle_row, middle_column = screen.middle
    x = torch.arange(screen.width, dtype=torch.float64) - middle_column - screen.pixels(centre[0])
    y = middle_row - torch.arange(screen.height, dtype=torch.float64) - screen.pixels(centre[1])
    return x[None, :], y[:, None]


def disc(screen: Screen, diameter: float, centre: Point) -> torch.Tensor:
    """Return the part of each pixel that a disc covers, ``(height, width)`` in [0, 1].

    Parameters
    ----------
    screen
        Where it lies.
    diameter, centre
        In the screen's unit of length.
    """
    x, y = pixel_centres(screen, centre)
    radius = screen.pixels(diameter) / 2
    corners = [
        _quadrant(x + right, y + top, radius) * (4 * right * top)
        for right in (-0.5, 0.5)
        for top in (-0.5, 0.5)
    ]
    return torch.stack(corners).sum(0).clamp(0.0, 1.0)


def annulus_mask(screen: Screen, inner: float, outer: float, centre: Point) -> torch.Tensor:
    """Return the part of each pixel that an annulus covers, ``(height, width)`` in [0, 1]."""
    return (disc(screen, outer, centre) - disc(screen, inner, centre)).clamp(0.0, 1.0)


def below(distance: torch.Tensor, angle_deg: float) -> torch.Tensor:
    """Return the part of a pixel on the near side of a straight edge.

    Parameters
    ----------
    distance
        How far the edge lies from the centre of the pixel (px), positive where the centre is on
        the near side. Of any shape.
    angle_deg
        Direction of the edge's normal.
    """
    cos, sin = unit_vector(angle_deg)
    long, short = max(abs(cos), abs(sin)) / 2, min(abs(cos), abs(sin)) / 2
    if short < 1e-9:
        return (distance / (2 * long) + 0.5).clamp(0.0, 1.0)
    # A pixel seen along the normal is a trapezium; this is its integral.
    ramps = [
        sign * (distance + offset).clamp_min(0.0).square()
        for sign, offset in (
            (1, long + short),
            (-1, long - short),
            (-1, short - long),
            (1, -long - short),
        )
    ]
    return (torch.stack(ramps).sum(0) / (8 * long * short)).clamp(0.0, 1.0)


def unit_vector(angle_deg: float) -> tuple[float, float]:
    """Return cosine and sine, exact at the multiples of 90°."""
    quarter, rest = divmod(float(angle_deg), 90.0)
    if rest == 0.0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
    return math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))


def extent(screen: Screen, angle_deg: float, centre: Point) -> tuple[float, float]:
    """Return how far the screen reaches along a direction, from a centre (px)."""
    cos, sin = unit_vector(angle_deg)
    half = (screen.width * abs(cos) + screen.height * abs(sin)) / 2
    middle = -(screen.pixels(centre[0]) * cos + screen.pixels(centre[1]) * sin)
    return middle - half, middle + half


def farthest_corner(screen: Screen, centre: Point) -> float:
    """Return how far the farthest corner of the screen lies from a centre (px)."""
    x, y = (abs(screen.pixels(value)) for value in centre)
    return math.hypot(x + screen.width / 2, y + screen.height / 2)


def _quadrant(x: torch.Tensor, y: torch.Tensor, radius: float) -> torch.Tensor:
    """Return the area of a disc within the rectangle from its centre to ``(x, y)``, signed."""
    sign = torch.sign(x) * torch.sign(y)
    x, y = torch.broadcast_tensors(x.abs().clamp_max(radius), y.abs().clamp_max(radius))
    reach = torch.sqrt(torch.clamp(radius**2 - y**2, min=0.0))  # where the arc is at height y
    reach = torch.minimum(reach, x)
    return sign * (y * reach + _under_arc(x, radius) - _under_arc(reach, radius))


def _under_arc(x: torch.Tensor, radius: float) -> torch.Tensor:
    height = torch.sqrt(torch.clamp(radius**2 - x**2, min=0.0))
    return (x * height + radius**2 * torch.asin((x / radius).clamp(-1.0, 1.0))) / 2
