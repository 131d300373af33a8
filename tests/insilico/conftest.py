from __future__ import annotations

import pytest
import torch

from openretina_widgets.models import RetinaModel
from tests.insilico.modules import TrainedNetwork, linear_model


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    """The modules here are too small for more; on a busy machine threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def linear() -> RetinaModel:
    """Three linear neurons with known filters, no range, no norm."""
    return linear_model()


@pytest.fixture
def network() -> TrainedNetwork:
    """A network in train mode, with sessions a (3 neurons) and b (2)."""
    return TrainedNetwork()


@pytest.fixture
def trained(network: TrainedNetwork) -> RetinaModel:
    return RetinaModel(network, stimulus_range=[(-1.0, 1.0)] * 2, stimulus_norm=4.0)


@pytest.fixture
def cuda() -> torch.device:
    """The CUDA device; tests that use it are marked ``cuda``."""
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    return torch.device("cuda", 0)
