"""Move a slider: the stimulus changes, and the response of the chosen neurons with it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.drawing.curve_content import MOST_CURVES
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.shown_stimulus import ShownStimulus, of_response, respond
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition, beside_or_above
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.newest import NewestOnly
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_controls import ParameterSliders
from openretina_widgets.widgets.stimulus_kinds import KINDS, StimulusKind, arguments, kinds_for
from openretina_widgets.widgets.stimulus_player import StimulusPlayer
from openretina_widgets.widgets.trace_plot import TracePlot

_SHARED = ["model", "data_key", "neurons"]


@dataclass(frozen=True, eq=False)
class LiveQuestion:
    """A stimulus to be made and shown to a model, with nothing in it that may change meanwhile."""

    model: RetinaModel
    data_key: str
    screen: Screen
    kind: StimulusKind
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """A stimulus, and the response of all neurons: ``(response frame, neuron)``."""

    question: LiveQuestion
    stimulus: ArtificialStimulus
    response: np.ndarray


def answer(question: LiveQuestion) -> LiveAnswer:
    """Make the stimulus, and run the model on it once for all neurons."""
    stimulus = question.kind.stimulus(question.screen, question.values)
    return LiveAnswer(question, stimulus, respond(question.model, question.data_key, stimulus))


class StimulusDesigner(Exportable, Composition):
    """Sliders for the parameters of a stimulus, the movie, and the live response to it.

    Each change is computed in a worker thread; when sliders move faster than that, only the newest
    position is. A stimulus that cannot be shown is explained beside the sliders, and the last one
    stays.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model. None with a selection.
    selection
        What is shared with other widgets; one of its own for None.
    kind
        Which builder is shown first, by the name of its function.
    values
        Where its parameters begin, by name; those of `parameters`.

    Attributes
    ----------
    stimulus : ArtificialStimulus or None
        What is shown; may be observed.
    response : numpy.ndarray or None
        ``(response frame, neuron)``: of all neurons of the session to it.
    selection : Selection
    player : StimulusPlayer
    traces : TracePlot

    Raises
    ------
    ValueError
        If there is no such builder or parameter, there is no model, or it is not the selection's.

    Examples
    --------
    >>> designer = StimulusDesigner(load_model("synthetic"), kind="moving_bar")
    >>> designer.set(direction=90.0)
    >>> designer.stimulus.table()
    """

    stimulus = traitlets.Instance(ArtificialStimulus, allow_none=True)
    kind = traitlets.Unicode()

    def __init__(
        self,
        model: RetinaModel | Any | None = None,
        *,
        selection: Selection | None = None,
        kind: str = "drifting_grating",
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self.selection = shared_selection(model, selection)
        self._screen = Screen.of(self.selection.model)
        self._kinds = kinds_for(self._screen)
        check_kind(kind, self._kinds, self._screen)
        self.response: np.ndarray | None = None
        self._error: Exception | None = None
        self.picker = NeuronsPicker(self.selection)
        self._choice = ipw.Dropdown(
            description="Stimulus",
            layout=ipw.Layout(width="auto", min_width="0"),
            style={"description_width": "62px"},
        )
        self._place = ipw.VBox(layout=ipw.Layout(width="auto"))
        self._status = ipw.HTML(layout=ipw.Layout(width="auto", height="84px", overflow="auto"))
        self.player = self._new_player()
        self._stage = ipw.VBox([self.player], layout=ipw.Layout(width="100%"))
        self.traces = TracePlot(
            title="Response, window shaded",
            height=260,
            placeholder="Move a slider to see the response.",
        )
        what = ipw.VBox([self._choice, self._place, self._status])
        left = beside_or_above([what, self.picker])
        right = ipw.VBox(
            [self._stage, self.traces], layout=ipw.Layout(flex="1000 1 480px", min_width="0")
        )
        super().__init__(
            (
                ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%")),
                ExportMenu(self, name="designed_stimulus"),
            )
        )
        self.add_class("orw-designer")
        self._live: NewestOnly[LiveQuestion, LiveAnswer] = NewestOnly(
            answer,
            show=self._show,
            fail=self._fail,
            main_loop=self._main_loop,
            context=partial(torch_threads, live_threads()),
        )
        self._answer: LiveAnswer | None = None
        self._drawing = False
        self.kind = kind
        self._show_kind(values)
        self._choice.observe(self._chosen, "value")
        self.observe(lambda _: self._show_kind(), "kind")
        self.selection.observe(self._selection_changed, _SHARED)

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the sliders, by name."""
        return self._sliders.values

    @property
    def exported(self) -> ShownStimulus:
        """What is saved: the stimulus, and the responses of the chosen neurons to it.

        Raises
        ------
        RuntimeError
            If nothing is shown yet.
        """
        found = self._answer
        if found is None:
            raise RuntimeError("there is no stimulus to save yet; move a slider to make one")
        question = found.question
        return of_response(
            question.model,
            found.stimulus,
            found.response,
            neurons=self.selection.neurons,
            data_key=question.data_key,
            builder=question.kind.builder.__name__,
            arguments=arguments(question.kind.parameters(question.screen), question.values),
        )

    @property
    def busy(self) -> bool:
        """Whether the response to the newest change is still being computed."""
        return self._live.busy

    @property
    def error(self) -> Exception | None:
        """Why the newest stimulus cannot be shown; None where it is shown."""
        return self._error

    @property
    def model(self) -> RetinaModel:
        """The model of the selection; setting another one chooses its first neuron."""
        return self.selection.model

    @model.setter
    def model(self, model: RetinaModel | Any) -> None:
        self.selection.show_model(model)

    def set(self, **values: Any) -> None:
        """Move sliders, by the names in `parameters`.

        Raises
        ------
        ValueError
            If there is no such parameter; the message names the nearest.
        """
        self._sliders.set(**values)

    def close(self) -> None:
        """Close the widget with all that belongs to it; a selection that is shared stays."""
        if self.comm is not None:
            self._live.close()
            self.selection.unobserve(self._selection_changed, _SHARED)
            self.picker.close()
        super().close()

    # What is chosen ---------------------------------------------------------------------------

    @traitlets.validate("kind")
    def _known_kind(self, proposal: Any) -> str:
        name: str = proposal["value"]
        check_kind(name, self._kinds, self._screen)
        return name

    def _chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.kind = change["new"]

    def _show_kind(self, values: Mapping[str, Any] | None = None) -> None:
        """Show the sliders of the chosen builder; what two have in common keeps its value."""
        old = getattr(self, "_sliders", None)
        parameters = self._kinds[self.kind].parameters(self._screen)
        if values is None and old is not None:
            names = {(p.name, p.low, p.high, p.options) for p in parameters}
            common = {p.name for p in old.parameters if (p.name, p.low, p.high, p.options) in names}
            values = {name: value for name, value in old.values.items() if name in common}
        self._sliders = ParameterSliders(parameters, values=values, on_change=self._ask)
        self._place.children = (self._sliders,)
        if old is not None:
            old.close()
        self._drawing = True
        try:
            self._choice.options = [(k.title, name) for name, k in self._kinds.items()]
            self._choice.value = self.kind
        finally:
            self._drawing = False
        self._ask()

    def _selection_changed(self, change: Any) -> None:
        if change["name"] == "model":
            self._show_model()
        elif change["name"] == "data_key":
            self._ask()
        elif self._answer is not None and self._answer.question.data_key == self.selection.data_key:
            self._draw(self._answer)

    def _show_model(self) -> None:
        self._answer, self.response, self.stimulus = None, None, None
        self._screen = Screen.of(self.selection.model)
        self._kinds = kinds_for(self._screen)
        old, self.player = self.player, self._new_player()
        self._stage.children = (self.player,)
        old.close()
        self.traces.clear()
        if self.kind in self._kinds:
            self._sliders_of_new_model()
        else:
            self.kind = next(iter(self._kinds))

    def _sliders_of_new_model(self) -> None:
        old = self._sliders
        del self._sliders  # units and limits are others: nothing is kept
        old.close()
        self._show_kind()

    def _new_player(self) -> StimulusPlayer:
        return StimulusPlayer(
            title="Stimulus",
            channels=self._screen.channels,
            frame_rate=self._screen.frame_rate,
            pixel_size_um=self._screen.pixel_size_um,
            limits=player_limits(self._screen),
            height=200,
            autoplay=True,
        )

    # The live response ------------------------------------------------------------------------

    def _ask(self) -> None:
        chosen = self.selection
        self._live.ask(
            LiveQuestion(
                chosen.model,
                chosen.data_key,
                self._screen,
                self._kinds[self.kind],
                self._sliders.values,
            )
        )

    def _show(self, found: LiveAnswer) -> None:
        if found.question.model is not self.selection.model:
            return
        self._error = None
        self._answer, self.response = found, found.response
        # The response first: it is what one waits for.
        self._draw(found)
        self.player.stimulus = found.stimulus.movie
        self.stimulus = found.stimulus
        notes = "".join(f"<br>{html.escape(note)}" for note in found.stimulus.notes)
        words = f"{found.stimulus.name}, {found.stimulus.duration_s:.2f} s{notes}"
        self._say(f'<div class="orw-note">{words}</div>')

    def _fail(self, error: Exception) -> None:
        self._error = error
        words = html.escape(str(error))
        self._say(
            f'<div class="orw-note orw-error" role="alert">{words}</div>'
            '<div class="orw-note">The last stimulus that can be shown stays.</div>'
        )

    def _say(self, words: str) -> None:
        if self._status.value != words:
            self._status.value = words

    def _draw(self, found: LiveAnswer) -> None:
        draw_response(self.traces, self.selection, found.stimulus, found.response)


