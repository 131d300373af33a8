"""Another way to the same optimum: gradients that are smoothed before each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

from openretina_widgets.errors import check_not_negative, real_number
from openretina_widgets.insilico.stimulus_optimization.constants import OwnsConstants
from openretina_widgets.insilico.stimulus_optimization.contrast import ContrastAndRange
from openretina_widgets.insilico.stimulus_optimization.parametrization import cosines
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    ClipStimulus,
    NormAndRange,
    _bounds,
)
from openretina_widgets.insilico.stimulus_optimization.rows import OptimizerInit

Bounds = NormAndRange | ContrastAndRange | ClipStimulus


class GradientFilter(Protocol):
    """A symmetric, positive definite linear map of a gradient."""

    def filtered(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the filtered gradient ``(batch, channel, time, height, width)``."""
        ...


@dataclass(frozen=True)
class GradientBlur(OwnsConstants):
    """Blur the gradient with a Gaussian in space, in time, or both.

    Its gain is ``exp(-(2 pi f sigma)² / 2)`` at each frequency f of the cosine transform, so
    that a uniform gradient stays as it is, at the border too.

    Parameters
    ----------
    pixels
        Standard deviation along height and width, in pixels; 0 for none.
    frames
        Standard deviation in time, in frames; 0 for none.
    """

    pixels: float = 1.0
    frames: float = 0.0
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("pixels", "frames"):
            object.__setattr__(self, name, check_not_negative(getattr(self, name), name))
        if not self.pixels and not self.frames:
            raise ValueError("pixels, frames: a blur of 0 pixels and 0 frames changes nothing")

    def filtered(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the blurred gradient ``(batch, channel, time, height, width)``."""
        for axis, sigma in ((2, self.frames), (3, self.pixels), (4, self.pixels)):
            if sigma:
                n = gradient.shape[axis]
                blur = self._constant(_blur, n, sigma, gradient.dtype, gradient.device)
                gradient = (gradient.movedim(axis, -1) @ blur).movedim(-1, axis)
        return gradient


@dataclass(frozen=True)
class GradientSpectrum(OwnsConstants):
    """Weight the spatial frequencies of each frame's gradient by ``1 / f ** exponent``.

    1 is the amplitude spectrum of natural images. The gain is 1 up to the lowest frequency that
    the frame holds, half a cycle along its longer side.

    Parameters
    ----------
    exponent
        How steeply the gain falls.
    """

    exponent: float = 1.0
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        value = real_number(self.exponent, "exponent")
        if not 0 < value < math.inf:
            raise ValueError(f"exponent: expected a positive number, got {value!r}")
        object.__setattr__(self, "exponent", value)

    def filtered(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the filtered gradient ``(batch, channel, time, height, width)``."""
        kind = (gradient.dtype, gradient.device)
        rows, columns = (self._constant(cosines, n, *kind) for n in gradient.shape[3:])
        gain = self._constant(_falling, *gradient.shape[3:], self.exponent, *kind)
        return rows.T @ (gain * (rows @ gradient @ columns.T)) @ columns


def check_filter(given: Any, argument: str) -> None:
    """Refuse what is no gradient filter, a class without its parameters included.

    Raises
    ------
    TypeError
        In the name of the argument.
    """
    if isinstance(given, type) or not callable(getattr(given, "filtered", None)):
        raise TypeError(
            f"{argument}: expected an object with filtered(gradient), such as "
            "openretina_widgets.GradientBlur(pixels=1) or openretina_widgets.GradientSpectrum(), "
            f"got {given!r}"
        )


def preconditioned(
    optimizer_init_fn: OptimizerInit, gradient_filter: GradientFilter, bounds: Bounds | None = None
) -> OptimizerInit:
    """Return a way to make the same optimizer with filtered gradients.

    The way changes, not the optimum: coarse structure comes first. A filtered gradient alone does
    not do that where a norm or a range is held, since projecting a filtered step ends at the
    filtered optimum. So, as in the two-metric projection of Bertsekas (1982), only the part of the
    gradient along which the stimulus can move is filtered: without what changes the norm or the
    mean, and without the values that press against a limit.

    Parameters
    ----------
    optimizer_init_fn
        Makes a torch optimizer for a list of tensors.
    gradient_filter
        `GradientBlur`, `GradientSpectrum`, or another symmetric and positive definite one.
    bounds
        What the run holds the stimulus to: its last postprocessor. None for a run without one.

    Examples
    --------
    >>> bounds = NormAndRange(norm=5.0)
    >>> init = preconditioned(
    ...     lambda params: NormalizedDescent(params, lr=0.5), GradientBlur(1.0), bounds
    ... )
    """
    check_filter(gradient_filter, "gradient_filter")
    if bounds is not None and not isinstance(bounds, Bounds):
        raise TypeError(
            "bounds: expected a NormAndRange, a ContrastAndRange or a ClipStimulus, got "
            f"{type(bounds).__name__}"
        )

    def make(params: list[torch.Tensor]) -> torch.optim.Optimizer:
        optimizer = optimizer_init_fn(params)
        optimizer.register_step_pre_hook(change)
        optimizer.preconditioner = gradient_filter  # type: ignore[attr-defined]
        return optimizer

    @torch.no_grad()
    def change(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            for x in group["params"]:
                if x.grad is not None:
                    moves, rest, free = _split(x.detach(), x.grad, bounds)
                    moved = gradient_filter.filtered(moves)
                    x.grad = rest + (moved if free is None else moved * free)

    return make


def _split(
    x: torch.Tensor, gradient: torch.Tensor, bounds: Bounds | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the gradient along which x can move, the rest of it, and which values are free."""
    if bounds is None:
        return gradient, torch.zeros_like(gradient), None
    low, high = _limits(bounds, x)
    centred = isinstance(bounds, ContrastAndRange)
    scale = isinstance(bounds, NormAndRange) and bounds.norm is not None
    apart = False
    if isinstance(bounds, ContrastAndRange):
        scale = bounds.rms is not None or bounds.norm is not None
        apart = isinstance(bounds.rms, tuple)
    free = torch.ones_like(x)
    moves = gradient
    for _ in range(3):  # which values press against a limit depends on the others
        moves = _tangent(x, gradient, free, centred=centred, scale=scale, apart=apart)
        pressing = ((x <= low) & (moves > 0)) | ((x >= high) & (moves < 0))
        free = (~pressing).to(x.dtype)
    moves = free * _tangent(x, gradient, free, centred=centred, scale=scale, apart=apart)
    return moves, gradient - moves, free


def _tangent(
    x: torch.Tensor,
    gradient: torch.Tensor,
    free: torch.Tensor,
    *,
    centred: bool,
    scale: bool,
    apart: bool,
) -> torch.Tensor:
    """Return the gradient less what would change means and norms of the free values."""
    along, moves = x, gradient
    if centred:
        n = free.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
        along = x - (x * free).sum(dim=(2, 3, 4), keepdim=True) / n
        moves = gradient - (gradient * free).sum(dim=(2, 3, 4), keepdim=True) / n
    if scale:
        axes = (2, 3, 4) if apart else (1, 2, 3, 4)
        product = (moves * along * free).sum(dim=axes, keepdim=True)
        square = (along.square() * free).sum(dim=axes, keepdim=True)
        moves = moves - product / square.clamp(min=torch.finfo(x.dtype).tiny) * along
    return moves


def _limits(bounds: Bounds, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(bounds, ClipStimulus):
        return _bounds(bounds, [(bounds.low, bounds.high)] * x.shape[1], x)
    return _bounds(bounds, bounds.min_max_values or [(None, None)] * x.shape[1], x)


def _blur(n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    rows = cosines(n, torch.float64, torch.device("cpu"))
    frequency = torch.arange(n, dtype=torch.float64) / (2 * n)  # cycles a pixel or frame
    gain = torch.exp(-0.5 * (2 * math.pi * frequency * sigma) ** 2)
    return (rows.T * gain @ rows).to(dtype=dtype, device=device)


def _falling(
    height: int, width: int, exponent: float, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    rows = torch.arange(height, dtype=torch.float64)[:, None] / (2 * height)
    columns = torch.arange(width, dtype=torch.float64) / (2 * width)
    lowest = 1 / (2 * max(height, width))
    frequency = (rows**2 + columns**2).sqrt().clamp(min=lowest)
    return (lowest / frequency).pow(exponent).to(dtype=dtype, device=device)
