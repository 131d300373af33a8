"""Separable convolutions in two steps: the answer and the gradient of the whole kernels."""

import pytest
import torch
from torch.nn import functional as F

from openretina_widgets.models.convolutions import KernelConv3d, SpaceTimeSeparableConv3d
from openretina_widgets.models.two_step_convolution import bands, convolve_in_two_steps, pays

PADDINGS = [
    [(0, 0), (0, 0), (0, 0)],
    [(0, 0), (2, 2), (2, 2)],
    [(1, 2), (0, 1), (3, 0)],
]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def whole(x, spatial, temporal, padding):
    width_first = [n for pair in reversed(padding) for n in pair]
    return F.conv3d(F.pad(x, width_first), temporal[..., None, None] * spatial)


@pytest.mark.parametrize("padding", PADDINGS)
def test_two_steps_answer_and_learn_as_the_whole_kernels(padding):
    given = [drawn(2, 3, 9, 7, 6), drawn(4, 3, 1, 5, 4, seed=1), drawn(4, 3, 5, seed=2)]
    results = []
    for convolve in (whole, convolve_in_two_steps):
        leaves = [tensor.clone().requires_grad_(True) for tensor in given]
        made = convolve(*leaves, padding)
        gradients = torch.autograd.grad(made.pow(3).sum(), leaves)
        results.append((made, *gradients))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_a_band_holds_the_kernel_once_a_row():
    made = bands(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 3)
    assert made.tolist() == [[[1, 2, 0, 3, 4, 0], [0, 1, 2, 0, 3, 4]]]


def first_layer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SpaceTimeSeparableConv3d(2, 16, temporal_kernel_size=21, spatial_kernel_size=11)


def test_the_layer_takes_two_steps_where_they_pay_and_answers_the_same(monkeypatch):
    layer = first_layer().requires_grad_(False)
    taken = []
    in_one = KernelConv3d.forward
    monkeypatch.setattr(
        KernelConv3d, "forward", lambda self, x: taken.append(len(x)) or in_one(self, x)
    )
    for batch in (1, 8):
        movie = drawn(batch, 2, 50, 18, 16).float()
        torch.testing.assert_close(layer(movie), in_one(layer, movie), rtol=1e-5, atol=1e-5)
    assert taken == [1]


def test_two_steps_pay_for_large_kernels_on_small_frames_and_for_gradients():
    spatial, free = drawn(16, 2, 1, 11, 11).float(), [(0, 0)] * 3
    with torch.no_grad():
        assert not pays(torch.zeros(1, 2, 50, 18, 16), spatial, 21, free)
        assert pays(torch.zeros(8, 2, 50, 18, 16), spatial, 21, free)
        assert not pays(torch.zeros(8, 2, 50, 72, 64), spatial, 21, free)
        assert not pays(torch.zeros(8, 2, 50, 18, 16, device="meta"), spatial, 21, free)
    assert pays(torch.zeros(1, 2, 50, 18, 16, requires_grad=True), spatial, 21, free)


@pytest.mark.parametrize("shape", [(2, 20, 18, 16), (2, 50, 10, 16)])
def test_too_small_an_input_is_refused_as_before(shape):
    with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
        first_layer()(torch.zeros(8, *shape))
