"""A stimulus, and what neurons answer to it: the result of showing it once."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openretina_widgets.data_io import artificial_stimuli
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import unknown_name
from openretina_widgets.insilico import provenance
from openretina_widgets.insilico.archive import read_archive, write_archive
from openretina_widgets.insilico.figure import new_figure
from openretina_widgets.insilico.tuning_analyses.experiment import plain
from openretina_widgets.models.neuron import ModelIdentity
from openretina_widgets.models.retina_model import RetinaModel, as_retina_model

__all__ = ["BUILDERS", "ShownStimulus", "respond", "show_stimulus"]

BUILDERS = tuple(
    name
    for name in artificial_stimuli.__all__
    if name[0].islower() and name not in ("generate_gratings", "natural")
)
"""Names of the functions that make a stimulus from numbers alone."""
_KIND = "shown stimulus"
_TUPLES = ("neurons", "cell_types", "channels", "notes")


@dataclass(frozen=True, eq=False)
class ShownStimulus:
    """A stimulus, and the responses to it where a model has seen it.

    Attributes
    ----------
    title
        What it is, in words.
    stimulus
        ``(channel, time, height, width)``, in model units.
    response
        ``(response frame, neuron)``; None where no model has seen it. The first one is that to
        frame `lag`.
    neurons, cell_types
        Of the columns of `response`.
    window
        First frame of the stimulus, and the frame after the last, over which a response to it is
        averaged; None where that is not said.
    events
        What, start and stop (frames), in order.
    data_key
        Session.
    notes
        What a reader has to know.
    settings
        ``"builder"`` and its ``"arguments"``; empty for a movie that was handed in.
    seed
        None: what is random has its seed among the arguments.
    model, lag, frame_rate, pixel_size_um, channels, unit
        Name, source and weight hash; frames that the model consumes, Hz, µm, names, and the unit
        of the stimulus.
    duration_s
        Time spent on it.
    versions
        Versions of the libraries.
    """

    title: str
    stimulus: torch.Tensor
    response: np.ndarray | None = None
    neurons: tuple[int, ...] = ()
    cell_types: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    events: tuple[tuple[str, int, int], ...] = ()
    data_key: str | None = None
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    model: ModelIdentity | None = None
    lag: int = 0
    frame_rate: float = 30.0
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = "model units"
    duration_s: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an ``.npz`` file with arrays and JSON, without pickle; return its path.

        The file appears under its name only once it is whole.
        """
        arrays: dict[str, np.ndarray] = {}
        words: dict[str, Any] = {"kind": _KIND}
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, torch.Tensor):
                arrays[name] = value.numpy()
            elif isinstance(value, np.ndarray):
                arrays[name] = value
            else:
                words[name] = asdict(value) if isinstance(value, ModelIdentity) else value
        return write_archive(path, words=words, arrays=arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ShownStimulus:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a saved stimulus.
        """
        return read_archive(path, cls._from_archive)

    @classmethod
    def _from_archive(cls, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> ShownStimulus:
        if words.pop("kind") != _KIND:
            raise TypeError("this is another kind of result")
        for name in _TUPLES:
            words[name] = tuple(words[name])
        words["window"] = tuple(words["window"]) if words["window"] else None
        words["events"] = tuple((what, start, stop) for what, start, stop in words["events"])
        words["model"] = ModelIdentity(**words["model"]) if words["model"] else None
        words["stimulus"] = torch.from_numpy(arrays.pop("stimulus"))
        words |= arrays
        return cls(**words)

    def plot(self, neurons: Iterable[int] | int | None = None) -> Any:
        """Draw a frame of each channel, where it differs most from grey, and the responses.

        Parameters
        ----------
        neurons
            Whose responses; the first six for None.

        Raises
        ------
        ImportError
            If matplotlib is not installed, the ``plot`` extra.
        ValueError
            If a neuron was not shown it.
        """
        chosen = [*self.neurons[:6]] if neurons is None else neurons
        wanted = chosen if isinstance(chosen, Iterable) else [chosen]
        columns = [self.column(one) for one in wanted]
        movie = self.stimulus.numpy()
        n = len(movie)
        traced = self.response is not None and bool(columns)
        figure = new_figure(3.4 * n + (4.4 if traced else 0.0), 3.2)
        axes = np.atleast_1d(figure.subplots(1, n + traced))
        frame = int(np.nan_to_num(np.abs(movie - np.median(movie))).sum(axis=(0, 2, 3)).argmax())
        limit = float(np.nanmax(np.abs(movie), initial=0.0)) or 1.0
        for axis, name, one in zip(axes[:n], self.channels, movie, strict=True):
            image = axis.imshow(one[frame], cmap="bwr", vmin=-limit, vmax=limit)
            axis.set(title=f"{name}, {frame / self.frame_rate:.2f} s", xticks=[], yticks=[])
            figure.colorbar(image, ax=axis, label=self.unit)
        if traced:
            self._draw_responses(axes[-1], columns)
        figure.suptitle(self.title.replace("$", r"\$"))
        return figure

    def _draw_responses(self, axes: Any, columns: list[int]) -> None:
        responses = np.asarray(self.response)
        seconds = self.response_frames / self.frame_rate
        for column in columns:
            kind = f" · {self.cell_types[column]}" if self.cell_types[column] else ""
            label = f"{self.neurons[column]}{kind}".replace("$", r"\$")
            axes.plot(seconds, responses[:, column], label=label)
        if self.window is not None:
            start, stop = (np.array(self.window) - 0.5) / self.frame_rate
            axes.axvspan(start, stop, color="0.93", zorder=0)
        axes.set(xlabel="time (s)", ylabel="response (a.u.)")
        axes.legend(fontsize="small")

    @property
    def response_frames(self) -> np.ndarray:
        """Frame of the stimulus that each response belongs to."""
        n = 0 if self.response is None else len(self.response)
        return np.arange(n) + self.stimulus.shape[1] - n

    def column(self, neuron: int) -> int:
        """Return the place of a neuron on the last axis of `response`.

        Raises
        ------
        ValueError
            If it was not shown the stimulus.
        """
        if neuron not in self.neurons:
            known = ", ".join(map(str, self.neurons[:8])) or "none"
            raise ValueError(f"neuron: expected one of {known}, got {neuron!r}")
        return self.neurons.index(neuron)

    def __repr__(self) -> str:
        return f"ShownStimulus({self._summary()})"

    def _repr_html_(self) -> str:
        notes = "".join(f"<br>{html.escape(note)}" for note in self.notes)
        return f"<b>{html.escape(self.title)}</b><br>{html.escape(self._summary())}{notes}"

    def _summary(self) -> str:
        shape = tuple(self.stimulus.shape)
        seconds = shape[1] / self.frame_rate
        seen = f", {len(self.neurons)} neurons of {self.model.name}" if self.model else ""
        return f"{self.title!r}, {shape}, {seconds:.2f} s{seen}"


def show_stimulus(
    model: RetinaModel | Any,
    builder: str,
    *,
    neurons: Sequence[int] | int | None = None,
    data_key: str | None = None,
    **arguments: Any,
) -> ShownStimulus:
    """Make a stimulus for a model, and show it once.

    Parameters
    ----------
    model
        A `RetinaModel`, or a live OpenRetina model.
    builder
        Name of a function of `data_io.artificial_stimuli`, such as ``"moving_bar"``.
    neurons
        Whose responses are kept; all for None.
    data_key
        Session, the first one for None.
    **arguments
        Of the builder.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> shown = show_stimulus(load_model("synthetic"), "moving_bar", direction=90.0, neurons=[40])
    >>> shown.response.shape[1]
    1
    """
    if builder not in BUILDERS:
        raise ValueError(unknown_name("builder", builder, BUILDERS, "stimulus"))
    began = time.perf_counter()
    suited = as_retina_model(model)
    session = suited.session(data_key)
    chosen = suited.check_neurons(
        range(suited.n_neurons(session)) if neurons is None else neurons, session
    )
    stimulus = getattr(artificial_stimuli, builder)(Screen.of(suited), **arguments)
    response = respond(suited, session, stimulus)
    return of_response(
        suited,
        stimulus,
        response,
        neurons=chosen,
        data_key=session,
        builder=builder,
        arguments=arguments,
        duration_s=time.perf_counter() - began,
    )


def respond(model: RetinaModel, data_key: str, stimulus: ArtificialStimulus) -> np.ndarray:
    """Return the response of all neurons to a stimulus: ``(response frame, neuron)``."""
    movie = stimulus.batch.to(device=model.device, dtype=model.dtype)
    with model.prepared(movie.shape[2], data_key), torch.inference_mode():
        response: np.ndarray = model(movie, data_key=data_key)[0].float().cpu().numpy()
    return response


def of_response(
    model: RetinaModel,
    stimulus: ArtificialStimulus,
    response: np.ndarray,
    *,
    neurons: Iterable[int],
    data_key: str,
    builder: str,
    arguments: Mapping[str, Any],
    duration_s: float = 0.0,
) -> ShownStimulus:
    """Return the result of a stimulus that was shown; `response` is that of all neurons."""
    kept = tuple(neurons)
    known = model.neurons(data_key)
    return ShownStimulus(
        title=stimulus.name,
        stimulus=stimulus.movie.clone(),
        response=response[:, list(kept)].copy(),
        neurons=kept,
        cell_types=tuple(known[neuron].cell_type for neuron in kept),
        window=stimulus.window,
        events=tuple((event.what, event.start, event.stop) for event in stimulus.events),
        data_key=data_key,
        notes=tuple(stimulus.notes),
        settings={
            "builder": builder,
            "arguments": plain(arguments),
            "stimulus": plain(stimulus.parameters),
            "device": model.device.type,
        },
        duration_s=duration_s,
        versions=provenance.versions(),
        **provenance.of_model(model),
    )
