"""The receptive field viewer in plain Python and with an event loop; the page is apart."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
import torch

from openretina_widgets import ReceptiveFieldViewer, RetinaModel
from openretina_widgets.drawing.field_content import project
from openretina_widgets.insilico.receptive_fields.result import FieldsStep
from openretina_widgets.models.retina_model import Neuron
from openretina_widgets.widgets.receptive_field_parts import LiveFields, figures_of, reason_of
from openretina_widgets.widgets.selection import Selection
from tests.widgets.conftest import LinearNonlinear

pytestmark = pytest.mark.usefixtures("nothing_left")


def separable() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernels with a peak of 1, images, and a weight for each channel; two neurons."""
    temporal = np.array([[0.0, -0.5, 1.0], [0.2, 1.0, 0.1]])
    spatial = np.random.default_rng(0).normal(size=(2, 4, 5))
    weights = np.array([[1.0, 0.5], [1.0, -0.25]])
    return temporal, spatial, weights


def test_image_and_kernel_of_a_separable_field_are_its_factors() -> None:
    temporal, spatial, weights = separable()
    fields = np.einsum("nt,nc,nhw->ncthw", temporal, weights, spatial)
    images, kernels = project(fields, temporal, spatial)
    assert np.allclose(images, weights[:, :, None, None] * spatial[:, None])
    assert np.allclose(kernels, weights[:, :, None] * temporal[:, None])
    step = FieldsStep((0, 1), fields, 2, 2, "neurons")
    live = LiveFields.of(step)
    assert np.allclose(live.images, images)
    assert np.allclose(live.kernels, kernels)


def test_field_that_is_not_there_yet_stays_undefined() -> None:
    fields = np.full((2, 1, 3, 4, 5), np.nan)
    fields[0] = np.random.default_rng(1).normal(size=(1, 3, 4, 5))
    live = LiveFields.of(FieldsStep((0,), fields, 1, 2, "neurons"))
    assert np.isfinite(live.images[0]).all()
    assert np.isnan(live.images[1]).all()


