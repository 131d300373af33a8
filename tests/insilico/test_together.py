"""One stimulus for several neurons, and functions of one's own as objectives."""

from __future__ import annotations

import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.errors import ObjectiveFailed
from openretina_widgets.insilico.stimulus_optimization.function_objective import (
    function_steps,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import drain


@pytest.fixture(scope="module")
def retina():
    return orw.load_model("synthetic")


def test_the_mean_of_several_is_what_counts(retina):
    cells = retina.neurons_of("ON sustained")
    run = orw.optimize_groups(
        retina, cells, seed=[0, 1], time_steps=25, window=(1, 5), max_iterations=20
    )
    response = retina(run.stimulus)[:, 1:5, cells].mean(dim=(1, 2))
    torch.testing.assert_close(run.score, response, atol=1e-5, rtol=1e-5)
    alone = orw.optimize_neurons(
        retina, cells[0], time_steps=25, window=(1, 5), max_iterations=20
    ).stimulus
    assert run.score[0] > retina(alone)[:, 1:5, cells].mean()
    assert run.neurons == (tuple(cells),) * 2


def test_decrease_one_neuron_alone_is_as_optimize_neurons(retina):
    given = {"direction": "decrease", "seed": 3, "time_steps": 25, "max_iterations": 8}
    one = orw.optimize_neurons(retina, 3, **given)
    torch.testing.assert_close(orw.optimize_groups(retina, [3], **given).stimulus, one.stimulus)


@pytest.mark.parametrize(("neurons", "words"), [([], "group"), ([1, 1], "twice"), ([999], "999")])
def test_neurons_that_do_not_fit_are_refused(retina, neurons, words):
    with pytest.raises(ValueError, match=words):
        orw.optimize_groups(retina, neurons)


def test_a_function_of_the_response_sees_the_window(retina):
    shapes = []

    def contrast(response):
        shapes.append(tuple(response.shape))
        return response[:, 3].mean() - response[:, 20].mean()

    run = drain(
        function_steps(
            retina, contrast, seed=[0, 1], time_steps=25, window=(1, 5), max_iterations=10
        )
    )
    assert set(shapes) == {(4, 84)}
    response = retina(run.stimulus)[:, 1:5]
    expected = response[:, :, 3].mean(dim=1) - response[:, :, 20].mean(dim=1)
    torch.testing.assert_close(run.score, expected, atol=1e-5, rtol=1e-5)
    assert run.score_trace[-1].min() > run.score_trace[0].max()
    assert run.settings["objective"]["name"] == "contrast"


def test_a_function_of_the_stimulus_and_an_object_with_forward(retina):
    def power(x):
        return x[:, 0].square().mean()

    class Objective:
        def forward(self, x):
            return power(x)

    given = {"time_steps": 25, "max_iterations": 4}
    one = drain(function_steps(retina, power, **given))
    two = drain(function_steps(retina, Objective(), **given))
    torch.testing.assert_close(one.stimulus, two.stimulus)
    torch.testing.assert_close(one.score, one.stimulus[:, 0].square().mean()[None])


def test_an_error_names_the_function_its_line_and_its_text(retina):
    def wrong(response):
        chosen = response[:, 3]
        return chosen.men()

    line = wrong.__code__.co_firstlineno + 2
    words = rf"wrong raised AttributeError: .*'men'.*, in line {line}: return chosen.men\(\)"
    with pytest.raises(ObjectiveFailed, match=words):
        function_steps(retina, wrong, time_steps=25)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda response: 1.0, "function: expected a torch tensor"),
        (lambda response: response[:, 0], "function: expected one number"),
        (lambda response: torch.tensor(2.0), "function: torch sees no way from the stimulus"),
    ],
)
def test_answers_that_lead_nowhere_are_said_before_the_run(retina, function, words):
    with pytest.raises((TypeError, ValueError), match=words):
        function_steps(retina, function, time_steps=25)


def test_what_is_no_function_is_refused(retina):
    with pytest.raises(TypeError, match="function: expected a function"):
        function_steps(retina, 5)
