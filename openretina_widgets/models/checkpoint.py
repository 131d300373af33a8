"""Opens an OpenRetina checkpoint without executing anything in it.

A checkpoint is a zip archive with a pickle in it, and a pickle is a program: unpickled freely, it
runs whatever its author wrote. Here it is data: lists, dictionaries, strings, numbers, tensors,
numpy arrays and the nodes of an OmegaConf configuration. Anything else is refused, nothing is
written to disk, and what a file may take of memory is bounded by its size.

From the outside in: `load_checkpoint` makes a model out of a `Checkpoint`, and `read_checkpoint`
makes that out of a file. `architectures` tells which model it is, `safe_archive` reads the zip
archive, `safe_pickle` follows the pickle, `safe_values` turns what it says into plain data, and
`data_info` tells what that means.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from openretina_widgets.errors import OutOfMemory
from openretina_widgets.models._parts import UnknownClassError
from openretina_widgets.models.architectures import architecture_of, way_out
from openretina_widgets.models.core_readout import CheckpointModel
from openretina_widgets.models.data_info import described
from openretina_widgets.models.device import check_device
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.models.safe_archive import Archive
from openretina_widgets.models.safe_pickle import LARGEST_PICKLE, PickleReader
from openretina_widgets.models.safe_values import (
    CheckpointError,
    PlainData,
    UnsafeCheckpointError,
    kind_of,
    short,
    some_of,
)

__all__ = [
    "MOST_COPIES",
    "Checkpoint",
    "CheckpointError",
    "UnknownArchitectureError",
    "UnsafeCheckpointError",
    "load_checkpoint",
    "read_checkpoint",
]

MOST_COPIES = 16
"""How many times larger than the file the weights may be; weights that share memory are more."""


class UnknownArchitectureError(CheckpointError):
    """A checkpoint is of a model, or has a part, that is not known here yet."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds, as plain data.

    Attributes
    ----------
    path
        The file.
    class_path
        OpenRetina's name for the class of the model, ``""`` when it cannot be told.
    hyper_parameters
        What the model was built from, without ``data_info``: dictionaries, lists, strings, numbers.
    state_dict
        The weights, on the CPU. Tensors that share memory in the file share it here.
    data_info
        What is recorded of the data: as `hyper_parameters`, with numpy arrays (read-only) and
        tensors.
    versions
        Versions of ``"lightning"`` and of torch's ``"archive"`` format, where they are stated.
    """

    path: Path
    class_path: str
    hyper_parameters: dict[str, Any] = field(repr=False)
    state_dict: dict[str, torch.Tensor] = field(repr=False)
    data_info: dict[str, Any] = field(repr=False)
    versions: dict[str, str]


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    hyper_parameters: Mapping[str, Any] | None = None,
) -> RetinaModel:
    """Open an OpenRetina checkpoint as a model. Nothing in the file is executed.

    Parameters
    ----------
    path
        The file, as OpenRetina 1.1.1 writes it through Lightning.
    device
        Where the weights go, such as ``"cpu"`` or ``"cuda"``.
    hyper_parameters
        What the file does not say of its model, or says otherwise, such as
        ``{"nonlinearity": "softplus"}`` for a single-cell LNP model.

    Returns
    -------
    RetinaModel
        The model, in eval mode, with what the file says about its sessions, neurons and units.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message names the nearest.
    UnsafeCheckpointError
        If the file asks for something that is no data.
    UnknownArchitectureError
        If the model is of a class that is not known here yet.
    CheckpointError
        If the file is no checkpoint, is damaged, or its weights do not fit its architecture.
    OutOfMemory
        If the weights do not fit on `device`.
    ValueError
        If `device` is not there; the file is not read then.
    """
    target = check_device(device)
    checkpoint = read_checkpoint(path, hyper_parameters=hyper_parameters)
    try:
        model = _model_of(checkpoint)
        return RetinaModel(
            _moved(model, target),
            name=checkpoint.path.stem,
            source=os.fspath(path),
            **_description(checkpoint, model),
        ).eval()
    except (CheckpointError, OutOfMemory) as error:
        raise type(error)(f"{checkpoint.path}: {error}") from None
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.path}: no model on {target}: {error}") from error


def read_checkpoint(
    path: str | os.PathLike[str], *, hyper_parameters: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Read an OpenRetina checkpoint as plain data. Nothing in the file is executed.

    Parameters
    ----------
    path
        The file, as OpenRetina 1.1.1 writes it through Lightning.
    hyper_parameters
        What the file does not say of its model, or says otherwise.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message names the nearest.
    UnsafeCheckpointError
        If the file asks for something that is no data.
    CheckpointError
        If the file is no checkpoint, or is damaged.
    """
    file_path = _existing(path)
    try:
        with file_path.open("rb") as file:
            archive = Archive(file)
            content = PickleReader(archive.read("data.pkl", LARGEST_PICKLE)).load()
            return _checkpoint(file_path, content, archive, dict(hyper_parameters or {}))
    except CheckpointError as error:
        raise type(error)(f"{file_path}: {error}") from None


