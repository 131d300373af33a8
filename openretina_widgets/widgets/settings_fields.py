"""Fields of settings with their units, and what is typed into them as values."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw

from openretina_widgets.insilico.stimulus_optimization.regularizer import Limits

FULL = {"width": "auto", "min_width": "0"}
STYLE = {"description_width": "118px"}

_RUN_OF_NEURONS = re.compile(r"^(\d+)\s*[-–:]\s*(\d+)$")


def titled(description: str, tooltip: str) -> dict[str, Any]:
    """Return the label of a list or a field for words, which shows a tooltip of its own.

    ipywidgets gives these kinds of fields a tooltip only where they have no label.
    """
    label = f'<span title="{html.escape(tooltip)}">{html.escape(description)}</span>'
    return {"description": label, "description_allow_html": True, "tooltip": tooltip}


def label_of(field: Any) -> str:
    """Return the label of a field as it stands on the screen."""
    return html.unescape(re.sub(r"<[^>]*>", "", field.description))


def whole(description: str, tooltip: str, *, low: int = 1, value: int | None = None) -> Any:
    """Return a field for a whole number."""
    return ipw.BoundedIntText(
        value=low if value is None else value,
        description=description,
        tooltip=tooltip,
        min=low,
        max=2**31 - 1,
        layout=ipw.Layout(**FULL),
        style=STYLE,
    )


def number(description: str, tooltip: str, *, value: float = 0.0) -> Any:
    """Return a field for a number that is not negative."""
    return ipw.BoundedFloatText(
        value=value,
        description=description,
        tooltip=tooltip,
        min=0.0,
        max=1e9,
        layout=ipw.Layout(**FULL),
        style=STYLE,
    )


def choice(description: str, tooltip: str, options: Sequence[Any], **settings: Any) -> ipw.Dropdown:
    """Return a list to choose one from."""
    return ipw.Dropdown(
        **titled(description, tooltip),
        options=options,
        layout=ipw.Layout(**FULL),
        style=STYLE,
        **settings,
    )


def words(description: str, tooltip: str, *, placeholder: str, value: str = "") -> ipw.Text:
    """Return a field for words; it is read when Enter is pressed or the field is left."""
    return ipw.Text(
        **titled(description, tooltip),
        value=value,
        placeholder=placeholder,
        continuous_update=False,
        layout=ipw.Layout(**FULL),
        style=STYLE,
    )


def shown(widget: ipw.Widget, visible: bool) -> None:
    """Show a widget, or take it out of the page."""
    display = None if visible else "none"
    if widget.layout.display != display:
        widget.layout.display = display


def numbers_in(text: str, argument: str) -> float | list[float] | None:
    """Return the number of a text, or those for each channel; None for an empty one.

    Raises
    ------
    ValueError
        If it holds something else; the message names the argument.
    """
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    values = [_number(part, text, argument) for part in parts]
    return None if not values else values[0] if len(values) == 1 else values


def limits_in(text: str, channels: int, argument: str) -> tuple[Limits, ...] | None:
    """Return the limits in ``"-1 to 1"`` for all channels, or ``"-1 to 1; 0 to 2"`` for each.

    A side without a number has no limit. None for an empty text.

    Raises
    ------
    ValueError
        If it holds something else; the message names the argument.
    """
    if not text.strip():
        return None
    pairs: list[Limits] = []
    for part in text.split(";"):
        ends = [end.strip() for end in re.split(r"\bto\b", part)]
        if len(ends) != 2:
            raise ValueError(
                f"{argument}: expected limits such as '-1 to 1', or '-1 to 1; 0 to 2' for each "
                f"channel, got {text!r}"
            )
        low, high = (_number(end, text, argument) if end else None for end in ends)
        pairs.append((low, high))
    if len(pairs) == 1:
        pairs *= channels
    if len(pairs) != channels:
        raise ValueError(
            f"{argument}: expected limits for all channels or for each of {channels}, got "
            f"{len(pairs)}"
        )
    return tuple(pairs)


def limits_as_text(limits: Sequence[Limits] | None) -> str:
    """Return limits as `limits_in` reads them."""
    if limits is None:
        return ""
    texts = [
        " to ".join("" if end is None else _exact(end) for end in pair).replace("-", "−")
        for pair in limits
    ]
    return texts[0] if len(set(texts)) == 1 else "; ".join(texts)


def as_text(value: float | Sequence[float] | None) -> str:
    """Return numbers as `numbers_in` reads them."""
    if value is None:
        return ""
    return ", ".join(_exact(one) for one in (value if isinstance(value, Sequence) else [value]))


def _exact(number: float) -> str:
    """Return a number as it is read again, without rounding it."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def neurons_in(text: str, argument: str) -> list[int]:
    """Return the neurons in a text such as ``"3, 7, 9-12"``.

    Raises
    ------
    ValueError
        If it holds something else, or nothing; the message names the argument.
    """
    neurons: list[int] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        if run := _RUN_OF_NEURONS.match(part):
            neurons += range(int(run[1]), int(run[2]) + 1)
        elif part.isdecimal():
            neurons.append(int(part))
        else:
            raise ValueError(f"{argument}: expected neurons such as '3, 7, 9-12', got {text!r}")
    if not neurons:
        raise ValueError(f"{argument}: expected neurons such as '3, 7, 9-12', got {text!r}")
    return neurons


def _number(text: str, whole_text: str, argument: str) -> float:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        raise ValueError(
            f"{argument}: expected a number, or one for each channel such as '0.1, 0', got "
            f"{whole_text!r}"
        ) from None
