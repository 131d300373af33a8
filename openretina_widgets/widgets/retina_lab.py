"""Everything, linked: what a newcomer opens."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.models.loading import EMBEDDED
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model
from openretina_widgets.widgets.composition import Composition
from openretina_widgets.widgets.model_loader import ModelLoader
from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer


class RetinaLab(Composition):
    """The laboratory: open a model, pick a neuron, and watch its best stimulus emerge.

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
    optimizer : StimulusOptimizer
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
        self.optimizer = StimulusOptimizer(face, **settings)
        title = ipw.HTML('<div class="orw-title">Retina lab</div>')
        super().__init__((title, self.loader, self.optimizer))
        self.add_class("orw-lab")
        self.loader.stop_first(lambda: self.optimizer.stop("another model is opened"))
        self.loader.observe(self._opened, "model")

    @property
    def model(self) -> RetinaModel:
        """The model that is open."""
        return self.optimizer.model

    @property
    def result(self) -> OptimizationResult | None:
        """The result of the last run, None before."""
        return self.optimizer.result

    def _opened(self, change: Any) -> None:
        if change["new"] is not None:
            self.optimizer.model = change["new"]
