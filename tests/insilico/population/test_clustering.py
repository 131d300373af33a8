"""Groups found by clustering: the right ones of the synthetic retina, and where there are none."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

import openretina_widgets as orw
from openretina_widgets.insilico.population import NeuronGroups, find_groups
from openretina_widgets.insilico.population.clustering import MEASURED
from openretina_widgets.insilico.tuning_analyses import experiments
from openretina_widgets.models import RetinaModel
from tests.insilico.modules import linear_model


def adjusted_rand_index(a, b) -> float:
    """Agreement of two groupings (Hubert & Arabie 1985): 1 for the same, 0 for chance."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1), dtype=int)
    np.add.at(table, (a, b), 1)
    both, rows, columns = (
        sum(comb(int(n), 2) for n in counts)
        for counts in (table.ravel(), table.sum(axis=1), table.sum(axis=0))
    )
    expected = rows * columns / comb(len(a), 2)
    return (both - expected) / ((rows + columns) / 2 - expected)


def test_the_index_of_known_groupings():
    assert adjusted_rand_index([0, 0, 1, 1], [5, 5, 2, 2]) == 1
    assert adjusted_rand_index([0, 0, 1, 1], [0, 0, 1, 2]) == pytest.approx(4 / 7)
    assert adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)


def blobs(groups: int = 4, each: int = 6) -> np.ndarray:
    """Groups at the origin and at 20 standard deviations along each axis."""
    draw = np.random.default_rng(0)
    centres = 20 * np.eye(4, 3, k=-1)[:groups]
    return np.repeat(centres, each, axis=0) + draw.normal(size=(groups * each, 3))


# The synthetic retina ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retina() -> RetinaModel:
    return orw.load_model("synthetic")


@pytest.fixture(scope="module")
def table(retina):
    return orw.selectivity_table(retina, measure=MEASURED)


@pytest.fixture(scope="module")
def groups(table) -> NeuronGroups:
    return find_groups(table)


def test_the_cell_types_of_the_synthetic_retina_are_found(retina, groups):
    truth = [neuron.cell_type for neuron in retina.neurons()]
    found = [groups.of(neuron) for neuron in range(retina.n_neurons())]
    assert adjusted_rand_index(truth, found) == 1.0
    assert len(groups) == len(retina.cell_types()) == 21
    assert groups.silhouette > 0.95
    assert groups.silhouette == max(groups.silhouettes.values())
    assert groups.neurons == tuple(range(84))
    assert groups.model == retina.identity


def test_types_without_their_names_are_found_too(table):
    """Nothing is read but what was measured."""
    blind = table.where("neuron < 40")
    values = {**blind.values, "cell_type": ["x"] * 40, "suggested_type": [""] * 40}
    named = find_groups(table, neurons=range(40))
    unnamed = find_groups(
        type(table)(table.columns, values, blind.reasons, data_key=table.data_key)
    )
    assert dict(named) == dict(unnamed)
    assert len(named) == 10


def test_a_wanted_number_is_given(table):
    few = find_groups(table, 2)
    assert len(few) == 2
    assert list(few.silhouettes) == [2]
    assert sum(len(own) for own in few.values()) == 84


def test_groups_are_taken_wherever_groups_are(retina, groups):
    settings = {"max_iterations": 15, "time_steps": 40}
    pair = {name: groups[name] for name in (groups.of(0), groups.of(12))}
    apart = orw.most_discriminative_stimuli(retina, pair, **settings)
    assert apart.neurons == tuple(pair.values())
    assert (apart.score > 0).all()
    mean = orw.optimize_groups(retina, pair, **settings)
    assert mean.neurons == tuple(pair.values())
    alone = orw.optimize_neurons(retina, pair[groups.of(0)], **settings)
    assert alone.neurons == tuple((neuron,) for neuron in pair[groups.of(0)])


def test_a_model_is_measured_when_it_is_given():
    retina = orw.load_model("synthetic")
    found = find_groups(retina, 2, neurons=[0, 1, 12, 13])
    assert dict(found) == {"group 0": (0, 1), "group 1": (12, 13)}
    assert found.data_key == retina.sessions[0]


def test_groups_are_kept(groups, tmp_path):
    again = NeuronGroups.load(groups.save(tmp_path / "groups.npz"))
    assert dict(again) == dict(groups)
    for name in ("silhouette", "silhouettes", "feature_names", "data_key", "model", "versions"):
        assert getattr(again, name) == getattr(groups, name)
    assert again.cell_types == groups.cell_types
    assert again.cell_types[44] == "ON DS 0°"
    np.testing.assert_array_equal(again.features, groups.features)
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match=r"other\.npz"):
        NeuronGroups.load(tmp_path / "other.npz")


