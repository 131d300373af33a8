"""Each claim on the embedded retina's cell types, for each cell, with the numbers a user sees.

One table: what a type must show, how it is measured through the public functions, and between
which bounds the measured value of every cell of that type has to lie, with the reason for these
bounds. ``pytest -rP`` on the tests beside it prints the range over the cells beside each claim.

Direction is asked with gratings of the sweep's own settings, 2 Hz, and with bars at 1000 µm/s. At
4 Hz the veto of ON direction-selective cells, 133 ms late, comes half a cycle late: the preferred
direction of what little they answer turns around, as that of any correlation detector does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from openretina_widgets.models.synthetic_cells import CELL_TYPES
from tests.insilico.every_cell_type.measured import Measured
from tests.insilico.every_cell_type.motion import BRIGHT, DARK

SUSTAINED = ("ON sustained", "OFF sustained")
BARE = tuple(f"{name}, no surround" for name in SUSTAINED)
TRANSIENT = ("ON transient", "OFF transient")
ON_OFF_DS = tuple(f"ON-OFF DS {angle}°" for angle in (0, 90, 180, 270))
ON_DS = tuple(f"ON DS {angle}°" for angle in (0, 120, 240))
OS = ("OS 0°", "OS 90°")
EVERY = tuple(cell_type.name for cell_type in CELL_TYPES)
INF = math.inf

ROUNDING = "exact by construction; float32 sums round"
YES = "a yes or no"


@dataclass(frozen=True)
class Claim:
    """What the cells of some types show, measured, and where every value has to lie."""

    types: tuple[str, ...]
    what: str
    value: Callable[[Measured], np.ndarray]
    low: float
    high: float
    because: str

    def __str__(self) -> str:
        more = f" and {len(self.types) - 1} more" if len(self.types) > 1 else ""
        return f"{self.types[0]}{more}: {self.what}"


# fmt: off

def _centre_surround() -> Iterator[Claim]:
    for name, sign in zip(SUSTAINED, (1.0, -1.0), strict=True):
        yield Claim(
            (name,), "ON–OFF index", lambda m: m.column("on_off"), sign - 1e-3, sign + 1e-3,
            "the other step lowers the response below rest, which is rectified to 0",
        )
    yield Claim(
        SUSTAINED, "receptive field has the cell's polarity",
        lambda m: m.polarity_agrees, 1, 1, YES,
    )
    yield Claim(
        SUSTAINED, "response grows with every diameter up to one, and falls beyond",
        lambda m: m.rises_then_falls, 1, 1, YES,
    )
    yield Claim(
        SUSTAINED, "preferred diameter (µm)", lambda m: m.column("preferred_size"), 250, 450,
        "a centre of 75 µm less 0.65 of a surround of 225 µm peaks at 365 µm; spots come in steps "
        "of about 100 µm, and 95 % of the peak is enough",
    )
    yield Claim(
        SUSTAINED, "suppression by the largest spot", lambda m: m.column("suppression"), 0.5, 0.7,
        "0.68 where the surround has settled; it lags the centre, so that the mean has less",
    )
    yield Claim(
        BARE, "the same cell without surround: suppression",
        lambda m: m.column("suppression"), 0, 1e-6, ROUNDING,
    )
    yield Claim(
        BARE, "the same cell without surround: surround index",
        lambda m: m.column("surround_index"), -1e-6, 1e-6, ROUNDING,
    )


def _transient() -> Iterator[Claim]:
    yield Claim(
        TRANSIENT, "transience above its sustained twin",
        lambda m: m.above_twin(m.column("transience")), 0.5, 1, "half of what the index can be",
    )
    yield Claim(
        TRANSIENT, "sustained index below its sustained twin",
        lambda m: -m.above_twin(m.column("sustained")), 0.5, 1, "half of what the index can be",
    )
    yield Claim(
        TRANSIENT, "biphasic index", lambda m: m.column("biphasic"), 0.51, 0.57,
        "0.54 of the kernel in continuous time; frames of 33 ms cut the peaks",
    )
    yield Claim(
        SUSTAINED, "its twin's biphasic index", lambda m: m.column("biphasic"), 0, 0.05,
        "0.02 of the kernel in continuous time; the surround adds a little",
    )
    for types, shape in ((TRANSIENT, "band-pass"), ((*SUSTAINED, *BARE), "low-pass")):
        yield Claim(
            types, f"temporal frequency tuning is {shape}",
            lambda m, shape=shape: m.column("tf_tuning") == shape, 1, 1, YES,
        )
    yield Claim(
        TRANSIENT, "preferred temporal frequency (Hz)", lambda m: m.column("preferred_tf"),
        1.9, 3.8, "the kernel's spectrum peaks at 2.7 Hz; half an octave either way",
    )


def _on_off() -> Iterator[Claim]:
    for contrast in (1.0, -1.0):
        yield Claim(
            ("ON-OFF",), f"peak of the response to a spot of {contrast:+.0%}, over rest",
            lambda m, contrast=contrast: m.flash_peak_over_rest(contrast), 10, INF,
            "a response that nobody overlooks",
        )
    yield Claim(("ON-OFF",), "ON–OFF index", lambda m: m.column("on_off"), -1e-3, 1e-3, ROUNDING)
    yield Claim(
        ("ON-OFF",), "spike-triggered average along the local gradient, over the control's",
        lambda m: m.average_along_gradient, 0, 0.05,
        "20,000 frames leave a standard error of 0.01 to 0.02",
    )
    yield Claim(
        ("ON-OFF",), "no field is found in the spike-triggered average",
        lambda m: m.average_has_no_field, 1, 1, YES,
    )
    yield Claim(
        ("ON-OFF",), "cosine of the gradients after a bright and after a dark spot",
        lambda m: m.gradient_after_bright_and_dark, -1, -0.999, ROUNDING,
    )
    yield Claim(
        ("ON-OFF",), "the local gradient is ON after bright, OFF after dark",
        lambda m: m.local_polarity_agrees, 1, 1, YES,
    )


def _directions() -> Iterator[Claim]:
    whats = ((ON_OFF_DS + ON_DS, "gratings"), (ON_OFF_DS + ON_DS, "bright bars"))
    for types, what in (*whats, (ON_OFF_DS, "dark bars")):
        yield Claim(
            types, f"DSI, {what}", lambda m, what=what: m.dsi(what), 0.5, 1,
            "well above 0.3, which the field takes for selective",
        )
        yield Claim(
            types, f"preferred direction off the one built in (°), {what}",
            lambda m, what=what: m.direction_error(what), 0, 15, "as required",
        )
        yield Claim(
            types, f"middle of the directions that do nothing, off preferred + 180° (°), {what}",
            lambda m, what=what: m.null_error(what), 0, 15, "as for the preferred direction",
        )
        yield Claim(
            types, f"response at preferred + 180° over that at preferred, {what}",
            lambda m, what=what: m.null_share(what), 0, 0.05,
            "a veto that reaches one subunit far lets a little of a grating pass",
        )


def _edges() -> Iterator[Claim]:
    for contrast, word in ((BRIGHT, "bright"), (DARK, "dark")):
        yield Claim(
            ON_OFF_DS, f"leading edge of a {word} bar: peak above rest (a.u.)",
            lambda m, contrast=contrast: m.leading(contrast), 1, INF,
            "40 times the rest of 0.025, and as much as a spot in full contrast gives",
        )
        yield Claim(
            ON_OFF_DS, f"trailing over leading edge of a {word} bar",
            lambda m, contrast=contrast: m.trailing(contrast) / m.leading(contrast), 0.8, 1.25,
            "rows are alike; the bar covers 0.6 px a frame, so that two edges meet the pixels "
            "differently",
        )
        for edge, which in enumerate(("leading", "trailing")):
            yield Claim(
                ON_OFF_DS, f"response after the {which} edge of a {word} bar (ms)",
                lambda m, c=contrast, e=edge: m.edge_delay_ms(c, e), 50, 200,
                "time to peak 90 ms; the row is 540 µm, or 0.6 s, long, and its middle weighs most",
            )
    yield Claim(
        ON_DS, "leading edge of a bright bar: peak above rest (a.u.)",
        lambda m: m.leading(BRIGHT), 1, INF, "as for ON–OFF cells",
    )
    yield Claim(
        ON_DS, "trailing over leading edge of a bright bar",
        lambda m: m.trailing(BRIGHT) / m.leading(BRIGHT), 0, 0.02,
        "darkening does not excite; a kernel with an undershoot rebounds a little",
    )
    yield Claim(
        ON_DS, "leading edge of a dark bar, over that of a bright bar",
        lambda m: m.leading(DARK) / m.leading(BRIGHT), 0, 0.02, "as above",
    )
    yield Claim(
        ON_DS, "trailing edge of a dark bar, which brightens: peak above rest (a.u.)",
        lambda m: m.trailing(DARK), 1, INF, "as for ON–OFF cells",
    )
    yield Claim(
        ON_OFF_DS + ON_DS, "peak of the response to a spot of +100 %, over rest",
        lambda m: m.flash_peak_over_rest(1.0), 10, INF,
        "their mean over 1 s is 0.09 a.u. only, for one short peak; from 10 times the rest on the "
        "ON–OFF index counts",
    )
    yield Claim(ON_OFF_DS, "ON–OFF index", lambda m: m.column("on_off"), -1e-3, 1e-3, ROUNDING)
    yield Claim(
        ON_DS, "ON–OFF index", lambda m: m.column("on_off"), 0.95, 1,
        "a dark spot's undershoot brightens a little",
    )


def _orientations() -> Iterator[Claim]:
    for what in ("gratings", "bright bars"):
        yield Claim(
            OS, f"OSI, {what}", lambda m, what=what: m.osi(what), 0.5, 1,
            "well above 0.4, which the field takes for selective",
        )
        yield Claim(
            OS, f"DSI, {what}", lambda m, what=what: m.dsi(what), 0, 0.02,
            "one filter; what is left is the pixels'",
        )
        yield Claim(
            OS, f"preferred orientation off the one built in (°), {what}",
            lambda m, what=what: m.orientation_error(what), 0, 15, "as for directions",
        )


def _suppressed() -> Iterator[Claim]:
    types = ("suppressed by contrast",)
    yield Claim(
        types, "response to gratings of 5 to 100 %, over rest: the highest",
        lambda m: m.contrast_curves.max(axis=(0, 1)), 0, 0.999,
        "below rest at every contrast, by 1000 times what float32 rounds",
    )
    yield Claim(
        types, "it falls with every step of contrast, in each direction",
        lambda m: m.falls_with_contrast, 1, 1, YES,
    )
    yield Claim(
        types, "response to spots of ±5 to ±100 %, over rest: the highest",
        lambda m: m.largest_change_by_a_spot, 0, 0.99, "below rest, more than for gratings",
    )
    yield Claim(
        types, "change with contrast", lambda m: m.column("contrast_change"), -1, -0.5,
        "a spot on the centre takes most of the response",
    )
    yield Claim(
        types, "response to the best stimulus, over rest",
        lambda m: m.driven_over_rest("best"), 1.05, INF, "more than grey gives",
    )
    yield Claim(
        types, "response to the depressing stimulus, over rest",
        lambda m: m.driven_over_rest("depressing"), 0, 0.5, "half of what grey gives, and less",
    )
    yield Claim(
        types, "correlation of the magnitudes of best and depressing stimulus",
        lambda m: m.magnitudes_correlate("depressing"), -1, 0.2,
        "they share no more than their first noise",
    )
    yield Claim(
        types, "the same of the best stimuli from two seeds",
        lambda m: m.magnitudes_correlate("best again"), 0.6, 1, "so that the row above can fail",
    )
    yield Claim(
        types, "power of the best stimulus on the centre",
        lambda m: m.share_on_centre("best"), 0, 0.05, "it spares the centre, 7 % of the screen",
    )
    yield Claim(
        types, "power of the depressing stimulus on the centre",
        lambda m: m.share_on_centre("depressing"), 0.6, 1, "it is on the centre",
    )


def _colour() -> Iterator[Claim]:
    types = ("colour opponent",)
    yield Claim(
        types, "green OFF and UV ON: smallest change of the response (a.u.)",
        lambda m: m.chromatic[:2, 3:].min(axis=(0, 1)), 0.5, INF, "well above rest, 0.31",
    )
    yield Claim(
        types, "green ON and UV OFF: largest change (a.u.)",
        lambda m: m.chromatic[3:, :2].max(axis=(0, 1)), -0.32, -0.1, "below rest, and not below 0",
    )
    yield Claim(
        types, "green as UV: largest change (a.u.)",
        lambda m: np.abs(m.chromatic[range(5), range(5)]).max(axis=0), 0, 1e-4, ROUNDING,
    )
    yield Claim(
        types, "colour opponency", lambda m: m.column("colour_opponency"), 0.5, 1,
        "well above 0, which is neither",
    )


def _control() -> Iterator[Claim]:
    types = ("linear control",)
    yield Claim(
        types, "cosine of the best stimulus under a norm with the filter",
        lambda m: m.best_is_the_filter, 0.999, 1 + 1e-6, "→ 1",
    )
    yield Claim(
        types, "cosine of the gradient with the filter, the lowest over seven bases",
        lambda m: m.gradient_is_the_filter, 0.9999, 1 + 1e-6, ROUNDING,
    )
    yield Claim(
        types, "spike-triggered average along the gradient, over the mean control's",
        lambda m: m.average_along_gradient, 0.95, 1.05, "so that ON–OFF cells can fail",
    )
    for what in ("gratings", "bright bars", "dark bars"):
        yield Claim(
            types, f"fails direction selectivity: DSI, {what}",
            lambda m, what=what: m.dsi(what), 0, 0.01, "a round field; the pixels are not",
        )
    yield Claim(
        types, "fails direction selectivity: DSI of F1, gratings",
        lambda m: m.dsi_of_f1, 0, 0.01, "as of the mean",
    )
    yield Claim(
        types, "fails surround suppression: suppression",
        lambda m: m.column("suppression"), 0, 1e-6, ROUNDING,
    )
    yield Claim(
        types, "fails to answer both polarities: ON–OFF index",
        lambda m: m.column("on_off"), 0.999, 1, "darkening lowers the response below rest",
    )
    yield Claim(
        types, "follows a grating at its frequency: F1/F0",
        lambda m: m.column("f1_f0"), 1, math.pi / 2, "at most that of a half-wave",
    )
    yield Claim(
        ("ON-OFF", "suppressed by contrast"), "answers twice in a cycle: F1/F0",
        lambda m: m.column("f1_f0"), 0, 1e-3, ROUNDING,
    )
    yield Claim(
        types, "is not suppressed by contrast: change",
        lambda m: m.column("contrast_change"), 0.1, 1, "contrast raises the rectified mean",
    )
    yield Claim(
        EVERY, "adaptation to contrast: what is left of it past the model's memory",
        lambda m: m.remembers_contrast, 0, 1e-6, "nobody adapts in this retina, nor the control",
    )


def _parasol() -> Iterator[Claim]:
    on = ("ON parasol-like",)
    off = "OFF parasol-like"
    yield Claim(
        on, "diameter of the fitted field over that of OFF cells",
        lambda m: m.over_mean_of(m.column("rf_diameter"), off), 1.15, 1.25,
        "20 % larger; a Gaussian alone narrows with the surround, which the frame cuts",
    )
    yield Claim(
        on, "σ of the fitted centre over that of OFF cells",
        lambda m: m.over_mean_of(m.centre_sigma_um, off), 1.19, 1.21, "20 % larger",
    )
    yield Claim(
        on, "time to peak, share that they are faster than OFF cells",
        lambda m: 1 - m.over_mean_of(m.column("time_to_peak"), off), 0.1, 0.2,
        "as Chichilnisky & Kalmar (2002)",
    )
    yield Claim(
        (*on, off), "time to peak off the one built in (ms)",
        lambda m: np.abs(m.column("time_to_peak") - m.told("time_to_peak_ms")), 0, 5,
        "between frames of 33 ms",
    )


def _population() -> Iterator[Claim]:
    yield Claim(
        EVERY, "receptive field centre off the one built in (px)",
        lambda m: m.centre_off_px, 0, 0.5, "as required",
    )
    yield Claim(
        tuple(t for t in EVERY if t not in (*ON_OFF_DS, *ON_DS)), "DSI of all others, gratings",
        lambda m: m.dsi("gratings"), 0, 0.05, "one filter, or a round field; the frame cuts",
    )
    silent = ("suppressed by contrast", *OS)  # to a full field: undefined
    yield Claim(
        tuple(t for t in EVERY if t not in (*silent, "colour opponent")),
        "colour opponency of others", lambda m: m.column("colour_opponency"), -1, -0.3,
        "both channels do the same: opposed ones cancel, in part after a rectification",
    )


CLAIMS = (
    *_centre_surround(), *_transient(), *_on_off(), *_directions(), *_edges(), *_orientations(),
    *_suppressed(), *_colour(), *_control(), *_parasol(), *_population(),
)

# fmt: on
