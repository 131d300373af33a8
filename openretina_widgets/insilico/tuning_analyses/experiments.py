"""The experiments: what is varied in each, and values that suit a model's screen.

Angles are in degrees, counter-clockwise. A direction is that of motion: 0 to the right, 90 up the
screen. An orientation is that of the bars: 0 horizontal, 90 vertical. Lengths are in µm and spatial
frequencies in cycles per mm where the pixel size is known, else in px and cycles per px.

Neurons that prefer one direction of motion are silent in the others, so that experiments on
spatial frequency, temporal frequency and contrast are shown in four directions; a curve along one
axis takes each neuron in its best. Contrast is a magnitude in (0, 1]: a grating has both
polarities, so that the contrast response of ON and of OFF cells rises alike, and Naka-Rushton's
function fits both. Spots have an axis ``"polarity"`` of 1 (brighter) and -1 (darker) instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from openretina_widgets.data_io import artificial_stimuli as stimuli
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import real_number, unknown_name
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.experiment import (
    Condition,
    Experiment,
    as_screen,
    spatial_axis,
)
from openretina_widgets.models._checks import is_index

__all__ = [
    "NAMES",
    "Experiment",
    "chirp",
    "chromatic",
    "contrast_response",
    "drifting_gratings",
    "flash",
    "moving_bar",
    "orientation",
    "size_tuning",
    "spatial_frequency",
    "standard",
    "temporal_frequency",
]

NAMES = (
    "direction",
    "orientation",
    "spatial_frequency",
    "temporal_frequency",
    "contrast",
    "size",
    "flash",
    "chirp",
    "moving_bar",
    "chromatic",
)
"""Names that `standard` knows."""

Values = Sequence[float] | np.ndarray | float
Directions = Values | int

CARDINAL = (0.0, 90.0, 180.0, 270.0)
CONTRASTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
POLARITIES = (-1.0, 1.0)
_UNITS = {"direction": "°", "orientation": "°", "phase": "°", "temporal_frequency": "Hz"}
_OF_SCREEN = ("spatial_frequency", "diameter", "width", "length", "speed")
_ARGUMENT = {"phase": "phase_deg"}  # where the builder's argument is called otherwise
_SPOT_UM = 300.0  # covers every receptive field centre, and little of a surround
_MOST_ANGLES = 3600  # a tenth of a degree apart
_FINEST = 0.8  # of what frames and pixels can show


def drifting_gratings(
    *,
    directions: Directions = 8,
    temporal_frequencies: Values | None = None,
    spatial_frequencies: Values | None = None,
    contrasts: Values | None = None,
    waveform: str = "sine",
    **settings: Any,
) -> Experiment:
    """Return an experiment on direction selectivity, with drifting gratings.

    Parameters
    ----------
    directions
        Degrees; or how many, evenly spaced from 0.
    temporal_frequencies, spatial_frequencies, contrasts
        Several for a further axis, one to hold it; None for what
        `openretina_widgets.data_io.artificial_stimuli.drifting_grating` chooses.
    waveform
        ``"sine"`` or ``"square"``.
    settings
        Further arguments of `drifting_grating`, such as ``diameter=200`` or ``cycles=4``.

    Raises
    ------
    ValueError
        If there is one direction only: it tells nothing of selectivity.
    """
    varied = {
        "direction": _angles(directions, "directions"),
        "temporal_frequency": temporal_frequencies,
        "spatial_frequency": spatial_frequencies,
        "contrast": contrasts,
    }
    return _experiment(
        "direction",
        "Drifting gratings: direction",
        stimuli.drifting_grating,
        varied,
        settings | {"waveform": waveform},
        polar="direction",
    )


def orientation(
    orientations: Directions = 8,
    *,
    kind: str = "counterphase",
    phases: Values = (0.0, 90.0),
    **settings: Any,
) -> Experiment:
    """Return an experiment on orientation selectivity.

    Parameters
    ----------
    orientations
        Degrees; or how many, evenly spaced over 180° from 0.
    kind
        ``"counterphase"``: gratings that stand and reverse, the same for both directions of
        motion. ``"drifting"``: gratings that move at right angles to their bars, towards
        ``orientation + 90``.
    phases
        Of counterphase gratings (degrees): a cell that adds up linearly is silent where its
        receptive field is between two bars, so that each is taken at its best phase.
    settings
        Further arguments of `counterphase_grating` or `drifting_grating`.

    Raises
    ------
    ValueError
        If `kind` is neither, or there is one orientation only.
    """
    varied: dict[str, Values | None] = {"orientation": _angles(orientations, "orientations", 180.0)}
    if kind == "counterphase":
        varied["phase"] = phases
        build: Callable[..., ArtificialStimulus] = stimuli.counterphase_grating
    elif kind == "drifting":
        build = _drifting_by_orientation
    else:
        raise ValueError(unknown_name("kind", str(kind), ("counterphase", "drifting"), "grating"))
    title = f"{kind.capitalize()} gratings: orientation"
    return _experiment("orientation", title, build, varied, settings, polar="orientation")


def spatial_frequency(
    spatial_frequencies: Values, *, directions: Directions = CARDINAL, **settings: Any
) -> Experiment:
    """Return an experiment on spatial frequency, with drifting gratings.

    Parameters
    ----------
    spatial_frequencies
        Cycles per mm, or per px where the pixel size is not known.
    directions
        Degrees, or how many: each neuron is taken in its best.
    settings
        Further arguments of `drifting_grating`.
    """
    varied = {
        "spatial_frequency": np.atleast_1d(spatial_frequencies),
        "direction": _angles(directions, "directions"),
    }
    title = "Drifting gratings: spatial frequency"
    return _experiment("spatial_frequency", title, stimuli.drifting_grating, varied, settings)


def temporal_frequency(
    temporal_frequencies: Values = (0.5, 1.0, 2.0, 4.0, 8.0),
    *,
    directions: Directions = CARDINAL,
    **settings: Any,
) -> Experiment:
    """Return an experiment on temporal frequency, with drifting gratings.

    Parameters
    ----------
    temporal_frequencies
        Hz.
    directions
        Degrees, or how many: each neuron is taken in its best.
    settings
        Further arguments of `drifting_grating`.
    """
    varied = {
        "temporal_frequency": np.atleast_1d(temporal_frequencies),
        "direction": _angles(directions, "directions"),
    }
    title = "Drifting gratings: temporal frequency"
    return _experiment("temporal_frequency", title, stimuli.drifting_grating, varied, settings)


def contrast_response(
    contrasts: Values = CONTRASTS, *, directions: Directions = CARDINAL, **settings: Any
) -> Experiment:
    """Return an experiment on contrast, with drifting gratings.

    Parameters
    ----------
    contrasts
        Michelson contrast in (0, 1].
    directions
        Degrees, or how many: each neuron is taken in its best.
    settings
        Further arguments of `drifting_grating`.
    """
    varied = {"contrast": np.atleast_1d(contrasts), "direction": _angles(directions, "directions")}
    title = "Drifting gratings: contrast response"
    return _experiment("contrast", title, stimuli.drifting_grating, varied, settings)


def size_tuning(
    diameters: Values,
    *,
    polarities: Values = POLARITIES,
    contrast: float = 1.0,
    duration_s: float = 1.0,
    **settings: Any,
) -> Experiment:
    """Return an experiment on area summation, with spots on each receptive field.

    Parameters
    ----------
    diameters
        In µm, or px where the pixel size is not known.
    polarities
        1 for bright spots, -1 for dark ones; each neuron is taken at its best.
    contrast
        In (0, 1].
    duration_s
        How long a spot lasts (s).
    settings
        Further arguments of `spot`.
    """
    varied = {"diameter": np.atleast_1d(diameters), "polarity": _check_signs(polarities, contrast)}
    fixed = {"contrast": contrast, "duration_s": duration_s} | settings
    title = "Spots on the receptive field: size"
    return _experiment("size", title, _signed(stimuli.spot), varied, fixed, centred=True)


def flash(
    *,
    polarities: Values = POLARITIES,
    contrast: float = 1.0,
    diameter: float | None = None,
    on_s: float = 1.0,
    off_s: float = 1.0,
    **settings: Any,
) -> Experiment:
    """Return an experiment on the responses to steps of light.

    Parameters
    ----------
    polarities
        1 for bright flashes, -1 for dark ones.
    contrast
        In (0, 1].
    diameter
        Of a spot on each receptive field; the whole screen flashes, for all neurons alike,
        without it.
    on_s, off_s
        How long a flash lasts, and the grey after it (s).
    settings
        Further arguments of `openretina_widgets.data_io.artificial_stimuli.flash`.
    """
    fixed = {"contrast": contrast, "diameter": diameter, "on_s": on_s, "off_s": off_s} | settings
    return _experiment(
        "flash",
        "Full-field flashes" if diameter is None else "Spots flashed on the receptive field",
        _signed(stimuli.flash),
        {"polarity": _check_signs(polarities, contrast)},
        fixed,
        centred=diameter is not None,
    )


def chirp(
    contrasts: Values = (1.0,), *, diameter: float | None = None, **settings: Any
) -> Experiment:
    """Return the chirp of Baden et al. (2016).

    Parameters
    ----------
    contrasts
        Factor on all its contrasts, in (0, 1].
    diameter
        Of a spot on each receptive field, the local chirp; the whole screen without it.
    settings
        Further arguments of `openretina_widgets.data_io.artificial_stimuli.chirp`.
    """
    return _experiment(
        "chirp",
        "Full-field chirp" if diameter is None else "Local chirp",
        stimuli.chirp,
        {"contrast": np.atleast_1d(contrasts)},
        {"diameter": diameter} | settings,
        centred=diameter is not None,
    )


def moving_bar(
    *,
    directions: Directions = 8,
    speeds: Values | None = None,
    contrasts: Values | None = None,
    **settings: Any,
) -> Experiment:
    """Return an experiment on direction selectivity, with bars that cross the screen.

    Parameters
    ----------
    directions
        Degrees; or how many, evenly spaced from 0.
    speeds
        In µm/s, or px/s: several for a further axis, one to hold it, None for the builder's.
    contrasts
        In [-1, 1], as `speeds`: a bright bar where there are none.
    settings
        Further arguments of `openretina_widgets.data_io.artificial_stimuli.moving_bar`.

    Raises
    ------
    ValueError
        If there is one direction only.
    """
    varied = {
        "direction": _angles(directions, "directions"),
        "speed": speeds,
        "contrast": contrasts,
    }
    return _experiment(
        "moving_bar",
        "Moving bars: direction",
        stimuli.moving_bar,
        varied,
        settings,
        polar="direction",
    )


def chromatic(
    green: Values = (-1.0, -0.5, 0.0, 0.5, 1.0),
    uv: Values = (-1.0, -0.5, 0.0, 0.5, 1.0),
    *,
    diameter: float | None = None,
    duration_s: float = 1.0,
    **settings: Any,
) -> Experiment:
    """Return the grid of green and UV contrasts.

    Parameters
    ----------
    green, uv
        Contrasts in [-1, 1].
    diameter
        Of a spot on each receptive field; the whole screen without it.
    duration_s
        How long a step lasts (s).
    settings
        Further arguments of `chromatic_contrast`. A model with one channel is refused by it.
    """
    return _experiment(
        "chromatic",
        "Green and UV contrast",
        stimuli.chromatic_contrast,
        {"green": np.atleast_1d(green), "uv": np.atleast_1d(uv)},
        {"diameter": diameter, "duration_s": duration_s} | settings,
        centred=diameter is not None,
    )


def standard(name: str, model: Any) -> Experiment:
    """Return an experiment with values that suit a model's screen.

    Spatial frequencies go from one cycle over the shorter side of the screen to 0.8 of what pixels
    can show, temporal ones from 0.5 Hz to 0.8 of half the frame rate and at most 15 Hz, both evenly
    on a logarithmic axis; diameters from a pixel to the diagonal of the screen. Flashes are spots
    of 300 µm on each receptive field, or of a third of the screen where that is smaller or the
    pixel size is not known. Moving bars are as long as that along their motion, and as wide as the
    shorter side of the screen across it, so that they meet receptive fields off the middle too; for
    those of Baden et al. (2016), 300 µm wide, take `moving_bar`.

    Parameters
    ----------
    name
        One of `NAMES`.
    model
        A model, or a `Screen`.

    Raises
    ------
    ValueError
        If there is no such experiment, or a model with one channel is asked for ``"chromatic"``.
    """
    if name not in NAMES:
        raise ValueError(unknown_name("name", str(name), NAMES, "experiment"))
    screen = as_screen(model)
    if name == "chromatic" and len(screen.channels) < 2:
        raise ValueError(
            "name: 'chromatic' compares two channels, green and UV; this model has one, "
            f"{screen.channels[0]}"
        )
    make: dict[str, Callable[[], Experiment]] = {
        "direction": drifting_gratings,
        "orientation": orientation,
        "spatial_frequency": lambda: spatial_frequency(_spatial_frequencies(screen)),
        "temporal_frequency": lambda: temporal_frequency(_temporal_frequencies(screen)),
        "contrast": contrast_response,
        "size": lambda: size_tuning(_diameters(screen)),
        "flash": lambda: flash(diameter=spot_diameter(screen)),
        "chirp": chirp,
        "moving_bar": lambda: moving_bar(
            width=screen.length(min(screen.height, screen.width)), length=spot_diameter(screen)
        ),
        "chromatic": chromatic,
    }
    return make[name]().on(screen)


def _spatial_frequencies(screen: Screen) -> np.ndarray:
    lowest = 1 / min(screen.height, screen.width)
    found = np.geomspace(min(lowest, _FINEST / 4), _FINEST / 2, 8)
    return np.unique([float(f"{screen.spatial_frequency(value):.3g}") for value in found])


def _temporal_frequencies(screen: Screen) -> np.ndarray:
    """Return half Hertz, so that 2 s hold whole cycles of each."""
    highest = min(15.0, _FINEST * screen.frame_rate / 2)
    if highest < 1.0:
        return np.geomspace(highest / 16, highest, 5)
    return np.unique(np.floor(2 * np.geomspace(0.5, highest, 8) + 1e-9) / 2)


def _diameters(screen: Screen) -> np.ndarray:
    diagonal = float(np.hypot(screen.height, screen.width))
    pixels = np.unique(np.round(np.geomspace(1.0, diagonal, 12)))
    return np.array([screen.length(value) for value in pixels])


def spot_diameter(screen: Screen) -> float:
    """Return the diameter of a spot that covers a receptive field centre, in the screen's unit."""
    third = screen.length(min(screen.height, screen.width) / 3)
    shorter = screen.length(min(screen.height, screen.width))
    return third if screen.pixel_size_um is None or shorter < _SPOT_UM else _SPOT_UM


