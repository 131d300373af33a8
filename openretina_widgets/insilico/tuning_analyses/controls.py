"""Control conditions: the same sweep with what should abolish, or not change, the tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from openretina_widgets.data_io.artificial_stimuli.stimulus import ArtificialStimulus
from openretina_widgets.errors import unknown_name
from openretina_widgets.models.retina_model import RetinaModel

BLANK, SCRAMBLED, PHASE_SHIFTED, LINEAR = CONTROLS = (
    "blank",
    "scrambled",
    "phase-shifted",
    "linear control",
)
"""``"blank"``: grey of the same length, averaged over the same window. ``"scrambled"``: the pixels
of every frame at other places, the same for all frames and conditions, so that time courses and
contrasts stay and shapes are lost. ``"phase-shifted"``: each grating half a cycle on, which leaves
tuning to frequency and direction as it is. ``"linear control"``: the model's own neurons of that
cell type, whose tuning is that of one filter."""


def check_controls(controls: Sequence[str] | str, model: RetinaModel, session: str) -> list[str]:
    """Return the controls that were asked for, each once.

    Raises
    ------
    ValueError
        If there is no such control, or the model has no linear control cell.
    """
    if not isinstance(controls, Iterable):
        raise TypeError(f"controls: expected names, some of {CONTROLS}, got {controls!r}")
    asked = [controls] if isinstance(controls, str) else list(controls)
    for name in asked:
        if name not in CONTROLS:
            raise ValueError(unknown_name("controls", str(name), CONTROLS, "control"))
    if LINEAR in asked and LINEAR not in model.cell_types(session):
        raise ValueError(
            f"controls: {model.name!r} has no neurons of the type {LINEAR!r}; sweep "
            "load_model('synthetic') with the same experiment instead, which has four"
        )
    return list(dict.fromkeys(asked))


def shown_as(stimulus: ArtificialStimulus, control: str, seed: int) -> ArtificialStimulus:
    """Return the control version of a stimulus, for those that change what is shown.

    Raises
    ------
    ValueError
        If a stimulus that is no grating should be shifted in phase.
    """
    if control == SCRAMBLED:
        height, width = stimulus.screen.height, stimulus.screen.width
        places = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
        movie = stimulus.movie.flatten(2)[..., places].view_as(stimulus.movie)
        return replace(stimulus, name=f"{stimulus.name}, scrambled", movie=movie)
    if not any(name.startswith("spatial_frequency") for name in stimulus.parameters):
        raise ValueError(
            f"controls: {PHASE_SHIFTED!r} needs a grating; {stimulus.name!r} has no phase to shift"
        )
    grey = torch.tensor(stimulus.screen.grey, dtype=stimulus.movie.dtype)[:, None, None, None]
    # Half a cycle on, a grating around grey is its own negative.
    movie = 2 * grey - stimulus.movie
    return replace(stimulus, name=f"{stimulus.name}, shifted half a cycle", movie=movie)
