"""White noise in pieces, for averages that run while it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from openretina_widgets.data_io.artificial_stimuli.building import check_seed
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.errors import check_positive

NoiseKind = Literal["binary", "gaussian"]


@dataclass(frozen=True)
class WhiteNoise:
    """Noise that is new in every frame and check, and in every channel.

    Attributes
    ----------
    screen
        Where it is shown.
    kind
        ``"binary"``, two contrasts alike likely, or ``"gaussian"``.
    contrast
        The two contrasts are ± this; of Gaussian noise the standard deviation.
    check
        Pixels along the side of a check.
    seed
        Of the draws.
    """

    screen: Screen
    kind: NoiseKind = "binary"
    contrast: float = 1.0
    check: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("binary", "gaussian"):
            raise ValueError(f"noise: expected 'binary' or 'gaussian', got {self.kind!r}")
        check_positive(self.contrast, "contrast")
        check_seed(self.seed)
        smaller = min(self.screen.height, self.screen.width)
        if isinstance(self.check, bool) or not isinstance(self.check, int):
            raise TypeError(f"check_pixels: expected a whole number, got {self.check!r}")
        if not 1 <= self.check <= smaller:
            raise ValueError(
                f"check_pixels: expected 1 to {smaller} pixels, the smaller side of the screen, "
                f"got {self.check}"
            )

    @property
    def variance(self) -> torch.Tensor:
        """``(channel,)``: variance of a pixel, in model units."""
        return (self.contrast * torch.tensor(self.screen.contrast_scale)).square()

    def start(self) -> torch.Generator:
        """Return the generator that `draw` goes on with from piece to piece."""
        return torch.Generator().manual_seed(self.seed)

    def draw(self, frames: int, generator: torch.Generator) -> torch.Tensor:
        """Return the next frames around grey 0, ``(channel, time, height, width)``, model units."""
        height, width = self.screen.height, self.screen.width
        shape = (
            frames,
            len(self.screen.channels),
            -(-height // self.check),
            -(-width // self.check),
        )
        if self.kind == "binary":
            checks = 2.0 * torch.randint(0, 2, shape, generator=generator) - 1.0
        else:
            checks = torch.randn(shape, generator=generator)
        if self.check > 1:
            checks = checks.repeat_interleave(self.check, 2).repeat_interleave(self.check, 3)
        scale = self.contrast * torch.tensor(self.screen.contrast_scale)
        return (checks[..., :height, :width] * scale[:, None, None]).movedim(0, 1).contiguous()

    def describe(self) -> str:
        """Return the noise in words."""
        size = "" if self.check == 1 else f" in checks of {self.check} px"
        return f"{self.kind} white noise{size}, contrast {self.contrast:g}, seed {self.seed}"
