"""Measure every neuron of a session: all experiments, then one table."""

from __future__ import annotations

from dataclasses import dataclass

from openretina_widgets.insilico.population.table import SelectivityTable


@dataclass(frozen=True, eq=False)
class SelectivityStep:
    """A batch of conditions that is done.

    Attributes
    ----------
    table
        What is measured so far; a new one once an experiment is complete.
    what
        What is being measured, in words.
    experiment, experiments
        Number of the experiment, from 1, and of how many.
    done, total
        Conditions done, of how many.
    """

    table: SelectivityTable
    what: str
    experiment: int
    experiments: int
    done: int
    total: int
