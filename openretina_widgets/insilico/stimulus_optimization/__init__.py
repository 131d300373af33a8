"""Finds the stimulus that a neuron likes best.

`optimization_steps` is the one loop: a generator of `Step` values. `optimize_stimulus` drains it
for one stimulus tensor, `optimize_neurons` for many neurons and seeds in one batch,
`optimize_population` for any number of them, to the disk.
"""

from openretina_widgets.insilico.stimulus_optimization.contrast import ContrastAndRange
from openretina_widgets.insilico.stimulus_optimization.descent import NormalizedDescent
from openretina_widgets.insilico.stimulus_optimization.discriminative import (
    discriminative_steps,
    most_discriminative_stimuli,
)
from openretina_widgets.insilico.stimulus_optimization.diverse import (
    DiverseObjective,
    diverse_steps,
    diverse_stimuli,
)
from openretina_widgets.insilico.stimulus_optimization.function_objective import (
    FunctionObjective,
    function_steps,
    optimize_function,
)
from openretina_widgets.insilico.stimulus_optimization.groups import (
    GroupMeanObjective,
    group_steps,
    optimize_groups,
)
from openretina_widgets.insilico.stimulus_optimization.jitter import Jitter, JitteredObjective
from openretina_widgets.insilico.stimulus_optimization.layer_objective import (
    LayerObjective,
    layer_steps,
    optimize_layer,
)
from openretina_widgets.insilico.stimulus_optimization.neurons import (
    neuron_steps,
    optimize_neurons,
)
from openretina_widgets.insilico.stimulus_optimization.objective import (
    DecreaseObjective,
    IncreaseObjective,
    MeanReducer,
    ResponseObjective,
    SliceMeanReducer,
)
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import (
    OptimizationStopper,
)
from openretina_widgets.insilico.stimulus_optimization.optimizer import (
    optimization_steps,
    optimize_stimulus,
)
from openretina_widgets.insilico.stimulus_optimization.parametrization import (
    DifferenceOfGaussians,
    GaborSinusoid,
    LowFrequencies,
    Separable,
)
from openretina_widgets.insilico.stimulus_optimization.parametrized import AnnealedAdam
from openretina_widgets.insilico.stimulus_optimization.population import (
    PopulationStep,
    optimize_population,
    population_steps,
)
from openretina_widgets.insilico.stimulus_optimization.population_result import PopulationResult
from openretina_widgets.insilico.stimulus_optimization.preconditioning import (
    GradientBlur,
    GradientSpectrum,
    preconditioned,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    ClipStimulus,
    L2Regularizer,
    NormAndRange,
    RangeRegularizer,
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
)
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult, Step
from openretina_widgets.insilico.stimulus_optimization.sparse import (
    SparseObjective,
    sparse_steps,
    sparse_stimuli,
)
from openretina_widgets.models.layers import list_layers

__all__ = [
    "AnnealedAdam",
    "ClipStimulus",
    "ContrastAndRange",
    "DecreaseObjective",
    "DifferenceOfGaussians",
    "DiverseObjective",
    "FunctionObjective",
    "GaborSinusoid",
    "GradientBlur",
    "GradientSpectrum",
    "GroupMeanObjective",
    "IncreaseObjective",
    "Jitter",
    "JitteredObjective",
    "L2Regularizer",
    "LayerObjective",
    "LowFrequencies",
    "MeanReducer",
    "NormAndRange",
    "NormalizedDescent",
    "OptimizationResult",
    "OptimizationStopper",
    "PopulationResult",
    "PopulationStep",
    "RangeRegularizer",
    "ResponseObjective",
    "Separable",
    "SliceMeanReducer",
    "SparseObjective",
    "SpatialBlur",
    "Step",
    "TemporalLowPass",
    "TotalVariationRegularizer",
    "discriminative_steps",
    "diverse_steps",
    "diverse_stimuli",
    "function_steps",
    "group_steps",
    "layer_steps",
    "list_layers",
    "most_discriminative_stimuli",
    "neuron_steps",
    "optimization_steps",
    "optimize_function",
    "optimize_groups",
    "optimize_layer",
    "optimize_neurons",
    "optimize_population",
    "optimize_stimulus",
    "population_steps",
    "preconditioned",
    "sparse_steps",
    "sparse_stimuli",
]
