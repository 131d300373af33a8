"""Fields of the embedded retina, against what is built into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import openretina_widgets as orw
from openretina_widgets.insilico import visualize_receptive_fields
from openretina_widgets.insilico.receptive_fields import (
    mosaics,
    neuron_gradients,
    receptive_field_steps,
)
from openretina_widgets.insilico.receptive_fields.gradient import _of_copies
from openretina_widgets.models import RetinaModel

MODEL = orw.load_model("synthetic")
TRUTH = MODEL.module.ground_truth
CONTROL = MODEL.neurons_of("linear control")
FILTERS = np.stack([MODEL.module.linear_filter(neuron).numpy() for neuron in CONTROL])
LINEAR = [cell for cell in TRUTH if cell.circuit == "linear"]
BLIND = [cell for cell in TRUTH if cell.polarity in ("ON-OFF", "suppressed")]


@pytest.fixture(scope="module")
def at_grey() -> orw.ReceptiveFields:
    return orw.receptive_fields(MODEL)


@pytest.fixture(scope="module")
def average() -> orw.ReceptiveFields:
    some = [*CONTROL, *MODEL.neurons_of("ON-OFF")[:1], *MODEL.neurons_of("OFF transient")[:1]]
    return orw.receptive_fields(MODEL, neurons=some, method="sta", frames=20_000)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.reshape(len(a), -1).astype(float), b.reshape(len(b), -1).astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_gradient_of_the_linear_control_is_its_filter(at_grey):
    assert cosines(at_grey.fields[CONTROL], FILTERS).min() >= 0.999
    base = 0.5 * np.random.default_rng(0).standard_normal((2, 18, 16))
    elsewhere = orw.receptive_fields(MODEL, neurons=CONTROL, method="local gradient", base=base)
    assert cosines(elsewhere.fields, FILTERS).min() >= 0.999


def test_the_average_of_the_linear_control_is_its_filter_after_20000_frames(average):
    assert average.frames_used == 20_000
    assert cosines(average.fields[:4], FILTERS).min() >= 0.95
    assert cosines(average.separable()[:4], FILTERS).min() >= 0.99
    assert average.polarity == ("ON", "ON", "ON", "ON", "", "OFF")
    assert average.reasons[4].startswith(("a Gaussian describes too little", "the Gaussian's"))


def test_centres_and_polarities_of_cells_with_one_filter(at_grey):
    assert len(LINEAR) == 48
    for cell in LINEAR:
        place = at_grey.centres[cell.index]
        assert np.hypot(*(place - (cell.x_um, cell.y_um))) < 25.0, cell  # half a pixel
        assert at_grey.polarity[cell.index] == cell.polarity
        assert at_grey.time_to_peak_ms[cell.index] == pytest.approx(cell.time_to_peak_ms, abs=5)
        assert np.sign(at_grey.fit.amplitude[cell.index]) == (-1 if "OFF" in cell.polarity else 1)


def test_the_widths_of_centre_and_surround_are_those_built_in(at_grey):
    for cell in LINEAR:
        if cell.preferred_orientation_deg is not None:
            continue
        centre = 50.0 * at_grey.fit.centre_sigma[cell.index]
        assert centre == pytest.approx(cell.centre_sigma_um, rel=0.03)
        if cell.surround_sigma_um is None:
            assert at_grey.fit.surround_weight[cell.index] == 0.0
            assert at_grey.fit.surround_index[cell.index] == pytest.approx(0.0, abs=0.01)
            continue
        surround = centre * at_grey.fit.surround_ratio[cell.index]
        assert surround == pytest.approx(cell.surround_sigma_um, rel=0.05)
        assert at_grey.fit.surround_weight[cell.index] == pytest.approx(
            cell.surround_weight, abs=0.08
        )
        assert at_grey.fit.surround_index[cell.index] < -0.2


def test_the_long_axis_of_an_orientation_selective_cell_lies_along_its_bars(at_grey):
    for cell in LINEAR:
        if cell.preferred_orientation_deg is not None:
            turned = at_grey.fit.angle_deg[cell.index] - cell.preferred_orientation_deg
            assert abs((turned + 90) % 180 - 90) < 2.0


def test_transient_cells_are_biphasic(at_grey):
    sustained, transient = (
        at_grey.biphasic_index[MODEL.neurons_of(name)] for name in ("ON sustained", "ON transient")
    )
    assert transient.min() > 3 * sustained.max()


def test_where_both_polarities_excite_the_gradient_at_grey_vanishes(at_grey):
    for cell in BLIND:
        assert at_grey.reasons[cell.index].startswith("the gradient vanishes at uniform grey")
        assert np.isnan(at_grey.centres[cell.index]).all()
        assert at_grey.polarity[cell.index] == ""


def test_the_local_gradient_of_an_on_off_cell_flips_with_the_polarity_of_its_base():
    cell = MODEL.neurons_of("ON-OFF")[0]
    base = np.zeros((2, MODEL.lag + 1, 18, 16), np.float32)
    row, column = 8.5 - TRUTH[cell].y_um / 50, 7.5 + TRUTH[cell].x_um / 50
    y, x = np.mgrid[:18, :16]
    base[:, -4:] = 0.5 * (np.hypot(y - row, x - column) < 2)
    bright, dark = (
        orw.receptive_fields(MODEL, neurons=cell, method="local gradient", base=sign * base)
        for sign in (1, -1)
    )
    assert (bright.polarity, dark.polarity) == (("ON",), ("OFF",))
    np.testing.assert_allclose(bright.fields, -dark.fields, atol=1e-6)
    assert np.hypot(*(bright.centres[0] - (TRUTH[cell].x_um, TRUTH[cell].y_um))) < 25.0


def test_all_neurons_together_have_the_gradients_they_have_one_by_one():
    movies = 0.3 * torch.randn(
        MODEL.stimulus_shape(MODEL.lag + 1, 2), generator=torch.Generator().manual_seed(0)
    )
    neurons = [0, 25, 30, 66, 83]
    groups = list(neuron_gradients(MODEL, movies, neurons, memory_mb=1.0))
    assert len(groups) > 1
    together = torch.cat([gradient for _, _, gradient in groups])
    for n, neuron in enumerate(neurons):
        stimulus = movies.clone().requires_grad_(True)
        MODEL(stimulus)[:, -1, neuron].sum().backward()
        torch.testing.assert_close(together[n], stimulus.grad, rtol=1e-5, atol=1e-7)
    copies = _of_copies(lambda stimulus: MODEL(stimulus)[:, -1], movies, neurons)
    torch.testing.assert_close(together, copies)


def test_a_window_averages_the_gradients_of_its_frames():
    movie = 0.5 * np.random.default_rng(1).standard_normal((2, MODEL.lag + 3, 18, 16))
    whole = orw.receptive_fields(
        MODEL, neurons=[25], method="local gradient", base=movie, window=(0, 3)
    )
    each = [
        orw.receptive_fields(
            MODEL, neurons=[25], method="local gradient", base=movie[:, t : t + MODEL.lag + 1]
        ).fields
        for t in range(3)
    ]
    np.testing.assert_allclose(whole.fields, np.mean(each, axis=0), atol=1e-6)
    assert whole.window == (0, 3)


def test_an_average_grows_more_accurate_while_it_runs():
    steps = receptive_field_steps(MODEL, neurons=CONTROL, method="sta", frames=3000, chunk=1000)
    found = [(step.done, cosines(step.fields, FILTERS).min()) for step in steps]
    assert [done for done, _ in found] == [1000, 2000, 3000]
    assert found[0][1] < found[1][1] < found[2][1]


class _Still(nn.Module):
    """One frame: a filter, nothing at all, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
        self.register_buffer("filter", -torch.exp(-((y - 3) ** 2 + (x - 5) ** 2) / 4.5))

    def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
        seen = torch.relu((stimulus[:, 0] * self.filter).sum((-1, -2)) + 1)
        return torch.stack([seen, 0 * seen, 0 * seen + 3], dim=-1)


