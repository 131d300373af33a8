from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as ipw
import pytest
import torch

from openretina_widgets.models.retina_model import Neuron, RetinaModel
from openretina_widgets.models.synthetic import load_synthetic


class LinearNonlinear(torch.nn.Module):
    """Each neuron has one filter over the last frames, and a softplus."""

    def __init__(self, n_neurons: int = 3, lag: int = 4, seed: int = 100) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.filters = torch.nn.Parameter(
            torch.randn(n_neurons, 2, lag + 1, 6, 5, generator=generator)
        )

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        drive = torch.nn.functional.conv3d(stimulus, self.filters)[..., 0, 0]
        return torch.nn.functional.softplus(drive).transpose(1, 2)


@pytest.fixture
def small_model() -> RetinaModel:
    neurons = [
        Neuron(0, "ON sustained", 10.0, -20.0, "Likes light."),
        Neuron(1, "OFF <b>transient</b>"),
        Neuron(2),
    ]
    return RetinaModel(
        LinearNonlinear(), input_shape=(2, 6, 5), sessions={"small": neurons}, stimulus_norm=3.0
    )


@pytest.fixture(scope="session")
def synthetic() -> RetinaModel:
    return load_synthetic()


def widgets_alive() -> int:
    return len(ipw.widgets.widget._instances)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test, the kernel holds no widget that it did not hold before."""
    before = widgets_alive()
    yield
    assert widgets_alive() == before
