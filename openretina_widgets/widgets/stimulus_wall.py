"""Every neuron's best stimulus emerging on a wall, and the chosen one as a movie."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.errors import OtherResults, unknown_name
from openretina_widgets.export import SUFFIXES
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.stimulus_optimization.neurons import neuron_steps
from openretina_widgets.insilico.stimulus_optimization.picture import strongest_frames
from openretina_widgets.insilico.stimulus_optimization.population import (
    PopulationStep,
    PopulationSteps,
    population_steps,
)
from openretina_widgets.insilico.stimulus_optimization.population_result import (
    PopulationResult,
    stored_in,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.insilico.stimulus_optimization.seeded import check_settings
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.field_wall import FieldWall
from openretina_widgets.widgets.neuron_detail import NeuronDetail
from openretina_widgets.widgets.run_panel import RunControls, RunPanel
from openretina_widgets.widgets.run_status import RunStatus, as_time
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_player import StimulusPlayer

_HINT = "Press Optimise to find the best stimulus of every neuron."
_ORDERS = ("neuron", "type", "score", "similarity")
_ORDERS_SHOWN = {"similarity": "similarity to the chosen"}
_ABOUT_ORDER = (
    "In which order the stimuli stand. Similarity is that of the frames shown to the frame of the "
    "chosen neuron, pixel by pixel (cosine): where a stimulus lies counts as much as what it looks "
    "like, so neurons of one type that look at different places stand apart."
)
_SHARE = 0.05  # of the run's time that its pictures may take
# Rows of the pool on a CPU: more were measured to be no faster, and make pictures rarer.
_CHUNK_ON_CPU = 16
_PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class LiveStimuli:
    """What is drawn of a run at one moment.

    Attributes
    ----------
    images
        ``(neuron, channel, height, width)``: of each stimulus the frame with the most power, NaN
        where there is none yet.
    scores
        ``(neuron,)``, NaN where there is none yet.
    movie
        Stimulus of the watched neuron, ``(channel, time, height, width)``, while it is computed.
    watched
        That neuron.
    progress
        Share of the most iterations that are allowed.
    before
        Share that was there when the run began.
    done, total
        Runs that have ended, a neuron from a seed each, and all.
    updates
        Iterations of this run so far, of all stimuli together.
    result
        The results so far; it grows.
    """

    images: np.ndarray
    scores: np.ndarray
    movie: np.ndarray | None
    watched: int
    progress: float
    before: float
    done: int
    total: int
    updates: int
    result: PopulationResult


class StimulusPictures:
    """Copies what is drawn out of the steps, and keeps its share of the run's time small.

    Parameters
    ----------
    neurons
        The neurons of the wall, in the order of its images.
    seeds
        Of each neuron.
    shape
        ``(channel, height, width)``.
    most
        Most iterations of a stimulus.
    """

    def __init__(
        self, neurons: Sequence[int], seeds: Sequence[int], shape: tuple[int, ...], most: int
    ) -> None:
        self.neurons, self.seeds = tuple(neurons), tuple(seeds)
        self.watched = -1
        self.total = len(self.neurons) * len(self.seeds)
        self._place = {neuron: place for place, neuron in enumerate(self.neurons)}
        self._most = most
        self._images = np.empty((len(self.neurons), *shape), np.float32)
        self.begin()
        self._forget()

    def begin(self) -> None:
        """Prepare for a run; pictures of what has ended before stay."""
        self._updates = self._before = 0
        self._again_at = 0.0

    def _forget(self) -> None:
        n = len(self.neurons)
        self._images[:] = np.nan
        self._scores = np.full(n, np.nan)
        self._final = np.full(n, -np.inf)  # best of the seeds that have ended
        self._known: set[tuple[int, int]] = set()  # neurons and seeds whose results were seen

    @property
    def due(self) -> bool:
        """Whether its share of the time allows another."""
        return time.perf_counter() >= self._again_at

    def watching(self, steps: PopulationSteps) -> PopulationSteps:
        """Pass on the steps, and keep a picture of what has ended."""
        sent: str | None = None
        first = True
        while True:
            try:
                step = steps.send(sent)
            except StopIteration as end:
                # What ended with the last step, or was there before: read in this thread.
                for _ in self.reading(end.value):
                    pass
                return end.value
            if first:  # what a folder holds from before
                for _ in self.reading(step.result):
                    pass
                self._before = step.done - len(step.finished)
                first = False
            for ended in step.ended:
                self.finish(ended)
            self._updates += len(step.pairs) if step.updates is None else step.updates
            sent = yield step

    def reading(self, result: PopulationResult) -> Generator[None, None, PopulationResult]:
        """Keep pictures of what is not known yet, block by block."""
        if not all(result.has(*pair) for pair in self._known):  # a folder that was emptied since
            self._forget()
        for block in result.blocks(but=self._known):
            self.finish(block)
            yield
        return result

    def finish(self, result: OptimizationResult) -> None:
        """Keep pictures of results."""
        images, scores = strongest_frames(result.stimulus), result.score.tolist()
        self._known.update(
            (neuron, seed) for (neuron,), seed in zip(result.neurons, result.seeds, strict=True)
        )
        for row, (neuron,) in enumerate(result.neurons):
            place = self._place.get(neuron)
            if place is not None and scores[row] > self._final[place]:
                self._images[place] = images[row]
                self._scores[place] = self._final[place] = scores[row]

    def wait_for(self, seconds: float) -> None:
        """Leave the run the time that drawing has cost it, many times over."""
        self._again_at = max(self._again_at, time.perf_counter() + seconds * (1 / _SHARE - 1))

    def __call__(self, step: PopulationStep) -> LiveStimuli:
        """Return what is drawn of a step."""
        start = time.perf_counter()
        images = strongest_frames(step.step.stimulus)
        whole = step.updates is None  # a cluster tells of one frame of each
        scores = step.step.score.tolist()
        movie = None
        for row, (neuron, _) in enumerate(step.pairs):
            place = self._place[neuron]
            if self._final[place] == -np.inf:
                self._images[place], self._scores[place] = images[row], scores[row]
            if neuron == self.watched and movie is None and whole:
                movie = step.step.stimulus[row].float().cpu().numpy().copy()
        going = sum(step.step.iterations)
        live = LiveStimuli(
            self._images.copy(),
            self._scores.copy(),
            movie,
            self.watched,
            (step.done + going / self._most) / step.total,
            self._before / step.total,
            step.done,
            step.total,
            self._updates,
            step.result,
        )
        self.wait_for(time.perf_counter() - start)
        return live

    def ended(self, result: PopulationResult) -> LiveStimuli:
        """Return what is drawn when no run goes on: only what has ended, at its best."""
        gone = np.isinf(self._final)
        self._images[gone], self._scores[gone] = np.nan, np.nan
        done = sum(result.has(neuron, seed) for neuron in self.neurons for seed in self.seeds)
        return LiveStimuli(
            self._images.copy(),
            self._scores.copy(),
            None,
            -1,
            done / self.total,
            self._before / self.total,
            done,
            self.total,
            self._updates,
            result,
        )


class StimulusWall(Exportable, RunPanel[LiveStimuli, PopulationResult]):
    """Finds the best stimulus of every neuron and shows them while they emerge.

    A tile shows the frame with the most power: of the stimulus as it is now, and, once the neuron
    has ended, of its best. A click chooses the neuron in all linked widgets and shows its stimulus
    as a movie, beside its receptive field and its tuning. The run takes place in a worker thread of
    the kernel; so do field and tuning, one neuron at a time, each computed once.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neurons
        Neurons of the wall, all of the session for None.
    selection
        What linked widgets look at; an own one for None. Its model is `model`.
    data_key
        Session; the selection's own for None.
    seed, folder, chunk, memory_mb, client
        See `population_steps`; on a CPU the pool has at most 16 rows where `chunk` is None, so that
        pictures are not rare, unless `memory_mb` bounds it. Stimuli that the folder holds are
        shown at once, and a run goes on with the others. A folder that holds something else is
        refused in the status, and when a run is started.
    order
        ``"neuron"``, ``"type"``, ``"score"`` (largest first) or ``"similarity"`` (of the frames,
        to that of the chosen neuron, pixel by pixel: place counts, so that neurons of one type that
        look at different places stand apart). By the last two, tiles change places when a run has
        ended.
    picture_rate
        Most pictures a second.
    threads
        Torch threads of the run on a CPU. ``"auto"`` takes one fewer than the machine has cores;
        None leaves torch as it is.
    settings
        Those of `neuron_steps`, such as ``max_iterations``.

    Attributes
    ----------
    result : PopulationResult or None
        The result of the last run, also of one that was stopped, or what the folder held; may be
        observed.
    job : Job or None
        The run that is going on, or the last one.
    selection : Selection
        Model, session and neurons; the neurons chosen here and there are the same.
    player : StimulusPlayer
        The stimulus of the leading neuron.
    detail : NeuronDetail
        Its receptive field and its tuning.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> wall = StimulusWall(load_model("synthetic"), max_iterations=50)
    >>> result = await wall.start()
    """

    # A picture or a movie is of one neuron: the player saves it.
    export_formats: ClassVar[Mapping[str, str]] = {
        suffix: SUFFIXES[suffix] for suffix in (".ipynb", ".html", ".npz", ".zip")
    }
    _paused = "Paused. Press Resume to go on."
    result = traitlets.Instance(PopulationResult, allow_none=True)
    _reading: Job[None, PopulationResult] | None = None  # of what a folder holds

    def __init__(
        self,
        model: RetinaModel | Any,
        neurons: Sequence[int] | int | None = None,
        *,
        selection: Selection | None = None,
        data_key: str | None = None,
        seed: int | Sequence[int] = 0,
        folder: str | os.PathLike[str] | None = None,
        chunk: int | None = None,
        memory_mb: float | None = None,
        client: Any = None,
        order: Literal["neuron", "type", "score", "similarity"] = "neuron",
        picture_rate: float = 8.0,
        threads: int | Literal["auto"] | None = "auto",
        **settings: Any,
    ) -> None:
        check_settings("StimulusWall", settings, neuron_steps, type(self).__init__)
        face = as_retina_model(model)
        if order not in _ORDERS:
            raise ValueError(unknown_name("order", str(order), _ORDERS, "order"))
        if selection is None:
            selection = Selection(face, data_key=data_key)
        elif selection.model is not face:
            raise ValueError("selection: it looks at another model than the one given")
        elif data_key is not None and face.session(data_key) != selection.data_key:
            selection.choose(0, data_key=data_key)
        self.selection = selection
        self.model = face
        self._data_key = session = selection.data_key
        self._picture_rate = picture_rate
        self._threads: int | None = live_threads() if threads == "auto" else threads
        if chunk is None and memory_mb is None and client is None and face.device.type == "cpu":
            chunk = _CHUNK_ON_CPU
        everyone = range(face.n_neurons(session))
        self._neurons = face.check_neurons(everyone if neurons is None else neurons, session)
        self._asked = {
            "data_key": session,
            "seed": seed,
            "folder": folder,
            "chunk": chunk,
            "memory_mb": memory_mb,
            "client": client,
            **settings,
        }
        refused: OtherResults | None = None
        try:
            self._steps()  # what does not fit is said now
        except OtherResults as error:  # shown where a user looks, and told again by a start
            refused = error
        self._seeds = tuple(seed) if isinstance(seed, Iterable) else (seed,)
        self._labels = [neuron.label for neuron in face.neurons(session)]
        self._types = [neuron.cell_type or "" for neuron in face.neurons(session)]
        self._live: LiveStimuli | None = None
        self._pictures: StimulusPictures | None = None
        self._order: list[int] = list(range(len(self._neurons)))  # places, as the wall has them
        self._status = RunStatus()
        self._sort = ipw.Dropdown(
            options=[(_ORDERS_SHOWN.get(name, name), name) for name in _ORDERS],
            value=order,
            description="Order",
            tooltip=_ABOUT_ORDER,
            layout=ipw.Layout(width="235px"),
            style={"description_width": "45px"},
        )
        self._buttons = RunControls(
            "Optimise",
            start="Find the best stimulus of every neuron",
            pause="Pause after this iteration",
            stop="End the run and keep what has finished",
            more=(self._sort,),
            width="110px",
            restarts=False,  # nothing on the page would make another run of it
        )
        self.wall = FieldWall(
            title="Best stimuli: strongest frame",
            unit="model units",
            pixel_size_um=face.pixel_size_um,
            height=570,
            tile=112 if len(face.channels) == 1 else 130,
            placeholder=_HINT,
        )
        self.player = StimulusPlayer(
            channels=face.channels,
            frame_rate=face.frame_rate,
            pixel_size_um=face.pixel_size_um,
            placeholder="The stimulus of the chosen neuron will play here.",
            autoplay=True,
        )
        left = ipw.VBox([self.wall], layout=ipw.Layout(min_width="0", flex="1 1 480px"))
        right = ipw.VBox(
            [self.player],
            layout=ipw.Layout(min_width="0", flex="1 1 420px", margin="6px 0 0 12px"),
        )
        row = ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%"))
        self.detail = NeuronDetail(selection, data_key=session, threads=self._threads)
        save = ExportMenu(self, name="best_stimuli")
        super().__init__((self._buttons, self._status, row, self.detail, save))
        self.add_class("orw-stimulus-wall")
        self._steered_by(self._buttons)
        self._sort.observe(lambda _: self._main_loop.call(self._draw), "value")
        self.wall.observe(lambda _: self._main_loop.call(self._chosen), "selected")
        selection.observe(self._selection_changed, ["model", "data_key", "neurons"])
        self._status.tell("idle", _HINT, progress=0.0, figures=self._figures())
        if refused is not None:
            self._fail(refused)
        elif folder is not None:
            self._open(folder)

    # In code ---------------------------------------------------------------------------------

    def start(self, *, paused: bool = False) -> Job[LiveStimuli, PopulationResult]:
        """Start a run; one that is going on is ended first. A folder's results are taken over.

        Returns
        -------
        Job
            ``await`` it for the `PopulationResult`.

        Raises
        ------
        TypeError, ValueError
            If the folder does not fit; the message is shown in the widget as well.
        """
        before, folder = self.job, self._asked["folder"]
        self._end_job()
        if before is not None and folder is not None:
            _await_end(before)  # it writes what it has to the folder
        try:
            steps = self._steps()
        except (TypeError, ValueError, MemoryError, OSError) as error:
            self._fail(error)
            raise
        self.result = None
        pictures = self._pictures
        if pictures is None or self._live is None or folder is None:
            pictures, self._live = self._new_pictures(), None
        else:  # what is in the folder stays on the wall
            pictures.begin()
            self._live = pictures.ended(self._live.result)
        pictures.watched = self.selection.neuron
        self._pictures = pictures
        wall = self.wall
        self._draw()
        self.job = job = Job(
            lambda: pictures.watching(steps),
            snapshot=pictures,
            on_update=self._show,
            on_done=self._ended,
            ready=lambda: pictures.due and wall.ready,
            rate_hz=self._picture_rate,
            name="best stimuli",
            context=partial(torch_threads, self._threads),
        )
        n = len(self._neurons)
        where = self.model.device if self._asked["client"] is None else "the workers of the cluster"
        self._doing = f"Optimising the stimuli of {n} neurons on {where}."
        there = 0.0 if self._live is None else self._live.progress
        self._status.tell("running", self._doing, progress=there, figures=self._figures())
        self._buttons.show("paused" if paused else "running")
        job.start(paused=paused)
        self.detail.show()
        return job

    def close(self) -> None:
        """End the run and close the widget with all that belongs to it; the selection stays."""
        if self.comm is not None:
            self.selection.unobserve(self._selection_changed, ["model", "data_key", "neurons"])
            self.detail.close()
        super().close()

    def _end_job(self) -> None:
        if self._reading is not None:
            self._reading.close()
        super()._end_job()

    def _steps(self) -> PopulationSteps:
        return population_steps(self.model, self._neurons, **self._asked)

    def _new_pictures(self) -> StimulusPictures:
        most = self._asked.get("max_iterations", 200) or 200
        return StimulusPictures(self._neurons, self._seeds, self.model.input_shape, most)

    # What a folder holds ---------------------------------------------------------------------

    def _open(self, folder: str | os.PathLike[str]) -> None:
        """Show what a folder holds, where it holds anything; read in a thread."""
        stored = stored_in(folder)
        if stored is None or not len(stored):
            return
        pictures = self._new_pictures()
        self._status.tell("idle", f"Reading {_counted(len(stored), 'run')} in {_name(folder)}.")
        self._reading = job = Job[None, PopulationResult](
            lambda: pictures.reading(stored),
            on_done=lambda job: self._opened(job, pictures),
            name="stored stimuli",
            context=partial(torch_threads, self._threads),
        )
        job.start()
        if not self._main_loop.exists:  # nobody would show it
            job.wait()

    def _opened(self, job: Job[None, PopulationResult], pictures: StimulusPictures) -> None:
        error = job.exception()
        if error is not None:
            self._fail(error)
            return
        result = job.result()
        self._pictures, self._live = pictures, pictures.ended(result)
        self.result = result
        self._draw()
        self._play()
        self._status.tell(
            "idle",
            f"{self._in_folder(self._live)} Click on a stimulus to play it.",
            progress=self._live.progress,
            figures=self._figures(),
        )

    def _in_folder(self, live: LiveStimuli) -> str:
        """Say how much of the wall is in the folder, and what a run would do."""
        others = len(live.result) - live.done
        beside = f", beside {others:,} of other neurons or seeds" if others else ""
        rest = "; Optimise goes on with the others" if live.done < live.total else ""
        are = "is" if live.done == 1 else "are"
        return (
            f"{live.done:,} of {_counted(live.total, self._unit)} {are} in "
            f"{_name(self._asked['folder'])}{beside}{rest}."
        )

    @property
    def _unit(self) -> str:
        """What is counted: with several seeds a neuron has several runs."""
        return "neuron" if len(self._seeds) == 1 else "run"

    # The selection ---------------------------------------------------------------------------

    def _chosen(self) -> None:
        selected = self.wall.selected
        if selected and self._is_shown() and selected != self.selection.neurons:
            self.selection.choose(selected)

    def _is_shown(self) -> bool:
        """Return whether the selection looks at what the wall shows."""
        return self.selection.model is self.model and self.selection.data_key == self._data_key

    def _selection_changed(self, _: Any = None) -> None:
        if not self._is_shown():
            self.wall.selected = ()
            return
        there = self.wall.neurons
        self.wall.selected = tuple(n for n in self.selection.neurons if n in there)
        if self._pictures is not None:
            self._pictures.watched = self.selection.neuron
        if self._sort.value == "similarity" and (self.job is None or self.job.done()):
            self._draw()
        self._play()
        if self._pictures is not None:  # what is chosen elsewhere before a run costs nothing
            self.detail.show()

    def _play(self) -> None:
        """Show the stimulus of the leading neuron, the best one where it has ended."""
        if not self._is_shown():
            return
        neuron = self.selection.neuron
        live = self._live
        stimulus: Any = None
        if live is not None and live.movie is not None and live.watched == neuron:
            stimulus = live.movie
        elif live is not None and neuron in live.result.neurons:
            one = live.result.of(neuron)
            stimulus = one.stimulus[int(one.score.nan_to_num(-np.inf).argmax())].numpy()
        self.player.title = f"Neuron {self._labels[neuron]}"
        if stimulus is None:  # not begun yet: that of another neuron must not stay
            self.player.clear()
            return
        if live is not None and stimulus is live.movie:
            self.player.show(stimulus)  # newer ones follow
        else:
            self.player.stimulus = stimulus

    # Pictures --------------------------------------------------------------------------------

    def _sorted(self) -> list[int]:
        """Return the places of the images in the order that is chosen."""
        places = list(range(len(self._neurons)))
        live, order = self._live, self._sort.value
        if order == "type":
            return sorted(places, key=lambda place: self._types[self._neurons[place]])
        if live is None or order == "neuron":
            return places
        if order == "score":
            values = np.nan_to_num(live.scores, nan=-np.inf)
        else:
            flat = np.nan_to_num(live.images.reshape(len(places), -1))
            flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
            leading = self.selection.neuron
            if not self._is_shown() or leading not in self._neurons:
                return places
            values = flat @ flat[self._neurons.index(leading)]
        return np.argsort(-values, kind="stable").tolist()

    def _draw(self) -> None:
        """Draw the wall anew, with its tiles in the order that is chosen."""
        if self._pictures is None:
            return
        self._order = self._sorted()
        shape = (len(self._neurons), *self.model.input_shape)
        live = self._live
        images = np.full(shape, np.nan, np.float32) if live is None else live.images
        neurons = [self._neurons[place] for place in self._order]
        notes = None
        if live is not None:
            known = np.isfinite(live.scores)
            notes = [
                f"score {live.scores[place]:.4g}" if known[place] else "" for place in self._order
            ]
        self.wall.show(
            images[self._order],
            neurons=neurons,
            labels=[self._labels[neuron] for neuron in neurons],
            notes=notes,
            panels=self.model.channels if len(self.model.channels) > 1 else (),
        )
        if self._is_shown():
            chosen = self.selection.neurons
            self.wall.selected = tuple(neuron for neuron in chosen if neuron in neurons)

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, live: LiveStimuli) -> None:
        self._live = live
        if self.job is None or self.job.done():
            return
        start = time.thread_time()
        self.wall.show_live(live.images[self._order])
        if live.movie is not None:
            self._play()
        self._show_going(progress=live.progress, figures=self._figures())
        if self._pictures is not None:
            self._pictures.wait_for(time.thread_time() - start)

    def _ended(self, job: Job[LiveStimuli, PopulationResult]) -> None:
        self.wall.flush()
        super()._ended(job)

    def _ended_without(self, job: Job[LiveStimuli, PopulationResult]) -> None:
        if self._live is not None:  # what the folder held
            self.result = self._live.result
        reason = _sentence(job.reason)
        self._status.tell("idle", f"{reason} before anything was computed. {_HINT}")

    def _ended_with(
        self, result: PopulationResult, job: Job[LiveStimuli, PopulationResult]
    ) -> None:
        pictures = self._pictures
        if pictures is None:
            return
        self._live = pictures.ended(result)
        self.result = result
        self._draw()
        self._play()
        self._status.tell(
            "finished",
            f"{self._how_far(self._live, job.reason)} Click on a stimulus to play it.",
            progress=None if job.reason else 1.0,
            figures=self._figures(),
        )

    def _how_far(self, live: LiveStimuli, reason: str) -> str:
        """Say what has ended, where it is, and what the next run would do."""
        words = f"{live.done:,} of {_counted(live.total, self._unit)} have ended"
        if len(self._seeds) > 1:
            words += f" ({_counted(len(self._neurons), 'neuron')}, {len(self._seeds)} seeds each)"
        if reason:
            words = f"{_sentence(reason)}: {words}"
        folder = live.result.folder
        if folder is None:
            return f"{words}."
        rest = "; Optimise goes on with the others" if live.done < live.total else ""
        return f"{words}. Their stimuli are in {_name(folder)}{rest}."

    def _figures(self) -> list[tuple[str, str]]:
        job, live = self.job, self._live
        elapsed = job.elapsed if job is not None else 0.0
        rate = live.updates / elapsed if live is not None and elapsed > 0 else 0.0
        left = None
        # By what this run did alone: what was there before took it no time.
        if live is not None and job is not None and not job.done():
            own = live.progress - live.before
            if own > 0:
                left = elapsed * max(0.0, 1 - live.progress) / own
        total = len(self._neurons) * len(self._seeds)
        done = 0 if live is None else live.done
        return [
            ("ended", f"{done:,} of {_counted(total, self._unit)}"),
            ("rate", f"{rate:,.0f} stimulus-iterations/s" if rate > 0 else "–"),
            ("elapsed", as_time(elapsed)),
            ("remaining, at most", as_time(left)),
        ]


def _name(folder: str | os.PathLike[str]) -> str:
    return os.fspath(folder)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _sentence(words: str) -> str:
    """Return words as a sentence begins."""
    return words[:1].upper() + words[1:]


def _await_end(job: Job[Any, Any]) -> None:
    """Wait for a run that was told to end: at most for the iteration that it computes."""
    until = time.monotonic() + _PATIENCE
    while not job.done() and time.monotonic() < until:
        time.sleep(0.01)
