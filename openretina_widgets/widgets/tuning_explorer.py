"""Choose an experiment, press Run, and see tuning curves grow condition by condition."""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.cluster import check_client
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.insilico.tuning_analyses.fits import fits_of
from openretina_widgets.insilico.tuning_analyses.indices import measures_of
from openretina_widgets.insilico.tuning_analyses.sweep import SweepStep, sweep_steps
from openretina_widgets.jobs import Job
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import beside_or_above
from openretina_widgets.widgets.curve_view import CurveView
from openretina_widgets.widgets.experiment_controls import TITLES
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.run_status import RunStatus
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.selection_run import SelectionRun
from openretina_widgets.widgets.stimulus_designer import shared_selection
from openretina_widgets.widgets.transport import MainLoop
from openretina_widgets.widgets.tuning_parts import ConditionView, SweepButtons

_HINT = "Press Run to measure the tuning of every neuron."
_MOST_REPEATS = 1000
_AT_ONCE_CENTRED = 16  # movies a step, where each neuron sees its own

Progress = tuple[int, int, TuningCurves]


class TuningExplorer(Exportable, SelectionRun[Progress, TuningCurves]):
    """Tuning curves of a model's neurons, live.

    A run measures all neurons of the session, so that others can be chosen afterwards without a new
    one. It takes place in a worker thread, a condition a step. A click on a point shows its
    stimulus and the responses to it; sliders change what all conditions have in common, and the
    response to the condition that is shown follows at once.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model. None with a selection.
    selection
        What is shared with other widgets; one of its own for None.
    experiment
        Chosen at first: one of `experiments.NAMES`.
    repeats
        Noisy repeats of each condition, Poisson, for error bars and permutation tests; 1 for none.
    seed
        Of the noise.
    client
        A ``distributed.Client`` whose workers compute; None to compute here.

    Attributes
    ----------
    result : TuningCurves or None
        Of the last run that was not stopped; may be observed.
    experiment : str
        The experiment that is chosen; may be observed and set.
    job : Job or None
        The run that is going on, or the last one.
    selection : Selection
    plot : TuningPlot or TuningMap
    traces : TracePlot
    player : StimulusPlayer

    Raises
    ------
    TypeError, ValueError
        If there is no such experiment, no model, or it is not the selection's, or the client
        cannot be used.

    Examples
    --------
    >>> explorer = TuningExplorer(load_model("synthetic"), experiment="direction")
    >>> curves = await explorer.start()
    """

    _paused = "Paused. Press Resume to go on, or Step for one more condition."
    result = traitlets.Instance(TuningCurves, allow_none=True)
    experiment = traitlets.Unicode()

    def __init__(
        self,
        model: RetinaModel | Any | None = None,
        *,
        selection: Selection | None = None,
        experiment: str = "direction",
        repeats: int = 1,
        seed: int = 0,
        client: Any = None,
    ) -> None:
        if client is not None:
            check_client(client)
        self._client = client
        self.selection = shared_selection(model, selection)
        self._known = _experiments_for(self.selection.model)
        _check(experiment, self._known, self.selection.model)
        if not is_index(repeats) or not 1 <= repeats <= _MOST_REPEATS:
            raise ValueError(
                f"repeats: expected a whole number from 1 to {_MOST_REPEATS}, got {repeats!r}"
            )
        self._seed = check_seed(seed)
        self._curves: TuningCurves | None = None
        self._measured: dict[str, Any] = {}
        self._measured_with: dict[str, Any] = {}
        self._drawing = False
        style, wide = {"description_width": "82px"}, {"width": "auto", "min_width": "0"}
        self._choice = ipw.Dropdown(
            description="Experiment", layout=ipw.Layout(**wide), style=style
        )
        self._repeats = ipw.BoundedIntText(
            value=repeats,
            min=1,
            max=_MOST_REPEATS,
            description="Repeats",
            tooltip="Noisy repeats of each condition (Poisson); 1: the model without noise",
            layout=ipw.Layout(**wide),
            style=style,
        )
        self._buttons = SweepButtons()
        self._status = RunStatus()
        self._condition = ConditionView(
            self.selection, main_loop=MainLoop(), on_change=self._condition_changed
        )
        self._curve = CurveView(self.selection, on_point=self._show_condition)
        what = ipw.VBox([self._choice, self._repeats, self._curve.at, self._condition.controls])
        left = beside_or_above([what, self._condition.picker])
        right = ipw.VBox(
            [
                self._buttons,
                self._status,
                ipw.HBox(
                    [self._curve, self._condition.beside],
                    layout=ipw.Layout(flex_flow="row wrap", width="100%"),
                ),
                self._condition,
                self._curve.words,
            ],
            layout=ipw.Layout(flex="1000 1 480px", min_width="0"),
        )
        super().__init__(
            (
                ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%")),
                ExportMenu(self, name="tuning_curves"),
            )
        )
        self.add_class("orw-tuning")
        self._steered_by(self._buttons)
        self.experiment = experiment
        self._show_experiment()
        self._choice.observe(self._chosen, "value")
        self.observe(lambda _: self._show_experiment(), "experiment")
        self._follow_selection()

    # In code ---------------------------------------------------------------------------------

    @property
    def plot(self) -> Any:
        """The plot of the tuning, a `TuningMap` for green against UV contrast.

        Its `clicked` is the condition that is shown.
        """
        return self._curve.plot

    @property
    def traces(self) -> Any:
        """The plot of the responses to the condition that is shown."""
        return self._condition.traces

    @property
    def player(self) -> Any:
        """The player of the stimulus of the condition that is shown."""
        return self._condition.player

    @property
    def parameters(self) -> dict[str, Any]:
        """What all conditions have in common and can be set with `set`, by name."""
        return self._condition.sliders.values

    def set(self, **values: Any) -> None:
        """Set what all conditions have in common; the response to the one that is shown follows.

        Raises
        ------
        ValueError
            If there is no such parameter; the message names the nearest.
        """
        self._condition.sliders.set(**values)

    def start(self, *, paused: bool = False) -> Job[Progress, TuningCurves]:
        """Start a run of the experiment as it is set; one that is going on is stopped first.

        Returns
        -------
        Job
            ``await`` it for the `TuningCurves`. A failure is shown in the widget as well.
        """
        self._end_job()
        chosen, experiment = self.selection, self._condition.experiment
        repeats = self._repeats.value
        settings = {
            "data_key": chosen.data_key,
            "repeats": repeats,
            "noise": "poisson" if repeats > 1 else None,
            "seed": self._seed,
            "batch": _AT_ONCE_CENTRED if experiment.centred else 1,
            "client": self._client,
        }
        measured: dict[str, Any] = {}
        self._measured, self._curves, self._measured_with = measured, None, self.parameters
        self._curve.prepare(experiment)
        n = chosen.model.n_neurons(chosen.data_key)
        return self._launch(
            partial(_steps, chosen.model, experiment, settings, measured),
            snapshot=_progress,
            name="tuning curves",
            doing=f"{experiment.title}: {len(experiment)} conditions, {n} neurons.",
            paused=paused,
        )

    def _close_others(self) -> None:
        self._condition.close()
        self._curve.close()

    # From the page ---------------------------------------------------------------------------

    @traitlets.validate("experiment")
    def _known_experiment(self, proposal: Any) -> str:
        name: str = proposal["value"]
        _check(name, self._known, self.selection.model)
        return name

    def _chosen(self, change: Any) -> None:
        if not self._drawing and change["new"] is not None:
            self.experiment = change["new"]

    def _show_experiment(self) -> None:
        """Show an experiment that has not been run yet."""
        self._end_job()
        self.job, self._curves, self._measured = None, None, {}
        self._drawing = True
        try:
            self._choice.options = [(TITLES[name], name) for name in self._known]
            self._choice.value = self.experiment
        finally:
            self._drawing = False
        experiment = experiments.standard(self.experiment, self.selection.model)
        self._condition.show_experiment(experiment)
        self._curve.prepare(experiment)
        self._say_idle(_HINT)
        self._show_condition()

    def _selection_changed(self, change: Any) -> None:
        if change["name"] == "neurons":
            if self._curves is None or self._curves.data_key == self.selection.data_key:
                self._draw()
                self._condition.redraw()
                if self._curves is not None:
                    self._show_condition()  # the leading neuron's best, on its receptive field
            return
        if change["name"] == "model":
            self._known = _experiments_for(self.selection.model)
            self._condition.show_model()
            self.result = None
            if self.experiment not in self._known:
                self.experiment = self._known[0]
                return
        self._show_experiment()

    def _condition_changed(self) -> None:
        """A slider moved: what is shown is computed anew, and is not what was measured."""
        self._show_condition()

    def _show_condition(self) -> None:
        """Show the stimulus of the chosen point, and the responses to it."""
        measured = self._curves if self._is_measured else None
        self._condition.show_point(self._curve.point, self._curve.held, self._curves, measured)

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, progress: Progress) -> None:
        done, total, self._curves = progress
        self._draw()
        self._show_going(progress=done / total, figures=self._figures(done, total))

    def _ended_without(self, job: Job[Progress, TuningCurves]) -> None:
        share = 0.0 if self._curves is None else self._curves.finished
        words = f"Ended: {job.reason}, with {share:.0%} of the conditions done. "
        self._status.tell("idle", words + "Press Run to measure them all.")

    def _ended_with(self, curves: TuningCurves, job: Job[Progress, TuningCurves]) -> None:
        self._curves = self.result = curves
        self._draw()
        self._show_condition()
        notes = "".join(f" Note: {note}." for note in curves.notes)
        n = len(curves.neurons)
        total = math.prod(curves.responses.shape[:-1])
        words = f"Done: {curves.title}, {total} condition{'' if total == 1 else 's'}, "
        words += f"{n} neurons. Choose others: their curves are there already.{notes}"
        figures = self._figures(1, 1)
        figures[0] = ("conditions", str(total))
        self._status.tell("finished", words, progress=1.0, figures=figures)

    @property
    def _is_measured(self) -> bool:
        """Whether the curves were measured with what the sliders hold now."""
        return self._curves is not None and self._measured_with == self.parameters

    def _draw(self) -> None:
        self._curve.draw(self._curves, self._measured)

    @property
    def _counted(self) -> str:  # type: ignore[override]
        return "movie, each centred" if self._condition.experiment.centred else "condition"

    def _rate_in_words(self, rate: float, total: int) -> str:
        return f"{rate:.3g} /s" if rate > 0 and total > 1 else "–"


def _steps(
    model: RetinaModel, experiment: Experiment, settings: dict[str, Any], measured: dict[str, Any]
) -> Generator[SweepStep, None, TuningCurves]:
    """Sweep, and measure in the same thread: indices and fits of many neurons take a while."""
    curves = yield from sweep_steps(model, experiment, **settings)
    fits = {name: fit for name, fit in fits_of(curves).items() if np.isfinite(fit.parameters).any()}
    measured["measures"], measured["fits"] = measures_of(curves), fits
    return curves


def _progress(step: SweepStep) -> Progress:
    return step.done, step.total, step.curves


def _experiments_for(model: RetinaModel) -> tuple[str, ...]:
    colour = len(Screen.of(model).channels) == 2
    return tuple(name for name in experiments.NAMES if colour or name != "chromatic")


def _check(name: str, known: tuple[str, ...], model: RetinaModel) -> None:
    if name in known:
        return
    if name in experiments.NAMES:
        experiments.standard(name, model)  # says why the model has none
    raise ValueError(unknown_name("experiment", name, known, "experiment"))
