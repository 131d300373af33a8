from __future__ import annotations

import types

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import OptimizationStopper
from openretina_widgets.insilico.stimulus_optimization.optimization_stopper import Patience
from tests.insilico.foreign import ForeignEarlyStopper

LIKE = torch.zeros(1)


def test_stopper_counts_a_flat_plateau():
    stopper = OptimizationStopper(patience=3)
    assert [stopper.early_stop(1.0) for _ in range(4)] == [False, False, False, True]


def test_stopper_waits_anew_after_an_improvement():
    stopper = OptimizationStopper(patience=2)
    losses = [3.0, 3.0, 2.0, 2.0, 2.0]
    assert [stopper.early_stop(loss) for loss in losses] == [False, False, False, False, True]


def test_stopper_min_delta_is_counted_from_the_best():
    """A slow slide below `min_delta` a step does count once it adds up."""
    stopper = OptimizationStopper(patience=3, min_delta=0.25)
    losses = [1.0, 0.9, 0.8, 0.7, 0.69, 0.68, 0.67]
    assert [stopper.early_stop(loss) for loss in losses].index(True) == 6


def test_stopper_without_patience_never_stops_early():
    stopper = OptimizationStopper(patience=None)
    assert not any(stopper.early_stop(1.0) for _ in range(100))


def test_stopper_takes_nan_as_no_improvement():
    stopper = OptimizationStopper(patience=2)
    assert [stopper.early_stop(float("nan")) for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"max_iterations": 0}, "max_iterations"),
        ({"max_iterations": 2.5}, "max_iterations"),
        ({"patience": 0}, "patience"),
        ({"patience": -3}, "patience"),
        ({"min_delta": -0.1}, "min_delta"),
        ({"min_delta": float("nan")}, "min_delta"),
    ],
)
def test_stopper_refuses(settings, name):
    with pytest.raises(
        ValueError, match=rf"^{name}: expected .* got {next(iter(settings.values()))}"
    ):
        OptimizationStopper(**settings)


def test_patience_of_a_batch_is_the_stoppers_for_each_element():
    losses = torch.tensor([[3.0, 3.0], [3.0, 2.0], [3.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    patience = Patience(OptimizationStopper(patience=2), 2, LIKE)
    spent = [patience.spent(row).tolist() for row in losses]
    alone = [OptimizationStopper(patience=2) for _ in range(2)]
    assert spent == [
        [stopper.early_stop(loss) for stopper, loss in zip(alone, row.tolist(), strict=True)]
        for row in losses
    ]
    assert patience.reason == "no improvement in 2 iterations"


@pytest.mark.parametrize("kind", [OptimizationStopper, ForeignEarlyStopper])
def test_patience_goes_on_with_the_counts_of_those_kept(kind):
    patience = Patience(kind(patience=2), 3, LIKE)
    patience.spent(torch.tensor([1.0, 1.0, 1.0]))
    patience.spent(torch.tensor([1.0, 0.5, 1.0]))
    patience.keep(torch.tensor([1, 2]))
    assert patience.spent(torch.tensor([0.5, 1.0])).tolist() == [False, True]


def test_patience_leaves_the_stopper_that_it_was_given_as_it_was():
    stopper = ForeignEarlyStopper(patience=2)
    patience = Patience(stopper, 2, LIKE)
    for _ in range(3):
        patience.spent(torch.ones(2))
    assert stopper._counter == 0
    assert patience.reason == "ForeignEarlyStopper stopped it"


def test_patience_takes_anything_with_early_stop():
    stopper = types.SimpleNamespace(max_iterations=5, early_stop=lambda loss: loss < 0)
    assert Patience(stopper, 2, LIKE).spent(torch.tensor([1.0, -1.0])).tolist() == [False, True]
