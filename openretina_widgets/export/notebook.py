"""A notebook that makes results again, from their settings, seeds and models."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from openretina_widgets.errors import NotReproducible, unknown_name
from openretina_widgets.export import (
    best_stimulus,
    experiment_code,
    fields_and_tables,
    gradients_code,
    shown_stimulus,
)
from openretina_widgets.export.code import ARRAY, literal
from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.models import Opened, check_given, opened
from openretina_widgets.export.own_code import own_code
from openretina_widgets.export.recipe import Recipe
from openretina_widgets.export.results import Result, Results, kind_of, session_of, title_of
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.models.neuron import ModelIdentity

Gaps = Literal["raise", "describe"]
Make = Callable[..., Experiment]

_RECIPES: dict[str, Callable[..., Recipe]] = {
    "best_stimulus": best_stimulus.recipe_of,
    "best_stimuli": best_stimulus.recipe_of_population,
    "tuning_curves": experiment_code.recipe_of,
    "receptive_fields": fields_and_tables.recipe_of_fields,
    "response_gradient": gradients_code.recipe_of_gradient,
    "vector_field": gradients_code.recipe_of_vector_field,
    "selectivity_table": fields_and_tables.recipe_of_table,
    "shown_stimulus": shown_stimulus.recipe_of,
}
_SPECIAL = re.compile(r"([\\`*_\[\]#|$~])")
_COMPARE = '''\
def compare(what, now, then):
    """Say how far numbers are from those that were exported."""
    now, then = np.asarray(now, dtype=float), np.asarray(then, dtype=float)
    undefined = np.isnan(then)
    same = now.shape == then.shape and np.array_equal(np.isnan(now), undefined)
    known = ~undefined
    close = same and np.allclose(now[known], then[known], rtol=1e-6, atol=1e-6)
    far = np.abs(now - then)[known].max(initial=0.0) if same else float("nan")
    words = "as exported" if close else "NOT as exported (see the versions above)"
    print(f"{what}: {words}; largest difference {far:.2g}")'''


def to_notebook(
    results: Results,
    path: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    experiment: Make | Mapping[str, Make] | None = None,
    gaps: Gaps = "raise",
    overwrite: bool = False,
) -> Path:
    """Write a notebook that makes results again.

    It holds the settings, the seeds, the identity of each model, which is checked when it runs, and
    the versions of the libraries, all as code. On a CPU with the same versions it gives the same
    numbers, and says so at the end of each part.

    Parameters
    ----------
    results
        One result, a list of them, or a dictionary by name.
    path
        Ends in ``.ipynb``.
    model
        Name or path, for `load_model`, of a model that was handed in as an object. Its weights must
        have the hash that the results carry.
    experiment
        Function, called without arguments, that makes the experiment of tuning curves where it is
        one of your own, or a `functools.partial` of it with keywords; a dictionary of them by the
        name of the result where there are several. Its code is written into the notebook, with the
        functions of yours that it calls and the plain values that it reads.
    gaps
        What is done about a part that no code can make again, such as an objective of your own:
        ``"raise"``, or ``"describe"`` for a notebook that says in words what to write in its place,
        and stops there.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    NotReproducible
        If something cannot be made again by code; the message says what, and what to do.
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    if gaps not in ("raise", "describe"):
        raise ValueError(f"gaps: expected 'raise' or 'describe', got {gaps!r}")
    named = session_of(results)
    given = check_given(model)
    target = check_path(path, (".ipynb",), overwrite=overwrite)
    text = _text(named, given, gaps, _by_name(experiment, named))
    with written_whole(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def _by_name(experiment: Any, named: dict[str, Result]) -> dict[str, Make]:
    """Return the function of each result that has one."""
    if experiment is None:
        return {}
    swept = [name for name, result in named.items() if kind_of(result) == "tuning_curves"]
    if not isinstance(experiment, Mapping):
        if len(swept) != 1:
            raise ValueError(
                f"experiment: there are tuning curves in {len(swept)} of {len(named)} results; "
                "give a dictionary of functions by the name of the result"
            )
        return {swept[0]: experiment}
    for name in experiment:
        if name not in swept:
            raise ValueError(unknown_name("experiment", str(name), swept, "name of tuning curves"))
    return dict(experiment)


def _text(named: dict[str, Result], given: str | None, gaps: Gaps, own: dict[str, Make]) -> str:
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    for number, (kind, source) in enumerate(_cells(named, given, gaps, own)):
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        cell = make(source)
        cell["id"] = f"cell-{number}"
        notebook.cells.append(cell)
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)) + "\n"


def _cells(
    named: dict[str, Result], given: str | None, gaps: Gaps, own: dict[str, Make]
) -> list[tuple[str, str]]:
    identities = list(dict.fromkeys(result.model for result in named.values()))
    names = {
        identity: "model" if k == 0 else f"model_{k + 1}" for k, identity in enumerate(identities)
    }
    models = {identity: opened(identity, given) for identity in identities}
    codes = {name: own_code(make) for name, make in own.items()}
    recipes = {
        name: _RECIPES[kind_of(result)](
            result, names[result.model], **({"own": codes[name]} if name in codes else {})
        )
        for name, result in named.items()
    }
    said = [one.missing for one in models.values() if one.missing]
    said += [f"{name}: {word}" for name, recipe in recipes.items() for word in recipe.missing]
    if said and gaps == "raise":
        raise NotReproducible(
            "; ".join(said) + ". Or say gaps='describe' for a notebook that says so in words, or "
            "export it as .npz, .zip or .html, which hold the result itself"
        )
    cells = _opening(named, recipes)
    for identity, how in models.items():
        cells += _model(names[identity], identity, how)
    variables = _variables(named)
    for name, result in named.items():
        cells += _section(name, variables[name], result, recipes[name])
    return cells


