"""Measured tuning points beside a model's tuning curve."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.insilico.comparison.agreement import (
    Agreement,
    agreement,
    check_bootstrap,
    draws_of_points,
)
from openretina_widgets.insilico.comparison.keeping import load_comparison, save_comparison
from openretina_widgets.insilico.comparison.reading import points_of
from openretina_widgets.models._checks import is_index


@dataclass(frozen=True, eq=False)
class TuningComparison:
    """Tuning curves of a model beside measured points.

    Attributes
    ----------
    x
        ``(point,)``: where was measured, as far as the model's curve reaches.
    measured
        ``(point,)``, in the unit of the measurement.
    model
        ``(neuron, point)``: the model's curve there, in its own unit.
    fitted
        ``(neuron, point)``: the same, scaled and moved to the measurement.
    agreement
        Scale, offset, correlation and error, with their intervals.
    neurons
        Which neurons of the model.
    label
        Name and unit of `x`.
    left_out
        Measured points outside the range of the model's curve, or without a number (NaN).
    log_x
        Whether the model's curve was interpolated over the logarithm of `x`.
    """

    x: np.ndarray
    measured: np.ndarray
    model: np.ndarray
    fitted: np.ndarray
    agreement: Agreement
    neurons: tuple[int, ...]
    label: str
    left_out: int
    log_x: bool

    @property
    def best(self) -> int:
        """Neuron with the smallest error."""
        error = self.agreement.error
        if not np.isfinite(error).any():
            raise ValueError(f"no neuron can be compared: {self.agreement.reasons[0]}")
        return self.neurons[int(np.nanargmin(error))]

    def table(self) -> list[dict[str, Any]]:
        """Return one row a neuron: how well it agrees, or why that cannot be said."""
        found = self.agreement
        return [
            {
                "neuron": neuron,
                "correlation": float(found.correlation[row]),
                "correlation_low": float(found.correlation_interval[row, 0]),
                "correlation_high": float(found.correlation_interval[row, 1]),
                "error": float(found.error[row]),
                "error_low": float(found.error_interval[row, 0]),
                "error_high": float(found.error_interval[row, 1]),
                "scale": float(found.scale[row]),
                "offset": float(found.offset[row]),
                "points": int(found.points[row]),
                "reason": found.reasons[row],
            }
            for row, neuron in enumerate(self.neurons)
        ]

    def plot(self, neuron: int | None = None) -> Any:
        """Draw the measured points and the fitted curve of a neuron, the best one for None.

        Needs matplotlib, the ``plot`` extra.
        """
        from openretina_widgets.insilico.comparison.plotting import plot_tuning

        return plot_tuning(self, self.best if neuron is None else neuron)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path.

        The file appears under its name only once it is whole.
        """
        return save_comparison(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TuningComparison:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a saved comparison of this kind.
        """
        return load_comparison(cls, path)

    def __repr__(self) -> str:
        n = len(self.neurons)
        return (
            f"TuningComparison({n} neuron{'s' if n > 1 else ''}, {len(self.x)} points of "
            f"{self.label})"
        )


def compare_tuning(
    curves: Any,
    measured: Any,
    *,
    axis: str | None = None,
    neurons: Any = None,
    log_x: bool | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> TuningComparison:
    """Put measured tuning points beside a model's tuning curves.

    The model's curve is interpolated at the measured values; measured points beyond its ends are
    left out, and counted. Scale and offset are fitted by least squares, since a model's unit is
    arbitrary. The intervals come from a bootstrap over the measured points.

    Parameters
    ----------
    curves
        `TuningCurves`, or ``(x, responses)`` with responses ``(point,)`` or ``(point, neuron)``.
    measured
        What `read_points` takes: two arrays, or a ``.npz`` or ``.csv`` file.
    axis
        What was varied, for `TuningCurves` over several axes, each neuron at its best value of the
        others; the only axis for None.
    neurons
        Neurons of `curves` to compare, all for None.
    log_x
        Interpolate over the logarithm of x; for None where all x are positive and the model's grow
        by more than a factor of 4.
    resamples, confidence, seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        If an argument does not fit; the message names it.
    """
    x, responses, known, label = _model_curves(curves, axis)
    chosen = known if neurons is None else _whole_numbers(neurons)
    if missing := [neuron for neuron in chosen if neuron not in known]:
        raise ValueError(f"neurons: the curves hold {_shortly(known)}, not {missing[0]}")
    responses = responses[:, [known.index(neuron) for neuron in chosen]]
    check_bootstrap(resamples, confidence, seed)
    if log_x not in (None, True, False):
        raise TypeError(f"log_x: expected True, False or None, got {log_x!r}")
    where, values, missing_points = points_of(measured)
    if not len(where):
        raise ValueError(f"measured: no point has a number, {missing_points} have none")
    if log_x is None:
        log_x = bool(x[0] > 0 and x[-1] > 4 * x[0] and (where > 0).all())
    elif log_x and not (x[0] > 0 and (where > 0).all()):
        raise ValueError("log_x: expected positive values of x alone")
    inside = (where >= x[0]) & (where <= x[-1])
    if not inside.any():
        raise ValueError(
            f"measured: no point lies within the model's curve, {x[0]:g} to {x[-1]:g}; the points "
            f"reach from {where[0]:g} to {where[-1]:g}"
        )
    left_out = int((~inside).sum()) + missing_points
    where, values = where[inside], values[inside]
    scale = np.log if log_x else np.asarray
    model = _interpolated(scale(x), responses, scale(where))
    found = agreement(
        model,
        values,
        draws=draws_of_points(len(where), resamples=resamples, seed=seed),
        confidence=confidence,
        seed=seed,
    )
    return TuningComparison(
        x=where,
        measured=values,
        model=model,
        fitted=found.scale[:, None] * model + found.offset[:, None],
        agreement=found,
        neurons=chosen,
        label=label,
        left_out=left_out,
        log_x=log_x,
    )


def _whole_numbers(neurons: Any) -> tuple[int, ...]:
    several = (
        neurons if isinstance(neurons, Iterable) and not isinstance(neurons, str) else [neurons]
    )
    chosen = list(several)
    if not chosen:
        raise ValueError("neurons: expected at least one neuron, got none")
    for neuron in chosen:
        if not is_index(neuron):
            raise TypeError(f"neurons: expected whole numbers, got {neuron!r}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons: expected each neuron once, got {chosen}")
    return tuple(int(neuron) for neuron in chosen)


def _model_curves(
    curves: Any, axis: str | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], str]:
    """Return x ``(point,)`` ascending, responses ``(point, neuron)``, neurons and a label."""
    if hasattr(curves, "responses") and hasattr(curves, "axes"):
        return _of_axis(curves, axis)
    try:
        x, responses = curves
        x = np.asarray(x, dtype=np.float64)
        responses = np.asarray(responses, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"curves: expected TuningCurves or (x, responses) of numbers, got {curves!r}"
        ) from None
    if responses.ndim == 1:
        responses = responses[:, None]
    if x.ndim != 1 or responses.ndim != 2 or len(x) != len(responses) or len(x) < 2:
        raise ValueError(
            "curves: expected x (point,) and responses (point, neuron) of at least 2 points, got "
            f"shapes {x.shape} and {responses.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"curves: expected finite values of x, got {x.tolist()}")
    order = np.argsort(x, kind="stable")
    if (np.diff(x[order]) == 0).any():
        raise ValueError("curves: a value of x came twice")
    return x[order], responses[order], tuple(range(responses.shape[1])), axis or "x"


def _of_axis(curves: Any, axis: str | None) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], str]:
    names = [one.name for one in curves.axes]
    if axis is None and len(names) == 1:
        axis = names[0]
    if axis not in names:
        raise ValueError(f"axis: expected one of {names}, got {axis!r}")
    index = names.index(axis)
    responses = np.moveaxis(np.asarray(curves.responses, dtype=np.float64), index, 0)
    x = np.asarray(curves.axes[index].values, dtype=np.float64)
    if len(x) < 2:
        raise ValueError(f"curves: expected at least 2 values of {axis}, got {len(x)}")
    # Each neuron at the other conditions at which it answers most, as an experimenter would.
    flat = responses.reshape(len(x), -1, responses.shape[-1])
    peak = np.where(np.isnan(flat), -np.inf, flat).max(axis=0).argmax(axis=0)
    best = np.take_along_axis(flat, peak[None, None, :], axis=1)[:, 0]
    order = np.argsort(x, kind="stable")
    return x[order], best[order], tuple(curves.neurons), curves.axes[index].label


def _interpolated(x: np.ndarray, responses: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return ``(neuron, point)``, linear between the model's points, all neurons at once."""
    right = np.clip(np.searchsorted(x, where), 1, len(x) - 1)
    left = right - 1
    share = ((where - x[left]) / (x[right] - x[left]))[:, None]
    return ((1 - share) * responses[left] + share * responses[right]).T


def _shortly(neurons: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, neurons[:6]))
    return f"neurons {shown}{' …' if len(neurons) > 6 else ''}"
