"""The gradient of the response on the grid of green and UV contrasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd.function import once_differentiable

import openretina_widgets as orw
from openretina_widgets.data_io.artificial_stimuli import chromatic_contrast, flash
from openretina_widgets.insilico.receptive_fields import centres
from openretina_widgets.insilico.tuning_analyses import (
    ResponseGradient,
    response_gradient,
    response_gradient_steps,
)
from openretina_widgets.models import RetinaModel
from openretina_widgets.models.synthetic import load_synthetic
from tests.insilico.modules import CHANNELS, HEIGHT, LAG, WIDTH, LinearNeurons, random_filters

COARSE = (-1.0, -0.5, 0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def synthetic() -> RetinaModel:
    return load_synthetic()


@pytest.fixture(scope="module")
def flashed(synthetic: RetinaModel) -> ResponseGradient:
    return response_gradient(synthetic, green=COARSE, uv=COARSE)


def random_movie(frames: int = LAG + 3, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(CHANNELS, frames, HEIGHT, WIDTH, generator=generator)


def linear(nonlinearity: object = None) -> RetinaModel:
    module = LinearNeurons(random_filters(3), nonlinearity=nonlinearity)  # type: ignore[arg-type]
    return RetinaModel(module, input_shape=(CHANNELS, HEIGHT, WIDTH), channels=("green", "UV"))


def test_a_linear_neuron_has_one_gradient_that_its_filter_tells() -> None:
    model, movie = linear(), random_movie(LAG + 1)
    found = response_gradient(model, movie, green=[-1, 0.25, 1], uv=[-0.5, 1])
    # One response frame: the product of each channel's filter with that channel of the movie.
    filters = model.module.filters.detach()
    weights = (filters * movie).sum((2, 3, 4)).numpy()
    assert found.gradients == pytest.approx(np.broadcast_to(weights, (3, 2, 3, 2)), rel=1e-4)
    assert found.grey_gradient == pytest.approx(weights, rel=1e-4)
    assert found.grey_response == pytest.approx(np.zeros(3), abs=1e-6)
    expected = np.einsum("gup,np->gun", _grid(found), weights)
    assert found.responses == pytest.approx(expected, rel=1e-4, abs=1e-4)
    angle = np.degrees(np.arctan2(weights[:, 1], weights[:, 0])) % 360
    indices = found.indices()
    assert indices["contrast_direction"].values == pytest.approx(angle, abs=1e-2)
    assert indices["coherence"].values == pytest.approx(1.0, abs=1e-6)
    unlike = -2 * weights[:, 0] * weights[:, 1] / (weights**2).sum(axis=1)
    assert indices["opponency"].values == pytest.approx(unlike, rel=1e-3)


def _grid(found: ResponseGradient) -> np.ndarray:
    return np.stack(np.meshgrid(found.green, found.uv, indexing="ij"), axis=-1)


def test_after_a_softplus_the_length_changes_and_the_direction_stays() -> None:
    movie = random_movie(LAG + 1)
    bent = response_gradient(linear(torch.nn.functional.softplus), movie, green=COARSE, uv=COARSE)
    straight = response_gradient(linear(), movie, green=[0.0], uv=[0.0])
    length = np.linalg.norm(bent.gradients, axis=3, keepdims=True)
    assert length.max() > 2 * length.min()
    weights = straight.grey_gradient
    direction = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    assert np.abs(bent.gradients / length - direction).max() < 1e-3


def test_known_cells_point_where_they_are_built_to(
    synthetic: RetinaModel, flashed: ResponseGradient
) -> None:
    opponent = synthetic.neurons_of("colour opponent")
    assert len(opponent) == 4
    indices = flashed.indices()
    for neuron in opponent:  # green OFF / UV ON
        slopes = flashed.gradients[:, :, neuron]
        assert (slopes[..., 0] < 0).all()
        assert (slopes[..., 1] > 0).all()
        assert indices["contrast_direction"].values[neuron] == pytest.approx(135, abs=0.5)
        assert indices["opponency"].values[neuron] == pytest.approx(1.0, abs=1e-3)
        assert indices["opposed_share"].values[neuron] == 1.0
    weighs_both_alike = {"ON sustained": 45, "OFF sustained": 225, "linear control": 45}
    for name, direction in weighs_both_alike.items():
        for neuron in synthetic.neurons_of(name):
            assert indices["contrast_direction"].values[neuron] == pytest.approx(direction, abs=0.5)
            assert indices["opponency"].values[neuron] == pytest.approx(-1.0, abs=1e-3)
            assert indices["coherence"].values[neuron] > 0.99
    (first, *_) = synthetic.neurons_of("ON-OFF")
    assert np.isnan(indices["contrast_direction"].values[first])
    assert "both polarities" in indices["contrast_direction"].reasons[first]
    assert indices["coherence"].values[first] < 0.01  # what one polarity adds the other takes
    for measure in indices.values():
        low, high = measure.limits
        known = measure.values[measure.defined]
        assert ((known >= low) & (known <= high)).all()


def test_finite_differences_agree() -> None:
    model = load_synthetic()
    model.double()
    cells = [model.neurons_of(name)[0] for name in ("ON-OFF", "colour opponent", "ON DS 0°")]
    at = {"green": [-0.6, 0.35], "uv": [0.8]}
    stimulus = flash(model, on_s=0.3, off_s=0.2, diameter=300.0)
    found = response_gradient(model, stimulus, neurons=cells, **at)  # type: ignore[arg-type]
    step = 1e-5
    for channel, name in enumerate(at):
        moved = []
        for sign in (-1, 1):
            there = at | {name: [value + sign * step for value in at[name]]}
            plain = response_gradient(model, stimulus, neurons=cells, **there)  # type: ignore[arg-type]
            moved.append(plain.responses)
        slope = (moved[1] - moved[0]) / (2 * step)
        assert np.abs(slope).max() > 1e-3
        assert found.gradients[..., channel] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_responses_are_those_of_the_model_to_the_movie_that_is_told(
    synthetic: RetinaModel,
) -> None:
    found = response_gradient(synthetic, "local", neurons=[4, 70], green=[-0.5, 1], uv=[0.25])
    for neuron in (4, 70):
        movie = found.movie(neuron, -0.5, 0.25)
        first, stop = found.window
        answer = synthetic(torch.from_numpy(movie)[None])[0, first:stop, neuron].mean()
        assert found.responses[0, 0, found.column(neuron)] == pytest.approx(float(answer), rel=1e-5)
    at = centres(synthetic, neurons=[70])[0]
    spot = chromatic_contrast(
        synthetic, green=-0.5, uv=0.25, duration_s=0.5, diameter=300.0, centre=tuple(at)
    )
    assert found.movie(70, -0.5, 0.25) == pytest.approx(spot.movie.numpy(), abs=1e-6)


def test_each_neuron_sees_the_movie_that_is_its_own() -> None:
    model, movies = linear(), [random_movie(seed=seed) for seed in (3, 4, 5)]
    together = response_gradient(model, torch.stack(movies), green=COARSE, uv=[0, 1])
    for neuron, movie in enumerate(movies):
        alone = response_gradient(model, movie, neurons=neuron, green=COARSE, uv=[0, 1])
        assert together.responses[..., neuron] == pytest.approx(alone.responses[..., 0], rel=1e-5)
        assert together.gradients[:, :, neuron] == pytest.approx(alone.gradients[:, :, 0], rel=1e-5)
    with pytest.raises(ValueError, match=r"stimulus: .* or one for each of 2 neurons, got shape"):
        response_gradient(model, torch.stack(movies), neurons=[0, 1])


def test_own_best_stimuli_are_scaled_around_grey(synthetic: RetinaModel) -> None:
    cell, other = synthetic.neurons_of("colour opponent")[0], 0
    best = orw.optimize_neurons(synthetic, neurons=[cell, other], seed=[0, 1], max_iterations=8)
    found = response_gradient(synthetic, best, green=[-1, 0, 1], uv=[-1, 0, 1])
    assert found.neurons == (cell, other)
    assert found.window == best.window
    for column, neuron in enumerate(found.neurons):
        own = [k for k, looked_at in enumerate(best.neurons) if looked_at == (neuron,)]
        leading = max(own, key=lambda k: float(best.score[k]))
        assert found.movie(neuron, 1, 1) == pytest.approx(best.stimulus[leading].numpy())
        first, stop = found.window
        answer = synthetic(best.stimulus[leading][None])[0, first:stop, neuron].mean()
        assert found.responses[2, 2, column] == pytest.approx(float(answer), rel=1e-4)
    # Its best stimulus has green against UV: more of both is better, until green is turned over.
    slopes = found.grey_gradient[0]
    assert (slopes > 0).all()
    turned = response_gradient(synthetic, best, align=True, equalize=True, green=[0], uv=[0])
    assert (np.sign(turned.grey_gradient[0]) * np.sign(slopes)).tolist() in ([-1, 1], [1, -1])
    assert f"of neuron {cell}" in " ".join(turned.notes)
    power = (turned.movies**2).sum(axis=(2, 3, 4))
    assert power[:, 0] == pytest.approx(power[:, 1], rel=1e-4)
    assert power.sum(axis=1) == pytest.approx((found.movies**2).sum(axis=(1, 2, 3, 4)), rel=1e-4)
    with pytest.raises(ValueError, match="no stimulus of neuron 9 alone"):
        response_gradient(synthetic, best, neurons=[9])


class Once(torch.autograd.Function):
    """A square that can be differentiated once."""

    @staticmethod
    def forward(context, values):  # type: ignore[no-untyped-def]
        context.save_for_backward(values)
        return values.square()

    @staticmethod
    @once_differentiable
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        (values,) = context.saved_tensors
        return 2 * values * gradient


def test_a_model_without_second_derivative_gives_the_same(synthetic: RetinaModel) -> None:
    movie = random_movie()
    twice = response_gradient(linear(torch.square), movie, green=COARSE, uv=COARSE)
    once = response_gradient(linear(Once.apply), movie, green=COARSE, uv=COARSE)
    assert np.abs(twice.gradients).max() > 1
    assert once.gradients == pytest.approx(twice.gradients, rel=1e-4, abs=1e-4)
    assert "no second derivative" in once.notes[0]
    assert twice.notes == ()


class _Sampled(torch.nn.Module):
    """Two neurons that look at a place between pixels, as OpenRetina's point readout does."""

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        batch, channels, frames, height, width = stimulus.shape
        images = stimulus.movedim(1, 2).reshape(batch * frames, channels, height, width)
        places = torch.tensor([[[[0.3, -0.2], [-0.55, 0.4]]]], dtype=stimulus.dtype)
        seen = torch.nn.functional.grid_sample(
            images, places.expand(len(images), -1, -1, -1), align_corners=True
        )
        green, uv = seen.reshape(batch, frames, channels, 2).unbind(2)
        return torch.nn.functional.softplus(green - 2 * uv)


