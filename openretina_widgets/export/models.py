"""The code that opens the model of a result, from its identity."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from openretina_widgets.export.code import call, literal
from openretina_widgets.models.loading import EMBEDDED, TRAINED
from openretina_widgets.models.neuron import ModelIdentity
from openretina_widgets.models.published import PUBLISHED

_STRENGTH = r"(?:, {name} (?P<{name}>[\d.e+-]+))?"
_EMBEDDED = re.compile(
    r"embedded, seed (?P<seed>\d+)"
    + "".join(_STRENGTH.format(name=name) for name in ("veto", "facilitation"))
)


@dataclass(frozen=True)
class Opened:
    """How a model is opened.

    Attributes
    ----------
    code
        An expression; None where there is none.
    missing
        Why there is none, and what to do.
    words
        What a reader has to know.
    imports
        What it needs beyond the package.
    """

    code: str | None
    missing: str = ""
    words: str = ""
    imports: str = ""


def opened(identity: ModelIdentity | None, given: str | None) -> Opened:
    """Return how the model of a result is opened.

    Parameters
    ----------
    identity
        As the result carries it.
    given
        What `load_model` takes for a model that was handed in as an object.
    """
    if identity is None:
        return Opened(
            None,
            "the result does not say which model it came from: its objective is a function that "
            "does not tell. Use an objective of openretina_widgets, such as IncreaseObjective",
        )
    source = identity.source
    if found := _EMBEDDED.fullmatch(source):
        seed = int(found["seed"])
        lesion = {
            name: float(found[name]) for name in ("veto", "facilitation") if found[name] is not None
        }
        if seed == 0 and not lesion:
            return Opened(call("orw.load_model", literal(EMBEDDED), device="cpu"))
        needs = "from openretina_widgets.models.synthetic import load_synthetic"
        return Opened(call("load_synthetic", seed=seed, **lesion), imports=needs)
    if source.startswith("embedded, fitted"):
        return Opened(call("orw.load_model", literal(TRAINED), device="cpu"))
    if identity.name in PUBLISHED:
        words = "It is fetched unless it is in the cache: that needs the network once."
        return Opened(call("orw.load_model", literal(identity.name), device="cpu"), words=words)
    if given is not None:
        return Opened(call("orw.load_model", literal(given), device="cpu"), words=_about(given))
    if not source.startswith("live ") and (Path(source).suffix or os.sep in source):
        several = ", " in source and not Path(source).exists()
        if not several:
            return Opened(
                call("orw.load_model", literal(source), device="cpu"), words=_about(source)
            )
    return Opened(
        None,
        f"the model {identity.name!r} was handed in as an object ({source}), and there is no code "
        "that makes it again. Save it as a checkpoint, and give its path as model='file.ckpt'",
    )


def _about(path: str) -> str:
    return f"The file {path} has to be there: a notebook does not hold weights."


def check_given(model: str | os.PathLike[str] | None) -> str | None:
    """Return the name or path as text.

    Raises
    ------
    TypeError
        If it is an object: what a notebook needs is a name.
    """
    if model is None or isinstance(model, str | os.PathLike):
        return None if model is None else os.fspath(model)
    raise TypeError(
        "model: expected the name or path that load_model takes, got "
        f"{type(model).__name__}; an object cannot be written into a notebook"
    )
