from __future__ import annotations

import math

import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    L2Regularizer,
    NormAndRange,
    RangeRegularizer,
    SpatialBlur,
    TemporalLowPass,
    TotalVariationRegularizer,
)
from openretina_widgets.insilico.stimulus_optimization.regularizer import (
    penalty_of,
    project,
    stimulus_norm,
    total_variation,
)
from tests.insilico.foreign import ForeignNoLoss, ForeignNormThenClip, ForeignRangeLoss
from tests.insilico.modules import noise

HOEFLING_RANGE = [(-0.654, 6.269), (-0.913, 6.269)]
AXES = {"time": 2, "height": 3, "width": 4}
SHAPE = (1, 2, 6, 4, 8)


def stripes(axis: str) -> torch.Tensor:
    """A movie that alternates between 0 and 1 along one axis, and along no other."""
    n = SHAPE[AXES[axis]]
    shape = [1] * 5
    shape[AXES[axis]] = n
    return (torch.arange(n) % 2).float().view(shape).expand(SHAPE)


# Total variation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    # steps of size 1 along a line, times lines: (n - 1) * values / n of the 2 * 6 * 4 * 8 values
    ("axis", "steps"),
    [("time", 5 * 2 * 4 * 8), ("height", 3 * 2 * 6 * 8), ("width", 7 * 2 * 6 * 4)],
)
def test_total_variation_of_stripes_is_what_one_counts(axis, steps):
    variation = total_variation(stripes(axis))
    assert {name: float(value) for name, value in variation.items()} == {
        name: float(steps) if name == axis else 0.0 for name in AXES
    }


@pytest.mark.parametrize("axis", AXES)
def test_total_variation_penalty_of_stripes_along_any_axis_is_its_weight(axis):
    """Every neighbour differs by 1, so the mean difference is 1."""
    penalty = TotalVariationRegularizer(weight=0.3).forward(stripes(axis))
    torch.testing.assert_close(penalty, torch.tensor([0.3]))


def test_total_variation_penalty_counts_only_the_axes_asked_for():
    regularizer = TotalVariationRegularizer(weight=1.0, axes=("height", "width"))
    assert float(regularizer.forward(stripes("time"))) == 0.0
    assert float(regularizer.forward(stripes("width"))) == pytest.approx(1.0)


def test_total_variation_penalty_is_of_each_element():
    batch = torch.cat([stripes("time"), torch.zeros(SHAPE), 2 * stripes("width")])
    penalty = TotalVariationRegularizer(weight=1.0).forward(batch)
    torch.testing.assert_close(penalty, torch.tensor([1.0, 0.0, 2.0]))


def test_total_variation_penalty_of_a_single_frame_and_pixel_is_zero():
    assert float(TotalVariationRegularizer().forward(torch.ones(1, 1, 1, 1, 1))) == 0.0


# Other penalties -----------------------------------------------------------------------------


def test_l2_penalty_is_the_mean_square():
    batch = torch.stack([torch.full(SHAPE[1:], 2.0), torch.zeros(SHAPE[1:])])
    torch.testing.assert_close(L2Regularizer(weight=0.5).forward(batch), torch.tensor([2.0, 0.0]))


def test_range_penalty_sums_what_lies_outside_by_channel():
    stimulus = torch.zeros(1, 2, 1, 1, 3)
    stimulus[0, 0, 0, 0] = torch.tensor([-2.0, 0.0, 3.0])  # 1 below, 2 above
    stimulus[0, 1, 0, 0] = torch.tensor([-5.0, 0.0, 5.0])  # no lower limit, 4 above
    regularizer = RangeRegularizer([(-1.0, 1.0), (None, 1.0)], factor=10.0)
    assert float(regularizer.forward(stimulus)) == pytest.approx(70.0)


def test_range_penalty_counts_the_norm_above_its_bound():
    stimulus = torch.stack([torch.full((2, 1, 2, 4), 0.5), torch.full((2, 1, 2, 4), 0.25)])
    regularizer = RangeRegularizer([(None, None)] * 2, max_norm=1.5)
    torch.testing.assert_close(regularizer.forward(stimulus), torch.tensor([0.5, 0.0]))


