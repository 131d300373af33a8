"""An exported notebook runs in a fresh kernel, and gives the same numbers."""

from __future__ import annotations

import dataclasses
import json
import re

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import openretina_widgets as orw
from openretina_widgets import export
from openretina_widgets.errors import NotReproducible
from openretina_widgets.export.code import literal
from openretina_widgets.insilico.stimulus_optimization import (
    IncreaseObjective,
    OptimizationStopper,
    neuron_steps,
    optimize_stimulus,
)
from openretina_widgets.insilico.stimulus_optimization.population import population_steps
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.models.synthetic import load_synthetic
from tests.insilico.modules import linear_model

NUMBERS = {
    "best": ("stimulus", "score", "score_trace", "response"),
    "told apart": ("stimulus", "score", "score_trace", "response"),
    "a start <b>given</b>": ("stimulus", "score", "score_trace"),
    "gratings": ("responses", "traces", "repeats", "baseline", "f1"),
    "spots": ("responses", "centres"),
    "gradient": ("fields", "spatial"),
    "local gradient": ("fields",),
    "average": ("fields", "responses"),
    "table": (),
    "bar": ("stimulus", "response"),
    "contrasts": ("responses", "gradients", "grey_response", "movies"),
    "own contrasts": ("responses", "gradients", "grey_gradient"),
    "noise field": ("lsta", "responses", "axes", "explained"),
    "image field": ("lsta", "responses", "coordinates"),
}


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def executed(path, more=""):
    notebook = read(path)
    if more:
        notebook.cells.append(nbformat.v4.new_code_cell(more))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook


def said(notebook):
    return "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )


@pytest.fixture(scope="module")
def again(session, tmp_path_factory):
    """The session as a fresh kernel computes it, and what the notebook said."""
    folder = tmp_path_factory.mktemp("notebook")
    path = export.to_notebook(session, folder / "session.ipynb")
    made = re.findall(r"^(\w+) = (?:orw\.|optimize_|measured|show_)", _code(path), re.M)
    names = [name for name in dict.fromkeys(made) if name not in ("model", "measured")]
    assert len(names) == len(session), names
    parts = [f"{literal(name)}: {variable}" for name, variable in zip(session, names, strict=True)]
    save = f"orw.export.to_archive({{{', '.join(parts)}}}, 'again.zip')"
    notebook = executed(path, save)
    return export.from_archive(folder / "again.zip"), said(notebook)


def _code(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_fresh_kernel_gives_the_same_numbers(name, session, again):
    then, now = session[name], again[0][name]
    for attribute in NUMBERS[name]:
        one, other = (np.asarray(getattr(result, attribute)) for result in (then, now))
        assert np.isfinite(one).any(), attribute
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6, err_msg=attribute)
    if name == "table":
        assert now.neurons == then.neurons
        for column in then.columns:
            if column.kind == "number":
                np.testing.assert_allclose(now[column.name], then[column.name], rtol=1e-6)
            else:
                assert list(now[column.name]) == list(then[column.name])


def test_the_notebook_says_that_the_numbers_are_the_same(again):
    assert "gratings, baseline: as exported; largest difference 0" in again[1]
    assert "NOT as exported" not in again[1]
    assert f"torch {torch.__version__}\n" in again[1]  # the same version: nothing more is said


def test_it_says_so_when_numbers_differ(given_start, tmp_path):
    path = export.to_notebook(given_start, tmp_path / "run.ipynb")
    text = path.read_text().replace("lr=0.05", "lr=0.06")
    path.write_text(text.replace("made_with = {", "made_with = {'nbformat': '1.0', "))
    words = said(executed(path))
    assert "best_stimulus, score: NOT as exported (see the versions above)" in words
    assert "made with 1.0: small differences are possible" in words


def test_a_population_is_made_again(population, tmp_path):
    path = export.to_notebook(population, tmp_path / "run.ipynb")
    assert "orw.optimize_population(" in _code(path)
    save = "orw.export.to_archive(best_stimuli, 'again.npz')"
    words = said(executed(path, save))
    assert "best_stimuli, score: as exported" in words
    assert "NOT" not in words
    then, now = population.together(), export.from_archive(tmp_path / "again.npz")
    assert now.neurons == then.neurons
    assert now.seeds == then.seeds
    np.testing.assert_allclose(now.stimulus, then.stimulus, rtol=1e-6, atol=1e-6)


