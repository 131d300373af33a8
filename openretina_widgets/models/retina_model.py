"""One face for any retina model: sessions, neurons, shapes, units, lag and device."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from openretina_widgets.errors import check_positive, unknown_name
from openretina_widgets.models._checks import (
    checked_channels,
    checked_input_shape,
    checked_range,
    is_index,
    spokesman,
)
from openretina_widgets.models.card import ModelCard, model_card
from openretina_widgets.models.core_readout import CoreReadout
from openretina_widgets.models.data_info import stimulus_and_neurons
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.lower_precision import bfloat16_is_asked_for
from openretina_widgets.models.neuron import ModelIdentity, Neuron, cell_types, of_type
from openretina_widgets.models.prepared import Members, Prepared, words_of
from openretina_widgets.models.prepared_forms import PreparedForms
from openretina_widgets.models.probing import Probe
from openretina_widgets.models.training_record import TrainingRecord
from openretina_widgets.models.weight_hash import weight_hash

__all__ = ["ModelIdentity", "Neuron", "RetinaModel", "as_retina_model", "frozen"]

_ASSUMED_RATE = 30.0  # Hz, that of most of OpenRetina's data
_DEFAULT = "default"  # the session of a module without named ones


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
        Frames of the stimulus per second (Hz). When it is not known, 30 is assumed, and
        `frame_rate_known` says so.
    pixel_size_um
        Size of a stimulus pixel on the retina (µm); None when it is not known.
    channels
        Names of the stimulus channels.
    stimulus_range
        Smallest and largest value of each channel, in the units that the model was trained on;
        None when it is not known.
    stimulus_range_source
        How the range is known, in words.
    stimulus_norm
        L2 norm that optimised stimuli of this model are held to; None for no such bound.
    training
        What is recorded of the training; the card tells it.

    Notes
    -----
    What is not given is taken from the ``data_info`` of a live OpenRetina model, where it has
    one, as it is from that of a checkpoint. The stimulus range is the first of these that is
    there: the ``stimulus_range`` that the data state; the range of pixel values, normalised as
    the data record it of the training stimuli (``stim_mean``, ``stim_std``); for the green and UV
    of OpenRetina's data, the documented default of Höfling et al. 2024. `stimulus_range_source`
    says which it was; see `openretina_widgets.models.stimulus_range`.

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
        frame_rate: float | None = None,
        pixel_size_um: float | None = None,
        channels: Sequence[str] | None = None,
        stimulus_range: Sequence[tuple[float, float]] | None = None,
        stimulus_range_source: str = "",
        stimulus_norm: float | None = None,
        training: TrainingRecord | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
        self.module = module
        self.input_shape = checked_input_shape(input_shape, module)
        self.name = name or type(module).__name__
        self.source = source or f"live {type(module).__module__}.{type(module).__qualname__}"
        self.description = description
        spoken_to = spokesman(module)
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
        self.channels = checked_channels(channels, self.input_shape[0])
        self.lag = 0
        self._forms = PreparedForms(module)
        self._neurons: dict[str, tuple[Neuron, ...]] = {}
        self._ask_for_neurons(counts)
        own = self._own_record()
        if sessions is None and own:
            self._neurons = {session: tuple(known) for session, known in own["sessions"].items()}
        if stimulus_range is None and own:
            stimulus_range = own["stimulus_range"]
            stimulus_range_source = own["stimulus_range_source"]
        self.stimulus_range = checked_range(stimulus_range, self.channels)
        self.stimulus_range_source = stimulus_range_source or (
            "not known" if self.stimulus_range is None else "stated when the model was opened"
        )
        self.training_record: TrainingRecord = training or own.get("training", TrainingRecord())
        rate = own.get("frame_rate") if frame_rate is None else frame_rate
        self.frame_rate_known = rate is not None
        self.frame_rate = check_positive(_ASSUMED_RATE if rate is None else rate, "frame_rate")
        size = own.get("pixel_size_um") if pixel_size_um is None else pixel_size_um
        self.pixel_size_um = None if size is None else check_positive(size, "pixel_size_um")
        norm = own.get("stimulus_norm") if stimulus_norm is None else stimulus_norm
        self.stimulus_norm = None if norm is None else check_positive(norm, "stimulus_norm")

    def _ask_for_neurons(self, counts: Mapping[str, int | Sequence[Neuron] | None]) -> None:
        """Measure the lag, and count the neurons where nobody said how many there are."""
        probe = Probe(self.module, self._answer, self.input_shape, self.dtype, self.device)
        self.lag, measured = probe.lag_and_neurons(self.sessions[0])
        for session, neurons in counts.items():
            if neurons is None:
                first = session == self.sessions[0]
                neurons = measured if first else probe.response(self.lag + 1, session).shape[2]
            if isinstance(neurons, int):
                neurons = [Neuron(index) for index in range(neurons)]
            self._neurons[session] = tuple(neurons)
        if (stated := self.n_neurons(self.sessions[0])) != measured:
            raise ValueError(
                f"sessions: {self.sessions[0]!r} was said to hold {stated} neurons, but the model "
                f"answers with {measured}"
            )

    def _own_record(self) -> dict[str, Any]:
        """Return what a live OpenRetina model records of itself, empty where it does not."""
        info = getattr(spokesman(self.module), "data_info", None)
        if not isinstance(info, Mapping) or not info:
            return {}
        counts = {session: len(neurons) for session, neurons in self._neurons.items()}
        return stimulus_and_neurons(info, n_channels=self.input_shape[0], n_neurons=counts)

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
        module = self.module
        while isinstance(module, RetinaModel):  # wrapped twice, it is still the same model
            module = module.module
        return weight_hash(module)

    @property
    def identity(self) -> ModelIdentity:
        """Name, source and weight hash, as results carry them."""
        return ModelIdentity(self.name, self.source, self.weight_hash)

    @property
    def computed(self) -> tuple[str, ...]:
        """How stimuli of which lengths were last computed in runs; see `prepared`.

        Where the module holds other models, as an ensemble does, it is said of each, and what they
        have in common once.
        """
        if isinstance(self.module, RetinaModel):
            return self.module.computed
        members = [member for member in self._members() if not member._members()]
        if not members:
            return self._forms.words()
        said: dict[str, list[int]] = {}
        for number, member in enumerate(members, start=1):
            for words in member.computed:
                said.setdefault(words, []).append(number)
        return tuple(f"{_whose(numbers, len(members))}, {words}" for words, numbers in said.items())

    @property
    def card(self) -> ModelCard:
        """What the model is, to read or to print; the weights are hashed for it each time."""
        return model_card(self)

    def _repr_html_(self) -> str:
        return self.card.html()

    def n_neurons(self, data_key: str | None = None) -> int:
        """Return the number of neurons of a session."""
        return len(self._neurons[self.session(data_key)])

    def neurons(self, data_key: str | None = None) -> tuple[Neuron, ...]:
        """Return what is known of each neuron of a session."""
        return self._neurons[self.session(data_key)]

    def cell_types(self, data_key: str | None = None) -> dict[str, list[int]]:
        """Return the neurons of each known cell type of a session, by the name of the type."""
        return cell_types(self.neurons(data_key))

    def neurons_of(self, cell_type: str, *, data_key: str | None = None) -> list[int]:
        """Return the indices of the neurons of a cell type, as `neurons` arguments take them.

        Parameters
        ----------
        cell_type
            Name of a type, such as ``"ON sustained"`` or ``"G5 OFF"``, or whole words of it:
            ``"G5"``; ``"OFF"`` for every OFF type. Capitals do not matter.
        data_key
            Session, the first one for None.

        Raises
        ------
        TypeError
            If `cell_type` is no text.
        ValueError
            If the session has no such type, or no type is known; the message names the nearest.
        """
        return of_type(self.neurons(data_key), cell_type)

    def session(self, data_key: str | None = None) -> str:
        """Return the name of a session, the first one for None.

        Raises
        ------
        ValueError
            If the model has no such session; the message names the nearest.
        """
        if data_key is None:
            return self.sessions[0]
        if not isinstance(data_key, str) or data_key not in self._neurons:
            raise ValueError(unknown_name("data_key", str(data_key), self.sessions, "session"))
        return data_key

    def check_neurons(self, neurons: Sequence[int] | int, data_key: str | None = None) -> list[int]:
        """Return neuron indices as a list of integers; they count from 0.

        Raises
        ------
        TypeError
            If an index is no integer.
        ValueError
            If a neuron does not exist in the session; the message names the nearest that does.
        """
        session = self.session(data_key)
        if is_index(neurons):
            chosen = [neurons]
        elif isinstance(neurons, Iterable) and not isinstance(neurons, str):
            chosen = list(neurons)
        else:
            raise TypeError(f"neurons: expected whole numbers, got {neurons!r}")
        n = self.n_neurons(session)
        if not chosen:
            raise ValueError("neurons: expected at least one neuron, got none")
        for neuron in chosen:
            if not is_index(neuron):
                raise TypeError(f"neurons: expected whole numbers, got {neuron!r}")
            if not 0 <= neuron < n:  # -1 from a search that found nothing is no last neuron
                nearest = 0 if neuron < 0 else n - 1
                raise ValueError(
                    f"neurons: session {session!r} has no neuron {neuron}; it has neurons 0 to "
                    f"{n - 1}, the nearest is {nearest}"
                )
        return [int(neuron) for neuron in chosen]

    def stimulus_shape(self, time_steps: int = 50, num_batches: int = 1) -> tuple[int, ...]:
        """Return the shape ``(batch, channel, time, height, width)`` of a stimulus.

        Raises
        ------
        ValueError
            If `time_steps` leaves no response frame, or `num_batches` is below 1.
        """
        self._check_length(time_steps, "time_steps")
        if not is_index(num_batches) or num_batches < 1:
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
        session = self.session(data_key)
        if (form := self._forms.fitting(stimulus, session)) is not None:
            return form.responses(stimulus, session)
        return self._answer(stimulus, session)

    def own_responses(
        self, stimulus: torch.Tensor, neurons: torch.Tensor, data_key: str | None = None
    ) -> torch.Tensor:
        """Return the response of one neuron to each stimulus, its own.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)`` in the model's units.
        neurons
            ``(batch,)``, whole numbers on the model's device.
        data_key
            Session to answer for, the first one for None.

        Returns
        -------
        torch.Tensor
            ``(batch, time - lag)``.
        """
        self.check_stimulus(stimulus, finite=False)
        session = self.session(data_key)
        if (form := self._forms.fitting(stimulus, session)) is not None:
            return form.own_responses(stimulus, neurons, session)
        response = self._answer(stimulus, session)
        index = neurons[:, None, None].expand(-1, response.shape[1], 1)
        return response.gather(2, index)[..., 0]

    def prepared(
        self, time_steps: int, data_key: str | Sequence[str] | None = None
    ) -> AbstractContextManager[Prepared | Members | None]:
        """Return a context in which stimuli of one length are answered by a faster form.

        The form is exact up to rounding, is built once for a length and a session, and is kept for
        the next time. Contexts may overlap. A model that is not known, that is in train mode or
        that somebody listens to by hooks, is run as it is, and so is one whose weights change.

        Parameters
        ----------
        time_steps
            Frames of the stimuli.
        data_key
            Session that is asked, or several; the first one for None.

        Returns
        -------
        context manager
            Gives the form, whose ``words`` say what is computed how; None for the model as it is.
            Where the module holds other models, as an ensemble does, each has a form of its own.
        """
        asked = [data_key] if data_key is None or isinstance(data_key, str) else list(data_key)
        if not asked:
            raise ValueError("data_key: expected at least one session, got none")
        sessions = list(dict.fromkeys(self.session(key) for key in asked))
        if members := self._members():
            return _each_prepared(members, time_steps, sessions)
        return self._forms.use(time_steps, *sessions)

    def answering_form(
        self, stimulus: torch.Tensor, data_key: str | None = None
    ) -> Prepared | None:
        """Return the faster form that answers a stimulus now, None where the model does itself."""
        return self._forms.fitting(stimulus, self.session(data_key))

    def responses(
        self, stimulus: torch.Tensor, data_keys: Sequence[str]
    ) -> tuple[torch.Tensor, ...]:
        """Return the responses of several sessions to a stimulus.

        What the sessions share is worked out once where the model can: the core of a core-readout
        model. Other models are run once a session.

        Parameters
        ----------
        stimulus
            ``(batch, channel, time, height, width)`` in the model's units.
        data_keys
            Sessions to answer for.

        Returns
        -------
        tuple of torch.Tensor
            ``(batch, time - lag, neuron)`` of each, in the order of `data_keys`.

        Raises
        ------
        TypeError, ValueError
            If the stimulus does not fit, or there is no such session.
        """
        sessions = [self.session(data_key) for data_key in data_keys]
        shares = getattr(type(self.module), "forward", None) is CoreReadout.forward
        if len(sessions) > 1 and shares and isinstance(self.module, CoreReadout):
            self.check_stimulus(stimulus, finite=False)
            if (form := self._forms.fitting(stimulus, *sessions)) is not None:
                return form.of_sessions(stimulus, sessions)
            return self.module.responses(stimulus, sessions)
        return tuple(self(stimulus, session) for session in sessions)

    def _answer(self, stimulus: torch.Tensor, session: str) -> torch.Tensor:
        if not bfloat16_is_asked_for():
            return self._answer_as_it_is(stimulus, session)
        with torch.autocast(stimulus.device.type, torch.bfloat16, cache_enabled=False):
            return self._answer_as_it_is(stimulus, session).to(stimulus.dtype)

    def _answer_as_it_is(self, stimulus: torch.Tensor, session: str) -> torch.Tensor:
        if self._takes_data_key:
            return self.module(stimulus, data_key=None if session == self._nameless else session)
        return self.module(stimulus)

    def _members(self) -> list[RetinaModel]:
        """Return the models that the module holds, at any depth."""
        return [part for part in self.module.modules() if isinstance(part, RetinaModel)]

    def _tensors(self) -> Iterator[torch.Tensor]:
        yield from self.module.parameters()
        yield from self.module.buffers()

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


@contextmanager
def _each_prepared(
    members: Sequence[RetinaModel], time_steps: int, sessions: Sequence[str]
) -> Iterator[Members]:
    """Use the faster forms of models that another one asks."""
    with ExitStack() as stack:
        forms = []
        for member in members:
            known = [session for session in sessions if session in member.sessions]
            forms.append(stack.enter_context(member.prepared(time_steps, known or None)))
        yield Members(tuple(words_of(form) for form in forms))


def _whose(members: Sequence[int], of: int) -> str:
    if len(members) == of:
        return "each member"
    *first, last = map(str, members)
    return f"members {', '.join(first)} and {last}" if first else f"member {last}"


def as_retina_model(model: Any) -> RetinaModel:
    """Return a `RetinaModel`: the one given, or a live OpenRetina model with this face.

    Raises
    ------
    TypeError
        If `model` is no torch module.
    ValueError
        If the module does not say its stimulus shape; wrap it in `RetinaModel` with `input_shape`.
    """
    if isinstance(model, RetinaModel):
        return model
    if not isinstance(model, nn.Module):
        hint = f"; load_model({model!r}) opens one by its name" if isinstance(model, str) else ""
        raise TypeError(
            f"model: expected a RetinaModel or a torch.nn.Module, got {type(model).__name__}{hint}"
        )
    return RetinaModel(model)


def _sessions_of(module: nn.Module) -> dict[str, int | Sequence[Neuron] | None]:
    """Return the sessions that the module's readout names, their neurons still to be measured."""
    return dict.fromkeys(_readout_names(module) or [_DEFAULT])


def _readout_names(module: nn.Module) -> list[str]:
    readout = getattr(spokesman(module), "readout", None)
    return list(readout.keys()) if isinstance(readout, nn.ModuleDict) else []
