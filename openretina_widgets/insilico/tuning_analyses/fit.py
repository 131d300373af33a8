"""A fitted tuning curve of every neuron, and what of it is determined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.insilico.least_squares import Model, least_squares_batched
from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    ROUNDING,
    Measure,
    as_responses,
    measure,
)

Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]

RESPONSE_UNIT = "a.u."


@dataclass(frozen=True, eq=False)
class Fit:
    """A curve fitted to every neuron's tuning.

    Attributes
    ----------
    kind
        Name of the curve.
    names, units
        Of the columns of `values`.
    values
        ``(neuron, value)``; NaN where the data do not determine it.
    errors
        ``(neuron, value)``, standard errors (delta method on the covariance of the fit); NaN where
        they are not known: at a bound, or with no more conditions than parameters.
    r_squared
        ``(neuron,)``, of all conditions.
    reasons
        ``(neuron,)``: why values are NaN, ``""`` where all are determined.
    shapes
        ``(neuron,)``: such as ``"band-pass"``; ``""`` where the curve has no further name.
    parameters
        ``(neuron, parameter)`` as fitted, of which `predict` makes the curve.
    """

    kind: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    r_squared: np.ndarray
    reasons: tuple[str, ...]
    shapes: tuple[str, ...]
    parameters: np.ndarray
    _curve: Curve
    _why: Mapping[str, tuple[str, ...]]

    def predict(self, x: Any) -> np.ndarray:
        """Return the fitted curves at new values, ``(x, neuron)``; NaN for a neuron without fit."""
        points = np.atleast_1d(np.asarray(x, dtype=np.float64))
        with np.errstate(all="ignore"):
            return self._curve(self.parameters, points).T

    def value(self, name: str) -> Measure:
        """Return one of the values as a measure, with its reasons.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        if name not in self.names:
            raise ValueError(f"name: expected one of {self.names}, got {name!r}")
        column = self.names.index(name)
        return Measure(
            f"{name.replace('_', ' ')} ({self.kind})",
            self.values[:, column],
            self._why[name],
            unit=self.units[column],
        )

    def __repr__(self) -> str:
        done = int(np.isfinite(self.parameters).all(axis=1).sum())
        return f"Fit({self.kind!r}, {done} of {len(self.values)} neurons, {', '.join(self.names)})"


