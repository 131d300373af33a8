"""The wall of best stimuli in plain Python and with an event loop."""

from __future__ import annotations

import asyncio
import copy
import itertools
import shutil
import threading
import time

import numpy as np
import pytest
import torch

from openretina_widgets import (
    PopulationResult,
    RetinaModel,
    StimulusWall,
    export,
    optimize_neurons,
    optimize_population,
)
from openretina_widgets.errors import NotReproducible, OtherResults
from openretina_widgets.insilico.stimulus_optimization.picture import strongest_frames
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.widgets.run_status import as_time
from openretina_widgets.widgets.selection import Selection

pytestmark = pytest.mark.usefixtures("nothing_left")

FEW = {"time_steps": 9, "max_iterations": 8}


@pytest.fixture
def wall(small_model):
    wall = StimulusWall(small_model, chunk=2, **FEW)
    yield wall
    wall.close()


def frame_of(stimulus: torch.Tensor) -> np.ndarray:
    """The frame with the most power, one stimulus at a time."""
    power = [float(stimulus[:, t].square().sum()) for t in range(stimulus.shape[1])]
    return stimulus[:, int(np.argmax(power))].numpy()


def test_strongest_frames() -> None:
    stimulus = torch.randn(5, 2, 7, 4, 3, generator=torch.Generator().manual_seed(0))
    expected = [frame_of(one) for one in stimulus]
    assert np.array_equal(strongest_frames(stimulus), np.stack(expected))


def test_the_wall_shows_the_best_stimulus_of_every_neuron(wall, small_model) -> None:
    result = wall.start().result(timeout=60)
    assert wall.result is result
    assert wall.wall.neurons == (0, 1, 2)
    for neuron in range(3):
        alone = optimize_neurons(small_model, neuron, **FEW)
        shown = wall.wall.images[neuron]
        np.testing.assert_allclose(shown, frame_of(alone.stimulus[0]), atol=1e-5)
    assert wall._status.kind == "finished"
    assert "3 of 3 neurons" in wall._status.message


def test_neurons_that_were_chosen_and_their_best_seed(small_model) -> None:
    wall = StimulusWall(small_model, neurons=[2, 0], seed=[0, 1, 2], **FEW)
    result = wall.start().result(timeout=60)
    for place, neuron in enumerate((2, 0)):
        one = result.of(neuron)
        best = one.stimulus[int(one.score.argmax())]
        np.testing.assert_array_equal(wall.wall.images[place], frame_of(best))
    wall.close()


@pytest.mark.parametrize("order", ["neuron", "type", "score", "similarity"])
def test_orders(wall, order) -> None:
    result = wall.start().result(timeout=60)
    wall.selection.choose(1)
    wall._sort.value = order
    images = {n: frame_of(result.of(n).stimulus[0]).ravel() for n in range(3)}
    like = {n: images[n] @ images[1] / np.linalg.norm(images[n]) for n in range(3)}
    types = {0: "ON sustained", 1: "OFF <b>transient</b>", 2: ""}
    key = {
        "neuron": lambda n: n,
        "type": lambda n: types[n],
        "score": lambda n: -float(result.of(n).score[0]),
        "similarity": lambda n: -like[n],
    }[order]
    assert list(wall.wall.neurons) == sorted(range(3), key=key)
    for place, neuron in enumerate(wall.wall.neurons):
        assert np.array_equal(wall.wall.images[place].ravel(), images[neuron])
    assert wall.wall.selected == (1,)


@pytest.mark.parametrize("order", ["type", "score", "similarity"])
def test_an_order_that_is_given_holds_from_the_beginning(small_model, order) -> None:
    wall = StimulusWall(small_model, order=order, selection=Selection(small_model), **FEW)
    wall.selection.choose(2)
    result = wall.start().result(timeout=60)
    images = {n: frame_of(result.of(n).stimulus[0]).ravel() for n in range(3)}
    expected = {
        "type": [2, 1, 0],  # no type, OFF, ON
        "score": sorted(range(3), key=lambda n: -float(result.of(n).score[0])),
        "similarity": sorted(
            range(3), key=lambda n: -float(images[n] @ images[2] / np.linalg.norm(images[n]))
        ),
    }[order]
    assert list(wall.wall.neurons) == expected
    if order == "similarity":
        assert wall.wall.neurons[0] == 2
    wall.close()