def test_a_population_that_was_stopped_says_so(model, tmp_path):
    steps = population_steps(model, [3, 9], chunk=1, time_steps=25, max_iterations=3)
    while len(next(steps).result) < 1:
        pass
    with pytest.raises(StopIteration) as end:
        steps.send("stopped by the user")
    path = export.to_notebook(end.value.value, tmp_path / "run.ipynb")
    text = path.read_text()
    assert "neurons=[3]" in text


def test_stimuli_too_large_for_a_notebook_are_refused(own_contrasts, tmp_path):
    many = np.zeros((3000, *own_contrasts.movies.shape[1:]), np.float32)
    huge = dataclasses.replace(own_contrasts, movies=many, movie_of=np.arange(2))
    wide = dataclasses.replace(huge, neurons=tuple(range(3000)), movie_of=np.arange(3000))
    with pytest.raises(NotReproducible, match=r"take \d+ MiB, too much for a notebook"):
        export.to_notebook(wide, tmp_path / "run.ipynb")


def test_another_model_is_refused_when_it_runs(gradient, tmp_path):
    path = export.to_notebook(gradient, tmp_path / "run.ipynb")
    path.write_text(path.read_text().replace("load_model('synthetic'", "load_model('trained'"))
    with pytest.raises(Exception, match=r"'trained' has other weights: their hash is [0-9a-f]{16}"):
        executed(path)


def test_a_retina_without_veto_is_made_again(tmp_path):
    model = load_synthetic(seed=3, veto=0, facilitation=0.123456789)
    curves = orw.sweep(model, orw.experiments.drifting_gratings(directions=4), neurons=28)
    path = export.to_notebook(curves, tmp_path / "run.ipynb")
    assert "load_synthetic(seed=3, veto=0.0, facilitation=0.123456789)" in _code(path)
    words = said(executed(path))
    assert "responses: as exported; largest difference 0" in words
    assert "NOT" not in words


def test_a_run_that_was_stopped_is_made_again_as_far_as_it_went(model, tmp_path):
    steps = neuron_steps(model, [3], seed=1, time_steps=25, max_iterations=200)
    for _ in range(8):
        next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send("stopped by the user")
    result = end.value.value
    path = export.to_notebook(result, tmp_path / "run.ipynb")
    assert "max_iterations=7," in _code(path)
    assert "stopped by the user" in path.read_text()
    notebook = executed(path, "best_stimulus.save('again.npz')")
    again = orw.OptimizationResult.load(tmp_path / "again.npz")
    torch.testing.assert_close(again.stimulus, result.stimulus, rtol=0, atol=1e-6)
    assert "NOT" not in said(notebook)


