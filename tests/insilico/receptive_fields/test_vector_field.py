"""The local gradient of each neuron over images, in a plane."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from openretina_widgets.data_io.artificial_stimuli import natural
from openretina_widgets.errors import OutOfMemory
from openretina_widgets.insilico.receptive_fields import (
    VectorField,
    receptive_fields,
    vector_field,
    vector_field_steps,
)
from openretina_widgets.models import RetinaModel, load_model
from openretina_widgets.models.synthetic import load_synthetic
from tests.insilico.modules import linear_model


@pytest.fixture(scope="module")
def synthetic() -> RetinaModel:
    return load_synthetic()


@pytest.fixture(scope="module")
def field(synthetic: RetinaModel) -> VectorField:
    return vector_field(synthetic)


def test_a_linear_control_has_one_lsta_at_every_image(
    synthetic: RetinaModel, field: VectorField
) -> None:
    indices = field.indices()
    for neuron in synthetic.neurons_of("linear control"):
        assert indices["mean_cosine"].values[neuron] == pytest.approx(1.0, abs=1e-6)
        assert indices["flipped_share"].values[neuron] == 0.0
        assert np.abs(field.cosines()[:, neuron] - 1).max() < 1e-5
        # The first axis is its filter, summed over the frames of an image that stands still.
        kernel = synthetic.module.linear_filter(neuron).sum(1).flatten().numpy()
        axis = field.axes[neuron, 0].ravel()
        assert abs(axis @ kernel) / np.linalg.norm(kernel) == pytest.approx(1.0, abs=1e-3)
        assert field.second_axis[neuron] == "images"  # there is no second LSTA


def test_on_off_cells_flip_with_the_contrast_that_they_see(
    synthetic: RetinaModel, field: VectorField
) -> None:
    indices = field.indices()
    for neuron in synthetic.neurons_of("ON-OFF"):
        seen, slope = field.coordinates[:, neuron, 0], field.slopes[:, neuron, 0]
        assert indices["flipped_share"].values[neuron] >= 0.2
        assert indices["mean_cosine"].values[neuron] < 0.9
        assert field.explained[neuron, 0] > 0.9  # it turns by flipping, along one axis
        # Brighter than grey: more light excites; darker: less light does.
        assert (np.sign(seen) == np.sign(slope)).mean() >= 0.9
        assert np.corrcoef(seen, slope)[0, 1] > 0.5
    for neuron in synthetic.neurons_of("suppressed by contrast"):  # either contrast silences it
        seen, slope = field.coordinates[:, neuron, 0], field.slopes[:, neuron, 0]
        assert np.corrcoef(seen, slope)[0, 1] < -0.5
    for name in ("ON sustained", "OFF sustained"):
        for neuron in synthetic.neurons_of(name):
            assert indices["flipped_share"].values[neuron] == 0.0
            sign = 1 if name.startswith("ON") else -1
            assert (sign * field.slopes[:, neuron, 0] > 0).all()
    for measure in indices.values():
        low, high = measure.limits
        known = measure.values[measure.defined]
        assert ((known >= low) & (known <= high)).all()


def test_a_trained_model_flips_where_what_it_was_trained_on_does() -> None:
    model = load_model("trained")
    cells = [model.neurons_of(name)[0] for name in ("ON-OFF", "linear control")]
    indices = vector_field(model, neurons=cells).indices()
    flips, stays = indices["flipped_share"].values
    assert flips >= 0.2
    assert stays == 0.0
    assert indices["mean_cosine"].values[1] > 0.95 > indices["mean_cosine"].values[0]


def test_finite_differences_agree() -> None:
    model = load_synthetic()
    model.double()
    generator = torch.Generator().manual_seed(4)
    images = 0.3 * torch.randn(2, 2, 18, 16, generator=generator)
    cells = [model.neurons_of(name)[0] for name in ("ON-OFF", "ON-OFF DS 0°")]
    found = vector_field(model, images, neurons=cells)
    direction = torch.randn(2, 18, 16, generator=generator)
    moved = []
    for sign in (-1, 1):
        there = images + sign * 1e-3 * direction
        moved.append(vector_field(model, there, neurons=cells).responses)
    slope = (moved[1] - moved[0]) / 2e-3
    exact = np.einsum("inchw,chw->in", found.lsta, direction.numpy())
    assert np.abs(exact).min() > 1e-4
    assert exact == pytest.approx(slope, rel=1e-3, abs=1e-7)


def test_the_plane_is_that_of_a_singular_value_decomposition(field: VectorField) -> None:
    neuron = 28
    lsta = field.lsta[:, neuron].reshape(len(field.images), -1).astype(np.float64)
    u, s, v = np.linalg.svd(lsta, full_matrices=False)
    axes = field.axes[neuron].reshape(2, -1)
    assert np.abs((axes * v[:2]).sum(axis=1)) == pytest.approx(1.0, abs=1e-4)
    assert field.explained[neuron] == pytest.approx(s[:2] ** 2 / (s**2).sum(), rel=1e-3)
    assert np.abs(field.slopes[:, neuron]) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=1e-4)
    apart = field.images.reshape(len(field.images), -1)
    assert field.coordinates[:, neuron] == pytest.approx(apart @ axes.T, abs=1e-4)
    product = np.einsum("nachw,nbchw->nab", field.axes, field.axes)
    assert product == pytest.approx(np.broadcast_to(np.eye(2), product.shape), abs=1e-3)


def test_the_plane_of_the_images_is_shared(synthetic: RetinaModel) -> None:
    found = vector_field(synthetic, neurons=[0, 24], plane="images")
    np.testing.assert_array_equal(found.axes[0], found.axes[1])
    np.testing.assert_array_equal(found.coordinates[:, 0], found.coordinates[:, 1])
    spread = found.coordinates.std(axis=0)
    assert (spread[:, 0] > spread[:, 1]).all()
    measure = found.indices()["flipped_share"]
    assert np.isnan(measure.values).all()
    assert "that of the images" in measure.reasons[0]


def test_one_frame_of_a_linear_model_gives_its_gradient_field() -> None:
    model = linear_model()
    images = np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype(np.float32)
    found = vector_field(model, images, duration_s=0.5, window=(14, 15))
    fields = receptive_fields(model).fields.sum(axis=2)  # over the frames of a still image
    assert found.lsta == pytest.approx(np.broadcast_to(fields, found.lsta.shape), abs=1e-4)
    expected = np.einsum("ichw,nchw->in", images, fields)
    assert found.responses == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_pictures_of_ones_own(synthetic: RetinaModel) -> None:
    pictures = np.random.default_rng(1).uniform(size=(3, 40, 50))
    shown = [natural(synthetic, picture) for picture in pictures]
    found = vector_field(synthetic, shown, neurons=24)
    assert found.described == "3 of 'natural image'"
    assert found.images[1] == pytest.approx(shown[1].movie[:, -1].numpy())
    grey = vector_field(synthetic, np.zeros((2, 18, 16)), neurons=24)
    assert np.isnan(grey.indices()["mean_cosine"].values[0])
    assert "fewer than two images" in grey.indices()["mean_cosine"].reasons[0]


def test_groups_and_steps_change_nothing(synthetic: RetinaModel) -> None:
    settings = {"neurons": [0, 24, 30]}
    whole = vector_field(synthetic, **settings)  # type: ignore[arg-type]
    steps = list(vector_field_steps(synthetic, memory_mb=0.01, **settings))  # type: ignore[arg-type]
    assert [step.done for step in steps] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert steps[-1].lsta == pytest.approx(whole.lsta, rel=1e-3, abs=1e-6)
    assert not np.array_equal(vector_field(synthetic, seed=1, neurons=0).images, whole.images)


def test_a_saved_field_is_the_same(field: VectorField, tmp_path: Path) -> None:
    loaded = VectorField.load(field.save(tmp_path / "field"))
    for name, value in vars(field).items():
        other = getattr(loaded, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value)
        else:
            assert other == value
    assert "24 images of 1/f noise" in loaded._repr_html_()


def test_plot_has_an_arrow_at_each_image(field: VectorField) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.quiver import Quiver

    axes = field.plot(24).axes[0]
    (arrows,) = [artist for artist in axes.get_children() if isinstance(artist, Quiver)]
    assert np.asarray(arrows.U) == pytest.approx(field.slopes[:, 24, 0])
    assert axes.get_xlabel() == "LSTA axis 1 (model units)"
    assert field.axis_labels(72)[1] == "image axis 2 (model units)"


@pytest.mark.parametrize(
    ("images", "settings", "words"),
    [
        (np.zeros((3, 5, 5)), {}, r"images: expected \(image, 18, 16\)"),
        (np.zeros((1, 18, 16)), {}, "at least two"),
        (np.full((2, 18, 16), np.nan), {}, "not finite"),
        (None, {"plane": "pca"}, "plane: there is no plane 'pca'"),
        (None, {"window": (0, 16)}, "0 <= first < stop <= 15"),
        (None, {"neurons": 90}, "nearest is 83"),
        (None, {"duration_s": 0}, "duration_s"),
        (None, {"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named(
    synthetic: RetinaModel, images: object, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        vector_field_steps(synthetic, images, **settings)  # type: ignore[arg-type]


def test_other_wrong_uses_are_refused(
    synthetic: RetinaModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TypeError, match="nearest is 'window'"):
        vector_field(synthetic, windows=(0, 3))
    with pytest.raises(TypeError, match="images: expected"):
        vector_field(synthetic, "cats")
    with pytest.raises(TypeError, match="expected generated stimuli only"):
        vector_field(synthetic, [natural(synthetic, np.eye(20)), np.eye(20)])
    home = importlib.import_module(vector_field.__module__)
    monkeypatch.setattr(home, "free_memory", lambda: 1e6)
    with pytest.raises(OutOfMemory, match="take fewer of either"):
        vector_field(synthetic)
