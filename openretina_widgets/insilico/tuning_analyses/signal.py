"""How reliable responses are, how they agree between neurons, and how well they are predicted.

Repeats come first and the neuron last: ``(repeat, sample, neuron)``, where the samples are frames
or conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    ROUNDING,
    Measure,
    as_responses,
    divide,
    measure,
)

__all__ = [
    "CorrelationMatrix",
    "ExplainedVariance",
    "correlation_to_average",
    "feve",
    "noise_correlation",
    "oracle",
    "response_quality",
    "signal_correlation",
]

ONE_REPEAT = "undefined with one repeat"
CONSTANT = "constant: it does not vary"
NO_NOISE = "undefined without noise: the repeats do not differ"
SAMPLES = ("repeat", "sample", "neuron")


def response_quality(repeats: Any) -> Measure:
    """Return the response quality index (Baden et al. 2016).

    ``Var_t(mean over repeats) / mean over repeats(Var_t)``, in [0, 1]: 1 where all repeats are
    alike, about 1 over their number for noise alone. A model without noise has 1 by construction,
    and the notes say so.

    Parameters
    ----------
    repeats
        ``(repeat, time, neuron)``.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    known, missing = _known(as_responses(repeats, "repeats", SAMPLES), (0, 1))
    each = known.var(axis=1).mean(axis=0)
    constant = each <= (ROUNDING * np.abs(known).max(axis=(0, 1))) ** 2
    same = _no_noise(known) & ~missing & ~constant
    return measure(
        "response quality index",
        divide(known.mean(axis=0).var(axis=0), each),
        {MISSING: missing, ONE_REPEAT: len(known) < 2, CONSTANT: constant},
        limits=(0, 1),
        notes=(f"1 by construction for {same.sum()} neurons whose repeats do not differ",)
        if same.any() and len(known) > 1
        else (),
    )


@dataclass(frozen=True, eq=False)
class CorrelationMatrix:
    """Correlation of every neuron with every other.

    Attributes
    ----------
    name
        Signal or noise correlation.
    values
        ``(neuron, neuron)``, in [−1, 1]; NaN where it is not defined.
    reasons
        ``(neuron,)``: why a neuron has no correlation with any; ``""`` where it has.
    """

    name: str
    values: np.ndarray
    reasons: tuple[str, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)


def signal_correlation(responses: Any) -> CorrelationMatrix:
    """Correlate the mean tuning of every pair of neurons over conditions.

    Parameters
    ----------
    responses
        ``(condition, neuron)``, mean over repeats.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    raw = as_responses(responses, "responses", ("condition", "neuron"))
    known, missing = _known(raw, (0,))
    centred, constant = _centred(known)
    length = np.linalg.norm(centred, axis=0)
    unit = divide(centred, np.where(missing | constant, 0.0, length))
    reasons = measure(
        "signal correlation",
        np.ones(raw.shape[1]),
        {MISSING: missing, "one condition only": len(raw) < 2, CONSTANT: constant},
    ).reasons
    return CorrelationMatrix("signal correlation", np.clip(unit.T @ unit, -1, 1), reasons)


def noise_correlation(repeats: Any) -> CorrelationMatrix:
    """Correlate how every pair of neurons varies together across repeats of one condition.

    Responses are z-scored within each condition and correlated over all conditions in which both
    neurons vary, so that tuning plays no part. The neurons must have been seen together.

    Parameters
    ----------
    repeats
        ``(repeat, condition, neuron)``.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    raw = as_responses(repeats, "repeats", ("repeat", "condition", "neuron"))
    known, missing = _known(raw, (0, 1))
    spread = known.std(axis=0)
    varies = spread > ROUNDING * np.abs(known).max(axis=0)
    scores = divide(known - known.mean(axis=0), np.where(varies, spread, 0.0))
    flat = np.where(varies, scores, 0.0).reshape(-1, raw.shape[2])
    together = varies.T.astype(float) @ varies.astype(float)
    values = divide(flat.T @ flat, len(raw) * together)
    values[missing | ~varies.any(axis=0)] = np.nan
    values[:, missing | ~varies.any(axis=0)] = np.nan
    reasons = measure(
        "noise correlation",
        np.ones(raw.shape[2]),
        {MISSING: missing, ONE_REPEAT: len(raw) < 2, NO_NOISE: ~varies.any(axis=0)},
    ).reasons
    return CorrelationMatrix("noise correlation", np.clip(values, -1, 1), reasons)


