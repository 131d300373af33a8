"""Opens a model by name or by path."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from openretina_widgets.errors import unknown_name
from openretina_widgets.models.device import check_device
from openretina_widgets.models.published import PUBLISHED, fetch
from openretina_widgets.models.retina_model import RetinaModel

EMBEDDED = "synthetic"


def load_model(
    source: str | os.PathLike[str] = EMBEDDED, *, device: str | torch.device = "cpu"
) -> RetinaModel:
    """Open a retina model.

    Parameters
    ----------
    source
        ``"synthetic"`` for the embedded retina, whose cell types are known, the name of a model
        that OpenRetina publishes, or the path of an OpenRetina checkpoint. A published model is
        fetched into OpenRetina's cache folder, unless it is there: see `fetch`. A checkpoint is
        read as data: nothing in it is executed.
    device
        Where the weights go, such as ``"cpu"`` or ``"cuda"``.

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
        If `source` is neither a known name nor a checkpoint, or `device` is not there.
    """
    target = check_device(device)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"source: expected a name or a path, got {type(source).__name__}")
    text = os.fspath(source)
    if text == EMBEDDED:
        from openretina_widgets.models.synthetic import load_synthetic

        return load_synthetic(device=target)
    is_published = text in PUBLISHED
    if not (
        is_published or (text and (Path(text).suffix or os.sep in text or Path(text).exists()))
    ):
        message = unknown_name("source", text, (EMBEDDED, *PUBLISHED), "model")
        raise ValueError(
            f"{message}; a checkpoint is given by its path, such as 'folder/model.ckpt'"
        )
    from openretina_widgets.models.checkpoint import load_checkpoint

    model = load_checkpoint(fetch(text) if is_published else text, device=target)
    if is_published:
        model.name = text  # some files are called otherwise
    return model


def load_core_readout_from_remote(
    model_name: str, device: str | torch.device = "cpu"
) -> RetinaModel:
    """Open a model by name, spelt as in OpenRetina: see `load_model`."""
    return load_model(model_name, device=device)
