"""The optimiser as a bench: looking back, several seeds, before and after, every objective."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import replace

import ipywidgets as ipw
import numpy as np
import pytest
import torch

from openretina_widgets import RetinaLab, RetinaModel, StimulusOptimizer
from openretina_widgets.errors import ObjectiveFailed
from openretina_widgets.export import to_image
from openretina_widgets.insilico.stimulus_optimization import (
    GaborSinusoid,
    GradientBlur,
    Jitter,
    LowFrequencies,
    optimize_neurons,
)
from openretina_widgets.widgets.curves import Chart
from openretina_widgets.widgets.optimizer_goals import _FIELDS
from openretina_widgets.widgets.settings_fields import (
    label_of,
    limits_as_text,
    limits_in,
    neurons_in,
    numbers_in,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


def ended(optimizer: StimulusOptimizer):
    return optimizer.start().result(timeout=120)


# What is typed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [("", None), ("0.3", 0.3), ("0.3, −1", [0.3, -1.0]), ("1 2", [1.0, 2.0])],
)
def test_numbers_are_read(text: str, values: object) -> None:
    assert numbers_in(text, "x") == values


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", None),
        ("-1 to 1", ((-1.0, 1.0),) * 2),
        ("−1 to 1; 0 to 2", ((-1.0, 1.0), (0.0, 2.0))),
        ("to 3", ((None, 3.0),) * 2),
    ],
)
def test_limits_are_read_and_written(text: str, limits: object) -> None:
    assert limits_in(text, 2, "x") == limits
    assert limits_in(limits_as_text(limits), 2, "x") == limits  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1", "1 to 2 to 3", "a to b", "0 to 1; 0 to 1; 0 to 1"])
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Range: expected"):
        limits_in(text, 2, "Range")


def test_neurons_are_read() -> None:
    assert neurons_in("3, 7, 9-12", "x") == [3, 7, 9, 10, 11, 12]
    for text in ("", "x", "3 4", "-1"):
        with pytest.raises(ValueError, match="Neurons: expected"):
            neurons_in(text, "Neurons")


# Looking back --------------------------------------------------------------------------------


def test_the_slider_shows_every_stimulus_of_the_run(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=9, max_iterations=12)
    view, bar = optimizer._view, optimizer._view.history
    assert bar.slider.disabled
    result = ended(optimizer)
    last, best = int(result.iterations[0]), int(result.best_iteration[0])
    assert (bar.slider.max, bar.slider.value) == (last, best)
    assert "best" in bar.said.value
    assert np.array_equal(view.player.stimulus, result.stimulus[0].numpy())
    bar.slider.value = 0
    start = view.player.stimulus
    assert list(view.score._cursor.x) == [0.0, 0.0]
    assert f"0, score {float(result.score_trace[0, 0]):.4g}" in bar.said.value.replace("−", "-")
    norm = float(np.linalg.norm(start))
    assert norm == pytest.approx(3.0, rel=1e-3)
    assert not np.allclose(start, result.stimulus[0].numpy(), atol=0.1)
    bar.slider.value = best
    assert np.array_equal(view.player.stimulus, result.stimulus[0].numpy())
    bar.slider.value = 3
    bar.latest.click()
    assert bar.slider.value == last
    optimizer.reset()
    assert bar.slider.disabled
    assert list(view.score._cursor.x) == []
    optimizer.close()


async def test_the_run_goes_on_while_somebody_looks_back(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    optimizer.player._window.hear({"event": "open", "view": "a", "version": 0})
    job, view, bar = optimizer.start(), optimizer._view, optimizer._view.history
    await _until(lambda: bar.slider.value > 5)
    assert bar.live
    bar.slider.value = 2
    await _until(lambda: re.search(">[0-2], score", bar.said.value) is not None)  # of those kept
    assert not bar.live
    shown, at = view.player.stimulus, bar.newest
    await _until(lambda: bar.newest > at)
    assert view.player.stimulus is shown, "it stays while the run goes on"
    assert bar.slider.value == 2
    assert view.score._lines[0].x[-1] > at
    bar.latest.click()
    await _until(lambda: "newest" in bar.said.value)
    assert bar.live
    at = bar.slider.value
    await _until(lambda: bar.slider.value > at)
    job.cancel()
    await job
    optimizer.close()


async def test_while_it_follows_it_points_nothing_out_and_what_rests_is_exact(
    small_model: RetinaModel,
) -> None:
    optimizer = StimulusOptimizer(small_model, max_iterations=10**6, patience=None)
    optimizer.player._window.hear({"event": "open", "view": "a", "version": 0})
    job, view, bar = optimizer.start(), optimizer._view, optimizer._view.history
    messages: list[str] = []
    for part in (view.score._cursor, bar.said, bar.latest):
        part.observe(lambda change: messages.append(change["name"]))
    await _until(lambda: "following" in bar.said.value)
    messages.clear()
    moves: list[int] = []
    bar.slider.observe(lambda change: moves.append(change["new"]), "value")
    at = bar.newest
    await _until(lambda: view.score._lines[0].x[-1] > at + 2)
    assert bar.live
    assert list(view.score._cursor.x) == []
    assert messages == [], "the run's figures and the curve tell it"
    assert len(moves) <= 1, "a millionth of the slider is not worth a message"

    job.pause()
    await _until(lambda: "newest" in bar.said.value and "score" in bar.said.value)
    assert job.state == "paused"
    rests = job.iteration - 1
    assert bar.newest == bar.slider.value == rests
    assert list(view.score._cursor.x) == [rests, rests]
    assert f">{rests}, score {optimizer._status.figures[1][1]}" in bar.said.value
    bar.slider.value = rests - 1
    await _until(lambda: f">{rests - 1}, score" in bar.said.value)
    bar.slider.value = rests
    await _until(lambda: f">{rests}, score" in bar.said.value)
    assert bar.live
    assert list(view.score._cursor.x) == [rests, rests], "it rests still"

    job.resume()
    await _until(lambda: "following" in bar.said.value)
    assert list(view.score._cursor.x) == []
    bar.slider.value += 1  # the right arrow, while the handle is behind
    await _until(lambda: bar.slider.value == bar.newest)
    assert bar.live
    job.cancel()
    result = await job
    best = int(result.best_iteration[0])
    assert list(view.score._cursor.x) == [best, best]
    optimizer.close()


async def test_a_run_that_fails_leaves_its_last_picture_pointed_out(
    small_model: RetinaModel,
) -> None:
    def fails_late(stimulus: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        if len(calls) > 60:
            raise RuntimeError("no more")
        return stimulus[:, :, -1].mean()

    calls: list[int] = []
    optimizer = StimulusOptimizer(small_model, objective=fails_late, max_iterations=10**4)
    optimizer.player._window.hear({"event": "open", "view": "a", "version": 0})
    job, view, bar = optimizer.start(), optimizer._view, optimizer._view.history
    with pytest.raises(ObjectiveFailed, match="no more"):
        await job
    await _until(lambda: optimizer._status.kind == "failed")
    at = bar.newest
    assert bar.slider.value == at
    assert f">{at}, score" in bar.said.value
    assert list(view.score._cursor.x) == [at, at]
    optimizer.close()


def test_the_memory_of_a_long_run_is_bounded(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(
        small_model, time_steps=9, max_iterations=300, patience=None, history_mb=0.02
    )
    ended(optimizer)
    history = optimizer._view._history
    assert history.nbytes <= 0.02e6
    bar = optimizer._view.history
    bar.slider.value = 299
    assert "nearest kept" in bar.said.value
    optimizer.close()


# Several seeds -------------------------------------------------------------------------------


def test_several_seeds_are_overlaid_and_compared(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=5, seeds=3, seed=4)
    view = optimizer._view
    assert view.seeds.layout.display == "none"
    result = ended(optimizer)
    assert result.seeds == (4, 5, 6)
    assert view.seeds.layout.display is None
    assert view.score._others.y.shape == (2, len(result.score_trace))
    assert "3 seeds reach" in view.seeds.words
    assert "one optimum" in view.seeds.words  # a linear filter under a norm
    for row, band in zip(view.seeds.chart._lines, view.seeds.chart._bands, strict=True):
        assert (band.y[0] <= row.y + 1e-6).all()
        assert (band.y[1] >= row.y - 1e-6).all()
    best = int(result.score.argmax())
    assert view.element == best
    assert f"seed {4 + best}, of iteration" in optimizer._status.message
    view.which.value = other = (best + 1) % 3
    assert np.array_equal(view.player.stimulus, result.stimulus[other].numpy())
    assert f"seed {4 + other}, of iteration" in optimizer._status.message
    optimizer._settings.seeds.value = 1
    ended(optimizer)
    assert view.seeds.layout.display == "none"
    assert view.which.layout.display == "none"
    assert len(view.score._others.x) == 0
    optimizer.close()


@pytest.mark.parametrize("others", [1, 2])
def test_a_curve_of_one_point_has_room_for_others(others: int) -> None:
    chart = Chart("Score", x_label="iteration", y_label="score", bands=True)
    for points in (1, 3, 1):
        x = np.arange(points)
        chart.draw(x, np.zeros(points), others=np.ones((others, points)))
        assert len(chart._others.x) == (points if points > 1 else 0)
        chart.draw_bands(x, np.zeros((1, points)), np.ones((1, points)))
    chart.close()


def test_the_end_says_which_run_ended_why(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=5, seeds=3)
    result = ended(optimizer)
    assert f"Ended: {result.stop_reason}. Shown" in optimizer._status.message, "one reason for all"
    mixed = replace(result, stop_reasons=("200 iterations done", "a plateau", "a plateau"))
    optimizer._ended_with(mixed, optimizer.job)
    assert (
        "Ended: 200 iterations done (seed 0); a plateau (seed 1, seed 2). Shown"
        in optimizer._status.message
    )
    optimizer.close()


# Before and after ----------------------------------------------------------------------------


def test_a_kept_run_stands_beside_the_next_one(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=9, max_iterations=20)
    comparison = optimizer._comparison
    assert comparison.keep.disabled
    with pytest.raises(RuntimeError, match="no result to keep"):
        optimizer.keep_as_before()
    before = ended(optimizer)
    comparison.keep.click()
    assert "No setting differs" in comparison.words
    assert optimizer.exported is before
    optimizer._settings.goal.goal.value = "decrease"
    optimizer._settings.frames.value = 12
    after = ended(optimizer)
    words = html.unescape(comparison.words)
    for cells in ("<td>Frames</td><td>9</td><td>12</td>", "<td>most exciting, neuron 1"):
        assert cells in words
    assert "<td>Norm</td>" not in words, "what is the same is not listed"
    shown = comparison.player.stimulus
    assert comparison.player.channels == (
        "before, green", "before, UV", "after, green", "after, UV",
    )  # fmt: skip
    assert shown.shape == (4, 12, 6, 5)
    assert np.array_equal(shown[:2, :9], before.stimulus[0].numpy())
    assert np.isnan(shown[:2, 9:]).all()
    assert np.array_equal(shown[2:], after.stimulus[0].numpy())
    assert len(set(comparison.player.limits)) == 1, "one colour scale"
    assert optimizer.exported == {"before": before, "after": after}
    optimizer._view.history.slider.value = 0
    assert not np.array_equal(comparison.player.stimulus[2:], after.stimulus[0].numpy())
    comparison.forget.click()
    assert optimizer.exported is after
    assert comparison._body.layout.display == "none"
    optimizer.close()


def test_before_and_after_are_saved_together(small_model: RetinaModel, tmp_path) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=9, max_iterations=3)
    ended(optimizer)
    optimizer.keep_as_before()
    optimizer.picker.neuron = 2
    ended(optimizer)
    page = optimizer.export(tmp_path / "both.html").read_text(encoding="utf-8")
    assert "before" in page
    assert "after" in page
    assert optimizer.export(tmp_path / "newest.npz").stat().st_size > 0
    optimizer.close()


def test_a_picture_shows_the_chosen_stimulus(small_model: RetinaModel, tmp_path) -> None:
    optimizer = StimulusOptimizer(small_model, neuron=1, time_steps=9, max_iterations=3, seeds=2)
    result = ended(optimizer)
    optimizer.keep_as_before()
    optimizer._view.which.value = 1
    shown = optimizer.export(tmp_path / "shown.png").read_bytes()
    to_image(result, tmp_path / "one.png", element=1)
    to_image(result, tmp_path / "none.png", element=0)
    assert shown == (tmp_path / "one.png").read_bytes()
    assert shown != (tmp_path / "none.png").read_bytes()
    optimizer.close()


def test_a_lab_saves_both_runs(small_model: RetinaModel) -> None:
    lab = RetinaLab(small_model, neuron=1, time_steps=9, max_iterations=3)
    ended(lab.optimizer)
    lab.optimizer.keep_as_before()
    assert [*lab.exported] == ["Best stimulus"]
    ended(lab.optimizer)
    assert [*lab.exported] == ["Best stimulus, before", "Best stimulus, after"]
    lab.close()


# Objectives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "kind", "elements"),
    [
        ("increase", "NeuronsObjective", 1),
        ("decrease", "NeuronsObjective", 1),
        ("neurons", "GroupMeanObjective", 1),
        ("type", "GroupMeanObjective", 1),
        ("groups", "GroupsObjective", 2),
        ("diverse", "DiverseObjective", 4),
        ("sparse", "SparseObjective", 1),
    ],
)
def test_every_objective_runs(synthetic: RetinaModel, goal: str, kind: str, elements: int) -> None:
    optimizer = StimulusOptimizer(synthetic, neuron=3, max_iterations=2)
    optimizer._settings.goal.goal.value = goal
    result = ended(optimizer)
    assert result.settings["objective"]["type"] == kind
    assert len(result.stimulus) == elements
    assert optimizer._status.kind == "finished"
    assert len(optimizer._view.which.options) == elements
    optimizer.close()


def test_a_set_says_how_different_it_is(synthetic: RetinaModel) -> None:
    optimizer = StimulusOptimizer(synthetic, neuron=3, objective="diverse", max_iterations=3)
    result = ended(optimizer)
    flat = result.stimulus.flatten(1)
    pairs = np.corrcoef(flat.numpy())[np.triu_indices(4, 1)]
    low, high = (f"{pairs.min():.2f}", f"{pairs.max():.2f}")
    words = optimizer._view.seeds.words.replace("−", "-")
    assert f"The 4 stimuli correlate {low} to {high} in pairs" in words
    assert optimizer._view.seeds.chart is None
    optimizer._settings.goal.goal.value = "increase"
    ended(optimizer)
    assert optimizer._view.seeds.layout.display == "none"
    optimizer.close()


def test_a_channel_of_an_inner_layer() -> None:
    from openretina_widgets import load_model

    optimizer = StimulusOptimizer(load_model("trained"), max_iterations=2)
    goal = optimizer._settings.goal
    goal.goal.value = "layer"
    assert any("core.features.layer0" in value for _, value in goal.layer.options)
    goal.layer.value, goal.channel.value = "core.features.layer0", 2
    assert optimizer._settings.window.disabled
    result = ended(optimizer)
    assert result.settings["objective"]["channel"] == [2]
    assert "channel 2 of core.features.layer0" in optimizer._status.message
    goal.channel.value = 10_000
    assert optimizer._status.kind == "failed"
    assert "10000" in optimizer._status.message
    goal.channel.value = 1
    assert optimizer._status.kind == "finished", "what was said before is said again"
    optimizer.close()


def test_a_function_of_ones_own(small_model: RetinaModel) -> None:
    def difference(response: torch.Tensor) -> torch.Tensor:
        return response[:, 1].mean() - response[:, 0].mean()

    optimizer = StimulusOptimizer(small_model, time_steps=9, objective=difference, seeds=2)
    goal = optimizer._settings.goal.goal
    assert goal.label == "best for difference"
    assert optimizer.picker._list.disabled, "no neuron of the list counts"
    assert optimizer._status.message == "Press Optimise: the function says what counts."
    result = ended(optimizer)
    answer = small_model(result.stimulus)
    expected = (answer[:, :, 1] - answer[:, :, 0]).mean(dim=1)
    torch.testing.assert_close(result.score, expected, atol=1e-4, rtol=1e-4)
    assert "the best stimulus for difference" in optimizer._status.message
    assert "Response: not of one neuron here" in optimizer._view.response.heading.value
    goal.value = "increase"
    assert not optimizer.picker._list.disabled
    ended(optimizer)
    assert "Response, optimised window" in optimizer._view.response.heading.value
    optimizer.close()


class PowerObjective:
    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        return stimulus.square().mean()


@pytest.mark.parametrize(
    "own", [lambda stimulus: stimulus.square().mean(), PowerObjective()], ids=["function", "object"]
)
def test_a_function_of_the_stimulus_has_no_window(small_model: RetinaModel, own: object) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9, objective=own, max_iterations=3)  # type: ignore[arg-type]
    assert not optimizer._settings.goal.is_window_of_response
    result = ended(optimizer)
    torch.testing.assert_close(result.score, result.stimulus.square().flatten(1).mean(dim=1))
    assert result.window is None
    optimizer.close()


def test_what_is_given_in_code_is_not_rounded(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9, rms=0.0123456789, max_iterations=1)
    settings = ended(optimizer).settings["postprocessors"][-1]
    assert settings["rms"] == 0.0123456789
    optimizer.close()


def test_an_error_of_the_function_is_shown_with_its_line(small_model: RetinaModel) -> None:
    def wrong(response: torch.Tensor) -> torch.Tensor:
        return response.men()

    optimizer = StimulusOptimizer(small_model, objective=wrong)
    optimizer._buttons.optimise.click()
    line = wrong.__code__.co_firstlineno + 1
    assert optimizer._status.kind == "failed"
    assert f"in line {line}: return response.men()" in optimizer._status.message
    optimizer.close()


def test_an_objective_that_does_not_exist_is_refused(small_model: RetinaModel) -> None:
    with pytest.raises(ValueError, match=r"objective: .* nearest is 'sparse'"):
        StimulusOptimizer(small_model, objective="spars")


# Constraints ---------------------------------------------------------------------------------


def test_constraints_reach_the_run(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(
        small_model,
        time_steps=9,
        max_iterations=4,
        rms=[0.3, 0.2],
        mean_luminance=0.1,
        stimulus_range=[(-1.0, 1.0), (-2.0, 2.0)],
        jitter=Jitter(1, 2, seed=5),
        precondition=GradientBlur(0.7),
    )
    settings = optimizer._settings
    assert settings.more.selected_index == 0, "what is set is seen"
    assert settings.norm.disabled
    result = ended(optimizer)
    bounds = result.settings["postprocessors"][-1]
    assert bounds["rms"] == [0.3, 0.2]
    assert bounds["mean_luminance"] == 0.1
    assert bounds["min_max_values"] == [[-1.0, 1.0], [-2.0, 2.0]]
    jitter = {"type": "Jitter", "pixels": 1, "frames": 2, "seed": 5}
    assert result.settings["objective"]["jitter"] == jitter
    assert result.settings["optimizer"]["preconditioner"]["pixels"] == 0.7
    torch.testing.assert_close(
        result.rms_contrast, torch.tensor([[0.3, 0.2]]).double(), atol=1e-4, rtol=1e-4
    )
    optimizer.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"norm": 10.0, "rms": 0.3}, "norm, rms: .* contradict each other; give one of them"),
        ({"rms": -1.0}, "rms: expected"),
        ({"mean_luminance": 3.0, "stimulus_range": [(-1.0, 1.0)] * 2}, "mean_luminance: 3.0"),
    ],
)
def test_what_contradicts_itself_is_refused_as_in_code(
    small_model: RetinaModel, given: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as in_code:
        optimize_neurons(small_model, 0, time_steps=9, **given)
    with pytest.raises(ValueError, match=words) as in_widget:
        StimulusOptimizer(small_model, time_steps=9, **given)
    assert str(in_widget.value) == str(in_code.value)


def test_where_an_rms_contrast_is_held_the_norm_says_so(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9, max_iterations=3)
    settings = optimizer._settings
    assert settings.more.selected_index is None, "nothing is set there"
    settings.more.selected_index = 0
    settings.constraints.rms.value = "0.3"
    assert settings.norm.layout.display == "none"
    instead = settings._no_norm
    assert (instead.value, instead.placeholder) == ("", "RMS contrast is held")
    assert instead.layout.display is None
    ended(optimizer)
    assert "RMS contrast 0.3, norm" in optimizer._status.message
    settings.constraints.rms.value, settings.constraints.mean.value = "0.3, 0.2", "0.1"
    ended(optimizer)
    assert "RMS contrast 0.3 and 0.2, mean luminance 0.1, norm" in optimizer._status.message
    settings.constraints.rms.value = settings.constraints.mean.value = ""
    assert settings.norm.layout.display is None
    assert instead.layout.display == "none"
    ended(optimizer)
    assert "RMS" not in optimizer._status.message
    optimizer.close()


@pytest.mark.parametrize("given", [{"seeds": 3}, {"rms": 0.3}, {"jitter": Jitter(1)}])
def test_more_settings_open_where_one_of_them_is_set(
    small_model: RetinaModel, given: dict[str, object]
) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9, **given)
    assert optimizer._settings.more.selected_index == 0
    assert optimizer._settings.constraints.fields
    optimizer.close()


@pytest.mark.parametrize("form", [GaborSinusoid(drifting=True), LowFrequencies(0.2, 10.0)])
def test_a_form_reaches_the_run(small_model: RetinaModel, form) -> None:
    optimizer = StimulusOptimizer(small_model, time_steps=9, max_iterations=3, parametrization=form)
    assert optimizer._settings.blur.disabled
    result = ended(optimizer)
    assert result.settings["parametrization"]["type"] == type(form).__name__
    assert result.parameters
    optimizer.close()


def test_the_parameters_of_a_form_are_said_for_the_stimulus_shown(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(
        small_model, time_steps=9, max_iterations=3, seeds=2, parametrization=GaborSinusoid()
    )
    line, which = optimizer._view.parameters, optimizer._view.which
    assert line.layout.display == "none"
    result = ended(optimizer)
    assert line.layout.display is None
    values, units = result.parameters, result.parameter_units
    for element in (0, 1):
        which.value = element
        x, hz = values["centre_x"][element], values["temporal_frequency"][element]
        contrast = [f"{value:.4g}" for value in values["contrast"][element].tolist()]
        for words in (
            f"centre x {x:.4g} {units['centre_x']} ·",
            f"temporal frequency {hz:.4g} Hz ·",
            f"orientation {values['orientation'][element]:.4g}° ·",
            f"contrast green {contrast[0]}, UV {contrast[1]} model units",
        ):
            assert words in line.value.replace("−", "-")
    optimizer._settings.constraints.form.value = "gaussians"
    ended(optimizer)
    assert "time 2 × 9 values, in result.parameters" in line.value
    assert "ratio" in line.value
    optimizer._settings.constraints.form.value = "any"
    ended(optimizer)
    assert line.layout.display == "none"
    optimizer.close()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rms", "much", "RMS contrast: expected a number"),
        ("rms", "5", "RMS contrast: 5.0 is out of reach"),
        ("mean", "0.1, 0.2, 0.3", "Mean luminance: expected one number, or one for each of 2"),
        ("range", "-1", "Range: expected limits"),
        ("range", "1 to -1", "Range: "),
    ],
)
def test_what_does_not_fit_is_said_before_the_run(
    small_model: RetinaModel, field: str, value: str, words: str
) -> None:
    optimizer = StimulusOptimizer(small_model, stimulus_range=[(-1.0, 1.0)] * 2)
    box = getattr(optimizer._settings.constraints, field)
    good = box.value
    box.value = value
    assert optimizer._status.kind == "failed"
    assert optimizer._status.message.startswith(words), "no class of an exception before it"
    assert "orw-refused" in box._dom_classes
    assert optimizer.job is None
    box.value = good
    assert "orw-refused" not in box._dom_classes
    assert optimizer._status.kind == "idle"
    assert "press Optimise" in optimizer._status.message
    optimizer.close()


@pytest.mark.parametrize(
    ("goal", "field", "value", "words"),
    [
        ("neurons", "neurons", "3, x", "Neurons: expected neurons"),
        ("neurons", "neurons", "0-3, 90", "Neurons: session 'synthetic' has no neuron 90"),
        ("groups", "groups", "ON sustained", "Groups: expected two at least"),
        ("groups", "groups", "ON sustained\nON brisk", "Groups: there is no cell type 'ON brisk'"),
        ("groups", "groups", "0, 1\n1, 2", "Groups: neuron 1 is in both"),
    ],
)
def test_groups_and_neurons_that_do_not_exist(
    synthetic: RetinaModel, goal: str, field: str, value: str, words: str
) -> None:
    optimizer = StimulusOptimizer(synthetic, objective=goal)
    box = getattr(optimizer._settings.goal, field)
    box.value = value
    assert optimizer._status.kind == "failed"
    assert optimizer._status.message.startswith(words)
    assert "orw-refused" in box._dom_classes
    optimizer._buttons.optimise.click()
    assert optimizer._status.message.startswith(words)
    optimizer._settings.goal.goal.value = "increase"
    assert optimizer._status.kind == "idle"
    assert "orw-refused" not in box._dom_classes
    optimizer.close()


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("neurons", "Write the neurons"),
        ("type", "Choose a cell type"),
        ("groups", "Write two groups or more, one a line"),
    ],
)
def test_what_a_goal_needs_is_said_and_a_list_that_does_not_count_is_greyed(
    synthetic: RetinaModel, goal: str, words: str
) -> None:
    optimizer = StimulusOptimizer(synthetic)
    picker, chosen = optimizer.picker, optimizer._settings.goal.goal
    assert optimizer._status.message == "Choose a neuron and press Optimise."
    for value, is_of_one in (("sparse", True), (goal, False), ("diverse", True), (goal, False)):
        chosen.value = value
        for field in (picker._list, picker._filter, picker._type):
            assert field.disabled is not is_of_one
    assert optimizer._status.message.startswith(words)
    optimizer.reset()
    assert optimizer._status.message.startswith(words)
    optimizer.close()
    optimizer = StimulusOptimizer(synthetic, objective=goal)
    assert optimizer.picker._list.disabled
    assert optimizer._status.message.startswith(words)
    optimizer.close()


def test_a_model_without_inner_channels_says_so_and_which_has_some(synthetic: RetinaModel) -> None:
    optimizer = StimulusOptimizer(synthetic)
    goal = optimizer._settings.goal
    goal.goal.value = "layer"
    assert goal.layer.label == "none in this model"
    assert goal.layer.disabled
    assert goal.channel.disabled
    assert "'synthetic' has no inner layer" in optimizer._status.message
    assert "such as 'trained'" in optimizer._status.message
    optimizer.close()


def test_every_setting_has_a_label_with_a_tooltip(synthetic: RetinaModel) -> None:
    optimizer = StimulusOptimizer(synthetic, rms=0.3)
    goal, constraints = optimizer._settings.goal, optimizer._settings.constraints
    fields = [getattr(goal, name) for names in _FIELDS.values() for name in names]
    for field in [goal.goal, *fields, *constraints.fields, *optimizer._settings._fields]:
        assert field.tooltip
        # ipywidgets shows the tooltip of these kinds only where there is no label.
        if isinstance(field, ipw.Dropdown | ipw.Text | ipw.Textarea):
            assert field.description_allow_html
            assert f'title="{html.escape(field.tooltip)}"' in field.description
        assert "<" not in label_of(field)
    assert "0, 3-5" in goal.groups.placeholder
    optimizer.close()


def test_what_cannot_be_reached_is_said_at_once(small_model: RetinaModel) -> None:
    optimizer = StimulusOptimizer(small_model, norm=1e6, stimulus_range=[(-1.0, 1.0)] * 2)
    assert optimizer._status.kind == "failed"
    assert optimizer._status.message.startswith("Norm: 1000000.0 is out of reach")
    assert "orw-refused" in optimizer._settings.norm._dom_classes
    optimizer._settings.norm.value = 3.0
    assert optimizer._status.kind == "idle"
    optimizer.close()


async def _until(condition, *, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_field_that_is_marked_is_left_alone_when_the_same_is_refused_again(
    small_model: RetinaModel,
) -> None:
    """What somebody is typing there would be gone."""
    optimizer = StimulusOptimizer(small_model, norm=1e6, stimulus_range=[(-1.0, 1.0)] * 2)
    norm = optimizer._settings.norm
    assert "orw-refused" in norm._dom_classes
    heard: list[object] = []
    norm.observe(heard.append)
    with pytest.raises(ValueError, match="out of reach"):
        optimizer.start()
    assert not heard
    norm.value = 1.0
    assert "orw-refused" not in norm._dom_classes
    optimizer.close()