def _angles(angles: Directions, argument: str, whole: float = 360.0) -> np.ndarray:
    if is_index(angles):
        if not 1 <= angles <= _MOST_ANGLES:
            raise ValueError(
                f"{argument}: expected how many, 2 to {_MOST_ANGLES}, or a list of angles in "
                f"degrees, got {angles}"
            )
        return np.arange(angles) * (whole / angles)
    return np.atleast_1d(angles)


def _experiment(
    name: str,
    title: str,
    builder: Callable[..., ArtificialStimulus],
    varied: dict[str, Any],
    fixed: dict[str, Any],
    *,
    polar: str | None = None,
    centred: bool = False,
) -> Experiment:
    """Return an experiment whose axes are the builder's arguments; one number alone is held."""
    _check_settings(builder, varied, fixed, centred=centred)
    axes = []
    held = {name: value for name, value in fixed.items() if value is not None}
    for axis_name, values in varied.items():
        if values is None:
            continue
        if np.ndim(values) == 0:
            held[_ARGUMENT.get(axis_name, axis_name)] = real_number(values, axis_name)
        elif axis_name in _OF_SCREEN:
            axes.append(spatial_axis(axis_name, values))
        else:
            axes.append(Axis.of(axis_name, values, _UNITS.get(axis_name, "")))

    def build(screen: Screen, condition: Condition) -> ArtificialStimulus:
        values = {_ARGUMENT.get(name, name): value for name, value in condition.items()}
        return builder(screen, **held | values)

    return Experiment(name, title, tuple(axes), build, polar, centred, dict(held))


