"""Jitter before the model, and filtered gradients: what changes, and what does not."""

from __future__ import annotations

import pytest
import torch

from openretina_widgets import optimize_neurons
from openretina_widgets.insilico.stimulus_optimization import (
    ClipStimulus,
    GradientBlur,
    GradientSpectrum,
    IncreaseObjective,
    Jitter,
    JitteredObjective,
    L2Regularizer,
    NormalizedDescent,
    NormAndRange,
    OptimizationResult,
    OptimizationStopper,
    TotalVariationRegularizer,
    optimize_stimulus,
    preconditioned,
)
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

ONE = {"time_steps": LAG + 1}
FILTERS = [GradientBlur(0.5, 0.4), GradientSpectrum(1.0)]


# Jitter --------------------------------------------------------------------------------------


def test_a_shift_moves_the_stimulus_and_repeats_its_edge():
    jitter = Jitter(pixels=2, frames=1, seed=3)
    x = noise(1, 6)
    for iteration in range(20):
        time, down, right = jitter.shift(iteration)
        seen = jitter.forward(x, iteration)
        for t, y, z in ((0, 0, 0), (2, 3, 1), (5, 5, 4)):
            source = (t - time, y - down, z - right)
            a, b, c = (min(max(i, 0), n - 1) for i, n in zip(source, (6, 6, 5), strict=True))
            assert torch.equal(seen[..., t, y, z], x[..., a, b, c])


def test_shifts_follow_from_seed_and_iteration_and_take_every_value():
    jitter = Jitter(pixels=2, frames=1, seed=3)
    shifts = [jitter.shift(i) for i in range(300)]
    assert shifts == [Jitter(2, 1, 3).shift(i) for i in range(300)]
    assert shifts != [Jitter(2, 1, 4).shift(i) for i in range(300)]
    for axis, most in enumerate((1, 2, 2)):
        assert {shift[axis] for shift in shifts} == set(range(-most, most + 1))


def test_a_jittered_run_is_the_loop_written_by_hand():
    model = linear_model(2)
    jitter = Jitter(pixels=1, frames=1, seed=5)
    start = noise(1)
    result = optimize_stimulus(
        start.clone(),
        lambda params: torch.optim.SGD(params, lr=0.01),
        JitteredObjective(IncreaseObjective(model, 1), jitter),
        OptimizationStopper(6),
        L2Regularizer(1.0),
    )
    x, scores = start.clone(), []
    for iteration in range(7):
        x.requires_grad_(True)
        score = model(jitter.forward(x, iteration))[0, :, 1].mean()
        scores.append(float(score.detach()))
        loss = x.square().mean() - score
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x - 0.01 * gradient).detach()
    assert result.score_trace[:, 0].tolist() == pytest.approx(scores, rel=1e-5)


def test_the_score_is_that_of_the_stimulus_without_a_shift():
    model = linear_model(2, stimulus_norm=3.0)
    result = optimize_neurons(model, [0, 1], jitter=Jitter(2), max_iterations=15, **ONE)
    with torch.no_grad():
        own = model(result.stimulus)[[0, 1], :, [0, 1]]
    torch.testing.assert_close(result.response, own)
    torch.testing.assert_close(result.score, own.mean(dim=1))
    best = result.score_trace[result.best_iteration, torch.arange(2)]
    assert not torch.allclose(best, result.score, rtol=1e-3)
    assert result.neurons == ((0,), (1,))
    assert result.window == (0, 1)


def test_jitter_leads_to_the_filter_averaged_over_the_shifts():
    model = linear_model(1, stimulus_norm=3.0)
    result = optimize_neurons(
        model, 0, jitter=Jitter(1), learning_rate=0.05, max_iterations=300, patience=None, **ONE
    )
    filters = model.module.filters.detach()
    x = torch.zeros_like(filters, requires_grad=True)
    jitter = Jitter(1)
    for i in range(2000):
        (jitter.forward(x, i) * filters).sum().backward()
    assert cosine(result.stimulus[0], x.grad[0]) > 0.85
    assert cosine(result.stimulus[0], filters[0]) < 0.7


