from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.insilico.tuning_analyses import ResponseGradient, response_gradient
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.response_gradient_viewer import ResponseGradientViewer
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.tuning_map import ResponseMap, TuningMap
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def shown(viewer: ResponseGradientViewer) -> list[dict]:
    """Return the maps as they travel: JSON knows no NaN."""
    return json.loads(json.dumps(viewer.map._content, allow_nan=False))["maps"]


async def test_a_run_draws_what_the_engine_finds(synthetic: RetinaModel) -> None:
    viewer = orw.ResponseGradientViewer(synthetic, points=5)
    cell = synthetic.neurons_of("colour opponent")[0]
    viewer.selection.choose([cell, 0])
    assert all(one["limits"] is None for one in shown(viewer))
    result = await viewer.start()
    assert viewer.result is result
    values = np.linspace(-1, 1, 5)
    plain = response_gradient(synthetic, green=values, uv=values)
    assert result.gradients == pytest.approx(plain.gradients, rel=1e-4, abs=1e-6)
    job = viewer.job
    first, second = shown(viewer)
    assert first["name"] == f"{cell} · colour opponent"
    slopes = np.array(first["slopes"]).reshape(5, 5, 2)
    assert slopes == pytest.approx(result.gradients[:, :, cell])
    assert (slopes[..., 0] < 0).all()  # green down
    assert (slopes[..., 1] > 0).all()  # UV up
    assert first["baseline"] == pytest.approx(result.grey_response[cell], rel=1e-4)
    assert (np.array(second["slopes"]) > 0).all()  # an ON cell
    assert "135°" in viewer._words.value
    assert "colour opponent" in viewer._words.value
    viewer.selection.choose(24)
    assert viewer.job is job  # no new run
    assert "not determined" in viewer._words.value  # an ON-OFF cell at grey
    viewer.close()


async def test_after_a_run_the_point_of_the_largest_response_is_played(
    synthetic: RetinaModel,
) -> None:
    viewer = ResponseGradientViewer(synthetic, points=5)
    viewer.selection.choose(20)  # an OFF cell: darkness
    assert "largest response" in viewer.player.placeholder
    result = await viewer.start()
    await until(lambda: viewer.player.stimulus is not None)
    at = viewer.map.place
    assert at is not None
    assert result.responses[at[0], at[1], 20] == result.responses[:, :, 20].max()
    movie = result.movie(20, float(result.green[at[0]]), float(result.uv[at[1]]))
    assert viewer.player.stimulus == pytest.approx(movie)
    viewer.map.clicked = 3
    viewer.selection.choose(0)  # what was chosen stays
    assert viewer.map.clicked == 3
    for words in ("Opponency, from −1 to 1", "Share of opposed signs: ", "Coherence: 1 where"):
        assert words in viewer._words.value
    viewer.close()


async def test_a_point_plays_its_movie(synthetic: RetinaModel) -> None:
    viewer = ResponseGradientViewer(synthetic, points=5)
    viewer.map.clicked = 3  # before a run there is nothing to play
    assert viewer.player.stimulus is None
    result = await viewer.start()
    viewer.map.clicked = 5 * 1 + 4  # green −0.5, UV 1
    await until(lambda: viewer.player.title.endswith("green −0.5, UV +1"))
    assert viewer.player.stimulus == pytest.approx(result.movie(0, -0.5, 1.0))
    assert viewer.player.stimulus[0].min() == pytest.approx(-0.5)
    assert viewer.player.stimulus[1].max() == pytest.approx(1.0)
    assert viewer.player.title.endswith("green −0.5, UV +1")
    viewer._points.value = 7  # another grid: nothing of the old one stays
    await until(lambda: viewer.result is None)
    assert viewer.player.stimulus is None
    assert len(shown(viewer)[0]["values"]) == 49
    viewer.close()


async def test_a_run_can_be_paused_and_stopped(synthetic: RetinaModel) -> None:
    viewer = ResponseGradientViewer(synthetic, points=17)
    job = viewer.start(paused=True)
    job.step()
    await until(lambda: viewer._live is not None)
    known = np.isfinite(viewer._live.responses).mean()
    assert known < 0.5
    assert shown(viewer)[0]["slopes"] is not None
    viewer.stop()
    await until(job.done)
    await until(lambda: "Ended" in viewer._status.message)
    assert viewer.result is None
    with pytest.raises(RuntimeError, match="no result to save yet"):
        viewer.export("nowhere.png")
    viewer.close()