def test_range_penalty_is_what_openretinas_is_for_one_stimulus():
    stimulus = 3 * noise(4)
    ours = RangeRegularizer(HOEFLING_RANGE, max_norm=2.0, factor=0.7)
    theirs = ForeignRangeLoss(HOEFLING_RANGE, max_norm=2.0, factor=0.7)
    expected = torch.stack([theirs.forward(x) for x in stimulus.split(1)])
    torch.testing.assert_close(ours.forward(stimulus), expected)


def test_range_penalty_of_zeros_has_a_finite_gradient():
    stimulus = torch.zeros(SHAPE, requires_grad=True)
    RangeRegularizer([(None, None)] * 2, max_norm=1.0).forward(stimulus).sum().backward()
    assert torch.isfinite(stimulus.grad).all()


# Projections ---------------------------------------------------------------------------------


def test_clip_holds_each_value():
    clipped = ClipStimulus(-0.05, 0.1).process(noise(2))
    assert clipped.min() == pytest.approx(-0.05)
    assert clipped.max() == pytest.approx(0.1)


@pytest.mark.parametrize(("low", "high"), [(None, 0.0), (0.0, None), (None, None)])
def test_clip_takes_open_ends(low, high):
    stimulus = noise(2)
    clipped = ClipStimulus(low, high).process(stimulus)
    assert (clipped.min() == 0.0) == (low is not None)
    assert (clipped.max() == 0.0) == (high is not None)
    assert torch.equal(clipped, stimulus) == (low is high is None)


