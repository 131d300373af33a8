"""The card of a model: what it is, where it came from, and what is not known of it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from openretina_widgets.models.card_html import card_html
from openretina_widgets.models.training_record import mean_of

if TYPE_CHECKING:
    from openretina_widgets.models.retina_model import RetinaModel

NOT_KNOWN = "not known"
_MOST_SESSIONS, _MOST_TYPES = 12, 48  # listed; how many more there are is said
_NO_BREAK = "\u00a0"  # a space at which no line ends
_LONGEST_NAME, _LONGEST_TEXT = 60, 240


@dataclass(frozen=True)
class SessionCard:
    """What is known of a session.

    Attributes
    ----------
    name
        Name of the session.
    n_neurons
        Number of its neurons.
    performance
        Mean performance of its neurons, None when it is not known.
    note
        A few words on the recording.
    """

    name: str
    n_neurons: int
    performance: float | None
    note: str


@dataclass(frozen=True)
class CellTypeCard:
    """What is known of a cell type, over all sessions.

    Attributes
    ----------
    name
        Name of the type.
    n_neurons
        Number of its neurons.
    performance
        Their mean performance, None when it is not known neuron by neuron.
    """

    name: str
    n_neurons: int
    performance: float | None


@dataclass(frozen=True)
class ModelCard:
    """What a model is; printed as plain text, shown as HTML in a notebook.

    Attributes
    ----------
    name, source, description
        What the model is called, where it came from, and a sentence about it.
    architecture
        Its parts, in a line.
    n_parameters, n_constants
        How many numbers can be trained, and how many are built in.
    sessions, cell_types
        What is known of each.
    input_shape
        ``(channel, height, width)`` of the stimulus.
    channels
        Names of the channels.
    pixel_size_um
        Size of a stimulus pixel on the retina (µm), None when it is not known.
    frame_rate
        Frames per second (Hz); assumed where `frame_rate_known` is False.
    lag, lag_ms
        Frames before the first response, and their duration (ms).
    stimulus_range, stimulus_range_source
        Smallest and largest value of each channel, None when it is not known; and how it is known.
    stimulus_norm
        L2 norm that optimised stimuli are held to, None for no bound.
    trained_on, metric
        Class of the training stimuli, and what performance means; empty when not known.
    weight_hash
        First 16 hexadecimal digits of the SHA-256 of the weights.
    device
        Where the weights are.
    computed
        How stimuli of which lengths were last computed, of an ensemble by which members; empty
        before the first run.
    """

    name: str
    source: str
    description: str
    architecture: str
    n_parameters: int
    n_constants: int
    sessions: tuple[SessionCard, ...]
    cell_types: tuple[CellTypeCard, ...]
    input_shape: tuple[int, int, int]
    channels: tuple[str, ...]
    pixel_size_um: float | None
    frame_rate: float
    frame_rate_known: bool
    lag: int
    lag_ms: float
    stimulus_range: tuple[tuple[float, float], ...] | None
    stimulus_range_source: str
    stimulus_norm: float | None
    trained_on: str
    metric: str
    weight_hash: str
    device: str
    computed: tuple[str, ...] = ()

    @property
    def n_neurons(self) -> int:
        """Number of neurons of all sessions."""
        return sum(session.n_neurons for session in self.sessions)

    @property
    def parameter_words(self) -> str:
        """How many parameters there are, in words where there are none."""
        if not self.n_parameters and self.n_constants:
            return f"none to train; {self.n_constants:,} numbers are built in"
        return f"{self.n_parameters:,}"

    def rows(self) -> list[tuple[str, list[str]]]:
        """Return what the card says: a label, and its lines of plain text.

        Names from a file are cut to a bearable length, and what cannot be printed is replaced.
        """
        _, height, width = self.input_shape
        assumed = "" if self.frame_rate_known else " (not known; assumed)"
        size = self.pixel_size_um
        sessions = [f"{self.n_neurons} in {counted(len(self.sessions), 'session')}"]
        return [
            ("Architecture", [printable(self.architecture)]),
            ("Parameters", [self.parameter_words]),
            (
                "Neurons",
                sessions + _first(list(map(_session_words, self.sessions)), _MOST_SESSIONS),
            ),
            ("Cell types", self._type_lines()),
            (
                "Stimulus",
                [
                    f"{counted(len(self.channels), 'channel')} "
                    f"({', '.join(printable(name, _LONGEST_NAME) for name in self.channels)}), "
                    f"{height} × {width} pixels (height × width)"
                ],
            ),
            ("Pixel size", [f"{size:g} µm on the retina" if size else NOT_KNOWN]),
            ("Frame rate", [f"{self.frame_rate:g} Hz{assumed}"]),
            ("Lag", [f"{counted(self.lag, 'frame')}, {self.lag_ms:.0f} ms{assumed}"]),
            ("Stimulus range", self._range_lines()),
            ("Stimulus norm", [f"{self.stimulus_norm:g}" if self.stimulus_norm else "no bound"]),
            ("Trained on", [self._trained_words()]),
            ("Performance", self._performance_lines()),
            ("Weights", [f"{self.weight_hash} (SHA-256, first {len(self.weight_hash)} digits)"]),
            ("Device", [self.device]),
            *([("Computed", list(self.computed))] if self.computed else []),
            ("Source", [printable(self.source)]),
        ]

    def html(self) -> str:
        """Return the card as HTML without scripts, in which everything is escaped."""
        return card_html(printable(self.name), printable(self.description), self.rows())

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        lines = [printable(self.name)]
        if self.description:
            lines += textwrap.wrap(printable(self.description), 96)
        rows = self.rows()
        column = max(len(label) for label, _ in rows) + 4
        for label, texts in rows:
            for i, text in enumerate(texts):
                first = f"  {label if i == 0 else '':<{column - 2}}"
                lines += textwrap.wrap(
                    text,
                    96,
                    initial_indent=first,
                    subsequent_indent=" " * (column + 2),
                    break_on_hyphens=False,
                )
        return "\n".join(lines)

    def _type_lines(self) -> list[str]:
        if not self.cell_types:
            return [NOT_KNOWN]
        typed = sum(kind.n_neurons for kind in self.cell_types)
        known = f"{counted(len(self.cell_types), 'type')}, {typed} of {self.n_neurons} neurons"
        words = _first(list(map(_type_words, self.cell_types)), _MOST_TYPES)
        values = [kind.performance for kind in self.cell_types if kind.performance is not None]
        if values:  # a line each: figures are compared
            return [f"{known}; performance {min(values):.3f} to {max(values):.3f}", *words]
        return [known, f"{_NO_BREAK}· ".join(words)]

    def _trained_words(self) -> str:
        if self.trained_on:
            return f"{printable(self.trained_on)} (class of the stimuli)"
        return NOT_KNOWN if self.n_parameters else "nothing: it has no parameters"

    def _range_lines(self) -> list[str]:
        if self.stimulus_range is None:
            return [NOT_KNOWN]
        limits = zip(self.channels, self.stimulus_range, strict=True)
        words = (
            f"{printable(name, _LONGEST_NAME)} {low:.4g} to {high:.4g}"
            for name, (low, high) in limits
        )
        return [", ".join(words), f"from: {printable(self.stimulus_range_source)}"]

    def _performance_lines(self) -> list[str]:
        known = [session for session in self.sessions if session.performance is not None]
        if not known:
            return [NOT_KNOWN]
        values = [session.performance for session in known if session.performance is not None]
        metric = printable(self.metric) or "metric not known"
        return [
            f"{sum(values) / len(values):.3f}, mean of {counted(len(known), 'session')}; {metric}"
        ]


def model_card(model: RetinaModel) -> ModelCard:
    """Return the card of a model."""
    record = model.training_record
    module = model.module
    return ModelCard(
        name=model.name,
        source=model.source,
        description=model.description,
        architecture=architecture_line(module),
        n_parameters=sum(tensor.numel() for tensor in module.parameters()),
        n_constants=sum(map(torch.Tensor.numel, _constants(module))),
        sessions=tuple(
            SessionCard(
                name=session,
                n_neurons=model.n_neurons(session),
                performance=record.mean(session),
                note=record.notes.get(session, ""),
            )
            for session in model.sessions
        ),
        cell_types=_cell_types(model),
        input_shape=model.input_shape,
        channels=model.channels,
        pixel_size_um=model.pixel_size_um,
        frame_rate=model.frame_rate,
        frame_rate_known=model.frame_rate_known,
        lag=model.lag,
        lag_ms=model.lag_ms,
        stimulus_range=model.stimulus_range,
        stimulus_range_source=model.stimulus_range_source,
        stimulus_norm=model.stimulus_norm,
        trained_on=record.stimulus,
        metric=record.metric,
        weight_hash=model.weight_hash,
        device=str(model.device),
        computed=model.computed,
    )


def architecture_line(module: nn.Module) -> str:
    """Return the parts of a module in a line, such as a core, its layers and its readouts."""
    inner = getattr(module, "module", None)
    if isinstance(inner, nn.Module) and hasattr(module, "training_record"):  # a `RetinaModel`
        return architecture_line(inner)
    name = type(module).__name__
    members = getattr(module, "members", None)
    if isinstance(members, nn.ModuleList) and len(members):
        kinds = dict.fromkeys(map(architecture_line, members))
        return f"{name} of {len(members)}: {'; '.join(kinds)}"
    core, readout = getattr(module, "core", None), getattr(module, "readout", None)
    if not isinstance(core, nn.Module) or not isinstance(readout, nn.Module):
        return name
    words = type(core).__name__
    layers = getattr(core, "features", None)
    if isinstance(layers, nn.Sequential | nn.ModuleList) and len(layers):
        words += f" of {counted(len(layers), 'layer')}"
    if isinstance(widths := getattr(core, "channels", None), tuple) and len(widths) > 1:
        words += f" ({' → '.join(map(str, widths))} channels)"
    each = type(readout).__name__
    if isinstance(readout, nn.ModuleDict) and len(readout):
        each = f"{type(next(iter(readout.values()))).__name__} for each session"
    return f"{name}: {words}, then {each}"


def _constants(module: nn.Module) -> list[torch.Tensor]:
    """Return the buffers that belong to the state: others, as of a loss, are no part of it."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return [
        value
        for name, value in module.state_dict().items()
        if isinstance(value, torch.Tensor) and name not in parameters
    ]


