"""The settings of the stimulus optimiser, with their units."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import ipywidgets as ipw

from openretina_widgets.insilico.stimulus_optimization.contrast import bounds_of
from openretina_widgets.insilico.stimulus_optimization.neurons import Direction
from openretina_widgets.insilico.stimulus_optimization.objective import Window, check_window
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
)
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.neuron_picker import NeuronPicker
from openretina_widgets.widgets.optimizer_constraints import ConstraintSettings
from openretina_widgets.widgets.optimizer_goals import GoalSettings, Objective, Planned
from openretina_widgets.widgets.settings_fields import (
    FULL,
    STYLE,
    label_of,
    number,
    shown,
    whole,
    words,
)

_USUAL_FRAMES = 50
_REFUSED = "orw-refused"  # a field that marks itself

# What the engine calls a setting: its label here, and where its field is.
_ON_SCREEN = {
    "time_steps": ("Frames", "frames"),
    "window": ("Window, frames", "window"),
    "max_iterations": ("Iterations, most", "max_iterations"),
    "seed": ("Seed", "seed"),
    "norm": ("Norm", "norm"),
    "regularizer": ("Total variation", "tv_weight"),
    "rms": ("RMS contrast", "constraints.rms"),
    "mean_luminance": ("Mean luminance", "constraints.mean"),
    "stimulus_range": ("Range", "constraints.range"),
    "range": ("Range", "constraints.range"),
    "min_max_values": ("Range", "constraints.range"),
    "jitter": ("Jitter, px", "constraints.jitter"),
    "precondition": ("Gradient filter", "constraints.filter"),
    "parametrization": ("Form", "constraints.form"),
    "neurons": ("Neurons", "goal.neurons"),
    "groups": ("Groups", "goal.groups"),
    "temperature": ("Temperature", "goal.temperature"),
    "count": ("Stimuli", "goal.count"),
    "similarity_weight": ("Similarity costs", "goal.similarity"),
    "weight": ("Others count", "goal.weight"),
    "layer": ("Layer", "goal.layer"),
    "channel": ("Channel", "goal.channel"),
    "channels": ("Channel", "goal.channel"),
    "place": ("Place", "goal.place"),
}
_BY_LABEL = {label: (label, path) for label, path in _ON_SCREEN.values()} | {
    "Cell type": ("Cell type", "goal.type")
}
_IN_WORDS = {"rms": "RMS contrast", "mean_luminance": "mean luminance", "stimulus_range": "range"}


class OptimizerSettings(Composition):
    """The settings of a run, with their units; those that a beginner can do without are folded."""

    def __init__(
        self,
        model: RetinaModel,
        *,
        objective: Objective | None,
        time_steps: int | None,
        window: Window | None,
        seed: int,
        seeds: int,
        direction: Direction,
        max_iterations: int,
        norm: float | None,
        tv_weight: float,
        smooth_ms: float,
        blur: float,
        data_key: str | None,
        **constraints: Any,
    ) -> None:
        # What contradicts itself is refused as in code, before any widget is made.
        _checked_frames(model, time_steps, window)
        held = (constraints[name] for name in ("stimulus_range", "rms", "mean_luminance"))
        bounds_of(model, norm, *held)
        self._model = model
        self.goal = GoalSettings(objective=objective, direction=direction)
        self.frames = whole("Frames", "Length of the stimulus in frames")
        self.window = ipw.IntRangeSlider(
            description="Window, frames",
            tooltip="Frames of the response whose mean is optimised, the second no longer; shaded "
            "in the response",
            continuous_update=False,
            layout=ipw.Layout(**FULL),
            style=STYLE,
        )
        self.max_iterations = whole("Iterations, most", "The run ends earlier on a plateau")
        self.seed = whole("Seed", "Of the noise that the run starts from", low=0)
        self.norm = number("Norm", "L2 norm of the stimulus in model units; 0: not bounded")
        self._refused: list[Any] = []  # the fields that are marked
        self._no_norm: ipw.Text | None = None  # in its place where an RMS contrast is held
        self._norms = ipw.VBox([self.norm], layout=ipw.Layout(width="auto"))
        self.tv_weight = number("Total variation", "Weight of the penalty on differences; 0: none")
        self.smooth_ms = number("Smooth, ms", "SD of a low-pass over time after each step; 0: none")
        self.blur = number("Blur", "SD of a blur of each frame after each step; 0: none")
        self.seeds = whole(
            "Seeds", "Runs from so many seeds at once: is the optimum unique?", value=seeds
        )
        self.constraints = ConstraintSettings(**constraints)
        more = ipw.VBox([self.seeds, self.constraints], layout=ipw.Layout(width="auto"))
        self.more = ipw.Accordion([more], titles=["More settings"], selected_index=None)
        self.more.add_class("orw-fold")
        super().__init__(
            (
                self.goal,
                self.window,
                self.frames,
                self.max_iterations,
                self.seed,
                self._norms,
                self.tv_weight,
                self.smooth_ms,
                self.blur,
                self.more,
            )
        )
        self.max_iterations.value = max_iterations
        self.seed.value = seed
        self.tv_weight.value, self.smooth_ms.value, self.blur.value = tv_weight, smooth_ms, blur
        self.frames.observe(lambda _: self._fit_window(), "value")
        self._callback: Callable[[], None] = lambda: None
        for field in self._fields:
            field.observe(lambda _: self._changed(), "value")
        self.goal.watch(self._changed)
        self.constraints.watch(self._changed)
        self.more.observe(self._unfolded, "selected_index")
        self.show_model(
            model, time_steps=time_steps, window=window, norm=norm, data_key=data_key,
            keep_range=True,
        )  # fmt: skip
        if seeds != 1 or self.constraints.fields:  # what is set is to be seen
            self.constraints.build()
            self.more.selected_index = 0

    def show_model(
        self,
        model: RetinaModel,
        *,
        time_steps: int | None = None,
        window: Window | None = None,
        norm: float | None = None,
        data_key: str | None = None,
        keep_range: bool = False,
    ) -> None:
        """Start from what suits a model."""
        self._model = model
        frames, whole_window = _checked_frames(model, time_steps, window)
        self.frames.min, self.frames.max = 1, 100_000
        self.frames.value, self.frames.min = frames, model.lag + 1
        self._fit_window()
        self.window.value = whole_window
        self.norm.value = norm if norm is not None else (model.stimulus_norm or 0.0)
        self.blur.description = f"Blur, {'µm' if model.pixel_size_um else 'px'}"
        self.constraints.show_model(model, keep_range=keep_range)
        self.goal.show_model(model, data_key)
        self._fit()

    @property
    def model(self) -> RetinaModel:
        """The model that the settings are for."""
        return self._model

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back when any setting has changed."""
        self._callback = callback

    def _changed(self) -> None:
        self._fit()
        self._callback()

    def _unfolded(self, _: Any) -> None:
        self._main_loop.call(self.constraints.build)

    def engine_settings(self) -> dict[str, Any]:
        """Return the settings as `neuron_steps` takes them.

        Raises
        ------
        ValueError
            If something typed is no number; the message names it.
        """
        pixel = self._model.pixel_size_um or 1.0
        smoothers = [
            TemporalLowPass(self.smooth_ms.value * self._model.frame_rate / 1000.0)
            if self.smooth_ms.value > 0
            else None,
            SpatialBlur(self.blur.value / pixel) if self.blur.value > 0 else None,
        ]
        constraints, free = self.constraints.engine_settings(), self.constraints.is_free
        return {
            "seed": self.seed.value,
            "direction": self.goal.direction_of(),
            "time_steps": self.frames.value,
            "window": tuple(self.window.value),
            "max_iterations": self.max_iterations.value,
            "norm": self.norm.value if self.norm.value and "rms" not in constraints else math.inf,
            "regularizer": TotalVariationRegularizer(self.tv_weight.value)
            if self.tv_weight.value > 0
            else None,
            "postprocessor": [one for one in smoothers if one is not None and free] or None,
            **constraints,
        }

    def planned(self, picker: NeuronPicker, patience: int | None) -> Planned:
        """Check everything, and return the run.

        Raises
        ------
        TypeError, ValueError
            If something does not fit; the message names it.
        """
        settings = self.engine_settings() | {"patience": patience}
        first = settings.pop("seed")
        seeds = range(first, first + self.seeds.value)
        return self.goal.planned(self._model, picker, seeds, settings)

    def refused(self, error: Exception) -> str:
        """Mark the fields that an error is about, and return it in the words of the screen."""
        text = str(error)
        if self.goal.goal.value in ("neurons", "type"):  # these are the only group there
            label = "Neurons" if self.goal.goal.value == "neurons" else "Cell type"
            text = re.sub(r"^groups: ('[^']*': )?", f"{label}: ", text)
        names, colon, rest = text.partition(": ")
        found = [_ON_SCREEN.get(one) or _BY_LABEL.get(one) for one in names.split(", ")]
        if names in _BY_LABEL:  # there is a comma in some
            found = [_BY_LABEL[names]]
        known = [one for one in found if one is not None]
        if not colon or len(known) < len(found):
            self._mark([])
            return text
        fields = (self._made(path) for _, path in known)
        self._mark([field for field in fields if field is not None])
        rest = re.sub(rf"\b({'|'.join(_IN_WORDS)})\b", lambda word: _IN_WORDS[word[0]], rest)
        return f"{', '.join(dict.fromkeys(label for label, _ in known))}: {rest}"

    def accepted(self) -> None:
        """Mark no field any more."""
        self._mark([])

    def _mark(self, fields: list[Any]) -> None:
        """Mark these and no others; those that are marked stay untouched.

        A field that hears anything of the kernel shows its value anew, and what somebody is typing
        there is gone.
        """
        for field in self._refused:
            if field not in fields:
                field.remove_class(_REFUSED)
        for field in fields:
            if field not in self._refused:
                field.add_class(_REFUSED)
        self._refused = fields

    def _made(self, path: str) -> Any:
        """Return the field at a path, None where nobody has wanted it yet."""
        owner: Any = self
        *parts, name = path.split(".")
        for part in parts:
            owner = getattr(owner, part)
        return vars(owner).get(name)

    def in_words(self, planned: Planned) -> dict[str, str]:
        """Return every setting that counts, by its name, to be compared with those of a run."""
        said = {"Model": self._model.name, "Objective": planned.objective}
        for field in self._fields:
            if field.disabled:
                continue
            value = field.value
            if isinstance(value, tuple):
                value = " to ".join(map(str, value))
            name = label_of(field)
            said[name] = f"{value:g}" if isinstance(value, float) else str(value)
        return said | self.constraints.in_words()

    @property
    def _fields(self) -> tuple[Any, ...]:
        """The fields that are always there, but for the objective."""
        return (
            self.window,
            self.frames,
            self.max_iterations,
            self.seed,
            self.norm,
            self.tv_weight,
            self.smooth_ms,
            self.blur,
            self.seeds,
        )

    def _fit(self) -> None:
        """Enable what counts beside what is chosen."""
        free = self.constraints.is_free
        self.window.disabled = not self.goal.is_window_of_response
        self._show_norm(not self.constraints.holds_rms)
        for field in (self.smooth_ms, self.blur):
            field.disabled = not free
        self.constraints.filter_disabled(not free)
        self.seeds.disabled = self.goal.goal.value == "diverse"

    def _show_norm(self, held: bool) -> None:
        """Show the norm, or why there is none."""
        self.norm.disabled = not held
        if self._no_norm is None and not held:
            self._no_norm = words(
                "Norm",
                "The RMS contrast under More settings takes its place",
                placeholder="RMS contrast is held",
            )
            self._no_norm.disabled = True
            self._norms.children = (self.norm, self._no_norm)
        shown(self.norm, held)
        if self._no_norm is not None:
            shown(self._no_norm, not held)

    def _fit_window(self) -> None:
        """Keep the window within the response; a window that was the whole response stays so."""
        frames = self.frames.value - self._model.lag
        start, stop = self.window.value
        was_whole = (start, stop) == (0, self.window.max)
        with self.window.hold_sync():
            self.window.min, self.window.max = 0, frames
            start = min(start, frames - 1)
            stop = frames if was_whole else min(max(stop, start + 1), frames)
            self.window.value = (start, stop)


def _checked_frames(
    model: RetinaModel, time_steps: int | None, window: Window | None
) -> tuple[int, Window]:
    frames = max(_USUAL_FRAMES, 2 * model.lag) if time_steps is None else time_steps
    model.stimulus_shape(frames)  # refuses what is too short
    return frames, check_window(window, frames - model.lag)
