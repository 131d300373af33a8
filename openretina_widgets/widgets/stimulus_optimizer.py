"""Press Optimise and watch the stimulus that a neuron likes best emerge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import ipywidgets as ipw
import traitlets

from openretina_widgets.insilico.compute import cores, live_threads, torch_threads
from openretina_widgets.insilico.stimulus_optimization.neurons import Direction, neuron_steps
from openretina_widgets.insilico.stimulus_optimization.objective import Window
from openretina_widgets.insilico.stimulus_optimization.picture import (
    Picture,
    PicturesOfRun,
    picture_of_result,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import beside_or_above
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.neuron_picker import NeuronPicker
from openretina_widgets.widgets.optimizer_parts import OptimizerSettings, OptimizerView, RunButtons
from openretina_widgets.widgets.run_panel import RunPanel
from openretina_widgets.widgets.run_status import RunStatus, as_time
from openretina_widgets.widgets.selection import Following, Selection, selection_for
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

_HINT = "Choose a neuron and press Optimise."
# Seconds from one picture that is drawn whole, with curves and figures, to the next; between them
# the movie alone changes. With few cores a browser on the same machine takes the run's time: on two
# cores curves drawn every 0.6 s took 2 % of it, the movie at 10 Hz as much.
_WHOLE_EVERY = 0.3
_WHOLE_EVERY_FEW_CORES = 1.0
_FEW_CORES = 4


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
    tv_weight
        Weight of the total-variation penalty.
    smooth_ms, blur
        Standard deviation of a Gaussian low-pass over time (ms) and of a blur in space (µm, or
        pixels where the pixel size is not known), applied after each step; 0 for none.
    picture_rate
        Most pictures a second.
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

    _paused = "Paused. Press Resume to go on, or Step for one iteration."
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
        seed: int = 0,
        direction: Direction = "increase",
        time_steps: int | None = None,
        window: Window | None = None,
        max_iterations: int = 200,
        patience: int | None = 30,
        norm: float | None = None,
        stimulus_range: Sequence[tuple[float, float]] | None = None,
        tv_weight: float = 0.0,
        smooth_ms: float = 0.0,
        blur: float = 0.0,
        picture_rate: float = 10.0,
        threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        self._selection = chosen = selection_for(
            model, selection=selection, neuron=neuron, data_key=data_key
        )
        face = chosen.model
        self._range = stimulus_range
        self._patience = patience
        self._picture_rate = picture_rate
        self._threads: int | None = live_threads() if threads == "auto" else threads
        self._settings = OptimizerSettings(
            face,
            time_steps=time_steps,
            window=window,
            seed=seed,
            direction=direction,
            max_iterations=max_iterations,
            norm=norm,
            tv_weight=tv_weight,
            smooth_ms=smooth_ms,
            blur=blur,
        )
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
        self._following = Following(chosen, self._follow)

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
        settings = self._settings.engine_settings()
        self._last_iteration = settings["max_iterations"]
        try:
            steps = neuron_steps(
                self.model,
                self.picker.neuron,
                data_key=self.picker.data_key,
                stimulus_range=self._range,
                patience=self._patience,
                **settings,
            )
        except (TypeError, ValueError) as error:
            self._fail(error)
            raise
        self._view.prepare(settings["time_steps"], settings["window"], self._last_iteration)
        player = self.player
        self._running = self.picker.chosen.label
        self.job = job = Job(
            lambda: steps,
            snapshot=PicturesOfRun(
                _WHOLE_EVERY_FEW_CORES if cores() <= _FEW_CORES else _WHOLE_EVERY
            ),
            on_update=self._show,
            on_done=self._ended,
            ready=lambda: player.ready,
            rate_hz=self._picture_rate,
            name="optimise a stimulus",
            context=partial(torch_threads, self._threads),
        )
        self._doing = self._in_words()
        self._status.tell("running", self._doing, progress=0.0, figures=self._figures(0))
        self._buttons.show("paused" if paused else "running")
        return job.start(paused=paused)

    def reset(self) -> None:
        """Stop the run, and take result and pictures away."""
        self.result = None
        self._clear()

    def _clear(self) -> None:
        self._end_job()
        self.job = None
        settings = self._settings.engine_settings()
        self._last_iteration = settings["max_iterations"]
        self._view.prepare(settings["time_steps"], settings["window"], self._last_iteration)
        self._buttons.show("idle")
        self._status.tell("idle", _HINT, progress=0.0, figures=self._figures(0))

    def close(self) -> None:
        """End the run and close the widget with all that belongs to it."""
        if self._following is not None:
            self._following.end()
        super().close()

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, picture: Picture) -> None:
        job = self.job
        whole = picture.components is not None or (job is not None and job.state == "paused")
        if whole and job is not None:
            self._show_going(
                progress=max(0, job.iteration - 1) / self._last_iteration,
                figures=self._figures(picture.iteration, picture.score),
            )
        self._view.show(picture, whole=whole)

    def _ended_without(self, job: Job[Picture, OptimizationResult]) -> None:
        self._status.tell("idle", "Stopped before the first iteration. " + _HINT)

    def _ended_with(
        self, result: OptimizationResult, job: Job[Picture, OptimizationResult]
    ) -> None:
        self.result = result
        best, end = int(result.best_iteration[0]), int(result.iterations[0])
        score, norm = float(result.score[0]), float(result.norm[0])
        self._view.finish(picture_of_result(result))
        self._status.tell(
            "finished",
            f"Ended: {result.stop_reason}. Shown is the best stimulus of neuron {self._running}, "
            f"of iteration {best} of {end}: score {score:.4g}, norm {norm:.4g}.",
            progress=end / self._last_iteration if job.reason else 1.0,
            figures=self._figures(end, score),
        )

    def _in_words(self) -> str:
        verb = "Increasing" if self._settings.direction.value == "increase" else "Decreasing"
        threads = ""
        if self._threads is not None and self.model.device.type == "cpu":
            threads = f" with {self._threads} torch thread{'s' if self._threads > 1 else ''}"
        return f"{verb} the response of neuron {self._running} on {self.model.device}{threads}."

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
            ("score (a.u.)", "–" if math.isnan(score) else f"{score:.4g}"),
            ("rate", f"{rate:.1f} /s" if rate > 0 else "–"),
            ("elapsed", as_time(job.elapsed if job is not None else 0.0)),
            ("remaining, at most", as_time(left)),
        ]

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
        self._range = None
        self.picker.show_model(self.model)
        self._settings.show_model(self.model)
        old = self._view
        self._show_model(self.model)
        old.close()
        if self._selection.model is not self.model:
            self._selection.show_model(self.model)

    def _show_model(self, model: RetinaModel) -> None:
        self._view = OptimizerView(model)
        self._display.children = (self._view,)
        self._clear()
