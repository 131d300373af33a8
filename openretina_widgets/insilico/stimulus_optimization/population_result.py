"""The results of a whole population, in memory or in a folder that grows while the run goes on."""

from __future__ import annotations

import contextlib
import html
import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from openretina_widgets.errors import OtherResults, OutOfMemory
from openretina_widgets.insilico.archive import read_archive
from openretina_widgets.insilico.stimulus_optimization.result import OptimizationResult
from openretina_widgets.memory import free_memory
from openretina_widgets.models.neuron import ModelIdentity

if TYPE_CHECKING:
    from openretina_widgets.insilico.population.table import SelectivityTable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_KIND = "results of a population"
_FORMAT = 1
_CARD = "population.json"
_IN_USE = "in_use"
_SMALL = ("score", "iterations", "best_iteration")

_COLUMNS: tuple[tuple[Any, ...], ...] = (
    ("neuron", "neuron", "", "Position on the neuron axis of the session."),
    ("score", "score", "", "Of the best stimulus, the best of all seeds."),
    ("spread", "spread", "", "Standard deviation of the score over the seeds."),
    ("seed", "seed", "", "Seed of the start that led to the best stimulus."),
    ("iterations", "iterations", "", "Until the run from that seed ended."),
    ("best_iteration", "best iteration", "", "Updates until the best stimulus."),
    ("stop_reason", "ended", "", "Why the run from that seed ended.", "text"),
)


@dataclass(frozen=True)
class _One:
    """Where the result of a neuron from a seed is, and what the table says of it."""

    block: Path | OptimizationResult
    row: int
    score: float
    iterations: int
    best_iteration: int
    stop_reason: str


