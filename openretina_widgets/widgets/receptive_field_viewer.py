"""Every neuron's receptive field: a wall, one field enlarged, and the mosaic on the retina."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.drawing.field_content import project, unit_of
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.cluster import check_client
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.receptive_fields.estimation import receptive_field_steps
from openretina_widgets.insilico.receptive_fields.mosaic import mosaics
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.field_wall import FieldWall
from openretina_widgets.widgets.receptive_field_parts import (
    METHODS,
    NOISE,
    FieldButtons,
    FieldDetail,
    FieldSettings,
    LiveFields,
)
from openretina_widgets.widgets.receptive_field_pictures import (
    Snapshots,
    centre_of,
    noise_image,
    notes_of,
    regularity_in_words,
)
from openretina_widgets.widgets.retina_map import RetinaMap
from openretina_widgets.widgets.run_panel import RunPanel
from openretina_widgets.widgets.run_status import RunStatus, as_time
from openretina_widgets.widgets.selection import Selection

_HINT = "Choose a method and press Compute fields."
_ALL = "all types"
_DETAIL_EVERY = 1.0  # seconds from one enlarged picture to the next while a run goes on


class ReceptiveFieldViewer(Exportable, RunPanel[LiveFields, ReceptiveFields]):
    """Computes the receptive fields of all neurons and shows them.

    A wall of all fields; the one that is chosen enlarged, with its kernel in time and its figures;
    and the mosaic of all fitted centres on the retina. The run takes place in a worker thread of
    the kernel, and the wall changes while it goes on. A failure is shown in the widget and raised
    by ``await job``.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    selection
        What linked widgets look at; an own one for None. Its model is `model`.
    data_key
        Session chosen at first; the selection's own for None.
    method
        Chosen at first: ``"gradient"`` (at grey), ``"local gradient"`` (at an image) or ``"sta"``.
    base
        Stimulus at which a local gradient is taken, or several by name; see
        `receptive_field_steps`. Noise can always be chosen.
    frames
        Frames of noise for a spike-triggered average.
    seed
        Of the noise.
    picture_rate
        Most pictures a second.
    threads
        Torch threads of the run on a CPU. ``"auto"`` takes one fewer than the machine has cores,
        since the browser needs one too; None leaves torch as it is.
    client
        A ``distributed.Client`` whose workers compute; None to compute here.

    Attributes
    ----------
    result : ReceptiveFields or None
        The result of the last run that ended by itself; may be observed.
    job : Job or None
        The run that is going on, or the last one.
    selection : Selection
        Model, session and neurons; the neurons chosen here and there are the same.
    model : RetinaModel
        The selection's; setting another one ends the run and clears the pictures.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> viewer = ReceptiveFieldViewer(load_model("synthetic"))
    >>> fields = await viewer.start()
    """

    _paused = "Paused. Press Resume to go on."
    result = traitlets.Instance(ReceptiveFields, allow_none=True)

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        selection: Selection | None = None,
        data_key: str | None = None,
        method: str = "gradient",
        base: Any = None,
        frames: int = 20_000,
        seed: int = 0,
        picture_rate: float = 5.0,
        threads: int | Literal["auto"] | None = "auto",
        client: Any = None,
    ) -> None:
        face = as_retina_model(model)
        if client is not None:
            check_client(client)
        self._client = client
        if method not in METHODS:
            raise ValueError(unknown_name("method", str(method), tuple(METHODS), "method"))
        if selection is None:
            selection = Selection(face, data_key=data_key)
        elif selection.model is not face:
            raise ValueError("selection: it looks at another model than the one given")
        elif data_key is not None and face.session(data_key) != selection.data_key:
            selection.choose(0, data_key=data_key)
        self.selection = selection
        self._picture_rate = picture_rate
        self._threads: int | None = live_threads() if threads == "auto" else threads
        given = {} if base is None else base if isinstance(base, Mapping) else {"given": base}
        self._settings = FieldSettings(face, method=method, bases=given, frames=frames, seed=seed)
        self._status, self._buttons = RunStatus(), FieldButtons()
        self._display = ipw.VBox(layout=ipw.Layout(width="100%"))
        self._images: np.ndarray | None = None  # (neuron, channel, height, width)
        self._kernels = np.empty(0)
        save = ExportMenu(self, name="receptive_fields")
        super().__init__((self._settings, self._buttons, self._status, self._display, save))
        self.add_class("orw-receptive-fields")
        self._shown: tuple[RetinaModel, str] | None = None
        settings = self._settings
        self._steered_by(self._buttons)
        settings.session.observe(lambda _: self._main_loop.call(self._session_chosen), "value")
        settings.channel.observe(lambda _: self._main_loop.call(self._draw_wall), "value")
        selection.observe(self._selection_changed, ["model", "data_key", "neurons"])
        self._selection_changed()

    # In code ---------------------------------------------------------------------------------

    @property
    def model(self) -> RetinaModel:
        """The model whose fields are shown."""
        return self.selection.model

    @model.setter
    def model(self, model: RetinaModel | Any) -> None:
        self.selection.show_model(model)

    def start(self, *, paused: bool = False) -> Job[LiveFields, ReceptiveFields]:
        """Start a run with the settings shown; a run that is going on is ended first.

        Returns
        -------
        Job
            ``await`` it for the `ReceptiveFields`.

        Raises
        ------
        TypeError, ValueError
            If the settings do not fit; the message is shown in the widget as well.
        """
        self._end_job()
        method = self._settings.method.value
        try:
            steps = receptive_field_steps(
                self.model,
                data_key=self.selection.data_key,
                method=method,
                client=self._client,
                **self._more(method),
            )
        except (TypeError, ValueError, MemoryError) as error:
            self._fail(error)
            raise
        self.result = None
        self._prepare(method)
        wall, snapshot = self.wall, Snapshots()
        self._detailed_at = 0.0
        self.job = job = Job(
            lambda: steps,
            snapshot=snapshot,
            on_update=self._show,
            on_done=self._ended,
            ready=lambda: snapshot.due and wall.ready,
            rate_hz=self._picture_rate,
            name="receptive fields",
            context=partial(torch_threads, self._threads),
        )
        self._doing = self._in_words()
        self._status.tell("running", self._doing, progress=0.0, figures=self._progress(None))
        self._buttons.show("paused" if paused else "running")
        return job.start(paused=paused)

    def reset(self) -> None:
        """End the run, and take result and pictures away."""
        self._end_job()
        self.job, self.result = None, None
        self._images = None
        self.wall.clear()
        self.detail.clear()
        self.mosaic.clear()
        self._buttons.show("idle")
        self._status.tell("idle", _HINT, progress=0.0, figures=self._progress(None))

    def close(self) -> None:
        """End the run and close the widget with all that belongs to it; the selection stays."""
        if self.comm is not None:
            self.selection.unobserve(self._selection_changed, ["model", "data_key", "neurons"])
        super().close()

    # From the page ---------------------------------------------------------------------------

    def _session_chosen(self) -> None:
        session = self._settings.session.value
        if session is not None and session != self.selection.data_key:
            self.selection.choose(0, data_key=session)

    def _chosen_in(self, widget: FieldWall | RetinaMap) -> None:
        # What the widget says now: an older message must not undo a newer one.
        if widget.selected and widget.selected != self.selection.neurons:
            self.selection.choose(widget.selected)

    # The selection ---------------------------------------------------------------------------

    def _selection_changed(self, _: Any = None) -> None:
        model, session = self.selection.model, self.selection.data_key
        before, self._shown = self._shown, (model, session)
        if before is None or before[0] is not model:
            self._end_job()
            self._settings.show_model(model, session)
            self._show_model(model)
            self.reset()
        elif before[1] != session:
            self._settings.show_model(model, session)
            self.reset()
        self._show_choice()

    def _show_model(self, model: RetinaModel) -> None:
        old = self._display.children
        _, height, width = model.input_shape
        self.wall = FieldWall(
            title="Receptive fields",
            pixel_size_um=model.pixel_size_um,
            height=470,
            tile=112 if len(model.channels) == 1 else 130,
            placeholder=f"{_HINT} The fields of all neurons will be here.",
        )
        self.detail = FieldDetail(model)
        self.mosaic = RetinaMap(
            title="Mosaic: centres at 2σ, ON red, OFF blue",
            shape=(height, width),
            pixel_size_um=model.pixel_size_um,
            selectable=True,
            colour_bar=False,
            width=440,
            height=420,
            placeholder="The fitted centres of all neurons will be here.",
        )
        self._type = ipw.Dropdown(
            options=[_ALL],
            description="Type",
            tooltip="Whose centres the mosaic shows",
            layout=ipw.Layout(width="320px"),
            style={"description_width": "40px"},
        )
        self._type.observe(lambda _: self._main_loop.call(self._draw_mosaic), "value")
        for widget in (self.wall, self.mosaic):
            widget.observe(self._follow(widget), "selected")
        column = {"min_width": "0", "flex": "1 1 480px"}
        left = ipw.VBox([self.wall, self._type, self.mosaic], layout=ipw.Layout(**column))
        right = ipw.VBox(
            [self.detail], layout=ipw.Layout(**column, margin="6px 0 0 12px", max_width="640px")
        )
        row = ipw.HBox([left, right], layout=ipw.Layout(flex_flow="row wrap", width="100%"))
        self._display.children = (_Display(row),)
        for widget in old:
            widget.close()

    def _follow(self, widget: FieldWall | RetinaMap) -> Callable[[Any], None]:
        return lambda _: self._main_loop.call(lambda: self._chosen_in(widget))

    def _show_choice(self) -> None:
        """Frame the chosen neurons, and enlarge the leading one."""
        chosen = self.selection.neurons
        self.wall.selected = tuple(index for index in chosen if index in self.wall.neurons)
        self.mosaic.selected = chosen
        self._enlarge()

    def _enlarge(self) -> None:
        if self._images is None:
            return
        neuron = self.selection.neuron
        self.detail.show(
            self.selection.labels[0],
            self._images[neuron],
            self._kernels[neuron],
            unit=self.wall.unit,
            fields=self.result,
            at=neuron,
        )

    # Pictures --------------------------------------------------------------------------------

    def _prepare(self, method: str) -> None:
        """Make the places that the pictures of a run will fill, so that nothing moves."""
        n = self.model.n_neurons(self.selection.data_key)
        self._images = np.full((n, *self.model.input_shape), np.nan, np.float32)
        self._kernels = np.full((n, self.model.input_shape[0], self.model.lag + 1), np.nan)
        self.wall.unit = unit_of(method)
        self._draw_wall()
        self.mosaic.clear()
        self._show_choice()

    def _draw_wall(self, *, live: bool = False) -> None:
        if self._images is None:
            return
        channels = self.model.channels
        channel = self._settings.channel.value
        panels = channels if channel not in channels else (channel,)
        images = self._images[:, [channels.index(name) for name in panels]]
        if live:
            self.wall.show_live(images)
            return
        neurons = self.model.neurons(self.selection.data_key)
        self.wall.show(
            images,
            labels=[neuron.label for neuron in neurons],
            notes=None if self.result is None else notes_of(self.result),
            panels=panels if len(channels) > 1 else (),
        )
        self.wall.selected = self.selection.neurons

    def _draw_mosaic(self) -> None:
        result = self.result
        if result is None:
            return
        types = dict.fromkeys(filter(None, result.cell_types))
        options = (_ALL, *types)
        if self._type.options != options:
            self._type.options = options
        kept = self._type.value
        labels = [neuron.label for neuron in self.model.neurons(result.data_key)]
        outlines = [
            outline
            for at, neuron in enumerate(result.neurons)
            if kept in (_ALL, result.cell_types[at])
            for outline in centre_of(result, at, labels[neuron])
        ]
        lost = sum(kept in (_ALL, name) for name in result.cell_types) - len(outlines)
        notes = [f"{len(outlines)} fitted, {lost} not determined"] if lost else []
        if kept != _ALL:
            notes.append(regularity_in_words(mosaics(result)[kept]))
        note = "; ".join(notes)
        self.mosaic.show(outlines=outlines, note=note)
        if not outlines:
            self.mosaic.placeholder = "No centre of these neurons is determined."
        self.mosaic.selected = self.selection.neurons

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, fields: LiveFields) -> None:
        job = self.job
        if job is None or job.done():
            return
        self._images, self._kernels = fields.images, fields.kernels
        self._draw_wall(live=True)
        self._show_going(progress=fields.done / fields.total, figures=self._progress(fields))
        now = time.monotonic()
        if job.state == "paused" or now - self._detailed_at >= _DETAIL_EVERY:
            self._detailed_at = now
            self._enlarge()

    def _ended(self, job: Job[LiveFields, ReceptiveFields]) -> None:
        self.wall.flush()
        super()._ended(job)

    def _ended_without(self, job: Job[LiveFields, ReceptiveFields]) -> None:
        self._status.tell(
            "idle", f"Ended: {job.reason}. What is shown is not finished, and not fitted."
        )
        self._enlarge()

    def _ended_with(self, result: ReceptiveFields, job: Job[LiveFields, ReceptiveFields]) -> None:
        self._images, self._kernels = project(result.fields, result.temporal, result.spatial)
        self.result = result
        self._draw_wall()
        self._draw_mosaic()
        self._enlarge()
        n, lost = len(result.neurons), sum(map(bool, result.reasons))
        name = METHODS[result.method]
        words = f"{n - lost} of {n} fields are determined" if lost else f"all {n} are determined"
        after = f", after {job.reason}" if job.reason else ""
        self._status.tell(
            "finished",
            f"{name[0].upper()}{name[1:]} ({result.base}){after}: {words}. "
            "Click on a field to enlarge it.",
            progress=1.0,
        )

    def _more(self, method: str) -> dict[str, Any]:
        settings = self._settings
        if method == "sta":
            return {"frames": settings.frames.value, "seed": settings.seed.value}
        if method == "gradient":
            return {}
        name = settings.base.value
        if name == NOISE:
            return {"base": noise_image(self.model, settings.seed.value)}
        return {"base": settings.bases[name]}

    def _in_words(self) -> str:
        words = METHODS[self._settings.method.value]
        n = self.model.n_neurons(self.selection.data_key)
        where = self.model.device if self._client is None else "the workers of the cluster"
        return f"Computing the {words} of {n} neurons on {where}."

    def _progress(self, fields: LiveFields | None) -> list[tuple[str, str]]:
        job = self.job
        elapsed = job.elapsed if job is not None else 0.0
        what = "frames" if self._settings.method.value == "sta" else "neurons"
        rate = fields.done / elapsed if fields is not None and elapsed > 0 else 0.0
        left = (fields.total - fields.done) / rate if fields is not None and rate > 0 else None
        return [
            (what, "–" if fields is None else f"{fields.done:,} of {fields.total:,}"),
            ("rate", f"{rate:,.0f} /s" if rate > 0 else "–"),
            ("elapsed", as_time(elapsed)),
            ("remaining", as_time(left)),
        ]


class _Display(Composition):
    """What belongs to one model, closed as a whole when another one comes."""

    def __init__(self, row: ipw.HBox) -> None:
        super().__init__((row,), layout=ipw.Layout(width="100%"))
