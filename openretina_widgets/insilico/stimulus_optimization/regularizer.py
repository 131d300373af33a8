"""What keeps a stimulus presentable: penalties on the loss, and projections after each step.

A *regularizer* gives a penalty a stimulus, ``forward(stimulus) -> (batch,)``, that is added to the
loss. A *postprocessor* projects the stimulus after each step, ``process(stimulus) -> stimulus``.
Both treat the elements of a batch as independent. OpenRetina's regularizers and postprocessors
work here as well, and so do plain functions: whatever does not say that it is ``batched`` is asked
about one stimulus at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from openretina_widgets.errors import check_not_negative, check_positive, real_number
from openretina_widgets.insilico.stimulus_optimization.constants import OwnsConstants

Limits = tuple[float | None, float | None]

_AXES = {"time": 2, "height": 3, "width": 4}


def total_variation(stimulus: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the sum of absolute differences between neighbours along each axis.

    Parameters
    ----------
    stimulus
        ``(batch, channel, time, height, width)``.

    Returns
    -------
    dict
        ``(batch,)`` by axis: ``"time"``, ``"height"`` and ``"width"`` (Rudin, Osher & Fatemi 1992,
        anisotropic form).
    """
    return {axis: stimulus.diff(dim=dim).abs().flatten(1).sum(dim=1) for axis, dim in _AXES.items()}


@dataclass(frozen=True)
class TotalVariationRegularizer:
    """Penalise differences between neighbours along time, height and width.

    The penalty is ``weight`` times the sum over the three axes of the mean absolute difference
    between neighbours, so that it does not depend on the size of the stimulus.

    Parameters
    ----------
    weight
        Weight of the penalty in the loss.
    axes
        Axes along which differences count.
    """

    weight: float = 0.01
    axes: tuple[str, ...] = ("time", "height", "width")
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_not_negative(self.weight, "weight")
        if not self.axes or any(axis not in _AXES for axis in self.axes):
            raise ValueError(f"axes: expected some of {tuple(_AXES)}, got {self.axes!r}")

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the penalty ``(batch,)``."""
        penalty = stimulus.new_zeros(stimulus.shape[0])
        for axis in self.axes:
            dim = _AXES[axis]
            if stimulus.shape[dim] > 1:
                penalty = penalty + stimulus.diff(dim=dim).abs().flatten(1).mean(dim=1)
        return self.weight * penalty


@dataclass(frozen=True)
class L2Regularizer:
    """Penalise the mean square of the stimulus.

    Parameters
    ----------
    weight
        Weight of the penalty in the loss.
    """

    weight: float = 0.01
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_not_negative(self.weight, "weight")

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the penalty ``(batch,)``."""
        return self.weight * stimulus.square().flatten(1).mean(dim=1)


@dataclass(frozen=True)
class RangeRegularizer(OwnsConstants):
    """Penalise values outside a range, and a norm above a bound.

    Parameters
    ----------
    min_max_values
        Smallest and largest value of each channel, None for no bound.
    max_norm
        Largest L2 norm that costs nothing; None for no bound.
    factor
        Weight of the penalty in the loss.
    """

    min_max_values: Sequence[Limits]
    max_norm: float | None = None
    factor: float = 1.0
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_max_values", _checked_limits(self.min_max_values))
        check_not_negative(self.factor, "factor")

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the penalty ``(batch,)``."""
        low, high = _bounds(self, self.min_max_values, stimulus)
        outside = (low - stimulus).clamp(min=0) + (stimulus - high).clamp(min=0)
        penalty = outside.flatten(1).sum(dim=1)
        if self.max_norm is not None:
            penalty = penalty + (stimulus_norm(stimulus) - self.max_norm).clamp(min=0)
        return self.factor * penalty


@dataclass(frozen=True)
class ClipStimulus(OwnsConstants):
    """Clip all values to a range.

    Parameters
    ----------
    low, high
        Smallest and largest value, in model units. ``(0, 1)`` suits models of luminance only.
    """

    low: float | None = 0.0
    high: float | None = 1.0
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _checked_limits([(self.low, self.high)])

    def process(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the stimulus within the range."""
        if self.low is None and self.high is None:
            return stimulus
        return stimulus.clamp(min=self.low, max=self.high)