class PopulationResult:
    """The best stimuli of a population's neurons, each from one or more seeds.

    Only the figures are held in memory where the results are in a folder; stimuli are read when
    they are asked for.

    Attributes
    ----------
    folder
        Where the results are; None for the memory.
    card
        Model, session, settings and versions, as plain values.

    Examples
    --------
    >>> result = optimize_population(load_model("synthetic"), range(8), max_iterations=20)
    >>> result.of(3).stimulus.shape
    torch.Size([1, 2, 50, 18, 16])
    >>> result.summary.sort("score", descending=True).neurons
    """

    def __init__(self, card: Mapping[str, Any], folder: Path | None = None) -> None:
        self.folder = folder
        self.card = dict(card)
        self._ones: dict[tuple[int, int], _One] = {}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PopulationResult:
        """Open a folder of results, whether its run has ended or not.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If the folder holds no results of a population.
        """
        path = Path(folder)
        if not path.is_dir():
            raise FileNotFoundError(f"folder: there is no folder {os.fspath(folder)!r}")
        loaded = cls(_read_card(path), path)
        for block in sorted(path.glob("block-*.npz")):
            loaded._index(block)
        return loaded

    @property
    def model(self) -> ModelIdentity:
        """Name, source and weight hash of the model."""
        return ModelIdentity(**self.card["model"])

    @property
    def data_key(self) -> str | None:
        """Session of the neurons."""
        return self.card.get("data_key")

    @property
    def settings(self) -> dict[str, Any]:
        """What all results have in common, as plain values."""
        return dict(self.card["settings"])

    def cell_type(self, neuron: int) -> str:
        """Return the cell type of a neuron, empty where it is not known."""
        types = self.card.get("cell_types") or ()
        return str(types[neuron]) if neuron < len(types) else ""

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries that the run began with."""
        return dict(self.card.get("versions", {}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the results, in order."""
        return tuple(sorted({seed for _, seed in list(self._ones)}))

    @property
    def neurons(self) -> tuple[int, ...]:
        """The neurons that have a result, in order."""
        return tuple(sorted({neuron for neuron, _ in list(self._ones)}))

    def __len__(self) -> int:
        """Return the number of results, over neurons and seeds."""
        return len(self._ones)

    def has(self, neuron: int, seed: int) -> bool:
        """Return whether there is a result of a neuron from a seed."""
        return (neuron, seed) in self._ones

    def of(self, neuron: int) -> OptimizationResult:
        """Return the results of one neuron, from the lowest seed to the highest.

        Raises
        ------
        ValueError
            If there is none.
        """
        return self._read([pair for pair in sorted(self._ones) if pair[0] == neuron], neuron)

    def __iter__(self) -> Iterator[tuple[int, OptimizationResult]]:
        """Yield each neuron with its results, one after the other."""
        for neuron in self.neurons:
            yield neuron, self.of(neuron)

    def blocks(
        self, but: Collection[tuple[int, int]] = frozenset()
    ) -> Iterator[OptimizationResult]:
        """Yield all results as they came, some neurons at once: each file is read once.

        Parameters
        ----------
        but
            Pairs of neuron and seed that are known: blocks of these alone are left out.
        """
        wanted = [one for pair, one in list(self._ones.items()) if pair not in but]
        keys = {
            one.block if isinstance(one.block, Path) else id(one.block): one.block for one in wanted
        }
        for block in keys.values():
            yield OptimizationResult.load(block) if isinstance(block, Path) else block

    def together(self) -> OptimizationResult:
        """Return all results as one batch, neurons in order and their seeds within.

        Raises
        ------
        OutOfMemory
            If they need more than half of the memory that is free.
        """
        needed = len(self) * int(self.card.get("bytes_of_one", 0))
        if self.folder is not None and 2 * needed > free_memory():
            raise OutOfMemory(
                f"{len(self)} results take {needed / 2**30:.3g} GiB, and "
                f"{free_memory() / 2**30:.3g} GiB are free; read them neuron by neuron with of()"
            )
        return self._read(sorted(self._ones), None)

    @property
    def summary(self) -> SelectivityTable:
        """One row a neuron: score of the best seed, iterations, and why that run ended."""
        # The table's part of the engine looks at best stimuli itself.
        from openretina_widgets.insilico.population.columns import Column
        from openretina_widgets.insilico.population.table import SelectivityTable

        columns = tuple(Column(*column) for column in _COLUMNS)
        values: dict[str, list[Any]] = {column.name: [] for column in columns}
        of_neuron: dict[int, dict[int, _One]] = {}
        for (neuron, seed), one in list(self._ones.items()):
            of_neuron.setdefault(neuron, {})[seed] = one
        for neuron in sorted(of_neuron):
            own = of_neuron[neuron]
            finite = [seed for seed in own if np.isfinite(own[seed].score)]
            best = max(finite or own, key=lambda seed, own=own: (own[seed].score, -seed))
            scores = [own[seed].score for seed in own]
            row = {
                "neuron": neuron,
                "score": own[best].score,
                "spread": float(np.std(scores)) if len(scores) > 1 else np.nan,
                "seed": best,
                "iterations": own[best].iterations,
                "best_iteration": own[best].best_iteration,
                "stop_reason": own[best].stop_reason,
            }
            for name, value in row.items():
                values[name].append(value)
        spread = np.array(values["spread"], dtype=float)
        return SelectivityTable(
            columns=columns,
            values={name: np.array(column) for name, column in values.items()},
            reasons={"spread": np.where(np.isnan(spread), "one seed", "").astype(object)},
            data_key=self.data_key,
            model=self.model,
            settings={"neurons": list(self.neurons)},
            versions=self.versions,
        )

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {os.fspath(self.folder)!r}"
        neurons = len(self.neurons)
        return f"PopulationResult({len(self)} results of {neurons} neurons, {where})"

    def _repr_html_(self) -> str:
        words = html.escape(self._summary())
        if not len(self):
            return f"<b>Best stimuli</b><br>{words}"
        best = self.summary.sort("score", descending=True)
        return f"<b>Best stimuli</b><br>{words}{best.html_rows()}"

    def _summary(self) -> str:
        where = "in memory" if self.folder is None else f"in {os.fspath(self.folder)}"
        n, neurons = len(self), len(self.neurons)
        return (
            f"{n} result{'' if n == 1 else 's'} of {neurons} neuron{'' if neurons == 1 else 's'} "
            f"of {self.model.name}, session {self.data_key}, {where}; the largest scores first"
        )

    def add(self, block: Path | OptimizationResult, result: OptimizationResult) -> None:
        """Take in a result that is at `block`."""
        each = zip(
            result.neurons,
            result.seeds,
            result.score.tolist(),
            result.iterations.tolist(),
            result.best_iteration.tolist(),
            result.stop_reasons,
            strict=True,
        )
        for row, ((neuron,), seed, score, iterations, best, reason) in enumerate(each):
            self._ones[neuron, seed] = _One(block, row, score, iterations, best, reason)

    def _index(self, block: Path) -> None:
        def take_in(words: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
            small = (arrays[name].tolist() for name in _SMALL)
            each = zip(words["neurons"], words["seeds"], words["stop_reasons"], *small, strict=True)
            for row, ((neuron,), seed, reason, score, iterations, best) in enumerate(each):
                self._ones[neuron, seed] = _One(block, row, score, iterations, best, reason)

        read_archive(block, take_in, only=_SMALL)

    def _read(self, pairs: Sequence[tuple[int, int]], neuron: int | None) -> OptimizationResult:
        if not pairs:
            there = f"of neuron {neuron!r}" if neuron is not None else "at all"
            raise ValueError(f"neuron: there are no results {there} yet")
        rows_of: dict[Path | int, list[tuple[int, int]]] = {}
        blocks: dict[Path | int, Path | OptimizationResult] = {}
        for position, pair in enumerate(pairs):
            one = self._ones[pair]
            key = one.block if isinstance(one.block, Path) else id(one.block)
            blocks[key] = one.block
            rows_of.setdefault(key, []).append((one.row, position))
        parts, order = [], []
        for key, rows in rows_of.items():
            block = blocks[key]
            whole = OptimizationResult.load(block) if isinstance(block, Path) else block
            parts.append(whole.take([row for row, _ in rows]))
            order += [position for _, position in rows]
        return OptimizationResult.join(parts).take(np.argsort(order).tolist())


def stored_in(folder: str | os.PathLike[str]) -> PopulationResult | None:
    """Return what a folder holds, None where no run has begun in it."""
    return PopulationResult.load(folder) if (Path(folder) / _CARD).exists() else None


class Store:
    """Takes in what has ended, and writes it to a folder block by block, where there is one.

    A block appears under its name only once it is whole. So whatever ends the run, the folder holds
    whole results, and the next run goes on with what is missing.

    Parameters
    ----------
    card
        What the folder's results have to have in common.
    folder
        None to hold the results in memory.
    """

    def __init__(self, card: Mapping[str, Any], folder: str | os.PathLike[str] | None) -> None:
        self._lock: int | None = None
        self._waiting: list[OptimizationResult] = []
        if folder is None:
            self.result = PopulationResult(card)
            return
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        if (path / _CARD).exists():
            _check_same(path, _read_card(path), card)
            self.result = PopulationResult.load(path)
        else:
            # A run that was killed at once has left its lock, and perhaps half a card.
            if any(file.name != _IN_USE and file.suffix != ".part" for file in path.iterdir()):
                raise OtherResults(
                    f"folder: {os.fspath(path)!r} holds other files, and no results of a "
                    "population; give an empty folder, or one that does not exist yet"
                )
            self.result = PopulationResult(card, path)

    @contextlib.contextmanager
    def open(self) -> Iterator[Store]:
        """Be the only one to write to the folder while this lasts."""
        path = self.result.folder
        if path is None:
            yield self
            return
        with _in_use(path):
            for left in path.glob("*.part"):  # of a run that was killed
                left.unlink()
            if not (path / _CARD).exists():
                with self._told():
                    _write_card(path, self.result.card)
            yield self

    def add(self, result: OptimizationResult) -> None:
        """Take in what has ended."""
        if self.result.folder is None:
            self.result.add(result, result)
        else:
            self._waiting.append(result)

    @property
    def waiting(self) -> int:
        """Results that are not on the disk yet."""
        return sum(len(result.stop_reasons) for result in self._waiting)

    def write(self) -> None:
        """Write what waits as one block."""
        folder = self.result.folder
        if folder is None or not self._waiting:
            return
        # What cannot be written is computed again by the run that goes on.
        block, self._waiting = OptimizationResult.join(self._waiting), []
        taken = [int(path.stem.split("-")[1]) for path in folder.glob("block-*.npz")]
        path = folder / f"block-{max(taken, default=-1) + 1:06d}.npz"
        with self._told():
            block.save(path)
        self.result.add(path, block)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno,
                f"folder: {error.strerror or error}; {len(self.result)} results are written and "
                "whole. Make room, and call again with the same folder to go on",
                os.fspath(self.result.folder or ""),
            ) from error


