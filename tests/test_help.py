"""`help` of a public function leads to its settings, all of which are listed somewhere."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import openretina_widgets as orw
from openretina_widgets.insilico.stimulus_optimization import neuron_steps

ELSEWHERE = re.compile(r"(?:Settings|Parameters)\b[^.`]* are those of\s+`([\w.]+)`")


def functions() -> dict[str, Callable[..., Any]]:
    named = {name: getattr(orw, name) for name in orw.__all__}
    return {name: one for name, one in named.items() if inspect.isfunction(one)}


WITH_SETTINGS = sorted(
    name
    for name, one in functions().items()
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(one).parameters.values())
)


def listed(function: Callable[..., Any]) -> set[str]:
    """Return the names under Parameters in a docstring."""
    section = inspect.getdoc(function).partition("Parameters\n----------\n")[2]  # type: ignore[union-attr]
    section = re.split(r"\n\n\w+\n-{3,}", section)[0]
    lines = [line for line in section.splitlines() if re.match(r"[\w*]", line)]
    return {name.strip(" *") for line in lines for name in line.split(",")}


def test_there_are_functions_that_hand_settings_on():
    assert {"optimize_neurons", "optimize_groups", "sweep", "receptive_fields"} <= {*WITH_SETTINGS}


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_function_whose_settings_they_are_is_found_and_lists_them(name: str):
    function = functions()[name]
    found = ELSEWHERE.search(str(function.__doc__))
    where = function
    if found:
        module, _, steps = found[1].rpartition(".")
        where = getattr(importlib.import_module(module), steps)
        named = set(re.findall(r"``(\w+)``", str(function.__doc__)))
        own = {
            one.name
            for one in inspect.signature(where).parameters.values()
            if one.kind is one.KEYWORD_ONLY and one.name != "window"
        }
        assert own <= named, "a setting of its own is not named"
    taken = [
        one.name
        for one in inspect.signature(where).parameters.values()
        if one.kind is not one.VAR_KEYWORD
    ]
    assert {*taken} <= listed(where)


def test_all_settings_of_an_optimisation_are_listed_in_one_place():
    assert set(inspect.signature(neuron_steps).parameters) <= listed(orw.optimize_neurons)
    for name in WITH_SETTINGS:
        if "stimuli" in name or name.startswith("optimize_"):
            assert "`openretina_widgets.optimize_" in str(functions()[name].__doc__), name