@pytest.mark.parametrize("norm", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("limits", [[(-1.0, 1.0)] * 2, HOEFLING_RANGE, [(0.0, 1.0)] * 2])
def test_norm_and_range_hold_at_once(norm, limits):
    projected = NormAndRange(norm, limits).process(noise(8))
    torch.testing.assert_close(stimulus_norm(projected), torch.full((8,), norm))
    for channel, (low, high) in enumerate(limits):
        assert low <= projected[:, channel].min()
        assert projected[:, channel].max() <= high


def test_norm_and_range_is_the_nearest_such_stimulus():
    """Among all of that norm within the range, it has the largest product with the stimulus.

    That is the condition of Karush, Kuhn and Tucker: one scale for all values within the range,
    and beyond it the limit.
    """
    stimulus = noise(4)
    projected = NormAndRange(4.0, [(-0.5, 0.3)] * 2).process(stimulus)
    for x, y in zip(stimulus, projected, strict=True):
        inside = (y > -0.5) & (y < 0.3)
        assert 0 < inside.sum() < y.numel()
        scale = (y[inside] / x[inside]).double()
        assert float(scale.std() / scale.mean()) < 1e-5
        torch.testing.assert_close(y, (scale.mean().float() * x).clamp(-0.5, 0.3))


def test_norm_and_range_holds_for_heavy_tails():
    """Each round clips a few more values, so that it takes many rounds."""
    stimulus = (2.0 ** -torch.arange(384.0)).clamp(min=1e-18).view(1, 2, 6, 4, 8)
    projected = NormAndRange(10.0, [(-1.0, 1.0)] * 2).process(stimulus)
    torch.testing.assert_close(stimulus_norm(projected), torch.tensor([10.0]))


def test_norm_out_of_reach_gives_the_nearest_that_the_range_allows():
    stimulus = noise(2)
    projected = NormAndRange(1000.0, [(-1.0, 1.0)] * 2).process(stimulus)
    torch.testing.assert_close(projected, stimulus.sign())


def test_norm_without_range_only_scales():
    stimulus = noise(3)
    projected = NormAndRange(2.0).process(stimulus)
    torch.testing.assert_close(stimulus_norm(projected), torch.full((3,), 2.0))
    torch.testing.assert_close(projected / stimulus, (2.0 / stimulus_norm(stimulus)).view(
        3, 1, 1, 1, 1
    ).expand_as(stimulus))  # fmt: skip


def test_range_without_norm_only_clips():
    stimulus = noise(3)
    projected = NormAndRange(None, [(-0.1, 0.1), (None, 0.0)]).process(stimulus)
    torch.testing.assert_close(projected[:, 0], stimulus[:, 0].clamp(-0.1, 0.1))
    torch.testing.assert_close(projected[:, 1], stimulus[:, 1].clamp(max=0.0))


def test_inexact_norm_scales_only_what_exceeds_it():
    small, large = noise(1), 10 * noise(1)
    bound = 2 * float(stimulus_norm(small))
    projected = NormAndRange(bound, [(-0.125, 0.125)] * 2, exact=False)
    wide = NormAndRange(bound, exact=False)
    torch.testing.assert_close(
        wide.process(torch.cat([small, large])), torch.cat([small, large / 5])
    )
    torch.testing.assert_close(projected.process(small), small.clamp(-0.125, 0.125))
    assert float(stimulus_norm(projected.process(large))) <= bound * (1 + 1e-6)
    assert float(projected.process(large).abs().max()) <= 0.125


def test_norm_is_held_by_each_element_apart():
    batch = torch.cat([noise(1), 100 * noise(1, seed=1), 1e-6 * noise(1, seed=2)])
    together = NormAndRange(5.0, HOEFLING_RANGE).process(batch)
    alone = torch.cat([NormAndRange(5.0, HOEFLING_RANGE).process(x) for x in batch.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-6)


def test_norm_of_zeros_leaves_zeros_and_no_nan():
    batch = torch.cat([torch.zeros_like(noise(1)), noise(1)])
    projected = NormAndRange(5.0, HOEFLING_RANGE).process(batch)
    assert not projected[0].any()
    assert float(stimulus_norm(projected)[1]) == pytest.approx(5.0)


def test_norm_refuses_a_start_of_zeros_and_says_which():
    batch = torch.cat([noise(1), torch.zeros_like(noise(1))])
    with pytest.raises(ValueError, match=r"element 1 of the batch is zero everywhere.*norm 5\.0"):
        NormAndRange(5.0).check(batch)
    NormAndRange(None, [(0.0, 1.0)] * 2).check(batch)
    NormAndRange(5.0, exact=False).check(batch)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("kind", [TemporalLowPass, SpatialBlur])
def test_smoothing_keeps_a_constant_constant_to_its_ends(kind, sigma):
    constant = torch.full(SHAPE, 0.7)
    torch.testing.assert_close(kind(sigma).process(constant), constant)


def test_low_pass_smooths_over_time_alone():
    impulse = torch.zeros(1, 1, 9, 3, 3)
    impulse[0, 0, 4, 1, 1] = 1.0
    smooth = TemporalLowPass(1.0).process(impulse)
    outside = smooth.clone()
    outside[0, 0, :, 1, 1] = 0
    assert not outside.any()
    trace = smooth[0, 0, :, 1, 1]
    weights = torch.exp(-0.5 * (torch.arange(9.0) - 4) ** 2)
    torch.testing.assert_close(trace[3] / trace[4], torch.tensor(math.exp(-0.5)), rtol=0.01, atol=0)
    torch.testing.assert_close(trace, weights / weights.sum(), atol=0.02, rtol=0)


def test_blur_smooths_over_space_alone():
    impulse = torch.zeros(1, 1, 3, 9, 9)
    impulse[0, 0, 1, 4, 4] = 1.0
    smooth = SpatialBlur(1.0).process(impulse)
    assert not smooth[0, 0, [0, 2]].any()
    frame = smooth[0, 0, 1]
    torch.testing.assert_close(frame, frame.T)
    torch.testing.assert_close(
        frame[4, 3] / frame[4, 4], torch.tensor(math.exp(-0.5)), rtol=0.01, atol=0
    )


def test_smoothing_made_in_inference_mode_is_of_use_in_a_gradient():
    """The weights are kept for the next call, whichever mode that is in."""
    stimulus = noise(1, 7)
    with torch.inference_mode():
        TemporalLowPass(0.77).process(stimulus)
        RangeRegularizer([(-0.77, 0.1)] * 2).forward(stimulus)
    stimulus.requires_grad_(True)
    score = TemporalLowPass(0.77).process(stimulus).square().sum()
    score = score + RangeRegularizer([(-0.77, 0.1)] * 2).forward(stimulus).sum()
    score.backward()
    assert stimulus.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TotalVariationRegularizer(weight=-1.0),
            "weight: expected a number >= 0, got -1.0",
        ),
        (lambda: L2Regularizer(weight=float("nan")), "weight: expected a number >= 0, got nan"),
        (lambda: TotalVariationRegularizer(axes=("depth",)), "axes: expected some of .*'depth'"),
        (lambda: TotalVariationRegularizer(axes=()), "axes: "),
        (lambda: RangeRegularizer([(1.0, 0.0)]), r"low < high, got \(1.0, 0.0\)"),
        (lambda: RangeRegularizer([(0.0, 1.0)], factor=-1), "factor: "),
        (lambda: ClipStimulus(1.0, 1.0), r"low < high, got \(1.0, 1.0\)"),
        (lambda: NormAndRange(norm=0.0), "norm: expected a positive number, got 0.0"),
        (lambda: NormAndRange(norm=float("nan")), "norm: "),
        (lambda: NormAndRange(None, [(float("nan"), 1.0)]), r"low < high, got \(nan, 1.0\)"),
        (lambda: NormAndRange(None, [(None, float("nan"))]), r"low < high, got \(None, nan\)"),
        (lambda: NormAndRange(None, [3.0]), r"range: expected a pair \(low, high\).* got 3.0"),
        (lambda: TemporalLowPass(0.0), "sigma: expected a positive number, got 0.0"),
        (lambda: SpatialBlur(-1.0), "sigma: "),
    ],
)
def test_settings_are_checked_at_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "use",
    [
        NormAndRange(None, [(0.0, 1.0)]).process,
        NormAndRange(None, [(0.0, 1.0)]).check,
        RangeRegularizer([(0.0, 1.0)] * 3).forward,
    ],
)
def test_limits_of_other_channels_are_refused(use):
    with pytest.raises(ValueError, match=r"expected limits for 2 channels, got [13]"):
        use(noise(1))


