"""Who imports whom, what an import loads, and how long it takes."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import openretina_widgets

ROOT = Path(openretina_widgets.__file__).parent
# data_io, models -> insilico -> jobs, drawing -> export -> widgets -> tutorials: the right imports
# the left.
RANK = {
    "errors": 0,
    "memory": 0,
    "data_io": 1,
    "models": 1,
    "insilico": 2,
    "jobs": 3,
    "drawing": 3,
    "export": 4,
    "widgets": 5,
    "tutorials": 6,
    "installation": 7,
    "command_line": 8,
}
HEAVY = ("torch", "numpy", "scipy", "ipywidgets", "anywidget", "bqplot", "matplotlib", "IPython")
NOT_IN_THE_ENGINE = ("ipywidgets", "anywidget", "bqplot", "matplotlib", "IPython", "traitlets")


def python(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(statement: str, names: tuple[str, ...]) -> str:
    return python(f"{statement}\nimport sys\nprint(*[n for n in {names!r} if n in sys.modules])")


def modules(under: str = "openretina_widgets") -> list[str]:
    path = ROOT.joinpath(*under.split(".")[1:])
    found = pkgutil.walk_packages([str(path)], prefix=f"{under}.")
    return [under, *(module.name for module in found)]


def imports_of(tree: ast.AST, package: str) -> set[str]:
    """Every module of ours that a file names in an import, at the top or within a function."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "openretina_widgets"}


def wrong_imports(code: str, part: str, package: str) -> list[str]:
    """Return what a file of a part imports although it stands further right, or beside it."""
    wrong = []
    for name in sorted(imports_of(ast.parse(code), package)):
        target = name.split(".")[1] if "." in name else ""
        if target not in RANK:  # a public name means the part where it is at home
            target = openretina_widgets._HOME.get(target, "").split(".")[0]
        if target and target != part and RANK[target] >= RANK[part]:
            wrong.append(name)
    return wrong


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    relative = path.relative_to(ROOT)
    part = relative.parts[0].removesuffix(".py")
    assert part in RANK, f"where in the order does {part} stand?"
    package = ".".join(["openretina_widgets", *relative.parts[:-1]])
    assert not wrong_imports(path.read_text(encoding="utf-8"), part, package)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("insilico", "from openretina_widgets.widgets.retina_lab import RetinaLab"),
        ("insilico", "def late():\n    import openretina_widgets.jobs"),
        ("insilico", "from openretina_widgets import widgets"),
        ("models", "from openretina_widgets import RetinaLab"),
        ("models", "from openretina_widgets import optimize_neurons"),
        ("models", "from openretina_widgets import insilico"),
        ("models", "from ..insilico.compute import live_threads"),
        ("models", "from ..data_io import artificial_stimuli"),
        ("errors", "from openretina_widgets.models import RetinaModel"),
        ("jobs", "import openretina_widgets.export as export"),
        ("drawing", "from openretina_widgets.jobs import Job"),
        ("export", "from openretina_widgets.widgets.stimulus_player import StimulusPlayer"),
    ],
)
def test_an_import_that_points_the_other_way_is_found(part, code):
    assert wrong_imports(code, part, f"openretina_widgets.{part}")


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("widgets", "from openretina_widgets.insilico.compute import live_threads"),
        ("widgets", "from openretina_widgets import optimize_neurons"),
        ("models", "from openretina_widgets.models.loading import load_model\nimport torch"),
        ("models", "from .loading import load_model"),
        ("insilico", "from ..models import RetinaModel"),
    ],
)
def test_an_import_that_points_the_right_way_passes(part, code):
    assert not wrong_imports(code, part, f"openretina_widgets.{part}")


def test_importing_the_engine_leaves_the_widgets_out():
    engine = modules("openretina_widgets.insilico")
    assert "openretina_widgets.insilico.stimulus_optimization.optimizer" in engine
    assert loaded_by(f"import {', '.join(engine)}", NOT_IN_THE_ENGINE) == ""


def test_importing_the_export_leaves_the_widgets_out():
    export = modules("openretina_widgets.drawing") + modules("openretina_widgets.export")
    assert "openretina_widgets.export.page" in export
    assert loaded_by(f"import {', '.join(export)}", (*NOT_IN_THE_ENGINE, "imageio", "PIL")) == ""


def test_importing_the_models_leaves_the_widgets_out():
    assert (
        loaded_by(f"import {', '.join(modules('openretina_widgets.models'))}", NOT_IN_THE_ENGINE)
        == ""
    )


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import openretina_widgets; dir(openretina_widgets)", HEAVY) == ""


def test_importing_all_of_it_leaves_dask_out():
    everything = [name for name in modules() if not name.endswith("__main__")]
    assert "openretina_widgets.insilico.cluster.shards" in everything
    assert (
        loaded_by(f"import {', '.join(everything)}", ("dask", "distributed", "cloudpickle")) == ""
    )


def test_importing_the_package_takes_at_most_300_ms():
    """Beyond the interpreter's start; the best of several, since the machine may be busy."""
    code = (
        "import time; start = time.perf_counter(); import openretina_widgets;"
        "print(time.perf_counter() - start)"
    )
    assert min(float(python(code)) for _ in range(5)) <= 0.3


def test_the_version_is_that_of_the_distribution():
    assert python(
        "import openretina_widgets as o; from importlib.metadata import version;"
        "print(o.__version__ == version('openretina-widgets'))"
    ) == "True"  # fmt: skip


@pytest.mark.parametrize("name", openretina_widgets.__all__)
def test_public_names_resolve(name):
    assert getattr(openretina_widgets, name) is not None
    assert name in dir(openretina_widgets)


def test_public_names_are_the_same_for_the_type_checker():
    """What is imported for it alone is what is found on first use."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openretina_widgets")
        for alias in node.names
    }
    assert typed == {
        name: f"openretina_widgets.{home}" for name, home in openretina_widgets._HOME.items()
    }
    assert set(openretina_widgets.__all__) == {*typed, "__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="openretina_widgets' has no attribute 'RetinaLap'"):
        _ = openretina_widgets.RetinaLap


@pytest.mark.parametrize("name", modules())
def test_all_names_of_every_module_resolve(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert getattr(module, public) is not None


@pytest.mark.parametrize(
    "part",
    ["comparison", "population", "receptive_fields", "stimulus_optimization", "tuning_analyses"],
)
def test_each_part_of_the_engine_is_imported_first(part):
    """Whichever comes first, there is no circle."""
    assert python(f"import openretina_widgets.insilico.{part}") == ""
