"""A receptive field picked among pictures, on the synthetic retina."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openretina_widgets.insilico.receptive_fields.estimation import receptive_fields
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.models.synthetic import load_synthetic
from openretina_widgets.tutorials.field_candidates import candidates_of, cosine
from openretina_widgets.tutorials.field_choice import FieldChoice
from openretina_widgets.tutorials.prediction import Prediction


@pytest.fixture(scope="module")
def model() -> RetinaModel:
    return load_synthetic()


def neuron_of(model: RetinaModel, cell_type: str) -> int:
    return model.neurons_of(cell_type)[0]


def test_one_picture_is_right_and_the_others_are_what_they_say(model: RetinaModel) -> None:
    neuron = neuron_of(model, "ON sustained")
    key = model.session()
    found = candidates_of(model, neuron, data_key=key, pictures=6, seed=3)
    own = receptive_fields(model, neurons=neuron).spatial[0]
    by = {one.what: one for one in found}
    assert len(found) == len(by) == 6
    assert [one.what for one in found if one.right] == ["its own"]
    np.testing.assert_allclose(by["its own"].image, own, rtol=1e-5)
    np.testing.assert_allclose(by["its own with the sign flipped"].image, -own, rtol=1e-5)
    centre = by["its own without the surround"].image
    assert own.min() < -0.01 * own.max()
    assert centre.min() >= 0
    assert centre.max() == pytest.approx(own.max(), rel=0.2)
    peaks = [np.unravel_index(i.argmax(), i.shape) for i in (own, by["its own, shifted"].image)]
    assert np.abs(np.subtract(*peaks)).max() >= min(own.shape) // 3
    again = candidates_of(model, neuron, data_key=key, pictures=6, seed=3)
    assert [one.what for one in again] == [one.what for one in found]


def test_the_place_of_the_right_picture_depends_on_seed_and_neuron(model: RetinaModel) -> None:
    def place(neuron: int, seed: int) -> int:
        found = candidates_of(model, neuron, data_key=model.session(), pictures=6, seed=seed)
        return next(k for k, one in enumerate(found) if one.right)

    assert len({place(0, seed) for seed in range(6)}) > 1
    assert len({place(neuron, 0) for neuron in range(6)}) > 1


@pytest.mark.parametrize("method", ["sta", "gradient"])
async def test_picking_the_right_one(model: RetinaModel, method: Any) -> None:
    field = Prediction.field(model, neuron=neuron_of(model, "OFF sustained"), method=method)
    assert field.right is None
    with pytest.raises(ValueError, match=r"observe: predict first.*pick a picture"):
        field.observe()
    field.draw(field.choice.names[field._right].lower())
    field.commit()
    assert "what" not in field.to_dict()["prediction"]  # not told before it is observed
    fields = await field.observe()
    assert field.result is fields
    assert field.distance["right"] is True
    assert field.distance["cosine"] > 0.98
    assert field.verdict.startswith(f"Right: {field.right}")
    assert field.choice._content["right"] == field._right
    assert "its own with the sign flipped" in field.choice._content["notes"]
    kept = json.loads(json.dumps(field.to_dict()))
    assert kept["prediction"] == {"picture": field.right, "what": "its own"}
    assert np.shape(kept["measured"]) == fields.spatial[0].shape
    with pytest.raises(ValueError, match="committed, and locked"):
        field.draw("A")
    field.close()


async def test_the_flipped_one_is_the_opposite(model: RetinaModel) -> None:
    sent: list[Any] = []

    class Room:
        def submit(self, kind: str, id: str, value: Any) -> None:
            sent.append((kind, id, json.loads(json.dumps(value))))

    field = Prediction.field(
        model, neuron=neuron_of(model, "ON transient"), method="gradient", classroom=Room()
    )
    place = next(k for k, one in enumerate(field._candidates) if "flipped" in one.what)
    field.choice.picked = place
    field.commit()
    await field.observe()
    assert field.distance["right"] is False
    assert field.distance["cosine"] == pytest.approx(-1.0)
    assert "sign flipped" in field.verdict
    assert sent[-1][:2] == ("prediction", field.name)
    assert sent[-1][2]["value"] == "its own with the sign flipped"
    field.reset()
    assert field.choice.picked is None
    assert field.choice._content["right"] is None
    assert field.attempts == 2
    field.close()


def test_no_field_nothing_to_pick(model: RetinaModel) -> None:
    with pytest.raises(ValueError, match="has no receptive field to pick: the gradient vanishes"):
        Prediction.field(model, neuron=neuron_of(model, "ON-OFF"))
    with pytest.raises(ValueError, match="pictures: expected a whole number from 3 to 12, got 2"):
        Prediction.field(model, pictures=2)
    with pytest.raises(ValueError, match="method"):
        Prediction.field(model, method="stc")
    field = Prediction.field(model)
    for wrong in ("Z", 3):
        with pytest.raises(ValueError, match="value: there is no picture"):
            field.draw(wrong)  # type: ignore[arg-type]
    field.close()


def test_a_locked_choice_stays() -> None:
    choice = FieldChoice(np.ones((3, 2, 2)), words="pictures")
    choice.picked = 1
    choice.picked = 7
    assert choice.picked == 1
    choice.locked = True
    choice.picked = 0
    assert choice.picked == 1
    choice.close()


def test_cosine() -> None:
    image = np.array([[1.0, -2.0]])
    assert cosine(image, 3 * image) == pytest.approx(1)
    assert cosine(image, -image) == pytest.approx(-1)
    assert cosine(image, np.array([[2.0, 1.0]])) == pytest.approx(0)
    assert np.isnan(cosine(image, np.zeros((1, 2))))


async def test_a_picked_field_is_taken_home(model: RetinaModel, tmp_path: Path) -> None:
    made = Prediction.field(model, neuron=0, method="gradient")
    made.draw("A")
    made.commit()
    await made.observe()
    for suffix in made.export_formats:
        assert made.export(tmp_path / f"field{suffix}").stat().st_size > 500, suffix
    page = (tmp_path / "field.html").read_text(encoding="utf-8")
    assert page.count('"module":"field_wall"') == 2
    assert "Picked: A, " in page
    made.close()
