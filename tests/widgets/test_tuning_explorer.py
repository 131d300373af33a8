from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import Screen
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.sweep import sweep
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.experiment_controls import held_parameters, holding
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.tuning_explorer import TuningExplorer
from openretina_widgets.widgets.tuning_map import TuningMap
from openretina_widgets.widgets.tuning_plot import TuningPlot
from tests.widgets.conftest import LinearNonlinear


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def curves_shown(explorer: TuningExplorer) -> list[dict]:
    return explorer.plot._content["curves"]


async def test_run_is_the_sweep_and_shows_every_neuron_afterwards(synthetic: RetinaModel) -> None:
    explorer = orw.TuningExplorer(synthetic, experiment="direction")
    curves = await explorer.start()
    assert explorer.result is curves
    plain = sweep(synthetic, experiments.standard("direction", synthetic))
    np.testing.assert_allclose(curves.responses, plain.responses, rtol=1e-5, atol=1e-6)
    job = explorer.job
    cell = next(
        truth
        for truth in synthetic.module.ground_truth
        if truth.preferred_direction_deg is not None and "ON-OFF" in truth.cell_type
    )
    explorer.selection.choose([cell.index, 0])
    assert explorer.job is job  # no new run
    first, second = curves_shown(explorer)
    assert first["values"] == pytest.approx(plain.responses[:, cell.index], rel=1e-3)
    assert second["values"] == pytest.approx(plain.responses[:, 0], rel=1e-3)
    assert cell.preferred_direction_deg is not None
    away = abs(first["preferred"] - cell.preferred_direction_deg + 180) % 360 - 180
    assert abs(away) <= 15
    assert first["fit"] is not None
    words = explorer._curve.words.value
    assert "°" in words
    assert "not determined" in words  # of the ON cell, which has no direction
    explorer.close()


async def test_click_shows_the_stimulus_and_the_traces_of_a_point(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="direction")
    curves = await explorer.start()
    explorer.selection.choose([40])
    explorer.plot.clicked = 2
    condition = explorer._condition
    await until(lambda: not condition.busy)
    stimulus = condition.stimulus
    assert stimulus is not None
    assert stimulus.parameters["direction_deg"] == 90.0
    np.testing.assert_array_equal(explorer.player.stimulus, stimulus.movie.numpy())
    shown = explorer.traces._content["curves"][0]["values"]
    assert shown == pytest.approx(curves.traces[2, : len(shown), 40], rel=1e-3, abs=1e-4)
    start, stop = curves.windows[2]
    expected = (np.array([start, stop]) + synthetic.lag) / synthetic.frame_rate
    assert explorer.traces._content["shade"][0] == pytest.approx(expected)
    explorer.close()


async def test_a_slider_changes_what_is_shown_and_the_next_run(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="direction")
    full = await explorer.start()
    explorer.set(contrast=0.1)
    await until(lambda: not explorer._condition.busy)
    assert explorer._condition.stimulus.parameters["contrast"] == 0.1
    live = max(explorer.traces._content["curves"][0]["values"])
    weak = await explorer.start()
    assert weak.settings["contrast"] == 0.1
    assert weak.responses[:, 0].max() < full.responses[:, 0].max()
    assert live == pytest.approx(weak.traces[0, :, 0].max(), rel=1e-3)
    explorer.close()


async def test_centred_experiment_shows_each_neuron_its_own(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="flash")
    explorer.selection.choose([3, 40])
    curves = await explorer.start()
    explorer.plot.clicked = 1  # a bright flash
    await until(lambda: not explorer._condition.busy)
    shown = explorer.traces._content["curves"]
    for curve, neuron in zip(shown, (3, 40), strict=True):
        n = len(curve["values"])
        assert curve["values"] == pytest.approx(curves.traces[1, :n, neuron], rel=1e-3, abs=1e-4)
    stimulus = explorer._condition.stimulus
    assert stimulus is not None
    assert stimulus.parameters["centre_um"] == pytest.approx(tuple(curves.centres[3]))
    explorer.close()


async def test_other_axes_are_held_where_one_says(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="contrast")
    explorer.selection.choose([40])  # prefers downwards
    curves = await explorer.start()
    best = curves_shown(explorer)[0]["values"]
    _, expected = curves.curve("contrast", 40)
    assert best == pytest.approx(expected, rel=1e-3)
    explorer._curve._held["direction"].value = 90.0
    held = curves_shown(explorer)[0]
    assert held["values"] == pytest.approx(
        curves.curve("contrast", 40, direction=90.0)[1], rel=1e-3
    )
    assert held["values"][-1] < best[-1]
    assert held["fit"] is None  # the fit is of the best
    await until(lambda: not explorer._condition.busy)
    assert explorer._condition.stimulus.parameters["direction_deg"] == 90.0
    explorer.close()


