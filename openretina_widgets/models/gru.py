"""A gated recurrent unit of convolutions: feature maps with a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from openretina_widgets.models._parts import flag, whole


class _GatedCell(nn.Module):
    """One step of the unit: feature maps of a frame and the state before it, to the next state."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, memory: int, groups: int, pad: bool
    ) -> None:
        super().__init__()

        def on_input() -> nn.Conv2d:
            around = kernel // 2 if pad else 0
            return nn.Conv2d(in_channels, channels, kernel, padding=around, groups=groups)

        def on_state() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, memory, padding=memory // 2, groups=groups)

        # In the order in which OpenRetina stores them.
        self.reset_gate_input = on_input()
        self.reset_gate_hidden = on_state()
        self.update_gate_input = on_input()
        self.update_gate_hidden = on_state()
        self.out_gate_input = on_input()
        self.out_gate_hidden = on_state()


class ConvGRU(nn.Module):
    """Runs a gated recurrent unit along the frames, from a state of zeros.

    Parameters
    ----------
    in_channels
        Channels of the feature maps.
    rec_channels
        Channels of the state, which is what comes out.
    input_kern, rec_kern
        Size of the kernels on the feature maps and on the state (positions).
    groups
        Groups of channels that do not see each other.
    pad_input
        Keep height and width.
    gamma_rec, ignored
        Belong to training; OpenRetina takes any further argument.

    Raises
    ------
    ValueError
        If a size is out of bounds, or if OpenRetina itself could not run the unit.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        rec_channels: int,
        input_kern: int,
        rec_kern: int,
        groups: int = 1,
        pad_input: bool = True,
        gamma_rec: float = 0.0,
        **ignored: Any,
    ) -> None:
        super().__init__()
        self.channels = whole(rec_channels, "gru_kwargs.rec_channels")
        kernel, memory = (
            whole(size, f"gru_kwargs.{name}")
            for name, size in (("input_kern", input_kern), ("rec_kern", rec_kern))
        )
        parts = whole(groups, "gru_kwargs.groups")
        padded = flag(pad_input, "gru_kwargs.pad_input")
        for name, even in (
            ("rec_kern", memory % 2 == 0),
            ("input_kern", padded and not kernel % 2),
        ):
            if even:
                raise ValueError(
                    f"gru_kwargs.{name}: OpenRetina 1.1.1 cannot run this unit with an even size, "
                    "since state and input then differ in size; expected an odd one, got "
                    f"{memory if name == 'rec_kern' else kernel}"
                )
        if in_channels % parts or self.channels % parts:
            raise ValueError(
                f"gru_kwargs.groups: expected a divisor of {in_channels} and of {self.channels} "
                f"channels, got {parts}"
            )
        self.shrinkage = 0 if padded else kernel - 1
        self.gru = _GatedCell(in_channels, self.channels, kernel, memory, parts, padded)

    def output_size(self, size: Sequence[int]) -> list[int]:
        """Return time, height and width of the states for feature maps of these."""
        time, height, width = size
        return [time, height - self.shrinkage, width - self.shrinkage]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the states ``(batch, channel, time, height, width)``."""
        gates = self.gru
        # What a frame brings does not depend on the state: all frames are convolved at once.
        batch, _, time = x.shape[:3]
        frames = x.transpose(1, 2).flatten(0, 1)
        reset_in, update_in, out_in = (
            convolution(frames).unflatten(0, (batch, time)).unbind(dim=1)
            for convolution in (
                gates.reset_gate_input,
                gates.update_gate_input,
                gates.out_gate_input,
            )
        )
        state = torch.zeros_like(reset_in[0])
        states = []
        for reset, update, out in zip(reset_in, update_in, out_in, strict=True):
            keep = torch.sigmoid(update + gates.update_gate_hidden(state))
            use = torch.sigmoid(reset + gates.reset_gate_hidden(state))
            new = torch.tanh(out + gates.out_gate_hidden(state * use))
            state = state * (1 - keep) + new * keep
            states.append(state)
        return torch.stack(states, dim=2)