@dataclass(frozen=True)
class NormAndRange(OwnsConstants):
    """Bring each stimulus to an L2 norm and each channel into its range, both at once.

    Scaling and then clipping loses norm. Here the scale is chosen such that the stimulus has the
    norm *after* clipping: the nearest smaller norm where the range does not allow more. A stimulus
    of zeros stays as it is.

    Parameters
    ----------
    norm
        L2 norm of a stimulus over all its channels, frames and pixels; None for no norm.
    min_max_values
        Smallest and largest value of each channel, None for no bound.
    exact
        True to hold the norm exactly, False to scale only what exceeds it.
    """

    norm: float | None = None
    min_max_values: Sequence[Limits] | None = None
    exact: bool = True
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.norm is not None:
            check_positive(self.norm, "norm")
        if self.min_max_values is not None:
            object.__setattr__(self, "min_max_values", _checked_limits(self.min_max_values))

    def check(self, stimulus: torch.Tensor) -> None:
        """Refuse limits of other channels, a norm out of reach, and zeros, which have no scale."""
        if self.min_max_values is not None:
            _bounds(self, self.min_max_values, stimulus)
            self._check_reach(tuple(stimulus.shape[1:]))
        if self.norm is None or not self.exact:
            return
        zero = (stimulus.flatten(1) == 0).all(dim=1)
        if bool(zero.any()):
            which = zero.nonzero().flatten().tolist()
            raise ValueError(
                f"stimulus: element {which[0]} of the batch is zero everywhere, and no scale "
                f"brings it to the norm {self.norm}; start from a little noise instead"
            )

    def _check_reach(self, shape: tuple[int, ...]) -> None:
        """Refuse a norm that no stimulus of this shape has within the range."""
        if self.norm is None:
            return
        n = math.prod(shape[1:])
        ends = [
            (-math.inf if low is None else low, math.inf if high is None else high)
            for low, high in self.min_max_values or ()
        ]
        most = math.sqrt(n * sum(max(low**2, high**2) for low, high in ends))
        least = math.sqrt(n * sum(max(low, -high, 0.0) ** 2 for low, high in ends))
        if self.exact and self.norm > most * (1 + 1e-6):
            raise ValueError(
                f"norm: {self.norm} is out of reach: the largest norm of a stimulus of shape "
                f"{shape} within the range is {most:.6g}"
            )
        if self.norm < least * (1 - 1e-6):
            raise ValueError(
                f"norm: {self.norm} is out of reach: the range leaves out 0, and the smallest norm "
                f"of a stimulus of shape {shape} within it is {least:.6g}"
            )

    def process(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the projected stimulus."""
        if self.min_max_values is None:
            low = high = None
        else:
            low, high = _bounds(self, self.min_max_values, stimulus)
        if self.norm is None:
            return stimulus if low is None else stimulus.clamp(min=low, max=high)
        kernel = None if low is None else _kernel_for(stimulus)
        if kernel is not None and low is not None and high is not None:
            projected = kernel(stimulus, self.norm, low, high)
            return projected if self.exact else self._unless_within(stimulus, projected, low, high)
        reached = stimulus_norm(stimulus)
        scale = self.norm / reached.clamp(min=torch.finfo(stimulus.dtype).tiny)
        scale = torch.where(reached > 0, scale, torch.ones_like(scale))
        if low is None or high is None:
            projected = stimulus * _per_element(scale, stimulus)
        else:
            scale = self._scale_when_clipped(stimulus, scale.double(), low, high)
            projected = stimulus * _per_element(scale, stimulus).to(stimulus.dtype)
            projected = torch.minimum(torch.maximum(projected, low), high)
        return projected if self.exact else self._unless_within(stimulus, projected, low, high)

    def _unless_within(
        self,
        stimulus: torch.Tensor,
        projected: torch.Tensor,
        low: torch.Tensor | None,
        high: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return what was projected, or clipped alone where the norm is not exceeded then."""
        clipped = stimulus if low is None else stimulus.clamp(min=low, max=high)
        within = stimulus_norm(clipped) <= float(self.norm or 0.0)
        return torch.where(_per_element(within, stimulus), clipped, projected)

    def _scale_when_clipped(
        self, stimulus: torch.Tensor, scale: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> torch.Tensor:
        """Return the scale with which the stimulus has the norm once it is clipped.

        For a fixed set of clipped values the scale of the others follows in closed form; clipping
        what then exceeds can only enlarge the set, so the scale rises until it settles.
        """
        x = stimulus.detach().flatten(2)
        low, high = low.view(1, -1, 1).double(), high.view(1, -1, 1).double()
        on_host = _answers_at_once(x.device)
        clipped, signs = torch.empty_like(x), torch.empty_like(x)  # made once, and written anew
        before = None
        # A few rounds settle it, but for extreme distributions. There a GPU, which cannot ask
        # without waiting whether it has settled, gets there over the next steps.
        for _ in range(100 if on_host else 12):
            each = scale.view(-1, 1, 1)
            torch.maximum(x, (low / each).to(x.dtype), out=clipped)
            torch.minimum(clipped, (high / each).to(x.dtype), out=clipped)
            torch.sub(clipped, x, out=signs).sign_()  # 1 at the low limit, -1 at the high one
            low_less_high = signs.sum(dim=2).double()
            outside = torch.mul(signs, signs, out=signs)
            both = outside.sum(dim=2).double()
            if on_host and before is not None and torch.equal(both, before):
                break
            if on_host and not bool(both.any()):
                break
            before = both
            inside = torch.sub(x, outside.mul_(x), out=clipped)
            free = torch.mul(inside, inside, out=signs).sum(dim=(1, 2)).double()
            fixed = _squares((both + low_less_high) / 2, low[..., 0])
            fixed = (fixed + _squares((both - low_less_high) / 2, high[..., 0])).sum(dim=1)
            wanted = (float(self.norm or 0.0) ** 2 - fixed).clamp(min=0)
            next_scale = (wanted / free.clamp(min=1e-300)).sqrt()
            scale = torch.where(free > 0, torch.maximum(scale, next_scale), scale)
        return scale


@dataclass(frozen=True)
class TemporalLowPass(OwnsConstants):
    """Smooth over time with a Gaussian, without dimming the first and last frames.

    Near the ends the weights are those of the frames that exist, so a constant stays constant.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian, in frames.
    """

    sigma: float = 1.0
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self.sigma, "sigma")

    def process(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the smoothed stimulus."""
        kind = (self.sigma, stimulus.dtype, stimulus.device)
        smooth = self._constant(_smoothing, stimulus.shape[2], *kind)
        return torch.einsum("st,bcthw->bcshw", smooth, stimulus)


@dataclass(frozen=True)
class SpatialBlur(OwnsConstants):
    """Blur each frame with a Gaussian, without dimming its border.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian, in pixels.
    """

    sigma: float = 1.0
    batched: bool = field(default=True, init=False, repr=False)
    replayable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self.sigma, "sigma")

    def process(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the blurred stimulus."""
        kind = (self.sigma, stimulus.dtype, stimulus.device)
        rows, columns = (self._constant(_smoothing, n, *kind) for n in stimulus.shape[3:])
        return rows @ stimulus @ columns.T


def stimulus_norm(stimulus: torch.Tensor) -> torch.Tensor:
    """Return the L2 norm ``(batch,)`` over channels, frames and pixels."""
    return torch.linalg.vector_norm(stimulus.flatten(1), dim=1)


def penalty_of(regularizers: Sequence[Any], stimulus: torch.Tensor) -> torch.Tensor:
    """Return the summed penalty ``(batch,)`` of any regularizers.

    Raises
    ------
    ValueError
        If a regularizer gives something else than one number a stimulus.
    """
    total = stimulus.new_zeros(stimulus.shape[0])
    for regularizer in regularizers:
        forward = getattr(regularizer, "forward", regularizer)
        if getattr(regularizer, "batched", False):
            penalty = forward(stimulus)
        else:
            rows = (torch.as_tensor(forward(x)) for x in stimulus.split(1))
            penalty = torch.stack([row.to(stimulus).squeeze() for row in rows])
        if penalty.shape != total.shape:
            raise ValueError(
                "stimulus_regularization_loss: expected one number a stimulus, got shape "
                f"{tuple(penalty.shape[1:])} from {type(regularizer).__name__}"
            )
        total = total + penalty
    return total


def project(postprocessors: Sequence[Any], stimulus: torch.Tensor) -> torch.Tensor:
    """Apply any postprocessors in order.

    Raises
    ------
    ValueError
        If a postprocessor changes the shape of the stimulus.
    """
    for postprocessor in postprocessors:
        process = getattr(postprocessor, "process", postprocessor)
        if getattr(postprocessor, "batched", False):
            projected = process(stimulus)
        else:
            projected = torch.cat([process(x) for x in stimulus.split(1)])
        if projected.shape != stimulus.shape:
            raise ValueError(
                f"stimulus_postprocessor: {type(postprocessor).__name__} made a stimulus of shape "
                f"{tuple(stimulus.shape)} into {tuple(projected.shape)}"
            )
        stimulus = projected
    return stimulus


def _answers_at_once(device: torch.device) -> bool:
    return device.type == "cpu"


_Kernel = Callable[[torch.Tensor, float, torch.Tensor, torch.Tensor], torch.Tensor]


def _kernel_for(stimulus: torch.Tensor) -> _Kernel | None:
    """Return what scales and clips stimuli in one kernel of their GPU; None for torch's own way."""
    if stimulus.device.type != "cuda" or stimulus.dtype != torch.float32:
        return None
    if stimulus.requires_grad and torch.is_grad_enabled():
        return None  # torch knows no gradient of it
    from openretina_widgets.insilico.stimulus_optimization import projection_kernel

    available = projection_kernel.available(stimulus.device)
    return projection_kernel.scaled_and_clipped if available else None


def _squares(number: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """Return the squares of values at a limit, 0 where there are none of an infinite one."""
    return torch.where(number > 0, number * limit.square(), 0.0)


def _per_element(values: torch.Tensor, stimulus: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *[1] * (stimulus.ndim - 1))


def _checked_limits(limits: Iterable[Limits]) -> tuple[Limits, ...]:
    checked = tuple(map(_pair, limits))
    for low, high in checked:
        if low is not None and high is not None and not low < high:
            raise ValueError(f"range: expected low < high, got ({low!r}, {high!r})")
    return checked


def _pair(limits: Any) -> Limits:
    try:
        low, high = limits
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"range: expected a pair (low, high) for each channel, got {limits!r}"
        ) from error
    for one in (low, high):
        if one is not None and math.isnan(real_number(one, "range")):
            raise ValueError(
                f"range: expected numbers or None for no limit, and low < high, got {limits!r}"
            )
    return (low, high)


def _bounds(
    owner: OwnsConstants, limits: Sequence[Limits] | None, stimulus: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    checked = tuple(limits or ())
    if len(checked) != stimulus.shape[1]:
        raise ValueError(
            f"min_max_values: expected limits for {stimulus.shape[1]} channels, got {len(checked)}"
        )
    return owner._constant(_bound_tensors, checked, stimulus.dtype, stimulus.device)


def _bound_tensors(
    limits: tuple[Limits, ...], dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    low = [-math.inf if low is None else low for low, _ in limits]
    high = [math.inf if high is None else high for _, high in limits]
    shape = (1, -1, 1, 1, 1)
    return (
        torch.tensor(low, dtype=dtype, device=device).view(shape),
        torch.tensor(high, dtype=dtype, device=device).view(shape),
    )


def _smoothing(n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the (n, n) matrix of Gaussian weights whose rows sum to one."""
    position = torch.arange(n, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((position[:, None] - position[None]) / sigma) ** 2)
    return (weights / weights.sum(dim=1, keepdim=True)).to(dtype=dtype, device=device)
