"""Small torch modules whose right answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from openretina_widgets.models import RetinaModel

CHANNELS, LAG, HEIGHT, WIDTH = 2, 4, 6, 5
INPUT_SHAPE = (CHANNELS, HEIGHT, WIDTH)
FILTER_SHAPE = (CHANNELS, LAG + 1, HEIGHT, WIDTH)


def random_filters(neurons: int, *, seed: int = 0) -> torch.Tensor:
    """Filters ``(neuron, channel, LAG + 1, height, width)``."""
    generator = torch.Generator().manual_seed(1000 + seed)  # not the noise that a run starts from
    return torch.randn(neurons, *FILTER_SHAPE, generator=generator)


class LinearNeurons(nn.Module):
    """Neuron n answers each frame with the product of its filter and the last frames."""

    def __init__(
        self,
        filters: torch.Tensor,
        *,
        nonlinearity: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.filters = nn.Parameter(filters)
        self.nonlinearity = nonlinearity

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        response = F.conv3d(stimulus, self.filters)[..., 0, 0].transpose(1, 2)
        return response if self.nonlinearity is None else self.nonlinearity(response)


def linear_model(neurons: int = 3, *, seed: int = 0, **settings: object) -> RetinaModel:
    """A model of linear neurons, with neither range nor norm unless `settings` say so."""
    module = LinearNeurons(random_filters(neurons, seed=seed))
    return RetinaModel(module, input_shape=INPUT_SHAPE, **settings)  # type: ignore[arg-type]


class TrainedNetwork(nn.Module):
    """Convolution, batch norm, dropout and a readout by session: the shape of OpenRetina's models.

    It is left in train mode, so that every forward pass which does not set eval mode changes the
    running statistics and drops units at random.
    """

    LAG = 2

    def __init__(self, sessions: dict[str, int] | None = None, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.core = nn.Sequential(
                nn.Conv3d(CHANNELS, 4, (self.LAG + 1, 3, 3)),
                nn.BatchNorm3d(4),
                nn.Dropout(0.5),
                nn.ELU(),
            )
            features = 4 * (HEIGHT - 2) * (WIDTH - 2)
            self.readout = nn.ModuleDict(
                {
                    name: nn.Linear(features, neurons)
                    for name, neurons in (sessions or {"a": 3, "b": 2}).items()
                }
            )
        self.train()

    def stimulus_shape(self, time_steps: int, num_batches: int = 1) -> tuple[int, ...]:
        return (num_batches, CHANNELS, time_steps, HEIGHT, WIDTH)

    def forward(self, x: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        features = self.core(x).transpose(1, 2).flatten(2)
        return F.softplus(self.readout[data_key or next(iter(self.readout))](features))


class LittleMemory(nn.Module):
    """Runs out of memory with a batch above `fits`, as a device does."""

    def __init__(self, filters: torch.Tensor, *, fits: int) -> None:
        super().__init__()
        self.neurons = LinearNeurons(filters)
        self.fits = fits

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        if len(stimulus) > self.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.neurons(stimulus)


def noise(batch: int, time_steps: int = LAG + 1, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, CHANNELS, time_steps, HEIGHT, WIDTH, generator=generator)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(F.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def state_of(module: nn.Module) -> dict[str, object]:
    """All that a run could change in a module: weights, buffers, gradients, flags."""
    state: dict[str, object] = {key: value.clone() for key, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        state[f"{name}.grad"] = None if parameter.grad is None else parameter.grad.clone()
        state[f"{name}.requires_grad"] = parameter.requires_grad
    for name, part in module.named_modules():
        state[f"{name}.training"] = part.training
    return state


def assert_untouched(module: nn.Module, before: dict[str, object]) -> None:
    after = state_of(module)
    assert after.keys() == before.keys()
    for key, was, now in ((key, before[key], after[key]) for key in before):
        if isinstance(was, torch.Tensor) and isinstance(now, torch.Tensor):
            assert torch.equal(was, now), key
        else:
            assert was == now, key


def is_frozen(module: nn.Module) -> bool:
    return not any(
        itertools.chain(
            (part.training for part in module.modules()),
            (parameter.requires_grad for parameter in module.parameters()),
        )
    )
