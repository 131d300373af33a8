"""What the receptive field viewer draws and says of fields, besides the enlarged one."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from openretina_widgets.data_io.artificial_stimuli import (
    ArtificialStimulus,
    Screen,
    binary_noise,
)
from openretina_widgets.insilico.receptive_fields.mosaic import Mosaic
from openretina_widgets.insilico.receptive_fields.result import FieldsStep, ReceptiveFields
from openretina_widgets.models.retina_model import RetinaModel
from openretina_widgets.widgets.receptive_field_parts import LiveFields, outlines_of
from openretina_widgets.widgets.retina_map import Outline

_SHARE = 0.1  # of the run's time that its pictures may take
_BASE_CONTRAST = 0.5  # of the noise at which a local gradient is taken


class Snapshots:
    """Copies what is drawn out of a step, and keeps its share of the run's time small."""

    def __init__(self) -> None:
        self._again_at = 0.0

    @property
    def due(self) -> bool:
        """Whether its share of the time allows another."""
        return time.perf_counter() >= self._again_at

    def __call__(self, step: FieldsStep) -> LiveFields:
        """Return what is drawn of a step."""
        start = time.perf_counter()
        fields = LiveFields.of(step)
        end = time.perf_counter()
        self._again_at = end + (end - start) * (1 / _SHARE - 1)
        return fields


def noise_image(model: RetinaModel, seed: int) -> ArtificialStimulus:
    """Return an image of binary noise, held as long as one response needs."""
    screen = Screen.of(model)
    seconds = (screen.lag + 1) / screen.frame_rate
    noise = binary_noise(
        screen,
        seed=seed,
        contrast=_BASE_CONTRAST,
        update_rate_hz=1 / seconds,
        duration_s=seconds,
        before_s=0.0,
    )
    return replace(noise, name=f"binary noise, contrast {_BASE_CONTRAST:g}, seed {seed}")


def centre_of(result: ReceptiveFields, at: int, label: str) -> list[Outline]:
    """Return the ellipse of a field's centre in the colour of its polarity; none undetermined."""
    polarity = result.polarity[at]
    return [
        Outline(
            centre.neuron,
            centre.x,
            centre.y,
            centre.radius_x,
            centre.radius_y,
            centre.angle_deg,
            polarity="ON" if polarity == "ON" else "OFF" if polarity == "OFF" else "",
            label=label,
        )
        for centre in outlines_of(result, at)[:1]
    ]


def regularity_in_words(mosaic: Mosaic) -> str:
    """Return the regularity index of a mosaic, or why there is none."""
    if mosaic.reason:
        return mosaic.reason
    if math.isinf(mosaic.regularity):
        return "regularity index: all nearest distances are alike"
    return f"regularity index {mosaic.regularity:.1f}"


def notes_of(result: ReceptiveFields) -> list[str]:
    """Return what is said of each field on the wall."""
    diameters = result.pixel * result.fit.diameter
    return [
        f"not determined: {reason}"
        if reason
        else f"{polarity}, diameter {diameter:.3g} {result.space_unit}"
        for reason, polarity, diameter in zip(
            result.reasons, result.polarity, diameters, strict=True
        )
    ]
