from __future__ import annotations

import numpy as np
import pytest
import torch
import traitlets

from openretina_widgets.drawing.colour import HIGHEST, LOWEST, UNDEFINED, ZERO
from openretina_widgets.widgets.field_wall import FieldWall

pytestmark = pytest.mark.usefixtures("nothing_left")


def indices(wall: FieldWall) -> np.ndarray:
    content = wall._encoded()
    return np.frombuffer(content["frames"], np.uint8).reshape(content["shape"])


IMAGES = np.array([[[0.0, 2.0], [-1.0, 0.0]], [[0.0, -0.5], [0.25, 0.0]]])


def test_each_neuron_has_its_own_symmetric_limits() -> None:
    wall = FieldWall(IMAGES)
    assert wall.limits.tolist() == [2.0, 0.5]
    assert indices(wall)[0, 0].tolist() == [[ZERO, HIGHEST], [64, ZERO]]  # -1 of 2: half way down
    assert indices(wall)[1, 0].tolist() == [[ZERO, LOWEST], [192, ZERO]]
    wall.close()


def test_common_limits_are_the_same_for_all() -> None:
    wall = FieldWall(IMAGES)
    wall.scale = "common"
    assert wall.limits.tolist() == [2.0, 2.0]
    assert indices(wall)[1, 0].tolist() == [[ZERO, 96], [144, ZERO]]  # -0.5 and 0.25 of 2
    assert wall._content["limits"] == [2.0, 2.0]  # the page has it
    wall.close()


def test_zero_image_is_white_and_nan_is_undefined() -> None:
    images = np.zeros((2, 3, 2), np.float32)
    images[1, 0, 0] = np.nan
    wall = FieldWall(images)
    assert wall.limits.tolist() == [1.0, 1.0]
    assert (indices(wall)[0] == ZERO).all()
    assert (indices(wall)[1] == UNDEFINED).sum() == 1
    images[1] = np.nan
    for scale in ("each", "common"):
        wall.scale = scale
        wall.show(images)
        assert wall.limits.tolist() == [1.0, 0.0]  # nothing is known of the second
    wall.close()


def test_panels_and_torch() -> None:
    wall = FieldWall(torch.ones(3, 2, 4, 5), panels=("green", "UV"), neurons=[5, 9, 7])
    assert wall.images is not None
    assert wall.images.shape == (3, 2, 4, 5)
    assert wall.neurons == (5, 9, 7)
    wall.selected = (9, 5, 9)
    assert wall.selected == (9, 5)
    with pytest.raises(traitlets.TraitError, match="no neuron 2"):
        wall.selected = (2,)
    wall.show(torch.ones(2, 4, 5), neurons=[5, 1])
    assert wall.selected == (5,)  # the other has gone
    wall.clear()
    assert (wall.images, wall.selected) == (None, ())
    wall.close()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"neurons": [1]}, r"neurons: expected one for each of 2 images, got 1"),
        ({"labels": ["a"]}, r"labels: expected one for each of 2 images, got 1"),
        ({"neurons": [1, 1]}, "a neuron came twice"),
        ({"panels": ("green", "UV")}, "panels: expected 1 names"),
        ({"tile": 0.0}, "tile"),
        ({"images": np.zeros((2, 2))}, "images must have the shape"),
    ],
)
def test_bad_arguments_are_named(named: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, traitlets.TraitError), match=message):
        FieldWall(**{"images": IMAGES, **named})  # type: ignore[arg-type]


def test_unknown_keyword_and_text_raise() -> None:
    with pytest.raises(TypeError, match="columns"):
        FieldWall(IMAGES, columns=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="real numbers"):
        FieldWall(np.array([[["a"]]]))


def test_live_images_are_of_the_same_neurons_and_are_what_a_new_view_gets() -> None:
    wall = FieldWall(IMAGES)
    wall.show_live(2 * IMAGES)
    assert wall.stats.sent == 0  # no view: nothing goes over the wire
    assert wall.get_state()["_content"]["limits"] == [4.0, 1.0]
    with pytest.raises(ValueError, match="expected the shape"):
        wall.show_live(IMAGES[:1])
    wall.close()


def test_two_thousand_fields_are_encoded_soon() -> None:
    wall = FieldWall(np.random.default_rng(0).normal(size=(2000, 2, 18, 16)))
    assert len(wall._encoded()["frames"]) == 2000 * 2 * 18 * 16
    wall.close()


THREE = np.concatenate([IMAGES, IMAGES[:1] / 3])


def test_live_images_that_changed_are_sent_alone() -> None:
    wall = FieldWall(THREE)
    sent = []
    wall.send = lambda content, buffers=None: sent.append((content, buffers[0]))
    wall._window.hear({"event": "open", "view": "a", "version": wall._version})
    newer = np.array(THREE, dtype=np.float32)
    newer[1] *= -2
    wall.show_live(newer)
    wall.show_live(newer)  # nothing changed
    ((content, pixels),) = sent
    assert content["places"] == [1]
    assert content["base"] == content["version"] - 1
    whole = np.frombuffer(wall._encoded()["frames"], np.uint8).reshape(len(THREE), -1)
    assert pixels == whole[1].tobytes()
    assert content["limits"] == [wall._encoded()["limits"][1]]
    again = FieldWall(newer)
    assert again._encoded()["frames"] == wall._encoded()["frames"]
    assert again.limits.tolist() == wall.limits.tolist()
    wall.close()
    again.close()


def test_what_could_not_be_sent_is_sent_with_the_next() -> None:
    wall = FieldWall(THREE)
    sent = []
    wall.send = lambda content, buffers=None: sent.append(content)
    images = np.array(THREE, dtype=np.float32)
    images[0] *= 2
    wall.show_live(images.copy())  # no page is open
    assert sent == []
    wall._window.hear({"event": "open", "view": "a", "version": wall._version})
    images[1] *= 2
    wall.show_live(images.copy())
    (content,) = sent
    assert content["places"] == [0, 1]
    wall.close()


def test_a_common_scale_changes_all() -> None:
    wall = FieldWall(THREE, scale="common")
    assert len(set(wall.limits.tolist())) == 1
    sent = []
    wall.send = lambda content, buffers=None: sent.append(content)
    wall._window.hear({"event": "open", "view": "a", "version": wall._version})
    images = np.array(THREE, dtype=np.float32)
    images[0] *= 7
    wall.show_live(images)
    (content,) = sent
    assert "places" not in content
    assert set(wall.limits.tolist()) == {15.0}  # of 14, rounded up
    wall.close()