def correlation_to_average(predictions: Any, repeats: Any) -> Measure:
    """Correlate a prediction with the mean over repeats, for each neuron.

    Parameters
    ----------
    predictions
        ``(sample, neuron)``.
    repeats
        ``(repeat, sample, neuron)``.

    Returns
    -------
    Measure
        Pearson's r, in [−1, 1]; NaN where either is constant.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    measured = as_responses(repeats, "repeats", SAMPLES)
    predicted = _matching(predictions, measured)
    known, missing = _known(measured, (0, 1))
    guess, unknown = _known(predicted, (0,))
    return _correlation("correlation to average", guess, known.mean(axis=0), missing | unknown)


def oracle(repeats: Any) -> Measure:
    """Correlate each repeat with the mean of the others, all repeats together.

    What the other repeats tell of one, with which a model's single-trial correlation compares
    (Walker et al. 2019).

    Parameters
    ----------
    repeats
        ``(repeat, sample, neuron)``.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    raw = as_responses(repeats, "repeats", SAMPLES)
    known, missing = _known(raw, (0, 1))
    n = len(known)
    if n < 2:
        return measure(
            "oracle correlation", np.full(raw.shape[2], np.nan), {ONE_REPEAT: True}, limits=(-1, 1)
        )
    others = (known.sum(axis=0) - known) / (n - 1)
    one, rest = (values.reshape(-1, raw.shape[2]) for values in (known, others))
    return _correlation("oracle correlation", one, rest, missing)


@dataclass(frozen=True, eq=False)
class ExplainedVariance:
    """How much of the variance that can be explained a prediction explains.

    Attributes
    ----------
    feve
        Fraction of the explainable variance explained, at most 1; below 0 for a prediction worse
        than the mean.
    explainable
        Share of the total variance that is not noise between repeats, at most 1.
    """

    feve: Measure
    explainable: Measure

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the FEVE of a neuron is NaN; ``""`` where it is defined."""
        return self.feve.reasons


def feve(predictions: Any, repeats: Any, *, least: float = 0.15) -> ExplainedVariance:
    """Return the fraction of explainable variance explained (Cadena et al. 2019).

    ``1 − (MSE − σ²_noise) / (Var − σ²_noise)``: the squared error over every repeat, the variance
    over all repeats and samples, and the noise as the variance between repeats, averaged over
    samples. Where explainable over total variance is below `least`, it is not defined.

    Parameters
    ----------
    predictions
        ``(sample, neuron)``.
    repeats
        ``(repeat, sample, neuron)``.
    least
        Smallest share of explainable variance.

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    raw = as_responses(repeats, "repeats", SAMPLES)
    predicted = _matching(predictions, raw)
    known, missing = _known(raw, (0, 1))
    guess, unknown = _known(predicted, (0,))
    n, _, neurons = known.shape
    every = known.reshape(-1, neurons)
    single = n < 2
    noise = np.zeros(neurons) if single else known.var(axis=0, ddof=1).mean(axis=0)
    total = every.var(axis=0, ddof=1) if len(every) > 1 else np.zeros(neurons)
    error = ((known - guess) ** 2).mean(axis=(0, 1))
    constant = total <= (ROUNDING * np.abs(every).max(axis=0)) ** 2
    share = divide(total - noise, total)
    undefined = {
        MISSING: missing | unknown,
        f"{ONE_REPEAT}: noise cannot be told from signal": single,
        CONSTANT: constant,
    }
    low = {f"less than {least:.0%} of the variance can be explained": share < least}
    return ExplainedVariance(
        measure(
            "fraction of explainable variance explained",
            1 - divide(error - noise, total - noise),
            undefined | low,
        ),
        measure("explainable variance", share, undefined, limits=(-np.inf, 1)),
    )


def _known(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the responses with 0 for a neuron that misses one, and which neurons do."""
    missing = np.asarray(~np.isfinite(values).all(axis=axes))
    return np.where(missing, 0.0, values), missing


def _no_noise(repeats: np.ndarray) -> np.ndarray:
    reach = ROUNDING * np.abs(repeats).max(axis=(0, 1))
    return np.asarray((np.ptp(repeats, axis=0) <= reach).all(axis=0))


def _matching(predictions: Any, repeats: np.ndarray) -> np.ndarray:
    sizes = {"sample": repeats.shape[1], "neuron": repeats.shape[2]}
    return as_responses(predictions, "predictions", ("sample", "neuron"), sizes=sizes)


def _centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values minus their mean over the first axis, and which do not vary."""
    constant = np.ptp(values, axis=0) <= ROUNDING * np.abs(values).max(axis=0)
    return values - values.mean(axis=0), constant


def _correlation(name: str, one: np.ndarray, other: np.ndarray, missing: np.ndarray) -> Measure:
    (first, still), (second, constant) = _centred(one), _centred(other)
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    value = divide((first * second).sum(axis=0), lengths)
    return measure(
        name,
        np.clip(value, -1, 1),
        {MISSING: missing, CONSTANT: still | constant},
        limits=(-1, 1),
    )
