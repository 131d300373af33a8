"""Projections on a mean luminance, an RMS contrast and a range, all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from openretina_widgets.errors import check_positive, real_number
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    Limits,
    NormAndRange,
    _bounds,
    _checked_limits,
)
from openretina_widgets.models.retina_model import RetinaModel

_ROUNDS = 30  # of the active set, before the slow way that always arrives
_HALVINGS = 60
_SETTLED = 1e-10  # of what is asked, in float64


@dataclass(frozen=True)
class ContrastAndRange:
    """Hold the mean luminance, the RMS contrast and the range of each stimulus, all at once.

    The mean luminance of a channel is its mean over time and pixels; the RMS contrast is the
    standard deviation about it, both in model units. The nearest stimulus that holds them has the
    form ``clip(a x + b)``, with one b for each channel and one a for each RMS contrast (condition
    of Karush, Kuhn and Tucker). For a given set of clipped values a and b follow in closed form;
    the set is renewed until it settles, and where it does not, a and b are found by bisection,
    since the contrast cannot fall when a rises. The range holds exactly, mean and contrast to the
    rounding of the stimulus' own type (1e-6 of the contrast in float32).

    Without a mean luminance each channel keeps its mean, moved only as far as the RMS contrast
    within the range needs it. A channel whose values are all alike cannot be brought to a
    contrast; where values are alike at the limits only the nearest smaller contrast is reached.

    Parameters
    ----------
    rms
        One RMS contrast over all channels (the root of their mean variance), or one for each;
        None for none.
    mean_luminance
        One mean for all channels, or one for each; None for none.
    norm
        L2 norm instead of `rms`; needs a mean luminance, since else `NormAndRange` holds it.
    min_max_values
        Smallest and largest value of each channel, None for no bound.

    Raises
    ------
    ValueError
        If nothing is asked, both `rms` and `norm` are, or a mean is outside its range.
    """

    rms: float | Sequence[float] | None = None
    mean_luminance: float | Sequence[float] | None = None
    norm: float | None = None
    min_max_values: Sequence[Limits] | None = None
    batched: bool = field(default=True, init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.rms is not None and self.norm is not None:
            raise ValueError(
                f"norm, rms: norm {self.norm!r} and RMS contrast {self.rms!r} were both given, "
                "which contradict each other; give one of them"
            )
        if self.rms is None and self.mean_luminance is None:
            raise ValueError(
                "rms, mean_luminance: expected at least one; NormAndRange holds a norm and a range"
            )
        if self.rms is not None:
            put(self, "rms", _each(self.rms, "rms", positive=True))
        if self.mean_luminance is not None:
            put(self, "mean_luminance", _each(self.mean_luminance, "mean_luminance"))
        if self.norm is not None:
            put(self, "norm", check_positive(self.norm, "norm"))
        if self.min_max_values is None:
            return
        limits = _checked_limits(self.min_max_values)
        put(self, "min_max_values", limits)
        if self.mean_luminance is not None:
            for channel, (mean, (low, high)) in enumerate(
                zip(self._means(len(limits)), limits, strict=True)
            ):
                if (low is not None and mean < low) or (high is not None and mean > high):
                    raise ValueError(
                        f"mean_luminance: {mean} of channel {channel} is outside its range "
                        f"({low}, {high})"
                    )

    def check(self, stimulus: torch.Tensor) -> None:
        """Refuse what no stimulus of this shape can hold, and a start without contrast."""
        channels = stimulus.shape[1]
        n = stimulus[0, 0].numel()
        limits = self._limits(channels)
        means = None if self.mean_luminance is None else self._means(channels)
        if self.rms is None and self.norm is None:
            return
        variances = [
            largest_variance(n, pair, None if means is None else means[channel])
            for channel, pair in enumerate(limits)
        ]
        given = "" if means is None else f" and the mean luminance {self.mean_luminance}"
        if self.norm is not None and means is not None:
            flat = math.sqrt(n * sum(mean**2 for mean in means))
            most = math.sqrt(n * sum(v + m**2 for v, m in zip(variances, means, strict=True)))
            if self.norm <= flat:
                raise ValueError(
                    f"norm: {self.norm} cannot be held with the mean luminance "
                    f"{self.mean_luminance}: uniform fields at that mean have the norm {flat:.6g}"
                )
            if self.norm > most:
                raise ValueError(
                    f"norm: {self.norm} is out of reach: within the range{given}, the largest "
                    f"norm of a stimulus of shape {tuple(stimulus.shape[1:])} is {most:.6g}"
                )
        elif isinstance(self.rms, tuple):
            for channel, (rms, v) in enumerate(
                zip(_for_channels(self.rms, channels, "rms"), variances, strict=True)
            ):
                _check_reach(rms, math.sqrt(v), f"of channel {channel} ", given)
        elif self.rms is not None:
            _check_reach(float(self.rms), math.sqrt(sum(variances) / channels), "", given)  # type: ignore[arg-type]
        uniform = (stimulus == stimulus[:, :, :1, :1, :1]).flatten(2).all(dim=2)
        each = isinstance(self.rms, tuple)
        bad = uniform.any(dim=1) if each else uniform.all(dim=1)
        if bool(bad.any()):
            raise ValueError(
                f"stimulus: element {bad.nonzero().flatten().tolist()[0]} of the batch is uniform, "
                "and no scale brings it to a contrast; start from a little noise instead"
            )

    def length(self, shape: Sequence[int]) -> float | None:
        """Return the L2 norm of the stimulus about its mean luminance; None where it is free."""
        channels, n = shape[1], math.prod(shape[2:])
        if self.norm is not None:
            return math.sqrt(
                max(self.norm**2 - n * sum(mean**2 for mean in self._means(channels)), 0.0)
            )
        if self.rms is None:
            return None
        return math.sqrt(n * sum(rms**2 for rms in _for_channels(self.rms, channels, "rms")))

    def process(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Return the projected stimulus."""
        batch, channels = stimulus.shape[:2]
        n = stimulus[0, 0].numel()
        one_scale = not isinstance(self.rms, tuple)
        shape = (batch, 1, channels, n) if one_scale else (batch, channels, 1, n)
        x = stimulus.detach().double().reshape(shape)
        limits = self._limits(channels)
        low, high = (
            x.new_tensor([math.copysign(math.inf, sign) if v is None else v for v in values])
            for sign, values in zip((-1, 1), zip(*limits, strict=True), strict=True)
        )
        low, high = low.view(1, *shape[1:3], 1), high.view(1, *shape[1:3], 1)
        length = self._square(shape, channels, x)
        if self.mean_luminance is None:
            mean = self._kept_mean(x, low, high, length)
        else:
            mean = x.new_tensor(self._means(channels)).view(1, *shape[1:3], 1)
            mean = mean.expand(*shape[:3], 1)
        projected = _solve(_Problem(x, mean, low, high, length))
        projected = projected.reshape(stimulus.shape).to(stimulus.dtype)
        if self.min_max_values is None:
            return projected
        bounds = _bounds(self.min_max_values, stimulus)  # in the stimulus' own rounding
        return projected.clamp(min=bounds[0], max=bounds[1])

    def _square(
        self, shape: tuple[int, ...], channels: int, x: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the sum of squares about the mean that each scale has to reach."""
        n = shape[3]
        if self.norm is not None:
            rest = self.norm**2 - n * sum(mean**2 for mean in self._means(channels))
            return x.new_full((1, 1, 1, 1), max(rest, 0.0))
        if self.rms is None:
            return None
        squares = [n * rms**2 for rms in _for_channels(self.rms, channels, "rms")]
        if shape[1] == 1 and not isinstance(self.rms, tuple):
            squares = [sum(squares)]
        return x.new_tensor(squares).view(1, -1, 1, 1)

    def _kept_mean(
        self, x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, square: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the channels' means, moved to where the range has room for the contrast."""
        mean = torch.minimum(torch.maximum(x, low), high).mean(dim=3, keepdim=True)
        if square is None:
            return mean
        n = x.shape[3]
        reach = ((high - low) / 2).square()  # the largest variance of a channel
        both = torch.isfinite(reach)
        bounded = torch.where(both, reach, 0.0)
        shared = bounded.sum(dim=2, keepdim=True) * n
        share = torch.where(
            both.all(dim=2, keepdim=True), (square / shared.clamp(min=1e-300)).clamp(max=1), 0.0
        )
        half = (bounded * (1 - share - 1 / n)).clamp(min=0).sqrt()
        middle = torch.where(both, (low + high) / 2, 0.0)
        least = torch.where(both, middle - half, low)
        most = torch.where(both, middle + half, high)
        return torch.minimum(torch.maximum(mean, least), most)

    def _limits(self, channels: int) -> tuple[Limits, ...]:
        if self.min_max_values is None:
            return ((None, None),) * channels
        if len(self.min_max_values) != channels:
            raise ValueError(
                f"min_max_values: expected limits for {channels} channels, got "
                f"{len(self.min_max_values)}"
            )
        return tuple(self.min_max_values)

    def _means(self, channels: int) -> tuple[float, ...]:
        if self.mean_luminance is None:
            raise ValueError(
                f"norm: {self.norm} without mean_luminance is held by NormAndRange, not here"
            )
        return _for_channels(self.mean_luminance, channels, "mean_luminance")


def bounds_of(
    model: RetinaModel,
    norm: float | None,
    stimulus_range: Sequence[Limits] | None,
    rms: float | Sequence[float] | None,
    mean_luminance: float | Sequence[float] | None,
) -> NormAndRange | ContrastAndRange:
    """Return what holds a stimulus of a model; None stands for what the model says of itself.

    Raises
    ------
    ValueError
        If the bounds contradict each other.
    """
    limits = model.stimulus_range if stimulus_range is None else tuple(stimulus_range)
    if rms is not None and norm == math.inf:
        norm = None
    elif rms is None:
        norm = model.stimulus_norm if norm is None else None if norm == math.inf else norm
    if rms is None and mean_luminance is None:
        return NormAndRange(norm, limits)
    return ContrastAndRange(rms, mean_luminance, norm, limits)


def length_of(bounds: NormAndRange | ContrastAndRange, shape: Sequence[int]) -> float | None:
    """Return the L2 length that bounds hold a stimulus to, None where it is free."""
    return bounds.norm if isinstance(bounds, NormAndRange) else bounds.length(shape)


def largest_variance(n: int, limits: Limits, mean: float | None = None) -> float:
    """Return the largest variance of n values within limits, about a mean where it is given.

    It is reached with all values at the limits, but one where the mean asks for it.
    """
    low, high = limits
    if low is None or high is None:
        if mean is not None and mean in limits:
            return 0.0
        return math.inf
    at_high = n * (0.5 if mean is None else (mean - low) / (high - low))
    if mean is None:  # half of them, or one less than half
        share = (n // 2) / n
        return (high - low) ** 2 * share * (1 - share)
    whole = math.floor(at_high + 1e-12)
    rest = max(at_high - whole, 0.0)
    second = (whole + rest**2) / n - (at_high / n) ** 2
    return (high - low) ** 2 * second


def _check_reach(rms: float, most: float, of: str, given: str) -> None:
    if rms > most * (1 + 1e-9):
        raise ValueError(
            f"rms: {rms} {of}is out of reach: within the range{given}, the largest RMS contrast is "
            f"{most:.6g}"
        )


def _each(value: Any, argument: str, *, positive: bool = False) -> float | tuple[float, ...]:
    check = check_positive if positive else real_number
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError(f"{argument}: expected a number, or one for each channel, got none")
        return tuple(_finite(check(one, argument), argument) for one in value)
    return _finite(check(value, argument), argument)


def _finite(value: float, argument: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{argument}: expected a finite number, got {value!r}")
    return value


def _for_channels(value: Any, channels: int, argument: str) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,) * channels
    if len(values) != channels:
        raise ValueError(
            f"{argument}: expected one number, or one for each of {channels} channels, got "
            f"{len(values)}"
        )
    return values


class _Problem(NamedTuple):
    """``clip(a x + b)`` with given means and, where `square` is not None, sums of squares.

    The axes are (batch, scale, channel of the scale, value), of length 1 where nothing differs.
    """

    x: torch.Tensor
    mean: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    square: torch.Tensor | None

    def about_mean(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        y = a * self.x + b
        return torch.minimum(torch.maximum(y, self.low), self.high) - self.mean

    def settled(self, deviation: torch.Tensor) -> torch.Tensor:
        """Tell which elements hold what is asked, ``(batch, scale, 1, 1)``."""
        square = deviation.square().sum(dim=(2, 3), keepdim=True)
        size = (square / deviation[0, 0].numel()).sqrt() + self.mean.abs().amax(2, keepdim=True)
        off = deviation.mean(dim=3, keepdim=True).abs().amax(dim=2, keepdim=True)
        held = off <= _SETTLED * size
        if self.square is not None:
            held &= (square - self.square).abs() <= _SETTLED * self.square
        return held


def _solve(problem: _Problem) -> torch.Tensor:
    """Return the projected values."""
    x, mean, square = problem.x, problem.mean, problem.square
    centred = x - x.mean(dim=3, keepdim=True)
    problem = problem._replace(x=centred)
    variation = centred.square().sum(dim=(2, 3), keepdim=True)
    a = torch.ones_like(variation)
    if square is not None:
        a = torch.where(variation > 0, (square / variation.clamp(min=1e-300)).sqrt(), a)
    b = mean.clone()
    held = torch.zeros_like(a, dtype=torch.bool)
    for _ in range(_ROUNDS):
        held = problem.settled(problem.about_mean(a, b))
        if bool(held.all()):
            return mean + problem.about_mean(a, b)
        next_a, next_b = _closed_form(problem, a, b)
        a, b = torch.where(held, a, next_a), torch.where(held, b, next_b)
    rows = (~held).flatten(1).any(dim=1).nonzero().flatten()
    return (mean + problem.about_mean(a, b)).index_copy(
        0, rows, _bisected(_rows(problem._replace(x=x), rows))
    )


def _closed_form(
    problem: _Problem, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift that would be right if the same values stayed clipped."""
    x, mean, low, high, square = problem
    y = a * x + b
    free = (y > low) & (y < high)
    fixed = (torch.minimum(torch.maximum(y, low), high) - mean).masked_fill(free, 0)
    n = free.sum(dim=3, keepdim=True).clamp(min=1)
    first, one = fixed.sum(3, keepdim=True), x.masked_fill(~free, 0).sum(3, keepdim=True)
    if square is not None:
        two = x.masked_fill(~free, 0).square().sum(3, keepdim=True)
        rest = square - (fixed.square().sum(3, keepdim=True) + first**2 / n).sum(2, keepdim=True)
        spread = (two - one**2 / n).sum(2, keepdim=True)
        a = (rest.clamp(min=0) / spread.clamp(min=1e-300)).sqrt().clamp(max=1e150)
    return a, mean - (first + a * one) / n


def _bisected(problem: _Problem) -> torch.Tensor:
    """Return the projected values by bisection, whatever their distribution.

    They are ``clip(mean + a (x - c))``: their mean falls as c rises from the least to the largest
    of x, and at the right c their contrast cannot fall as a rises.
    """
    x, mean, _, _, square = problem

    def values(a: torch.Tensor) -> torch.Tensor:
        least, most = x.amin(3, keepdim=True), x.amax(3, keepdim=True)
        for _ in range(_HALVINGS):
            c = (least + most) / 2
            above = about_mean(a, c).mean(dim=3, keepdim=True) > 0
            least, most = torch.where(above, c, least), torch.where(above, most, c)
        return about_mean(a, (least + most) / 2)

    def about_mean(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return problem._replace(x=x - c).about_mean(a, mean)

    one = torch.ones_like(x[:, :, :1, :1])
    if square is None:
        return mean + values(one)
    spread = (x - x.mean(3, keepdim=True)).square().sum(dim=(2, 3), keepdim=True)
    unit = (square / spread.clamp(min=1e-300)).sqrt()  # the scale without a range
    least, most = -20 * one, 60 * one  # powers of two
    for _ in range(_HALVINGS):
        power = (least + most) / 2
        below = values(unit * 2**power).square().sum(dim=(2, 3), keepdim=True) < square
        least, most = torch.where(below, power, least), torch.where(below, most, power)
    return mean + values(unit * 2**most)


def _rows(problem: _Problem, rows: torch.Tensor) -> _Problem:
    """Return the problem of some elements; limits and squares are the same for all."""
    return problem._replace(x=problem.x[rows], mean=problem.mean[rows])
