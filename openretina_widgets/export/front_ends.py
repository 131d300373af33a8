"""The browser side of the widgets, as text for a page without a kernel.

The files are those of ``widgets/static``: they are read, not imported, since they are data for a
browser, and there is one copy of each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources

_SHARED = "canvas.js"
_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "stimulus_player": (("live_canvas.js", "stimulus_player.js"), ("stimulus_player.css",)),
    "tuning_plot": (
        ("svg_plot.js", "curve_axes.js", "tuning_plot.js"),
        ("svg_plot.css", "tuning_plot.css"),
    ),
    "field_wall": (("live_canvas.js", "field_wall.js"), ("field_wall.css",)),
    "tuning_map": (
        ("svg_plot.js", "map_parts.js", "tuning_map.js"),
        ("svg_plot.css", "tuning_map.css"),
    ),
    "vector_plane": (
        ("svg_plot.js", "map_parts.js", "vector_plane.js"),
        ("svg_plot.css", "tuning_map.css", "vector_plane.css"),
    ),
    "retina_map": (("retina_map.js",), ("retina_map.css",)),
    "population_table": (
        ("population_rows.js", "population_table.js"),
        ("population_rows.css", "population_table.css"),
    ),
    "population_scatter": (
        ("population_rows.js", "population_scatter.js"),
        ("population_rows.css", "population_scatter.css"),
    ),
}
_EXPORT = "export default "


def scripts(names: Iterable[str]) -> str:
    """Return one script that leaves ``FRONT_ENDS``, the front end of each widget by its name.

    A module is made a function that returns what it exports: a page from disk cannot import one,
    and a policy that allows a script by its hash can then allow this one alone.
    """
    made = []
    for name in names:
        text = "".join(map(static_text, (_SHARED, *_PARTS[name][0])))
        if text.count(_EXPORT) != 1:
            raise RuntimeError(f"{name}: expected one default export in its module")
        made.append(f"{name}: (() => {{\n{text.replace(_EXPORT, 'return ')}\n}})(),")
    return "const FRONT_ENDS = {\n" + "\n".join(made) + "\n};\n"


def styles(names: Iterable[str]) -> str:
    """Return the style sheets of widgets, each once."""
    files = dict.fromkeys(file for name in names for file in _PARTS[name][1])
    return "".join(map(static_text, files))


@functools.cache
def static_text(name: str) -> str:
    """Return a file of the widgets' front ends."""
    folder = resources.files("openretina_widgets") / "widgets" / "static"
    return (folder / name).read_text(encoding="utf-8")
