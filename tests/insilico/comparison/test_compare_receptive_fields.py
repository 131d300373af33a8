"""Measured receptive fields beside a model's."""

import numpy as np
import pytest

from openretina_widgets.insilico.comparison import compare_receptive_fields
from openretina_widgets.insilico.comparison.fields import FieldComparison
from tests.shared_data import shared_data


def gaussian(height, width, row, column, sigma, *, surround=0.0):
    rows, columns = np.indices((height, width))
    square = (rows - row) ** 2 + (columns - column) ** 2
    centre = np.exp(-square / (2 * sigma**2))
    return centre - surround * np.exp(-square / (2 * (3 * sigma) ** 2))


ON = gaussian(18, 16, 8, 7, 2.0, surround=0.2)


def test_a_field_agrees_wholly_with_itself_scaled_and_moved():
    found = compare_receptive_fields(ON, 3 * np.roll(ON, (1, -2), (0, 1)) + 0.5)
    assert found.correlation[0, 0] > 0.999
    assert found.scale[0, 0] == pytest.approx(3, rel=0.01)
    assert compare_receptive_fields(ON, ON, align="none").error[0, 0] == pytest.approx(0, abs=1e-6)


def test_without_alignment_a_moved_field_agrees_less():
    moved = np.roll(ON, (3, 0), (0, 1))
    found = compare_receptive_fields(ON, moved, align="none")
    assert found.correlation[0, 0] < 0.9 < compare_receptive_fields(ON, moved).correlation[0, 0]


def test_an_off_field_does_not_agree_with_an_on_field():
    found = compare_receptive_fields(-ON, ON)
    assert found.correlation[0, 0] == pytest.approx(-1)
    assert found.error[0, 0] == 1


def test_pixels_of_another_size_are_laid_on_each_other():
    coarse = gaussian(9, 8, 4, 3.5, 1.0)
    fine = gaussian(36, 32, 16.5, 14.5, 4.0)
    found = compare_receptive_fields(fine, coarse, pixel_size=25, measured_pixel_size=100)
    assert found.magnification == 4
    assert found.correlation[0, 0] > 0.999
    assert compare_receptive_fields(fine, coarse).correlation[0, 0] < 0.7


def test_every_neuron_is_compared_with_every_cell():
    model = np.stack([ON, -ON, gaussian(18, 16, 8, 7, 4.0)])
    found = compare_receptive_fields(model, np.stack([ON, -ON]), resamples=50)
    assert found.correlation.shape == (3, 2)
    assert (found.best(0), found.best(1)) == (0, 1)
    assert found.correlation_interval.shape == (3, 2, 2)
    low, high = found.correlation_interval[2, 0]
    assert low <= found.correlation[2, 0] <= high
    assert found.laid_on(0, 0) == pytest.approx(ON)


def test_pixels_outside_the_image_do_not_count_and_too_few_are_no_comparison():
    large = gaussian(40, 40, 20, 20, 2.0)
    found = compare_receptive_fields(ON, large)
    assert found.overlap[0, 0] == pytest.approx(18 * 16 / 1600, rel=0.1)
    assert np.isnan(found.correlation[0, 0])
    assert "less than half" in found.reasons[0, 0]
    with pytest.raises(ValueError, match="cell 0: less than half"):
        found.best(0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"measured": np.ones(3)}, r"measured: expected \(cell, height, width\), got shape \(3,\)"),
        ({"measured": np.full((3, 3), np.nan)}, "measured: expected finite numbers"),
        ({"fields": np.ones(3)}, r"fields: expected \(neuron, height, width\), got shape"),
        ({"align": "peak"}, "align: expected 'centre' or 'none', got 'peak'"),
        ({"measured_pixel_size": 5.0}, "pixel_size: not known of these fields"),
        ({"magnification": 0}, "magnification: expected a positive number, got 0"),
        ({"confidence": 2}, "confidence: expected a number between 0 and 1, got 2"),
        ({"block": 0}, "block: expected a whole number of at least 1, got 0"),
    ],
)
def test_bad_input_is_answered_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare_receptive_fields(**{"fields": ON, "measured": ON, **arguments})


def test_a_constant_field_says_so():
    found = compare_receptive_fields(np.stack([ON, np.zeros_like(ON)]), ON)
    assert found.reasons[1, 0] == "the model's values are all the same"
    assert found.best(0) == 0


def test_122_measured_fields_beside_gaussians_of_known_sign():
    with np.load(shared_data("dlgn_receptive_fields") / "dlgn_rf.npz") as archive:
        measured = archive["pop_srf"]
    model = np.stack([gaussian(31, 41, 15, 20, 1.5), -gaussian(31, 41, 15, 20, 1.5)])
    found = compare_receptive_fields(model, measured, resamples=100)
    assert found.correlation.shape == (2, 122)
    assert (found.reasons == "").all()
    peak = np.abs(measured).reshape(122, -1).argmax(axis=1)
    sign = np.sign(np.take_along_axis(measured.reshape(122, -1), peak[:, None], axis=1)[:, 0])
    best = np.where(found.error[0] < found.error[1], 1, -1)
    assert (best == sign).all()


def test_a_plot_names_what_it_shows():
    pytest.importorskip("matplotlib")
    figure = compare_receptive_fields(ON, ON).plot()
    assert figure.axes[1].get_title() == "Neuron 0, r = 1.00"


def test_a_comparison_comes_back_from_a_file(tmp_path):
    kept = compare_receptive_fields(np.stack([ON, np.zeros_like(ON)]), ON, resamples=20)
    again = FieldComparison.load(kept.save(tmp_path / "kept.npz"))
    np.testing.assert_equal(again.table(), kept.table())
    np.testing.assert_array_equal(again.laid_on(0), kept.laid_on(0))
    assert again.reasons.tolist() == kept.reasons.tolist()
    assert (again.neurons, again.align, again.seed) == (kept.neurons, kept.align, kept.seed)
