"""Retina models: one face for all of them, and where they come from."""

from openretina_widgets.models.card import ModelCard
from openretina_widgets.models.loading import load_core_readout_from_remote, load_model
from openretina_widgets.models.published import fetch, fetch_steps, published_path
from openretina_widgets.models.retina_model import (
    ModelIdentity,
    Neuron,
    RetinaModel,
    as_retina_model,
)

__all__ = [
    "ModelCard",
    "ModelIdentity",
    "Neuron",
    "RetinaModel",
    "as_retina_model",
    "fetch",
    "fetch_steps",
    "load_core_readout_from_remote",
    "load_model",
    "published_path",
]
