"""The table of the embedded retina against what is built into it; rules against known numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import openretina_widgets as orw
from openretina_widgets.insilico.population import selectivity_steps, suggest
from openretina_widgets.models.retina_model import Neuron, RetinaModel
from openretina_widgets.models.synthetic import load_synthetic


@pytest.fixture(scope="module")
def retina() -> RetinaModel:
    return load_synthetic()


@pytest.fixture(scope="module")
def table(retina: RetinaModel) -> orw.SelectivityTable:
    return orw.selectivity_table(retina)


def test_the_suggested_type_is_right(table, retina):
    truth = [cell.cell_type for cell in retina.module.ground_truth]
    assert np.mean(table["suggested_type"] == truth) >= 0.95
    assert all(table["rule"])


def test_nothing_is_read_from_the_label(retina):
    """The same cells under wrong names, in another place, are still what they are."""
    truth = retina.module.ground_truth
    hidden = RetinaModel(
        load_synthetic(seed=7).module,
        input_shape=retina.input_shape,
        sessions={"synthetic": [Neuron(k, "ON sustained") for k in range(len(truth))]},
        frame_rate=retina.frame_rate,
        pixel_size_um=retina.pixel_size_um,
        channels=retina.channels,
        stimulus_range=retina.stimulus_range,
    )
    found = orw.selectivity_table(hidden)
    assert set(found["cell_type"]) == {"ON sustained"}
    assert np.mean(found["suggested_type"] == [cell.cell_type for cell in truth]) >= 0.95


def test_indices_agree_with_what_is_built_in(table, retina):
    for cell, row in zip(retina.module.ground_truth, table.rows(), strict=True):
        if cell.preferred_direction_deg is not None:
            away = (row["preferred_direction"] - cell.preferred_direction_deg + 180) % 360 - 180
            assert abs(away) <= 15
            assert row["dsi"] > 0.3
        if cell.preferred_orientation_deg is not None:
            away = (row["preferred_orientation"] - cell.preferred_orientation_deg + 90) % 180 - 90
            assert abs(away) <= 15
        if cell.on_off_index_range is not None:
            low, high = cell.on_off_index_range
            assert low <= row["on_off"] <= high
        if cell.polarity in ("ON", "OFF") and cell.circuit == "linear":
            assert row["rf_polarity"] == cell.polarity
            if cell.preferred_orientation_deg is None:
                assert row["time_to_peak"] == pytest.approx(cell.time_to_peak_ms, abs=34)
        if cell.twin is not None and cell.surround_sigma_um is None:
            assert row["suppression"] < 0.01 < table["suppression"][cell.twin]
        if cell.twin is not None and "transient" in cell.cell_type:
            assert row["biphasic"] > table["biphasic"][cell.twin] + 0.2
            assert row["transience"] > table["transience"][cell.twin] + 0.5
    suppressed = table.where("suggested_type == 'suppressed by contrast'")
    assert (suppressed["contrast_change"] < -0.5).all()
    assert np.isnan(suppressed["on_off"]).all()
    assert suppressed.reason("on_off", suppressed.neurons[0]).startswith("no response above")


def test_specialised_neurons_are_found(table, retina):
    wanted = [c.index for c in retina.module.ground_truth if c.cell_type.startswith("ON-OFF DS")]
    assert list(table.where("dsi > 0.4 and on_off.abs() < 0.3").neurons) == wanted


def test_some_neurons_and_experiments(retina, table):
    part = orw.selectivity_table(retina, neurons=[40, 3], measure=("direction",))
    assert part.neurons == (40, 3)
    assert part["dsi"] == pytest.approx(table["dsi"][[40, 3]], abs=1e-5)
    assert part.reason("suppression", 3) == "it was not asked for"
    assert part["suggested_type"][1] == ""
    with pytest.raises(ValueError, match="measure: expected some of"):
        orw.selectivity_table(retina, measure=("colour",))
    with pytest.raises(ValueError, match="neuron"):
        selectivity_steps(retina, neurons=[500])  # before the first step


def test_steps_fill_the_table(retina):
    steps = selectivity_steps(retina, neurons=range(8), measure=("flash", "direction"))
    seen = list(steps)
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == seen[-1].total
    assert np.isnan(seen[0].table["on_off"]).all()
    assert seen[0].table.reason("dsi", 0) == "not measured yet"
    flashed = next(step.table for step in seen if step.experiment == 3)
    assert np.isfinite(flashed["on_off"]).all()
    assert np.isnan(flashed["dsi"]).all()


def test_it_can_be_ended(retina):
    steps = selectivity_steps(retina, neurons=range(4))
    while next(steps).experiment < 3:
        pass
    with pytest.raises(StopIteration) as end:
        steps.send("stopped by the user")
    table = end.value.value
    assert table.notes == ("ended early: stopped by the user",)
    assert np.isfinite(table["on_off"]).all()


def test_one_channel_and_silent_neurons():
    """A model with one channel, without pixel size; one neuron never answers."""

    class Two(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            light = stimulus[:, 0, 2:, 2:6, 2:6].mean(dim=(2, 3)).clamp(min=0)
            return torch.stack([light, torch.zeros_like(light)], dim=-1)

    model = RetinaModel(Two(), input_shape=(1, 8, 8))
    table = orw.selectivity_table(model)
    assert table.column("preferred_size").unit == "px"
    assert "chromatic" in table.reason("colour_opponency", 0)
    assert table["on_off"][0] == 1.0
    assert table["suggested_type"][0] == "ON sustained, no surround"
    silent = table.row(1)
    assert silent["suggested_type"] == ""
    assert "silent" in silent["rule"]
    for column in table.columns:
        if column.kind == "number" and np.isnan(silent[column.name]):
            assert table.reason(column.name, 1)


def test_half_of_the_largest_response_to_contrast():
    """Its energy grows with the square of contrast and saturates at 0.3; a linear one never."""

    class Saturating(torch.nn.Module):
        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            energy = 2 * stimulus[:, 0, 2:].square().mean(dim=(2, 3))
            return torch.stack([energy / (energy + 0.3**2), energy.sqrt()], dim=-1)

    model = RetinaModel(Saturating(), input_shape=(1, 16, 16), stimulus_range=((-1.0, 1.0),))
    table = orw.selectivity_table(model, measure=("contrast",))
    assert table["c50"][0] == pytest.approx(0.3, abs=0.02)
    assert np.isnan(table["c50"][1])
    assert "below half of its maximum" in table.reason("c50", 1)


def test_it_comes_back_from_a_file(table, tmp_path):
    again = orw.SelectivityTable.load(table.save(tmp_path / "population.npz"))
    assert repr(again.rows()[20]) == repr(table.rows()[20])  # as text: NaN equals nothing
    assert again.settings == table.settings
    assert again.model == table.model


USUAL = {
    "contrast_change": 0.5,
    "colour_opponency": -0.8,
    "dsi": 0.02,
    "preferred_direction": 50.0,
    "osi": 0.05,
    "preferred_orientation": 100.0,
    "on_off": 0.9,
    "transience": 0.05,
    "suppression": 0.5,
}


@pytest.mark.parametrize(
    ("measured", "expected", "words"),
    [
        ({}, "ON sustained", "suppression 0.50 is above 0.1"),
        ({"on_off": -0.9}, "OFF sustained", "ON–OFF index −0.90"),
        ({"suppression": 0.0}, "ON sustained, no surround", "lasts"),
        ({"suppression": 0.0, "transience": 0.4}, "linear control", "biphasic"),
        ({"transience": 0.99}, "ON transient", "nothing is left"),
        ({"transience": 0.7}, "ON parasol-like", "but not to rest"),
        ({"on_off": 0.1}, "ON-OFF", "within ±0.5"),
        ({"dsi": 0.6, "on_off": 0.0, "preferred_direction": 350.0}, "ON-OFF DS 0°", "350°"),
        ({"dsi": 0.6, "preferred_direction": 359.9}, "ON DS 0°", "prefers 0°"),
        ({"dsi": 0.6, "preferred_direction": 140.0}, "ON DS 120°", "DSI 0.60"),
        ({"osi": 0.7, "preferred_orientation": 170.0}, "OS 0°", "170°"),
        ({"colour_opponency": 0.9, "on_off": np.nan}, "colour opponent", "opposed"),
        ({"contrast_change": -0.9, "on_off": np.nan}, "suppressed by contrast", "lower"),
        ({"transience": np.nan}, "", "undefined is transience"),
        ({"transience": np.nan, "suppression": np.nan}, "", "are transience, surround"),
        (dict.fromkeys(USUAL, np.nan), "", "silent"),
    ],
)
def test_rules(measured, expected, words):
    values = {name: np.array([value]) for name, value in (USUAL | measured).items()}
    types, rules = suggest(values)
    assert types[0] == expected
    assert words in rules[0]
    assert "nan" not in rules[0]
