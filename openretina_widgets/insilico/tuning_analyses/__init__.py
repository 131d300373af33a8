"""Tuning analyses: sweeps over conditions, indices and fits."""

from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment
from openretina_widgets.insilico.tuning_analyses.response_gradient import (
    GradientStep,
    response_gradient,
    response_gradient_steps,
)
from openretina_widgets.insilico.tuning_analyses.response_gradient_result import ResponseGradient
from openretina_widgets.insilico.tuning_analyses.sessions import sweep_sessions
from openretina_widgets.insilico.tuning_analyses.sweep import SweepStep, sweep, sweep_steps

__all__ = [
    "Axis",
    "Experiment",
    "GradientStep",
    "ResponseGradient",
    "SweepStep",
    "TuningCurves",
    "experiments",
    "response_gradient",
    "response_gradient_steps",
    "sweep",
    "sweep_sessions",
    "sweep_steps",
]
