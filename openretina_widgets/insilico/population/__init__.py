"""Populations: a table of measured indices, queries, and the cell type that they speak for."""

from openretina_widgets.insilico.population.columns import Column
from openretina_widgets.insilico.population.measuring import (
    SelectivityStep,
    selectivity_steps,
    selectivity_table,
)
from openretina_widgets.insilico.population.suggestion import suggest
from openretina_widgets.insilico.population.table import SelectivityTable

__all__ = [
    "Column",
    "SelectivityStep",
    "SelectivityTable",
    "selectivity_steps",
    "selectivity_table",
    "suggest",
]
