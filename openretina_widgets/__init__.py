"""Live experiments on retina models in a Jupyter notebook.

Every public name is imported on first use, so ``import openretina_widgets`` loads neither torch
nor the widget libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openretina_widgets.insilico.comparison import compare_receptive_fields, compare_tuning
    from openretina_widgets.insilico.population import (
        SelectivityTable,
        find_groups,
        selectivity_table,
    )
    from openretina_widgets.insilico.receptive_fields.estimation import receptive_fields
    from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
    from openretina_widgets.insilico.receptive_fields.vector_field import vector_field
    from openretina_widgets.insilico.receptive_fields.vector_field_result import VectorField
    from openretina_widgets.insilico.stimulus_optimization.discriminative import (
        most_discriminative_stimuli,
    )
    from openretina_widgets.insilico.stimulus_optimization.diverse import diverse_stimuli
    from openretina_widgets.insilico.stimulus_optimization.function_objective import (
        optimize_function,
    )
    from openretina_widgets.insilico.stimulus_optimization.groups import optimize_groups
    from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter
    from openretina_widgets.insilico.stimulus_optimization.layer_objective import optimize_layer
    from openretina_widgets.insilico.stimulus_optimization.neurons import optimize_neurons
    from openretina_widgets.insilico.stimulus_optimization.parametrization import (
        DifferenceOfGaussians,
        GaborSinusoid,
        LowFrequencies,
        Separable,
    )
    from openretina_widgets.insilico.stimulus_optimization.population import optimize_population
    from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
    from openretina_widgets.insilico.stimulus_optimization.preconditioning import (
        GradientBlur,
        GradientSpectrum,
    )
    from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
    from openretina_widgets.insilico.stimulus_optimization.sparse import sparse_stimuli
    from openretina_widgets.insilico.tuning_analyses import experiments
    from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
    from openretina_widgets.insilico.tuning_analyses.response_gradient import response_gradient
    from openretina_widgets.insilico.tuning_analyses.response_gradient_result import (
        ResponseGradient,
    )
    from openretina_widgets.insilico.tuning_analyses.sessions import sweep_sessions
    from openretina_widgets.insilico.tuning_analyses.sweep import sweep
    from openretina_widgets.jobs import Job
    from openretina_widgets.models import RetinaModel, load_model
    from openretina_widgets.models.layers import list_layers
    from openretina_widgets.tutorials.classroom import Classroom
    from openretina_widgets.tutorials.notebook import Tutorial
    from openretina_widgets.tutorials.prediction import Prediction
    from openretina_widgets.tutorials.stepper import TutorialStepper
    from openretina_widgets.widgets.model_loader import ModelLoader
    from openretina_widgets.widgets.neuron_picker import NeuronPicker
    from openretina_widgets.widgets.population_explorer import PopulationExplorer
    from openretina_widgets.widgets.receptive_field_viewer import ReceptiveFieldViewer
    from openretina_widgets.widgets.response_gradient_viewer import ResponseGradientViewer
    from openretina_widgets.widgets.retina_lab import RetinaLab
    from openretina_widgets.widgets.stimulus_designer import StimulusDesigner
    from openretina_widgets.widgets.stimulus_optimizer import StimulusOptimizer
    from openretina_widgets.widgets.stimulus_player import StimulusPlayer
    from openretina_widgets.widgets.stimulus_wall import StimulusWall
    from openretina_widgets.widgets.tuning_explorer import TuningExplorer
    from openretina_widgets.widgets.vector_field_viewer import VectorFieldViewer

__version__ = "0.1.0"

_HOME = {
    "Classroom": "tutorials.classroom",
    "DifferenceOfGaussians": "insilico.stimulus_optimization.parametrization",
    "GaborSinusoid": "insilico.stimulus_optimization.parametrization",
    "GradientBlur": "insilico.stimulus_optimization.preconditioning",
    "GradientSpectrum": "insilico.stimulus_optimization.preconditioning",
    "Jitter": "insilico.stimulus_optimization.jitter",
    "Job": "jobs",
    "LowFrequencies": "insilico.stimulus_optimization.parametrization",
    "ModelLoader": "widgets.model_loader",
    "NeuronPicker": "widgets.neuron_picker",
    "OptimizationResult": "insilico.stimulus_optimization.result",
    "PopulationExplorer": "widgets.population_explorer",
    "Prediction": "tutorials.prediction",
    "ReceptiveFieldViewer": "widgets.receptive_field_viewer",
    "ReceptiveFields": "insilico.receptive_fields.result",
    "ResponseGradient": "insilico.tuning_analyses.response_gradient_result",
    "ResponseGradientViewer": "widgets.response_gradient_viewer",
    "RetinaLab": "widgets.retina_lab",
    "RetinaModel": "models",
    "SelectivityTable": "insilico.population",
    "Separable": "insilico.stimulus_optimization.parametrization",
    "StimulusDesigner": "widgets.stimulus_designer",
    "StimulusOptimizer": "widgets.stimulus_optimizer",
    "StimulusPlayer": "widgets.stimulus_player",
    "StimulusWall": "widgets.stimulus_wall",
    "TuningCurves": "insilico.tuning_analyses.curves",
    "TuningExplorer": "widgets.tuning_explorer",
    "Tutorial": "tutorials.notebook",
    "TutorialStepper": "tutorials.stepper",
    "VectorField": "insilico.receptive_fields.vector_field_result",
    "VectorFieldViewer": "widgets.vector_field_viewer",
    "compare_receptive_fields": "insilico.comparison",
    "compare_tuning": "insilico.comparison",
    "diverse_stimuli": "insilico.stimulus_optimization.diverse",
    "experiments": "insilico.tuning_analyses",
    "find_groups": "insilico.population",
    "list_layers": "models.layers",
    "load_model": "models",
    "most_discriminative_stimuli": "insilico.stimulus_optimization.discriminative",
    "optimize_function": "insilico.stimulus_optimization.function_objective",
    "optimize_groups": "insilico.stimulus_optimization.groups",
    "optimize_layer": "insilico.stimulus_optimization.layer_objective",
    "optimize_neurons": "insilico.stimulus_optimization.neurons",
    "optimize_population": "insilico.stimulus_optimization.population",
    "PopulationResult": "insilico.stimulus_optimization.population_result",
    "receptive_fields": "insilico.receptive_fields.estimation",
    "response_gradient": "insilico.tuning_analyses.response_gradient",
    "selectivity_table": "insilico.population",
    "sparse_stimuli": "insilico.stimulus_optimization.sparse",
    "sweep": "insilico.tuning_analyses.sweep",
    "sweep_sessions": "insilico.tuning_analyses.sessions",
    "vector_field": "insilico.receptive_fields.vector_field",
}
_SUBPACKAGES = ("data_io", "export", "insilico", "jobs", "models", "tutorials", "widgets")

__all__ = [
    "Classroom",
    "DifferenceOfGaussians",
    "GaborSinusoid",
    "GradientBlur",
    "GradientSpectrum",
    "Jitter",
    "Job",
    "LowFrequencies",
    "ModelLoader",
    "NeuronPicker",
    "OptimizationResult",
    "PopulationExplorer",
    "PopulationResult",
    "Prediction",
    "ReceptiveFieldViewer",
    "ReceptiveFields",
    "ResponseGradient",
    "ResponseGradientViewer",
    "RetinaLab",
    "RetinaModel",
    "SelectivityTable",
    "Separable",
    "StimulusDesigner",
    "StimulusOptimizer",
    "StimulusPlayer",
    "StimulusWall",
    "TuningCurves",
    "TuningExplorer",
    "Tutorial",
    "TutorialStepper",
    "VectorField",
    "VectorFieldViewer",
    "__version__",
    "compare_receptive_fields",
    "compare_tuning",
    "diverse_stimuli",
    "experiments",
    "find_groups",
    "list_layers",
    "load_model",
    "most_discriminative_stimuli",
    "optimize_function",
    "optimize_groups",
    "optimize_layer",
    "optimize_neurons",
    "optimize_population",
    "receptive_fields",
    "response_gradient",
    "selectivity_table",
    "sparse_stimuli",
    "sweep",
    "sweep_sessions",
    "vector_field",
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
