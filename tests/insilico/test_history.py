"""What is kept of a run: which iterations, how exactly, and in how many bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import neuron_steps
from openretina_widgets.insilico.stimulus_optimization.history import RunHistory, recorded
from openretina_widgets.insilico.stimulus_optimization.optimizer import drain
from openretina_widgets.models import load_model


@pytest.fixture(scope="module")
def retina():
    return load_model("synthetic")


def test_every_iteration_of_a_short_run_is_kept_nearly_exactly(retina):
    history = RunHistory()
    steps = recorded(neuron_steps(retina, [3, 5], time_steps=25, max_iterations=8), history)
    seen = []
    for step in steps:
        seen.append((step.stimulus.clone(), step.score.clone(), step.response.clone()))
    assert history.iterations == list(range(9))
    for iteration, (stimulus, score, response) in enumerate(seen):
        kept = history.at(iteration, 1)
        error = np.abs(kept.movie(1) - stimulus[1].numpy()).max()
        assert error <= 6e-4 * float(stimulus[1].abs().max())
        value, answer = kept.of(1)
        assert value == pytest.approx(float(score[1]))
        np.testing.assert_allclose(answer, response[1].numpy(), rtol=1e-6)


def test_a_long_run_is_thinned_within_its_budget(retina):
    history = RunHistory(budget_mb=0.2)  # seven snapshots of 25 frames
    steps = recorded(
        neuron_steps(retina, 3, time_steps=25, max_iterations=40, patience=None), history
    )
    most = 0
    for _ in steps:
        most = max(most, history.nbytes)
    assert most <= 0.2e6
    kept = history.iterations
    assert kept[0] == 0
    assert len(kept) >= 4
    assert len(set(np.diff(kept))) == 1, "even over the whole run"
    assert kept[-1] >= 40 - history.every
    assert history.at(kept[2] + 1).iteration == kept[2], "the newest up to the one asked for"


def test_the_result_and_a_reason_pass_through(retina):
    given = {"time_steps": 25, "max_iterations": 5, "seed": 2}
    plain = drain(neuron_steps(retina, 3, **given))
    again = drain(recorded(neuron_steps(retina, 3, **given), RunHistory()))
    assert torch.equal(plain.stimulus, again.stimulus)
    steps = recorded(neuron_steps(retina, 3, **given), RunHistory())
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send("enough")
    assert end.value.value.stop_reasons == ("enough",)


def test_an_element_that_has_ended_stays_with_its_last_snapshot(retina):
    history = RunHistory()
    # A suppressed neuron's score does not improve further than its patience: it ends early.
    steps = recorded(
        neuron_steps(retina, [3, 20], time_steps=25, max_iterations=60, patience=2, min_delta=0.01),
        history,
    )
    last = {}
    for step in steps:
        for element in step.elements:
            last[element] = step.iteration
    assert len(set(last.values())) == 2, "they end apart"
    for element, iteration in last.items():
        assert history.at(60, element).iteration == iteration


def test_copies_cost_no_more_than_a_share_of_the_run(retina, monkeypatch):
    from openretina_widgets.insilico.stimulus_optimization import history as module

    clock = iter(np.arange(0.0, 1e6, 1.0))  # every look at the clock is a second later
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    history = RunHistory()
    for _ in recorded(
        neuron_steps(retina, 3, time_steps=25, max_iterations=60, patience=None), history
    ):
        pass
    assert len(history) < 10
    assert history.spent_s <= 1 + 0.1 + 0.01 * 200


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="budget_mb"):
        RunHistory(0)