def _check_settings(
    builder: Callable[..., ArtificialStimulus],
    varied: dict[str, Any],
    fixed: dict[str, Any],
    *,
    centred: bool,
) -> None:
    """Refuse settings that the builder does not know, or that an axis would overrule."""
    taken = {_ARGUMENT.get(name, name) for name, values in varied.items() if values is not None}
    known = [name for name in inspect.signature(builder).parameters if name != "screen_or_model"]
    for name in fixed:
        if name in taken:
            raise TypeError(f"{name}: it is varied in this experiment, and cannot be held as well")
        if name not in known:
            raise TypeError(unknown_name("settings", name, known, "setting"))
    if centred and "centre" in fixed:
        raise TypeError(
            "centre: each neuron sees this experiment on its own receptive field; give places to "
            "sweep(..., centres=...)"
        )


def _check_signs(polarities: Values, contrast: float) -> np.ndarray:
    """Return polarities, after a check that they are signs and the contrast has none."""
    if not 0 < (given := real_number(contrast, "contrast")) <= 1:
        raise ValueError(f"contrast: expected a number in (0, 1], got {given:g}")
    signs = np.atleast_1d(polarities)
    if signs.dtype.kind in "fiu" and not np.isin(signs, POLARITIES).all():
        raise ValueError(f"polarities: expected 1 (bright) and -1 (dark), got {signs.tolist()}")
    return signs


def _signed(
    builder: Callable[..., ArtificialStimulus],
) -> Callable[..., ArtificialStimulus]:
    @functools.wraps(builder)
    def build(
        screen: Screen, *, polarity: float, contrast: float, **arguments: Any
    ) -> ArtificialStimulus:
        return builder(screen, contrast=polarity * contrast, **arguments)

    return build


@functools.wraps(stimuli.drifting_grating)
def _drifting_by_orientation(
    screen: Screen, *, orientation: float, **arguments: Any
) -> ArtificialStimulus:
    return stimuli.drifting_grating(screen, direction=(orientation + 90.0) % 360.0, **arguments)
