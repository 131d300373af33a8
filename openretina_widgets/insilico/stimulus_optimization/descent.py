"""A torch optimizer whose step does not depend on the scale of the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class NormalizedDescent(torch.optim.Optimizer):
    """Gradient descent in steps of a fixed length, for each element of the batch apart.

    Each element moves by ``lr`` along its own gradient, whatever the gradient's length
    (normalised gradient descent: Hazan, Levy & Shalev-Shwartz 2015). Under a norm bound this ends
    where the stimulus is parallel to the gradient, which is the optimum. Adam does not: it scales
    every pixel's step alike, and so ends near the *sign* of the gradient (for a linear neuron with
    normally distributed weights at a cosine of sqrt(2/pi) = 0.80 to its filter).

    Parameters
    ----------
    params
        Tensors whose first axis is the batch.
    lr
        L2 length of a step, in model units.
    momentum
        Share of the last direction that is kept, in [0, 1).
    """

    replayable = True

    def __init__(self, params: list[torch.Tensor], lr: float, momentum: float = 0.0) -> None:
        if not (lr > 0 and lr != float("inf")):
            raise ValueError(f"lr: expected a positive number, got {lr!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: expected a number in [0, 1), got {momentum!r}")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add tensors, with settings of their own where `param_group` holds some.

        The method that this replaces imports ``torch._dynamo``, which takes some seconds of the
        first run in a process.
        """
        params = param_group["params"]
        tensors = [params] if isinstance(params, torch.Tensor) else list(params)
        if not all(isinstance(x, torch.Tensor) and x.is_leaf for x in tensors):
            raise ValueError("params: expected tensors that are leaves of the graph")
        self.param_groups.append({**self.defaults, **param_group, "params": tensors})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every element by one step."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for x in group["params"]:
                if x.grad is not None:
                    self._move(x, x.grad, group["lr"], group["momentum"])
        return loss

    def _move(self, x: torch.Tensor, gradient: torch.Tensor, lr: float, momentum: float) -> None:
        length = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        length = length.view(-1, *[1] * (x.ndim - 1)).clamp_(min=torch.finfo(x.dtype).tiny)
        if not momentum:
            x.addcdiv_(gradient, length, value=-lr)
            return
        state = self.state[x]
        if "direction" not in state:
            state["direction"] = torch.zeros_like(x)
        direction = state["direction"].mul_(momentum)
        x.sub_(direction.addcdiv_(gradient, length, value=1 - momentum), alpha=lr)
