"""Fits the trained embedded model: a core-readout of the published kind, to a retina that is known.

The model has the shape of Höfling et al. 2024 (eLife 13:e86860) at low resolution: two separable
layers and Gaussian-mask readouts. Its second layer has 32 channels in place of 16, so that each of
the 21 cell types can find one: motion has to be told apart in 7 directions, and in both polarities.
It is fitted to the responses of the embedded
synthetic retina, with OpenRetina's Poisson loss and AdamW, on movies that are made as they are
needed, so that none is seen twice. Run from the root of the repository, on one core:

    OMP_NUM_THREADS=1 python -m scripts.train_embedded build/trained

The argument is a folder for the state. The same command goes on after an interruption, and then
ends with the same weights: the draws of a step depend on the seed and on the number of the step
alone. At the end the correlation of each neuron with the truth is measured on a movie that took no
part in the fit, and everything is written as a checkpoint of OpenRetina.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from openretina_widgets.models.core_readout import CoreReadout, build_core_readout
from openretina_widgets.models.loading import TRAINED_PATH
from openretina_widgets.models.synthetic import SESSION, SyntheticRetina, load_synthetic
from openretina_widgets.models.synthetic_cells import FRAME_RATE, HEIGHT, PIXEL_UM, WIDTH
from scripts.initial_weights import begin_local
from scripts.natural_movies import movies

HELD_OUT_SEED = 2**40  # far from the seeds of all training steps
HELD_OUT_SCENES = 400  # some cells fire seldom: a short movie tells little of them
METRIC = "correlation with the synthetic retina on a movie that took no part in the fit"
CHANNELS = [2, 16, 32]


@dataclass(frozen=True)
class Settings:
    """What the weights depend on.

    Attributes
    ----------
    seed
        Of the fresh weights, and of every movie.
    steps
        Steps of the optimiser.
    batch, scenes, scene_frames
        Movies in a step, scenes in a movie, and frames in a scene.
    learning_rate
        The largest; it rises for `warm_up` steps, then falls to 0 along a cosine.
    weight_decay
        As AdamW takes it.
    settled_from
        Share of the steps after which batch norm keeps its running mean and variance. A few movies
        scatter, in contrast above all; from there on the fit sees what the finished model will.
    """

    seed: int = 0
    steps: int = 6000
    batch: int = 6
    scenes: int = 1
    scene_frames: int = 100
    learning_rate: float = 0.01
    warm_up: int = 50
    weight_decay: float = 0.01
    settled_from: float = 0.4

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min(1.0, (step + 1) / self.warm_up)
        return self.learning_rate * rise * (1 + math.cos(math.pi * step / self.steps)) / 2


def hyper_parameters(settings: Settings, n_neurons: int) -> dict[str, Any]:
    """Return what `build_core_readout` and OpenRetina's ``UnifiedCoreReadout`` are built from.

    There are no penalties: the movies never end and the responses have no noise, so that there is
    nothing to overfit.
    """
    return {
        "in_shape": (2, 150, HEIGHT, WIDTH),
        "n_neurons_dict": {SESSION: n_neurons},
        "core": {
            "_target_": "openretina.modules.core.base_core.SimpleCoreWrapper",
            "_convert_": "object",
            "channels": list(CHANNELS),
            "temporal_kernel_sizes": [21, 11],
            "spatial_kernel_sizes": [11, 5],
            "gamma_input": 0.0,
            "gamma_temporal": 0.0,
            "gamma_in_sparse": 0.0,
            "gamma_hidden": 0.0,
            "dropout_rate": 0.0,
            "cut_first_n_frames": 0,
            "maxpool_every_n_layers": None,
            "input_padding": 0,
            "hidden_padding": [0, 2, 2],
            "convolution_type": "custom_separable",
        },
        "readout": {
            "_target_": "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout",
            "_convert_": "object",
            "in_shape": [CHANNELS[-1], 120, 8, 6],
            "scale": True,
            "bias": True,
            "gaussian_mean_scale": 6.0,
            "gaussian_var_scale": 4.0,
            "positive": True,
            "mask_l1_reg": 0.0,
            "feature_weights_l1_reg": 0.0,
            "readout_reg_avg": False,
        },
        "learning_rate": settings.learning_rate,
        "loss": None,  # OpenRetina's default is the Poisson loss used here
        "evaluation_loss": None,
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "lr": settings.learning_rate,
            "weight_decay": settings.weight_decay,
        },
        "lr_scheduler": None,
    }


def poisson_loss(got: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return OpenRetina's Poisson loss, summed; both ``(batch, time, neuron)``."""
    return (got - truth * torch.log(got + 1e-16)).sum()


