"""What is copied out of a run to be shown."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from openretina_widgets.insilico.stimulus_optimization import neuron_steps
from openretina_widgets.insilico.stimulus_optimization import picture as pictures
from openretina_widgets.models import load_model


@pytest.fixture(scope="module")
def retina():
    return load_model("synthetic")


def test_pictures_are_copies_with_components_every_so_often(retina, monkeypatch):
    clock = itertools.count(100.0, 0.4)
    monkeypatch.setattr(pictures.time, "monotonic", lambda: next(clock))
    take = pictures.PicturesOfRun(components_every=1.0, element=1)
    steps = neuron_steps(retina, [3, 5], time_steps=25, max_iterations=8)
    taken = [(take(step), step.stimulus[1].clone(), float(step.score[1])) for step in steps]
    assert [p.components is not None for p, _, _ in taken] == [True, False, False] * 3
    for iteration, (picture, stimulus, score) in enumerate(taken):
        assert picture.iteration == iteration
        assert torch.equal(torch.from_numpy(picture.movie), stimulus)
        assert picture.score == picture.score_trace[-1] == score
        assert len(picture.score_trace) == iteration + 1
    for picture, _, _ in taken[::3]:
        for split, again in zip(
            picture.components, pictures.split_channels(picture.movie), strict=True
        ):
            np.testing.assert_array_equal(split.spatial, again.spatial)
