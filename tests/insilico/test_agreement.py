"""Whether several optima agree: numbers of stimuli that are known, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import optimize_neurons
from openretina_widgets.insilico.stimulus_optimization.agreement import agreement_of
from openretina_widgets.models import load_model


@pytest.fixture(scope="module")
def result():
    return optimize_neurons(
        load_model("synthetic"), 5, seed=range(3), time_steps=25, max_iterations=2
    )


def known(result, stimuli, scores, reason="no improvement in 30 iterations"):
    reasons = (reason,) * len(scores)
    return replace(
        result,
        stimulus=torch.as_tensor(stimuli).float(),
        score=torch.tensor(scores),
        stop_reasons=reasons,
    )


def test_correlations_courses_and_place_of_known_stimuli(result):
    wave = np.zeros((2, 25, 18, 16))
    wave[0, :, 4, 7] = np.sin(np.arange(25))
    stimuli = np.stack([wave, 3 * wave + 1, -wave])
    found = agreement_of(known(result, stimuli, [1.0, 1.0, 2.0]))
    np.testing.assert_allclose(sorted(found.correlations), [-1, -1, 1], atol=1e-6)
    assert found.pixel == (4, 7)
    np.testing.assert_allclose(found.mean[0], np.sin(np.arange(25)) + 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found.spread, stimuli[:, :, :, 4, 7].std(0, ddof=1), atol=1e-6)


def test_words_tell_one_optimum_from_several(result):
    draw = np.random.default_rng(0)
    base = draw.normal(size=(2, 25, 18, 16))
    near = np.stack([base + 0.1 * draw.normal(size=base.shape) for _ in range(3)])
    words = agreement_of(known(result, near, [12.1, 12.2, 12.3])).in_words
    assert words.startswith("3 seeds reach 12.1 to 12.3 a.u.; their optima correlate 0.99")
    assert "one optimum" in words
    least = agreement_of(known(result, near, [12.1, 12.2, 12.3])).correlations.min()
    shared = float(words.split("share at least ")[1].split(" %")[0])
    assert 0 <= 100 * least**2 - shared < 0.01
    same = np.stack([base, base + 1e-4 * draw.normal(size=base.shape)])
    assert "share at least 99.99 % of" in agreement_of(known(result, same, [1.0, 1.0])).in_words
    far = draw.normal(size=(3, *base.shape))
    assert "not unique" in agreement_of(known(result, far, [12.1, 12.2, 12.3])).in_words
    apart = agreement_of(known(result, far, [6.0, 12.2, 12.3])).in_words
    assert "different optima" in apart
    assert "51 %" in apart
    early = agreement_of(known(result, far, [6.0, 12.2, 12.3], "9 iterations done")).in_words
    assert "run longer" in early


def test_a_score_that_is_not_finite_is_not_determined(result):
    stimuli = result.stimulus.numpy()
    words = agreement_of(known(result, stimuli, [1.0, float("nan"), 1.0])).in_words
    assert "not determined" in words


def test_one_stimulus_alone_is_refused(result):
    with pytest.raises(ValueError, match="two stimuli at least"):
        agreement_of(result, [1])


def test_the_seeds_of_a_linear_cell_agree(result):
    retina = load_model("synthetic")
    (neuron, *_) = retina.neurons_of("linear control")
    run = optimize_neurons(retina, neuron, seed=range(3), time_steps=25, max_iterations=60)
    assert agreement_of(run).correlations.min() > 0.99