def correlation(got: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return Pearson's correlation over time of each neuron; both ``(time, neuron)``."""
    got, truth = got - got.mean(dim=0), truth - truth.mean(dim=0)
    return (got * truth).sum(dim=0) / (got.norm(dim=0) * truth.norm(dim=0))


def unseen_movie(*, seed: int = HELD_OUT_SEED, scenes: int) -> torch.Tensor:
    """Return one long movie ``(1, 2, time, height, width)``; no training step draws its seeds."""
    generator = torch.Generator().manual_seed(seed)
    return movies(generator, n=1, scenes=scenes, scene_frames=50, height=HEIGHT, width=WIDTH)


def performance(model: CoreReadout, retina: SyntheticRetina, movie: torch.Tensor) -> torch.Tensor:
    """Return the correlation of each neuron with the truth on a movie; the model in eval mode."""
    with torch.no_grad():
        got, truth = model(movie, data_key=SESSION)[0], retina(movie)[0]
    return correlation(got, truth[-len(got) :])


# The fit --------------------------------------------------------------------------------------


def fit(settings: Settings, folder: Path, *, stop_after: int | None = None) -> CoreReadout | None:
    """Fit the model, from the state in a folder where there is one.

    Parameters
    ----------
    settings
        Have to be those of the state.
    folder
        Holds the state; made if it is not there.
    stop_after
        Steps after which to stop, for a fit in several goes.

    Returns
    -------
    CoreReadout or None
        The model in eval mode, None if steps are left.

    Raises
    ------
    ValueError
        If the state in the folder is of other settings.
    """
    retina = SyntheticRetina()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_core_readout(hyper_parameters(settings, len(retina.ground_truth)))
        begin_local(model, torch.Generator().manual_seed(settings.seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    state = folder / "state.pt"
    begin = _resume(state, settings, model, optimizer) if state.exists() else 0
    end = settings.steps if stop_after is None else min(settings.steps, begin + stop_after)
    started = time.monotonic()
    for step in range(begin, end):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate_at(step)
        loss = _step(settings, step, model, retina, optimizer)
        if (step + 1) % 50 == 0 or step + 1 == end:
            _save(
                {
                    "settings": asdict(settings),
                    "step": step + 1,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                },
                state,
            )
            speed = (step + 1 - begin) / (time.monotonic() - started)
            left_min = (settings.steps - step - 1) / speed / 60
            print(
                f"step {step + 1} of {settings.steps}: loss {loss:.4f} a response, "
                f"{speed:.2f} steps/s, {left_min:.0f} min left",
                flush=True,
            )
    return model.eval() if end == settings.steps else None


def _step(
    settings: Settings,
    step: int,
    model: CoreReadout,
    retina: SyntheticRetina,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Take one step; return the loss of a single response."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    stimulus = movies(
        generator,
        n=settings.batch,
        scenes=settings.scenes,
        scene_frames=settings.scene_frames,
        height=HEIGHT,
        width=WIDTH,
    )
    model.train(step < settings.settled_from * settings.steps)
    got = model(stimulus, data_key=SESSION)
    loss = poisson_loss(got, retina(stimulus)[:, -got.shape[1] :])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        # The readout uses weights below zero as zero; there they would have no gradient.
        for readout in model.readout.values():
            readout.features.clamp_(min=0)
    return loss.item() / got.numel()


def _resume(
    state: Path, settings: Settings, model: CoreReadout, optimizer: torch.optim.Optimizer
) -> int:
    """Take up the state in a file; return the number of steps done."""
    saved = torch.load(state, weights_only=True)
    if saved["settings"] != asdict(settings):
        raise ValueError(
            f"{state}: is of other settings, {saved['settings']}; expected {asdict(settings)}, or "
            "an empty folder"
        )
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _save(content: dict[str, Any], path: Path) -> None:
    """Write a file so that an interruption leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


# The checkpoint -------------------------------------------------------------------------------


def checkpoint_of(
    settings: Settings, model: CoreReadout, retina: SyntheticRetina, movie: torch.Tensor
) -> dict[str, Any]:
    """Return what OpenRetina 1.1.1 writes of a model, with its performance on a movie.

    Of our own are, in ``data_info``, ``stimulus_range`` and ``stimulus_norm``, and of each session
    ``cell_types``, ``cell_notes`` and ``cell_positions_um``; OpenRetina ignores them.
    """
    embedded = load_synthetic(seed=retina.seed)
    cells = embedded.neurons()
    with torch.no_grad():
        mean_activity = retina(movie).mean(dim=(0, 1))
    data_info = {
        "n_neurons_dict": {SESSION: len(cells)},
        "input_shape": (2, HEIGHT, WIDTH),
        "stimulus_rate_hz": FRAME_RATE,
        "response_rate_hz": FRAME_RATE,
        "retina_pixel_size_um": PIXEL_UM,
        "stim_mean": 0.0,
        "stim_std": 1.0,
        "stimulus_range": embedded.stimulus_range,
        "stimulus_norm": embedded.stimulus_norm,
        "stimulus_class": "moving textures, flicker and noise",
        "mean_activity_dict": {SESSION: mean_activity},
        "sessions_kwargs": {
            SESSION: {
                "cell_types": [cell.cell_type for cell in cells],
                "cell_notes": [cell.note for cell in cells],
                "cell_positions_um": [(cell.x_um, cell.y_um) for cell in cells],
                "seed": retina.seed,
            }
        },
        "model_cut_frames": 30,
        "pretrained_performance": {SESSION: performance(model, retina, movie)},
        "pretrained_performance_metric": METRIC,
    }
    return {
        "epoch": 0,
        "global_step": settings.steps,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": model.state_dict(),
        "hparams_name": "kwargs",
        "hyper_parameters": {
            **hyper_parameters(settings, len(cells)),
            "data_info": data_info,
        },
    }


def report(cell_types: list[str], correlations: torch.Tensor) -> str:
    """Return a line for each cell type: mean and smallest correlation of its cells."""
    lines = []
    for cell_type in dict.fromkeys(cell_types):
        mine = correlations[[kind == cell_type for kind in cell_types]]
        lines.append(f"{cell_type:28} {mine.mean():.3f} (least {mine.min():.3f})")
    return "\n".join([*lines, f"{'all':28} {correlations.mean():.3f}"])


def main() -> None:
    """Fit, measure and write, as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="folder for the state")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--to", type=Path, default=TRAINED_PATH, help="checkpoint to write")
    arguments = parser.parse_args()
    settings = Settings(seed=arguments.seed, steps=arguments.steps)
    model = fit(settings, arguments.state)
    if model is None:
        return
    content = checkpoint_of(
        settings, model, SyntheticRetina(), unseen_movie(scenes=HELD_OUT_SCENES)
    )
    _save(content, arguments.to)
    info = content["hyper_parameters"]["data_info"]
    types = info["sessions_kwargs"][SESSION]["cell_types"]
    print(report(types, info["pretrained_performance"][SESSION]))
    print(f"{arguments.to}: {arguments.to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
