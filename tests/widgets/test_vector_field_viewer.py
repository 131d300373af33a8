from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import traitlets

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.drawing import colour
from openretina_widgets.insilico.receptive_fields import VectorField, vector_field
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.vector_field_viewer import VectorFieldViewer
from openretina_widgets.widgets.vector_plane import VectorPlane
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def points(plane: VectorPlane) -> list[dict]:
    """Return the points as they travel: JSON knows no NaN."""
    return json.loads(json.dumps(plane._content, allow_nan=False))["points"]


async def test_a_run_draws_what_the_engine_finds(synthetic: RetinaModel) -> None:
    viewer = orw.VectorFieldViewer(synthetic)
    cell = synthetic.neurons_of("ON-OFF")[0]
    viewer.selection.choose([cell, 72])
    result = await viewer.start()
    plain = vector_field(synthetic, neurons=[cell])
    assert result.slopes[:, cell] == pytest.approx(plain.slopes[:, 0], rel=1e-3, abs=1e-5)
    shown = points(viewer.plane)
    drawn = np.array([[one[name] for name in "xyuv"] for one in shown])
    assert drawn[:, :2] == pytest.approx(result.coordinates[:, cell], rel=1e-3, abs=1e-5)
    assert drawn[:, 2:] == pytest.approx(result.slopes[:, cell], rel=1e-3, abs=1e-5)
    assert (drawn[:, 2] > 0).any()
    assert (drawn[:, 2] < 0).any()  # polarity flips
    assert "24 · ON-OFF" in viewer.plane.title
    assert "72 · linear control" in viewer._words.value
    job = viewer.job
    viewer.selection.choose(72)
    assert viewer.job is job  # no new run
    assert all(one["u"] > 0 for one in points(viewer.plane))
    assert viewer.plane._content["y"]["label"] == "image axis 2 (model units)"
    viewer.close()


async def test_a_point_shows_its_image_and_lsta(synthetic: RetinaModel) -> None:
    viewer = VectorFieldViewer(synthetic)
    viewer.selection.choose(24)
    result = await viewer.start()
    best = int(result.responses[:, 24].argmax())
    assert viewer.plane.clicked == best
    viewer.plane.clicked = 5
    await until(lambda: "Image 5" in viewer._heading.value)
    for maps, pictures in (
        (viewer.image_maps, result.images),
        (viewer.lsta_maps, result.lsta[:, 24]),
    ):
        limit = colour.symmetric_limits(pictures)[1]
        for one, picture in zip(maps, pictures[5], strict=True):
            expected = colour.quantise(picture, (-limit, limit)).tobytes()
            assert one._content["frames"] == expected
    cosine = result.cosines()[5, 24]
    assert f"{cosine:.2f}".replace("-", "−") in viewer._heading.value
    viewer._span.value = "images"  # another plane: nothing of the old one stays
    await until(lambda: viewer.result is None)
    assert points(viewer.plane) == []
    assert viewer.plane.clicked is None
    assert viewer.image_maps[0]._content["empty"]
    viewer.close()


async def test_a_run_can_be_paused_and_stopped(synthetic: RetinaModel) -> None:
    viewer = VectorFieldViewer(synthetic)
    job = viewer.start(paused=True)
    job.step()
    await until(lambda: dict(viewer._status.figures).get("images") == "3 of 24")
    viewer.stop()
    await until(job.done)
    await until(lambda: "Ended: stopped by the user" in viewer._status.message)
    assert viewer.result is None
    viewer.close()


async def test_images_of_ones_own_by_name(synthetic: RetinaModel, tmp_path: Path) -> None:
    images = 0.4 * np.random.default_rng(0).normal(size=(5, 18, 16))
    viewer = VectorFieldViewer(synthetic, images={"mine": images, "small": images[:, :3]})
    result = await viewer.start()
    assert len(points(viewer.plane)) == 5
    assert viewer._seed.disabled  # it is that of noise
    data = viewer.export(tmp_path / "field.npz")
    np.testing.assert_array_equal(VectorField.load(data).lsta, result.lsta)
    assert isinstance(export.from_archive(data), VectorField)
    pytest.importorskip("matplotlib")
    assert viewer.export(tmp_path / "field.png", dpi=50).read_bytes().startswith(b"\x89PNG")
    viewer._images.value = "small"
    await until(lambda: viewer.result is None)
    with pytest.raises(ValueError, match="images: expected"):
        viewer.start()
    assert viewer._status.kind == "failed"
    with pytest.raises(RuntimeError, match="no result to save yet"):
        viewer.export(tmp_path / "other.png")
    viewer.close()


async def test_it_follows_a_shared_selection(synthetic: RetinaModel) -> None:
    selection = Selection(synthetic)
    viewer = VectorFieldViewer(selection=selection)
    await viewer.start()
    small = RetinaModel(LinearNonlinear(), input_shape=(2, 6, 5))
    selection.show_model(small)
    assert viewer.result is None
    result = await viewer.start()
    assert result.responses.shape == (24, 3)
    assert len(viewer.lsta_maps) == 2
    assert viewer.lsta_maps[0]._content["shape"] == [6, 5]
    viewer.close()
    selection.choose(1)  # the selection outlives it


def test_wrong_use_is_refused_in_words(synthetic: RetinaModel) -> None:
    with pytest.raises(ValueError, match="plane: there is no plane 'pca'"):
        VectorFieldViewer(synthetic, plane="pca")
    with pytest.raises(ValueError, match="seed"):
        VectorFieldViewer(synthetic, seed=-1)
    plane = VectorPlane()
    with pytest.raises(ValueError, match=r"slopes: expected \(3, 2\)"):
        plane.draw(np.zeros((3, 2)), np.zeros((2, 2)), np.zeros(3), labels=("a", "b"))
    with pytest.raises(ValueError, match="finite"):
        plane.draw(np.zeros((1, 2)), np.zeros((1, 2)), np.array([np.nan]), labels=("a", "b"))
    with pytest.raises(traitlets.TraitError, match="clicked"):
        plane.clicked = 0
    plane.close()


def test_both_axes_of_the_plane_have_one_scale() -> None:
    plane = VectorPlane()
    places = np.array([[0.0, 0.0], [4.0, 1.0], [2.0, -1.0]])
    plane.draw(places, np.ones((3, 2)), np.array([0.0, 2.0, 1.0]), labels=("a", "b"))
    x, y = plane._content["x"], plane._content["y"]
    assert x["high"] - x["low"] == pytest.approx(y["high"] - y["low"])
    assert x["low"] < 0
    assert x["high"] > 4
    assert plane._content["longest"] == pytest.approx(2**0.5)
    assert [one["level"] for one in points(plane)][:2] == [colour.LOWEST, colour.HIGHEST]
    assert "Highest response 2 a.u. to image 1 at 4, 1" in plane._content["words"]
    plane.close()


def test_close_leaves_nothing(synthetic: RetinaModel) -> None:
    for _ in range(3):
        VectorFieldViewer(synthetic).close()
