"""Spots, annuli, and a spot with the annulus around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from openretina_widgets.data_io.artificial_stimuli.building import (
    Point,
    Recipe,
    as_screen,
    check_at_least,
    check_contrast,
    check_frames,
    check_point,
    length_name,
    weights_of,
)
from openretina_widgets.data_io.artificial_stimuli.coverage import annulus_mask, disc
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)

_LEAST = 1e-6  # part of a pixel that counts as seen


def spot(
    screen_or_model: Any,
    *,
    diameter: float,
    centre: Point = (0.0, 0.0),
    contrast: float = 1.0,
    duration_s: float = 1.0,
    after_s: float = 0.0,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a spot on grey; a pixel at its edge is as bright as the part of it that is covered.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    diameter, centre
        In µm, or px where the pixel size is not known, with x to the right and y up from the
        middle of the screen.
    contrast
        In [-1, 1]; negative for a dark spot.
    duration_s, after_s
        How long it is shown, and the grey after it (s).
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, or no pixel sees the spot; the message says what would do.
    """
    screen = as_screen(screen_or_model)
    mask, parameters, notes = aperture(screen, diameter, centre)
    return _step(
        screen,
        "spot",
        mask * check_contrast(contrast),
        {"contrast": float(contrast), **parameters},
        notes,
        duration_s,
        after_s,
        channel_weights,
        before_s,
    )


