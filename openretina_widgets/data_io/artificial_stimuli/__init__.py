"""Generated stimuli for a model of any shape, frame rate and pixel size."""

from openretina_widgets.data_io.artificial_stimuli.screen import Screen
from openretina_widgets.data_io.artificial_stimuli.stimulus import (
    ArtificialStimulus,
    StimulusEvent,
)

__all__ = ["ArtificialStimulus", "Screen", "StimulusEvent"]
