"""The faster forms of one model that are in use, and those that are kept for the next time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from openretina_widgets.models.core_readout import CoreReadout
from openretina_widgets.models.lower_precision import bfloat16_is_asked_for
from openretina_widgets.models.prepared import Prepared, prepare, undisturbed, words_of
from openretina_widgets.models.weight_hash import weight_hash

__all__ = ["PreparedForms"]

_KEPT = 4  # forms that nobody uses at the moment

_Key = tuple[int, tuple[str, ...]]
_Fingerprint = tuple[list[int], list[int]]

_version = attrgetter("_version")


class _Form:
    """A form, the weights that it was built from, and how many use it."""

    def __init__(self, form: Prepared | None, parts: list[nn.Module]) -> None:
        self.form = form
        self.parts = parts
        self.modules = [module for part in parts for module in part.modules()]
        tensors = [t for part in parts for t in (*part.parameters(), *part.buffers())]
        self.tensors = tensors
        self.device = tensors[0].device if tensors else torch.device("cpu")
        self.dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
        self.counting = [t for t in tensors if not t.is_inference()]
        self.fingerprint = _fingerprint(tensors, self.counting)
        self.hash = _hash(parts)
        self.users = 0

    def as_built(self) -> bool:
        """Whether it still is what the model would answer, as far as torch can tell."""
        return undisturbed(self.modules) and self.fingerprint == _fingerprint(
            self.tensors, self.counting
        )


class PreparedForms:
    """Builds the forms of a module, and says which one fits a stimulus.

    Parameters
    ----------
    module
        The model behind the face.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = [module]  # in a list, so that no part of the model is registered twice
        self._forms: OrderedDict[_Key, _Form] = OrderedDict()
        self._in_use = 0
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return PreparedForms, (self._module[0],)  # a copy begins without forms

    @contextmanager
    def use(self, frames: int, *sessions: str) -> Iterator[Prepared | None]:
        """Use the form for stimuli of so many frames while the context lasts."""
        with self._lock:
            one = self._form(frames, sessions)
            one.users += 1
            self._in_use += 1
        try:
            yield one.form
        finally:
            with self._lock:
                one.users -= 1
                self._in_use -= 1
                unused = [key for key, form in self._forms.items() if form.users == 0]
                for key in unused[:-_KEPT]:
                    del self._forms[key]

    def fitting(self, stimulus: torch.Tensor, *sessions: str) -> Prepared | None:
        """Return the form that answers a stimulus, None where the model does so itself."""
        if not self._in_use:
            return None
        frames, asked = stimulus.shape[2], set(sessions)
        with self._lock:
            forms = [
                form
                for (length, known), form in self._forms.items()
                if length == frames and form.users and asked.issubset(known)
            ]
        form = next((one.form for one in forms if _fits(one, stimulus)), None)
        return form.in_bfloat16() if form is not None and bfloat16_is_asked_for() else form

    def words(self) -> tuple[str, ...]:
        """Return how stimuli of which lengths are computed by the forms that are kept."""
        with self._lock:
            kept = list(self._forms.items())
        said = (f"{frames} frames: {words_of(one.form)}" for (frames, _), one in kept)
        return tuple(dict.fromkeys(said))

    def _form(self, frames: int, sessions: tuple[str, ...]) -> _Form:
        key = (frames, sessions)
        kept = self._forms.get(key)
        if (
            kept is not None
            and kept.form is not None
            and kept.as_built()
            and kept.hash == _hash(kept.parts)
        ):
            self._forms.move_to_end(key)
            return kept
        module = self._module[0]
        form = prepare(module, frames, sessions)
        parts: list[nn.Module] = []
        if form is not None:
            parts = [module]
            if isinstance(module, CoreReadout):
                parts = [module.core, *(module.readout[session] for session in sessions)]
        if kept is not None and kept.users:  # of weights that are no more: nobody is to use it
            kept.form = None
        self._forms[key] = _Form(form, parts)
        return self._forms[key]


def _fits(one: _Form, stimulus: torch.Tensor) -> bool:
    if one.form is None or stimulus.dtype != one.dtype or stimulus.device != one.device:
        return False
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in one.tensors)
    return not learns and one.as_built()


def _fingerprint(tensors: list[torch.Tensor], counting: list[torch.Tensor]) -> _Fingerprint:
    """Return where tensors lie, and how often those were written to that count it."""
    return list(map(torch.Tensor.data_ptr, tensors)), list(map(_version, counting))


def _hash(parts: list[nn.Module]) -> str:
    """Return a hash of the weights: a write past torch's own count, through `.data`, shows here."""
    return "".join(weight_hash(part) for part in parts)
