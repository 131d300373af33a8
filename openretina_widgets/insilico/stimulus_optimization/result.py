"""Values that a run hands out: a `Step` an iteration, and an `OptimizationResult` at the end."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.stimulus_optimization.parametrization import with_y_up
from openretina_widgets.models.retina_model import ModelIdentity

_KIND = "optimization result"
_Y = "up"  # of the parameters; down in older files, which do not say so
_PARAMETER = "parameter "  # before the name of a parameter's array in a file


@dataclass(frozen=True, eq=False)
class Step:
    """One iteration of a run, over the elements of the batch that are still running.

    The tensors are the run's own: they hold until the generator is resumed. Copy what is to be
    kept.

    Attributes
    ----------
    iteration
        Number of updates so far; 0 is the start.
    elements
        Position in the batch of each row below.
    score, penalty, loss
        ``(row,)``; ``loss = penalty - score``.
    stimulus
        ``(row, channel, time, height, width)``.
    response
        ``(row, time)`` of the neurons that the objective looks at, None when it does not tell.
    score_trace
        ``(iteration + 1, batch)``: every score so far, NaN where an element had ended. In the
        steps of a population the columns are places, which elements leave to others.
    iterations
        Of each row, its updates so far: less than ``iteration`` where it entered later.
    at_once
        Rows that are computed at once since the memory did not suffice for more; None for all.
    """

    iteration: int
    elements: tuple[int, ...]
    score: torch.Tensor
    penalty: torch.Tensor
    loss: torch.Tensor
    stimulus: torch.Tensor
    response: torch.Tensor | None
    score_trace: torch.Tensor
    iterations: tuple[int, ...] = ()
    at_once: int | None = None


@dataclass(frozen=True, eq=False)
class OptimizationResult:
    """The best stimulus of each experiment of a batch, with all that is needed to do it again.

    Attributes
    ----------
    stimulus
        ``(batch, channel, time, height, width)`` on the CPU, in model units: of each run the
        stimulus with the lowest loss, not the last.
    score, penalty
        ``(batch,)`` of that stimulus; NaN if there was no finite score.
    response
        ``(batch, time)`` to that stimulus, of the neurons that the objective looks at; None when
        the objective does not tell.
    score_trace
        ``(iterations + 1, batch)``, NaN where an element had ended.
    best_iteration, iterations
        ``(batch,)``: updates until the best stimulus, and until the end.
    norm
        ``(batch,)``: L2 norm reached.
    stop_reasons
        Why each element ended.
    neurons
        Neurons that each element looked at; empty when the objective does not tell.
    window
        First response frame that counted and the frame after the last.
    seeds
        Seed of each element's start; empty when the start was given.
    start
        The start that was given, as `stimulus`; None where `seeds` say how it was drawn.
    parameters, parameter_units
        Of a run with a parametrization: each parameter by name, ``(batch, ...)``, and its unit.
    data_key
        Session, None when the objective does not tell.
    settings
        Objective, optimizer, regularizers, postprocessors and stopper.
    model
        Name, source and weight hash, None when the objective does not tell.
    lag, frame_rate, pixel_size_um, channels, unit
        Frames that the model consumes, Hz, µm, names, and the unit of the stimulus.
    duration_s
        Time spent on the run, without pauses.
    versions
        Versions of the libraries.
    """

    stimulus: torch.Tensor
    score: torch.Tensor
    penalty: torch.Tensor
    score_trace: torch.Tensor
    best_iteration: torch.Tensor
    iterations: torch.Tensor
    norm: torch.Tensor
    stop_reasons: tuple[str, ...]
    response: torch.Tensor | None = None
    start: torch.Tensor | None = None
    neurons: tuple[tuple[int, ...], ...] = ()
    window: tuple[int, int] | None = None
    seeds: tuple[int, ...] = ()
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)
    parameter_units: dict[str, str] = field(default_factory=dict)
    data_key: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    model: ModelIdentity | None = None
    lag: int | None = None
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = "model units"
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def stop_reason(self) -> str:
        """Why the run ended, each reason once."""
        return "; ".join(dict.fromkeys(self.stop_reasons))

    @property
    def mean_luminance(self) -> torch.Tensor:
        """``(batch, channel)``: mean over time and pixels that was reached, in model units."""
        return self.stimulus.double().flatten(2).mean(dim=2)

    @property
    def rms_contrast(self) -> torch.Tensor:
        """``(batch, channel)``: standard deviation about that mean, in model units."""
        return self.stimulus.double().flatten(2).std(dim=2, correction=0)

    def take(self, elements: Sequence[int]) -> OptimizationResult:
        """Return some elements of the batch alone, by their positions."""
        rows = list(elements)
        ends = self.iterations[rows]
        return replace(
            self,
            stimulus=self.stimulus[rows],
            score=self.score[rows],
            penalty=self.penalty[rows],
            response=None if self.response is None else self.response[rows],
            score_trace=self.score_trace[: int(ends.max()) + 1, rows],
            best_iteration=self.best_iteration[rows],
            iterations=ends,
            norm=self.norm[rows],
            stop_reasons=tuple(self.stop_reasons[row] for row in rows),
            neurons=tuple(self.neurons[row] for row in rows) if self.neurons else (),
            seeds=tuple(self.seeds[row] for row in rows) if self.seeds else (),
            start=None if self.start is None else self.start[rows],
            parameters={name: value[rows] for name, value in self.parameters.items()},
            settings=_with_elements(self, lambda _, of_each: [of_each[row] for row in rows]),
        )

    @classmethod
    def join(cls, results: Sequence[OptimizationResult]) -> OptimizationResult:
        """Return the elements of several results of one model and the same settings as one."""
        first = results[0]
        longest = max(len(one.score_trace) for one in results)
        traces = [
            torch.nn.functional.pad(
                one.score_trace, (0, 0, 0, longest - len(one.score_trace)), value=torch.nan
            )
            for one in results
        ]

        def together(name: str) -> Any:
            tensors = [getattr(one, name) for one in results]
            return None if tensors[0] is None else torch.cat(tensors)

        tensors = ("stimulus", "score", "penalty", "best_iteration", "iterations", "norm")

        def each(name: str, _: list[Any]) -> list[Any]:
            return [x for one in results for x in one.settings["objective"][name]]

        return replace(
            first,
            **{name: together(name) for name in (*tensors, "response", "start")},
            score_trace=torch.cat(traces, dim=1),
            stop_reasons=tuple(reason for one in results for reason in one.stop_reasons),
            neurons=tuple(neurons for one in results for neurons in one.neurons),
            seeds=tuple(seed for one in results for seed in one.seeds),
            parameters={
                name: torch.cat([one.parameters[name] for one in results])
                for name in first.parameters
            },
            settings=_with_elements(first, each) | _largest(results),
            duration_s=sum(one.duration_s for one in results),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path.

        The file appears under its name only once it is whole.
        """
        arrays: dict[str, np.ndarray] = {}
        words: dict[str, Any] = {"kind": _KIND}
        if self.parameters:
            words["y"] = _Y
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, torch.Tensor):
                arrays[name] = value.numpy()
            elif name == "parameters":
                arrays |= {f"{_PARAMETER}{key}": one.numpy() for key, one in value.items()}
            else:
                words[name] = asdict(value) if isinstance(value, ModelIdentity) else value
        return write_archive(path, words=words, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OptimizationResult:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a saved result.
        """
        return read_archive(path, cls._from_archive)

    @classmethod
    def _from_archive(
        cls, words: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> OptimizationResult:
        if words.pop("kind", _KIND) != _KIND:
            raise TypeError("another kind of result")
        y_is_up = words.pop("y", None) == _Y
        for name in ("stop_reasons", "seeds", "channels"):
            words[name] = tuple(words[name])
        words["neurons"] = tuple(tuple(element) for element in words["neurons"])
        words["window"] = tuple(words["window"]) if words["window"] else None
        words["model"] = ModelIdentity(**words["model"]) if words["model"] else None
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        words["parameters"] = {
            name.removeprefix(_PARAMETER): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(_PARAMETER)
        }
        words |= tensors
        if not y_is_up:
            words["parameters"], words["parameter_units"] = with_y_up(
                words["settings"].get("parametrization") or {},
                words["parameters"],
                words.get("parameter_units") or {},
            )
        return cls(**words)

    def plot(self, element: int = 0) -> Any:
        """Draw score, response, temporal trace and spatial component; return the figure.

        Needs matplotlib, the ``plot`` extra.
        """
        from openretina_widgets.insilico.stimulus_optimization.plotting import plot_result

        return plot_result(self, element)

    def __repr__(self) -> str:
        return f"OptimizationResult({self._summary()})"

    def _repr_html_(self) -> str:
        return f"<b>Optimised stimulus</b><br>{html.escape(self._summary())}"

    def _summary(self) -> str:
        batch = len(self.stop_reasons)
        scores = ", ".join(f"{score:.4g}" for score in self.score[:4].tolist())
        name = self.model.name if self.model else "unknown model"
        return (
            f"{batch} stimul{'us' if batch == 1 else 'i'} {tuple(self.stimulus.shape[1:])}, "
            f"{name}, score {scores}{', …' if batch > 4 else ''}; ended: {self.stop_reason}; "
            f"{self.duration_s:.1f} s"
        )


_OF_EACH = {
    "NeuronsObjective": ("neurons",),
    "GroupsObjective": ("targets",),
    "GroupMeanObjective": ("targets",),
    "SparseObjective": ("neurons",),
    "DiverseObjective": ("neurons", "sets"),
    "LayerObjective": ("channel",),
}


def _of_elements(result: OptimizationResult) -> tuple[str, ...]:
    """Return which settings of the objective have a value for each element."""
    objective = result.settings.get("objective", {})
    names = _OF_EACH.get(objective.get("type"), ())
    return tuple(name for name in names if isinstance(objective.get(name), list))


def _with_elements(
    result: OptimizationResult, change: Callable[[str, list[Any]], list[Any]]
) -> dict[str, Any]:
    """Return the settings with what the objective has for each element changed."""
    names, objective = _of_elements(result), result.settings.get("objective", {})
    if not names:
        return dict(result.settings)
    changed = {name: change(name, objective[name]) for name in names}
    return {**result.settings, "objective": {**objective, **changed}}


def _largest(results: Sequence[OptimizationResult]) -> dict[str, float]:
    """Return how far a lower precision was off at most in any of several results."""
    names = ("deviation_of_score", "relative_deviation_of_score")
    told = {name: [one.settings[name] for one in results if name in one.settings] for name in names}
    return {name: max(values) for name, values in told.items() if values}