def prepared(
    responses: Any, x: Any, axis: str, argument: str, *, positive: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, ``(neuron, x)``, and the least and the largest response of each neuron."""
    raw = as_responses(responses, "responses", (axis, "neuron"))
    points = as_responses(x, argument, (axis,), sizes={axis: len(raw)})
    if not np.isfinite(points).all() or (positive and (points <= 0).any()):
        raise ValueError(f"{argument}: expected positive numbers, got {x!r}")
    known = np.where(np.isfinite(raw), raw, 0.0)
    return points, raw.T, known.min(axis=0), known.max(axis=0)


def several_starts(*columns: Any, n: int) -> np.ndarray:
    """Return every start, ``(start, neuron, parameter)``, of columns that broadcast to it."""
    stacked = [np.broadcast_to(np.asarray(c, float), (len(columns[-1]), n)) for c in columns]
    return np.stack(stacked, axis=-1)


@dataclass(frozen=True, eq=False)
class Solved:
    """Parameters of all neurons, NaN for those that were left out, and why."""

    parameters: np.ndarray
    covariance: np.ndarray
    at_bound: np.ndarray
    r_squared: np.ndarray
    span: np.ndarray
    undefined: dict[str, np.ndarray]


def solve(
    curve: Curve,
    jacobian: Curve,
    x: np.ndarray,
    responses: np.ndarray,
    starts: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Solved:
    """Fit every neuron whose responses are complete and vary; `responses` is ``(neuron, x)``."""
    n, n_parameters = starts.shape[1:]
    missing = ~np.isfinite(responses).all(axis=1)
    span = np.ptp(np.where(missing[:, None], 0.0, responses), axis=1)
    flat = span <= ROUNDING * np.abs(np.where(missing[:, None], 0.0, responses)).max(axis=1)
    lower, upper = (np.broadcast_to(bound, (n, n_parameters)) for bound in (lower, upper))
    free = int((lower < upper).any(axis=0).sum())
    few = np.full(n, len(np.unique(x)) < free)
    undefined = {
        MISSING: missing,
        f"not determined: {free} parameters and fewer conditions": few,
        "not determined: the same response to every condition": flat,
    }
    parameters = np.full((n, n_parameters), np.nan)
    covariance = np.full((n, n_parameters, n_parameters), np.nan)
    at_bound = np.zeros((n, n_parameters), dtype=bool)
    r_squared = np.full(n, np.nan)
    rows = np.flatnonzero(~(missing | few | flat))
    if len(rows):
        found = least_squares_batched(
            _at(curve, x),
            responses[rows],
            starts[:, rows],
            lower=lower[rows],
            upper=upper[rows],
            jacobian=_at(jacobian, x),
        )
        parameters[rows], covariance[rows] = found.parameters, found.covariance
        at_bound[rows], r_squared[rows] = found.at_bound, found.r_squared
    return Solved(parameters, covariance, at_bound, r_squared, span, undefined)


def _at(curve: Curve, x: np.ndarray) -> Model:
    return lambda parameters: curve(parameters, x)


def finish(
    kind: str,
    columns: Mapping[str, str],
    solved: Solved,
    derive: Model,
    curve: Curve,
    *,
    undetermined: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    scales: tuple[str, ...] = (),
    cyclic: Mapping[str, float] | None = None,
    shapes: np.ndarray | None = None,
) -> Fit:
    """Return what the parameters mean, with errors, leaving out what is not determined.

    `columns` are names and units of the values that `derive` makes of the parameters;
    `undetermined` says of some columns why and where they are NaN. A column of `scales` is a
    positive number that is not determined when its error is larger than itself; one of `cyclic`
    when it exceeds a quarter of its period, and one in the unit of the response, of either sign and
    0 perhaps, when it exceeds the range of the responses.
    """
    n = len(solved.parameters)
    with np.errstate(all="ignore"):
        values = derive(solved.parameters)
        slope = np.empty((n, len(columns), solved.parameters.shape[1]))
        for k in range(slope.shape[2]):
            step = 1e-6 * np.maximum(np.abs(solved.parameters[:, k]), 1e-6)
            ahead, behind = solved.parameters.copy(), solved.parameters.copy()
            ahead[:, k] += step
            behind[:, k] -= step
            slope[..., k] = (derive(ahead) - derive(behind)) / (2 * step[:, None])
        # A value that does not depend on a parameter has its error without that of the parameter.
        slope = np.where(np.isfinite(slope), slope, 0.0)
        errors = np.sqrt(np.einsum("nvp,npq,nvq->nv", slope, solved.covariance, slope))
        held = np.einsum("nvp,np->nv", np.abs(slope), solved.at_bound.astype(float)) > 0
    errors = np.where(held, np.nan, errors)
    measures: dict[str, Measure] = {}
    for column, (name, unit) in enumerate(columns.items()):
        why: dict[str, Any] = dict(solved.undefined)
        why |= {
            f"not determined: {words}": where
            for words, where in (undetermined or {}).get(name, {}).items()
        }
        most: dict[str, Any] = {}
        if name in scales:
            most["is larger than itself"] = np.abs(values[:, column])
        if name in (cyclic or {}):
            most["exceeds a quarter of the period"] = (cyclic or {})[name] / 4
        if unit == RESPONSE_UNIT:
            most["exceeds the range of the responses"] = solved.span
        for words, largest in most.items():
            with np.errstate(invalid="ignore"):
                wide = errors[:, column] > largest
            why[f"not determined: its standard error {words}"] = wide
        measures[name] = measure(name, values[:, column], why, unit=unit)
    final = np.stack([found.values for found in measures.values()], axis=1)
    return Fit(
        kind,
        tuple(columns),
        tuple(columns.values()),
        final,
        np.where(np.isfinite(final), errors, np.nan),
        solved.r_squared,
        tuple(_joined(measures, row) for row in range(n)),
        ("",) * n if shapes is None else tuple(shapes.tolist()),
        solved.parameters,
        curve,
        {name: found.reasons for name, found in measures.items()},
    )


def _joined(measures: Mapping[str, Measure], row: int) -> str:
    """Return a neuron's reasons, each with the values that it holds of."""
    by_reason: dict[str, list[str]] = {}
    for name, found in measures.items():
        if found.reasons[row]:
            by_reason.setdefault(found.reasons[row], []).append(name)
    if len(by_reason) == 1 and len(next(iter(by_reason.values()))) == len(measures):
        return next(iter(by_reason))
    return "; ".join(f"{', '.join(names)} {words}" for words, names in by_reason.items())
