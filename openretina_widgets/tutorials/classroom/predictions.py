"""What a predicted tuning curve is when it is sent to a class.

============== ==================================================================================
key            value
============== ==================================================================================
``values``     ``(n,)``, what was predicted; None where nothing was drawn
``x``          ``(n,)``, conditions
``unit``       of the values, such as ``"% of largest"``; any, as curves are compared in percent of
               their own largest value
``label``      of the axis of conditions, with its unit
``log``        whether that axis is logarithmic
``kind``       ``"cartesian"``, or ``"polar"`` for angles in degrees, counter-clockwise, 0° right
``measured``   ``(n,)``, the true curve, once it was measured; None or absent before
============== ==================================================================================

Only ``values`` and ``x`` are needed. A prediction that is sent once more, as when the true curve
was measured, takes the place of the one before. A predicted direction is sent as a number, a
receptive field that was picked as its name, either of them also as ``{"value": ...}``: these are
counted like answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openretina_widgets.tutorials.percent import in_percent


@dataclass(frozen=True, eq=False)
class PredictedCurve:
    """A curve that a student expected, and the true one where it is known.

    Attributes
    ----------
    kind
        ``"cartesian"`` or ``"polar"``.
    x
        ``(n,)``, conditions in increasing order.
    label
        Of the conditions, with their unit.
    log
        Whether the conditions are spaced logarithmically.
    predicted
        ``(n,)``, in percent of the largest; NaN where nothing was drawn.
    measured
        ``(n,)`` likewise, or None where it is not known.
    """

    kind: str
    x: np.ndarray
    label: str
    log: bool
    predicted: np.ndarray
    measured: np.ndarray | None

    @property
    def axis(self) -> tuple[Any, ...]:
        """What two curves share that are drawn together."""
        return (self.kind, tuple(self.x.tolist()))

    def has_conditions_of(self, other: PredictedCurve) -> bool:
        """Whether both are over the same conditions, however they are drawn."""
        return self.x.shape == other.x.shape and bool(np.allclose(self.x, other.x, rtol=1e-6))


def read_prediction(value: Any) -> PredictedCurve | None:
    """Return the curve in a value that was sent; None if it is something else or malformed."""
    if not isinstance(value, dict):
        return None
    x, predicted = _numbers(value.get("x")), _numbers(value.get("values"))
    if x is None or predicted is None or x.shape != predicted.shape or not np.isfinite(x).all():
        return None
    measured = _numbers(value.get("measured"))
    if measured is not None and measured.shape != x.shape:
        measured = None
    order = np.argsort(x, kind="stable")
    return PredictedCurve(
        kind="polar" if value.get("kind") == "polar" else "cartesian",
        x=x[order],
        label=str(value.get("label", "")),
        log=bool(value.get("log")) and bool((x > 0).all()),
        predicted=in_percent(predicted[order]),
        measured=None if measured is None else in_percent(measured[order]),
    )


def _numbers(values: Any) -> np.ndarray | None:
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= 2000:
        return None
    try:
        return np.array([np.nan if one is None else float(one) for one in values])
    except (TypeError, ValueError):
        return None