async def test_repeats_give_error_bars_and_a_p_value(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="direction", repeats=6, seed=1)
    explorer.selection.choose([40])
    curves = await explorer.start()
    errors = curves_shown(explorer)[0]["errors"]
    expected = curves.repeats[:, :, 40].std(axis=0, ddof=1) / np.sqrt(6)
    assert errors == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert (curves.noise, curves.seed) == ("poisson", 1)
    explorer.close()


async def test_pause_step_resume_stop(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="spatial_frequency")
    job = explorer.start(paused=True)
    job.step(3)
    await until(lambda: job.state == "paused" and job.iteration == 3)

    def known() -> int:
        curves = explorer._curves
        return 0 if curves is None else int(np.isfinite(curves.responses).all(axis=-1).sum())

    await until(lambda: known() == 3 and explorer._status.kind == "paused")
    assert explorer._buttons.pause.description == "Resume"
    assert explorer._status.figures[0] == ["condition", "3 of 32"]
    explorer.stop()
    await until(lambda: explorer._status.kind == "idle")
    assert "stopped by the user, with 9% of the conditions done" in explorer._status.message
    assert explorer.result is None
    assert any(value is not None for value in curves_shown(explorer)[0]["values"])
    curves = await explorer.start()
    assert explorer.result is curves
    explorer.close()


async def test_failure_ends_in_the_widget_and_in_the_job(small_model: RetinaModel) -> None:
    explorer = TuningExplorer(small_model, experiment="direction")
    explorer.set(spatial_frequency=0.68)  # along rows, the finest is 0.5 cycles per pixel
    await until(lambda: not explorer._condition.busy)
    assert 'role="alert"' in explorer._condition._status.value
    job = explorer.start()
    with pytest.raises(ValueError, match="spatial_frequency"):
        await job
    assert explorer._status.kind == "failed"
    assert "spatial_frequency" in explorer._status.message
    explorer.close()


async def test_selection_and_model_are_followed(
    small_model: RetinaModel, synthetic: RetinaModel
) -> None:
    selection = Selection(synthetic)
    explorer = TuningExplorer(selection=selection, experiment="chromatic")
    with pytest.raises(ValueError, match="the nearest is 'direction'"):
        explorer.experiment = "directions"
    await explorer.start()
    selection.show_model(small_model)
    assert explorer.result is None
    curves = await explorer.start()
    assert len(curves.neurons) == small_model.n_neurons()
    explorer.close()
    selection.choose([1])
    one = RetinaModel(torch_mean(), input_shape=(1, 8, 8))
    grey = TuningExplorer(one)
    assert "chromatic" not in grey._known
    grey.close()


