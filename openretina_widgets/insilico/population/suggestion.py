"""Suggest a cell type from measured indices, with the rule that gave it.

The rules read indices alone, never what the model says that a neuron is. They are asked in the
order below; the first that holds gives the type.

====================================  ==========================================================
nothing raises or lowers the response  silent
change with contrast < −0.3           suppressed by contrast
colour opponency > 0.3                colour opponent
DSI > 0.3                             (ON, OFF, ON-OFF) DS and its preferred direction
OSI > 0.4                             OS and its preferred orientation
ON–OFF index within ±0.5              ON-OFF
ON–OFF index beyond                   ON or OFF, and then by surround and transience: below
====================================  ==========================================================

Of ON and OFF cells: transience above 0.95 (nothing is left of the response) is *transient*. Below
it, with a surround (suppression above 0.1) transience up to 0.4 is *sustained*, more is
*parasol-like*: it falls, but not to rest. Without a surround, transience up to 0.15 is *sustained,
no surround*; more is that of a filter which is partly biphasic, as the *linear control* of the
embedded retina.

The thresholds lie in the middle of wide gaps of the embedded retina (DSI 0.08 against 0.6, say),
and near what the field uses: DSI 0.3 and ON–OFF index 0.5 (Baden et al. 2016 and others).
Directions are named by the nearest of those that the literature knows: four for ON-OFF cells,
three for ON cells (Oyster & Barlow 1967).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUPPRESSED, OPPONENT, DIRECTION, ORIENTATION = -0.3, 0.3, 0.3, 0.4
POLAR, TRANSIENT, SURROUND = 0.5, 0.95, 0.1
PARASOL, PARTLY = 0.4, 0.15
FOUR, THREE = (0.0, 90.0, 180.0, 270.0), (0.0, 120.0, 240.0)
TWO = (0.0, 90.0)

READ = (
    "contrast_change",
    "colour_opponency",
    "dsi",
    "preferred_direction",
    "osi",
    "preferred_orientation",
    "on_off",
    "transience",
    "suppression",
)
"""The columns that the rules read."""

_Row = Mapping[str, float]
_Words = Callable[[_Row], str]


def suggest(values: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the suggested type of each neuron, and the rule that gave it in words.

    Parameters
    ----------
    values
        Columns `READ`, each ``(n,)``; one that is absent counts as undefined.

    Returns
    -------
    types, rules
        ``(n,)`` texts; an empty type where an index that decides is undefined, and the rule then
        says which.
    """
    n = len(next(iter(values.values())))
    known = {name: np.asarray(values.get(name, np.full(n, np.nan)), dtype=float) for name in READ}
    types, rules = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    rest = np.ones(n, dtype=bool)
    for holds, name, words in _rules(known):
        taken = rest & holds
        for i in np.flatnonzero(taken):
            row = {column: float(numbers[i]) for column, numbers in known.items()}
            types[i], rules[i] = name(row), words(row)
        rest &= ~taken
    return types, rules


