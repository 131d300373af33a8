"""What of an installation works, in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["Finding", "findings"]

_OTHER_FRONT_ENDS = {"notebook": "Notebook 7", "voila": "Voilà"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    works
        None for what is not there and not needed.
    words
        What was found; where it does not work, what to do.
    """

    works: bool | None
    words: str


def findings() -> list[Finding]:
    """Return what was found, in the order in which one thing needs the other.

    Each is tried, not only looked up: a model is run, the device of torch used, the lessons read.
    Nothing is downloaded and no network is needed.
    """
    looks: list[Callable[[], list[Finding]]] = [
        _python,
        _torch,
        _device,
        _model,
        _lessons,
        _widgets,
        _kernel,
        _front_ends,
        _extras,
    ]
    found: list[Finding] = []
    for look in looks:
        try:
            found += look()
        except Exception as error:  # noqa: BLE001  a broken installation raises anything
            name = look.__name__.lstrip("_").replace("_", " ")
            found.append(Finding(False, f"{name}: {type(error).__name__}: {error}"))
    return found


def _version(package: str) -> str:
    """Return the version of an installed package, empty where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _python() -> list[Finding]:
    own = _version("openretina-widgets")
    python = ".".join(str(part) for part in sys.version_info[:3])
    words = f"openretina-widgets {own or 'from source'} on Python {python}"
    return [Finding(sys.version_info >= (3, 11), words)]


def _torch() -> list[Finding]:
    import torch

    return [Finding(True, f"torch {torch.__version__}, {torch.get_num_threads()} threads")]


def _device() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [Finding(None, "CUDA: torch sees no device, models run on the CPU")]
    total = float((torch.ones(8, device="cuda") * 2).sum())
    return [Finding(total == 16.0, f"CUDA: {torch.cuda.get_device_name()}")]


def _model() -> list[Finding]:
    import torch

    from openretina_widgets.models import load_model

    model = load_model("synthetic")
    with torch.no_grad():
        channels, height, width = model.input_shape
        response = model(torch.zeros(1, channels, 40, height, width))
    works = bool(torch.isfinite(response).all())
    return [Finding(works, f"The synthetic retina runs: {response.shape[-1]} neurons")]


def _lessons() -> list[Finding]:
    from openretina_widgets.tutorials.lessons import lesson_paths
    from openretina_widgets.tutorials.notebook import Tutorial

    names = [Tutorial.read(path).name for path in lesson_paths().values()]
    return [Finding(bool(names), f"{len(names)} lessons: {', '.join(names)}")]


def _widgets() -> list[Finding]:
    """Look whether the pages' halves of the widgets lie where JupyterLab finds them."""
    from jupyter_core.paths import jupyter_path

    wanted = {
        "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
        "anywidget": "anywidget",
        "bqplot": "bqplot",
    }
    found = []
    for extension, package in wanted.items():
        places = (Path(place) / extension for place in jupyter_path("labextensions"))
        described = next((place / "package.json" for place in places if place.is_dir()), None)
        if described is None:
            advice = f"pip install --force-reinstall {package}"
            found.append(Finding(False, f"{extension}: JupyterLab will not find it; {advice}"))
        else:
            version = json.loads(described.read_text(encoding="utf-8"))["version"]
            found.append(Finding(True, f"{extension} {version} for JupyterLab"))
    return found


def _kernel() -> list[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager

    specs = KernelSpecManager().get_all_specs()
    here = Path(sys.executable).resolve()
    for name, known in specs.items():
        if Path(known["spec"]["argv"][0]).resolve() == here or name == "python3":
            ipykernel = _version("ipykernel")
            if ipykernel:
                return [Finding(True, f"Kernel {name}: ipykernel {ipykernel}")]
    return [Finding(False, "Kernel: none for this Python; pip install ipykernel")]


def _front_ends() -> list[Finding]:
    lab = _version("jupyterlab")
    found = [Finding(bool(lab), f"JupyterLab {lab or 'is missing; pip install jupyterlab'}")]
    for package, name in _OTHER_FRONT_ENDS.items():
        version = _version(package)
        words = f"{name} {version}" if version else f"{name}: not installed, and not needed"
        if version and package == "voila":
            words += f"; {_offline_voila()}"
        found.append(Finding(True if version else None, words))
    return found


def _offline_voila() -> str:
    """Say whether Voilà finds the template that asks nothing of the internet."""
    from jupyter_core.paths import jupyter_path

    places = jupyter_path("voila", "templates", "openretina_widgets")
    if any((Path(place) / "index.html.j2").is_file() for place in places):
        return "offline with --template=openretina_widgets"
    return "its own pages ask the internet for icons, and the template that does not is not found"


def _extras() -> list[Finding]:
    found = []
    for package, use, extra in (
        ("imageio-ffmpeg", "MP4 movies", "pip install 'openretina-widgets[movie]'"),
        ("matplotlib", "PNG and SVG figures", "pip install 'openretina-widgets[plot]'"),
        ("psycopg", "classes on PostgreSQL", "pip install 'openretina-widgets[postgresql]'"),
        ("openretina", "OpenRetina's own models", "pip install openretina"),
    ):
        version = _version(package)
        words = f"{use}: {package} {version}" if version else f"{use}: not without {extra}"
        found.append(Finding(True if version else None, words))
    return found
