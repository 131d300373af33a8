"""Opens a model by name or by path."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from openretina_widgets.errors import unknown_name
from openretina_widgets.models.device import check_device
from openretina_widgets.models.retina_model import RetinaModel

EMBEDDED = "synthetic"
TRAINED = "trained"
TRAINED_PATH = Path(__file__).with_name("data") / "trained.ckpt"
"""Written by ``scripts/train_embedded.py``."""
PUBLISHED = (  # the names of OpenRetina 1.1.1
    "hoefling_2024_base_low_res",
    "hoefling_2024_low_res",
    "hoefling_2024_high_res",
    "karamanlis_2024_mouse",
    "karamanlis_2024_marmoset",
    "maheswaranathan_2023",
    "sridhar_2025",
    "goldin_2022_axolotl",
    "goldin_2022_mouse",
)


def load_model(
    source: str | os.PathLike[str] = EMBEDDED, *, device: str | torch.device = "cpu"
) -> RetinaModel:
    """Open a retina model.

    Parameters
    ----------
    source
        ``"synthetic"`` for the embedded retina, whose cell types are known; ``"trained"`` for the
        embedded core-readout that was fitted to its responses; or the path of an OpenRetina
        checkpoint. A checkpoint is read as data: nothing in it is executed.
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
    if text == TRAINED:
        return _load_trained(target)
    if not text or not (Path(text).suffix or os.sep in text or Path(text).exists()):
        path = "a checkpoint is given by its path, such as 'folder/model.ckpt'"
        if text in PUBLISHED:
            raise ValueError(
                f"source: {text!r} is a published name, which this version does not fetch; {path}"
            )
        message = unknown_name("source", text, (EMBEDDED, TRAINED, *PUBLISHED), "model")
        raise ValueError(f"{message}; {path}")
    from openretina_widgets.models.checkpoint import load_checkpoint

    return load_checkpoint(text, device=target)


def _load_trained(device: torch.device) -> RetinaModel:
    """Open the trained embedded model as any other checkpoint."""
    from openretina_widgets.models.checkpoint import load_checkpoint

    model = load_checkpoint(TRAINED_PATH, device=device)
    # Results carry the source: the place of this installation would tell nothing.
    model.source = f"embedded, fitted to {EMBEDDED!r}"
    return model


def load_core_readout_from_remote(
    model_name: str, device: str | torch.device = "cpu"
) -> RetinaModel:
    """Open a model by name, spelt as in OpenRetina: see `load_model`.

    A published name is answered by the embedded synthetic retina, with a warning that says so:
    this version fetches nothing.
    """
    if model_name in PUBLISHED:
        warnings.warn(
            f"{model_name!r} is not fetched by this version: the embedded synthetic retina answers "
            "in its place. Open a downloaded checkpoint with load_model('path/to/model.ckpt').",
            stacklevel=2,
        )
        model_name = EMBEDDED
    return load_model(model_name, device=device)
