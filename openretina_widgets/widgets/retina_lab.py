"""Everything, linked: what a newcomer opens."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ipywidgets as ipw

from openretina_widgets.export.results import Result
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.loading import EMBEDDED
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.export_button import Exportable, ExportMenu
from openretina_widgets.widgets.model_loader import ModelLoader
from openretina_widgets.widgets.selection import Selection
from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer


@dataclass(frozen=True)
class _Tab:
    """A widget of the laboratory: built as ``kind(model, selection=selection)`` when opened."""

    name: str
    title: str
    module: str
    kind: str


TABS = (
    _Tab("optimizer", "Best stimulus", "stimulus_optimizer", "StimulusOptimizer"),
    _Tab("tuning", "Tuning", "tuning_explorer", "TuningExplorer"),
    _Tab("fields", "Receptive fields", "receptive_field_viewer", "ReceptiveFieldViewer"),
    _Tab("population", "Population", "population_explorer", "PopulationExplorer"),
    _Tab("designer", "Stimulus designer", "stimulus_designer", "StimulusDesigner"),
)


class RetinaLab(Exportable, Composition):
    """The laboratory: open a model, and do every experiment on it.

    Its tabs are linked: a neuron that is chosen in one is chosen in all. A tab is built when it is
    first opened. Opening another model stops every run first.

    Parameters
    ----------
    model
        A name or path for `load_model`, a `RetinaModel`, or a live OpenRetina model.
    device
        Device for a model that is given by name or path.
    **settings
        Start values of the `StimulusOptimizer`.

    Attributes
    ----------
    loader : ModelLoader
    selection : Selection
        Model, session and neurons that all tabs look at.
    optimizer : StimulusOptimizer
    tuning : TuningExplorer
    fields : ReceptiveFieldViewer
    population : PopulationExplorer
    designer : StimulusDesigner
        These four are built when they are first asked for.

    Examples
    --------
    >>> lab = RetinaLab()
    >>> lab.selection.choose([3, 7])
    >>> lab.show_tab("population")
    """

    def __init__(
        self, model: str | RetinaModel | Any = EMBEDDED, *, device: str = "cpu", **settings: Any
    ) -> None:
        if isinstance(model, str):
            self.loader = ModelLoader(model, device=device)
            face = self.loader.model
        else:
            face = as_retina_model(model)
            self.loader = ModelLoader(None, device=device)
            self.loader.model = face
        session = settings.pop("data_key", None)
        self.selection = Selection(face, data_key=session, neurons=settings.pop("neuron", 0))
        self._settings = settings
        self._built: dict[str, Any] = {}
        self._pages = [ipw.VBox(layout=ipw.Layout(width="100%")) for _ in TABS]
        self._tabs = ipw.Tab(
            self._pages,
            titles=[tab.title for tab in TABS],
            selected_index=0,
            layout=ipw.Layout(width="auto"),
        )
        title = ipw.HTML('<div class="orw-title">Retina lab</div>')
        save = ExportMenu(self, name="retina_lab", label="Save all")
        super().__init__((title, self.loader, self._tabs, save))
        self.add_class("orw-lab")
        self._show_tab(0)
        self._tabs.observe(self._tab_opened, "selected_index")
        self.loader.observe(self._opened, "model")

    @property
    def model(self) -> RetinaModel:
        """The model that is open."""
        return self.selection.model

    @property
    def result(self) -> OptimizationResult | None:
        """The result of the last search for a best stimulus, None before."""
        return self.optimizer.result

    @property
    def exported(self) -> dict[str, Result]:
        """The last result of each tab that has one, by the title of the tab.

        Raises
        ------
        RuntimeError
            If there is none yet.
        """
        found: dict[str, Any] = {}
        for tab in TABS:
            widget = self._built.get(tab.name)
            if isinstance(widget, Exportable):
                with contextlib.suppress(RuntimeError):  # it has none yet
                    saved = widget.exported
                    several = saved if isinstance(saved, Mapping) else {"": saved}
                    found |= {
                        f"{tab.title}, {name}" if name else tab.title: one
                        for name, one in several.items()
                    }
        if not found:
            raise RuntimeError("there is no result to save yet; run an experiment in a tab first")
        return found

    @property
    def optimizer(self) -> StimulusOptimizer:
        """The tab “Best stimulus”."""
        widget: StimulusOptimizer = self._build(0)
        return widget

    @property
    def tuning(self) -> Any:
        """The tab “Tuning”, a `TuningExplorer`."""
        return self._named("tuning")

    @property
    def fields(self) -> Any:
        """The tab “Receptive fields”, a `ReceptiveFieldViewer`."""
        return self._named("fields")

    @property
    def designer(self) -> Any:
        """The tab “Stimulus designer”, a `StimulusDesigner`."""
        return self._named("designer")

    @property
    def population(self) -> Any:
        """The tab “Population”, a `PopulationExplorer`."""
        return self._named("population")

    def show_tab(self, name: str) -> Any:
        """Show a tab, and return its widget.

        Parameters
        ----------
        name
            That of the attribute, such as ``"population"``.

        Raises
        ------
        ValueError
            If there is no such tab.
        """
        widget = self._named(name)
        self._tabs.selected_index = [tab.name for tab in TABS].index(name)
        return widget

    def close(self) -> None:
        """Close the laboratory with all tabs, those that are not shown too."""
        if self.comm is not None:
            for widget in self._built.values():
                widget.close()
        super().close()

    def _named(self, name: str) -> Any:
        names = [tab.name for tab in TABS]
        if name not in names:
            raise ValueError(f"name: expected one of {names}, got {name!r}")
        return self._build(names.index(name))

    def _build(self, index: int) -> Any:
        """Return the widget of a tab; it is made when it is first asked for."""
        tab = TABS[index]
        if tab.name not in self._built:
            module = import_module(f"openretina_widgets.widgets.{tab.module}")
            settings = self._settings if index == 0 else {}
            widget = getattr(module, tab.kind)(self.model, selection=self.selection, **settings)
            self._built[tab.name] = widget
            if hasattr(widget, "stop"):
                self.loader.stop_first(lambda: widget.stop("another model is opened"))
        return self._built[tab.name]

    def _tab_opened(self, change: Any) -> None:
        index = change["new"]
        if index is not None:
            self._main_loop.call(lambda: self._show_tab(index))

    def _show_tab(self, index: int) -> None:
        try:
            widget = self._build(index)
        except (ValueError, TypeError, RuntimeError) as error:  # such as a model it cannot show
            words = html.escape(f"{type(error).__name__}: {error}")
            self._pages[index].children = (
                ipw.HTML(f'<div class="orw-error" role="alert">{words}</div>'),
            )
        else:
            self._pages[index].children = (widget,)

    def _opened(self, change: Any) -> None:
        if change["new"] is not None:
            shown = self._tabs.selected_index
            for index, tab in enumerate(TABS):
                page = self._pages[index]
                if tab.name not in self._built:  # what could not be built may suit this model
                    for said in page.children:
                        said.close()
                    page.children = ()
                elif index != shown:  # a chart that is made anew where it is hidden has no size
                    page.children = ()
            self.selection.show_model(change["new"])
            if shown is not None:
                self._show_tab(shown)
