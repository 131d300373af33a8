"""A model beside a measurement: tuning points and receptive fields."""

from openretina_widgets.insilico.comparison.agreement import Agreement
from openretina_widgets.insilico.comparison.fields import FieldComparison, compare_receptive_fields
from openretina_widgets.insilico.comparison.reading import read_points
from openretina_widgets.insilico.comparison.tuning import TuningComparison, compare_tuning

__all__ = [
    "Agreement",
    "FieldComparison",
    "TuningComparison",
    "compare_receptive_fields",
    "compare_tuning",
    "read_points",
]
