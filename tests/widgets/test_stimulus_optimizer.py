"""The optimiser's widget in plain Python and with an event loop; the browser's part is apart."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading

import pytest
import torch

from openretina_widgets import RetinaLab, RetinaModel, StimulusOptimizer
from openretina_widgets.insilico.stimulus_optimization.picture import picture_of_result
from openretina_widgets.widgets.run_status import as_time
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_run_ends_with_the_best_stimulus(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=5)
    result = optimizer.start().result(timeout=60)
    assert optimizer.result is result
    best = result.stimulus[0]
    filter_ = small_model.module.filters[1].detach()
    assert torch.cosine_similarity(best.flatten(), filter_.flatten(), dim=0) > 0.999
    assert torch.equal(torch.from_numpy(optimizer.player.stimulus.copy()), best)
    assert result.stop_reason in optimizer._status.message
    assert optimizer._status.kind == "finished"
    assert f"of iteration {int(result.best_iteration[0])}" in optimizer._status.message
    optimizer.close()


async def test_pause_step_resume_and_stop(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    job = optimizer.start(paused=True)
    optimizer._buttons.step.click()
    await _until(lambda: job.state == "paused" and job.iteration == 1)
    await _until(lambda: optimizer._buttons.pause.description == "Resume")
    optimizer._buttons.pause.click()  # resumes
    await _until(lambda: job.iteration > 20)
    optimizer._buttons.pause.click()
    await _until(lambda: job.state == "paused")
    await _until(lambda: optimizer._status.kind == "paused")
    assert optimizer._buttons.optimise.disabled, "it would throw the run away"
    assert "Resume" in optimizer._buttons.optimise.tooltip
    optimizer._buttons.pause.click()
    await _until(lambda: not optimizer._buttons.optimise.disabled)
    optimizer._buttons.pause.click()
    await _until(lambda: optimizer._status.kind == "paused")
    optimizer._buttons.stop.click()
    result = await job
    assert result.stop_reasons == ("stopped by the user",)
    assert int(result.iterations[0]) == job.iteration - 1
    assert "stopped by the user" in optimizer._status.message
    assert optimizer._buttons.stop.disabled
    assert not optimizer._buttons.optimise.disabled
    optimizer.close()


async def test_other_tasks_run_meanwhile(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    job = optimizer.start()
    turns = 0
    while job.iteration < 50:
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
    job.cancel()
    await job
    optimizer.close()


async def test_starting_again_ends_the_run_before(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    first = optimizer.start()
    await _until(lambda: first.iteration > 3)
    second = optimizer.start()
    await _until(first.done)
    await _until(lambda: second.iteration > 3)
    assert not second.done()
    optimizer.reset()
    await _until(second.done)
    assert optimizer.result is None
    assert optimizer.player.stimulus is None
    optimizer.close()


def test_score_that_turns_nan_is_said_and_the_best_is_kept() -> None:
    class TurnsNaN(LinearNonlinear):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            response = super().forward(stimulus)
            return torch.where(response > 20, torch.nan, response)

    model = RetinaModel(TurnsNaN(), input_shape=(2, 6, 5), stimulus_norm=3.0)
    optimizer = StimulusOptimizer(model, time_steps=5)
    result = optimizer.start().result(timeout=60)
    assert "not finite at iteration" in result.stop_reason
    assert torch.isfinite(result.stimulus).all()
    assert 0 < float(result.score[0]) <= 20
    assert "not finite at iteration" in optimizer._status.message
    optimizer.close()


def test_model_that_fails_is_said_in_the_widget_and_raised() -> None:
    class Fails(LinearNonlinear):
        calls = 0

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 8:
                raise RuntimeError("the amplifier is <b>off</b>")
            return super().forward(stimulus)

    optimizer = StimulusOptimizer(
        RetinaModel(Fails(), input_shape=(2, 6, 5), stimulus_norm=3.0), time_steps=5
    )
    with pytest.raises(RuntimeError, match="amplifier"):
        optimizer.start().result(timeout=60)
    assert optimizer._status.kind == "failed"
    assert optimizer._status.message == "RuntimeError: the amplifier is <b>off</b>"
    assert not optimizer._buttons.optimise.disabled
    optimizer.close()


def test_settings_that_do_not_fit_are_said_where_the_user_looks(small_model: RetinaModel) -> None:
    small_model.stimulus_norm = None  # and no range: the stimulus would grow for ever
    optimizer = StimulusOptimizer(small_model)
    optimizer._buttons.optimise.click()
    assert optimizer._status.kind == "failed"
    assert "without any bound" in optimizer._status.message
    with pytest.raises(ValueError, match="without any bound"):
        optimizer.start()
    optimizer._settings.norm.value = 3.0
    assert optimizer._status.message == "Choose a neuron and press Optimise."
    assert optimizer.start().result(timeout=60).norm[0] == pytest.approx(3.0, rel=1e-5)
    optimizer.close()


def test_a_norm_out_of_reach_is_said_before_the_run(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(
        small_model, time_steps=5, norm=1000.0, stimulus_range=[(-1.0, 1.0)] * 2
    )
    optimizer._buttons.optimise.click()
    assert optimizer.job is None
    assert optimizer._status.kind == "failed"
    assert "Norm: 1000.0 is out of reach" in optimizer._status.message
    optimizer.close()


def test_too_few_frames_are_refused_with_the_shortest_that_works(small_model: RetinaModel) -> None:
    with pytest.raises(ValueError, match=r"4 frames .* consumes 4 .* shortest that works is 5"):
        StimulusOptimizer(small_model, time_steps=4)


def test_unknown_keyword_raises(small_model: RetinaModel) -> None:
    with pytest.raises(TypeError, match="iterations"):
        StimulusOptimizer(small_model, iterations=5)


def test_settings_reach_the_run(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(
        small_model,
        neuron=2,
        seed=7,
        direction="decrease",
        time_steps=9,
        window=(1, 3),
        max_iterations=4,
        patience=None,
        norm=2.0,
        tv_weight=0.5,
        smooth_ms=40.0,
        blur=1.5,
    )
    result = optimizer.start().result(timeout=60)
    assert result.neurons == ((2,),)
    assert result.seeds == (7,)
    assert result.window == (1, 3)
    assert int(result.iterations[0]) == 4
    assert result.norm[0] == pytest.approx(2.0, rel=1e-5)
    assert result.settings["objective"]["sign"] == -1.0
    assert result.settings["regularizers"] == [
        {
            "type": "TotalVariationRegularizer",
            "weight": 0.5,
            "axes": ["time", "height", "width"],
        }
    ]
    low_pass, blur, _ = result.settings["postprocessors"]
    assert low_pass == {"type": "TemporalLowPass", "sigma": pytest.approx(1.2)}
    assert blur == {"type": "SpatialBlur", "sigma": 1.5}
    optimizer.close()


def test_window_stays_within_the_response(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=20)
    window = optimizer._settings.window
    assert (window.max, tuple(window.value)) == (16, (0, 16))
    optimizer._settings.frames.value = 30
    assert (window.max, tuple(window.value)) == (26, (0, 26))
    window.value = (20, 25)
    optimizer._settings.frames.value = 10
    assert (window.max, tuple(window.value)) == (6, (5, 6))
    optimizer.close()


def test_another_model_takes_over(small_model: RetinaModel, synthetic: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=2)
    result = optimizer.start().result(timeout=60)
    optimizer.model = synthetic
    assert optimizer.result is result  # it is not lost
    assert optimizer.job is None
    assert optimizer.picker.model is synthetic
    assert optimizer._settings.norm.value == synthetic.stimulus_norm
    result = optimizer.start().result(timeout=120)
    assert result.stimulus.shape[1:] == torch.Size([2, 50, 18, 16])
    optimizer.close()


async def test_closing_ends_the_run_and_frees_the_thread(small_model: RetinaModel) -> None:
    before = set(threading.enumerate())
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    job = optimizer.start()
    await _until(lambda: job.iteration > 3)
    optimizer.close()
    await _until(job.done)
    await _until(lambda: set(threading.enumerate()) <= before)


def test_a_picture_is_drawn_whole_or_the_movie_alone(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9)
    picture = picture_of_result(optimizer.start().result(timeout=60))
    view = optimizer._view
    for whole, shown in itertools.product(
        (False, True), (picture, dataclasses.replace(picture, components=None))
    ):
        optimizer.reset()
        view.show(shown, whole=whole)
        assert view.player.stimulus is not None
        for chart in (view.score, view.response, view.temporal):
            assert (len(chart._lines[0].x) > 0) is whole
        assert (view.spatial.stimulus is not None) is whole
    optimizer.close()


async def test_the_picture_of_a_pause_is_drawn_whole(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    optimizer.player._window.hear({"event": "open", "view": "a", "version": 0})
    job = optimizer.start()
    await _until(lambda: job.iteration > 5)
    job.pause()
    await _until(lambda: optimizer._status.kind == "paused")
    score = optimizer._view.score._lines[0]
    for _ in range(3):
        steps = job.iteration
        assert len(score.x) == steps
        job.step()
        await _until(lambda steps=steps: len(score.x) == steps + 1)
    optimizer.close()


def test_norm_zero_is_no_norm(small_model: RetinaModel) -> None:
    small_model.stimulus_norm = 2.0
    small_model.stimulus_range = ((-1.0, 1.0), (-1.0, 1.0))
    optimizer = StimulusOptimizer(small_model, time_steps=9, max_iterations=60)
    assert optimizer._settings.norm.value == 2.0
    optimizer._settings.norm.value = 0.0
    result = optimizer.start().result(timeout=60)
    assert result.norm[0] > 4.0
    optimizer.close()


def test_what_is_shown_says_whose_it_is(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=9)
    optimizer.start()
    optimizer.picker.neuron = 2  # chosen while the run of another goes on
    optimizer.job.result(timeout=60)
    label = small_model.neurons()[1].label
    assert f"best stimulus of neuron {label}, of iteration" in optimizer._status.message
    optimizer.close()


async def test_progress_stays_where_a_run_was_stopped(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    job = optimizer.start()
    await _until(lambda: job.iteration > 5)
    assert optimizer.stop("enough") is job
    result = await job
    assert result.stop_reason == "enough"
    assert optimizer._status.progress < 0.5
    assert optimizer.stop() is None
    optimizer.close()


def test_lab_links_loader_and_optimiser(small_model: RetinaModel) -> None:
    lab = RetinaLab(small_model, neuron=1)
    assert lab.model is small_model
    lab.loader.load("synthetic").result(timeout=60)
    assert lab.model.name == "synthetic"
    assert lab.optimizer.picker.model is lab.model
    assert lab.result is None
    lab.close()


def test_two_hundred_times_open_and_close_leave_nothing(small_model: RetinaModel) -> None:
    threads = threading.active_count()
    for _ in range(200):
        StimulusOptimizer(small_model).close()
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.04, "0.0 s"), (59.9, "59.9 s"), (185, "3 min 05 s"), (7300, "2 h 1 min")],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert as_time(seconds) == text


async def _until(condition, *, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
