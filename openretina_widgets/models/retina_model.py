"""One face for any retina model: sessions, neurons, shapes, units, lag and device."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import nn

from openretina_widgets.errors import check_positive, unknown_name

_CHANNEL_NAMES: dict[int, tuple[str, ...]] = {1: ("luminance",), 2: ("green", "UV")}
_LONGEST_LAG = 1024
_DEFAULT = "default"  # the session of a module without named ones


@dataclass(frozen=True)
class Neuron:
    """What is known of one neuron.

    Attributes
    ----------
    index
        Position on the neuron axis of the session's response.
    cell_type
        Name of the type, ``""`` when it is not known.
    x_um, y_um
        Centre of the receptive field in µm on the retina from the middle of the image, x to the
        right and y up the screen; None when it is not known.
    note
        One sentence on what the neuron does.
    """

    index: int
    cell_type: str = ""
    x_um: float | None = None
    y_um: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """Name to show in a list, such as ``"12 · ON transient"``."""
        return f"{self.index} · {self.cell_type}" if self.cell_type else f"{self.index}"


@dataclass(frozen=True)
class ModelIdentity:
    """Which model gave a result: its name, where it came from and the hash of its weights."""

    name: str
    source: str
    weight_hash: str


class RetinaModel(nn.Module):
    """A retina model with its sessions, neurons and units.

    Any torch module that maps a stimulus to a response can be wrapped, a live OpenRetina model
    among them. The wrapped module is used as it is: nothing in it is changed.

    Parameters
    ----------
    module
        Maps a stimulus ``(batch, channel, time, height, width)`` to a response
        ``(batch, time, neuron)``. When its ``forward`` takes ``data_key``, it is told the session.
    input_shape
        ``(channel, height, width)`` of the stimulus. Asked of the module's own ``stimulus_shape``
        where it has one, as OpenRetina's models do.
    sessions
        Number of neurons, or one `Neuron` each, by session name. Without it, the keys of the
        module's ``readout`` where it has them, else one session ``"default"``; the number of
        neurons is then measured.
    name, source, description
        What the model is called, where it came from, and a sentence about it.
    frame_rate
        Frames of the stimulus per second (Hz).
    pixel_size_um
        Size of a stimulus pixel on the retina (µm); None when it is not known.
    channels
        Names of the stimulus channels.
    stimulus_range
        Smallest and largest value of each channel, in the units that the model was trained on.
    stimulus_norm
        L2 norm that optimised stimuli of this model are held to; None for no such bound.

    Attributes
    ----------
    lag : int
        Frames that the model consumes before its first response, measured by running it:
        ``time`` frames in give ``time - lag`` frames out.

    Raises
    ------
    TypeError
        If `module` is no torch module, or answers with something else than a tensor.
    ValueError
        If a shape, a name or a number does not fit; the message says which.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        input_shape: tuple[int, int, int] | None = None,
        sessions: Mapping[str, int | Sequence[Neuron]] | None = None,
        name: str = "",
        source: str = "",
        description: str = "",
        frame_rate: float = 30.0,
        pixel_size_um: float | None = None,
        channels: Sequence[str] | None = None,
        stimulus_range: Sequence[tuple[float, float]] | None = None,
        stimulus_norm: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
        self.module = module
        self.input_shape = _checked_input_shape(input_shape, module)
        self.name = name or type(module).__name__
        self.source = source or f"live {type(module).__module__}.{type(module).__qualname__}"
        self.description = description
        self.frame_rate = check_positive(frame_rate, "frame_rate")
        self.pixel_size_um = (
            None if pixel_size_um is None else check_positive(pixel_size_um, "pixel_size_um")
        )
        self.stimulus_norm = (
            None if stimulus_norm is None else check_positive(stimulus_norm, "stimulus_norm")
        )
        self.channels = _checked_channels(channels, self.input_shape[0])
        self.stimulus_range = _checked_range(stimulus_range, self.channels)
        spoken_to = _spokesman(module)
        self._takes_data_key = "data_key" in inspect.signature(spoken_to.forward).parameters
        # The module is not told a name that is ours.
        self._nameless = None if _DEFAULT in _readout_names(module) else _DEFAULT
        counts = dict(sessions) if sessions is not None else _sessions_of(module)
        if not counts:
            raise ValueError("sessions: expected at least one session, got none")
        if len(counts) > 1 and not self._takes_data_key:
            raise ValueError(
                f"sessions: {len(counts)} sessions were given, but the module's forward() takes "
                "no data_key to tell them apart"
            )
        self.sessions: tuple[str, ...] = tuple(counts)
        self.lag = 0
        self._neurons: dict[str, tuple[Neuron, ...]] = {}
        self.lag, measured = self._measure_lag(self.sessions[0])
        for session, neurons in counts.items():
            if neurons is None:
                n = measured if session == self.sessions[0] else self._measure_neurons(session)
                neurons = n
            if isinstance(neurons, int):
                self._neurons[session] = tuple(Neuron(index) for index in range(neurons))
            else:
                self._neurons[session] = tuple(neurons)
        if (stated := self.n_neurons(self.sessions[0])) != measured:
            raise ValueError(
                f"sessions: {self.sessions[0]!r} was said to hold {stated} neurons, but the model "
                f"answers with {measured}"
            )

    # What the model is -----------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next((t.device for t in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        floating = (t.dtype for t in self._tensors() if t.is_floating_point())
        return next(floating, torch.get_default_dtype())

    @property
    def lag_ms(self) -> float:
        """The lag in milliseconds."""
        return 1000.0 * self.lag / self.frame_rate

    @property
    def weight_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of all weights, the same on every device."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.module.state_dict().items()):
            if not isinstance(tensor, torch.Tensor):
                continue
            digest.update(f"{key}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(raw.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def identity(self) -> ModelIdentity:
        """Name, source and weight hash, as results carry them."""
        return ModelIdentity(self.name, self.source, self.weight_hash)

    def n_neurons(self, data_key: str | None = None) -> int:
        """Return the number of neurons of a session."""
        return len(self._neurons[self.session(data_key)])

    def neurons(self, data_key: str | None = None) -> tuple[Neuron, ...]:
        """Return what is known of each neuron of a session."""
        return self._neurons[self.session(data_key)]

    def session(self, data_key: str | None = None) -> str:
        """Return the name of a session, the first one for None.

        Raises
        ------
        ValueError
            If the model has no such session; the message names the nearest.
        """
        if data_key is None:
            return self.sessions[0]
        if data_key not in self._neurons:
            raise ValueError(unknown_name("data_key", str(data_key), self.sessions, "session"))
        return data_key

    def check_neurons(self, neurons: Sequence[int] | int, data_key: str | None = None) -> list[int]:
        """Return neuron indices as a list of non-negative integers.

        Raises
        ------
        TypeError
            If an index is no integer.
        ValueError
            If a neuron does not exist in the session; the message names the nearest that does.
        """
        session = self.session(data_key)
        if _is_index(neurons):
            chosen = [neurons]
        elif isinstance(neurons, Iterable) and not isinstance(neurons, str):
            chosen = list(neurons)
        else:
            raise TypeError(f"neurons: expected whole numbers, got {neurons!r}")
        n = self.n_neurons(session)
        if not chosen:
            raise ValueError("neurons: expected at least one neuron, got none")
        for neuron in chosen:
            if not _is_index(neuron):
                raise TypeError(f"neurons: expected whole numbers, got {neuron!r}")
            if not -n <= neuron < n:
                nearest = 0 if neuron < 0 else n - 1
                raise ValueError(
                    f"neurons: session {session!r} has no neuron {neuron}; it has neurons 0 to "
                    f"{n - 1}, the nearest is {nearest}"
                )
        return [int(neuron) % n for neuron in chosen]

    def stimulus_shape(self, time_steps: int = 50, num_batches: int = 1) -> tuple[int, ...]:
        """Return the shape ``(batch, channel, time, height, width)`` of a stimulus.

        Raises
        ------
        ValueError
            If `time_steps` leaves no response frame, or `num_batches` is below 1.
        """
        self._check_length(time_steps, "time_steps")
        if num_batches < 1:
            raise ValueError(f"num_batches: expected at least 1, got {num_batches}")
        channel, height, width = self.input_shape
        return (num_batches, channel, time_steps, height, width)

    def check_stimulus(self, stimulus: torch.Tensor, *, finite: bool = True) -> None:
        """Refuse what the model cannot take: see Raises.

        Raises
        ------
        TypeError
            If `stimulus` is no floating-point tensor.
        ValueError
            If it has the wrong shape, is empty, is too short, or holds NaN or infinity.
        """
        if not isinstance(stimulus, torch.Tensor):
            raise TypeError(f"stimulus: expected a torch tensor, got {type(stimulus).__name__}")
        if not stimulus.is_floating_point():
            raise TypeError(f"stimulus: expected floating-point values, got {stimulus.dtype}")
        channel, height, width = self.input_shape
        got = tuple(stimulus.shape)
        if len(got) != 5 or (got[1], got[3], got[4]) != (channel, height, width):
            raise ValueError(
                f"stimulus: expected (batch, {channel}, time, {height}, {width}), got {got}"
            )
        if got[0] < 1:
            raise ValueError(f"stimulus: a batch of size 0 holds nothing to work on, got {got}")
        self._check_length(got[2], "stimulus")
        if finite and not bool(torch.isfinite(stimulus).all()):
            bad = int((~torch.isfinite(stimulus)).sum())
            raise ValueError(
                f"stimulus: {bad} of {stimulus.numel()} values are NaN or infinite; expected finite"
            )

    # What the model does ---------------------------------------------------------------------

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        """Return the response to a stimulus.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)`` in the model's units.
        data_key
            Session to answer for, the first one for None.

        Returns
        -------
        torch.Tensor
            ``(batch, time - lag, neuron)``; the last response frame belongs to the last
            stimulus frame.
        """
        self.check_stimulus(stimulus, finite=False)
        return self._answer(stimulus, self.session(data_key))

    def _answer(self, stimulus: torch.Tensor, session: str) -> torch.Tensor:
        if self._takes_data_key:
            return self.module(stimulus, data_key=None if session == self._nameless else session)
        return self.module(stimulus)

    def _tensors(self) -> Iterator[torch.Tensor]:
        yield from self.module.parameters()
        yield from self.module.buffers()

    def _probe(self, time_steps: int, session: str) -> torch.Tensor:
        channel, height, width = self.input_shape
        shape = (1, channel, time_steps, height, width)
        with torch.no_grad(), frozen(self.module):
            zeros = torch.zeros(shape, dtype=self.dtype, device=self.device)
            try:
                response = self._answer(zeros, session)
            except (RuntimeError, LookupError, ValueError, AssertionError) as error:
                raise _NoAnswer(f"{type(error).__name__}: {error}") from error
        if not isinstance(response, torch.Tensor):
            raise TypeError(
                f"module: expected a response tensor, got {type(response).__name__} for a stimulus "
                f"of shape {shape}"
            )
        if response.ndim != 3 or response.shape[0] != 1:
            raise ValueError(
                "module: expected a response (batch, time, neuron), got shape "
                f"{tuple(response.shape)} for a stimulus of shape {shape}"
            )
        return response

    def _measure_lag(self, session: str) -> tuple[int, int]:
        """Return the lag and the number of neurons, from the shortest stimulus that works."""
        time_steps, failure = 1, None
        while time_steps <= _LONGEST_LAG:
            try:
                response = self._probe(time_steps, session)
            except _NoAnswer as error:  # too short for its convolutions, or for its own checks
                failure = error
            else:
                if (frames := response.shape[1]) > 0:
                    if self._probe(time_steps + 3, session).shape[1] != frames + 3:
                        raise ValueError(
                            "module: expected each further stimulus frame to give one further "
                            f"response frame; {time_steps} frames gave {frames}, "
                            f"{time_steps + 3} did not give {frames + 3}"
                        )
                    return time_steps - frames, response.shape[2]
            time_steps *= 2
        raise ValueError(
            f"module: it answered no stimulus of 1 to {_LONGEST_LAG} frames of "
            f"(channel, height, width) = {self.input_shape}; its last words: {failure}"
        ) from failure

    def _measure_neurons(self, session: str) -> int:
        return self._probe(self.lag + 1, session).shape[2]

    def _check_length(self, time_steps: int, argument: str) -> None:
        if time_steps <= self.lag:
            raise ValueError(
                f"{argument}: {time_steps} frames are too short, since the model consumes "
                f"{self.lag} before its first response; the shortest that works is {self.lag + 1}"
            )

    def extra_repr(self) -> str:
        """Return the model in a line."""
        channel, height, width = self.input_shape
        return (
            f"{self.name!r}, {channel} x {height} x {width}, lag={self.lag}, "
            f"sessions={len(self.sessions)}"
        )


class _NoAnswer(ValueError):
    """The wrapped module refused a stimulus; the message is its own."""


def as_retina_model(model: Any) -> RetinaModel:
    """Return a `RetinaModel`: the one given, or a live OpenRetina model with this face.

    Raises
    ------
    TypeError
        If `model` is no torch module.
    ValueError
        If the module does not say its stimulus shape; wrap it in `RetinaModel` with `input_shape`.
    """
    return model if isinstance(model, RetinaModel) else RetinaModel(model)


# A model that is frozen for a run ------------------------------------------------------------


@dataclass
class _Hold:
    """A part of a module, its flag before the first of its current runs, and how many these are."""

    part: nn.Module | nn.Parameter
    before: bool
    runs: int = 0


# By part, not by model: two wrappers of one module share its parts. A dictionary of weak references
# would compare parameters value by value, hence the identities.
_holds: dict[int, _Hold] = {}
_holds_lock = threading.RLock()  # a generator collected as garbage may leave while another enters


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Hold a module in eval mode without parameter gradients, and hand it back as it was.

    Runs may overlap, also in several threads and on several wrappers of one module: the last one
    to leave restores each part.
    """
    parts: list[nn.Module | nn.Parameter] = [*module.modules(), *module.parameters()]
    with _holds_lock:
        for part in parts:
            if id(part) not in _holds:
                _holds[id(part)] = _Hold(part, _set_flag(part, False))
            _holds[id(part)].runs += 1
    try:
        yield
    finally:
        with _holds_lock:
            for part in parts:
                hold = _holds[id(part)]
                hold.runs -= 1
                if hold.runs == 0:
                    del _holds[id(part)]
                    _set_flag(part, hold.before)


def _set_flag(part: nn.Module | nn.Parameter, flag: bool) -> bool:
    """Set a module's `training` or a parameter's `requires_grad`; return what it was before."""
    if isinstance(part, nn.Module):
        before, part.training = part.training, flag
        return before
    before = part.requires_grad
    part.requires_grad_(flag)
    return before


# Checks of arguments -------------------------------------------------------------------------


def _is_index(value: object) -> TypeGuard[int]:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "__len__"))


def _checked_input_shape(
    input_shape: tuple[int, int, int] | None, module: nn.Module
) -> tuple[int, int, int]:
    if input_shape is None:
        if not callable(own := getattr(_spokesman(module), "stimulus_shape", None)):
            raise ValueError(
                "input_shape: expected (channel, height, width), since "
                f"{type(module).__name__} has no stimulus_shape() to ask"
            )
        _, channel, _, height, width = own(time_steps=2)
        input_shape = (channel, height, width)
    shape = tuple(int(n) for n in input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"input_shape: expected (channel, height, width), got {input_shape!r}")
    return shape


def _checked_channels(channels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    if channels is None:
        return _CHANNEL_NAMES.get(n, tuple(f"channel {i}" for i in range(n)))
    if len(channels) != n or isinstance(channels, str):
        raise ValueError(f"channels: expected {n} names, got {channels!r}")
    return tuple(channels)


def _checked_range(
    stimulus_range: Sequence[tuple[float, float]] | None, channels: tuple[str, ...]
) -> tuple[tuple[float, float], ...] | None:
    if stimulus_range is None:
        return None
    limits = tuple((float(low), float(high)) for low, high in stimulus_range)
    if len(limits) != len(channels) or not all(low < high for low, high in limits):
        raise ValueError(
            f"stimulus_range: expected (low, high) with low < high for each of {channels}, "
            f"got {stimulus_range!r}"
        )
    return limits


def _sessions_of(module: nn.Module) -> dict[str, int | Sequence[Neuron] | None]:
    """Return the sessions that the module's readout names, their neurons still to be measured."""
    return dict.fromkeys(_readout_names(module) or [_DEFAULT])


def _readout_names(module: nn.Module) -> list[str]:
    readout = getattr(_spokesman(module), "readout", None)
    return list(readout.keys()) if isinstance(readout, nn.ModuleDict) else []


def _spokesman(module: nn.Module) -> nn.Module:
    """Return the module that knows the sessions and the shape of the stimulus.

    It is the module itself, or the first member of an ensemble such as OpenRetina's, which hands
    every argument on to its members.
    """
    members = getattr(module, "members", None)
    hands_on = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(module.forward).parameters.values()
    )
    if hands_on and isinstance(members, nn.ModuleList) and len(members):
        return _spokesman(members[0])
    return module
