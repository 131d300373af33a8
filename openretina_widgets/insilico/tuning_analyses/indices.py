"""The indices that a sweep allows, of all its neurons: chosen by what was varied.

Curves are taken by behaviour: `axes` (each with `name` and `values`), `responses`
``(*axes, neuron)``, `traces` ``(*axes, response frame, neuron)``, `windows` ``(*axes, 2)``,
`baseline`, `onset`, `f0`, `f1`, `repeats`, `settings` and `frame_rate`, as `TuningCurves` has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from openretina_widgets.insilico.tuning_analyses.chromatic import colour_opponency
from openretina_widgets.insilico.tuning_analyses.measure import (
    MISSING,
    ROUNDING,
    Measure,
    divide,
    magnitude,
    measure,
)
from openretina_widgets.insilico.tuning_analyses.permutation import permutation_p
from openretina_widgets.insilico.tuning_analyses.response_indices import (
    on_off_index,
    size_suppression,
    sparseness,
    sustained_index,
    transience,
)
from openretina_widgets.insilico.tuning_analyses.selectivity import (
    Selectivity,
    direction_selectivity,
    motion_orientation,
    orientation_selectivity,
)
from openretina_widgets.insilico.tuning_analyses.signal import response_quality

__all__ = ["TuningAlong", "indices_of", "measures_of", "resting_response", "tuning_along"]

FREQUENCIES = ("spatial_frequency", "temporal_frequency")


class TuningAlong(NamedTuple):
    """Tuning along one axis, each neuron at its best value of the other axes.

    Attributes
    ----------
    values
        ``(n,)`` of the axis.
    responses
        ``(n, neuron)``.
    best
        ``(neuron,)``, index of the other axes' condition, in C order, at which the neuron's
        largest response over all conditions lies.
    axis, n_axes
        Which axis it is, and of how many.
    """

    values: np.ndarray
    responses: np.ndarray
    best: np.ndarray
    axis: int
    n_axes: int

    def take(self, array: np.ndarray) -> np.ndarray:
        """Return ``(*axes, ..., neuron)`` at each neuron's best: ``(n, ..., neuron)``."""
        return _take(array, self.axis, self.n_axes, self.best)


