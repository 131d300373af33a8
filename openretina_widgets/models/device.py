"""Checks that a device is there before anything is sent to it."""

from __future__ import annotations

import torch


def check_device(device: str | torch.device) -> torch.device:
    """Return a device that is there.

    Raises
    ------
    ValueError
        If `device` names none, or one that this machine does not have.
    """
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}") from error
    if target.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device: {str(device)!r} was asked for, but torch {torch.__version__} sees no CUDA "
            "device here; use device='cpu'"
        )
    if target.type == "cuda" and (target.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device: {str(device)!r} was asked for, but there are only "
            f"{torch.cuda.device_count()} CUDA devices"
        )
    return target