def test_a_readout_at_points_has_its_gradient() -> None:
    model = RetinaModel(_Sampled(), input_shape=(CHANNELS, HEIGHT, WIDTH))
    found = response_gradient(model, random_movie(), green=COARSE, uv=COARSE)
    step = 1e-2
    for channel, name in enumerate(("green", "uv")):
        there = {"green": [0.5], "uv": [-0.5]}
        moved = []
        for sign in (-1, 1):
            nudged = there | {name: [there[name][0] + sign * step]}
            moved.append(response_gradient(model, random_movie(), **nudged).responses)
        slope = (moved[1] - moved[0])[0, 0] / (2 * step)
        assert np.abs(slope).min() > 1e-2
        assert found.gradients[3, 1, :, channel] == pytest.approx(slope, rel=1e-2, abs=1e-3)


def test_a_trained_model_has_the_opponent_cell_of_what_it_was_trained_on() -> None:
    model = orw.load_model("trained")
    cell = model.neurons_of("colour opponent")[0]
    found = response_gradient(model, neurons=cell, green=[-1, 0, 1], uv=[-1, 0, 1])
    assert found.notes == ()
    direction = found.indices()["contrast_direction"].values[0]
    assert direction == pytest.approx(135, abs=10)


def test_batches_change_nothing_and_are_few(synthetic: RetinaModel) -> None:
    settings = {"neurons": [0, 24, 70], "green": COARSE, "uv": COARSE}
    steps = list(response_gradient_steps(synthetic, **settings))  # type: ignore[arg-type]
    assert 8 <= len(steps) <= 14
    assert steps[-1].done == steps[-1].total == 26
    small = list(response_gradient_steps(synthetic, memory_mb=1e-3, **settings))  # type: ignore[arg-type]
    assert len(small) == 26
    assert small[-1].gradients == pytest.approx(steps[-1].gradients, rel=1e-4, abs=1e-6)