def _checkpoint(path: Path, content: object, archive: Archive, told: dict[str, Any]) -> Checkpoint:
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(
            "a file of torch, but no Lightning checkpoint: expected a dictionary with 'state_dict' "
            f"and 'hyper_parameters', got {kind_of(content)}"
        )
    plain = PlainData(archive.tensor)
    state_dict = plain(content["state_dict"])
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state_dict.items()):
        raise CheckpointError("state_dict: expected a tensor by name")
    recorded = content.get("hyper_parameters")
    hyper_parameters = {**(plain(recorded) if isinstance(recorded, dict) else {}), **told}
    data_info = hyper_parameters.pop("data_info", None)
    architecture = architecture_of(hyper_parameters, state_dict)
    if architecture is None and not isinstance(recorded, dict) and not told:
        raise CheckpointError(
            "holds weights, but no 'hyper_parameters' that say of which model; Lightning writes "
            "them when the model calls save_hyperparameters()"
        )
    versions = {"lightning": content.get("pytorch-lightning_version"), "archive": archive.version}
    return Checkpoint(
        path=path,
        class_path=architecture.class_path if architecture else "",
        hyper_parameters=hyper_parameters,
        state_dict=state_dict,
        data_info=data_info if isinstance(data_info, dict) else {},
        versions={key: text for key, text in versions.items() if isinstance(text, str) and text},
    )


# The model -----------------------------------------------------------------------------------


def _model_of(checkpoint: Checkpoint) -> CheckpointModel:
    """Return the model of a checkpoint with its weights, in eval mode, on the CPU."""
    architecture = architecture_of(checkpoint.hyper_parameters, checkpoint.state_dict)
    if architecture is None:
        keys = some_of(map(short, checkpoint.hyper_parameters))
        raise UnknownArchitectureError(
            f"a model with the hyper-parameters {keys} is not known; {way_out(checkpoint.path)}"
        )
    weights = architecture.adapted(checkpoint.state_dict)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    try:
        # Sizes in the file are only claims: no memory is taken until the weights bear them out.
        with torch.device("meta"):
            model = architecture.build(checkpoint.hyper_parameters, shapes)
    except UnknownClassError as error:
        raise UnknownArchitectureError(f"{error}; {way_out(checkpoint.path)}") from error
    except ValueError as error:
        raise CheckpointError(f"hyper_parameters: {error}") from error
    model.load_state_dict(_fitting(model, weights, checkpoint.path), strict=True, assign=True)
    return model.eval()


def _moved(model: CheckpointModel, target: torch.device) -> CheckpointModel:
    try:
        return model.to(target)
    except torch.cuda.OutOfMemoryError as error:
        n_bytes = sum(tensor.nbytes for tensor in model.state_dict().values())
        raise OutOfMemory(
            f"its weights need {n_bytes / 1e6:.1f} MB, more than is free on {target}; "
            "device='cpu' works"
        ) from error


def _fitting(
    model: CheckpointModel, got: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Return own copies of the weights, if they are those that the model needs."""
    wanted = model.state_dict()
    common = [key for key in wanted if key in got]
    complaints = {
        "missing": [short(key) for key in wanted if key not in got],
        "unexpected": [short(key) for key in got if key not in wanted],
        "wrong shape": [
            f"{short(key)} (expected {tuple(wanted[key].shape)}, got {tuple(got[key].shape)})"
            for key in common
            if wanted[key].shape != got[key].shape
        ],
        "wrong type": [
            f"{short(key)} (expected {wanted[key].dtype}, got {got[key].dtype})"
            for key in common
            if _number_kind(wanted[key]) != _number_kind(got[key])
        ],
    }
    if any(complaints.values()):
        listed = "; ".join(f"{what}: {some_of(keys)}" for what, keys in complaints.items() if keys)
        raise CheckpointError(f"state_dict: does not fit the hyper-parameters: {listed}")
    n_bytes = sum(got[key].numel() * wanted[key].element_size() for key in common)
    if n_bytes > MOST_COPIES * (size := path.stat().st_size):
        raise CheckpointError(
            f"state_dict: {n_bytes} bytes of weights out of a file of {size} bytes; expected at "
            f"most {MOST_COPIES} times as many"
        )
    return {key: got[key].to(wanted[key].dtype, copy=True) for key in wanted}


def _number_kind(tensor: torch.Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "floating" if tensor.is_floating_point() else "whole"


def _description(checkpoint: Checkpoint, model: CheckpointModel) -> dict[str, Any]:
    """Return what the file says about the model, as arguments of `RetinaModel`."""
    return {
        "description": model.summary,
        **described(checkpoint.data_info, in_shape=model.in_shape, n_neurons=model.n_neurons),
    }


# The file ------------------------------------------------------------------------------------


def _existing(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"path: expected the path of a checkpoint, got {type(path).__name__}")
    file_path = Path(os.path.expanduser(path))
    if file_path.is_file():
        return file_path
    if file_path.is_dir():
        inside = sorted(p.name for p in file_path.glob("*.ckpt"))
        hint = f"; it holds {some_of(map(repr, inside))}" if inside else ""
        raise CheckpointError(f"{file_path}: a folder, expected a checkpoint{hint}")
    if file_path.exists():
        raise CheckpointError(f"{file_path}: no regular file, expected a checkpoint")
    folder = file_path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{file_path}: there is no folder {str(folder)!r}")
    names = sorted(p.name for p in folder.iterdir())
    near = difflib.get_close_matches(file_path.name, names, n=3, cutoff=0.5)
    hint = f"; the nearest in that folder: {some_of(map(repr, near))}" if near else ""
    raise FileNotFoundError(f"{file_path}: there is no such file{hint}")
