"""One page that holds everything, opens from disk, and needs neither kernel nor network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from openretina_widgets.export.files import check_path, written_whole
from openretina_widgets.export.front_ends import scripts, styles
from openretina_widgets.export.linked_views import groups_of
from openretina_widgets.export.results import Result, Results, session_of, title_of
from openretina_widgets.export.views import Group, View
from openretina_widgets.insilico.population.table import SelectivityTable
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult


def to_page(
    results: Results,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    first: Sequence[Group] = (),
    overwrite: bool = False,
) -> Path:
    """Write a page with movies that play, curves with tooltips, settings and provenance.

    Scripts, styles and data are inside: it opens from disk, offline, in any browser of today. It
    allows its own script alone, by its hash, and no connection to anywhere.

    Parameters
    ----------
    results
        One result, a list of them, or a dictionary by name.
    path
        Ends in ``.html``.
    title
        Heading; what the results are when empty.
    first
        Groups of views that are shown before the results.
    overwrite
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    TypeError, ValueError, OSError
        If an argument does not fit, or `path` cannot be written; the message says why.
    """
    named = session_of(results)
    if not isinstance(title, str):
        raise TypeError(f"title: expected a text, got {type(title).__name__}")
    target = check_path(path, (".html",), overwrite=overwrite)
    text = _page(named, title, first)
    with written_whole(target) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return target


def _page(named: dict[str, Result], title: str, first: Sequence[Group]) -> str:
    views: list[View] = []
    sections = [_group(group, views) for group in first]
    sections += [
        _section(number, name, result, views) for number, (name, result) in enumerate(named.items())
    ]
    one = next(iter(named.values())) if len(named) == 1 else None
    heading = title or (title_of(one) if one is not None else "Experiments on a retina model")
    modules = sorted({view.module for view in views})
    script = scripts(modules) + _text("page.js")
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    links = "".join(
        f'<li><a href="#part-{k}">{_shown(name)}</a></li>' for k, name in enumerate(named)
    )
    contents = f"<nav aria-label='Parts'><ul>{links}</ul></nav>" if len(named) > 1 else ""
    data = json.dumps(
        [
            {
                "module": view.module,
                "state": _as_text(view.state),
                "name": view.name,
                "follows": list(view.follows),
                "states": _as_text(view.states),
            }
            for view in views
        ],
        allow_nan=False,
        separators=(",", ":"),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_shown(heading)}</title>
<style>
{styles(modules)}{_text("page.css")}</style>
</head>
<body>
<header>
<h1>{_shown(heading)}</h1>
{contents}
</header>
<main>
{"".join(sections)}
</main>
<footer>Made with openretina_widgets. Everything on this page is inside the file.</footer>
<div id="tooltip" role="tooltip" hidden></div>
<script type="application/json" id="views">{_harmless(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def _section(number: int, name: str, result: Result, views: list[View]) -> str:
    groups = "".join(_group(group, views) for group in groups_of(result, f"{number}:"))
    notes = "".join(f"<p class='faint'>{_shown(note)}</p>" for note in _notes(result))
    head = _shown(name.replace("_", " "))
    kind = _shown(title_of(result))
    about = "" if head.lower() == kind.lower() else f"<p class='faint'>{kind}</p>"
    rows = "".join(f"<dt>{_shown(k)}</dt><dd>{_shown(v)}</dd>" for k, v in _facts(result))
    settings = json.dumps(dict(result.settings), indent=1, ensure_ascii=False)
    return f"""<section id="part-{number}">
<h2>{head[:1].upper()}{head[1:]}</h2>
{about}{groups}{notes}
<h3>How it was made</h3>
<dl>{rows}</dl>
<details><summary>All settings</summary><pre>{_shown(settings)}</pre></details>
</section>
"""


def _group(group: Group, views: list[View]) -> str:
    places = []
    for view in group.views:
        whole = " class='whole'" if view.whole else ""
        places.append(f"<div id='view-{len(views)}'{whole}></div>")
        views.append(view)
    words = f"<p>{_shown(group.words)}</p>" if group.words else ""
    body = f"{words}<div class='row'>{''.join(places)}</div>"
    if group.folded:
        return f"<details><summary>{_shown(group.title)}</summary>{body}</details>"
    return f"<h3>{_shown(group.title)}</h3>{body}" if group.title else body


def _notes(result: Result) -> tuple[str, ...]:
    return getattr(result, "notes", ())


def _facts(result: Result) -> list[tuple[str, str]]:
    """Return where a result is from, in words."""
    model = result.model
    facts = [
        ("model", model.name if model else "not known"),
        ("source", model.source if model else "not known"),
        ("hash of the weights", model.weight_hash if model else "not known"),
        ("session", result.data_key or "not known"),
    ]
    if isinstance(result, OptimizationResult):
        seeds = ", ".join(map(str, result.seeds)) or "none: the start was given"
        facts += [("seeds", seeds), ("ended", result.stop_reason)]
    elif isinstance(result, PopulationResult):
        facts.append(("neurons", str(len(result.neurons))))
        facts.append(("seeds", ", ".join(map(str, result.seeds))))
    else:
        facts.append(("neurons", str(len(result.neurons))))
        seed = getattr(result, "seed", None)
        facts.append(("seed", "none needed" if seed is None else str(seed)))
    # What all results of a population have in common is said of one of them.
    one = next(result.blocks(), None) if isinstance(result, PopulationResult) else result
    if one is not None and not isinstance(one, SelectivityTable):
        size = one.pixel_size_um
        facts += [
            ("frame rate", f"{one.frame_rate:g} Hz"),
            ("pixel on the retina", "not known" if size is None else f"{size:g} µm"),
            ("lag", f"{one.lag} frames"),
            ("channels", ", ".join(one.channels)),
            ("unit", one.unit),
        ]
    if isinstance(result, ReceptiveFields):
        facts.append(("method", ", ".join(filter(None, (result.method, result.base)))))
    if not isinstance(result, PopulationResult):
        facts.append(("computed in", f"{result.duration_s:.1f} s"))
    facts.append(("versions", ", ".join(f"{k} {v}" for k, v in result.versions.items())))
    return facts


def _as_text(value: Any) -> Any:
    """Return a state as JSON holds it: bytes as base64, and what is not finite as nothing."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): _as_text(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    if hasattr(value, "tolist"):
        return _as_text(value.tolist())
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def _harmless(data: str) -> str:
    """Return JSON in which nothing can end a script, or begin a comment."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _shown(text: Any) -> str:
    return html.escape(str(text))


def _text(name: str) -> str:
    return (resources.files("openretina_widgets.export") / name).read_text(encoding="utf-8")
