"""Mean luminance, RMS contrast, norm and range: what holds at once, and what is refused."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from openretina_widgets import optimize_neurons
from openretina_widgets.insilico.stimulus_optimization import (
    ContrastAndRange,
    NormAndRange,
    OptimizationResult,
    contrast,
)
from openretina_widgets.insilico.stimulus_optimization.contrast import largest_variance
from openretina_widgets.insilico.stimulus_optimization.regularizer import stimulus_norm
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import (
    INPUT_SHAPE,
    LAG,
    LinearNeurons,
    cosine,
    linear_model,
    noise,
    random_filters,
)
from tests.insilico.test_batch import assert_same

RANGE = [(-0.654, 6.269), (-0.913, 6.269)]
ONE = {"time_steps": LAG + 1}


def line(*values: float) -> torch.Tensor:
    """A stimulus of one channel and one frame."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, 1, -1)


def rms_of(stimulus: torch.Tensor) -> torch.Tensor:
    return stimulus.double().flatten(2).std(dim=2, correction=0)


def mean_of(stimulus: torch.Tensor) -> torch.Tensor:
    return stimulus.double().flatten(2).mean(dim=2)


# By hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        # The variance of 0, 1, 2, 3 is 5/4.
        (ContrastAndRange(5**0.5, 0.0), (-3, -1, 1, 3)),
        (ContrastAndRange(5**0.5), (-1.5, 0.5, 2.5, 4.5)),
        (ContrastAndRange(None, 0.0), (-1.5, -0.5, 0.5, 1.5)),
        # The outer two at the limits, the inner two at a/2: 1/2 + a²/8 = 5/8.
        (ContrastAndRange(0.625**0.5, 0.0, None, [(-1, 1)]), (-1, -0.5, 0.5, 1)),
        # All at the limits.
        (ContrastAndRange(1.0, 0.0, None, [(-1, 1)]), (-1, -1, 1, 1)),
        # The largest would be 2.5: it is cut to 2, and the three others rise by 1/6.
        (ContrastAndRange(None, 1.0, None, [(-2, 2)]), (-1 / 3, 2 / 3, 5 / 3, 2)),
        # Norm² 4 of which the mean has 4 · 0.5²; the rest is 4 variances of 3/4.
        (ContrastAndRange(None, 0.5, 2.0, [(-1, 1)]), (-1, 1, 1, 1)),
    ],
)
def test_hand_made_cases(bounds, expected):
    projected = bounds.process(line(0, 1, 2, 3))
    torch.testing.assert_close(projected, line(*expected), atol=2e-5, rtol=0)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("mean", [None, -0.7, 0.1, 1.9])
def test_the_largest_variance_is_that_of_all_patterns(n, mean):
    """A variance has its largest value at a corner of what is allowed."""
    low, high = -1.0, 2.0
    found = [-math.inf]
    for corner in itertools.product((low, high), repeat=n - 1):
        for last in (low, high) if mean is None else (n * mean - sum(corner),):
            if low - 1e-12 <= last <= high + 1e-12:
                values = torch.tensor([*corner, last], dtype=torch.float64)
                found.append(float(values.var(correction=0)))
    assert largest_variance(n, (low, high), mean) == pytest.approx(max(found), abs=1e-12)


# What holds ----------------------------------------------------------------------------------

CASES = {
    "over all channels": ContrastAndRange(0.9, 0.4, None, RANGE),
    "each channel": ContrastAndRange((0.5, 2.0), (0.0, 1.0), None, RANGE),
    "the mean is kept": ContrastAndRange(1.5, None, None, RANGE),
    "each channel, the mean is kept": ContrastAndRange((3.0, 0.1), None, None, RANGE),
    "the mean alone": ContrastAndRange(None, (0.2, 3.0), None, RANGE),
    "a norm and a mean": ContrastAndRange(None, (0.2, 0.5), 24.0, RANGE),
    "no range": ContrastAndRange((3.0, 0.1), 1.0),
    "one-sided": ContrastAndRange(2.0, 0.5, None, [(-0.5, None), (None, 1.0)]),
    "nearly all at the limits": ContrastAndRange(3.4, None, None, RANGE),
}