def _opening(named: dict[str, Result], recipes: dict[str, Recipe]) -> list[tuple[str, str]]:
    one = len(named) == 1
    title = title_of(next(iter(named.values()))) if one else "Experiments"
    words = (
        f"# {escaped(title)}\n\n"
        "This notebook makes the exported results again: run all cells. Each part says at its end "
        "whether the numbers are those that were exported."
    )
    versions: dict[str, str] = {}
    for result in named.values():
        versions |= result.versions
    known = [
        "from importlib.metadata import version",
        "from importlib.util import find_spec",
        "",
        "import numpy as np",
        "",
        "import openretina_widgets as orw",
        "",
        f"made_with = {literal(dict(versions))}",
        "for name, then in made_with.items():",
        '    now = version(name.replace("_", "-"))',
        '    words = "" if now == then else f", made with {then}: small differences are possible"',
        '    print(f"{name} {now}{words}")',
    ]
    helpers = [_COMPARE]
    if any(recipe.needs_array for recipe in recipes.values()):
        helpers.insert(0, ARRAY)
    return [
        ("markdown", words),
        ("code", "\n".join(known)),
        ("code", "\n\n\n".join(helpers)),
    ]


def _model(name: str, identity: ModelIdentity | None, how: Opened) -> list[tuple[str, str]]:
    if identity is None:
        words = f"## Model\n\n**Missing:** {escaped(how.missing)}."
        return [("markdown", words), ("code", _stop(name, "the model of the objective"))]
    words = (
        f"## Model {escaped(identity.name)}\n\nSource: {escaped(identity.source)}. Hash of the "
        f"weights: {escaped(identity.weight_hash)}."
    )
    if how.words:
        words += f" {escaped(how.words)}"
    if how.code is None:
        words += f"\n\n**Missing:** {escaped(how.missing)}."
        make = _stop(name, f"the model {identity.name!r}")
    else:
        make = f"{how.imports}\n\n" if how.imports else ""
        make += f"{name} = {how.code}"
    check = (
        f"expected = {literal(identity.weight_hash)}\n"
        f"if {name}.weight_hash != expected:\n"
        f"    raise ValueError(\n"
        f'        f"{{{name}.name!r}} has other weights: their hash is {{{name}.weight_hash}}, "\n'
        f'        f"and that of the exported results is {{expected}}"\n'
        f"    )"
    )
    return [("markdown", words), ("code", f"{make}\n{check}")]


def _stop(name: str, what: str) -> str:
    words = f"{name}: put {what} here; the text above says why it is missing"
    return f"{name} = None\nif {name} is None:\n    raise ValueError({literal(words)})"


def _section(name: str, variable: str, result: Result, recipe: Recipe) -> list[tuple[str, str]]:
    session = f" of session {escaped(result.data_key)}" if result.data_key else ""
    head = f"## {escaped(name.replace('_', ' '))}\n\n{escaped(title_of(result))}{session}."
    said = [f"- {escaped(word)}" for word in (*recipe.words, *getattr(result, "notes", ()))]
    if isinstance(stopped := getattr(result, "stop_reason", None), str):
        said.insert(0, f"- Ended: {escaped(stopped)}.")
    words = "\n".join([head, "", *said]).rstrip()
    before = "\n".join(recipe.before)
    make = f"{before}\n\n" if before else ""
    if recipe.missing:
        words += "".join(f"\n\n**Missing:** {escaped(word)}." for word in recipe.missing)
        gap = "what is missing, where the code has None"
        make = f"filled_in = False  # True once {gap} is written\nif not filled_in:\n" + (
            f'    raise ValueError("write {gap}: the text above says which parts")\n\n{make}'
        )
    cells = [("markdown", words), ("code", f"{make}{variable} = {recipe.code}\n{variable}")]
    if kind_of(result) == "best_stimuli":
        cells.append(("code", f'{variable}.summary.sort("score", descending=True)'))
    elif kind_of(result) != "selectivity_table":
        cells.append(("code", f'{variable}.plot() if find_spec("matplotlib") else {variable}'))
    checks = [
        f"compare(\n    {literal(f'{name}, {what}')},\n    {expression.replace('{}', variable)},\n"
        f"    {_indented(literal(then))},\n)"
        for what, expression, then in recipe.compare
    ]
    if checks:
        cells.append(("code", "\n".join(checks)))
    return cells


def _variables(named: dict[str, Result]) -> dict[str, str]:
    """Return a variable for each name; a reader finds it by the number of the part."""
    found: dict[str, str] = {}
    for name, result in named.items():
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        usable = bool(re.match(r"[A-Za-z]\w*$", plain, flags=re.ASCII))
        wanted = f"result_of_{plain}" if plain not in _kinds_of(named) else plain
        if not usable:
            wanted = kind_of(result)
        number = 2
        variable = wanted
        while variable in found.values():
            variable, number = f"{wanted}_{number}", number + 1
        found[name] = variable
    return found


def _kinds_of(named: dict[str, Result]) -> set[str]:
    kinds = {kind_of(result) for result in named.values()}
    return kinds | {f"{kind}_{n}" for kind in kinds for n in range(2, len(named) + 1)}


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def escaped(text: str) -> str:
    """Return a text that Markdown and HTML show as it is."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(str(text).split()), quote=False))
