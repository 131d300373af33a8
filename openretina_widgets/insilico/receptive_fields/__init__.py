"""Receptive fields: gradients, spike-triggered averages, their split in space and time, fits."""

from openretina_widgets.insilico.receptive_fields.centres import centres
from openretina_widgets.insilico.receptive_fields.estimation import (
    receptive_field_steps,
    receptive_fields,
)
from openretina_widgets.insilico.receptive_fields.fits import SpatialFit, fit_spatial
from openretina_widgets.insilico.receptive_fields.gradient import neuron_gradients
from openretina_widgets.insilico.receptive_fields.mosaic import Mosaic, mosaics
from openretina_widgets.insilico.receptive_fields.plotting import ellipses
from openretina_widgets.insilico.receptive_fields.result import FieldsStep, ReceptiveFields
from openretina_widgets.insilico.receptive_fields.sta import spike_triggered_average
from openretina_widgets.insilico.receptive_fields.vector_field import (
    VectorFieldStep,
    vector_field,
    vector_field_steps,
)
from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
from openretina_widgets.insilico.receptive_fields.visualize import visualize_receptive_fields

__all__ = [
    "FieldsStep",
    "Mosaic",
    "ReceptiveFields",
    "SpatialFit",
    "VectorField",
    "VectorFieldStep",
    "centres",
    "ellipses",
    "fit_spatial",
    "mosaics",
    "neuron_gradients",
    "receptive_field_steps",
    "receptive_fields",
    "spike_triggered_average",
    "vector_field",
    "vector_field_steps",
    "visualize_receptive_fields",
]
