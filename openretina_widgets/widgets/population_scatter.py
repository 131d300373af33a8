"""Neurons as points: any two measured indices against each other, selected by click and lasso."""

from __future__ import annotations

from typing import Any

import ipywidgets
import traitlets

from openretina_widgets.insilico.population import SelectivityTable
from openretina_widgets.widgets.canvas_widget import static_text
from openretina_widgets.widgets.population_rows import PopulationView
from openretina_widgets.widgets.selection import Selection


class PopulationScatter(PopulationView):
    """One point a neuron, over any two columns of numbers, coloured by a column of words.

    A click selects a neuron, a drag those inside a lasso or a rectangle; with Shift or Ctrl they
    are added. A click on an entry of the legend selects that type. Selected points have a ring;
    hovering names a neuron. By keyboard: the arrow keys go from point to point, Enter selects.

    Parameters
    ----------
    table, selection, height, placeholder, layout
        See `PopulationView`.
    x, y
        Columns of the axes.
    colour
        Column of the colours.

    Attributes
    ----------
    x, y, colour : str
        May be observed and set.

    Raises
    ------
    traitlets.TraitError
        If there is no such column, or it holds no numbers; the message names the nearest.
    """

    _esm = static_text("canvas.js", "population_rows.js", "population_scatter.js")
    _css = static_text("population_rows.css", "population_scatter.css")

    x = traitlets.Unicode("on_off").tag(sync=True)
    y = traitlets.Unicode("contrast_change").tag(sync=True)
    colour = traitlets.Unicode("cell_type").tag(sync=True)

    def __init__(
        self,
        table: SelectivityTable | None = None,
        *,
        x: str = "on_off",
        y: str = "contrast_change",
        colour: str = "cell_type",
        selection: Selection | None = None,
        height: int = 420,
        placeholder: str = "No neurons are measured yet.",
        layout: ipywidgets.Layout | None = None,
    ) -> None:
        super().__init__(
            table, selection=selection, height=height, placeholder=placeholder, layout=layout
        )
        try:
            with self.hold_trait_notifications():
                self.x, self.y, self.colour = x, y, colour
        except traitlets.TraitError:
            self.close()
            raise

    @traitlets.validate("x", "y", "colour")
    def _known(self, proposal: dict[str, Any]) -> str:
        name, axis = proposal["value"], proposal["trait"].name
        if self._table is None:
            return str(name)
        try:
            column = self._table.column(name)
        except ValueError as error:
            raise traitlets.TraitError(f"{axis}: {error}") from error
        wanted = "text" if axis == "colour" else "number"
        if column.kind != wanted:
            raise traitlets.TraitError(
                f"{axis}: expected a column of kind {wanted!r}, got {name!r}, of {column.kind!r}"
            )
        return str(name)
