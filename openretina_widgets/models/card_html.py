"""Draws the card of a model as HTML: no scripts, nothing from elsewhere, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

# The styles stand in the elements, since an output of a notebook has no style sheet of its own,
# and one that it brought along would reach the rest of the page. The colours are JupyterLab's, so
# that they follow its theme; elsewhere the text keeps the colour of the page.
_FAINT = "color:var(--jp-ui-font-color2,inherit)"
_CARD = (
    "box-sizing:border-box;max-width:760px;padding:10px 14px;font-size:14px;line-height:1.45;"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);"
    "color:var(--jp-ui-font-color1,inherit);background:var(--jp-layout-color1,transparent);"
    "border:1px solid var(--jp-border-color2,#bdbdbd);border-radius:3px;text-align:left"
)
_LIST = (
    "display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 18px;margin:8px 0 0;"
    "padding:0;align-items:start"
)
# JupyterLab gives the parts of a list a width of their own, which would break the labels.
_LABEL = f"width:auto;margin:0;padding:0;float:none;font-weight:400;white-space:nowrap;{_FAINT}"
_VALUE = (
    "width:auto;margin:0;padding:0;float:none;overflow-wrap:anywhere;"
    "font-variant-numeric:tabular-nums"
)
_SHOWN_LINES = 4  # longer lists are folded


def card_html(title: str, description: str, rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a card as HTML.

    Parameters
    ----------
    title, description
        Heading, and a sentence below it; the latter may be empty.
    rows
        A label and its lines of text, each. Lists of more than a few lines can be unfolded.
    """
    parts = [f'<div style="font-size:16px;font-weight:600">{html.escape(title)}</div>']
    if description:
        parts.append(f'<div style="{_FAINT}">{html.escape(description)}</div>')
    items = (
        f'<dt style="{_LABEL}">{html.escape(label)}</dt><dd style="{_VALUE}">{_value(lines)}</dd>'
        for label, lines in rows
    )
    parts.append(f'<dl style="{_LIST}">{"".join(items)}</dl>')
    return (
        f'<div class="orw-model-card" role="group" aria-label="Card of the model '
        f'{html.escape(title)}" style="{_CARD}">{"".join(parts)}</div>'
    )


def _value(lines: Sequence[str]) -> str:
    escaped = [html.escape(line) for line in lines]
    if len(escaped) <= _SHOWN_LINES:
        return "<br>".join(escaped)
    head, rest = escaped[0], escaped[1:]
    return f'<details><summary style="cursor:pointer">{head}</summary>{"<br>".join(rest)}</details>'