def test_gradient_of_the_linear_control_is_its_filter(synthetic: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(synthetic)
    result = viewer.start().result(timeout=60)
    assert viewer.result is result
    assert viewer.wall.neurons == tuple(range(synthetic.n_neurons()))
    (control, *_) = synthetic.neurons_of("linear control")
    linear = synthetic.module.linear_filter(control).numpy()
    # Separable for each channel, so the image is the filter where its kernel peaks.
    peak = linear[:, np.abs(linear).max(axis=(0, 2, 3)).argmax()].ravel()
    shown = viewer.wall.images[control].ravel()
    assert shown @ peak / np.linalg.norm(shown) / np.linalg.norm(peak) > 0.99
    assert viewer._status.kind == "finished"
    assert "fields are determined" in viewer._status.message
    viewer.close()


def test_ground_truth_is_what_is_drawn(synthetic: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(synthetic)
    viewer.start().result(timeout=60)
    drawn = {outline["neuron"]: outline for outline in viewer.mosaic._content["outlines"]}
    for cell in synthetic.module.ground_truth:
        if cell.cell_type in ("ON sustained", "OFF sustained"):
            outline = drawn[cell.index]
            half_a_pixel = synthetic.pixel_size_um / 2
            assert outline["x"] == pytest.approx(cell.x_um, abs=half_a_pixel)
            assert outline["y"] == pytest.approx(cell.y_um, abs=half_a_pixel)
            assert outline["polarity"] == cell.cell_type.split()[0]
            viewer.selection.choose(cell.index)
            image = viewer.detail.maps[0]._content
            colours = np.frombuffer(image["frames"], np.uint8).astype(int) - 128
            strongest = colours[np.abs(colours).argmax()]
            assert bool(strongest > 0) is (outline["polarity"] == "ON")
            assert len(image["outlines"]) == 2  # they have a surround
    viewer._type.value = "OFF sustained"
    shown = [outline["neuron"] for outline in viewer.mosaic._content["outlines"]]
    assert shown == synthetic.neurons_of("OFF sustained")
    assert "regularity index" in viewer.mosaic._content["note"]
    (without, *_) = synthetic.neurons_of("ON sustained, no surround")
    viewer.selection.choose(without)
    assert len(viewer.detail.maps[0]._content["outlines"]) == 1
    assert "no surround found" in viewer.detail._figures.value
    viewer.close()


def test_what_is_not_determined_says_why(synthetic: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(synthetic)
    viewer.start().result(timeout=60)
    (on_off, *_) = synthetic.neurons_of("ON-OFF")
    viewer.selection.choose(on_off)
    assert np.isnan(viewer.wall.images[on_off]).all()
    figures = dict(figures_of(viewer.result, on_off))
    assert figures["polarity"] == figures["centre x, y (µm)"] == "–"
    assert viewer.detail._figures.value.count("the gradient vanishes") == 1
    assert viewer.detail.maps[0]._content["note"] == "hatched: undefined"
    assert viewer.wall._content["notes"][on_off].startswith("not determined")
    assert on_off not in {outline["neuron"] for outline in viewer.mosaic._content["outlines"]}
    viewer.close()


def test_neurons_chosen_follow_in_every_direction(synthetic: RetinaModel) -> None:
    selection = Selection(synthetic, neurons=[4])
    viewer = ReceptiveFieldViewer(synthetic, selection=selection)
    other = ReceptiveFieldViewer(synthetic, selection=selection)
    assert viewer.selection is selection
    viewer.start().result(timeout=60)
    assert viewer.wall.selected == (4,)
    viewer.wall.selected = (7, 2)
    assert selection.neurons == viewer.mosaic.selected == other.mosaic.selected == (7, 2)
    assert "7 · " in viewer.detail._heading.value
    viewer.mosaic.selected = (3,)
    assert selection.neurons == viewer.wall.selected == (3,)
    selection.choose([1, 9])
    assert viewer.wall.selected == viewer.mosaic.selected == (1, 9)
    viewer.close()
    selection.choose(5)  # nobody is troubled
    assert other.mosaic.selected == (5,)
    other.close()


def test_selection_of_another_model_is_refused(
    synthetic: RetinaModel, small_model: RetinaModel
) -> None:
    with pytest.raises(ValueError, match="selection: it looks at another model"):
        ReceptiveFieldViewer(synthetic, selection=Selection(small_model))


async def test_another_model_ends_the_run_and_clears(
    synthetic: RetinaModel, small_model: RetinaModel
) -> None:
    viewer = ReceptiveFieldViewer(synthetic, method="sta", frames=10**8)
    job = viewer.start()
    await _until(lambda: job.iteration > 0)
    viewer.model = small_model
    await _until(job.done)
    assert (viewer.result, viewer.job, viewer.wall.images) == (None, None, None)
    assert viewer.model is small_model
    viewer._settings.method.value = "gradient"
    result = await viewer.start()
    assert result.fields.shape == (3, 2, 5, 6, 5)
    viewer.close()


def test_another_session_clears() -> None:
    model = RetinaModel(
        _TwoSessions(),
        input_shape=(2, 6, 5),
        sessions={"a": [Neuron(i) for i in range(3)], "b": [Neuron(i) for i in range(2)]},
    )
    viewer = ReceptiveFieldViewer(model, data_key="a")
    viewer.start().result(timeout=60)
    viewer._settings.session.value = "b"
    assert viewer.selection.data_key == "b"
    assert (viewer.result, viewer.wall.images) == (None, None)
    assert len(viewer.start().result(timeout=60).neurons) == 2
    viewer.selection.choose(1, data_key="a")
    assert viewer._settings.session.value == "a"
    assert viewer.result is None
    viewer.close()


class _TwoSessions(LinearNonlinear):
    def forward(self, stimulus: torch.Tensor, data_key: str = "a") -> torch.Tensor:
        return super().forward(stimulus)[..., : 3 if data_key == "a" else 2]


async def test_average_is_paused_resumed_and_stopped(small_model: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(small_model, method="sta", frames=10**8, seed=3)
    viewer.wall._window.hear({"event": "open", "view": "a", "version": 0})
    job = viewer.start()
    await _until(lambda: viewer.wall.stats.sent > 1)
    assert np.isfinite(viewer.wall.images).all()
    viewer._buttons.pause.click()
    await _until(lambda: viewer._status.kind == "paused")
    figures = dict(map(tuple, viewer._status.figures))
    assert figures["frames"].endswith(" of 100,000,000")
    at = job.iteration
    viewer._buttons.pause.click()  # resumes
    await _until(lambda: job.iteration > at + 2)
    viewer._buttons.stop.click()
    result = await job
    assert viewer.result is result
    assert 0 < result.frames_used < 10**8
    assert result.seed == 3
    assert "stopped by the user" in viewer._status.message
    viewer.close()


def test_settings_that_do_not_matter_are_disabled(small_model: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(small_model, base={"bright": np.ones((6, 5))})
    settings = viewer._settings
    disabled = lambda: (settings.base.disabled, settings.frames.disabled, settings.seed.disabled)  # noqa: E731
    assert disabled() == (True, True, True)
    settings.method.value = "sta"
    assert disabled() == (True, False, False)
    settings.method.value = "local gradient"
    assert disabled() == (False, True, True)
    settings.base.value = "binary noise"
    assert disabled() == (False, True, False)
    assert settings.session.disabled
    viewer.close()


def test_local_gradient_flips_with_the_base(synthetic: RetinaModel) -> None:
    bases = {"bright": 0.5 * np.ones((18, 16)), "dark": -0.5 * np.ones((18, 16))}
    viewer = ReceptiveFieldViewer(synthetic, method="local gradient", base=bases)
    (on_off, *_) = synthetic.neurons_of("ON-OFF")
    viewer._settings.base.value = "bright"
    bright = viewer.start().result(timeout=60).fields[on_off]
    viewer._settings.base.value = "dark"
    dark = viewer.start().result(timeout=60).fields[on_off]
    assert np.abs(bright).max() > 0
    cosine = (bright * dark).sum() / np.linalg.norm(bright) / np.linalg.norm(dark)
    assert cosine < -0.99
    viewer.close()


def test_channels_are_shown_apart_or_together(small_model: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(small_model)
    viewer.start().result(timeout=60)
    both = viewer.wall.images
    assert both.shape == (3, 2, 6, 5)
    for channel, name in enumerate(small_model.channels):
        viewer._settings.channel.value = name
        assert np.array_equal(viewer.wall.images[:, 0], both[:, channel])
    viewer.close()


def test_bad_base_is_said_in_the_widget_and_raised(small_model: RetinaModel) -> None:
    viewer = ReceptiveFieldViewer(small_model, method="local gradient", base=np.zeros((2, 2)))
    viewer._buttons.compute.click()
    assert viewer._status.kind == "failed"
    assert "base: expected an image (6, 5)" in viewer._status.message
    with pytest.raises(ValueError, match="base: expected an image"):
        viewer.start()
    viewer.close()


def test_model_that_fails_is_said_in_the_widget_and_raised() -> None:
    class Fails(LinearNonlinear):
        broken = False

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            if self.broken:
                raise RuntimeError("the amplifier is <b>off</b>")
            return super().forward(stimulus)

    module = Fails()
    viewer = ReceptiveFieldViewer(RetinaModel(module, input_shape=(2, 6, 5)))
    module.broken = True
    with pytest.raises(RuntimeError, match="amplifier"):
        viewer.start().result(timeout=60)
    assert viewer._status.kind == "failed"
    assert viewer._status.message == "RuntimeError: the amplifier is <b>off</b>"
    viewer.close()


def test_bad_arguments_are_named(small_model: RetinaModel) -> None:
    with pytest.raises(ValueError, match="method"):
        ReceptiveFieldViewer(small_model, method="stc")
    with pytest.raises(TypeError, match="neurons"):
        ReceptiveFieldViewer(small_model, neurons=3)  # type: ignore[call-arg]


def test_closing_leaves_nothing(small_model: RetinaModel) -> None:
    threads = threading.active_count()
    for _ in range(20):
        viewer = ReceptiveFieldViewer(small_model, method="sta", frames=10**8)
        viewer.start()
        viewer.close()
    deadline = threading.Event()
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        deadline.wait(0.05)
    assert threading.active_count() == threads


def test_one_channel_and_unknown_pixel_size() -> None:
    class OneChannel(LinearNonlinear):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            return super().forward(stimulus.expand(-1, 2, -1, -1, -1))

    model = RetinaModel(OneChannel(), input_shape=(1, 6, 5), pixel_size_um=None)
    viewer = ReceptiveFieldViewer(model)
    result = viewer.start().result(timeout=60)
    assert viewer._settings.channel.disabled
    assert viewer.mosaic.pixel_size_um is None
    assert "centre x, y (px)" in dict(figures_of(result, 0))
    viewer.close()


async def _until(condition, *, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"frames": 0}, ValueError, "frames: expected a whole number from 2 to 10.9, got 0"),
        ({"frames": 1.5}, ValueError, "frames: expected a whole number from 2 to 10.9, got 1.5"),
        ({"seed": -1}, ValueError, "seed: expected a whole number from 0"),
        ({"seed": 2**40}, ValueError, "seed: expected at most"),
        ({"seed": "a"}, TypeError, "seed: expected a whole number, got 'a'"),
        ({"data_key": "nope"}, ValueError, "there is no session 'nope'; the nearest is 'small'"),
    ],
)
def test_settings_that_a_box_would_change_without_a_word_are_refused(
    small_model: RetinaModel, settings: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ReceptiveFieldViewer(small_model, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["gradient", "sta"])
def test_silent_constant_and_static_neurons_are_told(method: str) -> None:
    class Static(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            frames = 0 * stimulus.mean(dim=(1, 3, 4))
            return torch.stack([frames, frames + 2.5], dim=2)

    model = RetinaModel(Static(), input_shape=(2, 6, 5))
    viewer = ReceptiveFieldViewer(model, method=method, frames=100)
    fields = viewer.start().result(timeout=60)
    silent, constant = {
        "gradient": ("the gradient vanishes at uniform grey", "the gradient vanishes"),
        "sta": ("no response to the noise", "the response to the noise is constant"),
    }[method]
    assert fields.reasons[0].startswith(silent)
    assert fields.reasons[1].startswith(constant)
    assert "The model sees one frame: there is no kernel in time." in fields.notes
    assert viewer._status.kind == "finished"
    assert silent in reason_of(fields, 0)
    assert "–" in str(figures_of(fields, 0))
    viewer.close()
