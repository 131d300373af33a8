"""OpenRetina's own model and objects together with ours; needs an environment that has it.

Such an environment also needs this package's dependencies and pytest:
``python -m pytest tests/insilico/test_openretina.py``.
"""

from __future__ import annotations

import asyncio
import warnings

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("openretina", reason="OpenRetina is not installed")
    from omegaconf import DictConfig
    from openretina.insilico.stimulus_optimization import objective as their_objective
    from openretina.insilico.stimulus_optimization import optimization_stopper as their_stopper
    from openretina.insilico.stimulus_optimization import regularizer as their_regularizer
    from openretina.insilico.stimulus_optimization.optimizer import (
        optimize_stimulus as their_optimize_stimulus,
    )
    from openretina.models.core_readout import UnifiedCoreReadout

from openretina_widgets import (
    NeuronPicker,
    RetinaLab,
    RetinaModel,
    StimulusOptimizer,
    load_model,
    optimize_neurons,
)
from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    IncreaseObjective,
    MeanReducer,
    NormAndRange,
    OptimizationStopper,
    RangeRegularizer,
    TotalVariationRegularizer,
    optimize_stimulus,
)
from tests.insilico.modules import assert_untouched, state_of

pytestmark = pytest.mark.filterwarnings("ignore")  # what theirs warn of is not ours to mend

SHAPE = (2, 50, 8, 7)
TIME = 24
RANGE = [(-0.4, 0.4), (-0.3, 0.5)]


