"""Sliders for the parameters of a stimulus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw

from openretina_widgets.errors import real_number, unknown_name
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.stimulus_kinds import (
    KINDS,
    Parameter,
    StimulusKind,
    arguments,
    kinds_for,
)

__all__ = ["KINDS", "Parameter", "ParameterSliders", "StimulusKind", "arguments", "kinds_for"]

_STYLE = {"description_width": "138px"}
_STEPS_AN_OCTAVE = 8
_WIDE = {"width": "auto", "min_width": "0"}


class ParameterSliders(Composition):
    """A slider, or a choice, for each parameter.

    Parameters
    ----------
    parameters
        What can be set.
    values
        Where they begin, by name; the parameters' own where it is left out.
    on_change
        Called with nothing whenever a value was changed, from whatever thread a slider reports on.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        values: Mapping[str, Any] | None = None,
        on_change: Callable[[], object],
    ) -> None:
        _check_values(parameters, values or {})
        self.parameters = tuple(parameters)
        self._sliders = {
            parameter.name: _slider(parameter, (values or {}).get(parameter.name, parameter.value))
            for parameter in parameters
        }
        super().__init__(tuple(self._sliders.values()))
        self._on_change = on_change
        self._quiet = False
        for slider in self._sliders.values():
            slider.observe(self._changed, "value")

    @property
    def values(self) -> dict[str, Any]:
        """The values shown, by name."""
        return {name: _tidy(slider.value) for name, slider in self._sliders.items()}

    def set(self, **values: Any) -> None:
        """Set some values; reported once.

        Raises
        ------
        TypeError, ValueError
            If there is no such parameter, or it cannot take the value; the message says which.
        """
        _check_values(self.parameters, values)
        self._quiet = True
        try:
            for name, value in values.items():
                self._sliders[name].value = value
        finally:
            self._quiet = False
        self._on_change()

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self._on_change()


def _check_values(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> None:
    """Refuse unknown names, and values that a slider would move to one of its ends."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in values.items():
        if name not in known:
            raise ValueError(unknown_name("parameter", name, list(known), "parameter"))
        parameter = known[name]
        if parameter.options:
            if value not in parameter.options:
                raise ValueError(unknown_name(name, value, parameter.options, "choice"))
            continue
        number = real_number(value, name)
        slack = 1e-9 * max(abs(parameter.low), abs(parameter.high))
        if not parameter.low - slack <= number <= parameter.high + slack:
            raise ValueError(
                f"{name}: expected {parameter.words}, {parameter.low:.4g} to "
                f"{parameter.high:.4g}, got {value!r}"
            )
        if isinstance(parameter.value, int) and number != round(number):
            raise ValueError(f"{name}: expected a whole number, got {value!r}")


def _tidy(value: Any) -> Any:
    """Without the last digits, in which what a page sends back differs: 5.000000000000001."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _slider(parameter: Parameter, value: Any) -> ipw.Widget:
    common = {
        "description": parameter.words,
        "tooltip": parameter.words,
        "layout": ipw.Layout(**_WIDE),
        "style": _STYLE,
    }
    if parameter.options:
        return ipw.Dropdown(options=parameter.options, value=value, **common)
    if parameter.log:
        # The page moves a value to the nearest step: the first one has to lie on one.
        begin, low, high = (
            math.log2(number) for number in (parameter.value, parameter.low, parameter.high)
        )
        below = math.floor((begin - low) * _STEPS_AN_OCTAVE + 1e-9)
        above = math.floor((high - begin) * _STEPS_AN_OCTAVE + 1e-9)
        return ipw.FloatLogSlider(
            value=value,
            base=2.0,
            min=begin - below / _STEPS_AN_OCTAVE,
            max=begin + above / _STEPS_AN_OCTAVE,
            step=1 / _STEPS_AN_OCTAVE,
            readout_format=".3r",
            **common,
        )
    if isinstance(parameter.value, int):
        return ipw.IntSlider(value=value, min=int(parameter.low), max=int(parameter.high), **common)
    return ipw.FloatSlider(
        value=value,
        min=parameter.low,
        max=parameter.high,
        step=parameter.step,
        readout_format=".0f" if parameter.step >= 1 else ".2f",
        **common,
    )
