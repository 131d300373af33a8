"""Sessions, images and grids of contrasts that are shared out to real processes."""

from __future__ import annotations

import numpy as np
import pytest

from openretina_widgets import (
    RetinaModel,
    experiments,
    load_model,
    response_gradient,
    selectivity_table,
    sweep_sessions,
    vector_field,
)
from openretina_widgets.insilico.cluster import on_worker
from openretina_widgets.insilico.receptive_fields import vector_field_steps
from openretina_widgets.insilico.tuning_analyses import response_gradient_steps
from tests.clusters import busy, kill_a_busy_worker, wait_until
from tests.insilico.test_sweep_sessions import assert_same, two_sessions
from tests.insilico.tuning_analyses.test_response_gradient import Once, linear, random_movie

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def model() -> RetinaModel:
    return load_model("synthetic")


@pytest.fixture
def elsewhere(monkeypatch):
    """Return what makes this process refuse to compute a model."""

    def refuse(*arguments, **settings):
        raise AssertionError("the model was computed here")

    def refuse_from_now() -> None:
        for name in ("forward", "responses"):
            monkeypatch.setattr(RetinaModel, name, refuse)

    return refuse_from_now


def drained(steps, client=None):
    """Return the result, what was done at each step, and what a worker had that was killed."""
    done, lost = [], []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value, done, lost
        done.append(step.done)
        if client is not None and not lost:
            lost = kill_a_busy_worker(client)


def test_sessions_are_swept_together_on_the_workers(client, elsewhere):
    model = two_sessions()
    settings = {"controls": ("scrambled", "blank"), "neurons": {"a": [3, 0]}}
    settings |= {"noise": "poisson", "repeats": 2}
    spots = experiments.size_tuning(diameters=[1.0, 3.0])
    gratings = experiments.drifting_gratings(directions=4, temporal_frequencies=[2.0, 5.0])
    expected = {one: sweep_sessions(model, one, **settings) for one in (spots, gratings)}
    for experiment, here in expected.items():
        if experiment is gratings:
            elsewhere()
        found = sweep_sessions(model, experiment, client=client, **settings)
        assert list(found) == list(here) == ["a", "b"]
        for session, curves in found.items():
            assert_same(curves, here[session])
            assert np.ptp(curves.responses) > 1e-4
            for name, control in here[session].controls.items():
                np.testing.assert_allclose(curves.controls[name], control, atol=1e-5)
            assert curves.settings == here[session].settings


def test_a_killed_workers_images_are_looked_at_again(client, model, elsewhere):
    expected = vector_field(model, neurons=range(40))
    elsewhere()
    steps = vector_field_steps(model, neurons=range(40), client=client)
    found, done, lost = drained(steps, client)
    assert lost, "a worker was killed while it had something to do"
    assert done == sorted(done)
    assert done[-1] == len(expected.images) == 24
    np.testing.assert_allclose(found.lsta, expected.lsta, atol=1e-5 * np.abs(expected.lsta).max())
    np.testing.assert_allclose(found.responses, expected.responses, rtol=1e-5, atol=1e-5)
    assert found.settings == expected.settings
    assert found.described == expected.described


def test_a_killed_workers_points_of_the_grid_are_shown_again(client, model, elsewhere):
    settings = {"stimulus": "local", "neurons": range(0, 84, 6), "equalize": True}
    expected = response_gradient(model, **settings)
    steps = response_gradient_steps(model, client=client, **settings)
    elsewhere()  # from now on: where the receptive fields are was looked up here
    found, done, lost = drained(steps, client)
    assert lost
    assert done == sorted(done)
    assert done[-1] == 82 * len(expected.movies)
    for name in ("responses", "gradients", "grey_response", "grey_gradient"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert found.settings == expected.settings
    assert found.notes == expected.notes


def test_what_a_model_lacks_is_noted_once(client):
    model, movie = linear(Once.apply), random_movie()
    expected = response_gradient(model, movie)
    found = response_gradient(model, movie, client=client)
    assert found.notes == expected.notes
    assert "second derivative" in found.notes[0]
    np.testing.assert_allclose(found.gradients, expected.gradients, rtol=1e-5, atol=1e-5)


def test_a_vector_field_that_is_closed_ends_on_the_workers(client, model):
    steps = vector_field_steps(model, client=client)
    next(step for step in steps if any(busy(client).values()))
    steps.close()
    wait_until(lambda: not any(busy(client).values()))


def test_a_table_of_a_population_is_measured_on_the_workers(client, model):
    settings = {"neurons": range(0, 84, 4), "measure": ("flash", "size", "receptive_field")}
    expected = selectivity_table(model, **settings)
    before = runs(client)
    found = selectivity_table(model, client=client, **settings)
    assert len(runs(client) - before) == 3, "a run of each measurement"
    assert found.names == expected.names
    for name in found.names:
        if found.column(name).kind == "number":
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name
            )
        else:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert (found.notes, found.settings) == (expected.notes, expected.settings)


def runs(client):
    """Return the names of the runs that workers have been sent."""
    return {name for names in client.run(_runs).values() for name in names}


def _runs():
    return list(on_worker._runs)


@pytest.mark.parametrize("call", [selectivity_table, vector_field, response_gradient])
def test_what_is_no_client(model, call):
    with pytest.raises(TypeError, match=r"client: expected a Client .* got int"):
        call(model, client=3)
    with pytest.raises(TypeError, match=r"client: expected a Client .* got int"):
        sweep_sessions(model, experiments.drifting_gratings(directions=2), client=3)