def _cell_types(model: RetinaModel) -> tuple[CellTypeCard, ...]:
    counts: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    for session in model.sessions:
        by_neuron = model.training_record.performance.get(session, ())
        for name, indices in model.cell_types(session).items():
            counts[name] = counts.get(name, 0) + len(indices)
            if len(by_neuron) == model.n_neurons(session) > 1:
                values.setdefault(name, []).extend(by_neuron[index] for index in indices)
    return tuple(
        CellTypeCard(name=name, n_neurons=n, performance=mean_of(values.get(name, [])))
        for name, n in counts.items()
    )


def _session_words(session: SessionCard) -> str:
    words = f"{printable(session.name, _LONGEST_NAME)}: {session.n_neurons}"
    if session.performance is not None:
        words += f", performance {session.performance:.3f}"
    return words + (f" ({printable(session.note)})" if session.note else "")


def _type_words(kind: CellTypeCard) -> str:
    words = f"{printable(kind.name, _LONGEST_NAME)}:{_NO_BREAK}{kind.n_neurons}"
    return words + ("" if kind.performance is None else f", performance {kind.performance:.3f}")


def _first(words: list[str], most: int) -> list[str]:
    """Return the first words, and how many more there are."""
    more = len(words) - most
    return [*words[:most], f"and {more} more"] if more > 1 else words


def counted(n: int, what: str) -> str:
    """Return a number and what it counts, in the plural unless it is one."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def printable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text from a file to show: not too long, and without what steers a terminal."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
