"""Receptive fields of a population, with what they say of each neuron."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.receptive_fields.fits import (
    SpatialFit,
    fit_spatial,
    parameters_of,
)
from openretina_widgets.insilico.receptive_fields.split import (
    biphasic_index,
    polarity_of,
    split_fields,
    time_to_peak,
)
from openretina_widgets.models.retina_model import ModelIdentity

_TUPLES = ("neurons", "cell_types", "polarity", "reasons", "channels", "notes")


@dataclass(frozen=True, eq=False)
class FieldsStep:
    """Fields while they are computed.

    The array is the run's own: it holds until the generator is resumed. Copy what is to be kept.

    Attributes
    ----------
    neurons
        Neurons that this step added or improved.
    fields
        ``(neuron, channel, time, height, width)`` of all neurons asked for; NaN where there is
        nothing yet.
    done, total
        Neurons of a gradient, or frames of noise, so far and in all.
    unit
        ``"neurons"`` or ``"frames"``.
    """

    neurons: tuple[int, ...]
    fields: np.ndarray
    done: int
    total: int
    unit: str


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """Receptive fields, their split in space and time, and the fits of their images.

    Arrays have an entry for each neuron, in the order of `neurons`. What is not determined is NaN,
    and `reasons` says why.

    Attributes
    ----------
    fields
        ``(neuron, channel, time, height, width)``, the newest frame last. Of a gradient: response
        for each model unit of the stimulus. Of a spike-triggered average: model units, around the
        mean stimulus.
    temporal, spatial, channel_weights, separability
        See `FieldSplit`: kernel with a peak of 1, signed image (negative in an OFF centre), weight
        of each channel, share of the power that is separable.
    fit
        Gaussian and difference of Gaussians, lengths in pixels: see `SpatialFit`.
    polarity
        ``"ON"``, ``"OFF"``, such as ``"green OFF / UV ON"``, or ``""`` where no fit is determined.
    time_to_peak_ms
        From the largest lobe of `temporal` to the response; the newest frame stands for half a
        frame ago.
    biphasic_index
        Largest lobe of the other sign over the largest lobe of `temporal`, in [0, 1].
    reasons
        Why there is no field or no fit, ``""`` where there are.
    neurons, cell_types, data_key
        Which neurons, their types where they are known, and the session.
    method, base, window
        ``"gradient"``, ``"local gradient"`` or ``"sta"``; the stimulus that the gradient is taken
        at, or the noise, in words; response frames of the base that were averaged, first one and
        the one after the last, None for an average over noise.
    base_movie
        That stimulus, ``(channel, time, height, width)``; None for grey and for noise.
    frames_used, responses
        Frames of noise, and ``(neuron,)`` the summed response; for a gradient the number of
        response frames of the base, and the summed response to these.
    seed, settings, notes
        Of the noise; what else was asked for; what a reader has to know.
    model, lag, frame_rate, pixel_size_um, channels, unit, duration_s, versions
        The model, frames that it consumes, Hz, µm, names, the unit of `fields`, time spent, and
        versions of the libraries.
    """

    fields: np.ndarray
    temporal: np.ndarray
    spatial: np.ndarray
    channel_weights: np.ndarray
    separability: np.ndarray
    fit: SpatialFit
    polarity: tuple[str, ...]
    time_to_peak_ms: np.ndarray
    biphasic_index: np.ndarray
    reasons: tuple[str, ...]
    neurons: tuple[int, ...]
    cell_types: tuple[str, ...] = ()
    data_key: str | None = None
    method: str = "given"
    base: str = ""
    base_movie: np.ndarray | None = None
    window: tuple[int, int] | None = None
    frames_used: int = 0
    responses: np.ndarray | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    model: ModelIdentity | None = None
    lag: int = 0
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = "a.u."
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        fields: np.ndarray,
        *,
        frame_rate: float = 30.0,
        pixel_size_um: float | None = None,
        channels: Sequence[str] | None = None,
        neurons: Sequence[int] | None = None,
        reasons: Sequence[str] | None = None,
        **more: Any,
    ) -> ReceptiveFields:
        """Split and fit fields, measured ones among them.

        Parameters
        ----------
        fields
            ``(neuron, channel, time, height, width)``, the newest frame last; NaN for a field
            that is not known.
        frame_rate, pixel_size_um
            Hz, and µm on the retina or None.
        channels
            Names; ``("luminance",)`` for one channel when None.
        neurons
            Indices; counted from 0 when None.
        reasons
            Of each neuron, why its field is to be left out; ``""`` where it counts.
        **more
            Further attributes, such as ``method`` and ``base``.

        Raises
        ------
        ValueError
            If `fields` has another number of axes, or something does not have its length.
        """
        fields = np.asarray(fields)
        if fields.ndim != 5 or 0 in fields.shape:
            raise ValueError(
                "fields: expected (neuron, channel, time, height, width) with none of them 0, got "
                f"shape {fields.shape}"
            )
        n, n_channels, time = fields.shape[:3]
        if channels is None:
            channels = ("luminance",) if n_channels == 1 else tuple(map(str, range(n_channels)))
        known = [""] * n if reasons is None else list(reasons)
        neurons = range(n) if neurons is None else neurons
        for name, length, expected in (
            ("channels", len(channels), n_channels),
            ("reasons", len(known), n),
            ("neurons", len(neurons), n),
        ):
            if length != expected:
                raise ValueError(f"{name}: expected {expected} for these fields, got {length}")
        lost = np.array([bool(reason) for reason in known], dtype=bool)
        split = split_fields(np.where(lost[:, None, None, None, None], np.nan, fields))
        fit = fit_spatial(split.spatial)
        return cls(
            fields=fields,
            temporal=split.temporal,
            spatial=split.spatial,
            channel_weights=split.channel_weights,
            separability=split.separability,
            fit=fit,
            polarity=polarity_of(fit.amplitude, split.channel_weights, channels),
            time_to_peak_ms=time_to_peak(split.temporal, frame_rate),
            biphasic_index=biphasic_index(split.temporal),
            reasons=tuple(first or then for first, then in zip(known, fit.reasons, strict=True)),
            neurons=tuple(neurons),
            frame_rate=frame_rate,
            pixel_size_um=pixel_size_um,
            channels=tuple(channels),
            **{"lag": time - 1, **more},
        )

    @property
    def space_unit(self) -> str:
        """``"µm"`` where the pixel size is known, else ``"px"``."""
        return "px" if self.pixel_size_um is None else "µm"

    @property
    def pixel(self) -> float:
        """Size of a pixel in `space_unit`."""
        return 1.0 if self.pixel_size_um is None else self.pixel_size_um

    @property
    def centres(self) -> np.ndarray:
        """``(neuron, 2)``: x right and y up from the middle of the image, in `space_unit`."""
        height, width = self.spatial.shape[1:]
        x = self.pixel * (self.fit.column - (width - 1) / 2)
        y = self.pixel * ((height - 1) / 2 - self.fit.row)
        return np.stack([x, y], axis=1)

    @property
    def time_ms(self) -> np.ndarray:
        """``(time,)``: times of the frames (ms), negative, before the response."""
        frames = np.arange(self.temporal.shape[1]) - self.temporal.shape[1] + 0.5
        return frames * 1000.0 / self.frame_rate

    def separable(self) -> np.ndarray:
        """Return the separable part of the fields, in the shape of `fields`.

        Of a spike-triggered average it has far less scatter than the average itself.
        """
        return np.einsum(
            "nt,nc,nhw->ncthw", self.temporal, self.channel_weights, self.spatial, optimize=True
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row a neuron; lengths in the unit at the end of their names."""
        unit = "px" if self.pixel_size_um is None else "um"
        of_type = self.cell_types or ("",) * len(self.neurons)
        columns: dict[str, Any] = {
            "neuron": self.neurons,
            "cell_type": of_type,
            "polarity": self.polarity,
            f"x_{unit}": self.centres[:, 0],
            f"y_{unit}": self.centres[:, 1],
            f"sigma_major_{unit}": self.pixel * self.fit.sigma_major,
            f"sigma_minor_{unit}": self.pixel * self.fit.sigma_minor,
            "angle_deg": self.fit.angle_deg,
            f"diameter_{unit}": self.pixel * self.fit.diameter,
            f"area_{unit}2": self.pixel**2 * self.fit.area,
            "fit_quality": self.fit.quality,
            "surround_index": self.fit.surround_index,
            f"surround_sigma_{unit}": self.pixel * self.fit.centre_sigma * self.fit.surround_ratio,
            "surround_weight": self.fit.surround_weight,
            "time_to_peak_ms": self.time_to_peak_ms,
            "biphasic_index": self.biphasic_index,
            "separability": self.separability,
            "reason": self.reasons,
        }
        rows = zip(*columns.values(), strict=True)
        return [
            {
                name: float(value) if isinstance(value, np.floating) else value
                for name, value in zip(columns, row, strict=True)
            }
            for row in rows
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path."""
        arrays: dict[str, np.ndarray] = {}
        words: dict[str, Any] = {"kind": type(self).__name__}
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if name == "fit":
                parts = parameters_of(self.fit)
                words["fit_reasons"] = parts.pop("reasons")
                arrays |= {f"fit.{part}": values for part, values in parts.items()}
            elif isinstance(value, np.ndarray):
                arrays[name] = value
            else:
                words[name] = asdict(value) if isinstance(value, ModelIdentity) else value
        return write_archive(path, words=words, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReceptiveFields:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file holds no saved receptive fields.
        """
        return read_archive(path, cls._from_archive)

    @classmethod
    def _from_archive(cls, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> ReceptiveFields:
        if words.pop("kind") != cls.__name__:
            raise TypeError("another kind of result")
        parts = {name: arrays.pop(name) for name in list(arrays) if name.startswith("fit.")}
        fit = SpatialFit(
            **{name.removeprefix("fit."): values for name, values in parts.items()},
            reasons=tuple(words.pop("fit_reasons")),
        )
        for name in _TUPLES:
            words[name] = tuple(words[name])
        words["window"] = tuple(words["window"]) if words["window"] else None
        words["model"] = ModelIdentity(**words["model"]) if words["model"] else None
        return cls(fit=fit, **{"responses": None, **words, **arrays})

    def plot(self, neurons: Sequence[int] | int | None = None) -> Any:
        """Draw image, fit and kernel of each neuron; return the figure.

        Needs matplotlib, the ``plot`` extra.
        """
        from openretina_widgets.insilico.receptive_fields.plotting import plot_fields

        return plot_fields(self, neurons)

    def __repr__(self) -> str:
        return f"ReceptiveFields({self._summary()})"

    def _repr_html_(self) -> str:
        return f"<b>Receptive fields</b><br>{html.escape(self._summary())}"

    def _summary(self) -> str:
        n = len(self.neurons)
        name = self.model.name if self.model else "no model"
        determined = sum(not reason for reason in self.reasons)
        return (
            f"{n} neuron{'' if n == 1 else 's'} {tuple(self.fields.shape[1:])}, {name}, "
            f"{self.method}{f' at {self.base}' if self.base else ''}; {determined} determined; "
            f"{self.duration_s:.1f} s"
        )