def tuning_along(curves: Any, axis_name: str) -> TuningAlong:
    """Return the tuning along one axis at the best of the other axes, neuron by neuron.

    Direction tuning is so measured at each neuron's best frequency, and frequency tuning in its
    best direction: where the largest of all its responses lies.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    names = [axis.name for axis in curves.axes]
    if axis_name not in names:
        raise ValueError(f"axis_name: expected one of {names}, got {axis_name!r}")
    axis = names.index(axis_name)
    responses = np.asarray(curves.responses, dtype=np.float64)
    moved = np.moveaxis(responses, axis, 0)
    flat = moved.reshape(moved.shape[0], -1, moved.shape[-1])
    best = np.where(np.isfinite(flat), flat, -np.inf).max(axis=0).argmax(axis=0)
    values = np.asarray(curves.axes[axis].values, dtype=np.float64)
    along = _take(responses, axis, len(names), best)
    return TuningAlong(values, along, best, axis, len(names))


def _take(array: np.ndarray, axis: int, n_axes: int, best: np.ndarray) -> np.ndarray:
    moved = np.moveaxis(np.asarray(array), axis, 0)
    rest = moved.shape[n_axes:]
    flat = moved.reshape(moved.shape[0], -1, *rest)
    cells = np.arange(rest[-1])
    if len(rest) == 1:
        return flat[:, best, cells]
    return np.moveaxis(flat[:, best, ..., cells], 0, -1)


def indices_of(curves: Any) -> dict[str, np.ndarray]:
    """Return every index that a sweep allows.

    Parameters
    ----------
    curves
        A sweep's `TuningCurves`, or what has its attributes.

    Returns
    -------
    dict
        Short name, such as ``"dsi"`` or ``"on_off"``, to ``(neuron,)``; NaN where the index is not
        defined. `measures_of` has the reasons, units and limits.
    """
    return {name: found.values for name, found in measures_of(curves).items()}


def measures_of(curves: Any) -> dict[str, Measure]:
    """Return every index that a sweep allows, with reasons, units and limits.

    - An axis ``"direction"``: direction and orientation selectivity, with p where there are
      repeats. With further axes, at each neuron's best condition of those.
    - ``"orientation"``: orientation selectivity.
    - ``"spatial_frequency"``, ``"temporal_frequency"``: the tested value with the largest
      response, in the best direction.
    - ``"diameter"``: suppression, preferred and surround diameter.
    - ``"green"`` and ``"uv"``: colour opponency.
    - Steps of light: ON–OFF index, transience and sustained index of the step that the neuron
      answers more. The steps are the largest and the most negative value of an axis ``"polarity"``
      (in a flash experiment also of ``"contrast"``), each over its window; or else the first
      entries ``(what, start, stop)`` of ``settings["events"]``, in response frames, whose words
      begin with ``"ON step"`` (brighter) and ``"OFF step"`` (darker).
    - F1 and F0: F1/F0 at the best condition. More than two conditions: lifetime sparseness.
    - Repeats: response quality, of the windowed means over conditions in place of frames.
    """
    found: dict[str, Measure] = {}
    names = [axis.name for axis in curves.axes]
    if "direction" in names:
        along = tuning_along(curves, "direction")
        traces = _traces(curves, along)
        orientations = motion_orientation(along.values)
        found |= _named("dsi", "preferred_direction", direction_selectivity(
            along.responses, along.values, traces=traces
        ))  # fmt: skip
        found |= _named("osi", "preferred_orientation", orientation_selectivity(
            along.responses, orientations, traces=traces
        ))  # fmt: skip
        found |= _p(curves, along, {"dsi_p": (along.values, 360.0), "osi_p": (orientations, 180.0)})
    elif "orientation" in names:
        along = tuning_along(curves, "orientation")
        found |= _named("osi", "preferred_orientation", orientation_selectivity(
            along.responses, along.values, traces=_traces(curves, along)
        ))  # fmt: skip
        found |= _p(curves, along, {"osi_p": (along.values, 180.0)})
    for name in FREQUENCIES:
        if name in names:
            found[f"best_{name}"] = _best_value(curves, name)
    if "diameter" in names:
        along = tuning_along(curves, "diameter")
        size = size_suppression(
            along.responses,
            along.values,
            baseline=resting_response(curves),
            unit=_unit(curves, "diameter"),
        )
        found["suppression"] = size.suppression
        found["preferred_diameter"] = size.preferred_diameter
        found["surround_diameter"] = size.surround_diameter
    if {"green", "uv"} <= set(names):
        found["colour_opponency"] = _opponency(curves, names)
    found |= _step_measures(curves, names)
    if getattr(curves, "f1", None) is not None and curves.f0 is not None:
        found["f1_f0"] = _f1_f0(curves)
    flat = _flat(curves)
    if len(flat) > 2:
        found["lifetime_sparseness"] = sparseness(flat)
    repeats = getattr(curves, "repeats", None)
    if repeats is not None and len(flat) > 1:
        each = np.asarray(repeats, dtype=np.float64)
        found["response_quality"] = response_quality(each.reshape(len(each), *flat.shape))
    return found


def _flat(curves: Any) -> np.ndarray:
    responses = np.asarray(curves.responses, dtype=np.float64)
    return responses.reshape(-1, responses.shape[-1])


def resting_response(curves: Any) -> np.ndarray:
    """Return the response to grey of every neuron; 0 where it was not measured."""
    n = np.shape(curves.responses)[-1]
    baseline = getattr(curves, "baseline", None)
    rest = np.zeros(n) if baseline is None else np.asarray(baseline, dtype=np.float64)
    return np.where(np.isfinite(rest), rest, 0.0)


def _unit(curves: Any, name: str) -> str:
    return next(getattr(axis, "unit", "") for axis in curves.axes if axis.name == name)


def _traces(curves: Any, along: TuningAlong) -> np.ndarray | None:
    """Traces from the onset of the stimulus on, ``(n, frame, neuron)``; None without any."""
    traces = getattr(curves, "traces", None)
    if traces is None:
        return None
    return along.take(np.asarray(traces))[:, int(getattr(curves, "onset", 0)) :]


def _named(short: str, preferred: str, found: Selectivity) -> dict[str, Measure]:
    return {
        short: found.vector_index,
        preferred: found.preferred_deg,
        f"{short}_pref_null" if short == "dsi" else f"{short}_pref_orth": found.pref_null_index,
        f"{short}_baden": found.baden_index,
        f"{short}_baden_raw": found.baden_raw_index,
    }


def _p(
    curves: Any, along: TuningAlong, wanted: dict[str, tuple[np.ndarray, float]]
) -> dict[str, Measure]:
    repeats = getattr(curves, "repeats", None)
    if repeats is None:
        return {}
    each = np.stack([along.take(one) for one in np.asarray(repeats, dtype=np.float64)])
    seed = int(getattr(curves, "seed", 0) or 0)
    return {
        name: permutation_p(each, angles, period_deg=period, seed=seed)
        for name, (angles, period) in wanted.items()
    }


def _best_value(curves: Any, name: str) -> Measure:
    along = tuning_along(curves, name)
    missing = ~np.isfinite(along.responses).all(axis=0)
    curve = np.where(missing, 0.0, along.responses)
    span = curve.max(axis=0) - curve.min(axis=0)
    words = name.replace("_", " ")
    return measure(
        f"best {words}",
        along.values[curve.argmax(axis=0)],
        {
            MISSING: missing,
            f"one {words} only": len(along.values) < 2,
            f"the same response to every {words}": span
            <= ROUNDING * magnitude(curve, resting_response(curves)),
        },
        limits=(float(along.values.min()), float(along.values.max())),
        unit=_unit(curves, name),
    )


def _opponency(curves: Any, names: list[str]) -> Measure:
    order = [names.index("green"), names.index("uv")]
    moved = np.moveaxis(np.asarray(curves.responses, dtype=np.float64), order, (0, 1))
    flat = moved.reshape(*moved.shape[:2], -1, moved.shape[-1])
    best = np.where(np.isfinite(flat), flat, -np.inf).max(axis=(0, 1)).argmax(axis=0)
    green, uv = (curves.axes[index].values for index in order)
    grid = flat[:, :, best, np.arange(flat.shape[-1])]
    return colour_opponency(grid, green, uv, baseline=resting_response(curves))


def _f1_f0(curves: Any) -> Measure:
    f1, f0 = (np.asarray(a, dtype=np.float64) for a in (curves.f1, curves.f0))
    flat = _flat(curves)
    n = flat.shape[-1]
    best = np.where(np.isfinite(flat), flat, -np.inf).argmax(axis=0)
    f1, f0 = (array.reshape(-1, n)[best, np.arange(n)] for array in (f1, f0))
    return measure(
        "F1/F0",
        divide(f1, f0),
        {
            MISSING: ~np.isfinite(f1 + f0),
            "F0 is 0": np.abs(f0) <= ROUNDING * np.abs(f1),
            "F0 is below 0": f0 < 0,
        },
        limits=(0, np.inf),
    )


def _step_measures(curves: Any, names: list[str]) -> dict[str, Measure]:
    steps = _steps(curves, names)
    if steps is None:
        return {}
    rest = resting_response(curves)
    on, off = (_padded_mean(step) for step in steps)
    # The step that drives the neuron to the higher peak tells how transient it is.
    peaks = [np.where(np.isfinite(step), step, -np.inf).max(axis=0) for step in steps]
    length = max(len(step) for step in steps)
    padded = [
        np.concatenate([step, np.full((length - len(step), step.shape[1]), np.nan)])
        for step in steps
    ]
    stronger = np.where(peaks[0] >= peaks[1], *padded)
    return {
        "on_off": on_off_index(on, off, baseline=rest),
        "transience": transience(stronger, frame_rate=float(curves.frame_rate), baseline=rest),
        "sustained": sustained_index(stronger, baseline=rest),
    }


def _padded_mean(step: np.ndarray) -> np.ndarray:
    seen = np.isfinite(step)
    return divide(np.where(seen, step, 0.0).sum(axis=0), seen.sum(axis=0))


def _steps(curves: Any, names: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Response to the ON and to the OFF step, each ``(frame, neuron)``; None without both."""
    traces = getattr(curves, "traces", None)
    if traces is None:
        return None
    traces = np.asarray(traces, dtype=np.float64)
    signed = "contrast" if getattr(curves, "experiment", "") == "flash" else "polarity"
    for name in {"polarity", signed} & set(names):
        along = tuning_along(curves, name)
        if not along.values.min() < 0 < along.values.max():
            continue
        at_best = along.take(traces)
        windows = np.moveaxis(np.asarray(curves.windows), along.axis, 0)
        windows = windows.reshape(len(windows), -1, 2)
        on, off = int(along.values.argmax()), int(along.values.argmin())
        first, second = (
            at_best[k, windows[k, :, 0].min() : windows[k, :, 1].max()] for k in (on, off)
        )
        return first, second
    settings = getattr(curves, "settings", None) or {}
    if "events_of_conditions" in settings:  # the steps come at another time in each condition
        return None
    events = settings.get("events") or ()
    spans = {word: _first_step(events, word) for word in ("ON", "OFF")}
    if spans["ON"] is None or spans["OFF"] is None:
        return None
    flat = traces.reshape(-1, *traces.shape[-2:])
    if len(flat) > 1:
        best = np.where(np.isfinite(flat), flat, -np.inf).max(axis=1).argmax(axis=0)
        trace = flat[best, :, np.arange(flat.shape[-1])].T
    else:
        trace = flat[0]
    return trace[slice(*spans["ON"])], trace[slice(*spans["OFF"])]


def _first_step(events: Iterable[Any], word: str) -> tuple[int, int] | None:
    for what, start, stop in events:
        if str(what).startswith(f"{word} step") and stop > start:
            return max(int(start), 0), int(stop)
    return None
