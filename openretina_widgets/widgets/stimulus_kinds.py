"""The parameters of every stimulus builder, with limits that suit a screen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openretina_widgets.data_io import artificial_stimuli as stimuli
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import unknown_name


@dataclass(frozen=True)
class Parameter:
    """A parameter of a builder, and how it is set.

    Attributes
    ----------
    name
        Of the builder's argument; ``centre_x`` and ``centre_y`` make its ``centre``, and
        ``weight_0``, ``weight_1``, ... its ``channel_weights``.
    words
        What it is called beside the slider, with its unit.
    value
        To begin with.
    low, high, step
        Of a slider.
    log
        Whether the slider moves by factors.
    options
        Words to choose from, instead of a slider.
    none
        Whether the lowest value stands for "not at all", the builder's None.
    """

    name: str
    words: str
    value: Any
    low: float = 0.0
    high: float = 1.0
    step: float = 0.01
    log: bool = False
    options: tuple[str, ...] = ()
    none: bool = False


@dataclass(frozen=True)
class StimulusKind:
    """A builder, and what can be set of it on a screen."""

    title: str
    builder: Callable[..., ArtificialStimulus]
    parameters: Callable[[Screen], list[Parameter]]
    channels: int = 1  # at least

    def stimulus(self, screen: Screen, values: Mapping[str, Any]) -> ArtificialStimulus:
        """Return the stimulus of values by the names of the parameters."""
        return self.builder(screen, **arguments(self.parameters(screen), values))


def arguments(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a builder takes, from values by the names of its parameters.

    Raises
    ------
    ValueError
        If there is no such parameter; the message names the nearest.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            raise ValueError(unknown_name("parameter", name, list(known), "parameter"))
    whole = {name: values.get(name, parameter.value) for name, parameter in known.items()}
    given = {
        name: None if known[name].none and value <= known[name].low else value
        for name, value in whole.items()
    }
    if "centre_x" in given:
        given["centre"] = (given.pop("centre_x"), given.pop("centre_y"))
    weights = [given.pop(name) for name in list(given) if name.startswith("weight_")]
    if weights:
        given["channel_weights"] = tuple(weights)
    return given


def _contrast(value: float = 1.0, *, low: float = -1.0, name: str = "contrast") -> Parameter:
    return Parameter(name, name.replace("_", " ").capitalize(), value, low, 1.0, 0.05)


def _seconds(name: str, words: str, value: float, high: float, low: float = 0.1) -> Parameter:
    return Parameter(name, f"{words} (s)", value, low, high, 0.1)


def _length_step(screen: Screen) -> float:
    return 0.5 if screen.pixel_size_um is None else float(max(1, round(screen.pixel_size_um / 5)))


def _length(
    screen: Screen, name: str, words: str, pixels: float, *, low: float = 1.0, none: bool = False
) -> Parameter:
    diagonal = math.ceil(math.hypot(screen.height, screen.width))
    step = _length_step(screen)
    value = step * round(screen.length(pixels) / step)
    most = step * math.ceil(screen.length(diagonal) / step)
    least = 0.0 if none else step * math.ceil(screen.length(low) / step)
    return Parameter(name, f"{words} ({screen.space_unit})", value, least, most, step, none=none)


def _centre(screen: Screen) -> list[Parameter]:
    step = _length_step(screen)
    ends = [step * math.ceil(screen.length(n / 2) / step) for n in (screen.width, screen.height)]
    return [
        Parameter(f"centre_{axis}", f"Centre {axis} ({screen.space_unit})", 0.0, -end, end, step)
        for axis, end in zip("xy", ends, strict=True)
    ]


def _aperture(screen: Screen) -> list[Parameter]:
    spot = _length(screen, "diameter", "Window, 0: all", 0.0, none=True)
    return [spot, *_centre(screen)]


def _weights(screen: Screen) -> list[Parameter]:
    if len(screen.channels) == 1:
        return []
    return [
        Parameter(f"weight_{i}", f"Weight, {name}", 1.0, -1.0, 1.0, 0.05)
        for i, name in enumerate(screen.channels)
    ]


def _angle(name: str, words: str, most: float) -> Parameter:
    return Parameter(name, f"{words} (°)", 0.0, 0.0, most, 5.0)


def _grating(angle: Parameter) -> Callable[[Screen], list[Parameter]]:
    def parameters(screen: Screen) -> list[Parameter]:
        longest = max(screen.height, screen.width)
        start = 2 / max(4, min(screen.height, screen.width))
        # Along a diagonal finer gratings are shown than along rows: the builder says which are not.
        low, high, value = (screen.spatial_frequency(f) for f in (0.5 / longest, 0.7, start))
        unit = f"cyc/{screen.space_unit_long}"
        nyquist = screen.frame_rate / 2
        return [
            angle,
            Parameter("spatial_frequency", f"Spatial ({unit})", value, low, high, log=True),
            Parameter("temporal_frequency", "Temporal (Hz)", 2.0, nyquist / 60, nyquist, log=True),
            _contrast(low=0.0),
            Parameter("phase_deg", "Phase (°)", 0.0, 0.0, 355.0, 5.0),
            Parameter("waveform", "Waveform", "sine", options=("sine", "square")),
            *_aperture(screen),
            *_weights(screen),
        ]

    return parameters


def _noise(contrast: float) -> Callable[[Screen], list[Parameter]]:
    def parameters(screen: Screen) -> list[Parameter]:
        rate = screen.frame_rate
        return [
            Parameter("seed", "Seed", 0, 0, 99),
            _contrast(contrast, low=0.0),
            _length(screen, "check_size", "Check size", 1.0),
            Parameter("update_rate_hz", "Updates (Hz)", rate, rate / 30, rate, rate / 30),
            _seconds("duration_s", "Duration", 3.0, 20.0, low=0.5),
            *_weights(screen),
        ]

    return parameters


def _bar(screen: Screen) -> list[Parameter]:
    side = min(screen.height, screen.width)
    known = screen.pixel_size_um is not None
    width, length, speed = (
        (screen.pixels(x) for x in (300.0, 1000.0, 1000.0)) if known else (side / 3, side, side)
    )
    unit = screen.space_unit
    per_frame = screen.length(screen.frame_rate)
    return [
        _angle("direction", "Direction", 355.0),
        _length(screen, "width", "Width, across", width),
        _length(screen, "length", "Length, along", length),
        Parameter(
            "speed",
            f"Speed ({unit}/s)",
            screen.length(speed),
            0.1 * per_frame,
            2.0 * per_frame,
            log=True,
        ),
        _contrast(),
        _contrast(0.0, name="background"),
        *_centre(screen),
        *_weights(screen),
    ]


def _third(screen: Screen) -> float:
    return min(screen.height, screen.width) / 3


def _step_s() -> list[Parameter]:
    return [
        _seconds("duration_s", "Duration", 1.0, 4.0),
        _seconds("after_s", "Grey after", 1.0, 4.0, low=0.0),
    ]


def _spot(screen: Screen) -> list[Parameter]:
    return [
        _length(screen, "diameter", "Diameter", _third(screen)),
        *_centre(screen),
        _contrast(),
        *_step_s(),
        *_weights(screen),
    ]


def _annulus(screen: Screen) -> list[Parameter]:
    return [
        _length(screen, "inner_diameter", "Inner diameter", _third(screen)),
        _length(screen, "outer_diameter", "Outer diameter", 2 * _third(screen)),
        *_centre(screen),
        _contrast(),
        *_step_s(),
        *_weights(screen),
    ]


def _centre_surround(screen: Screen) -> list[Parameter]:
    return [
        _length(screen, "spot_diameter", "Spot diameter", _third(screen)),
        _length(screen, "inner_diameter", "Surround from", 1.2 * _third(screen)),
        _length(screen, "outer_diameter", "Surround to", 3 * _third(screen)),
        *_centre(screen),
        _contrast(name="spot_contrast"),
        _contrast(-1.0, name="surround_contrast"),
        *_step_s(),
        *_weights(screen),
    ]


def _flash(screen: Screen) -> list[Parameter]:
    return [
        _contrast(),
        _contrast(0.0, name="background"),
        _seconds("on_s", "Flash", 1.0, 4.0),
        _seconds("off_s", "After", 1.0, 4.0, low=0.0),
        Parameter("repeats", "Flashes", 1, 1, 5),
        *_aperture(screen),
        *_weights(screen),
    ]


def _steps(screen: Screen) -> list[Parameter]:
    nyquist = screen.frame_rate / 2
    return [
        Parameter("temporal_frequency", "Temporal (Hz)", 2.0, nyquist / 60, nyquist, log=True),
        _seconds("step_s", "Each step", 1.0, 4.0, low=0.5),
        Parameter("waveform", "Waveform", "square", options=("sine", "square")),
        *_aperture(screen),
        *_weights(screen),
    ]


def _chirp(screen: Screen) -> list[Parameter]:
    return [_contrast(low=0.0), *_aperture(screen), *_weights(screen)]


def _chromatic(screen: Screen) -> list[Parameter]:
    return [
        Parameter("green", "Green contrast", 1.0, -1.0, 1.0, 0.05),
        Parameter("uv", "UV contrast", -1.0, -1.0, 1.0, 0.05),
        *_step_s(),
        *_aperture(screen),
    ]


_ANY_DIRECTION = _angle("direction", "Direction", 355.0)
_ANY_ORIENTATION = _angle("orientation", "Orientation", 175.0)

KINDS: Mapping[str, StimulusKind] = {
    "drifting_grating": StimulusKind(
        "drifting grating", stimuli.drifting_grating, _grating(_ANY_DIRECTION)
    ),
    "counterphase_grating": StimulusKind(
        "counterphase grating", stimuli.counterphase_grating, _grating(_ANY_ORIENTATION)
    ),
    "moving_bar": StimulusKind("moving bar", stimuli.moving_bar, _bar),
    "flash": StimulusKind("flash", stimuli.flash, _flash),
    "contrast_steps": StimulusKind("contrast steps", stimuli.contrast_steps, _steps),
    "spot": StimulusKind("spot", stimuli.spot, _spot),
    "annulus": StimulusKind("annulus", stimuli.annulus, _annulus),
    "centre_surround": StimulusKind(
        "centre and surround", stimuli.centre_surround, _centre_surround
    ),
    "chirp": StimulusKind("chirp", stimuli.chirp, _chirp),
    "chromatic_contrast": StimulusKind(
        "chromatic contrast", stimuli.chromatic_contrast, _chromatic, channels=2
    ),
    "binary_noise": StimulusKind("dense binary noise", stimuli.binary_noise, _noise(1.0)),
    "uniform_noise": StimulusKind("uniform noise", stimuli.uniform_noise, _noise(1.0)),
    "gaussian_noise": StimulusKind("Gaussian noise", stimuli.gaussian_noise, _noise(0.3)),
    "pink_noise": StimulusKind("1/f noise", stimuli.pink_noise, _noise(0.3)),
}
"""Every builder with sliders, by the name of its function."""


def kinds_for(screen: Screen) -> dict[str, StimulusKind]:
    """Return the builders that a screen can show."""
    return {name: kind for name, kind in KINDS.items() if len(screen.channels) >= kind.channels}
