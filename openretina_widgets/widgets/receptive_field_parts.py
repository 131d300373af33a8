"""The parts of the receptive field viewer: its settings, its buttons and the enlarged field."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.drawing.colour import channel_colour, symmetric_limits
from openretina_widgets.drawing.field_content import project
from openretina_widgets.insilico.receptive_fields.result import FieldsStep, ReceptiveFields
from openretina_widgets.insilico.receptive_fields.split import split_fields
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.retina_map import Outline, RetinaMap
from openretina_widgets.widgets.run_panel import RunControls

METHODS = {
    "gradient": "gradient at grey",
    "local gradient": "gradient at an image (LSTA)",
    "sta": "spike-triggered average",
}
NOISE = "binary noise"
_STYLE = {"description_width": "70px"}


@dataclass(frozen=True)
class LiveFields:
    """Fields while they are computed, as they are drawn.

    Attributes
    ----------
    images
        ``(neuron, channel, height, width)``: where and how strongly each channel acts, at the
        time at which the field is strongest.
    kernels
        ``(neuron, channel, time)``: what each channel does over time where the field is, relative
        to the peak.
    done, total, what
        How far the run is, in what.
    """

    images: np.ndarray
    kernels: np.ndarray
    done: int
    total: int
    what: str

    @classmethod
    def of(cls, step: FieldsStep) -> LiveFields:
        """Return the fields of a step, split."""
        fields = np.asarray(step.fields)
        split = split_fields(fields)
        images, kernels = project(fields, split.temporal, split.spatial)
        return cls(images, kernels, step.done, step.total, step.unit)


class FieldSettings(Composition):
    """Method, base, frames, seed, session and channel; those that do not matter are disabled."""

    def __init__(
        self,
        model: RetinaModel,
        *,
        method: str,
        bases: Mapping[str, Any],
        frames: int,
        seed: int,
    ) -> None:
        # A box would move what does not fit to its nearest end without a word.
        if not is_index(frames) or not 2 <= frames <= 10**9:
            raise ValueError(f"frames: expected a whole number from 2 to 10^9, got {frames!r}")
        if check_seed(seed) > 2**31 - 1:
            raise ValueError(f"seed: expected at most 2^31 - 1, got {seed!r}")
        self.bases = dict(bases)
        field = {"style": _STYLE, "layout": ipw.Layout(width="auto", min_width="0")}
        self.method = ipw.Dropdown(
            options=[(words, name) for name, words in METHODS.items()],
            value=method,
            description="Method",
            **field,
        )
        self.base = ipw.Dropdown(
            options=[NOISE, *self.bases],
            value=next(iter(self.bases), NOISE),
            description="Image",
            tooltip="The stimulus at which the gradient is taken",
            **field,
        )
        self.frames = ipw.BoundedIntText(
            value=frames,
            min=2,
            max=10**9,
            description="Frames",
            tooltip="Frames of noise that the average is taken over",
            **field,
        )
        self.seed = ipw.BoundedIntText(
            value=seed, min=0, max=2**31 - 1, description="Seed", tooltip="Of the noise", **field
        )
        self.session = ipw.Dropdown(description="Session", **field)
        self.channel = ipw.Dropdown(description="Channel", tooltip="What the wall shows", **field)
        controls = (self.method, self.base, self.frames, self.seed, self.session, self.channel)
        grid = ipw.GridBox(
            controls,
            layout=ipw.Layout(
                width="100%",
                grid_template_columns="repeat(auto-fit, minmax(270px, 1fr))",
                grid_gap="0 12px",
            ),
        )
        super().__init__((grid,), layout=ipw.Layout(width="100%"))
        for control in (self.method, self.base):
            control.observe(lambda _: self._enable(), "value")
        self.show_model(model)

    def show_model(self, model: RetinaModel, data_key: str | None = None) -> None:
        """Offer the sessions and channels of a model."""
        names = [(f"{name} · {model.n_neurons(name)} neurons", name) for name in model.sessions]
        if self.session.options != tuple(names):
            self.session.options = names
        self.session.value = model.session(data_key)
        self.session.disabled = len(names) < 2
        several = len(model.channels) > 1
        options = (["all"] if several else []) + list(model.channels)
        if list(self.channel.options) != options:
            self.channel.options = options
        if self.channel.value not in options:
            self.channel.value = options[0]
        self.channel.disabled = not several
        self._enable()

    def _enable(self) -> None:
        method = self.method.value
        self.base.disabled = method != "local gradient"
        self.frames.disabled = method != "sta"
        self.seed.disabled = method == "gradient" or (
            method == "local gradient" and self.base.value != NOISE
        )


class FieldButtons(RunControls):
    """Compute fields, Pause or Resume, and Stop; those that make sense are enabled."""

    def __init__(self) -> None:
        super().__init__(
            "Compute fields",
            start="Compute the receptive fields of all neurons",
            pause="Pause, or go on",
            stop="End the run",
            width="140px",
        )
        self.compute = self.start


class FieldDetail(Composition):
    """One field enlarged: a map for each channel, its kernel in time, and its figures."""

    def __init__(self, model: RetinaModel) -> None:
        self._model = model
        _, height, width = model.input_shape
        n = len(model.channels)
        self._heading = ipw.HTML()
        self.maps = [
            RetinaMap(
                title=name if n > 1 else "",
                shape=(height, width),
                pixel_size_um=model.pixel_size_um,
                # Without its colour bar of 98 pixels, each is drawn to the same scale.
                width=(330 if n > 1 else 420) - (0 if i == n - 1 else 98),
                height=300 if n > 1 else 360,
                colour_bar=i == n - 1,
                placeholder="Press Compute fields, then choose a neuron.",
            )
            for i, name in enumerate(model.channels)
        ]
        self.temporal = Chart(
            "Temporal kernel",
            x_label="time before the response (ms)",
            y_label="relative to the peak",
            colours=[channel_colour(name) for name in model.channels],
            names=model.channels if n > 1 else (),
            height=200,
        )
        self._figures = ipw.HTML(layout=ipw.Layout(width="auto", min_height="316px"))
        maps = ipw.HBox(
            self.maps, layout=ipw.Layout(flex_flow="row wrap", width="100%", grid_gap="8px")
        )
        super().__init__(
            (self._heading, maps, self.temporal, self._figures),
            layout=ipw.Layout(width="100%"),
        )
        self.clear()

    def clear(self) -> None:
        """Take the field away; axes and places stay."""
        self._heading.value = _heading("No neuron enlarged")
        for chart in self.maps:
            chart.clear()
        self.temporal.clear()
        self.temporal.limits(*self._span())
        self._figures.value = _table([(name, "–") for name, _ in figures_of(None, 0)])

    def show(
        self,
        label: str,
        images: np.ndarray,
        kernels: np.ndarray,
        *,
        unit: str,
        fields: ReceptiveFields | None = None,
        at: int = 0,
    ) -> None:
        """Show a field.

        Parameters
        ----------
        label
            The neuron's.
        images, kernels
            ``(channel, height, width)`` and ``(channel, time)``.
        unit
            Of the images.
        fields, at
            The finished fields and the neuron's place in them, for ellipses and figures; None
            while they are computed.
        """
        self._heading.value = _heading(label)
        limit = symmetric_limits(images)[1]
        outlines = [] if fields is None else outlines_of(fields, at)
        words = "solid: centre, dashed: surround (2σ)" if len(outlines) > 1 else ""
        note = words or ("solid: centre (2σ)" if outlines else "")
        if fields is not None and np.isnan(images).all():
            note = "hatched: undefined"
        for chart, image in zip(self.maps, images, strict=True):
            chart.unit = unit
            chart.show(image, limit=limit, outlines=outlines, note=note)
            note = ""  # said once
        if np.isfinite(kernels).all():
            self.temporal.draw(self._times(kernels.shape[1]), *kernels)
        else:
            self.temporal.clear()
        known = figures_of(fields, at)
        if fields is None:
            known = [(name, "…") for name, _ in known]
        self._figures.value = _table(known, reason_of(fields, at))

    def _times(self, length: int) -> np.ndarray:
        return (np.arange(length) - length + 0.5) * 1000.0 / self._model.frame_rate

    def _span(self) -> tuple[float, float]:
        return -(self._model.lag + 1) * 1000.0 / self._model.frame_rate, 0.0


def outlines_of(fields: ReceptiveFields, at: int) -> list[Outline]:
    """Return the ellipses at 2σ of a field's centre and, where one is found, of its surround."""
    fit, pixel = fields.fit, fields.pixel
    x, y = (float(value) for value in fields.centres[at])
    major, minor = 2 * pixel * float(fit.sigma_major[at]), 2 * pixel * float(fit.sigma_minor[at])
    neuron, angle = fields.neurons[at], float(fit.angle_deg[at])
    if not math.isfinite(x + y + major + minor):
        return []
    outlines = [Outline(neuron, x, y, major, minor, angle, label="centre at 2σ")]
    # Centre and surround of the difference of Gaussians have one shape.
    wider = float(fit.surround_ratio[at]) * float(fit.centre_sigma[at])
    wider *= 2 * pixel / math.sqrt(major * minor)
    if math.isfinite(wider):
        wide, narrow = wider * major, wider * minor
        outlines.append(
            Outline(neuron, x, y, wide, narrow, angle, label="surround at 2σ", dashed=True)
        )
    return outlines