@pytest.mark.parametrize("method", ["gradient", "sta"])
def test_a_model_of_one_frame_with_a_silent_and_a_constant_neuron(method):
    model = RetinaModel(_Still(), input_shape=(1, 9, 9))
    fields = orw.receptive_fields(model, method=method, frames=4000)
    assert fields.lag == 0
    assert fields.polarity == ("OFF", "", "")
    np.testing.assert_allclose(fields.centres[0], [1.0, 1.0], atol=0.2)
    assert np.isnan(fields.time_to_peak_ms).all()
    assert "one frame" in fields.notes[-1]
    assert all(fields.reasons[1:])
    assert not fields.reasons[0]
    if method == "sta":
        assert fields.reasons[1:] == (
            "no response to the noise",
            "the response to the noise is constant",
        )
        assert np.isnan(fields.fields[1:]).all()


def test_saved_and_loaded_it_is_the_same(at_grey, tmp_path):
    loaded = orw.ReceptiveFields.load(at_grey.save(tmp_path / "fields"))
    np.testing.assert_array_equal(loaded.fields, at_grey.fields)
    np.testing.assert_array_equal(loaded.fit.column, at_grey.fit.column)
    assert loaded.reasons == at_grey.reasons
    assert loaded.model == at_grey.model
    assert loaded.window == at_grey.window == (0, 1)
    assert repr(loaded) == repr(at_grey)


