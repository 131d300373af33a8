"""A table of neurons: some thousand rows, sorted by a click on a column, selected by rows."""

from __future__ import annotations

import traitlets

from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.population_rows import PopulationView


class PopulationTable(PopulationView):
    """Every measured index of every neuron; rows are sorted and selected.

    A click on the head of a column sorts by it, one more turns the order around; undefined numbers
    come last, shown as a dash with the reason on hover. A click selects a row, with Ctrl (or Cmd)
    one more, with Shift all between. By keyboard: up and down, Page keys, Home and End (with Shift
    to extend), Space adds or takes away, Ctrl+A selects all listed; left and right go from column
    to column, Enter sorts.

    Parameters
    ----------
    table, selection, height, placeholder, layout
        See `PopulationView`.

    Attributes
    ----------
    sort_by : str
        Column that the rows are sorted by, ``""`` for the order of the table; may be set.
    descending : bool
        Largest first.

    Examples
    --------
    >>> view = PopulationTable(selectivity_table(load_model("synthetic")))
    >>> view.sort_by, view.descending = "dsi", True
    """

    _esm = static_text("canvas.js", "population_rows.js", "population_table.js")
    _css = static_text("population_rows.css", "population_table.css")

    sort_by = traitlets.Unicode("").tag(sync=True)
    descending = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("sort_by")
    def _known(self, proposal: dict[str, str]) -> str:
        name = proposal["value"]
        if name and self.table is not None:
            try:
                self.table.column(name)
            except ValueError as error:
                raise traitlets.TraitError(str(error)) from error
        return name