def _rules(
    known: Mapping[str, NDArray[Any]],
) -> list[tuple[NDArray[np.bool_], _Words, _Words]]:
    change, opponent = known["contrast_change"], known["colour_opponency"]
    dsi, osi, on_off = known["dsi"], known["osi"], known["on_off"]
    transience, suppression = known["transience"], known["suppression"]
    both = np.abs(on_off) <= POLAR
    polar = np.abs(on_off) > POLAR
    surround, no_surround = suppression > SURROUND, suppression <= SURROUND
    missing = np.isnan(np.stack([on_off, transience, suppression])).any(axis=0)
    nothing = np.isnan(np.stack([change, opponent, dsi, osi, on_off])).all(axis=0)
    return [
        (nothing, _named(""), _said("no index is defined yet, or the neuron is silent")),
        (
            change < SUPPRESSED,
            _named("suppressed by contrast"),
            _said(
                "both steps lower its response: change with contrast {contrast_change:.2f} is "
                f"below {SUPPRESSED}"
            ),
        ),
        (
            opponent > OPPONENT,
            _named("colour opponent"),
            _said(
                "it answers opposed contrasts in green and UV: colour opponency "
                f"{{colour_opponency:.2f}} is above {OPPONENT}"
            ),
        ),
        (
            (dsi > DIRECTION) & both,
            lambda row: f"ON-OFF DS {_nearest(row['preferred_direction'], FOUR, 360):.0f}°",
            _said(
                f"DSI {{dsi:.2f}} is above {DIRECTION}, ON–OFF index {{on_off:.2f}} is within "
                f"±{POLAR}, and it prefers {{preferred_direction:.0f}}°"
            ),
        ),
        (
            (dsi > DIRECTION) & polar,
            lambda row: f"{_sign(row)} DS {_nearest(row['preferred_direction'], THREE, 360):.0f}°",
            _said(
                f"DSI {{dsi:.2f}} is above {DIRECTION}, ON–OFF index {{on_off:.2f}} is beyond "
                f"±{POLAR}, and it prefers {{preferred_direction:.0f}}°"
            ),
        ),
        (
            dsi > DIRECTION,
            _named("DS"),
            _said(f"DSI {{dsi:.2f}} is above {DIRECTION}; the ON–OFF index is undefined"),
        ),
        (
            osi > ORIENTATION,
            lambda row: f"OS {_nearest(row['preferred_orientation'], TWO, 180):.0f}°",
            _said(
                f"OSI {{osi:.2f}} is above {ORIENTATION} with a DSI of {{dsi:.2f}}, and it prefers "
                "bars along {preferred_orientation:.0f}°"
            ),
        ),
        (
            both,
            _named("ON-OFF"),
            _said(f"ON–OFF index {{on_off:.2f}} is within ±{POLAR}, without selectivity"),
        ),
        (missing, _named(""), _unknown),
        (
            polar & (transience > TRANSIENT),
            lambda row: f"{_sign(row)} transient",
            _said(
                "ON–OFF index {on_off:.2f}, and nothing is left of the response after 0.4 s: "
                f"transience {{transience:.2f}} is above {TRANSIENT}"
            ),
        ),
        (
            polar & surround & (transience > PARASOL),
            lambda row: f"{_sign(row)} parasol-like",
            _said(
                "ON–OFF index {on_off:.2f}, surround suppression {suppression:.2f}, and the "
                f"response falls, but not to rest: transience {{transience:.2f}} is between "
                f"{PARASOL} and {TRANSIENT}"
            ),
        ),
        (
            polar & surround,
            lambda row: f"{_sign(row)} sustained",
            _said(
                "ON–OFF index {on_off:.2f}, surround suppression {suppression:.2f} is above "
                f"{SURROUND}, and transience {{transience:.2f}} is at most {PARASOL}"
            ),
        ),
        (
            polar & no_surround & (transience > PARTLY) & (on_off > 0),
            _named("linear control"),
            _said(
                "ON–OFF index {on_off:.2f}, surround suppression {suppression:.2f} is at most "
                f"{SURROUND}, and the response falls in part, as that of one biphasic filter: "
                f"transience {{transience:.2f}} is above {PARTLY}"
            ),
        ),
        (
            polar & no_surround,
            lambda row: f"{_sign(row)} sustained, no surround",
            _said(
                "ON–OFF index {on_off:.2f}, surround suppression {suppression:.2f} is at most "
                f"{SURROUND}, and the response lasts: transience {{transience:.2f}}"
            ),
        ),
    ]


def _named(name: str) -> _Words:
    return lambda row: name


def _said(words: str) -> _Words:
    return lambda row: words.format_map(_rounded(row)).replace("-", "−")


def _rounded(row: _Row) -> _Row:
    """Return the numbers as they are written: no −0.00, and no 360° for 0°."""
    period = {"preferred_direction": 360.0, "preferred_orientation": 180.0}
    return {
        name: round(value) % period[name]
        if name in period and value == value
        else round(value, 2) + 0.0
        for name, value in row.items()
    }


def _unknown(row: _Row) -> str:
    words = {
        "on_off": "ON–OFF index",
        "transience": "transience",
        "suppression": "surround suppression",
    }
    absent = [text for name, text in words.items() if np.isnan(row[name])]
    return f"no type: undefined {'is' if len(absent) == 1 else 'are'} {', '.join(absent)}"


def _sign(row: _Row) -> str:
    return "ON" if row["on_off"] > 0 else "OFF"


def _nearest(angle: float, known: tuple[float, ...], period: float) -> float:
    """Return the known angle that is nearest around the circle."""
    return min(known, key=lambda one: abs((angle - one + period / 2) % period - period / 2))
