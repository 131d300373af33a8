"""What a checkpoint of ours records beyond OpenRetina's: types, notes, places and the range."""

import math

import pytest

from openretina_widgets.models.data_info import HOEFLING_NORM, HOEFLING_RANGE, described

OURS = {
    "stimulus_range": [[-1, 1], (-0.5, 2.0)],
    "stimulus_norm": 15,
    "sessions_kwargs": {
        "a": {
            "group_assignment": [5, 12],
            "roi_ids": [7, 8],
            "cell_types": ["ON sustained", ""],
            "cell_notes": ["Fires for light.", None],
            "cell_positions_um": [(3, -4.5), None],
        }
    },
}


def read(info, channels=2):
    return described(info, in_shape=(channels, 40, 18, 16), n_neurons={"a": 2})


def changed(**kwargs):
    return {**OURS, "sessions_kwargs": {"a": {**OURS["sessions_kwargs"]["a"], **kwargs}}}


def test_types_notes_and_places_of_neurons():
    first, second = read(OURS)["sessions"]["a"]
    assert first.cell_type == "ON sustained"
    assert (first.x_um, first.y_um) == (3.0, -4.5)
    assert first.note.startswith("Fires for light. Functional group 5 of Baden")
    assert second.cell_type == "G12 ON-OFF"
    assert (second.x_um, second.y_um) == (None, None)
    assert second.note == "Functional group 12 of Baden et al. 2016, ROI 8."


def test_the_range_and_the_norm_that_are_recorded():
    got = read(OURS)
    assert got["stimulus_range"] == ((-1.0, 1.0), (-0.5, 2.0))
    assert got["stimulus_norm"] == 15.0


def test_without_a_record_the_range_is_that_of_the_mouse():
    got = read({})
    assert (got["stimulus_range"], got["stimulus_norm"]) == (HOEFLING_RANGE, HOEFLING_NORM)
    # The norm goes with the range that it was chosen for.
    assert read({"stimulus_range": OURS["stimulus_range"]})["stimulus_norm"] is None


@pytest.mark.parametrize(
    "limits",
    [
        *(None, 1, "ab", [[-1, 1]], [[-1, 1], [1, -1]], [[-1, 1], [0, math.inf]]),
        *([[-1, 1], [0, math.nan]], [[-1, 1], [0, "1"]], [[-1, 1], 3], [[-1, 1], [0, 10**400]]),
    ],
)
def test_a_range_of_another_form_is_not_known(limits):
    assert read({"stimulus_range": limits})["stimulus_range"] == HOEFLING_RANGE


@pytest.mark.parametrize("norm", [0, -3, math.inf, math.nan, "15", 10**400])
def test_a_norm_of_another_form_is_not_known(norm):
    assert read({"stimulus_norm": norm})["stimulus_norm"] == HOEFLING_NORM


@pytest.mark.parametrize("places", [5, [(1, 2)], [(1, 2, 3), (1,)], [(1, "2"), (10**400, 1)]])
def test_places_of_another_form_are_not_known(places):
    neurons = read(changed(cell_positions_um=places))["sessions"]["a"]
    assert all((neuron.x_um, neuron.y_um) == (None, None) for neuron in neurons)


@pytest.mark.parametrize("types", [5, ["one"], [3, 4]])
def test_types_of_another_form_leave_the_groups(types):
    neurons = read(changed(cell_types=types))["sessions"]["a"]
    assert [neuron.cell_type for neuron in neurons] == ["G5 OFF", "G12 ON-OFF"]
