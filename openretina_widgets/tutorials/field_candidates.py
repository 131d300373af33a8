"""Pictures among which a receptive field is picked: the right one, and plausible wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openretina_widgets.insilico.receptive_fields.estimation import receptive_fields
from openretina_widgets.insilico.receptive_fields.result import ReceptiveFields
from openretina_widgets.models.retina_model import RetinaModel

_MOST_OTHERS = 24  # neurons whose fields are looked at
# Cosine above which two pictures look the same; a surround is pale, and seen all the same.
_ALIKE, _ALIKE_WITHOUT_SURROUND = 0.95, 0.995
_LEAST_PICTURES = 3
_WITHOUT = "its own without the surround"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A picture to pick.

    Attributes
    ----------
    image
        ``(height, width)``, signed.
    what
        What it is, told afterwards.
    right
        Whether it is the neuron's own.
    """

    image: np.ndarray
    what: str
    right: bool = False


def candidates_of(
    model: RetinaModel, neuron: int, *, data_key: str, pictures: int, seed: int
) -> tuple[Candidate, ...]:
    """Return pictures of which one is the neuron's field, in a random order.

    The wrong ones are the neuron's field with its sign flipped, its centre without the surround,
    and shifted, and the fields of other neurons, as far as they look different.

    Parameters
    ----------
    model, neuron, data_key
        Whose field it is.
    pictures
        How many there are at most.
    seed
        Of the order, of the shift and of the other neurons.

    Raises
    ------
    ValueError
        If the neuron has no receptive field, or fewer than three pictures look different.
    """
    rng = np.random.default_rng((seed, neuron))  # not the same letter for all
    rest = [other for other in range(model.n_neurons(data_key)) if other != neuron]
    others = rng.permutation(rest)[:_MOST_OTHERS].tolist()
    fields = receptive_fields(model, neurons=[neuron, *others], data_key=data_key)
    own = fields.spatial[0]
    # A field that vanishes is no picture; one that no Gaussian fits still is.
    if not np.isfinite(own).all() or not own.any():
        raise ValueError(f"neuron: {neuron} has no receptive field to pick: {fields.reasons[0]}")
    kept = [Candidate(own, "its own", right=True)]
    for candidate in [*_manipulated(fields, rng), *_of_others(fields)]:
        if len(kept) == pictures:
            break
        alike = _ALIKE_WITHOUT_SURROUND if candidate.what == _WITHOUT else _ALIKE
        if all(cosine(candidate.image, one.image) < alike for one in kept):
            kept.append(candidate)
    if len(kept) < _LEAST_PICTURES:
        raise ValueError(
            f"neuron: {neuron} leaves {len(kept)} pictures that look different, expected at least "
            f"{_LEAST_PICTURES}"
        )
    return tuple(kept[k] for k in rng.permutation(len(kept)))


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of two images; NaN where one is 0 or not known."""
    a, b = (np.asarray(image, dtype=np.float64).ravel() for image in (first, second))
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / length, -1.0, 1.0)) if length > 0 else float("nan")


def _manipulated(fields: ReceptiveFields, rng: np.random.Generator) -> list[Candidate]:
    own = fields.spatial[0]
    made = [Candidate(-own, "its own with the sign flipped")]
    if fields.fit.determined[0]:
        made.append(Candidate(_centre(fields), _WITHOUT))
    made.append(Candidate(_shifted(own, rng), "its own, shifted"))
    return made


def _of_others(fields: ReceptiveFields) -> list[Candidate]:
    """Fields of other neurons, those of other types first."""
    types = fields.cell_types or ("",) * len(fields.neurons)
    known = [k for k in range(1, len(fields.neurons)) if fields.fit.determined[k]]
    known.sort(key=lambda k: types[k] == types[0])  # stable: the random order stays
    return [Candidate(fields.spatial[k], f"that of neuron {fields.neurons[k]}") for k in known]


def _centre(fields: ReceptiveFields) -> np.ndarray:
    """The Gaussian that fits the centre."""
    fit = fields.fit
    rows, columns = np.mgrid[: fields.spatial.shape[1], : fields.spatial.shape[2]]
    x, y = columns - fit.column[0], fit.row[0] - rows  # up
    angle = np.radians(fit.angle_deg[0])
    along = (np.cos(angle) * x + np.sin(angle) * y) / fit.sigma_major[0]
    across = (np.cos(angle) * y - np.sin(angle) * x) / fit.sigma_minor[0]
    return np.asarray(fit.amplitude[0] * np.exp(-0.5 * (along**2 + across**2)))


def _shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image moved by a third of its sides, to where there is more room.

    What is at its edge comes in: a seam would give it away.
    """
    moved = image
    peak = np.unravel_index(int(np.abs(image).argmax()), image.shape)
    axes = [0, 1] if rng.random() < 0.5 else [int(rng.integers(2))]
    for axis in axes:
        size = image.shape[axis]
        by = max(1, size // 3) * (1 if peak[axis] < size / 2 else -1)
        moved = np.take(moved, np.clip(np.arange(size) - by, 0, size - 1), axis=axis)
    return moved