def test_groups_are_shown_with_their_sizes_types_and_neurons(groups, retina):
    page = groups._repr_html_()
    assert "21 groups of 84 neurons, synthetic" in page
    first = "".join(
        f"<td {text}</td>"
        for text in (
            'style="text-align:left">group 0',
            'style="text-align:right">4',
            'style="text-align:left">4 ON sustained',
            'style="text-align:left">0–3',
        )
    )
    assert first in page
    assert "and 1 more group" in page
    two = find_groups(np.array([[0.0], [0.1], [5.0], [5.1]]), 2, neurons=[9, 4, 7, 12])
    page = two._repr_html_()
    assert "cell types" not in page
    assert ">4, 9</td>" in page
    measured = find_groups(retina, 2, neurons=[0, 1, 12, 13])
    assert measured.cell_types == {
        0: "ON sustained",
        1: "ON sustained",
        12: "OFF sustained",
        13: "OFF sustained",
    }
    mixed = NeuronGroups({"a <b>": (0, 1, 2, 5)}, np.zeros((4, 1)), cell_types={0: "x<", 1: "x<"})
    page = mixed._repr_html_()
    assert "a &lt;b&gt;" in page
    assert ">2 x&lt;; 2 not known<" in page
    assert ">0–2, 5<" in page


# Other sources -------------------------------------------------------------------------------


def test_groups_that_are_far_apart_are_found_in_any_order():
    features = blobs()
    truth = np.repeat(range(4), 6)
    order = np.random.default_rng(1).permutation(24)
    found = find_groups(features[order], neurons=100 + order)
    assert len(found) == 4
    assert adjusted_rand_index([found.of(100 + one) for one in range(24)], truth) == 1
    assert list(found) == ["group 0", "group 1", "group 2", "group 3"]
    assert found["group 0"][0] == 100 + order[0]


def test_the_silhouette_is_as_defined():
    features = blobs()
    found = find_groups(features)
    labels = np.array([found.of(one) for one in range(24)])
    distance = np.linalg.norm(features[:, None] - features, axis=2)
    values = []
    for i in range(24):
        means = {
            name: distance[i, (labels == name) & (np.arange(24) != i)].mean() for name in found
        }
        a = means.pop(labels[i])
        b = min(means.values())
        values.append((b - a) / max(a, b))
    assert found.silhouette == pytest.approx(np.mean(values))


def test_responses_to_a_sweep_group_neurons_whatever_their_gain(retina):
    chosen = retina.neurons_of("ON-OFF DS 0°") + retina.neurons_of("ON-OFF DS 180°")
    curves = orw.sweep(retina, experiments.drifting_gratings(), neurons=chosen)
    found = find_groups(curves)
    assert len(found) == 2
    assert set(found.values()) == {tuple(chosen[:4]), tuple(chosen[4:])}
    with pytest.raises(ValueError, match="data_key: the source is of"):
        find_groups(curves, data_key="another")


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "settings", "error", "message"),
    [
        (np.ones((5, 2)), {}, ValueError, "source: all neurons have the same features"),
        (np.ones(5), {}, ValueError, r"source: expected an array \(neuron, feature\), got \(5,\)"),
        (np.full((5, 2), np.nan), {}, ValueError, "source: it holds NaN or infinite features"),
        (blobs(1, 2), {}, ValueError, "neurons: expected at least 3 to group, got 2"),
        (np.zeros((5001, 1)), {}, ValueError, "neurons: expected at most 5,000 to group"),
        (blobs(), {"count": 1}, ValueError, "count: expected a whole number from 2 to 24, got 1"),
        (blobs(), {"count": 25}, ValueError, "count: expected a whole number from 2 to 24"),
        (blobs(), {"count": 2.0}, ValueError, "count: expected a whole number"),
        (blobs(), {"neurons": [1, 2]}, ValueError, "neurons: expected a neuron of its own for"),
        ("synthetic", {}, TypeError, "source: expected a model, a SelectivityTable, Tuning"),
        (linear_model(2), {"neurons": [5]}, ValueError, "has no neuron 5"),
    ],
)
def test_bad_input_is_told(source, settings, error, message):
    with pytest.raises(error, match=message):
        find_groups(source, **settings)


def test_neurons_that_are_in_no_group_or_table_are_told(table):
    found = find_groups(table, 2, neurons=range(8))
    with pytest.raises(ValueError, match="neuron: 50 is in none of the 2 groups"):
        found.of(50)
    with pytest.raises(ValueError, match="neurons: there is no neuron 99"):
        find_groups(table, neurons=[0, 1, 99])
    with pytest.raises(ValueError, match="neurons: one of them was given twice"):
        find_groups(table, neurons=[0, 1, 1])


def test_a_table_without_the_indices_is_refused(retina):
    table = orw.selectivity_table(retina, neurons=[0, 1, 2], measure=("contrast",))
    with pytest.raises(ValueError, match="source: none of the indices is measured; measure flash"):
        find_groups(table)
