"""Tensors that a part of a run makes once of its settings, and owns."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")


class OwnsConstants:
    """Keeps what it has made for a kind of stimulus as long as it lives itself.

    So no step copies anything to a GPU, and an iteration that was captured, which reads tensors by
    their address, finds them for as long as the part that it was captured with.
    """

    def _constant(self, make: Callable[..., Made], *settings: Hashable) -> Made:
        """Return what `make` makes of the settings; made once."""
        made: dict[Any, Any] = self.__dict__.setdefault("_constants", {})
        key = (make, *settings)
        if key not in made:
            with torch.inference_mode(False):  # kept for calls that take gradients
                made.setdefault(key, make(*settings))
        return made[key]

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings alone: a copy makes the tensors again, where it is."""
        return {name: value for name, value in self.__dict__.items() if name != "_constants"}
