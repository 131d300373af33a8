"""What the teacher is shown, counted by hand; the table that spreadsheets open."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from openretina_widgets.tutorials.classroom import Store, resolve_place
from openretina_widgets.tutorials.classroom.csv_export import as_csv, harmless
from openretina_widgets.tutorials.classroom.histogram import Bar, histogram
from openretina_widgets.tutorials.classroom.overview import Overview, read_position
from openretina_widgets.tutorials.classroom.predictions import read_prediction
from openretina_widgets.tutorials.classroom.room_reader import RoomReader
from openretina_widgets.tutorials.classroom.store import Row, new_participant
from openretina_widgets.tutorials.classroom.submission import make_submission
from openretina_widgets.tutorials.percent import in_percent


def overview_of(*sent: tuple[str, str, str, Any]) -> Overview:
    """Rows of (who, kind, id, value)."""
    overview = Overview()
    overview.add(
        Row(i, who, who.title(), make_submission(kind, item, value))
        for i, (who, kind, item, value) in enumerate(sent, start=1)
    )
    return overview


def curve(predicted, measured=None, x=(0, 90, 180, 270), kind="polar"):
    return {"kind": kind, "x": list(x), "values": predicted, "measured": measured}


def test_choices_keep_their_order_and_several_count_each():
    assert histogram(["b", ["a", "b"], "B ", "c"]) == [
        Bar("b", 3, None),
        Bar("a", 1, None),
        Bar("c", 1, None),
    ]


def test_right_and_wrong_are_told_only_where_all_agree():
    judged = [("a", True), ("a", True), ("b", False), ("c", True), ("c", None)]
    assert histogram([{"answer": answer, "correct": right} for answer, right in judged]) == [
        Bar("a", 2, True),
        Bar("b", 1, False),
        Bar("c", 2, None),
    ]


def test_numbers_are_ordered_and_many_fall_into_round_ranges():
    assert histogram([3, 1.5, 3, -2, None]) == [
        Bar("−2", 1, None),
        Bar("1.5", 1, None),
        Bar("3", 2, None),
        Bar("no answer", 1, None),
    ]
    bars = histogram(list(range(40)))  # 0 to 39: the span of an eighth is 4.9, so 5 a range
    assert [bar.label for bar in bars] == [f"{5 * i} to {5 * i + 5}" for i in range(8)]
    assert [bar.count for bar in bars] == [5] * 8
    assert sum(bar.count for bar in histogram([0.1 * i for i in range(33)])) == 33


def test_the_rarest_of_many_texts_are_together():
    bars = histogram([f"text {i}" for i in range(20)] + ["text 19"] * 3)
    assert len(bars) == 12
    assert bars[-1] == Bar("other answers", 9, None)
    assert Bar("text 19", 4, None) in bars


def test_curves_are_in_percent_of_their_largest():
    assert in_percent(np.array([1.0, 4.0, -2.0])).tolist() == [25.0, 100.0, 0.0]
    assert in_percent(np.zeros(2)).tolist() == [0.0, 0.0]
    assert np.isnan(in_percent(np.array([np.nan, 2.0]))).tolist() == [True, False]


def test_what_is_no_curve_is_none():
    for value in (3, "text", None, {}, curve([1, 2]), curve("1234"), curve([1, 2, 3, {}])):
        assert read_prediction(value) is None
    read = read_prediction(curve([4, 3, 2, None], x=(270, 180, 90, 0)))
    assert read is not None
    assert read.x.tolist() == [0, 90, 180, 270]
    assert read.predicted.tolist()[1:] == [50, 75, 100]


def test_the_newest_of_each_student_counts():
    overview = overview_of(
        ("ada", "answer", "q", "a"),
        ("ben", "answer", "q", "a"),
        ("ada", "answer", "q", "b"),
        ("ada", "step", "lesson", {"step": 2, "of": 5, "title": "Two"}),
        ("ben", "step", "lesson", {"step": 2, "of": 5}),
        ("ada", "step", "lesson", {"step": 4, "of": 5}),
    )
    assert overview.bars("q") == [Bar("b", 1, None), Bar("a", 1, None)]
    assert overview.questions == {"q": 2}
    assert overview.steps() == [("", 0), ("Two", 1), ("", 0), ("", 1), ("", 0)]
    assert [(s.name, s.answers) for s in overview.students()] == [("Ada", 1), ("Ben", 1)]
    assert [s.name for s in overview.students(hidden=True)] == ["student 1", "student 2"]


def test_a_row_that_comes_late_does_not_undo_a_newer_one():
    overview = Overview()
    for i in (5, 3):
        overview.add([Row(i, "a", "Ada", make_submission("answer", "q", i))])
        overview.add([Row(i, "a", "Ada", make_submission("step", "t", i))])
    assert overview.bars("q") == [Bar("5", 1, None)]
    assert overview.students()[0].position.step == 5


def test_curves_overlaid_with_their_mean_and_the_true_one():
    overview = overview_of(
        ("ada", "prediction", "dir", curve([0, 1, 0, 0])),
        ("ben", "prediction", "dir", curve([0, 0, 2, 0], measured=[0, 5, 0, 0])),
        ("cem", "prediction", "dir", curve([1, 2], x=(0, 1))),
        ("dua", "prediction", "angle", 90.0),
    )
    curves = overview.curves("dir")
    assert curves is not None
    assert curves.names == ("Ada", "Ben")
    assert curves.mean.tolist() == [0, 50, 50, 0]
    assert curves.truth.tolist() == [0, 100, 0, 0]
    assert curves.left_out == 1
    assert overview.predictions == {"dir": 3}
    assert overview.questions == {"angle": 1}  # what is no curve is counted
    assert overview.bars("angle") == [Bar("90", 1, None)]


def test_the_teachers_curve_counts_and_says_which_conditions_are_drawn():
    overview = overview_of(
        ("ada", "prediction", "dir", curve([0, 1], measured=[3, 1], x=(0, 90))),
        ("ben", "prediction", "dir", curve([1, 1], x=(0, 90))),
        ("cem", "prediction", "dir", curve([2, 1], x=(0, 180))),
    )
    assert overview.curves("dir").truth.tolist() == [100, pytest.approx(100 / 3)]
    overview.set_truth("dir", read_prediction({"x": [180, 0], "values": [5, 1]}))
    curves = overview.curves("dir")
    assert (curves.names, curves.left_out) == (("Cem",), 2)
    assert curves.truth.tolist() == [20, 100]
    overview.set_truth("dir", read_prediction({"x": [1, 2], "values": [5, 1]}))
    assert overview.curves("dir").names == ("Ada", "Ben")  # nobody predicted there


def test_a_direction_or_a_field_is_counted_whichever_way_it_is_sent():
    overview = overview_of(
        ("ada", "prediction", "p", 90),
        ("ben", "prediction", "p", {"value": 90, "unit": "°"}),
    )
    assert overview.bars("p") == [Bar("90", 2, None)]


@pytest.mark.parametrize("value", [0, -1, True, "3", None, {"step": 2.5}, [1], 10**9])
def test_what_is_no_step(value):
    assert read_position("lesson", value) is None


def test_a_reader_finds_rows_that_commit_out_of_order(server, rooms):
    from sqlalchemy import create_engine, text

    store = Store(resolve_place(server.get_uri()), may_create=True)
    who, now = new_participant(rooms, "Ada"), [0.0]
    reader = RoomReader(store, rooms, clock=lambda: now[0])
    store.write(who, [make_submission("answer", "first", 1)])
    engine = create_engine(resolve_place(server.get_uri()).url)
    late = make_submission("answer", "late", 2)
    with engine.begin() as slow:
        slow.execute(
            text(
                "INSERT INTO classroom_submission (uuid, room, participant, kind, item, value, "
                "made_at) VALUES (:uuid, :room, :who, 'answer', 'late', '2', 0)"
            ),
            {"uuid": late.uuid, "room": rooms, "who": who.id},
        )  # has its id, and is not committed
        store.write(who, [make_submission("answer", "last", 3)])
        people, rows = reader.read()
        assert people == {who.id: "Ada"}
        assert [row.submission.item for row in rows] == ["first", "last"]
    now[0] = 1.0
    assert [row.submission.item for row in reader.read()[1]] == ["late"]
    now[0] = 100.0
    assert reader.read()[1] == []
    store.write(who, [make_submission("answer", "more", 4)])
    assert [row.submission.item for row in reader.read()[1]] == ["more"]
    engine.dispose()
    store.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t'=1"),
        ("  =1", "'  =1"),
        ("-1.5", "-1.5"),
        ("+3", "+3"),
        ("a;=1+1", "a;'=1+1"),
        ('a; "=1+1', "a;' \"=1+1"),
        ("a\n=1+1", "a\n'=1+1"),
        ("a\t@SUM(A1)", "a\t'@SUM(A1)"),
        ("a = b", "a = b"),
        ("a; b, -1", "a; b, -1"),
        ("", ""),
    ],
)
def test_no_text_is_a_formula(text, shown):
    assert harmless(text) == shown


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula_however_cells_are_separated(separator):
    answers = ["x;=1+1", "x\n=1+1", 'x";=1+1', "x\t=1+1", ["x;=1+1", "\n=1"], "=1", "; =1"]
    rows = [
        Row(k, "p", "Ada;=1+1", make_submission("answer", f"q{k};@A1", value))
        for k, value in enumerate(answers)
    ]
    text = as_csv("retina", rows, {"p": "Ada;=1+1"})
    cells = [cell for row in csv.reader(io.StringIO(text), delimiter=separator) for cell in row]
    # A quote that ends no cell is dropped or kept, as the spreadsheet likes.
    assert not [cell for cell in cells if cell.lstrip(' "\n\t').startswith(("=", "+", "-", "@"))]


def test_the_table_of_a_room(tmp_path):
    from openretina_widgets.tutorials.classroom import Classroom
    from tests.widgets.conftest import widgets_alive

    before = widgets_alive()
    classroom = Classroom.join("retina", "=Ada, <b>")
    classroom.submit("answer", "q", {"answer": "=HYPERLINK(1)\nline", "correct": False}).wait(10)
    classroom.submit("answer", "q2", [1, 2]).wait(10)
    dashboard = Classroom.dashboard("retina")
    path = tmp_path / "table.csv"
    text = dashboard.to_csv(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    first, second = csv.DictReader(io.StringIO(text))
    assert first["student"] == "'=Ada, <b>"
    assert first["value"] == "'=HYPERLINK(1)\nline"
    assert (first["correct"], second["correct"]) == ("false", "")
    assert (second["value"], second["room"], second["kind"]) == ("[1, 2]", "retina", "answer")
    dashboard.hide_names = True
    assert "Ada" not in dashboard.to_csv()
    assert "Ada" not in str(dashboard._content)
    dashboard.close()
    classroom.close()
    assert widgets_alive() == before
