"""Press Optimise and watch the stimulus that a neuron likes best emerge."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ipywidgets as ipw
import torch
import traitlets

from openretina_widgets.errors import check_positive
from openretina_widgets.export import save
from openretina_widgets.export.results import Results
from openretina_widgets.insilico.compute import cores, live_threads, torch_threads
from openretina_widgets.insilico.stimulus_optimization.history import (
    BUDGET_MB,
    RunHistory,
    recorded,
)
from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter
from openretina_widgets.insilico.stimulus_optimization.neurons import Direction
from openretina_widgets.insilico.stimulus_optimization.objective import Window
from openretina_widgets.insilico.stimulus_optimization.parametrization import Parametrization
from openretina_widgets.insilico.stimulus_optimization.picture import Picture, PicturesOfRun
from openretina_widgets.insilico.stimulus_optimization.preconditioning import GradientFilter
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import beside_or_above
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.neuron_picker import NeuronPicker
from openretina_widgets.widgets.optimizer_goals import Objective, Planned
from openretina_widgets.widgets.optimizer_parts import RunButtons, ends_in_words
from openretina_widgets.widgets.optimizer_settings import OptimizerSettings
from openretina_widgets.widgets.optimizer_view import OptimizerView
from openretina_widgets.widgets.run_comparison import RunComparison, ShownRun
from openretina_widgets.widgets.run_panel import RunPanel
from openretina_widgets.widgets.run_status import RunStatus, as_time
from openretina_widgets.widgets.selection import Following, Selection, selection_for
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

# Seconds from one picture that is drawn whole, with curves and figures, to the next; between them
# the movie alone changes. With few cores a browser on the same machine takes the run's time: on two
# cores curves drawn every 0.6 s took 2 % of it, the movie at 10 Hz as much.
_WHOLE_EVERY = 0.3
_WHOLE_EVERY_FEW_CORES = 1.0
_FEW_CORES = 4
_OF_ONE_RUN = (".png", ".svg", ".gif", ".mp4", ".npz")


class StimulusOptimizer(Exportable, RunPanel[Picture, OptimizationResult]):
    """Finds the stimulus that a neuron likes best, and shows it while it emerges.

    The run takes place in a worker thread of the kernel, so other cells run meanwhile and the
    buttons answer at once. A failure is shown in the widget and raised by ``await job``.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    selection
        A selection to share with other widgets; by default one of its own.
    neuron, data_key
        Neuron and session chosen at first; not together with `selection`, which has them.
    seed, direction, time_steps, window, max_iterations, patience, norm, stimulus_range
        Start values of the settings; see `neuron_steps`.
    objective
        What is sought instead: ``"neurons"``, ``"type"``, ``"groups"``, ``"diverse"``,
        ``"sparse"`` or ``"layer"``, whose own settings are in the widget; or a function that gives
        one number. A function whose first parameter is called ``response`` gets the response in
        the window, ``(time, neuron)``; any other gets one stimulus, ``(1, channel, time, height,
        width)``. An objective with ``forward(stimulus)`` does as well.
    seeds
        Number of seeds, from `seed` on, that run at once.
    rms, mean_luminance, jitter, precondition, parametrization
        Start values of the folded settings; see `neuron_steps`.
    tv_weight
        Weight of the total-variation penalty.
    smooth_ms, blur
        Standard deviation of a Gaussian low-pass over time (ms) and of a blur in space (µm, or
        pixels where the pixel size is not known), applied after each step; 0 for none.
    picture_rate
        Most pictures a second.
    history_mb
        Most megabytes of stimuli that are kept of a run, to be looked at again; a long run keeps
        fewer of them.
    threads
        Torch threads of the run on a CPU. ``"auto"`` takes one fewer than the machine has cores,
        since the browser needs one too; None leaves torch as it is. The kernel's own threads, and
        so other cells, keep their number.

    Attributes
    ----------
    result : OptimizationResult or None
        The result of the last run that ended by itself or was stopped; may be observed.
    job : Job or None
        The run that is going on, or the last one.
    model : RetinaModel
        The model; setting another one ends the run and clears the pictures. The last result stays.

    Examples
    --------
    >>> lab = StimulusOptimizer(load_model("synthetic"), neuron=5)
    >>> job = lab.start()
    >>> result = await job
    """

    _paused = "Paused. Press Resume to go on, Step for one iteration, or Stop to end the run."
    _following: Following | None = None  # none yet while it is built
    result = traitlets.Instance(OptimizationResult, allow_none=True)
    model = traitlets.Instance(RetinaModel)

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        selection: Selection | None = None,
        neuron: int | None = None,
        data_key: str | None = None,
        objective: Objective | None = None,
        seed: int = 0,
        seeds: int = 1,
        direction: Direction = "increase",
        time_steps: int | None = None,
        window: Window | None = None,
        max_iterations: int = 200,
        patience: int | None = 30,
        norm: float | None = None,
        stimulus_range: Sequence[tuple[float, float]] | None = None,
        rms: float | Sequence[float] | None = None,
        mean_luminance: float | Sequence[float] | None = None,
        jitter: Jitter | None = None,
        precondition: GradientFilter | None = None,
        parametrization: Parametrization | None = None,
        tv_weight: float = 0.0,
        smooth_ms: float = 0.0,
        blur: float = 0.0,
        history_mb: float = BUDGET_MB,
        picture_rate: float = 10.0,
        threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        self._selection = chosen = selection_for(
            model, selection=selection, neuron=neuron, data_key=data_key
        )
        face = chosen.model
        self._patience = patience
        self._picture_rate = picture_rate
        self._threads: int | None = live_threads() if threads == "auto" else threads
        self._settings = OptimizerSettings(
            face,
            objective=objective,
            time_steps=time_steps,
            window=window,
            seed=seed,
            seeds=seeds,
            direction=direction,
            max_iterations=max_iterations,
            norm=norm,
            tv_weight=tv_weight,
            smooth_ms=smooth_ms,
            blur=blur,
            data_key=chosen.data_key,
            stimulus_range=stimulus_range,
            rms=rms,
            mean_luminance=mean_luminance,
            jitter=jitter,
            precondition=precondition,
            parametrization=parametrization,
        )
        self._history_mb = check_positive(history_mb, "history_mb")
        self._planned: Planned | None = None  # of the run that is shown
        self._shown_run = ShownRun()
        self._pictures: PicturesOfRun | None = None
        self._said: tuple[Any, str] | None = None  # before what is typed was refused
        self._refused = ""  # what the engine said of settings that do not fit
        self.picker = NeuronPicker(face, neuron=chosen.neuron, data_key=chosen.data_key)
        self._status = RunStatus()
        self._buttons = RunButtons()
        self._display = ipw.VBox(layout=ipw.Layout(width="100%"))
        left = beside_or_above([self.picker, self._settings])
        right = ipw.VBox(
            [self._buttons, self._status, self._display],
            layout=ipw.Layout(flex="1000 1 480px", min_width="0"),
        )
        super().__init__(
            (
                ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%")),
                ExportMenu(self, name="best_stimulus"),
            )
        )
        self.add_class("orw-optimizer")
        self._steered_by(self._buttons)
        self._buttons.reset.on_click(lambda _: self._main_loop.call(self._try(self.reset)))
        self.model = face
        self._show_model(face)
        self.picker.observe(self._lead, ["neuron", "data_key"])
        self.picker.observe(self._session_changed, "data_key")
        self._settings.watch(lambda: self._main_loop.call(self._changed))
        self._following = Following(chosen, self._follow)
        self.picker.enable_neurons(self._settings.goal.is_of_one_neuron)
        if not self._settings.goal.is_costly_to_check:
            self._check()

    # In code ---------------------------------------------------------------------------------

    @property
    def selection(self) -> Selection:
        """Model, session and neurons, shared with linked widgets."""
        return self._selection

    @property
    def player(self) -> StimulusPlayer:
        """The player that shows the stimulus."""
        return self._view.player

    def start(self, *, paused: bool = False) -> Job[Picture, OptimizationResult]:
        """Start a run with the settings shown; a run that is going on is stopped first.

        Returns
        -------
        Job
            ``await`` it for the `OptimizationResult`.

        Raises
        ------
        ValueError
            If the settings do not fit; the message is shown in the widget as well.
        """
        self._end_job()
        self._said = None
        self._last_iteration = self._settings.max_iterations.value
        try:
            planned = self._settings.planned(self.picker, self._patience)
        except (TypeError, ValueError, RuntimeError, MemoryError) as error:
            self._refuse(error)
            raise
        self._accept()
        self._planned = planned
        self._shown_run = ShownRun(
            self._settings.in_words(planned), planned.lag, planned.of(0), None, 0
        )
        history = RunHistory(self._history_mb)
        self._prepare(planned, history)
        player = self.player
        self._pictures = PicturesOfRun(
            _WHOLE_EVERY_FEW_CORES if cores() <= _FEW_CORES else _WHOLE_EVERY, history=history
        )
        self.job = job = Job(
            lambda: recorded(planned.steps, history),
            snapshot=self._pictures,
            on_update=self._show,
            on_done=self._ended,
            ready=lambda: player.ready,
            rate_hz=self._picture_rate,
            name="optimise a stimulus",
            context=partial(torch_threads, self._threads),
        )
        self._doing = self._in_words(planned)
        self._status.tell("running", self._doing, progress=0.0, figures=self._figures(0))
        self._buttons.show("paused" if paused else "running")
        self._comparison.keep.disabled = True
        return job.start(paused=paused)

    def reset(self) -> None:
        """Stop the run, and take result and pictures away."""
        self.result = None
        self._clear()

    def _clear(self) -> None:
        self._end_job()
        self.job = self._planned = self._pictures = self._said = None
        self._last_iteration = self._settings.max_iterations.value
        self._prepare(None, None)
        self._comparison.keep.disabled = True
        self._buttons.show("idle")
        self._status.tell("idle", self._settings.goal.hint, progress=0.0, figures=self._figures(0))

    def keep_as_before(self) -> None:
        """Keep the run that has ended, to be shown beside the next one.

        Raises
        ------
        RuntimeError
            If there is none.
        """
        if self._shown_run.result is None:
            raise RuntimeError("there is no result to keep yet; run the experiment first")
        self._comparison.keep_run(self._shown_run)

    @property
    def exported(self) -> Results:
        """What is saved: the result; beside it the one that was kept, as ``before``.

        Raises
        ------
        RuntimeError
            If there is none yet.
        """
        result, kept = super().exported, self._comparison.before
        if kept is None or kept.result is None or kept.result is result:
            return result
        return {"before": kept.result, "after": result}  # type: ignore[dict-item]

    def _saved(self, path: str | os.PathLike[str], *, overwrite: bool, **settings: Any) -> Path:
        """Save both runs where the format takes several, else the newest.

        A picture and a movie show the stimulus that is chosen.
        """
        suffix = Path(path).suffix.lower()
        if self.result is None or suffix not in _OF_ONE_RUN:
            return super()._saved(path, overwrite=overwrite, **settings)
        if suffix != ".npz":
            settings = {"element": self._view.element, **settings}
        return save(self.result, path, overwrite=overwrite, **settings)

    def close(self) -> None:
        """End the run and close the widget with all that belongs to it."""
        if self._following is not None:
            self._following.end()
        super().close()

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, picture: Picture) -> None:
        job = self.job
        rests = job is not None and job.state == "paused"
        whole = picture.components is not None or rests
        if whole and job is not None:
            self._show_going(
                progress=max(0, job.iteration - 1) / self._last_iteration,
                figures=self._figures(picture.iteration, picture.score),
            )
        self._view.show(picture, whole=whole, rests=rests)

    def _ended(self, job: Job[Picture, OptimizationResult]) -> None:
        super()._ended(job)
        if self._shown_run.result is None:
            self._view.settle()

    def _ended_without(self, job: Job[Picture, OptimizationResult]) -> None:
        self._status.tell("idle", "Stopped before the first iteration. " + self._settings.goal.hint)

    def _ended_with(
        self, result: OptimizationResult, job: Job[Picture, OptimizationResult]
    ) -> None:
        self.result = result
        planned = self._planned
        labels = [""] if planned is None else planned.labels()
        self._shown_run = replace(self._shown_run, result=result)
        self._view.finish(result, labels)
        self._comparison.keep.disabled = False
        self._tell_end(result, job)

    def _tell_end(self, result: OptimizationResult, job: Job[Picture, OptimizationResult]) -> None:
        """Say why the run has ended, and what is shown of it."""
        element, planned = self._view.element, self._planned
        best, end = int(result.best_iteration[element]), int(result.iterations[element])
        score = float(result.score[element])
        subject = "a stimulus" if planned is None else planned.of(element)
        last = int(result.iterations.max())
        ended = result.stop_reason if planned is None else ends_in_words(result, planned.labels())
        self._status.tell(
            "finished",
            f"Ended: {ended}. Shown is {subject}, of iteration {best} of {end}: score "
            f"{_figure(score)}, {_what_it_holds(result, element)}.",
            progress=last / self._last_iteration if job.reason else 1.0,
            figures=self._figures(last, score),
        )

    def _in_words(self, planned: Planned) -> str:
        threads = ""
        if self._threads is not None and self.model.device.type == "cpu":
            threads = f" with {self._threads} torch thread{'s' if self._threads > 1 else ''}"
        several = f", {planned.elements} runs at once" if planned.elements > 1 else ""
        return f"{planned.doing}{several} on {self.model.device}{threads}."

    def _figures(self, iteration: int, score: float = math.nan) -> list[tuple[str, str]]:
        job, last = self.job, self._last_iteration
        rate = job.rate if job is not None else 0.0
        left = None
        if job is not None and job.done():
            left = 0.0
        elif rate > 0:
            left = (last - iteration) / rate
        return [
            ("iteration", f"{iteration} of {last}"),
            ("score (a.u.)", _figure(score)),
            ("rate", f"{rate:.1f} /s" if rate > 0 else "–"),
            ("elapsed", as_time(job.elapsed if job is not None else 0.0)),
            ("remaining, at most", as_time(left)),
        ]

    # What is shown ---------------------------------------------------------------------------

    def _prepare(self, planned: Planned | None, history: RunHistory | None) -> None:
        """Fix sizes and axes for a run, or for the one to come."""
        settings = self._settings
        window = tuple(settings.window.value) if planned is None else planned.window
        self._view.prepare(
            settings.frames.value,
            window,
            self._last_iteration,
            lag=None if planned is None else planned.lag,
            labels=("",) if planned is None else planned.labels(),
            seeds=1 if planned is None else len(planned.seeds),
            is_set=planned is not None and planned.is_set,
            has_form=planned is not None and not settings.constraints.is_free,
            history=history,
        )

    def _element_chosen(self, element: int) -> None:
        if self._pictures is not None:
            self._pictures.element = element
        planned = self._planned
        subject = "" if planned is None else planned.of(element)
        self._shown_run = replace(self._shown_run, element=element, subject=subject)
        job, result = self.job, self._shown_run.result
        if result is not None and job is not None and job.done():
            self._said = None
            self._tell_end(result, job)

    def _drawn(self, picture: Picture) -> None:
        self._comparison.show(self._shown_run, picture)

    def _changed(self) -> None:
        self.picker.enable_neurons(self._settings.goal.is_of_one_neuron)
        self._check()

    def _check(self) -> None:
        """Say what does not fit as soon as it is set, and not when the run is to begin."""
        running = self.job is not None and not self.job.done()
        if running or self.picker.model is not self._settings.model:
            return  # a run goes on, or another model is about to be shown
        try:
            self._settings.planned(self.picker, self._patience).steps.close()
        except (TypeError, ValueError, RuntimeError, MemoryError) as error:
            if self._said is None:
                self._said = (self._status.kind, self._status.message)
            self._refuse(error)
        else:
            before, self._said = self._said, None
            was_refused = self._accept()
            if before is not None and before[0] not in ("idle", "failed"):
                self._status.tell(*before)
            elif was_refused or self._status.kind == "idle":
                self._status.tell("idle", self._settings.goal.hint)

    def _accept(self) -> bool:
        """Mark no field any more; tell whether there was something that did not fit."""
        was_refused, self._refused = bool(self._refused), ""
        self._settings.accepted()
        return was_refused

    def _refuse(self, error: Exception) -> None:
        """Say what does not fit in the words of the fields, and mark these."""
        self._refused = str(error)
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, TypeError | ValueError) and str(error) == self._refused:
            self._show_state("idle")
            self._status.tell("failed", self._settings.refused(error))
        else:
            super()._fail(error)

    # The selection ---------------------------------------------------------------------------

    def _follow(self, _: Any = None) -> None:
        """Show the model, session and leading neuron of the selection."""
        selection, picker = self._selection, self.picker
        if selection.model is not self.model:
            self.model = selection.model
        if (picker.data_key, picker.neuron) != (selection.data_key, selection.neuron):
            with picker.hold_trait_notifications():
                picker.data_key, picker.neuron = selection.data_key, selection.neuron

    def _lead(self, _: Any) -> None:
        selection, picker = self._selection, self.picker
        of_model = selection.model is picker.model
        if of_model and (picker.data_key, picker.neuron) != (selection.data_key, selection.neuron):
            selection.choose(picker.neuron, data_key=picker.data_key)

    # The model -------------------------------------------------------------------------------

    @traitlets.observe("model")
    def _model_changed(self, change: Any) -> None:
        if not isinstance(change["old"], RetinaModel):
            return
        self._end_job()
        self.picker.show_model(self.model)
        self._settings.show_model(self.model, data_key=self.picker.data_key)
        old = (self._view, self._comparison)
        self._show_model(self.model)
        for part in old:
            part.close()
        if self._selection.model is not self.model:
            self._selection.show_model(self.model)

    def _session_changed(self, _: Any) -> None:
        if self.picker.model is self._settings.model:
            self._settings.goal.show_session(self.picker.data_key)
            self._check()

    def _show_model(self, model: RetinaModel) -> None:
        self._shown_run = ShownRun()
        self._comparison = RunComparison(model)
        self._comparison.keep.on_click(
            lambda _: self._main_loop.call(self._try(self.keep_as_before))
        )
        self._comparison.forget.on_click(lambda _: self._main_loop.call(self._comparison.clear))
        self._view = OptimizerView(model, chosen=self._element_chosen, drawn=self._drawn)
        self._display.children = (self._view, self._comparison)
        self._clear()


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}".replace("-", "−")


def _what_it_holds(result: OptimizationResult, element: int) -> str:
    """Return what the stimulus has of what it was held to, and its norm in any case."""
    held = result.settings["postprocessors"][-1]
    said = []
    if (rms := held.get("rms")) is not None:
        each = result.rms_contrast[element]
        reached = each if isinstance(rms, list) else each.square().mean().sqrt().view(1)
        said.append(f"RMS contrast {_figures_of(reached)}")
    if held.get("mean_luminance") is not None:
        said.append(f"mean luminance {_figures_of(result.mean_luminance[element])}")
    return ", ".join([*said, f"norm {_figure(float(result.norm[element]))}"])


def _figures_of(values: torch.Tensor) -> str:
    """Return one number for all channels where they are alike, else one for each."""
    return " and ".join(dict.fromkeys(_figure(value) for value in values.tolist()))
