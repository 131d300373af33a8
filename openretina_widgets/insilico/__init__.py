"""The engine: experiments on a model, without any widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_widgets.insilico.receptive_fields.visualize import visualize_receptive_fields

__all__ = ["visualize_receptive_fields"]


def __getattr__(name: str) -> Any:
    if name != "visualize_receptive_fields":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from openretina_widgets.insilico.receptive_fields.visualize import visualize_receptive_fields

    return visualize_receptive_fields
