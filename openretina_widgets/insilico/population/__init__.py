"""Populations: a table of measured indices, queries, the cell type they speak for, and groups."""

from openretina_widgets.insilico.population.clustering import NeuronGroups, find_groups
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
    "NeuronGroups",
    "SelectivityStep",
    "SelectivityTable",
    "find_groups",
    "selectivity_steps",
    "selectivity_table",
    "suggest",
]