@contextlib.contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Let one process at a time write; the system lets go when the process ends, however."""
    if fcntl is None:
        yield
        return
    file = os.open(folder / _IN_USE, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"folder: another run is writing to {os.fspath(folder)!r}; wait for it to end"
            ) from error
        yield
    finally:
        os.close(file)


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    partial = folder / f"{_CARD}.{uuid.uuid4().hex}.part"
    try:
        text = json.dumps({"kind": _KIND, "format": _FORMAT, **card}, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(folder / _CARD)
    finally:
        partial.unlink(missing_ok=True)


def _read_card(folder: Path) -> dict[str, Any]:
    no_results = f"folder: {os.fspath(folder)!r} holds no results of a population"
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OtherResults(no_results) from error
    if not isinstance(card, dict) or card.pop("kind", None) != _KIND:
        raise OtherResults(no_results)
    if (version := card.pop("format", None)) != _FORMAT:
        raise OtherResults(f"folder: expected format {_FORMAT} of results, got {version!r}")
    return card


def _check_same(folder: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse a folder of another model or other settings, and say what differs, the model first."""
    had, wants = there.get("model") or {}, asked.get("model") or {}
    differing = []
    if had.get("weight_hash") != wants.get("weight_hash"):
        names, hashes = (
            [model.get(key) for model in (had, wants)] for key in ("name", "weight_hash")
        )
        differing.append(
            f"of the model {names[0]!r}, not {names[1]!r}"
            if names[0] != names[1]
            else f"of the model {names[0]!r} with other weights ({hashes[0]}, not {hashes[1]})"
        )
    if there.get("data_key") != asked.get("data_key"):
        differing.append(f"of session {there.get('data_key')!r}, not {asked.get('data_key')!r}")
    settings = [
        f"{name} {had!r}, not {wants!r}"
        for name, had, wants in _differences(
            "settings", there.get("settings"), asked.get("settings")
        )
    ]
    if settings:
        differing.append(f"with {'; '.join(settings)}")
    if differing:
        raise OtherResults(
            f"folder: {os.fspath(folder)!r} holds results {', and '.join(differing)}; give another "
            "folder"
        )


def _differences(name: str, there: Any, asked: Any) -> Iterator[tuple[str, Any, Any]]:
    asked = json.loads(json.dumps(asked))
    if isinstance(there, dict) and isinstance(asked, dict):
        for key in [*there, *(key for key in asked if key not in there)]:
            yield from _differences(f"{name}.{key}", there.get(key), asked.get(key))
    elif isinstance(there, list) and isinstance(asked, list) and len(there) == len(asked):
        for place, pair in enumerate(zip(there, asked, strict=True)):
            yield from _differences(f"{name}[{place}]", *pair)
    elif there != asked:
        yield name, there, asked


def card_of(model: Any, data_key: str, settings: Mapping[str, Any], one: torch.Tensor) -> Any:
    """Return what a folder says of its results, as plain values."""
    from openretina_widgets.insilico.provenance import versions

    return {
        "model": asdict(model.identity),
        "data_key": data_key,
        "cell_types": [neuron.cell_type or "" for neuron in model.neurons(data_key)],
        "settings": dict(settings),
        "bytes_of_one": one.numel() * 4,
        "versions": versions(),
    }