def test_a_jittered_batch_is_as_many_single_runs():
    gains = torch.tensor([0.02, 0.2, 1.0]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(gains * random_filters(3), nonlinearity=torch.tanh)
    model = RetinaModel(module, input_shape=INPUT_SHAPE, stimulus_norm=3.0)

    def run(neurons: list[int]) -> OptimizationResult:
        return optimize_neurons(
            model,
            neurons,
            jitter=Jitter(1, 1, seed=2),
            max_iterations=60,
            patience=4,
            time_steps=LAG + 3,
        )

    together = run([0, 1, 2])
    assert len(set(together.iterations.tolist())) > 1, "they are to end at different times"
    assert_same(together, [run([neuron]) for neuron in range(3)])


# Filtered gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("gradient_filter", [GradientBlur(1.0), *FILTERS])
def test_a_filter_is_symmetric_and_positive_and_keeps_what_is_uniform(gradient_filter):
    shape = (1, 3, 4, 5)
    basis = torch.eye(60, dtype=torch.float64).view(60, *shape)
    matrix = gradient_filter.filtered(basis).reshape(60, 60)
    torch.testing.assert_close(matrix, matrix.T)
    values = torch.linalg.eigvalsh(matrix)
    assert 0 < values[0] < 0.5
    assert float(values[-1]) == pytest.approx(1.0)
    ones = torch.ones(1, *shape, dtype=torch.float64)
    torch.testing.assert_close(gradient_filter.filtered(ones), ones)


def test_the_gain_of_a_frequency_is_as_stated():
    place = torch.arange(16, dtype=torch.float64) + 0.5
    wave = torch.cos(2 * torch.pi * 0.125 * place).expand(1, 1, 2, 8, 16)
    blurred = GradientBlur(1.5).filtered(wave)
    gain = float(torch.exp(torch.tensor(-0.5 * (2 * torch.pi * 0.125 * 1.5) ** 2)))
    torch.testing.assert_close(blurred, gain * wave)
    torch.testing.assert_close(GradientBlur(0.0, 1.5).filtered(wave), wave)
    falling = GradientSpectrum(2.0).filtered(wave)  # the lowest frequency of 16 pixels is 1/32
    torch.testing.assert_close(falling, (1 / 4) ** 2 * wave)


@pytest.mark.parametrize("gradient_filter", FILTERS)
@pytest.mark.parametrize(
    "settings",
    [
        {"norm": 2.0},
        {"norm": 4.0, "stimulus_range": [(-0.3, 0.4)] * 2},
        {"stimulus_range": [(-1.0, 2.0), (-0.5, 0.25)]},
        {"rms": [0.2, 0.3], "mean_luminance": [0.1, 0.0], "stimulus_range": [(-0.4, 0.6)] * 2},
        {"rms": 0.3, "mean_luminance": 0.0},
    ],
    ids=["norm", "norm and range", "range", "contrast of each and range", "contrast"],
)
def test_the_optimum_of_a_linear_neuron_is_the_same(gradient_filter, settings):
    model = linear_model(1)
    plain = optimize_neurons(model, 0, max_iterations=400, patience=None, **ONE, **settings)
    other = optimize_neurons(
        model,
        0,
        precondition=gradient_filter,
        max_iterations=700,
        patience=None,
        **ONE,
        **settings,
    )
    assert float(other.score) == pytest.approx(float(plain.score), rel=2e-3)
    assert cosine(other.stimulus, plain.stimulus) >= 0.999


def test_filtering_the_whole_gradient_would_end_elsewhere():
    """Why `preconditioned` asks for the bounds."""
    model = linear_model(1)

    def run(told: NormAndRange | None) -> torch.Tensor:
        return optimize_stimulus(
            noise(1),
            preconditioned(lambda p: NormalizedDescent(p, lr=0.2), GradientBlur(0.7), told),
            IncreaseObjective(model, 0),
            OptimizationStopper(600),
            stimulus_postprocessor=NormAndRange(2.0),
        ).stimulus

    filters = model.module.filters.detach()
    blurred = GradientBlur(0.7).filtered(filters)
    assert cosine(run(NormAndRange(2.0)), filters) >= 0.999
    assert cosine(run(None), blurred) >= 0.999
    assert cosine(filters, blurred) < 0.9


def test_without_bounds_the_optimum_under_a_penalty_is_the_same():
    model = linear_model(1)
    result = optimize_stimulus(
        noise(1),
        preconditioned(lambda p: torch.optim.SGD(p, lr=20.0), GradientBlur(0.5)),
        IncreaseObjective(model, 0),
        OptimizationStopper(500),
        L2Regularizer(1.0),
    )
    # The gradient 2 x / n of the penalty is the filter.
    filters = model.module.filters.detach()
    torch.testing.assert_close(result.stimulus, 150.0 * filters, atol=0.05, rtol=1e-3)


def test_the_way_there_is_smoother():
    model = linear_model(1, stimulus_norm=2.0)
    early = [
        optimize_neurons(model, 0, precondition=one, max_iterations=3, **ONE)
        for one in (None, GradientBlur(1.0))
    ]
    variation = TotalVariationRegularizer(1.0, axes=("height", "width"))
    start = optimize_neurons(model, 0, max_iterations=1, **ONE).stimulus
    gained = [variation.forward(one.stimulus - start) for one in early]
    assert gained[1] < 0.7 * gained[0]


@pytest.mark.parametrize("bounds", [NormAndRange(3.0, [(-0.5, 0.5)] * 2), ClipStimulus(-0.2, 0.2)])
def test_a_preconditioned_batch_is_as_many_single_runs(bounds):
    gains = torch.tensor([0.2, 0.5, 1.6]).view(-1, 1, 1, 1, 1)
    module = LinearNeurons(0.2 * gains * random_filters(3), nonlinearity=torch.tanh)
    model = RetinaModel(module, input_shape=INPUT_SHAPE)

    def run(stimulus: torch.Tensor) -> OptimizationResult:
        return optimize_stimulus(
            stimulus,
            preconditioned(
                lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), GradientBlur(1.0), bounds
            ),
            IncreaseObjective(model, [0, 2]),
            OptimizationStopper(60, patience=3, min_delta=2e-2),
            stimulus_postprocessor=bounds,
        )

    starts = torch.tensor([0.1, 1.0, 5.0]).view(-1, 1, 1, 1, 1) * noise(3)
    assert_same(run(starts.clone()), [run(x.clone()) for x in starts.split(1)])


