"""Answers of a class as a table that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from openretina_widgets.tutorials.classroom.histogram import answer_of
from openretina_widgets.tutorials.classroom.store import Row

_COLUMNS = ("row", "time_utc", "room", "student", "kind", "id", "value", "correct")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
# Where a semicolon separates cells, as in many countries, no cell begins with a quote: what stands
# after one, a tab or a new line inside a text is a cell of its own.
_LATER_CELL = re.compile(r"([;\t\r\n])(?=[\s\"']*[=+\-@＝＋－＠])")


def as_csv(room: str, rows: Iterable[Row], names: Mapping[str, str]) -> str:
    """Return a table, one row a submission, oldest first.

    Parameters
    ----------
    room
        Its name.
    rows
        What was sent.
    names
        Of the students, by participant.

    Notes
    -----
    A spreadsheet takes a text that begins with ``=``, ``+``, ``-`` or ``@`` for a formula and runs
    it: such a text gets an apostrophe before it, and so does what stands in it after a semicolon,
    a tab or a new line, where some spreadsheets begin a cell. Numbers stay numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for row in sorted(rows, key=lambda one: one.id):
        sent = row.submission
        answer, correct = answer_of(sent.value)
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        writer.writerow(
            [
                row.id,
                datetime.fromtimestamp(sent.made_at, UTC).isoformat(timespec="seconds"),
                harmless(room),
                harmless(names[row.participant]),
                sent.kind,
                harmless(sent.item),
                harmless(text),
                "" if correct is None else str(correct).lower(),
            ]
        )
    return out.getvalue()


def harmless(text: str) -> str:
    """Return a text in which no spreadsheet finds a formula, however it separates cells."""
    text = _LATER_CELL.sub(r"\1'", text)
    if not text.lstrip().startswith(_FORMULA) and not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text
