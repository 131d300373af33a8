"""Tells weights apart by a hash that stays the same wherever they lie."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

DIGITS = 16
"""Hexadecimal digits of the hash that are kept."""


def weight_hash(module: nn.Module) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all weights of a module.

    Names, types, shapes and bytes of the state dict count, in the order of the names; the device
    and the memory layout do not. A model from a file and the live object that it was saved from
    have the same hash, since their state dicts have the same names.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{key}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(raw.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:DIGITS]
