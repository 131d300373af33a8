"""Receptive fields: gradients, spike-triggered averages, their split in space and time, fits."""

from openretina_widgets.insilico.receptive_fields.centres import centres
from openretina_widgets.insilico.receptive_fields.gradient import neuron_gradients

__all__ = ["centres", "neuron_gradients"]
