"""Opens a model by name or by path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from openretina_widgets.errors import unknown_name
from openretina_widgets.models.device import check_device
from openretina_widgets.models.published import PUBLISHED, fetch
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

EMBEDDED = "synthetic"
TRAINED = "trained"
TRAINED_PATH = Path(__file__).with_name("data") / "trained.ckpt"
"""Written by ``scripts/train_embedded.py``."""


Source = str | os.PathLike[str] | torch.nn.Module


def load_model(
    source: Source | Sequence[Source] = EMBEDDED,
    *,
    device: str | torch.device | None = None,
    hyper_parameters: Mapping[str, Any] | None = None,
) -> RetinaModel:
    """Open a retina model.

    Parameters
    ----------
    source
        ``"synthetic"`` for the embedded retina, whose cell types are known; ``"trained"`` for the
        embedded core-readout that was fitted to its responses; the name of a model that OpenRetina
        publishes; or the path of an OpenRetina checkpoint. A published model is fetched into
        OpenRetina's cache folder, unless it is there: see `fetch`. A checkpoint is read as data:
        nothing in it is executed. A live OpenRetina model, or any torch module with a
        ``stimulus_shape``, is given its face as it is; others are wrapped in `RetinaModel`, which
        is told the shape. Several of them make an ensemble, which answers with the mean of their
        responses.
    device
        Where the weights go, such as ``"cpu"`` or ``"cuda"``; for None the CPU, and a live module
        stays where it is.
    hyper_parameters
        What a checkpoint does not say of its model, or says otherwise, such as
        ``{"nonlinearity": "softplus"}`` for a single-cell LNP model.

    Returns
    -------
    RetinaModel
        The model, in eval mode.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    NotFetched
        If a published model is not here and does not arrive; the message says how to place it by
        hand.
    ValueError
        If `source` is neither a known name nor a checkpoint, if a module does not say its stimulus
        shape, if the members of an ensemble differ in stimulus or neurons, or if `device` is not
        there.
    """
    target = check_device("cpu" if device is None else device)
    if isinstance(source, list | tuple):
        from openretina_widgets.models.ensemble import ensemble_of

        members = [
            load_model(member, device=device, hyper_parameters=hyper_parameters)
            for member in source
        ]
        return ensemble_of(members)
    if isinstance(source, torch.nn.Module):
        live = as_retina_model(source)
        return live if device is None else live.to(target)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "source: expected a name, a path, a torch module, or a list of them, got "
            f"{type(source).__name__}"
        )
    if hyper_parameters is not None and not isinstance(hyper_parameters, Mapping):
        raise TypeError(
            f"hyper_parameters: expected a dictionary, got {type(hyper_parameters).__name__}"
        )
    text = os.fspath(source)
    if not text:
        names = ", ".join(map(repr, (EMBEDDED, TRAINED, *PUBLISHED)))
        raise ValueError(
            f"source: expected a name or the path of a checkpoint, got {text!r}; names: {names}"
        )
    if text == EMBEDDED:
        from openretina_widgets.models.synthetic import load_synthetic

        return load_synthetic(device=target)
    if text == TRAINED:
        return _load_trained(target)
    is_published = text in PUBLISHED
    if not (
        is_published or (text and (Path(text).suffix or os.sep in text or Path(text).exists()))
    ):
        message = unknown_name("source", text, (EMBEDDED, TRAINED, *PUBLISHED), "model")
        raise ValueError(
            f"{message}; a checkpoint is given by its path, such as 'folder/model.ckpt'"
        )
    from openretina_widgets.models.checkpoint import load_checkpoint

    path = fetch(text) if is_published else text
    model = load_checkpoint(path, device=target, hyper_parameters=hyper_parameters)
    if is_published:
        model.name = text  # some files are called otherwise
    return model


def _load_trained(device: torch.device) -> RetinaModel:
    """Open the trained embedded model as any other checkpoint."""
    from openretina_widgets.models.checkpoint import load_checkpoint

    model = load_checkpoint(TRAINED_PATH, device=device)
    model.description = (
        f"A core-readout network fitted to the responses of the {EMBEDDED!r} retina; "
        "it has learned from no recording."
    )
    # Results carry the source: the place of this installation would tell nothing.
    model.source = f"embedded, fitted to {EMBEDDED!r}"
    return model


def load_core_readout_from_remote(
    model_name: str, device: str | torch.device = "cpu"
) -> RetinaModel:
    """Open a model by name, spelt as in OpenRetina: see `load_model`."""
    return load_model(model_name, device=device)
