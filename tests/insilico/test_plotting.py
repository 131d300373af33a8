from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.space_time import space_time_split
from openretina_widgets.insilico.stimulus_optimization import (
    OptimizationResult,
    OptimizationStopper,
    optimize_neurons,
    optimize_stimulus,
)
from tests.insilico.modules import LAG, linear_model, noise

pytest.importorskip("matplotlib", reason="pictures need the plot extra")

from matplotlib.figure import Figure


@pytest.fixture
def result():
    model = linear_model(3, stimulus_norm=2.0, frame_rate=20.0)
    return optimize_neurons(model, [0, 2], time_steps=LAG + 6, window=(2, 4), max_iterations=8)


def png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_plot_draws_a_figure_without_a_display(result):
    figure = result.plot()
    assert isinstance(figure, Figure)
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("element", [0, 1])
def test_plot_shows_the_element_asked_for(result, element):
    score, response, temporal, *spatial = result.plot(element).axes[:5]
    np.testing.assert_allclose(score.lines[0].get_ydata(), result.score_trace[:, element])
    np.testing.assert_allclose(response.lines[0].get_ydata(), result.response[element])
    for channel, image in enumerate(spatial):
        split = space_time_split(result.stimulus[element, channel].numpy())
        np.testing.assert_allclose(temporal.lines[channel].get_ydata(), split.temporal)
        np.testing.assert_allclose(image.images[0].get_array(), split.spatial)


def test_plot_puts_the_response_where_its_last_stimulus_frame_is(result):
    """Response frame 0 belongs to stimulus frame `lag`; the window's frames are shaded whole."""
    response = result.plot().axes[1]
    np.testing.assert_allclose(response.lines[0].get_xdata(), (np.arange(6) + LAG) / 20.0)
    (shade,) = response.patches
    box = shade.get_bbox()
    np.testing.assert_allclose([box.x0, box.x1], [(2 + LAG - 0.5) / 20, (4 + LAG - 0.5) / 20])


def test_plot_names_every_axis_with_its_unit(result):
    score, response, temporal, green, uv = result.plot().axes[:5]
    assert (score.get_xlabel(), score.get_ylabel()) == ("iteration", "score (a.u.)")
    assert (response.get_xlabel(), response.get_ylabel()) == ("time (s)", "response (a.u.)")
    assert temporal.get_xlabel() == "time (s)"
    assert temporal.get_ylabel()
    assert [axis.get_title() for axis in (green, uv)] == ["Spatial, green", "Spatial, UV"]
    assert [text.get_text() for text in temporal.get_legend().get_texts()] == ["green", "UV"]


def test_plot_shows_zero_as_white_and_both_channels_alike(result):
    limits = {axis.images[0].get_clim() for axis in result.plot().axes[3:5]}
    ((low, high),) = limits
    assert low == -high


def test_plot_of_what_tells_little(tmp_path):
    result = optimize_stimulus(
        noise(1), lambda p: torch.optim.Adam(p, lr=0.1), lambda x: x.sum(), OptimizationStopper(2)
    )
    figure = OptimizationResult.load(result.save(tmp_path / "plain")).plot()
    assert figure.axes[3].get_title() == "Spatial, channel 0"
    assert png(figure)


def test_plot_of_a_grey_stimulus(result):
    grey = dataclasses.replace(result, stimulus=torch.zeros_like(result.stimulus))
    assert png(grey.plot())


def test_plot_refuses_an_element_that_is_not_there(result):
    with pytest.raises(IndexError):
        result.plot(2)


def test_a_notebook_shows_the_figure_whatever_the_backend(result):
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(result.plot())
    assert data["image/png"].startswith(b"\x89PNG")
