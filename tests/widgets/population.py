"""A small table of neurons with known numbers, for the tests of what shows it."""

from __future__ import annotations

import math

from openretina_widgets.insilico.population import Column, SelectivityTable

COLUMNS = (
    Column("neuron", "neuron"),
    Column("cell_type", "cell type", meaning="What the model says.", kind="text"),
    Column("suggested_type", "suggested type", kind="text"),
    Column("rule", "rule", kind="text"),
    Column("on_off", "ON–OFF index"),
    Column("dsi", "DSI", meaning="Length of the vector sum."),
    Column("preferred_size", "preferred size", "µm"),
)
HOSTILE = "<img src=x onerror=alert(1)>"


def small_table(*, data_key: str | None = "small") -> SelectivityTable:
    """Three neurons, as `small_model` has; one number undefined, one text hostile."""
    return SelectivityTable(
        COLUMNS,
        {
            "neuron": [0, 1, 2],
            "cell_type": ["ON sustained", "OFF <b>transient</b>", ""],
            "suggested_type": ["ON sustained", "OFF transient", HOSTILE],
            "rule": ["it answers to light", "it <i>stops</i>", HOSTILE],
            "on_off": [0.9, -0.9, 0.0],
            "dsi": [0.1, math.nan, 0.8],
            "preferred_size": [100.0, 300.0, math.nan],
        },
        {"dsi": ["", "no <b>response</b>", ""]},
        data_key=data_key,
    )


def large_table(n: int) -> SelectivityTable:
    """Return `n` neurons of 40 types; neuron k has DSI k / n."""
    return SelectivityTable(
        COLUMNS,
        {
            "neuron": range(n),
            "cell_type": [f"type {k % 40}" for k in range(n)],
            "suggested_type": [f"type {k % 40}" for k in range(n)],
            "rule": [""] * n,
            "on_off": [math.cos(k) for k in range(n)],
            "dsi": [k / n for k in range(n)],
            "preferred_size": [100.0 + k % 7 for k in range(n)],
        },
    )
