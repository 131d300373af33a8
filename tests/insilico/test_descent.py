from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import NormalizedDescent
from tests.insilico.modules import noise


def step_once(x: torch.Tensor, gradient: torch.Tensor, **settings: float) -> torch.Tensor:
    x = x.clone().requires_grad_(True)
    x.grad = gradient
    NormalizedDescent([x], **settings).step()
    return x.detach()


def test_each_element_moves_by_lr_against_its_own_gradient():
    x = noise(3)
    gradient = noise(3, seed=1) * torch.tensor([1e-6, 1.0, 1e6]).view(3, 1, 1, 1, 1)
    moved = step_once(x, gradient, lr=0.5) - x
    for move, g in zip(moved, gradient, strict=True):
        torch.testing.assert_close(move, -0.5 * g / g.norm(), atol=1e-6, rtol=1e-5)


def test_a_gradient_of_zero_moves_nothing():
    x = noise(2)
    assert torch.equal(step_once(x, torch.zeros_like(x), lr=0.5), x)


def test_momentum_keeps_a_share_of_the_last_direction():
    x = torch.zeros(1, 2, requires_grad=True)
    optimizer = NormalizedDescent([x], lr=1.0, momentum=0.75)
    for gradient in ([-4.0, 0.0], [0.0, -2.0]):
        x.grad = torch.tensor([gradient])
        optimizer.step()
    # 0.25 to the right, then 0.75 of that and 0.25 up
    torch.testing.assert_close(x.detach(), torch.tensor([[0.25 + 0.1875, 0.25]]))


def test_a_tensor_without_gradient_stays():
    x = noise(1).requires_grad_(True)
    before = x.detach().clone()
    assert NormalizedDescent([x], lr=1.0).step() is None
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr: expected a positive number, got 0.0"),
        ({"lr": float("inf")}, "lr: "),
        ({"lr": float("nan")}, "lr: "),
        ({"lr": 0.1, "momentum": 1.0}, r"momentum: expected a number in \[0, 1\), got 1.0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        NormalizedDescent([torch.zeros(1, requires_grad=True)], **settings)


def test_a_group_may_have_settings_of_its_own():
    near, far = (torch.zeros(1, 1, requires_grad=True) for _ in range(2))
    optimizer = NormalizedDescent([{"params": near}, {"params": [far], "lr": 2.0}], lr=1.0)
    near.grad = far.grad = torch.ones(1, 1)
    optimizer.step()
    assert (near.item(), far.item()) == (-1.0, -2.0)


def test_what_is_no_leaf_is_refused():
    with pytest.raises(ValueError, match="params: expected tensors that are leaves"):
        NormalizedDescent([torch.zeros(1, requires_grad=True) * 2], lr=1.0)


def test_the_first_step_does_not_wait_for_the_compiler():
    """Making any of torch's own optimizers imports torch._dynamo, which takes seconds."""
    code = """
import sys, torch
from openretina_widgets.insilico.stimulus_optimization import NormalizedDescent
x = torch.zeros(1, 2, requires_grad=True)
x.grad = torch.ones(1, 2)
NormalizedDescent([x], lr=0.1).step()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
