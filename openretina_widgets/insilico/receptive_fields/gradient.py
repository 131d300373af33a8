"""The gradient of each neuron's response with respect to the stimulus, all neurons together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

from openretina_widgets.errors import check_positive
from openretina_widgets.insilico.compute import full_float32, memory_in_words
from openretina_widgets.insilico.metering import KeptBytes, bytes_of
from openretina_widgets.models.freezing import frozen
from openretina_widgets.models.retina_model import RetinaModel

MEMORY_MB = 512.0
_NO_RULE = "There is a performance drop because we have not yet implemented"  # torch's, of vmap


def neuron_gradients(
    model: RetinaModel,
    movies: torch.Tensor,
    neurons: Sequence[int],
    *,
    data_key: str | None = None,
    memory_mb: float = MEMORY_MB,
    answer: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Yield the gradient of the last response to each movie, for groups of neurons.

    The model runs forward once for a group, and backward once for all of its neurons (torch's
    `torch.vmap`). Where an operation of the model does not allow that, each neuron of the
    group gets copies of the movies instead.

    Parameters
    ----------
    model
        Held frozen in eval mode between two groups as well, and handed back as it was.
    movies
        ``(movie, channel, time, height, width)`` on the model's device.
    neurons
        Indices, already checked.
    data_key
        Session, the first one for None.
    memory_mb
        Bounds what a group needs (MiB), from what the first forward pass was measured to keep. A
        group has at least one neuron.
    answer
        Another response ``(movie, neuron of the session)`` than the last one, computed by the
        model from `movies`, which are then whatever `answer` takes, one row each.

    Yields
    ------
    group
        Neurons of the group.
    response
        ``(neuron of the group, movie)``: their last response.
    gradient
        ``(neuron of the group, movie, channel, time, height, width)``.
    """
    budget = check_positive(memory_mb, "memory_mb") * 2**20
    session = model.session(data_key)
    rest = list(neurons)
    batched = True

    def last(stimulus: torch.Tensor) -> torch.Tensor:
        return model(stimulus, session)[:, -1]

    ask = last if answer is None else answer
    with frozen(model), model.prepared(movies.shape[2], session):
        while rest:
            with (
                full_float32(movies.device),
                memory_in_words(len(movies), movies.device),
                torch.enable_grad(),
            ):
                stimulus = movies.detach().clone().requires_grad_(True)
                kept = KeptBytes()
                with kept:
                    response = ask(stimulus)
                group = rest[: max(1, int(budget / max(1, kept.total + bytes_of(movies))))]
                chosen = response[:, group]
                if not chosen.requires_grad:  # a constant answer
                    gradient = movies.new_zeros(len(group), *movies.shape)
                elif batched:
                    found = _batched(chosen.sum(0), stimulus)
                    batched = found is not None
                    gradient = _of_copies(ask, movies, group) if found is None else found
                else:
                    gradient = _of_copies(ask, movies, group)
            yield group, chosen.detach().T, gradient
            rest = rest[len(group) :]


def _batched(response: torch.Tensor, stimulus: torch.Tensor) -> torch.Tensor | None:
    """Return the gradients of all entries of a vector, None where an operation forbids it."""
    each = torch.eye(len(response), dtype=response.dtype, device=response.device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NO_RULE)
        try:
            # `vmap` itself and not `is_grads_batched`, which knows no rules of autograd functions.
            gradient = torch.vmap(
                lambda one: torch.autograd.grad(response, stimulus, one, retain_graph=True)[0]
            )(each)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError:  # no rule for batches; any other trouble meets the copies as well
            return None
    return gradient


def _of_copies(
    answer: Callable[[torch.Tensor], torch.Tensor], movies: torch.Tensor, group: Sequence[int]
) -> torch.Tensor:
    """Return the gradients from a batch in which each neuron has movies of its own."""
    n = len(group)
    stimulus = movies.detach().repeat(n, *[1] * (movies.ndim - 1)).requires_grad_(True)
    response = answer(stimulus)[:, list(group)].unflatten(0, (n, len(movies)))
    own = torch.diagonal(response, dim1=0, dim2=2).sum()
    (gradient,) = torch.autograd.grad(own, stimulus)
    return gradient.unflatten(0, (n, len(movies)))
