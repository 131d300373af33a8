"""Projections on a mean luminance, an RMS contrast and a range, all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch

from openretina_widgets.errors import check_positive, real_number
from openretina_widgets.insilico.stimulus_optimization.constants import OwnsConstants
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    Limits,
    NormAndRange,
    _answers_at_once,
    _bounds,
    _checked_limits,
)

# Rounds of the active set. A few settle it, but where nearly all values are at the limits.
_ROUNDS = {"cpu": 32}  # the CPU leaves when it has settled
_OTHER_ROUNDS = 12
_HALVINGS = 60
_SCALES = (1e-18, 1e18)  # that float32 holds with room for the values
_SETTLED = 2.5  # roundings of the stimulus' type, of what is asked
_LEAST_ROUNDING = 4e-11  # sums of float64 are not closer
_TOO_FAR = 16.0  # then the CPU takes the slow way that always arrives


@dataclass(frozen=True)
class ContrastAndRange(OwnsConstants):
    """Hold the mean luminance, the RMS contrast and the range of each stimulus, all at once.

    The mean luminance of a channel is its mean over time and pixels; the RMS contrast is the
    standard deviation about it, both in model units. The nearest stimulus that holds them has the
    form ``clip(a x + b)``, with one b for each channel and one a for each RMS contrast (condition
    of Karush, Kuhn and Tucker). For a given set of clipped values a and b follow in closed form;
    the set is renewed until it settles. The range holds exactly, mean and contrast to the rounding
    of the stimulus' own type (1e-6 of the contrast in float32). Where the set does not settle, as
    when many values are nearly alike at the limits, the CPU finds a and b by bisection, since the
    contrast cannot fall when a rises; a GPU, which cannot ask without waiting, has mean and
    contrast only nearly then, and comes closer over the next steps.

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
    replayable: ClassVar[bool] = True

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
        x = stimulus.detach()
        x = x if x.dtype == torch.float64 else x.float()
        fixed = self._constant(_fixed, *self._wanted(channels, n), x.device)
        x = x.reshape(batch, *fixed.low.shape[1:3], n)
        mean = _kept_mean(x, fixed) if fixed.mean is None else fixed.mean
        below, above = fixed.low - mean, fixed.high - mean
        projected = _Projection(x, mean, below, above, fixed.square).solved()
        projected = projected.reshape(stimulus.shape).to(stimulus.dtype)
        if self.min_max_values is None:
            return projected
        bounds = _bounds(self, self.min_max_values, stimulus)  # in the stimulus' own rounding
        return torch.minimum(torch.maximum(projected, bounds[0]), bounds[1])

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

    def _wanted(
        self, channels: int, n: int
    ) -> tuple[tuple[Limits, ...], tuple[float, ...] | None, tuple[float, ...] | None, bool]:
        """Return limits, means, sums of squares about them, and whether those are by channel."""
        means = None if self.mean_luminance is None else self._means(channels)
        squares: tuple[float, ...] | None = None
        apart = isinstance(self.rms, tuple)
        if self.norm is not None:
            flat = n * sum(mean**2 for mean in self._means(channels))
            squares = (max(self.norm**2 - flat, 0.0),)
        elif self.rms is not None:
            each = tuple(n * rms**2 for rms in _for_channels(self.rms, channels, "rms"))
            squares = each if apart else (channels * each[0],)
        return self._limits(channels), means, squares, apart


class _Bounded(Protocol):
    """What says of itself how stimuli are bounded."""

    @property
    def stimulus_range(self) -> Any:
        """Limits of each channel, or None."""

    @property
    def stimulus_norm(self) -> float | None:
        """L2 norm, or None."""


