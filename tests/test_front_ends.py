"""Nothing of ours needs one front end: neither the pages' modules nor the lessons."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "openretina_widgets"
IN_PAGES = sorted(
    path for path in PACKAGE.rglob("*") if path.suffix in (".js", ".css", ".py", ".html")
)
MODULES = [path for path in IN_PAGES if path.suffix == ".js"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What belongs to one front end, or does not work in a module that a page gets as text.
HOSTS = re.compile(
    r"\b(?:jupyterapp|IPython|Jupyter\.|google\.colab|acquireVsCodeApi|requirejs|require\()"
    r"|^\s*import[\s{(]|^\s*export\s.*\bfrom\b|\bimport\(",
    re.MULTILINE,
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_fallback(text: str) -> list[str]:
    """Variables of JupyterLab's themes that are used bare, and not set in the same text."""
    bare = set(re.findall(r"var\(\s*(--jp-[\w-]+)\s*\)", text))
    return sorted(bare - set(re.findall(r"(--jp-[\w-]+)\s*:", text)))


def test_the_look_for_bare_variables_sees_them() -> None:
    assert without_fallback("color: var( --jp-a); fill: var(--jp-b, red)") == ["--jp-a"]
    assert without_fallback(":root { --jp-a: red } p { color: var(--jp-a) }") == []
    assert HOSTS.search('import x from "./y.js";')
    assert HOSTS.search('const x = await import("./y.js");')


def test_a_page_without_jupyterlabs_colours_has_colours() -> None:
    bare = {named(path): without_fallback(path.read_text(encoding="utf-8")) for path in IN_PAGES}
    assert {name: found for name, found in bare.items() if found} == {}


def test_a_module_stands_alone() -> None:
    assert len(MODULES) > 15
    for path in MODULES:
        text = re.sub(r"//.*|/\*[^*]*\*/", "", path.read_text(encoding="utf-8"))
        assert not HOSTS.search(text), named(path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_any_front_end_can_open_the_notebook(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.metadata.kernelspec.name == "python3"  # the one that every front end knows
    assert notebook.metadata.language_info.name == "python"
    assert "widgets" not in notebook.metadata  # no state of a widget that is not there
    # Where a widget is not shown, as on GitHub, the text says what the lesson is about.
    assert notebook.cells[0].cell_type == "markdown"
