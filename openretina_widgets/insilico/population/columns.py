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
    """

    name: str
    title: str
    unit: str = ""
    meaning: str = ""
    kind: Kind = "number"

    @property
    def label(self) -> str:
        """Title and unit, for the axis of a plot."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


IDENTITY: tuple[Column, ...] = (
    Column("neuron", "neuron", meaning="Position on the neuron axis of the session."),
    Column(
        "cell_type", "cell type", meaning="What the model says that the neuron is.", kind="text"
    ),
)

SUGGESTION: tuple[Column, ...] = (
    Column(
        "suggested_type",
        "suggested type",
        meaning="The type that the measured indices speak for; the model's own label is not used.",
        kind="text",
    ),
    Column("rule", "rule", meaning="The rule that gave the suggested type.", kind="text"),
)


def measured_columns(length_unit: str, frequency_unit: str) -> tuple[Column, ...]:
    """Return the columns of a selectivity table that are measured.

    Parameters
    ----------
    length_unit
        ``"µm"`` where the pixel size is known, else ``"px"``.
    frequency_unit
        Unit of a spatial frequency on that screen.
    """
    return (
        Column("baseline", "baseline", "a.u.", "Response to grey; at least 0 for a rate."),
        Column(
            "on_off",
            "ON–OFF index",
            "",
            "(on − off)/(on + off) of a spot flashed on the receptive field, −1 to 1.",
        ),
        Column(
            "transience",
            "transience",
            "",
            "1 − r(peak + 0.4 s)/r(peak) of the stronger flash response, 0 to 1.",
        ),
        Column(
            "sustained",
            "sustained index",
            "",
            "Mean over maximum of the stronger flash response, 0 to 1.",
        ),
        Column(
            "contrast_change",
            "change with contrast",
            "",
            "(mean response to a full-contrast flicker − baseline)/(their sum), −1 to 1; below 0 "
            "where contrast suppresses.",
        ),
        Column("dsi", "DSI", "", "Length of the vector sum over directions, 0 to 1."),
        Column(
            "preferred_direction",
            "preferred direction",
            "°",
            "Counter-clockwise, 0 = right, 90 = up the screen.",
        ),
        Column("osi", "OSI", "", "Length of the vector sum over orientations, 0 to 1."),
        Column(
            "preferred_orientation",
            "preferred orientation",
            "°",
            "Direction of the preferred bars, 0 to 180.",
        ),
        Column(
            "suppression",
            "surround suppression",
            "",
            "(peak − largest)/peak over spots of growing diameter, 0 to 1.",
        ),
        Column(
            "preferred_size",
            "preferred size",
            length_unit,
            "Smallest diameter with 95 % of the peak response.",
        ),
        Column(
            "preferred_sf",
            "preferred spatial frequency",
            frequency_unit,
            "Peak of a Gaussian on log frequency.",
        ),
        Column("sf_tuning", "SF tuning", "", "Low-pass, band-pass or high-pass.", "text"),
        Column(
            "preferred_tf",
            "preferred temporal frequency",
            "Hz",
            "Peak of a Gaussian on log frequency.",
        ),
        Column("tf_tuning", "TF tuning", "", "Low-pass, band-pass or high-pass.", "text"),
        Column(
            "f1_f0",
            "F1/F0",
            "",
            "Modulation by a drifting grating at its frequency over the mean response.",
        ),
    )