def test_what_was_read_is_not_read_again(small_model, tmp_path, monkeypatch) -> None:
    """In a folder of thousands, the end of a run reads what is new, and in the run's thread."""
    folder = tmp_path / "best"
    wall = StimulusWall(small_model, folder=folder, **FEW)
    wall.start().result(timeout=60)
    images = wall.wall.images.copy()
    read = []
    load = OptimizationResult.load.__func__

    def counted(cls, path):
        read.append(threading.current_thread() is threading.main_thread())
        return load(cls, path)

    monkeypatch.setattr(OptimizationResult, "load", classmethod(counted))
    wall.detail.wait(60)
    again = StimulusWall(small_model, folder=folder, **FEW)
    again.start().result(timeout=60)
    assert read.count(False) == 1  # one block
    assert read.count(True) == 2  # the stimulus that plays, at the opening and at the end
    assert np.array_equal(again.wall.images, images)
    again.close()
    wall.close()


def test_a_choice_is_shared_and_plays(small_model) -> None:
    selection = Selection(small_model)
    wall = StimulusWall(small_model, selection=selection, **FEW)
    result = wall.start().result(timeout=60)
    wall.wall.selected = (2,)
    assert selection.neurons == (2,)
    assert np.array_equal(wall.player.stimulus, result.of(2).stimulus[0].numpy())
    selection.choose([1, 0])
    assert wall.wall.selected == (1, 0)
    assert np.array_equal(wall.player.stimulus, result.of(1).stimulus[0].numpy())
    assert "OFF" in wall.player.title
    wall.close()


def test_stimuli_emerge_while_the_run_goes_on(synthetic: RetinaModel) -> None:
    """Each picture is of the run as it is: values change, and rows that have ended stay."""
    wall = StimulusWall(synthetic, neurons=range(20), max_iterations=40, patience=None, chunk=5)
    shown = []
    draw = wall.wall.show_live

    def watched(images: np.ndarray) -> None:
        shown.append(np.array(images))
        draw(images)
        for number in range(1, wall.wall.stats.sent + 1):  # a page that keeps up
            wall.wall._window.hear(
                {"event": "painted", "view": "a", "frame": number, "painted": number}
            )

    async def watch() -> None:
        wall.wall.show_live = watched
        wall.wall._window.hear({"event": "open", "view": "a", "version": 0})
        await wall.start()

    asyncio.run(watch())
    assert len(shown) >= 3
    known = [int(np.isfinite(images).all(axis=(1, 2, 3)).sum()) for images in shown]
    assert known == sorted(known)
    assert known[0] < 20
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(shown))
    assert np.isfinite(wall.wall.images).all()
    wall.close()


def test_what_is_stopped_keeps_what_has_finished(small_model, tmp_path) -> None:
    settings = {**FEW, "max_iterations": 2000, "patience": None, "chunk": 1}
    wall = StimulusWall(small_model, folder=tmp_path / "best", **settings)

    async def stop_after_one() -> None:
        job = wall.start()
        while not np.isfinite(wall._pictures._final).any():
            await asyncio.sleep(0.005)
        wall.stop()
        await job

    asyncio.run(stop_after_one())
    assert 1 <= len(wall.result) < 3
    finished = wall.result.neurons
    images = wall.wall.images
    for neuron in range(3):
        assert np.isfinite(images[neuron]).all() == (neuron in finished)
    words = f"Stopped by the user: {len(finished)} of 3 neurons have ended. Their stimuli are in "
    assert wall._status.message.startswith(words)
    assert "; Optimise goes on with the others." in wall._status.message
    again = StimulusWall(small_model, folder=tmp_path / "best", **settings)
    again.start().result(timeout=60)
    assert again.result.neurons == (0, 1, 2)
    np.testing.assert_array_equal(again.wall.images[finished[0]], images[finished[0]])
    wall.close()
    again.close()


