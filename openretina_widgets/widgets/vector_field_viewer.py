"""The local gradient of each neuron over images: a plane of images with arrows, and each LSTA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.drawing.colour import symmetric_limits
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico.receptive_fields.vector_field import (
    PLANES,
    VectorFieldStep,
    vector_field_steps,
)
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import beside_or_above
from openretina_widgets.widgets.export_button import ChosenExport, ExportMenu
from openretina_widgets.widgets.measures_table import table
from openretina_widgets.widgets.neurons_picker import NeuronsPicker
from openretina_widgets.widgets.retina_map import RetinaMap
from openretina_widgets.widgets.run_panel import RunControls
from openretina_widgets.widgets.run_status import RunStatus
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.selection_run import SelectionRun
from openretina_widgets.widgets.stimulus_designer import shared_selection
from openretina_widgets.widgets.vector_plane import VectorPlane

_HINT = "Press Run: each image becomes a point, with the gradient of the response as its arrow."
_NOISE = "1/f noise"
_PLANE_WORDS = {"lsta": "of most LSTA power", "images": "first components of the images"}
_MOST_SEED = 2**31 - 1

Progress = tuple[int, int]


class VectorFieldViewer(ChosenExport, SelectionRun[Progress, VectorField]):
    """How the local gradient (LSTA) of each neuron turns from image to image.

    Each image is a point of the neuron's plane, coloured by the response, with the gradient as an
    arrow; a click on a point shows the image and the LSTA there. A run takes place in a worker
    thread and computes all neurons, so that others can be chosen afterwards without a new one.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model. None with a selection.
    selection
        What is shared with other widgets; one of its own for None.
    images
        Images as `vector_field_steps` takes them, or several sets by name. 1/f noise can always
        be chosen.
    plane
        Chosen at first: ``"lsta"`` or ``"images"``.
    seed
        Of the images of noise.

    Attributes
    ----------
    result : VectorField or None
        Of the last run that was not stopped; may be observed.
    job : Job or None
        The run that is going on, or the last one.
    selection : Selection
        Its leading neuron is drawn.
    plane : VectorPlane
        Its `clicked` is the image that is shown.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> viewer = VectorFieldViewer(load_model("synthetic"))
    >>> field = await viewer.start()
    """

    _paused = "Paused. Press Resume to go on."
    _counted = "images"
    result = traitlets.Instance(VectorField, allow_none=True)

    def __init__(
        self,
        model: RetinaModel | Any | None = None,
        *,
        selection: Selection | None = None,
        images: Any = None,
        plane: str = "lsta",
        seed: int = 0,
    ) -> None:
        self.selection = shared_selection(model, selection)
        if plane not in PLANES:
            raise ValueError(unknown_name("plane", str(plane), PLANES, "plane"))
        if check_seed(seed) > _MOST_SEED:
            raise ValueError(f"seed: expected at most 2^31 - 1, got {seed!r}")
        given = (
            {} if images is None else images if isinstance(images, Mapping) else {"given": images}
        )
        self._given: dict[str, Any] = {**{str(name): one for name, one in given.items()}}
        style, wide = {"description_width": "82px"}, {"width": "auto", "min_width": "0"}
        self._images = ipw.Dropdown(
            options=[*self._given, _NOISE],
            value=next(iter(self._given), _NOISE),
            description="Images",
            tooltip="At which the gradients are taken",
            layout=ipw.Layout(**wide),
            style=style,
        )
        self._span = ipw.Dropdown(
            options=[(words, name) for name, words in _PLANE_WORDS.items()],
            value=plane,
            description="Plane",
            tooltip="What spans the plane",
            layout=ipw.Layout(**wide),
            style=style,
        )
        self._seed = ipw.BoundedIntText(
            value=seed,
            min=0,
            max=_MOST_SEED,
            description="Seed",
            tooltip="Of the images of noise",
            layout=ipw.Layout(**wide),
            style=style,
        )
        self.picker = NeuronsPicker(self.selection)
        self._buttons = RunControls(
            "Run",
            start="Compute the gradients of every neuron at every image",
            pause="Pause after these images, or go on",
            stop="End the run",
            width="96px",
        )
        self._status = RunStatus()
        self.plane = VectorPlane(title="Images in the plane", height=420)
        self._words = ipw.HTML(layout=ipw.Layout(width="auto", overflow="auto"))
        # Wide enough for two maps beside each other, the second with its colour bar.
        self._stage = ipw.VBox(layout=ipw.Layout(flex="1 1 550px", min_width="0"))
        what = ipw.VBox([self._images, self._seed, self._span])
        drawn = ipw.VBox([self.plane], layout=ipw.Layout(flex="1 1 420px", min_width="0"))
        right = ipw.VBox(
            [self._buttons, self._status, self._words],
            layout=ipw.Layout(flex="1000 1 480px", min_width="0"),
        )
        super().__init__(
            (
                ipw.HBox(
                    [beside_or_above([what, self.picker]), right],
                    layout=ipw.Layout(flex_flow="row wrap", width="100%"),
                ),
                ipw.HBox(
                    [drawn, self._stage],
                    layout=ipw.Layout(flex_flow="row wrap", width="100%", margin="8px 0 0"),
                ),
                ExportMenu(self, name="vector_field"),
            )
        )
        self.add_class("orw-vector-field")
        self._steered_by(self._buttons)
        self.image_maps: list[RetinaMap] = []
        self.lsta_maps: list[RetinaMap] = []
        self._show_model()
        self.plane.observe(lambda _: self._main_loop.call(self._show_image), "clicked")
        for control in (self._images, self._span, self._seed):
            control.observe(lambda _: self._main_loop.call(self.reset), "value")
        self._follow_selection()

    # In code ---------------------------------------------------------------------------------

    def start(self, *, paused: bool = False) -> Job[Progress, VectorField]:
        """Start a run with the settings shown; one that is going on is ended first.

        Returns
        -------
        Job
            ``await`` it for the `VectorField`.

        Raises
        ------
        TypeError, ValueError, OutOfMemory
            If the settings do not fit; the message is shown in the widget as well.
        """
        self._end_job()
        chosen = self.selection
        try:
            steps = vector_field_steps(
                chosen.model,
                self._given.get(self._images.value),
                data_key=chosen.data_key,
                plane=self._span.value,
                seed=self._seed.value,
            )
        except (TypeError, ValueError, MemoryError) as error:
            self._fail(error)
            raise
        self.result = None
        self._clear()
        n = chosen.model.n_neurons(chosen.data_key)
        return self._launch(
            lambda: steps,
            snapshot=_progress,
            name="vector field",
            doing=f"Gradients of {n} neurons at {self._images.value}.",
            paused=paused,
        )

    def reset(self) -> None:
        """End the run, and take result and pictures away."""
        self._end_job()
        self.job, self.result = None, None
        self._clear()
        self._seed.disabled = self._images.value != _NOISE
        self._say_idle(_HINT)

    def _close_others(self) -> None:
        self.picker.close()

    # The selection ---------------------------------------------------------------------------

    @property
    def _chosen_neurons(self) -> tuple[int, ...]:
        return self.selection.neurons

    def _selection_changed(self, change: Any) -> None:
        if change["name"] == "model":
            self._show_model()
        elif change["name"] == "data_key":
            self.reset()
        else:
            self._draw()

    def _show_model(self) -> None:
        model, old = self.selection.model, self._stage.children
        _, height, width = model.input_shape
        several = len(model.channels) > 1

        def maps(what: str, unit: str) -> list[RetinaMap]:
            return [
                RetinaMap(
                    title=f"{what}, {name}" if several else what,
                    shape=(height, width),
                    pixel_size_um=model.pixel_size_um,
                    unit=unit,
                    width=318 if k == len(model.channels) - 1 else 220,
                    height=230,
                    colour_bar=k == len(model.channels) - 1,
                    placeholder="Run, then click on a point.",
                )
                for k, name in enumerate(model.channels)
            ]

        self.image_maps = maps("Image", "model units")
        self.lsta_maps = maps("LSTA", "a.u. / unit")
        self._heading = ipw.HTML()
        rows = [
            ipw.HBox(row, layout=ipw.Layout(flex_flow="row wrap", width="100%"))
            for row in (self.image_maps, self.lsta_maps)
        ]
        self._stage.children = (self._heading, *rows)
        for widget in old:
            for part in getattr(widget, "children", ()):
                part.close()
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()
        self.reset()

    # Pictures --------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._words.value = ""
        self._heading.value = ""
        self.plane.clear()
        for one in (*self.image_maps, *self.lsta_maps):
            one.clear()

    def _draw(self) -> None:
        """Draw the plane of the leading neuron."""
        result, neuron = self.result, self.selection.neuron
        if result is None or neuron not in result.neurons:
            return
        column = result.column(neuron)
        self.plane.title = f"Images in the plane of {self.selection.labels[0]}"
        first, second = result.explained[column]
        longest = float(np.linalg.norm(result.slopes[:, column], axis=1).max())
        self.plane.draw(
            result.coordinates[:, column],
            result.slopes[:, column],
            result.responses[:, column],
            labels=result.axis_labels(column),
            unit=result.unit,
            note=f"The axes hold {first:.0%} and {second:.0%} of the LSTA power. Longest arrow "
            f"{longest:.3g} a.u. for each model unit. Dashed: grey."
            if np.isfinite(result.explained[column]).all()
            else "The LSTA vanishes at every image.",
        )
        shown = list(self.selection.neurons[:4])
        self._words.value = table(
            result.indices(),
            {},
            main="images",
            columns=[result.column(one) for one in shown],
            names=list(self.selection.labels[:4]),
        )
        if self.plane.clicked is None:
            self.plane.clicked = int(result.responses[:, column].argmax())
        self._show_image()

    def _show_image(self) -> None:
        """Show the chosen image, and the LSTA of the leading neuron there."""
        result, at = self.result, self.plane.clicked
        if result is None or at is None or self.selection.neuron not in result.neurons:
            return
        column = result.column(self.selection.neuron)
        apart = result.images - np.asarray(result.grey, np.float32)[:, None, None]
        # One limit for all images, so that pictures can be compared.
        limits = symmetric_limits(apart)[1], symmetric_limits(result.lsta[:, column])[1]
        cosine = result.cosines()[at, column]
        words = f"cosine to the mean LSTA {cosine:.2f}" if np.isfinite(cosine) else "no LSTA here"
        self._heading.value = (
            f'<div class="orw-heading">Image {at}: response '
            f"{result.responses[at, column]:.3g} {result.unit}, {words}</div>"
        ).replace("-0.", "−0.")
        for maps, pictures, limit in (
            (self.image_maps, apart[at], limits[0]),
            (self.lsta_maps, result.lsta[at, column], limits[1]),
        ):
            for one, picture in zip(maps, pictures, strict=True):
                one.show(picture, limit=limit)

    # From the run, on the loop ---------------------------------------------------------------

    def _show(self, progress: Progress) -> None:
        done, total = progress
        self._show_going(progress=done / total, figures=self._figures(done, total))

    def _ended_without(self, job: Job[Progress, VectorField]) -> None:
        self._status.tell("idle", f"Ended: {job.reason}. Press Run to start again.")

    def _ended_with(self, result: VectorField, job: Job[Progress, VectorField]) -> None:
        self.result = result
        self._draw()
        total = len(result.images)
        self._status.tell(
            "finished",
            f"Done: {result.described}, {len(result.neurons)} neurons. Click on a point to see its "
            "image and LSTA.",
            progress=1.0,
            figures=self._figures(total, total),
        )


def _progress(step: VectorFieldStep) -> Progress:
    return step.done, step.total
