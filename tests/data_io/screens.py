"""Screens that the tests of the builders share."""

from openretina_widgets.data_io.artificial_stimuli import Screen


def screen(**changes) -> Screen:
    """Two channels of 18 × 16 px of 50 µm at 30 Hz, a lag of 19 frames."""
    known = {
        "channels": ("green", "UV"),
        "height": 18,
        "width": 16,
        "frame_rate": 30.0,
        "pixel_size_um": 50.0,
        "lag": 19,
    }
    return Screen(**{**known, **changes})


def one_channel(**changes) -> Screen:
    return screen(**{"channels": ("luminance",), **changes})