def reason_of(fields: ReceptiveFields | None, at: int) -> str:
    """Return why figures of a field are missing, in words; empty where it is determined."""
    reason = "" if fields is None else fields.reasons[at]
    return f"Not determined: {reason}." if reason else ""


def figures_of(fields: ReceptiveFields | None, at: int) -> list[tuple[str, str]]:
    """Return name and value of what is known of a field; `reason_of` says why one is missing."""
    unit = "µm" if fields is None else fields.space_unit
    names = [
        "polarity",
        "separability",
        f"centre x, y ({unit})",
        f"diameter at 2σ ({unit})",
        f"area at 2σ ({unit}²)",
        "surround index",
        f"surround σ ({unit})",
        "time to peak (ms)",
        "biphasic index",
        "fit quality",
    ]
    if fields is None:
        return [(name, "") for name in names]
    fit, pixel = fields.fit, fields.pixel
    lost = "–" if fields.reasons[at] else "not determined"

    def number(values: np.ndarray, digits: int, factor: float = 1.0, why: str = lost) -> str:
        value = factor * float(values[at])
        return f"{value:,.{digits}f}".replace("-", "−") if math.isfinite(value) else why

    x, y = (number(values, 0 if unit == "µm" else 2) for values in fields.centres.T)
    fine = 0 if unit == "µm" else 2
    surround = fit.surround_ratio * fit.centre_sigma
    values = [
        fields.polarity[at] or lost,
        number(fields.separability, 2),
        f"{x}, {y}" if x != lost else lost,
        number(fit.diameter, fine, pixel),
        number(fit.area, fine, pixel**2),
        number(fit.surround_index, 2),
        number(surround, fine, pixel, why=lost if fields.reasons[at] else "no surround found"),
        number(fields.time_to_peak_ms, 0),
        number(fields.biphasic_index, 2),
        number(fit.quality, 2),
    ]
    return list(zip(names, values, strict=True))


def _heading(text: str) -> str:
    return f'<div class="orw-heading" style="font-size: 16px">{html.escape(text)}</div>'


def _table(rows: Sequence[tuple[str, str]], reason: str = "") -> str:
    cells = "".join(
        '<tr><td style="padding: 3px 18px 3px 0; white-space: nowrap; vertical-align: top; '
        f'color: var(--jp-ui-font-color2, #666)">{html.escape(name)}</td>'
        f'<td style="padding: 3px 0">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    style = "font-size: 14px; line-height: 20px; font-variant-numeric: tabular-nums"
    words = f'<p style="{style}; margin: 8px 0 0">{html.escape(reason)}</p>' if reason else ""
    return f'<table class="orw-figures" style="{style}">{cells}</table>{words}'
