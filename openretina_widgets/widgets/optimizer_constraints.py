"""What a run holds its stimulus to, and how it moves: the folded settings of the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw

from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter
from openretina_widgets.insilico.stimulus_optimization.parametrization import (
    DifferenceOfGaussians,
    GaborSinusoid,
    LowFrequencies,
    Parametrization,
    Separable,
)
from openretina_widgets.insilico.stimulus_optimization.preconditioning import (
    GradientBlur,
    GradientFilter,
    GradientSpectrum,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import Limits
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.settings_fields import (
    as_text,
    choice,
    label_of,
    limits_as_text,
    limits_in,
    number,
    numbers_in,
    shown,
    whole,
    words,
)

_FORMS = (
    ("any", "any"),
    ("space × time", "separable"),
    ("Gabor patch, standing", "standing"),
    ("Gabor patch, drifting", "drifting"),
    ("difference of Gaussians", "gaussians"),
    ("low frequencies only", "low"),
)
_FILTERS = (("none", "none"), ("blur", "blur"), ("1/f spectrum", "spectrum"))


class ConstraintSettings(ipw.VBox):
    """Contrast, luminance, range, jitter, the gradient's filter and the stimulus' form."""

    def __init__(
        self,
        *,
        stimulus_range: Sequence[Limits] | None,
        rms: float | Sequence[float] | None,
        mean_luminance: float | Sequence[float] | None,
        jitter: Jitter | None,
        precondition: GradientFilter | None,
        parametrization: Parametrization | None,
    ) -> None:
        self._callback: Callable[[], None] = lambda: None
        self._placeholder = ""
        self._channels = 1
        self.fields: tuple[Any, ...] = ()
        self._jitter_seed, self._sigma_frames = 0, 0.0
        super().__init__(layout=ipw.Layout(width="auto"))
        given = (stimulus_range, rms, mean_luminance, jitter, precondition, parametrization)
        if any(one is not None for one in given):
            self.build(*given)

    @property
    def is_free(self) -> bool:
        """Whether the stimulus may have any form."""
        return not self.fields or self.form.value == "any"

    @property
    def holds_rms(self) -> bool:
        """Whether an RMS contrast takes the place of the norm."""
        return bool(self.fields) and bool(self.rms.value.strip())

    def build(
        self,
        stimulus_range: Sequence[Limits] | None = None,
        rms: float | Sequence[float] | None = None,
        mean_luminance: float | Sequence[float] | None = None,
        jitter: Jitter | None = None,
        precondition: GradientFilter | None = None,
        parametrization: Parametrization | None = None,
    ) -> None:
        """Make the fields, once: when they are unfolded, or something is given."""
        if self.fields:
            return
        self.rms = words(
            "RMS contrast",
            "Held instead of the norm: one number, or one for each channel; empty: the norm",
            placeholder="the norm is held",
            value=as_text(rms),
        )
        self.mean = words(
            "Mean luminance",
            "Held: one number, or one for each channel; empty: free",
            placeholder="free",
            value=as_text(mean_luminance),
        )
        self.range = words(
            "Range",
            "Limits of the values: '-1 to 1', or '-1 to 1; 0 to 2' for each channel",
            placeholder=self._placeholder,
            value=limits_as_text(stimulus_range),
        )
        self.jitter = whole(
            "Jitter, px", "Largest shift of what the model sees, anew each iteration; 0: none",
            low=0, value=jitter.pixels if jitter else 0,
        )  # fmt: skip
        self.jitter_time = whole(
            "Jitter, frames", "Largest shift in time, anew in each iteration; 0: none",
            low=0, value=jitter.frames if jitter else 0,
        )  # fmt: skip
        self._jitter_seed = jitter.seed if jitter else 0
        self.filter = choice(
            "Gradient filter", "Coarse structure first; the optimum stays the same", _FILTERS
        )
        self.sigma = number("Its SD, px", "SD of the gradient's blur in space", value=1.0)
        self.exponent = number("Its exponent", "How steeply its gain falls: 1 / f ^ exponent",
                               value=1.0)  # fmt: skip
        self.form = choice(
            "Form", "The best stimulus of this form; blurs and filters do not apply", _FORMS
        )
        self.cycles = number(
            "Up to, cycles/px", "Highest spatial frequency that is left; 0: all", value=0.125
        )
        self.hertz = number("Up to, Hz", "Highest temporal frequency that is left; 0: all")
        self.fields = (
            self.rms,
            self.mean,
            self.range,
            self.jitter,
            self.jitter_time,
            self.filter,
            self.sigma,
            self.exponent,
            self.form,
            self.cycles,
            self.hertz,
        )
        self.children = self.fields
        self._at_first = {label_of(one): one.value for one in self.fields}
        for one in (self.rms, self.mean, self.range):
            self._at_first[label_of(one)] = ""
        for one in (self.jitter, self.jitter_time):
            self._at_first[label_of(one)] = 0
        self._take(precondition, parametrization)
        for one in self.fields:
            one.observe(lambda _: self._changed(), "value")
        self._fit()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back when any setting has changed."""
        self._callback = callback

    def filter_disabled(self, disabled: bool) -> None:
        """Disable the gradient's filter, which a form does not take."""
        if self.fields:
            self.filter.disabled = disabled

    def in_words(self) -> dict[str, str]:
        """Return what is set, by its name; what is as it is at first is not there."""
        said = {}
        for field in self.fields:
            if field.layout.display == "none" or field.value == self._at_first[label_of(field)]:
                continue
            if self.filter.disabled and field in (self.filter, self.sigma, self.exponent):
                continue  # a form does not take it
            value = getattr(field, "label", field.value)
            said[label_of(field)] = f"{value:g}" if isinstance(value, float) else str(value)
        return said

    def _changed(self) -> None:
        self._fit()
        self._callback()

    def show_model(self, model: RetinaModel, *, keep_range: bool) -> None:
        """Say what holds where nothing is written; a range was that of the model before."""
        self._channels = len(model.channels)
        own = limits_as_text(model.stimulus_range)
        self._placeholder = f"of the model: {own}" if own else "none"
        if self.fields:
            self.range.placeholder = self._placeholder
            if not keep_range:
                self.range.value = ""

    def engine_settings(self) -> dict[str, Any]:
        """Return what is set as `neuron_steps` takes it; what is not set is not there.

        Raises
        ------
        ValueError
            If something typed is no number; the message names it.
        """
        if not self.fields:
            return {}
        settings: dict[str, Any] = {
            "rms": numbers_in(self.rms.value, "RMS contrast"),
            "mean_luminance": numbers_in(self.mean.value, "Mean luminance"),
            "stimulus_range": limits_in(self.range.value, self._channels, "Range"),
            "jitter": self._jitter(),
            "precondition": self._filter() if self.is_free else None,
            "parametrization": self._form(),
        }
        return {name: value for name, value in settings.items() if value is not None}

    def _jitter(self) -> Jitter | None:
        pixels, frames = self.jitter.value, self.jitter_time.value
        return Jitter(pixels, frames, self._jitter_seed) if pixels or frames else None

    def _filter(self) -> GradientFilter | None:
        if self.filter.value == "blur":
            return GradientBlur(self.sigma.value, self._sigma_frames)
        if self.filter.value == "spectrum":
            return GradientSpectrum(self.exponent.value)
        return None

    def _form(self) -> Parametrization | None:
        kind = self.form.value
        if kind == "low":
            return LowFrequencies(self.cycles.value or None, self.hertz.value or None)
        forms: dict[str, Parametrization] = {
            "separable": Separable(),
            "standing": GaborSinusoid(),
            "drifting": GaborSinusoid(drifting=True),
            "gaussians": DifferenceOfGaussians(),
        }
        return forms.get(kind)

    def _take(
        self, precondition: GradientFilter | None, parametrization: Parametrization | None
    ) -> None:
        """Show the parts that were given."""
        if isinstance(precondition, GradientBlur):
            self.filter.value, self.sigma.value = "blur", precondition.pixels
            self._sigma_frames = precondition.frames
        elif isinstance(precondition, GradientSpectrum):
            self.filter.value, self.exponent.value = "spectrum", precondition.exponent
        elif precondition is not None:
            raise TypeError(
                f"precondition: expected a GradientBlur or a GradientSpectrum, got {precondition!r}"
            )
        if isinstance(parametrization, LowFrequencies):
            self.form.value = "low"
            self.cycles.value = parametrization.cycles_per_pixel or 0.0
            self.hertz.value = parametrization.hz or 0.0
        elif isinstance(parametrization, GaborSinusoid):
            self.form.value = "drifting" if parametrization.drifting else "standing"
        elif isinstance(parametrization, Separable):
            self.form.value = "separable"
        elif isinstance(parametrization, DifferenceOfGaussians):
            self.form.value = "gaussians"
        elif parametrization is not None:
            raise TypeError(
                "parametrization: expected Separable, GaborSinusoid, DifferenceOfGaussians or "
                f"LowFrequencies, got {parametrization!r}"
            )

    def _fit(self) -> None:
        """Show the values that belong to what is chosen."""
        shown(self.sigma, self.filter.value == "blur")
        shown(self.exponent, self.filter.value == "spectrum")
        for field in (self.cycles, self.hertz):
            shown(field, self.form.value == "low")