def bounds_of(
    model: _Bounded,
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


def _kept_mean(x: torch.Tensor, fixed: _Fixed) -> torch.Tensor:
    """Return the channels' means, moved to where the range has room for the contrast."""
    low, high, _, square = fixed
    n = x.shape[3]
    mean = _sum(torch.minimum(torch.maximum(x, low.to(x.dtype)), high.to(x.dtype))) / n
    if square is None:
        return mean
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


class _Fixed(NamedTuple):
    """What a projection is to reach, in float64, as ``(1, scale, channel of the scale, 1)``.

    Attributes
    ----------
    low, high
        Limits, infinite where there are none.
    mean
        Means; None where each stimulus keeps its own.
    square
        Sum of squares about the mean, ``(1, scale, 1, 1)``; None for any.
    """

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor | None
    square: torch.Tensor | None


def _fixed(
    limits: tuple[Limits, ...],
    means: tuple[float, ...] | None,
    squares: tuple[float, ...] | None,
    apart: bool,
    device: torch.device,
) -> _Fixed:
    """Return as tensors what `ContrastAndRange` wants, with a scale for each channel if `apart`."""
    shape = (1, len(limits), 1, 1) if apart else (1, 1, len(limits), 1)
    low, high = (
        torch.tensor(
            [math.copysign(math.inf, sign) if v is None else v for v in values],
            dtype=torch.float64,
            device=device,
        ).view(shape)
        for sign, values in zip((-1, 1), zip(*limits, strict=True), strict=True)
    )
    mean = None if means is None else low.new_tensor(means).view(shape)
    square = None if squares is None else low.new_tensor(squares).view(1, -1, 1, 1)
    return _Fixed(low, high, mean, square)


@dataclass
class _Projection:
    """``clip(mean + a (x - c))`` with given means and, where `square` is not None, squares.

    The axes are (batch, scale, channel of the scale, value), of length 1 where nothing differs.
    The values are in the stimulus' own type, what is summed over them in float64. ``above`` and
    ``below`` are the limits less the mean.
    """

    x: torch.Tensor
    mean: torch.Tensor
    below: torch.Tensor
    above: torch.Tensor
    square: torch.Tensor | None

    def solved(self) -> torch.Tensor:
        """Return the projected values."""
        x = self.x
        on_host = _answers_at_once(x.device)
        self.space = (torch.empty_like(x), torch.empty_like(x))
        self.size = self.mean.abs().amax(dim=2, keepdim=True)
        eps = max(torch.finfo(x.dtype).eps, _LEAST_ROUNDING)
        c = _sum(x) / x.shape[3]
        deviation = torch.sub(x, c.to(x.dtype), out=self.space[0])
        variation = self._squares(deviation).sum(dim=2, keepdim=True)
        a = torch.ones_like(variation)
        if self.square is not None:
            a = torch.where(variation > 0, (self.square / variation.clamp(min=1e-300)).sqrt(), a)
        # The c that is sought lies within, for the scale 1.
        within = [x.amin(dim=3, keepdim=True).double(), x.amax(dim=3, keepdim=True).double()]
        for _ in range(_ROUNDS.get(x.device.type, _OTHER_ROUNDS)):
            taken = self._taken(a, c)
            off = self._off(taken, a)
            # A GPU cannot ask without waiting whether all have settled.
            if on_host and bool((off <= _SETTLED * eps).all()):
                break
            next_a, next_c = self._closed_form(taken, a, c, within)
            held = off <= _SETTLED * eps
            a, c = torch.where(held, a, next_a), torch.where(held, c, next_c)
        else:
            off = self._off(self._taken(a, c), a)
        projected = self._clipped(a, c).mul_(a.to(x.dtype)).add_(self.mean.to(x.dtype))
        if not on_host:
            return projected
        rows = (off > _TOO_FAR * eps).flatten(1).any(dim=1).nonzero().flatten()
        if len(rows):
            projected[rows] = self._bisected(rows).to(x.dtype)
        return projected

    def _clipped(self, a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Return ``x - c``, clipped so that `a` times it is within the limits about the mean."""
        kind = self.x.dtype
        clipped = torch.sub(self.x, c.to(kind), out=self.space[0])
        torch.maximum(clipped, (self.below / a).to(kind), out=clipped)
        return torch.minimum(clipped, (self.above / a).to(kind), out=clipped)

    def _taken(self, a: torch.Tensor, c: torch.Tensor) -> _Taken:
        clipped, n = self._clipped(a, c), self.x.shape[3]
        low, high = ((one / a).to(clipped.dtype) for one in (self.below, self.above))
        at_low = n - _sum(torch.sub(clipped, low, out=self.space[1]).sign_())
        at_high = n - _sum(torch.sub(high, clipped, out=self.space[1]).sign_())
        return _Taken(low, high, at_low, at_high, _sum(clipped), self._squares(clipped))

    def _squares(self, values: torch.Tensor) -> torch.Tensor:
        return _sum(torch.mul(values, values, out=self.space[1]))

    def _off(self, taken: _Taken, a: torch.Tensor) -> torch.Tensor:
        """Return how far means and squares are from those asked, ``(batch, scale, 1, 1)``."""
        n, channels = self.x.shape[3], self.x.shape[2]
        square = (a.square() * taken.two).sum(dim=2, keepdim=True)
        size = (square / (n * channels)).sqrt() + self.size
        off = (a * taken.one / n).abs().amax(dim=2, keepdim=True) / size.clamp(min=1e-300)
        if self.square is None:
            return off
        return torch.maximum(off, (square - self.square).abs() / (2 * self.square))

    def _closed_form(
        self, taken: _Taken, a: torch.Tensor, c: torch.Tensor, within: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what would be right if the same values stayed clipped."""
        low, high, at_low, at_high, one, two = taken
        free = self.x.shape[3] - at_low - at_high
        one = one - _times(at_low, low.double()) - _times(at_high, high.double())
        two = two - _times(at_low, low.double() ** 2) - _times(at_high, high.double() ** 2)
        first = _times(at_low, self.below) + _times(at_high, self.above)
        some = free.clamp(min=1)
        if self.square is not None:
            second = _times(at_low, self.below**2) + _times(at_high, self.above**2)
            rest = self.square - (second + first**2 / some).sum(dim=2, keepdim=True)
            spread = (two - one**2 / some).sum(dim=2, keepdim=True)
            a = (rest.clamp(min=0) / spread.clamp(min=1e-300)).sqrt().clamp(*_SCALES)
            return a, c + (one + first / a) / some
        # At a given scale the mean falls as c rises, so that the right c can be fenced in.
        too_high = taken.one > 0
        within[:] = (
            torch.where(too_high, torch.maximum(within[0], c), within[0]),
            torch.where(too_high, within[1], torch.minimum(within[1], c)),
        )
        least, most = within
        c = c + (one + first) / some
        return a, torch.where((free > 0) & (least <= c) & (c <= most), c, (least + most) / 2)

    def _bisected(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the projected values of some elements, whatever their distribution.

        The mean falls as c rises from the least to the largest of x, and at the right c the
        contrast cannot fall as a rises.
        """
        x, mean, square = self.x[rows].double(), self.mean.expand(*self.x.shape[:3], 1)[rows], None
        below, above = (one.expand(*self.x.shape[:3], 1)[rows] for one in (self.below, self.above))

        def values(a: torch.Tensor) -> torch.Tensor:
            least, most = x.amin(3, keepdim=True), x.amax(3, keepdim=True)
            for _ in range(_HALVINGS):
                c = (least + most) / 2
                too_high = clipped(a, c).mean(dim=3, keepdim=True) > 0
                least, most = torch.where(too_high, c, least), torch.where(too_high, most, c)
            return clipped(a, (least + most) / 2)

        def clipped(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return torch.minimum(torch.maximum(a * (x - c), below), above)

        one = torch.ones_like(x[:, :, :1, :1])
        if self.square is None:
            return mean + values(one)
        square = self.square
        spread = (x - x.mean(3, keepdim=True)).square().sum(dim=(2, 3), keepdim=True)
        unit = (square / spread.clamp(min=1e-300)).sqrt()  # the scale without a range
        least, most = -20 * one, 60 * one  # powers of two
        for _ in range(_HALVINGS):
            power = (least + most) / 2
            less = values(unit * 2**power).square().sum(dim=(2, 3), keepdim=True) < square
            least, most = torch.where(less, power, least), torch.where(less, most, power)
        return mean + values(unit * 2**most)


class _Taken(NamedTuple):
    """Clipped values: limits, how many are at each, their sum and the sum of their squares."""

    low: torch.Tensor
    high: torch.Tensor
    at_low: torch.Tensor
    at_high: torch.Tensor
    one: torch.Tensor
    two: torch.Tensor


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.sum(dim=3, keepdim=True).double()


def _times(number: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return the product, 0 where there are none of an infinite limit."""
    return torch.where(number > 0, number * value, 0.0)
