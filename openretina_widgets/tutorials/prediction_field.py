"""Pick the receptive field that you expect among pictures, then measure it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy as np

from openretina_widgets.errors import unknown_name
from openretina_widgets.export.views import Group, groups_of
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.receptive_fields.estimation import receptive_field_steps
from openretina_widgets.insilico.receptive_fields.result import FieldsStep, ReceptiveFields
from openretina_widgets.insilico.receptive_fields.split import split_fields
from openretina_widgets.jobs import Job
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.neuron import ModelIdentity
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.tutorials.field_candidates import candidates_of, cosine
from openretina_widgets.tutorials.field_choice import FieldChoice
from openretina_widgets.tutorials.prediction_distance import Distance
from openretina_widgets.tutorials.prediction_panel import (
    PredictionPanel,
    TakesSubmissions,
    check_classroom,
    listed,
)

Progress = tuple[int, int, str, np.ndarray]
_PICTURES = (3, 12)
_METHODS = ("sta", "gradient")


class FieldPrediction(PredictionPanel[Progress, ReceptiveFields]):
    """Predict a receptive field before it is measured: pick it among pictures.

    One of them is the gradient of the neuron's response at uniform grey, its image in space. The
    others are the same with the sign flipped, without the surround and shifted, and fields of
    other neurons.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    neuron, data_key
        Whose field, in which session; the first one for None.
    pictures
        How many pictures, 3 to 12; fewer where they would look alike.
    method
        How it is measured: ``"sta"``, from responses to white noise, out of which it emerges; or
        ``"gradient"``, at once and exact.
    frames
        Of noise, with ``"sta"``.
    seed
        Of the order, the pictures and the noise.
    name, question, classroom
        See `Prediction`.

    Attributes
    ----------
    committed, attempts, result, explanation, job
        See `PredictionPanel`.
    choice : FieldChoice

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it. If the neuron has no field to pick.
    """

    _kind = "field"

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        neuron: int = 0,
        data_key: str | None = None,
        pictures: int = 6,
        method: Literal["sta", "gradient"] = "sta",
        frames: int = 10_000,
        seed: int = 0,
        name: str | None = None,
        question: str | None = None,
        classroom: TakesSubmissions | None = None,
    ) -> None:
        check_classroom(classroom)
        self.model = as_retina_model(model)
        self.data_key = self.model.session(data_key)
        (self.neuron,) = self.model.check_neurons(neuron, self.data_key)
        if method not in _METHODS:
            raise ValueError(unknown_name("method", str(method), _METHODS, "method"))
        least, most = _PICTURES
        for argument, value, low, high in (
            ("pictures", pictures, least, most),
            ("seed", seed, 0, 2**63 - 1),
            ("frames", frames, 2, 10**9),
        ):
            if not is_index(value) or not low <= value <= high:
                raise ValueError(
                    f"{argument}: expected a whole number from {low} to {high}, got {value!r}"
                )
        self.method, self.seed, self._frames = method, seed, frames
        self._candidates = candidates_of(
            self.model, self.neuron, data_key=self.data_key, pictures=pictures, seed=seed
        )
        self.choice = FieldChoice(
            np.stack([candidate.image for candidate in self._candidates]),
            words=f"Pictures, one of which is the receptive field of neuron {self.neuron}",
            measured_name=f"neuron {self.neuron}, measured",
        )
        super().__init__(
            name=name or f"receptive field, neuron {self.neuron}",
            question=question
            or f"Which picture is the receptive field of neuron {self.neuron}? Red: light there "
            "drives it; blue: darkness does.",
            drawing=self.choice,
            classroom=classroom,
        )
        self.add_class("orw-prediction")
        self.choice.observe(lambda _: self._picked(), "picked")

    @property
    def right(self) -> str | None:
        """Letter of the right picture, once it is observed."""
        return None if self.result is None else self.choice.names[self._right]

    @property
    def value(self) -> str | None:
        """Letter of the picture that is picked."""
        picked = self.choice.picked
        return None if picked is None else self.choice.names[picked]

    def draw(self, value: str) -> None:
        """Pick in code: the letter of a picture, such as ``"B"``.

        Raises
        ------
        ValueError
            If the prediction is committed, or there is no such picture.
        """
        if self.committed:
            raise ValueError("draw: the prediction is committed, and locked; reset() starts anew")
        if not isinstance(value, str) or value.upper() not in self.choice.names:
            raise ValueError(unknown_name("value", value, self.choice.names, "picture"))
        self.choice.picked = self.choice.names.index(value.upper())

    # What a picked field has of its own ---------------------------------------------------------

    @property
    def _right(self) -> int:
        return next(k for k, candidate in enumerate(self._candidates) if candidate.right)

    def _picked(self) -> None:
        if not self.committed:
            self._tell()

    def _missing(self) -> str:
        return "pick a picture" if self.choice.picked is None else ""

    def _touched(self) -> bool:
        return self.choice.picked is not None

    def _clear(self) -> None:
        with self.choice.hold_sync():
            self.choice.picked = None
            self.choice.show_measured(None)
            self.choice.tell(None, None)

    def _new_job(self) -> Job[Progress, ReceptiveFields]:
        self.choice.show_measured(None)
        self.choice.tell(None, None)
        how = "its gradient at grey" if self.method == "gradient" else "responses to white noise"
        self._doing = f"Receptive field of neuron {self.neuron}: {how}."
        noise: dict[str, Any] = (
            {} if self.method == "gradient" else {"frames": self._frames, "seed": self.seed}
        )
        return Job(
            partial(
                receptive_field_steps,
                self.model,
                neurons=[self.neuron],
                data_key=self.data_key,
                method=self.method,
                **noise,
            ),
            snapshot=_progress,
            on_update=self._show,
            on_done=self._ended,
            rate_hz=10.0,
            name="prediction",
            context=partial(torch_threads, live_threads()),
        )

    def _figures(self, done: int, total: int) -> list[tuple[str, str]]:
        unit = "frames of noise" if self.method == "sta" else "field"
        return [("attempt", str(self.attempts)), (unit, f"{done} of {total}" if total else "–")]

    def _show(self, progress: Progress) -> None:
        done, total, unit, image = progress
        self._counts = (done, total)
        self.choice.show_measured(image, f"{done} of {total} {unit}")
        self._show_going(progress=done / total, figures=self._figures(done, total))

    def _compare_with(self, result: ReceptiveFields) -> Distance:
        picked = self._candidates[self.choice.picked or 0]
        image = result.spatial[0]
        value = cosine(picked.image, image)
        why = "" if math.isfinite(value) else result.reasons[0] or "there is no field"
        name = self.choice.names[self._right]
        words = (
            f"Right: {name} is its receptive field."
            if picked.right
            else f"Not {self.value}: that is {picked.what}. Its receptive field is {name}."
        )
        if not why:
            words += f" The cosine of your picture and the measured one is {value:.2f}."
        how = "gradient at grey" if self.method == "gradient" else f"{result.frames_used} frames"
        self.choice.show_measured(image, why or how)
        self.choice.tell([candidate.what for candidate in self._candidates], self._right)
        values: dict[str, float | bool] = {"right": picked.right, "cosine": value}
        return Distance(values, {"cosine": why} if why else {}, words.replace(" -", " −"))

    # Keeping and sending ---------------------------------------------------------------------

    def _identity(self) -> ModelIdentity:
        return self.model.identity

    def _about(self) -> dict[str, Any]:
        return {
            "neuron": self.neuron,
            "data_key": self.data_key,
            "method": self.method,
            "seed": self.seed,
            "pictures": len(self._candidates),
        }

    def _groups(self) -> list[Group]:
        picked = self._candidates[self.choice.picked or 0]
        image = np.asarray(picked.image)[None, None, None]  # without time and colour
        (group,) = groups_of(ReceptiveFields.of(image))
        return [Group(f"Picked: {self.value}, {picked.what}", self.verdict, group.views)]

    def _figure(self) -> Any:
        figure = new_figure(6.5, 3.8)
        picked = self._candidates[self.choice.picked or 0]
        images = {
            f"picked: {self.value}, {picked.what}": picked.image,
            f"measured, neuron {self.neuron}": self.result.spatial[0],
        }
        for axes, (title, image) in zip(figure.subplots(1, 2), images.items(), strict=True):
            limit = float(np.nanmax(np.abs(image), initial=0.0)) or 1.0  # each by itself
            axes.imshow(image, cmap="bwr", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize="small", wrap=True)
        return figure

    def _plain_value(self) -> Any:
        picked = self._candidates[self.choice.picked or 0]
        told = {} if self.result is None else {"what": picked.what}
        return {"picture": self.value, **told}

    def _plain_result(self) -> Any:
        return [listed(row) for row in self.result.spatial[0]]

    def _submission(self) -> dict[str, Any]:
        # By what it is: letters depend on the seed.
        return {"value": self._candidates[self.choice.picked or 0].what}


def _progress(step: FieldsStep) -> Progress:
    return step.done, step.total, step.unit, split_fields(step.fields.copy()).spatial[0]
