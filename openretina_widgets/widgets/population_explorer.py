"""Measure a whole population, then find neurons in it: table, scatter and queries, linked."""

from __future__ import annotations

import html
from functools import partial
from typing import Any, Literal

import ipywidgets as ipw
import numpy as np
import traitlets

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.insilico.compute import live_threads, torch_threads
from openretina_widgets.insilico.population import (
    SelectivityStep,
    SelectivityTable,
    selectivity_steps,
)
from openretina_widgets.insilico.population.table import as_text
from openretina_widgets.jobs import Job
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.composition import button
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.population_scatter import PopulationScatter
from openretina_widgets.widgets.population_table import PopulationTable
from openretina_widgets.widgets.run_panel import RunPanel, RunState
from openretina_widgets.widgets.run_status import RunStatus, as_time
from openretina_widgets.widgets.selection import Following, Selection, selection_for

_HINT = "Press Compute table to measure every neuron of the session."
_EXAMPLE = "dsi > 0.4 and on_off.abs() < 0.3"
_CARD = ("on_off", "transience", "dsi", "osi", "suppression", "biphasic")
_FREE = {"width": "auto", "min_width": "0"}


class PopulationExplorer(Exportable, RunPanel[SelectivityStep, SelectivityTable]):
    """Every index of every neuron: a table, a scatter of any two, and queries.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    selection
        A selection to share with other widgets; by default one of its own.
    data_key
        Session chosen at first; not together with `selection`, which has one.
    table
        A table to start from, of this model; it saves the measurement.
    query
        Condition at the start, such as ``"dsi > 0.4"``.
    seed
        Of every random draw of the measurement.
    height
        Of table and scatter in CSS pixels.
    threads
        Torch threads of the measurement on a CPU. ``"auto"`` takes one fewer than the machine has
        cores, since the browser needs one too; None leaves torch as it is.

    Attributes
    ----------
    table : SelectivityTable or None
        What was measured last; while a measurement is going on, what is there so far. May be
        observed.
    query : str
        The condition; only neurons that meet it are listed. May be set; one that cannot be read is
        answered in words in the widget, and all neurons are listed.
    matching : tuple of int
        Neurons that meet the query, all of them without one.
    job : Job or None
        The measurement that is going on, or the last one.
    selection : Selection
        Model, session and neurons, shared with linked widgets.

    Examples
    --------
    >>> explorer = PopulationExplorer(load_model("synthetic"))
    >>> table = await explorer.start()
    >>> explorer.query = "dsi > 0.4 and on_off.abs() < 0.3"
    >>> explorer.matching
    """

    _result_trait = "table"
    _following: Following | None = None  # none yet while it is built
    table = traitlets.Instance(SelectivityTable, allow_none=True)
    query = traitlets.Unicode("")

    def __init__(
        self,
        model: RetinaModel | Any,
        *,
        selection: Selection | None = None,
        data_key: str | None = None,
        table: SelectivityTable | None = None,
        query: str = "",
        seed: int = 0,
        height: int = 420,
        threads: int | Literal["auto"] | None = "auto",
    ) -> None:
        selection = selection_for(model, selection=selection, data_key=data_key)
        self._selection = selection
        self._seed = check_seed(seed)
        self._threads: int | None = live_threads() if threads == "auto" else threads
        pressed = partial(button, width="132px")
        self._compute = pressed(
            "Compute table", "play", "Measure every neuron of the session", style="primary"
        )
        self._stop = pressed("Stop", "stop", "End the measurement; what is measured stays")
        self._stop.disabled = True
        self._status = RunStatus()
        self._field = ipw.Text(
            description="Find",
            placeholder=_EXAMPLE,
            continuous_update=True,
            layout=ipw.Layout(flex="1 1 320px", **_FREE),
            style={"description_width": "40px"},
        )
        self._take = pressed("Select these", "check", "Select the neurons that the query finds")
        self._found = ipw.HTML(layout=ipw.Layout(width="auto", min_height="26px"))
        words = "Nothing is measured yet: press Compute table."
        self.rows = PopulationTable(
            selection=selection,
            height=height,
            placeholder=words,
            layout=ipw.Layout(flex="1 1 560px", **_FREE),
        )
        self.scatter = PopulationScatter(
            selection=selection,
            height=height - 36,
            placeholder=words,
            layout=ipw.Layout(flex="1 1 460px", **_FREE),
        )
        self._card = ipw.HTML(layout=ipw.Layout(width="auto", min_height="72px"))
        views = ipw.HBox(
            [self.rows, self.scatter],
            layout=ipw.Layout(flex_flow="row wrap", width="100%", grid_gap="12px 20px"),
        )
        buttons = ipw.HBox([self._compute, self._stop])
        finder = ipw.HBox(
            [self._field, self._take], layout=ipw.Layout(width="100%", flex_flow="row wrap")
        )
        save = ExportMenu(self, name="population")
        super().__init__((buttons, self._status, finder, self._found, views, self._card, save))
        self.add_class("orw-population")
        self._compute.on_click(lambda _: self._main_loop.call(self._try(self.start)))
        self._stop.on_click(lambda _: self.stop())
        self._take.on_click(lambda _: self._main_loop.call(self.select_matching))
        self._field.observe(self._typed, "value")
        self._following = Following(selection, self._selection_changed)
        self._status.tell("idle", _HINT, progress=0.0, figures=self._figures())
        self._list()
        self.table = table
        self.query = query

    # In code ---------------------------------------------------------------------------------

    @property
    def selection(self) -> Selection:
        """Model, session and neurons, shared with linked widgets."""
        return self._selection

    @property
    def model(self) -> RetinaModel:
        """The model that is measured."""
        return self._selection.model

    @property
    def matching(self) -> tuple[int, ...]:
        """Neurons that meet the query, in the order of the table."""
        return self._matching

    def start(self, *, paused: bool = False) -> Job[SelectivityStep, SelectivityTable]:
        """Measure the session of the selection; a measurement that is going on is ended first.

        Returns
        -------
        Job
            ``await`` it for the `SelectivityTable`.
        """
        self._end_job()
        model, session, seed = self.model, self._selection.data_key, self._seed
        self._newest: SelectivityStep | None = None
        self.job = Job(
            lambda: selectivity_steps(model, data_key=session, seed=seed),
            on_update=self._show,
            on_done=self._ended,
            rate_hz=4.0,
            name="measure a population",
            context=partial(torch_threads, self._threads),
        )
        self._show_state("running")
        self._status.tell("running", "Starting …", progress=0.0, figures=self._figures())
        return self.job.start(paused=paused)

    def select_matching(self) -> None:
        """Select the neurons that meet the query."""
        if self.table is not None and self._matching:
            self._selection.choose(self._matching, data_key=self.table.data_key)

    def close(self) -> None:
        """End the measurement and close the widget with all that belongs to it."""
        if self._following is not None:
            self._following.end()
        super().close()

    # From the page ---------------------------------------------------------------------------

    def _typed(self, change: Any) -> None:
        self._main_loop.call(lambda: self.set_trait("query", change["new"]))

    @traitlets.observe("query")
    def _query_changed(self, _: Any) -> None:
        if self._field.value != self.query:
            self._field.value = self.query
        self._list()

    # From the measurement, on the loop -------------------------------------------------------

    def _show(self, step: SelectivityStep) -> None:
        self._newest = step
        self._status.tell(
            "running",
            f"Measuring: {step.what}.",
            progress=step.done / step.total,
            figures=self._figures(),
        )
        if step.table is not self.table:
            self.table = step.table

    def _ended_without(self, job: Job[SelectivityStep, SelectivityTable]) -> None:
        self._status.tell("idle", "Stopped before anything was measured. " + _HINT)

    def _ended_with(
        self, table: SelectivityTable, job: Job[SelectivityStep, SelectivityTable]
    ) -> None:
        self.table = table
        ended = f"Ended: {job.reason}. What is measured stays. " if job.reason else ""
        self._status.tell(
            "finished",
            f"{ended}Measured {len(table)} neurons of {self._selection.data_key}. "
            "Click on the head of a column to sort; ask for some of them below.",
            progress=None if job.reason else 1.0,
            figures=self._figures(),
        )

    def _show_state(self, state: RunState) -> None:
        self._compute.disabled, self._stop.disabled = state != "idle", state == "idle"

    def _figures(self) -> list[tuple[str, str]]:
        job = self.job
        step = self._newest if job is not None else None
        left = None
        if job is not None and step is not None and step.done:
            left = 0.0 if job.done() else job.elapsed * (step.total - step.done) / step.done
        n = self.model.n_neurons(self._selection.data_key)
        return [
            ("neurons", str(n)),
            ("measurement", f"{step.experiment} of {step.experiments}" if step else "–"),
            ("elapsed", as_time(job.elapsed if job is not None else None)),
            ("remaining, about", as_time(left)),
        ]

    # What is shown ---------------------------------------------------------------------------

    @traitlets.observe("table")
    def _table_changed(self, _: Any) -> None:
        self.rows.table = self.scatter.table = self.table
        self._list()
        self._draw_card()

    def _list(self) -> None:
        """List the neurons that meet the query, and say how many or what is wrong with it."""
        table, query = self.table, self.query.strip()
        names = "Columns: " + ", ".join(table.names if table is not None else ()) + "."
        said, failed = "", False
        self._matching: tuple[int, ...] = table.neurons if table is not None else ()
        if table is not None and query:
            try:
                found = np.flatnonzero(table.mask(query))
            except ValueError as error:
                said, failed = str(error), True
            else:
                self._matching = tuple(table["neuron"][found].tolist())
                said = f"{len(found)} of {len(table)} neurons match."
        elif table is not None:
            said = "Type a condition. Point at the head of a column for its name in a query."
        filtered = table is not None and bool(query) and not failed
        self.rows.shown = self.scatter.shown = self._matching if filtered else None
        self._take.disabled = not (filtered and self._matching)
        kind, role = ("orw-error", "alert") if failed else ("orw-note", "status")
        self._found.value = (
            f'<div class="{kind}" role="{role}" title="{html.escape(names)}">'
            f"{html.escape(said)}</div>"
        )

    def _draw_card(self, _: Any = None) -> None:
        self._card.value = f'<div class="orw-card">{self._words()}</div>'

    def _words(self) -> str:
        table, selection = self.table, self._selection
        if table is None or table.data_key not in (None, selection.data_key):
            return ""
        if selection.neuron not in table.neurons:
            return "The neuron is not in the table."
        row = table.row(selection.neuron)
        text = f"<b>Neuron {html.escape(selection.labels[0])}</b>"
        if len(selection.neurons) > 1:
            text += f" and {len(selection.neurons) - 1} more"
        if row["suggested_type"]:
            text += f"<br>Suggested type: <b>{html.escape(row['suggested_type'])}</b>"
        if row["rule"]:
            text += f", because {html.escape(row['rule'])}"
        facts = [
            f"{column.title} {as_text(row[column.name], column.period)}"
            + (f" ({why})" if (why := table.reason(column.name, selection.neuron)) else "")
            for column in table.columns
            if column.name in _CARD
        ]
        return f'{text}<div class="orw-note">{html.escape(" · ".join(facts))}</div>'

    def _selection_changed(self, change: Any) -> None:
        if change["name"] == "model":
            self._end_job()
            self.job = None
            self.table = None
            self._show_state("idle")
            self._status.tell("idle", _HINT, progress=0.0, figures=self._figures())
        self._draw_card()
