"""Predict, observe, explain: in plain Python, on the synthetic retina."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets

import openretina_widgets as orw
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.sweep import sweep
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.models.synthetic import load_synthetic
from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.place import HOME_VARIABLE
from openretina_widgets.tutorials.classroom.predictions import read_prediction
from openretina_widgets.tutorials.prediction import Prediction
from openretina_widgets.tutorials.prediction_canvas import PredictionCanvas

UP = [0, 50, 100, 50, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def model() -> RetinaModel:
    return load_synthetic()


def selective(model: RetinaModel, direction: float) -> int:
    """A neuron that prefers a direction."""
    return next(
        truth.index
        for truth in model.module.ground_truth
        if truth.preferred_direction_deg == direction and "ON-OFF" in truth.cell_type
    )


@pytest.fixture
def prediction(model: RetinaModel) -> Iterator[Prediction]:
    made = Prediction(model, "direction", neuron=selective(model, 90.0))
    yield made
    made.close()


class Room:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []

    def submit(self, kind: str, id: str, value: Any) -> None:
        self.sent.append((kind, id, json.loads(json.dumps(value))))


async def test_only_what_is_committed_can_be_observed(prediction: Prediction) -> None:
    buttons = prediction._buttons
    assert buttons.commit.disabled
    assert buttons.start.disabled
    assert "Predict and commit first" in buttons.start.tooltip
    assert "Observe opens when you have committed" in prediction._status.message
    with pytest.raises(ValueError, match=r"observe: predict first.*draw the response"):
        prediction.observe()
    with pytest.raises(ValueError, match="commit: draw the response"):
        prediction.commit()
    prediction.canvas.drawn = [0, 50, 100, None, 0, None, 0, 0]
    assert "still to draw: direction 135°, 225°" in prediction._status.message
    assert buttons.commit.disabled
    prediction.draw(UP)
    assert not buttons.commit.disabled
    with pytest.raises(ValueError, match="observe: predict first, and commit it"):
        prediction.observe()
    prediction.commit()
    assert prediction.committed
    assert not buttons.start.disabled
    with pytest.raises(ValueError, match="committed already"):
        prediction.commit()
    with pytest.raises(ValueError, match="draw: the prediction is committed"):
        prediction.draw(UP)
    prediction.canvas.drawn = [1.0] * 8  # as from a page that does not know yet
    assert prediction.canvas.drawn == UP
    with pytest.raises(traitlets.TraitError):
        prediction.committed = False


async def test_what_is_measured_is_the_sweep_and_the_distance_that_of_the_ground_truth(
    model: RetinaModel, prediction: Prediction
) -> None:
    grown = []
    prediction.canvas.observe(lambda change: grown.append(change["new"]), "_content")
    prediction.draw(UP)
    prediction.commit()
    assert prediction._explain.disabled
    curves = await prediction.observe()
    assert prediction.result is curves
    plain = sweep(model, experiments.standard("direction", model), neurons=prediction.neuron)
    np.testing.assert_allclose(curves.responses, plain.responses, rtol=1e-5, atol=1e-6)
    shown = prediction.canvas._content
    responses = plain.responses[:, 0]
    expected = 100 * responses / responses.max()
    assert shown["curves"][1]["values"] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert shown["finished"]
    assert f"100 % is {responses.max():.3g} a.u., the largest response." in shown["note"]
    assert prediction.distance["angle_deg"] <= 15  # it was built to prefer 90°
    assert prediction.distance["correlation"] > 0.8
    assert prediction.distance["rms"] == pytest.approx(
        math.sqrt(np.mean((np.array(UP) - expected) ** 2)) / 100
    )
    assert "the right direction" in prediction.verdict
    assert prediction._buttons.start.disabled
    assert not prediction._explain.disabled
    known = [sum(v is not None for v in c["curves"][1]["values"]) for c in grown]
    assert known == sorted(known)  # condition by condition


async def test_opposite_direction(prediction: Prediction) -> None:
    prediction.draw(np.roll(UP, 4))
    prediction.commit()
    await prediction.observe()
    assert prediction.distance["angle_deg"] == pytest.approx(180, abs=15)
    assert prediction.distance["correlation"] < 0


def test_without_a_loop(prediction: Prediction) -> None:
    prediction.draw(UP)
    prediction.commit()
    assert prediction.observe().result() is prediction.result


async def test_a_dial_in_place_of_the_curve(prediction: Prediction) -> None:
    assert prediction.kind == "polar"
    prediction._choice.value = "dial"
    assert "place the preferred direction" in prediction._status.message
    prediction.draw(450)
    assert prediction.value == 90
    prediction.commit()
    await prediction.observe()
    assert [*prediction.distance] == ["angle_deg"]
    assert prediction.distance["angle_deg"] <= 15
    assert json.loads(json.dumps(prediction.to_dict()))["prediction"] == 90.0


def test_what_is_drawn_is_stretched_to_its_largest(prediction: Prediction) -> None:
    prediction.draw([0, 10, 40, 20, 0, 0, 0, 0])
    prediction.commit()
    assert prediction.canvas.drawn == [0, 25, 100, 50, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([1, 2], ValueError, r"values: expected 8, one for each direction \(°\), got shape \(2,\)"),
        ([math.nan] * 8, ValueError, r"percent in \[0, 100\]"),
        ([101] * 8, ValueError, r"percent in \[0, 100\]"),
        ([-1] * 8, ValueError, r"percent in \[0, 100\]"),
        (["a"] * 8, TypeError, "values: expected 8 numbers"),
    ],
)
def test_bad_drawings(prediction: Prediction, values: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        prediction.draw(values)


def test_bad_arguments_leave_nothing(model: RetinaModel, nothing_left: None) -> None:
    two = replace(experiments.standard("orientation", model), name="neither")
    with pytest.raises(ValueError, match=r"varies 'orientation' and 'phase'.*along='orientation'"):
        Prediction(model, two)
    with pytest.raises(TypeError, match="experiment: expected an Experiment"):
        Prediction(model, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="neuron"):
        Prediction(model, "direction", neuron=10_000)
    with pytest.raises(ValueError, match="kind: 'polar' shows angles"):
        Prediction(model, "contrast", along="contrast", kind="polar")
    with pytest.raises(ValueError, match="there is no kind 'dail'; the nearest is 'dial'"):
        Prediction(model, "direction", kind="dail")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classroom: expected an object with submit"):
        Prediction(model, "direction", classroom=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no axis"):
        Prediction(model, "direction", at={"speed": 3})


def test_the_curve_runs_along_the_axis_that_the_experiment_is_named_after(
    model: RetinaModel,
) -> None:
    prediction = Prediction(model, "temporal_frequency")
    assert sum(len(axis) > 1 for axis in prediction.experiment.axes) == 2
    assert prediction.axis.name == "temporal_frequency"
    prediction.close()


async def test_several_axes(model: RetinaModel) -> None:
    two = experiments.drifting_gratings(directions=4, temporal_frequencies=[1, 2])
    neuron = selective(model, 0.0)
    best = Prediction(model, two, neuron=neuron, along="temporal_frequency")
    assert best.kind == "cartesian"
    best.draw([50, 100])
    best.commit()
    curves = await best.observe()
    responses = curves.responses[..., 0]
    row = np.unravel_index(responses.argmax(), responses.shape)[0]
    percent = 100 * responses[row] / responses[row].max()
    assert best.canvas._content["curves"][1]["values"] == pytest.approx(percent, rel=1e-3)
    best.close()
    held = Prediction(model, two, neuron=neuron, at={"temporal_frequency": 1.9})
    assert held.experiment.shape == (4, 1)
    assert held.experiment.axis("temporal_frequency").values.tolist() == [2.0]
    assert held.kind == "polar"
    held.close()
    other = Prediction(model, two, neuron=neuron, at={"direction": 90})
    assert other.axis.name == "temporal_frequency"
    assert other.experiment.polar is None
    other.close()


async def test_a_silent_neuron(model: RetinaModel) -> None:
    class Silent(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return stimulus.new_zeros(len(stimulus), stimulus.shape[2] - 4, 2)

    silent = RetinaModel(Silent(), input_shape=(2, 12, 12), stimulus_norm=3.0)
    prediction = Prediction(silent, experiments.drifting_gratings(directions=4), neuron=1)
    prediction.draw([0, 100, 0, 0])
    prediction.commit()
    await prediction.observe()
    assert all(math.isnan(value) for value in prediction.distance.values())
    assert prediction.reasons["rms"] == "the neuron does not respond in any condition"
    assert "not determined" in prediction._verdict.value
    assert json.loads(json.dumps(prediction.to_dict()))["distance"]["rms"] is None
    prediction.close()


async def test_attempts_are_counted_and_the_first_is_what_the_class_gets(
    model: RetinaModel,
) -> None:
    room = Room()
    prediction = Prediction(
        model, "direction", neuron=selective(model, 90.0), name="ds", classroom=room
    )
    heard = []
    end = prediction.on_commit(heard.append)
    prediction.draw(UP)
    prediction.reset()
    assert prediction.attempts == 1  # nothing was committed
    assert np.isnan(prediction.value).all()
    prediction.draw(UP)
    prediction.commit()
    assert heard == [prediction]
    kind, name, value = room.sent[-1]
    assert (kind, name) == ("prediction", "ds")
    curve = read_prediction(value)
    assert curve is not None
    assert curve.predicted.tolist() == UP
    assert curve.measured is None
    await prediction.observe()
    prediction._explain.value = "It prefers what moves up."
    curve = read_prediction(room.sent[-1][2])
    assert curve is not None
    assert curve.measured is not None
    assert curve.measured.max() == 100
    assert room.sent[-1][2]["explanation"] == "It prefers what moves up."
    first = room.sent[-1][2]
    prediction.reset()
    assert prediction.attempts == 2
    assert prediction.result is None
    assert prediction.distance == {}
    assert not prediction.committed
    end()
    prediction.draw(np.roll(UP, 1))
    prediction.commit()
    assert heard == [prediction]
    assert room.sent[-1][2] == {**first, "attempts": 2}  # it was drawn after a look
    kept = json.loads(json.dumps(prediction.to_dict()))
    assert kept["attempts"] == 2
    assert kept["prediction"] == np.roll(UP, 1).tolist()
    assert kept["earlier"][0]["prediction"] == UP
    assert kept["earlier"][0]["explanation"] == "It prefers what moves up."
    assert kept["earlier"][0]["distance"]["angle_deg"] <= 15
    prediction.close()


def test_a_class_that_is_closed_loses_no_prediction(model: RetinaModel) -> None:
    class Closed:
        def submit(self, kind: str, id: str, value: Any) -> None:
            raise RuntimeError("this classroom was closed: join again")

    prediction = Prediction(model, "direction", classroom=Closed())
    prediction.draw(UP)
    prediction.commit()
    assert prediction.committed
    assert "Not sent to the class: this classroom was closed" in prediction._sent.value
    prediction.close()


async def test_a_stopped_measurement_keeps_the_prediction(prediction: Prediction) -> None:
    prediction.draw(UP)
    prediction.commit()
    job = prediction.start(paused=True)
    prediction.stop()
    with pytest.raises(BaseException, match=r"stopped|cancel"):
        await job
    assert prediction.result is None
    assert prediction.committed
    assert not prediction._buttons.start.disabled
    assert "Your prediction stays" in prediction._status.message


def test_markup_in_a_question_is_text(model: RetinaModel) -> None:
    prediction = Prediction(model, "direction", question="<img src=x>")
    assert "<img" not in prediction.children[0].value
    prediction.close()


def test_closing_leaves_nothing(model: RetinaModel, nothing_left: None) -> None:
    Prediction(model, "direction").close()
    orw.Prediction.field(model, neuron=0).close()


def test_what_the_page_sends_is_kept_within_what_can_be() -> None:
    axis = experiments.drifting_gratings(directions=4).axes[0]
    canvas = PredictionCanvas(axis, kind="polar")
    canvas.drawn = [-5, 150, math.nan, None]
    assert canvas.drawn == [0, 100, None, None]
    canvas.drawn = [1.0]  # not of this plot
    assert canvas.drawn == [0, 100, None, None]
    canvas.angle = -90
    assert canvas.angle == 270
    canvas.close()


@pytest.mark.parametrize(
    ("experiment", "kind", "drawn"),
    [
        ("direction", None, UP),
        ("direction", "dial", 90.0),
        ("orientation", None, None),
        ("temporal_frequency", None, None),
    ],
)
async def test_a_prediction_is_taken_home_with_what_was_measured(
    model: RetinaModel, tmp_path: Path, experiment: str, kind: Any, drawn: Any
) -> None:
    made = Prediction(
        model,
        experiment,
        neuron=selective(model, 90.0),
        kind=kind,
        along=experiment,
        question="Which <b>way</b>?",
    )
    made.draw(np.linspace(0, 100, len(made.axis)) if drawn is None else drawn)
    with pytest.raises(RuntimeError, match="no result to save yet; commit a prediction"):
        made.export(tmp_path / "early.html")
    made.commit()
    await made.observe()
    made.explanation = "It prefers up."
    for suffix in made.export_formats:
        assert made.export(tmp_path / f"all{suffix}").stat().st_size > 500, suffix
    kept = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert kept["explanation"] == "It prefers up."
    assert kept["measured"] is not None
    again = orw.TuningCurves.load(tmp_path / "all.npz")
    np.testing.assert_array_equal(again.responses, made.result.responses)
    said = " ".join(again.notes)
    assert "Predicted before it was measured" in said
    assert made.verdict in said
    assert "It prefers up." in said
    drawing = (tmp_path / "all.svg").read_text(encoding="utf-8")
    assert "predicted" in drawing
    assert "measured" in drawing
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert ('"name":"predicted"' in page) == (kind != "dial")
    assert "<b>way" not in page
    with pytest.raises(ValueError, match=r"does not move, and has no \.mp4"):
        made.export(tmp_path / "all.mp4")
    with pytest.raises(FileExistsError, match="is there already"):
        made.export(tmp_path / "all.json")
    made.close()


def test_a_database_that_is_away_is_said_beside_the_prediction(
    model: RetinaModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    classroom = Classroom.join("retina", "Ada", url=tmp_path / "gone" / "class.sqlite")
    made = Prediction(model, "direction", neuron=0, classroom=classroom)
    made.draw(UP)
    made.commit()
    assert 'role="alert"' in made._sent.value
    assert "1 submission is kept here and will be sent when it is back" in made._sent.value
    (tmp_path / "gone").mkdir()
    assert classroom.flush(20)
    deadline = time.monotonic() + 20
    while "Handed to the class." not in made._sent.value:
        assert time.monotonic() < deadline, made._sent.value
        time.sleep(0.02)
    made.close()
    classroom.close()
