"""The script that fits the embedded model: its movies, its fit and its file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from openretina_widgets.models.checkpoint import load_checkpoint
from openretina_widgets.models.core_readout import build_core_readout
from openretina_widgets.models.synthetic import SESSION, SyntheticRetina
from scripts.initial_weights import begin_local
from scripts.natural_movies import movies
from scripts.train_embedded import (
    Settings,
    checkpoint_of,
    correlation,
    fit,
    hyper_parameters,
    main,
    unseen_movie,
)

SMALL = Settings(steps=3, batch=1, scenes=1, scene_frames=34, warm_up=1)


def some_movies(seed=0, n=30):
    generator = torch.Generator().manual_seed(seed)
    return movies(generator, n=n, scenes=2, scene_frames=25, height=18, width=16)


# Movies --------------------------------------------------------------------------------------


def test_movies_are_contrasts_that_the_seed_sets():
    made = some_movies()
    assert made.shape == (30, 2, 50, 18, 16)
    assert made.abs().max() <= 1
    assert made.std() > 0.3
    assert torch.equal(made, some_movies())
    assert not torch.equal(made, some_movies(seed=1))


def test_movies_have_cuts_between_scenes_only():
    made = some_movies()
    changes = made.diff(dim=2).square().mean(dim=(0, 1, 3, 4))
    cut = changes[24]
    assert cut > 2 * torch.cat([changes[:24], changes[25:]]).max()


def test_scenes_move_stand_still_and_are_of_both_colours():
    made = some_movies(n=60)
    still = made[:, :, :25].diff(dim=2).abs().amax(dim=(1, 2, 3, 4)) == 0
    assert 0 < still.float().mean() < 0.3
    same = (made[:, 0] == made[:, 1]).flatten(1).float().mean(dim=1)
    assert same.max() < 1
    first, second = made[:, :, :25].flatten(2).unbind(1)
    pairs = zip(first, second, strict=True)
    alike = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])
    assert alike.min() < -0.3
    assert alike.max() > 0.9


# The first weights ---------------------------------------------------------------------------


def begun(seed=0):
    model = build_core_readout(hyper_parameters(SMALL, 3))
    begin_local(model, torch.Generator().manual_seed(seed))
    return model


def test_the_first_kernels_are_set_by_the_generator_alone():
    kernels, again, others = (
        [layer.conv.kernel() for layer in model.core.features]
        for model in (begun(), begun(), begun(seed=1))
    )
    for kernel, same, other in zip(kernels, again, others, strict=True):
        assert torch.equal(kernel, same)
        assert not torch.isclose(kernel, other).all()


def test_the_first_kernels_are_local_in_space_and_time():
    model = begun()
    first, second = (layer.conv.kernel().detach().square() for layer in model.core.features)
    assert first[..., 2:9, 2:9].sum() > 0.9 * first.sum()
    # Newest frames last: 21 and 11 frames of memory, of which the oldest are hardly used.
    assert first[:, :, -12:].sum() > 0.9 * first.sum()
    assert second[:, :, -9:].sum() > 0.9 * second.sum()
    peaks = second.sum(dim=(3, 4)).argmax(dim=2)
    assert len(peaks.unique()) >= 6
    pixels = second.sum(dim=2).flatten(2).argmax(dim=2)
    assert len(pixels.unique()) >= 20


# The fit -------------------------------------------------------------------------------------


def test_a_fit_in_two_goes_ends_with_the_same_weights(tmp_path):
    whole = fit(SMALL, tmp_path / "whole")
    assert fit(SMALL, tmp_path / "parts", stop_after=1) is None
    parts = fit(SMALL, tmp_path / "parts")
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[key]), key


def test_the_weights_depend_on_the_seed_and_move(tmp_path):
    first = fit(SMALL, tmp_path / "0").state_dict()
    other = fit(replace(SMALL, seed=1), tmp_path / "1").state_dict()
    key = f"readout.{SESSION}.features"
    assert not torch.equal(first[key], other[key])
    assert first[key].min() >= 0


def test_the_state_of_another_fit_is_not_taken_up(tmp_path):
    fit(SMALL, tmp_path, stop_after=1)
    with pytest.raises(ValueError, match=r"state\.pt: is of other settings.*'seed': 0.*'seed': 1"):
        fit(replace(SMALL, seed=1), tmp_path)


def test_correlation_is_pearsons():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 50, 3, generator=generator)
    b = b + a
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a.T.numpy(), b.T.numpy(), strict=True)]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-5)


# The file ------------------------------------------------------------------------------------


def test_what_is_written_is_read_as_a_checkpoint(tmp_path):
    model = fit(SMALL, tmp_path)
    movie = unseen_movie(seed=1, scenes=2)
    content = checkpoint_of(SMALL, model, SyntheticRetina(), movie)
    torch.save(content, tmp_path / "made.ckpt")
    loaded = load_checkpoint(tmp_path / "made.ckpt")
    with torch.no_grad():
        assert torch.equal(loaded(movie), model(movie, data_key=SESSION))
    assert content["hyper_parameters"]["data_info"]["model_cut_frames"] == loaded.lag


def test_the_command_writes_a_checkpoint_and_says_how_good_it_is(tmp_path, monkeypatch, capsys):
    made = tmp_path / "made.ckpt"
    arguments = ["train_embedded", str(tmp_path / "state"), "--steps", "1", "--to", str(made)]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr("scripts.train_embedded.HELD_OUT_SCENES", 2)
    main()
    assert load_checkpoint(made).n_neurons() == 84
    said = capsys.readouterr().out
    assert "step 1 of 1" in said
    assert "OS 90°" in said
