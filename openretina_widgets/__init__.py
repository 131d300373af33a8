"""Live experiments on retina models in a Jupyter notebook.

Every public name is imported on first use, so ``import openretina_widgets`` loads neither torch
nor the widget libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_widgets.insilico.comparison import compare_receptive_fields, compare_tuning
    from openretina_widgets.insilico.population import SelectivityTable, selectivity_table
    from openretina_widgets.insilico.receptive_fields.estimation import receptive_fields
    from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
    from openretina_widgets.insilico.stimulus_optimization.discriminative import (
        most_discriminative_stimuli,
    )
    from openretina_widgets.insilico.stimulus_optimization.neurons import optimize_neurons
    from openretina_widgets.insilico.stimulus_optimization.population import optimize_population
    from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
    from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
    from openretina_widgets.insilico.tuning_analyses import experiments
    from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
    from openretina_widgets.insilico.tuning_analyses.sessions import sweep_sessions
    from openretina_widgets.insilico.tuning_analyses.sweep import sweep
    from openretina_widgets.jobs import Job
    from openretina_widgets.models import RetinaModel, load_model
    from openretina_widgets.tutorials.classroom import Classroom
    from openretina_widgets.tutorials.notebook import Tutorial
    from openretina_widgets.tutorials.prediction import Prediction
    from openretina_widgets.tutorials.stepper import TutorialStepper
    from openretina_widgets.widgets.model_loader import ModelLoader
    from openretina_widgets.widgets.neuron_picker import NeuronPicker
    from openretina_widgets.widgets.population_explorer import PopulationExplorer
    from openretina_widgets.widgets.receptive_field_viewer import ReceptiveFieldViewer
    from openretina_widgets.widgets.retina_lab import RetinaLab
    from openretina_widgets.widgets.stimulus_designer import StimulusDesigner
    from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer
    from openretina_widgets.widgets.stimulus_player import StimulusPlayer
    from openretina_widgets.widgets.stimulus_wall import StimulusWall
    from openretina_widgets.widgets.tuning_explorer import TuningExplorer

__version__ = "0.1.0"

_HOME = {
    "Classroom": "tutorials.classroom",
    "Job": "jobs",
    "ModelLoader": "widgets.model_loader",
    "NeuronPicker": "widgets.neuron_picker",
    "OptimizationResult": "insilico.stimulus_optimization.result",
    "PopulationExplorer": "widgets.population_explorer",
    "Prediction": "tutorials.prediction",
    "ReceptiveFieldViewer": "widgets.receptive_field_viewer",
    "ReceptiveFields": "insilico.receptive_fields.result",
    "RetinaLab": "widgets.retina_lab",
    "RetinaModel": "models",
    "SelectivityTable": "insilico.population",
    "StimulusDesigner": "widgets.stimulus_designer",
    "StimulusOptimizer": "widgets.stimulus_optimizer",
    "StimulusPlayer": "widgets.stimulus_player",
    "StimulusWall": "widgets.stimulus_wall",
    "TuningCurves": "insilico.tuning_analyses.curves",
    "TuningExplorer": "widgets.tuning_explorer",
    "Tutorial": "tutorials.notebook",
    "TutorialStepper": "tutorials.stepper",
    "compare_receptive_fields": "insilico.comparison",
    "compare_tuning": "insilico.comparison",
    "experiments": "insilico.tuning_analyses",
    "load_model": "models",
    "most_discriminative_stimuli": "insilico.stimulus_optimization.discriminative",
    "optimize_neurons": "insilico.stimulus_optimization.neurons",
    "optimize_population": "insilico.stimulus_optimization.population",
    "PopulationResult": "insilico.stimulus_optimization.population_result",
    "receptive_fields": "insilico.receptive_fields.estimation",
    "selectivity_table": "insilico.population",
    "sweep": "insilico.tuning_analyses.sweep",
    "sweep_sessions": "insilico.tuning_analyses.sessions",
}
_SUBPACKAGES = ("data_io", "export", "insilico", "jobs", "models", "tutorials", "widgets")

__all__ = [
    "Classroom",
    "Job",
    "ModelLoader",
    "NeuronPicker",
    "OptimizationResult",
    "PopulationExplorer",
    "PopulationResult",
    "Prediction",
    "ReceptiveFieldViewer",
    "ReceptiveFields",
    "RetinaLab",
    "RetinaModel",
    "SelectivityTable",
    "StimulusDesigner",
    "StimulusOptimizer",
    "StimulusPlayer",
    "StimulusWall",
    "TuningCurves",
    "TuningExplorer",
    "Tutorial",
    "TutorialStepper",
    "__version__",
    "compare_receptive_fields",
    "compare_tuning",
    "experiments",
    "load_model",
    "most_discriminative_stimuli",
    "optimize_neurons",
    "optimize_population",
    "receptive_fields",
    "selectivity_table",
    "sweep",
    "sweep_sessions",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _SUBPACKAGES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})