def torch_mean() -> object:
    import torch

    class Mean(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return stimulus.mean(dim=(1, 3, 4)).unsqueeze(-1)

    return Mean()


@pytest.mark.parametrize("name", experiments.NAMES)
def test_held_values_begin_where_the_experiment_has_them(name: str, synthetic: RetinaModel) -> None:
    experiment = experiments.standard(name, synthetic)
    screen = Screen.of(synthetic)
    parameters = held_parameters(experiment, screen)
    assert holding(experiment, parameters, {}) is experiment
    assert not {p.name for p in parameters} & {axis.name for axis in experiment.axes}
    values = {"weight_1": 0.0} if name != "chromatic" else {"duration_s": 2.0}
    other = holding(experiment, parameters, values)
    condition = experiment.conditions()[-1]
    before, after = (e.stimulus(screen, **condition) for e in (experiment, other))
    if name == "chromatic":
        assert len(after) == len(before) + 30
        return
    np.testing.assert_array_equal(after.movie[0], before.movie[0])
    assert after.movie[1].std() == 0 < before.movie[1].std()


@pytest.mark.usefixtures("nothing_left")
async def test_close_leaves_nothing(synthetic: RetinaModel) -> None:
    selection = Selection(synthetic)
    for name in ("direction", "orientation"):
        explorer = TuningExplorer(selection=selection)
        explorer.experiment = name
        await explorer.start()
        explorer.close()


async def test_green_against_uv_is_a_map_and_a_cell_shows_its_stimulus(
    synthetic: RetinaModel,
) -> None:
    explorer = TuningExplorer(synthetic, experiment="chromatic")
    cell = next(t for t in synthetic.module.ground_truth if "opponent" in t.cell_type)
    explorer.selection.choose([cell.index, 3])
    assert isinstance(explorer.plot, TuningMap)
    job = explorer.start(paused=True)
    job.step(7)
    await until(lambda: explorer._curves is not None and explorer._curves.finished == 7 / 25)
    shown = explorer.plot._content["maps"][0]
    assert sum(level > 0 for level in shown["levels"]) == 7  # it grows cell by cell
    job.resume()
    curves = await job
    opponent, other = explorer.plot._content["maps"]
    assert opponent["values"] == pytest.approx(
        curves.responses[..., cell.index].ravel(), rel=1e-3, abs=1e-4
    )
    assert other["values"] == pytest.approx(curves.responses[..., 3].ravel(), rel=1e-3, abs=1e-4)
    best = np.unravel_index(np.argmax(opponent["values"]), (5, 5))
    assert best[0] < 2 < best[1]  # green OFF and UV ON: the opponent quadrant
    explorer.plot.clicked = 1 * 5 + 4
    condition = explorer._condition
    await until(lambda: not condition.busy)
    assert condition.stimulus is not None
    parameters = condition.stimulus.parameters
    assert (parameters["green"], parameters["uv"]) == (-0.5, 1.0)
    answer = explorer.traces._content["curves"][0]["values"]
    expected = curves.traces[1, 4, : len(answer), cell.index]
    assert answer == pytest.approx(expected, rel=1e-3, abs=1e-4)
    explorer.experiment = "contrast"
    assert isinstance(explorer.plot, TuningPlot)
    assert set(explorer._curve._held) == {"direction"}
    explorer.close()


def test_its_model_is_that_of_the_selection(
    synthetic: RetinaModel, small_model: RetinaModel
) -> None:
    explorer = TuningExplorer(synthetic)
    assert explorer.model is synthetic
    explorer.model = small_model
    assert explorer.selection.model is small_model
    explorer.close()


async def test_the_chirp_has_its_landmarks_and_no_fit(synthetic: RetinaModel) -> None:
    explorer = TuningExplorer(synthetic, experiment="chirp")
    await explorer.start()
    await until(lambda: not explorer._condition.busy)
    shown = explorer.traces._content
    begins = shown["shade"][0][0]
    assert f"Grey before {begins:.2f} s" in shown["note"]
    found = {
        one["what"]: (one["start"] - begins, one["stop"] - begins) for one in shown["landmarks"]
    }
    assert found["ON step"] == pytest.approx((2, 5), abs=0.02)
    assert found["OFF step"] == pytest.approx((5, 8), abs=0.02)
    assert found["frequency sweep"] == pytest.approx((10, 18), abs=0.02)
    assert found["contrast ramp"] == pytest.approx((20, 28), abs=0.02)
    assert explorer._measured["fits"] == {}  # one contrast is no curve
    assert "Fit" not in explorer._curve.words.value
    explorer.close()


@pytest.mark.parametrize("repeats", [0, 1001, 1.5, True, "2"])
def test_repeats_that_a_box_would_change_without_a_word_are_refused(
    small_model: RetinaModel, repeats: object
) -> None:
    with pytest.raises(ValueError, match="repeats: expected a whole number from 1 to 1000, got"):
        TuningExplorer(small_model, repeats=repeats)  # type: ignore[arg-type]


def test_seed_and_experiment_are_checked(small_model: RetinaModel) -> None:
    with pytest.raises(ValueError, match="seed: expected a whole number from 0"):
        TuningExplorer(small_model, seed=-1)
    with pytest.raises(ValueError, match="there is no experiment 'directions'; the nearest is"):
        TuningExplorer(small_model, experiment="directions")


def test_one_channel_says_why_it_has_no_chromatic_tuning() -> None:
    model = RetinaModel(OneChannel(), input_shape=(1, 6, 5))
    words = "compares two channels, green and UV; this model has one, luminance"
    with pytest.raises(ValueError, match=words):
        TuningExplorer(model, experiment="chromatic")
    explorer = TuningExplorer(model)
    assert "chromatic" not in dict(explorer._choice.options).values()
    with pytest.raises(ValueError, match=words):
        explorer.experiment = "chromatic"
    explorer.close()


def test_slider_refuses_what_it_would_move_to_its_end(small_model: RetinaModel) -> None:
    explorer = TuningExplorer(small_model)
    for value, error in ((2.0, ValueError), (float("nan"), ValueError), ("full", TypeError)):
        with pytest.raises(error, match="contrast: expected"):
            explorer.set(contrast=value)
    assert explorer.parameters["contrast"] == 1.0
    explorer.close()


async def test_model_without_lag_silent_and_constant_neurons_are_told() -> None:
    model = RetinaModel(Static(), input_shape=(2, 6, 5))
    explorer = TuningExplorer(model, experiment="direction")
    explorer.selection.choose([0, 1])
    await explorer.start()
    assert explorer._status.kind == "finished"
    assert "the model has no lag" in explorer._status.message
    words = explorer._curve.words.value
    assert "silent: no response above zero" in words
    explorer.close()


async def test_every_note_of_a_run_is_told(small_model: RetinaModel) -> None:
    explorer = TuningExplorer(small_model, experiment="moving_bar", repeats=2)
    curves = await explorer.start()
    assert curves.notes
    for note in curves.notes:
        assert note in explorer._status.message
    explorer.close()


class OneChannel(LinearNonlinear):
    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return super().forward(stimulus.expand(-1, 2, -1, -1, -1))


class Static(torch.nn.Module):
    """A silent and a constant neuron that see one frame."""

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        frames = 0 * stimulus.mean(dim=(1, 3, 4))
        return torch.stack([frames, frames + 2.5], dim=2)