@pytest.fixture(scope="module")
def theirs() -> UnifiedCoreReadout:
    """A model of OpenRetina with two sessions, with weights that answer."""
    torch.manual_seed(0)
    model = UnifiedCoreReadout(
        in_shape=SHAPE,
        hidden_channels=(4, 4),
        n_neurons_dict={"a": 5, "b": 3},
        core=DictConfig(
            {
                "_target_": "openretina.modules.core.base_core.SimpleCoreWrapper",
                "temporal_kernel_sizes": (9, 5),
                "spatial_kernel_sizes": (3, 3),
                "gamma_input": 0.0,
                "gamma_temporal": 0.0,
                "gamma_in_sparse": 0.0,
                "gamma_hidden": 0.0,
                "cut_first_n_frames": 0,
                "hidden_padding": False,
            }
        ),
        readout=DictConfig(
            {
                "_target_": "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout",
                "scale": True,
                "bias": True,
                "gaussian_mean_scale": 6.0,
                "gaussian_var_scale": 4.0,
                "positive": False,
            }
        ),
        data_info={"input_shape": (2, 8, 7), "n_neurons_dict": {"a": 5, "b": 3}},
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def noise(batch: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, 2, TIME, 8, 7, generator=generator)


def sgd(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1)


def their_increase(model: torch.nn.Module, neurons: list[int]) -> object:
    return their_objective.IncreaseObjective(
        model, neurons, "a", their_objective.SliceMeanReducer(axis=0, start=2, length=6)
    )


def their_bounds() -> object:
    return their_regularizer.ChangeNormJointlyClipRangeSeparately(RANGE, norm=3.0)


def test_their_model_has_our_face(theirs):
    model = RetinaModel(theirs)
    assert model.sessions == ("a", "b")
    assert [model.n_neurons(session) for session in model.sessions] == [5, 3]
    assert model.input_shape == (2, 8, 7)
    assert model.lag == 12
    x = noise(2)
    with torch.no_grad():
        for session in ("a", "b"):
            torch.testing.assert_close(
                model(x, data_key=session), theirs(x, data_key=session), rtol=0, atol=0
            )


def test_their_model_in_our_optimiser(theirs):
    before = state_of(theirs)
    result = optimize_neurons(
        RetinaModel(theirs), [0, 3], data_key="a", time_steps=TIME, max_iterations=40, norm=3.0
    )
    assert_untouched(theirs, before)
    assert (result.score > result.score_trace[0]).all()
    with torch.no_grad():
        again = theirs(result.stimulus, data_key="a")
    for element, neuron in enumerate((0, 3)):
        assert again[element, :, neuron].mean() == pytest.approx(float(result.score[element]))


@pytest.mark.parametrize("batch", [1, 3])
def test_their_objects_in_our_loop_do_what_their_loop_does(theirs, batch):
    """Same start, same optimizer, same steps: the same stimulus, for each of a batch."""
    penalty = their_regularizer.RangeRegularizationLoss(RANGE, max_norm=2.0, factor=0.05)
    starts = their_bounds().process(noise(batch))
    ours = starts.clone()
    result = optimize_stimulus(
        ours,
        sgd,
        their_increase(theirs, [1, 2]),
        their_stopper.OptimizationStopper(15),
        stimulus_regularization_loss=penalty,
        stimulus_postprocessor=their_bounds(),
    )
    assert result.iterations.tolist() == [15] * batch
    for element, start in enumerate(starts.split(1)):
        alone = start.clone().requires_grad_(True)
        their_optimize_stimulus(
            alone,
            sgd,
            their_increase(theirs, [1, 2]),
            their_stopper.OptimizationStopper(15),
            stimulus_regularization_loss=penalty,
            stimulus_postprocessor=their_bounds(),
        )
        objective = their_increase(theirs, [1, 2])
        with torch.no_grad():
            score = float(objective.forward(alone) - penalty.forward(alone))
        assert float(result.score[element] - result.penalty[element]) == pytest.approx(
            score, abs=1e-5
        )
        torch.testing.assert_close(ours[element], alone[0], atol=1e-5, rtol=0)


def test_their_other_objectives_and_postprocessors_in_our_loop(theirs):
    contrastive = their_objective.ContrastiveNeuronObjective(
        theirs, [0], [[1, 2], [3, 4]], "a", their_objective.MeanReducer(axis=0)
    )
    inner = their_objective.InnerNeuronVisualizationObjective(
        theirs, "a", their_objective.MeanReducer(axis=0)
    )
    inner.set_layer_channel("core_features_layer0", 1)
    smooth = their_regularizer.TemporalGaussianLowPassFilterProcessor(0.8, 5)
    for objective in (contrastive, inner):
        result = optimize_stimulus(
            noise(),
            sgd,
            objective,
            their_stopper.EarlyStopper(30, patience=5),
            stimulus_postprocessor=[smooth, their_bounds()],
        )
        assert float(result.score[0]) > float(result.score_trace[0, 0])
    for hook in inner.features_dict.values():
        hook.close()


def test_our_objects_in_their_loop(theirs):
    objective = IncreaseObjective(
        model=RetinaModel(theirs),
        data_key="a",
        reducer=MeanReducer(indices=1, window=(2, 9)),
    )
    stimulus = noise().requires_grad_(True)
    with torch.no_grad():
        before = float(objective.forward(stimulus))
    their_optimize_stimulus(
        stimulus,
        sgd,
        objective,
        OptimizationStopper(max_iterations=20, patience=20),
        stimulus_regularization_loss=[
            TotalVariationRegularizer(weight=1e-3),
            RangeRegularizer(RANGE, factor=0.1),
        ],
        stimulus_postprocessor=[NormAndRange(norm=3.0, min_max_values=RANGE), ClipStimulus(-1, 1)],
    )
    with torch.no_grad():
        assert float(objective.forward(stimulus)) > before
    assert not stimulus.requires_grad
    for channel, (low, high) in enumerate(RANGE):
        assert low - 1e-6 <= float(stimulus[:, channel].min())
        assert float(stimulus[:, channel].max()) <= high + 1e-6


def test_our_model_in_their_objective_and_loop():
    model = load_model("synthetic")
    stimulus = torch.zeros(model.stimulus_shape(25)).normal_(
        0, 0.1, generator=torch.Generator().manual_seed(0)
    )
    objective = their_objective.IncreaseObjective(
        model, 5, None, their_objective.MeanReducer(axis=0)
    )
    with torch.no_grad():
        before = float(objective.forward(stimulus))
    their_optimize_stimulus(
        stimulus.requires_grad_(True), sgd, objective, their_stopper.OptimizationStopper(10)
    )
    with torch.no_grad():
        assert float(objective.forward(stimulus)) > before


async def test_their_model_in_our_widgets(theirs):
    picker = NeuronPicker(RetinaModel(theirs), data_key="b")
    assert picker.data_key == "b"
    picker.close()
    optimizer = StimulusOptimizer(theirs, neuron=2, data_key="a", max_iterations=20)
    result = await asyncio.wait_for(optimizer.start(), 60)
    assert optimizer.result is result
    assert result.data_key == "a"
    optimizer.close()
    lab = RetinaLab(theirs)
    assert lab.model.module is theirs
    lab.close()