def test_all_of_it_is_saved(wall, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="no result to save yet"):
        wall.export(tmp_path / "early.html")
    result = wall.start().result(timeout=60)
    page = wall.export(tmp_path / "wall.html")
    assert "Best stimuli of a population" in page.read_text(encoding="utf-8")
    archive = export.from_archive(wall.export(tmp_path / "wall.npz"))
    assert torch.equal(archive.stimulus, result.together().stimulus)
    with pytest.raises(NotReproducible, match="the model"):  # it was handed in as an object
        wall.export(tmp_path / "wall.ipynb")
    with pytest.raises(ValueError, match="a picture shows one neuron's stimuli"):
        wall.export(tmp_path / "wall.png")
    with pytest.raises(ValueError, match="a movie shows one stimulus"):
        wall.export(tmp_path / "wall.gif")


def test_its_notebook_asks_for_what_was_asked(synthetic, tmp_path) -> None:
    wall = StimulusWall(synthetic, neurons=[3, 9], seed=[0, 2], max_iterations=2, time_steps=25)
    wall.start().result(timeout=60)
    text = wall.export(tmp_path / "wall.ipynb").read_text(encoding="utf-8")
    for part in ("orw.optimize_population(", "neurons=[3, 9]", "seed=[0, 2]", "chunk=16"):
        assert part in text
    wall.close()


def test_errors_name_the_argument(small_model) -> None:
    with pytest.raises(TypeError, match="max_iterations"):
        StimulusWall(small_model, max_iteration=3)
    with pytest.raises(ValueError, match="order: there is no order 'scores'"):
        StimulusWall(small_model, order="scores")
    with pytest.raises(ValueError, match="chunk"):
        StimulusWall(small_model, chunk=0)
    with pytest.raises(ValueError, match="selection"):
        StimulusWall(
            small_model, selection=Selection(RetinaModel(small_model.module, input_shape=(2, 6, 5)))
        )


def test_a_run_that_writes_to_a_folder_can_be_started_again(small_model, tmp_path) -> None:
    settings = {"time_steps": 9, "max_iterations": 400, "patience": None}
    wall = StimulusWall(small_model, folder=tmp_path / "best", **settings)
    first = wall.start()
    while first.iteration < 3:
        time.sleep(0.01)
    second = wall.start()
    assert first.done()
    assert len(second.result(timeout=60)) == 3
    assert wall._status.kind == "finished"
    wall.close()


def figures(wall: StimulusWall) -> dict[str, str]:
    return dict(wall._status.figures)


def test_what_a_folder_holds_is_shown_at_once(small_model, tmp_path) -> None:
    folder = tmp_path / "best"
    there = optimize_population(small_model, [0, 2], seed=[0, 1], folder=folder, **FEW)
    wall = StimulusWall(small_model, seed=[0, 1], folder=folder, **FEW)
    assert wall.job is None
    for neuron in (0, 2):
        one = there.of(neuron)
        best = one.stimulus[int(one.score.argmax())]
        assert np.array_equal(wall.wall.images[neuron], frame_of(best))
        wall.selection.choose(neuron)
        assert np.array_equal(wall.player.stimulus, best.numpy())
    assert np.isnan(wall.wall.images[1]).all()
    assert wall._status.message.startswith(
        f"4 of 6 runs are in {folder}; Optimise goes on with the others."
    )
    assert wall._status.progress == pytest.approx(4 / 6)
    assert figures(wall)["ended"] == "4 of 6 runs"
    assert len(wall.result) == 4
    wall.start().result(timeout=60)
    assert np.isfinite(wall.wall.images).all()
    again = StimulusWall(small_model, 1, seed=1, folder=folder, **FEW)
    assert again._status.message.startswith(
        f"1 of 1 neuron is in {folder}, beside 5 of other neurons or seeds. Click"
    )
    assert figures(again)["ended"] == "1 of 1 neuron"
    again.close()
    wall.close()


