"""The spike-triggered average, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.receptive_fields import spike_triggered_average
from openretina_widgets.insilico.receptive_fields.split import biphasic_index, time_to_peak
from openretina_widgets.insilico.receptive_fields.sta import RunningAverage


def test_it_is_the_weighted_mean_of_the_frames_before_each_spike():
    stimulus = np.arange(5.0).reshape(1, 5, 1, 1)
    spikes = np.array([[9.0, 0], [0, 0], [1, 0], [0, 0], [3, 0]])  # the 9 has no past
    found = spike_triggered_average(stimulus, spikes, lag=1)
    assert found.shape == (2, 1, 2, 1, 1)
    assert found[0].ravel().tolist() == [(1 * 1 + 3 * 3) / 4, (1 * 2 + 3 * 4) / 4]
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found, spike_triggered_average(stimulus, spikes[1:], lag=1))


def test_without_a_control_variate_the_running_average_is_that_less_the_mean_stimulus():
    generator = torch.Generator().manual_seed(0)
    movie = torch.randn(2, 203, 3, 4, generator=generator)
    rates = torch.rand(200, 2, generator=generator)
    average = RunningAverage(None)
    average.add(movie, rates)
    shown = torch.stack([movie[:, k : k + 200].mean(1) for k in range(4)], dim=1).numpy()
    plain = spike_triggered_average(movie, rates, lag=3) - shown
    np.testing.assert_allclose(average.estimate(), plain * 200 / 199, atol=1e-4)


def test_the_control_variate_changes_the_scatter_and_not_the_mean():
    """A square on top of a line: of 200 short runs the means agree, the spread is smaller."""
    generator = torch.Generator().manual_seed(1)
    kernel = torch.tensor([0.1, 0.5, -0.3])
    found: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for _ in range(200):
        pieces = torch.randn(4, 1, 102, 1, 1, generator=generator)
        averages = {False: RunningAverage(None), True: RunningAverage(torch.ones(1))}
        for piece in pieces:
            drive = piece[0, :, 0, 0].unfold(0, 3, 1) @ kernel
            for average in averages.values():
                average.add(piece, (4 + drive + 0.2 * drive**2)[:, None])
        for kind, average in averages.items():
            found[kind].append(average.estimate()[0].ravel())
    for runs in found.values():
        mean = 4 + 0.2 * 0.35  # of the response
        error = np.std(runs, axis=0) / np.sqrt(200)
        assert (np.abs(np.mean(runs, axis=0) - kernel.numpy() / mean) < 4 * error).all()
    assert np.std(found[True], axis=0).sum() < 0.7 * np.std(found[False], axis=0).sum()


@pytest.mark.parametrize(
    ("stimulus", "responses", "lag", "words"),
    [
        (np.zeros((5, 2, 2)), np.zeros((5, 1)), 1, "stimulus: expected"),
        (np.zeros((1, 5, 2, 2)), np.zeros((3, 1)), 1, r"responses: expected \(5, neuron\) or \(4"),
        (np.zeros((1, 5, 2, 2)), np.zeros((5, 1)), 5, "lag: expected 0 to 4"),
        (np.full((1, 5, 2, 2), np.nan), np.zeros((5, 1)), 1, "stimulus: expected finite"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(stimulus, responses, lag, words):
    with pytest.raises(ValueError, match=words):
        spike_triggered_average(stimulus, responses, lag)


def test_times_and_lobes_of_a_kernel_counted_by_hand():
    kernel = np.array([[0.0, -0.25, 0.0, 1.0, 0.0]])  # the peak is one frame before the newest
    assert time_to_peak(kernel, 50.0)[0] == pytest.approx(30.0)
    assert biphasic_index(kernel)[0] == 0.25
    assert np.isnan(time_to_peak(kernel[:, :1], 50.0)).all()
