"""Spike-triggered averages, of a recording and while a model is shown noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from openretina_widgets.models._checks import is_index


def spike_triggered_average(
    stimulus: np.ndarray | torch.Tensor, responses: np.ndarray | torch.Tensor, lag: int
) -> np.ndarray:
    """Return the mean stimulus before a response, weighted by the response: Σ s r / Σ r.

    Frames without all of their past are left out of both sums.

    Parameters
    ----------
    stimulus
        ``(channel, time, height, width)``. A mean that is not 0 stays in the average.
    responses
        ``(time, neuron)`` or ``(time - lag, neuron)``: spike counts or rates in each frame. Of the
        first form the first `lag` frames are left out.
    lag
        Frames of past before the frame of the response, at least 0.

    Returns
    -------
    numpy.ndarray
        ``(neuron, channel, lag + 1, height, width)``, the newest frame last, in the unit of the
        stimulus. NaN for a neuron whose responses do not sum to more than 0.

    Raises
    ------
    TypeError
        If it holds no numbers, or `lag` is no whole number.
    ValueError
        If a shape or a value does not fit; the message says which.
    """
    movie, rates = _numbers(stimulus, "stimulus"), _numbers(responses, "responses")
    if not is_index(lag):
        raise TypeError(f"lag: expected a whole number of frames, got {lag!r}")
    if movie.ndim != 4:
        raise ValueError(
            f"stimulus: expected (channel, time, height, width), got shape {tuple(movie.shape)}"
        )
    time = movie.shape[1]
    if not 0 <= lag < time:
        raise ValueError(f"lag: expected 0 to {time - 1} for {time} frames, got {lag}")
    if rates.ndim != 2 or len(rates) not in (time, time - lag):
        raise ValueError(
            f"responses: expected ({time}, neuron) or ({time - lag}, neuron) for {time} frames "
            f"and lag {lag}, got shape {tuple(rates.shape)}"
        )
    for name, values in (("stimulus", movie), ("responses", rates)):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    rates = rates[-(time - lag) :]
    total = rates.sum(0)
    total = torch.where(total > 0, total, torch.nan)
    summed = past_sums(movie, rates) / total[:, None, None]
    return _as_movies(summed, movie.shape).numpy()


def _numbers(values: Any, argument: str) -> torch.Tensor:
    try:
        return torch.from_numpy(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise TypeError(f"{argument}: expected an array of numbers") from None


def past_sums(stimulus: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return Σ_t weights[t] · stimulus[t + k] for every k, ``(neuron, k, channel · pixel)``.

    `stimulus` is ``(channel, time + lag, height, width)`` and `weights` ``(time, neuron)``.
    """
    frames = stimulus.movedim(1, 0).flatten(1)
    time = len(weights)
    return torch.stack(
        [weights.T @ frames[k : k + time] for k in range(len(frames) - time + 1)], dim=1
    )


def filtered(stimulus: torch.Tensor, filters: torch.Tensor, time: int) -> torch.Tensor:
    """Return what linear filters ``(neuron, k, channel · pixel)`` answer, ``(time, neuron)``."""
    frames = stimulus.movedim(1, 0).flatten(1)
    answer = frames[:time] @ filters[:, 0].T
    for k in range(1, filters.shape[1]):
        answer += frames[k : k + time] @ filters[:, k].T
    return answer


def _as_movies(sums: torch.Tensor, shape: Any) -> torch.Tensor:
    channel, _, height, width = shape
    return sums.unflatten(2, (channel, height, width)).transpose(1, 2)


class RunningAverage:
    """The spike-triggered average of all neurons while noise is shown in pieces.

    It estimates the covariance of s and r over the noise, divided by the mean of r: what
    Σ s r / Σ r tends to, less the mean stimulus. The plain average scatters because the response
    to all other pixels comes along with each. What a linear filter predicts of the response is
    therefore taken out of it first, and put back as what it has to give: a filter k answers to
    white noise of variance σ² with a mean of s r of σ² k (a control variate). The filter is the
    separable part of the estimate from earlier pieces, scaled to how well it predicted the last
    one, so that it brings no bias. Pieces count by the inverse variance of what is left.

    Parameters
    ----------
    variance
        ``(channel · pixel,)`` of the noise; None for noise that is not white from pixel to pixel,
        which gives the plain average.
    """

    def __init__(self, variance: torch.Tensor | None) -> None:
        self.frames = 0
        self._variance = variance
        self._filters: torch.Tensor | None = None
        self._scale: Any = None  # of the filters
        self._shape: Any = None
        self._products: Any = 0.0
        self._weights: Any = 0.0
        self._responses: Any = 0.0
        self._squares: Any = 0.0

    def add(self, stimulus: torch.Tensor, responses: torch.Tensor) -> None:
        """Take in ``(channel, time + lag, height, width)`` around 0, and ``(time, neuron)``."""
        self._shape = stimulus.shape
        n = len(responses)
        left: torch.Tensor = responses
        given: Any = 0.0
        if self._filters is not None and self._variance is not None:
            predicted = filtered(stimulus, self._filters, n)
            left = responses - self._scale * predicted
            given = (n - 1) * self._variance * self._scale[:, None, None] * self._filters
            deviation = predicted - predicted.mean(0)
            power = deviation.square().sum(0)
            slope = (deviation * responses).sum(0) / power.clamp(min=1e-30)
            self._scale = slope.clamp(0.0, 1.0)
        else:
            self._scale = torch.zeros_like(responses[0])
        left = left - left.mean(0)
        weight = torch.ones_like(left[0])
        if self._variance is not None:
            weight = 1.0 / left.square().mean(0).clamp(min=1e-30)
        products = past_sums(stimulus, left) + given
        self._products = self._products + weight.double()[:, None, None] * products
        self._weights = self._weights + (n - 1) * weight.double()
        self._responses = self._responses + responses.double().sum(0)
        self._squares = self._squares + responses.double().square().sum(0)
        self.frames += n
        if self._variance is not None:
            linear = self._covariance() / self._variance
            _, vectors = torch.linalg.eigh(linear @ linear.mT)
            first = vectors[:, :, -1:]
            self._filters = (first @ (first.mT @ linear)).to(stimulus)

    def _covariance(self) -> torch.Tensor:
        return self._products / self._weights[:, None, None]

    @property
    def responses(self) -> np.ndarray:
        """Summed response of each neuron."""
        return self._responses.cpu().numpy()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a neuron has no average, ``""`` where it has one."""
        mean = self._responses / self.frames
        spread = self._squares / self.frames - mean.square()
        return tuple(
            "no response to the noise"
            if not total > 0
            else "the response to the noise is constant"
            if not varied
            else ""
            for total, varied in zip(
                mean.tolist(), (spread > 1e-10 * mean.square()).tolist(), strict=True
            )
        )

    def estimate(self) -> np.ndarray:
        """Return ``(neuron, channel, time, height, width)``, newest frame last; NaN: `reasons`."""
        mean = self._responses / self.frames
        average = _as_movies(self._covariance() / mean[:, None, None], self._shape)
        found = average.float().cpu().numpy()
        found[[bool(reason) for reason in self.reasons]] = np.nan
        return found
