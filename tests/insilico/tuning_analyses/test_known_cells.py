"""The indices find in the embedded retina what was built into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.tuning_analyses.indices import indices_of
from tests.insilico.tuning_analyses.curves_by_hand import curves

DIRECTIONS = np.arange(0.0, 360, 45)
PIXEL_UM, WAVELENGTH_UM, HZ = 50.0, 600.0, 2.0


@pytest.fixture(scope="module")
def model():
    return orw.load_model("synthetic")


@pytest.fixture(scope="module")
def truth(model):
    return model.module.ground_truth


def places(model) -> tuple[torch.Tensor, torch.Tensor]:
    """x to the right and y up from the middle (µm), each ``(height, width)``."""
    _, height, width = model.input_shape
    x = (torch.arange(width) - (width - 1) / 2) * PIXEL_UM
    y = ((height - 1) / 2 - torch.arange(height)) * PIXEL_UM
    return x[None].expand(height, width), y[:, None].expand(height, width)


def respond(model, movies: torch.Tensor) -> np.ndarray:
    """Response to ``(batch, time, height, width)`` in both channels, after a lead-in of grey."""
    movies = movies.float()[:, None].expand(-1, 2, -1, -1, -1)
    lead = torch.zeros(*movies.shape[:2], model.lag, *movies.shape[3:])
    with torch.no_grad():
        return model(torch.cat([lead, movies], dim=2)).double().numpy()


@pytest.fixture(scope="module")
def gratings(model):
    """Drifting gratings in eight directions: two seconds, the last of which counts."""
    x, y = places(model)
    time = torch.arange(60) / 30
    movies = []
    for direction in np.radians(DIRECTIONS):
        along = (x * np.cos(direction) + y * np.sin(direction)) / WAVELENGTH_UM
        movies.append(torch.sin(2 * np.pi * (along - HZ * time[:, None, None])))
    traces = respond(model, torch.stack(movies))
    rates = traces[:, 30:].mean(axis=1)
    return indices_of(curves(rates, {"direction": DIRECTIONS}, traces=traces))


def test_direction_selective_cells_and_only_they(gratings, truth):
    built = np.array([cell.preferred_direction_deg for cell in truth], dtype=float)
    selective = np.isfinite(built)
    assert selective.sum() == 28
    apart = np.mod(gratings["preferred_direction"] - built + 180, 360) - 180
    assert np.abs(apart[selective]).max() <= 15
    assert gratings["dsi"][selective].min() > 0.4 > gratings["dsi"][~selective].max()
    assert gratings["dsi_pref_null"][selective].min() > 0.8
    assert gratings["dsi_baden"][selective].min() > 0.4


def test_orientation_selective_cells(gratings, truth):
    built = np.array([cell.preferred_orientation_deg for cell in truth], dtype=float)
    selective = np.isfinite(built)
    apart = np.mod(gratings["preferred_orientation"] - built + 90, 180) - 90
    assert np.abs(apart[selective]).max() <= 15
    assert gratings["osi"][selective].min() > 0.3
    assert gratings["dsi"][selective].max() < 0.1


def test_polarity_and_transience_of_a_spot_on_the_centre(model, truth):
    """Each neuron on its own spot, which gets darker than grey or brighter for 1 s."""
    x, y = places(model)
    spots = torch.stack([torch.hypot(x - c.x_um, y - c.y_um) <= 150 for c in truth]).float()
    cells = np.arange(len(truth))
    traces = np.stack(
        [
            respond(model, (contrast * spots)[:, None].expand(-1, 30, -1, -1))[cells, :, cells].T
            for contrast in (-1, 1)
        ]
    )
    grey = respond(model, torch.zeros(1, 1, *x.shape))[0, -1]
    found = indices_of(
        curves(
            traces.mean(axis=1),
            {"polarity": [-1, 1]},
            traces=traces,
            windows=np.array([[0, 30], [0, 30]]),
            baseline=grey,
            frame_rate=model.frame_rate,
        )
    )
    for cell in truth:
        if cell.on_off_index_range is not None:
            low, high = cell.on_off_index_range
            assert low <= found["on_off"][cell.index] <= high, cell
    transient = [c for c in truth if c.cell_type.endswith(" transient")]
    assert len(transient) == 8
    for cell in transient:
        assert found["transience"][cell.index] > found["transience"][cell.twin] + 0.4
        assert found["sustained"][cell.index] < found["sustained"][cell.twin] - 0.3


def test_the_chirp_tells_on_from_off_by_its_second_flash(model, truth):
    """It begins with dark, which is not yet the OFF step."""
    swept = orw.sweep(model, orw.experiments.standard("chirp", model))
    what = [words for words, _, _ in swept.settings["events"]]
    assert what[:3] == ["OFF", "ON step", "OFF step"]
    found = swept.indices()["on_off"]
    for name, expected in (("ON sustained", 1), ("OFF sustained", -1), ("ON-OFF", 0)):
        cells = [cell.index for cell in truth if cell.cell_type == name]
        assert len(cells) == 4
        np.testing.assert_allclose(found[cells], expected, atol=0.05)