def annulus(
    screen_or_model: Any,
    *,
    inner_diameter: float,
    outer_diameter: float,
    centre: Point = (0.0, 0.0),
    contrast: float = 1.0,
    duration_s: float = 1.0,
    after_s: float = 0.0,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return an annulus on grey.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    inner_diameter, outer_diameter, centre
        In µm, or px where the pixel size is not known, with x to the right and y up from the
        middle of the screen.
    contrast
        In [-1, 1]; negative for a dark annulus.
    duration_s, after_s
        How long it is shown, and the grey after it (s).
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, or no pixel sees the annulus.
    """
    screen = as_screen(screen_or_model)
    mask, parameters, notes = _ring(screen, inner_diameter, outer_diameter, centre)
    return _step(
        screen,
        "annulus",
        mask * check_contrast(contrast),
        {"contrast": float(contrast), **parameters},
        notes,
        duration_s,
        after_s,
        channel_weights,
        before_s,
    )


def centre_surround(
    screen_or_model: Any,
    *,
    spot_diameter: float,
    inner_diameter: float | None = None,
    outer_diameter: float | None = None,
    centre: Point = (0.0, 0.0),
    spot_contrast: float = 1.0,
    surround_contrast: float = -1.0,
    duration_s: float = 1.0,
    after_s: float = 0.0,
    channel_weights: Sequence[float] | None = None,
    before_s: float | None = None,
) -> ArtificialStimulus:
    """Return a spot and a surround, each of a polarity of its own.

    Parameters
    ----------
    screen_or_model
        Where it is shown.
    spot_diameter
        In µm, or px where the pixel size is not known.
    inner_diameter, outer_diameter
        Of the surround. It begins at the edge of the spot, and fills the screen, when not given.
    centre
        ``(x, y)``, x to the right and y up from the middle of the screen.
    spot_contrast, surround_contrast
        In [-1, 1].
    duration_s, after_s
        How long it is shown, and the grey after it (s).
    channel_weights
        Factor in [-1, 1] on the contrast of each channel.
    before_s
        Grey before (s); as much as the model consumes when not given.

    Raises
    ------
    ValueError
        If an argument is out of range, the two overlap, or no pixel sees one of them.
    """
    screen = as_screen(screen_or_model)
    check_at_least(spot_diameter, "spot_diameter", screen.space_unit, above=True)
    mask, parameters, notes = aperture(screen, spot_diameter, centre, "spot_diameter")
    inner = spot_diameter if inner_diameter is None else inner_diameter
    check_at_least(inner, "inner_diameter", screen.space_unit)
    if inner < spot_diameter:
        raise ValueError(
            f"inner_diameter: expected at least that of the spot, {spot_diameter:g} "
            f"{screen.space_unit}, got {inner_diameter!r}"
        )
    if outer_diameter is None:
        outer = 2 * screen.length(screen.height + screen.width) + 2 * max(map(abs, centre))
        ring, described, cut = _ring(screen, inner, outer, centre)
        described[length_name(screen, "outer_diameter")], cut = None, []
    else:
        ring, described, cut = _ring(screen, inner, outer_diameter, centre)
    image = mask * check_contrast(spot_contrast, "spot_contrast")
    image = image + ring * check_contrast(surround_contrast, "surround_contrast")
    parameters = {
        "spot_contrast": float(spot_contrast),
        "surround_contrast": float(surround_contrast),
        **parameters,
        **described,
    }
    return _step(
        screen,
        "spot and surround",
        image,
        parameters,
        list(dict.fromkeys([*notes, *cut])),
        duration_s,
        after_s,
        channel_weights,
        before_s,
    )


def aperture(
    screen: Screen, diameter: float | None, centre: Point, argument: str = "diameter"
) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    """Return what a round window shows of each pixel, its parameters, and notes.

    ``(height, width)``, or ``(1, 1)`` without a diameter: the whole screen.
    """
    x, y = check_point(centre)
    if diameter is None:
        return torch.ones((1, 1), dtype=torch.float64), {}, []
    check_at_least(diameter, argument, screen.space_unit, above=True)
    mask = disc(screen, diameter, (x, y))
    notes = _seen(screen, mask, f"a spot of {diameter:g} {screen.space_unit}", (x, y), diameter)
    parameters = {
        length_name(screen, argument): float(diameter),
        length_name(screen, "centre"): (x, y),
    }
    return mask, parameters, notes


def _ring(
    screen: Screen, inner: float, outer: float, centre: Point
) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    x, y = check_point(centre)
    check_at_least(inner, "inner_diameter", screen.space_unit, above=True)
    check_at_least(outer, "outer_diameter", screen.space_unit, above=True)
    if outer <= inner:
        raise ValueError(
            f"outer_diameter: expected more than inner_diameter, {inner:g} {screen.space_unit}, "
            f"got {outer!r}"
        )
    mask = annulus_mask(screen, inner, outer, (x, y))
    what = f"an annulus of {inner:g} to {outer:g} {screen.space_unit}"
    notes = _seen(screen, mask, what, (x, y), outer)
    parameters = {
        length_name(screen, "inner_diameter"): float(inner),
        length_name(screen, "outer_diameter"): float(outer),
        length_name(screen, "centre"): (x, y),
    }
    return mask, parameters, notes


def _seen(
    screen: Screen, mask: torch.Tensor, what: str, centre: Point, diameter: float
) -> list[str]:
    """Raise if no pixel sees a shape; note where the screen cuts it."""
    width, height = screen.length(screen.width), screen.length(screen.height)
    size = f"{width:g} × {height:g} {screen.space_unit}"
    where = f"({centre[0]:g}, {centre[1]:g}) {screen.space_unit}"
    if float(mask.max()) < _LEAST:
        raise ValueError(
            f"centre: {what} around {where} lies off the screen, which is {size} around (0, 0)"
        )
    reach = max(abs(centre[0]) - width / 2, abs(centre[1]) - height / 2) + diameter / 2
    if reach > 1e-9 * diameter:
        return [f"{what} around {where} reaches beyond the screen of {size}: its edge is cut"]
    return []


def _step(
    screen: Screen,
    name: str,
    image: torch.Tensor,
    parameters: dict[str, Any],
    notes: list[str],
    duration_s: float,
    after_s: float,
    channel_weights: Sequence[float] | None,
    before_s: float | None,
) -> ArtificialStimulus:
    """Show an image for some time, and grey after it."""
    frames = check_frames(screen, duration_s, "duration_s")
    after = screen.frames(check_at_least(after_s, "after_s", "s"))
    movie = torch.zeros((frames + after, *image.shape), dtype=torch.float64)
    movie[:frames] = image
    events = [StimulusEvent(name, 0, frames)]
    if after:
        events.append(StimulusEvent("grey", frames, frames + after))
    return Recipe(
        screen,
        name,
        movie,
        window=(0, frames),
        events=events,
        parameters={
            **parameters,
            "duration_s": screen.seconds(frames),
            "after_s": screen.seconds(after),
        },
        notes=notes,
        weights=weights_of(screen, channel_weights),
        before_s=before_s,
    ).build()
