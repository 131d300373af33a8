"""Stimuli for a model of any shape, frame rate and pixel size.

Every builder takes a screen or a model, and returns the movie with a table of what happens when::

    stimulus = drifting_grating(model, temporal_frequency=4.0, direction=90.0)
    response = model(stimulus.batch)

========================================  =====================================================
builder                                   what varies
========================================  =====================================================
`uniform_noise`, `binary_noise`,          seed, contrast, check size, update rate
`gaussian_noise`, `pink_noise`
`flash`                                   ON and OFF durations, contrast; full field or a spot
`contrast_steps`                          contrasts, flicker; full field or a spot
`spot`                                    diameter, centre, contrast
`annulus`, `centre_surround`              diameters, centre, contrast of each
`drifting_grating`                        spatial and temporal frequency, direction, contrast, …
`counterphase_grating`                    spatial and temporal frequency, orientation, phase, …
`moving_bar`                              direction, width, length, speed, background
`chirp`                                   contrast; full field or a spot
`chromatic_contrast`                      contrast of green and of UV
`natural`                                 a picture or a movie of one's own
`generate_gratings`                       a drifting grating of a shape, without a model
========================================  =====================================================

Contrasts are in [-1, 1] around the grey of the screen, times its ``contrast_scale`` in model
units. Lengths are in µm where the pixel size is known, else in px, and spatial frequencies in
cycles per mm or per px. A centre is ``(x, y)`` from the middle of the image, x to the right, y up.
Directions are in degrees counter-clockwise, 0 to the right, 90 up the screen; the bars of a grating
lie at its direction − 90°. ``channel_weights`` make a silent substitution, or a stimulus for one
channel, of each. All lead in with as many frames of background as the model consumes, so that its
first response belongs to the first frame of what is shown.
"""

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
from openretina_widgets.data_io.artificial_stimuli.natural import natural
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
    "natural",
    "pink_noise",
    "spot",
    "uniform_noise",
]