def test_both_are_recorded():
    model = linear_model(1, stimulus_norm=2.0)
    result = optimize_neurons(
        model, 0, jitter=Jitter(1), precondition=GradientSpectrum(), max_iterations=1, **ONE
    )
    expected = {"type": "Jitter", "pixels": 1, "frames": 0, "seed": 0}
    assert result.settings["objective"]["jitter"] == expected
    assert result.settings["objective"]["type"] == "NeuronsObjective"
    expected = {"type": "GradientSpectrum", "exponent": 1.0}
    assert result.settings["optimizer"]["preconditioner"] == expected


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Jitter(-1), ValueError, "pixels: expected a whole number >= 0, got -1"),
        (lambda: Jitter(1.5), TypeError, "pixels: expected a whole number >= 0, got 1.5"),
        (lambda: Jitter(0), ValueError, "a jitter of 0 pixels and 0 frames"),
        (lambda: GradientBlur(-1.0), ValueError, "pixels: expected a number >= 0, got -1.0"),
        (lambda: GradientBlur(0.0), ValueError, "a blur of 0 pixels and 0 frames"),
        (lambda: GradientSpectrum(0), ValueError, "exponent: expected a positive number"),
        (lambda: preconditioned(torch.optim.SGD, 1.0), TypeError, "gradient_filter: expected an"),
        (lambda: preconditioned(torch.optim.SGD, GradientBlur), TypeError, "got <class"),
        (lambda: preconditioned(torch.optim.SGD, GradientBlur(), 3.0), TypeError, "bounds: "),
        (
            lambda: optimize_neurons(linear_model(1, stimulus_norm=1.0), 0, jitter=2, **ONE),
            TypeError,
            r"jitter: expected a Jitter, such as openretina_widgets\.Jitter\(pixels=1\), got 2",
        ),
        (
            lambda: optimize_neurons(linear_model(1, stimulus_norm=1.0), 0, precondition=1, **ONE),
            TypeError,
            r"^precondition: expected .* openretina_widgets\.GradientBlur\(pixels=1\).* got 1",
        ),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_shift_that_leaves_nothing_of_the_stimulus_is_refused():
    model = linear_model(1, stimulus_norm=1.0)
    _, _, time, height, width = model.stimulus_shape(**ONE)
    side = min(height, width)
    words = rf"jitter: a shift of {side} pixels .* {height} × {width} pixels .* at most {side - 1}$"
    with pytest.raises(ValueError, match=words):
        optimize_neurons(model, 0, jitter=Jitter(side), **ONE)
    with pytest.raises(ValueError, match=words):
        Jitter(side).forward(torch.zeros(1, 2, time, height, width), 0)
    with pytest.raises(ValueError, match=f"jitter: a shift of {time} frames .* at most {time - 1}"):
        optimize_neurons(model, 0, jitter=Jitter(0, frames=time), **ONE)
    most = Jitter(side - 1, frames=time - 1)
    assert optimize_neurons(model, 0, jitter=most, max_iterations=1, **ONE).score.isfinite().all()