@pytest.mark.parametrize("name", orw.experiments.NAMES)
def test_every_standard_experiment_has_its_code(name, model):
    from openretina_widgets.export.experiment_code import recipe_of

    curves = _shown(model, orw.experiments.standard(name, model))
    recipe = recipe_of(curves, "model")
    assert not recipe.missing
    made = recipe.code[recipe.code.index("orw.experiments") :]
    again = eval(_first_call(made), {"orw": orw})
    for one, other in zip(again.axes, curves.axes, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    condition = again.conditions()[-1]
    torch.testing.assert_close(
        again.stimulus(model, **condition).movie,
        orw.experiments.standard(name, model).stimulus(model, **condition).movie,
        rtol=0,
        atol=0,
    )


def _first_call(code):
    depth = 0
    for i, letter in enumerate(code):
        depth += (letter == "(") - (letter == ")")
        if letter == ")" and depth == 0:
            return code[: i + 1]
    raise AssertionError(code)


def _shown(model, experiment):
    """Curves of an experiment as a sweep makes them, before its first condition."""
    from openretina_widgets.insilico.tuning_analyses.sweep import prepared

    centres = [[0.0, 0.0]] if experiment.centred else None
    recording, _ = prepared(model, experiment, neurons=[0], centres=centres)
    return recording.curves()


def test_a_model_that_was_handed_in_is_refused_and_may_be_named(tmp_path):
    result = orw.receptive_fields(linear_model(name="mine"))
    with pytest.raises(
        NotReproducible, match=r"'mine' was handed in as an object.*model='file.ckpt'"
    ):
        export.to_notebook(result, tmp_path / "run.ipynb")
    assert not list(tmp_path.iterdir())
    path = export.to_notebook(result, tmp_path / "run.ipynb", model="folder/mine.ckpt")
    assert "model = orw.load_model('folder/mine.ckpt', device='cpu')" in _code(path)
    with pytest.raises(TypeError, match="model: expected the name or path that load_model takes"):
        export.to_notebook(result, tmp_path / "other.ipynb", model=linear_model())


def test_what_is_missing_is_said_in_words_and_stops_the_notebook(model, tmp_path):
    stimulus = 0.1 * torch.randn(1, 2, 25, 18, 16, generator=torch.Generator().manual_seed(0))
    result = optimize_stimulus(
        stimulus,
        lambda params: torch.optim.SGD(params, lr=0.1),
        lambda x: model(x)[0, :, 3].mean(),
        OptimizationStopper(2),
    )
    with pytest.raises(NotReproducible, match=r"not say which model.*the objective 'function'"):
        export.to_notebook(result, tmp_path / "run.ipynb")
    path = export.to_notebook(result, tmp_path / "run.ipynb", gaps="describe")
    words = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert "**Missing:** the objective 'function' is not of openretina" in words
    with pytest.raises(Exception, match="put the model of the objective here"):
        executed(path)


@pytest.mark.parametrize("part", ["regularizer", "postprocessor"])
def test_a_part_of_ones_own_is_refused(model, part, tmp_path):
    own = {"regularizer": lambda x: 0.0 * x.sum(), "postprocessor": lambda x: x}[part]
    result = orw.optimize_neurons(model, 3, time_steps=22, max_iterations=1, **{part: own})
    with pytest.raises(
        NotReproducible, match=f"the {part} 'function' is not of openretina_widgets"
    ):
        export.to_notebook(result, tmp_path / "run.ipynb")


def test_an_objective_with_a_reducer_of_ones_own_is_refused(model, tmp_path):
    stimulus = 0.1 * torch.ones(1, 2, 22, 18, 16)
    objective = IncreaseObjective(model, [3], response_reducer=lambda r: r.max())
    result = optimize_stimulus(
        stimulus, lambda p: torch.optim.SGD(p, lr=0.1), objective, OptimizationStopper(1)
    )
    with pytest.raises(NotReproducible, match="the reducer 'function'"):
        export.to_notebook(result, tmp_path / "run.ipynb")


def test_an_experiment_that_only_has_the_name_of_a_known_one_is_refused(model, tmp_path):
    known = orw.experiments.drifting_gratings(directions=4)
    own = Experiment("direction", "My own", (Axis.of("direction", [0, 90], "°"),), known.build)
    result = orw.sweep(model, own, neurons=[0])
    with pytest.raises(NotReproducible, match="'direction' was built by hand"):
        export.to_notebook(result, tmp_path / "run.ipynb")


def test_measured_fields_are_refused(tmp_path):
    fields = orw.ReceptiveFields.of(np.random.default_rng(0).normal(size=(2, 1, 3, 6, 5)))
    with pytest.raises(NotReproducible, match="not estimated from a model, but given"):
        export.to_notebook(fields, tmp_path / "run.ipynb")


def test_names_and_notes_are_no_markup_and_no_code(gradient, tmp_path):
    evil = "x'); import os #\n# <img src=x onerror=alert(1)> $a$ `b`"
    path = export.to_notebook({evil: gradient}, tmp_path / "run.ipynb")
    words = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert "<img" not in words
    assert "\\$a\\$ \\`b\\`" in words
    assert "\n# " not in words[2:]
    code = _code(path)
    compile(code, "notebook", "exec")
    assert not re.search(r"^\s*import os", code, re.M)


def test_the_file_is_the_same_each_time(gradient, tmp_path):
    one, other = (export.to_notebook(gradient, tmp_path / f"{k}.ipynb") for k in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert json.loads(one.read_text())["nbformat"] == 4


@pytest.mark.parametrize(
    "value",
    [None, True, -3, 0.1, float("inf"), [1.5, "a'b\"c\n", None], {"a": (1, 2)}, "é<>", []],
)
def test_a_literal_is_read_as_it_was(value):
    assert eval(literal(value)) == value


def test_there_is_no_literal_of_an_object():
    with pytest.raises(TypeError, match="no code for object"):
        literal([object()])