@pytest.mark.parametrize("spread", ["normal", "heavy", "lumps", "extreme"])
@pytest.mark.parametrize("name", CASES)
def test_mean_contrast_and_range_hold_at_once(name, spread):
    bounds = CASES[name]
    x = 10 * noise(5, 9)
    if spread == "heavy":
        x = x**5
    elif spread == "lumps":
        x = x.round() + 1e-3 * x
    elif spread == "extreme":
        x = (4 * x).exp()
    bounds.check(x)
    projected = bounds.process(x)
    n = projected[0, 0].numel()
    if bounds.min_max_values is not None:
        for channel, (low, high) in enumerate(bounds.min_max_values):
            assert low is None or projected[:, channel].min() >= torch.tensor(low)
            assert high is None or projected[:, channel].max() <= torch.tensor(high)
    if bounds.mean_luminance is not None:
        expected = torch.tensor(bounds.mean_luminance).double().expand(5, 2)
        torch.testing.assert_close(mean_of(projected), expected, atol=3e-6, rtol=1e-6)
    if isinstance(bounds.rms, tuple):
        expected = torch.tensor(bounds.rms).double().expand(5, 2)
        torch.testing.assert_close(rms_of(projected), expected, atol=0, rtol=2e-6)
    elif bounds.rms is not None:
        over_all = rms_of(projected).square().mean(dim=1).sqrt()
        expected = torch.full((5,), bounds.rms).double()
        torch.testing.assert_close(over_all, expected, atol=0, rtol=2e-6)
    if bounds.norm is not None:
        torch.testing.assert_close(stimulus_norm(projected), torch.full((5,), bounds.norm))
    length = bounds.length(x.shape)
    if length is not None:
        deviation = (n * rms_of(projected).square().sum(dim=1)).sqrt()
        torch.testing.assert_close(deviation, torch.full_like(deviation, length), rtol=2e-6, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_a_projected_stimulus_stays_as_it_is(name):
    once = CASES[name].process(10 * noise(3, 9))
    torch.testing.assert_close(CASES[name].process(once), once, atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize(
    "name", [n for n, case in CASES.items() if case.mean_luminance is not None]
)
def test_it_is_the_nearest_such_stimulus(name):
    """Within the range one scale and one shift a channel, the scale shared where it should be."""
    bounds = CASES[name]
    x = 10 * noise(3, 9)
    low, high = torch.tensor(
        [(-math.inf if a is None else a, math.inf if b is None else b)
         for a, b in bounds.min_max_values or [(None, None)] * 2]
    ).T  # fmt: skip
    for one, projected in zip(x.double(), bounds.process(x).double(), strict=True):
        scales = []
        for channel in range(2):
            a, b = one[channel].flatten(), projected[channel].flatten()
            inside = (b > low[channel] + 1e-6) & (b < high[channel] - 1e-6)
            assert inside.sum() > 9
            a_in, b_in = a[inside], b[inside]
            scale = ((a_in - a_in.mean()) * b_in).sum() / (a_in - a_in.mean()).square().sum()
            fitted = (scale * (a - a_in.mean()) + b_in.mean()).clamp(low[channel], high[channel])
            torch.testing.assert_close(fitted, b, atol=2e-5, rtol=1e-5)
            scales.append(float(scale))
        if bounds.rms is None and bounds.norm is None:
            assert scales == pytest.approx([1, 1], abs=1e-5)
        elif not isinstance(bounds.rms, tuple):
            assert scales[0] == pytest.approx(scales[1], rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_elements_are_projected_apart(name):
    batch = torch.cat([noise(2), 100 * noise(1, seed=1), noise(1, seed=2) ** 5])
    together = CASES[name].process(batch)
    alone = torch.cat([CASES[name].process(x) for x in batch.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_float64_is_held_closer_and_in_as_few_rounds(name, monkeypatch):
    if name != "nearly all at the limits":  # there bisection ends it
        monkeypatch.setattr(contrast, "_TOO_FAR", math.inf)
    x = 10 * noise(5, 9).double()
    bounds = CASES[name]
    projected = bounds.process(x)
    assert projected.dtype == torch.float64
    torch.testing.assert_close(projected.float(), bounds.process(x.float()), atol=1e-3, rtol=1e-4)
    if (length := bounds.length(x.shape)) is not None:
        got = (x[0, 0].numel() * rms_of(projected).square().sum(dim=1)).sqrt()
        torch.testing.assert_close(got, torch.full_like(got, length), rtol=1e-9, atol=0)
    if bounds.mean_luminance is not None:
        expected = torch.tensor(bounds.mean_luminance).double().expand(5, 2)
        torch.testing.assert_close(mean_of(projected), expected, atol=1e-8, rtol=1e-7)


# In a run ------------------------------------------------------------------------------------


def test_best_stimulus_at_a_contrast_is_each_channels_filter_about_the_mean():
    model = linear_model(2)
    result = optimize_neurons(model, [0, 1], rms=[0.5, 2.0], mean_luminance=[0.3, -0.1], **ONE)
    for stimulus, filters in zip(result.stimulus, model.module.filters.detach(), strict=True):
        for channel in range(2):
            own = filters[channel] - filters[channel].mean()
            assert cosine(stimulus[channel] - stimulus[channel].mean(), own) >= 0.999
    for got, expected in (
        (result.rms_contrast, (0.5, 2.0)),
        (result.mean_luminance, (0.3, -0.1)),
    ):
        expected = torch.tensor([expected] * 2).double()
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_best_stimulus_at_one_contrast_shares_it_among_the_channels_as_the_filter_does():
    model = linear_model(1, stimulus_norm=3.0)
    result = optimize_neurons(model, 0, rms=0.7, mean_luminance=0, **ONE)
    filters = model.module.filters.detach()[0]
    own = filters - filters.mean(dim=(1, 2, 3), keepdim=True)
    assert cosine(result.stimulus[0], own) >= 0.999
    assert float(result.rms_contrast.square().mean().sqrt()) == pytest.approx(0.7, rel=1e-6)
    assert result.settings["postprocessors"][-1]["norm"] is None


def test_the_models_norm_and_range_hold_with_a_mean():
    model = linear_model(1, stimulus_norm=6.0, stimulus_range=[(-0.5, 1.0)] * 2)
    result = optimize_neurons(model, 0, mean_luminance=0.2, max_iterations=20, **ONE)
    assert float(result.norm) == pytest.approx(6.0, rel=1e-6)
    assert result.mean_luminance.flatten().tolist() == pytest.approx([0.2, 0.2], abs=1e-6)
    assert -0.5 <= float(result.stimulus.min()) < float(result.stimulus.max()) <= 1.0


def test_neurons_together_are_as_many_single_runs():
    gains = torch.tensor([0.02, 0.2, 1.0]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(gains * random_filters(3))
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_range=[(-1.0, 1.5)] * 2)

    def run(neurons: list[int]) -> OptimizationResult:
        return optimize_neurons(
            model, neurons, rms=0.8, seed=2, max_iterations=40, patience=3, min_delta=0.1, **ONE
        )

    together = run([0, 1, 2])
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [run([neuron]) for neuron in range(3)])


# What contradicts itself ---------------------------------------------------------------------

SHAPE = (2, LAG + 1, 6, 5)  # 150 values a channel


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": 100.0, "stimulus_range": [(-1, 1), (-1, 2)]},
         r"norm: 100.0 is out of reach: the largest norm of a stimulus of shape "
         rf"\(2, 5, 6, 5\) within the range is {math.sqrt(150 * 5):.6g}"),
        ({"norm": 1.0, "stimulus_range": [(1, 2), (-2, -1)]},
         rf"leaves out 0, and the smallest norm .* is {math.sqrt(300):.6g}"),
        ({"norm": 3.0, "rms": 1.0}, "norm, rms: norm 3.0 and RMS contrast 1.0 were both given"),
        ({"norm": 0.0}, "norm: expected a positive number, got 0.0"),
        ({"rms": 0.0}, "rms: expected a positive number, got 0.0"),
        ({"rms": [1.0]}, "rms: expected one number, or one for each of 2 channels, got 1"),
        ({"rms": []}, "rms: expected a number, or one for each channel, got none"),
        ({"rms": 1.6, "stimulus_range": [(-1, 2)] * 2},
         "rms: 1.6 is out of reach: within the range, the largest RMS contrast is 1.5"),
        ({"rms": [1.0, 1.6], "stimulus_range": [(-1, 2)] * 2},
         "rms: 1.6 of channel 1 is out of reach"),
        ({"rms": 1.2, "mean_luminance": 1.5, "stimulus_range": [(-1, 2)] * 2},
         r"within the range and the mean luminance 1.5, the largest RMS contrast is 1.11803"),
        ({"mean_luminance": 2.5, "stimulus_range": [(-1, 2)] * 2},
         r"mean_luminance: 2.5 of channel 0 is outside its range \(-1, 2\)"),
        ({"mean_luminance": math.nan}, "mean_luminance: expected a finite number, got nan"),
        ({"mean_luminance": 1.0, "norm": 17.0},
         f"uniform fields at that mean have the norm {math.sqrt(300):.6g}"),
        ({"mean_luminance": 0.5, "norm": 30.0, "stimulus_range": [(-1, 1)] * 2},
         f"mean luminance 0.5, the largest norm of .* is {math.sqrt(298):.6g}"),
        ({"mean_luminance": 1.0}, "without any bound the stimulus grows for ever"),
        ({"stimulus_range": [(1, -1), (0, 1)]}, r"range: expected low < high, got \(1, -1\)"),
    ],
)  # fmt: skip
def test_contradictions_are_said_before_the_run(settings, message):
    with pytest.raises(ValueError, match=message):
        optimize_neurons(linear_model(1), 0, **ONE, **settings)


@pytest.mark.parametrize("settings", [{"rms": "high"}, {"mean_luminance": True}])
def test_what_is_no_number_is_refused(settings):
    with pytest.raises(TypeError, match="expected a number"):
        optimize_neurons(linear_model(1), 0, **ONE, **settings)


def test_what_can_just_be_reached_is_reached():
    settings = {"rms": 1.5, "stimulus_range": [(-1.0, 2.0)] * 2}
    result = optimize_neurons(linear_model(1), 0, max_iterations=5, **ONE, **settings)
    assert result.rms_contrast.flatten().tolist() == pytest.approx([1.5, 1.5], rel=1e-5)
    NormAndRange(300**0.5, [(-1, 1)] * 2).check(noise(1))
    NormAndRange(1000.0, [(-1, 1)] * 2, exact=False).check(noise(1))


def test_nothing_asked_and_a_start_without_contrast_are_refused():
    with pytest.raises(ValueError, match="rms, mean_luminance: expected at least one"):
        ContrastAndRange(None, None, 3.0)
    start = noise(2)
    start[1] = 0.3
    with pytest.raises(ValueError, match="stimulus: element 1 of the batch is uniform"):
        ContrastAndRange(1.0).check(start)


# On a GPU ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [*CASES.values(), NormAndRange(24.0, RANGE), NormAndRange(24.0), NormAndRange(None, RANGE)],
    ids=[*CASES, "norm and range", "norm", "range"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_projection_waits_for_a_gpu(bounds, dtype):
    """A tensor without values refuses whatever would have to know one on the host."""
    x = torch.empty(3, 2, 9, 6, 5, device="meta", dtype=dtype)
    projected = bounds.process(x)
    assert projected.shape == x.shape
    assert projected.dtype == dtype
    with pytest.raises(RuntimeError, match="meta"):
        bool(projected.any())


@pytest.mark.parametrize("spread", ["normal", "heavy", "extreme"])
@pytest.mark.parametrize("name", CASES)
def test_the_rounds_that_a_gpu_takes_are_enough(name, spread, monkeypatch):
    """It gets there at once, or with the next step where nearly all values are at the limits."""
    monkeypatch.setitem(contrast._ROUNDS, "cpu", contrast._OTHER_ROUNDS)
    monkeypatch.setattr(contrast, "_TOO_FAR", math.inf)  # the way that only the CPU has
    x = torch.randn(4, 2, 30, 18, 16, generator=torch.Generator().manual_seed(0))
    x = {"normal": x, "heavy": x**5, "extreme": (4 * x).exp()}[spread]
    bounds = CASES[name]
    if name == "a norm and a mean":  # of that many values
        bounds = ContrastAndRange(None, (0.2, 0.5), 130.0, RANGE)
    full = name in ("each channel, the mean is kept", "nearly all at the limits")
    for off in (5e-3, 2e-6) if full else (2e-6,):
        x = projected = bounds.process(x)
        if (length := bounds.length(x.shape)) is not None:
            got = (x[0, 0].numel() * rms_of(projected).square().sum(dim=1)).sqrt()
            torch.testing.assert_close(got, torch.full_like(got, length), rtol=off, atol=0)
        if bounds.mean_luminance is not None:
            expected = torch.tensor(bounds.mean_luminance).double().expand(4, 2)
            torch.testing.assert_close(mean_of(projected), expected, atol=3e-6, rtol=1e-6)