# Several, and those of others ----------------------------------------------------------------


def test_penalties_add_up():
    stimulus = noise(3)
    parts = (L2Regularizer(0.5), TotalVariationRegularizer(0.1))
    expected = parts[0].forward(stimulus) + parts[1].forward(stimulus)
    torch.testing.assert_close(penalty_of(parts, stimulus), expected)
    assert not penalty_of((), stimulus).any()


def test_penalties_of_others_are_asked_one_stimulus_at_a_time():
    stimulus = 3 * noise(3)
    theirs = ForeignRangeLoss([(-0.1, 0.1)] * 2, max_norm=1.0)
    ours = RangeRegularizer([(-0.1, 0.1)] * 2, max_norm=1.0)
    torch.testing.assert_close(penalty_of((theirs,), stimulus), ours.forward(stimulus))
    assert not penalty_of((ForeignNoLoss(),), stimulus).any()
    squares = penalty_of((lambda x: x.square().sum(),), stimulus)
    torch.testing.assert_close(squares, stimulus_norm(stimulus) ** 2)


def test_a_penalty_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="stimulus_regularization_loss: expected one number"):
        penalty_of((lambda x: x.flatten(),), noise(2))


def test_projections_of_others_are_asked_one_stimulus_at_a_time():
    batch = torch.cat([noise(1), 50 * noise(1, seed=1)])
    projected = project((ForeignNormThenClip([(-1.0, 1.0)] * 2, norm=3.0),), batch)
    torch.testing.assert_close(stimulus_norm(projected), torch.tensor([3.0, 3.0]))


def test_projections_are_applied_in_order():
    stimulus = noise(2)
    projected = project((lambda x: x + 1, ClipStimulus(0.0, 1.0)), stimulus)
    torch.testing.assert_close(projected, (stimulus + 1).clamp(0, 1))


def test_a_projection_that_changes_the_shape_is_refused():
    with pytest.raises(
        ValueError, match=r"stimulus_postprocessor: function made .*\(1, 2, 4, 6, 5\)"
    ):
        project((lambda x: x[:, :, 1:],), noise(1))
