"""An experiment of one's own goes into the notebook as the code of the function that makes it."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.data_io.artificial_stimuli import drifting_grating
from openretina_widgets.errors import NotReproducible
from openretina_widgets.insilico.tuning_analyses import Axis, Experiment
from tests.export.test_notebook import executed, read, said

RATE = 10
ANGLES = np.arange(4) * 90.0
AN_OBJECT = object()


def held(stimulus, rate):
    hold = round(stimulus.screen.frame_rate / rate)
    frames = np.arange(len(stimulus))
    shown = np.maximum(0, frames - (frames - stimulus.onset) % hold)
    return replace(stimulus, movie=stimulus.movie[:, shown])


def slow(directions=ANGLES, frequency=2.5):
    def build(screen, condition):
        return held(drifting_grating(screen, temporal_frequency=frequency, **condition), RATE)

    axes = [Axis.of("direction", directions, "°")]
    return Experiment("slow", "Slow", axes, build, settings={"temporal_frequency": frequency})


def cannot_be_said():
    return AN_OBJECT


def no_experiment():
    return 1


def model():
    return slow()


@pytest.fixture(scope="module")
def curves(model):
    return orw.sweep(model, slow(), neurons=[28, 0], repeats=2, noise="poisson", seed=3)


def test_a_fresh_kernel_gives_the_same_numbers(curves, tmp_path):
    path = export.save(curves, tmp_path / "own.ipynb", experiment=slow)
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    assert "tests" not in code  # what is of the same file is taken along, not imported
    words = said(executed(path))
    assert words.count("as exported; largest difference 0\n") == 3, words


def test_a_partial_carries_its_keywords(model, tmp_path):
    make = functools.partial(slow, frequency=5.0, directions=[0.0, 180.0])
    curves = orw.sweep(model, make(), neurons=28)
    path = export.to_notebook({"mine": curves}, tmp_path / "own.ipynb", experiment={"mine": make})
    words = said(executed(path))
    assert words.count("as exported; largest difference 0\n") == 2, words


def test_without_it_the_way_is_told(curves, tmp_path):
    with pytest.raises(NotReproducible, match=r"to_notebook\(\.\.\., experiment=\.\.\.\)"):
        export.to_notebook(curves, tmp_path / "own.ipynb")


def refused(make, curves, tmp_path, error, words):
    with pytest.raises(error, match=words):
        export.to_notebook(curves, tmp_path / "own.ipynb", experiment=make)
    assert not list(tmp_path.iterdir())


def test_another_experiment_is_refused(curves, tmp_path):
    refused(
        functools.partial(slow, frequency=5.0),
        curves,
        tmp_path,
        ValueError,
        r"slow\(frequency=5\.0\) is not the experiment .* 'slow': they differ in the settings",
    )
    refused(
        functools.partial(slow, directions=[0.0, 180.0]),
        curves,
        tmp_path,
        ValueError,
        "differ in the values of 'direction'",
    )


def test_what_code_cannot_say_is_refused_by_name(curves, tmp_path):
    around = 3

    def inner():
        return around

    refused(lambda: slow(), curves, tmp_path, TypeError, "defined with def")
    refused(slow(), curves, tmp_path, TypeError, "expected a function that returns")
    refused(inner, curves, tmp_path, ValueError, r"inner\(\) uses around of the function")
    refused(cannot_be_said, curves, tmp_path, ValueError, "uses 'AN_OBJECT' of type object")
    refused(no_experiment, curves, tmp_path, TypeError, r"from no_experiment\(\), got int")
    refused(functools.partial(slow, ANGLES), curves, tmp_path, TypeError, "keywords only")
    refused(globals()["model"], curves, tmp_path, ValueError, "a name 'model' of its own")
    keyword = functools.partial(slow, frequency=AN_OBJECT)
    refused(keyword, curves, tmp_path, ValueError, "there is no code for object")
    names = {}
    exec("def typed():\n    return 1", names)
    refused(names["typed"], curves, tmp_path, ValueError, "source of typed.* cannot be read")


def test_whose_experiment_it_is_has_to_be_said(curves, best, tmp_path):
    results = {"a": curves, "b": curves}
    refused(slow, results, tmp_path, ValueError, "tuning curves in 2 of 2 results")
    refused(slow, best, tmp_path, ValueError, "tuning curves in 0 of 1 results")
    refused({"c": slow}, results, tmp_path, ValueError, "name of tuning curves 'c'|'c'")
