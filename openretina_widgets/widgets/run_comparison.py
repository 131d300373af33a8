"""A run that was kept beside the one that is shown: what differs, in words and side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import ipywidgets as ipw
import numpy as np

from openretina_widgets.drawing.colour import round_up
from openretina_widgets.insilico.stimulus_optimization.picture import Picture, picture_of_result
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import Composition, button
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.settings_fields import shown
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

_BEFORE, _AFTER = "#8a8a8a", "var(--jp-brand-color1, #2196f3)"


@dataclass(frozen=True)
class ShownRun:
    """A run that has ended, or goes on, as it is compared.

    Attributes
    ----------
    settings
        Every setting that counts, in words.
    lag
        Frames of the stimulus less frames of the response.
    subject
        What its stimulus is, in words.
    result
        None while it goes on.
    element
        Which experiment of the batch is shown.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    lag: int = 0
    subject: str = ""
    result: OptimizationResult | None = None
    element: int = 0


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the settings in which two runs differ: name, before, after; a dash for none."""
    names = dict.fromkeys([*before, *after])
    pairs = ((name, before.get(name, "–"), after.get(name, "–")) for name in names)
    return [(name, old, new) for name, old, new in pairs if old != new]


class RunComparison(Composition):
    """Keep a run as “before”, and see the next one beside it."""

    def __init__(self, model: RetinaModel) -> None:
        self._model = model
        self._before: ShownRun | None = None
        self._old: Picture | None = None
        self.keep = button(
            "Keep as before", "thumb-tack", "Keep this run, and compare the next one with it",
            width="164px",
        )  # fmt: skip
        self.forget = button("Forget", "times", "Compare no more", width="112px")
        self._hint = ipw.HTML(
            '<div class="orw-said">Keep a run, change a setting or the neuron, and run again: both '
            "are shown side by side.</div>",
            layout=ipw.Layout(flex="1 1 240px", min_width="0", margin="7px 8px 0"),
        )
        self._body: ipw.VBox | None = None  # made when a run is kept
        row = {"flex_flow": "row wrap", "width": "100%"}
        self._line = ipw.HBox([self.keep, self.forget, self._hint], layout=ipw.Layout(**row))
        super().__init__((self._line,), layout=ipw.Layout(width="100%", margin="8px 0 0"))
        self.add_class("orw-comparison")
        self.clear()

    def _build(self) -> ipw.VBox:
        if self._body is not None:
            return self._body
        model = self._model
        self._said = ipw.HTML(layout=ipw.Layout(width="auto", min_height="72px"))
        self.player = StimulusPlayer(
            title="Before and after, one colour scale",
            channels=self._names(),
            frame_rate=model.frame_rate,
            pixel_size_um=model.pixel_size_um,
            panels="channels",
            height=150,
            autoplay=True,
        )
        half = ipw.Layout(width="49%", min_width="300px", flex="1 1 300px")
        chart = partial(Chart, layout=half, colours=[_BEFORE, _AFTER], names=["before", "after"])
        self.score = chart("Score", x_label="iteration", y_label="score (a.u.)")
        self.response = chart("Response", x_label="time (s)", y_label="response (a.u.)")
        row = {"flex_flow": "row wrap", "width": "100%"}
        self._body = body = ipw.VBox(
            [
                self._said,
                self.player,
                ipw.HBox([self.score, self.response], layout=ipw.Layout(**row)),
            ],
            layout=ipw.Layout(width="100%"),
        )
        self.children = (self._line, body)
        return body

    @property
    def before(self) -> ShownRun | None:
        """The run that was kept, None for none."""
        return self._before

    @property
    def words(self) -> str:
        """What is said of the difference, as HTML."""
        return "" if self._body is None else str(self._said.value)

    def clear(self) -> None:
        """Forget the run that was kept."""
        self._before = self._old = None
        if self._body is not None:
            shown(self._body, False)
        self.forget.disabled = True

    def keep_run(self, run: ShownRun) -> None:
        """Keep a run that has ended, and show it beside itself until there is another."""
        if run.result is None:
            raise ValueError("there is no result to keep yet; run the experiment first")
        self._before, self._old = run, picture_of_result(run.result, run.element)
        shown(self._build(), True)
        self.forget.disabled = False
        self.show(run, self._old)

    def show(self, run: ShownRun, picture: Picture) -> None:
        """Show a picture of the newest run beside the one that was kept."""
        before, old = self._before, self._old
        if before is None or old is None:
            return
        self._say(before, old, run, picture)
        channels = [old.movie, picture.movie]
        frames = max(movie.shape[1] for movie in channels)
        both = np.concatenate([_padded(movie, frames) for movie in channels])
        largest = round_up(max(float(np.abs(movie).max()) for movie in channels)) or 1.0
        if self.player.limits[0] != (-largest, largest):
            self.player.limits = largest
        self.player.stimulus = both
        traces = [one.score_trace for one in (old, picture)]
        longest = max(1, *(len(trace) - 1 for trace in traces))
        self.score.limits(0, longest)
        self.score.draw_apart(*((np.arange(len(trace)), trace) for trace in traces))
        rate = self._model.frame_rate
        self.response.limits(0, (frames - 1) / rate)
        self.response.draw_apart(
            *(
                (np.empty(0), np.empty(0))
                if one.response is None
                else ((np.arange(len(one.response)) + lag) / rate, one.response)
                for one, lag in ((old, before.lag), (picture, run.lag))
            )
        )

    def _names(self) -> tuple[str, ...]:
        return tuple(
            f"{when}, {name}" for when in ("before", "after") for name in self._model.channels
        )

    def _say(self, before: ShownRun, old: Picture, run: ShownRun, picture: Picture) -> None:
        changed = differences(before.settings, run.settings)
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(one)}</td>"
            f"<td>{html.escape(two)}</td></tr>"
            for name, one, two in [
                *changed,
                ("Score (a.u.)", _figure(old.score), _figure(picture.score)),
            ]
        )
        table = (
            '<table class="orw-measures"><tr><th>differs</th><th>before</th><th>after</th></tr>'
            f"{rows}</table>"
        )
        self._said.value = f"{table}<div class='orw-said'>{self._likeness(old, picture)}</div>" + (
            "" if changed else '<div class="orw-said">No setting differs.</div>'
        )

    def _likeness(self, old: Picture, new: Picture) -> str:
        if old.movie.shape != new.movie.shape:
            return "The stimuli differ in length; no correlation."
        one, two = (movie.ravel() - movie.mean() for movie in (old.movie, new.movie))
        length = float(np.linalg.norm(one) * np.linalg.norm(two))
        if not length > 0:
            return "One of the stimuli is uniform; no correlation."
        return f"The stimuli correlate {float(one @ two) / length:.2f}.".replace("-", "−")


def _padded(movie: np.ndarray, frames: int) -> np.ndarray:
    """Return a movie of so many frames; those that it has not are undefined."""
    more = frames - movie.shape[1]
    return np.pad(movie, ((0, 0), (0, more), (0, 0), (0, 0)), constant_values=np.nan)


def _figure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4g}".replace("-", "−")