def draw_response(
    plot: TracePlot, selection: Selection, stimulus: ArtificialStimulus, response: np.ndarray
) -> None:
    """Draw what the chosen neurons answer to a stimulus, over the time of its movie."""
    neurons, labels = selection.neurons[:MOST_CURVES], selection.labels[:MOST_CURVES]
    screen = stimulus.screen
    frames = np.arange(len(response)) + len(stimulus) - len(response)
    window = [min(screen.seconds(edge), stimulus.duration_s) for edge in stimulus.window]
    events = [
        (event.what, screen.seconds(event.start), screen.seconds(event.stop))
        for event in stimulus.events
        if event.what != "grey"  # what no line is above
    ]
    left_out = len(selection.neurons) - len(neurons)
    notes = [f"{left_out} further chosen neurons are not drawn."] if left_out else []
    if stimulus.events and stimulus.events[0].what == "grey":
        begins = screen.seconds(stimulus.events[0].stop)
        notes.append(f"Grey before {begins:.2f} s, where the stimulus begins.")
    plot.draw(
        frames / screen.frame_rate,
        response[:, list(neurons)],
        names=labels,
        duration_s=stimulus.duration_s,
        shade=(window[0], window[1]),
        landmarks=events if len(events) < 12 else (),
        note=" ".join(notes),
    )


def player_limits(screen: Screen) -> list[tuple[float, float]]:
    """Return colour limits that do not move with the contrast: those of contrast 1."""
    ends = [abs(g) + s for g, s in zip(screen.grey, screen.contrast_scale, strict=True)]
    return [(-end, end) for end in ends]


def shared_selection(model: Any, selection: Selection | None) -> Selection:
    """Return the selection of a widget: one that is shared, or one of its own for a model."""
    if selection is None:
        if model is None:
            raise ValueError("model: expected a model, or a selection that has one")
        return Selection(model)
    if model is not None and as_retina_model(model) is not selection.model:
        raise ValueError("model: it is not the model of the selection; leave one of them out")
    return selection


def check_kind(name: str, known: Mapping[str, Any], screen: Screen) -> None:
    """Refuse what is no builder with sliders for this screen."""
    if name not in known and name in KINDS:
        raise ValueError(
            f"kind: {name!r} needs {KINDS[name].channels} channels; this model has "
            f"{len(screen.channels)}: {', '.join(screen.channels)}"
        )
    if name not in known:
        raise ValueError(unknown_name("kind", name, list(known), "stimulus"))
