"""The models that OpenRetina publishes: their names, where they lie, and how they come here."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from pathlib import Path
from urllib.parse import urlsplit

from openretina_widgets.errors import NotFetched, Unreachable, unknown_name
from openretina_widgets.models.hub import Hub
from openretina_widgets.models.hub_file import Progress, fetch_file

__all__ = ["PUBLISHED", "Progress", "cache_folder", "fetch", "fetch_steps", "published_path"]

REPOSITORY = "open-retina/open-retina"
ENDPOINT = "https://huggingface.co"

_FOLDER = "model_checkpoints"
_FILES = {  # by the names of OpenRetina 1.1.1
    "hoefling_2024_base_low_res": "27-11-2025/hoefling_2024_base_low_res.ckpt",
    "hoefling_2024_low_res": "2026-03-09/hoefling_2024_cnn_low_res.ckpt",
    "hoefling_2024_high_res": "2026-03-09/hoefling_2024_cnn_high_res.ckpt",
    "karamanlis_2024_mouse": "2026-03-09/karamanlis_2024_mouse.ckpt",
    "karamanlis_2024_marmoset": "2026-03-09/karamanlis_2024_marmoset.ckpt",
    "maheswaranathan_2023": "2026-03-09/maheswaranathan_2023.ckpt",
    "sridhar_2025": "2026-03-09/sridhar_2025.ckpt",
    "goldin_2022_axolotl": "2026-03-09/goldin_2022_axolotl.ckpt",
    "goldin_2022_mouse": "2026-03-09/goldin_2022_mouse.ckpt",
}
PUBLISHED = tuple(_FILES)
"""Names of the published models."""


def cache_folder() -> Path:
    """Return OpenRetina's cache folder.

    ``OPENRETINA_CACHE_DIRECTORY`` where it is set, else ``openretina_cache`` in the home folder.
    """
    chosen = os.environ.get("OPENRETINA_CACHE_DIRECTORY")
    return Path(chosen).expanduser() if chosen else Path.home() / "openretina_cache"


def published_path(name: str) -> Path:
    """Return where a published model lies once it is here, and where to place it by hand.

    Raises
    ------
    ValueError
        If no model of this name is published; the message names the nearest.
    """
    return cache_folder() / _path_in_repository(name)


def fetch(
    name: str,
    *,
    progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Return the file of a published model, fetched from the Hugging Face hub if it is not here.

    What OpenRetina has in its cache is used, and OpenRetina finds there what was fetched. A fetch
    that was cancelled or broke off goes on where it ended. Kernels that fetch the same model at
    once fetch it once. What came has the hash that the hub announced, or it is not kept.

    ``HF_ENDPOINT`` chooses another hub, and with ``HF_HUB_OFFLINE`` nothing is fetched.

    Parameters
    ----------
    name
        One of `PUBLISHED`.
    progress
        Called with the bytes here and in all, in the thread that fetches.
    cancelled
        Asked between two chunks; True ends the fetch.

    Raises
    ------
    ValueError
        If no model of this name is published; the message names the nearest.
    Unreachable
        If there is no way to the file; the message says how to place it by hand.
    NotFetched
        If the cache folder is full or cannot be written, or what came is not what was announced.
    concurrent.futures.CancelledError
        If `cancelled` said so.

    See Also
    --------
    fetch_steps : the same in steps, for a `Job`.
    """
    for argument, function in (("progress", progress), ("cancelled", cancelled)):
        if not (function is None or callable(function)):
            raise TypeError(
                f"{argument}: expected a function or None, got {type(function).__name__}"
            )
    steps = fetch_steps(name)
    try:
        while True:
            step = next(steps)
            if progress is not None:
                progress(step)
            if cancelled is not None and cancelled():
                raise CancelledError(
                    f"{name!r} was cancelled after {step.done:,} of {step.total:,} bytes; the next "
                    "fetch goes on from there"
                )
    except StopIteration as end:
        path: Path = end.value
        return path
    finally:
        steps.close()  # at once, whoever else holds it: the lock is waited for


def fetch_steps(name: str) -> Generator[Progress, object, Path]:
    """Fetch a published model in steps: see `fetch`.

    ``Job(lambda: fetch_steps(name), on_update=...)`` fetches in a worker thread; cancelled or
    closed between two steps, it leaves the part that came. A model that is here takes no step.

    Parameters
    ----------
    name
        One of `PUBLISHED`.

    Yields
    ------
    Progress
        Bytes here and in all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError, Unreachable, NotFetched
        As `fetch`.
    """
    path = _path_in_repository(name)
    target = cache_folder() / path
    if target.is_file():
        return target
    hub = _hub()
    try:
        if _is_offline():
            raise Unreachable("HF_HUB_OFFLINE is set")
        return (yield from fetch_file(hub, path, cache_folder()))
    except Unreachable as error:
        by_hand = (
            f"To place it by hand, download {hub.address(path)} on a machine with a network and "
            f"save it as {target}. load_model('synthetic') needs no network."
        )
        raise Unreachable(
            f"{name!r} is not here and was not fetched: {error}. {by_hand}"
        ) from error
    except NotFetched as error:
        raise NotFetched(f"{name!r} was not fetched: {error}") from error


def _path_in_repository(name: str) -> str:
    if name not in _FILES:
        raise ValueError(unknown_name("name", name, PUBLISHED, "published model"))
    return f"{_FOLDER}/{_FILES[name]}"


def _hub() -> Hub:
    from openretina_widgets import __version__

    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(
            f"HF_ENDPOINT: expected the address of a hub, such as {ENDPOINT!r}, got {endpoint!r}"
        )
    return Hub(endpoint, REPOSITORY, agent=f"openretina_widgets/{__version__}")


def _is_offline() -> bool:
    """Whether fetching is forbidden now; the hub's own client looks only when it is imported."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
