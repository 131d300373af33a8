"""What is shown to every neuron for a selectivity table: experiments that suit any screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from openretina_widgets.data_io.artificial_stimuli import (
    ArtificialStimulus,
    Screen,
    chromatic_contrast,
    drifting_grating,
    spot,
)
from openretina_widgets.insilico.tuning_analyses.axis import Axis
from openretina_widgets.insilico.tuning_analyses.experiment import Experiment

DIRECTIONS = tuple(range(0, 360, 45))
CARDINAL = (0, 90, 180, 270)
GRATING_HZ = 2.0
TEMPORAL_HZ = (1.0, 2.0, 4.0, 7.5)
CYCLES_PER_MM = (0.5, 1.0, 2.0, 4.0)
CYCLES_PER_PX = (0.025, 0.05, 0.1, 0.2)  # the same on the embedded retina's pixels of 50 µm
SPOT_UM, SPOT_PX = 300.0, 6.0
DIAMETERS_UM = (100.0, 200.0, 300.0, 400.0, 600.0, 800.0, 1000.0)
DIAMETERS_PX = (2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0)
FLASH_S, SPOT_S = 1.0, 0.6
_EVEN = 0.45  # cycles a pixel: above, a grating is hardly one


def protocol(screen: Screen, steps: Sequence[str] = ()) -> list[Experiment]:
    """Return the experiments of a selectivity table, in the order in which they are done.

    - ``"flash"``: a bright and a dark spot on the receptive field: polarity, transience.
    - ``"direction"``: sine gratings in 8 directions at several spatial frequencies.
    - ``"temporal_frequency"``: gratings in 4 directions at several temporal frequencies.
    - ``"size"``: bright and dark spots of growing diameter on the receptive field.
    - ``"chromatic"``: a spot of each of 9 contrasts in green and UV; for two channels only.

    Lengths are in µm where the pixel size is known, else in pixels.

    Parameters
    ----------
    screen
        What the model sees.
    steps
        Names of the experiments wanted, all for none.
    """
    known = screen.pixel_size_um is not None
    diameter = SPOT_UM if known else SPOT_PX
    extent = screen.length(1.5 * max(screen.height, screen.width))
    diameters = [d for d in (DIAMETERS_UM if known else DIAMETERS_PX) if d <= extent]
    pixels_in_unit = 1000.0 / screen.pixel_size_um if screen.pixel_size_um else 1.0
    spatial = [
        f for f in (CYCLES_PER_MM if known else CYCLES_PER_PX) if f / pixels_in_unit <= _EVEN
    ]
    temporal = [f for f in TEMPORAL_HZ if f <= screen.frame_rate / 4]
    polarity = Axis.of("polarity", [1.0, -1.0])

    def flashed(seen: Screen, condition: dict[str, Any]) -> ArtificialStimulus:
        return spot(
            seen,
            contrast=condition["polarity"],
            diameter=diameter,
            centre=condition["centre"],
            duration_s=FLASH_S,
        )

    def sized(seen: Screen, condition: dict[str, Any]) -> ArtificialStimulus:
        return spot(
            seen,
            contrast=condition["polarity"],
            diameter=condition["diameter"],
            centre=condition["centre"],
            duration_s=SPOT_S,
        )

    def grating(seen: Screen, condition: dict[str, Any]) -> ArtificialStimulus:
        return drifting_grating(
            seen,
            direction=condition["direction"],
            spatial_frequency=condition.get("spatial_frequency", spatial[len(spatial) // 2]),
            temporal_frequency=condition.get("temporal_frequency", min(GRATING_HZ, temporal[-1])),
        )

    def coloured(seen: Screen, condition: dict[str, Any]) -> ArtificialStimulus:
        return chromatic_contrast(
            seen,
            green=condition["green"],
            uv=condition["uv"],
            diameter=diameter,
            centre=condition["centre"],
            duration_s=SPOT_S,
        )

    unit, per = screen.space_unit, "cyc/mm" if known else "cyc/px"
    experiments = [
        Experiment("flash", "spot flash", (polarity,), flashed, centred=True),
    ]
    if spatial and temporal:
        experiments += [
            Experiment(
                "direction",
                "drifting gratings",
                (Axis.of("direction", DIRECTIONS, "°"), Axis.of("spatial_frequency", spatial, per)),
                grating,
                polar="direction",
            ),
            Experiment(
                "temporal_frequency",
                "temporal frequency",
                (
                    Axis.of("direction", CARDINAL, "°"),
                    Axis.of("temporal_frequency", temporal, "Hz"),
                ),
                grating,
            ),
        ]
    if len(diameters) > 1:
        size = (polarity, Axis.of("diameter", diameters, unit))
        experiments.append(Experiment("size", "size tuning", size, sized, centred=True))
    if len(screen.channels) == 2:
        grid = np.array([-1.0, 0.0, 1.0])
        axes = (Axis.of("green", grid), Axis.of("uv", grid))
        experiments.append(
            Experiment("chromatic", "chromatic contrasts", axes, coloured, centred=True)
        )
    return [one for one in experiments if not steps or one.name in steps]
