"""The columns of a selectivity table: what each holds, in which unit, and what it can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "text"]


@dataclass(frozen=True)
class Column:
    """A column of a table with one row for each neuron.

    Attributes
    ----------
    name
        As in a query: ``"dsi"``.
    title
        As at the head of the column.
    unit
        Empty for a number without one, and for text.
    meaning
        In one sentence: how it is measured, its range, and where it is undefined.
    kind
        ``"number"`` or ``"text"``.
    period
        Of an angle, in degrees: at it, the number is 0 again. 0 for what is no angle.
    """

    name: str
    title: str
    unit: str = ""
    meaning: str = ""
    kind: Kind = "number"
    period: int = 0

    @property
    def label(self) -> str:
        """Title and unit, for the axis of a plot."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def measured_columns(length_unit: str, frequency_unit: str) -> tuple[Column, ...]:
    """Return the columns of a selectivity table.

    Parameters
    ----------
    length_unit
        ``"µm"`` where the pixel size is known, else ``"px"``.
    frequency_unit
        Unit of a spatial frequency on that screen.
    """
    angle = "Counter-clockwise, 0 = right, 90 = up the screen"
    frequency = "Peak of a Gaussian on log frequency; the lowest or highest that was shown where "
    shape = "Low-pass, band-pass or high-pass, by where the largest response lies."
    return (
        Column("neuron", "neuron", "", "Position on the neuron axis of the session."),
        Column("cell_type", "cell type", "", "What the model says that the neuron is.", "text"),
        Column(
            "suggested_type",
            "suggested type",
            "",
            "The type that the measured indices speak for; the model's own label is not used.",
            "text",
        ),
        Column("rule", "rule", "", "The rule that gave the suggested type.", "text"),
        Column(
            "on_off",
            "ON–OFF index",
            "",
            "(on − off)/(on + off) of steps on the receptive field, above baseline; −1 to 1.",
        ),
        Column(
            "transience",
            "transience",
            "",
            "1 − r(peak + 0.4 s)/r(peak) of the step that the neuron answers more; 0 to 1.",
        ),
        Column(
            "sustained",
            "sustained index",
            "",
            "Mean over maximum of the response to that step; 0 to 1.",
        ),
        Column(
            "contrast_change",
            "change with contrast",
            "",
            "(r − baseline)/(r + baseline), r the mean response to a bright and a dark step; −1 "
            "to 1, below 0 where contrast suppresses.",
        ),
        Column("baseline", "baseline", "a.u.", "Response to grey."),
        Column("dsi", "DSI", "", "Length of the vector sum over directions; 0 to 1."),
        Column("preferred_direction", "preferred direction", "°", f"{angle}.", period=360),
        Column("osi", "OSI", "", "Length of the vector sum over orientations; 0 to 1."),
        Column(
            "preferred_orientation",
            "preferred orientation",
            "°",
            f"Direction of the preferred bars. {angle}; 0 to 180.",
            period=180,
        ),
        Column(
            "f1_f0",
            "F1/F0",
            "",
            "Modulation by the best drifting grating at its frequency over the mean response.",
        ),
        Column(
            "suppression",
            "surround suppression",
            "",
            "(peak − largest)/peak over spots of growing diameter; 0 to 1.",
        ),
        Column(
            "preferred_size",
            "preferred size",
            length_unit,
            "Smallest diameter with 95 % of the peak response; undefined without suppression.",
        ),
        Column(
            "preferred_sf",
            "preferred spatial frequency",
            frequency_unit,
            f"{frequency}there is no peak between.",
        ),
        Column("sf_tuning", "SF tuning", "", shape, "text"),
        Column(
            "preferred_tf",
            "preferred temporal frequency",
            "Hz",
            f"{frequency}there is no peak between.",
        ),
        Column("tf_tuning", "TF tuning", "", shape, "text"),
        Column(
            "c50",
            "c50",
            "",
            "Contrast of a drifting grating at half of the maximum (Naka–Rushton); undefined where "
            "the response does not saturate.",
        ),
        Column(
            "colour_opponency",
            "colour opponency",
            "",
            "Largest response to opposed against equal contrasts in green and UV; −1 to 1.",
        ),
        Column("rf_x", "RF centre x", length_unit, "From the middle of the image, to the right."),
        Column("rf_y", "RF centre y", length_unit, "From the middle of the image, up."),
        Column(
            "rf_diameter",
            "RF diameter",
            length_unit,
            "Of a circle with the area of the 2σ ellipse that is fitted to the gradient at grey.",
        ),
        Column(
            "rf_polarity",
            "RF polarity",
            "",
            "Sign of the centre of the gradient at grey, by channel where they differ.",
            "text",
        ),
        Column(
            "time_to_peak",
            "time to peak",
            "ms",
            "From the largest lobe of the temporal kernel to the response.",
        ),
        Column(
            "biphasic",
            "biphasic index",
            "",
            "Largest lobe of the other sign over the largest lobe of the temporal kernel; 0 to 1.",
        ),
        Column(
            "surround_index",
            "surround index",
            "",
            "Sum of the field less the fitted centre over the sum of its magnitude; −1 to 1.",
        ),
        Column(
            "rf_quality",
            "RF fit quality",
            "",
            "Share of the variance of the field that the fitted Gaussian explains; at most 1.",
        ),
    )
