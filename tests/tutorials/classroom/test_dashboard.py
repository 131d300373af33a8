"""The teacher's dashboard follows the database, from a thread that touches no widget."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from openretina_widgets.tutorials.classroom import Classroom
from openretina_widgets.tutorials.classroom.dashboard import ClassroomDashboard
from tests.widgets.conftest import nothing_left  # noqa: F401


async def until(condition, timeout=10.0):
    end = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < end, "waited in vain"
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("nothing_left")
async def test_it_follows_by_itself_and_closing_ends_the_thread(join):
    dashboard = Classroom.dashboard("retina", interval=0.05)
    changed_in = set()
    dashboard.observe(lambda _: changed_in.add(threading.current_thread()), "_content")
    assert dashboard._content["students"] == []
    join("retina", "Ada").submit("answer", "q", {"answer": "a", "correct": True})
    await until(lambda: dashboard._content["total"] == 1)
    assert dashboard._content["bars"] == [["a", 1, True]]
    assert changed_in == {threading.main_thread()}
    version = dashboard._content["version"]
    await asyncio.sleep(0.3)
    assert dashboard._content["version"] == version  # nothing new, nothing sent
    dashboard.close()
    named = [t for t in threading.enumerate() if t.name == "classroom dashboard"]
    await until(lambda: not any(thread.is_alive() for thread in named))


@pytest.mark.usefixtures("nothing_left")
async def test_the_database_goes_away_and_comes_back(join):
    dashboard = Classroom.dashboard("retina", interval=0.05)
    classroom = join("retina", "Ada")
    classroom.submit("answer", "q", 1).wait(10)
    await until(lambda: dashboard._content["total"] == 1)
    file = Path("classroom/answers.sqlite")
    file.rename("away")
    await until(lambda: dashboard.trouble != "")
    assert "there is no such file" in dashboard._content["trouble"]
    assert "What is shown is from" in dashboard._content["trouble"]
    assert dashboard._content["total"] == 1
    classroom.submit("answer", "q2", 2)
    Path("away").rename(file)
    assert await asyncio.to_thread(classroom.flush)
    await until(lambda: dashboard._content["total"] == 2)
    assert dashboard._content["trouble"] == ""
    dashboard.close()


@pytest.mark.usefixtures("nothing_left")
def test_another_room_is_not_seen(join):
    join("cortex", "Eve").submit("answer", "q", 1).wait(10)
    dashboard = ClassroomDashboard("retina")
    assert (dashboard._content["total"], dashboard._content["students"]) == (0, [])
    dashboard.close()


@pytest.mark.usefixtures("nothing_left")
def test_what_is_chosen_is_shown(join):
    classroom = join("retina")
    classroom.submit("answer", "q1", "a").wait(10)
    classroom.submit("answer", "q2", "b").wait(10)
    dashboard = ClassroomDashboard("retina")
    assert dashboard._content["question"] == "q1"
    dashboard.question = "q2"
    assert dashboard._content["bars"] == [["b", 1, None]]
    value = {"x": [1, 2], "values": [1, 2], "measured": [2, 1]}
    classroom.submit("prediction", "p", value).wait(10)
    dashboard.refresh()
    assert dashboard._content["curves"]["truth"] is None  # hidden until the teacher shows it
    dashboard.show_truth = True
    assert dashboard._content["curves"]["truth"] == [100.0, 50.0]
    dashboard.set_truth("p", np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    assert dashboard._content["curves"]["truth"] == [25.0, 100.0]
    for x, values in (([1], [1, 2]), ([1, np.nan], [1, 2]), ([], []), ([1], [np.nan])):
        with pytest.raises(ValueError, match="x, values: expected 1 to 2,000 finite conditions"):
            dashboard.set_truth("p", x, values)
    dashboard.close()


@pytest.mark.usefixtures("nothing_left")
def test_wrong_settings_are_refused():
    for settings, word in (({"interval": 0}, "interval"), ({"colour": 1}, "colour")):
        with pytest.raises((ValueError, TypeError), match=word):
            ClassroomDashboard("retina", **settings)
    with pytest.raises(ValueError, match="room"):
        ClassroomDashboard("../x")


@pytest.mark.usefixtures("nothing_left")
def test_a_class_is_saved_as_table_and_picture(join, tmp_path):
    dashboard = Classroom.dashboard("retina")
    for suffix in (".png", ".svg"):  # of an empty room too
        assert dashboard.export(tmp_path / f"empty{suffix}").stat().st_size > 1000
    classroom = join("retina", "$Ada$ <b>")
    classroom.submit("step", "lesson", {"step": 2, "of": 5}).wait(10)
    classroom.submit("answer", "$q", {"answer": "$x_$ <i>", "correct": True}).wait(10)
    curve = {"x": [1, 2], "values": [1, 2], "measured": [2, 1], "label": "f (Hz)"}
    classroom.submit("prediction", "p", curve).wait(10)
    dashboard.refresh()
    drawn = {}
    for shown in (False, True):
        dashboard.show_truth = shown
        file = dashboard.export(tmp_path / f"{shown}.svg")
        drawn[shown] = file.read_text(encoding="utf-8")
    assert "<!-- true -->" not in drawn[False]
    assert "<!-- true -->" in drawn[True]
    assert "<i>" not in drawn[True]
    table = dashboard.export(tmp_path / "class.csv")
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")
    assert len(table.read_text(encoding="utf-8-sig").splitlines()) == 4
    with pytest.raises(FileExistsError, match="is there already"):
        dashboard.export(table)
    with pytest.raises(ValueError, match=r"a class is saved as \.csv, \.png, \.svg, not as \.gif"):
        dashboard.export(tmp_path / "class.gif")
    dashboard.close()
