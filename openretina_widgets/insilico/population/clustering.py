"""Groups of neurons that respond alike, found by clustering."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from torch import nn

from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.population.measuring import selectivity_table
from openretina_widgets.insilico.population.table import (
    SelectivityTable,
    as_text,
    html_table,
)
from openretina_widgets.insilico.provenance import versions
from openretina_widgets.insilico.tuning_analyses.curves import TuningCurves
from openretina_widgets.models._checks import is_index
from openretina_widgets.models.retina_model import ModelIdentity, RetinaModel, as_retina_model

MEASURED = ("flash", "direction", "chromatic", "size")
"""The experiments that the indices below come from."""

INDICES = ("on_off", "transience", "contrast_change", "suppression", "colour_opponency")
_ANGLES = (("dsi", "preferred_direction", 1), ("osi", "preferred_orientation", 2))
_KIND = "groups of neurons"
_MOST_NEURONS = 5_000  # their distances take 200 MB
_MOST_GROUPS = 50
_GROUPS_SHOWN, _TYPES_SHOWN, _RUNS_SHOWN = 20, 3, 12  # in a notebook's output


@dataclass(frozen=True, eq=False)
class NeuronGroups(Mapping[str, tuple[int, ...]]):
    """Groups of neurons by name, for whatever takes groups.

    Attributes
    ----------
    groups
        Name to neurons; the names count from ``"group 0"`` on, in the order of the neurons.
    features
        ``(neuron, feature)``: what was compared, in the order of `neurons`.
    feature_names
        Name of each feature, empty where none are known.
    silhouette
        Mean silhouette (Rousseeuw 1987) of these groups, in [-1, 1]: 1 where every neuron is much
        nearer to its own group than to the nearest other one.
    silhouettes
        By number of groups, of all numbers that were tried.
    data_key, model
        Session and model; None where neither is known.
    versions
        Versions of the libraries.
    cell_types
        Neuron to what the model says that it is, of those where it says anything.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> groups = find_groups(model)
    >>> groups.of(12)
    >>> result = most_discriminative_stimuli(model, groups, targets=groups.of(12))
    """

    groups: Mapping[str, tuple[int, ...]]
    features: NDArray[np.float64]
    feature_names: tuple[str, ...] = ()
    silhouette: float = np.nan
    silhouettes: Mapping[int, float] = field(default_factory=dict)
    data_key: str | None = None
    model: ModelIdentity | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    cell_types: Mapping[int, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name!r}: {len(own)}" for name, own in list(self.items())[:6])
        more = " …" if len(self) > 6 else ""
        return f"NeuronGroups({len(self)} groups; {sizes}{more}; silhouette {self.silhouette:.2f})"

    def _repr_html_(self) -> str:
        rows = [
            (name, str(len(own)), *([self._types_of(own)] if self.cell_types else []), _listed(own))
            for name, own in list(self.items())[:_GROUPS_SHOWN]
        ]
        head = ("group", "size", *(["cell types"] if self.cell_types else []), "neurons")
        table = html_table(head, rows, [name != "size" for name in head])
        more = len(self) - _GROUPS_SHOWN
        rest = f"<i>and {more} more group{'' if more == 1 else 's'}</i>, " if more > 0 else ""
        name = self.model.name if self.model else "unknown model"
        words = f"{len(self)} groups of {len(self.neurons)} neurons, {name}"
        return f"<b>{html.escape(words)}</b>{table}{rest}mean silhouette {as_text(self.silhouette)}"

    def _types_of(self, neurons: Sequence[int]) -> str:
        """Return the cell types of a group, the most frequent first."""
        counts = Counter(self.cell_types.get(neuron, "not known") for neuron in neurons)
        shown = [f"{n} {name}" for name, n in counts.most_common(_TYPES_SHOWN)]
        return "; ".join([*shown, *(["…"] if len(counts) > _TYPES_SHOWN else [])])

    @property
    def neurons(self) -> tuple[int, ...]:
        """All neurons, in order."""
        return tuple(sorted(neuron for own in self.values() for neuron in own))

    def of(self, neuron: int) -> str:
        """Return the name of a neuron's group.

        Raises
        ------
        ValueError
            If the neuron is in no group.
        """
        for name, own in self.items():
            if neuron in own:
                return name
        raise ValueError(f"neuron: {neuron!r} is in none of the {len(self)} groups")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path."""
        words = {
            "kind": _KIND,
            "groups": {name: list(own) for name, own in self.items()},
            "feature_names": list(self.feature_names),
            "silhouette": self.silhouette,
            "silhouettes": [list(pair) for pair in self.silhouettes.items()],
            "data_key": self.data_key,
            "model": None if self.model is None else asdict(self.model),
            "versions": dict(self.versions),
            "cell_types": [list(pair) for pair in self.cell_types.items()],
        }
        return write_archive(path, words=words, arrays={"features": self.features})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NeuronGroups:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no groups.
        """
        return read_archive(path, cls._from_archive)

    @classmethod
    def _from_archive(cls, words: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NeuronGroups:
        if words.pop("kind", None) != _KIND:
            raise TypeError("another kind of result")
        return cls(
            groups={name: tuple(own) for name, own in words.pop("groups").items()},
            features=arrays["features"],
            feature_names=tuple(words.pop("feature_names")),
            silhouettes=dict(words.pop("silhouettes")),
            cell_types=dict(words.pop("cell_types", ())),  # files of before have none
            model=ModelIdentity(**model) if (model := words.pop("model")) else None,
            **words,
        )


def find_groups(
    source: RetinaModel | nn.Module | SelectivityTable | TuningCurves | NDArray[Any],
    count: int | None = None,
    *,
    neurons: Sequence[int] | None = None,
    data_key: str | None = None,
) -> NeuronGroups:
    """Group the neurons that respond alike.

    Neurons are joined by Ward's method on the Euclidean distance of their features (SciPy's
    ``linkage``), and the tree is cut where the mean silhouette is largest.

    Parameters
    ----------
    source
        Where the features come from. A `SelectivityTable`: ON–OFF index, transience, change with
        contrast, surround suppression and colour opponency, and the vectors of direction and
        orientation selectivity. All are within ±1, so they are compared as they are; what is
        undefined counts 0. A model: the same, measured now. `TuningCurves`: the responses to all
        conditions less their mean, and divided by their length, so that a gain does not count. An
        array ``(neuron, feature)``: as it is.
    count
        Number of groups; None for the number from 2 to 50 with the largest silhouette.
    neurons
        Neurons to group; all of the source for None. With an array, the neurons that its rows are.
    data_key
        Session of a model, the first one for None.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or all neurons are alike; the message names the argument.

    Examples
    --------
    >>> model = load_model("synthetic")
    >>> groups = find_groups(model)
    >>> result = most_discriminative_stimuli(model, groups, targets=["group 0", "group 3"])
    """
    chosen, features, names, session, model = _features(source, neurons, data_key)
    types = _cell_types(source, session)
    n = len(chosen)
    if n < 3:
        raise ValueError(f"neurons: expected at least 3 to group, got {n}")
    if n > _MOST_NEURONS:
        raise ValueError(f"neurons: expected at most {_MOST_NEURONS:,} to group, got {n:,}")
    if count is not None and (not is_index(count) or not 2 <= count <= n):
        raise ValueError(f"count: expected a whole number from 2 to {n}, got {count!r}")
    distance = pdist(features)
    if not distance.any():
        raise ValueError("source: all neurons have the same features, so there are no groups")
    tree = linkage(features, "ward")
    square = squareform(distance)
    tried = range(2, min(n - 1, _MOST_GROUPS) + 1) if count is None else (int(count),)
    silhouettes = {k: _silhouette(square, fcluster(tree, k, "maxclust")) for k in tried}
    labels = fcluster(tree, max(silhouettes, key=lambda k: (silhouettes[k], -k)), "maxclust")
    members: dict[int, list[int]] = {}
    for label, neuron in zip(labels.tolist(), chosen, strict=True):
        members.setdefault(label, []).append(neuron)
    return NeuronGroups(
        groups={f"group {i}": tuple(own) for i, own in enumerate(members.values())},
        features=features,
        feature_names=names,
        silhouette=_silhouette(square, labels),
        silhouettes=silhouettes,
        data_key=session,
        model=model,
        versions=versions(),
        cell_types={neuron: types[neuron] for neuron in chosen if types.get(neuron)},
    )


def _cell_types(source: Any, session: str | None) -> dict[int, str]:
    """Return what the source says that its neurons are."""
    if isinstance(source, nn.Module):
        return {one.index: one.cell_type or "" for one in as_retina_model(source).neurons(session)}
    if isinstance(source, SelectivityTable) and "cell_type" in source.names:
        return dict(zip(source.neurons, source["cell_type"].tolist(), strict=True))
    return {}


def _listed(neurons: Sequence[int]) -> str:
    """Return neurons to read: runs of neighbours as their ends, and not more than a line."""
    runs: list[list[int]] = []
    for neuron in sorted(neurons):
        if runs and neuron == runs[-1][-1] + 1:
            runs[-1].append(neuron)
        else:
            runs.append([neuron])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ", ".join([*texts[:_RUNS_SHOWN], *(["…"] if len(texts) > _RUNS_SHOWN else [])])


def _features(
    source: Any, neurons: Sequence[int] | None, data_key: str | None
) -> tuple[list[int], NDArray[np.float64], tuple[str, ...], str | None, ModelIdentity | None]:
    """Return neurons, features, their names, session and model."""
    if isinstance(source, nn.Module):
        source = selectivity_table(source, neurons=neurons, data_key=data_key, measure=MEASURED)
        neurons = data_key = None
    if isinstance(source, SelectivityTable | TuningCurves):
        if data_key is not None and data_key != source.data_key:
            raise ValueError(f"data_key: the source is of {source.data_key!r}, not {data_key!r}")
        own = [int(neuron) for neuron in source.neurons]
        if isinstance(source, SelectivityTable):
            features, names = _of_table(source)
        else:
            features, names = _of_curves(source), ()
        if neurons is not None:
            places = _places(own, neurons)
            own, features = [own[place] for place in places], features[places]
        return own, features, names, source.data_key, source.model
    if isinstance(source, str) or not isinstance(source, np.ndarray | Sequence):
        raise TypeError(
            "source: expected a model, a SelectivityTable, TuningCurves or an array (neuron, "
            f"feature), got {source!r}"
        )
    features = np.asarray(source, dtype=np.float64)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"source: expected an array (neuron, feature), got {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("source: it holds NaN or infinite features; expected finite ones")
    own = list(range(len(features))) if neurons is None else [int(one) for one in neurons]
    if len(own) != len(features) or len(set(own)) < len(own):
        raise ValueError(
            f"neurons: expected a neuron of its own for each of {len(features)} rows, got {own}"
        )
    return own, features, (), data_key, None


def _of_table(table: SelectivityTable) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    columns = {name: np.nan_to_num(table[name].astype(float)) for name in INDICES}
    for index, angle, times in _ANGLES:
        turned = np.exp(1j * times * np.deg2rad(table[angle].astype(float)))
        vector = np.nan_to_num(table[index].astype(float) * turned)
        columns[f"{index} x"], columns[f"{index} y"] = vector.real, vector.imag
    if all(np.isnan(table[name].astype(float)).all() for name in (*INDICES, "dsi", "osi")):
        raise ValueError(
            f"source: none of the indices is measured; measure {', '.join(MEASURED)} first"
        )
    return np.stack(list(columns.values()), axis=1), tuple(columns)


def _of_curves(curves: TuningCurves) -> NDArray[np.float64]:
    responses = curves.responses.reshape(-1, len(curves.neurons)).T.astype(np.float64)
    if not np.isfinite(responses).all():
        raise ValueError("source: some conditions of the sweep have not been measured")
    if responses.shape[1] < 2:
        raise ValueError("source: a sweep of one condition tells nothing about groups")
    responses = responses - responses.mean(axis=1, keepdims=True)
    length = np.linalg.norm(responses, axis=1, keepdims=True)
    return np.divide(responses, length, out=np.zeros_like(responses), where=length > 1e-9)


def _places(own: list[int], neurons: Sequence[int]) -> list[int]:
    known = {neuron: place for place, neuron in enumerate(own)}
    asked = [int(one) for one in neurons]
    missing = [one for one in asked if one not in known]
    if missing or len(set(asked)) < len(asked):
        what = f"there is no neuron {missing[0]}" if missing else "one of them was given twice"
        raise ValueError(f"neurons: {what}; the source has {own[:8]}{' …' if own[8:] else ''}")
    return [known[one] for one in asked]


def _silhouette(distance: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """Return the mean silhouette; a neuron that is alone in its group counts 0."""
    member = labels[:, None] == np.unique(labels)
    sizes = member.sum(axis=0)
    sums = distance @ member
    if member.shape[1] < 2:
        return 0.0
    own = sizes[member.argmax(axis=1)]
    inner = (sums * member).sum(axis=1) / np.maximum(own - 1, 1)
    outer = np.where(member, np.inf, sums / sizes).min(axis=1)
    largest = np.maximum(np.maximum(inner, outer), 1e-300)
    return float(np.where(own > 1, (outer - inner) / largest, 0.0).mean())