def test_the_model_is_handed_back_as_it_was(trained: RetinaModel) -> None:
    model = trained
    assert model.training
    before = {name: value.clone() for name, value in model.state_dict().items()}
    response_gradient(model, torch.randn(2, 6, HEIGHT, WIDTH), green=[0], uv=[0.5], data_key="b")
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_saved_result_is_the_same(flashed: ResponseGradient, tmp_path: Path) -> None:
    path = flashed.save(tmp_path / "gradient")
    loaded = ResponseGradient.load(path)
    for name, value in vars(flashed).items():
        other = getattr(loaded, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value)
        else:
            assert other == value
    assert repr(loaded) == repr(flashed)
    assert "84 neurons, 5 × 5 contrasts of green and UV" in loaded._repr_html_()
    np.savez(tmp_path / "other.npz", words="{}")
    with pytest.raises(ValueError, match="expected format"):
        ResponseGradient.load(tmp_path / "other.npz")


def test_plot_has_an_arrow_at_each_point(flashed: ResponseGradient) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.quiver import Quiver

    figure = flashed.plot([68, 0])
    drawn = [axes for axes in figure.axes if axes.get_xlabel() == "green contrast"]
    assert len(drawn) == 2
    (arrows,) = [artist for artist in drawn[0].get_children() if isinstance(artist, Quiver)]
    g, u = flashed.gradients[..., 68, 0].T, flashed.gradients[..., 68, 1].T
    assert np.asarray(arrows.U) == pytest.approx(g.ravel())
    assert np.asarray(arrows.V) == pytest.approx(u.ravel())
    assert "colour opponent" in drawn[0].get_title()
    with pytest.raises(ValueError, match="at least one neuron"):
        flashed.plot([])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stimulus": "fullfield"}, "nearest is 'full field'"),
        ({"green": [0, 1.5]}, "green"),
        ({"uv": [0, 0]}, "came twice"),
        ({"window": (3, 3)}, "0 <= first < stop"),
        ({"neurons": [3, 3]}, "each neuron once"),
        ({"neurons": 84}, "nearest is 83"),
        ({"memory_mb": 0}, "memory_mb"),
        ({"stimulus": np.zeros((18, 16))}, "expected a movie"),
        ({"stimulus": np.zeros((2, 10, 18, 16))}, "too short"),
    ],
)
def test_wrong_arguments_are_named(
    synthetic: RetinaModel, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        response_gradient_steps(synthetic, **settings)  # type: ignore[arg-type]


def test_other_wrong_uses_are_refused(synthetic: RetinaModel) -> None:
    with pytest.raises(TypeError, match="there is no setting 'neuron'; the nearest is 'neurons'"):
        response_gradient(synthetic, neuron=3)
    with pytest.raises(TypeError, match="stimulus: expected one of"):
        response_gradient(synthetic, 3)
    with pytest.raises(TypeError, match="window"):
        response_gradient(synthetic, window=3)
    grey = torch.zeros(2, 50, 18, 16)
    grey[0] += 1
    with pytest.raises(ValueError, match="channel 'UV' of the stimulus of neuron 0 is grey"):
        response_gradient(synthetic, grey, equalize=True)
    one = RetinaModel(LinearNeurons(torch.randn(2, 1, 3, 4, 4)), input_shape=(1, 4, 4))
    with pytest.raises(ValueError, match="this one has 1: luminance"):
        response_gradient(one)
