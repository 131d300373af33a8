"""Generated stimuli for a model of any shape, frame rate and pixel size."""

from openretina_widgets.data_io.artificial_stimuli.full_field import (
    chirp,
    chromatic_contrast,
    contrast_steps,
    flash,
)
from openretina_widgets.data_io.artificial_stimuli.gratings import (
    counterphase_grating,
    drifting_grating,
    generate_gratings,
)
from openretina_widgets.data_io.artificial_stimuli.moving_bar import moving_bar
from openretina_widgets.data_io.artificial_stimuli.noise import (
    binary_noise,
    gaussian_noise,
    pink_noise,
    uniform_noise,
)
from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.spots import annulus, centre_surround, spot
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)

__all__ = [
    "ArtificialStimulus",
    "Screen",
    "StimulusEvent",
    "annulus",
    "binary_noise",
    "centre_surround",
    "chirp",
    "chromatic_contrast",
    "contrast_steps",
    "counterphase_grating",
    "drifting_grating",
    "flash",
    "gaussian_noise",
    "generate_gratings",
    "moving_bar",
    "pink_noise",
    "spot",
    "uniform_noise",
]