def test_the_table_and_the_mosaics(at_grey):
    row = at_grey.table()[CONTROL[0]]
    assert row["cell_type"] == "linear control"
    assert row["x_um"] == pytest.approx(TRUTH[CONTROL[0]].x_um, abs=1)
    found = mosaics(at_grey)["ON sustained"]
    cells = MODEL.neurons_of("ON sustained")
    places = np.array([(TRUTH[cell].x_um, TRUTH[cell].y_um) for cell in cells])
    apart = np.hypot(*(places[:, None] - places).transpose(2, 0, 1)) + np.diag([np.inf] * 4)
    np.testing.assert_allclose(found.nearest, apart.min(1), atol=1.0)
    expected = apart.min(1).mean() / apart.min(1).std(ddof=1)
    assert found.regularity == pytest.approx(expected, rel=0.1)
    assert "0 cells" in mosaics(at_grey)["ON-OFF"].reason


def test_the_figure_shows_image_and_kernel(at_grey):
    pytest.importorskip("matplotlib")
    figure = at_grey.plot([0, 24])
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 4


def test_an_image_of_each_neuron_at_the_resolution_asked_for():
    images = visualize_receptive_fields(MODEL, resolution=(64, 48))
    assert len(images) == 84
    image = images[CONTROL[0]]
    assert image.shape == (64, 48)
    row, column = np.unravel_index(image.argmax(), image.shape)
    x = ((column + 0.5) / 48 - 0.5) * 16 * 50
    y = (0.5 - (row + 0.5) / 64) * 18 * 50
    assert np.hypot(x - TRUTH[CONTROL[0]].x_um, y - TRUTH[CONTROL[0]].y_um) < 25.0


SNIPPET = """
import matplotlib.pyplot as plt
from openretina_widgets.insilico import visualize_receptive_fields
receptive_fields = visualize_receptive_fields(
    model,
    resolution=(64, 64) # Higher resolution for visualization
)
fig, axes = plt.subplots(3, 4, figsize=(12, 9))
for i, ax in enumerate(axes.flat):
    if i < len(receptive_fields):
        ax.imshow(receptive_fields[i], cmap='RdBu_r')
        ax.set_title(f"Neuron {i}")
        ax.axis('off')
plt.tight_layout()
"""


def test_the_seed_pages_snippet_runs():
    """The page has lost its indentation, and its backend shows windows; the rest is as there."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    names = {"model": MODEL}
    exec(compile(SNIPPET, "the seed page", "exec"), names)
    assert [len(axis.images) for axis in names["fig"].axes] == [1] * 12
    names["plt"].close(names["fig"])


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"method": "STC"}, ValueError, "method: there is no method 'STC'"),
        ({"method": "local gradient"}, ValueError, "base: .* needs an image"),
        ({"base": np.zeros((3, 3))}, ValueError, r"base: .* got shape \(3, 3\)"),
        ({"base": "grey"}, TypeError, "base: expected an image or a movie, got str"),
        ({"window": (0, 2)}, ValueError, "window: expected 0 <= first < stop <= 1"),
        ({"method": "sta", "base": np.zeros((18, 16))}, ValueError, "base: leave it out"),
        ({"method": "sta", "frames": 0}, ValueError, "frames: expected a whole number"),
        ({"method": "sta", "noise": "pink"}, ValueError, "noise: expected 'binary'"),
        ({"method": "sta", "check_pixels": 17}, ValueError, "check_pixels: expected 1 to 16"),
        ({"frame": 3}, TypeError, "there is no setting 'frame'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(settings, error, words):
    with pytest.raises(error, match=words):
        orw.receptive_fields(MODEL, **settings)