async def test_own_best_stimuli_and_neurons_without_one(synthetic: RetinaModel) -> None:
    best = orw.optimize_neurons(synthetic, neurons=[68], max_iterations=4)
    viewer = ResponseGradientViewer(synthetic, stimulus=best, points=5)
    viewer.selection.choose([68, 0])
    result = await viewer.start()
    assert result.neurons == (68,)
    first, second = shown(viewer)
    assert first["slopes"] is not None
    assert second["slopes"] is None
    assert "no stimulus among those given" in viewer.map._content["note"]
    viewer._boxes["align"].value = True
    await until(lambda: viewer.result is None)
    assert (await viewer.start()).settings["align"]
    assert "turned over" in viewer._status.message
    viewer.close()


async def test_it_is_saved_as_a_picture_and_as_data(synthetic: RetinaModel, tmp_path: Path) -> None:
    viewer = ResponseGradientViewer(synthetic, points=5)
    viewer.selection.choose([68, 0])
    result = await viewer.start()
    data = viewer.export(tmp_path / "gradient.npz")
    np.testing.assert_array_equal(ResponseGradient.load(data).gradients, result.gradients)
    assert isinstance(export.from_archive(data), ResponseGradient)
    with pytest.raises(FileExistsError):
        viewer.export(data)
    pytest.importorskip("matplotlib")
    drawing = viewer.export(tmp_path / "gradient.svg").read_text(encoding="utf-8")
    assert "<svg" in drawing
    assert (tmp_path / "gradient.svg").stat().st_size > 5000
    png = viewer.export(tmp_path / "gradient.png", dpi=50)
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.png"):
        viewer.export(tmp_path / "gradient.mp4")
    viewer.close()


async def test_it_follows_a_shared_selection(synthetic: RetinaModel) -> None:
    selection = Selection(synthetic)
    viewer = ResponseGradientViewer(selection=selection, points=5)
    await viewer.start()
    selection.choose(12)
    assert [one["name"] for one in shown(viewer)] == ["12 · OFF sustained"]
    small = RetinaModel(LinearNonlinear(), input_shape=(2, 6, 5), channels=("green", "UV"))
    selection.show_model(small)
    assert viewer.result is None
    result = await viewer.start()
    assert result.responses.shape == (5, 5, 3)
    viewer.close()
    selection.choose(1)  # the selection outlives it


def test_wrong_use_is_refused_in_words(synthetic: RetinaModel) -> None:
    with pytest.raises(ValueError, match="points"):
        ResponseGradientViewer(synthetic, points=6)
    with pytest.raises(ValueError, match="stimulus: expected one of"):
        ResponseGradientViewer(synthetic, stimulus="fullfield")
    one = RetinaModel(_Grey(), input_shape=(1, 4, 4))
    with pytest.raises(ValueError, match="this one has 1: luminance"):
        ResponseGradientViewer(one)
    with pytest.raises(ValueError, match="model"):
        ResponseGradientViewer()


class _Grey(torch.nn.Module):
    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return stimulus.mean((1, 3, 4))[..., None]


def test_a_model_of_one_channel_that_comes_later_is_told_in_the_widget(
    synthetic: RetinaModel,
) -> None:
    viewer = ResponseGradientViewer(synthetic)
    viewer.model = RetinaModel(_Grey(), input_shape=(1, 4, 4))
    with pytest.raises(ValueError, match="this one has 1: luminance"):
        viewer.start()
    assert viewer._status.kind == "failed"
    viewer.model = synthetic
    assert viewer._status.kind == "idle"
    viewer.close()


async def test_a_movie_that_does_not_fit_is_told_in_the_widget(synthetic: RetinaModel) -> None:
    viewer = ResponseGradientViewer(synthetic, stimulus=np.zeros((2, 50, 3, 3), np.float32))
    with pytest.raises(ValueError, match="stimulus: expected"):
        viewer.start()
    assert viewer._status.kind == "failed"
    assert "expected" in viewer._status.message
    viewer.close()


def test_arrows_of_a_map_are_checked_and_told_in_words() -> None:
    plot = TuningMap()
    plot.prepare(Axis.of("green", [-1.0, 1.0]), Axis.of("uv", [0.0, 1.0]))
    slopes = np.array([[[3.0, 4.0], [0.0, 1.0]], [[np.nan, np.nan], [1.0, 0.0]]])
    plot.draw([ResponseMap("a", np.ones((2, 2)), gradient=slopes)])
    assert plot._content["maps"][0]["slopes"] == [[3.0, 4.0], [0.0, 1.0], None, [1.0, 0.0]]
    assert "steepest at −1, 0 with gradient (3, 4)" in plot._content["words"]
    with pytest.raises(ValueError, match=r"gradients of shape \(2, 2\), expected \(2, 2, 2\)"):
        plot.draw([ResponseMap("a", np.ones((2, 2)), gradient=np.ones((2, 2)))])
    plot.close()


def test_close_leaves_nothing(synthetic: RetinaModel) -> None:
    for _ in range(3):
        ResponseGradientViewer(synthetic).close()