def test_a_folder_that_was_emptied_is_begun_anew(small_model, tmp_path) -> None:
    folder = tmp_path / "best"
    wall = StimulusWall(small_model, folder=folder, **FEW)
    wall.start().result(timeout=60)
    shutil.rmtree(folder)
    optimize_population(small_model, [1], folder=folder, **FEW)
    steps = wall._steps()
    pictures = wall._pictures
    for _ in pictures.reading(PopulationResult.load(folder)):
        pass
    assert np.isfinite(pictures._final).tolist() == [False, True, False]
    steps.close()
    assert len(wall.start().result(timeout=60)) == 3
    wall.close()


def test_runs_are_counted_in_one_unit(small_model) -> None:
    wall = StimulusWall(small_model, [0, 2], seed=[0, 1, 2], **FEW)
    assert figures(wall)["ended"] == "0 of 6 runs"
    wall.start().result(timeout=60)
    assert figures(wall)["ended"] == "6 of 6 runs"
    words = "6 of 6 runs have ended (2 neurons, 3 seeds each)."
    assert wall._status.message.startswith(words)
    wall.close()


def test_others_in_the_folder_are_not_counted(small_model, tmp_path) -> None:
    optimize_population(small_model, seed=[0, 1], folder=tmp_path, **FEW)
    wall = StimulusWall(small_model, [1], seed=[1, 2], folder=tmp_path, **FEW)
    assert "1 of 2 runs is in" in wall._status.message
    assert "beside 5 of other neurons or seeds" in wall._status.message
    wall.start().result(timeout=60)
    assert figures(wall)["ended"] == "2 of 2 runs"
    wall.close()


def test_what_remains_is_told_by_this_run_alone(small_model, tmp_path) -> None:
    settings = {"time_steps": 9, "max_iterations": 600, "patience": None}
    optimize_population(small_model, [0, 1], folder=tmp_path, **settings)
    wall = StimulusWall(small_model, folder=tmp_path, **settings)

    async def pause_and_stop() -> tuple[str, str]:
        job = wall.start()
        while job.iteration < 30:
            await asyncio.sleep(0.001)
        job.pause()
        while wall._status.kind != "paused":
            await asyncio.sleep(0.005)
        share = (wall._live.progress - 2 / 3) / (1 / 3)  # of what was left to do
        assert 0 < share < 0.9
        expected = as_time(job.elapsed * (1 - share) / share)
        told = figures(wall)["remaining, at most"]
        wall.stop()
        await job
        return expected, told

    expected, told = asyncio.run(pause_and_stop())
    assert told == expected
    assert figures(wall)["remaining, at most"] == "–"
    wall.close()


def test_a_paused_run_is_not_thrown_away_by_a_click(small_model) -> None:
    wall = StimulusWall(small_model, **(FEW | {"max_iterations": 10**6, "patience": None}))

    async def try_it() -> None:
        job = wall.start()
        while job.iteration < 3:
            await asyncio.sleep(0.001)
        assert wall._buttons.start.disabled
        wall._buttons.pause.click()
        while wall._status.kind != "paused":
            await asyncio.sleep(0.005)
        assert wall._buttons.start.disabled
        wall._buttons.pause.click()
        wall._buttons.stop.click()
        await job

    asyncio.run(try_it())
    assert not wall._buttons.start.disabled
    wall.close()


def test_a_folder_of_another_model_is_refused_in_the_status(small_model, tmp_path) -> None:
    settings = FEW | {"norm": 6.0}
    optimize_population(small_model, [0], folder=tmp_path, **settings)
    module = copy.deepcopy(small_model.module)
    with torch.no_grad():
        next(module.parameters()).add_(1.0)
    other = RetinaModel(module, input_shape=(2, 6, 5), name="other")
    wall = StimulusWall(other, folder=tmp_path, **settings)
    assert wall._status.kind == "failed"
    words = "not 'other'"
    assert words in wall._status.message
    assert str(tmp_path) in wall._status.message
    assert wall.wall.images is None
    with pytest.raises(OtherResults, match=words):
        wall.start()
    wall.close()


def test_neurons_come_second(small_model) -> None:
    wall = StimulusWall(small_model, [2, 0], **FEW)
    assert wall.start().result(timeout=60).neurons == (0, 2)
    wall.close()
