"""What a sweep hands out: the responses of every neuron to every condition, with their units."""

from __future__ import annotations

import html
import itertools
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.experiment import axis_of
from openretina_widgets.models.retina_model import ModelIdentity

if TYPE_CHECKING:
    from openretina_widgets.insilico.tuning_analyses.permutation import Interval

_TUPLES = ("neurons", "cell_types", "notes", "channels")


@dataclass(frozen=True, eq=False)
class TuningCurves:
    """Responses of neurons to the conditions of an experiment.

    Attributes
    ----------
    experiment, title
        Name of the experiment, and what it is in words.
    axes
        What was varied, with units; the axes of the arrays below, in this order.
    neurons
        Index of each neuron in its session; the last axis of the arrays below.
    data_key
        Session.
    cell_types
        Type of each neuron, ``""`` where it is not known.
    responses
        ``(*axes, neuron)``: mean over the window of the condition (a.u.), without noise; NaN
        where the condition is not finished.
    traces
        ``(*axes, response frame, neuron)``, NaN after the end of the shorter ones. Response frame
        t belongs to stimulus frame ``t + lag``.
    windows
        ``(*axes, 2)``: first response frame that is averaged, and the frame after the last.
    onset
        Response frame at which the stimulus begins.
    baseline
        ``(neuron,)``: mean response to grey of the same length, over the same windows.
    f0, f1
        ``(*axes, neuron)``: mean and amplitude at the temporal frequency of a grating,
        ``2 |Σ r exp(-2πi f t)| / N`` over the window's N frames. NaN where the window holds no
        whole cycle; None where nothing is periodic.
    repeats
        ``(repeat, *axes, neuron)`` of the noise model; None without one.
    controls
        By name, ``(*axes, neuron)``: the same conditions as controls. That of the linear control
        has its own neurons, listed in ``settings["linear_control_neurons"]``.
    centres
        ``(neuron, 2)``: x and y on which each neuron was shown its stimuli, in the unit of
        lengths; None where all were shown the same.
    noise, seed
        Noise model of the repeats, and the seed of what is random.
    notes
        What a reader has to know.
    settings
        All else that the stimuli are made from; ``"stimulus"`` has every parameter of one of them,
        with units. ``"events"`` are what, start and stop in response
        frames of the first condition; ``"events_of_conditions"`` those of each where they differ.
        ``"computed"`` says how the model was computed.
    polar
        Axis that is an angle; None without one.
    model, lag, frame_rate, pixel_size_um, channels, unit
        Name, source and weight hash; frames that the model consumes, Hz, µm, names, and the unit
        of the responses.
    duration_s
        Time spent on the sweep, without pauses.
    versions
        Versions of the libraries.
    """

    experiment: str
    title: str
    axes: tuple[Axis, ...]
    neurons: tuple[int, ...]
    data_key: str
    cell_types: tuple[str, ...]
    responses: np.ndarray
    traces: np.ndarray
    windows: np.ndarray
    onset: int
    baseline: np.ndarray
    f0: np.ndarray | None = None
    f1: np.ndarray | None = None
    repeats: np.ndarray | None = None
    controls: dict[str, np.ndarray] = field(default_factory=dict)
    centres: np.ndarray | None = None
    noise: str | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    polar: str | None = None
    model: ModelIdentity | None = None
    lag: int = 0
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = "a.u."
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    # Looking at it ---------------------------------------------------------------------------

    def axis(self, name: str) -> Axis:
        """Return an axis by its name, or raise ValueError that names the nearest."""
        return axis_of(self.axes, name)

    def column(self, neuron: int) -> int:
        """Return the place of a neuron on the last axis of the arrays.

        Raises
        ------
        ValueError
            If the neuron was not recorded.
        """
        if neuron not in self.neurons:
            raise ValueError(
                f"neuron: expected one of the {len(self.neurons)} recorded, "
                f"{_few(self.neurons)}, got {neuron!r}"
            )
        return self.neurons.index(neuron)

    @property
    def finished(self) -> float:
        """Share of the conditions that all neurons have been shown, in [0, 1]."""
        return float(np.isfinite(self.responses).all(axis=-1).mean())

    def curve(
        self, axis_name: str, neuron: int | None = None, **at: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the tuning along one axis.

        Parameters
        ----------
        axis_name
            The axis.
        neuron
            Index of a neuron in its session, all for None.
        at
            Value of each other axis, such as ``temporal_frequency=2``: the nearest one counts.
            Without it each neuron is taken at its best: where the largest of its responses lies.

        Returns
        -------
        tuple
            Values ``(n,)`` and responses ``(n,)``, or ``(n, neuron)`` for all neurons.

        Raises
        ------
        ValueError
            If there is no such axis or neuron.
        """
        axis = self.axis(axis_name)
        names = [one.name for one in self.axes]
        responses = self.responses
        for name, value in at.items():
            if name == axis_name:
                raise ValueError(f"{name}: it is the axis of the curve, and cannot be held")
            nearest = int(np.abs(self.axis(name).values - value).argmin())
            responses = np.take(responses, [nearest], axis=names.index(name))
        moved = np.moveaxis(responses, names.index(axis_name), 0)
        flat = moved.reshape(len(axis), -1, len(self.neurons))
        best = np.where(np.isfinite(flat), flat, -np.inf).max(axis=0).argmax(axis=0)
        along = np.take_along_axis(flat, best[None, None], axis=1)[:, 0]
        return axis.values, along if neuron is None else along[:, self.column(neuron)]

    def indices(self) -> dict[str, np.ndarray]:
        """Return every index that the experiment allows, ``(neuron,)`` each; NaN: not defined."""
        from openretina_widgets.insilico.tuning_analyses.indices import indices_of

        return indices_of(self)

    def fits(self) -> dict[str, Any]:
        """Return the fits that the experiment allows, each of all neurons."""
        from openretina_widgets.insilico.tuning_analyses.fits import fits_of

        return fits_of(self)

    def interval(
        self,
        statistic: Callable[[np.ndarray], Any],
        *,
        n: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> Interval:
        """Return the bootstrap interval of any statistic of the mean responses, over repeats.

        Parameters
        ----------
        statistic
            Mean responses ``(*axes, neuron)`` to ``(neuron,)``, such as ``lambda mean:
            mean.max(axis=0)``; a `Measure` will do.
        n, level, seed
            See `bootstrap_interval`.

        Raises
        ------
        ValueError
            If the sweep had no repeats: ``sweep(..., noise="poisson", repeats=10)`` has.
        """
        from openretina_widgets.insilico.tuning_analyses.permutation import bootstrap_interval

        if self.repeats is None:
            raise ValueError(
                "repeats: the sweep had none, so nothing varies; expected a sweep with "
                "noise='poisson' and repeats=10, for instance"
            )
        return bootstrap_interval(self.repeats, statistic, n=n, level=level, seed=seed)

    def plot(self, neurons: Iterable[int] | int | None = None) -> Any:
        """Draw curve and traces of neurons, the first four for None; return the figure.

        Needs matplotlib, the ``plot`` extra.
        """
        from openretina_widgets.insilico.tuning_analyses.plotting import plot_curves

        if neurons is None:
            chosen: list[int] = list(self.neurons[:4])
        else:
            chosen = list(neurons) if isinstance(neurons, Iterable) else [neurons]
        return plot_curves(self, chosen)

    # Taking it elsewhere ---------------------------------------------------------------------

    def table(self) -> list[dict[str, Any]]:
        """Return one row a condition and neuron: the axes' values, neuron, type and response."""
        columns = self._columns()
        names = list(columns)
        return [
            dict(zip(names, row, strict=True))
            for row in zip(*(values.tolist() for values in columns.values()), strict=True)
        ]

    def to_pandas(self) -> Any:
        """Return the rows of `table` as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        frame = pandas.DataFrame(self._columns())
        frame.attrs = {axis.name: axis.unit for axis in self.axes} | {"response": self.unit}
        return frame

    def to_xarray(self) -> Any:
        """Return an xarray Dataset with the axes as coordinates, and units as attributes.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("to_xarray() needs xarray: pip install xarray") from error
        names = tuple(axis.name for axis in self.axes)
        data: dict[str, Any] = {
            "response": ((*names, "neuron"), self.responses, {"units": self.unit}),
            "trace": ((*names, "time", "neuron"), self.traces, {"units": self.unit}),
            "window": ((*names, "edge"), self.windows, {"units": "response frame"}),
            "baseline": (("neuron",), self.baseline, {"units": self.unit}),
        }
        for name in ("f0", "f1"):
            if (values := getattr(self, name)) is not None:
                data[name] = ((*names, "neuron"), values, {"units": self.unit})
        if self.repeats is not None:
            data["repeats"] = (("repeat", *names, "neuron"), self.repeats, {"units": self.unit})
        for name, values in self.controls.items():
            last = "neuron" if values.shape[-1] == len(self.neurons) else "control_neuron"
            key = f"control_{name.replace(' ', '_').replace('-', '_')}"
            data[key] = ((*names, last), values, {"units": self.unit})
        coordinates: dict[str, Any] = {
            axis.name: ((axis.name,), axis.values, {"units": axis.unit}) for axis in self.axes
        }
        seconds = (np.arange(self.traces.shape[-2]) - self.onset) / self.frame_rate
        coordinates["time"] = (("time",), seconds, {"units": "s"})
        coordinates["neuron"] = (("neuron",), list(self.neurons))
        coordinates["cell_type"] = (("neuron",), list(self.cell_types))
        attributes = {
            "title": self.title,
            "experiment": self.experiment,
            "data_key": self.data_key,
            "model": self.model.name if self.model else "",
            "notes": "; ".join(self.notes),
        }
        return xarray.Dataset(data, coords=coordinates, attrs=attributes)

    def _columns(self) -> dict[str, np.ndarray]:
        shape = self.responses.shape
        grids = np.meshgrid(
            *(axis.values for axis in self.axes), np.arange(shape[-1]), indexing="ij"
        )
        neuron = grids[-1].reshape(-1).astype(np.int64)
        columns = {
            axis.name: grid.reshape(-1) for axis, grid in zip(self.axes, grids, strict=False)
        }
        columns["neuron"] = np.asarray(self.neurons)[neuron]
        columns["cell_type"] = np.asarray(self.cell_types, dtype=object)[neuron]
        columns["response"] = self.responses.reshape(-1)
        columns["baseline"] = self.baseline[neuron]
        for name in ("f0", "f1"):
            if (values := getattr(self, name)) is not None:
                columns[name] = values.reshape(-1)
        return columns

    # Keeping it ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path.

        The file appears under its name only once it is whole.
        """
        arrays: dict[str, np.ndarray] = {}
        words: dict[str, Any] = {"kind": "tuning curves"}
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, np.ndarray):
                arrays[name] = value
            elif name == "axes":
                words[name] = [[axis.name, axis.unit] for axis in value]
                arrays |= {f"axis {k}": axis.values for k, axis in enumerate(value)}
            elif name == "controls":
                arrays |= {f"control {key}": values for key, values in value.items()}
            else:
                words[name] = asdict(value) if isinstance(value, ModelIdentity) else value
        return write_archive(path, words=words, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TuningCurves:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a saved sweep.
        """
        return read_archive(path, cls._from_archive)

    @classmethod
    def _from_archive(cls, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> TuningCurves:
        if words.pop("kind") != "tuning curves":
            raise TypeError("this is another kind of result")
        for name in _TUPLES:
            words[name] = tuple(words[name])
        words["axes"] = tuple(
            Axis(name, arrays.pop(f"axis {k}"), unit)
            for k, (name, unit) in enumerate(words["axes"])
        )
        words["model"] = ModelIdentity(**words["model"]) if words["model"] else None
        prefix = "control "
        words["controls"] = {
            name.removeprefix(prefix): arrays.pop(name)
            for name in [*arrays]
            if name.startswith(prefix)
        }
        words |= arrays
        return cls(**words)

    # Showing it ------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"TuningCurves({self._summary()})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(axis.label)}</td><td>{html.escape(_few(axis.values))}</td></tr>"
            for axis in self.axes
        )
        notes = "".join(f"<br>{html.escape(note)}" for note in self.notes)
        return (
            f"<b>{html.escape(self.title)}</b><br>{html.escape(self._summary())}{notes}"
            f"<table>{rows}</table>"
        )

    def _summary(self) -> str:
        axes = " × ".join(f"{len(axis)} {axis.name}" for axis in self.axes)
        name = self.model.name if self.model else "unknown model"
        n = len(self.neurons)
        finished = "" if self.finished == 1 else f", {self.finished:.0%} finished"
        return (
            f"{self.experiment}, {axes}, {n} neuron{'' if n == 1 else 's'}, {name}{finished}; "
            f"{self.duration_s:.1f} s"
        )


def _few(values: Iterable[float]) -> str:
    shown = [f"{value:g}" for value in itertools.islice(values, 9)]
    return ", ".join(shown[:8]) + (" …" if len(shown) > 8 else "")
